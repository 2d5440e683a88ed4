/* Weights where they stand, a block at a time. Bytes of a mapped file are not aligned, so every access is a copy into a block that stays
 * in the first-level cache. double is ranked as float: two weights that differ by less than a float can tell are ties, which position
 * decides; what is left of them leaves with all its bits. */
#include "core/graph/weights.h"

#include <string.h>

#include "core/base/multiarch.h"
#include "core/graph/graph_priv.h"
#include "core/ops/op.h"

void pare_inventory_done(struct pare_inventory *v)
{
	pare_arena_done(&v->arena);
	v->n = 0;
	v->weights = NULL;
}

static size_t size_of(const struct pare_weight *w)
{
	return (size_t)pare_dtype_bits(w->dtype) / 8;
}

PARE_MULTIARCH
static void read_bfloats(const uint8_t *restrict from, size_t n, float *restrict out)
{
	for (size_t i = 0; i < n; i++) {
		uint16_t h;
		uint32_t bits;

		memcpy(&h, from + 2 * i, sizeof h);
		bits = (uint32_t)h << 16;
		memcpy(out + i, &bits, sizeof bits);
	}
}

PARE_MULTIARCH
static void read_doubles(const uint8_t *restrict from, size_t n, float *restrict out)
{
	for (size_t i = 0; i < n; i++) {
		double d;

		memcpy(&d, from + 8 * i, sizeof d);
		out[i] = (float)d;
	}
}

static void read_halves(const uint8_t *from, size_t n, float *out)
{
	for (size_t i = 0; i < n; i++) {
		uint16_t h;

		memcpy(&h, from + 2 * i, sizeof h);
		out[i] = pare_half_to_float(h);
	}
}

void pare_weight_read(const struct pare_weight *w, size_t first, size_t n, float *out)
{
	const uint8_t *from = w->values + first * size_of(w);

	switch (w->dtype) {
	case PARE_DT_FLOAT:
		memcpy(out, from, n * sizeof *out);
		break;
	case PARE_DT_DOUBLE:
		read_doubles(from, n, out);
		break;
	case PARE_DT_BFLOAT16:
		read_bfloats(from, n, out);
		break;
	default:
		read_halves(from, n, out);
		break;
	}
}

/* One loop by size of element: the bits that stay, and whether more than the sign is left of them. */
#define SIZED(bits, type) \
	PARE_MULTIARCH \
	static void blend##bits(const uint8_t *restrict from, size_t n, const uint8_t *restrict keep, uint8_t *restrict out) \
	{ \
		for (size_t i = 0; i < n; i++) { \
			type v; \
\
			memcpy(&v, from + sizeof v * i, sizeof v); \
			v = keep[i] != 0 ? v : 0; \
			memcpy(out + sizeof v * i, &v, sizeof v); \
		} \
	} \
	PARE_MULTIARCH \
	static size_t nonzero##bits(const uint8_t *restrict from, size_t n) \
	{ \
		size_t count = 0; \
\
		for (size_t i = 0; i < n; i++) { \
			type v; \
\
			memcpy(&v, from + sizeof v * i, sizeof v); \
			count += (type)(v << 1) != 0; \
		} \
		return count; \
	}
SIZED(16, uint16_t)
SIZED(32, uint32_t)
SIZED(64, uint64_t)

void pare_weight_blend(const struct pare_weight *w, size_t first, size_t n, const uint8_t *keep, uint8_t *out)
{
	const uint8_t *from = w->values + first * size_of(w);

	if (keep == NULL)
		memcpy(out, from, n * size_of(w));
	else if (size_of(w) == 4)
		blend32(from, n, keep, out);
	else if (size_of(w) == 2)
		blend16(from, n, keep, out);
	else
		blend64(from, n, keep, out);
}

#define BLOCK ((size_t)1024)

size_t pare_weight_nonzero(const struct pare_weight *w, size_t first, size_t n, const uint8_t *keep)
{
	uint8_t block[BLOCK * sizeof(uint64_t)];
	size_t count = 0;

	for (size_t at = 0; at < n; at += BLOCK) {
		size_t m = n - at < BLOCK ? n - at : BLOCK;

		pare_weight_blend(w, first + at, m, keep != NULL ? keep + at : NULL, block);
		count += size_of(w) == 4 ? nonzero32(block, m) : size_of(w) == 2 ? nonzero16(block, m) : nonzero64(block, m);
	}
	return count;
}

/* Which axis of input k holds the output units, where the operator alone says so. */
static int axis_of(const struct pare_weight_use *u)
{
	if (strcmp(u->op, "Gemm") == 0)
		return (u->k == 1) == u->trans ? 0 : 1;
	if (strcmp(u->op, "MatMul") == 0)
		return u->k == 1 ? u->n_dims - 1 : u->n_dims - 2;
	if (strcmp(u->op, "Conv") == 0)
		return 0;
	return strcmp(u->op, "ConvTranspose") == 0 ? 1 : -1;
}

enum pare_weight_kind pare_weight_kind_of(const struct pare_weight_use *u, int *out_axis)
{
	const struct pare_op *op = pare_op_find(u->domain, u->op, u->opset);

	*out_axis = -1;
	if (op == NULL)
		return PARE_WEIGHT_UNKNOWN;
	if (!pare_op_has(op->weight_in, u->k))
		return PARE_WEIGHT_NO;
	*out_axis = u->domain[0] == '\0' ? axis_of(u) : -1;
	return PARE_WEIGHT_YES;
}
