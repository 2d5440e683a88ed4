/* report.md and report.html: the figures of report.json for people, and only those a person decides by. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "core/base/mem.h"
#include "core/job/doc.h"
#include "core/job/job_priv.h"

#define MAX_ROWS 200     /* of a table; the rest stands in report.json */
#define MAX_CONFUSION 20 /* classes */

struct metric_words {
	const char *metric, *validation, *quality, *rounds;
};

/* Of the figure that stands for the others (pare_metrics_headline). */
static const struct metric_words *words(const struct job_run *r)
{
	static const struct metric_words accuracy = {"accuracy", "validation accuracy", "Accuracy and sparsity", "Accuracy against sparsity, each round before its recovery"},
	                                 f1 = {"micro F1", "validation micro F1", "Micro F1 and sparsity", "Micro F1 against sparsity, each round before its recovery"},
	                                 r2 = {"R2", "validation R2", "R2 and sparsity", "R2 against sparsity, each round before its recovery"};
	enum pare_task task = r->verdict_final.judged.task;

	return task == PARE_TASK_REGRESS ? &r2 : task == PARE_TASK_MULTILABEL ? &f1 : &accuracy;
}

static bool classifies(const struct job_run *r)
{
	return r->verdict_final.judged.task == PARE_TASK_CLASSIFY;
}

static void figure(struct job_doc *d, const char *label, const char *fmt, double before, double after)
{
	char text[2][64];

	(void)snprintf(text[0], sizeof text[0], fmt, before);
	(void)snprintf(text[1], sizeof text[1], fmt, after);
	if (isnan(before)) /* there was none */
		text[0][0] = '\0';
	job_doc_cell(d, "%s", label);
	job_doc_cell(d, "%s", text[0]);
	job_doc_cell(d, "%s", text[1]);
}

/* of: which output, where there are several. */
static void output_figures(struct job_doc *d, const struct pare_metrics *v, const struct pare_metrics *f, const char *of)
{
	const struct {
		const char *label, *fmt;
		double before, after;
		bool shown;
	} rows[] = {
	    {"R2", "%.4f", v->r2, f->r2, f->task == PARE_TASK_REGRESS},
	    {"mean squared error", "%.5g", v->mse, f->mse, f->task == PARE_TASK_REGRESS},
	    {"mean absolute error", "%.5g", v->mae, f->mae, f->task == PARE_TASK_REGRESS},
	    {"accuracy, %", "%.2f", 100 * v->accuracy, 100 * f->accuracy, f->task != PARE_TASK_REGRESS},
	    {"macro F1", "%.4f", v->macro_f1, f->macro_f1, f->task != PARE_TASK_REGRESS},
	    {"micro F1", "%.4f", v->micro_f1, f->micro_f1, f->task == PARE_TASK_MULTILABEL},
	    {"mean IoU", "%.4f", v->mean_iou, f->mean_iou, f->task == PARE_TASK_SEQUENCE},
	};
	char label[128];

	for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
		(void)snprintf(label, sizeof label, "%s%s", rows[i].label, of);
		if (rows[i].shown)
			figure(d, label, rows[i].fmt, rows[i].before, rows[i].after);
	}
}

static void figures(const struct job_run *r, struct job_doc *d)
{
	const struct job_verdict *v = &r->verdict_dense, *f = &r->verdict_final;
	const struct pare_metrics *vm = &v->judged, *fm = &f->judged;

	job_doc_table(d);
	job_doc_column(d, false, "%s", "");
	job_doc_column(d, true, "before");
	job_doc_column(d, true, "after");
	output_figures(d, vm, fm, "");
	for (int i = 0; i < fm->n_others; i++) {
		char of[80];

		(void)snprintf(of, sizeof of, " of output %.60s", fm->others[i].output);
		output_figures(d, &vm->others[i], &fm->others[i], of);
	}
	figure(d, "loss", "%.5f", vm->loss, fm->loss);
	figure(d, "parameters", "%.0f", (double)v->n_params, (double)f->n_params);
	figure(d, "non-zero parameters", "%.0f", (double)v->n_nonzero_params, (double)f->n_nonzero_params);
	figure(d, "non-zero weights", "%.0f", (double)v->n_nonzero_weights, (double)f->n_nonzero_weights);
	figure(d, "multiply-accumulates", "%.0f", (double)v->macs, (double)f->macs);
	figure(d, "of them not with zero", "%.0f", v->macs_nonzero, f->macs_nonzero);
	figure(d, "file, bytes", "%.0f", (double)r->in_bytes, (double)r->out_bytes);
	if (r->packed_bytes > 0)
		figure(d, "the same, entropy coded (model.packed)", "%.0f", NAN, (double)r->packed_bytes);
	figure(d, "latency of one row in this engine, ms", "%.3f", v->latency_ms, f->latency_ms);
	job_doc_table_end(d);
}

static void drop(const struct job_run *r, struct job_doc *d)
{
	const struct pare_paired *p = &r->paired;
	struct job_requirement q;

	if (classifies(r))
		job_doc_text(d,
		    "Accuracy drops by %.2f points (95 %% interval %.2f to %.2f). Of %lld rows only the dense model has %lld right and only the final one "
		    "%lld (exact McNemar p = %.3g); the two disagree on %.2f %% of the rows.",
		    100 * p->drop, 100 * p->drop_low, 100 * p->drop_high, (long long)p->n, (long long)p->only_before, (long long)p->only_after, p->mcnemar_p, 100 * p->churn);
	job_requirement(r, &q);
	if (q.met != JOB_NOT_ASKED)
		job_doc_verdict(d, q.met == JOB_MET, "Requirement %s: %s. %s may %s by at most %.5g; %s is %.5g.", q.met == JOB_MET ? "met" : "missed",
		    q.met == JOB_MET ? "accept" : "reject", q.metric, strcmp(q.metric, "loss") == 0 ? "rise" : "drop", q.limit,
		    q.by_interval ? "the upper end of its interval" : "the measured change", q.judged);
}

static void record_name(const struct job_record *c, char *out, size_t n)
{
	if (c->folds > 0)
		(void)snprintf(out, n, "%d-fold cross-validation, %.4f to %.4f", c->folds, c->low, c->high);
	else if (c->round > 0)
		(void)snprintf(out, n, "round %d", c->round);
	else
		(void)snprintf(out, n, "evaluation");
}

static void rounds(const struct job_run *r, struct job_doc *d)
{
	if (r->n_records == 0)
		return;
	job_doc_heading(d, "On the way (validation rows)");
	job_doc_table(d);
	job_doc_column(d, true, "step");
	job_doc_column(d, false, "what");
	job_doc_column(d, true, "sparsity");
	job_doc_column(d, true, "%s", words(r)->metric);
	job_doc_column(d, true, "loss");
	for (int i = 0; i < r->n_records && i < MAX_ROWS; i++) {
		const struct job_record *c = &r->records[i];
		char name[96];

		record_name(c, name, sizeof name);
		job_doc_cell(d, "%zu", c->step + 1);
		job_doc_cell(d, "%s", name);
		job_doc_cell(d, "%.2f %%", 100 * c->sparsity);
		job_doc_cell(d, "%.4f", c->accuracy);
		job_doc_cell(d, "%.5f", c->loss);
	}
	job_doc_table_end(d);
}

static double layer_sparsity(const struct pare_param_info *p, int64_t n_nonzero)
{
	return p->n_elems > 0 ? 1 - (double)n_nonzero / (double)p->n_elems : 0;
}

static void layers(const struct job_run *r, struct job_doc *d)
{
	int n = pare_net_n_params(r->net), shown = 0, left = 0;

	job_doc_heading(d, "Layers");
	job_doc_table(d);
	job_doc_column(d, false, "tensor");
	job_doc_column(d, false, "shape");
	job_doc_column(d, true, "weights");
	job_doc_column(d, true, "non-zero");
	job_doc_column(d, true, "sparsity");
	for (int i = 0; i < n; i++) {
		const struct pare_param_info *p = pare_net_param(r->net, i);
		int64_t n_nonzero = job_count_nonzero(r->final + p->offset, p->n_elems);
		char shape[PARE_MAX_DIMS * 24] = "";

		left += !p->buffer && shown == MAX_ROWS;
		if (p->buffer || shown == MAX_ROWS)
			continue;
		shown++;
		for (int k = 0; k < p->n_dims; k++)
			(void)snprintf(shape + strlen(shape), sizeof shape - strlen(shape), "%s%lld", k > 0 ? " x " : "", (long long)p->dims[k]);
		job_doc_cell(d, "%.80s", p->name);
		job_doc_cell(d, "%s", shape);
		job_doc_cell(d, "%zu", p->n_elems);
		job_doc_cell(d, "%lld", (long long)n_nonzero);
		job_doc_cell(d, "%.2f %%", 100 * layer_sparsity(p, n_nonzero));
	}
	job_doc_table_end(d);
	if (left > 0)
		job_doc_text(d, "%d more tensors stand in report.json.", left);
}

static const char *class_name(const struct job_run *r, int i)
{
	const struct pare_data_field *y = &pare_data_info(r->data)->y[r->fit.outputs[0].y];

	return i < y->n_classes ? y->class_names[i] : "?";
}

static double hit_rate(const struct pare_metrics *m, int i)
{
	return m->class_rows[i] > 0 ? (double)m->class_hits[i] / (double)m->class_rows[i] : NAN;
}

static void classes(const struct job_run *r, struct job_doc *d)
{
	const struct pare_metrics *before = &r->verdict_dense.judged, *after = &r->verdict_final.judged;

	if (!classifies(r))
		return;
	job_doc_heading(d, "Classes");
	job_doc_table(d);
	job_doc_column(d, false, "class");
	job_doc_column(d, true, "rows");
	job_doc_column(d, true, "accuracy before");
	job_doc_column(d, true, "after");
	for (int i = 0; i < after->n_classes && i < MAX_ROWS; i++) {
		job_doc_cell(d, "%.40s", class_name(r, i));
		job_doc_cell(d, "%lld", (long long)after->class_rows[i]);
		job_doc_cell(d, "%.2f %%", 100 * hit_rate(before, i));
		job_doc_cell(d, "%.2f %%", 100 * hit_rate(after, i));
	}
	job_doc_table_end(d);
	if (after->n_classes > MAX_ROWS)
		job_doc_text(d, "%d more classes stand in report.json.", after->n_classes - MAX_ROWS);
}

static void confusion(const struct job_run *r, struct job_doc *d)
{
	const struct pare_metrics *m = &r->verdict_final.judged;

	if (m->confusion == NULL || m->n_classes > MAX_CONFUSION)
		return;
	job_doc_heading(d, "Confusion after pruning (rows: actual, columns: predicted)");
	job_doc_table(d);
	job_doc_column(d, false, "%s", "");
	for (int j = 0; j < m->n_classes; j++)
		job_doc_column(d, true, "%.40s", class_name(r, j));
	for (int i = 0; i < m->n_classes; i++) {
		job_doc_cell(d, "%.40s", class_name(r, i));
		for (int j = 0; j < m->n_classes; j++)
			job_doc_cell(d, "%lld", (long long)m->confusion[i * m->n_classes + j]);
	}
	job_doc_table_end(d);
}

/* What the result is compared with. */
static const char *before(const struct job_factored *f)
{
	if (f->source != NULL && f->uploaded == NULL)
		return "model as it was uploaded";
	return f->uploaded != NULL && f->dense == NULL ? "dense model just before it was factorized" : "dense model just before its first weight was removed";
}

static void conditions(const struct job_run *r, struct job_doc *d)
{
	static const char *const apply[] = {[PARE_NORM_AUTO] = "", [PARE_NORM_NONE] = "none: the model takes the values as they are",
	    [PARE_NORM_UNIT] = "divide the 8-bit values by 255 before the model", [PARE_NORM_STANDARD] = "(x - mean) / std per feature before the model; mean and std stand in report.json"};

	job_doc_heading(d, "Conditions");
	job_doc_item(d, "Figures are of the %s rows; %u rows trained, %u validation, %u test.", job_split_name(r->judged), job_n_rows(r, PARE_SPLIT_TRAIN),
	    job_n_rows(r, PARE_SPLIT_VALIDATION), job_n_rows(r, PARE_SPLIT_TEST));
	job_doc_item(d, "\"Before\" is the %s.", before(&r->factored));
	job_doc_item(d, "Normalisation: %s.", apply[pare_data_normalization(r->data, r->fit.inputs[0].x)]);
}

/* --- pictures, of the page only */

static void plot_history(const struct job_run *r, struct job_doc *d)
{
	const struct job_history *h = &r->history;
	struct job_plot loss = {.title = "Loss", .x_label = "epochs", .y_label = "loss", .n_series = 2,
	    .series = {{.label = "training", .x = h->epochs, .y = h->train_loss, .n = h->n}, {.label = "validation", .x = h->epochs, .y = h->loss, .n = h->n}}};
	struct job_plot quality = {.title = words(r)->quality, .x_label = "epochs", .y_label = "share", .n_series = 2,
	    .series = {{.label = words(r)->validation, .x = h->epochs, .y = h->accuracy, .n = h->n},
	        {.label = "sparsity", .x = h->epochs, .y = h->sparsity, .n = h->n}}};

	job_doc_plot(d, &loss);
	job_doc_plot(d, &quality);
}

static enum pare_code plot_rounds(const struct job_run *r, struct job_doc *d, struct pare_err *err)
{
	size_t n = (size_t)r->n_records;
	double *xy = pare_calloc(2 * n + 1, sizeof *xy);
	struct job_plot p = {.title = words(r)->rounds,
	    .x_label = "sparsity", .y_label = words(r)->validation, .n_series = 1};
	int k = 0;

	if (xy == NULL)
		return pare_err_nomem(err, 2 * n * sizeof *xy);
	for (size_t i = 0; i < n; i++)
		if (r->records[i].round > 0) {
			xy[k] = r->records[i].sparsity;
			xy[n + (size_t)k++] = r->records[i].accuracy;
		}
	p.series[0] = (struct job_series){.label = "round", .x = xy, .y = xy + n, .n = k, .dots = true};
	job_doc_plot(d, &p);
	pare_free(xy);
	return PARE_OK;
}

static enum pare_code plot_layers(const struct job_run *r, struct job_doc *d, struct pare_err *err)
{
	size_t n = (size_t)pare_net_n_params(r->net);
	double *shares = pare_calloc(n + 1, sizeof *shares);
	const char **labels = pare_calloc(n + 1, sizeof *labels);
	struct job_bars bars = {.title = "Sparsity by layer", .labels = labels, .shares = shares};

	if (shares == NULL || labels == NULL) {
		pare_free(shares);
		pare_free(labels);
		return pare_err_nomem(err, n * sizeof *shares);
	}
	for (size_t i = 0; i < n; i++) {
		const struct pare_param_info *p = pare_net_param(r->net, (int)i);

		if (!p->prunable)
			continue;
		labels[bars.n] = p->name;
		shares[bars.n++] = layer_sparsity(p, job_count_nonzero(r->final + p->offset, p->n_elems));
	}
	job_doc_bars(d, &bars);
	pare_free(shares);
	pare_free(labels);
	return PARE_OK;
}

static enum pare_code pictures(const struct job_run *r, struct job_doc *d, struct pare_err *err)
{
	enum pare_code code;

	if (d->kind != JOB_DOC_HTML)
		return PARE_OK;
	plot_history(r, d);
	code = plot_rounds(r, d, err);
	return code == PARE_OK ? plot_layers(r, d, err) : code;
}

enum pare_code job_write_document(const void *ctx, struct job_doc *d, struct pare_err *err)
{
	const struct job_run *r = ctx;
	enum pare_code code;

	job_doc_fewer(d, r->verdict_dense.n_weights, r->verdict_final.n_nonzero_weights);
	figures(r, d);
	drop(r, d);
	code = job_sweep_document(r, d, err);
	if (code == PARE_OK)
		code = job_search_document(r, d, err);
	if (code == PARE_OK)
		code = pictures(r, d, err);
	rounds(r, d);
	job_factors_document(r, d);
	job_structures_document(r, d);
	layers(r, d);
	classes(r, d);
	confusion(r, d);
	conditions(r, d);
	return code;
}
