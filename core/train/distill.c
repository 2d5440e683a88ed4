/* By row, with logits z of the student and u of the teacher over one set of classes, at temperature T:
 *
 *   kl    T^2 sum p (log p - log q),  p = softmax(u / T), q = softmax(z / T)      gradient T (q - p)
 *   bce   outputs behind a Sigmoid: binary cross entropy with the teacher's as labels; T has no part in it
 *   mse   the mean of (z - u)^2 over the row
 *
 * T^2 keeps the gradient's size as T grows, so that alpha means the same at every temperature. Logits are what the net gives; of
 * probabilities their logarithm, which is a logit up to a constant that softmax takes out.
 *
 * Inner tensors are outputs of both nets in memory (pare_model_watch): the planner then keeps them, and gives their gradient a place,
 * as for any output. */
#include "core/train/distill.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#define PROB_MIN 1e-12f

struct shape {
	int n;
	int64_t d[PARE_MAX_DIMS];
	size_t elems; /* of a row */
	char text[160];
};

static struct shape shape_of(const struct pare_net *net, bool input, int i)
{
	struct shape s = {.n = 0};
	size_t used = 0;

	s.elems = input ? pare_net_input_shape(net, i, &s.n, s.d) : pare_net_output_shape(net, i, &s.n, s.d);
	for (int k = 0; k < s.n && used < sizeof s.text; k++)
		if (s.d[k] == PARE_DIM_UNKNOWN)
			used += (size_t)snprintf(s.text + used, sizeof s.text - used, "%sN", k > 0 ? ", " : "");
		else
			used += (size_t)snprintf(s.text + used, sizeof s.text - used, "%s%lld", k > 0 ? ", " : "", (long long)s.d[k]);
	return s;
}

static bool batch_first(const struct shape *s)
{
	return s->n > 0 && s->d[0] == PARE_DIM_UNKNOWN;
}

static enum pare_code pair_inputs(const struct pare_net *student, struct pare_distill *d, struct pare_err *err)
{
	int n = pare_net_n_inputs(d->teacher);

	if (n > PARE_DATA_FIELDS || n > pare_net_n_inputs(student))
		return pare_err_set(err, PARE_E_SHAPE, NULL, "the teacher has %d inputs, the student %d", n, pare_net_n_inputs(student));
	for (int i = 0; i < n; i++) {
		struct shape ours, theirs = shape_of(d->teacher, true, i);

		d->inputs[i] = i;
		for (int k = 0; k < pare_net_n_inputs(student); k++)
			if (strcmp(pare_net_input_name(student, k), pare_net_input_name(d->teacher, i)) == 0)
				d->inputs[i] = k;
		ours = shape_of(student, true, d->inputs[i]);
		if (ours.elems != theirs.elems || !batch_first(&ours) || !batch_first(&theirs))
			return pare_err_set(err, PARE_E_SHAPE, NULL, "the teacher's input \"%s\" has shape [%s], the student's [%s]",
			    pare_net_input_name(d->teacher, i), theirs.text, ours.text);
	}
	return PARE_OK;
}

static const struct pare_fit_output *labels_of(const struct pare_fit *fit, int output)
{
	for (int i = 0; i < fit->n_outputs; i++)
		if (fit->outputs[i].output == output)
			return &fit->outputs[i];
	return NULL;
}

static enum pare_code add_term(const struct pare_net *student, struct pare_distill *d, struct pare_distill_term t, struct pare_err *err)
{
	struct shape ours = shape_of(student, false, t.student), theirs = shape_of(d->teacher, false, t.teacher);

	if (ours.elems != theirs.elems || !batch_first(&ours) || !batch_first(&theirs))
		return pare_err_set(err, PARE_E_SHAPE, NULL, "\"%s\" of the student has shape [%s], \"%s\" of the teacher [%s]",
		    pare_net_output_name(student, t.student), ours.text, pare_net_output_name(d->teacher, t.teacher), theirs.text);
	if (pare_net_output_dtype(student, t.student) != PARE_DT_FLOAT || pare_net_output_dtype(d->teacher, t.teacher) != PARE_DT_FLOAT)
		return pare_err_set(err, PARE_E_INVALID, NULL, "\"%s\" is not of floats: it cannot be trained", pare_net_output_name(student, t.student));
	if (d->n_terms == PARE_DISTILL_TERMS)
		return pare_err_set(err, PARE_E_LIMIT, NULL, "more than %d outputs and tensors to distill", PARE_DISTILL_TERMS);
	d->terms[d->n_terms++] = t;
	return PARE_OK;
}

/* How the teacher's word on an output is taken: over the classes that labels say there are, else over the last axis. */
static enum pare_code add_output(const struct pare_net *student, struct pare_distill *d, const struct pare_fit *fit, bool mse, int i, int j, struct pare_err *err)
{
	const struct pare_fit_output *o = labels_of(fit, i);
	struct shape s = shape_of(student, false, i);
	struct pare_distill_term t = {.kind = mse ? PARE_DISTILL_MSE : PARE_DISTILL_KL, .student = i, .teacher = j, .labelled = o != NULL,
	    .width = s.n > 0 ? s.d[s.n - 1] : 1};

	t.student_kind = o != NULL ? o->kind : pare_net_output_kind(student, i);
	t.teacher_kind = pare_net_output_kind(d->teacher, j);
	if (o != NULL) {
		t.width = o->width;
		t.turned = o->turned;
	}
	t.positions = t.width > 0 ? (int64_t)s.elems / t.width : 0;
	if (mse || t.width < 1)
		return add_term(student, d, t, err);
	if (t.student_kind == PARE_OUTPUT_SIGMOID && t.teacher_kind == PARE_OUTPUT_SIGMOID)
		t.kind = PARE_DISTILL_BCE;
	else if (t.width < 2 || (o != NULL && !pare_fit_by_class(o)))
		return pare_err_set(err, PARE_E_INVALID, NULL, "kl compares classes, output \"%s\" has none: use mse", pare_net_output_name(student, i));
	return add_term(student, d, t, err);
}

static enum pare_code add_outputs(const struct pare_net *student, struct pare_distill *d, const struct pare_fit *fit, bool mse, struct pare_err *err)
{
	enum pare_code code = PARE_OK;

	for (int i = 0; i < pare_net_n_outputs(student) && code == PARE_OK; i++) {
		struct shape s = shape_of(student, false, i);
		int j = -1;

		for (int k = 0; k < pare_net_n_outputs(d->teacher); k++)
			if (strcmp(pare_net_output_name(d->teacher, k), pare_net_output_name(student, i)) == 0)
				j = k;
		if (j < 0 && i < pare_net_n_outputs(d->teacher))
			j = i;
		if (j >= 0 && pare_net_output_dtype(student, i) == PARE_DT_FLOAT && batch_first(&s))
			code = add_output(student, d, fit, mse, i, j, err);
	}
	return code;
}

static enum pare_code add_tensors(const struct pare_net *student, struct pare_distill *d, const struct pare_distill_options *opt, struct pare_err *err)
{
	enum pare_code code = PARE_OK;

	for (int i = 0; i < opt->n_tensors && code == PARE_OK; i++) {
		const struct pare_distill_pair *p = &opt->tensors[i];
		struct pare_distill_term t = {.kind = PARE_DISTILL_MSE, .student = pare_net_find_output(student, p->student),
		    .teacher = pare_net_find_output(d->teacher, p->teacher), .width = 1};

		if (t.student < 0 || t.teacher < 0)
			return pare_err_set(err, PARE_E_INVALID, NULL, "the %s has no tensor \"%s\"", t.student < 0 ? "student" : "teacher", t.student < 0 ? p->student : p->teacher);
		t.positions = (int64_t)shape_of(student, false, t.student).elems;
		for (int k = 0; k < d->n_terms; k++)
			t.labelled |= d->terms[k].student == t.student;
		code = add_term(student, d, t, err);
	}
	return code;
}

enum pare_code pare_distill_make(const struct pare_net *student, struct pare_net *teacher, const struct pare_fit *fit, const struct pare_distill_options *opt,
    struct pare_distill *out, struct pare_err *err)
{
	enum pare_code code;

	*out = (struct pare_distill){.teacher = teacher, .temperature = opt->temperature, .alpha = fit->n_outputs > 0 ? opt->alpha : 1};
	if (pare_net_n_shards(student) != pare_net_n_shards(teacher))
		return pare_err_set(err, PARE_E_INVALID, NULL, "student and teacher cannot be cut alike (%d and %d shards): use one thread", pare_net_n_shards(student),
		    pare_net_n_shards(teacher));
	code = pair_inputs(student, out, err);
	if (code == PARE_OK)
		code = add_outputs(student, out, fit, opt->mse, err);
	return code == PARE_OK ? add_tensors(student, out, opt, err) : code;
}

static float logit(float o, enum pare_output_kind kind)
{
	return kind == PARE_OUTPUT_PROBABILITY ? logf(o < PROB_MIN ? PROB_MIN : o) : o;
}

/* Turns z[0..n) into log softmax(z / temperature). */
static void tempered(float *z, int64_t n, double temperature)
{
	double max = (double)z[0], sum = 0;

	for (int64_t j = 1; j < n; j++)
		max = (double)z[j] > max ? (double)z[j] : max;
	for (int64_t j = 0; j < n; j++)
		sum += exp(((double)z[j] - max) / temperature);
	for (int64_t j = 0; j < n; j++)
		z[j] = (float)(((double)z[j] - max) / temperature - log(sum));
}

static double kl_row(const struct pare_distill *d, const struct pare_distill_term *t, const float *o, const float *u, double scale, float *g, float *scratch)
{
	float *q = scratch, *p = scratch + t->width;
	int64_t step = t->turned ? t->positions : 1;
	double sum = 0;

	for (int64_t j = 0; j < t->width; j++) {
		q[j] = logit(o[j * step], t->student_kind);
		p[j] = logit(u[j * step], t->teacher_kind);
	}
	tempered(q, t->width, d->temperature);
	tempered(p, t->width, d->temperature);
	for (int64_t j = 0; j < t->width; j++) {
		double is = exp((double)q[j]), want = exp((double)p[j]), slope = scale * d->temperature * (is - want);

		sum += want * ((double)p[j] - (double)q[j]);
		if (t->student_kind == PARE_OUTPUT_PROBABILITY)
			slope /= (double)(o[j * step] < PROB_MIN ? PROB_MIN : o[j * step]);
		g[j * step] += (float)slope;
	}
	return d->temperature * d->temperature * sum;
}

static double kl_rows(const struct pare_distill *d, const struct pare_distill_term *t, const float *o, const float *u, double scale, float *g, float *scratch)
{
	int64_t step = t->turned ? 1 : t->width;
	double sum = 0;

	for (int64_t p = 0; p < t->positions; p++)
		sum += kl_row(d, t, o + p * step, u + p * step, scale / (double)t->positions, g + p * step, scratch);
	return sum / (double)t->positions;
}

static double bce_row(const struct pare_distill_term *t, const float *o, const float *u, double scale, float *g, float *scratch)
{
	const struct pare_objective bce = pare_objective("bce");
	int64_t n = t->width * t->positions;
	double sum = pare_loss_rows(&bce, t->student_kind, o, 1, n, NULL, u, (float)scale, scratch);

	for (int64_t j = 0; j < n; j++)
		g[j] += scratch[j];
	return sum;
}

static double mse_row(const struct pare_distill_term *t, const float *o, const float *u, double scale, float *g)
{
	int64_t n = t->width * t->positions;
	float factor = (float)(2 * scale / (double)n);
	double sum = 0;

	for (int64_t j = 0; j < n; j++) {
		double e = (double)o[j] - (double)u[j];

		sum += e * e;
		g[j] += factor * (float)e;
	}
	return sum / (double)n;
}

static double term_rows(const struct pare_distill *d, const struct pare_distill_term *t, struct pare_net *student, int shard, int64_t count, double scale,
    float *scratch)
{
	const float *o = pare_net_shard_output(student, shard, t->student), *u = pare_net_shard_output(d->teacher, shard, t->teacher);
	float *g = pare_net_shard_output_grad(student, shard, t->student);
	int64_t n = t->width * t->positions;
	double sum = 0;

	if (!t->labelled)
		memset(g, 0, (size_t)(count * n) * sizeof *g);
	for (int64_t i = 0; i < count; i++, o += n, u += n, g += n)
		switch (t->kind) {
		case PARE_DISTILL_KL:
			sum += kl_rows(d, t, o, u, scale, g, scratch);
			break;
		case PARE_DISTILL_BCE:
			sum += bce_row(t, o, u, scale, g, scratch);
			break;
		case PARE_DISTILL_MSE:
			sum += mse_row(t, o, u, scale, g);
			break;
		}
	return sum;
}

double pare_distill_shard(const struct pare_distill *d, struct pare_net *student, int shard, int64_t count, int64_t first_row, double scale, float *scratch)
{
	double sum = 0;

	for (int i = 0; i < pare_net_n_inputs(d->teacher); i++) {
		int n_dims;
		int64_t dims[PARE_MAX_DIMS];
		size_t n = pare_net_input_shape(d->teacher, i, &n_dims, dims);

		memcpy(pare_net_shard_input(d->teacher, shard, i), pare_net_shard_input(student, shard, d->inputs[i]), (size_t)count * n * sizeof(float));
	}
	pare_net_shard_forward(d->teacher, shard, count, PARE_MODE_INFER, 0, first_row);
	for (int i = 0; i < d->n_terms; i++)
		sum += term_rows(d, &d->terms[i], student, shard, count, scale, scratch);
	return sum;
}

size_t pare_distill_scratch(const struct pare_distill *d)
{
	size_t most = 0;

	for (int i = 0; i < d->n_terms; i++) {
		const struct pare_distill_term *t = &d->terms[i];
		size_t n = t->kind == PARE_DISTILL_KL ? 2 * (size_t)t->width : t->kind == PARE_DISTILL_BCE ? (size_t)(t->width * t->positions) : 0;

		most = n > most ? n : most;
	}
	return most;
}
