/* Numbers of formulas that a file holds as initializers, made Constants: an initializer of floats is trained, and to train these would bend the formula. PyTorch's newer
 * exporter writes all that it has folded so. Four kinds are told from parameters, each by what no parameter is:
 *
 *   - the scale of ones and the bias of zeros of the InstanceNormalization that a GroupNorm is written with, between two Reshapes; its own come behind it
 *   - one number by which what is multiplied next is scaled: Mul(q, s), Mul(k, s) -> MatMul, as attention is spelt out
 *   - a vector in equal steps or of equal quotients (frequencies of a time's embedding, centres of a kernel) that is only computed with element by element, and is no layer's bias
 *   - a matrix of zeros and ones, both of them, likewise (an identity that is added to an adjacency, a mask that is multiplied)
 *
 * What is a number of rank 0 is no parameter anyhow, and masks that shut out are found where shapes are (shape_infer.c). Values in other files are not looked at:
 * exporters keep small tensors in the model. */
#include <math.h>
#include <string.h>

#include "core/graph/lift_priv.h"

#define MOST ((size_t)1 << 16) /* elements */
#define FEWEST 4               /* of a progression */

enum use { USE_GROUPS = 1, USE_FACTOR = 2, USE_ELEMENTS = 4, USE_OTHER = 8 };

struct looker {
	const struct pare_graph *g;
	struct pare_rewrite *rw;
	int32_t *n_readers, *n_products, *n_shapes; /* by value: nodes that read it, as an operand of a product, to give it another shape */
	uint8_t *uses;     /* by value: enum use, all of them */
	const char **name; /* by value: of the Constant that it has become */
	size_t *n;
	struct pare_err *err;
};

static bool is_op(const struct pare_node *n, const char *name)
{
	return n->domain[0] == '\0' && strcmp(n->op_type, name) == 0;
}

static const struct pare_tensor *candidate(const struct looker *l, int32_t v)
{
	const struct pare_value *value = &l->g->values[v];
	const struct pare_tensor *t = value->init;

	if (t == NULL || value->is_input || value->is_output || t->external || l->rw->drop_init[v] || l->rw->resized[v] != NULL)
		return NULL;
	return pare_dtype_computed(t->dtype) == PARE_DT_FLOAT && t->n_dims > 0 && t->n_elems > 0 && t->n_elems <= MOST ? t : NULL;
}

/* --- uses */

static bool is_vector(const struct pare_tensor *t)
{
	for (int i = 0; i < t->n_dims; i++)
		if ((size_t)t->dims[i] == t->n_elems)
			return true;
	return false;
}

/* A layer's bias, whatever it holds. */
static bool is_bias(const struct looker *l, const struct pare_node *n, int k)
{
	return is_op(n, "Add") && n->n_in == 2 && is_vector(l->g->values[n->in[k]].init) && pare_lift_made_by(l->g, n->in[1 - k], "MatMul") != NULL;
}

static bool norms_groups(const struct looker *l, const struct pare_node *n)
{
	return is_op(n, "InstanceNormalization") && n->n_in == 3 && n->in[1] >= 0 && n->in[2] >= 0 && n->in[1] != n->in[2] && n->n_out == 1 && n->out[0] >= 0 &&
	    pare_lift_made_by(l->g, n->in[0], "Reshape") != NULL && l->n_readers[n->out[0]] > 0 && l->n_shapes[n->out[0]] == l->n_readers[n->out[0]];
}

static enum use use_of(const struct looker *l, const struct pare_node *n, int k)
{
	const struct pare_tensor *t = l->g->values[n->in[k]].init;
	int32_t out = n->n_out == 1 ? n->out[0] : -1;

	if (k > 0 && norms_groups(l, n))
		return USE_GROUPS;
	if (is_op(n, "Mul") && t->n_elems == 1 && out >= 0 && l->n_readers[out] > 0 && l->n_products[out] == l->n_readers[out])
		return USE_FACTOR;
	if (is_bias(l, n, k))
		return USE_OTHER;
	return is_op(n, "Add") || is_op(n, "Sub") || is_op(n, "Mul") || is_op(n, "Div") ? USE_ELEMENTS : USE_OTHER;
}

/* False where the file holds bodies, which may read any value. */
static bool look_at_readers(struct looker *l)
{
	for (int32_t i = 0; i < l->g->n_nodes; i++) {
		const struct pare_node *n = &l->g->nodes[i];

		for (int k = 0; k < n->n_attrs; k++)
			if (n->attrs[k].type == PARE_ATTR_GRAPH || n->attrs[k].type == PARE_ATTR_OTHER)
				return false;
		for (int k = 0; k < n->n_in; k++) {
			if (n->in[k] < 0)
				continue;
			l->n_readers[n->in[k]]++;
			l->n_products[n->in[k]] += is_op(n, "MatMul");
			l->n_shapes[n->in[k]] += k == 0 && is_op(n, "Reshape");
		}
	}
	for (int32_t i = 0; i < l->g->n_nodes; i++)
		for (int k = 0; k < l->g->nodes[i].n_in; k++)
			if (l->g->nodes[i].in[k] >= 0 && candidate(l, l->g->nodes[i].in[k]) != NULL)
				l->uses[l->g->nodes[i].in[k]] |= (uint8_t)use_of(l, &l->g->nodes[i], k);
	return true;
}

/* --- values */

static bool is_all(const float *v, size_t n, float number)
{
	for (size_t i = 0; i < n; i++)
		if (!(v[i] >= number && v[i] <= number))
			return false;
	return true;
}

/* To the digits that float32 has of each. */
static bool is_progression(const float *v, size_t n)
{
	bool sums = true, products = true;
	double step = ((double)v[n - 1] - (double)v[0]) / (double)(n - 1), most = fmax(fabs((double)v[0]), fabs((double)v[n - 1]));
	double quotient = (double)v[1] / (double)v[0];

	for (size_t i = 0; i < n; i++) {
		sums &= fabs((double)v[0] + (double)i * step - (double)v[i]) <= 1e-6 * most;
		products &= i == 0 || (v[i - 1] * v[i] > 0 && fabs((double)v[i] / (double)v[i - 1] / quotient - 1) <= 1e-5);
	}
	return (sums && fabs(step) > 1e-6 * most) || (products && fabs(quotient - 1) > 1e-5);
}

static bool is_of_two(const float *v, size_t n)
{
	size_t n_ones = 0;

	for (size_t i = 0; i < n; i++) {
		if (!is_all(v + i, 1, 0) && !is_all(v + i, 1, 1))
			return false;
		n_ones += v[i] > 0;
	}
	return n_ones > 0 && n_ones < n;
}

static bool is_formula(enum use use, int k, const struct pare_tensor *t, const float *v)
{
	if (use == USE_GROUPS)
		return is_all(v, t->n_elems, k == 1 ? 1.0f : 0.0f);
	if (use == USE_FACTOR)
		return true;
	return is_vector(t) ? t->n_elems >= FEWEST && is_progression(v, t->n_elems) : is_of_two(v, t->n_elems);
}

/* --- Constants */

/* Norms get one each: what is shared is pruned together. */
static enum pare_code replace(struct looker *l, int32_t node, int k, enum use use)
{
	int32_t v = l->g->nodes[node].in[k];
	struct pare_new_node n = {.before = node, .op = "Constant", .constant = l->g->values[v].init};
	enum pare_code code = PARE_OK;

	if (l->name[v] == NULL || use == USE_GROUPS) {
		n.out = l->name[v] = pare_rewrite_name(l->rw, l->g, l->g->values[v].name);
		code = n.out != NULL ? pare_rewrite_add_node(l->rw, &n, l->err) : pare_err_nomem(l->err, 0);
		*l->n += 1;
	}
	l->rw->drop_init[v] = --l->n_readers[v] == 0;
	return code == PARE_OK ? pare_rewrite_add_edit(l->rw, &(struct pare_node_edit){.node = node, .input = k, .name = l->name[v]}, l->err) : code;
}

static enum pare_code look_at(struct looker *l, int32_t node, int k)
{
	int32_t v = l->g->nodes[node].in[k];
	const struct pare_tensor *t = candidate(l, v);
	enum use use = t != NULL ? use_of(l, &l->g->nodes[node], k) : USE_OTHER;
	float *values;
	bool is;

	/* those of groups are told read by read, the others by all that read them */
	if (use == USE_OTHER || (use != USE_GROUPS && l->uses[v] != use))
		return PARE_OK;
	values = pare_alloc(t->n_elems * sizeof *values);
	if (values == NULL)
		return pare_err_nomem(l->err, t->n_elems * sizeof *values);
	is = (use != USE_GROUPS && l->name[v] != NULL) || (pare_tensor_read_f32(t, values, NULL) == PARE_OK && is_formula(use, k, t, values));
	pare_free(values);
	return is ? replace(l, node, k, use) : PARE_OK;
}

enum pare_code pare_lift_constants(const struct pare_model *m, struct pare_rewrite *rw, size_t *n, struct pare_err *err)
{
	const struct pare_graph *g = &m->graph;
	size_t n_values = (size_t)g->n_values + 1;
	struct looker l = {.g = g, .rw = rw, .n = n, .err = err, .n_readers = pare_calloc(n_values, sizeof *l.n_readers), .n_products = pare_calloc(n_values, sizeof *l.n_products),
	    .n_shapes = pare_calloc(n_values, sizeof *l.n_shapes), .uses = pare_calloc(n_values, sizeof *l.uses), .name = pare_calloc(n_values, sizeof *l.name)};
	enum pare_code code = PARE_OK;

	if (l.n_readers == NULL || l.n_products == NULL || l.n_shapes == NULL || l.uses == NULL || l.name == NULL)
		code = pare_err_nomem(err, n_values * sizeof *l.n_readers);
	else if (look_at_readers(&l))
		for (int32_t i = 0; i < g->n_nodes && code == PARE_OK; i++)
			for (int k = 0; k < g->nodes[i].n_in && code == PARE_OK && !rw->drop_node[i]; k++)
				code = g->nodes[i].in[k] >= 0 ? look_at(&l, i, k) : PARE_OK;
	pare_free(l.n_readers);
	pare_free(l.n_products);
	pare_free(l.n_shapes);
	pare_free(l.uses);
	pare_free(l.name);
	return code;
}
