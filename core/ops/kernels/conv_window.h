/* The sliding window that convolution and pooling share: up to three spatial axes, of which missing ones are 1 long and
 * stand first. An output position o and a window position t meet input position o * stride + t * dilation - pad, which
 * is padding when it lies outside [0, in). */
#ifndef PARE_KERNELS_CONV_WINDOW_H
#define PARE_KERNELS_CONV_WINDOW_H

#include <stdint.h>

#define PARE_WINDOW_AXES 3

struct pare_window {
	int64_t in[PARE_WINDOW_AXES], out[PARE_WINDOW_AXES], kernel[PARE_WINDOW_AXES];
	int64_t stride[PARE_WINDOW_AXES], dilation[PARE_WINDOW_AXES];
	int64_t pad[PARE_WINDOW_AXES]; /* at the beginning; what is at the end follows from out */
};

static inline int64_t pare_window_product(const int64_t v[PARE_WINDOW_AXES])
{
	return v[0] * v[1] * v[2];
}

/* Where output o and window position t of an axis meet the input; -1 in the padding. */
static inline int64_t pare_window_at(const struct pare_window *w, int axis, int64_t o, int64_t t)
{
	int64_t i = o * w->stride[axis] + t * w->dilation[axis] - w->pad[axis];

	return i >= 0 && i < w->in[axis] ? i : -1;
}

/* The outputs [*lo, *hi) of an axis whose window position t is not padding; empty as *lo == *hi. */
static inline void pare_window_valid(const struct pare_window *w, int axis, int64_t t, int64_t *lo, int64_t *hi)
{
	int64_t s = w->stride[axis], first = w->pad[axis] - t * w->dilation[axis], last = w->in[axis] - 1 + first;

	*lo = first > 0 ? (first + s - 1) / s : 0;
	*hi = last >= 0 ? last / s + 1 : 0;
	*hi = *hi < w->out[axis] ? *hi : w->out[axis];
	*lo = *lo < *hi ? *lo : *hi;
}

/* Window position t (of kernel[0] * kernel[1] * kernel[2]) by axis. */
static inline void pare_window_tap(const struct pare_window *w, int64_t t, int64_t tap[PARE_WINDOW_AXES])
{
	tap[2] = t % w->kernel[2];
	tap[1] = t / w->kernel[2] % w->kernel[1];
	tap[0] = t / (w->kernel[1] * w->kernel[2]);
}

/* What one tap touches: outputs [lo, hi) of each axis, and the input element that output 0 of each axis would meet
 * (which may lie outside). Output (z, y, x) meets from[0] + z stride[0], ... */
struct pare_tap {
	int64_t lo[PARE_WINDOW_AXES], hi[PARE_WINDOW_AXES], from[PARE_WINDOW_AXES];
};
static inline void pare_window_range(const struct pare_window *w, int64_t t, struct pare_tap *out)
{
	int64_t tap[PARE_WINDOW_AXES];

	pare_window_tap(w, t, tap);
	for (int i = 0; i < PARE_WINDOW_AXES; i++) {
		pare_window_valid(w, i, tap[i], &out->lo[i], &out->hi[i]);
		out->from[i] = tap[i] * w->dilation[i] - w->pad[i];
	}
}
/* The offset in the plane of what output (z, y, lo[2]) meets. */
static inline int64_t pare_tap_start(const struct pare_window *w, const struct pare_tap *p, int64_t z, int64_t y)
{
	int64_t iz = z * w->stride[0] + p->from[0], iy = y * w->stride[1] + p->from[1];

	return (iz * w->in[1] + iy) * w->in[2] + p->lo[2] * w->stride[2] + p->from[2];
}

/* Where line l of the output (out[0] * out[1] lines of out[2]) reads its input line for a tap: the offset of that line
 * in the image, -1 in the padding. */
static inline int64_t pare_window_line(const struct pare_window *w, int64_t l, const int64_t tap[PARE_WINDOW_AXES])
{
	int64_t z = pare_window_at(w, 0, l / w->out[1], tap[0]), y = pare_window_at(w, 1, l % w->out[1], tap[1]);

	return z < 0 || y < 0 ? -1 : (z * w->in[1] + y) * w->in[2];
}

#endif
