/* scikit-learn's linear models as its exporter writes them (ai.onnx.ml: LinearRegressor, LinearClassifier), whose weights are lists in attributes:
 *
 *   LinearRegressor    Gemm(x, coefficients [targets, features], intercepts)
 *   LinearClassifier   the same with a row for every class, then Softmax or Sigmoid; the label is ArgMax of it, by Gather where classes are not 0, 1, 2 …
 *
 * Labels that are texts are gathered, too; that output is not run (texts are nothing to compute with), but the product has it. They must be sorted, as scikit-learn has them,
 * because a table's texts are numbered so. What has another form stays as it is, carried and refused for execution by name: one row for two classes, other functions of the scores, models
 * that import no operators of ONNX's own. */
#include <string.h>

#include "core/graph/lift_priv.h"

#define ML "ai.onnx.ml"

struct linear {
	const struct pare_graph *g;
	struct pare_rewrite *rw;
	const struct pare_node *node;
	int32_t index;
	struct pare_err *err;
};

static const struct pare_attr *floats(const struct pare_node *n, const char *name)
{
	const struct pare_attr *a = pare_node_attr(n, name);

	return a != NULL && a->type == PARE_ATTR_FLOATS && a->n > 0 ? a : NULL;
}

static int64_t int_or(const struct pare_node *n, const char *name, int64_t absent)
{
	const struct pare_attr *a = pare_node_attr(n, name);

	return a != NULL && a->type == PARE_ATTR_INT ? a->i : absent;
}

static bool is_transform(const struct pare_node *n, const char *text)
{
	const struct pare_attr *a = pare_node_attr(n, "post_transform");

	if (a == NULL)
		return strcmp(text, "NONE") == 0;
	return a->type == PARE_ATTR_STRING && a->s.len == strlen(text) && memcmp(a->s.data, text, a->s.len) == 0;
}

static const char *new_name(struct linear *l, const char *base)
{
	return pare_rewrite_name(l->rw, l->g, base);
}

/* The name of a new initializer; NULL without memory, with the error set. */
static const char *add_init(struct linear *l, const char *base, int dtype, int n_dims, int64_t rows, int64_t cols, const void *bytes, size_t n_bytes)
{
	struct pare_new_init init = {.name = new_name(l, base), .dtype = dtype, .n_dims = n_dims, .dims = {rows, cols}, .bytes = bytes, .n_bytes = n_bytes};

	if (init.name == NULL)
		(void)pare_err_nomem(l->err, 0);
	else if (pare_rewrite_add_init(l->rw, &init, l->err) == PARE_OK)
		return init.name;
	return NULL;
}

static enum pare_code add(struct linear *l, struct pare_new_node n)
{
	n.before = l->index;
	n.instead = true;
	return n.out != NULL ? pare_rewrite_add_node(l->rw, &n, l->err) : pare_err_nomem(l->err, 0);
}

/* Scores of `rows` classes or targets, called out. */
static enum pare_code add_gemm(struct linear *l, int64_t rows, const char *out)
{
	const struct pare_attr *c = floats(l->node, "coefficients"), *b = floats(l->node, "intercepts");
	const char *w = add_init(l, "coefficients", PARE_DT_FLOAT, 2, rows, (int64_t)c->n / rows, c->floats, c->n * sizeof *c->floats);
	const char *bias = w != NULL && b != NULL ? add_init(l, "intercepts", PARE_DT_FLOAT, 1, rows, 0, b->floats, b->n * sizeof *b->floats) : NULL;

	if (w == NULL || (b != NULL && bias == NULL))
		return l->err->code;
	return add(l, (struct pare_new_node){.op = "Gemm", .in = {l->g->values[l->node->in[0]].name, w, bias}, .out = out, .attr = {{.name = "transB", .value = 1}}});
}

/* Are there rows of equal length, a bias for each or none, and a matrix of floats to multiply? */
static bool fits(const struct linear *l, int64_t rows)
{
	const struct pare_attr *c = floats(l->node, "coefficients"), *b = floats(l->node, "intercepts");
	const struct pare_node *n = l->node;
	const struct pare_value *x = n->n_in == 1 && n->in[0] >= 0 ? &l->g->values[n->in[0]] : NULL;

	return x != NULL && (x->dtype == PARE_DT_FLOAT || (x->dtype == PARE_DT_UNDEFINED && x->producer >= 0)) && (x->n_dims < 0 || x->n_dims == 2) && c != NULL && rows > 0 &&
	       c->n % (size_t)rows == 0 && (b == NULL || b->n == (size_t)rows);
}

static enum pare_code lift_regressor(struct linear *l, bool *done)
{
	int64_t targets = int_or(l->node, "targets", 1);

	*done = fits(l, targets) && is_transform(l->node, "NONE") && l->node->n_out == 1 && l->node->out[0] >= 0;
	return *done ? add_gemm(l, targets, l->g->values[l->node->out[0]].name) : PARE_OK;
}

static const char *add_texts(struct linear *l, const struct pare_attr *labels)
{
	struct pare_new_init init = {.name = new_name(l, "classlabels"), .dtype = PARE_DT_STRING, .n_dims = 1, .dims = {(int64_t)labels->n}, .texts = labels->strings};

	if (init.name == NULL)
		(void)pare_err_nomem(l->err, 0);
	return init.name != NULL && pare_rewrite_add_init(l->rw, &init, l->err) == PARE_OK ? init.name : NULL;
}

/* The labels, if they are of a form that is taken over. */
static const struct pare_attr *labels_of(const struct pare_node *n)
{
	const struct pare_attr *ints = pare_node_attr(n, "classlabels_ints"), *texts = pare_node_attr(n, "classlabels_strings");

	if (ints != NULL && ints->type == PARE_ATTR_INTS && ints->n > 1)
		return ints;
	if (texts == NULL || texts->type != PARE_ATTR_STRINGS || texts->n < 2)
		return NULL;
	for (size_t i = 1; i < texts->n; i++) {
		const struct pare_span *a = &texts->strings[i - 1], *b = &texts->strings[i];
		int order = memcmp(a->data, b->data, a->len < b->len ? a->len : b->len);

		if (order > 0 || (order == 0 && a->len >= b->len))
			return NULL;
	}
	return texts;
}

/* The class with the greatest score. */
static enum pare_code add_label(struct linear *l, const char *scores, const struct pare_attr *labels)
{
	static const int64_t all = -1;
	const char *out = l->g->values[l->node->out[0]].name, *best = new_name(l, "best"), *flat = out, *shape, *names;
	bool numbered = labels->type == PARE_ATTR_INTS;
	enum pare_code code = add(l, (struct pare_new_node){.op = "ArgMax", .in = {scores}, .out = best, .attr = {{.name = "axis", .value = 1}}});

	for (size_t i = 0; i < labels->n && numbered; i++)
		numbered = labels->ints[i] == (int64_t)i;
	if (code != PARE_OK)
		return code;
	if (!numbered)
		flat = new_name(l, "place");
	shape = add_init(l, "flat", PARE_DT_INT64, 1, 1, 0, &all, sizeof all);
	if (shape == NULL)
		return l->err->code;
	code = add(l, (struct pare_new_node){.op = "Reshape", .in = {best, shape}, .out = flat});
	if (code != PARE_OK || numbered)
		return code;
	if (labels->type == PARE_ATTR_STRINGS)
		names = add_texts(l, labels);
	else
		names = add_init(l, "classlabels", PARE_DT_INT64, 1, (int64_t)labels->n, 0, labels->ints, labels->n * sizeof *labels->ints);
	return names != NULL ? add(l, (struct pare_new_node){.op = "Gather", .in = {names, flat}, .out = out}) : l->err->code;
}

static const struct {
	const char *transform, *op;
} transform_table[] = {{"NONE", NULL}, {"SOFTMAX", "Softmax"}, {"LOGISTIC", "Sigmoid"}};

static enum pare_code lift_classifier(struct linear *l, bool *done)
{
	const struct pare_attr *labels = labels_of(l->node);
	const char *probabilities, *scores;
	size_t t = 0, n_transforms = sizeof transform_table / sizeof transform_table[0];
	enum pare_code code;

	while (t < n_transforms && !is_transform(l->node, transform_table[t].transform))
		t++;
	*done = t < n_transforms && labels != NULL && fits(l, (int64_t)labels->n) && l->node->n_out == 2 && l->node->out[0] >= 0 && l->node->out[1] >= 0;
	if (!*done)
		return PARE_OK;
	probabilities = l->g->values[l->node->out[1]].name;
	scores = transform_table[t].op != NULL ? new_name(l, "scores") : probabilities;
	code = add_gemm(l, (int64_t)labels->n, scores);
	if (code == PARE_OK && transform_table[t].op != NULL)
		code = add(l, (struct pare_new_node){.op = transform_table[t].op, .in = {scores}, .out = probabilities, .attr = {{.name = t == 1 ? "axis" : NULL, .value = 1}}});
	return code == PARE_OK ? add_label(l, scores, labels) : code;
}

enum pare_code pare_lift_linear(const struct pare_model *m, struct pare_rewrite *rw, size_t *n, struct pare_err *err)
{
	enum pare_code code = PARE_OK;

	for (int32_t i = 0; i < m->graph.n_nodes && code == PARE_OK && pare_model_opset(m, "") > 0; i++) {
		struct linear l = {.g = &m->graph, .rw = rw, .node = &m->graph.nodes[i], .index = i, .err = err};
		bool done = false;

		if (strcmp(l.node->domain, ML) != 0)
			continue;
		if (strcmp(l.node->op_type, "LinearRegressor") == 0)
			code = lift_regressor(&l, &done);
		else if (strcmp(l.node->op_type, "LinearClassifier") == 0)
			code = lift_classifier(&l, &done);
		rw->drop_node[i] |= done;
		*n += done && code == PARE_OK;
	}
	return code;
}
