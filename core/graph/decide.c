/* What a graph computes of shapes alone, asked of one value: the shapes of what leads to it are inferred, and folding (fold.c) says what comes out. The alternative,
 * formulas that are recognised one by one, would know fewer exporters.
 *
 * Sizes that the inputs leave open are tried, two at least that the graph bears (it may end in many convolutions), and a number counts only if steady.c
 * says that it hangs on none of them. The batch is fold.c's to try, and an element that depends on it says so. */
#include <math.h>

#include "core/graph/lift.h"
#include "core/graph/net_priv.h"

static const int64_t size_table[] = {1, 2, 5, 12, 64, 224};

#define N_SIZES ((int)(sizeof size_table / sizeof size_table[0]))

/* The model as it is with one size: nothing is taken from its own arena. */
struct trial {
	struct pare_model part;
	struct pare_net net;
	bool open, bears;
};

/* The rows of inputs that leave a size open; none without memory. */
static int close_rows(const struct pare_graph *g, int64_t size, struct pare_row_shape *rows)
{
	int n = 0;

	for (int i = 0; i < g->n_inputs; i++) {
		if (!pare_graph_row(g, i, &rows[n]))
			continue;
		for (int k = 0; k < rows[n].n_dims; k++)
			rows[n].dims[k] = rows[n].dims[k] < 0 ? size : rows[n].dims[k];
		n++;
	}
	return n;
}

static void trial_done(struct trial *t)
{
	pare_arena_done(&t->net.arena);
	*t = (struct trial){.bears = false};
}

/* Infers with one size; t->bears says whether the graph can be computed with it. */
static enum pare_code try_size(struct trial *t, const struct pare_model *m, const int32_t *value, int64_t size, struct pare_err *err)
{
	struct pare_err unwanted = {.code = PARE_OK};
	struct pare_row_shape *rows;
	enum pare_code code;

	*t = (struct trial){.part = *m, .net = {.model = &t->part, .opt = {.n_threads = 1, .max_batch = 1}, .fixed_batch = PARE_DIM_UNKNOWN}};
	pare_arena_init(&t->net.arena, (size_t)1 << 30);
	rows = pare_arena_array(&t->net.arena, (size_t)m->graph.n_inputs + 1, sizeof *rows);
	if (rows == NULL)
		return pare_err_nomem(err, 0);
	t->part.graph.outputs = value;
	t->part.graph.n_outputs = 1;
	t->part.graph.n_watched = 0;
	t->part.rows = rows;
	t->part.n_rows = close_rows(&m->graph, size, rows);
	t->open = t->part.n_rows > 0;
	code = pare_net_infer_shapes(&t->net, &unwanted);
	t->bears = code == PARE_OK;
	return code == PARE_E_NOMEM ? pare_err_nomem(err, 0) : PARE_OK;
}

static double number_of(const struct pare_known *k)
{
	return k->n != 1 || k->batch != NULL ? NAN : k->i64 != NULL ? (double)k->i64[0] : (double)k->f32[0];
}

/* *first bears its size; nobody is asked twice where no size is open. */
static enum pare_code try_rest(struct trial *first, const struct pare_model *m, const int32_t *value, int next, size_t *work, double *out, struct pare_err *err)
{
	size_t n_values = (size_t)m->graph.n_values + 1;
	uint8_t *tells = pare_arena_alloc(&first->net.arena, n_values);
	bool *steady = pare_arena_array(&first->net.arena, n_values, sizeof *steady), same = true;
	struct trial *other = pare_arena_alloc(&first->net.arena, sizeof *other);
	enum pare_code code = PARE_OK;
	int n = first->open ? 0 : 1;

	if (tells == NULL || steady == NULL || other == NULL)
		return pare_err_nomem(err, 0);
	if (!first->open) {
		pare_net_find_steady(&first->net, &first->net, tells, steady);
		same = steady[*value];
	}
	for (int i = next; i < N_SIZES && first->open && same && code == PARE_OK; i++) {
		*work += (size_t)m->graph.n_nodes;
		code = try_size(other, m, value, size_table[i], err);
		if (code == PARE_OK && other->bears) {
			pare_net_find_steady(&first->net, &other->net, tells, steady);
			same = steady[*value];
			n++;
		}
		trial_done(other);
	}
	if (code == PARE_OK && same && n > 0)
		*out = number_of(&first->net.values[*value].known);
	return code;
}

static enum pare_code decide(const struct pare_model *m, int32_t value, double *out, size_t *work, struct pare_err *err)
{
	struct trial first = {.open = true};
	enum pare_code code = PARE_OK;
	int i = 0;

	while (i < N_SIZES && !first.bears && first.open && code == PARE_OK) {
		trial_done(&first);
		*work += (size_t)m->graph.n_nodes;
		code = try_size(&first, m, &value, size_table[i++], err);
	}
	if (code == PARE_OK && first.bears)
		code = try_rest(&first, m, &value, i, work, out, err);
	trial_done(&first);
	return code;
}

enum pare_code pare_graph_decide(const struct pare_model *m, int32_t value, double *out, size_t *work, struct pare_err *err)
{
	const struct pare_tensor *t = m->graph.values[value].init;
	float v;

	*out = NAN;
	if (t == NULL)
		return decide(m, value, out, work, err);
	if (!m->graph.values[value].is_input && t->n_elems == 1 && !t->external && pare_tensor_read_f32(t, &v, NULL) == PARE_OK)
		*out = (double)v;
	return PARE_OK;
}
