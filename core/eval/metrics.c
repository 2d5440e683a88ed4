/* Metrics, added up row after row in row order, so that neither threads nor batch sizes change a bit of them.
 *
 *   predicted   the output with the greatest value, the lowest index among equals
 *   F1 of c     2 TP / (actual c + predicted c); macro: the mean over classes that occur in either (others have no F1)
 *   R2          the mean over targets of 1 - residual squares / squares about the mean (Welford's recurrence, so a large
 *               offset does not cancel); a constant target gives 1 if met exactly, else 0 */
#include <math.h>
#include <string.h>

#include "core/base/mem.h"
#include "core/eval/eval_priv.h"

enum pare_code eval_sums_init(struct eval_sums *s, enum pare_task task, enum pare_loss loss, enum pare_output_kind kind, int64_t k,
    int64_t n_rows, struct pare_err *err)
{
	size_t n = (size_t)k;
	bool ok;

	*s = (struct eval_sums){.task = task, .loss = loss, .kind = kind, .k = k};
	if (task == PARE_TASK_CLASSIFY) {
		s->hits = pare_calloc(n, sizeof *s->hits);
		s->actual = pare_calloc(n, sizeof *s->actual);
		s->guessed = pare_calloc(n, sizeof *s->guessed);
		s->predicted = pare_calloc((size_t)n_rows, sizeof *s->predicted);
		if (k <= PARE_CONFUSION_MAX)
			s->confusion = pare_calloc(n * n, sizeof *s->confusion);
		ok = s->hits != NULL && s->actual != NULL && s->guessed != NULL && s->predicted != NULL && (s->confusion != NULL ||
		    k > PARE_CONFUSION_MAX);
	} else {
		s->residual = pare_calloc(n, sizeof *s->residual);
		s->mean = pare_calloc(n, sizeof *s->mean);
		s->about = pare_calloc(n, sizeof *s->about);
		ok = s->residual != NULL && s->mean != NULL && s->about != NULL;
	}
	if (ok)
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
	memset(s, 0, sizeof *s);
}

static int32_t best_of(const float *o, int64_t k)
{
	int64_t best = 0;

	for (int64_t j = 1; j < k; j++)
		if (o[j] > o[best])
			best = j;
	return (int32_t)best;
}

static void add_class(struct eval_sums *s, const float *o, int32_t c)
{
	int32_t guess = best_of(o, s->k);

	s->predicted[s->n] = guess;
	s->actual[c]++;
	s->guessed[guess]++;
	if (guess == c) {
		s->hits[c]++;
		s->correct++;
	}
	if (s->confusion != NULL)
		s->confusion[(int64_t)c * s->k + guess]++;
}

static void add_targets(struct eval_sums *s, const float *o, const float *t)
{
	for (int64_t j = 0; j < s->k; j++) {
		double e = (double)o[j] - (double)t[j], delta = (double)t[j] - s->mean[j];

		s->squares += e * e;
		s->absolutes += fabs(e);
		s->residual[j] += e * e;
		s->mean[j] += delta / (double)(s->n + 1);
		s->about[j] += delta * ((double)t[j] - s->mean[j]);
	}
}

void eval_sums_add(struct eval_sums *s, const float *out, int64_t count, const int32_t *classes, const float *targets)
{
	s->loss_sum += pare_loss_rows(s->loss, s->kind, out, count, s->k, classes, targets, 0, NULL);
	for (int64_t i = 0; i < count; i++, s->n++) {
		if (s->task == PARE_TASK_CLASSIFY)
			add_class(s, out + i * s->k, classes[i]);
		else
			add_targets(s, out + i * s->k, targets + i * s->k);
	}
}

static double macro_f1(const struct eval_sums *s)
{
	double sum = 0;
	int64_t n = 0;

	for (int64_t c = 0; c < s->k; c++) {
		int64_t total = s->actual[c] + s->guessed[c];

		if (total == 0)
			continue;
		sum += 2 * (double)s->hits[c] / (double)total;
		n++;
	}
	return n > 0 ? sum / (double)n : 0;
}

static double r2(const struct eval_sums *s)
{
	double sum = 0;

	for (int64_t j = 0; j < s->k; j++)
		sum += s->about[j] > 0 ? 1 - s->residual[j] / s->about[j] : s->residual[j] == 0;
	return sum / (double)s->k;
}

void eval_sums_finish(struct eval_sums *s, struct pare_metrics *m)
{
	double n = s->n > 0 ? (double)s->n : 1;

	*m = (struct pare_metrics){.task = s->task, .n = s->n, .loss = s->loss_sum / n};
	if (s->task == PARE_TASK_CLASSIFY) {
		m->accuracy = (double)s->correct / n;
		m->macro_f1 = macro_f1(s);
		m->n_classes = (int)s->k;
		m->class_rows = s->actual;
		m->class_hits = s->hits;
		m->confusion = s->confusion;
		m->predicted = s->predicted;
		s->actual = s->hits = s->confusion = NULL;
		s->predicted = NULL;
	} else {
		m->mse = s->squares / (n * (double)s->k);
		m->mae = s->absolutes / (n * (double)s->k);
		m->r2 = r2(s);
	}
}

void pare_metrics_done(struct pare_metrics *m)
{
	pare_free(m->class_rows);
	pare_free(m->class_hits);
	pare_free(m->confusion);
	pare_free(m->predicted);
	m->class_rows = m->class_hits = m->confusion = NULL;
	m->predicted = NULL;
}
