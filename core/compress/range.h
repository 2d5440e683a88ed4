/* Adaptive binary arithmetic coding: each bit costs what its context did not expect. One code path writes and reads, so that a model of
 * the data is written down once: pare_coder_bit encodes the bit that it is given, or ignores it and returns the one it decodes.
 * Source: Martin 1979 (range coding); the carry-less form of LZMA's coder, with probabilities that learn faster at first. */
#ifndef PARE_COMPRESS_RANGE_H
#define PARE_COMPRESS_RANGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/base/buf.h"

struct pare_prob {
	uint16_t zero; /* of 65536: how often the bit was 0 */
	uint16_t n;    /* bits seen, up to where learning is slowest */
};

struct pare_coder {
	struct pare_buf *out; /* NULL: decoding */
	const uint8_t *p, *end;
	uint64_t low;
	uint32_t range, code;
	uint8_t cache;
	uint64_t n_cached;
	size_t overrun; /* bytes read past the end, as zeros: any is an error of the caller's input */
};

void pare_prob_reset(struct pare_prob *p, size_t n);
void pare_encoder_init(struct pare_coder *c, struct pare_buf *out);
void pare_decoder_init(struct pare_coder *c, const uint8_t *p, size_t n);
unsigned pare_coder_bit(struct pare_coder *c, struct pare_prob *p, unsigned bit);
/* n bits, the highest first, each in the context of those before: p[1 << n]. */
uint32_t pare_coder_tree(struct pare_coder *c, struct pare_prob *p, int n, uint32_t v);
void pare_encoder_finish(struct pare_coder *c);

#endif
