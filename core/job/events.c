/* What a job tells while it runs. Events cost the daemon a row each, so progress goes out at most ten times a second and the
 * figures of epochs at most twenty times; the first and the last of a run always do. */
#include <math.h>

#include "core/job/job_priv.h"
#include "core/recipe/json_text.h"

#define EVENT_MAX ((size_t)65536)
#define PROGRESS_NS INT64_C(100000000)
#define METRICS_NS INT64_C(50000000)

enum pare_code job_send_event(struct job_run *r, const char *event, struct pare_buf *b, struct pare_err *err)
{
	enum pare_code code;

	pare_buf_str(b, "}");
	code = pare_buf_status(b, err);
	if (code == PARE_OK)
		code = pare_link_event(&r->w->link, event, b->data, err);
	pare_buf_done(b);
	if (r->w->link.broken)
		return pare_err_set(err, PARE_E_CANCELED, NULL, "nobody is listening any more");
	return code;
}

enum pare_code job_phase(struct job_run *r, const char *phase, struct pare_err *err)
{
	struct pare_buf b;

	pare_buf_init(&b, EVENT_MAX);
	pare_buf_str(&b, "{");
	pare_json_key_str(&b, "phase", phase);
	if (r->n_phases++ == 0)
		pare_json_key_str(&b, "sandbox", r->w->sandbox);
	else
		pare_json_key_int(&b, "step", (int64_t)r->step + 1);
	return job_send_event(r, "phase", &b, err);
}

static void halve(struct job_history *h)
{
	double *const columns[] = {h->epochs, h->train_loss, h->loss, h->accuracy, h->sparsity};

	for (size_t c = 0; c < sizeof columns / sizeof columns[0]; c++)
		for (int i = 0; i < JOB_HISTORY / 2; i++)
			columns[c][i] = columns[c][2 * i];
	h->n = JOB_HISTORY / 2;
	h->stride *= 2;
}

static void remember(struct job_history *h, const struct job_epoch *e)
{
	h->done += e->train != NULL ? 1 : 0;
	if (h->stride == 0)
		h->stride = 1;
	if (h->skipped++ % h->stride != 0)
		return;
	if (h->n == JOB_HISTORY)
		halve(h);
	h->epochs[h->n] = h->done;
	h->train_loss[h->n] = e->train != NULL ? e->train->train_loss : NAN;
	h->loss[h->n] = e->loss;
	h->accuracy[h->n] = e->accuracy;
	h->sparsity[h->n++] = e->sparsity;
}

/* Is this an epoch in the middle of a run that comes too soon after the last one told? */
static bool is_crowded(struct job_run *r, const struct job_epoch *e)
{
	int64_t now = pare_job_env.tick_ns(NULL);

	if (e->train == NULL)
		return false;
	if (e->train->epoch < e->train->epochs && now - r->metrics_ns < METRICS_NS)
		return true;
	r->metrics_ns = now;
	return false;
}

enum pare_code job_metrics(struct job_run *r, const struct job_epoch *e, struct pare_err *err)
{
	struct pare_buf b;

	if (r->folds == 0 && r->trial == 0)
		remember(&r->history, e);
	if (is_crowded(r, e))
		return PARE_OK;
	pare_buf_init(&b, EVENT_MAX);
	pare_buf_str(&b, "{");
	pare_json_key_int(&b, "step", (int64_t)r->step + 1);
	pare_json_key_str(&b, "kind", e->kind);
	if (r->trial > 0) {
		pare_json_key_int(&b, "trial", r->trial);
		pare_json_key_int(&b, "trials", job_n_variants(r));
	}
	if (r->folds > 0) {
		pare_json_key_int(&b, "fold", r->fold);
		pare_json_key_int(&b, "folds", r->folds);
	}
	if (r->rounds > 0) {
		pare_json_key_int(&b, "round", r->round);
		pare_json_key_int(&b, "rounds", r->rounds);
	}
	if (e->train != NULL) {
		pare_json_key_int(&b, "epoch", e->train->epoch);
		pare_json_key_int(&b, "epochs", e->train->epochs);
		pare_json_key_num(&b, "train_loss", e->train->train_loss);
		pare_json_key_num(&b, "lr", e->train->lr);
		pare_json_key_num(&b, "seconds", e->train->seconds);
	}
	pare_json_key_num(&b, "validation_loss", e->loss);
	pare_json_key_num(&b, "validation_accuracy", e->accuracy);
	pare_json_key_num(&b, "sparsity", e->sparsity);
	return job_send_event(r, "metrics", &b, err);
}

enum pare_code job_progress(struct job_run *r, double units, int epoch, int epochs, bool force, struct pare_err *err)
{
	int64_t now = pare_job_env.tick_ns(NULL);
	double done = (r->units_before + units) / r->units_total, seconds = (double)(now - r->started_ns) * 1e-9;
	struct pare_buf b;

	if (!force && now - r->progress_ns < PROGRESS_NS)
		return PARE_OK;
	r->progress_ns = now;
	if (done > 1)
		done = 1;
	pare_buf_init(&b, EVENT_MAX);
	pare_buf_str(&b, "{");
	pare_json_key_num(&b, "fraction", floor(done * 1e4 + 0.5) / 1e4);
	pare_json_key_int(&b, "step", (int64_t)r->step + 1);
	pare_json_key_int(&b, "steps", (int64_t)pare_job_n_steps(r->job));
	pare_json_key_int(&b, "epoch", epoch);
	pare_json_key_int(&b, "epochs", epochs);
	pare_json_key_int(&b, "round", r->round);
	pare_json_key_int(&b, "rounds", r->rounds);
	if (r->steps_per_second > 0)
		pare_json_key_num(&b, "steps_per_second", floor(r->steps_per_second * 10 + 0.5) / 10);
	pare_json_key_num(&b, "eta_seconds", done > 0 ? ceil(seconds * (1 - done) / done) : NAN);
	return job_send_event(r, "progress", &b, err);
}
