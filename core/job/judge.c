/* The figures at the end. Three states of the weights are judged on the same rows: as uploaded (input), just before the
 * first pruning (dense: what pruning has to be compared with, since a model that was just born knows nothing), and at the
 * end (final). Of a job that factorizes the first two are another net's (factorize.c). This is the one place where test rows are read, after every choice has been made.
 *
 * Latency is the median of single rows through this engine. It is the one figure that two runs of a job do not share. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/job/job_priv.h"

#define LATENCY_RUNS 101
#define LATENCY_WARM 5
#define LATENCY_MAX_NS INT64_C(250000000)

int64_t job_count_nonzero(const float *w, size_t n)
{
	int64_t k = 0;

	for (size_t i = 0; i < n; i++)
		k += w[i] < 0 || w[i] > 0 ? 1 : 0;
	return k;
}

void job_count(struct pare_net *net, struct job_verdict *v)
{
	const float *slab = pare_net_slab(net);

	v->n_weights = v->n_nonzero_weights = 0;
	v->macs = pare_net_macs(net);
	v->macs_nonzero = (double)v->macs;
	for (int i = 0; i < pare_net_n_params(net); i++) {
		const struct pare_param_info *p = pare_net_param(net, i);
		int64_t n = job_count_nonzero(slab + p->offset, p->n_elems);

		if (!p->prunable)
			continue;
		v->n_weights += (int64_t)p->n_elems;
		v->n_nonzero_weights += n;
		if (p->n_elems > 0)
			v->macs_nonzero -= (double)pare_net_node_macs(net, p->node) * (1 - (double)n / (double)p->n_elems);
	}
}

/* What the file holds beside the net's parameters does not change, as long as the graph does not. */
static enum pare_code count_params(const struct job_run *r, struct pare_net *net, struct job_verdict *v, struct pare_err *err)
{
	const struct job_factored *f = &r->factored;
	bool before = net == f->net && f->input != NULL;
	const struct pare_model *other = net == r->shrunk.net ? r->shrunk.model : net == f->net && !before ? f->source : NULL;
	const float *input = before ? f->input : r->input;
	struct pare_model_counts c;
	enum pare_code code = PARE_OK;

	job_count(net, v);
	if (other != NULL) {
		code = pare_model_count(other, &c, err);
		v->n_params = c.n_params;
		v->n_nonzero_params = c.n_nonzero;
		return code;
	}
	v->n_params = before ? f->n_params : r->n_params;
	v->n_nonzero_params = before ? f->n_nonzero_params : r->n_nonzero_params;
	for (int i = 0; i < pare_net_n_params(net); i++) {
		const struct pare_param_info *p = pare_net_param(net, i);

		v->n_nonzero_params += job_count_nonzero(pare_net_slab(net) + p->offset, p->n_elems) - job_count_nonzero(input + p->offset, p->n_elems);
	}
	return code;
}

static int by_value(const void *a, const void *b)
{
	const int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;

	return x < y ? -1 : x > y;
}

double job_latency(struct job_run *r, struct pare_net *net)
{
	int64_t ns[LATENCY_RUNS], start = pare_job_env.tick_ns(NULL);
	const uint32_t *rows;
	uint32_t n_rows;
	int n = 0;

	rows = pare_data_rows(r->data, r->judged, &n_rows);
	for (int i = 0; i < r->fit.n_inputs; i++)
		pare_data_fill(r->data, r->fit.inputs[i].x, rows, 1, pare_net_shard_input(net, 0, i));
	for (int i = 0; i < LATENCY_RUNS + LATENCY_WARM; i++) {
		int64_t t = pare_job_env.tick_ns(NULL);

		pare_net_shard_forward(net, 0, 1, PARE_MODE_INFER, 0, 0);
		if (i >= LATENCY_WARM)
			ns[n++] = pare_job_env.tick_ns(NULL) - t;
		if (n > 0 && t - start > LATENCY_MAX_NS)
			break;
	}
	qsort(ns, (size_t)n, sizeof ns[0], by_value);
	return (double)ns[n / 2] * 1e-6;
}

enum pare_code job_eval_net(struct job_run *r, struct pare_net *net, enum pare_split split, struct pare_metrics *out, struct pare_err *err)
{
	if (r->fit.n_outputs > 0)
		return pare_eval(net, r->data, split, &r->fit, out, err);
	*out = (struct pare_metrics){.task = PARE_TASK_REGRESS, .n = job_n_rows(r, split), .loss = NAN, .own_loss = NAN, .accuracy = NAN, .mse = NAN, .mae = NAN, .r2 = NAN};
	return PARE_OK;
}

enum pare_code job_eval(struct job_run *r, enum pare_split split, struct pare_metrics *out, struct pare_err *err)
{
	return job_eval_net(r, r->net, split, out, err);
}

/* Weights are counted in `counted`; all else is what net does. */
static enum pare_code judge_one(struct job_run *r, struct pare_net *counted, struct pare_net *net, struct job_verdict *v, struct pare_err *err)
{
	enum pare_code code = count_params(r, counted, v, err);

	v->has_validation = job_n_rows(r, PARE_SPLIT_VALIDATION) > 0;
	if (code == PARE_OK && v->has_validation)
		code = job_eval_net(r, net, PARE_SPLIT_VALIDATION, &v->validation, err);
	if (code == PARE_OK)
		code = job_eval_net(r, net, r->judged, &v->judged, err);
	if (code == PARE_OK)
		v->latency_ms = job_latency(r, net);
	return code;
}

enum pare_code job_judge_net(struct job_run *r, struct pare_net *net, struct job_verdict *v, struct pare_err *err)
{
	return judge_one(r, net, net, v, err);
}

static enum pare_code judge_slab(struct job_run *r, const float *slab, struct job_verdict *v, struct pare_err *err)
{
	memcpy(pare_net_slab(r->net), slab, pare_net_slab_len(r->net) * sizeof *slab);
	return job_judge_net(r, r->net, v, err);
}

void job_choose_judged(struct job_run *r)
{
	static const enum pare_split order[] = {PARE_SPLIT_TEST, PARE_SPLIT_VALIDATION, PARE_SPLIT_TRAIN};
	size_t i = 0;

	while (i < 2 && job_n_rows(r, order[i]) == 0)
		i++;
	r->judged = order[i];
}

/* The uploaded model, and what the result is compared with. */
static enum pare_code judge_before(struct job_run *r, struct pare_err *err)
{
	enum pare_code code;

	if (r->factored.source != NULL)
		return job_judge_source(r, err);
	code = judge_slab(r, r->input, &r->verdict_input, err);
	return code == PARE_OK ? judge_slab(r, r->has_dense ? r->dense : r->input, &r->verdict_dense, err) : code;
}

enum pare_code job_judge(struct job_run *r, struct pare_err *err)
{
	struct pare_net *last = r->net;
	enum pare_code code = judge_before(r, err);

	memcpy(pare_net_slab(r->net), r->final, pare_net_slab_len(r->net) * sizeof *r->final);
	if (r->shrunk.net != NULL)
		last = r->shrunk.net;
	if (code == PARE_OK)
		code = judge_one(r, last, r->quantized.net != NULL ? r->quantized.net : last, &r->verdict_final, err);
	if (code == PARE_OK && r->verdict_final.judged.task == PARE_TASK_CLASSIFY)
		pare_eval_paired(r->data, r->fit.outputs[0].y, r->judged, &r->verdict_dense.judged, &r->verdict_final.judged, &r->paired);
	return code;
}

void job_verdict_done(struct job_verdict *v)
{
	pare_metrics_done(&v->validation);
	pare_metrics_done(&v->judged);
}

double job_metric(const struct pare_metrics *m, const char *name)
{
	const struct {
		const char *name;
		double value;
	} metrics[] = {{"accuracy", m->accuracy}, {"macro_f1", m->macro_f1}, {"micro_f1", m->micro_f1}, {"mean_iou", m->mean_iou}, {"r2", m->r2}};

	for (size_t i = 0; i < sizeof metrics / sizeof metrics[0]; i++)
		if (strcmp(metrics[i].name, name) == 0)
			return metrics[i].value;
	return m->loss;
}

double job_metric_drop(const char *name, double before, double after)
{
	return strcmp(name, "loss") == 0 ? after - before : before - after;
}

void job_requirement(const struct job_run *r, struct job_requirement *out)
{
	const struct pare_args *q = pare_args_obj(pare_job_args(r->job), "require");

	memset(out, 0, sizeof *out);
	if (q == NULL)
		return;
	out->metric = pare_args_str(q, "metric");
	out->limit = pare_args_num(q, "max_drop");
	out->by_interval = pare_args_has(q, "confidence");
	out->before = job_metric(&r->verdict_dense.judged, out->metric);
	out->after = job_metric(&r->verdict_final.judged, out->metric);
	out->drop = job_metric_drop(out->metric, out->before, out->after);
	out->judged = out->by_interval ? r->paired.drop_high : out->drop;
	out->met = out->judged <= out->limit ? JOB_MET : JOB_MISSED;
}
