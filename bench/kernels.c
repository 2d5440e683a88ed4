/* What share of the machine's peak the kernels reach, on one thread.
 *
 *   kernels      prints lines: figure TAB value TAB remark
 *
 * The peak of arithmetic is a loop of independent multiply-adds in registers, that of memory a copy of what fits the second
 * cache. Both are measured between the kernels, in CPU time of this thread, and the best of all passes counts: the clock
 * moves, and it moves for all. Convolutions are counted by their definition: those that save multiplications (conv_winograd.c) can exceed the peak. */
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#if defined(__x86_64__)
#include <immintrin.h>
#endif

#include "core/base/mem.h"
#include "core/ops/kernels/conv_last.h"
#include "core/ops/kernels/elementwise.h"
#include "core/ops/kernels/gemm.h"
#include "core/ops/kernels/packed.h"
#include "core/ops/kernels/norm.h"
#include "core/ops/kernels/unary.h"

#define PASSES 9
#define PASS_SECONDS 0.01

/* 12 chains of one register each hide the latency of the multiply-add on every machine that we know. In C it would be two instructions,
 * which take twice as long on machines whose additions and products share their units. */
#if defined(__AVX512F__)
#define LANES 16
#define MUL_ADD(a, x, y) (lanes)_mm512_fmadd_ps((__m512)(a), (__m512)(x), (__m512)(y))
#elif defined(__FMA__)
#define LANES 8
#define MUL_ADD(a, x, y) (lanes)_mm256_fmadd_ps((__m256)(a), (__m256)(x), (__m256)(y))
#else
#define LANES 8
#define MUL_ADD(a, x, y) ((a) * (x) + (y))
#endif
typedef float lanes __attribute__((vector_size(4 * LANES)));
#define CHAINS 12

struct work {
	int64_t m, n, k;
	bool ta, tb;
	float *a, *b, *c;
	const struct pare_unary_kernel *unary;
	struct pare_conv conv;
	int64_t images;
};

static double cpu_now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static volatile float sink;

static void probe(const struct work *w)
{
	lanes acc[CHAINS], x = {0}, y = {0};

	for (int i = 0; i < CHAINS; i++)
		acc[i] = x + (float)i;
	x += 0.5f;
	y += 0.25f;
	for (int64_t k = 0; k < w->k; k++) {
#pragma GCC unroll 12
		for (int i = 0; i < CHAINS; i++)
			acc[i] = MUL_ADD(acc[i], x, y);
	}
	for (int i = 0; i < CHAINS; i++)
		sink = acc[i][0];
}

static void copy(const struct work *w)
{
	memcpy(w->c, w->a, (size_t)w->n * sizeof(float));
}

static void gemm(const struct work *w)
{
	pare_gemm(w->ta, w->tb, w->m, w->n, w->k, 1.0f, w->a, w->b, 0.0f, w->c);
}

static void unary(const struct work *w)
{
	w->unary->f((size_t)w->n, 0.0f, 0.0f, w->a, w->c);
}

static void unary_grad(const struct work *w)
{
	w->unary->df((size_t)w->n, 0.0f, 0.0f, w->a, w->b, w->b, false, w->c);
}

static void softmax(const struct work *w)
{
	pare_k_softmax((size_t)(w->n / 64), 64, w->a, w->c);
}

static struct pare_norm norm_of(const struct work *w)
{
	return (struct pare_norm){.rows = w->n / 128, .cycle = 1, .segments = 128, .len = 1, .epsilon = 1e-5f};
}

static void layer_norm(const struct work *w)
{
	struct pare_norm d = norm_of(w);
	float *mean = w->b + w->n, *inv = mean + d.rows;

	pare_norm_stats(&d, w->a, mean, inv);
	pare_norm_forward(&d, w->a, mean, inv, w->b, w->b, w->c);
}

static void layer_norm_grad(const struct work *w)
{
	struct pare_norm d = norm_of(w);
	float *mean = w->b + w->n, *inv = mean + d.rows, *affine = inv + d.rows;
	struct pare_norm_grads g = {.dx = w->c, .dscale = affine, .dbias = affine + 128};

	pare_norm_backward(&d, w->a, mean, inv, w->b, w->b, &g, affine + 256);
}

/* Convolution with the channels last (what nets run), and as columns and products, row-major (what is left for other shapes). The
 * scratch follows the result. */
static void conv_last(const struct work *w)
{
	pare_conv_last_forward(&w->conv, w->images, w->a, w->b, false, NULL, w->c, w->c + w->n);
}

static void conv_last_dx(const struct work *w)
{
	pare_conv_last_grad_input(&w->conv, w->images, w->b, w->a, false, NULL, w->c, w->c + w->n);
}

static void conv_last_dw(const struct work *w)
{
	pare_conv_last_grad_weight(&w->conv, w->images, w->a, w->a + w->n, false, w->c, w->c + w->n);
}

static void conv_columns(const struct work *w)
{
	pare_conv_forward(&w->conv, w->images, w->a, w->b, false, w->c, w->c + w->n);
}

static void conv_columns_dx(const struct work *w)
{
	pare_conv_grad_input(&w->conv, w->images, w->b, w->a, false, w->c, w->c + w->n);
}

static void conv_columns_dw(const struct work *w)
{
	pare_conv_grad_weight(&w->conv, w->images, w->a, w->a + w->n, false, w->c, w->c + w->n);
}

static void each(int64_t times, void (*f)(const struct work *), const struct work *w, double *best)
{
	double start = cpu_now(), seconds;

	for (int64_t i = 0; i < times; i++)
		f(w);
	seconds = (cpu_now() - start) / (double)times;
	*best = seconds < *best ? seconds : *best;
}

static double peak_flops = 0, peak_bytes = 0;

static void probe_peaks(const struct work *w)
{
	double fma = 1.0, bytes = 1.0;
	struct work p = *w;

	p.k = 200000;
	p.n = 1 << 15;
	each(1, probe, &p, &fma);
	each(100, copy, &p, &bytes);
	fma = 2.0 * CHAINS * LANES * (double)p.k / fma;
	bytes = 2.0 * 4 * (double)p.n / bytes;
	peak_flops = fma > peak_flops ? fma : peak_flops;
	peak_bytes = bytes > peak_bytes ? bytes : peak_bytes;
}

static double measure(void (*f)(const struct work *), const struct work *w)
{
	double best = 1e9, first = 1e9;

	each(1, f, w, &first);
	each(1, f, w, &first);
	for (int i = 0; i < PASSES; i++) {
		probe_peaks(w);
		each((int64_t)(PASS_SECONDS / first) + 1, f, w, &best);
	}
	return best;
}

/* The right side packed once, which does not count: linear layers in inference. The times are those of any other right side. */
static void packed(const struct work *w)
{
	pare_packed_mul(w->m, w->n, w->k, w->a, w->k, w->b, NULL, w->c, w->n, false);
}

static void product_row(const char *what, bool ta, bool tb, int64_t m, int64_t n, int64_t k, struct work w)
{
	double macs = (double)m * (double)n * (double)k, flops;

	w.ta = ta, w.tb = tb, w.m = m, w.n = n, w.k = k;
	flops = 2.0 * macs / measure(gemm, &w);
	printf("product %s, %lld x %lld x %lld\t%.0f %%\t%.1f of %.1f GFLOP/s", what, (long long)m, (long long)n, (long long)k, 100 * flops / peak_flops,
	    flops * 1e-9, peak_flops * 1e-9);
	if (!ta)
		printf("; packed before %.1f", 2e-9 * macs / measure(packed, &w));
	printf("\n");
}

static void stream_row(const char *what, void (*f)(const struct work *), int arrays, struct work w)
{
	double bytes;

	w.n = 1 << 15;
	bytes = 4.0 * arrays * (double)w.n / measure(f, &w);
	printf("%s\t%.0f %%\t%.1f of a copy's %.1f GB/s in the second cache, %.2f ns an element\n", what, 100 * bytes / peak_bytes, bytes * 1e-9,
	    peak_bytes * 1e-9, 4e9 * arrays / bytes);
}

/* groups: as many as channels, or 1 */
struct shape {
	const char *what;
	int64_t in, out, groups, side, kernel, stride, pad;
};

static void conv_row(const struct shape *s, const char *what, void (*last)(const struct work *), void (*columns)(const struct work *), const struct work *w)
{
	const struct pare_conv *c = &w->conv;
	double flops = 2.0 * (double)(w->images * c->w.out[1] * c->w.out[2] * c->out_channels * (c->in_channels / c->groups) * s->kernel * s->kernel);
	double direct = flops / measure(last, w), indirect = flops / measure(columns, w);

	printf("convolution %s, %s\t%.0f %%\t%.1f of %.1f GFLOP/s; as columns and products %.1f\n", s->what, what, 100 * direct / peak_flops, direct * 1e-9,
	    peak_flops * 1e-9, indirect * 1e-9);
}

static void conv_rows(const struct shape *s, struct work w)
{
	int64_t out = (s->side + 2 * s->pad - s->kernel) / s->stride + 1;

	w.images = 32;
	w.conv = (struct pare_conv){.groups = s->groups, .in_channels = s->in, .out_channels = s->out,
	    .w = {.in = {1, s->side, s->side}, .out = {1, out, out}, .kernel = {1, s->kernel, s->kernel}, .stride = {1, s->stride, s->stride}, .dilation = {1, 1, 1},
		.pad = {0, s->pad, s->pad}}};
	w.n = w.images * (s->in * s->side * s->side > s->out * out * out ? s->in * s->side * s->side : s->out * out * out);
	conv_row(s, "forward", conv_last, conv_columns, &w);
	conv_row(s, "dX", conv_last_dx, conv_columns_dx, &w);
	conv_row(s, "dW", conv_last_dw, conv_columns_dw, &w);
}

int main(void)
{
	static const struct shape shape_table[] = {
	    {"3x3 of 3 to 64 channels at 32x32", 3, 64, 1, 32, 3, 1, 1},
	    {"3x3 of 16 channels at 32x32", 16, 16, 1, 32, 3, 1, 1},
	    {"3x3 of 64 channels at 32x32", 64, 64, 1, 32, 3, 1, 1},
	    {"3x3 of 32 channels at 16x16", 32, 32, 1, 16, 3, 1, 1},
	    {"3x3 of 256 channels at 8x8", 256, 256, 1, 8, 3, 1, 1},
	    {"3x3 of 64 to 128 channels by steps of 2", 64, 128, 1, 32, 3, 2, 1},
	    {"3x3 of 512 channels at 4x4", 512, 512, 1, 4, 3, 1, 1},
	    {"1x1 of 24 to 144 channels at 16x16", 24, 144, 1, 16, 1, 1, 0},
	    {"5x5 of 20 to 50 channels at 12x12", 20, 50, 1, 12, 5, 1, 0},
	    {"3x3 depthwise of 144 channels at 16x16", 144, 144, 144, 16, 3, 1, 1},
	};
	static const struct {
		const char *what;
		bool ta, tb;
		int64_t m, n, k;
	} product_table[] = {
	    {"784-128-10, layer 1", false, true, 64, 128, 784},
	    {"784-128-10, layer 1, one row", false, true, 1, 128, 784},
	    {"784-128-10, layer 1, dW", true, false, 128, 784, 64},
	    {"784-128-10, layer 2", false, true, 64, 10, 128},
	    {"LeNet-300-100, layer 1", false, true, 64, 300, 784},
	    {"LeNet-300-100, layer 2, dX", false, false, 64, 300, 100},
	    {"ViT, layer up", false, false, 64 * 65, 768, 192},
	    {"ViT, layer up, dW", true, false, 192, 768, 64 * 65},
	    {"ViT, scores of a head", false, true, 65, 65, 64},
	    {"ViT, values of a head", false, false, 65, 64, 65},
	    {"LSTM, one step of 64", false, true, 64, 512, 128},
	    {"large", false, false, 1024, 1024, 1024},
	};
	static const char *const unary_table[] = {"Exp", "Erf", "Gelu", "Softplus"};
	size_t n = (size_t)1 << 23;
	struct work w = {.a = pare_alloc_aligned(n * sizeof(float)), .b = pare_alloc_aligned(n * sizeof(float)), .c = pare_alloc_aligned(n * sizeof(float))};

	if (w.a == NULL || w.b == NULL || w.c == NULL)
		return 2;
	for (size_t i = 0; i < n; i++) {
		w.a[i] = (float)(i * 2654435761u % 4001) * 1e-3f - 2.0f;
		w.b[i] = (float)(i * 40503u % 2003) * 1e-3f - 1.0f;
	}
	pare_gemm_init();
	for (size_t i = 0; i < sizeof shape_table / sizeof shape_table[0]; i++)
		conv_rows(&shape_table[i], w);
	for (size_t i = 0; i < sizeof product_table / sizeof product_table[0]; i++)
		product_row(product_table[i].what, product_table[i].ta, product_table[i].tb, product_table[i].m, product_table[i].n, product_table[i].k, w);
	for (size_t i = 0; i < sizeof unary_table / sizeof unary_table[0]; i++) {
		char name[64];

		w.unary = pare_unary_kernel(unary_table[i]);
		snprintf(name, sizeof name, "%s", unary_table[i]);
		stream_row(name, unary, 2, w);
		snprintf(name, sizeof name, "%s, gradient", unary_table[i]);
		stream_row(name, unary_grad, 3, w);
	}
	stream_row("Softmax of rows of 64", softmax, 2, w);
	stream_row("LayerNormalization of rows of 128", layer_norm, 2, w);
	stream_row("LayerNormalization, gradient", layer_norm_grad, 3, w);
	pare_free(w.a);
	pare_free(w.b);
	pare_free(w.c);
	return 0;
}
