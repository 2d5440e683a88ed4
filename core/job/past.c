/* What training leaves behind for pruning steps after it: the weights of an early epoch, to which lottery tickets go back (Frankle and
 * Carbin 2019, arXiv:1803.03635; of a later epoch than none: arXiv:1912.05671), and how training has moved weights (Sanh et al. 2020).
 *
 * Both are the job's, and, while folds run, those of the fold: it begins anew and must not see what rows of its own judgement have taught. */
#include <string.h>

#include "core/base/mem.h"
#include "core/job/job_priv.h"

struct job_past *job_past(struct job_run *r)
{
	return &r->past[r->folds > 0];
}

static int wanted_epoch(const struct job_run *r)
{
	int most = 0;

	for (size_t i = 0; i < pare_job_n_steps(r->job); i++) {
		const struct pare_args *s = pare_job_step(r->job, i);

		if (strcmp(s->method->name, "prune") == 0 && pare_args_has(s, "rewind") && pare_args_int(s, "rewind") > most)
			most = (int)pare_args_int(s, "rewind");
	}
	return most;
}

static bool wants_movement(const struct job_run *r)
{
	for (size_t i = 0; i < pare_job_n_steps(r->job); i++) {
		const struct pare_args *s = pare_job_step(r->job, i);
		const struct pare_criterion *c = strcmp(s->method->name, "prune") == 0 ? pare_criterion_find(pare_args_obj(s, "criterion")->method->name) : NULL;

		if (c != NULL && c->stat == PARE_STAT_MOVED)
			return true;
	}
	return false;
}

enum pare_code job_past_new(struct job_run *r, struct pare_err *err)
{
	size_t len = pare_net_slab_len(r->net);
	bool early = wanted_epoch(r) > 0, moved = wants_movement(r);

	for (int i = 0; i < 2; i++) {
		struct job_past *p = &r->past[i];

		if (early && p->early == NULL)
			p->early = pare_calloc(len, sizeof *p->early);
		if (moved && p->moved == NULL)
			p->moved = pare_calloc(len, sizeof *p->moved);
		if ((early && p->early == NULL) || (moved && p->moved == NULL))
			return pare_err_nomem(err, len * sizeof *p->early);
	}
	return PARE_OK;
}

void job_past_done(struct job_run *r)
{
	for (int i = 0; i < 2; i++) {
		pare_free(r->past[i].early);
		pare_free(r->past[i].moved);
	}
}

void job_past_forget(struct job_run *r)
{
	struct job_past *p = job_past(r);

	p->has_early = false;
	if (p->moved != NULL)
		memset(p->moved, 0, pare_net_slab_len(r->net) * sizeof *p->moved);
}

/* Of a run that ends before the epoch that is wanted, the last one counts. */
void job_past_epoch(struct job_run *r, int epoch)
{
	struct job_past *p = job_past(r);

	if (p->early == NULL || r->stage > 0 || epoch > wanted_epoch(r))
		return;
	memcpy(p->early, pare_net_slab(r->net), pare_net_slab_len(r->net) * sizeof *p->early);
	p->has_early = true;
}

void job_rewind(struct job_run *r, const struct pare_args *prune)
{
	const struct job_past *p = job_past(r);
	const float *from = pare_args_int(prune, "rewind") > 0 && p->has_early ? p->early : r->input;

	memcpy(pare_net_slab(r->net), from, pare_net_slab_len(r->net) * sizeof *from);
	pare_mask_apply(&r->mask, pare_net_slab(r->net), 0, r->mask.len);
}
