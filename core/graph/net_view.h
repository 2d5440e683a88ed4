/* What structured pruning reads of a plan: the nodes that run, with their ties, and what is known of their values. All of
 * it is fixed for the net's life. */
#ifndef PARE_GRAPH_NET_VIEW_H
#define PARE_GRAPH_NET_VIEW_H

#include "core/graph/net.h"
#include "core/graph/product.h"
#include "core/graph/shape.h"

struct pare_op; /* core/ops/op.h, with the next two */
struct pare_ties;
struct pare_known;

/* As the graph says it: before nodes were fused. */
struct pare_net_step {
	int32_t index; /* in the graph */
	const struct pare_node *node;
	const struct pare_op *op;
	const void *args;
	const char *where; /* node "fc1" (Gemm) */
};
const struct pare_model *pare_net_model(const struct pare_net *net);
int pare_net_n_steps(const struct pare_net *net);
void pare_net_step_at(const struct pare_net *net, int i, struct pare_net_step *out);
void pare_net_step_ties(const struct pare_net *net, int i, struct pare_ties *out);

/* Is the node not run because there is no operator for it, or for what it reads? What it reads of the steps' values it wants as they are in the file. */
bool pare_net_is_carried(const struct pare_net *net, int32_t node);

/* Is input k of the step a parameter that others are multiplied with? */
bool pare_net_step_weighs(const struct pare_net *net, int i, int k);
/* The step as a product of matrices, for the rows of its shard's last pass; false where it has no such form. Only in a net made for
 * training with pare_net_options.plain, where every step has run by itself and its operands are still there. */
bool pare_net_step_product(const struct pare_net *net, int shard, int i, struct pare_product *out);
/* x[n, n_in]: what rows [first, first + n) of group g multiplied. */
void pare_net_step_unfold(const struct pare_net *net, int shard, int i, int64_t g, int64_t first, int64_t n, float *x);

/* The shape of a value that some step, or the graph's interface, refers to; NULL for others. */
const struct pare_shape *pare_net_shape_of(const struct pare_net *net, int32_t value);
int pare_net_dtype_of(const struct pare_net *net, int32_t value);
/* The parameter that this value is; -1 for others. */
int pare_net_param_of(const struct pare_net *net, int32_t value);
/* Does the value depend on neither inputs nor parameters nor the batch size? Then its elements: as floats where they were
 * computed, else (small ones) as they are known. Both NULL: an initializer that nobody reads at plan time. */
bool pare_net_is_constant(const struct pare_net *net, int32_t value);
const float *pare_net_constant_f32(const struct pare_net *net, int32_t value);
const struct pare_known *pare_net_known(const struct pare_net *net, int32_t value);
/* What would be known if values had these shapes (by value) and no node was changed; out is by value, its elements come from arena. Nothing
 * is known where the graph does not tell, or is wrong, for these shapes. Sets the shapes of values that are never computed, as only their shapes are
 * asked for. */
PARE_MUST_USE enum pare_code pare_net_refold(const struct pare_net *net, struct pare_shape *shapes, struct pare_arena *arena, struct pare_known *out, struct pare_err *err);
/* Which of the values that are known at plan time would be others if rows had other sizes where the file leaves them open, and (axes, unless it is
 * NULL) which axes of any value would have another length, as bits; both by value, and nothing for models without such sizes. */
PARE_MUST_USE enum pare_code pare_net_find_open(const struct pare_net *net, bool *out, uint8_t *axes, struct pare_err *err);

#endif
