/* A job without a data set: weights are pruned where they stand in the model's files, by what they are alone. Nothing is executed, so any
 * model that can be read will do, whatever its operators, and nothing is loaded: the inputs are mapped, selection passes over the mapping, and
 * the files leave in pieces with zeros in the place of what went. What memory has to hold is one bit per weight.
 *
 * The artifacts are the files that came: the model (as model.onnx) and its external data under their own names, with every value at its
 * place. */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "core/base/mem.h"
#include "core/job/stored.h"
#include "core/onnx/onnx.h"

#define WRITE_UNITS 1.0 /* of the progress, in rounds */

static enum pare_code open_files(struct job_stored *s, struct pare_err *err)
{
	struct job_run *r = s->r;
	enum pare_code code = job_model_files(r->w, "model", &r->file, r->side, &r->n_side, err);

	if (code == PARE_OK)
		code = pare_onnx_read(r->file, &r->model, err);
	if (code == PARE_OK)
		code = pare_onnx_inventory(r->model, r->side, r->n_side, &s->v, err);
	if (code == PARE_OK)
		code = job_check_side(r, err);
	if (code == PARE_OK)
		code = pare_stored_init(&s->stored, &s->v, err);
	if (code != PARE_OK)
		return code;
	s->n_dense = pare_calloc((size_t)s->v.n + 1, sizeof *s->n_dense);
	s->n_left = pare_calloc((size_t)s->v.n + 1, sizeof *s->n_left);
	return s->n_dense != NULL && s->n_left != NULL ? PARE_OK : pare_err_nomem(err, 0);
}

static const uint8_t *keep_of(void *ctx, int p, size_t first, size_t n, uint8_t *room)
{
	return pare_stored_keep(&((struct job_stored *)ctx)->stored, p, first, n, room);
}

/* Non-zero values of each tensor: before the first step, and as they are left. */
static void count(struct job_stored *s, int64_t *out)
{
	uint8_t room[PARE_SCORE_BLOCK];

	for (int p = 0; p < s->v.n; p++) {
		size_t n, n_elems = s->v.weights[p].info.n_elems;

		out[p] = 0;
		for (size_t at = 0; at < n_elems; at += n) {
			n = n_elems - at < sizeof room ? n_elems - at : sizeof room;
			out[p] += (int64_t)pare_weight_nonzero(&s->v.weights[p], at, n, keep_of(s, p, at, n, room));
		}
	}
}

void job_stored_total(const struct job_stored *s, const int64_t *nonzero, struct job_stored_total *out)
{
	*out = (struct job_stored_total){.n_params = s->v.n_params, .n_weights = s->v.n_weights};
	for (int p = 0; p < s->v.n; p++) {
		out->n_nonzero_params += nonzero[p];
		out->n_nonzero_weights += s->v.weights[p].info.prunable ? nonzero[p] : 0;
	}
}

static enum pare_code prune_step(struct job_stored *s, const struct pare_args *args, struct pare_err *err)
{
	struct job_run *r = s->r;
	struct pare_prune_options o;
	struct job_stored_total now;
	double from;
	enum pare_code code = job_prune_options(args, &o, err);

	if (code != PARE_OK)
		return code;
	job_prune_unit(&o, args);
	count(s, s->n_left);
	job_stored_total(s, s->n_left, &now);
	from = job_prune_start(args, now.n_weights > 0 ? 1 - (double)now.n_nonzero_weights / (double)now.n_weights : 0);
	r->rounds = job_n_rounds(args);
	for (r->round = 1; r->round <= r->rounds && code == PARE_OK; r->round++) {
		job_prune_amount(&o, args, from, r->round, r->rounds);
		o.seed = job_prune_seed(r);
		code = job_check_canceled(r->w, err);
		if (code == PARE_OK)
			code = pare_prune_tensors(&s->stored.tensors, &o, err);
		r->units_before++;
		if (code == PARE_OK)
			code = job_progress(r, 0, 0, 0, true, err);
	}
	r->round = r->rounds = 0;
	return code;
}

static enum pare_code run_steps(struct job_stored *s, struct pare_err *err)
{
	struct job_run *r = s->r;
	enum pare_code code = PARE_OK;

	r->units_total = WRITE_UNITS;
	for (size_t i = 0; i < pare_job_n_steps(r->job); i++)
		r->units_total += job_n_rounds(pare_job_step(r->job, i));
	for (r->step = 0; r->step < pare_job_n_steps(r->job) && code == PARE_OK; r->step++) {
		code = job_phase(r, "prune", err);
		if (code == PARE_OK)
			code = prune_step(s, pare_job_step(r->job, r->step), err);
		if (code != PARE_OK && code != PARE_E_CANCELED)
			return pare_err_at(err, "/recipe/steps/%zu/prune", r->step);
	}
	r->step = pare_job_n_steps(r->job) - 1;
	return code;
}

/* --- what leaves */

struct output {
	struct job_stored *s;
	int fd;
	size_t n_bytes;
};

static const uint8_t *output_keep(void *ctx, int p, size_t first, size_t n, uint8_t *room)
{
	return keep_of(((struct output *)ctx)->s, p, first, n, room);
}

static enum pare_code put_bytes(void *ctx, const void *bytes, size_t n, struct pare_err *err)
{
	struct output *o = ctx;
	enum pare_code code = job_check_canceled(o->s->r->w, err);

	o->n_bytes += n;
	return code == PARE_OK ? pare_link_write(o->fd, bytes, n, err) : code;
}

static enum pare_code put_file(struct job_stored *s, struct job_answer *a, int file, const char *name, struct pare_err *err)
{
	struct output o = {.s = s, .fd = -1};
	struct pare_onnx_copy c = {.bytes = file == 0 ? s->r->file : s->r->side[file - 1].bytes, .file = file, .v = &s->v, .entries = s->r->origin.entries, .keep = output_keep, .put = put_bytes, .ctx = &o};
	enum pare_code code = pare_link_open(&s->r->w->link, name, file == 0 ? "application/onnx" : "application/octet-stream", &o.fd, err);

	if (code == PARE_OK)
		code = pare_onnx_copy(&c, err);
	if (o.fd >= 0 && close(o.fd) != 0 && code == PARE_OK)
		code = pare_err_errno(err, errno, name);
	if (code == PARE_OK) {
		a->artifacts[a->n_artifacts++] = name;
		s->r->out_bytes += o.n_bytes;
	}
	return code;
}

static enum pare_code put_files(struct job_stored *s, struct job_answer *a, struct pare_err *err)
{
	enum pare_code code = put_file(s, a, 0, "model.onnx", err);

	for (int i = 0; i < s->r->n_side && code == PARE_OK; i++)
		code = put_file(s, a, 1 + i, s->r->side[i].name, err);
	return code;
}

static enum pare_code finish(struct job_stored *s, struct job_answer *a, struct pare_err *err)
{
	struct job_run *r = s->r;
	enum pare_code code = job_phase(r, "export", err);

	count(s, s->n_left);
	s->in_bytes = r->file.len;
	for (int i = 0; i < r->n_side; i++)
		s->in_bytes += r->side[i].bytes.len;
	if (code == PARE_OK && job_wants(r, "onnx"))
		code = put_files(s, a, err);
	r->finished_ns = pare_job_env.tick_ns(NULL);
	if (code == PARE_OK)
		code = job_stored_reports(s, a, err);
	r->units_before = r->units_total;
	if (code == PARE_OK)
		code = job_progress(r, 0, 0, 0, true, err);
	if (code == PARE_OK)
		job_stored_summary(s, &a->result);
	return code;
}

enum pare_code job_run_stored(struct job_run *r, struct job_answer *a, struct pare_err *err)
{
	struct job_stored s = {.r = r};
	enum pare_code code = open_files(&s, err);

	if (code == PARE_OK)
		count(&s, s.n_dense);
	if (code == PARE_OK)
		code = run_steps(&s, err);
	if (code == PARE_OK)
		code = finish(&s, a, err);
	pare_free(s.n_dense);
	pare_free(s.n_left);
	pare_stored_done(&s.stored);
	pare_inventory_done(&s.v);
	return code;
}
