/* Folding: the value of a node whose inputs are all known, found by running the operator's own forward at plan time.
 *
 * Exporters compute shapes inside the graph (Shape, Gather, Mul, Concat, Reshape), and one of the numbers is the batch
 * size, which nobody knows yet. Instead of algebra per operator, the node is run for several batch sizes, and each element
 * of the result is read off: the same number every time is that number; k times the batch size every time is "k times the
 * batch size" (pare_known.batch); anything else is not known, and who needs it says so. Batch size 1 is among the probes,
 * because there a comparison or a rounded division is likeliest to differ. Rejected: a fold function per operator (twice
 * the code, and two meanings that can drift apart).
 *
 * Arithmetic is float: integers beyond 2^24 are not known, unless they are the ends of the int64 range (which exporters
 * write for "to the end"), where rounding and saturation cancel out. */
#include <math.h>
#include <string.h>

#include "core/graph/net_priv.h"

#define N_PROBES 3
static const int64_t probe_table[N_PROBES] = {1, 2, 12};

/* May n be run now, and does anything in it depend on the batch size? */
static bool can_fold(const struct pare_net_node *n, const struct pare_infer *c, bool *symbolic)
{
	*symbolic = false;
	if (n->op->forward == NULL)
		return false;
	for (int k = 0; k < c->n_in; k++) {
		bool shape_only = pare_op_has(n->op->shape_in, k);

		if (!pare_infer_has(c, k))
			continue;
		if (!shape_only && !pare_net_is_known(&c->in_known[k]))
			return false;
		*symbolic |= shape_only ? c->in[k].batch != 0 : c->in_known[k].batch != NULL;
	}
	for (int k = 0; k < c->n_out; k++)
		if (c->out[k].batch != 0 || pare_net_is_known(&c->out_known[k]) || pare_shape_elems(&c->out[k]) > PARE_MAX_KNOWN)
			return false;
	return true;
}

static bool input_at(struct pare_arena *arena, const struct pare_known *k, int64_t rows, const float **out)
{
	float *v = pare_arena_array(arena, k->n + 1, sizeof *v);

	*out = v;
	if (v == NULL)
		return false;
	for (size_t i = 0; i < k->n; i++)
		v[i] = (k->i64 != NULL ? (float)k->i64[i] : k->f32[i]) * (k->batch != NULL && k->batch[i] ? (float)rows : 1.0f);
	return true;
}

/* Everything that forward reads, for that many rows; outputs are fresh memory. False when memory is short. */
static bool prepare(const struct pare_net_node *n, const struct pare_infer *c, int64_t rows, struct pare_run *r, float **out)
{
	size_t n_in = (size_t)c->n_in, n_out = (size_t)n->op->max_out;
	struct pare_shape *shapes = pare_arena_array(c->arena, n_in + n_out, sizeof *shapes);
	const struct pare_shape **views = pare_arena_array(c->arena, n_in + n_out, sizeof *views);
	const float **in = pare_arena_array(c->arena, n_in + 1, sizeof *in);

	if (shapes == NULL || views == NULL || in == NULL)
		return false;
	for (size_t k = 0; k < n_in + n_out; k++) {
		if (k < n_in ? !pare_infer_has(c, (int)k) : k - n_in >= (size_t)c->n_out)
			continue;
		pare_shape_resolve(k < n_in ? &c->in[k] : &c->out[k - n_in], rows, &shapes[k]);
		views[k] = &shapes[k];
		if (k < n_in && pare_net_is_known(&c->in_known[k]) && !input_at(c->arena, &c->in_known[k], rows, &in[k]))
			return false;
		if (k >= n_in)
			out[k - n_in] = pare_arena_array(c->arena, pare_shape_elems(&shapes[k]) + 1, sizeof **out);
		if (k >= n_in && out[k - n_in] == NULL)
			return false;
	}
	*r = (struct pare_run){.args = n->args, .n_in = c->n_in, .n_out = c->n_out, .in = in, .out = out, .in_shape = views,
	    .out_shape = views + n_in, .n_shards = 1};
	r->scratch = pare_arena_array(c->arena, (n->op->scratch != NULL ? n->op->scratch(r) : 0) + 1, sizeof *r->scratch);
	return r->scratch != NULL;
}

/* What element i of the results of all probes has in common. */
static bool read_off(float *const *probe, int n_probes, size_t i, float *value, bool *batch)
{
	float first = probe[0][i];
	bool same = true, scaled = n_probes > 1;

	for (int p = 1; p < n_probes; p++) {
		same &= probe[p][i] == first;
		scaled &= probe[p][i] == first * (float)probe_table[p];
	}
	*value = first;
	*batch = !same;
	return same || scaled || n_probes == 1;
}

static bool to_i64(float f, int64_t *out)
{
	if (!(fabsf(f) <= 16777216.0f) && !(fabsf(f) >= 0x1p63f))
		return false;
	*out = f >= 0x1p63f ? INT64_MAX : f <= -0x1p63f ? INT64_MIN : (int64_t)f;
	return true;
}

static enum pare_code set_known(const struct pare_infer *c, int k, float *const *probe, int n_probes, struct pare_err *err)
{
	size_t n = pare_shape_elems(&c->out[k]);
	float *f32 = pare_arena_array(c->arena, n + 1, sizeof *f32);
	int64_t *i64 = pare_arena_array(c->arena, n + 1, sizeof *i64);
	bool *batch = pare_arena_array(c->arena, n + 1, sizeof *batch);
	bool floating = c->out_dtype[k] == PARE_DT_FLOAT, any = false;

	if (f32 == NULL || i64 == NULL || batch == NULL)
		return pare_err_nomem(err, n * sizeof *i64);
	for (size_t i = 0; i < n; i++) {
		if (!read_off(probe, n_probes, i, &f32[i], &batch[i]) || (!floating && !to_i64(f32[i], &i64[i])))
			return PARE_OK;
		any |= batch[i];
	}
	c->out_known[k] = (struct pare_known){.i64 = floating ? NULL : i64, .f32 = floating ? f32 : NULL, .n = n, .batch = any ? batch : NULL};
	return PARE_OK;
}

enum pare_code pare_net_fold(struct pare_net *net, const struct pare_net_node *n, const struct pare_infer *c, struct pare_err *err)
{
	size_t max_out = (size_t)n->op->max_out;
	float **out, *probe[N_PROBES];
	enum pare_code code = PARE_OK;
	bool symbolic;
	int n_probes;

	if (!can_fold(n, c, &symbolic))
		return PARE_OK;
	n_probes = symbolic ? N_PROBES : 1;
	out = pare_arena_array(&net->arena, max_out * N_PROBES, sizeof *out);
	if (out == NULL)
		return pare_err_nomem(err, 0);
	for (int p = 0; p < n_probes; p++) {
		struct pare_run r;

		if (!prepare(n, c, probe_table[p], &r, out + (size_t)p * max_out))
			return pare_err_nomem(err, 0);
		n->op->forward(&r);
	}
	for (int k = 0; k < c->n_out && code == PARE_OK; k++) {
		for (int p = 0; p < n_probes; p++)
			probe[p] = out[(size_t)p * max_out + (size_t)k];
		code = set_known(c, k, probe, n_probes, err);
	}
	return code;
}
