/* A search in a checkpoint: the models tried so far, by number, and the weights of those that keep theirs.
 *
 * The walk is a function of how its tries came out, so it is not stored. A search that goes on begins at the weights that it began with, finds its
 * bounds and sensitivities again (a few evaluations), and walks; tries that it has made before come out of the checkpoint instead of training, and the
 * first new one is the next. Storing the walk itself was rejected: it would be one more thing that has to agree with the points. Checkpoints stand
 * between tries, at the top level of the recipe only. */
#include <string.h>

#include "core/base/mem.h"
#include "core/base/num.h"
#include "core/job/search_priv.h"

enum { P_ROUND, P_HELD, P_STATE, P_ANY, P_SPARSITY, P_SIZE, P_WEIGHTS, P_BYTES, P_MACS, P_LOSS, P_EPOCHS, P_VALUE, P_DROP, P_LOW, P_HIGH, P_JUDGED, N_FIGURES };
_Static_assert(N_FIGURES == PARE_CHECKPOINT_POINT, "a point is that many figures");

static void pack(const struct job_point *p, double *out)
{
	const double row[N_FIGURES] = {[P_ROUND] = p->round, [P_HELD] = p->held, [P_STATE] = p->state.slab != NULL, [P_ANY] = p->state.any, [P_SPARSITY] = p->sparsity,
	    [P_SIZE] = p->size, [P_WEIGHTS] = (double)p->n_weights, [P_BYTES] = (double)p->bytes, [P_MACS] = p->macs, [P_LOSS] = p->loss, [P_EPOCHS] = p->epochs,
	    [P_VALUE] = p->validation.value, [P_DROP] = p->validation.drop, [P_LOW] = p->validation.low, [P_HIGH] = p->validation.high, [P_JUDGED] = p->validation.judged};

	memcpy(out, row, sizeof row);
}

static double bounded(double v)
{
	return v >= 0 && v < 9e15 ? v : 0;
}

static struct job_point unpack(const double *row)
{
	return (struct job_point){.round = (int)(bounded(row[P_ROUND]) < 1e6 ? row[P_ROUND] : 0), .held = row[P_HELD] > 0, .sparsity = row[P_SPARSITY], .size = row[P_SIZE],
	    .n_weights = (int64_t)bounded(row[P_WEIGHTS]), .bytes = (int64_t)bounded(row[P_BYTES]), .macs = row[P_MACS], .loss = row[P_LOSS],
	    .epochs = bounded(row[P_EPOCHS]) < 1e9 ? (int)bounded(row[P_EPOCHS]) : 0,
	    .validation = {.value = row[P_VALUE], .drop = row[P_DROP], .low = row[P_LOW], .high = row[P_HIGH], .judged = row[P_JUDGED]}};
}

static size_t n_slices(const struct job_run *r)
{
	return r->cut.gone != NULL ? r->cut.slices.n : 0;
}

bool job_search_under_way(const struct job_run *r)
{
	return r->search != NULL && r->search->step == r->step && r->fold == 0 && r->round > 0;
}

bool job_search_fits(const struct pare_checkpoint *c, const struct pare_args *search)
{
	return c->fold == 0 && c->epoch == 0 && c->n_state == 0 && c->has_best == 0 && c->has_before == 0 && c->n_points >= 2 && c->n_points <= 1 + job_n_tries(search) && c->round >= 1 &&
	    c->round <= job_n_tries(search) + 2 && c->n_states <= pare_args_int(search, "front") + 2;
}

/* --- keeping */

enum pare_code job_search_describe(const struct job_run *r, struct pare_checkpoint *c, struct job_search_copies *m, struct pare_err *err)
{
	const struct job_search *s = r->search;
	size_t len = pare_net_slab_len(r->net), slices = n_slices(r), n = 0, floats, bytes;

	for (int i = 0; i < s->n_points; i++)
		n += s->points[i].state.slab != NULL;
	if (!pare_mul_size(n, len, &floats) || !pare_mul_size(floats, sizeof(float), &bytes))
		return pare_err_set(err, PARE_E_LIMIT, NULL, "the states of the search are too large for a checkpoint");
	m->points = pare_calloc((size_t)s->n_points, PARE_CHECKPOINT_POINT * sizeof *m->points);
	m->states = pare_alloc(bytes);
	m->masks = pare_alloc(floats);
	m->cuts = pare_calloc(n + 1, slices + 1);
	if (m->points == NULL || m->states == NULL || m->masks == NULL || m->cuts == NULL)
		return pare_err_nomem(err, bytes);
	n = 0;
	for (int i = 0; i < s->n_points; i++) {
		const struct job_state *state = &s->points[i].state;

		pack(&s->points[i], m->points + (size_t)i * PARE_CHECKPOINT_POINT);
		if (state->slab == NULL)
			continue;
		memcpy(m->states + n * len, state->slab, len * sizeof *m->states);
		memcpy(m->masks + n * len, state->keep, len);
		if (slices > 0)
			memcpy(m->cuts + n * slices, state->cut.gone, slices);
		n++;
	}
	c->n_points = s->n_points;
	c->n_states = (int64_t)n;
	c->states_len = (int64_t)(n * len);
	c->states_slices = (int64_t)(n * slices);
	c->points = m->points;
	c->states = m->states;
	c->state_masks = m->masks;
	c->state_cuts = m->cuts;
	return PARE_OK;
}

void job_search_copies_done(struct job_search_copies *m)
{
	pare_free(m->points);
	pare_free(m->states);
	pare_free(m->masks);
	pare_free(m->cuts);
}

/* --- going on */

enum pare_code job_search_begin(struct job_run *r, struct pare_err *err)
{
	struct job_outer *o = &r->outer;
	size_t bytes = pare_net_slab_len(r->net) * sizeof *r->kept;
	enum pare_code code = PARE_OK;

	if (r->fold > 0) /* what is aside is the fold's */
		return PARE_OK;
	if (o->keep == NULL)
		o->keep = pare_alloc(r->mask.len);
	if (o->keep == NULL)
		return pare_err_nomem(err, r->mask.len);
	if (r->resume != NULL)
		code = job_resume_search(r, err);
	if (code == PARE_OK && r->cut.gone != NULL)
		code = pare_cut_init(&o->cut, r->net, err);
	if (code != PARE_OK)
		return code;
	if (r->cut.gone != NULL)
		pare_cut_copy(&o->cut, &r->cut);
	memcpy(r->kept, pare_net_slab(r->net), bytes);
	memcpy(o->keep, r->mask.keep, r->mask.len);
	o->any = r->mask.any;
	o->stage = r->stage;
	return PARE_OK;
}

void job_search_end(struct job_run *r)
{
	pare_cut_done(&r->outer.cut);
	memset(&r->outer.cut, 0, sizeof r->outer.cut);
}

void job_search_replay(struct job_run *r)
{
	r->search->replay = r->resume;
	r->resume = NULL;
}

static enum pare_code take_state(struct job_run *r, const struct pare_checkpoint *c, int point, struct job_state *out, struct pare_err *err)
{
	size_t len = pare_net_slab_len(r->net), n = 0;
	enum pare_code code;

	for (int i = 0; i < point; i++)
		n += c->points[i * PARE_CHECKPOINT_POINT + P_STATE] > 0;
	if ((int64_t)n >= c->n_states)
		return pare_err_set(err, PARE_E_CHECKPOINT, NULL, "a model of the search is missing");
	code = job_state_save(r, out, err); /* for its memory */
	if (code != PARE_OK)
		return code;
	memcpy(out->slab, c->states + n * len, len * sizeof *out->slab);
	memcpy(out->keep, c->state_masks + n * len, len);
	out->any = c->points[point * PARE_CHECKPOINT_POINT + P_ANY] > 0;
	if (n_slices(r) > 0 && !pare_cut_set(&out->cut, c->state_cuts + n * n_slices(r)))
		return pare_err_set(err, PARE_E_CHECKPOINT, NULL, "a model of the search has an axis that is removed as a whole");
	return PARE_OK;
}

enum pare_code job_search_recall(struct job_run *r, struct job_point *p, bool *out_same, struct pare_err *err)
{
	struct job_search *s = r->search;
	const struct pare_checkpoint *c = s->replay;
	const double *row = c->points + (size_t)s->n_points * PARE_CHECKPOINT_POINT;
	enum pare_code code = PARE_OK;

	*p = unpack(row);
	*out_same = p->round != r->round; /* that try left no model */
	if (*out_same)
		return PARE_OK;
	s->n_points++;
	if (row[P_STATE] > 0)
		code = take_state(r, c, s->n_points - 1, &p->state, err);
	if (s->n_points < c->n_points)
		return code;
	s->replay = NULL;
	if (!(c->points[P_STATE] > 0))
		job_state_done(&s->points[0].state);
	return code;
}
