/* Every length is compared with what is left before a pointer moves, so no arithmetic here can leave the message. A
 * varint is at most ten bytes and its tenth at most 1: longer ones are how a few bytes are made to look like many fields
 * to one reader and none to another.
 *
 * Nested messages are written in place: the contents first, then the length is slid in before them. The alternative, to
 * measure everything beforehand, costs a second copy of the schema in the writer; a padded length would not be the
 * shortest form, which some readers insist on. */
#include "core/onnx/wire.h"

#include <string.h>

#define MAX_FIELD 536870911u /* 2^29 - 1 */

static bool fail(struct pare_wire *w, const uint8_t *at, const char *fault)
{
	if (w->fault == NULL) {
		w->fault = fault;
		w->fault_at = at;
	}
	w->p = w->end;
	return false;
}

void pare_wire_init(struct pare_wire *w, const uint8_t *file, struct pare_span span)
{
	static const uint8_t nothing[1];

	memset(w, 0, sizeof *w);
	w->file = file != NULL ? file : nothing;
	w->p = span.data != NULL ? span.data : w->file;
	w->end = w->p + span.len;
}

bool pare_wire_varint(struct pare_wire *w, uint64_t *out)
{
	const uint8_t *start = w->p;
	uint64_t v = 0;

	if (w->p == w->end)
		return false;
	for (unsigned shift = 0; shift < 70; shift += 7) {
		uint8_t byte;

		if (w->p == w->end)
			return fail(w, start, "the message ends inside a number");
		byte = *w->p++;
		if (shift == 63 && byte > 1)
			break;
		v |= (uint64_t)(byte & 0x7f) << shift;
		if ((byte & 0x80) == 0) {
			*out = v;
			return true;
		}
	}
	return fail(w, start, "a number is longer than 64 bits (a varint has at most 10 bytes)");
}

bool pare_wire_fixed(struct pare_wire *w, size_t n_bytes, uint64_t *out)
{
	uint64_t v = 0;

	if (w->p == w->end)
		return false;
	if ((size_t)(w->end - w->p) < n_bytes)
		return fail(w, w->p, "the message ends inside a number");
	for (size_t i = 0; i < n_bytes; i++)
		v |= (uint64_t)w->p[i] << (8 * i);
	w->p += n_bytes;
	*out = v;
	return true;
}

static bool read_length(struct pare_wire *w, struct pare_field *f)
{
	uint64_t len;

	if (w->p == w->end)
		return fail(w, f->at, "the message ends before a field's length");
	if (!pare_wire_varint(w, &len))
		return false;
	if (len > (uint64_t)(w->end - w->p))
		return fail(w, f->at, "a field's length runs past the end of its message");
	f->span.data = w->p;
	f->span.len = (size_t)len;
	w->p += len;
	return true;
}

static bool read_body(struct pare_wire *w, struct pare_field *f)
{
	switch (f->type) {
	case PARE_WIRE_LEN:
		return read_length(w, f);
	case PARE_WIRE_VARINT:
	case PARE_WIRE_I32:
	case PARE_WIRE_I64:
		break;
	}
	if (w->p == w->end)
		return fail(w, f->at, "the message ends before a field's value");
	if (f->type == PARE_WIRE_VARINT)
		return pare_wire_varint(w, &f->bits);
	return pare_wire_fixed(w, f->type == PARE_WIRE_I32 ? 4 : 8, &f->bits);
}

bool pare_wire_next(struct pare_wire *w, struct pare_field *f)
{
	uint64_t tag;

	memset(f, 0, sizeof *f);
	f->at = w->p;
	if (!pare_wire_varint(w, &tag))
		return false;
	f->body = w->p;
	if (tag >> 3 == 0 || tag >> 3 > MAX_FIELD)
		return fail(w, f->at, "a field number is not between 1 and 536870911");
	f->number = (uint32_t)(tag >> 3);
	switch (tag & 7) {
	case PARE_WIRE_VARINT:
	case PARE_WIRE_I64:
	case PARE_WIRE_LEN:
	case PARE_WIRE_I32:
		f->type = (enum pare_wire_type)(tag & 7);
		return read_body(w, f);
	case 3:
	case 4:
		return fail(w, f->at, "a group (wire type 3 or 4), which ONNX does not use");
	default:
		return fail(w, f->at, "an unknown wire type (6 or 7)");
	}
}

struct pare_span pare_wire_find(const uint8_t *file, struct pare_span message, uint32_t number)
{
	struct pare_span found = {NULL, 0};
	struct pare_field f;
	struct pare_wire w;

	pare_wire_init(&w, file, message);
	while (pare_wire_next(&w, &f))
		if (f.number == number && f.type == PARE_WIRE_LEN)
			found = f.span;
	return found;
}

bool pare_wire_same(struct pare_span a, struct pare_span b)
{
	return a.len == b.len && (a.len == 0 || memcmp(a.data, b.data, a.len) == 0);
}

size_t pare_wire_packed_len(const struct pare_field *f, size_t fixed_bytes)
{
	size_t n = 0;

	if (f->type != PARE_WIRE_LEN)
		return 1;
	if (fixed_bytes != 0)
		return f->span.len / fixed_bytes;
	for (size_t i = 0; i < f->span.len; i++)
		n += (f->span.data[i] & 0x80) == 0; /* the last byte of a varint */
	return n;
}

enum pare_code pare_wire_status(const struct pare_wire *w, struct pare_err *err)
{
	if (w->fault == NULL)
		return PARE_OK;
	(void)pare_err_set(err, PARE_E_SYNTAX, NULL, "not a readable protobuf message: %s", w->fault);
	(void)pare_err_at(err, "byte %zu", (size_t)(w->fault_at - w->file));
	return PARE_E_SYNTAX;
}

size_t pare_wire_varint_size(uint64_t v)
{
	size_t n = 1;

	for (; v >= 0x80; v >>= 7)
		n++;
	return n;
}

static size_t encode(uint64_t v, uint8_t out[10])
{
	size_t n = 0;

	for (; v >= 0x80; v >>= 7)
		out[n++] = (uint8_t)(v | 0x80);
	out[n++] = (uint8_t)v;
	return n;
}

void pare_wire_put_varint(struct pare_buf *b, uint64_t v)
{
	uint8_t bytes[10];

	(void)pare_buf_add(b, bytes, encode(v, bytes));
}

static void put_tag(struct pare_buf *b, uint32_t field, enum pare_wire_type type)
{
	pare_wire_put_varint(b, ((uint64_t)field << 3) | (uint64_t)type);
}

void pare_wire_put_int(struct pare_buf *b, uint32_t field, int64_t v)
{
	put_tag(b, field, PARE_WIRE_VARINT);
	pare_wire_put_varint(b, (uint64_t)v);
}

void pare_wire_put_float(struct pare_buf *b, uint32_t field, float v)
{
	uint32_t bits;
	uint8_t bytes[4];

	memcpy(&bits, &v, sizeof bits);
	for (int i = 0; i < 4; i++)
		bytes[i] = (uint8_t)(bits >> (8 * i));
	put_tag(b, field, PARE_WIRE_I32);
	(void)pare_buf_add(b, bytes, sizeof bytes);
}

void pare_wire_put_bytes(struct pare_buf *b, uint32_t field, const void *p, size_t n)
{
	put_tag(b, field, PARE_WIRE_LEN);
	pare_wire_put_varint(b, n);
	(void)pare_buf_add(b, p, n);
}

void pare_wire_put_str(struct pare_buf *b, uint32_t field, const char *s)
{
	pare_wire_put_bytes(b, field, s, strlen(s));
}

size_t pare_wire_begin(struct pare_buf *b, uint32_t field)
{
	put_tag(b, field, PARE_WIRE_LEN);
	return b->len;
}

void pare_wire_end(struct pare_buf *b, size_t mark)
{
	uint8_t length[10];
	size_t len, n;

	if (b->failed)
		return;
	len = b->len - mark;
	n = encode(len, length);
	if (!pare_buf_add(b, length, n)) /* makes room; the bytes themselves go in front */
		return;
	memmove(b->data + mark + n, b->data + mark, len);
	memcpy(b->data + mark, length, n);
}
