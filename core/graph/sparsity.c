/* Which weights of a net may be other than 0, as structures that products can use (core/ops/kernels/sparse.h).
 *
 * A structure says where, never what: values stay in the slab, so an update of the weights needs no work here, and a weight
 * that has become 0 since is multiplied like any other. A tensor gets one if all its readers are products that know how
 * (pare_op.sparse_in), it reaches them as it is, and the kernels' rule says that it pays for the rows of a shard. */
#include <string.h>

#include "core/base/num.h"
#include "core/graph/graph_priv.h"
#include "core/graph/net_priv.h"
#include "core/ops/kernels/sparse.h"

/* Rows of a product with parameter p in the largest shard; 0 where a reader cannot skip zeros. */
static int64_t rows_of(const struct pare_net *net, const struct pare_param_info *p)
{
	int64_t rows = 0;

	for (int i = 0; i < net->n_nodes; i++) {
		const struct pare_net_node *n = &net->nodes[i];

		for (int k = 0; k < n->node->n_in; k++) {
			const struct pare_net_value *v = n->node->in[k] >= 0 ? &net->values[n->node->in[k]] : NULL;
			size_t width;

			if (v == NULL || v->root != p->value)
				continue;
			if (!pare_op_has(n->op->sparse_in, k) || n->node->in[k] != p->value)
				return 0;
			width = (size_t)(p->out_axis == 0 ? p->dims[0] : p->dims[1]);
			rows = (int64_t)(pare_net_value_elems(net, n->node->out[0], net->shard_rows) / width);
		}
	}
	return rows;
}

static enum pare_code alloc_structure(struct pare_sparse *s, struct pare_err *err)
{
	size_t rows = (size_t)s->rows, cols = (size_t)s->cols, total, n_bytes;

	if (!pare_add_size(2 * s->n, rows + cols + 2, &total) || !pare_mul_size(total, sizeof *s->row_start, &n_bytes))
		return pare_err_set(err, PARE_E_LIMIT, NULL, "the parameters are too large");
	s->row_start = pare_alloc(n_bytes);
	if (s->row_start == NULL)
		return pare_err_nomem(err, n_bytes);
	s->col_start = s->row_start + rows + 1;
	s->row_col = s->col_start + cols + 1;
	s->col_row = s->row_col + s->n;
	return PARE_OK;
}

static void fill_structure(struct pare_sparse *s, const uint8_t *keep)
{
	uint32_t n = 0;

	memset(s->col_start, 0, ((size_t)s->cols + 1) * sizeof *s->col_start);
	for (int64_t r = 0; r < s->rows; r++) {
		s->row_start[r] = n;
		for (int64_t c = 0; c < s->cols; c++)
			if (keep[r * s->cols + c]) {
				s->row_col[n++] = (uint32_t)c;
				s->col_start[c + 1]++;
			}
	}
	s->row_start[s->rows] = n;
	for (int64_t c = 0; c < s->cols; c++)
		s->col_start[c + 1] += s->col_start[c];
	/* col_start[c] runs to the end of column c while it is filled, then everything moves back by one */
	for (int64_t r = 0; r < s->rows; r++)
		for (uint32_t k = s->row_start[r]; k < s->row_start[r + 1]; k++)
			s->col_row[s->col_start[s->row_col[k]]++] = (uint32_t)r;
	memmove(s->col_start + 1, s->col_start, (size_t)s->cols * sizeof *s->col_start);
	s->col_start[0] = 0;
}

static enum pare_code build_structure(struct pare_net *net, int p, const uint8_t *keep, struct pare_err *err)
{
	const struct pare_param_info *info = &net->params[p];
	struct pare_sparse *s = &net->sparse[p];
	int64_t m = info->prunable && info->n_dims == 2 ? rows_of(net, info) : 0;
	enum pare_code code;
	size_t n = 0;

	for (size_t i = 0; m > 0 && i < info->n_elems; i++)
		n += keep[i] != 0;
	if (m == 0 || info->n_elems > UINT32_MAX || !pare_sparse_pays(m, info->dims[0], info->dims[1], n))
		return PARE_OK;
	*s = (struct pare_sparse){.rows = info->dims[0], .cols = info->dims[1], .n = n};
	code = alloc_structure(s, err);
	if (code == PARE_OK)
		fill_structure(s, keep);
	return code;
}

/* Runs point at structures; gradients that are no longer computed are 0. */
static void bind_structures(struct pare_net *net, struct pare_net_shard *sh)
{
	for (int i = 0; i < net->n_nodes; i++) {
		const struct pare_net_node *n = &net->nodes[i];

		sh->runs[i].sparse = NULL;
		for (int k = 0; net->sparse != NULL && k < n->node->n_in; k++) {
			int32_t p = n->node->in[k] >= 0 ? net->values[n->node->in[k]].param : -1;

			if (p < 0 || net->sparse[p].row_start == NULL)
				continue;
			sh->runs[i].sparse = &net->sparse[p];
			if (sh->grads != NULL)
				memset(sh->grads + net->params[p].offset, 0, net->params[p].n_elems * sizeof(float));
		}
	}
}

void pare_net_drop_structures(struct pare_net *net)
{
	for (int p = 0; net->sparse != NULL && p < net->n_params; p++)
		pare_free(net->sparse[p].row_start);
	pare_free(net->sparse);
	net->sparse = NULL;
}

static void bind_all(struct pare_net *net)
{
	for (int s = 0; s < net->n_shards; s++)
		bind_structures(net, &net->shards[s]);
}

enum pare_code pare_net_promise_zeros(struct pare_net *net, const uint8_t *keep, struct pare_err *err)
{
	enum pare_code code = PARE_OK;

	pare_net_drop_structures(net);
	net->sparse = pare_calloc((size_t)net->n_params + 1, sizeof *net->sparse);
	if (net->sparse == NULL)
		code = pare_err_nomem(err, 0);
	for (int p = 0; p < net->n_params && code == PARE_OK; p++)
		code = build_structure(net, p, keep + net->params[p].offset, err);
	if (code != PARE_OK)
		pare_net_drop_structures(net);
	bind_all(net);
	return code;
}

void pare_net_promise_nothing(struct pare_net *net)
{
	pare_net_drop_structures(net);
	bind_all(net);
}

const struct pare_sparse *pare_net_structure(const struct pare_net *net, int p)
{
	return net->sparse != NULL && net->sparse[p].row_start != NULL ? &net->sparse[p] : NULL;
}

int pare_net_n_sparse(const struct pare_net *net)
{
	int n = 0;

	for (int p = 0; net->sparse != NULL && p < net->n_params; p++)
		n += net->sparse[p].row_start != NULL;
	return n;
}
