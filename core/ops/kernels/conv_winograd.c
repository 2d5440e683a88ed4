/* Convolution by 3x3 windows in steps of 1 with 2.25 times fewer multiplications (Winograd's F(2x2, 3x3): Lavin and Gray 2015,
 * arXiv:1509.09308). A tile of 2x2 results sees 4x4 positions of the source:
 *
 *   forward      y  = A^T [ (G w G^T) . (B^T x B) ] A
 *   grad_weight  dw = G^T [ sum over tiles of (B^T x B) . (A dy A^T) ] G
 *
 * where . is a product over channels at each of the 16 places: 16 matrix products, of tiles by channels. grad_input is forward
 * from dy to dx with the window turned round. The transforms are additions, and with the channels last they run along them.
 *
 *   B^T = 1  0 -1  0     G = 1    0    0     A^T = 1  1  1  0
 *         0  1  1  0         1/2  1/2  1/2         0  1 -1 -1
 *         0 -1  1  0         1/2 -1/2  1/2
 *         0  1  0 -1         0    0    1
 *
 * A block of tiles goes through all three stages while it is in the second cache. Rounding errors are about twice those of the
 * direct sum, which is why the tiles are not larger: F(4x4, 3x3) would save 1.8 times more multiplications and lose a decimal.
 * What a row's result is does not depend on how many rows run: the shape, and for how many a net is planned, decide whether this is used. */
#include <math.h>
#include <string.h>

#include "core/base/multiarch.h"
#include "core/ops/kernels/conv_last.h"
#include "core/ops/kernels/gemm.h"
#include "core/ops/kernels/packed.h"

#define PLACES 16
#define BLOCK_FLOATS ((int64_t)1 << 16) /* of a block's two sides: 256 KiB */
#define BLOCK_TILES 48                  /* at least: fewer would read the weights too often */
#define LANES 48                        /* of a panel of packed weights, at most */
#define MIN_CHANNELS 16
#define MIN_SUM 64   /* of both sides' channels, below which the transforms take what the products save (measured: bench/kernels.c) */
#define MIN_TILES 4  /* of an image: with fewer, the weights, 16/9 as many, are what takes the time */
#define ALL_TILES 16 /* of all images, likewise: one row of ResNet-18 (512 channels at 4x4) takes 6.4 ms so, and 8.0 if they are not looked at */

static int64_t least(int64_t a, int64_t b)
{
	return a < b ? a : b;
}

static int64_t most(int64_t a, int64_t b)
{
	return a > b ? a : b;
}

/* One direction: the source's plane and channels, the result's, and where window position (0, 0) of result (0, 0) stands. */
struct pass {
	int64_t rows, cols, in;
	int64_t to_rows, to_cols, out;
	int64_t top, left; /* positions of padding */
	int64_t tile_cols, tiles; /* of an image */
};

static struct pass pass_of(int64_t rows, int64_t cols, int64_t in, int64_t to_rows, int64_t to_cols, int64_t out, int64_t top, int64_t left)
{
	int64_t tile_cols = (to_cols + 1) / 2;

	return (struct pass){rows, cols, in, to_rows, to_cols, out, top, left, tile_cols, tile_cols * ((to_rows + 1) / 2)};
}

static struct pass forward_pass(const struct pare_conv *c)
{
	const struct pare_window *w = &c->w;

	return pass_of(w->in[1], w->in[2], c->in_channels, w->out[1], w->out[2], c->out_channels, w->pad[1], w->pad[2]);
}

static struct pass gradient_pass(const struct pare_conv *c)
{
	const struct pare_window *w = &c->w;

	return pass_of(w->out[1], w->out[2], c->out_channels, w->in[1], w->in[2], c->in_channels, 2 - w->pad[1], 2 - w->pad[2]);
}

bool pare_conv_winograd(const struct pare_conv *c)
{
	const struct pare_window *w = &c->w;

	if (c->most > 0 && c->most * forward_pass(c).tiles < ALL_TILES)
		return false;
	return pare_tile() != &pare_tile_plain && c->groups == 1 && w->kernel[1] == 3 && w->kernel[2] == 3 && w->stride[1] == 1 && w->stride[2] == 1 &&
	    w->dilation[1] == 1 && w->dilation[2] == 1 && c->in_channels >= MIN_CHANNELS && c->out_channels >= MIN_CHANNELS &&
	    c->in_channels + c->out_channels >= MIN_SUM && forward_pass(c).tiles >= MIN_TILES && gradient_pass(c).tiles >= MIN_TILES;
}

/* --- weights */

static int64_t padded(int64_t channels)
{
	int64_t width = pare_tile()->width;

	return (channels + width - 1) / width * width;
}

size_t pare_conv_winograd_packed(const struct pare_conv *c)
{
	return (size_t)(PLACES * most(c->in_channels * padded(c->out_channels), c->out_channels * padded(c->in_channels)));
}

/* G g G^T of LANES windows side by side. */
PARE_MULTIARCH static void window_in(const float g[9][LANES], float u[PLACES][LANES])
{
	PARE_LANES
	for (int i = 0; i < LANES; i++) {
		float t[4][3];

		for (int k = 0; k < 3; k++) {
			float sum = g[k][i] + g[6 + k][i];

			t[0][k] = g[k][i];
			t[1][k] = 0.5f * (sum + g[3 + k][i]);
			t[2][k] = 0.5f * (sum - g[3 + k][i]);
			t[3][k] = g[6 + k][i];
		}
		for (int r = 0; r < 4; r++) {
			float sum = t[r][0] + t[r][2];

			u[4 * r][i] = t[r][0];
			u[4 * r + 1][i] = 0.5f * (sum + t[r][1]);
			u[4 * r + 2][i] = 0.5f * (sum - t[r][1]);
			u[4 * r + 3][i] = t[r][2];
		}
	}
}

/* of_out, of_in: steps of w, for the pass's channels; turned: the window's last position first. */
static void pack(const struct pass *p, const float *w, int64_t of_out, int64_t of_in, bool turned, const float *scale, float *packed)
{
	int64_t place = p->in * padded(p->out);
	float g[9][LANES] = {{0}}, u[PLACES][LANES];

	for (int64_t first = 0, width; first < p->out; first += width) {
		int64_t filled;

		width = pare_panel_width(p->out, first);
		filled = least(width, p->out - first);
		for (int64_t lane = filled; lane < width; lane++)
			for (int t = 0; t < 9; t++)
				g[t][lane] = 0;
		for (int64_t i = 0; i < p->in; i++) {
			for (int64_t lane = 0; lane < filled; lane++) {
				const float *from = w + (first + lane) * of_out + i * of_in;
				float factor = scale != NULL ? scale[first + lane] : 1.0f;

				for (int t = 0; t < 9; t++)
					g[t][lane] = from[turned ? 8 - t : t] * factor;
			}
			window_in(g, u);
			for (int f = 0; f < PLACES; f++)
				memcpy(packed + f * place + first * p->in + i * width, u[f], (size_t)width * sizeof **u);
		}
	}
}

void pare_conv_winograd_pack(const struct pare_conv *c, const float *w, const float *scale, float *packed)
{
	struct pass p = forward_pass(c);

	pack(&p, w, c->in_channels * 9, 9, false, scale, packed);
}

void pare_conv_winograd_pack_transposed(const struct pare_conv *c, const float *w, const float *scale, float *packed)
{
	struct pass p = gradient_pass(c);

	pack(&p, w, 9, c->in_channels * 9, true, scale, packed);
}

/* --- tiles */

/* B^T d B of `count` tiles side by side, the first of which has its four rows of four positions at row; place f at v + f apart. */
PARE_MULTIARCH static void source_in(int64_t count, int64_t n, const float *const row[4], int64_t pitch, int64_t apart, float *v)
{
	const float *r0 = row[0], *r1 = row[1], *r2 = row[2], *r3 = row[3];

	for (int64_t i = 0; i < count; i++, r0 += 2 * n, r1 += 2 * n, r2 += 2 * n, r3 += 2 * n, v += pitch) {
		PARE_LANES
		for (int64_t c = 0; c < n; c++) {
			float t[4][4];

			for (int k = 0; k < 4; k++) {
				float d0 = r0[k * n + c], d1 = r1[k * n + c], d2 = r2[k * n + c], d3 = r3[k * n + c];

				t[0][k] = d0 - d2;
				t[1][k] = d1 + d2;
				t[2][k] = d2 - d1;
				t[3][k] = d1 - d3;
			}
			for (int r = 0; r < 4; r++) {
				v[(4 * r) * apart + c] = t[r][0] - t[r][2];
				v[(4 * r + 1) * apart + c] = t[r][1] + t[r][2];
				v[(4 * r + 2) * apart + c] = t[r][2] - t[r][1];
				v[(4 * r + 3) * apart + c] = t[r][1] - t[r][3];
			}
		}
	}
}

/* What is done with a tile's four results, and where those of the first tile go. */
struct results {
	const float *bias;
	const float *add[4]; /* where with_add says so; may be y */
	float lo, hi;
	float *y[4];
};

/* A^T m A of `count` tiles side by side, of place f at m + f apart; then + bias + add, clamped. */
static inline __attribute__((always_inline)) void result_tiles(int64_t count, int64_t n, const float *m, int64_t apart, const struct results *to, const bool with_add)
{
	float *y0 = to->y[0], *y1 = to->y[1], *y2 = to->y[2], *y3 = to->y[3], lo = to->lo, hi = to->hi;
	const float *a0 = to->add[0], *a1 = to->add[1], *a2 = to->add[2], *a3 = to->add[3], *bias = to->bias;

	for (int64_t i = 0; i < count; i++, m += n) {
		PARE_LANES
		for (int64_t c = 0; c < n; c++) {
			float t[2][4], s[4];

			for (int k = 0; k < 4; k++) {
				float m0 = m[k * apart + c], m1 = m[(4 + k) * apart + c], m2 = m[(8 + k) * apart + c], m3 = m[(12 + k) * apart + c];

				t[0][k] = m0 + m1 + m2;
				t[1][k] = m1 - m2 - m3;
			}
			for (int r = 0; r < 2; r++) {
				s[2 * r] = t[r][0] + t[r][1] + t[r][2] + bias[c];
				s[2 * r + 1] = t[r][1] - t[r][2] - t[r][3] + bias[c];
			}
			if (with_add) {
				s[0] += a0[c];
				s[1] += a1[c];
				s[2] += a2[c];
				s[3] += a3[c];
			}
			for (int k = 0; k < 4; k++) {
				s[k] = s[k] < lo ? lo : s[k];
				s[k] = s[k] > hi ? hi : s[k];
			}
			y0[c] = s[0];
			y1[c] = s[1];
			y2[c] = s[2];
			y3[c] = s[3];
		}
		y0 += 2 * n, y1 += 2 * n, y2 += 2 * n, y3 += 2 * n;
		if (with_add)
			a0 += 2 * n, a1 += 2 * n, a2 += 2 * n, a3 += 2 * n;
	}
}

PARE_MULTIARCH static void result_out(int64_t count, int64_t n, const float *m, int64_t apart, const struct results *to)
{
	result_tiles(count, n, m, apart, to, false);
}

PARE_MULTIARCH static void result_out_add(int64_t count, int64_t n, const float *m, int64_t apart, const struct results *to)
{
	result_tiles(count, n, m, apart, to, true);
}

/* A d A^T of four results one behind the other. */
PARE_MULTIARCH static void result_in(int64_t n, const float *d, int64_t apart, float *v)
{
	PARE_LANES
	for (int64_t c = 0; c < n; c++) {
		float t[4][2];

		for (int k = 0; k < 2; k++) {
			float d0 = d[k * n + c], d1 = d[(2 + k) * n + c];

			t[0][k] = d0;
			t[1][k] = d0 + d1;
			t[2][k] = d0 - d1;
			t[3][k] = -d1;
		}
		for (int r = 0; r < 4; r++) {
			v[(4 * r) * apart + c] = t[r][0];
			v[(4 * r + 1) * apart + c] = t[r][0] + t[r][1];
			v[(4 * r + 2) * apart + c] = t[r][0] - t[r][1];
			v[(4 * r + 3) * apart + c] = -t[r][1];
		}
	}
}

/* The tile's four rows of four positions: where they stand, or copied into patch, [4][4][in], with zeros for padding. Returns how many tiles, of
 * the `most_tiles` from this one on, stand side by side like that. */
static int64_t locate(const struct pass *p, int64_t tile, int64_t most_tiles, const float *image, float *patch, const float *row[4])
{
	int64_t y = tile / p->tile_cols * 2 - p->top, x = tile % p->tile_cols * 2 - p->left;
	int64_t lo = least(most(-x, 0), 4), hi = most(least(p->cols - x, 4), lo);
	bool stands = lo == 0 && hi == 4 && y >= 0 && y + 4 <= p->rows;

	for (int64_t r = 0; r < 4; r++) {
		const float *from = image + ((y + r) * p->cols + x) * p->in;
		float *to = patch + r * 4 * p->in;

		row[r] = stands ? from : to;
		if (stands)
			continue;
		memset(to, 0, (size_t)(4 * p->in) * sizeof *to);
		if (y + r >= 0 && y + r < p->rows)
			memcpy(to + lo * p->in, from + lo * p->in, (size_t)((hi - lo) * p->in) * sizeof *to);
	}
	return stands ? least(least(most_tiles, p->tile_cols - tile % p->tile_cols), (p->cols - 4 - x) / 2 + 1) : 1;
}

/* Where result k (0 to 3) of a tile stands in its image; -1 beyond the border. */
static int64_t result_at(const struct pass *p, int64_t tile, int k)
{
	int64_t y = tile / p->tile_cols * 2 + k / 2, x = tile % p->tile_cols * 2 + k % 2;

	return y < p->to_rows && x < p->to_cols ? (y * p->to_cols + x) * p->out : -1;
}

/* How many of the tiles from this one on stand side by side with all their results: 1 where this one has not. */
static int64_t whole_tiles(const struct pass *p, int64_t tile, int64_t most_tiles)
{
	int64_t col = tile % p->tile_cols;

	return result_at(p, tile, 3) < 0 ? 1 : least(most_tiles, p->to_cols / 2 - col);
}

static int64_t block_tiles(const struct pass *p, int64_t n)
{
	return most(least(most(BLOCK_FLOATS / (PLACES * (p->in + p->out)), BLOCK_TILES), p->tiles * n), 1);
}

/* From one tile to the next, where tiles are what is summed over: with channels that fill a power of two of lines, their columns would meet in few lines of
 * the first cache. */
static int64_t pitch_of(int64_t channels)
{
	return channels % 128 == 0 ? channels + 16 : channels;
}

/* From one place to the next: a line more than the tiles take, or all places would meet in the same lines of the first cache. */
static int64_t apart_of(int64_t tiles, int64_t channels)
{
	return tiles * channels + 16;
}

static int64_t pass_scratch(const struct pass *p, int64_t n)
{
	int64_t tiles = block_tiles(p, n);

	return PLACES * (apart_of(tiles, pitch_of(p->in)) + apart_of(tiles, pitch_of(p->out)) + p->in) + 4 * p->out; /* a patch, four results */
}

size_t pare_conv_winograd_scratch(const struct pare_conv *c, int64_t n)
{
	struct pass forward = forward_pass(c), back = gradient_pass(c);

	return (size_t)(most(pass_scratch(&forward, n), pass_scratch(&back, n)) + PLACES * c->in_channels * c->out_channels);
}

/* Tiles [first, first + count), counted through the images. */
static void enter(const struct pass *p, int64_t first, int64_t count, const float *x, float *patch, int64_t pitch, int64_t apart, float *v)
{
	for (int64_t i = 0, k; i < count; i += k) {
		const float *row[4];

		k = locate(p, (first + i) % p->tiles, count - i, x + (first + i) / p->tiles * p->rows * p->cols * p->in, patch, row);
		source_in(k, p->in, row, pitch, apart, v + i * pitch);
	}
}

/* spare: 2 rows of channels: zeros, and where results beyond the border go. */
static void leave(const struct pass *p, int64_t first, int64_t count, const float *m, int64_t apart, const struct pare_conv_finish *f, float *spare, float *y)
{
	struct results to = {.bias = f->bias != NULL ? f->bias : spare, .lo = f->clamp ? f->lo : -INFINITY, .hi = f->clamp ? f->hi : INFINITY};

	for (int64_t i = 0, k; i < count; i += k) {
		int64_t tile = (first + i) % p->tiles, image = (first + i) / p->tiles * p->to_rows * p->to_cols * p->out;

		k = whole_tiles(p, tile, count - i);
		for (int r = 0; r < 4; r++) {
			int64_t at = result_at(p, tile, r);

			to.y[r] = at >= 0 ? y + image + at : spare + p->out;
			to.add[r] = at >= 0 && f->add != NULL ? f->add + image + at : spare;
		}
		(f->add != NULL ? result_out_add : result_out)(k, p->out, m + i * p->out, apart, &to);
	}
}

static void run(const struct pass *p, int64_t n, const float *x, const float *packed, bool acc, const struct pare_conv_finish *finish, float *y, float *scratch)
{
	int64_t block = block_tiles(p, n), v_apart = apart_of(block, p->in), m_apart = apart_of(block, p->out), all = n * p->tiles;
	int64_t blocks = (all + block - 1) / block;
	float *v = scratch, *m = v + PLACES * v_apart, *patch = m + PLACES * m_apart, *spare = patch + PLACES * p->in;
	struct pare_conv_finish f = finish != NULL ? *finish : (struct pare_conv_finish){0};

	memset(spare, 0, (size_t)p->out * sizeof *spare);
	for (int64_t i = 0; acc && f.add != NULL && i < n * p->to_rows * p->to_cols * p->out; i++)
		y[i] += f.add[i];
	f.add = acc ? y : f.add;
	for (int64_t b = 0, first = 0, end; b < blocks; b++, first = end) {
		end = all * (b + 1) / blocks;
		enter(p, first, end - first, x, patch, p->in, v_apart, v);
		for (int i = 0; i < PLACES; i++)
			pare_packed_mul(end - first, p->out, p->in, v + i * v_apart, p->in, packed + i * p->in * padded(p->out), NULL, m + i * m_apart, p->out, false);
		leave(p, first, end - first, m, m_apart, &f, spare, y);
	}
}

void pare_conv_winograd_forward(const struct pare_conv *c, int64_t n, const float *x, const float *packed, bool acc, const struct pare_conv_finish *finish,
    float *y, float *scratch)
{
	struct pass p = forward_pass(c);

	run(&p, n, x, packed, acc, finish, y, scratch);
}

void pare_conv_winograd_grad_input(const struct pare_conv *c, int64_t n, const float *packed, const float *dy, bool acc,
    const struct pare_conv_finish *finish, float *dx, float *scratch)
{
	struct pass p = gradient_pass(c);

	run(&p, n, dy, packed, acc, finish, dx, scratch);
}

/* --- the gradient of the weights */

static void enter_results(const struct pass *p, int64_t first, int64_t count, const float *dy, float *four, int64_t pitch, int64_t apart, float *v)
{
	for (int64_t i = 0; i < count; i++) {
		const float *image = dy + (first + i) / p->tiles * p->to_rows * p->to_cols * p->out;

		for (int k = 0; k < 4; k++) {
			int64_t at = result_at(p, (first + i) % p->tiles, k);

			if (at >= 0)
				memcpy(four + k * p->out, image + at, (size_t)p->out * sizeof *four);
			else
				memset(four + k * p->out, 0, (size_t)p->out * sizeof *four);
		}
		result_in(p->out, four, apart, v + i * pitch);
	}
}

/* G^T u G of LANES windows side by side. */
PARE_MULTIARCH static void window_out(const float u[PLACES][LANES], float g[9][LANES])
{
	PARE_LANES
	for (int i = 0; i < LANES; i++) {
		float t[3][4];

		for (int k = 0; k < 4; k++) {
			float sum = 0.5f * (u[4 + k][i] + u[8 + k][i]);

			t[0][k] = u[k][i] + sum;
			t[1][k] = 0.5f * (u[4 + k][i] - u[8 + k][i]);
			t[2][k] = sum + u[12 + k][i];
		}
		for (int r = 0; r < 3; r++) {
			float sum = 0.5f * (t[r][1] + t[r][2]);

			g[3 * r][i] = t[r][0] + sum;
			g[3 * r + 1][i] = 0.5f * (t[r][1] - t[r][2]);
			g[3 * r + 2][i] = sum + t[r][3];
		}
	}
}

/* sums[place][in][out] to dw[out][in][3][3]. */
static void unpack(const struct pass *p, const float *sums, bool acc, float *dw)
{
	float u[PLACES][LANES] = {{0}}, g[9][LANES];

	for (int64_t first = 0; first < p->out; first += LANES)
		for (int64_t i = 0; i < p->in; i++) {
			int64_t n = least(LANES, p->out - first);

			for (int f = 0; f < PLACES; f++)
				memcpy(u[f], sums + (f * p->in + i) * p->out + first, (size_t)n * sizeof **u);
			window_out(u, g);
			for (int64_t lane = 0; lane < n; lane++) {
				float *to = dw + ((first + lane) * p->in + i) * 9;

				for (int t = 0; t < 9; t++)
					to[t] = acc ? to[t] + g[t][lane] : g[t][lane];
			}
		}
}

void pare_conv_winograd_grad_weight(const struct pare_conv *c, int64_t n, const float *x, const float *dy, bool acc, float *dw, float *scratch)
{
	struct pass p = forward_pass(c);
	int64_t in = pitch_of(p.in), out = pitch_of(p.out), block = block_tiles(&p, n), x_apart = apart_of(block, in), dy_apart = apart_of(block, out), all = n * p.tiles;
	int64_t blocks = (all + block - 1) / block, place = p.in * p.out;
	float *v = scratch, *d = v + PLACES * x_apart, *patch = d + PLACES * dy_apart, *four = patch + PLACES * p.in, *sums = four + 4 * p.out;

	for (int64_t b = 0, first = 0, end; b < blocks; b++, first = end) {
		end = all * (b + 1) / blocks;
		enter(&p, first, end - first, x, patch, in, x_apart, v);
		enter_results(&p, first, end - first, dy, four, out, dy_apart, d);
		for (int f = 0; f < PLACES; f++)
			pare_gemm_part(true, false, p.in, p.out, end - first, 1.0f, v + f * x_apart, in, d + f * dy_apart, out, b > 0 ? 1.0f : 0.0f, sums + f * place, p.out);
	}
	if (all == 0)
		memset(sums, 0, (size_t)(PLACES * place) * sizeof *sums);
	unpack(&p, sums, acc, dw);
}
