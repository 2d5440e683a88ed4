/* Folding: the value of a node whose inputs are all known, found by running the operator's own forward at plan time.
 *
 * Exporters compute shapes inside the graph (Shape, Gather, Mul, Concat, Reshape), and one of the numbers is the batch
 * size, which nobody knows yet. Instead of algebra per operator, the node is run for several batch sizes, and each element
 * of the result is read off: the same number every time is that number; k times the batch size every time is "k times the
 * batch size" (pare_known.batch); anything else is not known, and who needs it says so. Rejected: a fold function per
 * operator (twice the code, and two meanings that can drift apart).
 *
 * Which batch sizes: small ones, where a rounded quotient is likeliest to differ; a large one, where what was rounded away or
 * stood below a bound no longer does (a power of two: products, quotients and sums come out exactly as many times as large);
 * and those at which an element that counts the batch meets a number it may be compared with or divided by, and the next ones:
 * N == 37 is false for all others.
 *
 * Arithmetic is float: integers beyond 2^24 are not known, unless they are the ends of the int64 range (which exporters
 * write for "to the end"), where rounding and saturation cancel out. */
#include <math.h>
#include <string.h>

#include "core/graph/net_priv.h"

#define FOLD_MAX_BYTES ((size_t)1 << 30)
#define MAX_PROBES 512
#define MAX_MEETINGS ((size_t)1 << 14) /* of two elements: a node that would take more to look at stays as it is */
#define LARGE_BATCH ((int64_t)1 << 24)

/* The batch sizes a node is tried with; the first is 1. */
struct probes {
	int n;
	size_t met;
	bool full; /* there would be more */
	int64_t rows[MAX_PROBES];
};

/* May n be run now, and does anything in it depend on the batch size? */
static bool can_fold(const struct pare_net_node *n, const struct pare_infer *c, bool *symbolic)
{
	*symbolic = false;
	if (n->op->forward == NULL || (n->op->draws && c->training))
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
static bool prepare(const struct pare_net_node *n, const struct pare_infer *c, struct pare_arena *arena, int64_t rows, struct pare_run *r, float **out)
{
	size_t n_in = (size_t)c->n_in, n_out = (size_t)n->op->max_out;
	struct pare_shape *shapes = pare_arena_array(arena, n_in + n_out, sizeof *shapes);
	const struct pare_shape **views = pare_arena_array(arena, n_in + n_out, sizeof *views);
	const float **in = pare_arena_array(arena, n_in + 1, sizeof *in);

	if (shapes == NULL || views == NULL || in == NULL)
		return false;
	for (size_t k = 0; k < n_in + n_out; k++) {
		if (k < n_in ? !pare_infer_has(c, (int)k) : k - n_in >= (size_t)c->n_out)
			continue;
		pare_shape_resolve(k < n_in ? &c->in[k] : &c->out[k - n_in], rows, &shapes[k]);
		views[k] = &shapes[k];
		if (k < n_in && pare_net_is_known(&c->in_known[k]) && !input_at(arena, &c->in_known[k], rows, &in[k]))
			return false;
		if (k >= n_in)
			out[k - n_in] = pare_arena_array(arena, pare_shape_elems(&shapes[k]) + 1, sizeof **out);
		if (k >= n_in && out[k - n_in] == NULL)
			return false;
	}
	*r = (struct pare_run){.args = n->args, .n_in = c->n_in, .n_out = c->n_out, .in = in, .out = out, .in_shape = views,
	    .out_shape = views + n_in, .n_shards = 1};
	r->scratch = pare_arena_array(arena, (n->op->scratch != NULL ? n->op->scratch(r) : 0) + 1, sizeof *r->scratch);
	return r->scratch != NULL;
}

static bool to_i64(float f, int64_t *out)
{
	if (!(fabsf(f) <= 16777216.0f) && !(fabsf(f) >= 0x1p63f))
		return false;
	*out = f >= 0x1p63f ? INT64_MAX : f <= -0x1p63f ? INT64_MIN : (int64_t)f;
	return true;
}

static void probe_add(struct probes *p, int64_t rows)
{
	for (int i = 0; i < p->n; i++)
		if (p->rows[i] == rows)
			return;
	p->full |= p->n == MAX_PROBES;
	if (!p->full)
		p->rows[p->n++] = rows;
}

static double known_at(const struct pare_known *k, size_t i)
{
	return k->i64 != NULL ? (double)k->i64[i] : (double)k->f32[i];
}

static bool counts_batch(const struct pare_known *k, size_t i)
{
	return k->batch != NULL && k->batch[i];
}

/* Where "per_row times the batch" meets the numbers of an input. */
static void probe_meetings(struct probes *p, const struct pare_known *with, double per_row)
{
	p->met += with->n;
	p->full |= p->met > MAX_MEETINGS;
	for (size_t i = 0; i < with->n && !p->full; i++) {
		double rows = counts_batch(with, i) ? 0 : floor(known_at(with, i) / per_row);

		if (!(rows >= 1 && rows <= (double)LARGE_BATCH))
			continue;
		probe_add(p, (int64_t)rows);
		probe_add(p, (int64_t)rows + 1);
	}
}

/* An operator that moves elements as they are does not compare them with others. */
static void find_probes(const struct pare_net_node *n, const struct pare_infer *c, bool symbolic, struct probes *p)
{
	static const int64_t table[] = {1, 2, 12, LARGE_BATCH};

	*p = (struct probes){.n = 0};
	for (int i = 0; i < (symbolic ? (int)(sizeof table / sizeof table[0]) : 1); i++)
		probe_add(p, table[i]);
	for (int a = 0; a < c->n_in && symbolic; a++)
		for (size_t i = 0; pare_infer_has(c, a) && !pare_op_has(n->op->moves_in, a) && i < c->in_known[a].n && !p->full; i++)
			for (int b = 0; counts_batch(&c->in_known[a], i) && b < c->n_in; b++)
				if (pare_infer_has(c, b))
					probe_meetings(p, &c->in_known[b], known_at(&c->in_known[a], i));
}

/* One output over the probes: the first result, and which of its elements are still the same, or scaled, in all. */
struct reading {
	const float *first;
	bool *same, *scaled;
};

static bool reading_new(struct reading *q, struct pare_arena *arena, const float *first, size_t n, bool symbolic)
{
	*q = (struct reading){.first = first, .same = pare_arena_array(arena, n + 1, sizeof *q->same),
	    .scaled = pare_arena_array(arena, n + 1, sizeof *q->scaled)};
	if (q->same == NULL || q->scaled == NULL)
		return false;
	memset(q->same, true, n);
	memset(q->scaled, symbolic, n);
	return true;
}

static void read_next(const struct reading *q, const float *y, int64_t rows, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		q->same[i] &= y[i] == q->first[i];
		q->scaled[i] &= y[i] == q->first[i] * (float)rows;
	}
}

static enum pare_code set_known(const struct pare_infer *c, int k, const struct reading *q, struct pare_err *err)
{
	size_t n = pare_shape_elems(&c->out[k]);
	float *f32 = pare_arena_array(c->arena, n + 1, sizeof *f32);
	int64_t *i64 = pare_arena_array(c->arena, n + 1, sizeof *i64);
	bool *batch = pare_arena_array(c->arena, n + 1, sizeof *batch);
	bool floating = c->out_dtype[k] == PARE_DT_FLOAT, any = false;

	if (f32 == NULL || i64 == NULL || batch == NULL)
		return pare_err_nomem(err, n * sizeof *i64);
	for (size_t i = 0; i < n; i++) {
		f32[i] = q->first[i];
		batch[i] = !q->same[i];
		if ((!q->same[i] && !q->scaled[i]) || (!floating && !to_i64(f32[i], &i64[i])))
			return PARE_OK;
		any |= batch[i];
	}
	c->out_known[k] = (struct pare_known){.i64 = floating ? NULL : i64, .f32 = floating ? f32 : NULL, .n = n, .batch = any ? batch : NULL};
	return PARE_OK;
}

/* Runs the node once and reads what comes out; the first results stay in keep. */
static enum pare_code try_one(const struct pare_net_node *n, const struct pare_infer *c, struct pare_arena *keep, int64_t rows, bool symbolic,
    struct reading *q, struct pare_err *err)
{
	bool first = q[0].first == NULL;
	enum pare_code code = PARE_OK;
	struct pare_arena own, *arena;
	struct pare_run r;
	float **y;

	pare_arena_init(&own, FOLD_MAX_BYTES);
	arena = first ? keep : &own;
	y = pare_arena_array(arena, (size_t)n->op->max_out, sizeof *y);
	if (y != NULL && prepare(n, c, arena, rows, &r, y))
		n->op->forward(&r);
	else
		code = pare_err_nomem(err, 0);
	for (int k = 0; k < c->n_out && code == PARE_OK; k++) {
		size_t len = pare_shape_elems(&c->out[k]);

		if (!first)
			read_next(&q[k], y[k], rows, len);
		else if (!reading_new(&q[k], keep, y[k], len, symbolic))
			code = pare_err_nomem(err, 0);
	}
	pare_arena_done(&own);
	return code;
}

static enum pare_code fold_with(const struct pare_net_node *n, const struct pare_infer *c, struct pare_arena *keep, bool symbolic, struct pare_err *err)
{
	struct probes *p = pare_arena_alloc(keep, sizeof *p);
	struct reading *q = pare_arena_array(keep, (size_t)n->op->max_out, sizeof *q);
	enum pare_code code = p == NULL || q == NULL ? pare_err_nomem(err, sizeof *p) : PARE_OK;

	if (code == PARE_OK)
		find_probes(n, c, symbolic, p);
	if (code == PARE_OK && p->full)
		return PARE_OK;
	for (int i = 0; code == PARE_OK && i < p->n; i++)
		code = try_one(n, c, keep, p->rows[i], symbolic, q, err);
	for (int k = 0; k < c->n_out && code == PARE_OK; k++)
		code = set_known(c, k, &q[k], err);
	return code;
}

enum pare_code pare_net_fold(const struct pare_net_node *n, const struct pare_infer *c, struct pare_err *err)
{
	struct pare_arena keep;
	enum pare_code code;
	bool symbolic;

	if (!can_fold(n, c, &symbolic))
		return PARE_OK;
	pare_arena_init(&keep, FOLD_MAX_BYTES);
	code = fold_with(n, c, &keep, symbolic, err);
	pare_arena_done(&keep);
	return code;
}
