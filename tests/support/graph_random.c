/* A graph grows by blocks. Each takes a value of known shape and leaves another, which later blocks may refer back to (skips):
 * `made` holds them. Weights are scaled so that values stay near 1 whatever the depth. */
#include "tests/support/graph_random.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "core/base/mem.h"
#include "core/base/rng.h"

#define SIDE 8
#define MAX_MADE 24

struct made {
	char name[16];
	int64_t c; /* channels */
};

struct gen {
	struct gb *b;
	struct pare_rng r;
	int n; /* names given */
	int64_t seq, side;
	bool open; /* they are the input's, and the graph asks it for them */
	struct made made[MAX_MADE];
	int n_made;
};

static int64_t pick(struct gen *g, int64_t lo, int64_t hi)
{
	return lo + (int64_t)pare_rng_below(&g->r, (uint64_t)(hi - lo + 1));
}

static const char *fresh(struct gen *g, char out[16])
{
	(void)snprintf(out, 16, "v%d", g->n++);
	return out;
}

/* A float initializer; returns its name in out. center + scale * normal. */
static const char *weight(struct gen *g, char out[16], const char *shape, double center, double scale)
{
	int64_t dims[8], n = 1;
	const char *p = shape;
	int used = 0;
	float *v;

	for (int i = 0; i < 8 && sscanf(p, "%lld%n", (long long *)&dims[i], &used) == 1; i++, p += used)
		n *= dims[i];
	v = pare_calloc((size_t)n, sizeof *v);
	assert(v != NULL);
	for (int64_t i = 0; i < n; i++)
		v[i] = (float)(center + scale * pare_rng_normal(&g->r));
	(void)snprintf(out, 16, "w%d", g->n++);
	gb_init(g->b, out, shape, v);
	pare_free(v);
	return out;
}

static const char *ints(struct gen *g, char out[16], const int64_t *v, int n)
{
	char shape[64];

	(void)snprintf(shape, sizeof shape, "%d", n);
	(void)snprintf(out, 16, "i%d", g->n++);
	gb_init_i64(g->b, out, shape, v);
	return out;
}

/* op(in) -> a fresh value. */
static struct made node(struct gen *g, const char *op, const char *in, int64_t c)
{
	struct made m = {.c = c};
	char name[16];

	(void)snprintf(name, sizeof name, "n%d", g->n++);
	gb_node(g->b, op, name, in, fresh(g, m.name));
	return m;
}

static struct made unary(struct gen *g, struct made x)
{
	static const char *const ops[] = {"Relu", "Sigmoid", "Tanh", "HardSigmoid", "Softplus", "LeakyRelu", "Identity"};

	return node(g, ops[pick(g, 0, 6)], x.name, x.c);
}

static struct made binary(struct gen *g, const char *op, struct made a, struct made b)
{
	char in[40];

	(void)snprintf(in, sizeof in, "%s %s", a.name, b.name);
	return node(g, op, in, a.c);
}

/* --- images */

static struct made conv(struct gen *g, struct made x, int64_t out, int64_t groups, int kernel)
{
	char shape[96], w[16], bias[16], in[60], b_shape[32];
	int64_t pads[4] = {kernel / 2, kernel / 2, kernel / 2, kernel / 2};
	struct made y;

	(void)snprintf(shape, sizeof shape, "%lld %lld %d %d", (long long)out, (long long)(x.c / groups), kernel, kernel);
	(void)snprintf(b_shape, sizeof b_shape, "%lld", (long long)out);
	(void)weight(g, w, shape, 0, 1.0 / (double)(kernel * (x.c / groups > 2 ? 2 : 1)));
	(void)snprintf(in, sizeof in, "%s %s", x.name, w);
	if (pick(g, 0, 2) > 0)
		(void)snprintf(in, sizeof in, "%s %s %s", x.name, w, weight(g, bias, b_shape, 0, 0.3));
	y = node(g, "Conv", in, out);
	gb_attr_ints(g->b, "pads", pads, 4);
	if (groups > 1)
		gb_attr_int(g->b, "group", groups);
	return y;
}

static struct made conv_transpose(struct gen *g, struct made x, int64_t out, int64_t groups)
{
	char shape[96], w[16], in[40];
	struct made y;

	(void)snprintf(shape, sizeof shape, "%lld %lld 1 1", (long long)x.c, (long long)(out / groups));
	(void)snprintf(in, sizeof in, "%s %s", x.name, weight(g, w, shape, 0, 0.5));
	y = node(g, "ConvTranspose", in, out);
	if (groups > 1)
		gb_attr_int(g->b, "group", groups);
	return y;
}

static struct made batch_norm(struct gen *g, struct made x)
{
	char shape[64], s[16], b[16], m[16], v[16], in[90];

	(void)snprintf(shape, sizeof shape, "%lld", (long long)x.c);
	(void)snprintf(in, sizeof in, "%s %s %s %s %s", x.name, weight(g, s, shape, 1, 0.2), weight(g, b, shape, 0, 0.3), weight(g, m, shape, 0, 0.3),
	    weight(g, v, shape, 1, 0.05));
	return node(g, "BatchNormalization", in, x.c);
}

/* In the place of a dimension: the input's size along axis k. */
#define ASK(k) (-100 - (int64_t)(k))
static int64_t length(const struct gen *g)
{
	return g->open ? ASK(1) : g->seq;
}

static int64_t height(const struct gen *g)
{
	return g->open ? ASK(2) : g->side;
}

static int64_t width(const struct gen *g)
{
	return g->open ? ASK(3) : g->side;
}

/* As exporters write it: the input's shape, one element of it, a list with the others. */
static const char *asked(struct gen *g, char out[16], const int64_t *dims, int n)
{
	char parts[8 * 20] = "", index[16];
	struct made list;

	for (int i = 0; i < n; i++) {
		char in[40];
		struct made one;

		if (dims[i] > ASK(0)) {
			(void)snprintf(parts + strlen(parts), sizeof parts - strlen(parts), " %s", ints(g, index, &dims[i], 1));
			continue;
		}
		(void)snprintf(in, sizeof in, "%s %s", node(g, "Shape", "x", 0).name, ints(g, index, (const int64_t[1]){ASK(0) - dims[i]}, 1));
		one = node(g, "Gather", in, 0);
		(void)snprintf(parts + strlen(parts), sizeof parts - strlen(parts), " %s", one.name);
	}
	list = node(g, "Concat", parts + 1, 0);
	gb_attr_int(g->b, "axis", 0);
	(void)snprintf(out, 16, "%s", list.name);
	return out;
}

/* x reshaped to the dimensions given (0: as they are, -1: the rest). */
static struct made reshape(struct gen *g, struct made x, const int64_t *dims, int n, int64_t c)
{
	char target[16], in[40];
	bool ask = false;

	for (int i = 0; i < n; i++)
		ask |= dims[i] <= ASK(0);
	(void)snprintf(in, sizeof in, "%s %s", x.name, ask ? asked(g, target, dims, n) : ints(g, target, dims, n));
	return node(g, "Reshape", in, c);
}

/* A norm over groups as PyTorch's exporters write it. */
static struct made spelled_norm(struct gen *g, struct made x)
{
	int64_t groups = x.c % 4 == 0 && pick(g, 0, 1) > 0 ? x.c / 2 : 2;
	const int64_t apart[3] = {0, groups, -1}, together[4] = {0, x.c, height(g), width(g)};
	char shape[64], s[16], b[16], in[60];
	struct made y = reshape(g, x, apart, 3, x.c);

	(void)snprintf(shape, sizeof shape, "%lld", (long long)groups);
	(void)snprintf(in, sizeof in, "%s %s %s", y.name, weight(g, s, shape, 1, 0), weight(g, b, shape, 0, 0));
	y = node(g, "InstanceNormalization", in, x.c);
	if (pick(g, 0, 1) > 0) {
		(void)snprintf(in, sizeof in, "%s %s", y.name, node(g, "Shape", x.name, 0).name);
		y = node(g, "Reshape", in, x.c);
	} else {
		y = reshape(g, y, together, 4, x.c);
	}
	(void)snprintf(shape, sizeof shape, "%lld 1 1", (long long)x.c);
	(void)snprintf(in, sizeof in, "%s %s", y.name, weight(g, s, shape, 1, 0.2));
	y = node(g, "Mul", in, x.c);
	(void)snprintf(in, sizeof in, "%s %s", y.name, weight(g, b, shape, 0, 0.3));
	return node(g, "Add", in, x.c);
}

static struct made norm(struct gen *g, struct made x)
{
	char shape[64], s[16], b[16], in[60];
	struct made y;

	if (pick(g, 0, 3) > 0)
		return batch_norm(g, x);
	if (x.c % 2 == 0 && pick(g, 0, 1) > 0)
		return spelled_norm(g, x);
	(void)snprintf(shape, sizeof shape, "%lld", (long long)x.c);
	(void)snprintf(in, sizeof in, "%s %s %s", x.name, weight(g, s, shape, 1, 0.2), weight(g, b, shape, 0, 0.3));
	if (x.c % 2 != 0 || pick(g, 0, 1) > 0)
		return node(g, "InstanceNormalization", in, x.c);
	y = node(g, "GroupNormalization", in, x.c);
	gb_attr_int(g->b, "num_groups", x.c % 4 == 0 && pick(g, 0, 1) > 0 ? x.c / 2 : 2);
	return y;
}

static struct made transpose(struct gen *g, struct made x, const int64_t *perm, size_t n)
{
	struct made y = node(g, "Transpose", x.name, x.c);

	gb_attr_ints(g->b, "perm", perm, n);
	return y;
}

static struct made shuffle(struct gen *g, struct made x)
{
	int64_t k = x.c % 3 == 0 ? 3 : x.c % 2 == 0 ? 2 : 1;
	const int64_t h = height(g), w = width(g), apart[5] = {0, k, x.c / k, h, w}, perm[5] = {0, 2, 1, 3, 4}, together[4] = {0, x.c, h, w}, open[4] = {0, -1, h, w};

	return reshape(g, transpose(g, reshape(g, x, apart, 5, x.c), perm, 5), pick(g, 0, 1) > 0 ? together : open, 4, x.c);
}

/* Squeeze and excite. */
static struct made gate(struct gen *g, struct made x)
{
	int64_t narrow = pick(g, 2, 4);
	struct made s = node(g, "GlobalAveragePool", x.name, x.c);

	s = conv(g, s, narrow, 1, 1);
	s = node(g, "Relu", s.name, narrow);
	s = conv(g, s, x.c, 1, 1);
	s = node(g, "Sigmoid", s.name, x.c);
	return binary(g, "Mul", x, s);
}

static struct made any(struct gen *g)
{
	return g->made[pick(g, 0, g->n_made - 1)];
}

/* A value of c channels: one that is there, or one that is made for it. */
static struct made like(struct gen *g, int64_t c)
{
	for (int tries = 0; tries < 3; tries++) {
		struct made m = any(g);

		if (m.c == c)
			return m;
	}
	return conv(g, any(g), c, 1, 1);
}

static struct made concat(struct gen *g, struct made x)
{
	char in[60];
	struct made a = any(g), b = any(g), y;
	int three = (int)pick(g, 0, 1);

	(void)snprintf(in, sizeof in, three ? "%s %s %s" : "%s %s", x.name, a.name, b.name);
	y = node(g, "Concat", in, x.c + a.c + (three ? b.c : 0));
	gb_attr_int(g->b, "axis", 1);
	return y;
}

/* Layers that read all before them, as DenseNet has them: each joined to what was there, or all that there is joined anew by every reader. */
static struct made dense_block(struct gen *g, struct made x)
{
	bool chained = pick(g, 0, 1) > 0;
	char list[80];
	int n = (int)pick(g, 1, 3);

	(void)snprintf(list, sizeof list, "%s", x.name);
	for (int i = 0; i < n; i++) {
		struct made y = conv(g, pick(g, 0, 1) > 0 ? unary(g, batch_norm(g, x)) : x, pick(g, 2, 6), 1, 1);

		y = conv(g, unary(g, y), pick(g, 2, 4), 1, 3);
		y = pick(g, 0, 1) > 0 ? node(g, "Relu", y.name, y.c) : y;
		(void)snprintf(list + strlen(list), sizeof list - strlen(list), " %s", y.name);
		x = node(g, "Concat", list, x.c + y.c);
		gb_attr_int(g->b, "axis", 1);
		if (chained)
			(void)snprintf(list, sizeof list, "%s", x.name);
	}
	return x;
}

/* Two parts that go different ways and are joined: swapped, or one gating the other. */
static struct made split(struct gen *g, struct made x)
{
	int64_t first = x.c % 2 == 0 && pick(g, 0, 1) > 0 ? x.c / 2 : pick(g, 1, x.c - 1), sizes[2] = {first, x.c - first};
	struct made a = {.c = first}, b = {.c = x.c - first};
	char in[40], out[40], name[16], size[16];

	(void)fresh(g, a.name);
	(void)fresh(g, b.name);
	(void)snprintf(name, sizeof name, "n%d", g->n++);
	(void)snprintf(out, sizeof out, "%s %s", a.name, b.name);
	(void)snprintf(in, sizeof in, "%s", x.name);
	if (sizes[0] != sizes[1] || pick(g, 0, 1) > 0)
		(void)snprintf(in, sizeof in, "%s %s", x.name, ints(g, size, sizes, 2));
	gb_node(g->b, "Split", name, in, out);
	gb_attr_int(g->b, "axis", 1);
	if (strchr(in, ' ') == NULL)
		gb_attr_int(g->b, "num_outputs", 2);
	a = unary(g, a);
	if (a.c == b.c && pick(g, 0, 1) > 0)
		return binary(g, "Mul", a, b);
	(void)snprintf(in, sizeof in, "%s %s", b.name, a.name);
	a = node(g, "Concat", in, x.c);
	gb_attr_int(g->b, "axis", 1);
	return a;
}

static struct made slice(struct gen *g, struct made x)
{
	int64_t from = pick(g, 0, x.c - 2), to = pick(g, from + 2, x.c), axis = 1, step = 1;
	char a[16], b[16], c[16], d[16], in[80];

	(void)snprintf(in, sizeof in, "%s %s %s %s %s", x.name, ints(g, a, &from, 1), ints(g, b, to == x.c ? &(int64_t){INT64_MAX} : &to, 1), ints(g, c, &axis, 1), ints(g, d, &step, 1));
	return node(g, "Slice", in, to - from);
}

static struct made pad(struct gen *g, struct made x)
{
	int64_t before = pick(g, 0, 2), after = pick(g, 1, 2), pads[8] = {0, before, 0, 0, 0, after, 0, 0};
	char a[16], in[40];

	(void)snprintf(in, sizeof in, "%s %s", x.name, ints(g, a, pads, 8));
	return node(g, "Pad", in, x.c + before + after);
}

static struct made space(struct gen *g, struct made x)
{
	struct made y = conv(g, x, 4 * pick(g, 1, 3), 1, 1);

	y = node(g, "DepthToSpace", y.name, y.c / 4);
	gb_attr_int(g->b, "blocksize", 2);
	gb_attr_string(g->b, "mode", pick(g, 0, 1) > 0 ? "CRD" : "DCR");
	y = node(g, "MaxPool", y.name, y.c);
	gb_attr_ints(g->b, "kernel_shape", (const int64_t[2]){2, 2}, 2);
	gb_attr_ints(g->b, "strides", (const int64_t[2]){2, 2}, 2);
	return y;
}

static struct made scale(struct gen *g, struct made x)
{
	char shape[64], w[16], in[40];

	(void)snprintf(shape, sizeof shape, "%lld 1 1", (long long)x.c);
	(void)snprintf(in, sizeof in, "%s %s", x.name, weight(g, w, shape, 1, 0.3));
	return node(g, pick(g, 0, 1) > 0 ? "Mul" : "PRelu", in, x.c);
}

/* The same weights twice. */
static struct made shared(struct gen *g, struct made x)
{
	char shape[96], w[16], in[40];
	struct made y;

	(void)snprintf(shape, sizeof shape, "%lld %lld 1 1", (long long)x.c, (long long)x.c);
	(void)snprintf(in, sizeof in, "%s %s", x.name, weight(g, w, shape, 0, 0.5));
	y = node(g, "Relu", node(g, "Conv", in, x.c).name, x.c);
	(void)snprintf(in, sizeof in, "%s %s", y.name, w);
	return node(g, "Conv", in, x.c);
}

static struct made tile(struct gen *g, struct made x)
{
	char a[16], in[40];

	(void)snprintf(in, sizeof in, "%s %s", x.name, ints(g, a, (const int64_t[4]){1, 2, 1, 1}, 4));
	return node(g, "Tile", in, 2 * x.c);
}

/* In pieces whose bounds the graph computes of the channels that there are, as TorchScript writes chunk. */
static struct made chunks(struct gen *g, struct made x)
{
	int64_t n = x.c % 3 == 0 ? 3 : x.c % 2 == 0 ? 2 : 1;
	char in[80], one[16], end[16], list[80] = "";
	struct made size, start, y;

	(void)ints(g, one, (const int64_t[1]){1}, 1);
	(void)snprintf(in, sizeof in, "%s %s", node(g, "Shape", x.name, 0).name, one);
	size = node(g, "Gather", in, 0);
	(void)snprintf(in, sizeof in, "%s %s", size.name, ints(g, end, &n, 1));
	size = node(g, "Div", in, 0);
	(void)snprintf(start.name, sizeof start.name, "%s", ints(g, end, (const int64_t[1]){0}, 1));
	for (int64_t i = 1; i <= n; i++) {
		struct made past;

		(void)snprintf(in, sizeof in, "%s %s", size.name, ints(g, end, &i, 1));
		past = node(g, "Mul", in, 0);
		(void)snprintf(in, sizeof in, "%s %s %s %s", x.name, start.name, past.name, one);
		y = node(g, "Slice", in, x.c / n);
		y = i == 1 ? unary(g, y) : y;
		(void)snprintf(list + strlen(list), sizeof list - strlen(list), " %s", y.name);
		start = past;
	}
	y = node(g, "Concat", list + 1, x.c);
	gb_attr_int(g->b, "axis", 1);
	return y;
}

static struct made image_block(struct gen *g, struct made x)
{
	int64_t groups = x.c % 3 == 0 ? 3 : x.c % 2 == 0 ? 2 : 1;

	switch (pick(g, 0, 19)) {
	case 0:
		return conv(g, x, pick(g, 2, 9), 1, 3);
	case 1:
		return conv(g, x, x.c, x.c, 3);
	case 2:
		return conv(g, x, groups * pick(g, 1, 4), groups, 1);
	case 3:
		return norm(g, x);
	case 4:
		return binary(g, "Add", x, like(g, x.c));
	case 5:
		return binary(g, "Mul", x, like(g, x.c));
	case 6:
		return x.c < 24 ? concat(g, x) : x;
	case 7:
		return split(g, x);
	case 8:
		return slice(g, x);
	case 9:
		return pad(g, x);
	case 10:
		return shuffle(g, x);
	case 11:
		return gate(g, x);
	case 12:
		return conv_transpose(g, x, groups * pick(g, 1, 3), groups);
	case 13:
		return space(g, x);
	case 14:
		return scale(g, x);
	case 15:
		return shared(g, x);
	case 16:
		return x.c < 12 ? tile(g, x) : x;
	case 17:
		return chunks(g, x);
	case 18:
		return x.c < 16 ? dense_block(g, x) : x;
	default:
		return conv(g, x, 2 * x.c < 16 ? 2 * x.c : x.c, x.c, 1);
	}
}

static struct made linear(struct gen *g, struct made x, int64_t out, bool trans)
{
	char shape[64], b_shape[32], w[16], bias[16], in[60];
	struct made y;

	(void)snprintf(shape, sizeof shape, "%lld %lld", (long long)(trans ? out : x.c), (long long)(trans ? x.c : out));
	(void)snprintf(b_shape, sizeof b_shape, "%lld", (long long)out);
	(void)weight(g, w, shape, 0, 0.5);
	(void)snprintf(in, sizeof in, "%s %s %s", x.name, w, weight(g, bias, b_shape, 0, 0.3));
	y = node(g, "Gemm", in, out);
	if (trans)
		gb_attr_int(g->b, "transB", 1);
	return y;
}

static void finish(struct gen *g, struct made x)
{
	char shape[64], w[16], in[40];

	x = linear(g, x, pick(g, 3, 9), pick(g, 0, 1) > 0);
	x = unary(g, x);
	(void)snprintf(shape, sizeof shape, "%lld 5", (long long)x.c);
	(void)snprintf(in, sizeof in, "%s %s", x.name, weight(g, w, shape, 0, 0.5));
	gb_node(g->b, "MatMul", "last", in, "y");
	gb_output(g->b, "y");
}

static void image(struct gen *g)
{
	struct made x = {.name = "x", .c = pick(g, 1, 3)};
	char shape[64];
	int n = (int)pick(g, 2, 10);

	g->side = SIDE;
	(void)snprintf(shape, sizeof shape, "N %lld %d %d", (long long)x.c, SIDE, SIDE);
	gb_input(g->b, "x", shape);
	x = conv(g, x, pick(g, 3, 8), 1, 3);
	g->made[g->n_made++] = x;
	for (int i = 0; i < n; i++) {
		x = image_block(g, x);
		if (pick(g, 0, 1) > 0)
			x = unary(g, x);
		if (x.c < 2)
			x = conv(g, x, 4, 1, 1);
		g->made[g->n_made++] = x;
	}
	x = pick(g, 0, 1) > 0 ? norm(g, conv(g, x, pick(g, 3, 6), 1, 1)) : x;
	if (g->open) {
		x = node(g, "Flatten", node(g, "GlobalAveragePool", x.name, x.c).name, x.c);
		gb_attr_int(g->b, "axis", 1);
		finish(g, x);
		return;
	}
	x = node(g, "AveragePool", x.name, x.c);
	gb_attr_ints(g->b, "kernel_shape", (const int64_t[2]){4, 4}, 2);
	gb_attr_ints(g->b, "strides", (const int64_t[2]){4, 4}, 2);
	if (pick(g, 0, 1) > 0) {
		x = node(g, "Flatten", x.name, 4 * x.c);
		gb_attr_int(g->b, "axis", 1);
	} else {
		x = reshape(g, x, (const int64_t[2]){pick(g, 0, 1) > 0 ? 0 : -1, 4 * x.c}, 2, 4 * x.c);
	}
	finish(g, x);
}

/* --- sequences */

static struct made matmul(struct gen *g, struct made x, int64_t out, bool bias)
{
	char shape[64], b_shape[32], w[16], v[16], in[40];
	struct made y, b = {.c = out};

	(void)snprintf(shape, sizeof shape, "%lld %lld", (long long)x.c, (long long)out);
	(void)snprintf(b_shape, sizeof b_shape, "%lld", (long long)out);
	(void)snprintf(in, sizeof in, "%s %s", x.name, weight(g, w, shape, 0, 0.4));
	y = node(g, "MatMul", in, out);
	if (!bias)
		return y;
	(void)snprintf(b.name, sizeof b.name, "%s", weight(g, v, b_shape, 0, 0.2));
	return binary(g, "Add", y, b);
}

static struct made heads_apart(struct gen *g, struct made x, int64_t heads)
{
	const int64_t dims[4] = {0, length(g), heads, x.c / heads}, perm[4] = {0, 2, 1, 3};

	return transpose(g, reshape(g, x, dims, 4, x.c), perm, 4);
}

/* [N, H, T, D] as [N, H, D, T], or so by way of [N * H, T, D], as PyTorch exports it. */
static struct made keys_turned(struct gen *g, struct made k, int64_t heads)
{
	const int64_t turn[4] = {0, 1, 3, 2}, rows[3] = {-1, length(g), k.c / heads}, turn_rows[3] = {0, 2, 1}, back[4] = {-1, heads, k.c / heads, length(g)};

	if (pick(g, 0, 1) > 0)
		return transpose(g, k, turn, 4);
	return reshape(g, transpose(g, reshape(g, k, rows, 3, k.c), turn_rows, 3), back, 4, k.c);
}

static struct made attention(struct gen *g, struct made x)
{
	int64_t heads = pick(g, 2, 4), d = pick(g, 2, 4), wide = heads * d;
	const int64_t perm[4] = {0, 2, 1, 3}, flat[3] = {0, length(g), pick(g, 0, 1) > 0 ? wide : -1};
	struct made q = heads_apart(g, matmul(g, x, wide, true), heads), k = heads_apart(g, matmul(g, x, wide, false), heads),
	            v = heads_apart(g, matmul(g, x, wide, true), heads), s;

	s = node(g, "Softmax", binary(g, "MatMul", q, keys_turned(g, k, heads)).name, 0);
	gb_attr_int(g->b, "axis", -1);
	s = binary(g, "MatMul", s, v);
	s = reshape(g, transpose(g, s, perm, 4), flat, 3, wide);
	return matmul(g, s, x.c, true);
}

/* Query, key and value from one product. */
static struct made packed_attention(struct gen *g, struct made x)
{
	int64_t heads = pick(g, 2, 3), d = pick(g, 2, 4), wide = heads * d;
	const int64_t dims[5] = {0, length(g), 3, heads, d}, perm[5] = {2, 0, 3, 1, 4}, turn[4] = {0, 1, 3, 2}, back[4] = {0, 2, 1, 3}, flat[3] = {0, length(g), wide};
	struct made all = transpose(g, reshape(g, matmul(g, x, 3 * wide, true), dims, 5, 3 * wide), perm, 5), part[3], s;
	char in[40];

	for (int i = 0; i < 3; i++) {
		char at[16];
		int64_t index = i;

		(void)snprintf(at, sizeof at, "i%d", g->n++);
		gb_init_i64(g->b, at, "", &index);
		(void)snprintf(in, sizeof in, "%s %s", all.name, at);
		part[i] = node(g, "Gather", in, wide);
		gb_attr_int(g->b, "axis", 0);
	}
	s = node(g, "Softmax", binary(g, "MatMul", part[0], transpose(g, part[1], turn, 4)).name, 0);
	gb_attr_int(g->b, "axis", -1);
	s = reshape(g, transpose(g, binary(g, "MatMul", s, part[2]), back, 4), flat, 3, wide);
	return matmul(g, s, x.c, true);
}

/* As PyTorch's nn.MultiheadAttention: time first, and heads are rows. */
static struct made attention_in_rows(struct gen *g, struct made x)
{
	int64_t heads = pick(g, 2, 3), d = pick(g, 2, 4), wide = heads * d;
	const int64_t time_first[3] = {1, 0, 2}, turn[3] = {1, 2, 0}, rows[3] = {length(g), -1, d}, flat[2] = {-1, wide}, apart[4] = {-1, heads, length(g), d},
	              together[4] = {2, 0, 1, 3}, back[3] = {length(g), -1, x.c};
	struct made t = transpose(g, x, time_first, 3), q = reshape(g, matmul(g, t, wide, true), rows, 3, wide), k = reshape(g, matmul(g, t, wide, false), rows, 3, wide),
	            v = reshape(g, matmul(g, t, wide, true), rows, 3, wide), s;

	s = node(g, "Softmax", binary(g, "MatMul", transpose(g, q, time_first, 3), transpose(g, k, turn, 3)).name, 0);
	gb_attr_int(g->b, "axis", -1);
	s = binary(g, "MatMul", s, transpose(g, v, time_first, 3));
	s = pick(g, 0, 1) > 0 ? transpose(g, s, time_first, 3) : transpose(g, reshape(g, s, apart, 4, wide), together, 4);
	s = matmul(g, reshape(g, s, flat, 2, wide), x.c, true);
	return transpose(g, reshape(g, s, back, 3, x.c), time_first, 3);
}

static struct made layer_norm(struct gen *g, struct made x)
{
	char shape[64], s[16], b[16], in[60];

	(void)snprintf(shape, sizeof shape, "%lld", (long long)x.c);
	(void)snprintf(in, sizeof in, "%s %s %s", x.name, weight(g, s, shape, 1, 0.2), weight(g, b, shape, 0, 0.2));
	return node(g, "LayerNormalization", in, x.c);
}

static struct made feed_forward(struct gen *g, struct made x)
{
	int64_t h = pick(g, 3, 9);
	struct made u = matmul(g, x, h, true), v;

	if (pick(g, 0, 1) > 0)
		return matmul(g, unary(g, u), x.c, true);
	v = node(g, "Sigmoid", matmul(g, x, h, false).name, h);
	return matmul(g, binary(g, "Mul", u, v), x.c, true);
}

/* A gate from the two halves of one product. */
static struct made halves(struct gen *g, struct made x)
{
	int64_t h = pick(g, 2, 6);
	struct made u = matmul(g, x, 2 * h, true), a = {.c = h}, b = {.c = h};
	char out[40], name[16];

	(void)fresh(g, a.name);
	(void)fresh(g, b.name);
	(void)snprintf(out, sizeof out, "%s %s", a.name, b.name);
	(void)snprintf(name, sizeof name, "n%d", g->n++);
	gb_node(g->b, "Split", name, u.name, out);
	gb_attr_int(g->b, "axis", -1);
	gb_attr_int(g->b, "num_outputs", 2);
	return matmul(g, binary(g, "Mul", a, node(g, "Sigmoid", b.name, h)), x.c, false);
}

static struct made mix_tokens(struct gen *g, struct made x)
{
	const int64_t perm[3] = {0, 2, 1};
	struct made t = transpose(g, x, perm, 3);

	t.c = g->seq;
	t = matmul(g, unary(g, matmul(g, t, pick(g, 3, 6), true)), g->seq, true);
	t = transpose(g, t, perm, 3);
	t.c = x.c;
	return t;
}

/* Neighbours side by side, as encoders of speech have them, and apart again. */
static struct made neighbours(struct gen *g, struct made x)
{
	int64_t c = pick(g, 3, 6);
	const int64_t side_by_side[3] = {0, -1, 2 * x.c}, apart[3] = {0, length(g), c};
	struct made y = reshape(g, x, side_by_side, 3, 2 * x.c);

	return matmul(g, reshape(g, matmul(g, y, 2 * c, true), apart, 3, c), x.c, true);
}

/* Attention without a softmax: what is made of queries and keys is zero for zero, or is not. */
static struct made linear_attention(struct gen *g, struct made x)
{
	const int64_t perm[3] = {0, 2, 1};
	int64_t d = pick(g, 3, 6), w = pick(g, 3, 6);
	struct made q = unary(g, matmul(g, x, d, true)), k = unary(g, matmul(g, x, d, true)), v = matmul(g, x, w, true);

	k = binary(g, "MatMul", transpose(g, k, perm, 3), v);
	q = binary(g, "MatMul", q, k);
	q.c = w;
	return matmul(g, q, x.c, true);
}

/* As long as it is, or as much as it adds up to. */
static struct made by_its_size(struct gen *g, struct made x)
{
	static const char *const ops[] = {"ReduceL2", "ReduceL1", "ReduceSum", "ReduceSumSquare"};
	int64_t h = pick(g, 3, 8);
	struct made u = unary(g, matmul(g, x, h, true)), size;
	char in[40], axis[16];

	(void)snprintf(in, sizeof in, "%s %s", u.name, ints(g, axis, (const int64_t[1]){2}, 1));
	size = node(g, ops[pick(g, 0, 3)], in, 1);
	return matmul(g, binary(g, "Mul", u, node(g, "Sigmoid", size.name, 1)), x.c, true);
}

static struct made sequence_block(struct gen *g, struct made x)
{
	switch (pick(g, 0, 9)) {
	case 0:
		return attention(g, x);
	case 1:
		return packed_attention(g, x);
	case 2:
		return halves(g, x);
	case 3:
		return mix_tokens(g, x);
	case 4:
		return g->seq % 2 == 0 ? neighbours(g, x) : feed_forward(g, x);
	case 5:
		return linear_attention(g, x);
	case 6:
		return by_its_size(g, x);
	case 7:
		return attention_in_rows(g, x);
	default:
		return feed_forward(g, x);
	}
}

static void sequence(struct gen *g)
{
	struct made x = {.name = "x", .c = pick(g, 3, 5)};
	bool norms = pick(g, 0, 2) > 0;
	char shape[64], a[16], in[40];
	int n = (int)pick(g, 1, 3);

	g->seq = pick(g, 3, 5);
	(void)snprintf(shape, sizeof shape, "N %lld %lld", (long long)g->seq, (long long)x.c);
	gb_input(g->b, "x", shape);
	x = matmul(g, x, pick(g, 4, 8), true);
	for (int i = 0; i < n; i++) {
		struct made y = sequence_block(g, norms ? layer_norm(g, x) : x);

		x = pick(g, 0, 3) > 0 ? binary(g, "Add", x, y) : y;
	}
	if (pick(g, 0, 1) > 0) {
		(void)snprintf(in, sizeof in, "%s %s", x.name, ints(g, a, (const int64_t[1]){1}, 1));
		x = node(g, "ReduceMean", in, x.c);
		gb_attr_int(g->b, "keepdims", 0);
	} else {
		gb_init_i64(g->b, "first", "", (const int64_t[1]){0});
		(void)snprintf(in, sizeof in, "%s first", x.name);
		x = node(g, "Gather", in, x.c);
		gb_attr_int(g->b, "axis", 1);
	}
	finish(g, x);
}

struct gb *graph_random(uint64_t seed, bool open)
{
	struct gen g = {.b = gb_new(21), .open = open};

	pare_rng_init(&g.r, seed, "test", 77);
	if (seed & 1)
		image(&g);
	else
		sequence(&g);
	return g.b;
}
