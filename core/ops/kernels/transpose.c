/* In squares that the first cache holds from both sides: a plain double loop misses it at every step of one side. */
#include "core/ops/kernels/transpose.h"

#define SIDE 16

static inline void square(int64_t rows, int64_t cols, int64_t r_end, int64_t c_end, const float *from, bool acc, float *to)
{
	for (int64_t r = 0; r < r_end; r++)
		for (int64_t c = 0; c < c_end; c++)
			to[c * rows + r] = acc ? to[c * rows + r] + from[r * cols + c] : from[r * cols + c];
}

void pare_k_transpose(int64_t rows, int64_t cols, const float *from, bool acc, float *to)
{
	for (int64_t r = 0; r < rows; r += SIDE)
		for (int64_t c = 0; c < cols; c += SIDE) {
			int64_t r_end = rows - r < SIDE ? rows - r : SIDE, c_end = cols - c < SIDE ? cols - c : SIDE;
			const float *at = from + r * cols + c;

			if (r_end == SIDE && c_end == SIDE && !acc)
				square(rows, cols, SIDE, SIDE, at, false, to + c * rows + r);
			else
				square(rows, cols, r_end, c_end, at, acc, to + c * rows + r);
		}
}
