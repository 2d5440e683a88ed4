/* The operator table is the concatenation of the family tables; a family file is the only place to touch for a new
 * operator of its kind. Lookup is a linear scan over a few hundred rows, a few times per node when a model is opened and planned: a
 * microsecond each. Rows of one operator must not overlap in opset range, and a test walks the table to hold that.
 *
 * A row serves the opsets [since, until] of the model's default domain, which is not the version in which ONNX last
 * changed the operator: Softmax has one row up to 12 and one from 13, because its meaning changed there. */
#include <string.h>

#include "core/ops/ops_priv.h"

static const struct pare_op *const family_table[] = {
    pare_op_linear_table,
    pare_op_elementwise_table,
    pare_op_activation_table,
    pare_op_unary_table,
    pare_op_variadic_table,
    pare_op_select_table,
    pare_op_movement_table,
    pare_op_slice_table,
    pare_op_gather_table,
    pare_op_generate_table,
    pare_op_reduce_table,
    pare_op_pick_table,
    pare_op_shape_table,
    pare_op_regular_table,
    pare_op_constant_table,
    pare_op_conv_table,
    pare_op_pool_table,
    pare_op_norm_table,
    pare_op_recurrent_table,
    pare_op_einsum_table,
    pare_op_quantize_table,
    pare_op_integer_table,
    pare_op_resize_table,
    pare_op_scatter_table,
    pare_op_axis_table,
    pare_op_moments_table,
    pare_op_ml_table,
};
#define N_FAMILIES (sizeof family_table / sizeof family_table[0])

const struct pare_op *pare_op_at(size_t i)
{
	for (size_t f = 0; f < N_FAMILIES; f++)
		for (const struct pare_op *op = family_table[f]; op->name != NULL; op++)
			if (i-- == 0)
				return op;
	return NULL;
}

const struct pare_op *pare_op_find(const char *domain, const char *name, int64_t opset)
{
	for (size_t f = 0; f < N_FAMILIES; f++)
		for (const struct pare_op *op = family_table[f]; op->name != NULL; op++)
			if (opset >= op->since && opset <= op->until && strcmp(op->name, name) == 0 && strcmp(op->domain, domain) == 0)
				return op;
	return NULL;
}

void pare_tie_add(struct pare_ties *t, struct pare_tie tie)
{
	if (t->n == PARE_MAX_TIES)
		t->full = true;
	else
		t->tie[t->n++] = tie;
}

void pare_couple_same(const struct pare_node_view *v, struct pare_ties *out)
{
	for (int i = 0; i < v->in[0]->n_dims; i++)
		pare_tie_add(out, (struct pare_tie){.kind = PARE_TIE_SAME, .a = 0, .a_axis = i, .b = PARE_OUT(0), .b_axis = i});
}

int64_t pare_resize_left(const struct pare_resize *r, int operand, int axis, int64_t first, int64_t n)
{
	const uint8_t *gone = r->gone(r, operand, axis);
	int64_t left = n;

	for (int64_t i = first; gone != NULL && i < first + n; i++)
		left -= gone[i] != 0;
	return left;
}

void pare_resize_target(const struct pare_resize *r, int k)
{
	r->set_input(r, k, r->out[0]->dims, (size_t)r->out[0]->n_dims, r->out[0]->batch);
}

enum pare_code pare_infer_same(const struct pare_infer *c, struct pare_err *err)
{
	(void)err;
	c->out[0] = c->in[0];
	c->out_dtype[0] = c->in_dtype[0];
	return PARE_OK;
}

void pare_backward_zero(const struct pare_run *r)
{
	for (int k = 0; k < r->n_in; k++)
		if (r->grad_in[k] != NULL && !r->accumulate[k])
			memset(r->grad_in[k], 0, pare_shape_elems(r->in_shape[k]) * sizeof(float));
}

enum pare_code pare_infer_mismatch(const struct pare_infer *c, int a, int b, const char *why, struct pare_err *err)
{
	char ta[PARE_SHAPE_TEXT], tb[PARE_SHAPE_TEXT];

	return pare_err_set(err, PARE_E_SHAPE, c->where, "shapes %s and %s do not fit: %s", pare_shape_text(&c->in[a], ta),
	    pare_shape_text(&c->in[b], tb), why);
}

int pare_axis(int64_t axis, int n_dims, bool one_past)
{
	int limit = n_dims + (one_past ? 1 : 0);

	if (axis < 0)
		axis += n_dims;
	return axis >= 0 && axis < limit ? (int)axis : -1;
}
