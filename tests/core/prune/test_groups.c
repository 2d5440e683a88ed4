/* Which structures are found on graphs small enough to say so: groups, widths, what is pinned and why, folds by granularity; and
 * that a rewrite of nothing leaves every byte. */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/mem.h"
#include "core/onnx/onnx.h"
#include "core/prune/shrink.h"
#include "tests/support/fail_alloc.h"
#include "tests/support/graph_onnx.h"
#include "tests/support/graph_random.h"
#include "tests/support/net_check.h"
#include "tests/support/shrunk.h"

static const char *why_pinned(const struct pare_net *net, const struct pare_structures *g, const char *name)
{
	for (int i = 0; i < g->n_pinned; i++)
		if (strcmp(pare_net_param(net, g->pinned[i].param)->name, name) == 0)
			return g->pinned[i].why;
	return "";
}

static void ck_group(const struct pare_structures *g, const char *name, int n, int64_t width)
{
	const struct pare_group *gr = group_named(g, name);

	ck_assert_msg(gr != NULL, "no group \"%s\"", name);
	ck_assert_int_eq(gr->n, n);
	ck_assert_int_eq(gr->width, width);
}

static void conv(struct gb *b, const char *name, const char *in, const char *out, const char *shape, int64_t pad, int64_t group)
{
	char w[32], io[80];

	(void)snprintf(w, sizeof w, "%s.weight", name);
	(void)snprintf(io, sizeof io, "%s %s", in, w);
	gb_init(b, w, shape, NULL);
	gb_node(b, "Conv", name, io, out);
	gb_attr_ints(b, "pads", (const int64_t[4]){pad, pad, pad, pad}, 4);
	gb_attr_int(b, "group", group);
}

/* conv1 and conv3 meet in a sum, conv2 stands between; depthwise goes with conv1's channels; the head's classes are the output. */
static struct gb *residual(void)
{
	struct gb *b = gb_new(17);

	gb_input(b, "x", "N 3 4 4");
	conv(b, "conv1", "x", "a", "6 3 3 3", 1, 1);
	conv(b, "conv2", "a", "h", "4 6 3 3", 1, 1);
	conv(b, "conv3", "h", "c", "6 4 1 1", 0, 1);
	gb_node(b, "Add", "add", "a c", "s");
	conv(b, "depthwise", "s", "d", "6 1 3 3", 1, 6);
	gb_node(b, "Flatten", "flatten", "d", "f");
	gb_init(b, "fc.weight", "96 5", NULL);
	gb_node(b, "MatMul", "fc", "f fc.weight", "y");
	gb_output(b, "y");
	return b;
}

START_TEST(residual_sums_couple)
{
	struct gb *b = residual();
	struct pare_net *net = nc_net(b, 1, 1, false);
	struct pare_structures *g = groups_of(net, PARE_GRANULARITY_CHANNEL), *h = groups_of(net, PARE_GRANULARITY_HEAD);

	ck_assert_int_eq(g->n_groups, 2);
	ck_group(g, "conv1.weight", 6, 6);
	ck_group(g, "conv2.weight", 4, 4);
	ck_assert_int_eq(g->n_pinned, 1);
	ck_assert_str_eq(why_pinned(net, g, "fc.weight"), "coupled to graph output \"y\"");
	ck_assert_int_eq(h->n_units, 0);
	pare_structures_free(g);
	pare_structures_free(h);
	pare_net_free(net);
	gb_free(b);
}
END_TEST

/* One attention block of 3 heads, 4 wide, over a normalised stream of 8. Keys are turned where they stand, or with their heads among the rows; queries,
 * keys and values have norms of their own, or not. */
static struct gb *attention(bool in_rows, bool normed)
{
	static const char *const part[3] = {"q", "k", "v"};
	static const int64_t apart[4] = {0, 5, 3, 4}, perm[4] = {0, 2, 1, 3}, turn[4] = {0, 1, 3, 2}, flat[3] = {0, 5, 12};
	struct gb *b = gb_new(17);

	gb_input(b, "x", "N 5 8");
	gb_init(b, "embed.weight", "8 8", NULL);
	gb_node(b, "MatMul", "embed", "x embed.weight", "e");
	gb_init(b, "ln.scale", "8", NULL);
	gb_node(b, "LayerNormalization", "ln", "e ln.scale", "n");
	gb_init_i64(b, "apart", "4", apart);
	gb_init_i64(b, "flat", "3", flat);
	if (normed)
		gb_init(b, "head.scale", "4", NULL);
	for (int i = 0; i < 3; i++) {
		char w[16], in[40], r[8], t[8], u[8], p[8];

		(void)snprintf(w, sizeof w, "%s.weight", part[i]);
		(void)snprintf(in, sizeof in, "n %s", w);
		(void)snprintf(p, sizeof p, "%sp", part[i]);
		(void)snprintf(r, sizeof r, "%sr", part[i]);
		(void)snprintf(t, sizeof t, "%st", part[i]);
		(void)snprintf(u, sizeof u, "%su", part[i]);
		gb_init(b, w, "8 12", NULL);
		gb_node(b, "MatMul", part[i], in, p);
		(void)snprintf(in, sizeof in, "%s apart", p);
		gb_node(b, "Reshape", r, in, r);
		gb_node(b, "Transpose", t, r, normed ? u : t);
		gb_attr_ints(b, "perm", perm, 4);
		(void)snprintf(in, sizeof in, "%s head.scale", u);
		if (normed)
			gb_node(b, "LayerNormalization", u, in, t);
	}
	if (in_rows) {
		gb_init_i64(b, "rows", "3", (const int64_t[3]){-1, 5, 4});
		gb_init_i64(b, "heads", "4", (const int64_t[4]){-1, 3, 4, 5});
		gb_node(b, "Reshape", "to rows", "kt rows", "ktr");
		gb_node(b, "Transpose", "turn", "ktr", "kkr");
		gb_attr_ints(b, "perm", (const int64_t[3]){0, 2, 1}, 3);
		gb_node(b, "Reshape", "from rows", "kkr heads", "kk");
	} else {
		gb_node(b, "Transpose", "turn", "kt", "kk");
		gb_attr_ints(b, "perm", turn, 4);
	}
	gb_node(b, "MatMul", "scores", "qt kk", "s");
	gb_node(b, "Softmax", "softmax", "s", "p");
	gb_attr_int(b, "axis", -1);
	gb_node(b, "MatMul", "mix", "p vt", "m");
	gb_node(b, "Transpose", "back", "m", "mt");
	gb_attr_ints(b, "perm", perm, 4);
	gb_node(b, "Reshape", "flatten", "mt flat", "mf");
	gb_init(b, "out.weight", "12 8", NULL);
	gb_node(b, "MatMul", "out", "mf out.weight", "o");
	gb_node(b, "Add", "add", "e o", "y");
	gb_output(b, "y");
	return b;
}

START_TEST(heads_or_their_width)
{
	struct gb *b = attention(_i > 0, false);
	struct pare_net *net = nc_net(b, 1, 1, false);
	struct pare_structures *g = groups_of(net, PARE_GRANULARITY_CHANNEL), *h = groups_of(net, PARE_GRANULARITY_HEAD);

	ck_assert_int_eq(g->n_groups, 2);
	ck_group(g, "q.weight", 4, 12); /* with k: contracted over the width */
	ck_group(g, "v.weight", 4, 12);
	ck_assert_int_eq(h->n_groups, 1);
	ck_group(h, "q.weight", 3, 12);
	ck_assert_ptr_nonnull(strstr(why_pinned(net, h, "embed.weight"), "node \"ln\" (LayerNormalization)"));
	pare_structures_free(g);
	pare_structures_free(h);
	pare_net_free(net);
	gb_free(b);
}
END_TEST

/* Where no width can go, heads are offered whatever is asked for. */
START_TEST(heads_without_their_width)
{
	struct gb *b = attention(false, true);
	struct pare_net *net = nc_net(b, 1, 1, false);

	for (int i = 0; i < 2; i++) {
		struct pare_structures *g = groups_of(net, i == 0 ? PARE_GRANULARITY_CHANNEL : PARE_GRANULARITY_HEAD);

		ck_assert_int_eq(g->n_groups, 1);
		ck_group(g, "q.weight", 3, 12);
		pare_structures_free(g);
	}
	pare_net_free(net);
	gb_free(b);
}
END_TEST

/* Of a convolution by groups either whole groups go, or a channel of each: what is around it decides. Groups have more to choose from at first (4 of 3
 * channels), but not between channels that are read as [2, 6] of which the 2 are an output's; nor where the input's channels stay. */
START_TEST(groups_or_channels_of_groups)
{
	static const int64_t flat[3] = {0, 12, 16}, apart[4] = {0, 2, 6, 16};
	struct gb *b = gb_new(17);
	struct pare_net *net;
	struct pare_structures *g;

	gb_input(b, "x", "N 4 4 4");
	conv(b, "first", "x", "a", "12 4 1 1", 0, 1);
	conv(b, "grouped", "a", "c", "12 3 3 3", 1, 4);
	gb_init_i64(b, "apart", "4", apart);
	gb_init_i64(b, "flat", "3", flat);
	gb_node(b, "Reshape", "reshape", _i == 0 ? "c flat" : "c apart", "r");
	gb_node(b, "ReduceMax", "max", "r", "m");
	gb_attr_ints(b, "axes", (const int64_t[1]){-1}, 1);
	gb_attr_int(b, "keepdims", 0);
	gb_init(b, "fc.weight", _i == 0 ? "12 5" : "6 5", NULL);
	gb_node(b, "MatMul", "fc", "m fc.weight", "y");
	gb_output(b, "y");
	conv(b, "multiplier", "x", "d", "12 1 3 3", 1, 4);
	gb_node(b, "GlobalMaxPool", "pool", "d", "p");
	conv(b, "last", "p", "z", "5 12 1 1", 0, 1);
	gb_output(b, "z");
	net = nc_net(b, 1, 1, false);
	g = groups_of(net, PARE_GRANULARITY_CHANNEL);
	ck_assert_int_eq(g->n_groups, _i == 0 ? 2 : 3);
	if (_i == 0) {
		ck_group(g, "first.weight", 4, 12); /* and what is computed of them */
	} else {
		ck_group(g, "first.weight", 3, 12);
		ck_group(g, "grouped.weight", 3, 12);
	}
	ck_group(g, "multiplier.weight", 3, 12);
	pare_structures_free(g);
	pare_net_free(net);
	gb_free(b);
}
END_TEST

START_TEST(pins_name_the_node)
{
	struct gb *b = gb_new(17);
	struct pare_net *net;
	struct pare_structures *g;

	gb_input(b, "x", "N 4");
	gb_init(b, "a.weight", "4 6", NULL);
	gb_node(b, "MatMul", "a", "x a.weight", "u");
	gb_node(b, "Softmax", "soft", "u", "v");
	gb_init(b, "b.weight", "6 7", NULL);
	gb_node(b, "MatMul", "b", "v b.weight", "w");
	gb_node(b, "ReduceMean", "mean", "w", "m");
	gb_attr_ints(b, "axes", (const int64_t[1]){1}, 1);
	gb_init(b, "c.weight", "1 2", NULL);
	gb_node(b, "MatMul", "c", "m c.weight", "y");
	gb_output(b, "y");
	net = nc_net(b, 1, 1, false);
	g = groups_of(net, PARE_GRANULARITY_CHANNEL);
	ck_assert_int_eq(g->n_units, 0);
	ck_assert_ptr_nonnull(strstr(why_pinned(net, g, "a.weight"), "node \"soft\" (Softmax)"));
	ck_assert_ptr_nonnull(strstr(why_pinned(net, g, "b.weight"), "node \"mean\" (ReduceMean)"));
	pare_structures_free(g);
	pare_net_free(net);
	gb_free(b);
}
END_TEST

/* Of two channels that one tensor has, one can go. */
START_TEST(no_axis_is_emptied)
{
	struct gb *b = residual();
	struct pare_net *net = nc_net(b, 1, 1, false);
	struct pare_structures *g = groups_of(net, PARE_GRANULARITY_CHANNEL);
	const struct pare_group *gr = group_named(g, "conv2.weight");
	struct pare_err err = {0};
	struct pare_cut cut;

	ck_assert_int_eq(pare_cut_init(&cut, net, &err), PARE_OK);
	for (int u = 0; u < gr->n - 1; u++)
		ck_assert(pare_cut_unit(&cut, g, gr->first + u));
	ck_assert(!pare_cut_unit(&cut, g, gr->first + gr->n - 1));
	ck_assert(!pare_cut_has(&cut, g, gr->first + gr->n - 1));
	ck_assert(pare_cut_unit(&cut, g, gr->first)); /* gone already */
	pare_cut_done(&cut);
	pare_structures_free(g);
	pare_net_free(net);
	gb_free(b);
}
END_TEST

START_TEST(nothing_cut_nothing_changed)
{
	struct gb *b = residual();
	struct pare_buf before, after;
	struct pare_model *m = NULL;
	struct pare_net *net = NULL;
	struct pare_net_options opt = {.n_threads = 1, .max_batch = 1};
	struct pare_rewrite rw;
	struct pare_cut cut;
	struct pare_err err = {0};

	pare_buf_init(&before, 1 << 20);
	pare_buf_init(&after, 1 << 20);
	graph_onnx(gb_model(b), &before);
	ck_assert_int_eq(pare_onnx_read((struct pare_span){(const uint8_t *)before.data, before.len}, &m, &err), PARE_OK);
	ck_assert_int_eq(pare_net_new(m, &opt, &net, &err), PARE_OK);
	ck_assert_int_eq(pare_cut_init(&cut, net, &err), PARE_OK);
	ck_assert_int_eq(pare_shrink(net, m, &cut, NULL, &rw, &err), PARE_OK);
	ck_assert_int_eq(pare_onnx_rewrite(m, &rw, &after, &err), PARE_OK);
	ck_assert_uint_eq(before.len, after.len);
	ck_assert_mem_eq(before.data, after.data, before.len);
	pare_rewrite_done(&rw);
	pare_cut_done(&cut);
	pare_net_free(net);
	pare_model_free(m);
	pare_buf_done(&before);
	pare_buf_done(&after);
	gb_free(b);
}
END_TEST

static int ck_shrinks(struct gb *b, const char *group)
{
	return ck_shrinks_by(b, group, PARE_GRANULARITY_CHANNEL);
}

static float filled[96];

/* h = first(x) of six channels. */
static struct gb *six_channels(void)
{
	struct gb *b = gb_new(17);

	nc_fill(filled, 96, 1);
	gb_input(b, "x", "N 4");
	gb_init(b, "first.weight", "4 6", filled);
	gb_node(b, "MatMul", "first", "x first.weight", "h");
	return b;
}

static void last(struct gb *b, const char *in, const char *shape)
{
	char io[32];

	(void)snprintf(io, sizeof io, "%s last.weight", in);
	gb_init(b, "last.weight", shape, filled);
	gb_node(b, "MatMul", "last", io, "y");
	gb_output(b, "y");
}

/* Six of twelve channels are not read, but a part of the output has as many zeros as they are: it keeps them when some go. */
START_TEST(sizes_of_what_is_not_read)
{
	struct gb *b = gb_new(17);

	nc_fill(filled, 96, 1);
	gb_input(b, "x", "N 4");
	gb_init(b, "first.weight", "4 12", filled);
	gb_node(b, "MatMul", "first", "x first.weight", "h");
	gb_init_i64(b, "start", "1", (const int64_t[1]){0});
	gb_init_i64(b, "half", "1", (const int64_t[1]){6});
	gb_init_i64(b, "end", "1", (const int64_t[1]){12});
	gb_init_i64(b, "channels", "1", (const int64_t[1]){1});
	gb_node(b, "Slice", "read", "h start half channels", "a");
	gb_node(b, "Slice", "unread", "h half end channels", "u");
	gb_node(b, "Shape", "shape", "u", "s");
	gb_node(b, "ConstantOfShape", "zeros", "s", "z");
	gb_node(b, "Concat", "concat", "a z", "y");
	gb_attr_int(b, "axis", 1);
	gb_output(b, "y");
	ck_assert_int_eq(ck_shrinks(b, "first.weight"), -2); /* what takes the batch from the sizes as they are */
}
END_TEST

/* Six heads of width 2 stand among the rows, of which the graph says how many there are (its batch times as many as ever), while their width is what
 * remains. In windows of three, of which the second is padded, there are twice as many: its padding could go, if the rest of it were not pinned. */
START_TEST(heads_among_rows)
{
	struct gb *b = gb_new(17);
	int64_t length = _i == 0 ? 4 : 3, rows = _i == 0 ? 6 : 12;

	nc_fill(filled, 96, 1);
	gb_input(b, "x", "N 4");
	gb_init_i64(b, "apart", "3", (const int64_t[3]){0, 4, 1});
	gb_node(b, "Reshape", "positions", "x apart", "p");
	gb_init(b, "embed.weight", "1 8", filled);
	gb_node(b, "MatMul", "embed", "p embed.weight", "e");
	gb_init_i64(b, "pads", "6", (const int64_t[6]){0, 0, 0, 0, 2, 0});
	gb_init_i64(b, "windows", "4", (const int64_t[4]){0, 2, 3, 8});
	gb_init_i64(b, "stacked", "3", (const int64_t[3]){-1, 3, 8});
	gb_node(b, "Pad", "pad", "e pads", "padded");
	gb_node(b, "Reshape", "cut", "padded windows", "w");
	gb_node(b, "Reshape", "stack", "w stacked", "s");
	gb_init(b, "q.weight", "8 12", filled);
	gb_node(b, "MatMul", "q", _i == 0 ? "e q.weight" : "s q.weight", "q");
	gb_init_i64(b, "heads", "4", (const int64_t[4]){-1, length, 6, 2});
	gb_node(b, "Reshape", "split", "q heads", "qh");
	gb_node(b, "Transpose", "turn", "qh", "qt");
	gb_attr_ints(b, "perm", (const int64_t[4]){0, 2, 1, 3}, 4);
	gb_node(b, "Shape", "shape", "x", "sizes");
	gb_init_i64(b, "first", "1", (const int64_t[1]){0});
	gb_node(b, "Gather", "batch", "sizes first", "n");
	gb_init_i64(b, "times", "1", &rows);
	gb_node(b, "Mul", "count", "n times", "rows");
	gb_init_i64(b, "rest", "2", (const int64_t[2]){length, -1});
	gb_node(b, "Concat", "target", "rows rest", "to");
	gb_attr_int(b, "axis", 0);
	gb_node(b, "Reshape", "join", "qt to", "qr");
	gb_node(b, "Transpose", "keys", "qr", "k");
	gb_attr_ints(b, "perm", (const int64_t[3]){0, 2, 1}, 3);
	gb_node(b, "MatMul", "scores", "qr k", "sc");
	gb_node(b, "Softmax", "softmax", "sc", "pr");
	gb_attr_int(b, "axis", -1);
	gb_node(b, "MatMul", "mix", "pr qr", "m");
	gb_init_i64(b, "back", "4", (const int64_t[4]){-1, 6, length, 2});
	gb_node(b, "Reshape", "unjoin", "m back", "mh");
	gb_node(b, "Transpose", "return", "mh", "mt");
	gb_attr_ints(b, "perm", (const int64_t[4]){0, 2, 1, 3}, 4);
	gb_init_i64(b, "flat", "3", (const int64_t[3]){-1, length, 12});
	gb_node(b, "Reshape", "flatten", "mt flat", "mf");
	gb_init(b, "out.weight", "12 2", filled);
	gb_node(b, "MatMul", "out", "mf out.weight", "o");
	gb_init_i64(b, "again", "2", (const int64_t[2]){-1, 2 * length * rows / 6});
	gb_node(b, "Reshape", "end", "o again", "y");
	gb_output(b, "y");
	ck_assert_int_eq(ck_shrinks_by(b, "q.weight", PARE_GRANULARITY_HEAD), _i == 0 ? 7 : 4); /* what nobody reads, and what counted rows */
}
END_TEST

/* Six channels of four places go to the rows with half of their places each, as MobileViT unfolds images, and come back. */
START_TEST(channels_among_rows)
{
	struct gb *b = gb_new(17);

	nc_fill(filled, 96, 1);
	gb_input(b, "x", "N 4");
	gb_init_i64(b, "apart", "3", (const int64_t[3]){0, 4, 1});
	gb_node(b, "Reshape", "places", "x apart", "p");
	gb_init(b, "embed.weight", "1 6", filled);
	gb_node(b, "MatMul", "embed", "p embed.weight", "e");
	gb_node(b, "Transpose", "turn", "e", "c");
	gb_attr_ints(b, "perm", (const int64_t[3]){0, 2, 1}, 3);
	gb_init_i64(b, "joined", "3", (const int64_t[3]){-1, 2, 1});
	gb_node(b, "Reshape", "join", "c joined", "r");
	gb_node(b, "Relu", "relu", "r", "a");
	gb_init_i64(b, "parted", "3", (const int64_t[3]){-1, 6, 4});
	gb_node(b, "Reshape", "part", "a parted", "q");
	gb_init_i64(b, "flat", "2", (const int64_t[2]){0, 24});
	gb_node(b, "Reshape", "flatten", "q flat", "f");
	gb_init(b, "out.weight", "24 2", filled);
	gb_node(b, "MatMul", "out", "f out.weight", "y");
	gb_output(b, "y");
	ck_assert_int_eq(ck_shrinks(b, "embed.weight"), 0);
}
END_TEST

/* y = last(relu(first(x)) / sqrt(size of its channels)): the size meant stays the old one. */
START_TEST(constants_of_shapes_stay)
{
	struct gb *b = six_channels();

	gb_node(b, "Relu", "relu", "h", "r");
	gb_node(b, "Shape", "shape", "r", "s");
	gb_init_i64(b, "one", "", (const int64_t[1]){1});
	gb_node(b, "Gather", "size", "s one", "n");
	gb_node(b, "Cast", "cast", "n", "f");
	gb_attr_int(b, "to", PARE_DT_FLOAT);
	gb_node(b, "Sqrt", "root", "f", "q");
	gb_node(b, "Div", "scale", "r q", "t");
	last(b, "t", "6 2");
	ck_assert_int_gt(ck_shrinks(b, "first.weight"), 0); /* the chain that computed it is gone */
}
END_TEST

/* z, which keeps its size, is given the shape of h, which does not (as attention gives its projections the width of what it looks at). */
START_TEST(targets_of_other_shapes_stay)
{
	struct gb *b = six_channels();

	gb_init(b, "other.weight", "4 6", filled + 24);
	gb_node(b, "MatMul", "other", "x other.weight", "z");
	gb_node(b, "Shape", "shape", "h", "s");
	gb_node(b, "Reshape", "reshape", "z s", "v");
	gb_output(b, "v");
	last(b, "h", "6 2");
	(void)ck_shrinks(b, "first.weight");
}
END_TEST

/* The copies that Tile makes, and the best that TopK finds, are as many as the node says. */
START_TEST(own_axes_stay)
{
	struct gb *b = six_channels(), *best = six_channels();
	struct pare_structures *g;
	struct pare_net *net;

	gb_init_i64(b, "axes", "1", (const int64_t[1]){2});
	gb_node(b, "Unsqueeze", "unsqueeze", "h axes", "u");
	gb_init_i64(b, "times", "3", (const int64_t[3]){1, 1, 3});
	gb_node(b, "Tile", "tile", "u times", "t");
	gb_node(b, "Flatten", "flatten", "t", "f");
	last(b, "f", "18 2");
	(void)ck_shrinks(b, "first.weight");
	gb_init_i64(best, "k", "1", (const int64_t[1]){3});
	gb_node(best, "TopK", "top", "h k", "v -");
	last(best, "v", "3 2");
	net = nc_net(best, 1, 1, false);
	g = groups_of(net, PARE_GRANULARITY_CHANNEL);
	ck_assert_int_eq(g->n_units, 0);
	ck_assert_ptr_nonnull(strstr(why_pinned(net, g, "first.weight"), "node \"top\" (TopK)"));
	pare_structures_free(g);
	pare_net_free(net);
	gb_free(best);
}
END_TEST

/* y sums over the channels of op(h), or of that plus 1, or times h: by itself, or with those of another op(z). Only where what is summed is
 * zero for channels without weights can they go. */
static void ck_sums(const char *op, const char *then, bool by_itself, bool zero)
{
	struct gb *b = six_channels();
	struct pare_structures *g;
	struct pare_net *net;
	char in[8];

	gb_node(b, op, "map", "h", "m");
	gb_init(b, "one", "", (const float[1]){1});
	(void)snprintf(in, sizeof in, "m%s", then[0] == 'A' ? " one" : then[0] == 'M' ? " h" : "");
	gb_node(b, then, "then", in, "p");
	if (by_itself) {
		gb_node(b, "ReduceL2", "sum", "p", "y");
		gb_attr_ints(b, "axes", (const int64_t[1]){1}, 1);
	} else {
		gb_init(b, "other.weight", "4 6", filled + 24);
		gb_node(b, "MatMul", "other", "x other.weight", "z");
		gb_node(b, "Sigmoid", "map other", "z", "s");
		gb_init_i64(b, "row", "3", (const int64_t[3]){0, 1, 6});
		gb_init_i64(b, "column", "3", (const int64_t[3]){0, 6, 1});
		gb_node(b, "Reshape", "to row", "p row", "r");
		gb_node(b, "Reshape", "to column", "s column", "c");
		gb_node(b, "MatMul", "sum", "r c", "y");
	}
	gb_output(b, "y");
	net = nc_net(b, 1, 1, false);
	g = groups_of(net, PARE_GRANULARITY_CHANNEL);
	if (zero)
		ck_group(g, "first.weight", 6, 6);
	else
		ck_assert_msg(strstr(why_pinned(net, g, "first.weight"), "node \"sum\" (") != NULL, "%s, %s: %s", op, then, why_pinned(net, g, "first.weight"));
	pare_structures_free(g);
	pare_net_free(net);
	gb_free(b);
}

START_TEST(sums_of_zeros)
{
	static const struct {
		const char *op;
		bool zero;
	} table[] = {{"Relu", true}, {"Tanh", true}, {"Elu", true}, {"Sin", true}, {"Sigmoid", false}, {"Softplus", false}, {"Exp", false}, {"Cos", false}};

	for (size_t i = 0; i < sizeof table / sizeof table[0]; i++)
		for (int by_itself = 0; by_itself < 2; by_itself++) {
			ck_sums(table[i].op, "Identity", by_itself, table[i].zero);
			ck_sums(table[i].op, "Add", by_itself, false);
			ck_sums(table[i].op, "Mul", by_itself, true);
		}
}
END_TEST

/* What is above a bound that small numbers never reach is not zero for all that. */
START_TEST(sums_above_a_bound)
{
	struct gb *b = six_channels();
	struct pare_structures *g;
	struct pare_net *net;

	gb_init(b, "twenties", "6", (const float[6]){20, 21, 22, 23, 24, 25});
	gb_node(b, "Constant", "constant", "", "k");
	gb_attr_tensor(b, "value", "twenties");
	gb_node(b, "Add", "add", "h k", "m");
	gb_node(b, "ThresholdedRelu", "bound", "m", "p");
	gb_attr_float(b, "alpha", 10);
	gb_node(b, "ReduceL2", "sum", "p", "y");
	gb_attr_ints(b, "axes", (const int64_t[1]){1}, 1);
	gb_output(b, "y");
	net = nc_net(b, 1, 1, false);
	g = groups_of(net, PARE_GRANULARITY_CHANNEL);
	ck_assert_msg(strstr(why_pinned(net, g, "first.weight"), "node \"sum\" (") != NULL, "%s", why_pinned(net, g, "first.weight"));
	pare_structures_free(g);
	pare_net_free(net);
	gb_free(b);
}
END_TEST

/* Channels are read as every fourth of [4, 2 * C] and become [T, C] again: of T rows of any number, but with less channels only of 4 * n. So where
 * the file leaves T open, they stay; and the norm over groups of channels beside it, whose ends are of fixed length, does not mind. */
START_TEST(ends_of_open_lengths_stay)
{
	for (int64_t t = -1; t <= 8; t += 9) {
		struct pare_row_shape row = {.name = "x", .n_dims = 2, .dims = {8, 6}};
		struct pare_net_options opt = {.n_threads = 1, .max_batch = 1};
		struct gb *b = gb_new(17);
		struct pare_model *m = gb_model(b);
		struct pare_structures *g;
		struct pare_net *net;
		struct pare_err err = {0};

		gb_input(b, "x", "N 8 6");
		gb_init(b, "first.weight", "6 4", NULL);
		gb_node(b, "MatMul", "first", "x first.weight", "h");
		gb_init_i64(b, "four", "3", (const int64_t[3]){0, 4, -1});
		gb_node(b, "Reshape", "fold", "h four", "f");
		gb_node(b, "Relu", "relu", "f", "r");
		gb_init_i64(b, "apart", "3", (const int64_t[3]){0, -1, 4});
		gb_node(b, "Reshape", "unfold", "r apart", "u");
		gb_init(b, "last.weight", "4 8", NULL);
		gb_node(b, "MatMul", "last", "u last.weight", "l");
		gb_node(b, "Transpose", "turn", "l", "c");
		gb_attr_ints(b, "perm", (const int64_t[3]){0, 2, 1}, 3);
		gb_init_i64(b, "groups", "3", (const int64_t[3]){0, 2, -1});
		gb_node(b, "Reshape", "group", "c groups", "q");
		gb_init(b, "scale", "2", NULL);
		gb_node(b, "InstanceNormalization", "norm", "q scale scale", "n");
		gb_init_i64(b, "together", "3", (const int64_t[3]){0, 8, -1});
		gb_node(b, "Reshape", "ungroup", "n together", "o");
		gb_node(b, "ReduceMean", "mean", "o", "p");
		gb_attr_ints(b, "axes", (const int64_t[1]){2}, 1);
		gb_attr_int(b, "keepdims", 0);
		gb_init(b, "head.weight", "8 5", NULL);
		gb_node(b, "MatMul", "head", "p head.weight", "y");
		gb_output(b, "y");
		m->graph.values[m->graph.inputs[0]].dims[1] = t < 0 ? PARE_DIM_UNKNOWN : t;
		ck_assert_int_eq(pare_model_set_rows(m, &row, 1, &err), PARE_OK);
		ck_assert_msg(pare_net_new(m, &opt, &net, &err) == PARE_OK, "%s: %s", err.where, err.message);
		g = groups_of(net, PARE_GRANULARITY_CHANNEL);
		if (t < 0)
			ck_assert_ptr_nonnull(strstr(why_pinned(net, g, "first.weight"), "node \"fold\" (Reshape)"));
		else
			ck_group(g, "first.weight", 4, 4);
		ck_group(g, "last.weight", 2, 8);
		pare_structures_free(g);
		pare_net_free(net);
		gb_free(b);
	}
}
END_TEST

static enum pare_code group_and_shrink(const struct pare_net *net, const struct pare_model *m, const atomic_bool *cancel, struct pare_err *err)
{
	struct pare_structures *g = NULL;
	struct pare_rewrite rw;
	struct pare_cut cut = {.any = false};
	enum pare_code code = pare_structures_new(net, PARE_GRANULARITY_CHANNEL, cancel, &g, err);

	if (code == PARE_OK)
		code = pare_cut_init(&cut, net, err);
	if (code == PARE_OK) {
		(void)pare_cut_unit(&cut, g, 0);
		code = pare_shrink(net, m, &cut, cancel, &rw, err);
	}
	if (code == PARE_OK)
		pare_rewrite_done(&rw);
	pare_cut_done(&cut);
	pare_structures_free(g);
	return code;
}

START_TEST(memory_runs_out)
{
	struct gb *b = attention(false, false);
	struct pare_net *net = nc_net(b, 1, 1, false);
	struct pare_err err = {0};
	long n;

	fail_alloc_install(0);
	ck_assert_int_eq(group_and_shrink(net, gb_model(b), NULL, &err), PARE_OK);
	n = fail_alloc_count();
	ck_assert_int_gt(n, 0);
	for (long i = 1; i <= n; i++) {
		fail_alloc_install(i);
		ck_assert_int_eq(group_and_shrink(net, gb_model(b), NULL, &err), PARE_E_NOMEM);
		ck_assert_int_eq(fail_alloc_live(), 0);
	}
	fail_alloc_remove();
	pare_net_free(net);
	gb_free(b);
}
END_TEST

/* Whenever the job is canceled, it ends there and not when all is done. */
START_TEST(canceled_on_the_way)
{
	struct gb *b = attention(false, false);
	struct pare_net *net = nc_net(b, 1, 1, false);
	struct pare_structures *g = NULL;
	struct pare_cut cut;
	struct pare_rewrite rw;
	struct pare_err err = {0};
	atomic_bool cancel = true;
	long n, n_canceled = 0;

	for (int i = 0; i < PARE_N_GRANULARITIES; i++)
		ck_assert_int_eq(pare_structures_new(net, (enum pare_granularity)i, &cancel, &g, &err), PARE_E_CANCELED);
	ck_assert_int_eq(pare_cut_init(&cut, net, &err), PARE_OK);
	ck_assert_int_eq(pare_shrink(net, gb_model(b), &cut, &cancel, &rw, &err), PARE_E_CANCELED);
	pare_cut_done(&cut);
	fail_alloc_install(0);
	ck_assert_int_eq(group_and_shrink(net, gb_model(b), NULL, &err), PARE_OK);
	n = fail_alloc_count();
	for (long i = 1; i <= n; i++) {
		enum pare_code code;

		cancel = false;
		fail_alloc_tell(i, &cancel);
		code = group_and_shrink(net, gb_model(b), &cancel, &err);
		ck_assert(code == PARE_OK || code == PARE_E_CANCELED);
		ck_assert(i > n / 2 || fail_alloc_count() < n);
		ck_assert_int_eq(fail_alloc_live(), 0);
		n_canceled += code == PARE_E_CANCELED;
	}
	fail_alloc_remove();
	ck_assert_int_gt(n_canceled, n * 3 / 4);
	pare_net_free(net);
	gb_free(b);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("groups");
	TCase *c = tcase_create("groups");
	SRunner *r;
	int failed;

	tcase_add_test(c, residual_sums_couple);
	tcase_add_loop_test(c, heads_or_their_width, 0, 2);
	tcase_add_loop_test(c, groups_or_channels_of_groups, 0, 2);
	tcase_add_loop_test(c, heads_among_rows, 0, 2);
	tcase_add_test(c, heads_without_their_width);
	tcase_add_test(c, sizes_of_what_is_not_read);
	tcase_add_test(c, channels_among_rows);
	tcase_add_test(c, pins_name_the_node);
	tcase_add_test(c, no_axis_is_emptied);
	tcase_add_test(c, nothing_cut_nothing_changed);
	tcase_add_test(c, constants_of_shapes_stay);
	tcase_add_test(c, targets_of_other_shapes_stay);
	tcase_add_test(c, own_axes_stay);
	tcase_add_test(c, sums_of_zeros);
	tcase_add_test(c, sums_above_a_bound);
	tcase_add_test(c, ends_of_open_lengths_stay);
	tcase_add_test(c, memory_runs_out);
	tcase_add_test(c, canceled_on_the_way);
	suite_add_tcase(s, c);
	r = srunner_create(s);
	srunner_run_all(r, CK_NORMAL);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed == 0 ? 0 : 1;
}
