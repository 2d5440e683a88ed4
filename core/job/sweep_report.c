/* What reports say of a sweep: every variant with its mean and range, and a picture. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "core/base/mem.h"
#include "core/job/sweep_priv.h"
#include "core/recipe/json_text.h"

static bool has_figures(const struct job_trial *t)
{
	return t->runs > t->failed;
}

static void write_values(const struct job_run *r, struct pare_buf *b, int i)
{
	pare_json_key_raw(b, "values", "[");
	for (size_t k = 0; k < pare_sweep_axes(r->own_job); k++) {
		struct pare_sweep_value v;

		pare_sweep_value(r->own_job, (size_t)i, k, &v);
		pare_json_sep(b);
		pare_buf_str(b, "{");
		pare_json_key_str(b, "parameter", v.parameter);
		if (v.name != NULL)
			pare_json_key_str(b, "value", v.name);
		else
			pare_json_key_num(b, "value", v.number);
		pare_buf_str(b, "}");
	}
	pare_buf_str(b, "]");
}

static void write_trial(const struct job_run *r, struct pare_buf *b, int i)
{
	const struct job_trial *t = &r->sweep->trials[i];
	double none = has_figures(t) ? 0 : NAN;

	pare_json_sep(b);
	pare_buf_str(b, "{");
	pare_json_key_str(b, "recipe", pare_sweep_recipe(r->own_job, (size_t)i));
	write_values(r, b, i);
	pare_json_key_int(b, "runs", t->runs);
	pare_json_key_int(b, "failed", t->failed);
	pare_json_key_num(b, "epochs_share", t->epochs);
	pare_json_key_num(b, "mean", t->mean + none);
	pare_json_key_num(b, "low", t->low + none);
	pare_json_key_num(b, "high", t->high + none);
	pare_json_key_num(b, "loss", t->loss + none);
	pare_json_key_num(b, "sparsity", t->sparsity + none);
	pare_json_key_num(b, "n_weights", t->weights + none);
	if (t->failed > 0)
		pare_json_key_str(b, "error", t->error);
	pare_buf_str(b, "}");
}

void job_write_sweep(const struct job_run *r, struct pare_buf *b)
{
	const struct job_sweep *s = r->sweep;

	if (s == NULL) {
		pare_json_key_raw(b, "sweep", "null");
		return;
	}
	pare_json_key_raw(b, "sweep", "{");
	pare_json_key_str(b, "metric", pare_metrics_headline_name(s->task));
	pare_json_key_str(b, "judged_on", s->shape.n_folds > 0 ? "held-out folds" : "validation rows");
	pare_json_key_int(b, "folds", s->shape.n_folds);
	pare_json_key_int(b, "seeds", s->shape.n_seeds);
	pare_json_key_str(b, "pick", pare_args_str(s->args, "pick"));
	pare_json_key_int(b, "chosen", s->chosen);
	pare_json_key_raw(b, "trials", "[");
	for (int i = 0; i < s->n_trials; i++)
		write_trial(r, b, i);
	pare_buf_str(b, "]}");
}

/* --- for people */

static void columns(const struct job_run *r, struct job_doc *d)
{
	const struct job_sweep *s = r->sweep;

	job_doc_table(d);
	if (pare_sweep_recipe(r->own_job, 0) != NULL)
		job_doc_column(d, false, "recipe");
	for (size_t k = 0; k < pare_sweep_axes(r->own_job); k++) {
		struct pare_sweep_value v;

		pare_sweep_value(r->own_job, 0, k, &v);
		job_doc_column(d, true, "%.60s", v.parameter);
	}
	job_doc_column(d, true, "runs");
	job_doc_column(d, true, "mean %s", pare_metrics_headline_name(s->task));
	job_doc_column(d, true, "range");
	job_doc_column(d, true, "loss");
	job_doc_column(d, true, "sparsity");
	job_doc_column(d, false, "%s", "");
}

static void row(const struct job_run *r, struct job_doc *d, int i)
{
	const struct job_sweep *s = r->sweep;
	const struct job_trial *t = &s->trials[i];
	const char *recipe = pare_sweep_recipe(r->own_job, (size_t)i);

	if (pare_sweep_recipe(r->own_job, 0) != NULL)
		job_doc_cell(d, "%.60s", recipe != NULL ? recipe : "written out");
	for (size_t k = 0; k < pare_sweep_axes(r->own_job); k++) {
		struct pare_sweep_value v;

		pare_sweep_value(r->own_job, (size_t)i, k, &v);
		if (v.name != NULL)
			job_doc_cell(d, "%.60s", v.name);
		else
			job_doc_cell(d, "%.6g", v.number);
	}
	job_doc_cell(d, "%d", t->runs);
	if (has_figures(t)) {
		job_doc_cell(d, "%.4f", t->mean);
		job_doc_cell(d, "%.4f to %.4f", t->low, t->high);
		job_doc_cell(d, "%.5f", t->loss);
		job_doc_cell(d, "%.2f %%", 100 * t->sparsity);
	}
	for (int k = 0; k < 4 && !has_figures(t); k++)
		job_doc_cell(d, "%s", "-");
	if (i == s->chosen)
		job_doc_cell(d, "chosen");
	else if (t->epochs < 1)
		job_doc_cell(d, "stopped early, at %.3g of the epochs", t->epochs);
	else
		job_doc_cell(d, "%s", t->failed > 0 ? t->error : "");
}

/* Quality against sparsity: means as dots, and the ends of their ranges. */
static enum pare_code plot(const struct job_run *r, struct job_doc *d, struct pare_err *err)
{
	const struct job_sweep *s = r->sweep;
	size_t n = (size_t)s->n_trials;
	double *xy = pare_calloc(n, 4 * sizeof *xy);
	struct job_plot p = {.title = "Variants: means and ranges", .x_label = "sparsity", .y_label = pare_metrics_headline_name(s->task), .n_series = 3};

	if (xy == NULL)
		return pare_err_nomem(err, n * 4 * sizeof *xy);
	for (size_t i = 0; i < n; i++) {
		const struct job_trial *t = &s->trials[i];
		double none = has_figures(t) ? 0 : NAN;

		xy[i] = t->sparsity + none;
		xy[n + i] = t->mean + none;
		xy[2 * n + i] = t->low + none;
		xy[3 * n + i] = t->high + none;
	}
	p.series[0] = (struct job_series){.label = "mean", .x = xy, .y = xy + n, .n = (int)n, .dots = true};
	p.series[1] = (struct job_series){.label = "lowest", .x = xy, .y = xy + 2 * n, .n = (int)n, .dots = true};
	p.series[2] = (struct job_series){.label = "highest", .x = xy, .y = xy + 3 * n, .n = (int)n, .dots = true};
	job_doc_plot(d, &p);
	pare_free(xy);
	return PARE_OK;
}

enum pare_code job_sweep_document(const struct job_run *r, struct job_doc *d, struct pare_err *err)
{
	const struct job_sweep *s = r->sweep;

	if (s == NULL)
		return PARE_OK;
	job_doc_heading(d, "Sweep");
	job_doc_text(d, "%d variants were tried%s%s and judged on %s; the one chosen was then run as this job. Test rows took no part.", s->n_trials, s->shape.n_seeds > 1 ? " with several seeds" : "",
	    s->shape.eta > 1 ? ", hopeless ones for fewer epochs," : "", s->shape.n_folds > 0 ? "held-out folds" : "the validation rows");
	columns(r, d);
	for (int i = 0; i < s->n_trials; i++)
		row(r, d, i);
	job_doc_table_end(d);
	return d->kind == JOB_DOC_HTML ? plot(r, d, err) : PARE_OK;
}
