/* The stream is a list of tensors and the bytes between them. Tensors are the initializers whose values stand in raw_data: elements of
 * 1, 2, 4 or 8 bytes, taken as bit patterns, so that no value is too strange to come back.
 *
 *   element  = is it zero? in the context of how many of the last eight in its row, and of the last eight above it, were not
 *   value    = its number in the tensor's table of values, a tree of bits       (few values: shared weights, int8)
 *            | its bytes, the highest first, each in its place's context        (many values)
 *   other    = bytes in the context of the byte before: protobuf, names
 *
 * Zeros in trained networks come in rows, columns and patches (dead inputs, removed neurons), which is why the context pays: the
 * index differences of Deep Compression cost the same everywhere.
 *
 * Encoding and decoding are one walk (struct pare_coder): `file` is what the encoder reads, `out` what the decoder has made. A field's
 * value goes in as what it should be and comes out as what it is.
 *
 * Rejected: deflate behind index differences (a third larger on LeNet), a coder per tensor (small ones never learn), and taking the graph apart
 * (a format of its own for what ONNX already says; the skeleton is a few hundred bytes). */
#include "core/compress/pack.h"

#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include "core/base/mem.h"
#include "core/base/num.h"
#include "core/compress/range.h"

#define MAX_BITS 12 /* of a number in a table of values */
#define MAX_WIDTH 8
#define CRC_PIECE ((size_t)1 << 30)

static const uint8_t magic[8] = {'P', 'A', 'R', 'E', 'P', 'K', 1, 0};

/* What is expected where; all of it starts anew with each file, tables with each tensor. */
struct expected {
	struct pare_prob other[256][256]; /* by the byte before */
	struct pare_prob number[256];
	struct pare_prob zero[16];
	struct pare_prob bytes[MAX_WIDTH][256];
	struct pare_prob table[1 << MAX_BITS];
};

struct codec {
	struct pare_coder c;
	const uint8_t *file; /* encoding: all of it */
	uint64_t total;      /* bytes of the file */
	uint64_t at;         /* bytes done */
	struct pare_buf *out; /* decoding */
	struct expected *e;
	uint64_t values[1 << MAX_BITS];
	const char *fault;
	enum pare_code code;
};

struct tensor {
	uint64_t offset, n, columns, width; /* width: bytes of an element */
	uint64_t n_values;                  /* 0: by bytes */
};

static bool encoding(const struct codec *x)
{
	return x->out == NULL;
}

static void fail(struct codec *x, enum pare_code code, const char *what)
{
	if (x->fault == NULL) {
		x->fault = what;
		x->code = code;
	}
}

/* Did the stream end under us, or is the output full? */
static bool broken(struct codec *x)
{
	if (x->c.overrun > 0)
		fail(x, PARE_E_SYNTAX, "the file is cut off");
	if (x->out != NULL && x->out->failed)
		fail(x, x->out->full ? PARE_E_LIMIT : PARE_E_NOMEM, "the unpacked file is too large");
	return x->fault != NULL;
}

/* --- fields */

static uint64_t number(struct codec *x, uint64_t v)
{
	uint64_t got = 0;
	uint32_t byte = 0x80;

	for (int shift = 0; shift < 64 && (byte & 0x80) != 0; shift += 7) {
		byte = (uint32_t)(v >> shift & 0x7f) | (shift < 63 && v >> shift > 0x7f ? 0x80u : 0);
		byte = pare_coder_tree(&x->c, x->e->number, 8, byte);
		got |= (uint64_t)(byte & 0x7f) << shift;
	}
	return got;
}

static uint64_t load(const uint8_t *p, uint64_t width)
{
	uint64_t v = 0;

	for (uint64_t i = 0; i < width; i++)
		v |= (uint64_t)p[i] << (8 * i);
	return v;
}

static void store(struct codec *x, uint64_t v, uint64_t width)
{
	uint8_t b[MAX_WIDTH];

	for (uint64_t i = 0; i < width; i++)
		b[i] = (uint8_t)(v >> (8 * i));
	if (!encoding(x))
		(void)pare_buf_add(x->out, b, (size_t)width);
}

static uint64_t bits(struct codec *x, uint64_t v, uint64_t width)
{
	uint64_t got = 0;

	for (uint64_t i = width; i-- > 0;)
		got = got << 8 | pare_coder_tree(&x->c, x->e->bytes[i], 8, (uint32_t)(v >> (8 * i) & 0xff));
	return got;
}

/* Bytes up to `end` that belong to no tensor. */
static void other_bytes(struct codec *x, uint64_t end)
{
	uint32_t before = 0;

	for (; x->at < end && !broken(x); x->at++) {
		before = pare_coder_tree(&x->c, x->e->other[before], 8, encoding(x) ? x->file[x->at] : 0);
		store(x, before, 1);
	}
}

/* --- tensors */

static int by_value(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

/* The distinct values that are not zero, ascending; 0 of them when they are too many to be worth a table. */
static void find_values(struct codec *x, struct tensor *t)
{
	uint64_t n_set = 0, n = 0;

	for (uint64_t i = 0; i < t->n && n <= 1 << (MAX_BITS - 1); i++) {
		uint64_t v = load(x->file + t->offset + i * t->width, t->width);

		n_set += v != 0;
		if (v == 0 || bsearch(&v, x->values, (size_t)n, sizeof v, by_value) != NULL)
			continue;
		if (n < 1 << (MAX_BITS - 1)) {
			uint64_t k = n;

			while (k > 0 && x->values[k - 1] > v) {
				x->values[k] = x->values[k - 1];
				k--;
			}
			x->values[k] = v;
		}
		n++;
	}
	t->n_values = n <= 1 << (MAX_BITS - 1) && n * 4 <= n_set ? n : 0;
}

static int bits_for(uint64_t n)
{
	int b = 0;

	while ((uint64_t)1 << b < n)
		b++;
	return b;
}

static uint64_t value(struct codec *x, const struct tensor *t, int n_bits, uint64_t v)
{
	uint32_t k = 0;

	if (t->n_values == 0)
		return bits(x, v, t->width);
	if (encoding(x))
		k = (uint32_t)((const uint64_t *)bsearch(&v, x->values, (size_t)t->n_values, sizeof v, by_value) - x->values);
	k = pare_coder_tree(&x->c, x->e->table, n_bits, k);
	if (k < t->n_values)
		return x->values[k];
	fail(x, PARE_E_SYNTAX, "the file is damaged: a value that its table does not have");
	return 0;
}

static unsigned some(uint8_t history)
{
	unsigned n = (unsigned)__builtin_popcount(history);

	return n > 2 ? 3 : n;
}

static void elements(struct codec *x, const struct tensor *t, uint8_t *above)
{
	int n_bits = bits_for(t->n_values);
	uint8_t row = 0;

	for (uint64_t i = 0, column = 0; i < t->n && !broken(x); i++, column++) {
		uint64_t v = encoding(x) ? load(x->file + t->offset + i * t->width, t->width) : 0;
		unsigned set;

		column = column == t->columns ? 0 : column;
		set = pare_coder_bit(&x->c, &x->e->zero[some(row) * 4 + some(above[column])], v != 0);
		row = (uint8_t)((unsigned)row << 1 | set);
		above[column] = (uint8_t)((unsigned)above[column] << 1 | set);
		store(x, set != 0 ? value(x, t, n_bits, v) : 0, t->width);
	}
	x->at += t->n * t->width;
}

/* Is it within the file, behind what was done? */
static bool holds(struct codec *x, const struct tensor *t)
{
	uint64_t bytes;

	if ((t->width != 1 && t->width != 2 && t->width != 4 && t->width != 8) || t->columns < 1 || t->columns > t->n || t->n_values > 1 << (MAX_BITS - 1) ||
	    __builtin_mul_overflow(t->n, t->width, &bytes) || t->offset < x->at || t->offset > x->total || bytes > x->total - t->offset)
		fail(x, PARE_E_SYNTAX, "the file is damaged: a tensor that does not lie in it");
	return x->fault == NULL;
}

static void tensor(struct codec *x, struct tensor *t)
{
	uint64_t last = 0;
	uint8_t *above;

	if (encoding(x))
		find_values(x, t);
	t->offset = x->at + number(x, t->offset - x->at);
	t->n = number(x, t->n);
	t->columns = number(x, t->columns);
	t->width = number(x, t->width);
	t->n_values = number(x, t->n_values);
	if (broken(x) || !holds(x, t))
		return;
	other_bytes(x, t->offset);
	for (uint64_t i = 0; i < t->n_values; i++)
		x->values[i] = last = last + bits(x, x->values[i] - last, t->width);
	pare_prob_reset(x->e->table, (size_t)1 << bits_for(t->n_values));
	pare_prob_reset(x->e->zero, 16);
	/* a decoder takes no more memory than a file of that many columns has had to say */
	above = t->columns <= x->total ? pare_calloc((size_t)t->columns, 1) : NULL;
	if (above == NULL) {
		fail(x, PARE_E_NOMEM, "out of memory");
		return;
	}
	elements(x, t, above);
	pare_free(above);
}

/* --- files */

static int by_offset(const void *a, const void *b)
{
	const struct tensor *x = a, *y = b;

	return x->offset < y->offset ? -1 : x->offset > y->offset;
}

/* Initializers with raw data inside the file, in the order in which they stand there. */
static uint64_t list_tensors(const struct pare_model *m, struct pare_span file, struct tensor *out)
{
	uint64_t n = 0;

	for (int32_t i = 0; i < m->graph.n_inits; i++) {
		const struct pare_tensor *t = m->graph.values[m->graph.inits[i]].init;
		int width = pare_dtype_bits(t->dtype) / 8;
		uint64_t columns = 1;

		if (t->raw.data == NULL || t->n_elems == 0 || (width != 1 && width != 2 && width != 4 && width != 8) || t->raw.len != t->n_elems * (size_t)width ||
		    t->raw.data < file.data || t->raw.data + t->raw.len > file.data + file.len)
			continue;
		for (int k = 1; k < t->n_dims; k++)
			columns *= (uint64_t)t->dims[k];
		out[n] = (struct tensor){.offset = (uint64_t)(t->raw.data - file.data), .n = t->n_elems, .columns = t->n_dims > 1 ? columns : t->n_elems,
		    .width = (uint64_t)width};
		n++;
	}
	qsort(out, (size_t)n, sizeof *out, by_offset);
	return n;
}

static void whole_file(struct codec *x, struct tensor *list, uint64_t n)
{
	n = number(x, n);
	for (uint64_t i = 0; i < n && !broken(x); i++) {
		struct tensor t = list != NULL ? list[i] : (struct tensor){.n = 0};

		tensor(x, &t);
	}
	other_bytes(x, x->total);
}

static enum pare_code codec_new(struct codec **out, struct pare_err *err)
{
	struct codec *x = pare_calloc(1, sizeof *x);

	if (x != NULL)
		x->e = pare_alloc(sizeof *x->e);
	if (x == NULL || x->e == NULL) {
		pare_free(x);
		return pare_err_nomem(err, sizeof *x->e);
	}
	pare_prob_reset(&x->e->other[0][0], sizeof x->e->other / sizeof x->e->other[0][0]);
	pare_prob_reset(x->e->number, 256);
	pare_prob_reset(&x->e->bytes[0][0], sizeof x->e->bytes / sizeof x->e->bytes[0][0]);
	*out = x;
	return PARE_OK;
}

static void codec_free(struct codec *x)
{
	pare_free(x->e);
	pare_free(x);
}

static uint32_t crc_of(const uint8_t *p, size_t n)
{
	uLong crc = crc32(0, NULL, 0);

	for (size_t at = 0; at < n; at += CRC_PIECE)
		crc = crc32(crc, p + at, (uInt)(n - at < CRC_PIECE ? n - at : CRC_PIECE));
	return (uint32_t)crc;
}

static enum pare_code encode(const struct pare_model *m, struct pare_span file, struct pare_buf *out, struct pare_err *err)
{
	struct tensor *list = pare_calloc((size_t)m->graph.n_inits + 1, sizeof *list);
	struct codec *x;
	uint8_t head[PARE_PACK_HEADER];
	uint32_t crc = crc_of(file.data, file.len);
	enum pare_code code = list != NULL ? codec_new(&x, err) : pare_err_nomem(err, 0);

	if (code != PARE_OK) {
		pare_free(list);
		return code;
	}
	memcpy(head, magic, sizeof magic);
	for (int i = 0; i < 8; i++)
		head[8 + i] = (uint8_t)((uint64_t)file.len >> (8 * i));
	for (int i = 0; i < 4; i++)
		head[16 + i] = (uint8_t)(crc >> (8 * i));
	(void)pare_buf_add(out, head, sizeof head);
	x->file = file.data;
	x->total = file.len;
	pare_encoder_init(&x->c, out);
	whole_file(x, list, list_tensors(m, file, list));
	pare_encoder_finish(&x->c);
	if (x->fault != NULL)
		code = pare_err_set(err, x->code, NULL, "%s", x->fault);
	codec_free(x);
	pare_free(list);
	return code == PARE_OK ? pare_buf_status(out, err) : code;
}

enum pare_code pare_model_unpack(struct pare_span packed, struct pare_buf *out, struct pare_err *err)
{
	size_t start = out->len;
	struct codec *x;
	enum pare_code code;

	if (packed.len < PARE_PACK_HEADER || memcmp(packed.data, magic, 6) != 0)
		return pare_err_set(err, PARE_E_SYNTAX, NULL, "not a packed model: it does not start with PAREPK");
	if (memcmp(packed.data, magic, sizeof magic) != 0)
		return pare_err_set(err, PARE_E_SYNTAX, NULL, "packed by version %d of the format; this program reads version 1", packed.data[6]);
	code = codec_new(&x, err);
	if (code != PARE_OK)
		return code;
	x->out = out;
	x->total = load(packed.data + 8, 8);
	if (x->total > out->cap_bytes - start)
		fail(x, PARE_E_LIMIT, "the unpacked file is too large");
	pare_decoder_init(&x->c, packed.data + PARE_PACK_HEADER, packed.len - PARE_PACK_HEADER);
	if (x->fault == NULL)
		whole_file(x, NULL, 0);
	if (!broken(x) && (x->c.p != x->c.end || crc_of(out->len > start ? (const uint8_t *)out->data + start : NULL, out->len - start) != load(packed.data + 16, 4)))
		fail(x, PARE_E_SYNTAX, "the file is damaged: its checksum or its length does not agree");
	if (x->fault != NULL)
		code = pare_err_set(err, x->code, NULL, "%s", x->fault);
	codec_free(x);
	return code;
}

enum pare_code pare_model_pack(const struct pare_model *m, struct pare_span file, struct pare_buf *out, struct pare_err *err)
{
	size_t start = out->len;
	struct pare_buf again;
	enum pare_code code = encode(m, file, out, err);

	pare_buf_init(&again, file.len + 1);
	if (code == PARE_OK)
		code = pare_model_unpack((struct pare_span){(const uint8_t *)out->data + start, out->len - start}, &again, err);
	if (code == PARE_OK && (again.len != file.len || memcmp(again.data, file.data, file.len) != 0))
		code = pare_err_set(err, PARE_E_PROOF, NULL, "the packed model does not unpack to the same bytes");
	pare_buf_done(&again);
	return code;
}
