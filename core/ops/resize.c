/* Resize and Upsample: resampling along any axes, by nearest, linear or cubic interpolation.
 *
 * Interpolation is separable, so a node is a list of passes, one per axis whose length changes. A pass is a sparse matrix,
 * made once at plan time: for every output the inputs that it reads and their weights; which coordinate an output has in
 * the input, and how neighbours outside are treated, is settled there. Forward applies the matrices, backward applies
 * them transposed, in reverse order. Rejected: one loop per mode over all axes at once, which multiplies the cases and
 * reads 4^d inputs where passes read 4 d.
 *
 * Formulas are those of the ONNX operator text: coordinates by coordinate_transformation_mode, cubic weights after Keys
 * (1981) with parameter cubic_coeff_a, antialiasing by widening the weights where an axis shrinks. Upsample and Resize
 * of opset 10 are the mode asymmetric; their nearest neighbour is the one below, or above where the axis shrinks. */
#include <math.h>
#include <string.h>

#include "core/base/num.h"
#include "core/ops/kernels/elementwise.h"
#include "core/ops/kernels/resample.h"
#include "core/ops/movement.h"
#include "core/ops/ops_priv.h"

enum mode { MODE_NEAREST, MODE_LINEAR, MODE_CUBIC };
enum coordinate { HALF_PIXEL, HALF_PIXEL_SYMMETRIC, PYTORCH_HALF_PIXEL, ALIGN_CORNERS, ASYMMETRIC, TF_HALF_PIXEL_FOR_NN, TF_CROP_AND_RESIZE };
enum rounding { ROUND_PREFER_FLOOR, ROUND_PREFER_CEIL, FLOOR, CEIL };
enum policy { STRETCH, NOT_LARGER, NOT_SMALLER };

struct pass {
	int axis;
	struct pare_resample matrix;
	bool *outside; /* by output: beyond the input, so extrapolated; NULL if none is */
};

struct resize_args {
	struct pare_span mode_arg, coordinate_arg, rounding_arg, policy_arg;
	struct pare_ints axes;
	struct pare_floats scales; /* of Upsample 7 */
	int64_t antialias, exclude_outside;
	float cubic_a, extrapolation;
	int mode, coordinate, rounding, policy;
	bool simple; /* opset below 11 */
	int n_passes;
	struct pass pass[PARE_MAX_DIMS];
};

/* One axis as the operator's text speaks of it. */
struct line {
	int64_t in, out;
	double scale, roi_start, roi_end;
};

static double position(const struct resize_args *a, const struct line *l, int64_t x)
{
	double in = (double)l->in, out = l->scale * in, i = (double)x;

	switch (a->coordinate) {
	case HALF_PIXEL:
		return (i + 0.5) / l->scale - 0.5;
	case HALF_PIXEL_SYMMETRIC:
		return in / 2 * (1 - (double)l->out / out) + (i + 0.5) / l->scale - 0.5;
	case PYTORCH_HALF_PIXEL:
		return l->out > 1 ? (i + 0.5) / l->scale - 0.5 : 0;
	case ALIGN_CORNERS:
		return l->out > 1 ? i * (in - 1) / (out - 1) : 0;
	case TF_HALF_PIXEL_FOR_NN:
		return (i + 0.5) / l->scale;
	case TF_CROP_AND_RESIZE:
		return l->roi_start * (in - 1) + (l->out > 1 ? i * (l->roi_end - l->roi_start) * (in - 1) / (out - 1) : (l->roi_end - l->roi_start) * (in - 1) / 2);
	default:
		return i / l->scale;
	}
}

static double nearest(const struct resize_args *a, const struct line *l, double x)
{
	if (a->simple)
		return l->scale < 1 ? ceil(x) : floor(x);
	switch (a->rounding) {
	case ROUND_PREFER_FLOOR:
		return ceil(x - 0.5);
	case ROUND_PREFER_CEIL:
		return floor(x + 0.5);
	case FLOOR:
		return floor(x);
	default:
		return ceil(x);
	}
}

static double cubic(double a, double x)
{
	x = fabs(x);
	if (x <= 1)
		return ((a + 2) * x - (a + 3)) * x * x + 1;
	return x < 2 ? ((a * x - 5 * a) * x + 8 * a) * x - 4 * a : 0;
}

static double weight_at(const struct resize_args *a, double distance)
{
	return a->mode == MODE_CUBIC ? cubic((double)a->cubic_a, distance) : fmax(0, 1 - fabs(distance));
}

/* How far an output looks to either side: 1 (linear) or 2 (cubic) inputs, more where antialiasing shrinks an axis. */
static int64_t reach(const struct resize_args *a, const struct line *l)
{
	double radius = a->mode == MODE_CUBIC ? 2 : 1;

	return (int64_t)ceil(a->antialias != 0 && l->scale < 1 ? radius / l->scale : radius);
}

static int32_t inside(double i, int64_t n)
{
	return (int32_t)(i < 0 ? 0 : i > (double)(n - 1) ? (double)(n - 1) : i);
}

/* One line of the matrix, for an output whose coordinate is x. */
static void fill_taps(const struct resize_args *a, const struct line *l, double x, size_t taps, int32_t *at, float *weight)
{
	double squeeze = a->antialias != 0 && l->scale < 1 ? l->scale : 1, sum = 0, base = floor(x);
	int64_t first = 1 - (int64_t)(taps / 2);

	if (a->mode == MODE_NEAREST) {
		at[0] = inside(nearest(a, l, x), l->in);
		weight[0] = 1.0f;
		return;
	}
	for (size_t t = 0; t < taps; t++) {
		double i = base + (double)(first + (int64_t)t), w = weight_at(a, (i - x) * squeeze);

		if (a->exclude_outside != 0 && (i < 0 || i > (double)(l->in - 1)))
			w = 0;
		at[t] = inside(i, l->in);
		weight[t] = (float)w;
		sum += w;
	}
	for (size_t t = 0; t < taps && sum != 0; t++)
		weight[t] = (float)((double)weight[t] / sum);
}

static enum pare_code make_pass(const struct pare_infer *c, int axis, const struct line *l, struct pare_err *err)
{
	struct resize_args *a = c->args;
	struct pass *p = &a->pass[a->n_passes++];
	size_t taps = a->mode == MODE_NEAREST ? 1 : 2 * (size_t)reach(a, l), n;
	int32_t *at;
	float *weight;

	if (l->in < 1 || l->out > INT32_MAX || !pare_mul_size((size_t)l->out, taps, &n))
		return pare_err_set(err, PARE_E_LIMIT, c->where, "axis %d cannot be resized from %lld to %lld", axis, (long long)l->in, (long long)l->out);
	at = pare_arena_array(c->arena, n + 1, sizeof *at);
	weight = pare_arena_array(c->arena, n + 1, sizeof *weight);
	if (a->coordinate == TF_CROP_AND_RESIZE)
		p->outside = pare_arena_array(c->arena, (size_t)l->out + 1, sizeof *p->outside);
	if (at == NULL || weight == NULL || (a->coordinate == TF_CROP_AND_RESIZE && p->outside == NULL))
		return pare_err_nomem(err, n * sizeof *at);
	for (int64_t j = 0; j < l->out; j++) {
		double x = position(a, l, j);

		fill_taps(a, l, x, taps, at + (size_t)j * taps, weight + (size_t)j * taps);
		if (p->outside != NULL && (x < 0 || x > (double)(l->in - 1))) {
			p->outside[j] = true;
			memset(weight + (size_t)j * taps, 0, taps * sizeof *weight);
		}
	}
	p->axis = axis;
	p->matrix = (struct pare_resample){.n_in = (size_t)l->in, .n_out = (size_t)l->out, .taps = taps, .at = at, .weight = weight};
	return PARE_OK;
}

static enum pare_code choose(const struct pare_infer *c, const char *attr, struct pare_span given, const char *const *names, int *out, struct pare_err *err)
{
	for (int i = 0; given.data != NULL && names[i] != NULL; i++)
		if (given.len == strlen(names[i]) && memcmp(given.data, names[i], given.len) == 0) {
			*out = i;
			return PARE_OK;
		}
	return given.data == NULL ? PARE_OK : pare_err_set(err, PARE_E_INVALID, c->where, "attribute \"%s\" has a value that does not exist", attr);
}

static enum pare_code choices(const struct pare_infer *c, struct pare_err *err)
{
	static const char *const mode_table[] = {"nearest", "linear", "cubic", NULL};
	static const char *const coordinate_table[] = {
	    "half_pixel", "half_pixel_symmetric", "pytorch_half_pixel", "align_corners", "asymmetric", "tf_half_pixel_for_nn", "tf_crop_and_resize", NULL,
	};
	static const char *const rounding_table[] = {"round_prefer_floor", "round_prefer_ceil", "floor", "ceil", NULL};
	static const char *const policy_table[] = {"stretch", "not_larger", "not_smaller", NULL};
	struct resize_args *a = c->args;
	enum pare_code code = choose(c, "mode", a->mode_arg, mode_table, &a->mode, err);

	if (code == PARE_OK)
		code = choose(c, "coordinate_transformation_mode", a->coordinate_arg, coordinate_table, &a->coordinate, err);
	if (code == PARE_OK)
		code = choose(c, "nearest_mode", a->rounding_arg, rounding_table, &a->rounding, err);
	if (code == PARE_OK)
		code = choose(c, "keep_aspect_ratio_policy", a->policy_arg, policy_table, &a->policy, err);
	if (code == PARE_OK && a->mode != MODE_NEAREST && c->in_dtype[0] != PARE_DT_FLOAT)
		code = pare_err_set(err, PARE_E_UNSUPPORTED_OP, c->where, "operator %s is not supported for execution with %s tensors but by nearest neighbours",
		    c->node->op_type, pare_dtype_name(c->in_dtype[0]));
	return code;
}

/* The lines of the named axes from scales. */
static enum pare_code from_scales(const struct pare_infer *c, const float *scales, const int *axis, size_t n, struct line *line, struct pare_err *err)
{
	for (size_t i = 0; i < n; i++) {
		struct line *l = &line[axis[i]];
		double out = floor((double)l->in * (double)scales[i]);

		if (!(scales[i] > 0.0f) || !(out >= 1 && out <= INT32_MAX))
			return pare_err_set(err, PARE_E_INVALID, c->where, "a scale of %g for axis %d of %lld elements", (double)scales[i], axis[i], (long long)l->in);
		l->scale = (double)scales[i];
		l->out = (int64_t)out;
	}
	return PARE_OK;
}

/* The same from sizes, which may all be shrunk or grown to keep the aspect ratio. */
static enum pare_code from_sizes(const struct pare_infer *c, const struct pare_shape *sizes, const int *axis, size_t n, struct line *line, struct pare_err *err)
{
	const struct resize_args *a = c->args;
	double common = a->policy == NOT_LARGER ? INFINITY : 0;

	for (size_t i = 0; i < n; i++) {
		struct line *l = &line[axis[i]];
		bool batch = (c->in[0].batch & PARE_BIT(axis[i])) != 0, asked = (sizes->batch & PARE_BIT(i)) != 0;
		bool stays = batch && (asked ? sizes->dims[i] == l->in : sizes->dims[i] == c->fixed_batch);

		if ((batch && !stays) || (!batch && asked))
			return pare_err_set(err, PARE_E_UNSUPPORTED_OP, c->where, "operator %s is not supported for execution along the batch", c->node->op_type);
		l->out = stays ? l->in : sizes->dims[i];
		if (l->out < 1 || l->in < 1)
			return pare_err_set(err, PARE_E_INVALID, c->where, "axis %d cannot be resized from %lld to %lld", axis[i], (long long)l->in, (long long)l->out);
		l->scale = (double)l->out / (double)l->in;
		common = a->policy == NOT_LARGER ? fmin(common, l->scale) : fmax(common, l->scale);
	}
	for (size_t i = 0; i < n && a->policy != STRETCH; i++) {
		line[axis[i]].scale = common;
		line[axis[i]].out = (int64_t)fmax(1, floor(common * (double)line[axis[i]].in + 0.5));
	}
	return PARE_OK;
}

/* scales or sizes, whichever is given; an empty tensor is as good as none. */
static enum pare_code lengths(const struct pare_infer *c, struct pare_floats scales, int sizes_input, const int *axis, size_t n, struct line *line,
    struct pare_err *err)
{
	bool sized = sizes_input > 0 && pare_infer_has(c, sizes_input) && c->in_known[sizes_input].n > 0;
	struct pare_shape sizes;
	enum pare_code code;

	if (sized == (scales.n > 0))
		return pare_err_set(err, PARE_E_MODEL, c->where, "there must be either scales or sizes");
	if (scales.n > 0 && scales.n != n)
		return pare_err_set(err, PARE_E_SHAPE, c->where, "%zu scales for %zu axes", scales.n, n);
	if (scales.n > 0)
		return from_scales(c, scales.v, axis, n, line, err);
	code = pare_known_shape(c, sizes_input, &sizes, err);
	if (code == PARE_OK && sizes.n_dims != (int)n)
		code = pare_err_set(err, PARE_E_SHAPE, c->where, "%d sizes for %zu axes", sizes.n_dims, n);
	return code == PARE_OK ? from_sizes(c, &sizes, axis, n, line, err) : code;
}

static enum pare_code make_passes(const struct pare_infer *c, const struct line *line, struct pare_err *err)
{
	struct resize_args *a = c->args;
	enum pare_code code = PARE_OK;

	c->out[0] = c->in[0];
	c->out_dtype[0] = c->in_dtype[0];
	for (int k = 0; k < c->in[0].n_dims && code == PARE_OK; k++) {
		bool same = line[k].in == line[k].out && (a->coordinate == TF_CROP_AND_RESIZE ? line[k].roi_start == 0 && line[k].roi_end == 1 : line[k].scale == 1);

		if (same)
			continue;
		if (c->in[0].batch & PARE_BIT(k))
			return pare_err_set(err, PARE_E_UNSUPPORTED_OP, c->where, "operator %s is not supported for execution along the batch", c->node->op_type);
		code = make_pass(c, k, &line[k], err);
		c->out[0].dims[k] = line[k].out;
	}
	return code;
}

static void whole_lines(const struct pare_infer *c, struct line *line)
{
	for (int k = 0; k < c->in[0].n_dims; k++)
		line[k] = (struct line){.in = c->in[0].dims[k], .out = c->in[0].dims[k], .scale = 1, .roi_end = 1};
}

static struct pare_floats known_floats(const struct pare_infer *c, int k)
{
	bool has = pare_infer_has(c, k) && c->in_known[k].f32 != NULL;

	return (struct pare_floats){.v = has ? c->in_known[k].f32 : NULL, .n = has ? c->in_known[k].n : 0};
}

/* Opset 7 to 10: scales only, as an attribute or as input 1, for all axes. */
static enum pare_code upsample_infer(const struct pare_infer *c, struct pare_err *err)
{
	static const int every[PARE_MAX_DIMS] = {0, 1, 2, 3, 4, 5, 6, 7};
	struct resize_args *a = c->args;
	struct line line[PARE_MAX_DIMS];
	enum pare_code code = choices(c, err);

	a->simple = true;
	a->coordinate = ASYMMETRIC;
	whole_lines(c, line);
	if (code == PARE_OK)
		code = lengths(c, c->n_in > 1 ? known_floats(c, 1) : a->scales, 0, every, (size_t)c->in[0].n_dims, line, err);
	return code == PARE_OK ? make_passes(c, line, err) : code;
}

static enum pare_code resize_infer(const struct pare_infer *c, struct pare_err *err)
{
	struct resize_args *a = c->args;
	int axis[PARE_MAX_DIMS] = {0, 1, 2, 3, 4, 5, 6, 7};
	size_t n = a->axes.v != NULL ? a->axes.n : (size_t)c->in[0].n_dims;
	struct pare_floats roi = known_floats(c, 1);
	struct line line[PARE_MAX_DIMS];
	enum pare_code code = choices(c, err);

	if (code == PARE_OK && a->axes.v != NULL)
		code = pare_axes(c, a->axes, c->in[0].n_dims, axis, err);
	whole_lines(c, line);
	if (code == PARE_OK)
		code = lengths(c, known_floats(c, 2), 3, axis, n, line, err);
	if (code != PARE_OK)
		return code;
	if (a->coordinate == TF_CROP_AND_RESIZE && roi.n != 2 * n)
		return pare_err_set(err, PARE_E_SHAPE, c->where, "a roi of %zu numbers for %zu axes; there must be two for each", roi.n, n);
	for (size_t i = 0; i < n && a->coordinate == TF_CROP_AND_RESIZE; i++) {
		if (!isfinite(roi.v[i]) || !isfinite(roi.v[n + i]))
			return pare_err_set(err, PARE_E_INVALID, c->where, "a roi from %g to %g", (double)roi.v[i], (double)roi.v[n + i]);
		line[axis[i]].roi_start = (double)roi.v[i];
		line[axis[i]].roi_end = (double)roi.v[n + i];
	}
	return make_passes(c, line, err);
}

/* What is there after the first n passes. */
static struct pare_shape shape_after(const struct pare_run *r, int n)
{
	const struct resize_args *a = r->args;
	struct pare_shape s = *r->in_shape[0];

	for (int i = 0; i < n; i++)
		s.dims[a->pass[i].axis] = (int64_t)a->pass[i].matrix.n_out;
	return s;
}

static size_t largest_between(const struct pare_run *r)
{
	const struct resize_args *a = r->args;
	size_t most = 0;

	for (int i = 1; i < a->n_passes; i++) {
		struct pare_shape s = shape_after(r, i);
		size_t n = pare_shape_elems(&s);

		most = n > most ? n : most;
	}
	return most;
}

/* Two buffers that passes alternate between. */
static size_t resize_scratch(const struct pare_run *r)
{
	return 2 * largest_between(r);
}

static void around(const struct pare_shape *s, int axis, size_t *outer, size_t *inner)
{
	*outer = (size_t)pare_shape_product(s, 0, axis);
	*inner = (size_t)pare_shape_product(s, axis + 1, s->n_dims);
}

/* Outputs beyond the input along some axis. */
static void extrapolate(const struct pare_run *r, const struct pass *p, float value)
{
	size_t outer, inner;

	around(r->out_shape[0], p->axis, &outer, &inner);
	for (size_t o = 0; o < outer; o++)
		for (size_t j = 0; j < p->matrix.n_out; j++)
			if (p->outside[j])
				pare_k_fill(inner, value, r->out[0] + (o * p->matrix.n_out + j) * inner);
}

static void resize_forward(const struct pare_run *r)
{
	const struct resize_args *a = r->args;
	size_t half = largest_between(r), outer, inner;
	const float *from = r->in[0];

	if (a->n_passes == 0)
		memcpy(r->out[0], r->in[0], pare_shape_elems(r->in_shape[0]) * sizeof(float));
	for (int i = 0; i < a->n_passes; i++) {
		struct pare_shape s = shape_after(r, i);
		float *to = i == a->n_passes - 1 ? r->out[0] : r->scratch + (size_t)(i % 2) * half;

		around(&s, a->pass[i].axis, &outer, &inner);
		pare_k_resample(&a->pass[i].matrix, outer, inner, from, to);
		from = to;
	}
	for (int i = 0; i < a->n_passes; i++)
		if (a->pass[i].outside != NULL)
			extrapolate(r, &a->pass[i], a->extrapolation);
}

static void resize_backward(const struct pare_run *r)
{
	const struct resize_args *a = r->args;
	size_t half = largest_between(r), outer, inner, n = pare_shape_elems(r->in_shape[0]);
	const float *from = r->grad_out[0];

	if (a->n_passes == 0 && r->accumulate[0])
		pare_k_acc(n, from, r->grad_in[0]);
	else if (!r->accumulate[0])
		pare_k_fill(n, 0.0f, r->grad_in[0]);
	if (a->n_passes == 0 && !r->accumulate[0])
		memcpy(r->grad_in[0], from, n * sizeof(float));
	for (int i = a->n_passes - 1; i >= 0; i--) {
		struct pare_shape s = shape_after(r, i);
		float *to = i == 0 ? r->grad_in[0] : r->scratch + (size_t)(i % 2) * half;

		if (i > 0)
			pare_k_fill(pare_shape_elems(&s), 0.0f, to);
		around(&s, a->pass[i].axis, &outer, &inner);
		pare_k_resample_grad(&a->pass[i].matrix, outer, inner, from, to);
		from = to;
	}
}

static void resize_couple(const struct pare_node_view *v, struct pare_ties *t)
{
	const struct resize_args *a = v->args;

	for (int k = 0; k < v->in[0]->n_dims; k++) {
		enum pare_tie_kind kind = PARE_TIE_SAME;

		for (int i = 0; i < a->n_passes; i++)
			kind = a->pass[i].axis == k ? PARE_TIE_OPAQUE : kind;
		pare_tie_add(t, (struct pare_tie){.kind = kind, .a = 0, .a_axis = k, .b = PARE_OUT(0), .b_axis = k});
	}
}

/* Sizes speak of every axis, of channels, too. */
static void resize_sizes(const struct pare_resize *r)
{
	const struct resize_args *a = r->was->args;

	if (a->axes.v == NULL && r->was->n_in > 3 && r->was->in[3] != NULL && pare_shape_elems(r->was->in[3]) > 0)
		pare_resize_target(r, 3);
}

#define TEXT(text, member) {.name = text, .kind = PARE_ARG_STRING, .offset = offsetof(struct resize_args, member)}
#define FLAG(text, member) {.name = text, .kind = PARE_ARG_INT, .offset = offsetof(struct resize_args, member), .max = 1}
#define NUMBER(text, member, preset) {.name = text, .kind = PARE_ARG_FLOAT, .offset = offsetof(struct resize_args, member), .def = preset}
static const struct pare_arg_spec upsample_attr_arg_table[] = {
    TEXT("mode", mode_arg),
    {.name = "scales", .kind = PARE_ARG_FLOATS, .offset = offsetof(struct resize_args, scales), .required = true},
    {.name = NULL},
};
static const struct pare_arg_spec upsample_arg_table[] = {TEXT("mode", mode_arg), {.name = NULL}};
static const struct pare_arg_spec resize_arg_table[] = {
    TEXT("mode", mode_arg),
    TEXT("coordinate_transformation_mode", coordinate_arg),
    TEXT("nearest_mode", rounding_arg),
    TEXT("keep_aspect_ratio_policy", policy_arg),
    FLAG("antialias", antialias),
    FLAG("exclude_outside", exclude_outside),
    NUMBER("cubic_coeff_a", cubic_a, -0.75),
    NUMBER("extrapolation_value", extrapolation, 0),
    {.name = "axes", .kind = PARE_ARG_INTS, .offset = offsetof(struct resize_args, axes)},
    {.name = NULL},
};

#define ROW .domain = "", .min_out = 1, .max_out = 1, .any_dtype_in = PARE_BIT(0), .args_size = sizeof(struct resize_args), .scratch = resize_scratch, \
	.forward = resize_forward, .backward = resize_backward, .couple = resize_couple
#define BY_INPUT ROW, .min_in = 2, .max_in = 2, .const_in = PARE_BIT(1), .args = upsample_arg_table, .infer = upsample_infer

const struct pare_op pare_op_resize_table[] = {
    {ROW, .name = "Upsample", .since = PARE_OPSET_MIN, .until = 8, .min_in = 1, .max_in = 1, .args = upsample_attr_arg_table, .infer = upsample_infer},
    {BY_INPUT, .name = "Upsample", .since = 9, .until = 9},
    {BY_INPUT, .name = "Resize", .since = 10, .until = 10},
    {ROW, .name = "Resize", .since = 11, .until = PARE_OPSET_MAX, .min_in = 1, .max_in = 4, .const_in = PARE_BIT(1) | PARE_BIT(2) | PARE_BIT(3),
     .symbolic_in = PARE_BIT(3), .args = resize_arg_table, .infer = resize_infer, .resize = resize_sizes},
    {.name = NULL},
};
