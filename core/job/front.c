/* What a search leaves: its points, the Pareto front among them, and a file of each point of the front.
 *
 * A point is on the front if no other is at most as large and at least as good (on the validation rows), one of both strictly. Points
 * that miss the floor belong to it, too: they say what the next percent would cost. Only points of the front keep their weights, and
 * at most as many as asked for: the two ends and the chosen one stay, and of the others the one goes whose neighbours lie
 * closest together, by the logarithm of size. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/mem.h"
#include "core/job/search_priv.h"
#include "core/recipe/json_text.h"

static const char *const artifact_names[] = {"front-01.onnx", "front-02.onnx", "front-03.onnx", "front-04.onnx", "front-05.onnx", "front-06.onnx",
    "front-07.onnx", "front-08.onnx", "front-09.onnx", "front-10.onnx", "front-11.onnx", "front-12.onnx", "front-13.onnx", "front-14.onnx", "front-15.onnx",
    "front-16.onnx"};
#define MAX_FRONT ((int)(sizeof artifact_names / sizeof artifact_names[0]))

/* --- which */

static bool beats(const struct job_point *a, const struct job_point *b)
{
	return a->size <= b->size && a->validation.drop <= b->validation.drop && (a->size < b->size || a->validation.drop < b->validation.drop);
}

bool job_on_front(const struct job_search *s, int i)
{
	for (int k = 0; k < s->n_points; k++)
		if (beats(&s->points[k], &s->points[i]))
			return false;
	return true;
}

int job_choose(const struct job_search *s)
{
	int best = s->points[0].held || s->n_points == 1 ? 0 : 1;

	for (int i = best + 1; i < s->n_points; i++) {
		const struct job_point *p = &s->points[i], *b = &s->points[best];
		bool nearer = p->validation.judged < b->validation.judged || (p->validation.judged <= b->validation.judged && p->size < b->size);

		if (p->held != b->held ? p->held : p->held ? p->size < b->size : nearer)
			best = i;
	}
	return best;
}

/* Points with a state, largest first; returns how many. */
static int kept(const struct job_search *s, int *out)
{
	int n = 0;

	for (int i = 0; i < s->n_points; i++) {
		int at = n;

		if (s->points[i].state.slab == NULL)
			continue;
		for (; at > 0 && s->points[out[at - 1]].size < s->points[i].size; at--)
			out[at] = out[at - 1];
		out[at] = i;
		n++;
	}
	return n;
}

/* Of the points in order, the one whose neighbours lie closest together; -1: none may go. */
static int most_crowded(const struct job_search *s, const int *order, int n, int keep, int chosen)
{
	double least = INFINITY;
	int found = -1;

	for (int k = 1; k < n - 1; k++) {
		double gap = log(s->points[order[k - 1]].size / s->points[order[k + 1]].size);

		if (order[k] != keep && order[k] != chosen && gap < least) {
			least = gap;
			found = order[k];
		}
	}
	return found;
}

void job_front_thin(struct job_search *s, int keep)
{
	int order[MAX_FRONT + 4], n, chosen = job_choose(s), most = (int)pare_args_int(s->args, "front"), victim;

	for (int i = 0; i < s->n_points; i++)
		if (s->points[i].state.slab != NULL && i != keep && i != chosen && !job_on_front(s, i))
			job_state_done(&s->points[i].state);
	for (n = kept(s, order); n > most; n = kept(s, order)) {
		victim = most_crowded(s, order, n, keep, chosen);
		if (victim < 0)
			return;
		job_state_done(&s->points[victim].state);
	}
}

/* --- handing out */

static enum pare_code judge_file(struct job_run *r, struct job_point *p, struct pare_err *err)
{
	struct pare_net *net = r->shrunk.net != NULL ? r->shrunk.net : r->net;
	struct pare_metrics m;
	enum pare_code code;

	memset(&m, 0, sizeof m);
	code = job_eval_net(r, net, r->judged, &m, err);
	if (code == PARE_OK)
		job_floor_judge(r, r->judged, &r->verdict_dense.judged, &m, &p->judged);
	pare_metrics_done(&m);
	p->file_macs = pare_net_macs(net);
	p->latency_ms = job_latency(r, net);
	return code;
}

static enum pare_code put_point(struct job_run *r, struct job_answer *a, struct job_point *p, struct pare_err *err)
{
	struct pare_buf b;
	const struct pare_buf *file = &b;
	enum pare_code code;

	pare_buf_init(&b, 0);
	job_state_restore(r, &p->state);
	code = pare_net_settle(r->net, r->model, err);
	if (code == PARE_OK)
		code = job_shrink(r, r->judged, err);
	if (code == PARE_OK)
		code = judge_file(r, p, err);
	if (r->shrunk.net != NULL)
		file = &r->shrunk.file;
	else if (code == PARE_OK)
		code = job_write_model(r, &b, err);
	p->file_bytes = (int64_t)file->len;
	if (code == PARE_OK && job_wants(r, "onnx") && strcmp(p->artifact, "model.onnx") != 0)
		code = job_put(r, a, p->artifact, "application/onnx", file, err);
	pare_buf_done(&b);
	return code;
}

enum pare_code job_put_front(struct job_run *r, struct job_answer *a, struct pare_err *err)
{
	struct job_search *s = r->search;
	struct job_shrunk shrunk = r->shrunk;
	struct job_state last;
	int order[MAX_FRONT + 4], n = kept(s, order), n_named = 0;
	bool is_last = s->step + 1 == pare_job_n_steps(r->job);
	enum pare_code code;

	code = job_state_save(r, &last, err);
	if (code != PARE_OK)
		return code;
	for (int k = 0; k < n && code == PARE_OK; k++) {
		struct job_point *p = &s->points[order[k]];

		if (!job_on_front(s, order[k]) && order[k] != s->chosen)
			continue;
		p->artifact = is_last && order[k] == s->chosen ? "model.onnx" : artifact_names[n_named++];
		memset(&r->shrunk, 0, sizeof r->shrunk);
		code = job_check_canceled(r->w, err);
		if (code == PARE_OK)
			code = put_point(r, a, p, err);
		job_shrunk_done(&r->shrunk);
	}
	r->shrunk = shrunk;
	job_state_restore(r, &last);
	job_state_done(&last);
	return code;
}
