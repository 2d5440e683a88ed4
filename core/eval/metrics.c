/* Metrics, added up row after row in row order, so that neither threads nor batch sizes change a bit of them.
 *
 *   predicted   the output with the greatest value, the lowest index among equals; of several labels each whose probability is
 *               above 1/2 (a raw score above 0)
 *   F1 of c     2 TP / (actual c + predicted c); macro: the mean over classes that occur in either (others have no F1);
 *               micro: the same formula over the sums of all labels
 *   IoU of c    TP / (actual c + predicted c - TP); mean as macro F1
 *   R2          the mean over targets of 1 - residual squares / squares about the mean (Welford's recurrence, so a large
 *               offset does not cancel); a constant target gives 1 if met exactly, else 0
 *
 * Sequences count every labelled position as classification counts rows. */
#include <math.h>
#include <string.h>

#include "core/base/mem.h"
#include "core/eval/eval_priv.h"

enum pare_code eval_sums_init(struct eval_sums *s, const struct pare_fit_output *o, int64_t n_rows, struct pare_err *err)
{
	size_t n = (size_t)o->width;
	bool ok;

	*s = (struct eval_sums){.o = *o, .middle = o->kind == PARE_OUTPUT_RAW && o->loss.loss == pare_loss_find("bce") ? 0.0f : 0.5f};
	s->o.loss.smoothing = 0;
	s->o.loss.class_weights = NULL;
	if (o->task == PARE_TASK_REGRESS) {
		s->residual = pare_calloc(n, sizeof *s->residual);
		s->mean = pare_calloc(n, sizeof *s->mean);
		s->about = pare_calloc(n, sizeof *s->about);
		ok = s->residual != NULL && s->mean != NULL && s->about != NULL;
	} else {
		s->hits = pare_calloc(n, sizeof *s->hits);
		s->actual = pare_calloc(n, sizeof *s->actual);
		s->guessed = pare_calloc(n, sizeof *s->guessed);
		ok = s->hits != NULL && s->actual != NULL && s->guessed != NULL;
	}
	if (o->task == PARE_TASK_CLASSIFY) {
		s->predicted = pare_calloc((size_t)n_rows, sizeof *s->predicted);
		ok = ok && s->predicted != NULL;
	}
	if (pare_fit_by_class(o) && o->width <= PARE_CONFUSION_MAX) {
		s->confusion = pare_calloc(n * n, sizeof *s->confusion);
		ok = ok && s->confusion != NULL;
	}
	s->scratch = pare_calloc(pare_fit_scratch(o) + 1, sizeof *s->scratch);
	if (ok && s->scratch != NULL)
		return PARE_OK;
	eval_sums_done(s);
	return pare_err_nomem(err, 0);
}

void eval_sums_done(struct eval_sums *s)
{
	pare_free(s->hits);
	pare_free(s->actual);
	pare_free(s->guessed);
	pare_free(s->confusion);
	pare_free(s->predicted);
	pare_free(s->residual);
	pare_free(s->mean);
	pare_free(s->about);
	pare_free(s->scratch);
	memset(s, 0, sizeof *s);
}

/* Of k outputs that lie step floats apart. */
static int32_t best_of(const float *o, int64_t k, int64_t step)
{
	int64_t best = 0;

	for (int64_t j = 1; j < k; j++)
		if (o[j * step] > o[best * step])
			best = j;
	return (int32_t)best;
}

static void add_guess(struct eval_sums *s, int32_t guess, int32_t c)
{
	s->n_labels++;
	s->actual[c]++;
	s->guessed[guess]++;
	if (guess == c) {
		s->hits[c]++;
		s->correct++;
	}
	if (s->confusion != NULL)
		s->confusion[(int64_t)c * s->o.width + guess]++;
}

static void add_class(struct eval_sums *s, const float *o, const int32_t *classes, const float *targets)
{
	(void)targets;
	s->predicted[s->n] = best_of(o, s->o.width, 1);
	add_guess(s, s->predicted[s->n], classes[0]);
}

static void add_positions(struct eval_sums *s, const float *o, const int32_t *classes, const float *targets)
{
	int64_t step = s->o.turned ? s->o.positions : 1;

	(void)targets;
	for (int64_t i = 0; i < s->o.positions; i++)
		if (classes[i] >= 0)
			add_guess(s, best_of(o + (s->o.turned ? i : i * s->o.width), s->o.width, step), classes[i]);
}

static void add_truths(struct eval_sums *s, const float *o, const int32_t *classes, const float *t)
{
	bool all = true;

	(void)classes;
	for (int64_t j = 0; j < s->o.width; j++) {
		bool is = t[j] > 0.5f, guess = o[j] > s->middle;

		s->actual[j] += is;
		s->guessed[j] += guess;
		s->hits[j] += is && guess;
		all = all && is == guess;
	}
	s->correct += all;
	s->n_labels++;
}

static void add_targets(struct eval_sums *s, const float *o, const int32_t *classes, const float *t)
{
	(void)classes;
	for (int64_t j = 0; j < s->o.width; j++) {
		double e = (double)o[j] - (double)t[j], delta = (double)t[j] - s->mean[j];

		s->squares += e * e;
		s->absolutes += fabs(e);
		s->residual[j] += e * e;
		s->mean[j] += delta / (double)(s->n + 1);
		s->about[j] += delta * ((double)t[j] - s->mean[j]);
	}
	s->n_labels++;
}

static void (*const add_table[PARE_N_TASKS])(struct eval_sums *s, const float *o, const int32_t *classes, const float *targets) = {
    [PARE_TASK_CLASSIFY] = add_class,
    [PARE_TASK_REGRESS] = add_targets,
    [PARE_TASK_MULTILABEL] = add_truths,
    [PARE_TASK_SEQUENCE] = add_positions,
};

void eval_sums_add(struct eval_sums *s, const float *out, int64_t count, const int32_t *classes, const float *targets)
{
	const struct pare_fit_output *o = &s->o;

	s->loss_sum += pare_fit_loss(o, out, count, classes, targets, 0, NULL, s->scratch);
	for (int64_t i = 0; i < count; i++, s->n++)
		add_table[o->task](s, out + i * o->positions * o->width, classes != NULL ? classes + i * o->positions : NULL, targets != NULL ? targets + i * o->width : NULL);
}

static double r2(const struct eval_sums *s)
{
	double sum = 0;

	for (int64_t j = 0; j < s->o.width; j++)
		sum += s->about[j] > 0 ? 1 - s->residual[j] / s->about[j] : s->residual[j] == 0;
	return sum / (double)s->o.width;
}

double pare_metrics_f1(const struct pare_metrics *m, int c)
{
	int64_t total = m->class_rows[c] + m->class_guesses[c];

	return total > 0 ? 2 * (double)m->class_hits[c] / (double)total : NAN;
}

double pare_metrics_iou(const struct pare_metrics *m, int c)
{
	int64_t either = m->class_rows[c] + m->class_guesses[c] - m->class_hits[c];

	return either > 0 ? (double)m->class_hits[c] / (double)either : NAN;
}

static double mean_of(const struct pare_metrics *m, double (*figure)(const struct pare_metrics *m, int c))
{
	double sum = 0;
	int n = 0;

	for (int c = 0; c < m->n_classes; c++) {
		double v = figure(m, c);

		if (isnan(v))
			continue;
		sum += v;
		n++;
	}
	return n > 0 ? sum / n : 0;
}

static double micro_f1(const struct pare_metrics *m)
{
	int64_t hits = 0, total = 0;

	for (int c = 0; c < m->n_classes; c++) {
		hits += m->class_hits[c];
		total += m->class_rows[c] + m->class_guesses[c];
	}
	return total > 0 ? 2 * (double)hits / (double)total : 0;
}

void eval_sums_finish(struct eval_sums *s, struct pare_metrics *m)
{
	double n = s->n_labels > 0 ? (double)s->n_labels : 1;

	*m = (struct pare_metrics){.task = s->o.task, .output = s->o.name, .n = s->n, .n_labels = s->n_labels, .loss = s->loss_sum / n, .own_loss = s->loss_sum / n};
	if (s->o.task == PARE_TASK_REGRESS) {
		m->mse = s->squares / (n * (double)s->o.width);
		m->mae = s->absolutes / (n * (double)s->o.width);
		m->r2 = r2(s);
		return;
	}
	m->accuracy = (double)s->correct / n;
	m->n_classes = (int)s->o.width;
	m->class_rows = s->actual;
	m->class_hits = s->hits;
	m->class_guesses = s->guessed;
	m->confusion = s->confusion;
	m->predicted = s->predicted;
	s->actual = s->hits = s->guessed = s->confusion = NULL;
	s->predicted = NULL;
	m->macro_f1 = mean_of(m, pare_metrics_f1);
	m->micro_f1 = s->o.task == PARE_TASK_MULTILABEL ? micro_f1(m) : m->accuracy;
	m->mean_iou = mean_of(m, pare_metrics_iou);
}

double pare_metrics_headline(const struct pare_metrics *m)
{
	if (m->task == PARE_TASK_REGRESS)
		return m->r2;
	return m->task == PARE_TASK_MULTILABEL ? m->micro_f1 : m->accuracy;
}

const char *pare_metrics_headline_name(enum pare_task task)
{
	if (task == PARE_TASK_REGRESS)
		return "r2";
	return task == PARE_TASK_MULTILABEL ? "micro_f1" : "accuracy";
}

void pare_metrics_done(struct pare_metrics *m)
{
	for (int i = 0; i < m->n_others; i++)
		pare_metrics_done(&m->others[i]);
	pare_free(m->others);
	pare_free(m->class_rows);
	pare_free(m->class_hits);
	pare_free(m->class_guesses);
	pare_free(m->confusion);
	pare_free(m->predicted);
	m->class_rows = m->class_hits = m->class_guesses = m->confusion = NULL;
	m->predicted = NULL;
	m->others = NULL;
	m->n_others = 0;
}
