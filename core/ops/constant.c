/* Constant: a tensor in an attribute. Its value is known before anything runs, so there is no forward; shapes read it at
 * plan time, and a float constant is placed like an initializer, but never trained. */
#include "core/ops/ops_priv.h"

struct constant_args {
	const struct pare_tensor *value;
	float value_float;
	int64_t value_int;
	struct pare_floats value_floats;
	struct pare_ints value_ints;
};

static enum pare_code constant_tensor(const struct pare_infer *c, const struct pare_tensor *t, struct pare_err *err)
{
	struct pare_known *k = &c->out_known[0];
	enum pare_code code;

	c->out[0].n_dims = t->n_dims;
	for (int i = 0; i < t->n_dims; i++)
		c->out[0].dims[i] = t->dims[i];
	c->out_dtype[0] = pare_dtype_computed(t->dtype);
	k->n = t->n_elems;
	if (c->out_dtype[0] == PARE_DT_FLOAT) {
		float *v = pare_arena_array(c->arena, t->n_elems + 1, sizeof *v);

		code = v != NULL ? pare_tensor_read_f32(t, v, err) : pare_err_nomem(err, t->n_elems * sizeof *v);
		k->f32 = v;
	} else {
		int64_t *v = pare_arena_array(c->arena, t->n_elems + 1, sizeof *v);

		code = v != NULL ? pare_tensor_read_i64(t, v, err) : pare_err_nomem(err, t->n_elems * sizeof *v);
		k->i64 = v;
	}
	return code == PARE_OK ? PARE_OK : pare_err_at(err, "%s", c->where);
}

static void constant_vector(const struct pare_infer *c, int dtype, int n_dims, size_t n)
{
	c->out[0] = (struct pare_shape){.n_dims = n_dims, .dims = {(int64_t)n}};
	c->out_dtype[0] = dtype;
	c->out_known[0].n = n;
}

static enum pare_code constant_infer(const struct pare_infer *c, struct pare_err *err)
{
	const struct constant_args *a = c->args;

	if (c->node->n_attrs != 1)
		return pare_err_set(err, PARE_E_MODEL, c->where, "a Constant has one attribute with its value, this one has %d", c->node->n_attrs);
	if (a->value != NULL)
		return constant_tensor(c, a->value, err);
	if (a->value_floats.v != NULL) {
		constant_vector(c, PARE_DT_FLOAT, 1, a->value_floats.n);
		c->out_known[0].f32 = a->value_floats.v;
	} else if (a->value_ints.v != NULL) {
		constant_vector(c, PARE_DT_INT64, 1, a->value_ints.n);
		c->out_known[0].i64 = a->value_ints.v;
	} else if (c->node->attrs[0].type == PARE_ATTR_FLOAT) {
		constant_vector(c, PARE_DT_FLOAT, 0, 1);
		c->out_known[0].f32 = &a->value_float;
	} else {
		constant_vector(c, PARE_DT_INT64, 0, 1);
		c->out_known[0].i64 = &a->value_int;
	}
	return PARE_OK;
}

static void constant_couple(const struct pare_node_view *v, struct pare_ties *t)
{
	(void)v;
	(void)t;
}

static const struct pare_arg_spec constant_arg_table[] = {
    {.name = "value", .kind = PARE_ARG_TENSOR, .offset = offsetof(struct constant_args, value)},
    {.name = "value_float", .kind = PARE_ARG_FLOAT, .offset = offsetof(struct constant_args, value_float)},
    {.name = "value_int", .kind = PARE_ARG_INT, .offset = offsetof(struct constant_args, value_int)},
    {.name = "value_floats", .kind = PARE_ARG_FLOATS, .offset = offsetof(struct constant_args, value_floats)},
    {.name = "value_ints", .kind = PARE_ARG_INTS, .offset = offsetof(struct constant_args, value_ints)},
    {.name = NULL},
};

const struct pare_op pare_op_constant_table[] = {
    {.domain = "", .name = "Constant", .since = PARE_OPSET_MIN, .until = PARE_OPSET_MAX, .min_in = 0, .max_in = 0, .min_out = 1, .max_out = 1,
     .args_size = sizeof(struct constant_args), .args = constant_arg_table, .infer = constant_infer, .couple = constant_couple,
     .no_gradient = "it has no inputs"},
    {.name = NULL},
};
