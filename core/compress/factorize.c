/* One matrix serves all layers: as the weight stands in the file, its two factors stand there, too, except that the first factor of a transposed
 * Gemm is turned over, because a MatMul (which has no bias in any opset) is what computes it.
 *
 * Both factors have the root of the singular values, so neither trains faster than the other for no reason.
 *
 * Rejected for convolutions: factors along height and width (two uneven kernels, of which many runtimes have slow ones). */
#include "core/compress/factorize.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "core/compress/factorize_priv.h"
#include "core/compress/layers.h"

/* --- finding layers */

/* Sets what l is as a matrix; false: it is no such layer. */
static bool describe(const struct pare_node *n, const struct pare_tensor *w, struct pare_factor *l)
{
	l->conv = strcmp(n->op_type, "Conv") == 0;
	l->rows = w->n_dims > 0 ? w->dims[0] : 0;
	l->cols = l->rows > 0 ? (int64_t)w->n_elems / l->rows : 0;
	if (l->rows == 0 || l->cols == 0)
		return false;
	if (l->conv)
		return w->n_dims >= 3 && pare_layer_int(n, "group", 1) == 1;
	l->transposed = strcmp(n->op_type, "Gemm") == 0 && pare_layer_int(n, "transB", 0) != 0;
	if (strcmp(n->op_type, "Gemm") == 0 && pare_layer_int(n, "transA", 0) != 0)
		return false;
	return w->n_dims == 2 && (strcmp(n->op_type, "Gemm") == 0 || strcmp(n->op_type, "MatMul") == 0);
}

enum pare_code pare_factorize_find(const struct pare_model *m, const struct pare_factorize_options *opt, struct pare_factor **out, int *out_n,
    struct pare_err *err)
{
	const struct pare_graph *g = &m->graph;
	struct pare_factor *list = pare_calloc((size_t)g->n_nodes + 1, sizeof *list);
	int n = 0;

	if (list == NULL)
		return pare_err_nomem(err, (size_t)g->n_nodes * sizeof *list);
	for (int32_t i = 0; i < g->n_nodes; i++) {
		const struct pare_node *node = &g->nodes[i];
		const struct pare_tensor *w = node->domain[0] == '\0' && !node->inlined && node->n_in >= 2 && node->in[0] >= 0 ? pare_layer_floats(m, node->in[1]) : NULL;
		struct pare_factor l = {.node = i};
		struct pare_param_info info = {.name = w != NULL ? w->name : "", .node_name = node->name};

		if (w == NULL || !describe(node, w, &l) || pare_layer_readers(g, node->in[1]) != 1 || pare_prune_is_excluded(&opt->names, &info))
			continue;
		l.weight = node->in[1];
		list[n++] = l;
	}
	*out = list;
	*out_n = n;
	return PARE_OK;
}

/* n: layers that there are. */
static enum pare_code refuse(int n, struct pare_err *err)
{
	return pare_err_set(err, PARE_E_INVALID, NULL, n > 0 ? "no layer gets cheaper: a rank r of an m x n matrix must be below m n / (m + n)"
	                                                     : "there is nothing to factorize: no Gemm, MatMul or Conv has a float initializer of its own as its weight, or all are excluded");
}

/* A rank is too large for a matrix, and for any smaller one, whatever stands in it; three factors may be cheap where two are not. */
enum pare_code pare_factorize_check(const struct pare_model *m, const struct pare_factorize_options *opt, struct pare_err *err)
{
	struct pare_factor *layers = NULL;
	bool possible = false;
	int n;
	enum pare_code code = pare_factorize_find(m, opt, &layers, &n, err);

	for (int i = 0; i < n && code == PARE_OK; i++) {
		struct pare_factor l = layers[i];
		const struct pare_window win = pare_window_of(&m->graph.nodes[l.node], m->graph.values[l.weight].init);

		l.rank = (int64_t)opt->amount;
		possible |= opt->by != PARE_FACTOR_RANK || pare_factor_is_tucker(opt, &l, &win) || pare_factor_is_cheaper(&win, &l);
	}
	pare_free(layers);
	return code == PARE_OK && !possible ? refuse(n, err) : code;
}

/* --- writing */

struct factorizer {
	const struct pare_model *m;
	struct pare_rewrite *rw;
	struct pare_err *err;
};

/* base.suffix, as a name that is free; NULL without memory. */
static const char *derived(struct factorizer *f, const char *base, const char *suffix)
{
	size_t size = strlen(base) + strlen(suffix) + 2;
	char *name = pare_arena_alloc(&f->rw->arena, size);

	if (name == NULL)
		return NULL;
	(void)snprintf(name, size, "%s.%s", base, suffix);
	return pare_rewrite_name(f->rw, &f->m->graph, name);
}

static enum pare_code edit_attr(struct factorizer *f, int32_t node, const char *attr, const int64_t *v, size_t n)
{
	return pare_rewrite_add_edit(f->rw, &(struct pare_node_edit){.node = node, .attr = attr, .is_list = true, .v = v, .n = n}, f->err);
}

/* The node's window moves to the first factor; it is left with one of 1 x 1. */
static enum pare_code make_pointwise(struct factorizer *f, int32_t node, int n_spatial)
{
	static const char *const moved[] = {"strides", "pads", "dilations", "auto_pad"};
	int64_t ones[PARE_MAX_DIMS];
	enum pare_code code;

	for (int i = 0; i < n_spatial; i++)
		ones[i] = 1;
	code = edit_attr(f, node, "kernel_shape", ones, (size_t)n_spatial);
	for (size_t i = 0; i < sizeof moved / sizeof moved[0] && code == PARE_OK; i++)
		code = edit_attr(f, node, moved[i], NULL, 0);
	return code;
}

/* What the factors hold, as they stand in the file. */
struct parts {
	float *left, *right;
	float *inputs; /* of the third; NULL: there is none */
};

/* The initializers of both factors; *first: what the first is called. */
static enum pare_code put_weights(struct factorizer *f, const struct pare_factor *l, const float *left, const float *right, const char **first)
{
	const struct pare_tensor *w = f->m->graph.values[l->weight].init;
	struct pare_new_init *second = pare_arena_alloc(&f->rw->arena, sizeof *second);
	struct pare_new_init one = {.name = derived(f, w->name, "factor"), .dtype = PARE_DT_FLOAT, .n_dims = w->n_dims};
	size_t n_left = (size_t)(l->rows * l->rank), n_right = (size_t)(l->inputs > 0 ? l->rank * l->cols / w->dims[1] * l->inputs : l->rank * l->cols);
	bool outputs_first = l->conv || l->transposed;

	if (second == NULL || one.name == NULL)
		return pare_err_nomem(f->err, 0);
	*second = (struct pare_new_init){.name = w->name, .dtype = PARE_DT_FLOAT, .n_dims = w->n_dims};
	for (int i = 0; i < w->n_dims; i++) {
		one.dims[i] = w->dims[i];
		second->dims[i] = l->conv ? 1 : w->dims[i];
	}
	if (l->conv) {
		one.dims[0] = second->dims[1] = l->rank;
		one.dims[1] = l->inputs > 0 ? l->inputs : w->dims[1];
		second->dims[0] = l->rows;
	} else {
		one.dims[0] = l->transposed ? l->cols : l->rows;
		one.dims[1] = second->dims[l->transposed ? 1 : 0] = l->rank;
	}
	one.bytes = outputs_first ? right : left;
	one.n_bytes = (outputs_first ? n_right : n_left) * sizeof(float);
	second->bytes = outputs_first ? left : right;
	second->n_bytes = (outputs_first ? n_left : n_right) * sizeof(float);
	f->rw->resized[l->weight] = second;
	*first = one.name;
	return pare_rewrite_add_init(f->rw, &one, f->err);
}

static void turn_over(float *to, const float *from, size_t rows, size_t cols)
{
	for (size_t i = 0; i < rows; i++)
		for (size_t j = 0; j < cols; j++)
			to[j * rows + i] = from[i * cols + j];
}

static enum pare_code split(struct factorizer *f, const struct pare_factor *l, const struct pare_svd *d, const float *w, struct parts *p)
{
	size_t rank = (size_t)l->rank, n_right = rank * d->cols;
	float *right = pare_arena_array(&f->rw->arena, n_right, sizeof *right);

	p->left = pare_arena_array(&f->rw->arena, d->rows * rank, sizeof *p->left);
	p->right = l->transposed ? pare_arena_array(&f->rw->arena, n_right, sizeof *right) : right;
	if (p->left == NULL || p->right == NULL || right == NULL)
		return pare_err_nomem(f->err, n_right * sizeof *right);
	pare_svd_factors(d, w, rank, p->left, right);
	if (l->transposed)
		turn_over(p->right, right, rank, d->cols);
	return PARE_OK;
}

/* Splits the window of the first factor along its inputs. What is on its left is made orthonormal before, so that what is lost here is what the layer loses. */
static enum pare_code split_inputs(struct factorizer *f, const struct pare_factorize_options *opt, struct pare_factor *l, const struct pare_window *win,
    const struct pare_svd *d, struct parts *p)
{
	size_t rank = (size_t)l->rank, n_in = (size_t)win->inputs, size = (size_t)win->size, n = rank * d->cols, q;
	float *turned = pare_arena_array(&f->rw->arena, n, sizeof *turned), *left, *right;
	struct pare_svd inner;
	enum pare_code code;

	if (turned == NULL)
		return pare_err_nomem(f->err, n * sizeof *turned);
	for (size_t k = 0; k < rank; k++) {
		float root = (float)sqrt(d->s[k]);

		for (size_t i = 0; i < d->rows; i++)
			p->left[i * rank + k] /= root;
		for (size_t i = 0; i < d->cols; i++)
			p->right[k * d->cols + i] *= root;
	}
	pare_swap_channels(turned, p->right, rank, n_in, size);
	code = pare_svd_init(&inner, turned, n_in, rank * size, opt->cancel, f->err);
	q = code == PARE_OK ? (size_t)pare_window_rank(&inner, opt, win, (double)l->rank) : 0;
	if (q == n_in) { /* nothing would be saved in front */
		pare_svd_done(&inner);
		return code;
	}
	left = pare_arena_array(&f->rw->arena, n_in * q + 1, sizeof *left);
	right = pare_arena_array(&f->rw->arena, q * rank * size + 1, sizeof *right);
	p->inputs = pare_arena_array(&f->rw->arena, n_in * q + 1, sizeof *p->inputs);
	if (code == PARE_OK && (left == NULL || right == NULL || p->inputs == NULL))
		code = pare_err_nomem(f->err, n * sizeof *left);
	if (code == PARE_OK) {
		pare_svd_factors(&inner, turned, q, left, right);
		turn_over(p->inputs, left, n_in, q);
		pare_swap_channels(p->right, right, q, rank, size);
		l->inputs = (int64_t)q;
		l->energy *= pare_svd_share(&inner, q);
	}
	pare_svd_done(&inner);
	return code;
}

/* The convolution in front of the window; *out: what it gives. */
static enum pare_code put_inputs(struct factorizer *f, const struct pare_factor *l, const struct parts *p, const char *base, const char **out)
{
	const struct pare_tensor *w = f->m->graph.values[l->weight].init;
	struct pare_new_init init = {.name = derived(f, w->name, "inputs"), .dtype = PARE_DT_FLOAT, .n_dims = w->n_dims, .bytes = p->inputs,
	    .n_bytes = (size_t)(l->inputs * w->dims[1]) * sizeof *p->inputs};
	struct pare_new_node n = {.before = l->node, .op = "Conv", .in = {*out, init.name}, .out = derived(f, base, "inputs")};
	enum pare_code code;

	if (init.name == NULL || n.out == NULL)
		return pare_err_nomem(f->err, 0);
	for (int i = 0; i < w->n_dims; i++)
		init.dims[i] = i == 0 ? l->inputs : i == 1 ? w->dims[1] : 1;
	*out = n.out;
	code = pare_rewrite_add_init(f->rw, &init, f->err);
	return code == PARE_OK ? pare_rewrite_add_node(f->rw, &n, f->err) : code;
}

static enum pare_code put_layer(struct factorizer *f, const struct pare_factor *l, const struct parts *p)
{
	const struct pare_graph *g = &f->m->graph;
	const struct pare_node *node = &g->nodes[l->node];
	const char *base = node->name[0] != '\0' ? node->name : g->values[node->out[0]].name, *x = g->values[node->in[0]].name;
	struct pare_new_node first = {.before = l->node, .op = l->conv ? "Conv" : "MatMul", .like = l->conv ? node : NULL, .out = derived(f, base, "factor")};
	enum pare_code code = first.out != NULL ? PARE_OK : pare_err_nomem(f->err, 0);

	if (code == PARE_OK && l->inputs > 0)
		code = put_inputs(f, l, p, base, &x);
	first.in[0] = x;
	if (code == PARE_OK)
		code = put_weights(f, l, p->left, p->right, &first.in[1]);
	if (code == PARE_OK)
		code = pare_rewrite_add_node(f->rw, &first, f->err);
	if (code == PARE_OK)
		code = pare_rewrite_add_edit(f->rw, &(struct pare_node_edit){.node = l->node, .input = 0, .name = first.out}, f->err);
	return code == PARE_OK && l->conv ? make_pointwise(f, l->node, g->values[l->weight].init->n_dims - 2) : code;
}

/* Decides the ranks of a layer and puts it, if it gets cheaper. */
static enum pare_code decide(struct factorizer *f, const struct pare_factorize_options *opt, struct pare_factor *l, const struct pare_svd *d, const float *w)
{
	const struct pare_window win = pare_window_of(&f->m->graph.nodes[l->node], f->m->graph.values[l->weight].init);
	struct parts p = {.inputs = NULL};
	bool three = pare_factor_is_tucker(opt, l, &win);
	enum pare_code code;

	l->rank = three ? (int64_t)pare_window_rank(d, opt, &win, 0) : (int64_t)pare_factor_rank(d, opt);
	l->energy = pare_svd_share(d, (size_t)l->rank);
	if (!three && !pare_factor_is_cheaper(&win, l))
		l->rank = 0;
	code = l->rank > 0 ? split(f, l, d, w, &p) : PARE_OK;
	if (code == PARE_OK && three && l->rank > 0)
		code = split_inputs(f, opt, l, &win, d, &p);
	if (!pare_factor_is_cheaper(&win, l))
		l->rank = 0;
	if (code == PARE_OK && l->rank > 0)
		return put_layer(f, l, &p);
	l->inputs = 0;
	l->energy = 1;
	return code;
}

static enum pare_code factorize_layer(struct factorizer *f, const struct pare_factorize_options *opt, struct pare_factor *l)
{
	struct pare_factorize_options own = *opt;
	struct pare_svd d = {.s = NULL};
	float *w = NULL;
	enum pare_code code;

	if (opt->global) {
		own.by = PARE_FACTOR_RATIO;
		own.amount = l->share;
	}
	l->energy = 1;
	if (own.by == PARE_FACTOR_RATIO && own.amount >= 1)
		return PARE_OK;
	code = pare_factor_weight(f->m, l, &w, f->err);
	if (code == PARE_OK)
		code = pare_svd_init(&d, w, (size_t)l->rows, (size_t)l->cols, opt->cancel, f->err);
	if (code == PARE_OK)
		code = decide(f, &own, l, &d, w);
	pare_svd_done(&d);
	pare_free(w);
	return code;
}

enum pare_code pare_factorize(const struct pare_model *m, const struct pare_factorize_options *opt, struct pare_factor *layers, int n,
    struct pare_rewrite *out, struct pare_err *err)
{
	struct factorizer f = {.m = m, .rw = out, .err = err};
	enum pare_code code = pare_rewrite_init(out, m, err);
	int n_done = 0;

	if (code == PARE_OK && opt->global)
		code = pare_factor_allocate(m, opt, layers, n, err);
	for (int i = 0; i < n && code == PARE_OK; i++) {
		code = factorize_layer(&f, opt, &layers[i]);
		n_done += layers[i].rank > 0;
	}
	if (code == PARE_OK && n_done > 0 && opt->global)
		code = pare_factor_check_budget(m, opt, layers, n, err);
	if (code == PARE_OK && n_done == 0)
		return refuse(n, err);
	return code;
}
