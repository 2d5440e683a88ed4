/* Running statistics follow training with a delay, and pruning moves what they describe at once. This is the remedy: a pass over
 * training rows that changes nothing else, and makes them the mean over batches of the batches' own figures (as PyTorch's update_bn).
 * Each layer sees inputs that were normalised by their batch, as it does in training. Rows come in a shuffled order, because
 * files are often sorted by class; a last batch that is shorter than half is left out, for it would count as much as the rest. */
#include <string.h>

#include "core/base/mem.h"
#include "core/base/rng.h"
#include "core/train/train.h"

struct pass {
	struct pare_net *net;
	const struct pare_dataset *data;
	const struct pare_fit *fit;
	const uint32_t *rows;
	uint32_t n;
	uint64_t step;
};

static void run_shard(void *ctx, int t)
{
	const struct pass *p = ctx;
	int64_t first, count;

	pare_net_shard_rows(p->net, p->n, t, &first, &count);
	for (int i = 0; i < p->fit->n_inputs; i++)
		pare_data_fill(p->data, p->fit->inputs[i].x, p->rows + first, (size_t)count, pare_net_shard_input(p->net, t, i));
	pare_net_shard_forward(p->net, t, count, PARE_MODE_ESTIMATE, p->step, first);
}

enum pare_code pare_estimate(struct pare_net *net, const struct pare_dataset *data, const struct pare_fit *fit, int batch_size, uint32_t most_rows, uint64_t seed,
    const atomic_bool *cancel, struct pare_err *err)
{
	struct pass p = {.net = net, .data = data, .fit = fit};
	uint32_t n, batch = (uint32_t)batch_size, *order;
	const uint32_t *rows = pare_data_rows(data, PARE_SPLIT_TRAIN, &n);
	enum pare_code code = PARE_OK;
	struct pare_rng rng;

	if (!pare_net_has_statistics(net) || n == 0)
		return PARE_OK;
	order = pare_alloc((size_t)n * sizeof *order);
	if (order == NULL)
		return pare_err_nomem(err, (size_t)n * sizeof *order);
	memcpy(order, rows, n * sizeof *rows);
	pare_rng_init(&rng, seed, "estimate", 0);
	pare_rng_shuffle(&rng, order, n);
	n = most_rows > 0 && most_rows < n ? most_rows : n;
	for (uint32_t at = 0; at < n && code == PARE_OK; at += batch, p.step++) {
		p.rows = order + at;
		p.n = n - at < batch ? n - at : batch;
		if (at > 0 && p.n < (batch + 1) / 2)
			break;
		if (cancel != NULL && atomic_load_explicit(cancel, memory_order_relaxed))
			code = pare_err_set(err, PARE_E_CANCELED, NULL, "the estimate of statistics was stopped");
		else
			pare_net_parallel(net, run_shard, &p);
	}
	pare_free(order);
	return code;
}
