/* Convolution by its definition: one sum in double per result, nothing clever. Slow and plain on purpose; the fast
 * kernels are tested against it.
 *
 *   y[b, m, o]  = sum over c, t   x[b, g(m) C + c, i(o, t)] w[m, c, t]
 *   dx[b, c, i] = sum over m, o, t with i(o, t) = i   dy[b, m, o] w[m, c, t]
 *   dw[m, c, t] = sum over b, o   dy[b, m, o] x[b, g(m) C + c, i(o, t)]
 *
 * i(o, t) = o stride + t dilation - pad; what falls outside is 0; C channels per group, g(m) the group of m. */
#include "core/ops/kernels/conv.h"

/* Index into an input image of output o and tap t, -1 for padding. */
static int64_t meet(const struct pare_window *w, int64_t o, int64_t t)
{
	int64_t tap[PARE_WINDOW_AXES], line, x;

	pare_window_tap(w, t, tap);
	line = pare_window_line(w, o / w->out[2], tap);
	x = pare_window_at(w, 2, o % w->out[2], tap[2]);
	return line < 0 || x < 0 ? -1 : line + x;
}

struct sizes {
	int64_t in, out, taps, cg, mg; /* per image and channel; kernel elements; channels per group */
};

static struct sizes sizes_of(const struct pare_conv *c)
{
	return (struct sizes){.in = pare_window_product(c->w.in), .out = pare_window_product(c->w.out), .taps = pare_window_product(c->w.kernel),
	    .cg = c->in_channels / c->groups, .mg = c->out_channels / c->groups};
}

void pare_conv_forward_ref(const struct pare_conv *c, int64_t n, const float *x, const float *w, float *y)
{
	struct sizes s = sizes_of(c);

	for (int64_t i = 0; i < n * c->out_channels * s.out; i++) {
		int64_t o = i % s.out, m = i / s.out % c->out_channels, b = i / s.out / c->out_channels;
		double sum = 0;

		for (int64_t k = 0; k < s.cg * s.taps; k++) {
			int64_t at = meet(&c->w, o, k % s.taps), ch = m / s.mg * s.cg + k / s.taps;

			if (at >= 0)
				sum += (double)x[(b * c->in_channels + ch) * s.in + at] * (double)w[m * s.cg * s.taps + k];
		}
		y[i] = (float)sum;
	}
}

void pare_conv_grad_weight_ref(const struct pare_conv *c, int64_t n, const float *x, const float *dy, float *dw)
{
	struct sizes s = sizes_of(c);

	for (int64_t i = 0; i < c->out_channels * s.cg * s.taps; i++) {
		int64_t k = i % (s.cg * s.taps), m = i / (s.cg * s.taps), ch = m / s.mg * s.cg + k / s.taps;
		double sum = 0;

		for (int64_t j = 0; j < n * s.out; j++) {
			int64_t o = j % s.out, b = j / s.out, at = meet(&c->w, o, k % s.taps);

			if (at >= 0)
				sum += (double)x[(b * c->in_channels + ch) * s.in + at] * (double)dy[(b * c->out_channels + m) * s.out + o];
		}
		dw[i] = (float)sum;
	}
}

/* The other way round: the output that meets input `at` at tap t, -1 if none does. */
static int64_t met_by(const struct pare_window *w, int64_t at, int64_t t)
{
	int64_t tap[PARE_WINDOW_AXES], i[PARE_WINDOW_AXES] = {at / (w->in[1] * w->in[2]), at / w->in[2] % w->in[1], at % w->in[2]}, o = 0;

	pare_window_tap(w, t, tap);
	for (int k = 0; k < PARE_WINDOW_AXES; k++) {
		int64_t v = i[k] + w->pad[k] - tap[k] * w->dilation[k];

		if (v < 0 || v % w->stride[k] != 0 || v / w->stride[k] >= w->out[k])
			return -1;
		o = o * w->out[k] + v / w->stride[k];
	}
	return o;
}

/* One element of dx: every tap that some output reads it with. */
static double input_sum(const struct pare_conv *c, const struct sizes *s, const float *w, const float *dy, int64_t ch, int64_t at)
{
	int64_t first = ch / s->cg * s->mg;
	double sum = 0;

	for (int64_t t = 0; t < s->taps; t++) {
		int64_t o = met_by(&c->w, at, t);

		for (int64_t m = first; o >= 0 && m < first + s->mg; m++)
			sum += (double)dy[m * s->out + o] * (double)w[(m * s->cg + ch % s->cg) * s->taps + t];
	}
	return sum;
}

void pare_conv_grad_input_ref(const struct pare_conv *c, int64_t n, const float *w, const float *dy, float *dx)
{
	struct sizes s = sizes_of(c);

	for (int64_t i = 0; i < n * c->in_channels * s.in; i++) {
		int64_t at = i % s.in, ch = i / s.in % c->in_channels, b = i / s.in / c->in_channels;

		dx[i] = (float)input_sum(c, &s, w, dy + b * c->out_channels * s.out, ch, at);
	}
}
