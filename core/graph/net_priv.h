/* The plan of a net: shared by net.c (life), shape_infer.c, fold.c, edges.c, idiom.c, attend.c, pick.c, fuse.c, layout.c, plan.c (memory), plan_shards.c, ranges.c, plan_grad.c, plan_split.c and exec.c. */
#ifndef PARE_GRAPH_NET_PRIV_H
#define PARE_GRAPH_NET_PRIV_H

#include <pthread.h>

#include "core/graph/net.h"
#include "core/graph/pool.h"
#include "core/ops/op.h"

/* Where a value's elements live. */
enum pare_place {
	PARE_PLACE_NONE,  /* nowhere: what is only read at plan time, values nobody computes */
	PARE_PLACE_PARAM, /* offset into the net's parameter slab */
	PARE_PLACE_CONST, /* fixed, shared by all shards */
	PARE_PLACE_SHARD  /* offset into the memory of each shard */
};

#define PARE_GRAD_NONE ((size_t)-1)
#define PARE_JOINT_NONE ((size_t)-1)

struct pare_net_value {
	struct pare_shape shape;
	int dtype;
	bool last;     /* its channels stand last in memory; shape says nothing of that */
	bool live;     /* an executed node, or the graph's interface, refers to it */
	bool runs;     /* all that it is made of has rows in the table of operators */
	bool wanted;   /* an output of the graph that is computed */
	bool input;    /* the caller writes it */
	bool constant; /* does not depend on inputs, parameters or the batch size */
	bool smooth;   /* has gradients: float, or integers that pass one on */
	bool needs_grad;
	struct pare_known known;
	int64_t outer; /* of the batch axis: how many blocks of all rows it holds, one after the other (plan_shards.c) */
	int32_t param; /* index into net->params, or -1 */
	enum pare_place place;
	int32_t root; /* the value whose memory this one shares: itself, or a view's origin, or what it overwrites */
	int32_t last_read, first_kept; /* of all that shares its memory, if it is a root: the last node that reads it (outputs: one past all), the
	                                  first whose backward does */
	size_t offset;
	float *fixed;
	int32_t grad_root; /* the value whose gradient this one shares: itself, or a view's origin */
	size_t grad_offset; /* into each shard's memory, or into the gradient slab for parameters; PARE_GRAD_NONE */
	int32_t grad_slot;  /* grad_roots of one slot share memory; -1: in none */
	/* Of a root and of a grad_root: where in net->joint the rows of all shards stand, one shard's behind the other's; PARE_JOINT_NONE: in each
	 * shard's memory (plan_split.c). */
	size_t joint, grad_joint;
};

struct pare_net_node {
	int32_t index; /* in the graph */
	const struct pare_node *node;
	const struct pare_op *op;
	void *args;
	char *where;
	bool constant; /* does not depend on inputs, parameters or the batch size: run once, at plan time */
	bool view;
	bool last; /* works on images whose channels stand last */
	bool backward;
	bool *accumulate; /* per input */
	size_t state_offset;
	size_t prepared_offset, n_prepared; /* into net->prepared */
	float **states; /* by shard; NULL without state */
	bool split;     /* shards divide its units, if they run together: peers, by shard (plan_split.c) */
	const struct pare_run **peers;
	int64_t macs;
};

/* Who reads and who computes a value (edges.c). */
struct pare_edge {
	int32_t producer; /* node; -1: none */
	int32_t n_reads;  /* operands that it is */
	int64_t readers, operands; /* which nodes and which operands of them, summed up */
	bool given;       /* an output of the graph */
};

/* The gradient of one graph output as the caller writes it. */
struct pare_net_seed {
	size_t offset; /* into each shard's memory; PARE_GRAD_NONE if nothing needs it */
	bool copy;     /* to the value's own gradient, at the start of backward */
	bool first;    /* overwrite, not add */
};

/* A node whose units shards divide, and its weight. */
struct pare_net_split {
	int node, param;
	int64_t n_units, unit; /* floats of a unit, where units stand one after the other in the weight; else 0 */
	bool summed; /* by the last backward pass: shard 0 has the gradient of all shards */
};

/* An operand of a node that stands in the memory of an input, so many floats from its beginning. */
struct pare_reader {
	int32_t node, operand;
	size_t at;
};

struct pare_net_shard {
	float *mem;
	float *grads; /* as long as the parameter slab */
	int64_t count;
	struct pare_shape *shapes; /* by value, for count rows */
	struct pare_run *runs;     /* by node of net->nodes */
	bool met;                  /* shards wait for each other in the backward pass, as they did in forward */
	const float **lent;        /* by graph input: where the next pass reads it; NULL: in its own memory */
};

struct pare_net {
	const struct pare_model *model;
	struct pare_net_options opt;
	struct pare_arena arena;
	struct pare_pool *pool;
	int n_shards;
	int64_t shard_rows; /* rows of the largest shard */
	int64_t pass_rows;  /* of these, how many run at a time; all of them in a net that trains */
	size_t *stages;     /* where the shard's inputs, then outputs, of all rows stand, if it runs in passes; else NULL */
	int64_t fixed_batch;
	struct pare_net_value *values; /* by value index of the graph; behind these what layout.c added */
	int32_t n_values;
	int32_t *inputs;               /* values: those of the graph, or what stands in front of them (ends.c) */
	int32_t *outputs;              /* values: those of the graph, or what stands for them */
	int n_nodes;                   /* live ones, in graph order */
	struct pare_net_node *nodes;
	struct pare_edge *edges;       /* by value, while nodes are joined */
	const struct pare_node **unread; /* scratch of that, by node */
	int n_steps;
	int64_t *macs;                 /* by node of the graph */
	struct pare_net_node *steps;   /* the same as they stood before some were fused: what net_view.h shows */
	int n_params;
	struct pare_param_info *params;
	size_t slab_len;
	float *slab;
	struct pare_net_split *splits; /* in the order of parameters */
	int n_splits;
	size_t *even_before; /* by parameter: floats of those before it of which shards update equal parts; behind the last: of all */
	struct pare_net_seed *seeds; /* by graph output */
	size_t shard_len;            /* floats of a shard's memory */
	size_t joint_len;
	float *joint;                /* memory of all shards */
	size_t scratch_offset;
	size_t n_prepared;
	float *prepared;     /* what nodes keep of parameters in a net that does not train */
	bool stale;          /* parameters may have changed since; under lock */
	struct pare_reader **readers; /* by graph input; NULL where it cannot be lent */
	int *n_readers;
	pthread_mutex_t lock;
	struct pare_net_shard *shards;
	struct pare_sparse *sparse; /* by parameter, row_start NULL for dense ones; NULL when all are */
};

/* Input k of a node that is read at run time. */
static inline bool pare_net_is_read(const struct pare_net_node *n, int k)
{
	return n->node->in[k] >= 0 && !pare_op_has(n->op->const_in | n->op->shape_in, k);
}
/* The same, of a type that can be a parameter. */
static inline bool pare_net_is_data(const struct pare_net *net, const struct pare_net_node *n, int k)
{
	return pare_net_is_read(n, k) && net->values[n->node->in[k]].smooth;
}
/* The same, of an input that can have a gradient. */
static inline bool pare_net_has_grad(const struct pare_net *net, const struct pare_net_node *n, int k)
{
	return pare_net_is_data(net, n, k) && !pare_op_has(n->op->buffer_in, k);
}
static inline bool pare_net_is_known(const struct pare_known *k)
{
	return k->i64 != NULL || k->f32 != NULL;
}
/* Round floats up to whole cache lines. */
static inline size_t pare_net_align(size_t n_floats)
{
	return (n_floats + 15) & ~(size_t)15;
}
size_t pare_net_value_elems(const struct pare_net *net, int32_t value, int64_t rows);
/* The value as it stands in memory when that many rows run. */
void pare_net_resolve(const struct pare_net *net, int32_t value, int64_t rows, struct pare_shape *out);
void pare_net_ties(const struct pare_net *net, const struct pare_net_node *n, struct pare_ties *out);

/* shape_infer.c: live nodes, rows of the table, arguments, shapes, constants, parameters. */
PARE_MUST_USE enum pare_code pare_net_infer_shapes(struct pare_net *net, struct pare_err *err);
/* ends.c: inputs and outputs whose batch is not first. */
PARE_MUST_USE enum pare_code pare_net_turn_ends(struct pare_net *net, struct pare_err *err);
/* layout.c: which values have their channels last. */
PARE_MUST_USE enum pare_code pare_net_choose_layouts(struct pare_net *net, struct pare_err *err);
/* Could n run so, whatever its inputs turn out to be? */
bool pare_net_could_be_last(const struct pare_net *net, const struct pare_net_node *n);
/* edges.c: idioms, attention and chains become nodes. Until that is done, a node that went is a hole: node NULL. */
PARE_MUST_USE enum pare_code pare_net_join(struct pare_net *net, struct pare_err *err);
/* The only node that reads a value, by place in net->nodes, and as which operand; -1 if there is not exactly one read, or the graph gives it out. */
int pare_net_only_reader(const struct pare_net *net, int32_t value, int *operand);
/* The node that computes a value, by place in net->nodes; -1: none of them. */
int pare_net_producer(const struct pare_net *net, int32_t value);
/* Node i is that one from now on; goes. */
void pare_net_put(struct pare_net *net, int i, const struct pare_net_node *n);
void pare_net_remove(struct pare_net *net, int i);
/* What computed the operands of a node that went goes, too, if nobody reads it any more; and so on. */
void pare_net_drop_unread(struct pare_net *net, const struct pare_node *was);
/* fuse.c: chains that run as one node. */
PARE_MUST_USE enum pare_code pare_net_fuse(struct pare_net *net, struct pare_err *err);
/* shape_infer.c, for one node, of which index and node are set. */
PARE_MUST_USE enum pare_code pare_net_plan_node(struct pare_net *net, struct pare_net_node *n, struct pare_err *err);
/* idiom.c: formulas that exporters spell out become one node. */
PARE_MUST_USE enum pare_code pare_net_join_idioms(struct pare_net *net, struct pare_err *err);
/* attend.c: the same for attention, whose operands are read where they stand. */
PARE_MUST_USE enum pare_code pare_net_join_attention(struct pare_net *net, struct pare_err *err);
/* pick.c: the same for rows of an embedding. */
PARE_MUST_USE enum pare_code pare_net_join_picks(struct pare_net *net, struct pare_err *err);
/* fold.c: a node whose inputs are all known: its outputs into c->out_known, as far as they can be known. */
#define PARE_MAX_KNOWN 4096 /* elements of a constant that shape inference may look at */
PARE_MUST_USE enum pare_code pare_net_fold(const struct pare_net_node *n, const struct pare_infer *c, struct pare_err *err);
/* steady.c: which values are the same for all sizes that the model leaves open; a and b are inferred with different ones. Both arrays are by value. */
void pare_net_find_steady(const struct pare_net *a, const struct pare_net *b, uint8_t *tells, bool *steady);
/* plan.c: shards, where everything lives. */
PARE_MUST_USE enum pare_code pare_net_plan(struct pare_net *net, struct pare_err *err);
/* plan_shards.c: does every row go its own way? Fills outer of the values. */
bool pare_net_shardable(struct pare_net *net);
/* ranges.c: where all elements of a value are, whatever the data. */
#define PARE_RANGE_INPUTS 3
struct pare_range {
	bool known;
	int64_t low, high;
};
/* Of output 0 of a node, by those of its inputs. */
struct pare_range pare_net_range(const struct pare_net *net, const struct pare_net_node *n, const struct pare_range in[PARE_RANGE_INPUTS]);
/* plan_grad.c: which gradients exist, in what order they add up, where they live. */
PARE_MUST_USE enum pare_code pare_net_plan_grads(struct pare_net *net, struct pare_err *err);
/* exec.c: where a value, its gradient, and what the caller writes as the gradient of output i stand for shard s; NULL: nowhere. */
float *pare_net_data_at(const struct pare_net *net, int s, int32_t value);
float *pare_net_grad_at(const struct pare_net *net, int s, int32_t value);
float *pare_net_seed_at(const struct pare_net *net, int s, int i);
/* plan.c: a run with the shapes of a node's operands for all rows of a pass, and no pointers. */
PARE_MUST_USE enum pare_code pare_net_run_shapes(struct pare_net *net, const struct pare_net_node *n, struct pare_run *out, struct pare_err *err);
/* plan_split.c: nodes whose units shards divide; after the gradients are planned. What the backward pass that shard 0 is about to run does of it. */
PARE_MUST_USE enum pare_code pare_net_plan_splits(struct pare_net *net, struct pare_err *err);
void pare_net_note_splits(struct pare_net *net);
/* exec.c: pointers of every node on every shard; runs the constant nodes. */
PARE_MUST_USE enum pare_code pare_net_bind(struct pare_net *net, struct pare_err *err);

/* sparsity.c; what runs point at must be set anew afterwards */
void pare_net_drop_structures(struct pare_net *net);

/* An interval of memory: alive from first to last inclusive (any clock). */
struct pare_slot {
	size_t n_floats;
	int32_t first, last;
	size_t offset; /* out */
};
/* One clock for both passes: forward runs node i at i; backward starts as if it ran one node n_nodes, and has run all at -1's. */
static inline int32_t pare_net_backward_time(const struct pare_net *net, int node)
{
	return 2 * net->n_nodes - node;
}
/* Does backward read operand k of a node, outputs counted after the inputs? */
static inline bool pare_net_backward_reads(const struct pare_net_node *n, int k)
{
	return n->backward && (k < n->node->n_in ? pare_op_has(n->op->grad_uses_in, k) : pare_op_has(n->op->grad_uses_out, k - n->node->n_in));
}
/* plan.c: places activations, and with them the slots of gradients: offsets into a shard's memory. */
PARE_MUST_USE enum pare_code pare_net_place(struct pare_net *net, struct pare_slot *grads, int32_t n_grads, struct pare_err *err);
/* Gives every slot an offset (a multiple of 16 floats) so that no two that live at the same time overlap. Returns the
 * floats needed. order: scratch of 2 n, placed: of n. */
size_t pare_slots_place(struct pare_slot *slots, int32_t n, int32_t *order, struct pare_slot *placed);

#endif
