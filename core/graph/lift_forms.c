/* A model that was exported as it trains, in the form in which it is served. What a pass does is the caller's word here (net.h), so nothing else
 * changes for training and figures; but a runtime obeys the file, and the product must say there what its report says.
 *
 * Dropout loses its training_mode, and so does BatchNormalization of data, with the outputs that nobody reads. (Of weights, which standardized ones are
 * written as, it means what it says.)
 *
 * What a net drops at random without saying Dropout (stochastic depth) is written as
 *
 *   Cast(U < p)      Floor(U + p)      Bernoulli(p)      with U = RandomUniformLike(...), of one number for each row or of the data's size
 *
 * Each is 1 with probability p, else 0, and the net divides it, or what it multiplies, by p. It becomes Dropout(p, 1 - p) of that size: the same where a net
 * trains, by the job's own seed, and p everywhere else, which divided by p is what the exporter's evaluation mode gives. Rejected: to run the random operators themselves. They are random in evaluation, too, so no figure would hold, and neither would a proof.
 *
 * A file with a fixed batch draws for so many rows; that number is then read off the first input. Random numbers of any other use stay, and are
 * refused by name where they must run. */
#include <string.h>

#include "core/graph/lift_priv.h"

#define MIN_OPSET 12 /* from there on the ratio of Dropout is an input */

struct drop {
	const struct pare_value *drawn; /* the random numbers: what the file says of their size */
	int32_t like;                   /* a value of that size; -1: see shape */
	const struct pare_attr *shape;
	double kept; /* the probability of 1 */
	int64_t dtype; /* of what is 0 or 1 */
	int32_t gone[2]; /* nodes that only led to it; -1: none */
};

static bool read_number(const struct pare_graph *g, int32_t v, double *out)
{
	const struct pare_tensor *t = pare_lift_tensor(g, v);
	struct pare_err err;
	float is;

	if (t == NULL || t->n_elems != 1 || pare_dtype_computed(t->dtype) != PARE_DT_FLOAT || pare_tensor_read_f32(t, &is, &err) != PARE_OK)
		return false;
	*out = (double)is;
	return true;
}

static bool has_float(const struct pare_node *n, const char *name, float want)
{
	const struct pare_attr *a = pare_node_attr(n, name);

	return a == NULL || (a->type == PARE_ATTR_FLOAT && a->f >= want && a->f <= want);
}

/* Numbers between 0 and 1 that nobody else reads. */
static bool read_uniform(const struct pare_graph *g, const int32_t *n_readers, int32_t v, struct drop *d)
{
	const struct pare_node *n = v >= 0 && g->values[v].producer >= 0 ? &g->nodes[g->values[v].producer] : NULL;

	if (n == NULL || n->domain[0] != '\0' || n_readers[v] != 1 || !has_float(n, "low", 0) || !has_float(n, "high", 1))
		return false;
	d->drawn = &g->values[v];
	d->gone[0] = g->values[v].producer;
	d->shape = pare_node_attr(n, "shape");
	d->like = n->n_in == 1 ? n->in[0] : -1;
	if (strcmp(n->op_type, "RandomUniformLike") == 0)
		return d->like >= 0;
	return strcmp(n->op_type, "RandomUniform") == 0 && d->shape != NULL && d->shape->type == PARE_ATTR_INTS && d->shape->n > 0 && d->shape->n <= PARE_MAX_DIMS;
}

/* U < p and its like: below or above a number, on either side. */
static bool read_compared(const struct pare_graph *g, const int32_t *n_readers, const struct pare_node *cast, struct drop *d)
{
	static const struct {
		const char *op;
		bool below;
	} op_table[] = {{"Less", true}, {"LessOrEqual", true}, {"Greater", false}, {"GreaterOrEqual", false}};
	const struct pare_node *n = NULL;
	bool below = false;

	for (size_t i = 0; i < sizeof op_table / sizeof op_table[0] && n == NULL; i++) {
		n = pare_lift_made_by(g, cast->in[0], op_table[i].op);
		below = op_table[i].below;
	}
	if (n == NULL || n->n_in != 2 || n_readers[cast->in[0]] != 1)
		return false;
	for (int k = 0; k < 2; k++)
		if (read_uniform(g, n_readers, n->in[k], d) && read_number(g, n->in[1 - k], &d->kept)) {
			d->gone[1] = g->values[cast->in[0]].producer;
			d->kept = below == (k == 0) ? d->kept : 1 - d->kept;
			d->dtype = pare_node_int(cast, "to", PARE_DT_UNDEFINED);
			return true;
		}
	return false;
}

/* Floor(U + p) */
static bool read_rounded(const struct pare_graph *g, const int32_t *n_readers, const struct pare_node *round, struct drop *d)
{
	const struct pare_node *n = pare_lift_made_by(g, round->in[0], "Add");

	if (n == NULL || n->n_in != 2 || n_readers[round->in[0]] != 1)
		return false;
	for (int k = 0; k < 2; k++)
		if (read_uniform(g, n_readers, n->in[k], d) && read_number(g, n->in[1 - k], &d->kept)) {
			d->gone[1] = g->values[round->in[0]].producer;
			d->dtype = pare_lift_tensor(g, n->in[1 - k])->dtype;
			return true;
		}
	return false;
}

/* Bernoulli of one number throughout, spread by a shape. */
static bool read_bernoulli(const struct pare_graph *g, const struct pare_node *n, struct drop *d)
{
	const struct pare_node *fill = pare_lift_made_by(g, n->in[0], "ConstantOfShape"), *expand = pare_lift_made_by(g, n->in[0], "Expand");
	const struct pare_attr *value = fill != NULL ? pare_node_attr(fill, "value") : NULL;
	const struct pare_tensor *t = expand != NULL ? pare_lift_tensor(g, expand->in[0]) : value != NULL ? value->t : NULL;
	struct pare_err err;
	float p;

	if (t == NULL || t->n_elems != 1 || pare_dtype_computed(t->dtype) != PARE_DT_FLOAT || pare_tensor_read_f32(t, &p, &err) != PARE_OK)
		return false;
	d->drawn = &g->values[n->out[0]];
	d->like = n->in[0];
	d->kept = (double)p;
	d->dtype = pare_node_int(n, "dtype", t->dtype);
	return true;
}

static bool read_drop(const struct pare_graph *g, const int32_t *n_readers, const struct pare_node *n, struct drop *d)
{
	bool is = false;

	if (n->domain[0] != '\0' || n->n_in != 1 || n->n_out != 1 || n->in[0] < 0 || n->out[0] < 0)
		return false;
	if (strcmp(n->op_type, "Cast") == 0)
		is = read_compared(g, n_readers, n, d);
	else if (strcmp(n->op_type, "Floor") == 0)
		is = read_rounded(g, n_readers, n, d);
	else if (strcmp(n->op_type, "Bernoulli") == 0)
		is = read_bernoulli(g, n, d);
	return is && d->kept > 0 && d->kept <= 1 && pare_dtype_computed((int)d->dtype) == PARE_DT_FLOAT;
}

/* The size as the file states it. */
static int read_size(const struct pare_graph *g, const struct drop *d, int64_t dims[PARE_MAX_DIMS])
{
	const struct pare_tensor *t = pare_lift_tensor(g, d->like);
	const struct pare_node *fill = pare_lift_made_by(g, d->like, "ConstantOfShape"), *expand = pare_lift_made_by(g, d->like, "Expand");
	const struct pare_tensor *one = expand != NULL ? pare_lift_tensor(g, expand->in[0]) : NULL;
	int32_t shape = fill != NULL ? fill->in[0] : one != NULL && one->n_elems == 1 ? expand->in[1] : -1;
	size_t spread = pare_lift_integers(g, shape, dims, PARE_MAX_DIMS);
	int n = d->like < 0 ? (int)d->shape->n : t != NULL ? t->n_dims : d->drawn->n_dims;

	if (spread > 0)
		return (int)spread;
	for (int i = 0; i < n; i++)
		dims[i] = d->like < 0 ? d->shape->ints[i] : t != NULL ? t->dims[i] : d->drawn->dims[i];
	return n;
}

static const char *write_size(struct pare_lift_writer *w, const struct drop *d)
{
	const struct pare_graph *g = w->g;
	const struct pare_value *x = g->n_inputs > 0 ? &g->values[g->inputs[0]] : NULL;
	int64_t dims[PARE_MAX_DIMS], first = 0;
	int n = read_size(g, d, dims);
	bool all = n > 0;
	const char *rows;

	for (int i = 0; i < n; i++)
		all &= dims[i] > 0;
	if (all && x != NULL && x->n_dims > 0 && x->dims[0] > 0 && dims[0] == x->dims[0]) {
		rows = pare_lift_put(w, (struct pare_new_node){.op = "Shape", .in = {x->name}}, false);
		rows = pare_lift_put(w, (struct pare_new_node){.op = "Gather", .in = {rows, pare_lift_ints(w, &first, 1)}}, false);
		if (n == 1)
			return rows;
		return pare_lift_put(w, (struct pare_new_node){.op = "Concat", .in = {rows, pare_lift_ints(w, dims + 1, n - 1)}, .attr = {{.name = "axis"}}}, false);
	}
	if (d->like < 0)
		return pare_lift_ints(w, dims, n);
	return pare_lift_put(w, (struct pare_new_node){.op = "Shape", .in = {g->values[d->like].name}}, false);
}

static const char *write_number(struct pare_lift_writer *w, double v)
{
	float is = (float)v;

	return pare_lift_init(w, (struct pare_new_init){.dtype = PARE_DT_FLOAT, .bytes = &is, .n_bytes = sizeof is});
}

static void write_drop(struct pare_lift_writer *w, const struct drop *d)
{
	const char *p = write_number(w, d->kept), *spread = pare_lift_put(w, (struct pare_new_node){.op = "Expand", .in = {p, write_size(w, d)}}, false);
	bool cast = d->dtype != PARE_DT_FLOAT;

	spread = pare_lift_put(w, (struct pare_new_node){.op = "Dropout", .in = {spread, write_number(w, 1 - d->kept)}}, !cast);
	if (cast)
		(void)pare_lift_put(w, (struct pare_new_node){.op = "Cast", .in = {spread}, .attr = {{.name = "to", .value = d->dtype}}}, true);
}

/* Values that depend on what is put into the net. */
static void follow_inputs(const struct pare_graph *g, bool *data)
{
	for (int i = 0; i < g->n_inputs; i++)
		data[g->inputs[i]] = true;
	for (int32_t i = 0; i < g->n_nodes; i++) {
		const struct pare_node *n = &g->nodes[i];
		bool any = false;

		for (int k = 0; k < n->n_in; k++)
			any |= n->in[k] >= 0 && data[n->in[k]];
		for (int k = 0; k < n->n_out; k++)
			if (n->out[k] >= 0)
				data[n->out[k]] = any;
	}
}

static bool reads_further(const struct pare_graph *g, const int32_t *n_readers, const struct pare_node *n)
{
	for (int k = 1; k < n->n_out; k++)
		if (n->out[k] >= 0 && (n_readers[n->out[k]] > 0 || g->values[n->out[k]].is_output))
			return true;
	return false;
}

/* False: the node is in no form of training, or must stay in it. */
static bool write_served(struct pare_lift_writer *w, const int32_t *n_readers, const bool *data)
{
	const struct pare_node *n = &w->g->nodes[w->node];
	const struct pare_tensor *mode = n->n_in == 3 ? pare_lift_tensor(w->g, n->in[2]) : NULL;
	struct pare_new_node served = {.op = n->op_type, .like = n};
	struct pare_err err;
	int64_t on;
	int n_in;

	if (n->domain[0] != '\0' || n->n_out < 1 || n->n_in < 1 || n->out[0] < 0 || reads_further(w->g, n_readers, n))
		return false;
	if (strcmp(n->op_type, "Dropout") == 0 && mode != NULL && mode->n_elems == 1 && pare_tensor_read_i64(mode, &on, &err) == PARE_OK && on != 0)
		n_in = 1 + (n->in[1] >= 0);
	else if (strcmp(n->op_type, "BatchNormalization") == 0 && n->n_in == 5 && pare_node_int(n, "training_mode", 0) != 0 && n->in[0] >= 0 && data[n->in[0]])
		n_in = 5;
	else
		return false;
	served.without = "training_mode";
	for (int k = 0; k < n_in; k++)
		served.in[k] = pare_rewrite_input(w->rw, w->g, w->node, k);
	(void)pare_lift_put(w, served, true);
	return true;
}

static enum pare_code lift(const struct pare_graph *g, int32_t *n_readers, bool *data, struct pare_rewrite *rw, size_t *n, struct pare_err *err)
{
	struct pare_lift_writer w = {.g = g, .rw = rw, .err = err};

	for (int32_t i = 0; i < g->n_nodes; i++) {
		const struct pare_node *node = &g->nodes[i];

		for (int k = 0; k < node->n_attrs; k++)
			if (node->attrs[k].type == PARE_ATTR_GRAPH || node->attrs[k].type == PARE_ATTR_OTHER)
				return PARE_OK; /* a body, which may read anything */
		for (int k = 0; k < node->n_in; k++)
			if (node->in[k] >= 0)
				n_readers[node->in[k]]++;
	}
	follow_inputs(g, data);
	for (int32_t i = 0; i < g->n_nodes && w.code == PARE_OK; i++) {
		struct drop d = {.like = -1, .gone = {-1, -1}};

		w.node = i;
		if (rw->drop_node[i])
			continue;
		if (read_drop(g, n_readers, &g->nodes[i], &d))
			write_drop(&w, &d);
		else if (!write_served(&w, n_readers, data))
			continue;
		rw->drop_node[i] = true;
		for (int k = 0; k < 2; k++)
			if (d.gone[k] >= 0)
				rw->drop_node[d.gone[k]] = true;
		*n += 1;
	}
	return w.code;
}

enum pare_code pare_lift_forms(const struct pare_model *m, struct pare_rewrite *rw, size_t *n, struct pare_err *err)
{
	const struct pare_graph *g = &m->graph;
	int32_t *n_readers;
	bool *data;
	enum pare_code code;

	if (pare_model_opset(m, "") < MIN_OPSET)
		return PARE_OK;
	n_readers = pare_calloc((size_t)g->n_values + 1, sizeof *n_readers);
	data = pare_calloc((size_t)g->n_values + 1, sizeof *data);
	code = n_readers != NULL && data != NULL ? lift(g, n_readers, data, rw, n, err) : pare_err_nomem(err, (size_t)g->n_values * sizeof *n_readers);
	pare_free(n_readers);
	pare_free(data);
	return code;
}
