/* Runs a split through a net. Rows go in chunks of about a million numbers: every thread fills its part of the chunk's
 * input, the net infers (its shards in parallel), and the metrics take the outputs in row order. A chunk is the only
 * memory this needs, so a test set of any size is evaluated in a few megabytes. */
#include "core/eval/eval.h"

#include <stdio.h>

#include "core/base/mem.h"
#include "core/base/num.h"
#include "core/eval/eval_priv.h"

#define CHUNK_ELEMS ((size_t)1 << 20)
#define CHUNK_ROWS ((size_t)4096)

struct run {
	struct pare_net *net;
	const struct pare_dataset *d;
	const uint32_t *rows; /* of the chunk */
	size_t n, n_threads, row_elems;
	float *x, *out, *targets;
	int32_t *classes;
};

static const char *show_dims(const int64_t *dims, int n_dims, char *out, size_t size)
{
	size_t used = 0;

	out[0] = '\0';
	for (int i = 0; i < n_dims && used < size; i++)
		used += (size_t)snprintf(out + used, size - used, "%s%lld", i > 0 ? ", " : "", (long long)dims[i]);
	return out;
}

static enum pare_code check_input(const struct pare_net *net, const struct pare_data_info *info, struct pare_err *err)
{
	int64_t dims[PARE_MAX_DIMS];
	char model[160], row[160];
	int n_dims;

	if (pare_net_n_inputs(net) != 1 || pare_net_n_outputs(net) < 1)
		return pare_err_set(err, PARE_E_SHAPE, NULL,
		    "the model has %d inputs and %d outputs; one input and at least one output are needed", pare_net_n_inputs(net),
		    pare_net_n_outputs(net));
	if (pare_net_input_shape(net, 0, &n_dims, dims) == info->row_elems)
		return PARE_OK;
	return pare_err_set(err, PARE_E_SHAPE, NULL,
	    "a row of the data set has shape [%s], which does not fit the model's input of shape [N, %s]",
	    show_dims(info->dims, info->n_dims, row, sizeof row), show_dims(dims + 1, n_dims - 1, model, sizeof model));
}

enum pare_code pare_eval_check(const struct pare_net *net, const struct pare_dataset *d, enum pare_loss loss, struct pare_err *err)
{
	const struct pare_data_info *info = pare_data_info(d);
	int64_t dims[PARE_MAX_DIMS];
	enum pare_code rc;
	size_t width;
	int n_dims;

	rc = check_input(net, info, err);
	if (rc != PARE_OK)
		return rc;
	width = pare_net_output_shape(net, 0, &n_dims, dims);
	if (info->task == PARE_TASK_REGRESS) {
		if (loss == PARE_LOSS_CROSS_ENTROPY)
			return pare_err_set(err, PARE_E_INVALID, NULL,
			    "cross entropy needs classes, the data set's labels are for regression: use the loss mse");
		if (width != (size_t)info->n_targets)
			return pare_err_set(err, PARE_E_SHAPE, NULL,
			    "the data set has %d targets a row, the model's output has %zu numbers", info->n_targets, width);
		return PARE_OK;
	}
	if ((size_t)info->n_classes > width)
		return pare_err_set(err, PARE_E_LABEL, NULL,
		    "the data set has class %d (\"%s\"), the model has %zu outputs (classes 0 to %zu)", info->n_classes - 1,
		    info->class_names[info->n_classes - 1], width, width > 0 ? width - 1 : 0);
	return PARE_OK;
}

static void fill_part(void *ctx, int t)
{
	struct run *r = ctx;
	size_t first = r->n * (size_t)t / r->n_threads, end = r->n * ((size_t)t + 1) / r->n_threads;

	pare_data_fill(r->d, r->rows + first, end - first, r->x + first * r->row_elems);
}

static enum pare_code run_chunk(struct run *r, struct eval_sums *sums, struct pare_err *err)
{
	enum pare_code rc;

	pare_net_parallel(r->net, fill_part, r);
	rc = pare_net_infer(r->net, r->x, (int64_t)r->n, r->out, err);
	if (rc != PARE_OK)
		return rc;
	if (r->classes != NULL)
		pare_data_classes(r->d, r->rows, r->n, r->classes);
	else
		pare_data_targets(r->d, r->rows, r->n, r->targets);
	eval_sums_add(sums, r->out, (int64_t)r->n, r->classes, r->targets);
	return PARE_OK;
}

static bool run_alloc(struct run *r, size_t chunk, size_t width, bool classify)
{
	r->x = pare_calloc(chunk, r->row_elems * sizeof *r->x);
	r->out = pare_calloc(chunk, width * sizeof *r->out);
	if (classify)
		r->classes = pare_calloc(chunk, sizeof *r->classes);
	else
		r->targets = pare_calloc(chunk, width * sizeof *r->targets);
	return r->x != NULL && r->out != NULL && (r->classes != NULL || r->targets != NULL);
}

enum pare_code pare_eval(struct pare_net *net, const struct pare_dataset *d, enum pare_split split, enum pare_loss loss,
    struct pare_metrics *out, struct pare_err *err)
{
	const struct pare_data_info *info = pare_data_info(d);
	struct run r = {.net = net, .d = d, .n_threads = (size_t)pare_net_n_shards(net), .row_elems = info->row_elems};
	bool classify = info->task == PARE_TASK_CLASSIFY;
	struct eval_sums sums = {.n = 0};
	int64_t dims[PARE_MAX_DIMS];
	size_t width, chunk;
	const uint32_t *rows;
	enum pare_code rc;
	uint32_t n;
	int n_dims;

	rc = pare_eval_check(net, d, loss, err);
	if (rc != PARE_OK)
		return rc;
	rows = pare_data_rows(d, split, &n);
	width = pare_net_output_shape(net, 0, &n_dims, dims);
	chunk = CHUNK_ELEMS / (info->row_elems > width ? info->row_elems : width);
	chunk = chunk < r.n_threads ? r.n_threads : chunk > CHUNK_ROWS ? CHUNK_ROWS : chunk;
	chunk = chunk > n ? n : chunk;
	rc = eval_sums_init(&sums, info->task, loss, pare_net_output_kind(net, 0), (int64_t)width, n, err);
	if (rc != PARE_OK)
		return rc;
	if (!run_alloc(&r, chunk, width, classify)) {
		rc = pare_err_nomem(err, chunk * info->row_elems * sizeof(float));
		goto out;
	}
	for (uint32_t at = 0; at < n && rc == PARE_OK; at += (uint32_t)r.n) {
		r.rows = rows + at;
		r.n = n - at < chunk ? n - at : chunk;
		rc = run_chunk(&r, &sums, err);
	}
	if (rc == PARE_OK)
		eval_sums_finish(&sums, out);
out:
	eval_sums_done(&sums);
	pare_free(r.x);
	pare_free(r.out);
	pare_free(r.classes);
	pare_free(r.targets);
	return rc;
}
