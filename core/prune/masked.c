/* What stands at an index of an axis once every weight of its class is zero.
 *
 * To remove it is the same as to mask it only if nobody hears of it any more. Who multiplies it with weights does not, as they are zero, too. But
 * where two computed values are multiplied and summed, or one is summed, one has to be zero there, and it is not if an operator on the way makes
 * something else of zero: Sigmoid, or the 1 in the elu(q) + 1 of attention without a softmax. So values are followed from the weights on. Operators
 * that work element by element are run on what their operands hold; with an operand that may hold anything, on some numbers, which if
 * they all lead to one (0 times anything) is taken for the answer. What others make is taken for zero if anything that goes into it is: products, sums, scaled norms.
 * Rejected: a mark on each row, as the limits of Clip and the exponent of Pow decide, too. */
#include <math.h>
#include <string.h>

#include "core/graph/graph_priv.h"
#include "core/graph/net_view.h"
#include "core/prune/groups_priv.h"

#define MAX_OPERANDS 4
#define N_SAMPLES 5
static const float sample_table[N_SAMPLES] = {-1.7f, 0.4f, 2.3f, -3e18f, 3e18f}; /* the last two are beyond any bound */

struct operand {
	bool left_out;
	float value; /* NAN: any */
};

static float *slot(float *masked, int32_t value, int axis)
{
	return &masked[(size_t)value * PARE_MAX_DIMS + (size_t)axis];
}

static bool is_elementwise(const struct pare_net_step *s)
{
	return s->op->layout == pare_layout_elementwise && s->op->moves_in == 0 && s->op->forward != NULL && s->node->n_out == 1 && s->node->n_in <= MAX_OPERANDS;
}

/* The axis of operand k that is tied to that axis of an output; -1: none. */
static int tied_axis(const struct pare_ties *t, int k, int out, int out_axis)
{
	for (int i = 0; i < t->n; i++) {
		const struct pare_tie *e = &t->tie[i];

		if (e->kind != PARE_TIE_SAME && e->kind != PARE_TIE_SPREAD && e->kind != PARE_TIE_PART)
			continue;
		if (e->a == k && e->b == PARE_OUT(out) && e->b_axis == out_axis)
			return e->a_axis;
		if (e->b == k && e->a == PARE_OUT(out) && e->a_axis == out_axis)
			return e->b_axis;
	}
	return -1;
}

static float constant_of(const struct pare_net *net, int32_t value)
{
	const struct pare_known *known = pare_net_known(net, value);
	const float *f = pare_net_is_constant(net, value) && pare_net_param_of(net, value) < 0 && pare_shape_elems(pare_net_shape_of(net, value)) == 1 ?
	    pare_net_constant_f32(net, value) : NULL;

	if (f != NULL)
		return f[0];
	return known->i64 != NULL && known->n == 1 && known->batch == NULL ? (float)known->i64[0] : NAN;
}

static float run_once(const struct pare_net_step *s, const float x[MAX_OPERANDS], const struct operand o[MAX_OPERANDS])
{
	static const struct pare_shape one = {.n_dims = 1, .dims = {1}};
	const struct pare_shape *in_shape[MAX_OPERANDS], *out_shape[1] = {&one};
	const float *in[MAX_OPERANDS];
	float y = NAN, *out[1] = {&y};
	struct pare_run r = {.args = s->args, .n_in = s->node->n_in, .n_out = 1, .in = in, .out = out, .in_shape = in_shape, .out_shape = out_shape, .mode = PARE_MODE_INFER};

	for (int k = 0; k < MAX_OPERANDS; k++) {
		in[k] = o[k].left_out || pare_op_has(s->op->const_in, k) ? NULL : &x[k];
		in_shape[k] = o[k].left_out ? NULL : &one;
	}
	s->op->forward(&r);
	return y;
}

/* The one result whatever the unknown operands are; NAN: there are several. */
static float run_all(const struct pare_net_step *s, const struct operand o[MAX_OPERANDS])
{
	float x[MAX_OPERANDS], first = 0;
	int n = 1;

	for (int k = 0; k < MAX_OPERANDS; k++)
		n *= isnan(o[k].value) ? N_SAMPLES : 1;
	for (int i = 0; i < n; i++) {
		int rest = i;
		float y;

		for (int k = 0; k < MAX_OPERANDS; k++) {
			x[k] = isnan(o[k].value) ? sample_table[rest % N_SAMPLES] : o[k].value;
			rest /= isnan(o[k].value) ? N_SAMPLES : 1;
		}
		y = run_once(s, x, o);
		if (!isfinite(y) || (i > 0 && (y < first || y > first)))
			return NAN;
		first = y;
	}
	return first;
}

static float by_element(const struct pare_net *net, const struct pare_net_step *s, const struct pare_ties *t, int axis, float *masked)
{
	struct operand o[MAX_OPERANDS];

	for (int k = 0; k < MAX_OPERANDS; k++) {
		int from = k < s->node->n_in ? tied_axis(t, k, 0, axis) : -1;

		o[k] = (struct operand){.left_out = k >= s->node->n_in || s->node->in[k] < 0};
		if (!o[k].left_out)
			o[k].value = from >= 0 ? *slot(masked, s->node->in[k], from) : constant_of(net, s->node->in[k]);
	}
	return run_all(s, o);
}

/* What is moved is what it was; if it comes from several, what is not zero counts. Else all must be something for the result to be. */
static float by_ties(const struct pare_net_step *s, const struct pare_ties *t, int out, int axis, float *masked)
{
	bool moves = s->op->moves_in != 0, any_zero = false;
	float found = 0;

	for (int k = 0; k < s->node->n_in; k++) {
		int from = s->node->in[k] >= 0 ? tied_axis(t, k, out, axis) : -1;
		float value = from >= 0 ? *slot(masked, s->node->in[k], from) : 0;

		if (from < 0)
			continue;
		if (value < 0 || value > 0 || isnan(value))
			found = moves ? value : NAN;
		else
			any_zero = true;
	}
	return any_zero && !moves ? 0 : found;
}

static bool is_softmax(const struct pare_op *op)
{
	return op->output_hint == PARE_HINT_PROBABILITY || op->output_hint == PARE_HINT_LOG_PROBABILITY;
}

enum pare_code pare_masked_values(const struct pare_net *net, const struct pare_graph *g, const atomic_bool *cancel, float *masked, struct pare_err *err)
{
	memset(masked, 0, (size_t)g->n_values * PARE_MAX_DIMS * sizeof *masked);
	for (int32_t v = 0; v < g->n_values; v++)
		for (int axis = 0; axis < PARE_MAX_DIMS && pare_net_param_of(net, v) < 0 && pare_net_is_constant(net, v); axis++)
			*slot(masked, v, axis) = NAN;
	for (int i = 0; i < pare_net_n_steps(net); i++) {
		struct pare_net_step s;
		struct pare_ties t;
		enum pare_code code = pare_err_canceled(err, cancel);

		if (code != PARE_OK)
			return code;
		pare_net_step_at(net, i, &s);
		pare_net_step_ties(net, i, &t);
		for (int out = 0; out < s.node->n_out && !t.full; out++) {
			const struct pare_shape *y = s.node->out[out] >= 0 ? pare_net_shape_of(net, s.node->out[out]) : NULL;

			for (int axis = 0; y != NULL && axis < y->n_dims; axis++)
				*slot(masked, s.node->out[out], axis) = is_softmax(s.op) ? NAN : is_elementwise(&s) ? by_element(net, &s, &t, axis, masked) :
				    by_ties(&s, &t, out, axis, masked);
		}
	}
	return PARE_OK;
}
