/* Fitting a data set to a net. Names decide where there is a choice, shapes where there is none; a shape that would fit only by
 * chance (channels last against channels first) is never taken for another, because nothing later would tell: the net would
 * train on scrambled images, only worse.
 *
 * Rows fit an input when their dimensions are the same up to ones, or when one of both is flat. [H, W, C] against [C, H, W] is
 * turned while batches are filled, unless the user forbids it. A model that leaves sizes open takes those of the rows by the same
 * rules: what stands across from an open size is that size.
 *
 * Positions: labels [T] or [H, W] go with outputs [T, C] as exporters of language models write them, or [C, H, W] as those of
 * image models do. When both are possible (C = T) labels of one dimension take the first form and maps the second. A loss over
 * positions is the loss over as many rows; positions without a label are left out and get a gradient of zero. */
#include "core/eval/fit.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

#define TILE_FLOATS ((int64_t)16384)
#define TILE_MAX ((int64_t)64)

struct dims {
	int n;
	int64_t d[PARE_MAX_DIMS];
	char text[160];
};

struct fitting {
	const struct pare_net *net;
	const struct pare_dataset *data;
	const struct pare_data_info *info;
	const struct pare_fit_options *opt;
	struct pare_fit *fit;
	bool taken[PARE_DATA_FIELDS]; /* y fields */
	struct pare_err *err;
};

static void show(struct dims *s)
{
	size_t used = 0;

	s->text[0] = '\0';
	for (int i = 0; i < s->n && used < sizeof s->text; i++)
		used += (size_t)snprintf(s->text + used, sizeof s->text - used, "%s%lld", i > 0 ? ", " : "", (long long)s->d[i]);
}

/* Without the batch. */
static struct dims dims_of_net(const struct pare_net *net, bool input, int i)
{
	int64_t all[PARE_MAX_DIMS];
	struct dims s = {.n = 0};
	int n;

	(void)(input ? pare_net_input_shape(net, i, &n, all) : pare_net_output_shape(net, i, &n, all));
	for (int k = 0; k < n; k++)
		if (k > 0 || all[0] != PARE_DIM_UNKNOWN)
			s.d[s.n++] = all[k];
	show(&s);
	return s;
}

static struct dims dims_of_field(const struct pare_data_field *f)
{
	struct dims s = {.n = f->n_dims};

	memcpy(s.d, f->dims, sizeof s.d);
	show(&s);
	return s;
}

static struct dims without_ones(const struct dims *s)
{
	struct dims r = {.n = 0};

	for (int i = 0; i < s->n; i++)
		if (s->d[i] != 1)
			r.d[r.n++] = s->d[i];
	return r;
}

static bool same(const struct dims *a, const struct dims *b)
{
	return a->n == b->n && memcmp(a->d, b->d, (size_t)a->n * sizeof a->d[0]) == 0;
}

static bool same_up_to_ones(const struct dims *a, const struct dims *b)
{
	struct dims x = without_ones(a), y = without_ones(b);

	return same(&x, &y);
}

static size_t elems(const struct dims *s)
{
	size_t n = 1;

	for (int i = 0; i < s->n; i++)
		n *= (size_t)s->d[i];
	return n;
}

/* The dimensions after the last became the first, or the first the last. */
static struct dims turned(const struct dims *s, bool last_first)
{
	struct dims r = {.n = s->n};

	for (int i = 0; i < s->n; i++)
		r.d[i] = s->d[(i + (last_first ? s->n - 1 : 1)) % s->n];
	return r;
}

/* --- inputs */

static void list_names(const struct fitting *f, bool x, char out[200])
{
	int n = x ? f->info->n_x : f->info->n_y;
	size_t used = 0;

	out[0] = '\0';
	for (int i = 0; i < n && used < 190; i++)
		used += (size_t)snprintf(out + used, 200 - used, "%s\"%s\"", i > 0 ? ", " : "", x ? f->info->x[i].name : f->info->y[i].name);
}

static enum pare_code find_x(const struct fitting *f, const char *name, int n_inputs, int *out)
{
	const char *array = name;
	char names[200];

	for (int k = 0; k < f->opt->n_inputs; k++)
		if (strcmp(f->opt->inputs[k].model, name) == 0)
			array = f->opt->inputs[k].array;
	*out = pare_data_find_x(f->data, array);
	if (*out >= 0)
		return PARE_OK;
	list_names(f, true, names);
	if (array != name)
		return pare_err_set(f->err, PARE_E_INVALID, "/data/inputs", "there is no array \"%s\" of features; there are %s", array, names);
	*out = 0;
	if (n_inputs == 1 && f->info->n_x == 1)
		return PARE_OK;
	return pare_err_set(f->err, PARE_E_SHAPE, NULL, "no array of the data set is called \"%s\", as this input of the model is; there are %s: rename them or set data.inputs", name, names);
}

static enum pare_code bind_input(struct fitting *f, int i)
{
	struct pare_fit_input *in = &f->fit->inputs[i];
	struct dims model = dims_of_net(f->net, true, i), row, first, last;
	enum pare_code rc = find_x(f, pare_net_input_name(f->net, i), f->fit->n_inputs, &in->x);

	if (rc != PARE_OK)
		return rc;
	in->integer = pare_net_input_dtype(f->net, i) != PARE_DT_FLOAT;
	in->layout = PARE_LAYOUT_KEEP;
	row = dims_of_field(&f->info->x[in->x]);
	first = turned(&row, true);
	last = turned(&row, false);
	if (same_up_to_ones(&row, &model) || (elems(&row) == elems(&model) && (row.n == 1 || model.n <= 1)))
		return PARE_OK;
	if (!f->opt->keep_layout && row.n == model.n && (same(&first, &model) || same(&last, &model))) {
		in->layout = same(&first, &model) ? PARE_LAYOUT_TO_NCHW : PARE_LAYOUT_TO_NHWC;
		return PARE_OK;
	}
	return pare_err_set(f->err, PARE_E_SHAPE, NULL, "a row of the data set has shape [%s], which does not fit the model's input \"%s\" of shape [N%s%s]", row.text,
	    pare_net_input_name(f->net, i), model.n > 0 ? ", " : "", model.text);
}

/* --- sizes that a model leaves open */

/* Across from each other: where the model says a number the row has the same. */
static bool take_sizes(struct dims *open, const struct dims *row)
{
	for (int k = 0; k < open->n && open->n == row->n; k++)
		if (open->d[k] >= 0 && open->d[k] != row->d[k])
			return false;
	if (open->n != row->n)
		return false;
	memcpy(open->d, row->d, (size_t)row->n * sizeof row->d[0]);
	return true;
}

/* The same, but for ones on both sides. */
static bool take_sizes_up_to_ones(struct dims *open, const struct dims *row)
{
	struct dims have = without_ones(row), want = without_ones(open);

	if (!take_sizes(&want, &have))
		return false;
	for (int i = 0, k = 0; i < open->n; i++)
		if (open->d[i] != 1)
			open->d[i] = have.d[k++];
	return true;
}

/* A flat row tells one size. */
static bool take_rest(struct dims *open, const struct dims *row)
{
	int64_t known = 1;
	int at = -1, n_open = 0;

	for (int k = 0; k < open->n; k++) {
		if (open->d[k] < 0)
			at = k, n_open++;
		else if (__builtin_mul_overflow(known, open->d[k], &known))
			return false;
	}
	if (n_open != 1 || row->n != 1 || known < 1 || row->d[0] % known != 0)
		return false;
	open->d[at] = row->d[0] / known;
	return true;
}

static bool tell_sizes(const struct fitting *f, struct dims *open, const struct dims *row)
{
	struct dims first = turned(row, true), last = turned(row, false);

	if (take_sizes(open, row) || (!f->opt->keep_layout && row->n > 2 && (take_sizes(open, &first) || take_sizes(open, &last))))
		return true;
	return take_sizes_up_to_ones(open, row) || take_rest(open, row);
}

/* An input with open sizes, which *out has as PARE_DIM_UNKNOWN. */
static enum pare_code open_input(const struct fitting *f, int n_inputs, struct pare_row_shape *out)
{
	struct dims open = {.n = out->n_dims}, row;
	int x;
	enum pare_code rc = find_x(f, out->name, n_inputs, &x);

	if (rc != PARE_OK)
		return rc;
	memcpy(open.d, out->dims, sizeof open.d);
	show(&open);
	row = dims_of_field(&f->info->x[x]);
	if (!tell_sizes(f, &open, &row))
		return pare_err_set(f->err, PARE_E_SHAPE, NULL, "a row of the data set has shape [%s], which does not tell the open sizes (-1) of the model's input \"%s\" of shape [N, %s]", row.text, out->name, open.text);
	memcpy(out->dims, open.d, sizeof out->dims);
	return PARE_OK;
}

enum pare_code pare_fit_open_sizes(struct pare_model *m, const struct pare_dataset *d, const struct pare_fit_options *opt, struct pare_err *err)
{
	static const struct pare_fit_options none = {.inputs = NULL};
	struct fitting f = {.data = d, .info = pare_data_info(d), .opt = opt != NULL ? opt : &none, .err = err};
	struct pare_row_shape rows[PARE_DATA_FIELDS];
	enum pare_code rc = PARE_OK;
	int n = 0;

	for (int i = 0; i < m->graph.n_inputs && i < PARE_DATA_FIELDS && rc == PARE_OK; i++) {
		if (!pare_graph_row(&m->graph, i, &rows[n]))
			continue;
		rc = open_input(&f, m->graph.n_inputs, &rows[n++]);
	}
	return rc == PARE_OK && n > 0 ? pare_model_set_rows(m, rows, n, err) : rc;
}

/* --- outputs */

/* [N, N] (each row with every other one) has no labels of a row. */
static bool is_trainable(const struct pare_net *net, int i)
{
	int64_t dims[PARE_MAX_DIMS];
	int n;

	(void)pare_net_output_shape(net, i, &n, dims);
	for (int k = 1; k < n; k++)
		if (dims[k] == PARE_DIM_UNKNOWN)
			return false;
	return pare_net_output_dtype(net, i) == PARE_DT_FLOAT && n > 0 && dims[0] == PARE_DIM_UNKNOWN;
}

/* Are the first dimensions of s those of p? */
static bool begins_with(const struct dims *s, const struct dims *p)
{
	return s->n >= p->n && memcmp(s->d, p->d, (size_t)p->n * sizeof p->d[0]) == 0;
}

static bool ends_with(const struct dims *s, const struct dims *p)
{
	return s->n >= p->n && memcmp(s->d + s->n - p->n, p->d, (size_t)p->n * sizeof p->d[0]) == 0;
}

static bool fit_positions(const struct fitting *f, struct pare_fit_output *o, const struct dims *out, const struct dims *row, const struct pare_data_field *y)
{
	struct dims labels = without_ones(row), s = *out;
	bool first, last;

	if (same_up_to_ones(out, row)) { /* one number a position: two classes, all labelled */
		o->task = PARE_TASK_MULTILABEL;
		o->width = (int64_t)elems(out);
		return y->n_classes <= 2 && y->n_ignored == 0;
	}
	if (out->n > labels.n + 1)
		s = without_ones(out);
	first = s.n == labels.n + 1 && begins_with(&s, &labels);
	last = s.n == labels.n + 1 && ends_with(&s, &labels);
	if (!first && !last)
		return false;
	o->turned = last && (!first || labels.n > 1);
	o->positions = (int64_t)elems(&labels);
	o->width = (int64_t)elems(out) / o->positions;
	o->kind = pare_net_output_kind_along(f->net, o->output, o->turned ? 1 : -1);
	return true;
}

/* By shape alone; how many classes there are is another question. */
static bool fit_shape(const struct fitting *f, struct pare_fit_output *o, const struct pare_data_field *y)
{
	struct dims out = dims_of_net(f->net, false, o->output), row = dims_of_field(y);

	o->task = y->task;
	o->positions = 1;
	o->turned = false;
	o->width = (int64_t)elems(&out);
	o->kind = pare_net_output_kind(f->net, o->output);
	if (y->task == PARE_TASK_SEQUENCE)
		return fit_positions(f, o, &out, &row, y);
	if (y->task != PARE_TASK_CLASSIFY)
		return (size_t)o->width == y->n_targets;
	if (o->width == 1 && y->n_classes <= 2)
		o->task = PARE_TASK_MULTILABEL;
	return true;
}

static enum pare_code misfit(const struct fitting *f, int output, const struct pare_data_field *y)
{
	struct dims out = dims_of_net(f->net, false, output), row = dims_of_field(y);
	const char *name = pare_net_output_name(f->net, output);

	if (y->task == PARE_TASK_SEQUENCE)
		return pare_err_set(f->err, PARE_E_SHAPE, NULL,
		    "labels of shape [%s] a row go with outputs [%s, classes] or [classes, %s] (one class a position); the model's output \"%s\" has [%s]; set data.task for other readings", row.text,
		    row.text, row.text, name, out.text);
	return pare_err_set(f->err, PARE_E_SHAPE, NULL, "the data set has %zu targets a row, the model's output \"%s\" has %zu numbers", y->n_targets, name, elems(&out));
}

static enum pare_code add_output(struct fitting *f, int output, int y)
{
	static const char *const losses[] = {[PARE_TASK_CLASSIFY] = "cross_entropy", [PARE_TASK_REGRESS] = "mse", [PARE_TASK_MULTILABEL] = "bce",
	    [PARE_TASK_SEQUENCE] = "cross_entropy"};
	struct pare_fit_output *o = &f->fit->outputs[f->fit->n_outputs];
	const struct pare_data_field *field = &f->info->y[y];

	*o = (struct pare_fit_output){.output = output, .y = y, .name = pare_net_output_name(f->net, output), .weight = 1};
	if (!is_trainable(f->net, output))
		return pare_err_set(f->err, PARE_E_INVALID, NULL, "output \"%s\" cannot be trained: it is not of floats with the batch first and nowhere else", o->name);
	if (!fit_shape(f, o, field))
		return misfit(f, output, field);
	if (pare_fit_by_class(o) && field->n_classes > o->width)
		return pare_err_set(f->err, PARE_E_LABEL, NULL, "the data set has class %d (\"%s\"), the model has %lld output%s (classes 0 to %lld)%s", field->n_classes - 1,
		    field->class_names[field->n_classes - 1], (long long)o->width, o->width == 1 ? "" : "s", (long long)o->width - 1,
		    o->width == 1 ? "; if the labels are numbers to predict, give the data set the task \"regress\"" : "");
	o->loss = pare_objective(losses[o->task]);
	f->taken[y] = true;
	f->fit->n_outputs++;
	return PARE_OK;
}

static enum pare_code add_named_outputs(struct fitting *f)
{
	enum pare_code rc = PARE_OK;
	char names[200];

	for (int k = 0; k < f->opt->n_outputs; k++) {
		int o = pare_net_n_outputs(f->net) - 1, y = pare_data_find_y(f->data, f->opt->outputs[k].array);

		while (o >= 0 && strcmp(pare_net_output_name(f->net, o), f->opt->outputs[k].model) != 0)
			o--;
		list_names(f, false, names);
		if (o < 0)
			return pare_err_set(f->err, PARE_E_INVALID, "/data/targets", "the model has no output \"%s\"", f->opt->outputs[k].model);
		if (y < 0)
			return pare_err_set(f->err, PARE_E_INVALID, "/data/targets", "there is no array \"%s\" of labels; there are %s", f->opt->outputs[k].array, names);
		rc = add_output(f, o, y);
		if (rc != PARE_OK)
			return rc;
	}
	for (int o = 0; o < pare_net_n_outputs(f->net) && f->opt->n_outputs == 0 && rc == PARE_OK; o++) {
		int y = pare_data_find_y(f->data, pare_net_output_name(f->net, o));

		if (y >= 0 && !f->taken[y])
			rc = add_output(f, o, y);
	}
	return rc;
}

/* The only labels need no name: they go with the first output that they fit. */
static enum pare_code add_only_output(struct fitting *f)
{
	struct pare_fit_output probe;
	int first = -1;

	for (int o = 0; o < pare_net_n_outputs(f->net); o++) {
		if (!is_trainable(f->net, o))
			continue;
		first = first < 0 ? o : first;
		probe = (struct pare_fit_output){.output = o};
		if (fit_shape(f, &probe, &f->info->y[0]) && (!pare_fit_by_class(&probe) || probe.width >= f->info->y[0].n_classes))
			return add_output(f, o, 0);
	}
	if (first < 0)
		return pare_err_set(f->err, PARE_E_SHAPE, NULL, "none of the model's %d outputs can be trained: one of floats with the batch first, and nowhere else, is needed", pare_net_n_outputs(f->net));
	return add_output(f, first, 0);
}

static enum pare_code bind_outputs(struct fitting *f)
{
	enum pare_code rc = add_named_outputs(f);

	if (rc == PARE_OK && f->fit->n_outputs == 0 && f->info->n_y == 1)
		rc = add_only_output(f);
	for (int y = 0; y < f->info->n_y && f->opt->n_outputs == 0 && rc == PARE_OK; y++)
		if (!f->taken[y])
			rc = pare_err_set(f->err, PARE_E_SHAPE, NULL, "no output of the model is called \"%s\", as these labels are: rename them or set data.targets", f->info->y[y].name);
	return rc;
}

enum pare_code pare_fit_make(const struct pare_net *net, const struct pare_dataset *d, const struct pare_fit_options *opt, struct pare_fit *out,
    struct pare_err *err)
{
	static const struct pare_fit_options none = {.inputs = NULL};
	struct fitting f = {.net = net, .data = d, .info = pare_data_info(d), .opt = opt != NULL ? opt : &none, .fit = out, .err = err};
	enum pare_code rc = PARE_OK;

	*out = (struct pare_fit){.n_inputs = pare_net_n_inputs(net)};
	if (out->n_inputs < 1 || out->n_inputs > PARE_DATA_FIELDS)
		return pare_err_set(err, PARE_E_SHAPE, NULL, "the model has %d inputs; 1 to %d are needed", out->n_inputs, PARE_DATA_FIELDS);
	for (int i = 0; i < out->n_inputs && rc == PARE_OK; i++)
		rc = bind_input(&f, i);
	return rc == PARE_OK ? bind_outputs(&f) : rc;
}

/* --- losses */

/* Targets can be soft labels when there are two or more of them. */
static bool suits(const struct pare_loss *loss, const struct pare_fit_output *o)
{
	return loss->labels == PARE_LABELS_ANY || pare_fit_by_class(o) || (o->task == PARE_TASK_REGRESS && o->width > 1);
}

static enum pare_code unsuited(const struct pare_loss *loss, const struct pare_fit_output *o, struct pare_err *err)
{
	return pare_err_set(err, PARE_E_INVALID, NULL, "%s needs classes, the labels of output \"%s\" are for %s", loss->name, o->name,
	    o->task == PARE_TASK_REGRESS ? "regression: use mse, mae or huber" : "single labels: use bce");
}

enum pare_code pare_fit_set_loss(struct pare_fit *fit, const char *output, const struct pare_objective *loss, double weight, struct pare_err *err)
{
	int n = 0;

	for (int i = 0; i < fit->n_outputs; i++) {
		struct pare_fit_output *o = &fit->outputs[i];

		if (output != NULL ? strcmp(o->name, output) != 0 : !suits(loss->loss, o))
			continue;
		if (!suits(loss->loss, o))
			return unsuited(loss->loss, o, err);
		o->loss = *loss;
		o->weight = weight;
		n++;
	}
	if (n > 0 || (output == NULL && fit->n_outputs == 0))
		return PARE_OK;
	if (output != NULL)
		return pare_err_set(err, PARE_E_INVALID, NULL, "no output \"%s\" has labels", output);
	return unsuited(loss->loss, &fit->outputs[0], err);
}

enum pare_code pare_fit_apply(const struct pare_fit *fit, struct pare_dataset *d, enum pare_normalize how, struct pare_err *err)
{
	enum pare_code rc = PARE_OK;

	for (int i = 0; i < fit->n_inputs && rc == PARE_OK; i++) {
		const struct pare_fit_input *in = &fit->inputs[i];

		rc = pare_data_normalize(d, in->x, in->integer ? PARE_NORM_NONE : how, err);
		if (rc == PARE_OK)
			rc = pare_data_layout(d, in->x, in->layout, err);
	}
	return rc;
}

/* Positions [first, first + n) of a row, all labelled; turned rows go through scratch. */
static double loss_of_run(const struct pare_fit_output *o, const float *out, int64_t first, int64_t n, const int32_t *classes, float scale, float *grad,
    float *scratch)
{
	float *g = grad != NULL ? scratch + n * o->width : NULL;
	double sum;

	if (!o->turned)
		return pare_loss_rows(&o->loss, o->kind, out + first * o->width, n, o->width, classes + first, NULL, scale, grad != NULL ? grad + first * o->width : NULL);
	for (int64_t j = 0; j < o->width; j++)
		for (int64_t i = 0; i < n; i++)
			scratch[i * o->width + j] = out[j * o->positions + first + i];
	sum = pare_loss_rows(&o->loss, o->kind, scratch, n, o->width, classes + first, NULL, scale, g);
	for (int64_t j = 0; g != NULL && j < o->width; j++)
		for (int64_t i = 0; i < n; i++)
			grad[j * o->positions + first + i] = g[i * o->width + j];
	return sum;
}

static int64_t tile(const struct pare_fit_output *o)
{
	int64_t n = TILE_FLOATS / o->width;

	return n < 1 ? 1 : n > TILE_MAX ? TILE_MAX : n;
}

static double loss_of_positions(const struct pare_fit_output *o, const float *out, const int32_t *classes, float scale, float *grad, float *scratch)
{
	int64_t most = o->turned ? tile(o) : o->positions;
	double sum = 0;

	if (grad != NULL)
		memset(grad, 0, (size_t)(o->positions * o->width) * sizeof *grad);
	for (int64_t first = 0, n; first < o->positions; first += n > 0 ? n : 1) {
		for (n = 0; n < most && first + n < o->positions && classes[first + n] >= 0;)
			n++;
		if (n > 0)
			sum += loss_of_run(o, out, first, n, classes, scale, grad, scratch);
	}
	return sum;
}

double pare_fit_loss(const struct pare_fit_output *o, const float *out, int64_t count, const int32_t *classes, const float *targets, float scale,
    float *grad, float *scratch)
{
	int64_t k = o->positions * o->width;
	double sum = 0;

	if (o->task != PARE_TASK_SEQUENCE)
		return pare_loss_rows(&o->loss, o->kind, out, count, o->width, classes, targets, scale, grad);
	assert(classes != NULL);
	for (int64_t i = 0; i < count; i++)
		sum += loss_of_positions(o, out + i * k, classes + i * o->positions, scale, grad != NULL ? grad + i * k : NULL, scratch);
	return sum;
}

size_t pare_fit_scratch(const struct pare_fit_output *o)
{
	return o->turned ? 2 * (size_t)(tile(o) * o->width) : 0;
}
