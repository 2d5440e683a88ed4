/* Convolution with the channels last against the definition in double: hand-picked geometries and drawn ones, with every
 * set of tiles that this machine can run; overwriting, adding, and with what follows the sum. */
#include <check.h>
#include <math.h>
#include <string.h>

#include "core/base/mem.h"
#include "core/base/rng.h"
#include "core/ops/kernels/conv_last.h"
#include "tests/support/net_check.h"

#define TOLERANCE 2e-5 /* of the largest element; sums of at most a few thousand products in float */
#define N_DRAWN 90

struct geometry {
	int64_t n, groups, in_channels, out_channels;
	struct pare_window w; /* out follows */
};

#define ONE {1, 1, 1}
static const struct geometry case_table[] = {
    {3, 1, 1, 20, {.in = {1, 12, 12}, .kernel = {1, 5, 5}, .stride = ONE, .dilation = ONE}},
    {2, 1, 3, 64, {.in = {1, 9, 31}, .kernel = {1, 3, 3}, .stride = ONE, .dilation = ONE, .pad = {0, 1, 1}}},
    {2, 1, 34, 35, {.in = {1, 5, 6}, .kernel = {1, 3, 3}, .stride = {1, 2, 2}, .dilation = ONE, .pad = {0, 1, 1}}},
    {1, 1, 300, 33, {.in = {1, 3, 4}, .kernel = {1, 3, 3}, .stride = ONE, .dilation = ONE, .pad = {0, 1, 1}}},  /* a sum in parts */
    {3, 1, 1700, 5, {.in = {1, 1, 2}, .kernel = ONE, .stride = ONE, .dilation = ONE}},
    {5, 1, 900, 17, {.in = {1, 6, 7}, .kernel = ONE, .stride = ONE, .dilation = ONE}},                          /* lines and a rest */
    {2, 1, 6, 8, {.in = {1, 7, 7}, .kernel = ONE, .stride = {1, 2, 2}, .dilation = ONE}},                       /* phases without taps */
    {2, 1, 3, 3, {.in = {1, 1, 1}, .kernel = {1, 2, 2}, .stride = {1, 3, 3}, .dilation = ONE, .pad = {0, 4, 3}}}, /* a frame inside the margin */
    {1, 1, 40, 3, {.in = {1, 90, 80}, .kernel = {1, 3, 3}, .stride = {1, 2, 1}, .dilation = ONE, .pad = {0, 1, 1}}}, /* bands of lines */
    {2, 1, 3, 40, {.in = {1, 91, 80}, .kernel = {1, 3, 3}, .stride = {1, 1, 2}, .dilation = {1, 2, 1}, .pad = {0, 1, 1}}},
    {2, 1, 16, 17, {.in = {1, 7, 9}, .kernel = {1, 3, 3}, .stride = ONE, .dilation = ONE, .pad = {0, 1, 1}}}, /* tiles of 2x2, some half outside */
    {3, 1, 40, 35, {.in = {1, 10, 11}, .kernel = {1, 3, 3}, .stride = ONE, .dilation = ONE, .pad = {0, 0, 2}}},
    {2, 1, 24, 16, {.in = {1, 9, 8}, .kernel = {1, 3, 3}, .stride = ONE, .dilation = ONE, .pad = {0, 3, 0}}},
    {2, 1, 70, 64, {.in = {1, 19, 18}, .kernel = {1, 3, 3}, .stride = ONE, .dilation = ONE, .pad = {0, 1, 1}}}, /* several blocks of tiles */
    {1, 1, 300, 33, {.in = {1, 8, 8}, .kernel = {1, 3, 3}, .stride = ONE, .dilation = ONE, .pad = {0, 1, 1}}},
    {1, 1, 300, 33, {.in = {1, 4, 4}, .kernel = {1, 3, 3}, .stride = ONE, .dilation = ONE, .pad = {0, 1, 1}}},
    {2, 37, 37, 37, {.in = {1, 8, 9}, .kernel = {1, 3, 3}, .stride = ONE, .dilation = ONE, .pad = {0, 1, 1}}},
    {2, 5, 5, 5, {.in = {1, 9, 8}, .kernel = {1, 3, 3}, .stride = {1, 2, 2}, .dilation = ONE, .pad = {0, 1, 1}}},
    {2, 18, 18, 18, {.in = {1, 7, 7}, .kernel = {1, 5, 5}, .stride = {1, 2, 1}, .dilation = {1, 1, 2}, .pad = {0, 2, 2}}},
};
#define N_CASES ((int)(sizeof case_table / sizeof case_table[0]))

static int64_t planned; /* images of a sample's net */

struct sample {
	struct pare_conv c;
	int64_t n;
	size_t n_x, n_w, n_y;
	float *x, *w, *y, *got, *want, *base, *last, *packed, *scratch, *bias;
};

static float *floats(size_t n)
{
	float *p = pare_calloc(n + 1, sizeof *p);

	ck_assert_ptr_nonnull(p);
	return p;
}

static void sample_make(const struct geometry *g, struct sample *s)
{
	size_t most;

	s->c = (struct pare_conv){.w = g->w, .groups = g->groups, .in_channels = g->in_channels, .out_channels = g->out_channels, .most = planned};
	for (int i = 0; i < PARE_WINDOW_AXES; i++)
		s->c.w.out[i] = (g->w.in[i] + 2 * g->w.pad[i] - (g->w.kernel[i] - 1) * g->w.dilation[i] - 1) / g->w.stride[i] + 1;
	s->n = g->n;
	s->n_x = (size_t)(g->n * g->in_channels * pare_window_product(s->c.w.in));
	s->n_w = (size_t)(g->out_channels * g->in_channels / g->groups * pare_window_product(g->w.kernel));
	s->n_y = (size_t)(g->n * g->out_channels * pare_window_product(s->c.w.out));
	most = s->n_x + s->n_w + s->n_y;
	s->x = floats(s->n_x);
	s->w = floats(s->n_w);
	s->y = floats(s->n_y);
	s->got = floats(most);
	s->want = floats(most);
	s->base = floats(most);
	s->last = floats(most);
	s->bias = floats((size_t)(g->in_channels + g->out_channels));
	s->packed = floats(pare_conv_last_packed(&s->c));
	s->scratch = floats(pare_conv_last_scratch(&s->c, g->n));
	nc_fill(s->x, s->n_x, 1);
	nc_fill(s->w, s->n_w, 2);
	nc_fill(s->y, s->n_y, 3);
	nc_fill(s->base, most, 4);
	nc_fill(s->bias, (size_t)(g->in_channels + g->out_channels), 5);
}

static void sample_done(struct sample *s)
{
	float *all[] = {s->x, s->w, s->y, s->got, s->want, s->base, s->last, s->bias, s->packed, s->scratch};

	for (size_t i = 0; i < sizeof all / sizeof all[0]; i++)
		pare_free(all[i]);
}

/* [n][channels][len] to [n][len][channels], or back. */
static void turn(int64_t n, int64_t channels, int64_t len, bool back, const float *from, float *to)
{
	for (int64_t i = 0; i < n * channels * len; i++) {
		int64_t b = i / (channels * len), c = i / len % channels, p = i % len, at = (b * len + p) * channels + c;

		if (back)
			to[i] = from[at];
		else
			to[at] = from[i];
	}
}

static double largest_of(const struct sample *s, size_t n)
{
	double largest = 1;

	for (size_t i = 0; i < n; i++)
		largest = fmax(largest, fabs((double)s->want[i]));
	return largest;
}

/* got against want, both channels first; and base, where that was added to. largest: of the sums. */
static void same(const struct sample *s, size_t n, bool acc, double largest, const char *what, int which)
{
	for (size_t i = 0; i < n; i++) {
		double want = (double)s->want[i] + (acc ? (double)s->base[i] : 0);

		ck_assert_msg(fabs((double)s->got[i] - want) <= TOLERANCE * largest, "case %d %s[%zu] acc %d: %.9g, want %.9g (%ld of %ld x %ld x %ld to %ld, "
		    "kernel %ld x %ld, stride %ld x %ld, pad %ld x %ld)", which, what, i, acc, (double)s->got[i], want, (long)s->n, (long)s->c.in_channels,
		    (long)s->c.w.in[1], (long)s->c.w.in[2], (long)s->c.out_channels, (long)s->c.w.kernel[1], (long)s->c.w.kernel[2], (long)s->c.w.stride[1],
		    (long)s->c.w.stride[2], (long)s->c.w.pad[1], (long)s->c.w.pad[2]);
	}
}

static void check_forward(struct sample *s, bool acc, int which)
{
	int64_t out = pare_window_product(s->c.w.out), in = pare_window_product(s->c.w.in), m = s->c.out_channels;
	float *x = s->last, *y = s->last + s->n_x;

	turn(s->n, s->c.in_channels, in, false, s->x, x);
	turn(s->n, m, out, false, s->base, y);
	pare_conv_last_pack(&s->c, s->w, NULL, s->packed);
	pare_conv_last_forward(&s->c, s->n, x, s->packed, acc, NULL, y, s->scratch);
	turn(s->n, m, out, true, y, s->got);
	pare_conv_forward_ref(&s->c, s->n, s->x, s->w, s->want);
	same(s, s->n_y, acc, largest_of(s, s->n_y), "y", which);
}

/* y = clamp(sum * scale + bias + add) */
static void check_finish(struct sample *s, int which)
{
	int64_t out = pare_window_product(s->c.w.out), in = pare_window_product(s->c.w.in), m = s->c.out_channels;
	float *x = s->last, *y = s->last + s->n_x, *scale = s->bias + s->c.in_channels, *add = s->base;
	struct pare_conv_finish f = {.bias = scale, .add = add, .clamp = true, .lo = -0.5f, .hi = 0.75f};
	double largest;

	turn(s->n, s->c.in_channels, in, false, s->x, x);
	pare_conv_last_pack(&s->c, s->w, scale, s->packed);
	pare_conv_last_forward(&s->c, s->n, x, s->packed, false, &f, y, s->scratch);
	turn(s->n, m, out, true, y, s->got);
	pare_conv_forward_ref(&s->c, s->n, s->x, s->w, s->want);
	largest = largest_of(s, s->n_y);
	for (size_t i = 0; i < s->n_y; i++) {
		size_t c = i / (size_t)out % (size_t)m, at = (i / (size_t)(m * out) * (size_t)out + i % (size_t)out) * (size_t)m + c;
		float v = s->want[i] * scale[c] + scale[c] + add[at];

		s->want[i] = fminf(fmaxf(v, -0.5f), 0.75f);
	}
	same(s, s->n_y, false, largest, "finished y", which);
}

static void check_gradients(struct sample *s, bool acc, int which)
{
	int64_t out = pare_window_product(s->c.w.out), in = pare_window_product(s->c.w.in), m = s->c.out_channels;
	float *dy = s->last, *to = s->last + s->n_y;

	turn(s->n, m, out, false, s->y, dy);
	turn(s->n, s->c.in_channels, in, false, s->base, to);
	pare_conv_last_pack_transposed(&s->c, s->w, NULL, s->packed);
	pare_conv_last_grad_input(&s->c, s->n, s->packed, dy, acc, NULL, to, s->scratch);
	turn(s->n, s->c.in_channels, in, true, to, s->got);
	pare_conv_grad_input_ref(&s->c, s->n, s->w, s->y, s->want);
	same(s, s->n_x, acc, largest_of(s, s->n_x), "dx", which);
	turn(s->n, s->c.in_channels, in, false, s->x, to);
	memcpy(s->got, s->base, s->n_w * sizeof(float));
	pare_conv_last_grad_weight(&s->c, s->n, to, dy, acc, s->got, s->scratch);
	pare_conv_grad_weight_ref(&s->c, s->n, s->x, s->y, s->want);
	same(s, s->n_w, acc, largest_of(s, s->n_w), "dw", which);
}

static void check_geometry(const struct geometry *g, int which)
{
	struct sample s;

	sample_make(g, &s);
	ck_assert(pare_conv_last_serves(&s.c));
	for (int acc = 0; acc < 2; acc++) {
		check_forward(&s, acc != 0, which);
		check_gradients(&s, acc != 0, which);
	}
	check_finish(&s, which);
	sample_done(&s);
}

/* The sets of tiles that run here; NULL for one that does not. */
static const struct pare_tile_kernels *tiles(int i)
{
#if defined(__x86_64__)
	if (i == 1)
		return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") ? &pare_tile_avx2 : NULL;
	if (i == 2)
		return __builtin_cpu_supports("avx512f") ? &pare_tile_avx512 : NULL;
#endif
	return i == 0 ? &pare_tile_plain : NULL;
}
#define N_TILES 3

START_TEST(chosen_shapes_equal_the_definition)
{
	for (int t = 0; t < N_TILES; t++) {
		pare_tile_force(tiles(t));
		check_geometry(&case_table[_i], _i);
	}
	pare_tile_force(NULL);
}
END_TEST

static int64_t draw(struct pare_rng *r, int64_t lo, int64_t hi)
{
	return lo + (int64_t)pare_rng_below(r, (uint64_t)(hi - lo + 1));
}

START_TEST(drawn_shapes_equal_the_definition)
{
	struct pare_rng r;

	pare_rng_init(&r, 11, "shapes", 0);
	for (int i = 0; i < N_DRAWN; i++) {
		bool depthwise = draw(&r, 0, 3) == 0;
		struct geometry g = {.n = draw(&r, 1, 4), .groups = 1, .in_channels = draw(&r, 1, 40), .out_channels = draw(&r, 1, 70),
		    .w = {.in = {1, draw(&r, 1, 12), draw(&r, 1, 20)}, .kernel = {1, draw(&r, 1, 5), draw(&r, 1, 5)}, .stride = {1, draw(&r, 1, 3), draw(&r, 1, 3)},
			.dilation = {1, draw(&r, 1, 2), draw(&r, 1, 2)}, .pad = {0, draw(&r, 0, 3), draw(&r, 0, 3)}}};

		if (depthwise)
			g.groups = g.out_channels = g.in_channels = draw(&r, 2, 40);
		for (int k = 1; k < PARE_WINDOW_AXES; k++)
			if (g.w.in[k] + 2 * g.w.pad[k] < (g.w.kernel[k] - 1) * g.w.dilation[k] + 1)
				g.w.kernel[k] = 1;
		pare_tile_force(tiles(i % N_TILES));
		check_geometry(&g, N_CASES + i);
	}
	pare_tile_force(NULL);
}
END_TEST

/* The weights of Winograd's products are 16/9 as many: for few tiles they are what takes the time. */
START_TEST(few_tiles_are_summed_directly)
{
	static const struct geometry g = {1, 1, 300, 33, {.in = {1, 4, 4}, .kernel = {1, 3, 3}, .stride = ONE, .dilation = ONE, .pad = {0, 1, 1}}};
	struct pare_conv c = {.w = {.in = {1, 4, 4}, .out = {1, 4, 4}, .kernel = {1, 3, 3}, .stride = ONE, .dilation = ONE, .pad = {0, 1, 1}}, .groups = 1,
	    .in_channels = 64, .out_channels = 64};

	for (int64_t most = 0; most < 8; most++) {
		c.most = most;
		ck_assert_int_eq(pare_conv_winograd(&c), pare_tile() != &pare_tile_plain && (most == 0 || most >= 4));
	}
	planned = 1;
	check_geometry(&g, 0);
	planned = 0;
}
END_TEST

START_TEST(bias_gradient_is_the_sum_of_rows)
{
	enum { ROWS = 700, CHANNELS = 70 };
	float *dy = floats((size_t)ROWS * CHANNELS), db[CHANNELS];

	for (int i = 0; i < ROWS * CHANNELS; i++)
		dy[i] = (float)(i % CHANNELS);
	for (int i = 0; i < CHANNELS; i++)
		db[i] = 3;
	pare_conv_last_grad_bias(ROWS, CHANNELS, dy, true, db);
	for (int i = 0; i < CHANNELS; i++)
		ck_assert_float_eq(db[i], (float)(3 + ROWS * i));
	pare_conv_last_grad_bias(ROWS, CHANNELS, dy, false, db);
	ck_assert_float_eq(db[69], (float)(ROWS * 69));
	pare_free(dy);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("conv_last");
	TCase *t = tcase_create("kernels");
	SRunner *r = srunner_create(s);
	int failed;

	tcase_set_timeout(t, 60);
	tcase_add_loop_test(t, chosen_shapes_equal_the_definition, 0, N_CASES);
	tcase_add_test(t, drawn_shapes_equal_the_definition);
	tcase_add_test(t, few_tiles_are_summed_directly);
	tcase_add_test(t, bias_gradient_is_the_sum_of_rows);
	suite_add_tcase(s, t);
	srunner_run_all(r, CK_NORMAL);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed != 0;
}
