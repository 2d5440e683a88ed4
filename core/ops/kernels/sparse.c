/* The loops of sparse.h with what every machine has, the choice among the instruction sets, and the walk over blocks of
 * the batch.
 *
 * Rejected: values packed beside the structure. They would have to be gathered after every update of the dense matrix,
 * which optimizer, mask and regularizers work on, and one line of memory is fetched per weight either way. Rejected, too:
 * rows of the batch as they are, with weights as lanes: that is a gather per weight and row. */
#define PARE_SIMD 0
#include "core/ops/kernels/simd.h"

#include "core/ops/kernels/sparse.inc"

#include "core/ops/kernels/elementwise.h"

const struct pare_sparse_kernels pare_sparse_plain = SPARSE_KERNELS;

static const struct pare_sparse_kernels *kernels(void)
{
#if defined(__x86_64__)
	if (__builtin_cpu_supports("avx512f"))
		return &pare_sparse_avx512;
	if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"))
		return &pare_sparse_avx2;
#endif
	return &pare_sparse_plain;
}

#define RULE_ROWS 8 /* with fewer no density pays */

static int64_t lanes_of(int64_t m)
{
	return m < PARE_SPARSE_ROWS ? (m + 15) / 16 * 16 : PARE_SPARSE_ROWS;
}

/* Small matrices do not earn the transpositions. */
static bool is_small(int64_t rows, int64_t cols)
{
	return rows < 16 || cols < 16 || rows * cols < 8192;
}

size_t pare_sparse_scratch(int64_t m, int64_t rows, int64_t cols)
{
	if (is_small(rows, cols) || m < RULE_ROWS)
		return 0;
	return (size_t)(lanes_of(m) * (rows + cols) + PARE_SPARSE_ROWS * (rows > cols ? rows : cols));
}

/* Lanes past the last row hold zeros: they take part in sums that nobody looks at, and add nothing to dot products. */
static void turn_block(const struct pare_sparse_kernels *k, int64_t n, int64_t cols, const float *x, int64_t lanes, float *y)
{
	if (n < lanes)
		memset(y, 0, (size_t)(cols * lanes) * sizeof *y);
	k->turn(n, cols, x, cols, y, lanes);
}

void pare_sparse_product(const struct pare_sparse *s, const float *w, bool by_row, int64_t m, const float *x, const float *bias, float scale, bool acc,
    float *y, float *scratch)
{
	const struct pare_sparse_kernels *k = kernels();
	const uint32_t *start = by_row ? s->row_start : s->col_start, *index = by_row ? s->row_col : s->col_row;
	int64_t n_in = by_row ? s->cols : s->rows, n_out = by_row ? s->rows : s->cols, lanes = lanes_of(m);
	float *xt = scratch, *yt = xt + n_in * lanes, *block = yt + n_out * lanes;

	for (int64_t i = 0; i < m; i += lanes) {
		int64_t n = m - i < lanes ? m - i : lanes;

		turn_block(k, n, n_in, x + i * n_in, lanes, xt);
		k->sum(n_out, start, index, w, by_row ? s->cols : 1, by_row ? 1 : s->cols, lanes, xt, bias, scale, yt);
		k->turn(n_out, n, yt, lanes, acc ? block : y + i * n_out, n_out);
		if (acc)
			pare_k_acc((size_t)(n * n_out), block, y + i * n_out);
	}
}

void pare_sparse_grad(const struct pare_sparse *s, int64_t m, const float *a, const float *b, bool acc, float *dw, float *scratch)
{
	const struct pare_sparse_kernels *k = kernels();
	int64_t lanes = lanes_of(m);
	float *at = scratch, *bt = at + s->rows * lanes;

	for (int64_t i = 0; i < m; i += lanes) {
		int64_t n = m - i < lanes ? m - i : lanes;

		turn_block(k, n, s->rows, a + i * s->rows, lanes, at);
		turn_block(k, n, s->cols, b + i * s->cols, lanes, bt);
		k->dot(s->rows, s->row_start, s->row_col, s->cols, lanes, at, bt, acc || i > 0, dw);
	}
}

/* Read off `bench/sparse crossover` on AVX-512 and AVX2 machines, with a margin: at these densities a whole step (three
 * products) is 1.5 times faster or more. */
bool pare_sparse_pays(int64_t m, int64_t rows, int64_t cols, size_t n)
{
	static const struct {
		int64_t m;
		double density;
	} rule_table[] = {{64, 0.20}, {32, 0.16}, {RULE_ROWS, 0.06}};
	double density = (double)n / ((double)rows * (double)cols);

	if (is_small(rows, cols))
		return false;
	for (size_t i = 0; i < sizeof rule_table / sizeof rule_table[0]; i++)
		if (m >= rule_table[i].m)
			return density <= rule_table[i].density;
	return false;
}
