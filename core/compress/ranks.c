/* Which rank each layer gets.
 *
 * One at a time (scope layer) the amount says it. All together (scope global) ranks follow from the singular values of all: each layer has a curve, its
 * cost as factors against what is then lost, and the curves share the budget so that the sum of the losses is least (core/prune/allocate.h, which does the
 * same for pruning). A layer whose values fall off fast gives more than one whose values are all alike. What is lost is -ln of the share of the layer's
 * squares that is kept, so that the product of these shares is what is made large: layers stand one behind the other, and what one does not let through
 * no other brings back. The sum of the shares was rejected: it gives up a large layer, which cannot lose more than 1, for the sake of small ones (784-300-100-10
 * at 0.15 of the multiplications: 18 % of the first layer's squares kept, 67.6 % of the validation rows right before retraining, against 93.9 % by the
 * product and 18.8 % by the same ratio for every layer).
 * Source: Zhang et al. 2016, arXiv:1505.06798 (rank selection by the product of energies).
 *
 * A convolution in three factors has two spectra, of its outputs and of its inputs, which are decomposed by themselves here; their losses add up.
 * The curve is sampled; what comes of it is a share of the layer's cost, from which ranks follow as from a ratio. */
#include <math.h>
#include <string.h>

#include "core/base/mem.h"
#include "core/compress/factorize_priv.h"
#include "core/prune/allocate.h"

#define BISECTIONS 40
#define STEP 0.75 /* of the sampled shares, from the largest down */

size_t pare_factor_rank(const struct pare_svd *d, const struct pare_factorize_options *opt)
{
	double product = (double)d->rows * (double)d->cols, sum = (double)d->rows + (double)d->cols, rank = opt->amount;

	if (opt->by == PARE_FACTOR_ENERGY)
		rank = (double)pare_svd_rank(d, opt->amount);
	if (opt->by == PARE_FACTOR_RATIO)
		rank = fmax(1, floor(opt->amount * product / sum));
	return (size_t)fmin(rank, (double)d->n_rank);
}

struct pare_window pare_window_of(const struct pare_node *n, const struct pare_tensor *t)
{
	const struct pare_attr *strides = pare_node_attr(n, "strides");
	struct pare_window win = {.outputs = (double)t->dims[0], .inputs = (double)t->dims[1], .size = 1, .steps = 1};

	for (int i = 2; i < t->n_dims; i++)
		win.size *= (double)t->dims[i];
	for (size_t i = 0; strides != NULL && i < strides->n; i++)
		win.steps *= (double)strides->ints[i];
	return win;
}

static double cost(const struct pare_window *win, double outputs, double inputs)
{
	return win->steps * win->inputs * inputs + inputs * outputs * win->size + outputs * win->outputs;
}

bool pare_factor_is_cheaper(const struct pare_window *win, const struct pare_factor *l)
{
	double rank = (double)l->rank, window = win->inputs * win->size;

	return (l->inputs > 0 ? cost(win, rank, (double)l->inputs) : rank * (win->outputs + window)) < win->outputs * window;
}

static double inputs_for(const struct pare_window *win, double outputs)
{
	return fmax(1, floor(outputs * win->inputs / win->outputs));
}

/* Of outputs, or if d is of the inputs (outputs > 0) of those. */
double pare_window_rank(const struct pare_svd *d, const struct pare_factorize_options *opt, const struct pare_window *win, double outputs)
{
	double rank = opt->amount;

	if (opt->by == PARE_FACTOR_ENERGY)
		rank = (double)pare_svd_rank(d, sqrt(opt->amount)); /* the shares of both are multiplied */
	if (opt->by == PARE_FACTOR_RATIO)
		rank = outputs > 0 ? inputs_for(win, outputs) : win->outputs;
	while (opt->by == PARE_FACTOR_RATIO && !(outputs > 0) && rank > 1 && cost(win, rank, inputs_for(win, rank)) > opt->amount * win->outputs * win->inputs * win->size)
		rank--;
	return fmin(rank, (double)d->n_rank);
}

void pare_swap_channels(float *to, const float *from, size_t a, size_t b, size_t size)
{
	for (size_t i = 0; i < a; i++)
		for (size_t j = 0; j < b; j++)
			memcpy(to + (j * a + i) * size, from + (i * b + j) * size, size * sizeof *to);
}

bool pare_factor_is_tucker(const struct pare_factorize_options *opt, const struct pare_factor *l, const struct pare_window *win)
{
	return opt->tucker && l->conv && win->size > 1 && win->inputs > 1;
}

enum pare_code pare_factor_weight(const struct pare_model *m, const struct pare_factor *l, float **out, struct pare_err *err)
{
	const struct pare_tensor *t = m->graph.values[l->weight].init;
	enum pare_code code;

	*out = pare_alloc(t->n_elems * sizeof **out);
	if (*out == NULL)
		return pare_err_nomem(err, t->n_elems * sizeof **out);
	code = pare_tensor_read_f32(t, *out, err);
	for (size_t i = 0; i < t->n_elems && code == PARE_OK; i++)
		if (!isfinite((*out)[i]))
			code = pare_err_set(err, PARE_E_NONFINITE, t->name, "weight %zu is not finite", i);
	return code;
}

/* --- all together */

struct spectra {
	struct pare_window win;
	bool three;
	struct pare_svd outputs, inputs; /* inputs: of three factors */
};

struct allocation {
	const struct pare_model *m;
	const struct pare_factorize_options *opt;
	struct pare_factor *layers;
	int n;
	struct spectra *spectra;
	struct pare_curve *curves;
	double *left;
};

/* Multiplications, or weights, of the layer as it stands. */
static double whole_cost(const struct pare_factorize_options *opt, const struct pare_factor *l)
{
	return (double)l->rows * (double)l->cols * (opt->by_macs && l->positions > 0 ? l->positions : 1);
}

static double cost_share(const struct pare_window *win, const struct pare_factorize_options *opt, const struct pare_factor *l)
{
	struct pare_window own = *win;

	if (!opt->by_macs)
		own.steps = 1;
	if (l->rank == 0)
		return 1;
	if (l->inputs > 0)
		return cost(&own, (double)l->rank, (double)l->inputs) / ((double)l->rows * (double)l->cols);
	return (double)l->rank * ((double)l->rows + (double)l->cols) / ((double)l->rows * (double)l->cols);
}

/* Of a share of the squares that is kept. */
static double loss_of(double kept)
{
	return -log(fmax(kept, 1e-12));
}

/* The layer's ranks at a share of its cost, and what is lost then. */
static struct pare_factor at_share(const struct allocation *a, int i, double share, double *out_lost)
{
	const struct spectra *s = &a->spectra[i];
	struct pare_factorize_options own = *a->opt;
	struct pare_factor l = a->layers[i];

	own.by = PARE_FACTOR_RATIO;
	own.amount = share;
	*out_lost = 0;
	l.rank = l.inputs = 0;
	if (share >= 1)
		return l;
	if (s->three) {
		l.rank = (int64_t)pare_window_rank(&s->outputs, &own, &s->win, 0);
		l.inputs = (int64_t)pare_window_rank(&s->inputs, &own, &s->win, (double)l.rank);
		*out_lost = loss_of(pare_svd_share(&s->inputs, (size_t)l.inputs));
		l.inputs = (double)l.inputs < s->win.inputs ? l.inputs : 0;
	} else {
		l.rank = (int64_t)pare_factor_rank(&s->outputs, &own);
	}
	*out_lost += loss_of(pare_svd_share(&s->outputs, (size_t)l.rank));
	if (!pare_factor_is_cheaper(&s->win, &l)) {
		l.rank = l.inputs = 0;
		*out_lost = 0;
	}
	return l;
}

static enum pare_code decompose(struct allocation *a, int i, struct pare_err *err)
{
	const struct pare_factor *l = &a->layers[i];
	struct spectra *s = &a->spectra[i];
	float *w = NULL, *turned = NULL;
	enum pare_code code = pare_factor_weight(a->m, l, &w, err);
	size_t size = (size_t)l->rows * (size_t)l->cols;

	s->win = pare_window_of(&a->m->graph.nodes[l->node], a->m->graph.values[l->weight].init);
	s->three = pare_factor_is_tucker(a->opt, l, &s->win);
	if (code == PARE_OK)
		code = pare_svd_init(&s->outputs, w, (size_t)l->rows, (size_t)l->cols, a->opt->cancel, err);
	if (code == PARE_OK && s->three) {
		turned = pare_alloc(size * sizeof *turned);
		code = turned != NULL ? PARE_OK : pare_err_nomem(err, size * sizeof *turned);
	}
	if (code == PARE_OK && s->three) {
		pare_swap_channels(turned, w, (size_t)l->rows, (size_t)s->win.inputs, (size_t)s->win.size);
		code = pare_svd_init(&s->inputs, turned, (size_t)s->win.inputs, size / (size_t)s->win.inputs, a->opt->cancel, err);
	}
	pare_free(w);
	pare_free(turned);
	return code;
}

static void sample(struct allocation *a, int i)
{
	struct pare_curve *c = &a->curves[i];
	double share = 1;

	*c = (struct pare_curve){.cost = whole_cost(a->opt, &a->layers[i]), .n = 1, .left = {1}};
	for (int k = 1; k < PARE_CURVE_MAX; k++) {
		double lost, left;
		struct pare_factor l;

		share *= STEP;
		l = at_share(a, i, share, &lost);
		left = cost_share(&a->spectra[i].win, a->opt, &l);
		if (l.rank == 0 || left >= c->left[c->n - 1] * (1 - 1e-9))
			continue;
		c->left[c->n] = left;
		c->harm[c->n++] = lost;
	}
}

/* Shares for that much of the cost of all; the geometric mean of the shares of squares that are kept then. */
static enum pare_code allocate(struct allocation *a, double share, double *out_kept, struct pare_err *err)
{
	enum pare_code code = pare_allocate(a->curves, a->n, share, a->left, err);

	*out_kept = 0;
	for (int i = 0; i < a->n && code == PARE_OK; i++) {
		double lost;

		a->layers[i].share = a->left[i] > 1 - 1e-9 ? 1 : a->left[i];
		(void)at_share(a, i, a->layers[i].share, &lost);
		*out_kept -= lost / a->n;
	}
	*out_kept = exp(*out_kept);
	return code;
}

static enum pare_code divide(struct allocation *a, struct pare_err *err)
{
	double low = 0, high = 1, kept;
	enum pare_code code = PARE_OK;

	for (int i = 0; i < a->n && code == PARE_OK; i++) {
		code = decompose(a, i, err);
		if (code == PARE_OK)
			sample(a, i);
	}
	if (code != PARE_OK || a->opt->by == PARE_FACTOR_RATIO)
		return code == PARE_OK ? allocate(a, a->opt->amount, &kept, err) : code;
	for (int k = 0; k < BISECTIONS && code == PARE_OK; k++) {
		double middle = (low + high) / 2;

		code = allocate(a, middle, &kept, err);
		*(kept < a->opt->amount ? &low : &high) = middle;
	}
	return code == PARE_OK ? allocate(a, high, &kept, err) : code;
}

enum pare_code pare_factor_allocate(const struct pare_model *m, const struct pare_factorize_options *opt, struct pare_factor *layers, int n, struct pare_err *err)
{
	struct allocation a = {.m = m, .opt = opt, .layers = layers, .n = n};
	size_t room = (size_t)n + 1;
	enum pare_code code = PARE_OK;

	a.spectra = pare_calloc(room, sizeof *a.spectra);
	a.curves = pare_calloc(room, sizeof *a.curves);
	a.left = pare_calloc(room, sizeof *a.left);
	if (a.spectra == NULL || a.curves == NULL || a.left == NULL)
		code = pare_err_nomem(err, room * sizeof *a.curves);
	if (code == PARE_OK && n > 0)
		code = divide(&a, err);
	for (int i = 0; i < n && a.spectra != NULL; i++) {
		pare_svd_done(&a.spectra[i].outputs);
		pare_svd_done(&a.spectra[i].inputs);
	}
	pare_free(a.spectra);
	pare_free(a.curves);
	pare_free(a.left);
	return code;
}

enum pare_code pare_factor_check_budget(const struct pare_model *m, const struct pare_factorize_options *opt, const struct pare_factor *layers, int n, struct pare_err *err)
{
	double was = 0, is = 0;

	for (int i = 0; i < n; i++) {
		const struct pare_window win = pare_window_of(&m->graph.nodes[layers[i].node], m->graph.values[layers[i].weight].init);
		double whole = whole_cost(opt, &layers[i]);

		was += whole;
		is += whole * cost_share(&win, opt, &layers[i]);
	}
	if (opt->by != PARE_FACTOR_RATIO || is <= opt->amount * was * (1 + 1e-9))
		return PARE_OK;
	return pare_err_set(err, PARE_E_INVALID, NULL, "no ranks come down to %g of the %s: the least that is left is %.3g", opt->amount, opt->by_macs ? "multiplications" : "weights", is / was);
}
