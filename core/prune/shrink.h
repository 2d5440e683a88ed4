/* Shrinking: from a cut (core/prune/groups.h) to a graph without what was cut, and to the weights that stand for it.
 *
 * Masked means: every parameter of a removed unit is zero, what leads into it and what leads out of it. So what it adds to any
 * sum is exactly zero whatever its activation makes of zero, and the graph without it computes the same. */
#ifndef PARE_PRUNE_SHRINK_H
#define PARE_PRUNE_SHRINK_H

#include "core/graph/rewrite.h"
#include "core/prune/groups.h"
#include "core/prune/prune.h"

/* Masks every parameter of what is gone, but not running statistics (what was masked before stays so) and applies the mask to the slab. */
void pare_cut_mask(const struct pare_cut *c, struct pare_net *net, struct pare_mask *mask);

/* PARE_E_UNSUPPORTED for models that cannot be shrunk whatever is cut: with control flow or model-local functions. */
PARE_MUST_USE enum pare_code pare_shrink_check(const struct pare_model *m, struct pare_err *err);
/* The changes that take what is gone out of the model's graph, with the model's present values (pare_net_store first): smaller
 * initializers, node attributes and constant inputs that name sizes, shapes in value_info, and no node or initializer that
 * nothing needs any more. The net was planned over m. PARE_E_UNSUPPORTED as pare_shrink_check, and for
 * tensors of types that are not whole bytes; PARE_E_CANCELED soon after cancel is set (NULL: never). *out is pare_rewrite_done by the caller. */
PARE_MUST_USE enum pare_code pare_shrink(const struct pare_net *net, const struct pare_model *m, const struct pare_cut *c, const atomic_bool *cancel,
    struct pare_rewrite *out, struct pare_err *err);

#endif
