/* A model of any size leaves as it came, in one pass from its mapping to the sink: bytes are handed on where they stand, and only tensors
 * that have lost weights go through a block of memory. Zeroing changes no length, so no message around a tensor changes: a varint
 * of zero is written as long as the one that it replaces. */
#include <string.h>

#include "core/onnx/onnx.h"
#include "core/onnx/schema.h"
#include "core/onnx/wire.h"

#define BLOCK ((size_t)4096) /* weights at a time: PARE_SCORE_BLOCK, so that masks are asked for by their own blocks */
#define RUN ((size_t)1 << 20) /* bytes at a time */
#define OURS "pare."

struct copier {
	const struct pare_onnx_copy *c;
	int next; /* tensor that has not been passed yet */
	struct pare_err *err;
};

static enum pare_code put_run(const struct copier *k, const uint8_t *from, const uint8_t *to)
{
	enum pare_code code = PARE_OK;

	for (size_t n; from < to && code == PARE_OK; from += n) {
		n = (size_t)(to - from) < RUN ? (size_t)(to - from) : RUN;
		code = k->c->put(k->c->ctx, from, n, k->err);
	}
	return code;
}

static enum pare_code put_values(const struct copier *k, int p)
{
	const struct pare_weight *w = &k->c->v->weights[p];
	size_t size = (size_t)pare_dtype_bits(w->dtype) / 8, n;
	uint8_t room[BLOCK], out[BLOCK * sizeof(uint64_t)];
	enum pare_code code = PARE_OK;

	for (size_t at = 0; at < w->info.n_elems && code == PARE_OK; at += n) {
		const uint8_t *keep;

		n = w->info.n_elems - at < BLOCK ? w->info.n_elems - at : BLOCK;
		keep = k->c->keep(k->c->ctx, p, at, n, room);
		if (keep != NULL)
			pare_weight_blend(w, at, n, keep, out);
		code = k->c->put(k->c->ctx, keep != NULL ? out : w->values + at * size, n * size, k->err);
	}
	return code;
}

/* An entry of a typed field. */
static enum pare_code put_entry(const struct copier *k, int p, size_t i, const uint8_t *from, const uint8_t *to, bool fixed)
{
	uint8_t room[64], zero[10] = {0};
	const uint8_t *keep = k->c->keep(k->c->ctx, p, i / 64 * 64, i % 64 + 1, room);
	size_t n = (size_t)(to - from);

	if (keep == NULL || keep[i % 64] != 0 || n > sizeof zero)
		return put_run(k, from, to);
	for (size_t b = 0; !fixed && b + 1 < n; b++)
		zero[b] = 0x80; /* more follows */
	return k->c->put(k->c->ctx, zero, n, k->err);
}

/* The TensorProto of a tensor whose values are entries of a typed field. */
static enum pare_code put_spread(const struct copier *k, int p)
{
	const struct pare_weight *w = &k->c->v->weights[p];
	uint32_t own = pare_onnx_data_field(w->dtype);
	const uint8_t *kept = w->at.data;
	enum pare_code code = PARE_OK;
	struct pare_field f;
	struct pare_wire c, run;
	uint64_t bits;
	size_t i = 0, fixed = own == TENSOR_FLOAT_DATA ? 4 : own == TENSOR_DOUBLE_DATA ? 8 : 0;

	pare_wire_init(&c, k->c->bytes.data, w->at);
	while (code == PARE_OK && pare_wire_next(&c, &f)) {
		if (f.number != own)
			continue;
		code = put_run(k, kept, f.type == PARE_WIRE_LEN ? f.span.data : f.body);
		kept = c.p;
		if (f.type != PARE_WIRE_LEN) {
			if (code == PARE_OK)
				code = put_entry(k, p, i++, f.body, c.p, fixed != 0);
			continue;
		}
		pare_wire_init(&run, k->c->bytes.data, f.span);
		for (const uint8_t *at = run.p; code == PARE_OK && (fixed != 0 ? pare_wire_fixed(&run, fixed, &bits) : pare_wire_varint(&run, &bits)); at = run.p)
			code = put_entry(k, p, i++, at, run.p, fixed != 0);
	}
	return code == PARE_OK ? put_run(k, kept, w->at.data + w->at.len) : code;
}

/* Bytes [from, to) of the file, with the tensors in them. */
static enum pare_code put_range(struct copier *k, const uint8_t *from, const uint8_t *to)
{
	const struct pare_inventory *v = k->c->v;
	enum pare_code code = PARE_OK;

	for (; v != NULL && k->next < v->n && code == PARE_OK; k->next++) {
		const struct pare_weight *w = &v->weights[k->next];

		if (w->file != k->c->file || !w->info.prunable)
			continue;
		if (w->at.data >= to)
			break;
		code = put_run(k, from, w->at.data);
		if (code == PARE_OK)
			code = w->spread ? put_spread(k, k->next) : put_values(k, k->next);
		from = w->at.data + w->at.len;
	}
	return code == PARE_OK ? put_run(k, from, to) : code;
}

static enum pare_code put_entries(const struct copier *k)
{
	struct pare_buf b;
	enum pare_code code = PARE_OK;

	pare_buf_init(&b, (size_t)4 << 20);
	for (const struct pare_onnx_entry *e = k->c->entries; e != NULL && e->key != NULL; e++) {
		size_t mark = pare_wire_begin(&b, MODEL_METADATA);

		pare_wire_put_str(&b, ENTRY_KEY, e->key);
		pare_wire_put_str(&b, ENTRY_VALUE, e->value);
		pare_wire_end(&b, mark);
	}
	code = pare_buf_status(&b, k->err);
	if (code == PARE_OK && b.len > 0)
		code = k->c->put(k->c->ctx, b.data, b.len, k->err);
	pare_buf_done(&b);
	return code;
}

static bool is_ours(const uint8_t *file, const struct pare_field *f)
{
	struct pare_span key = f->number == MODEL_METADATA ? pare_wire_find(file, f->span, ENTRY_KEY) : (struct pare_span){NULL, 0};

	return key.len >= sizeof OURS - 1 && memcmp(key.data, OURS, sizeof OURS - 1) == 0;
}

enum pare_code pare_onnx_copy(const struct pare_onnx_copy *c, struct pare_err *err)
{
	struct copier k = {.c = c, .err = err};
	const uint8_t *kept = c->bytes.data, *end = c->bytes.data + c->bytes.len;
	enum pare_code code = PARE_OK;
	struct pare_field f;
	struct pare_wire w;

	if (c->file != 0)
		return put_range(&k, kept, end);
	pare_wire_init(&w, c->bytes.data, c->bytes);
	while (code == PARE_OK && pare_wire_next(&w, &f)) {
		if (!is_ours(c->bytes.data, &f))
			continue;
		code = put_range(&k, kept, f.at);
		kept = w.p;
	}
	if (code == PARE_OK)
		code = put_range(&k, kept, end);
	return code == PARE_OK ? put_entries(&k) : code;
}
