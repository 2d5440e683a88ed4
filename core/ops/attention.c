/* The scores of one head stay in the first two caches from the product that makes them to the one that uses them, and no operand is
 * moved: products take their sides with gaps from row to row. A net that trains keeps the softmax of all heads for
 *
 *   dv = p^T dy    dp = dy v^T    ds = p (dp - sum of p dp)    dq = scale ds k    dk = scale ds^T q    dmask = ds
 *
 * Computing it again from sums of the rows, as is done where memory is short, would cost a product and an exponential for
 * every head; the scores that were kept before are no larger. */
#include "core/ops/attention.h"

#include <string.h>

#include "core/ops/kernels/elementwise.h"
#include "core/ops/kernels/gemm.h"

static size_t scores(const struct pare_attention *a)
{
	return (size_t)(a->queries * a->keys);
}

static int64_t rows_of(const struct pare_run *r)
{
	return r->out_shape[0]->dims[0];
}

/* Those of one head, or of one row of the batch. */
static size_t attention_scratch(const struct pare_run *r)
{
	return scores(r->args);
}

static size_t attention_state(const struct pare_run *r)
{
	const struct pare_attention *a = r->args;

	return (size_t)(rows_of(r) * a->heads) * scores(a);
}

static int64_t place(const struct pare_attention_place *p, int64_t n, int64_t h)
{
	return p->offset + n * p->row + h * p->head;
}

/* Where the mask of a query begins. */
static int64_t mask_place(const struct pare_attention *a, int64_t n, int64_t h, int64_t query)
{
	return n * a->mask_row + h * a->mask_head + query * a->mask_query;
}

static void add_mask(const struct pare_attention *a, const float *mask, float *s)
{
	for (int64_t i = 0; i < a->queries; i++, s += a->keys, mask += a->mask_query)
		if (a->mask_key == 1)
			pare_k_add((size_t)a->keys, s, mask, s);
		else
			pare_k_add_scalar((size_t)a->keys, s, *mask, s);
}

static void head_forward(const struct pare_run *r, int64_t n, int64_t h, float *p)
{
	const struct pare_attention *a = r->args;

	pare_gemm_part(false, true, a->queries, a->keys, a->width, a->scale, r->in[a->q.operand] + place(&a->q, n, h), a->q.step,
	    r->in[a->k.operand] + place(&a->k, n, h), a->k.step, 0.0f, p, a->keys);
	if (a->mask >= 0)
		add_mask(a, r->in[a->mask] + mask_place(a, n, h, 0), p);
	pare_k_softmax((size_t)a->queries, (size_t)a->keys, p, p);
	pare_gemm_part(false, false, a->queries, a->depth, a->keys, 1.0f, p, a->keys, r->in[a->v.operand] + place(&a->v, n, h), a->v.step, 0.0f,
	    r->out[0] + place(&a->y, n, h), a->y.step);
}

static void attention_forward(const struct pare_run *r)
{
	const struct pare_attention *a = r->args;

	for (int64_t n = 0; n < rows_of(r); n++)
		for (int64_t h = 0; h < a->heads; h++)
			head_forward(r, n, h, r->state != NULL ? r->state + (size_t)(n * a->heads + h) * scores(a) : r->scratch);
}

/* Where the gradient of an operand goes, NULL: nobody needs it. */
static float *grad_place(const struct pare_run *r, const struct pare_attention_place *p, int64_t n, int64_t h)
{
	return r->grad_in[p->operand] != NULL ? r->grad_in[p->operand] + place(p, n, h) : NULL;
}

static float keep(const struct pare_run *r, const struct pare_attention_place *p)
{
	const struct pare_attention *a = r->args;

	return a->covered[p->operand] && !r->accumulate[p->operand] ? 0.0f : 1.0f;
}

static void mask_grad(const struct pare_run *r, int64_t n, int64_t h, const float *ds)
{
	const struct pare_attention *a = r->args;

	for (int64_t i = 0; i < a->queries; i++, ds += a->keys) {
		float *to = r->grad_in[a->mask] + mask_place(a, n, h, i);

		if (a->mask_key == 1)
			pare_k_acc((size_t)a->keys, ds, to);
		else
			*to += pare_k_sum((size_t)a->keys, ds);
	}
}

static void head_backward(const struct pare_run *r, int64_t n, int64_t h, const float *p, float *ds)
{
	const struct pare_attention *a = r->args;
	const float *dy = r->grad_out[0] + place(&a->y, n, h);
	float *dq = grad_place(r, &a->q, n, h), *dk = grad_place(r, &a->k, n, h), *dv = grad_place(r, &a->v, n, h);

	if (dv != NULL)
		pare_gemm_part(true, false, a->keys, a->depth, a->queries, 1.0f, p, a->keys, dy, a->y.step, keep(r, &a->v), dv, a->v.step);
	pare_gemm_part(false, true, a->queries, a->keys, a->depth, 1.0f, dy, a->y.step, r->in[a->v.operand] + place(&a->v, n, h), a->v.step, 0.0f, ds,
	    a->keys);
	pare_k_softmax_grad((size_t)a->queries, (size_t)a->keys, p, ds, false, ds);
	if (a->mask >= 0 && r->grad_in[a->mask] != NULL)
		mask_grad(r, n, h, ds);
	pare_k_scale(scores(a), ds, a->scale, ds);
	if (dq != NULL)
		pare_gemm_part(false, false, a->queries, a->width, a->keys, 1.0f, ds, a->keys, r->in[a->k.operand] + place(&a->k, n, h), a->k.step,
		    keep(r, &a->q), dq, a->q.step);
	if (dk != NULL)
		pare_gemm_part(true, false, a->keys, a->width, a->queries, 1.0f, ds, a->keys, r->in[a->q.operand] + place(&a->q, n, h), a->q.step,
		    keep(r, &a->k), dk, a->k.step);
}

static void attention_backward(const struct pare_run *r)
{
	const struct pare_attention *a = r->args;

	for (int k = 0; k < r->n_in; k++)
		if (r->grad_in[k] != NULL && !r->accumulate[k] && !a->covered[k])
			memset(r->grad_in[k], 0, pare_shape_elems(r->in_shape[k]) * sizeof(float));
	for (int64_t n = 0; n < rows_of(r); n++)
		for (int64_t h = 0; h < a->heads; h++)
			head_backward(r, n, h, r->state + (size_t)(n * a->heads + h) * scores(a), r->scratch);
}

/* Rows of the batch go their own way: that is all that anybody asks of a node that planning made. */
static void attention_couple(const struct pare_node_view *v, struct pare_ties *t)
{
	for (int k = 0; k < v->n_in; k++)
		if (v->in[k] != NULL && v->in[k]->batch != 0)
			pare_tie_add(t, (struct pare_tie){.kind = PARE_TIE_SAME, .a = k, .a_axis = 0, .b = PARE_OUT(0), .b_axis = 0});
}

static int64_t attention_macs(const struct pare_node_view *v)
{
	const struct pare_attention *a = v->args;

	return a->heads * a->queries * a->keys * (a->width + a->depth);
}

const struct pare_op pare_op_attention = {.domain = "", .name = "Attention", .min_in = 1, .max_in = PARE_ATTENTION_MAX_IN, .min_out = 1, .max_out = 1,
    .args_size = sizeof(struct pare_attention), .grad_uses_in = PARE_BIT(0) | PARE_BIT(1) | PARE_BIT(2), .scratch = attention_scratch,
    .state = attention_state, .forward = attention_forward, .backward = attention_backward, .couple = attention_couple, .macs = attention_macs};
