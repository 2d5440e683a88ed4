/* OpenBLAS behind one function, and on machines with AVX2 or AVX-512 strips of our own (strip.h) for all but large products: OpenBLAS packs
 * both sides and clears the result in a pass of its own, which with the 64 rows of a batch, or of a head, is up to a third of its time.
 * Its own threads stay off: two pools on the same cores collapse (measured: down to a tenth of the speed), and its split of a
 * product among threads would make the result depend on their number.
 *
 * Gradients of weights are products along many rows of activations, which come from memory: strips read both sides where they stand, a few
 * rows at a time, and ask for the next meanwhile. BLAS moves both first, which is up to a quarter of its time.
 *
 * A product with one row (inference of a single example) goes to the matrix-vector routine, which does not pack the
 * matrix first. The rules look at the shape only, so the same job takes the same kernel on every run of one machine. */
#include "core/ops/kernels/gemm.h"

#include <cblas.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "core/ops/kernels/strip.h"

#define K_FEW 384       /* that strips take whatever the rows of a */
#define WIDEST 48       /* columns of a panel */
#define A_PART 65536    /* floats of a that stay in the second: 256 KiB */
#define GRAD_K 96       /* of both sides, where neither is moved */
#define DIRECT_ROWS 256 /* that meet a panel of b as it stands; with more of them, moving it first costs nothing */

void pare_gemm_init(void)
{
	openblas_set_num_threads(1);
}

/* Of OpenBLAS, in no header of it: a buffer that is given back stays mapped and is the first that the next product finds. */
extern void *blas_memory_alloc(int place) __attribute__((weak));
extern void blas_memory_free(void *buffer) __attribute__((weak));

#define BUFFER_BYTES ((size_t)128 << 20) /* of a library that is built for many processors; the true size is measured */

static bool has_room(void)
{
	void *p = mmap(NULL, BUFFER_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	return p != MAP_FAILED && munmap(p, BUFFER_BYTES) == 0;
}

/* What this process has mapped for itself to write into; 0 where that cannot be read. */
static int64_t data_bytes(void)
{
	FILE *f = fopen("/proc/self/statm", "re");
	long long pages = 0;

	if (f == NULL)
		return 0;
	if (fscanf(f, "%*s %*s %*s %*s %*s %lld", &pages) != 1)
		pages = 0;
	(void)fclose(f);
	return pages * sysconf(_SC_PAGESIZE);
}

/* Takes n buffers at once, so that there are n of them, and gives them back; false: there is no room. Each holds the address of the one before. */
static bool take_buffers(int n)
{
	void *last = NULL;
	bool room = true;

	for (int i = 0; i < n && (room = has_room()); i++) {
		void **p = blas_memory_alloc(0);

		*p = last;
		last = p;
	}
	while (last != NULL) {
		void *before = *(void **)last;

		blas_memory_free(last);
		last = before;
	}
	return room;
}

int64_t pare_gemm_reserve(int n)
{
	static int64_t one = -1; /* bytes of a buffer, once they were looked for */

	if (blas_memory_alloc == NULL || blas_memory_free == NULL)
		return 0;
	if (one < 0) {
		int64_t before = data_bytes();

		if (!take_buffers(1))
			return -1;
		one = data_bytes() - before;
	}
	return take_buffers(n) ? n * one : -1;
}

const char *pare_gemm_core(void)
{
	return openblas_get_corename();
}

static void scale(float beta, float *c, int64_t m, int64_t n, int64_t ldc)
{
	for (int64_t i = 0; i < m; i++, c += ldc)
		if (beta == 0.0f)
			memset(c, 0, (size_t)n * sizeof *c);
		else if (beta != 1.0f)
			cblas_sscal((int)n, beta, c, 1);
}

/* Parts of nearly equal size, none above `most`: where part i of n ends. */
static int64_t part_end(int64_t n, int64_t most, int64_t i)
{
	return n * (i + 1) / ((n + most - 1) / most);
}

/* Sets s up for the next panel of the n columns that are left, which stand `apart` floats from row to row. Can a strip read them so? */
static bool whole_panel(struct pare_strip *s, int64_t n, int64_t apart, int64_t *width)
{
	int64_t vector = pare_strip()->vector, filled;
	bool whole;

	*width = pare_strip_panel(pare_strip(), n);
	filled = n < *width ? n : *width;
	whole = filled == *width;
	s->vectors = (int)(*width / vector);
	s->tail = filled - *width + vector;
	s->apart = whole ? apart : *width;
	return whole;
}

/* c[m, n] of one part of a and of k. */
static void strips(struct pare_strip *s, int64_t m, int64_t n, int64_t k, float alpha, const float *a, const float *b, int64_t b_step, int64_t b_column,
    float *c)
{
	_Alignas(64) float panel[PARE_STRIP_FLOATS];
	bool direct = b_column == 1 && alpha == 1.0f && m <= DIRECT_ROWS;

	for (int64_t at = 0, width; at < n; at += width) {
		bool stands = whole_panel(s, n - at, b_step, &width) && direct;

		if (!stands) {
			s->apart = width;
			pare_strip()->pack(k, n - at < width ? n - at : width, width, b + at * b_column, b_step, b_column, alpha, panel);
		}
		pare_strip()->mul(s, m, k, a, stands ? b + at : panel, c + at, NULL);
	}
}

static void by_strips(bool ta, bool tb, int64_t m, int64_t n, int64_t k, float alpha, const float *a, int64_t lda, const float *b, int64_t ldb,
    float beta, float *c, int64_t ldc)
{
	struct pare_strip s = {.row = ta ? 1 : lda, .step = ta ? lda : 1, .ys = ldc, .acc = beta != 0.0f};
	int64_t b_step = tb ? 1 : ldb, b_column = tb ? ldb : 1;

	if (s.acc && beta != 1.0f)
		scale(beta, c, m, n, ldc);

	for (int64_t i = 0, from = 0, to; from < k; from = to) {
		to = part_end(k, pare_strip_rows(pare_strip()->width), i++);
		for (int64_t j = 0, top = 0, bottom; top < m; top = bottom) {
			bottom = part_end(m, A_PART / (to - from), j++);
			strips(&s, bottom - top, n, to - from, alpha, a + top * s.row + from * s.step, b + from * b_step, b_step, b_column, c + top * ldc);
		}
		s.acc = true;
	}
}

/* Rows that come next, in lines of the caches: asked for before they are read. */
struct ahead {
	const float *at;
	int64_t n_lines, asked;
};
#define LINE 16

static void ask(struct ahead *w, int64_t lines)
{
	for (; w->asked < lines; w->asked++)
		__builtin_prefetch(w->at + w->asked * LINE, 0, 2);
}

/* A product of few rows of a, transposed, and of b: of their gradient, c. */
struct grad {
	int64_t m, n, lda, ldb, ldc;
	struct ahead a, b;
};

/* Both sides are read where they stand, tile by tile, while what comes next is asked for. */
static void grad_part(struct grad *g, int64_t k, const float *a, const float *b, bool acc, float *c)
{
	_Alignas(64) float panel[GRAD_K * WIDEST];
	struct pare_strip s = {.row = 1, .step = g->lda, .ys = g->ldc, .acc = acc};

	for (int64_t at = 0, width; at < g->n; at += width) {
		const float *from = whole_panel(&s, g->n - at, g->ldb, &width) ? b + at : panel;
		int64_t rows = pare_strip()->rows[s.vectors], tiles = (g->m + rows - 1) / rows;

		if (from == panel)
			pare_strip()->pack(k, g->n - at, width, b + at, g->ldb, 1, 1.0f, panel);
		for (int64_t i = 0, top = 0, end; i < tiles; i++, top = end) {
			int64_t done = at * g->m + (g->n - at < width ? g->n - at : width) * (end = g->m * (i + 1) / tiles);

			ask(&g->a, g->a.n_lines * done / (g->m * g->n));
			ask(&g->b, g->b.n_lines * done / (g->m * g->n));
			pare_strip()->mul(&s, end - top, k, a + top, from, c + top * g->ldc + at, NULL);
		}
	}
}

/* Activations of many rows come from memory once. */
static void grad_by_strips(int64_t m, int64_t n, int64_t k, const float *a, int64_t lda, const float *b, int64_t ldb, float beta, float *c, int64_t ldc)
{
	struct grad g = {.m = m, .n = n, .lda = lda, .ldb = ldb, .ldc = ldc};

	if (beta != 0.0f && beta != 1.0f)
		scale(beta, c, m, n, ldc);
	for (int64_t i = 0, from = 0, to; from < k; from = to) {
		int64_t next;

		to = part_end(k, GRAD_K, i++);
		next = to < k ? part_end(k, GRAD_K, i) - to : 0;
		g.a = (struct ahead){.at = a + to * lda, .n_lines = next * lda / LINE};
		g.b = (struct ahead){.at = b + to * ldb, .n_lines = next * ldb / LINE};
		grad_part(&g, to - from, a + from * lda, b + from * ldb, beta != 0.0f || from > 0, c);
	}
}

/* Strips read a as it stands and move b, if at all, once for every part of a: that is less than BLAS does unless both are large. */
static bool strips_pay(int64_t m, int64_t k)
{
	return pare_strip() != NULL && (k <= K_FEW || (m <= 384 && k <= 1024));
}

/* Where the result, too, stays in the second cache. With 16 registers six columns of a share a line of the cache that holds 16, and BLAS, which moves
 * them first, is faster (Zen 3, 128 x 512 x 4096: 82 % of the peak, strips 67). */
static bool grad_pays(int64_t m, int64_t n, int64_t k)
{
	return pare_strip() == &pare_strip_avx512 && k >= 4 * GRAD_K && m >= 32 && n >= 32 && m * n <= 150000;
}

void pare_gemm_part(bool ta, bool tb, int64_t m, int64_t n, int64_t k, float alpha, const float *a, int64_t lda, const float *b, int64_t ldb,
    float beta, float *c, int64_t ldc)
{
	if (m == 0 || n == 0)
		return;
	if (k == 0)
		scale(beta, c, m, n, ldc);
	else if (m == 1 && tb)
		cblas_sgemv(CblasRowMajor, CblasNoTrans, (int)n, (int)k, alpha, b, (int)ldb, a, ta ? (int)lda : 1, beta, c, 1);
	else if (m == 1)
		cblas_sgemv(CblasRowMajor, CblasTrans, (int)k, (int)n, alpha, b, (int)ldb, a, ta ? (int)lda : 1, beta, c, 1);
	else if (ta && !tb && alpha == 1.0f && grad_pays(m, n, k))
		grad_by_strips(m, n, k, a, lda, b, ldb, beta, c, ldc);
	else if (strips_pay(m, k))
		by_strips(ta, tb, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc);
	else
		cblas_sgemm(CblasRowMajor, ta ? CblasTrans : CblasNoTrans, tb ? CblasTrans : CblasNoTrans, (int)m, (int)n, (int)k, alpha,
		    a, (int)lda, b, (int)ldb, beta, c, (int)ldc);
}

void pare_gemm(bool ta, bool tb, int64_t m, int64_t n, int64_t k, float alpha, const float *a, const float *b, float beta, float *c)
{
	pare_gemm_part(ta, tb, m, n, k, alpha, a, ta ? m : k, b, tb ? k : n, beta, c, n);
}

void pare_gemm_ref(bool ta, bool tb, int64_t m, int64_t n, int64_t k, float alpha, const float *a, const float *b, float beta, float *c)
{
	for (int64_t i = 0; i < m; i++)
		for (int64_t j = 0; j < n; j++) {
			double sum = 0;

			for (int64_t l = 0; l < k; l++)
				sum += (double)a[ta ? l * m + i : i * k + l] * (double)b[tb ? j * k + l : l * n + j];
			sum *= (double)alpha;
			if (beta != 0.0f)
				sum += (double)beta * (double)c[i * n + j];
			c[i * n + j] = (float)sum;
		}
}
