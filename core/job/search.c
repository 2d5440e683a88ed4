/* The search step: the smallest model that holds the floor.
 *
 * The floor is the job's requirement, decided here on the validation rows alone: for the accuracy of classes by the upper end of the
 * paired 95 % interval against the dense model, since the best of many candidates is chosen and a measured drop would flatter
 * it; by the measured drop where no interval is known, or where there are so few rows that not even the dense model would hold
 * against itself. Test rows are read once, when the job ends.
 *
 * The walk is the adaptive loop of accuracy-driven compression: from the smallest model that held, take a step; train until the floor is
 * held, at most so many epochs; each time the direction turns, halve the step and the learning rate; stop below the smallest step.
 * A miss goes back to the weights of the last model that held, not onwards from damaged ones.
 *
 * Steps are in s = -ln(share that is left), not in the share that is gone. From 0.90 to 0.95 and from 0.990 to 0.995 both halve the
 * model, and both are about as hard; equal steps of 0.1 in the share that is gone could not even say 0.99, and with steps
 * small enough for that the walk from 0 would take a hundred of them. In s the walk to a factor f takes ln f steps and then halves.
 *
 * Of structures only whole ones go. Where a step would take none, as among a few layers, it takes one: the walk then goes unit by
 * unit, and ends when the next one is one that was tried and missed.
 *
 * What is left is a share of weights, or of the objective where sizes by layer are set by sensitivity (sensitivity.c). Latency is no
 * function of the weights alone: during the search multiply-accumulates stand for it, so that no choice depends on a clock. */
#include <math.h>
#include <string.h>

#include "core/base/mem.h"
#include "core/job/search_priv.h"

enum objective { OBJECTIVE_WEIGHTS, OBJECTIVE_MACS, OBJECTIVE_BYTES, OBJECTIVE_LATENCY };
static const char *const objective_names[] = {"weights", "macs", "bytes", "latency"};

#define FRONT_UNITS 0.2

struct walk {
	double lo, hi; /* in s: the last that held, the least that did not */
	double step, least;
	bool up;
	int best; /* the point at lo */
};

double job_search_units(const struct job_run *r, size_t step)
{
	const struct pare_args *args = pare_job_step(r->job, step), *recover = pare_args_obj(args, "recover");
	double epochs = recover != NULL ? pare_args_num(recover, "epochs") : 0;

	return pare_args_num(args, "tries") / 2 * (JOB_ROUND_UNITS + epochs / 2) + FRONT_UNITS;
}

int job_n_tries(const struct pare_args *search)
{
	return (int)(pare_args_int(search, "tries") + pare_args_int(search, "beyond"));
}

/* --- states */

enum pare_code job_state_save(const struct job_run *r, struct job_state *out, struct pare_err *err)
{
	size_t n = pare_net_slab_len(r->net);
	enum pare_code code = PARE_OK;

	memset(out, 0, sizeof *out);
	out->slab = pare_alloc(n * sizeof *out->slab);
	out->keep = pare_alloc(r->mask.len);
	if (out->slab == NULL || out->keep == NULL)
		code = pare_err_nomem(err, n * sizeof *out->slab);
	if (code == PARE_OK && r->cut.gone != NULL)
		code = pare_cut_init(&out->cut, r->net, err);
	if (code != PARE_OK) {
		job_state_done(out);
		return code;
	}
	memcpy(out->slab, pare_net_slab(r->net), n * sizeof *out->slab);
	memcpy(out->keep, r->mask.keep, r->mask.len);
	out->any = r->mask.any;
	if (r->cut.gone != NULL)
		pare_cut_copy(&out->cut, &r->cut);
	return PARE_OK;
}

void job_state_restore(struct job_run *r, const struct job_state *s)
{
	memcpy(pare_net_slab(r->net), s->slab, pare_net_slab_len(r->net) * sizeof *s->slab);
	memcpy(r->mask.keep, s->keep, r->mask.len);
	r->mask.any = s->any;
	if (r->cut.gone != NULL)
		pare_cut_copy(&r->cut, &s->cut);
}

void job_state_done(struct job_state *s)
{
	pare_free(s->slab);
	pare_free(s->keep);
	pare_cut_done(&s->cut);
	memset(s, 0, sizeof *s);
}

/* --- measuring and judging */

int64_t job_packed_bytes(struct job_run *r)
{
	const float *slab = pare_net_slab(r->net);
	int64_t bytes = (int64_t)r->model->file.len;

	for (int i = 0; i < pare_net_n_params(r->net); i++) {
		const struct pare_param_info *p = pare_net_param(r->net, i);
		int64_t n = (int64_t)p->n_elems, packed = 4 * job_count_nonzero(slab + p->offset, p->n_elems) + (n + 7) / 8;

		if (p->prunable && packed < 4 * n)
			bytes -= 4 * n - packed;
	}
	return bytes;
}

void job_measure(struct job_run *r, const struct job_search *s, struct job_point *out)
{
	struct job_verdict v;

	memset(&v, 0, sizeof v);
	job_count(r->net, &v);
	out->n_weights = v.n_nonzero_weights;
	out->macs = v.macs_nonzero;
	out->bytes = job_packed_bytes(r);
	out->sparsity = job_sparsity(r);
	if (s->objective == OBJECTIVE_WEIGHTS)
		out->size = (double)out->n_weights / s->dense_weights;
	else if (s->objective == OBJECTIVE_BYTES)
		out->size = (double)out->bytes / s->dense_bytes;
	else
		out->size = out->macs / s->dense_macs;
}

void job_floor_judge(const struct job_run *r, enum pare_split split, const struct pare_metrics *dense, const struct pare_metrics *m, struct job_floor *out)
{
	const struct job_search *s = r->search;
	struct pare_paired p;

	out->value = job_metric(m, s->metric);
	out->drop = job_metric_drop(s->metric, job_metric(dense, s->metric), out->value);
	out->low = out->high = NAN;
	out->judged = out->drop;
	if (m->task != PARE_TASK_CLASSIFY || strcmp(s->metric, "accuracy") != 0)
		return;
	pare_eval_paired(r->data, r->fit.outputs[0].y, split, dense, m, &p);
	out->low = p.drop_low;
	out->high = p.drop_high;
	if (s->by_interval)
		out->judged = p.drop_high;
}

/* Called after every epoch of a candidate's training. */
static bool holds(struct job_run *r, const struct pare_metrics *validation)
{
	struct job_floor f;

	r->search->n_epochs++;
	job_floor_judge(r, PARE_SPLIT_VALIDATION, &r->search->dense, validation, &f);
	return f.judged <= r->search->limit;
}

static enum pare_code judge_point(struct job_run *r, struct job_point *p, struct pare_err *err)
{
	struct job_search *s = r->search;
	struct pare_metrics m;
	enum pare_code code;

	memset(&m, 0, sizeof m);
	code = job_eval(r, PARE_SPLIT_VALIDATION, &m, err);
	if (code != PARE_OK)
		return code;
	job_floor_judge(r, PARE_SPLIT_VALIDATION, &s->dense, &m, &p->validation);
	p->loss = m.loss;
	p->held = p->validation.judged <= s->limit;
	pare_metrics_done(&m);
	return PARE_OK;
}

/* --- one candidate */

/* From the present weights, which are those of the last model that held: at most that many, of which fewer must be left, or p is no more than
 * measured. */
static enum pare_code make_candidate(struct job_run *r, struct pare_prune_options *o, double left, int64_t most, struct job_point *p, struct pare_err *err)
{
	struct job_search *s = r->search;
	const struct pare_args *recover = pare_args_obj(s->args, "recover");
	enum pare_code code = job_set_left(s, o, left, err);

	if (code == PARE_OK)
		code = job_remove(r, s->args, o, err);
	job_measure(r, s, p);
	if (code == PARE_OK && p->n_weights < most)
		code = judge_point(r, p, err);
	if (code != PARE_OK || p->n_weights >= most)
		return code;
	r->units_step += JOB_ROUND_UNITS;
	s->n_epochs = 0;
	if (code == PARE_OK && !p->held && recover != NULL) {
		r->enough = holds;
		code = job_train(r, recover, err);
		r->enough = NULL;
		if (code == PARE_OK)
			code = judge_point(r, p, err);
	}
	p->epochs = s->n_epochs;
	job_measure(r, s, p);
	return code;
}

static enum pare_code tell(struct job_run *r, const struct job_point *p, struct pare_err *err)
{
	struct job_record rec = {.step = r->step, .round = r->round, .sparsity = p->sparsity, .accuracy = p->validation.value, .loss = p->loss};

	job_record_add(r, &rec);
	return job_metrics(r, &(struct job_epoch){"round", NULL, p->loss, p->validation.value, p->sparsity}, err);
}

/* One more point, pruned from that of number `from` to exp(-at). *out_same: nothing could be taken away, and there is none. */
static enum pare_code try_at(struct job_run *r, struct pare_prune_options *o, double at, int from, bool *out_same, struct pare_err *err)
{
	struct job_search *s = r->search;
	struct job_point *p = &s->points[s->n_points];
	int64_t most = s->points[from].n_weights;
	enum pare_code code = job_check_canceled(r->w, err);

	*out_same = floor(exp(-at) * s->dense_weights) < 1;
	if (code != PARE_OK || *out_same)
		return code;
	r->round++;
	if (s->replay != NULL)
		return job_search_recall(r, p, out_same, err);
	memset(p, 0, sizeof *p);
	p->round = r->round;
	if (s->points[from].state.slab == NULL)
		return pare_err_set(err, PARE_E_CHECKPOINT, NULL, "the model that the search goes on from is missing");
	job_state_restore(r, &s->points[from].state);
	code = make_candidate(r, o, exp(-at), most, p, err);
	*out_same = p->n_weights >= most;
	if (code != PARE_OK || *out_same)
		return code;
	code = tell(r, p, err);
	if (code == PARE_OK)
		code = job_state_save(r, &p->state, err);
	if (code != PARE_OK)
		return code;
	s->n_points++;
	job_front_thin(s, p->held ? s->n_points - 1 : from);
	return job_keep(r, NULL, false, err);
}

static void turn(struct job_run *r, struct walk *w, double at)
{
	bool held = r->search->points[r->search->n_points - 1].held;

	if (held != w->up) {
		w->step /= 2;
		r->lr_factor /= 2;
		w->up = held;
	}
	if (held) {
		w->lo = at;
		w->best = r->search->n_points - 1;
	} else
		w->hi = at;
}

/* The first place at or after `at` where something goes that is there at lo; INFINITY: there is none. In between, shares of the units are
 * rounded as structures.c rounds them; without the last unit a quarter of one is left to say so. */
static double next_place(const struct job_search *s, double lo, double at)
{
	double n = (double)s->n_units, gone = round(n * (1 - exp(-lo) * s->base_left)) + 1;

	if (s->n_units == 0 || round(n * (1 - exp(-at) * s->base_left)) >= gone)
		return at;
	return gone <= n ? -log(fmax(n - gone, 0.25) / (n * s->base_left)) : INFINITY;
}

static enum pare_code walk(struct job_run *r, struct pare_prune_options *o, struct walk *w, int tries, struct pare_err *err)
{
	enum pare_code code = PARE_OK;
	bool same = false;

	while (code == PARE_OK && !same && r->round < tries && w->step >= w->least * (1 - 1e-9)) {
		double at = next_place(r->search, w->lo, w->lo + w->step);

		if (at >= w->hi - 1e-9) {
			w->step /= 2;
			continue;
		}
		code = try_at(r, o, at, w->best, &same, err);
		if (code == PARE_OK && !same)
			turn(r, w, at);
	}
	return code;
}

/* Smaller ones than the floor allows, so that the front tells what the next steps would cost. */
static enum pare_code go_beyond(struct job_run *r, struct pare_prune_options *o, const struct walk *w, struct pare_err *err)
{
	int n = (int)pare_args_int(r->search->args, "beyond");
	double step = -log1p(-pare_args_num(r->search->args, "step")), at = w->lo;
	enum pare_code code = PARE_OK;
	bool same = false;

	for (int i = 1; i <= n && !same && code == PARE_OK; i++) {
		at = next_place(r->search, at, w->lo + i * step);
		if (fabs(at - w->hi) < 1e-9) /* that unit was tried */
			at = next_place(r->search, at, at);
		code = try_at(r, o, at, w->best, &same, err);
	}
	return code;
}

/* --- the step */

static enum pare_code begin(struct job_run *r, const struct pare_args *args, struct pare_err *err)
{
	const struct pare_args *q = pare_args_obj(pare_job_args(r->job), "require");
	struct job_search *s = pare_calloc(1, sizeof *s);
	struct job_floor itself;
	enum pare_code code;

	if (s == NULL)
		return pare_err_nomem(err, sizeof *s);
	r->search = s;
	s->args = args;
	s->step = r->step;
	while (strcmp(objective_names[s->objective], pare_args_str(args, "objective")) != 0)
		s->objective++;
	s->by_macs = s->objective == OBJECTIVE_MACS || s->objective == OBJECTIVE_LATENCY;
	s->criterion = pare_args_obj(args, "criterion");
	s->quick_rows = (uint32_t)fmin(pare_args_num(args, "sensitivity_rows"), UINT32_MAX);
	s->metric = pare_args_str(q, "metric");
	s->limit = pare_args_num(q, "max_drop");
	s->max_points = 1 + job_n_tries(args);
	s->points = pare_calloc((size_t)s->max_points, sizeof *s->points);
	if (s->points == NULL)
		return pare_err_nomem(err, (size_t)s->max_points * sizeof *s->points);
	code = job_eval(r, PARE_SPLIT_VALIDATION, &s->dense, err);
	if (code != PARE_OK)
		return code;
	s->by_interval = true;
	job_floor_judge(r, PARE_SPLIT_VALIDATION, &s->dense, &s->dense, &itself);
	s->by_interval = !isnan(itself.high);
	s->too_few = s->by_interval && itself.high > s->limit && !pare_args_has(q, "confidence");
	s->by_interval = s->by_interval && !s->too_few;
	return PARE_OK;
}

static enum pare_code first_point(struct job_run *r, struct pare_err *err)
{
	struct job_search *s = r->search;
	struct job_point *p = &s->points[0];
	struct job_verdict v;
	enum pare_code code;

	memset(&v, 0, sizeof v);
	job_count(r->net, &v);
	s->dense_weights = (double)v.n_nonzero_weights;
	s->dense_macs = v.macs_nonzero;
	s->dense_bytes = (double)job_packed_bytes(r);
	job_measure(r, s, p);
	s->base_left = job_is_structural(s->args) ? 1 - job_structures_share(r, s->args, &s->n_units) : 1 - p->sparsity;
	if (v.n_nonzero_weights == 0)
		return pare_err_set(err, PARE_E_INVALID, NULL, "the model has no weights to prune");
	job_floor_judge(r, PARE_SPLIT_VALIDATION, &s->dense, &s->dense, &p->validation);
	p->loss = s->dense.loss;
	p->held = p->validation.judged <= s->limit;
	code = job_state_save(r, &p->state, err);
	s->n_points = 1;
	return code;
}

enum pare_code job_search(struct job_run *r, const struct pare_args *args, struct pare_err *err)
{
	struct walk w = {.hi = INFINITY, .up = true, .step = -log1p(-pare_args_num(args, "step")), .least = -log1p(-pare_args_num(args, "min_step"))};
	struct pare_prune_options o;
	struct job_search *s;
	enum pare_code code = job_keep_dense(r, err);

	if (code == PARE_OK)
		code = job_search_begin(r, err);
	if (code == PARE_OK)
		code = begin(r, args, err);
	s = r->search;
	if (code == PARE_OK)
		code = job_prune_options(args, &o, err);
	if (code == PARE_OK)
		code = first_point(r, err);
	if (code == PARE_OK && !job_is_structural(args) && strcmp(pare_args_str(args, "allocation"), "ranking") != 0)
		code = job_sensitivity(r, s, &o, &s->points[0].state, err);
	if (code == PARE_OK)
		code = job_compare_allocation(r, s, &o, &s->points[0].state, err);
	r->rounds = job_n_tries(args);
	r->lr_factor = 1;
	if (code == PARE_OK)
		job_search_replay(r);
	if (code == PARE_OK)
		code = walk(r, &o, &w, (int)pare_args_int(args, "tries"), err);
	r->lr_factor = 1;
	if (code == PARE_OK)
		code = go_beyond(r, &o, &w, err);
	r->round = r->rounds = 0;
	r->lr_factor = 0;
	if (r->fold == 0)
		job_search_end(r);
	if (code != PARE_OK)
		return code;
	s->chosen = job_choose(s);
	if (s->replay != NULL || s->points[s->chosen].state.slab == NULL)
		return pare_err_set(err, PARE_E_CHECKPOINT, NULL, "the search that was kept is another");
	job_state_restore(r, &s->points[s->chosen].state);
	return PARE_OK;
}

void job_search_free(struct job_search *s)
{
	if (s == NULL)
		return;
	for (int i = 0; i < s->n_points; i++)
		job_state_done(&s->points[i].state);
	pare_metrics_done(&s->dense);
	pare_free(s->points);
	pare_free(s->layers);
	pare_free(s->curves);
	pare_free(s->by_layer);
	pare_free(s->wholes);
	pare_free(s);
}
