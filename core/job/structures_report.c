/* What reports and analyses say of structures: which units are coupled, how many are left of them, what cannot change and why.
 *
 * It is gathered as soon as it is known, because the net that it is said of may go: a model that is factorized after its structures were removed is another
 * net, whose report still tells of both. */
#include <string.h>

#include "core/base/mem.h"
#include "core/job/job_priv.h"
#include "core/recipe/json_text.h"

#define ARENA_CAP ((size_t)1 << 30)

int64_t job_dim_final(const struct job_run *r, const struct pare_param_info *p, int axis)
{
	const uint8_t *gone = r->cut.gone != NULL ? pare_cut_axis(&r->cut, p->value, axis) : NULL;
	int64_t left = p->dims[axis];

	for (int64_t i = 0; gone != NULL && i < p->dims[axis]; i++)
		left -= gone[i] != 0;
	return left;
}

static void add_groups(const struct job_run *r, enum pare_granularity granularity, struct job_outline *out)
{
	const struct pare_structures *g = r->structures[granularity];

	for (int k = 0; g != NULL && k < g->n_groups; k++) {
		const struct pare_group *gr = &g->groups[k];
		const struct pare_param_info *p = pare_net_param(r->net, gr->param);
		struct job_group *o = &out->groups[out->n_groups++];

		*o = (struct job_group){.name = gr->name, .granularity = job_granularity_names[granularity], .units = gr->n, .width = g->whole ? gr->n : p->dims[gr->axis]};
		for (int u = gr->first; u < gr->first + gr->n; u++)
			o->units_left += !pare_cut_has(&r->cut, g, u);
		o->width_left = g->whole ? o->units_left : job_dim_final(r, p, gr->axis);
	}
}

/* Of channels or, where nobody asked for those, of heads. */
static const struct pare_structures *pinning(const struct job_run *r)
{
	return r->structures[PARE_GRANULARITY_CHANNEL] != NULL ? r->structures[PARE_GRANULARITY_CHANNEL] : r->structures[PARE_GRANULARITY_HEAD];
}

static enum pare_code add_pins(const struct job_run *r, struct job_outline *out, struct pare_err *err)
{
	const struct pare_structures *g = pinning(r);

	for (int k = 0; g != NULL && k < g->n_pinned; k++) {
		const struct pare_pinned *pin = &g->pinned[k];
		const char *why = pare_arena_strndup(&out->arena, pin->why, strlen(pin->why));

		if (why == NULL)
			return pare_err_nomem(err, 0);
		out->pins[out->n_pins++] = (struct job_pin){.name = pare_net_param(r->net, pin->param)->name, .why = why, .axis = pin->axis, .width = pin->n};
	}
	return PARE_OK;
}

enum pare_code job_outline_new(const struct job_run *r, struct job_outline *out, struct pare_err *err)
{
	size_t n_groups = 0, n_pins = pinning(r) != NULL ? (size_t)pinning(r)->n_pinned : 0;

	memset(out, 0, sizeof *out);
	pare_arena_init(&out->arena, ARENA_CAP);
	for (int i = 0; i < PARE_N_GRANULARITIES; i++)
		n_groups += r->structures[i] != NULL ? (size_t)r->structures[i]->n_groups : 0;
	out->groups = pare_arena_array(&out->arena, n_groups + 1, sizeof *out->groups);
	out->pins = pare_arena_array(&out->arena, n_pins + 1, sizeof *out->pins);
	if (out->groups == NULL || out->pins == NULL)
		return pare_err_nomem(err, n_groups * sizeof *out->groups);
	for (int i = 0; i < PARE_N_GRANULARITIES; i++)
		add_groups(r, (enum pare_granularity)i, out);
	return add_pins(r, out, err);
}

void job_outline_done(struct job_outline *o)
{
	pare_arena_done(&o->arena);
	memset(o, 0, sizeof *o);
}

/* --- for programs */

static void write_group(const struct job_group *g, struct pare_buf *b)
{
	pare_buf_str(b, "{");
	pare_json_key_str(b, "name", g->name);
	pare_json_key_str(b, "granularity", g->granularity);
	pare_json_key_int(b, "units", g->units);
	pare_json_key_int(b, "units_final", g->units_left);
	pare_json_key_int(b, "width", g->width);
	pare_json_key_int(b, "width_final", g->width_left);
	pare_buf_str(b, "}");
}

static void write_pin(const struct job_pin *p, struct pare_buf *b)
{
	pare_buf_str(b, "{");
	pare_json_key_str(b, "name", p->name);
	pare_json_key_int(b, "axis", p->axis);
	pare_json_key_int(b, "width", p->width);
	pare_json_key_str(b, "why", p->why);
	pare_buf_str(b, "}");
}

void job_write_outline(const struct job_outline *o, struct pare_buf *b, size_t most, struct job_list lists[2])
{
	job_list_begin(&lists[0], b, "groups", most);
	for (int i = 0; i < o->n_groups; i++) {
		write_group(&o->groups[i], job_list_entry(&lists[0]));
		job_list_add(&lists[0]);
	}
	job_list_end(&lists[0]);
	job_list_begin(&lists[1], b, "pinned", most);
	for (int i = 0; i < o->n_pins; i++) {
		write_pin(&o->pins[i], job_list_entry(&lists[1]));
		job_list_add(&lists[1]);
	}
	job_list_end(&lists[1]);
}

static void write_removed(const struct job_shrunk *s, struct pare_buf *b)
{
	struct job_list lists[2];

	pare_json_key_raw(b, "proof", "{");
	pare_json_key_int(b, "rows", s->rows);
	pare_json_key_num(b, "largest_difference", s->difference);
	pare_json_key_num(b, "largest_output", s->scale);
	pare_json_key_num(b, "tolerance", s->tolerance);
	pare_buf_str(b, "}");
	job_write_outline(&s->outline, b, b->cap_bytes, lists);
}

/* What was removed last, and, if factors were made between two removals, what was before them. */
void job_write_structures(const struct job_run *r, struct pare_buf *b)
{
	const struct job_shrunk *early = &r->factored.shrunk, *late = &r->shrunk;

	if (early->rows == 0 && late->rows == 0) {
		pare_json_key_raw(b, "structures", "null");
		return;
	}
	pare_json_key_raw(b, "structures", "{");
	write_removed(late->rows > 0 ? late : early, b);
	if (early->rows > 0 && late->rows > 0) {
		pare_json_key_raw(b, "before_factors", "{");
		write_removed(early, b);
		pare_buf_str(b, "}");
	}
	pare_buf_str(b, "}");
}

/* --- for people */

#define MAX_ROWS 200 /* of a table */

static void document(const struct job_shrunk *s, struct job_doc *d, const char *what)
{
	static const char *const columns[] = {"coupled with", "units", "left", "width", "left"};
	int left = 0;

	if (s->rows == 0)
		return;
	job_doc_text(d, "%s has no masks: its tensors are smaller. On %lld rows its outputs differ from those of the masked model by %.3g at most (largest output %.4g).", what,
	    (long long)s->rows, s->difference, s->scale);
	job_doc_table(d);
	for (size_t i = 0; i < sizeof columns / sizeof columns[0]; i++)
		job_doc_column(d, i > 0, "%s", columns[i]);
	for (int i = 0; i < s->outline.n_groups; i++) {
		const struct job_group *g = &s->outline.groups[i];

		if (i >= MAX_ROWS) {
			left++;
			continue;
		}
		job_doc_cell(d, "%.80s", g->name);
		job_doc_cell(d, "%lld", (long long)g->units);
		job_doc_cell(d, "%lld", (long long)g->units_left);
		job_doc_cell(d, "%lld", (long long)g->width);
		job_doc_cell(d, "%lld", (long long)g->width_left);
	}
	job_doc_table_end(d);
	if (left > 0)
		job_doc_text(d, "%d more groups stand in report.json.", left);
}

void job_structures_document(const struct job_run *r, struct job_doc *d)
{
	if (r->factored.shrunk.rows == 0 && r->shrunk.rows == 0)
		return;
	job_doc_heading(d, "Structures");
	document(&r->factored.shrunk, d, "The model of which factors were made");
	document(&r->shrunk, d, "The model that leaves");
	job_doc_text(d, "What cannot change, and why, stands in report.json under structures.pinned.");
}
