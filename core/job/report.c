/* report.json: every figure of design section D, for programs. "dense" is the model as it stood before its first weight was
 * pruned, "final" as it leaves, "input" as it came; all three are judged on the same rows. Timings stand apart under
 * "timing" and "latency_ms": everything else is the same in every run of the same job.
 *
 * The warning about zeros is part of the report because the disappointment is the field's most common one: a stock
 * runtime stores and multiplies zeros like any other number. */
#include <math.h>
#include <string.h>

#include "core/job/job_priv.h"
#include "core/recipe/json_text.h"

static const char training_form_warning[] =
    "BatchNormalization nodes of the model have training_mode 1. The figures are with the running statistics, which training has moved; a runtime "
    "that obeys the attribute takes the statistics of the batch it is given. Before the model is served, export it for inference, or set "
    "the attribute to 0 and remove the nodes' further outputs.";

static const char saturation_warning[] =
    "The weights are whole bytes. Where a processor adds products of bytes in 16 bits (x86 without VNNI), integer kernels saturate and the model may say something "
    "else there. For such machines set reduce_range in the quantize step, which keeps weights within 7 bits.";

const char *job_split_name(enum pare_split split)
{
	static const char *const names[] = {[PARE_SPLIT_TRAIN] = "train", [PARE_SPLIT_VALIDATION] = "validation", [PARE_SPLIT_TEST] = "test"};

	return names[split];
}

static void write_metrics(struct pare_buf *b, const struct pare_metrics *m)
{
	pare_json_key_int(b, "rows", m->n);
	pare_json_key_num(b, "loss", m->loss);
	if (m->task == PARE_TASK_REGRESS) {
		pare_json_key_num(b, "mse", m->mse);
		pare_json_key_num(b, "mae", m->mae);
		pare_json_key_num(b, "r2", m->r2);
		return;
	}
	pare_json_key_num(b, "accuracy", m->accuracy);
	pare_json_key_num(b, "macro_f1", m->macro_f1);
	if (m->task == PARE_TASK_MULTILABEL)
		pare_json_key_num(b, "micro_f1", m->micro_f1);
	if (m->task == PARE_TASK_SEQUENCE) {
		pare_json_key_int(b, "positions", m->n_labels);
		pare_json_key_num(b, "mean_iou", m->mean_iou);
	}
}

static void write_confusion(struct pare_buf *b, const struct pare_metrics *m)
{
	if (m->confusion == NULL) {
		pare_json_key_raw(b, "confusion", "null");
		return;
	}
	pare_json_key_raw(b, "confusion", "[");
	for (int i = 0; i < m->n_classes; i++) {
		pare_json_sep(b);
		pare_buf_str(b, "[");
		for (int j = 0; j < m->n_classes; j++) {
			pare_json_sep(b);
			pare_json_int(b, m->confusion[i * m->n_classes + j]);
		}
		pare_buf_str(b, "]");
	}
	pare_buf_str(b, "]");
}

static void write_classes(struct pare_buf *b, const struct pare_metrics *m, const struct pare_data_field *y)
{
	pare_json_key_raw(b, "classes", "[");
	for (int i = 0; i < m->n_classes; i++) {
		pare_json_sep(b);
		pare_buf_str(b, "{");
		if (i < y->n_classes && m->task != PARE_TASK_MULTILABEL)
			pare_json_key_str(b, "class", y->class_names[i]);
		pare_json_key_int(b, "rows", m->class_rows[i]);
		pare_json_key_num(b, "accuracy", m->class_rows[i] > 0 ? (double)m->class_hits[i] / (double)m->class_rows[i] : NAN);
		pare_json_key_num(b, "f1", pare_metrics_f1(m, i));
		if (m->task == PARE_TASK_SEQUENCE)
			pare_json_key_num(b, "iou", pare_metrics_iou(m, i));
		pare_buf_str(b, "}");
	}
	pare_buf_str(b, "]");
}

/* What classes of one output, the i-th of the fit, say. */
static void write_details(const struct job_run *r, struct pare_buf *b, const struct pare_metrics *m, int i)
{
	if (m->task == PARE_TASK_REGRESS)
		return;
	if (m->task != PARE_TASK_MULTILABEL)
		write_confusion(b, m);
	if (m->task != PARE_TASK_MULTILABEL || m->n_classes <= PARE_CONFUSION_MAX)
		write_classes(b, m, &pare_data_info(r->data)->y[r->fit.outputs[i].y]);
}

static void write_output(const struct job_run *r, struct pare_buf *b, const struct pare_metrics *m, int i)
{
	pare_json_sep(b);
	pare_buf_str(b, "{");
	pare_json_key_str(b, "output", m->output);
	pare_json_key_str(b, "task", pare_task_names[m->task]);
	pare_json_key_num(b, "weight", r->fit.outputs[i].weight);
	pare_json_key_num(b, "own_loss", m->own_loss);
	write_metrics(b, m);
	if (i > 0)
		write_details(r, b, m, i);
	pare_buf_str(b, "}");
}

static void write_verdict(const struct job_run *r, struct pare_buf *b, const char *key, const struct job_verdict *v, size_t file_bytes)
{
	pare_json_key_raw(b, key, "{");
	write_metrics(b, &v->judged);
	if (v->has_validation) {
		pare_json_key_raw(b, "validation", "{");
		write_metrics(b, &v->validation);
		pare_buf_str(b, "}");
	}
	pare_json_key_int(b, "n_params", v->n_params);
	pare_json_key_int(b, "n_nonzero_params", v->n_nonzero_params);
	pare_json_key_int(b, "n_weights", v->n_weights);
	pare_json_key_int(b, "n_nonzero_weights", v->n_nonzero_weights);
	pare_json_key_num(b, "sparsity", job_share_gone(v->n_nonzero_weights, v->n_weights));
	pare_json_key_int(b, "macs", v->macs);
	pare_json_key_int(b, "macs_nonzero", (int64_t)llround(v->macs_nonzero));
	pare_json_key_int(b, "file_bytes", (int64_t)file_bytes);
	pare_json_key_num(b, "latency_ms", v->latency_ms);
	write_details(r, b, &v->judged, 0);
	if (v->judged.n_others > 0) {
		pare_json_key_raw(b, "outputs", "[");
		for (int i = 0; i <= v->judged.n_others; i++)
			write_output(r, b, i == 0 ? &v->judged : &v->judged.others[i - 1], i);
		pare_buf_str(b, "]");
	}
	pare_buf_str(b, "}");
}

static void write_numbers(struct pare_buf *b, const char *key, const double *v, size_t n)
{
	pare_json_key_raw(b, key, "[");
	for (size_t i = 0; i < n; i++) {
		pare_json_sep(b);
		pare_json_num(b, v[i]);
	}
	pare_buf_str(b, "]");
}

static void write_normalization(const struct job_run *r, struct pare_buf *b, int x)
{
	size_t n = pare_data_info(r->data)->x[x].row_elems;

	pare_json_key_raw(b, "normalization", "{");
	switch (pare_data_normalization(r->data, x)) {
	case PARE_NORM_UNIT:
		pare_json_key_str(b, "method", "unit");
		pare_json_key_str(b, "apply", "divide the 8-bit values by 255 before the model");
		break;
	case PARE_NORM_STANDARD:
		pare_json_key_str(b, "method", "standard");
		pare_json_key_str(b, "apply", "(x - mean) / std per feature before the model");
		write_numbers(b, "mean", pare_data_mean(r->data, x), n);
		write_numbers(b, "std", pare_data_std(r->data, x), n);
		break;
	default:
		pare_json_key_str(b, "method", "none");
		pare_json_key_str(b, "apply", "nothing: the model takes the values as they are");
		break;
	}
	pare_buf_str(b, "}");
}

/* Which array goes where, and what is done to it on the way. */
static void write_fit(const struct job_run *r, struct pare_buf *b)
{
	static const char *const layouts[] = {[PARE_LAYOUT_KEEP] = NULL, [PARE_LAYOUT_TO_NCHW] = "channels moved to the front", [PARE_LAYOUT_TO_NHWC] = "channels moved to the end"};
	const struct pare_data_info *info = pare_data_info(r->data);

	pare_json_key_raw(b, "inputs", "[");
	for (int i = 0; i < r->fit.n_inputs; i++) {
		pare_json_sep(b);
		pare_buf_str(b, "{");
		pare_json_key_str(b, "input", pare_net_input_name(r->net, i));
		pare_json_key_str(b, "array", info->x[r->fit.inputs[i].x].name);
		pare_json_key_str(b, "layout", layouts[r->fit.inputs[i].layout]);
		if (i > 0)
			write_normalization(r, b, r->fit.inputs[i].x);
		pare_buf_str(b, "}");
	}
	pare_buf_str(b, "]");
	pare_json_key_raw(b, "targets", "[");
	for (int i = 0; i < r->fit.n_outputs; i++) {
		pare_json_sep(b);
		pare_buf_str(b, "{");
		pare_json_key_str(b, "output", r->fit.outputs[i].name);
		pare_json_key_str(b, "array", info->y[r->fit.outputs[i].y].name);
		pare_buf_str(b, "}");
	}
	pare_buf_str(b, "]");
}

static void write_data(const struct job_run *r, struct pare_buf *b)
{
	const struct pare_data_info *info = pare_data_info(r->data);

	pare_json_key_raw(b, "data", "{");
	pare_json_key_str(b, "format", info->format);
	pare_json_key_str(b, "task", r->fit.n_outputs > 0 ? pare_task_names[info->y[r->fit.outputs[0].y].task] : NULL);
	pare_json_key_int(b, "rows", info->n_rows);
	pare_json_key_raw(b, "splits", "{");
	for (int s = 0; s < PARE_N_SPLITS; s++)
		pare_json_key_int(b, job_split_name((enum pare_split)s), job_n_rows(r, (enum pare_split)s));
	pare_buf_str(b, "}");
	pare_json_key_str(b, "judged_on", job_split_name(r->judged));
	write_normalization(r, b, r->fit.inputs[0].x);
	write_fit(r, b);
	pare_buf_str(b, "}");
}

static void write_drop(const struct job_run *r, struct pare_buf *b)
{
	const struct pare_metrics *dense = &r->verdict_dense.judged, *final = &r->verdict_final.judged;

	pare_json_key_raw(b, "drop", "{");
	pare_json_key_num(b, "loss", final->loss - dense->loss);
	if (final->task != PARE_TASK_CLASSIFY) {
		pare_json_key_num(b, pare_metrics_headline_name(final->task), pare_metrics_headline(dense) - pare_metrics_headline(final));
		pare_buf_str(b, "}");
		return;
	}
	pare_json_key_num(b, "accuracy", r->paired.drop);
	pare_json_key_num(b, "accuracy_low", r->paired.drop_low);
	pare_json_key_num(b, "accuracy_high", r->paired.drop_high);
	pare_json_key_num(b, "confidence", 0.95);
	pare_json_key_num(b, "macro_f1", dense->macro_f1 - final->macro_f1);
	pare_json_key_num(b, "mcnemar_p", r->paired.mcnemar_p);
	pare_json_key_int(b, "only_dense_right", r->paired.only_before);
	pare_json_key_int(b, "only_final_right", r->paired.only_after);
	pare_json_key_num(b, "churn", r->paired.churn);
	pare_buf_str(b, "}");
}

static void write_requirement(const struct job_run *r, struct pare_buf *b)
{
	struct job_requirement q;

	job_requirement(r, &q);
	if (q.met == JOB_NOT_ASKED) {
		pare_json_key_raw(b, "requirement", "null");
		return;
	}
	pare_json_key_raw(b, "requirement", "{");
	pare_json_key_str(b, "metric", q.metric);
	pare_json_key_num(b, "before", q.before);
	pare_json_key_num(b, "after", q.after);
	pare_json_key_num(b, "drop", q.drop);
	pare_json_key_num(b, "max_drop", q.limit);
	pare_json_key_str(b, "judged_by", q.by_interval ? "upper end of the 95 % interval" : "measured drop");
	pare_json_key_num(b, "judged", q.judged);
	pare_json_key_bool(b, "met", q.met == JOB_MET);
	pare_json_key_str(b, "decision", q.met == JOB_MET ? "accept" : "reject");
	pare_buf_str(b, "}");
}

static void write_layers(const struct job_run *r, struct pare_buf *b)
{
	const float *dense = r->has_dense ? r->dense : r->input;

	pare_json_key_raw(b, "layers", "[");
	for (int i = 0; i < pare_net_n_params(r->net); i++) {
		const struct pare_param_info *p = pare_net_param(r->net, i);
		int64_t n = job_count_nonzero(r->final + p->offset, p->n_elems);

		if (p->buffer)
			continue;
		pare_json_sep(b);
		pare_buf_str(b, "{");
		pare_json_key_str(b, "name", p->name);
		pare_json_key_raw(b, "shape", "[");
		for (int d = 0; d < p->n_dims; d++) {
			pare_json_sep(b);
			pare_json_int(b, p->dims[d]);
		}
		pare_buf_str(b, "]");
		pare_json_key_raw(b, "shape_final", "[");
		for (int d = 0; d < p->n_dims; d++) {
			pare_json_sep(b);
			pare_json_int(b, job_dim_final(r, p, d));
		}
		pare_buf_str(b, "]");
		pare_json_key_bool(b, "prunable", p->prunable);
		pare_json_key_int(b, "weights", (int64_t)p->n_elems);
		pare_json_key_int(b, "nonzero_dense", job_count_nonzero(dense + p->offset, p->n_elems));
		pare_json_key_int(b, "nonzero", n);
		pare_json_key_num(b, "sparsity", job_share_gone(n, (int64_t)p->n_elems));
		pare_json_key_int(b, "macs", p->prunable ? pare_net_node_macs(r->net, p->node) : 0);
		pare_buf_str(b, "}");
	}
	pare_buf_str(b, "]");
}

static void write_records(const struct job_run *r, struct pare_buf *b)
{
	pare_json_key_raw(b, "steps", "[");
	for (int i = 0; i < r->n_records; i++) {
		const struct job_record *c = &r->records[i];

		pare_json_sep(b);
		pare_buf_str(b, "{");
		pare_json_key_int(b, "step", (int64_t)c->step + 1);
		pare_json_key_str(b, "kind", c->folds > 0 ? "cross-validation" : c->round > 0 ? "round" : "evaluation");
		if (c->round > 0)
			pare_json_key_int(b, "round", c->round);
		pare_json_key_num(b, "validation_loss", c->loss);
		pare_json_key_num(b, "validation_accuracy", c->accuracy);
		pare_json_key_num(b, "sparsity", c->sparsity);
		if (c->folds > 0) {
			pare_json_key_int(b, "folds", c->folds);
			pare_json_key_num(b, "accuracy_low", c->low);
			pare_json_key_num(b, "accuracy_high", c->high);
		}
		pare_buf_str(b, "}");
	}
	pare_buf_str(b, "]");
}

static bool has_training_form(const struct pare_graph *g)
{
	for (int32_t i = 0; i < g->n_nodes; i++) {
		const struct pare_attr *a = pare_node_attr(&g->nodes[i], "training_mode");

		if (strcmp(g->nodes[i].op_type, "BatchNormalization") == 0 && a != NULL && a->i != 0)
			return true;
	}
	return false;
}

/* A model of shrunk layers or factors has no zeros to speak of, unless single weights were pruned as well. */
static bool has_zeros(const struct job_run *r)
{
	return (r->shrunk.net == NULL && r->factored.source == NULL) || job_share_gone(r->verdict_final.n_nonzero_weights, r->verdict_final.n_weights) > 0.01;
}

const char *job_warning(const void *ctx, int i)
{
	const struct job_run *r = ctx;
	const char *all[3];
	int n = 0;

	if (has_zeros(r))
		all[n++] = job_zeros_warning;
	if (has_training_form(&r->model->graph))
		all[n++] = training_form_warning;
	if (r->quantized.full_range)
		all[n++] = saturation_warning;
	return i < n ? all[i] : NULL;
}

static void write_figures(const void *ctx, struct pare_buf *b)
{
	const struct job_run *r = ctx;

	write_data(r, b);
	write_verdict(r, b, "input", &r->verdict_input, r->in_bytes);
	write_verdict(r, b, "dense", &r->verdict_dense, r->in_bytes);
	write_verdict(r, b, "final", &r->verdict_final, r->out_bytes);
	write_drop(r, b);
	pare_json_key_num(b, "compression", job_compression(r->verdict_dense.n_weights, r->verdict_final.n_nonzero_weights));
	write_requirement(r, b);
	job_write_sweep(r, b);
	job_write_search(r, b);
	write_records(r, b);
	write_layers(r, b);
	job_write_structures(r, b);
	job_write_factors(r, b);
	job_write_sharing(r, b);
	job_write_quantization(r, b);
}

enum pare_code job_write_reports(struct job_run *r, struct job_answer *a, struct pare_err *err)
{
	return job_put_reports(r, a, &(struct job_report){r, write_figures, job_warning, job_write_document}, err);
}

void job_write_summary(const struct job_run *r, struct pare_buf *b)
{
	const struct pare_metrics *dense = &r->verdict_dense.judged, *final = &r->verdict_final.judged;
	bool classes = final->task == PARE_TASK_CLASSIFY;
	struct job_requirement q;

	job_requirement(r, &q);
	pare_buf_str(b, "{");
	pare_json_key_raw(b, "summary", "{");
	pare_json_key_str(b, "judged_on", job_split_name(r->judged));
	pare_json_key_str(b, "metric", pare_metrics_headline_name(final->task));
	pare_json_key_num(b, "before", pare_metrics_headline(dense));
	pare_json_key_num(b, "after", pare_metrics_headline(final));
	pare_json_key_num(b, "drop", classes ? r->paired.drop : pare_metrics_headline(dense) - pare_metrics_headline(final));
	if (classes) {
		pare_json_key_num(b, "drop_low", r->paired.drop_low);
		pare_json_key_num(b, "drop_high", r->paired.drop_high);
	}
	job_write_sizes(r, b, &(struct job_sizes){r->verdict_dense.n_weights, r->verdict_dense.n_nonzero_weights, r->verdict_final.n_nonzero_weights, r->out_bytes});
	if (r->packed_bytes > 0)
		pare_json_key_int(b, "packed_bytes", (int64_t)r->packed_bytes);
	if (q.met != JOB_NOT_ASKED)
		pare_json_key_bool(b, "requirement_met", q.met == JOB_MET);
	pare_buf_str(b, "}}");
}
