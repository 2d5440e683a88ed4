/* Pooling with the channels last: a window's elements of one channel lie apart, those of one position together, so every
 * step works on a row of channels. The places of a window are worked out once per position (once for all images where there
 * is only one window, as in global pools); channels go in blocks whose maxima and sums stay in registers meanwhile. */
#include "core/ops/kernels/pool_last.h"

#include <math.h>
#include <string.h>

#include "core/base/multiarch.h"
#include "core/ops/kernels/conv_tile.h"

#define BLOCK 16
#define MOST 64 /* window positions at a time */

struct places {
	int64_t n, next; /* next: the first window position that is not among them, of all */
	int64_t at[MOST]; /* offsets in an image */
	float tap[MOST];
	bool first; /* of the window */
};

/* What one pool works on; each function takes what it needs. */
struct pooling {
	int64_t channels;
	const float *x, *dy, *weight;
	float *y, *dx;
	float *at;
	bool write; /* dx: nothing stands there yet, and no other window comes */
};
typedef void (*pool_fn)(const struct pooling *p, const struct places *s, int64_t x_at, int64_t y_at, int64_t o);

/* Where the window of output o, from its position s->next on, meets the input. */
static void find_places(const struct pare_window *w, int64_t o, int64_t channels, struct places *s)
{
	int64_t x = o % w->out[2], y = o / w->out[2] % w->out[1], z = o / (w->out[1] * w->out[2]), tap = 0, first = s->next;

	s->first = first == 0 || (s->first && s->n == 0);
	s->n = 0;
	for (int64_t i = 0; i < w->kernel[0]; i++)
		for (int64_t j = 0; j < w->kernel[1]; j++)
			for (int64_t k = 0; k < w->kernel[2]; k++, tap++) {
				int64_t a = pare_window_at(w, 0, z, i), b = pare_window_at(w, 1, y, j), c = pare_window_at(w, 2, x, k);

				if (tap < first || s->n == MOST)
					continue;
				s->next = tap + 1;
				if (a < 0 || b < 0 || c < 0)
					continue;
				s->at[s->n] = ((a * w->in[1] + b) * w->in[2] + c) * channels;
				s->tap[s->n++] = (float)tap;
			}
}

static void walk(const struct pare_window *w, int64_t images, const struct pooling *p, pool_fn fn)
{
	int64_t in = pare_window_product(w->in) * p->channels, out = pare_window_product(w->out), all = pare_window_product(w->kernel);
	struct places s = {.n = 0};

	for (s.next = 0; out == 1 && s.next < all;) {
		find_places(w, 0, p->channels, &s);
		for (int64_t i = 0; i < images && s.n > 0; i++)
			fn(p, &s, i * in, i * p->channels, 0);
	}
	for (int64_t i = 0; out > 1 && i < images * out; i++)
		for (s.next = 0; s.next < all;) {
			find_places(w, i % out, p->channels, &s);
			if (s.n > 0)
				fn(p, &s, i / out * in, i * p->channels, i % out);
		}
}

static void max_places(const struct pooling *p, const struct places *s, int64_t x_at, int64_t y_at, int64_t o)
{
	const struct pare_window_places places = {.n = s->n, .off = s->at, .tap = s->tap, .first = s->first};

	(void)o;
	pare_tile()->max(&places, p->channels, p->x + x_at, p->y + y_at, p->at != NULL ? p->at + y_at : NULL);
}

void pare_pool_last_max(const struct pare_window *w, int64_t images, int64_t channels, const float *x, float *y, float *at)
{
	const struct pooling p = {.channels = channels, .x = x, .y = y, .at = at};
	int64_t n = images * channels * pare_window_product(w->out);

	for (int64_t i = 0; i < n; i++) {
		y[i] = -INFINITY;
		if (at != NULL)
			at[i] = -1;
	}
	walk(w, images, &p, max_places);
}

/* Windows side by side that fill the input: every element of dx belongs to one of them. */
static bool is_tiled(const struct pare_window *w)
{
	for (int i = 0; i < PARE_WINDOW_AXES; i++)
		if (w->kernel[i] != w->stride[i] || w->pad[i] != 0 || w->dilation[i] != 1 || w->out[i] * w->stride[i] != w->in[i])
			return false;
	return true;
}

PARE_MULTIARCH static void max_grad_places(const struct pooling *p, const struct places *s, int64_t x_at, int64_t y_at, int64_t o)
{
	const float *at = p->at + y_at;
	const float *dy = p->dy + y_at;

	(void)o;
	for (int64_t t = 0; t < s->n; t++) {
		float *to = p->dx + x_at + s->at[t], tap = s->tap[t];

		if (p->write)
			for (int64_t c = 0; c < p->channels; c++)
				to[c] = at[c] == tap ? dy[c] : 0.0f;
		else
			for (int64_t c = 0; c < p->channels; c++)
				to[c] += at[c] == tap ? dy[c] : 0.0f;
	}
}

static void start_grad(const struct pare_window *w, int64_t images, const struct pooling *p, bool acc)
{
	if (!acc && !p->write)
		memset(p->dx, 0, (size_t)(images * pare_window_product(w->in) * p->channels) * sizeof *p->dx);
}

void pare_pool_last_max_grad(const struct pare_window *w, int64_t images, int64_t channels, float *at, const float *dy, bool acc, float *dx)
{
	const struct pooling p = {.channels = channels, .at = at, .dy = dy, .dx = dx, .write = !acc && is_tiled(w)};

	start_grad(w, images, &p, acc);
	walk(w, images, &p, max_grad_places);
}

static inline void sum_block(int64_t n, const struct places *s, const float *x, float weight, float *y)
{
	float sum[BLOCK] = {0};

	for (int64_t t = 0; t < s->n; t++)
		for (int64_t c = 0; c < n; c++)
			sum[c] += x[s->at[t] + c];
	for (int64_t c = 0; c < n; c++)
		y[c] += weight * sum[c];
}

PARE_MULTIARCH static void sum_places(const struct pooling *p, const struct places *s, int64_t x_at, int64_t y_at, int64_t o)
{
	int64_t c = 0;

	for (; c + BLOCK <= p->channels; c += BLOCK)
		sum_block(BLOCK, s, p->x + x_at + c, p->weight[o], p->y + y_at + c);
	if (c < p->channels)
		sum_block(p->channels - c, s, p->x + x_at + c, p->weight[o], p->y + y_at + c);
}

void pare_pool_last_sum(const struct pare_window *w, int64_t images, int64_t channels, const float *x, const float *weight, float *y)
{
	const struct pooling p = {.channels = channels, .x = x, .weight = weight, .y = y};

	memset(y, 0, (size_t)(images * channels * pare_window_product(w->out)) * sizeof *y);
	walk(w, images, &p, sum_places);
}

PARE_MULTIARCH static void spread_places(const struct pooling *p, const struct places *s, int64_t x_at, int64_t y_at, int64_t o)
{
	const float *dy = p->dy + y_at;
	float by = p->weight[o];

	for (int64_t t = 0; t < s->n; t++) {
		float *to = p->dx + x_at + s->at[t];

		if (p->write)
			for (int64_t c = 0; c < p->channels; c++)
				to[c] = by * dy[c];
		else
			for (int64_t c = 0; c < p->channels; c++)
				to[c] += by * dy[c];
	}
}

void pare_pool_last_sum_grad(const struct pare_window *w, int64_t images, int64_t channels, const float *dy, const float *weight, bool acc, float *dx)
{
	const struct pooling p = {.channels = channels, .dy = dy, .weight = weight, .dx = dx, .write = !acc && is_tiled(w)};

	start_grad(w, images, &p, acc);
	walk(w, images, &p, spread_places);
}
