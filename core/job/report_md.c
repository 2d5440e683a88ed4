/* report.md: the same figures for people, and only those a person decides by. Tables are plain Markdown, readable unrendered. */
#include <math.h>
#include <string.h>

#include "core/job/job_priv.h"

#define MAX_LAYER_ROWS 200

static void figures(const struct job_run *r, struct pare_buf *b)
{
	const struct job_verdict *d = &r->verdict_dense, *f = &r->verdict_final;
	const struct pare_metrics *dm = &d->judged, *fm = &f->judged;
	long long params = (long long)r->n_params;

	pare_buf_printf(b, "| | before | after |\n| --- | ---: | ---: |\n");
	if (fm->task == PARE_TASK_CLASSIFY) {
		pare_buf_printf(b, "| accuracy | %.2f %% | %.2f %% |\n", 100 * dm->accuracy, 100 * fm->accuracy);
		pare_buf_printf(b, "| macro F1 | %.4f | %.4f |\n", dm->macro_f1, fm->macro_f1);
	} else {
		pare_buf_printf(b, "| R2 | %.4f | %.4f |\n| mean squared error | %.5g | %.5g |\n| mean absolute error | %.5g | %.5g |\n", dm->r2, fm->r2, dm->mse, fm->mse, dm->mae, fm->mae);
	}
	pare_buf_printf(b, "| loss | %.5f | %.5f |\n", dm->loss, fm->loss);
	pare_buf_printf(b, "| parameters | %lld | %lld |\n", params, params);
	pare_buf_printf(b, "| non-zero parameters | %lld | %lld |\n", (long long)d->n_nonzero_params, (long long)f->n_nonzero_params);
	pare_buf_printf(b, "| non-zero weights | %lld | %lld |\n", (long long)d->n_nonzero_weights, (long long)f->n_nonzero_weights);
	pare_buf_printf(b, "| multiply-accumulates | %lld | %lld |\n", (long long)pare_net_macs(r->net), (long long)pare_net_macs(r->net));
	pare_buf_printf(b, "| of them not with zero | %.0f | %.0f |\n", d->macs_nonzero, f->macs_nonzero);
	pare_buf_printf(b, "| file, bytes | %zu | %zu |\n", r->file.len, r->out_bytes);
	pare_buf_printf(b, "| latency of one row in this engine, ms | %.3f | %.3f |\n\n", d->latency_ms, f->latency_ms);
}

static void drop(const struct job_run *r, struct pare_buf *b)
{
	const struct pare_paired *p = &r->paired;
	struct job_requirement q;

	if (r->verdict_final.judged.task == PARE_TASK_CLASSIFY) {
		pare_buf_printf(b, "Accuracy drops by %.2f points (95 %% interval %.2f to %.2f). ", 100 * p->drop, 100 * p->drop_low, 100 * p->drop_high);
		pare_buf_printf(b, "Of %lld rows only the dense model has %lld right and only the final one %lld (exact McNemar p = %.3g); ", (long long)p->n, (long long)p->only_before, (long long)p->only_after, p->mcnemar_p);
		pare_buf_printf(b, "the two disagree on %.2f %% of the rows.\n\n", 100 * p->churn);
	}
	job_requirement(r, &q);
	if (q.met == JOB_NOT_ASKED)
		return;
	pare_buf_printf(b, "**Requirement %s: %s.** %s may %s by at most %.5g; %s is %.5g.\n\n", q.met == JOB_MET ? "met" : "missed", q.met == JOB_MET ? "accept" : "reject",
	    q.metric, strcmp(q.metric, "loss") == 0 ? "rise" : "drop", q.limit, q.by_interval ? "the upper end of its 95 % interval" : "the measured change", q.judged);
}

static void layers(const struct job_run *r, struct pare_buf *b)
{
	int n = pare_net_n_params(r->net), shown = n < MAX_LAYER_ROWS ? n : MAX_LAYER_ROWS;

	pare_buf_str(b, "## Layers\n\n| tensor | shape | weights | non-zero | sparsity |\n| --- | --- | ---: | ---: | ---: |\n");
	for (int i = 0; i < shown; i++) {
		const struct pare_param_info *p = pare_net_param(r->net, i);
		int64_t nonzero = job_count_nonzero(r->final + p->offset, p->n_elems);

		pare_buf_printf(b, "| %.80s | ", p->name);
		for (int d = 0; d < p->n_dims; d++)
			pare_buf_printf(b, "%s%lld", d > 0 ? " x " : "", (long long)p->dims[d]);
		pare_buf_printf(b, " | %zu | %lld | %.2f %% |\n", p->n_elems, (long long)nonzero, p->n_elems > 0 ? 100 * (1 - (double)nonzero / (double)p->n_elems) : 0);
	}
	if (shown < n)
		pare_buf_printf(b, "\n%d more tensors stand in report.json.\n", n - shown);
	pare_buf_str(b, "\n");
}

static void confusion(const struct job_run *r, struct pare_buf *b)
{
	const struct pare_metrics *m = &r->verdict_final.judged;
	const struct pare_data_info *info = pare_data_info(r->data);

	if (m->task != PARE_TASK_CLASSIFY || m->n_classes > 20)
		return;
	pare_buf_str(b, "## Confusion after pruning (rows: actual, columns: predicted)\n\n| |");
	for (int j = 0; j < m->n_classes; j++)
		pare_buf_printf(b, " %.40s |", j < info->n_classes ? info->class_names[j] : "?");
	pare_buf_str(b, "\n| --- |");
	for (int j = 0; j < m->n_classes; j++)
		pare_buf_str(b, " ---: |");
	for (int i = 0; i < m->n_classes; i++) {
		pare_buf_printf(b, "\n| %.40s |", i < info->n_classes ? info->class_names[i] : "?");
		for (int j = 0; j < m->n_classes; j++)
			pare_buf_printf(b, " %lld |", (long long)m->confusion[i * m->n_classes + j]);
	}
	pare_buf_str(b, "\n\n");
}

static void rounds(const struct job_run *r, struct pare_buf *b)
{
	if (r->n_records == 0)
		return;
	pare_buf_str(b, "## On the way (validation rows)\n\n| step | what | sparsity | accuracy | loss |\n| ---: | --- | ---: | ---: | ---: |\n");
	for (int i = 0; i < r->n_records && i < MAX_LAYER_ROWS; i++) {
		const struct job_record *c = &r->records[i];

		pare_buf_printf(b, "| %zu | ", c->step + 1);
		if (c->folds > 0)
			pare_buf_printf(b, "%d-fold cross-validation, %.4f to %.4f", c->folds, c->low, c->high);
		else if (c->round > 0)
			pare_buf_printf(b, "round %d", c->round);
		else
			pare_buf_str(b, "evaluation");
		pare_buf_printf(b, " | %.2f %% | %.4f | %.5f |\n", 100 * c->sparsity, c->accuracy, c->loss);
	}
	pare_buf_str(b, "\n");
}

static void conditions(const struct job_run *r, struct pare_buf *b)
{
	static const char *const apply[] = {[PARE_NORM_AUTO] = "", [PARE_NORM_NONE] = "none: the model takes the values as they are",
	    [PARE_NORM_UNIT] = "divide the 8-bit values by 255 before the model", [PARE_NORM_STANDARD] = "(x - mean) / std per feature before the model; mean and std stand in report.json"};

	pare_buf_str(b, "## Conditions\n\n");
	pare_buf_printf(b, "- Figures are of the %s rows; %u rows trained, %u validation, %u test.\n", job_split_name(r->judged), job_n_rows(r, PARE_SPLIT_TRAIN), job_n_rows(r, PARE_SPLIT_VALIDATION), job_n_rows(r, PARE_SPLIT_TEST));
	pare_buf_str(b, "- \"Before\" is the dense model just before its first weight was removed.\n");
	pare_buf_printf(b, "- Normalisation: %s.\n", apply[pare_data_normalization(r->data)]);
	pare_buf_printf(b, "- Recipe %s, seed %llu, %d thread%s, pared %s, %.1f s.\n", pare_job_recipe_name(r->job) != NULL ? pare_job_recipe_name(r->job) : "written out", (unsigned long long)r->seed, r->threads,
	    r->threads == 1 ? "" : "s", PARE_VERSION, (double)(r->finished_ns - r->started_ns) * 1e-9);
	pare_buf_printf(b, "- %s\n", job_zeros_warning);
}

void job_write_markdown(const struct job_run *r, struct pare_buf *b)
{
	const struct job_verdict *f = &r->verdict_final;

	pare_buf_printf(b, "# Report\n\n%.1f times fewer weights: %lld of %lld are left.\n\n", job_compression(r), (long long)f->n_nonzero_weights, (long long)f->n_weights);
	figures(r, b);
	drop(r, b);
	rounds(r, b);
	layers(r, b);
	confusion(r, b);
	conditions(r, b);
}
