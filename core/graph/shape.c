/* Shapes with one unknown: the batch.
 *
 * Every dimension is a number, or a number times the batch size. That is all that inference needs to run one plan for
 * any batch (the last batch of an epoch is short), and it is decidable without symbolic algebra: two dimensions are
 * equal when number and flag are equal. Rejected: planning anew per batch size (allocates in the loop), and general
 * symbolic expressions (a model that needs them has more than one free dimension, which training data do not have). */
#include "core/graph/shape.h"

#include <stdio.h>

size_t pare_shape_elems(const struct pare_shape *s)
{
	return (size_t)pare_shape_product(s, 0, s->n_dims);
}

int64_t pare_shape_product(const struct pare_shape *s, int first, int last)
{
	int64_t n = 1;

	for (int i = first; i < last; i++)
		n *= s->dims[i];
	return n;
}

void pare_shape_resolve(const struct pare_shape *s, int64_t rows, struct pare_shape *out)
{
	*out = *s;
	out->batch = 0;
	for (int i = 0; i < s->n_dims; i++)
		if (s->batch & PARE_BIT(i))
			out->dims[i] *= rows;
}

bool pare_shape_same(const struct pare_shape *a, const struct pare_shape *b)
{
	if (a->n_dims != b->n_dims || a->batch != b->batch)
		return false;
	for (int i = 0; i < a->n_dims; i++)
		if (a->dims[i] != b->dims[i])
			return false;
	return true;
}

const char *pare_shape_text(const struct pare_shape *s, char out[PARE_SHAPE_TEXT])
{
	size_t used = 1;

	out[0] = '[';
	for (int i = 0; i < s->n_dims && used < PARE_SHAPE_TEXT - 2; i++) {
		const char *sep = i > 0 ? ", " : "";
		bool batch = (s->batch & PARE_BIT(i)) != 0;
		int n;

		if (batch && s->dims[i] == 1)
			n = snprintf(out + used, PARE_SHAPE_TEXT - used, "%sN", sep);
		else
			n = snprintf(out + used, PARE_SHAPE_TEXT - used, "%s%lld%s", sep, (long long)s->dims[i], batch ? "N" : "");
		used += (size_t)n;
	}
	if (used > PARE_SHAPE_TEXT - 2)
		used = PARE_SHAPE_TEXT - 2;
	out[used] = ']';
	out[used + 1] = '\0';
	return out;
}

bool pare_shape_broadcast(const struct pare_shape *a, const struct pare_shape *b, struct pare_shape *out)
{
	struct pare_shape r = {.n_dims = a->n_dims > b->n_dims ? a->n_dims : b->n_dims};

	for (int i = 0; i < r.n_dims; i++) {
		int ia = i - (r.n_dims - a->n_dims), ib = i - (r.n_dims - b->n_dims);
		int64_t da = ia >= 0 ? a->dims[ia] : 1, db = ib >= 0 ? b->dims[ib] : 1;
		bool na = ia >= 0 && (a->batch & PARE_BIT(ia)), nb = ib >= 0 && (b->batch & PARE_BIT(ib));

		if (da == db && na == nb) {
			r.dims[i] = da;
			r.batch |= na ? PARE_BIT(i) : 0;
		} else if (db == 1 && !nb) {
			r.dims[i] = da;
			r.batch |= na ? PARE_BIT(i) : 0;
		} else if (da == 1 && !na) {
			r.dims[i] = db;
			r.batch |= nb ? PARE_BIT(i) : 0;
		} else {
			return false;
		}
	}
	*out = r;
	return true;
}
