/* The attributes that say how a window slides, shared by the Conv and the pooling rows. */
#ifndef PARE_OPS_CONV_WINDOW_H
#define PARE_OPS_CONV_WINDOW_H

#include "core/ops/kernels/conv_window.h"
#include "core/ops/op.h"

struct pare_window_args {
	struct pare_span auto_pad;
	struct pare_ints kernel_shape, strides, dilations, pads;
};
#define PARE_WINDOW_ARG_ROWS(type, member, kernel_required) \
	{.name = "auto_pad", .kind = PARE_ARG_STRING, .offset = offsetof(type, member.auto_pad)}, \
	{.name = "kernel_shape", .kind = PARE_ARG_INTS, .offset = offsetof(type, member.kernel_shape), .required = kernel_required}, \
	{.name = "strides", .kind = PARE_ARG_INTS, .offset = offsetof(type, member.strides)}, \
	{.name = "dilations", .kind = PARE_ARG_INTS, .offset = offsetof(type, member.dilations)}, \
	{.name = "pads", .kind = PARE_ARG_INTS, .offset = offsetof(type, member.pads)}

enum pare_auto_pad { PARE_AUTO_NOTSET, PARE_AUTO_VALID, PARE_AUTO_SAME_UPPER, PARE_AUTO_SAME_LOWER };
PARE_MUST_USE enum pare_code pare_window_auto_pad(const struct pare_infer *c, const struct pare_window_args *a, enum pare_auto_pad *out, struct pare_err *err);

/* Checks that x is [N, C, d1, ...] with one to three spatial axes that do not depend on the batch; returns their number
 * in *out_n. */
PARE_MUST_USE enum pare_code pare_window_spatial(const struct pare_infer *c, int *out_n, struct pare_err *err);
/* Kernel (of n axes), strides and dilations, checked, into w; the axes stand last in it. */
PARE_MUST_USE enum pare_code pare_window_steps(const struct pare_infer *c, const struct pare_window_args *a, int n, const int64_t *kernel, struct pare_window *w,
    struct pare_err *err);
/* Explicit pads, checked: begin[n] and end[n], zeros when absent. */
PARE_MUST_USE enum pare_code pare_window_pads(const struct pare_infer *c, const struct pare_window_args *a, int n, int64_t *begin, int64_t *end, struct pare_err *err);
/* All of it for an operator that reads x through the window: fills w, and y's spatial axes from y->dims[2]. ceil rounds
 * the number of positions up. pad_end: what stands at the end, by axis of w; may be NULL. */
PARE_MUST_USE enum pare_code pare_window_infer(const struct pare_infer *c, const struct pare_window_args *a, const int64_t *kernel, bool ceil, struct pare_window *w,
    int64_t *pad_end, struct pare_shape *y, struct pare_err *err);
/* PARE_E_LIMIT unless the product fits an int32. */
PARE_MUST_USE enum pare_code pare_window_fits(const struct pare_infer *c, const int64_t v[PARE_WINDOW_AXES], struct pare_err *err);
/* Input positions that a window covers on an axis, gaps of the dilation included. */
static inline int64_t pare_window_extent(const struct pare_window *w, int axis)
{
	return (w->kernel[axis] - 1) * w->dilation[axis] + 1;
}
/* An attribute list of n entries, each from min to max; def where the list is absent. */
PARE_MUST_USE enum pare_code pare_window_list(const struct pare_infer *c, const char *name, const struct pare_ints *v, int n, int64_t def, int64_t min, int64_t *out,
    struct pare_err *err);

#endif
