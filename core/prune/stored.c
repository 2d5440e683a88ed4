/* A bit per weight is a thirty-second of a float32 model: masks of models of any size fit beside them. Bits become bytes a block at a
 * time, in the first-level cache, so that selection is the same code for files and for nets. A copy-on-write mapping of the file
 * would need no mask, but every page that loses a weight would become private memory: a second model in it. */
#include "core/prune/stored.h"

#include <string.h>

#include "core/base/mem.h"

static const struct pare_stored *of(const struct pare_tensors *t)
{
	return (const struct pare_stored *)t;
}

static const struct pare_param_info *stored_info(const struct pare_tensors *t, int p)
{
	return &of(t)->v->weights[p].info;
}

/* Eight bits to eight bytes of 0 or 1, and back. */
static uint64_t spread_bits(uint64_t bits)
{
	return ((((bits * 0x0101010101010101u) & 0x8040201008040201u) + 0x7f7f7f7f7f7f7f7fu) >> 7) & 0x0101010101010101u;
}

static uint64_t gather_bits(uint64_t bytes)
{
	return (bytes * 0x0102040810204080u) >> 56;
}

static const uint8_t *stored_keep(const struct pare_tensors *t, int p, size_t first, size_t n, uint8_t *room)
{
	const uint64_t *bits = of(t)->kept + (stored_info(t, p)->offset + first) / 64;

	for (size_t i = 0; i < n; i += 8) {
		uint64_t spread = spread_bits(bits[i / 64] >> i % 64 & 0xff);

		memcpy(room + i, &spread, n - i < 8 ? n - i : 8);
	}
	return room;
}

const uint8_t *pare_stored_keep(const struct pare_stored *s, int p, size_t first, size_t n, uint8_t *room)
{
	return s->tensors.any && stored_info(&s->tensors, p)->prunable ? stored_keep(&s->tensors, p, first, n, room) : NULL;
}

static void stored_mask(struct pare_tensors *t, int p, size_t first, size_t n, const uint8_t *keep)
{
	uint64_t *bits = of(t)->kept + (stored_info(t, p)->offset + first) / 64;

	for (size_t i = 0; i < n; i += 8) {
		uint64_t eight = 0, *word = &bits[i / 64];

		memcpy(&eight, keep + i, n - i < 8 ? n - i : 8);
		*word = (*word & ~((uint64_t)0xff << i % 64)) | gather_bits(eight) << i % 64;
	}
}

static const float *stored_weights(const struct pare_tensors *t, int p, size_t first, size_t n, float *room)
{
	uint8_t keep[PARE_SCORE_BLOCK];

	pare_weight_read(&of(t)->v->weights[p], first, n, room);
	for (size_t at = 0; t->any && at < n; at += sizeof keep) {
		size_t m = n - at < sizeof keep ? n - at : sizeof keep;

		(void)stored_keep(t, p, first + at, m, keep);
		for (size_t i = 0; i < m; i++)
			room[at + i] = keep[i] != 0 ? room[at + i] : 0.0f;
	}
	return room;
}

enum pare_code pare_stored_init(struct pare_stored *s, const struct pare_inventory *v, struct pare_err *err)
{
	size_t words = v->len / 64 + 1;

	*s = (struct pare_stored){.tensors = {.n = v->n, .len = v->len, .info = stored_info, .weights = stored_weights, .keep = stored_keep, .mask = stored_mask}, .v = v};
	s->kept = pare_alloc(words * sizeof *s->kept);
	if (s->kept == NULL)
		return pare_err_nomem(err, words * sizeof *s->kept);
	memset(s->kept, 0xff, words * sizeof *s->kept);
	return PARE_OK;
}

void pare_stored_done(struct pare_stored *s)
{
	pare_free(s->kept);
	s->kept = NULL;
}
