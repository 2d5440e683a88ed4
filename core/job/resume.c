/* Keeping the state of a job, and going on from one that was kept.
 *
 * A checkpoint is taken where nothing is under way: at the end of an epoch, of the masking of a pruning round, of a try of a search, of a step. What runs between two of those is
 * a function of the state and of streams of random numbers that are named by where they are drawn (step, stage, epoch, fold), so a resumed job ends in the same
 * bytes. Going on is walking down the recipe again: each level (step, fold, step of the fold, round, epoch) finds its place in r->resume instead of
 * at its beginning, and the deepest forgets it. Rejected: replaying the recipe without computing, which would need a second meaning for every step.
 *
 * How often is a matter of time and never of results: not sooner than the interval after the last, and so that writing takes at most a twentieth of the time. A
 * checkpoint that cannot be written is a warning, one that does not fit is a warning and a job that begins anew. */
#include <limits.h>
#include <math.h>
#include <string.h>
#include <unistd.h>
#include <zlib.h>

#include "core/base/mem.h"
#include "core/job/job_priv.h"
#include "core/recipe/json_text.h"

#define COST_SHARE 20.0 /* of the time between two checkpoints, one part may be spent on writing */
#define STRETCH_MAX 5.0 /* but the interval grows to no more than so many of what was asked for */

/* --- whose checkpoint */

static uint32_t crc_of_role(const struct job_worker *w, const char *role)
{
	uint32_t crc = 0;

	for (int i = 0; i < w->start.n_inputs; i++) {
		const struct pare_msg_input *in = &w->start.inputs[i];

		if (strcmp(in->role, role) != 0)
			continue;
		crc = (uint32_t)crc32_z(crc, (const uint8_t *)in->name, strlen(in->name) + 1);
		crc = (uint32_t)crc32_z(crc, w->spans[i].data, w->spans[i].len);
	}
	return crc;
}

/* Reads all inputs once: only when a checkpoint is written or read. */
static void know_job(struct job_run *r)
{
	struct pare_checkpoint *c = &r->whose;

	if (c->program != NULL)
		return;
	c->job = (uint32_t)crc32_z(0, (const uint8_t *)r->w->start.job, strlen(r->w->start.job));
	c->model = crc_of_role(r->w, "model");
	c->teacher = crc_of_role(r->w, "teacher");
	c->data = crc_of_role(r->w, "data");
	c->threads = r->threads;
	c->program = PARE_VERSION;
	c->program_len = (int64_t)strlen(c->program);
}

static enum pare_code check_owner(const struct pare_checkpoint *c, const struct pare_checkpoint *us, struct pare_err *err)
{
	const struct {
		int64_t theirs, ours;
		const char *what;
	} rows[] = {{c->threads, us->threads, "another number of threads"}, {c->job, us->job, "another job"}, {c->model, us->model, "another model"},
	    {c->teacher, us->teacher, "another teacher"}, {c->data, us->data, "another data set"}};

	if (c->program_len != us->program_len || memcmp(c->program, us->program, (size_t)us->program_len) != 0)
		return pare_err_set(err, PARE_E_CHECKPOINT, NULL, "it was made by version %.*s of the program; this is %s", (int)c->program_len,
		    c->program != NULL ? c->program : "", us->program);
	for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
		if (rows[i].theirs != rows[i].ours)
			return pare_err_set(err, PARE_E_CHECKPOINT, NULL, "it was made with %s", rows[i].what);
	return PARE_OK;
}

/* --- is the place one of this recipe's, and the state one of this net's? */

static enum pare_code bad(struct pare_err *err, const char *what)
{
	return pare_err_set(err, PARE_E_CHECKPOINT, NULL, "its state is none of this job's: %s", what);
}

static bool is_step(const struct pare_args *a, const char *name)
{
	return strcmp(a->method->name, name) == 0;
}

static enum pare_code check_place(const struct job_run *r, const struct pare_checkpoint *c, struct pare_err *err)
{
	size_t n = pare_job_n_steps(r->job), step = (size_t)c->step;
	const struct pare_args *a = step < n ? pare_job_step(r->job, step) : NULL;

	if (c->aside != (c->fold > 0 || c->n_points > 0) || (c->has_fold_dense != 0 && c->fold == 0))
		return bad(err, "a fold without what it returns to");
	if (c->fold == 0 && c->round == 0 && c->epoch == 0)
		return step <= n && c->n_points == 0 && c->n_state == 0 && c->has_best == 0 ? PARE_OK : bad(err, "there is no such step");
	if (a == NULL)
		return bad(err, "there is no such step");
	if (is_step(a, "search"))
		return job_search_fits(c, a) ? PARE_OK : bad(err, "there is no such try of the search");
	if (c->n_points > 0)
		return bad(err, "the step does not search");
	if (c->fold > 0) {
		if (!is_step(a, "evaluate") || !pare_args_has(a, "folds") || c->fold > pare_args_int(a, "folds") || (size_t)c->inner >= step)
			return bad(err, "there is no such fold");
		a = pare_job_step(r->job, (size_t)c->inner);
	}
	if (c->round > 0) {
		if (!is_step(a, "prune") || c->round > job_n_rounds(a))
			return bad(err, "there is no such round");
		a = pare_args_obj(a, "recover");
	} else if (!is_step(a, "train")) {
		return bad(err, "the step does not train");
	}
	if (c->epoch == 0)
		return c->round > 0 && c->n_state == 0 && c->has_best == 0 ? PARE_OK : bad(err, "a training run that has not begun");
	return a != NULL && c->epoch <= pare_args_int(a, "epochs") ? PARE_OK : bad(err, "there is no such epoch");
}

/* Does element i of a parameter belong to what a cut has removed? */
static bool is_cut(const struct job_run *r, const struct pare_param_info *p, size_t i, const uint8_t *cut)
{
	size_t inner = p->n_elems;

	for (int axis = 0; cut != NULL && axis < p->n_dims; axis++) {
		size_t len = (size_t)p->dims[axis];
		uint32_t base = r->cut.slices.base[(size_t)p->value * PARE_MAX_DIMS + (size_t)axis];

		inner /= len;
		if (base != PARE_NO_SLICE && cut[base + i / inner % len] != 0)
			return true;
	}
	return false;
}

/* Only weights may be masked, and of other parameters what went with a structure; cut: of the same moment, NULL if there is none. */
static bool mask_fits(const struct job_run *r, const uint8_t *mask, const uint8_t *cut)
{
	size_t at = 0, len = pare_net_slab_len(r->net);

	for (int p = 0; mask != NULL && p < pare_net_n_params(r->net); p++) {
		const struct pare_param_info *info = pare_net_param(r->net, p);

		if (info->offset > at && memchr(mask + at, 0, info->offset - at) != NULL)
			return false;
		at = info->offset + info->n_elems;
		for (size_t i = 0; !info->prunable && i < info->n_elems; i++)
			if (mask[info->offset + i] == 0 && !is_cut(r, info, i, cut))
				return false;
	}
	return mask == NULL || len == at || memchr(mask + at, 0, len - at) == NULL;
}

static bool states_fit(const struct job_run *r, const struct pare_checkpoint *c)
{
	bool fit = c->states_len == c->n_states * c->slab_len && c->states_slices == c->n_states * c->n_slices;

	for (int64_t i = 0; fit && i < c->n_states; i++)
		fit = mask_fits(r, c->state_masks + i * c->slab_len, c->n_slices > 0 && c->state_cuts != NULL ? c->state_cuts + i * c->n_slices : NULL);
	return fit;
}

static enum pare_code check_state(const struct job_run *r, const struct pare_checkpoint *c, struct pare_err *err)
{
	if ((size_t)c->slab_len != pare_net_slab_len(r->net) || c->n_slices != (r->cut.gone != NULL ? (int64_t)r->cut.slices.n : 0))
		return bad(err, "the model has another structure");
	if (!mask_fits(r, c->mask, c->cut) || !mask_fits(r, c->kept_mask, c->kept_cut) || !mask_fits(r, c->before, c->cut))
		return bad(err, "a mask covers what is no weight");
	if (!states_fit(r, c))
		return bad(err, "the models of a search have another structure");
	if (c->n_records > r->max_records || c->history_n > JOB_HISTORY)
		return bad(err, "it has seen more than the job can show");
	for (int64_t i = 0; i < c->n_records; i++)
		if (!(c->records[i * PARE_CHECKPOINT_RECORD] >= 0 && c->records[i * PARE_CHECKPOINT_RECORD] < (double)pare_job_n_steps(r->job)))
			return bad(err, "a figure of a step that there is not");
	return PARE_OK;
}

/* --- figures as rows of doubles */

static void pack_record(const struct job_record *rec, double *out)
{
	const double row[PARE_CHECKPOINT_RECORD] = {(double)rec->step, rec->round, rec->folds, rec->sparsity, rec->accuracy, rec->loss, rec->low, rec->high};

	memcpy(out, row, sizeof row);
}

static int small(double v)
{
	return v >= 0 && v < INT_MAX ? (int)v : 0;
}

static struct job_record unpack_record(const double *row)
{
	return (struct job_record){.step = (size_t)small(row[0]), .round = small(row[1]), .folds = small(row[2]), .sparsity = row[3], .accuracy = row[4], .loss = row[5],
	    .low = row[6], .high = row[7]};
}

/* --- keeping */

static void describe(const struct job_run *r, const struct pare_train_state *t, bool step_done, struct pare_checkpoint *c)
{
	const struct job_history *h = &r->history;
	const struct job_outer *o = &r->outer;
	const struct job_past *past = &r->past[r->fold > 0];
	bool trial = r->trial > 0, in_fold = r->fold > 0 && !trial; /* a fold of a sweep is a run of its own */
	const double *const columns[PARE_CHECKPOINT_HISTORY] = {h->epochs, h->train_loss, h->loss, h->accuracy, h->sparsity};

	*c = r->whose;
	c->step = (int64_t)r->step + (step_done ? 1 : 0);
	c->fold = in_fold ? r->fold : 0;
	c->inner = in_fold ? (int64_t)r->inner : 0;
	c->round = r->round;
	c->stage = r->stage;
	c->from = r->from;
	c->units_before = r->units_before;
	c->units_step = step_done ? 0 : r->units_step;
	c->elapsed_ns = pare_job_env.tick_ns(NULL) - r->started_ns;
	c->slab_len = (int64_t)pare_net_slab_len(r->net);
	c->slab = pare_net_slab(r->net);
	c->source_len = (int64_t)r->factored.len;
	c->source = r->factored.trained;
	c->source_slices = (int64_t)r->factored.n_slices;
	c->source_cut = r->factored.gone;
	c->has_source_dense = r->factored.dense != NULL;
	c->source_dense = r->factored.dense;
	c->has_dense = trial && r->fold > 0 ? r->has_fold_dense : r->has_dense;
	c->dense = trial && r->fold > 0 ? r->fold_dense : r->dense;
	c->has_before = r->before != NULL;
	c->before = r->before;
	c->mask_any = r->mask.any;
	c->mask = r->mask.keep;
	c->n_slices = r->cut.gone != NULL ? (int64_t)r->cut.slices.n : 0;
	c->cut_any = r->cut.gone != NULL && r->cut.any;
	c->cut = r->cut.gone;
	c->aside = in_fold || job_search_under_way(r);
	c->kept = r->kept;
	c->has_fold_dense = in_fold && r->has_fold_dense;
	c->fold_dense = r->fold_dense;
	c->kept_mask_any = c->aside != 0 && o->any;
	c->kept_mask = o->keep;
	c->kept_cut_any = c->aside != 0 && o->cut.gone != NULL && o->cut.any;
	c->kept_cut = o->cut.gone;
	c->kept_stage = c->aside != 0 ? o->stage : 0;
	c->has_early = past->has_early;
	c->early = past->early;
	c->has_moved = past->moved != NULL;
	c->moved = past->moved;
	c->has_kept_early = in_fold && r->past[0].has_early;
	c->kept_early = r->past[0].early;
	c->has_kept_moved = in_fold && r->past[0].moved != NULL;
	c->kept_moved = r->past[0].moved;
	if (t != NULL) {
		c->epoch = t->epoch;
		c->n_state = t->n_state;
		memcpy(c->state, t->state, sizeof c->state);
		c->has_best = t->best != NULL;
		c->best = t->best;
		c->best_accuracy = t->best_accuracy;
		c->best_loss = t->best_loss;
		c->stop_loss = t->stop_loss;
		c->since = t->since;
	}
	c->n_records = r->n_records;
	c->history_n = h->n;
	c->history_stride = h->stride;
	c->history_skipped = h->skipped;
	c->history_done = h->done;
	memcpy(c->history, columns, sizeof c->history);
}

static void write_place(const struct job_run *r, const struct pare_checkpoint *c, struct pare_buf *b)
{
	int64_t n = (int64_t)pare_job_n_steps(r->job);

	pare_json_key_int(b, "step", c->step < n ? c->step + 1 : n);
	pare_json_key_int(b, "steps", n);
	pare_json_key_int(b, "fold", c->fold);
	pare_json_key_int(b, "round", c->round);
	pare_json_key_int(b, "epoch", c->epoch);
	if (r->sweep != NULL)
		pare_json_key_int(b, "trials", c->n_trials);
	pare_json_key_num(b, "elapsed_seconds", floor((double)c->elapsed_ns * 1e-6) * 1e-3);
}

static enum pare_code tell(struct job_run *r, const char *event, const struct pare_checkpoint *c, int64_t bytes, struct pare_err *err)
{
	struct pare_buf b;

	pare_buf_init(&b, 65536);
	pare_buf_str(&b, "{");
	write_place(r, c, &b);
	if (bytes > 0)
		pare_json_key_int(&b, "bytes", bytes);
	return job_send_event(r, event, &b, err);
}

static enum pare_code warn(struct job_run *r, const char *what, const struct pare_err *why, struct pare_err *err)
{
	struct pare_buf b, text;
	enum pare_code code;

	pare_buf_init(&b, 65536);
	pare_buf_init(&text, 4096);
	pare_buf_printf(&text, "%s: %s%s%s", what, why->message, why->where[0] != '\0' ? "; at " : "", why->where);
	pare_buf_str(&b, "{");
	pare_json_key_str(&b, "level", "warning");
	pare_json_key_str(&b, "message", text.data != NULL ? text.data : what);
	code = job_send_event(r, "log", &b, err);
	pare_buf_done(&text);
	return code;
}

/* Between the runs of a sweep the job has no state but what came of them. */
static void describe_sweep(const struct job_run *r, struct pare_checkpoint *c)
{
	*c = r->whose;
	c->elapsed_ns = pare_job_env.tick_ns(NULL) - r->started_ns;
}

/* *out_bytes: written and handed over. */
static enum pare_code write_out(struct job_run *r, struct pare_checkpoint *c, int64_t *out_bytes, struct pare_err *err)
{
	double fold_record[PARE_CHECKPOINT_RECORD], *records = pare_calloc((size_t)r->n_records + 1, PARE_CHECKPOINT_RECORD * sizeof *records);
	struct job_search_copies copies = {NULL, NULL, NULL, NULL};
	enum pare_code code = PARE_OK;
	int fd = -1;

	if (records == NULL)
		return pare_err_nomem(err, 0);
	if (r->search != NULL)
		code = job_search_describe(r, c, &copies, err);
	if (code == PARE_OK)
		code = job_sweep_describe(r, c, err);
	for (int i = 0; i < r->n_records; i++)
		pack_record(&r->records[i], records + (size_t)i * PARE_CHECKPOINT_RECORD);
	pack_record(&r->outer.rec, fold_record);
	c->records = records;
	c->fold_record = fold_record;
	if (code == PARE_OK)
		code = pare_link_open(&r->w->link, PARE_CHECKPOINT_OUTPUT, "application/octet-stream", &fd, err);
	if (code == PARE_OK)
		code = pare_checkpoint_write(c, fd, out_bytes, err);
	if (fd >= 0)
		(void)close(fd);
	pare_free(records);
	pare_free((void *)(uintptr_t)c->trials);
	c->trials = NULL;
	job_search_copies_done(&copies);
	return code;
}

enum pare_code job_keep(struct job_run *r, const struct pare_train_state *t, bool step_done, struct pare_err *err)
{
	int64_t begun = pare_job_env.tick_ns(NULL), bytes = 0;
	double interval = (double)r->w->start.checkpoint_ms * 1e6;
	struct pare_checkpoint c;
	struct pare_err why;
	enum pare_code code;

	if (r->w->start.checkpoint_ms <= 0 || (begun < r->keep_at_ns && !job_keep_requested(false)))
		return PARE_OK;
	if (r->search != NULL && (t != NULL || step_done || !job_search_under_way(r))) /* within a try, or after the search */
		return PARE_OK;
	know_job(r);
	if (r->in_sweep && r->trial == 0)
		describe_sweep(r, &c);
	else
		describe(r, t, step_done, &c);
	c.in_sweep = r->in_sweep;
	if (r->trial > 0)
		job_trial_describe(r, &c);
	if (r->search == NULL && check_place(r, &c, &why) != PARE_OK) /* within a step that has a state of its own */
		return PARE_OK;
	code = write_out(r, &c, &bytes, &why);
	if (code == PARE_OK)
		code = tell(r, "checkpoint", &c, bytes, err);
	else
		code = r->w->link.broken ? job_check_canceled(r->w, err) : warn(r, "no checkpoint could be written", &why, err);
	(void)job_keep_requested(true);
	r->keep_at_ns = pare_job_env.tick_ns(NULL);
	r->keep_at_ns += (int64_t)fmin(fmax(interval, COST_SHARE * (double)(r->keep_at_ns - begun)), STRETCH_MAX * interval);
	return code;
}

/* --- going on */

static void take_history(struct job_run *r, const struct pare_checkpoint *c)
{
	struct job_history *h = &r->history;
	double *const columns[PARE_CHECKPOINT_HISTORY] = {h->epochs, h->train_loss, h->loss, h->accuracy, h->sparsity};

	for (size_t i = 0; i < PARE_CHECKPOINT_HISTORY && c->history_n > 0; i++)
		memcpy(columns[i], c->history[i], (size_t)c->history_n * sizeof(double));
	h->n = (int)c->history_n;
	h->stride = (int)c->history_stride;
	h->skipped = (int)c->history_skipped;
	h->done = c->history_done;
	for (int64_t i = 0; i < c->n_records; i++)
		r->records[i] = unpack_record(c->records + i * PARE_CHECKPOINT_RECORD);
	r->n_records = (int)c->n_records;
}

static void set_mask(uint8_t *keep, size_t len, const uint8_t *from)
{
	if (from != NULL)
		memcpy(keep, from, len);
	else
		memset(keep, 1, len);
}

static bool set_cut(struct pare_cut *cut, const uint8_t *from)
{
	if (cut->gone != NULL && from != NULL)
		return pare_cut_set(cut, from);
	if (cut->gone != NULL)
		pare_cut_clear(cut);
	return true;
}

static void set_past(const struct job_run *r, struct job_past *past, const float *early, const float *moved)
{
	size_t bytes = pare_net_slab_len(r->net) * sizeof(float);

	past->has_early = early != NULL && past->early != NULL;
	if (past->has_early)
		memcpy(past->early, early, bytes);
	if (past->moved != NULL && moved != NULL)
		memcpy(past->moved, moved, bytes);
}

/* The dense weights, where the run that is under way keeps them; NULL: it has none. */
static enum pare_code set_dense(struct job_run *r, const float *from, struct pare_err *err)
{
	bool own_fold = r->trial > 0 && r->fold > 0;
	float **to = own_fold ? &r->fold_dense : &r->dense;
	size_t bytes = pare_net_slab_len(r->net) * sizeof **to;

	*(own_fold ? &r->has_fold_dense : &r->has_dense) = from != NULL;
	if (from == NULL)
		return PARE_OK;
	if (*to == NULL)
		*to = pare_alloc(bytes);
	if (*to == NULL)
		return pare_err_nomem(err, bytes);
	memcpy(*to, from, bytes);
	return PARE_OK;
}

static enum pare_code take(struct job_run *r, const struct pare_checkpoint *c, struct pare_err *err)
{
	bool own_fold = r->trial > 0 && r->fold > 0;
	size_t bytes = pare_net_slab_len(r->net) * sizeof(float);
	enum pare_code code = set_dense(r, c->dense, err);

	if (code != PARE_OK)
		return code;
	memcpy(pare_net_slab(r->net), c->slab, bytes);
	set_mask(r->mask.keep, r->mask.len, c->mask);
	r->mask.any = c->mask_any != 0;
	set_past(r, &r->past[c->fold > 0 || own_fold], c->early, c->moved);
	if (c->fold > 0)
		set_past(r, &r->past[0], c->kept_early, c->kept_moved);
	r->stage = (int)c->stage;
	r->first_step = (size_t)c->step;
	r->units_before = c->units_before;
	take_history(r, c);
	if (c->fold > 0 || c->round > 0 || c->epoch > 0)
		r->resume = c;
	return PARE_OK;
}

/* A state of the factorized net needs that net, which is made of the one that it was. */
static enum pare_code take_source(struct job_run *r, const struct pare_checkpoint *c, struct pare_err *err)
{
	bool factorized = job_factorized_later(r, (size_t)c->step);
	enum pare_code code;

	if ((size_t)c->source_len != (factorized ? pare_net_slab_len(r->net) : 0) || (!factorized && c->has_source_dense != 0))
		return bad(err, "the model that was factorized has another structure");
	if (c->source_slices != 0 && (!factorized || r->cut.gone == NULL || c->source_slices != (int64_t)r->cut.slices.n))
		return bad(err, "the model that was factorized has other structures");
	if (!factorized)
		return PARE_OK;
	memcpy(pare_net_slab(r->net), c->source, pare_net_slab_len(r->net) * sizeof *c->source);
	if (!set_cut(&r->cut, c->source_cut))
		return bad(err, "an axis that is removed as a whole");
	code = set_dense(r, c->source_dense, err);
	return code == PARE_OK ? job_factorize_again(r, err) : code;
}

static enum pare_code begin_anew(struct job_run *r, const struct pare_err *why, struct pare_err *err)
{
	r->has_came = false;
	if (job_unfactorize(r, err) != PARE_OK)
		return err->code;
	memcpy(pare_net_slab(r->net), r->input, pare_net_slab_len(r->net) * sizeof *r->input);
	if (r->cut.gone != NULL)
		pare_cut_clear(&r->cut);
	r->has_dense = r->has_fold_dense = false;
	return warn(r, "the checkpoint is not used and the job begins anew", why, err);
}

enum pare_code job_resume_open(struct job_run *r, struct pare_err *err)
{
	struct pare_checkpoint *c = &r->came;
	struct pare_err why;
	enum pare_code code = PARE_OK;
	int i = 0;

	r->keep_at_ns = r->started_ns + r->w->start.checkpoint_ms * 1000000;
	while (i < r->w->start.n_inputs && strcmp(r->w->start.inputs[i].role, "checkpoint") != 0)
		i++;
	if (i == r->w->start.n_inputs)
		return PARE_OK;
	know_job(r);
	code = pare_checkpoint_read(r->w->spans[i], c, &why);
	if (code == PARE_OK)
		code = check_owner(c, &r->whose, &why);
	if (code == PARE_OK && r->sweep == NULL && (c->in_sweep != 0 || c->in_trial != 0 || c->n_trials > 0))
		code = bad(&why, "the job has no sweep");
	if (code == PARE_OK && r->sweep != NULL && r->w->start.trials == NULL)
		code = job_sweep_take(r, c, &why);
	if (code != PARE_OK)
		return begin_anew(r, &why, err);
	r->has_came = c->in_sweep == 0 || c->in_trial != 0;
	r->started_ns -= c->elapsed_ns;
	if (c->in_sweep == 0)
		return PARE_OK;
	return tell(r, "resumed", c, 0, err);
}

enum pare_code job_resume(struct job_run *r, bool *out_resumed, struct pare_err *err)
{
	struct pare_checkpoint *c = &r->came;
	struct pare_err why;
	enum pare_code code = PARE_OK;

	*out_resumed = false;
	if (!r->has_came || (c->in_trial != 0) != (r->trial > 0))
		return PARE_OK;
	code = check_place(r, c, &why);
	if (code == PARE_OK)
		code = take_source(r, c, &why);
	if (code == PARE_OK)
		code = check_state(r, c, &why);
	if (code == PARE_OK && !set_cut(&r->cut, c->cut))
		code = bad(&why, "an axis that is removed as a whole");
	if (code == PARE_OK)
		code = take(r, c, &why);
	if (code != PARE_OK)
		return begin_anew(r, &why, err);
	*out_resumed = true;
	r->has_came = false;
	return c->in_sweep == 0 ? tell(r, "resumed", c, 0, err) : PARE_OK;
}

enum pare_code job_resume_fold(struct job_run *r, struct pare_err *err)
{
	const struct pare_checkpoint *c = r->resume;
	struct job_outer *o = &r->outer;

	memcpy(r->kept, c->kept, pare_net_slab_len(r->net) * sizeof *r->kept);
	set_mask(o->keep, r->mask.len, c->kept_mask);
	o->any = c->kept_mask_any != 0;
	o->stage = (int)c->kept_stage;
	o->rec = unpack_record(c->fold_record);
	r->has_fold_dense = c->has_fold_dense != 0;
	if (r->has_fold_dense && r->fold_dense == NULL)
		r->fold_dense = pare_alloc(pare_net_slab_len(r->net) * sizeof *r->fold_dense);
	if (r->has_fold_dense && r->fold_dense == NULL)
		return pare_err_nomem(err, 0);
	if (r->has_fold_dense)
		memcpy(r->fold_dense, c->fold_dense, pare_net_slab_len(r->net) * sizeof *r->fold_dense);
	if (!set_cut(&r->cut, c->cut) || !set_cut(&o->cut, c->kept_cut))
		return bad(err, "an axis that is removed as a whole");
	return PARE_OK;
}

enum pare_code job_resume_search(struct job_run *r, struct pare_err *err)
{
	const struct pare_checkpoint *c = r->resume;

	memcpy(pare_net_slab(r->net), c->kept, pare_net_slab_len(r->net) * sizeof *c->kept);
	set_mask(r->mask.keep, r->mask.len, c->kept_mask);
	r->mask.any = c->kept_mask_any != 0;
	return set_cut(&r->cut, c->kept_cut) ? PARE_OK : bad(err, "an axis that is removed as a whole");
}

bool job_resume_training(struct job_run *r, struct pare_train_state *out)
{
	const struct pare_checkpoint *c = r->resume;

	r->resume = NULL; /* this is the deepest level */
	if (c == NULL || c->epoch == 0)
		return false;
	*out = (struct pare_train_state){.epoch = (int)c->epoch, .n_state = (int)c->n_state, .state = {c->state[0], c->state[1], c->state[2], c->state[3], c->state[4]}, .best = c->best,
	    .best_accuracy = c->best_accuracy, .best_loss = c->best_loss, .stop_loss = c->stop_loss, .since = (int)c->since};
	return true;
}
