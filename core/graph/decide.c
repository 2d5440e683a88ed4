/* What a graph computes of shapes alone, asked of one value: the shapes of what leads to it are inferred, and folding (fold.c) says what comes out. The alternative,
 * formulas that are recognised one by one, would know fewer exporters.
 *
 * Sizes that the inputs leave open are tried: a value that is the same for every one of them that the graph bears, the ends of many convolutions among them, does not
 * depend on them. Size 1 is tried, because squeezing asks for it; the batch is fold.c's to try. */
#include <math.h>
#include <string.h>

#include "core/graph/lift.h"
#include "core/graph/net_priv.h"

static const int64_t size_table[] = {1, 2, 5, 12, 64, 224};

#define N_SIZES ((int)(sizeof size_table / sizeof size_table[0]))

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

static double known_number(const struct pare_known *k)
{
	if (!pare_net_is_known(k) || k->n != 1 || k->batch != NULL)
		return NAN;
	return k->i64 != NULL ? (double)k->i64[0] : (double)k->f32[0];
}

/* Infers with one size; *bears says whether the graph can be computed with it. */
static enum pare_code try_size(const struct pare_model *m, int32_t value, int64_t size, bool *open, bool *bears, double *out, struct pare_err *err)
{
	struct pare_err unwanted = {.code = PARE_OK};
	struct pare_model part = *m; /* its arena stays m's: nothing is taken from it */
	struct pare_net net = {.model = &part, .opt = {.n_threads = 1, .max_batch = 1}, .fixed_batch = PARE_DIM_UNKNOWN};
	struct pare_row_shape *rows;
	enum pare_code code;

	pare_arena_init(&net.arena, (size_t)1 << 30);
	rows = pare_arena_array(&net.arena, (size_t)m->graph.n_inputs + 1, sizeof *rows);
	if (rows == NULL) {
		pare_arena_done(&net.arena);
		return pare_err_nomem(err, 0);
	}
	part.graph.outputs = &value;
	part.graph.n_outputs = 1;
	part.graph.n_watched = 0;
	part.rows = rows;
	part.n_rows = close_rows(&m->graph, size, rows);
	*open = part.n_rows > 0;
	code = pare_net_infer_shapes(&net, &unwanted);
	*bears = code == PARE_OK;
	if (*bears)
		*out = known_number(&net.values[value].known);
	pare_arena_done(&net.arena);
	return code == PARE_E_NOMEM ? pare_err_nomem(err, 0) : PARE_OK;
}

enum pare_code pare_graph_decide(const struct pare_model *m, int32_t value, double *out, size_t *work, struct pare_err *err)
{
	const struct pare_tensor *t = m->graph.values[value].init;
	bool open = true;
	int n = 0;

	*out = NAN;
	if (t != NULL) {
		float v;

		if (m->graph.values[value].is_input || t->n_elems != 1 || t->external || pare_tensor_read_f32(t, &v, NULL) != PARE_OK)
			return PARE_OK;
		*out = (double)v;
		return PARE_OK;
	}
	for (int i = 0; i < N_SIZES && open; i++) {
		enum pare_code code;
		double v = NAN;
		bool bears;

		*work += (size_t)m->graph.n_nodes;
		code = try_size(m, value, size_table[i], &open, &bears, &v, err);
		if (code != PARE_OK)
			return code;
		if (!bears)
			continue;
		if (isnan(v) || (n > 0 && v != *out)) {
			n = 0;
			break;
		}
		*out = v;
		n++;
	}
	if (n < (open ? 2 : 1))
		*out = NAN;
	return PARE_OK;
}
