/* The protobuf wire format and nothing of ONNX: a cursor over the fields of one message, and a writer over pare_buf.
 *
 * A cursor never copies and never reads past its message. Faults stick: pare_wire_next and the readers return false from
 * then on, and pare_wire_status tells what was wrong and at which byte of the whole file. Groups (deprecated, and a way
 * to nest without a length) are refused. Source: protobuf encoding guide, protobuf.dev/programming-guides/encoding. */
#ifndef PARE_ONNX_WIRE_H
#define PARE_ONNX_WIRE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/base/buf.h"
#include "core/base/err.h"
#include "core/graph/graph.h"

#define PARE_WIRE_MAX_DEPTH 64 /* messages inside messages; protobuf's own C++ reader stops at 100 */

enum pare_wire_type { PARE_WIRE_VARINT = 0, PARE_WIRE_I64 = 1, PARE_WIRE_LEN = 2, PARE_WIRE_I32 = 5 };

struct pare_wire {
	const uint8_t *file; /* offsets in errors count from here */
	const uint8_t *p, *end;
	const char *fault; /* NULL while all is well */
	const uint8_t *fault_at;
};

struct pare_field {
	uint32_t number;
	enum pare_wire_type type;
	uint64_t bits;         /* VARINT, I32, I64: the value */
	struct pare_span span; /* LEN: the contents, data never NULL */
	const uint8_t *at;     /* the first byte of the tag */
	const uint8_t *body;   /* the byte after the tag */
};

/* A cursor over all of file, or over a span inside it (file is where offsets count from). */
void pare_wire_init(struct pare_wire *w, const uint8_t *file, struct pare_span span);
/* The next field; false at the end of the message or at a fault. */
bool pare_wire_next(struct pare_wire *w, struct pare_field *f);
/* Bare values, for the inside of packed fields; false at the end or at a fault. */
bool pare_wire_varint(struct pare_wire *w, uint64_t *out);
bool pare_wire_fixed(struct pare_wire *w, size_t n_bytes, uint64_t *out); /* 4 or 8, little-endian */
/* For messages known to be well formed. The contents of the last length-delimited field of that number (data NULL if there
 * is none), and how many values a packed or unpacked field holds (fixed_bytes 4 or 8, 0 for varints). */
struct pare_span pare_wire_find(const uint8_t *file, struct pare_span message, uint32_t number);
size_t pare_wire_packed_len(const struct pare_field *f, size_t fixed_bytes);
bool pare_wire_same(struct pare_span a, struct pare_span b); /* the same bytes */
/* PARE_OK, or PARE_E_SYNTAX with where = "byte N". */
PARE_MUST_USE enum pare_code pare_wire_status(const struct pare_wire *w, struct pare_err *err);

/* Writing: errors stick in the buffer (pare_buf_status). */
size_t pare_wire_varint_size(uint64_t v); /* 1 to 10 bytes */
void pare_wire_put_varint(struct pare_buf *b, uint64_t v);
void pare_wire_put_int(struct pare_buf *b, uint32_t field, int64_t v);
void pare_wire_put_float(struct pare_buf *b, uint32_t field, float v);
void pare_wire_put_bytes(struct pare_buf *b, uint32_t field, const void *p, size_t n);
void pare_wire_put_str(struct pare_buf *b, uint32_t field, const char *s);
/* A nested message: what is appended between begin and end becomes its contents. begin returns the mark that end takes. */
size_t pare_wire_begin(struct pare_buf *b, uint32_t field);
void pare_wire_end(struct pare_buf *b, size_t mark);

#endif
