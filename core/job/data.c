/* The job's words about data, turned into what core/data and core/eval/fit take. */
#include <stdio.h>
#include <string.h>

#include "core/base/num.h"
#include "core/graph/graph_priv.h"
#include "core/job/job_priv.h"
#include "core/onnx/onnx.h"
#include "core/onnx/schema.h"
#include "core/onnx/wire.h"

static const struct pare_arg *list_of(const struct pare_args *a, const char *name)
{
	static const struct pare_arg none = {.n = 0};

	return pare_args_has(a, name) ? pare_args_get(a, name) : &none;
}

static enum pare_task task_of(const char *name)
{
	int task = 0;

	while (task + 1 < PARE_N_TASKS && strcmp(pare_task_names[task], name) != 0)
		task++;
	return (enum pare_task)task;
}

/* A file of the other end's, which nobody names in a result: it goes when the job does. */
static enum pare_code open_spill(void *ctx, int *out_fd, struct pare_err *err)
{
	struct job_worker *w = ctx;
	char name[32];

	(void)snprintf(name, sizeof name, "spill-%d", ++w->n_spills);
	return pare_link_open(&w->link, name, "application/octet-stream", out_fd, err);
}

enum pare_code job_open_data(struct job_worker *w, const struct pare_args *data, struct pare_dataset **out, struct pare_err *err)
{
	const struct pare_arg *inputs = list_of(data, "inputs"), *targets = list_of(data, "targets");
	struct pare_data_role roles[2 * PARE_DATA_FIELDS];
	struct pare_data_options opt = {.label = pare_args_str(data, "label"), .roles = roles, .task_given = pare_args_str(data, "task") != NULL,
	    .ignore_given = pare_args_has(data, "ignore_label")};
	struct pare_data_file files[PARE_MAX_INPUTS];
	int n = 0;

	for (size_t i = 0; i < inputs->n; i++)
		roles[opt.n_roles++] = (struct pare_data_role){pare_args_str(inputs->list[i], "array"), false};
	for (size_t i = 0; i < targets->n; i++)
		roles[opt.n_roles++] = (struct pare_data_role){pare_args_str(targets->list[i], "array"), true};
	if (opt.task_given)
		opt.task = task_of(pare_args_str(data, "task"));
	opt.mapped = true;
	opt.spill = open_spill;
	opt.spill_ctx = w;
	opt.max_spill_bytes = w->start.memory_bytes > 0 ? 2 * (size_t)w->start.memory_bytes : 0;
	opt.stream = strcmp(pare_args_str(data, "stream"), "always") == 0 ? PARE_STREAM_ALWAYS : strcmp(pare_args_str(data, "stream"), "never") == 0 ? PARE_STREAM_NEVER : PARE_STREAM_AUTO;
	if (opt.ignore_given)
		opt.ignore = pare_args_int(data, "ignore_label");
	for (int i = 0; i < w->start.n_inputs; i++)
		if (strcmp(w->start.inputs[i].role, "data") == 0)
			files[n++] = (struct pare_data_file){w->start.inputs[i].name, w->spans[i]};
	if (n == 0)
		return pare_err_set(err, PARE_E_DATASET, "/dataset", "no data files were given");
	return pare_data_open(files, n, &opt, out, err);
}

/* The texts that the model gives a class for its number: a vector that a node picks from, as exporters of classifiers write it. NULL: none. */
static const struct pare_tensor *class_texts(const struct pare_graph *g, int64_t n_classes)
{
	for (int32_t i = 0; i < g->n_nodes; i++) {
		const struct pare_node *n = &g->nodes[i];
		const struct pare_tensor *t = n->n_in == 2 && n->in[0] >= 0 ? g->values[n->in[0]].init : NULL;

		if (t != NULL && t->dtype == PARE_DT_STRING && t->n_elems == (size_t)n_classes && (strcmp(n->op_type, "Gather") == 0 || strcmp(n->op_type, "ArrayFeatureExtractor") == 0))
			return t;
	}
	return NULL;
}

/* Are the labels texts, and not numbers that name themselves? */
static bool has_texts(const struct pare_data_field *y)
{
	char number[24];

	for (int i = 0; i < y->n_classes && y->class_names != NULL; i++) {
		(void)snprintf(number, sizeof number, "%d", i);
		if (strcmp(number, y->class_names[i]) != 0)
			return true;
	}
	return false;
}

/* A table numbers its texts by itself, so they must come out as the model numbers them. */
static enum pare_code check_texts(const struct pare_model *m, const struct pare_fit_output *o, const struct pare_data_field *y, struct pare_err *err)
{
	const struct pare_tensor *t = o->task == PARE_TASK_CLASSIFY && has_texts(y) ? class_texts(&m->graph, o->width) : NULL;
	char theirs[PARE_NAME_SHOWN], ours[PARE_NAME_SHOWN];
	struct pare_field f;
	struct pare_wire w;
	int i = 0;

	if (t == NULL)
		return PARE_OK;
	pare_wire_init(&w, t->wire.data, t->wire);
	while (i < y->n_classes && pare_wire_next(&w, &f)) {
		char *text;
		bool same;

		if (f.number != TENSOR_STRING_DATA)
			continue;
		text = pare_strndup((const char *)f.span.data, f.span.len);
		if (text == NULL)
			return pare_err_nomem(err, f.span.len);
		same = strcmp(text, y->class_names[i]) == 0;
		(void)pare_name_shown(text, theirs);
		pare_free(text);
		if (!same)
			return pare_err_set(err, PARE_E_LABEL, NULL, "class %d is \"%s\" in the data set and \"%s\" in the model; texts are numbered in sorted order, so those of the model must all be there, and no others", i,
			    pare_name_shown(y->class_names[i], ours), theirs);
		i++;
	}
	return PARE_OK;
}

struct fit_words {
	struct pare_fit_pair inputs[PARE_DATA_FIELDS], outputs[PARE_DATA_FIELDS];
	struct pare_fit_options opt;
};

static void fit_words(const struct job_run *r, struct fit_words *out)
{
	const struct pare_args *data = pare_args_obj(pare_job_args(r->job), "data");
	const struct pare_arg *inputs = list_of(data, "inputs"), *targets = list_of(data, "targets");

	for (size_t i = 0; i < inputs->n; i++)
		out->inputs[i] = (struct pare_fit_pair){pare_args_str(inputs->list[i], "input"), pare_args_str(inputs->list[i], "array")};
	for (size_t i = 0; i < targets->n; i++)
		out->outputs[i] = (struct pare_fit_pair){pare_args_str(targets->list[i], "output"), pare_args_str(targets->list[i], "array")};
	out->opt = (struct pare_fit_options){.inputs = out->inputs, .outputs = out->outputs, .n_inputs = (int)inputs->n, .n_outputs = (int)targets->n,
	    .keep_layout = strcmp(pare_args_str(data, "layout"), "keep") == 0};
}

enum pare_code job_open_sizes(const struct job_run *r, struct pare_model *m, struct pare_err *err)
{
	struct fit_words words;

	fit_words(r, &words);
	return pare_fit_open_sizes(m, r->data, &words.opt, err);
}

size_t job_side_bytes(const struct job_run *r)
{
	size_t n = 0;

	for (int i = 0; i < r->n_side; i++)
		n += r->side[i].bytes.len;
	return n;
}

bool job_written_cap(const struct job_run *r, size_t *out)
{
	return pare_mul_size(r->model->file.len, 4, out) && pare_add_size(*out, job_side_bytes(r), out) && pare_add_size(*out, (size_t)16 << 20, out);
}

enum pare_code job_read_model(const struct job_run *r, const struct pare_buf *file, struct pare_model **out, struct pare_err *err)
{
	enum pare_code code = pare_onnx_read((struct pare_span){(const uint8_t *)file->data, file->len}, out, err);

	if (code == PARE_OK) /* what the job has not changed is where it was */
		code = pare_onnx_attach(*out, r->side, r->n_side, err);
	return code == PARE_OK ? job_open_sizes(r, *out, err) : code;
}

enum pare_code job_fit(struct job_run *r, struct pare_err *err)
{
	struct fit_words words;
	enum pare_code code;

	fit_words(r, &words);
	code = pare_fit_make(r->net, r->data, &words.opt, &r->fit, err);
	for (int i = 0; i < r->fit.n_outputs && code == PARE_OK; i++)
		code = check_texts(r->model, &r->fit.outputs[i], &pare_data_info(r->data)->y[r->fit.outputs[i].y], err);
	r->fit.cancel = job_cancel_flag();
	return code;
}

static bool has_param(const struct pare_args *a, const char *name)
{
	for (const struct pare_param *p = a->method->params; p != NULL && p->name != NULL; p++)
		if (strcmp(p->name, name) == 0)
			return pare_args_has(a, name);
	return false;
}

struct pare_objective job_objective(const struct pare_args *loss)
{
	struct pare_objective o = pare_objective(loss->method->name);

	if (has_param(loss, "smoothing"))
		o.smoothing = pare_args_num(loss, "smoothing");
	if (has_param(loss, "delta"))
		o.delta = pare_args_num(loss, "delta");
	if (has_param(loss, "class_weights")) {
		o.class_weights = pare_args_get(loss, "class_weights")->nums;
		o.n_class_weights = pare_args_get(loss, "class_weights")->n;
	}
	return o;
}

static struct pare_objective present_loss(const struct pare_fit *fit, const char *output)
{
	for (int i = 0; i < fit->n_outputs; i++)
		if (strcmp(fit->outputs[i].name, output) == 0)
			return fit->outputs[i].loss;
	return pare_objective("mse");
}

enum pare_code job_fit_losses(const struct job_run *r, const struct pare_args *train, struct pare_fit *out, struct pare_err *err)
{
	const struct pare_arg *losses = list_of(train, "losses");
	struct pare_objective loss;
	enum pare_code code = PARE_OK;

	*out = r->fit;
	if (pare_args_has(train, "loss")) {
		loss = job_objective(pare_args_obj(train, "loss"));
		code = pare_fit_set_loss(out, NULL, &loss, 1, err);
	}
	if (code != PARE_OK)
		return pare_err_at(err, "/loss");
	for (size_t i = 0; i < losses->n; i++) {
		const struct pare_args *l = losses->list[i];
		const char *output = pare_args_str(l, "output");

		loss = pare_args_has(l, "loss") ? job_objective(pare_args_obj(l, "loss")) : present_loss(out, output);
		code = pare_fit_set_loss(out, output, &loss, pare_args_num(l, "weight"), err);
		if (code != PARE_OK)
			return pare_err_at(err, "/losses/%zu", i);
	}
	return code;
}
