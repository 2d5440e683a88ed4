/* Broadcasting is strides: a broadcast axis has stride 0. Axes that are broadcast alike are merged first, so that a bias
 * [N, C] + [C] is two loops, a plain sum one, and the innermost loop is always one of three vector kernels: both
 * contiguous, or one of the two a scalar. The backward sum over the broadcast axes is the same walk with the roles turned
 * around. Rejected: expanding the small operand into a buffer (memory, and one more pass). */
#include "core/ops/broadcast.h"

#include <string.h>

#include "core/ops/kernels/binary.h"
#include "core/ops/kernels/elementwise.h"

static void set_strides(const struct pare_shape *y, const struct pare_shape *s, int64_t *stride)
{
	int64_t step = 1;

	for (int i = y->n_dims - 1; i >= 0; i--) {
		int j = i - (y->n_dims - s->n_dims);
		int64_t d = j >= 0 ? s->dims[j] : 1;

		stride[i] = d == 1 ? 0 : step;
		step *= d;
	}
}

/* Can axis i be walked as a continuation of axis i + 1? */
static bool merges(const struct pare_broadcast_walk *w, int i, int64_t dim, int64_t sa, int64_t sb)
{
	return w->stride_a[i] == sa * dim && w->stride_b[i] == sb * dim;
}

void pare_broadcast_start(struct pare_broadcast_walk *w, const struct pare_shape *y, const struct pare_shape *a, const struct pare_shape *b)
{
	int n = 0;

	memset(w->at, 0, sizeof w->at);
	w->a = w->b = 0;
	w->n = pare_shape_elems(y);
	set_strides(y, a, w->stride_a);
	set_strides(y, b, w->stride_b);
	for (int i = 0; i < y->n_dims; i++) {
		int64_t d = y->dims[i], sa = w->stride_a[i], sb = w->stride_b[i];

		if (d == 1)
			continue;
		if (n > 0 && merges(w, n - 1, d, sa, sb)) {
			n--;
			d *= w->dim[n];
		}
		w->dim[n] = d;
		w->stride_a[n] = sa;
		w->stride_b[n] = sb;
		n++;
	}
	w->n_dims = n;
}

void pare_broadcast_next(struct pare_broadcast_walk *w)
{
	for (int i = w->n_dims - 1; i >= 0; i--) {
		w->a += (size_t)w->stride_a[i];
		w->b += (size_t)w->stride_b[i];
		if (++w->at[i] < w->dim[i])
			return;
		w->a -= (size_t)(w->stride_a[i] * w->dim[i]);
		w->b -= (size_t)(w->stride_b[i] * w->dim[i]);
		w->at[i] = 0;
	}
}

size_t pare_broadcast_take_inner(struct pare_broadcast_walk *w, bool *moves_a, bool *moves_b)
{
	size_t len;

	if (w->n_dims == 0) {
		*moves_a = *moves_b = true;
		return 1;
	}
	w->n_dims--;
	len = (size_t)w->dim[w->n_dims];
	*moves_a = w->stride_a[w->n_dims] != 0;
	*moves_b = w->stride_b[w->n_dims] != 0;
	w->n = len != 0 ? w->n / len : 0;
	return len;
}

static void binary_inner(enum pare_binary op, size_t n, const float *a, bool ma, const float *b, bool mb, float *y)
{
	if (!ma && !mb)
		pare_k_fill(n, op == PARE_BINARY_ADD ? *a + *b : *a * *b, y);
	else if (op == PARE_BINARY_ADD && ma && mb)
		pare_k_add(n, a, b, y);
	else if (op == PARE_BINARY_ADD)
		pare_k_add_scalar(n, ma ? a : b, ma ? *b : *a, y);
	else if (ma && mb)
		pare_k_mul(n, a, b, y);
	else
		pare_k_scale(n, ma ? a : b, ma ? *b : *a, y);
}

void pare_broadcast_binary(enum pare_binary op, const struct pare_shape *sa, const float *a, const struct pare_shape *sb, const float *b,
    const struct pare_shape *sy, float *y)
{
	struct pare_broadcast_walk w;
	bool ma, mb;
	size_t len;

	pare_broadcast_start(&w, sy, sa, sb);
	len = pare_broadcast_take_inner(&w, &ma, &mb);
	for (size_t i = 0; i < w.n; i++, pare_broadcast_next(&w))
		binary_inner(op, len, a + w.a, ma, b + w.b, mb, y + i * len);
}

void pare_broadcast_scaled(const struct pare_shape *sa, const float *a, float s, const struct pare_shape *sy, float *y)
{
	const struct pare_shape scalar = {.n_dims = 0};

	pare_broadcast_binary(PARE_BINARY_MUL, sa, a, &scalar, &s, sy, y);
}

/* dx is the walk's a, other its b. */
static void reduce_inner(size_t n, const float *dy, const float *other, bool mo, float s, bool mx, float *dx)
{
	float by = other != NULL && !mo ? s * *other : s;

	if (other != NULL && mo && mx && s == 1.0f)
		pare_k_acc_mul(n, dy, other, dx);
	else if (other != NULL && mo && mx)
		for (size_t i = 0; i < n; i++)
			dx[i] += s * dy[i] * other[i];
	else if (other != NULL && mo)
		*dx += s * pare_k_dot(n, dy, other);
	else if (mx)
		pare_k_acc_scaled(n, dy, by, dx);
	else
		*dx += by * pare_k_sum(n, dy);
}

void pare_broadcast_reduce(const struct pare_shape *sy, const float *dy, const struct pare_shape *s_other, const float *other, float s,
    const struct pare_shape *sx, bool acc, float *dx)
{
	const struct pare_shape scalar = {.n_dims = 0};
	size_t n = pare_shape_elems(sx), len;
	struct pare_broadcast_walk w;
	bool mx, mo;

	if (!acc && n == pare_shape_elems(sy) && (other == NULL || pare_shape_elems(s_other) == n)) {
		if (other != NULL)
			pare_k_mul(n, dy, other, dx);
		if (other == NULL || s != 1.0f)
			pare_k_scale(n, other != NULL ? dx : dy, s, dx);
		return;
	}
	if (!acc)
		memset(dx, 0, n * sizeof *dx);
	pare_broadcast_start(&w, sy, sx, other != NULL ? s_other : &scalar);
	len = pare_broadcast_take_inner(&w, &mx, &mo);
	for (size_t i = 0; i < w.n; i++, pare_broadcast_next(&w))
		reduce_inner(len, dy + i * len, other != NULL ? other + w.b : NULL, mo, s, mx, dx + w.a);
}

void pare_broadcast_apply(const struct pare_binary_kernel *k, bool whole, const struct pare_shape *sa, const float *a, const struct pare_shape *sb,
    const float *b, const struct pare_shape *sy, float *y)
{
	struct pare_broadcast_walk w;
	bool ma, mb;
	size_t len;

	pare_broadcast_start(&w, sy, sa, sb);
	len = pare_broadcast_take_inner(&w, &ma, &mb);
	for (size_t i = 0; i < w.n; i++, pare_broadcast_next(&w))
		k->f(len, whole, a + w.a, ma, b + w.b, mb, y + i * len);
}

#define CHUNK 256 /* elements of dy df/dx that are computed before they are added up */

void pare_broadcast_apply_grad(const struct pare_binary_kernel *k, bool whole, const struct pare_shape *sa, const float *a,
    const struct pare_shape *sb, const float *b, const struct pare_shape *sy, const float *dy, bool of_b, bool acc, float *dx)
{
	struct pare_broadcast_walk w;
	float part[CHUNK];
	bool ma, mb;
	size_t len;

	if (!acc)
		memset(dx, 0, pare_shape_elems(of_b ? sb : sa) * sizeof *dx);
	pare_broadcast_start(&w, sy, sa, sb);
	len = pare_broadcast_take_inner(&w, &ma, &mb);
	for (size_t i = 0; i < w.n; i++, pare_broadcast_next(&w))
		for (size_t at = 0; at < len; at += CHUNK) {
			size_t n = len - at < CHUNK ? len - at : CHUNK;
			float *to = dx + (of_b ? w.b + (mb ? at : 0) : w.a + (ma ? at : 0));

			(of_b ? k->db : k->da)(n, whole, a + w.a + (ma ? at : 0), ma, b + w.b + (mb ? at : 0), mb, dy + i * len + at, part);
			if (of_b ? mb : ma)
				pare_k_acc(n, part, to);
			else
				*to += pare_k_sum(n, part);
		}
}

void pare_broadcast_ties(const struct pare_node_view *v, int k, struct pare_ties *t)
{
	const struct pare_shape *s = v->in[k], *y = v->out[0];
	int shift = y->n_dims - s->n_dims;

	for (int i = 0; i < s->n_dims; i++)
		if (s->dims[i] == y->dims[i + shift] && !(s->batch & PARE_BIT(i)) == !(y->batch & PARE_BIT(i + shift)))
			pare_tie_add(t, (struct pare_tie){.kind = PARE_TIE_SAME, .a = k, .a_axis = i, .b = PARE_OUT(0), .b_axis = i + shift});
}
