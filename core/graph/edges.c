/* Who reads and who computes every value, kept while nodes are joined (idiom.c, attend.c, pick.c, fuse.c): they ask at every node, and looking at
 * all of the others each time took half an hour for a hundred thousand nodes, which are a file of a few megabytes.
 *
 * Of readers there is a count and a sum of places: when there is one reader, the sum is its place, and nobody asks which they are when
 * there are more. So a reader goes as it came, by subtraction, and lists are not needed. For that, places must not move: a node that
 * goes leaves a hole (node NULL) that is closed when all is joined. */
#include <string.h>

#include "core/graph/net_priv.h"

static void read_by(struct pare_net *net, const struct pare_node *node, int32_t at, int sign)
{
	for (int k = 0; k < node->n_in; k++) {
		struct pare_edge *e = node->in[k] >= 0 ? &net->edges[node->in[k]] : NULL;

		if (e == NULL)
			continue;
		e->n_reads += sign;
		e->readers += sign * (int64_t)at;
		e->operands += sign * (int64_t)k;
	}
}

static void computed_by(struct pare_net *net, const struct pare_node *node, int32_t at)
{
	for (int k = 0; k < node->n_out; k++)
		if (node->out[k] >= 0)
			net->edges[node->out[k]].producer = at;
}

static enum pare_code index_edges(struct pare_net *net, struct pare_err *err)
{
	net->edges = pare_arena_array(&net->arena, (size_t)net->n_values + 1, sizeof *net->edges);
	net->unread = pare_arena_array(&net->arena, (size_t)net->n_nodes + 1, sizeof *net->unread);
	if (net->edges == NULL || net->unread == NULL)
		return pare_err_nomem(err, 0);
	for (int32_t v = 0; v < net->n_values; v++)
		net->edges[v].producer = -1;
	for (int i = 0; i < net->model->graph.n_outputs; i++)
		net->edges[net->outputs[i]].given = true;
	for (int i = 0; i < net->n_nodes; i++) {
		read_by(net, net->nodes[i].node, i, 1);
		computed_by(net, net->nodes[i].node, i);
	}
	return PARE_OK;
}

int pare_net_only_reader(const struct pare_net *net, int32_t value, int *operand)
{
	const struct pare_edge *e = &net->edges[value];

	if (e->given || e->n_reads != 1)
		return -1;
	*operand = (int)e->operands;
	return (int)e->readers;
}

int pare_net_producer(const struct pare_net *net, int32_t value)
{
	return net->edges[value].producer;
}

void pare_net_remove(struct pare_net *net, int i)
{
	const struct pare_node *node = net->nodes[i].node;

	read_by(net, node, i, -1);
	for (int k = 0; k < node->n_out; k++)
		if (node->out[k] >= 0 && net->edges[node->out[k]].producer == i)
			net->edges[node->out[k]].producer = -1;
	memset(&net->nodes[i], 0, sizeof net->nodes[i]);
}

void pare_net_put(struct pare_net *net, int i, const struct pare_net_node *n)
{
	struct pare_net_node copy = *n;

	if (net->nodes[i].node != NULL)
		pare_net_remove(net, i);
	net->nodes[i] = copy;
	read_by(net, copy.node, i, 1);
	computed_by(net, copy.node, i);
}

static bool is_read(const struct pare_net *net, const struct pare_node *node)
{
	for (int k = 0; k < node->n_out; k++)
		if (node->out[k] >= 0 && (net->edges[node->out[k]].given || net->edges[node->out[k]].n_reads > 0))
			return true;
	return false;
}

void pare_net_drop_unread(struct pare_net *net, const struct pare_node *was)
{
	int32_t n = 0;

	for (;;) {
		for (int k = 0; k < was->n_in; k++) {
			int32_t i = was->in[k] >= 0 ? net->edges[was->in[k]].producer : -1;

			if (i < 0 || is_read(net, net->nodes[i].node))
				continue;
			net->unread[n++] = net->nodes[i].node;
			pare_net_remove(net, i);
		}
		if (n == 0)
			return;
		was = net->unread[--n];
	}
}

static void close_holes(struct pare_net *net)
{
	int kept = 0;

	for (int i = 0; i < net->n_nodes; i++)
		if (net->nodes[i].node != NULL)
			net->nodes[kept++] = net->nodes[i];
	net->n_nodes = kept;
}

enum pare_code pare_net_join(struct pare_net *net, struct pare_err *err)
{
	enum pare_code code = index_edges(net, err);

	if (code == PARE_OK)
		code = pare_net_join_idioms(net, err);
	if (code == PARE_OK)
		code = pare_net_join_attention(net, err);
	if (code == PARE_OK)
		code = pare_net_join_picks(net, err);
	if (code == PARE_OK)
		code = pare_net_fuse(net, err);
	close_holes(net);
	return code;
}
