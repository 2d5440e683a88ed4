/* The convolution kernels against the definition in double, over geometries that take every path: columns of several
 * images, of one, of a part of one, pointwise, groups, depthwise; overwriting and adding. */
#include <check.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "core/base/mem.h"
#include "core/ops/kernels/conv.h"
#include "core/ops/kernels/gemm.h"
#include "tests/support/net_check.h"

#define TOLERANCE 2e-5 /* of the largest element; sums of at most a few thousand products in float */

struct geometry {
	int64_t n, groups, in_channels, out_channels;
	struct pare_window w; /* out follows */
};

static const struct geometry case_table[] = {
    {3, 1, 1, 4, {.in = {1, 9, 8}, .kernel = {1, 5, 5}, .stride = {1, 1, 1}, .dilation = {1, 1, 1}}},
    {5, 1, 3, 7, {.in = {1, 6, 20}, .kernel = {1, 3, 3}, .stride = {1, 1, 1}, .dilation = {1, 1, 1}, .pad = {0, 1, 1}}},
    {2, 1, 3, 2, {.in = {1, 11, 23}, .kernel = {1, 3, 4}, .stride = {1, 2, 3}, .dilation = {1, 2, 1}, .pad = {0, 2, 1}}},
    {2, 1, 2, 3, {.in = {1, 1, 37}, .kernel = {1, 1, 5}, .stride = {1, 1, 2}, .dilation = {1, 1, 3}, .pad = {0, 0, 4}}},
    {2, 1, 2, 3, {.in = {4, 5, 6}, .kernel = {2, 3, 2}, .stride = {1, 2, 1}, .dilation = {2, 1, 1}, .pad = {1, 1, 0}}},
    {3, 1, 8, 6, {.in = {1, 5, 7}, .kernel = {1, 1, 1}, .stride = {1, 1, 1}, .dilation = {1, 1, 1}}},
    {3, 1, 8, 6, {.in = {1, 5, 7}, .kernel = {1, 1, 1}, .stride = {1, 2, 2}, .dilation = {1, 1, 1}}},
    {3, 2, 6, 4, {.in = {1, 7, 9}, .kernel = {1, 3, 3}, .stride = {1, 1, 1}, .dilation = {1, 1, 1}, .pad = {0, 1, 1}}},
    {2, 3, 6, 9, {.in = {1, 5, 5}, .kernel = {1, 1, 1}, .stride = {1, 1, 1}, .dilation = {1, 1, 1}}},
    {3, 6, 6, 6, {.in = {1, 9, 41}, .kernel = {1, 3, 3}, .stride = {1, 1, 1}, .dilation = {1, 1, 1}, .pad = {0, 1, 1}}},
    {2, 4, 4, 8, {.in = {1, 9, 12}, .kernel = {1, 3, 5}, .stride = {1, 2, 2}, .dilation = {1, 1, 2}, .pad = {0, 1, 2}}},
    {2, 3, 3, 3, {.in = {3, 4, 5}, .kernel = {2, 2, 2}, .stride = {1, 1, 1}, .dilation = {1, 1, 1}, .pad = {1, 0, 1}}},
    {2, 2, 2, 2, {.in = {1, 5, 6}, .kernel = {1, 2, 2}, .stride = {1, 3, 3}, .dilation = {1, 1, 1}, .pad = {0, 4, 3}}},
    {1, 2, 2, 2, {.in = {1, 1, 90}, .kernel = {1, 1, 70}, .stride = {1, 1, 1}, .dilation = {1, 1, 1}, .pad = {0, 0, 2}}},
    {2, 3, 3, 24, {.in = {1, 6, 6}, .kernel = {1, 3, 3}, .stride = {1, 1, 1}, .dilation = {1, 1, 1}, .pad = {0, 1, 1}}},
    {1, 1, 240, 2, {.in = {1, 9, 13}, .kernel = {1, 3, 3}, .stride = {1, 1, 1}, .dilation = {1, 1, 1}, .pad = {0, 1, 1}}},
    {40, 1, 2, 3, {.in = {1, 4, 4}, .kernel = {1, 2, 2}, .stride = {1, 1, 1}, .dilation = {1, 1, 1}, .pad = {0, 3, 3}}},
};
#define N_CASES ((int)(sizeof case_table / sizeof case_table[0]))

struct sample {
	struct pare_conv c;
	size_t n_x, n_w, n_y;
	float *x, *w, *y, *got, *want, *base, *scratch;
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

	s->c = (struct pare_conv){.w = g->w, .groups = g->groups, .in_channels = g->in_channels, .out_channels = g->out_channels};
	for (int i = 0; i < PARE_WINDOW_AXES; i++)
		s->c.w.out[i] = (g->w.in[i] + 2 * g->w.pad[i] - (g->w.kernel[i] - 1) * g->w.dilation[i] - 1) / g->w.stride[i] + 1;
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
	s->scratch = floats(pare_conv_scratch(&s->c, g->n));
	nc_fill(s->x, s->n_x, 1);
	nc_fill(s->w, s->n_w, 2);
	nc_fill(s->y, s->n_y, 3);
	nc_fill(s->base, most, 4);
}

static void sample_done(struct sample *s)
{
	float *all[] = {s->x, s->w, s->y, s->got, s->want, s->base, s->scratch};

	for (size_t i = 0; i < sizeof all / sizeof all[0]; i++)
		pare_free(all[i]);
}

/* want, plus what stood there before when adding. */
static void same(const struct sample *s, size_t n, bool acc, const char *what, int which)
{
	double largest = 1;

	for (size_t i = 0; i < n; i++)
		largest = fmax(largest, fabs((double)s->want[i]));
	for (size_t i = 0; i < n; i++) {
		double want = (double)s->want[i] + (acc ? (double)s->base[i] : 0);

		ck_assert_msg(fabs((double)s->got[i] - want) <= TOLERANCE * largest, "case %d %s[%zu] acc %d: %.9g, want %.9g", which, what, i, acc,
		    (double)s->got[i], want);
	}
}

START_TEST(kernels_equal_the_definition)
{
	const struct geometry *g = &case_table[_i];
	struct sample s;

	sample_make(g, &s);
	for (int acc = 0; acc < 2; acc++) {
		memcpy(s.got, s.base, s.n_y * sizeof(float));
		pare_conv_forward(&s.c, g->n, s.x, s.w, acc != 0, s.got, s.scratch);
		pare_conv_forward_ref(&s.c, g->n, s.x, s.w, s.want);
		same(&s, s.n_y, acc != 0, "y", _i);
		memcpy(s.got, s.base, s.n_x * sizeof(float));
		pare_conv_grad_input(&s.c, g->n, s.w, s.y, acc != 0, s.got, s.scratch);
		pare_conv_grad_input_ref(&s.c, g->n, s.w, s.y, s.want);
		same(&s, s.n_x, acc != 0, "dx", _i);
		memcpy(s.got, s.base, s.n_w * sizeof(float));
		pare_conv_grad_weight(&s.c, g->n, s.x, s.y, acc != 0, s.got, s.scratch);
		pare_conv_grad_weight_ref(&s.c, g->n, s.x, s.y, s.want);
		same(&s, s.n_w, acc != 0, "dw", _i);
	}
	sample_done(&s);
}
END_TEST

START_TEST(bias_is_filled_and_summed)
{
	const float bias[2] = {1.5f, -2.0f}, dy[12] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12};
	float y[12], db[2] = {100, 200};

	pare_conv_fill_bias(2, 2, 3, bias, y);
	for (int i = 0; i < 12; i++)
		ck_assert_float_eq(y[i], bias[i / 3 % 2]);
	pare_conv_grad_bias(2, 2, 3, dy, false, db);
	ck_assert_float_eq(db[0], 30);
	ck_assert_float_eq(db[1], 48);
	pare_conv_grad_bias(2, 2, 3, dy, true, db);
	ck_assert_float_eq(db[0], 60);
	ck_assert_float_eq(db[1], 96);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("convolution kernels");
	TCase *t = tcase_create("conv");
	SRunner *r;
	int failed;

	pare_gemm_init();
	tcase_set_timeout(t, 60);
	tcase_add_loop_test(t, kernels_equal_the_definition, 0, N_CASES);
	tcase_add_test(t, bias_is_filled_and_summed);
	suite_add_tcase(s, t);
	r = srunner_create(s);
	srunner_run_all(r, CK_NORMAL);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed != 0;
}
