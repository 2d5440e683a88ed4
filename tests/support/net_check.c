/* The loss is a fixed random projection of all outputs, added up in double, so that what a difference measures is the
 * net's own float arithmetic. */
#include "tests/support/net_check.h"

#include <check.h>
#include <math.h>
#include <string.h>

#include "core/base/rng.h"
#include "core/graph/net_priv.h"

static struct pare_net *make(struct gb *b, int n_threads, int64_t max_batch, bool training, bool plain)
{
	const struct pare_net_options opt = {.n_threads = n_threads, .max_batch = max_batch, .training = training, .seed = 7, .plain = plain};
	struct pare_net *net = NULL;
	struct pare_err err = {0};
	enum pare_code code = pare_net_new(gb_model(b), &opt, &net, &err);

	ck_assert_msg(code == PARE_OK, "%s: %s", err.where, err.message);
	return net;
}

struct pare_net *nc_net(struct gb *b, int n_threads, int64_t max_batch, bool training)
{
	return make(b, n_threads, max_batch, training, false);
}

struct pare_net *nc_plain_net(struct gb *b, int n_threads, int64_t max_batch, bool training)
{
	return make(b, n_threads, max_batch, training, true);
}

void nc_fill(float *out, size_t n, uint64_t seed)
{
	struct pare_rng r;

	pare_rng_init(&r, seed, "test", 0);
	for (size_t i = 0; i < n; i++) {
		float v = 0.05f + 0.95f * pare_rng_uniform(&r);

		out[i] = pare_rng_u64(&r) & 1 ? v : -v;
	}
}

struct pass {
	struct pare_net *net;
	const float *const *inputs;
	int64_t rows;
	enum pare_mode mode;
	uint64_t step;
};

static void forward_shard(void *ctx, int s)
{
	const struct pass *p = ctx;
	int64_t first, count, dims[PARE_MAX_DIMS];
	int n_dims;

	pare_net_shard_rows(p->net, p->rows, s, &first, &count);
	for (int i = 0; i < pare_net_n_inputs(p->net); i++) {
		size_t n = pare_net_input_shape(p->net, i, &n_dims, dims);

		memcpy(pare_net_shard_input(p->net, s, i), p->inputs[i] + (size_t)first * n, (size_t)count * n * sizeof(float));
	}
	pare_net_shard_forward(p->net, s, count, p->mode, p->step, first);
}

void nc_forward(struct pare_net *net, const float *const *inputs, int64_t rows, enum pare_mode mode, uint64_t step)
{
	struct pass p = {net, inputs, rows, mode, step};

	pare_net_parallel(net, forward_shard, &p);
}

/* Elements of output i on a shard of count rows, and where they start among those of all rows. */
static size_t extent(const struct pare_net *net, int i, int64_t first, int64_t count, size_t *at)
{
	int64_t dims[PARE_MAX_DIMS];
	int n_dims;
	size_t n = pare_net_output_shape(net, i, &n_dims, dims);
	bool batched = false;

	for (int k = 0; k < n_dims; k++)
		batched |= dims[k] == PARE_DIM_UNKNOWN;
	*at = batched ? (size_t)first * n : 0;
	return batched ? (size_t)count * n : n;
}

size_t nc_output(const struct pare_net *net, int i, int64_t rows, float *out)
{
	size_t total = 0;

	for (int s = 0; s < pare_net_n_shards(net); s++) {
		int64_t first, count;
		size_t at, n;

		pare_net_shard_rows(net, rows, s, &first, &count);
		if (count == 0)
			continue;
		n = extent(net, i, first, count, &at);
		memcpy(out + at, pare_net_shard_output(net, s, i), n * sizeof *out);
		total = at + n;
	}
	return total;
}

static double proj(int output, size_t element)
{
	return cos(2.3 * (double)element + 0.7 * (double)output);
}

double nc_loss(const struct pare_net *net, int64_t rows)
{
	double loss = 0;

	for (int s = 0; s < pare_net_n_shards(net); s++)
		for (int i = 0; i < pare_net_n_outputs(net); i++) {
			int64_t first, count;
			size_t at, n;

			pare_net_shard_rows(net, rows, s, &first, &count);
			n = count > 0 ? extent(net, i, first, count, &at) : 0;
			for (size_t k = 0; k < n; k++)
				loss += proj(i, at + k) * (double)pare_net_shard_output(net, s, i)[k];
		}
	return loss;
}

static void backward_shard(void *ctx, int s)
{
	const struct pass *p = ctx;

	for (int i = 0; i < pare_net_n_outputs(p->net); i++) {
		int64_t first, count;
		size_t at, n;

		pare_net_shard_rows(p->net, p->rows, s, &first, &count);
		n = count > 0 ? extent(p->net, i, first, count, &at) : 0;
		for (size_t k = 0; k < n; k++)
			pare_net_shard_output_grad(p->net, s, i)[k] = (float)proj(i, at + k);
	}
	pare_net_shard_backward(p->net, s);
}

static bool kept(const struct pare_net *net, int32_t value)
{
	for (int i = 0; i < net->model->graph.n_outputs; i++)
		if (net->values[net->outputs[i]].root == value)
			return true;
	for (int i = 0; i < net->n_nodes; i++) {
		const struct pare_node *n = net->nodes[i].node;

		for (int k = 0; k < n->n_in + n->n_out; k++) {
			int32_t v = k < n->n_in ? n->in[k] : n->out[k - n->n_in];

			if (v >= 0 && net->values[v].root == value && pare_net_backward_reads(&net->nodes[i], k))
				return true;
		}
	}
	return false;
}

/* In a plain net everything of forward has a place of its own: what no row says that its backward reads is spoilt, the parameters
 * among it, too, which stand for what others compute. Running statistics are never computed. */
static void spoil(struct pare_net *net)
{
	for (int32_t v = 0; v < net->n_values; v++)
		for (int s = 0; net->values[v].place == PARE_PLACE_SHARD && net->values[v].root == v && !kept(net, v) && s < net->n_shards; s++)
			for (size_t i = 0; i < pare_shape_elems(&net->shards[s].shapes[v]); i++)
				net->shards[s].mem[net->values[v].offset + i] = NAN;
	for (int p = 0; p < net->n_params; p++)
		for (size_t i = 0; !net->params[p].buffer && !kept(net, net->params[p].value) && i < net->params[p].n_elems; i++)
			net->slab[net->params[p].offset + i] = NAN;
}

void nc_backward(struct pare_net *net, int64_t rows, float *out)
{
	struct pass p = {.net = net, .rows = rows};
	size_t bytes = pare_net_slab_len(net) * sizeof *net->slab;
	float *slab = pare_calloc(bytes + 1, 1);

	ck_assert_ptr_nonnull(slab);
	memcpy(slab, net->slab, bytes);
	if (net->opt.plain)
		spoil(net);
	pare_net_parallel(net, backward_shard, &p);
	memcpy(net->slab, slab, bytes);
	pare_free(slab);
	pare_net_reduce_grads(net, 0, pare_net_slab_len(net), out);
}

static double loss_at(struct pare_net *net, const float *const *inputs, int64_t rows, enum pare_mode mode, float *w, float v)
{
	*w = v;
	nc_forward(net, inputs, rows, mode, 1);
	return nc_loss(net, rows);
}

double nc_gradient_error(struct pare_net *net, const float *const *inputs, int64_t rows, enum pare_mode mode, double h)
{
	float *grads = pare_calloc(pare_net_slab_len(net) + 1, sizeof *grads);
	double worst = 0;

	ck_assert_ptr_nonnull(grads);
	nc_forward(net, inputs, rows, mode, 1);
	nc_backward(net, rows, grads);
	for (int i = 0; i < pare_net_n_params(net); i++) {
		const struct pare_param_info *p = pare_net_param(net, i);
		double diff = 0, largest = 1e-6;

		for (size_t k = 0; k < p->n_elems && !p->buffer; k++) {
			float *w = pare_net_slab(net) + p->offset + k, old = *w;
			float up = (float)((double)old + h), down = (float)((double)old - h);
			double slope = (loss_at(net, inputs, rows, mode, w, up) - loss_at(net, inputs, rows, mode, w, down)) / ((double)up - (double)down);

			*w = old;
			diff = fmax(diff, fabs(slope - (double)grads[p->offset + k]));
			largest = fmax(largest, fabs(slope));
		}
		worst = fmax(worst, diff / largest);
	}
	pare_free(grads);
	return worst;
}
