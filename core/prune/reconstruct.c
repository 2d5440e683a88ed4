/* Conjugate gradients on many supports at once. Each output has its own support and therefore its own system, but all of them are
 * principal submatrices of one G. So the directions of all outputs are the rows of one matrix P with zeros outside the
 * supports, and P G is one BLAS product; what falls outside the support is thrown away. For a layer of 300 x 784 an
 * iteration is 0.2 GFLOP, and some dozens are enough; solving each output's system by Cholesky would be 300 times n^3 / 3.
 *
 * Scalars of the iteration (step lengths, residuals) are in double, vectors in float: the data are float, and the answer is the
 * minimum of a convex function, so rounding costs iterations and not correctness. */
#include "core/prune/reconstruct.h"

#include <math.h>
#include <string.h>

#include "core/base/mem.h"
#include "core/base/num.h"
#include "core/ops/kernels/gemm.h"

struct solver {
	const struct pare_refit *p;
	size_t n, m; /* inputs, outputs */
	float shift; /* lambda in gram's units */
	float *inverse; /* [n]: of the damped diagonal */
	float *r, *dir, *prod; /* [m, n] */
	double *rz, *stop;     /* [m]: r . z; the squared residual at which the output rests */
};

static enum pare_code check(const struct pare_refit *p, struct pare_err *err)
{
	size_t n = (size_t)p->n_in;
	double sum = 0;

	for (size_t i = 0; i < n * n; i++)
		sum += fabs((double)p->gram[i]);
	for (size_t i = 0; i < n * (size_t)p->n_out; i++)
		sum += fabs((double)p->rhs[i]);
	return isfinite(sum) ? PARE_OK : pare_err_set(err, PARE_E_NONFINITE, NULL, "the layer's inputs or outputs hold NaN or infinity");
}

static enum pare_code solver_init(struct solver *s, const struct pare_refit *p, struct pare_err *err)
{
	size_t n = (size_t)p->n_in, m = (size_t)p->n_out, floats, bytes;
	double mean = 0;

	*s = (struct solver){.p = p, .n = n, .m = m};
	if (!pare_mul_size(n, m, &floats) || !pare_mul_size(3 * sizeof(float), floats, &bytes))
		return pare_err_nomem(err, 0);
	s->inverse = pare_calloc(n + 1, sizeof *s->inverse);
	s->r = pare_calloc(3 * floats + 1, sizeof *s->r);
	s->rz = pare_calloc(2 * m + 1, sizeof *s->rz);
	if (s->inverse == NULL || s->r == NULL || s->rz == NULL)
		return pare_err_nomem(err, bytes);
	s->dir = s->r + floats;
	s->prod = s->dir + floats;
	s->stop = s->rz + m;
	for (size_t i = 0; i < n; i++)
		mean += (double)p->gram[i * n + i] / (double)n;
	s->shift = (float)(p->lambda * mean);
	for (size_t i = 0; i < n; i++) {
		float d = p->gram[i * n + i] + s->shift;

		s->inverse[i] = d > 0.0f ? 1.0f / d : 0.0f; /* an input that is always 0: its weight does not matter */
	}
	return PARE_OK;
}

static void solver_done(struct solver *s)
{
	pare_free(s->inverse);
	pare_free(s->r);
	pare_free(s->rz);
}

/* prod = (of G + shift I), row by row, on the supports. */
static void multiply(const struct solver *s, const float *of)
{
	pare_gemm(false, false, (int64_t)s->m, (int64_t)s->n, (int64_t)s->n, 1.0f, of, s->p->gram, 0.0f, s->prod);
	for (size_t i = 0; i < s->m * s->n; i++)
		s->prod[i] = s->p->keep[i] != 0 ? s->prod[i] + s->shift * of[i] : 0.0f;
}

static double dot(const float *a, const float *b, size_t n)
{
	double sum = 0;

	for (size_t i = 0; i < n; i++)
		sum += (double)a[i] * (double)b[i];
	return sum;
}

static double preconditioned(const struct solver *s, size_t o)
{
	const float *r = s->r + o * s->n;
	double sum = 0;

	for (size_t i = 0; i < s->n; i++)
		sum += (double)r[i] * (double)r[i] * (double)s->inverse[i];
	return sum;
}

/* First residuals and directions. */
static void start(struct solver *s)
{
	const struct pare_refit *p = s->p;

	for (size_t i = 0; i < s->m * s->n; i++)
		p->w[i] = p->keep[i] != 0 ? p->w[i] : 0.0f;
	multiply(s, p->w);
	for (size_t o = 0; o < s->m; o++) {
		float *r = s->r + o * s->n;
		double right = 0;

		for (size_t i = 0; i < s->n; i++) {
			size_t k = o * s->n + i;

			r[i] = p->keep[k] != 0 ? p->rhs[k] - s->prod[k] : 0.0f;
			right += p->keep[k] != 0 ? (double)p->rhs[k] * (double)p->rhs[k] : 0;
			s->dir[k] = r[i] * s->inverse[i];
		}
		s->rz[o] = preconditioned(s, o);
		s->stop[o] = p->tolerance * p->tolerance * right;
	}
}

static void advance(struct solver *s, size_t o)
{
	float *r = s->r + o * s->n, *dir = s->dir + o * s->n, *w = s->p->w + o * s->n;
	const float *prod = s->prod + o * s->n;
	double curvature = dot(dir, prod, s->n), step, rz, beta;

	if (!(curvature > 0)) { /* nothing is left to gain along any direction */
		s->rz[o] = 0;
		memset(dir, 0, s->n * sizeof *dir);
		return;
	}
	step = s->rz[o] / curvature;
	for (size_t i = 0; i < s->n; i++) {
		w[i] += (float)(step * (double)dir[i]);
		r[i] -= (float)(step * (double)prod[i]);
	}
	rz = preconditioned(s, o);
	beta = rz / s->rz[o];
	s->rz[o] = dot(r, r, s->n) > s->stop[o] ? rz : 0;
	for (size_t i = 0; i < s->n; i++)
		dir[i] = s->rz[o] > 0 ? r[i] * s->inverse[i] + (float)beta * dir[i] : 0.0f;
}

static double worst(const struct solver *s)
{
	double most = 0;

	for (size_t o = 0; o < s->m; o++) {
		const float *r = s->r + o * s->n;
		double right = 0;

		for (size_t i = 0; i < s->n; i++)
			right += s->p->keep[o * s->n + i] != 0 ? (double)s->p->rhs[o * s->n + i] * (double)s->p->rhs[o * s->n + i] : 0;
		if (right > 0)
			most = fmax(most, sqrt(dot(r, r, s->n) / right));
	}
	return most;
}

enum pare_code pare_reconstruct(const struct pare_refit *p, struct pare_refit_result *out, struct pare_err *err)
{
	struct solver s = {.p = NULL};
	enum pare_code code = check(p, err);
	bool going = true;
	int k = 0;

	if (code == PARE_OK)
		code = solver_init(&s, p, err);
	if (code == PARE_OK) {
		start(&s);
		for (k = 0; k < p->max_iterations && going; k++) {
			going = false;
			multiply(&s, s.dir);
			for (size_t o = 0; o < s.m; o++)
				if (s.rz[o] > 0) {
					advance(&s, o);
					going |= s.rz[o] > 0;
				}
		}
		*out = (struct pare_refit_result){.iterations = k, .residual = worst(&s)};
	}
	solver_done(&s);
	return code;
}

/* a = L L^T in place (lower), column by column. */
static bool cholesky(size_t n, double *a)
{
	for (size_t j = 0; j < n; j++) {
		double *row = a + j * n, d = row[j];

		for (size_t k = 0; k < j; k++)
			d -= row[k] * row[k];
		if (!(d > 0))
			return false;
		row[j] = sqrt(d);
		for (size_t i = j + 1; i < n; i++) {
			double *below = a + i * n, v = below[j];

			for (size_t k = 0; k < j; k++)
				v -= below[k] * row[k];
			below[j] = v / row[j];
		}
	}
	return true;
}

/* The diagonal of (L L^T)^-1 is the sum of squares of each column of L^-1, solved one at a time into x. */
static void inverse_of(size_t n, const double *l, double *x, float *out)
{
	for (size_t j = 0; j < n; j++) {
		double sum = 0;

		for (size_t i = j; i < n; i++) {
			double v = i == j ? 1 : 0;

			for (size_t k = j; k < i; k++)
				v -= l[i * n + k] * x[k];
			x[i] = v / l[i * n + i];
			sum += x[i] * x[i];
		}
		out[j] = (float)sum;
	}
}

enum pare_code pare_inverse_diagonal(int64_t n, const float *gram, double damping, float *out, struct pare_err *err)
{
	size_t k = (size_t)n, elems;
	double *a, mean = 0;
	enum pare_code code = PARE_OK;

	if (!pare_mul_size(k + 1, k, &elems))
		return pare_err_nomem(err, 0);
	a = pare_calloc(elems + 1, sizeof *a);
	if (a == NULL)
		return pare_err_nomem(err, elems * sizeof *a);
	for (size_t i = 0; i < k; i++)
		mean += (double)gram[i * k + i] / (double)k;
	for (size_t i = 0; i < k * k; i++)
		a[i] = (double)gram[i];
	for (size_t i = 0; i < k; i++)
		a[i * k + i] += mean > 0 ? damping * mean : 1;
	if (cholesky(k, a))
		inverse_of(k, a, a + k * k, out);
	else
		code = pare_err_set(err, PARE_E_NONFINITE, NULL, "the second moments of the layer's inputs are not positive definite: raise the damping (now %g)", damping);
	pare_free(a);
	return code;
}
