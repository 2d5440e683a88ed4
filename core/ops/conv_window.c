/* Window attributes to a checked struct pare_window, once, at plan time. Axes are aligned to the end (a 1-D operator uses
 * axis 2 of w), so that the innermost loop of every kernel is the contiguous axis.
 *
 *   positions = floor((in + begin + end - extent) / stride) + 1         extent = (kernel - 1) dilation + 1
 *   SAME_*    positions = ceil(in / stride), pads split as evenly as can be, the odd one at the end (UPPER) or begin
 *   ceil_mode rounds up, but a window that would begin in the padding at the end does not count
 *
 * All numbers come from a file: each is bounded, so that no product here overflows. */
#include "core/ops/conv_window.h"

#include <string.h>

#define MOST (1 << 24) /* of a kernel axis, stride, dilation or pad */

enum pare_code pare_window_list(const struct pare_infer *c, const char *name, const struct pare_ints *v, int n, int64_t def, int64_t min, int64_t *out,
    struct pare_err *err)
{
	if (v->v != NULL && v->n != (size_t)n)
		return pare_err_set(err, PARE_E_MODEL, c->where, "attribute \"%s\" has %zu numbers, the input's spatial axes need %d", name, v->n, n);
	for (int i = 0; i < n; i++) {
		out[i] = v->v != NULL ? v->v[i] : def;
		if (out[i] < min || out[i] > MOST)
			return pare_err_set(err, PARE_E_INVALID, c->where, "attribute \"%s\" has %lld, it must be from %lld to %d", name, (long long)out[i],
			    (long long)min, MOST);
	}
	return PARE_OK;
}

enum pare_code pare_window_auto_pad(const struct pare_infer *c, const struct pare_window_args *a, enum pare_auto_pad *out, struct pare_err *err)
{
	static const char *const name_table[] = {
	    [PARE_AUTO_NOTSET] = "NOTSET", [PARE_AUTO_VALID] = "VALID", [PARE_AUTO_SAME_UPPER] = "SAME_UPPER", [PARE_AUTO_SAME_LOWER] = "SAME_LOWER"};

	*out = PARE_AUTO_NOTSET;
	if (a->auto_pad.len == 0)
		return PARE_OK;
	for (int i = PARE_AUTO_NOTSET; i <= PARE_AUTO_SAME_LOWER; i++)
		if (a->auto_pad.len == strlen(name_table[i]) && memcmp(a->auto_pad.data, name_table[i], a->auto_pad.len) == 0) {
			*out = (enum pare_auto_pad)i;
			return PARE_OK;
		}
	return pare_err_set(err, PARE_E_INVALID, c->where, "attribute \"auto_pad\" is none of NOTSET, VALID, SAME_UPPER, SAME_LOWER");
}

enum pare_code pare_window_spatial(const struct pare_infer *c, int *out_n, struct pare_err *err)
{
	const struct pare_shape *x = &c->in[0];
	char text[PARE_SHAPE_TEXT];

	if (x->n_dims < 3 || x->n_dims > 2 + PARE_WINDOW_AXES)
		return pare_err_set(err, x->n_dims < 3 ? PARE_E_SHAPE : PARE_E_UNSUPPORTED, c->where,
		    "input of shape %s; it must be [batch, channels, ...] with 1 to %d spatial axes", pare_shape_text(x, text), PARE_WINDOW_AXES);
	if ((x->batch & ~PARE_BIT(0)) != 0)
		return pare_err_set(err, PARE_E_UNSUPPORTED, c->where, "input of shape %s: only the first dimension may depend on the batch", pare_shape_text(x, text));
	for (int i = 1; i < x->n_dims; i++)
		if (x->dims[i] < 1)
			return pare_err_set(err, PARE_E_SHAPE, c->where, "input of shape %s has no elements", pare_shape_text(x, text));
	*out_n = x->n_dims - 2;
	return PARE_OK;
}

enum pare_code pare_window_fits(const struct pare_infer *c, const int64_t v[PARE_WINDOW_AXES], struct pare_err *err)
{
	int64_t n = 1;

	for (int i = 0; i < PARE_WINDOW_AXES; i++)
		if (__builtin_mul_overflow(n, v[i], &n) || n > INT32_MAX)
			return pare_err_set(err, PARE_E_LIMIT, c->where, "a plane of %lld x %lld x %lld is too large (over 2^31 elements)", (long long)v[0],
			    (long long)v[1], (long long)v[2]);
	return PARE_OK;
}

enum pare_code pare_window_steps(const struct pare_infer *c, const struct pare_window_args *a, int n, const int64_t *kernel, struct pare_window *w,
    struct pare_err *err)
{
	const struct pare_ints k = {.v = kernel, .n = (size_t)n};
	int first = PARE_WINDOW_AXES - n;
	enum pare_code code;

	for (int i = 0; i < PARE_WINDOW_AXES; i++) {
		w->in[i] = w->out[i] = w->kernel[i] = w->stride[i] = w->dilation[i] = 1;
		w->pad[i] = 0;
	}
	code = pare_window_list(c, "kernel_shape", &k, n, 1, 1, w->kernel + first, err);
	if (code == PARE_OK)
		code = pare_window_list(c, "strides", &a->strides, n, 1, 1, w->stride + first, err);
	if (code == PARE_OK)
		code = pare_window_list(c, "dilations", &a->dilations, n, 1, 1, w->dilation + first, err);
	return code == PARE_OK ? pare_window_fits(c, w->kernel, err) : code;
}

enum pare_code pare_window_pads(const struct pare_infer *c, const struct pare_window_args *a, int n, int64_t *begin, int64_t *end, struct pare_err *err)
{
	int64_t both[2 * PARE_WINDOW_AXES];
	enum pare_code code = pare_window_list(c, "pads", &a->pads, 2 * n, 0, 0, both, err);

	if (code != PARE_OK)
		return code;
	memcpy(begin, both, (size_t)n * sizeof *both);
	memcpy(end, both + n, (size_t)n * sizeof *both);
	return PARE_OK;
}

static int64_t positions(const struct pare_window *w, int i, int64_t end, bool ceil)
{
	int64_t room = w->in[i] + w->pad[i] + end - pare_window_extent(w, i), s = w->stride[i], n;

	if (room < 0)
		return 0;
	n = (room + (ceil ? s - 1 : 0)) / s + 1;
	return ceil && (n - 1) * s >= w->in[i] + w->pad[i] ? n - 1 : n;
}

static int64_t same_positions(struct pare_window *w, int i, bool upper, int64_t *end)
{
	int64_t n = (w->in[i] + w->stride[i] - 1) / w->stride[i], total = (n - 1) * w->stride[i] + pare_window_extent(w, i) - w->in[i];

	total = total > 0 ? total : 0;
	w->pad[i] = upper ? total / 2 : total - total / 2;
	*end = total - w->pad[i];
	return n;
}

enum pare_code pare_window_infer(const struct pare_infer *c, const struct pare_window_args *a, const int64_t *kernel, bool ceil, struct pare_window *w,
    int64_t *pad_end, struct pare_shape *y, struct pare_err *err)
{
	int64_t end[PARE_WINDOW_AXES] = {0};
	enum pare_auto_pad how = PARE_AUTO_NOTSET;
	char text[PARE_SHAPE_TEXT];
	enum pare_code code;
	int n, first;

	code = pare_window_spatial(c, &n, err);
	if (code == PARE_OK)
		code = pare_window_steps(c, a, n, kernel, w, err);
	if (code == PARE_OK)
		code = pare_window_auto_pad(c, a, &how, err);
	if (code != PARE_OK)
		return code;
	first = PARE_WINDOW_AXES - n;
	if (how == PARE_AUTO_NOTSET)
		code = pare_window_pads(c, a, n, w->pad + first, end + first, err);
	if (code != PARE_OK)
		return code;
	for (int i = first; i < PARE_WINDOW_AXES; i++) {
		w->in[i] = c->in[0].dims[2 + i - first];
		if (how == PARE_AUTO_SAME_UPPER || how == PARE_AUTO_SAME_LOWER)
			w->out[i] = same_positions(w, i, how == PARE_AUTO_SAME_UPPER, &end[i]);
		else
			w->out[i] = positions(w, i, end[i], ceil);
		if (w->out[i] < 1)
			return pare_err_set(err, PARE_E_SHAPE, c->where, "input of shape %s is smaller than the window (%lld on spatial axis %d)",
			    pare_shape_text(&c->in[0], text), (long long)pare_window_extent(w, i), i - first);
		y->dims[2 + i - first] = w->out[i];
	}
	if (pad_end != NULL)
		memcpy(pad_end, end, sizeof end);
	return pare_window_fits(c, w->out, err);
}
