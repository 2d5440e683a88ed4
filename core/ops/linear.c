/* Products with a weight matrix: Gemm and MatMul.
 *
 *   Gemm     y = alpha op(A) op(B) + beta C          dA = alpha dy op(B)^T (or its transpose), dB likewise, dC = beta dy
 *   MatMul   y[..., m, n] = sum_k a[..., m, k] b[..., k, n]
 *
 * A Gemm is one BLAS call: C is written into y first and the product is added by beta = 1, so the bias costs no pass of
 * its own. dC of a row vector is a column sum; other shapes of C (scalar, column, matrix) go through the reduction that
 * broadcasting uses. MatMul with an unbatched right side, which is every linear layer, is one product over all leading
 * dimensions; only genuinely batched products loop.
 *
 * With many rows the weights are packed first, once for the product, and the bias is added to sums in registers; a row that is added
 * to a MatMul is such a bias, also in nets that train. */
#include <string.h>

#include "core/ops/broadcast.h"
#include "core/ops/kernels/elementwise.h"
#include "core/ops/kernels/gemm.h"
#include "core/ops/kernels/packed.h"
#include "core/ops/kernels/sparse.h"
#include "core/ops/ops_priv.h"

/* What was absorbed, in this order: done to every element of the product. */
struct steps {
	bool biased, added, clamped;
	float lo, hi;
};
struct gemm_args {
	float alpha, beta;
	int64_t trans_a, trans_b;
	struct steps then;
};
#define GEMM_MAX_IN 3
struct matmul_args {
	struct steps then;
};
#define MATMUL_MAX_IN 2

static bool absorb(struct steps *s, const struct pare_step *step, bool training)
{
	if ((training && step->kind != PARE_STEP_BIAS) || s->clamped || (s->added && step->kind != PARE_STEP_CLAMP))
		return false;
	switch (step->kind) {
	case PARE_STEP_BIAS:
		if (s->biased)
			return false;
		s->biased = true;
		return true;
	case PARE_STEP_ADD:
		return s->added = true;
	case PARE_STEP_CLAMP:
		s->lo = step->lo;
		s->hi = step->hi;
		return s->clamped = true;
	case PARE_STEP_NORM:
	case PARE_STEP_NONE:
		break;
	}
	return false;
}

static const float *added(const struct pare_run *r, const struct steps *s, int max_in)
{
	return s->added ? r->in[max_in + PARE_STEP_ADD_AT] : NULL;
}

/* After a product that could not do it on the way; the bias is in it. */
static void run_steps(const struct pare_run *r, const struct steps *s, int max_in)
{
	size_t n = pare_shape_elems(r->out_shape[0]);

	if (s->added)
		pare_k_add(n, r->out[0], added(r, s, max_in), r->out[0]);
	if (s->clamped)
		pare_k_clamp(n, s->lo, s->hi, r->out[0], r->out[0]);
}

static void step_ties(const struct pare_node_view *v, int max_in, struct pare_ties *t)
{
	int add = max_in + PARE_STEP_ADD_AT, bias = max_in + PARE_STEP_BIAS_AT;

	if (v->n_in > add && v->in[add] != NULL)
		pare_broadcast_ties(v, add, t);
	if (v->n_in > bias && v->in[bias] != NULL)
		pare_broadcast_ties(v, bias, t);
}

static bool same_dim(const struct pare_shape *a, int i, const struct pare_shape *b, int j)
{
	return a->dims[i] == b->dims[j] && !(a->batch & PARE_BIT(i)) == !(b->batch & PARE_BIT(j));
}

static void copy_dim(struct pare_shape *to, int i, const struct pare_shape *from, int j)
{
	to->dims[i] = from->dims[j];
	if (from->batch & PARE_BIT(j))
		to->batch |= PARE_BIT(i);
}

static enum pare_code gemm_infer(const struct pare_infer *c, struct pare_err *err)
{
	const struct gemm_args *g = c->args;
	const struct pare_shape *a = &c->in[0], *b = &c->in[1];
	struct pare_shape y = {.n_dims = 2}, all;
	char text[PARE_SHAPE_TEXT], want[PARE_SHAPE_TEXT];

	if (a->n_dims != 2 || b->n_dims != 2)
		return pare_infer_mismatch(c, 0, 1, "Gemm multiplies two matrices of rank 2", err);
	if (!same_dim(a, g->trans_a ? 0 : 1, b, g->trans_b ? 1 : 0))
		return pare_infer_mismatch(c, 0, 1, "the inner dimensions differ", err);
	copy_dim(&y, 0, a, g->trans_a ? 1 : 0);
	copy_dim(&y, 1, b, g->trans_b ? 0 : 1);
	if (pare_infer_has(c, 2) && (!pare_shape_broadcast(&y, &c->in[2], &all) || !pare_shape_same(&all, &y)))
		return pare_err_set(err, PARE_E_SHAPE, c->where, "C of shape %s cannot be broadcast to the product's %s",
		    pare_shape_text(&c->in[2], text), pare_shape_text(&y, want));
	c->out[0] = y;
	return PARE_OK;
}

/* C is a row that repeats: [n], [1, n]. */
static bool is_row(const struct pare_shape *c, int64_t n)
{
	return c->n_dims > 0 && c->dims[c->n_dims - 1] == n && pare_shape_elems(c) == (size_t)n;
}

static void gemm_prefill(const struct pare_run *r, float beta)
{
	const struct pare_shape *c = r->in_shape[2], *y = r->out_shape[0];
	size_t m = (size_t)y->dims[0], n = (size_t)y->dims[1];

	if (is_row(c, y->dims[1]))
		pare_k_fill_rows(m, n, r->in[2], beta, r->out[0]);
	else
		pare_broadcast_scaled(c, r->in[2], beta, y, r->out[0]);
}

/* The cases that the sparse kernels cover: what a linear layer is exported as. */
static bool gemm_is_sparse(const struct pare_run *r)
{
	const struct gemm_args *g = r->args;
	bool row = r->n_in < 3 || r->in_shape[2] == NULL || is_row(r->in_shape[2], r->out_shape[0]->dims[1]);

	return r->sparse != NULL && g->trans_a == 0 && g->alpha == 1.0f && row;
}

/* For a matrix of weights, in one of its two forms: sparse, or packed for one product. */
static size_t weight_scratch(int64_t m, const struct pare_shape *b)
{
	size_t sparse = pare_sparse_scratch(m, b->dims[0], b->dims[1]), packed = pare_packed_floats(b->dims[0], b->dims[1]),
	       turned = pare_packed_floats(b->dims[1], b->dims[0]);

	packed = packed > turned ? packed : turned;
	return sparse > packed || !pare_packing_pays(m, b->dims[1], b->dims[0]) ? sparse : packed;
}

static size_t gemm_scratch(const struct pare_run *r)
{
	return weight_scratch(r->out_shape[0]->dims[0], r->in_shape[1]);
}

static bool is_one(float f)
{
	return !(f < 1.0f || f > 1.0f);
}

/* A plain linear layer, which is what packed weights serve. */
static bool gemm_is_plain(const struct pare_run *r)
{
	const struct gemm_args *g = r->args;
	bool row = r->n_in < 3 || r->in_shape[2] == NULL || (is_row(r->in_shape[2], r->out_shape[0]->dims[1]) && is_one(g->beta));

	return g->trans_a == 0 && is_one(g->alpha) && row;
}

/* Weights that are packed once. */
static size_t gemm_prepared(const struct pare_run *r)
{
	const struct pare_shape *y = r->out_shape[0];

	if (!gemm_is_plain(r) || !pare_packed_pays(y->dims[0], y->dims[1], r->in_shape[0]->dims[1]))
		return 0;
	return pare_packed_floats(r->in_shape[0]->dims[1], y->dims[1]);
}

static void gemm_prepare(const struct pare_run *r, float *to)
{
	const struct gemm_args *g = r->args;

	pare_pack(g->trans_b != 0, r->in_shape[0]->dims[1], r->out_shape[0]->dims[1], r->in[1], to);
}

static void packed_product(const struct pare_run *r, const struct steps *s, int max_in, int64_t m, int64_t n, int64_t k, const float *packed, const float *bias)
{
	struct pare_conv_finish finish = {.bias = bias, .add = added(r, s, max_in), .clamp = s->clamped, .lo = s->lo, .hi = s->hi};

	pare_packed_mul(m, n, k, r->in[0], k, packed, &finish, r->out[0], n, false);
}

/* Of [m, n] = [m, k] [k, n] with weights stored [n, k] when tb: dx. */
static void packed_input_grad(const struct pare_run *r, bool tb, int64_t m, int64_t n, int64_t k)
{
	pare_pack(!tb, n, k, r->in[1], r->scratch);
	pare_packed_mul(m, k, n, r->grad_out[0], n, r->scratch, NULL, r->grad_in[0], k, r->accumulate[0]);
}

/* --- units divided among shards (run.peers) */

/* The weight is stored [units, k] when tb, else [k, units]; dw is shard 0's. This shard's part of units, and of inputs for the gradient of x. */
struct divided {
	bool tb;
	int64_t n, k;
	const float *w;
	float *dw;
	int64_t unit, n_units, input, n_inputs;
};

static struct divided divide(const struct pare_run *r, bool tb)
{
	const struct pare_shape *w = r->in_shape[1];
	struct divided d = {.tb = tb, .n = w->dims[tb ? 0 : 1], .k = w->dims[tb ? 1 : 0], .w = r->in[1], .dw = r->peers[0]->grad_in[1]};

	pare_run_part(r, d.n, &d.unit, &d.n_units);
	pare_run_part(r, d.k, &d.input, &d.n_inputs);
	return d;
}

/* m rows of x[m, k] and y[m, n], and of their gradients. */
struct rows {
	int64_t m;
	const float *x, *dy;
	float *y, *dx;
};

static struct rows rows_of(const struct pare_run *r, const struct divided *d)
{
	return (struct rows){.m = (int64_t)pare_shape_elems(r->in_shape[0]) / d->k, .x = r->in[0], .dy = r->grad_out[0], .y = r->out[0], .dx = r->grad_in[0]};
}

static bool follows(const struct rows *a, const struct rows *b, const struct divided *d)
{
	return b->x == a->x + a->m * d->k && b->y == a->y + a->m * d->n && (a->dy == NULL || b->dy == a->dy + a->m * d->n) &&
	       (a->dx == NULL || b->dx == a->dx + a->m * d->k);
}

/* The rows of shard *s and of those behind it that stand where its end; *s moves on. */
static struct rows next_rows(const struct pare_run *r, const struct divided *d, int *s)
{
	struct rows all = rows_of(r->peers[(*s)++], d);

	for (; *s < r->n_shards; (*s)++) {
		struct rows more = rows_of(r->peers[*s], d);

		if (!follows(&all, &more, d))
			break;
		all.m += more.m;
	}
	return all;
}

static void units_forward(const struct divided *d, const struct rows *rows, const float *bias)
{
	for (int64_t i = 0; i < rows->m && bias != NULL; i++)
		memcpy(rows->y + i * d->n + d->unit, bias + d->unit, (size_t)d->n_units * sizeof *bias);
	pare_gemm_part(false, d->tb, rows->m, d->n_units, d->k, 1.0f, rows->x, d->k, d->w + d->unit * (d->tb ? d->k : 1), d->tb ? d->k : d->n,
	    bias != NULL ? 1.0f : 0.0f, rows->y + d->unit, d->n);
}

static void split_forward(const struct pare_run *r, bool tb, const float *bias)
{
	struct divided d = divide(r, tb);

	pare_pool_meet(r->team);
	for (int s = 0; s < r->n_shards;) {
		struct rows rows = next_rows(r, &d, &s);

		units_forward(&d, &rows, bias);
	}
	pare_pool_meet(r->team);
}

static void units_grad(const struct divided *d, const struct rows *rows, bool acc)
{
	if (d->tb)
		pare_gemm_part(true, false, d->n_units, d->k, rows->m, 1.0f, rows->dy + d->unit, d->n, rows->x, d->k, acc ? 1.0f : 0.0f,
		    d->dw + d->unit * d->k, d->k);
	else
		pare_gemm_part(true, false, d->k, d->n_units, rows->m, 1.0f, rows->x, d->k, rows->dy + d->unit, d->n, acc ? 1.0f : 0.0f, d->dw + d->unit, d->n);
}

static void inputs_grad(const struct divided *d, const struct rows *rows, bool acc)
{
	pare_gemm_part(false, !d->tb, rows->m, d->n_inputs, d->n, 1.0f, rows->dy, d->n, d->w + d->input * (d->tb ? 1 : d->n), d->tb ? d->k : d->n,
	    acc ? 1.0f : 0.0f, rows->dx + d->input, d->k);
}

static void split_backward(const struct pare_run *r, bool tb)
{
	struct divided d = divide(r, tb);
	bool acc = r->accumulate[1];

	pare_pool_meet(r->team);
	for (int s = 0; s < r->n_shards; acc = true) {
		struct rows rows = next_rows(r, &d, &s);

		units_grad(&d, &rows, acc);
		if (rows.dx != NULL)
			inputs_grad(&d, &rows, r->accumulate[0]);
	}
	pare_pool_meet(r->team);
}

static void gemm_forward(const struct pare_run *r)
{
	const struct gemm_args *g = r->args;
	const struct pare_shape *a = r->in_shape[0], *y = r->out_shape[0];
	bool bias = r->n_in > 2 && r->in_shape[2] != NULL && g->beta != 0.0f;

	if (gemm_is_sparse(r)) {
		pare_sparse_product(r->sparse, r->in[1], g->trans_b != 0, y->dims[0], r->in[0], bias ? r->in[2] : NULL, g->beta, false, r->out[0],
		    r->scratch);
	} else if (r->peers != NULL) {
		split_forward(r, g->trans_b != 0, bias ? r->in[2] : NULL);
	} else if (r->prepared != NULL) {
		packed_product(r, &g->then, GEMM_MAX_IN, y->dims[0], y->dims[1], a->dims[1], r->prepared, bias ? r->in[2] : NULL);
		return;
	} else if (gemm_is_plain(r) && pare_packing_pays(y->dims[0], y->dims[1], a->dims[1])) {
		gemm_prepare(r, r->scratch);
		packed_product(r, &g->then, GEMM_MAX_IN, y->dims[0], y->dims[1], a->dims[1], r->scratch, bias ? r->in[2] : NULL);
		return;
	} else {
		if (bias)
			gemm_prefill(r, g->beta);
		pare_gemm(g->trans_a != 0, g->trans_b != 0, y->dims[0], y->dims[1], a->dims[g->trans_a ? 0 : 1], g->alpha, r->in[0], r->in[1],
		    bias ? 1.0f : 0.0f, r->out[0]);
	}
	run_steps(r, &g->then, GEMM_MAX_IN);
}

/* A row along the last axis is what a Gemm has in C: only a sum with all of the product is new to it. */
static bool gemm_absorb(void *args, const struct pare_step *step, bool training)
{
	struct gemm_args *g = args;

	return step->kind != PARE_STEP_BIAS && absorb(&g->then, step, training);
}

/* Gradients of a product m rows high with the sparse weight of input 1, stored [out, in] when tb. */
static void sparse_backward(const struct pare_run *r, bool tb, int64_t m)
{
	const float *x = r->in[0], *dy = r->grad_out[0];

	if (r->grad_in[0] != NULL)
		pare_sparse_product(r->sparse, r->in[1], !tb, m, dy, NULL, 0.0f, r->accumulate[0], r->grad_in[0], r->scratch);
	if (r->grad_in[1] != NULL)
		pare_sparse_grad(r->sparse, m, tb ? dy : x, tb ? x : dy, r->accumulate[1], r->grad_in[1], r->scratch);
}

static void dense_backward(const struct pare_run *r, int64_t m, int64_t n, int64_t k)
{
	const struct gemm_args *g = r->args;
	bool ta = g->trans_a != 0, tb = g->trans_b != 0;
	const float *a = r->in[0], *b = r->in[1], *dy = r->grad_out[0];
	float acc0 = r->accumulate[0] ? 1.0f : 0.0f, acc1 = r->accumulate[1] ? 1.0f : 0.0f;

	if (r->grad_in[0] != NULL && gemm_is_plain(r) && pare_packing_pays(m, k, n))
		packed_input_grad(r, tb, m, n, k);
	else if (r->grad_in[0] != NULL && ta)
		pare_gemm(tb, true, k, m, n, g->alpha, b, dy, acc0, r->grad_in[0]);
	else if (r->grad_in[0] != NULL)
		pare_gemm(false, !tb, m, k, n, g->alpha, dy, b, acc0, r->grad_in[0]);
	if (r->grad_in[1] != NULL && tb)
		pare_gemm(true, ta, n, k, m, g->alpha, dy, a, acc1, r->grad_in[1]);
	else if (r->grad_in[1] != NULL)
		pare_gemm(!ta, false, k, n, m, g->alpha, a, dy, acc1, r->grad_in[1]);
}

static void gemm_backward(const struct pare_run *r)
{
	const struct gemm_args *g = r->args;
	const struct pare_shape *y = r->out_shape[0];
	int64_t m = y->dims[0], n = y->dims[1], k = r->in_shape[0]->dims[g->trans_a != 0 ? 0 : 1];
	const float *dy = r->grad_out[0];

	if (gemm_is_sparse(r))
		sparse_backward(r, g->trans_b != 0, m);
	else if (r->peers != NULL)
		split_backward(r, g->trans_b != 0);
	else
		dense_backward(r, m, n, k);
	if (r->n_in > 2 && r->grad_in[2] != NULL && is_row(r->in_shape[2], n))
		pare_k_col_sum((size_t)m, (size_t)n, dy, g->beta, r->accumulate[2], r->grad_in[2]);
	else if (r->n_in > 2 && r->grad_in[2] != NULL)
		pare_broadcast_reduce(y, dy, NULL, NULL, g->beta, r->in_shape[2], r->accumulate[2], r->grad_in[2]);
}

static void gemm_couple(const struct pare_node_view *v, struct pare_ties *t)
{
	const struct gemm_args *g = v->args;

	pare_tie_add(t, (struct pare_tie){.kind = PARE_TIE_SAME, .a = 0, .a_axis = g->trans_a ? 1 : 0, .b = PARE_OUT(0), .b_axis = 0});
	pare_tie_add(t, (struct pare_tie){.kind = PARE_TIE_CONTRACT, .a = 0, .a_axis = g->trans_a ? 0 : 1, .b = 1, .b_axis = g->trans_b ? 1 : 0});
	pare_tie_add(t, (struct pare_tie){.kind = PARE_TIE_SAME, .a = 1, .a_axis = g->trans_b ? 0 : 1, .b = PARE_OUT(0), .b_axis = 1});
	if (v->n_in > 2 && v->in[2] != NULL)
		pare_broadcast_ties(v, 2, t);
	step_ties(v, GEMM_MAX_IN, t);
}

static int64_t gemm_macs(const struct pare_node_view *v)
{
	const struct gemm_args *g = v->args;

	return v->out[0]->dims[0] * v->out[0]->dims[1] * v->in[0]->dims[g->trans_a ? 0 : 1];
}

static bool gemm_product(const struct pare_run *r, struct pare_product *out)
{
	const struct gemm_args *g = r->args;
	int64_t n_out = r->out_shape[0]->dims[1], n_in = r->in_shape[0]->dims[g->trans_a ? 0 : 1];
	bool bias = r->n_in > 2 && r->in_shape[2] != NULL && is_row(r->in_shape[2], n_out);

	*out = (struct pare_product){.weight_in = 1, .bias_in = bias ? 2 : -1, .groups = 1, .n_rows = r->out_shape[0]->dims[0], .n_out = n_out,
	    .n_in = n_in, .w_out = g->trans_b ? n_in : 1, .w_in = g->trans_b ? 1 : n_out};
	return is_one(g->alpha) && (!bias || is_one(g->beta));
}

static void gemm_unfold(const struct pare_run *r, int64_t group, int64_t first, int64_t n, float *x)
{
	const struct gemm_args *g = r->args;
	int64_t n_in = r->in_shape[0]->dims[g->trans_a ? 0 : 1], n_rows = r->out_shape[0]->dims[0];

	(void)group;
	if (!g->trans_a)
		memcpy(x, r->in[0] + first * n_in, (size_t)(n * n_in) * sizeof *x);
	for (int64_t i = 0; g->trans_a && i < n; i++)
		for (int64_t k = 0; k < n_in; k++)
			x[i * n_in + k] = r->in[0][k * n_rows + first + i];
}

/* MatMul as matrices: rank 1 operands count as a row (left) or a column (right), the other dimensions are the batch. */
struct matmul {
	int64_t m, n, k;
	struct pare_shape a_batch, b_batch, y_batch;
};

static void leading(const struct pare_shape *s, int n_dims, struct pare_shape *out)
{
	out->n_dims = n_dims > 0 ? n_dims : 0;
	out->batch = s->batch & (PARE_BIT(out->n_dims) - 1);
	memcpy(out->dims, s->dims, sizeof out->dims);
}

static void matmul_batches(const struct pare_shape *a, const struct pare_shape *b, struct matmul *mm)
{
	leading(a, a->n_dims - 2, &mm->a_batch);
	leading(b, b->n_dims - 2, &mm->b_batch);
}

static enum pare_code matmul_infer(const struct pare_infer *c, struct pare_err *err)
{
	const struct pare_shape *a = &c->in[0], *b = &c->in[1];
	struct pare_shape y;
	struct matmul mm;

	if (a->n_dims < 1 || b->n_dims < 1)
		return pare_infer_mismatch(c, 0, 1, "MatMul needs operands of rank 1 or more", err);
	if (!same_dim(a, a->n_dims - 1, b, b->n_dims > 1 ? b->n_dims - 2 : 0))
		return pare_infer_mismatch(c, 0, 1, "the inner dimensions differ", err);
	matmul_batches(a, b, &mm);
	if (!pare_shape_broadcast(&mm.a_batch, &mm.b_batch, &y))
		return pare_infer_mismatch(c, 0, 1, "the leading dimensions do not broadcast", err);
	if (a->n_dims > 1)
		copy_dim(&y, y.n_dims++, a, a->n_dims - 2);
	if (b->n_dims > 1)
		copy_dim(&y, y.n_dims++, b, b->n_dims - 1);
	c->out[0] = y;
	return PARE_OK;
}

/* Folds what can be one product: a right side without batch takes all leading dimensions of the left as rows. */
static void matmul_plan(const struct pare_run *r, struct matmul *mm)
{
	const struct pare_shape *a = r->in_shape[0], *b = r->in_shape[1];

	matmul_batches(a, b, mm);
	mm->m = a->n_dims > 1 ? a->dims[a->n_dims - 2] : 1;
	mm->k = a->dims[a->n_dims - 1];
	mm->n = b->n_dims > 1 ? b->dims[b->n_dims - 1] : 1;
	if (pare_shape_elems(&mm->b_batch) == 1 && mm->b_batch.n_dims <= mm->a_batch.n_dims) {
		mm->m *= (int64_t)pare_shape_elems(&mm->a_batch);
		mm->a_batch.n_dims = mm->b_batch.n_dims = 0;
	}
	(void)pare_shape_broadcast(&mm->a_batch, &mm->b_batch, &mm->y_batch);
}

/* A structure is given for a right side that is a matrix: then all rows are one product. */
static size_t matmul_scratch(const struct pare_run *r)
{
	const struct pare_shape *b = r->in_shape[1];
	struct matmul mm;

	matmul_plan(r, &mm);
	return b->n_dims == 2 ? weight_scratch(mm.m, b) : 0;
}

static size_t matmul_prepared(const struct pare_run *r)
{
	struct matmul mm;

	matmul_plan(r, &mm);
	return r->in_shape[1]->n_dims == 2 && pare_packed_pays(mm.m, mm.n, mm.k) ? pare_packed_floats(mm.k, mm.n) : 0;
}

static void matmul_prepare(const struct pare_run *r, float *to)
{
	pare_pack(false, r->in_shape[1]->dims[0], r->in_shape[1]->dims[1], r->in[1], to);
}

static void dense_matmul(const struct pare_run *r, const struct matmul *mm, const float *bias)
{
	const struct pare_shape *y = r->out_shape[0];
	struct pare_broadcast_walk w;

	if (bias != NULL)
		pare_k_fill_rows((size_t)pare_shape_product(y, 0, y->n_dims - 1), (size_t)y->dims[y->n_dims - 1], bias, 1.0f, r->out[0]);
	pare_broadcast_start(&w, &mm->y_batch, &mm->a_batch, &mm->b_batch);
	for (size_t i = 0; i < w.n; i++, pare_broadcast_next(&w))
		pare_gemm(false, false, mm->m, mm->n, mm->k, 1.0f, r->in[0] + (int64_t)w.a * mm->m * mm->k,
		    r->in[1] + (int64_t)w.b * mm->k * mm->n, bias != NULL ? 1.0f : 0.0f, r->out[0] + (int64_t)i * mm->m * mm->n);
}

void pare_matmul(const struct pare_run *r)
{
	struct matmul mm;

	matmul_plan(r, &mm);
	dense_matmul(r, &mm, NULL);
}

static void matmul_forward(const struct pare_run *r)
{
	const struct matmul_args *args = r->args;
	const float *bias = args->then.biased ? r->in[MATMUL_MAX_IN + PARE_STEP_BIAS_AT] : NULL;
	struct matmul mm;

	matmul_plan(r, &mm);
	if (r->sparse != NULL) {
		pare_sparse_product(r->sparse, r->in[1], false, mm.m, r->in[0], bias, 1.0f, false, r->out[0], r->scratch);
	} else if (r->peers != NULL) {
		split_forward(r, false, bias);
	} else if (r->prepared != NULL) {
		packed_product(r, &args->then, MATMUL_MAX_IN, mm.m, mm.n, mm.k, r->prepared, bias);
		return;
	} else if (r->in_shape[1]->n_dims == 2 && pare_packing_pays(mm.m, mm.n, mm.k)) {
		matmul_prepare(r, r->scratch);
		packed_product(r, &args->then, MATMUL_MAX_IN, mm.m, mm.n, mm.k, r->scratch, bias);
		return;
	} else {
		dense_matmul(r, &mm, bias);
	}
	run_steps(r, &args->then, MATMUL_MAX_IN);
}

static bool matmul_absorb(void *args, const struct pare_step *step, bool training)
{
	struct matmul_args *a = args;

	return absorb(&a->then, step, training);
}

static void batched_backward(const struct pare_run *r, const struct matmul *mm, float *const grad_in[2])
{
	struct pare_broadcast_walk w;
	float keep[2];

	/* A product of its own for every matrix of an operand overwrites; matrices that were broadcast collect. */
	for (int i = 0; i < 2; i++) {
		bool own = pare_shape_elems(i == 0 ? &mm->a_batch : &mm->b_batch) == pare_shape_elems(&mm->y_batch);

		keep[i] = own && !r->accumulate[i] ? 0.0f : 1.0f;
		if (grad_in[i] != NULL && !r->accumulate[i] && !own)
			memset(grad_in[i], 0, pare_shape_elems(r->in_shape[i]) * sizeof(float));
	}
	pare_broadcast_start(&w, &mm->y_batch, &mm->a_batch, &mm->b_batch);
	for (size_t i = 0; i < w.n; i++, pare_broadcast_next(&w)) {
		int64_t oa = (int64_t)w.a * mm->m * mm->k, ob = (int64_t)w.b * mm->k * mm->n;
		const float *dy = r->grad_out[0] + (int64_t)i * mm->m * mm->n;

		if (grad_in[1] != NULL)
			pare_gemm(true, false, mm->k, mm->n, mm->m, 1.0f, r->in[0] + oa, dy, keep[1], grad_in[1] + ob);
		if (grad_in[0] != NULL)
			pare_gemm(false, true, mm->m, mm->k, mm->n, 1.0f, dy, r->in[1] + ob, keep[0], grad_in[0] + oa);
	}
}

static void matmul_backward(const struct pare_run *r)
{
	const struct matmul_args *args = r->args;
	const struct pare_shape *y = r->out_shape[0];
	int at = MATMUL_MAX_IN + PARE_STEP_BIAS_AT;
	float *grad_in[2] = {r->grad_in[0], r->grad_in[1]};
	struct matmul mm;

	matmul_plan(r, &mm);
	if (r->sparse != NULL) {
		sparse_backward(r, false, mm.m);
	} else if (r->peers != NULL) {
		split_backward(r, false);
	} else {
		if (grad_in[0] != NULL && r->in_shape[1]->n_dims == 2 && pare_packing_pays(mm.m, mm.k, mm.n)) {
			packed_input_grad(r, false, mm.m, mm.n, mm.k);
			grad_in[0] = NULL;
		}
		batched_backward(r, &mm, grad_in);
	}
	if (args->then.biased && r->grad_in[at] != NULL)
		pare_k_col_sum((size_t)pare_shape_product(y, 0, y->n_dims - 1), (size_t)y->dims[y->n_dims - 1], r->grad_out[0], 1.0f, r->accumulate[at],
		    r->grad_in[at]);
}

/* Data times a matrix: every linear layer without a bias of its own. */
static bool matmul_product(const struct pare_run *r, struct pare_product *out)
{
	const struct pare_shape *a = r->in_shape[0], *b = r->in_shape[1];

	if (b->n_dims != 2)
		return false;
	*out = (struct pare_product){.weight_in = 1, .bias_in = -1, .groups = 1, .n_rows = (int64_t)pare_shape_product(a, 0, a->n_dims - 1),
	    .n_out = b->dims[1], .n_in = b->dims[0], .w_out = 1, .w_in = b->dims[1]};
	return true;
}

static bool matmul_splits(const struct pare_run *r)
{
	return r->in_shape[1]->n_dims == 2 && r->in_shape[0]->n_dims >= 2;
}

static void matmul_unfold(const struct pare_run *r, int64_t group, int64_t first, int64_t n, float *x)
{
	int64_t n_in = r->in_shape[1]->dims[0];

	(void)group;
	memcpy(x, r->in[0] + first * n_in, (size_t)(n * n_in) * sizeof *x);
}

static void matmul_couple(const struct pare_node_view *v, struct pare_ties *t)
{
	int a = v->in[0]->n_dims, b = v->in[1]->n_dims, y = v->out[0]->n_dims;
	struct matmul mm;

	matmul_batches(v->in[0], v->in[1], &mm);
	pare_tie_add(t, (struct pare_tie){.kind = PARE_TIE_CONTRACT, .a = 0, .a_axis = a - 1, .b = 1, .b_axis = b > 1 ? b - 2 : 0});
	if (a > 1)
		pare_tie_add(t, (struct pare_tie){.kind = PARE_TIE_SAME, .a = 0, .a_axis = a - 2, .b = PARE_OUT(0), .b_axis = b > 1 ? y - 2 : y - 1});
	if (b > 1)
		pare_tie_add(t, (struct pare_tie){.kind = PARE_TIE_SAME, .a = 1, .a_axis = b - 1, .b = PARE_OUT(0), .b_axis = y - 1});
	for (int k = 0; k < 2; k++) {
		const struct pare_shape *s = k == 0 ? &mm.a_batch : &mm.b_batch;
		int lead = y - (a > 1) - (b > 1);

		for (int i = 0; i < s->n_dims; i++)
			if (s->dims[i] != 1 || (s->batch & PARE_BIT(i)))
				pare_tie_add(t, (struct pare_tie){.kind = PARE_TIE_SAME, .a = k, .a_axis = i, .b = PARE_OUT(0), .b_axis = lead - s->n_dims + i});
	}
	step_ties(v, MATMUL_MAX_IN, t);
}

static int64_t matmul_macs(const struct pare_node_view *v)
{
	return (int64_t)pare_shape_elems(v->out[0]) * v->in[0]->dims[v->in[0]->n_dims - 1];
}

static const struct pare_arg_spec gemm_arg_table[] = {
    {.name = "alpha", .kind = PARE_ARG_FLOAT, .offset = offsetof(struct gemm_args, alpha), .def = 1},
    {.name = "beta", .kind = PARE_ARG_FLOAT, .offset = offsetof(struct gemm_args, beta), .def = 1},
    {.name = "transA", .kind = PARE_ARG_INT, .offset = offsetof(struct gemm_args, trans_a), .min = 0, .max = 1},
    {.name = "transB", .kind = PARE_ARG_INT, .offset = offsetof(struct gemm_args, trans_b), .min = 0, .max = 1},
    {.name = NULL},
};

const struct pare_op pare_op_linear_table[] = {
    {.domain = "", .name = "Gemm", .since = PARE_OPSET_MIN, .until = PARE_OPSET_MAX, .min_in = 2, .max_in = GEMM_MAX_IN, .min_out = 1, .max_out = 1,
     .args_size = sizeof(struct gemm_args), .args = gemm_arg_table, .weight_in = PARE_BIT(0) | PARE_BIT(1),
     .grad_uses_in = PARE_BIT(0) | PARE_BIT(1), .sparse_in = PARE_BIT(1), .infer = gemm_infer, .scratch = gemm_scratch,
     .forward = gemm_forward, .backward = gemm_backward, .couple = gemm_couple, .macs = gemm_macs, .product = gemm_product, .unfold = gemm_unfold, .splits = gemm_is_plain,
     .absorb = gemm_absorb, .prepared = gemm_prepared, .prepare_in = PARE_BIT(1), .prepare = gemm_prepare},
    {.domain = "", .name = "MatMul", .since = PARE_OPSET_MIN, .until = PARE_OPSET_MAX, .min_in = 2, .max_in = MATMUL_MAX_IN, .min_out = 1, .max_out = 1,
     .weight_in = PARE_BIT(0) | PARE_BIT(1), .grad_uses_in = PARE_BIT(0) | PARE_BIT(1), .sparse_in = PARE_BIT(1), .infer = matmul_infer,
     .scratch = matmul_scratch, .forward = matmul_forward, .backward = matmul_backward, .couple = matmul_couple, .macs = matmul_macs,
     .product = matmul_product, .unfold = matmul_unfold, .splits = matmul_splits, .args_size = sizeof(struct matmul_args), .absorb = matmul_absorb,
     .prepared = matmul_prepared, .prepare_in = PARE_BIT(1), .prepare = matmul_prepare},
    {.name = NULL},
};
