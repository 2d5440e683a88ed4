/* What reports say of a search. */
#include <math.h>
#include <string.h>

#include "core/base/mem.h"
#include "core/job/search_priv.h"
#include "core/recipe/json_text.h"

static const char *judged_by(const struct job_search *s)
{
	return s->by_interval ? "upper end of the 95 % interval" : "measured drop";
}

/* How far the chosen one is beyond the floor; 0 or less: it holds. */
static double missed_by(const struct job_search *s)
{
	return s->points[s->chosen].validation.judged - s->limit;
}

/* --- report.json */

static void write_floor(struct pare_buf *b, const char *key, const struct job_floor *f)
{
	pare_json_key_raw(b, key, "{");
	pare_json_key_num(b, "value", f->value);
	pare_json_key_num(b, "drop", f->drop);
	if (!isnan(f->high)) {
		pare_json_key_num(b, "drop_low", f->low);
		pare_json_key_num(b, "drop_high", f->high);
	}
	pare_buf_str(b, "}");
}

static void write_point(const struct job_run *r, struct pare_buf *b, int i)
{
	const struct job_point *p = &r->search->points[i];

	pare_json_sep(b);
	pare_buf_str(b, "{");
	pare_json_key_num(b, "sparsity", p->sparsity);
	pare_json_key_int(b, "n_weights", p->n_weights);
	pare_json_key_int(b, "macs", (int64_t)llround(p->macs));
	pare_json_key_int(b, "packed_bytes", p->bytes);
	pare_json_key_num(b, "size", p->size);
	pare_json_key_int(b, "epochs", p->epochs);
	write_floor(b, "validation", &p->validation);
	pare_json_key_bool(b, "held", p->held);
	pare_json_key_bool(b, "chosen", i == r->search->chosen);
	pare_json_key_bool(b, "front", job_on_front(r->search, i));
	pare_json_key_str(b, "artifact", job_wants(r, "onnx") ? p->artifact : NULL);
	if (p->artifact != NULL) {
		write_floor(b, job_split_name(r->judged), &p->judged);
		pare_json_key_int(b, "file_macs", p->file_macs);
		pare_json_key_int(b, "file_bytes", p->file_bytes);
		pare_json_key_num(b, "latency_ms", p->latency_ms);
	}
	pare_buf_str(b, "}");
}

void job_write_curve(struct pare_buf *b, const struct pare_curve *c)
{
	pare_json_key_raw(b, "left", "[");
	for (int i = 0; i < c->n; i++) {
		pare_json_sep(b);
		pare_json_num(b, c->left[i]);
	}
	pare_buf_str(b, "]");
	pare_json_key_raw(b, "loss_rise", "[");
	for (int i = 0; i < c->n; i++) {
		pare_json_sep(b);
		pare_json_num(b, c->harm[i]);
	}
	pare_buf_str(b, "]");
}

void job_write_search(const struct job_run *r, struct pare_buf *b)
{
	const struct job_search *s = r->search;

	if (s == NULL) {
		pare_json_key_raw(b, "search", "null");
		return;
	}
	pare_json_key_raw(b, "search", "{");
	pare_json_key_str(b, "objective", pare_args_str(s->args, "objective"));
	pare_json_key_str(b, "granularity", pare_args_str(s->args, "granularity"));
	pare_json_key_str(b, "metric", s->metric);
	pare_json_key_num(b, "max_drop", s->limit);
	pare_json_key_str(b, "judged_by", judged_by(s));
	pare_json_key_bool(b, "too_few_rows", s->too_few);
	pare_json_key_bool(b, "met", s->points[s->chosen].held);
	pare_json_key_num(b, "missed_by", s->points[s->chosen].held ? 0 : missed_by(s));
	pare_json_key_int(b, "chosen", s->chosen);
	pare_json_key_str(b, "allocation", s->allocates ? "sensitivity" : "ranking");
	if (s->loss_ranked > 0) {
		pare_json_key_num(b, "loss_by_ranking", s->loss_ranked);
		pare_json_key_num(b, "loss_by_sensitivity", s->loss_allocated);
	}
	pare_json_key_raw(b, "points", "[");
	for (int i = 0; i < s->n_points; i++)
		write_point(r, b, i);
	pare_buf_str(b, "]");
	pare_json_key_raw(b, "sensitivity", "[");
	for (int k = 0; k < s->n_layers; k += s->stride) {
		pare_json_sep(b);
		pare_buf_str(b, "{");
		pare_json_key_str(b, "layer", pare_net_param(r->net, s->layers[k])->name);
		job_write_curve(b, &s->curves[k]);
		pare_buf_str(b, "}");
	}
	pare_buf_str(b, "]}");
}

/* --- for people */

static void verdict(const struct job_run *r, struct job_doc *d)
{
	const struct job_search *s = r->search;
	const struct job_point *c = &s->points[s->chosen];

	if (c->held)
		job_doc_verdict(d, true, "The smallest of %d models that holds the floor on the validation rows has %.2f %% of the %s of the dense one (%.1f times smaller).",
		    s->n_points, 100 * c->size, pare_args_str(s->args, "objective"), 1 / c->size);
	else
		job_doc_verdict(d, false, "No model holds the floor on the validation rows. The nearest of %d is kept: it misses by %.5g (%s %.5g, at most %.5g is allowed).",
		    s->n_points, missed_by(s), judged_by(s), c->validation.judged, s->limit);
	if (s->too_few)
		job_doc_text(d, "There are too few validation rows to decide by an interval: it would be wider than the floor even for a model that does not change. "
		    "The measured drop decided; the test rows may say otherwise.");
	if (s->loss_ranked > 0)
		job_doc_text(d, "Sizes of layers follow from %s: before any training the loss is %.4g with one ranking over all layers and %.4g with sizes by sensitivity.",
		    s->allocates ? "their sensitivity" : "the ranking", s->loss_ranked, s->loss_allocated);
}

static void interval(struct job_doc *d, const struct job_floor *f)
{
	if (isnan(f->high))
		job_doc_cell(d, "%.4f", f->drop);
	else
		job_doc_cell(d, "%.4f (%.4f to %.4f)", f->drop, f->low, f->high);
}

/* The points, largest first; NULL without memory. */
static int *by_size(const struct job_search *s)
{
	int *order = pare_calloc((size_t)s->n_points, sizeof *order);

	for (int i = 0; order != NULL && i < s->n_points; i++) {
		int at = i;

		for (; at > 0 && s->points[order[at - 1]].size < s->points[i].size; at--)
			order[at] = order[at - 1];
		order[at] = i;
	}
	return order;
}

static void table(const struct job_run *r, struct job_doc *d, const int *order)
{
	const struct job_search *s = r->search;

	job_doc_table(d);
	job_doc_column(d, false, "model");
	job_doc_column(d, true, "sparsity");
	job_doc_column(d, true, "weights");
	job_doc_column(d, true, "multiply-accumulates");
	job_doc_column(d, true, "drop on validation rows");
	job_doc_column(d, false, "holds");
	job_doc_column(d, true, "%s on %s rows", s->metric, job_split_name(r->judged));
	job_doc_column(d, true, "drop there");
	job_doc_column(d, true, "file, bytes");
	job_doc_column(d, true, "ms");
	for (int k = 0; k < s->n_points; k++) {
		int i = order[k];
		const struct job_point *p = &s->points[i];

		if (p->artifact == NULL)
			continue;
		job_doc_cell(d, "%s%s", p->artifact, i == s->chosen ? " (chosen)" : i == 0 ? " (dense)" : "");
		job_doc_cell(d, "%.2f %%", 100 * p->sparsity);
		job_doc_cell(d, "%lld", (long long)p->n_weights);
		job_doc_cell(d, "%.0f", p->macs);
		interval(d, &p->validation);
		job_doc_cell(d, "%s", p->held ? "yes" : "no");
		job_doc_cell(d, "%.4f", p->judged.value);
		interval(d, &p->judged);
		job_doc_cell(d, "%lld", (long long)p->file_bytes);
		job_doc_cell(d, "%.3f", p->latency_ms);
	}
	job_doc_table_end(d);
}

/* xy: 4 columns of n_points. */
static void draw(const struct job_search *s, struct job_doc *d, double *xy, const int *order)
{
	int n = s->n_points, k = 0;
	double *x = xy, *y = xy + n, *front_x = xy + 2 * n, *front_y = xy + 3 * n;
	double ends[2] = {0, 0}, floor_y[2];
	struct job_plot p = {.title = "Size and quality: all models tried, and the front", .x_label = "times smaller than the dense model, as a power of 2", .y_label = s->metric, .n_series = 3};

	for (int i = 0; i < n; i++) {
		const struct job_point *q = &s->points[order[i]];

		x[i] = -log2(q->size);
		y[i] = q->validation.value;
		ends[1] = fmax(ends[1], x[i]);
		if (job_on_front(s, order[i])) {
			front_x[k] = x[i];
			front_y[k++] = y[i];
		}
	}
	floor_y[0] = floor_y[1] = s->points[0].validation.value - job_metric_drop(s->metric, s->limit, 0);
	p.series[0] = (struct job_series){.label = "front", .x = front_x, .y = front_y, .n = k};
	p.series[1] = (struct job_series){.label = "tried", .x = x, .y = y, .n = n, .dots = true};
	p.series[2] = (struct job_series){.label = "floor", .x = ends, .y = floor_y, .n = 2};
	job_doc_plot(d, &p);
}

enum pare_code job_search_document(const struct job_run *r, struct job_doc *d, struct pare_err *err)
{
	const struct job_search *s = r->search;
	double *xy;
	int *order;

	if (s == NULL)
		return PARE_OK;
	xy = pare_calloc((size_t)s->n_points, 4 * sizeof *xy);
	order = by_size(s);
	if (xy != NULL && order != NULL) {
		job_doc_heading(d, "Search");
		verdict(r, d);
		table(r, d, order);
	}
	if (xy != NULL && order != NULL && d->kind == JOB_DOC_HTML)
		draw(s, d, xy, order);
	pare_free(order);
	pare_free(xy);
	return xy != NULL && order != NULL ? PARE_OK : pare_err_nomem(err, 0);
}
