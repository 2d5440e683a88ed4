/* The cluster step: the weights of each tensor become a few values, and from there on training keeps them so. Which step of the job has come is
 * all there is to know; the groups are read off the weights (core/train/share.h). */
#include <math.h>
#include <string.h>

#include "core/base/mem.h"
#include "core/compress/cluster.h"
#include "core/job/job_priv.h"
#include "core/recipe/json_text.h"

double job_cluster_units(const struct job_run *r, size_t step)
{
	(void)r;
	(void)step;
	return JOB_ROUND_UNITS;
}

static void options(const struct pare_args *args, struct pare_cluster_options *o)
{
	const struct pare_arg *exclude = pare_args_get(args, "exclude");

	*o = (struct pare_cluster_options){
	    .bits = (int)pare_args_int(args, "bits"),
	    .conv_bits = (int)pare_args_int(args, pare_args_has(args, "conv_bits") ? "conv_bits" : "bits"),
	    .init = strcmp(pare_args_str(args, "init"), "linear") == 0 ? PARE_CLUSTER_LINEAR : PARE_CLUSTER_DENSITY,
	    .iterations = (int)pare_args_int(args, "iterations"),
	    .names = {.exclude = exclude->strings, .n_exclude = exclude->n},
	};
}

/* Has a cluster step before step `end` taken hold of the parameter? */
static bool is_shared(const struct job_run *r, size_t end, int p)
{
	for (size_t i = 0; i < end; i++) {
		const struct pare_args *s = pare_job_step(r->job, i);
		struct pare_cluster_options o;

		if (strcmp(s->method->name, "cluster") != 0)
			continue;
		options(s, &o);
		if (pare_prune_is_target(&o.names, pare_net_param(r->net, p)))
			return true;
	}
	return false;
}

enum pare_code job_share(struct job_run *r, struct pare_sharing *out, bool *out_any, struct pare_err *err)
{
	int n = pare_net_n_params(r->net);
	bool *shared = pare_calloc((size_t)n + 1, sizeof *shared);
	enum pare_code code = PARE_OK;

	*out_any = false;
	if (shared == NULL)
		return pare_err_nomem(err, (size_t)n);
	for (int p = 0; p < n; p++) {
		shared[p] = is_shared(r, r->folds > 0 ? r->inner : r->step, p);
		*out_any |= shared[p];
	}
	if (*out_any)
		code = pare_sharing_init(out, r->net, shared, err);
	pare_free(shared);
	return code;
}

enum pare_code job_cluster(struct job_run *r, const struct pare_args *args, struct pare_err *err)
{
	struct job_record rec = {.step = r->step};
	struct pare_cluster_options o;
	enum pare_code code = job_keep_dense(r, err);

	options(args, &o);
	if (code == PARE_OK)
		code = pare_cluster(r->net, &o, err);
	if (code == PARE_OK)
		code = job_validate(r, &rec.loss, &rec.accuracy, err);
	if (code != PARE_OK)
		return code;
	rec.sparsity = job_sparsity(r);
	job_record_add(r, &rec);
	return job_metrics(r, &(struct job_epoch){"evaluation", NULL, rec.loss, rec.accuracy, rec.sparsity}, err);
}

bool job_shares(const struct job_run *r)
{
	for (size_t i = 0; i < pare_job_n_steps(r->job); i++)
		if (strcmp(pare_job_step(r->job, i)->method->name, "cluster") == 0)
			return true;
	return false;
}

/* Of the weights as they were at the end, on the full graph: what was removed there counts as zeros. */
void job_write_sharing(const struct job_run *r, struct pare_buf *b)
{
	if (!job_shares(r))
		return;
	pare_json_key(b, "sharing");
	pare_buf_str(b, "{");
	pare_json_key_int(b, "packed_bytes", (int64_t)r->packed_bytes);
	pare_json_key(b, "layers");
	pare_buf_str(b, "[");
	for (int p = 0; p < pare_net_n_params(r->net); p++) {
		const struct pare_param_info *info = pare_net_param(r->net, p);
		float *w = is_shared(r, pare_job_n_steps(r->job), p) ? pare_alloc(info->n_elems * sizeof *w) : NULL;
		size_t n_values;
		double bits;

		if (w == NULL)
			continue;
		memcpy(w, r->final + info->offset, info->n_elems * sizeof *w);
		pare_count_values(w, info->n_elems, &n_values, &bits);
		pare_free(w);
		pare_json_sep(b);
		pare_buf_str(b, "{");
		pare_json_key_str(b, "name", info->name);
		pare_json_key_int(b, "values", (int64_t)n_values);
		pare_json_key_num(b, "entropy_bits", bits);
		pare_buf_str(b, "}");
	}
	pare_buf_str(b, "]}");
}
