/* Records and the small things that every verb uses.
 *
 * A row arrives as a record whose strings are borrowed (from a statement, from a caller, from a table in memory), and "owning" it copies
 * them into one block: one allocation for a job of a dozen strings, one free, and no half-built record to clean up. The table of string fields
 * per record type is the only place that lists them. Assets have a list of files of unknown total length and use an arena.
 *
 * Ids: pare_id_make orders ids of one millisecond by chance, but ids are our queue order and our page cursors, so an id that would not
 * sort last is made the successor of the last one (the monotonic variant of the ULID specification). That also holds when the clock is set back. */
#include "storage/store_priv.h"

#include <stdio.h>
#include <string.h>

#include "core/base/mem.h"
#include "core/base/num.h"

#define ASSET_CAP_BYTES ((size_t)256 << 20)
#define N_OF(a) (sizeof(a) / sizeof *(a))

static const struct {
	const char *name;
	bool final;
} status_table[STORE_N_STATUS] = {
    [STORE_QUEUED] = {.name = "queued", .final = false},
    [STORE_RUNNING] = {.name = "running", .final = false},
    [STORE_PAUSING] = {.name = "pausing", .final = false},
    [STORE_PAUSED] = {.name = "paused", .final = false},
    [STORE_CANCELING] = {.name = "canceling", .final = false},
    [STORE_SUCCEEDED] = {.name = "succeeded", .final = true},
    [STORE_FAILED] = {.name = "failed", .final = true},
    [STORE_CANCELED] = {.name = "canceled", .final = true},
};

static const struct {
	const char *prefix, *noun;
} kind_table[] = {
    [STORE_MODEL] = {.prefix = "mdl", .noun = "model"},
    [STORE_DATASET] = {.prefix = "dst", .noun = "dataset"},
    [STORE_RECIPE] = {.prefix = "rcp", .noun = "recipe"},
};

#define JOB(f) offsetof(struct store_job_row, j.f)
static const size_t job_strings[] = {JOB(phase), JOB(kind), JOB(name), JOB(labels), JOB(model), JOB(dataset), JOB(request), JOB(progress), JOB(result),
    JOB(error_code), JOB(error_message), JOB(error_where), JOB(checkpoint_place), JOB(trial), JOB(register_as), offsetof(struct store_job_row, worker)};
static const size_t event_strings[] = {offsetof(struct store_event, type), offsetof(struct store_event, level), offsetof(struct store_event, data)};
static const size_t hook_strings[] = {offsetof(struct store_hook, url), offsetof(struct store_hook, description), offsetof(struct store_hook, events),
    offsetof(struct store_hook, disabled_why), offsetof(struct store_hook, secret), offsetof(struct store_hook, old_secret)};
static const size_t delivery_strings[] = {offsetof(struct store_delivery, type), offsetof(struct store_delivery, level), offsetof(struct store_delivery, data),
    offsetof(struct store_delivery, attempts)};
static const size_t artifact_strings[] = {offsetof(struct store_artifact, name), offsetof(struct store_artifact, media_type)};
static const size_t key_strings[] = {offsetof(struct store_key, name), offsetof(struct store_key, scopes)};
static const size_t upload_strings[] = {offsetof(struct store_upload, name), offsetof(struct store_upload, metadata)};

const char *store_job_status_name(enum store_job_status st)
{
	return (unsigned)st < STORE_N_STATUS ? status_table[st].name : "unknown";
}

bool store_job_status_final(enum store_job_status st)
{
	return (unsigned)st < STORE_N_STATUS && status_table[st].final;
}

enum store_job_status store_job_status_parse(const char *name)
{
	int i = 0;

	while (i < STORE_N_STATUS && strcmp(status_table[i].name, name) != 0)
		i++;
	return (enum store_job_status)i;
}

static const char *const format_names[STORE_N_HOOK_FORMATS] = {[STORE_HOOK_STANDARD] = "standard", [STORE_HOOK_CLOUDEVENTS] = "cloudevents"};
static const char *const delivery_names[STORE_N_DELIVERY_STATUS] = {[STORE_PENDING] = "pending", [STORE_DELIVERED] = "succeeded", [STORE_UNDELIVERED] = "failed"};

static int name_index(const char *const *names, int n, const char *name)
{
	int i = 0;

	while (i < n && strcmp(names[i], name) != 0)
		i++;
	return i;
}

const char *store_hook_format_name(enum store_hook_format f)
{
	return (unsigned)f < STORE_N_HOOK_FORMATS ? format_names[f] : "unknown";
}

enum store_hook_format store_hook_format_parse(const char *name)
{
	return (enum store_hook_format)name_index(format_names, STORE_N_HOOK_FORMATS, name);
}

const char *store_delivery_status_name(enum store_delivery_status st)
{
	return (unsigned)st < STORE_N_DELIVERY_STATUS ? delivery_names[st] : "unknown";
}

enum store_delivery_status store_delivery_status_parse(const char *name)
{
	return (enum store_delivery_status)name_index(delivery_names, STORE_N_DELIVERY_STATUS, name);
}

const char *store_asset_prefix(enum store_asset_kind kind)
{
	return kind_table[kind].prefix;
}

const char *store_asset_noun(enum store_asset_kind kind)
{
	return kind_table[kind].noun;
}

static void increment(char digits[STORE_ID_DIGITS + 1])
{
	static const char crockford[] = "0123456789ABCDEFGHJKMNPQRSTVWXYZ";

	for (int i = STORE_ID_DIGITS - 1; i >= 0; i--) {
		if (digits[i] != 'Z') {
			digits[i] = strchr(crockford, digits[i])[1];
			return;
		}
		digits[i] = '0';
	}
}

void store_new_id(struct store *s, const char *prefix, char out[PARE_ID_MAX])
{
	size_t n = strlen(prefix) + 1;

	pare_id_make(&s->env, prefix, out);
	if (strcmp(out + n, s->last_id) <= 0) {
		increment(s->last_id);
		memcpy(out + n, s->last_id, sizeof s->last_id);
	}
	memcpy(s->last_id, out + n, sizeof s->last_id);
}

static const char **string_at(void *record, size_t offset)
{
	return (const char **)(void *)((char *)record + offset);
}

/* One block for all the strings of a record; NULL strings stay NULL. */
static enum pare_code own(void *record, size_t record_bytes, const size_t *fields, size_t n, void **memory, struct pare_err *err)
{
	size_t total = 0;
	char *p;

	for (size_t i = 0; i < n; i++) {
		const char *s = *string_at(record, fields[i]);

		if (s != NULL)
			total += strlen(s) + 1;
	}
	p = pare_alloc(total);
	if (p == NULL) {
		memset(record, 0, record_bytes);
		return pare_err_nomem(err, total);
	}
	*memory = p;
	for (size_t i = 0; i < n; i++) {
		const char **s = string_at(record, fields[i]);
		size_t len = *s != NULL ? strlen(*s) + 1 : 0;

		if (len == 0)
			continue;
		memcpy(p, *s, len);
		*s = p;
		p += len;
	}
	return PARE_OK;
}

enum pare_code store_job_own(struct store_job_row *r, struct pare_err *err)
{
	return own(r, sizeof *r, job_strings, N_OF(job_strings), &r->j.memory, err);
}

enum pare_code store_event_own(struct store_event *e, struct pare_err *err)
{
	return own(e, sizeof *e, event_strings, N_OF(event_strings), &e->memory, err);
}

enum pare_code store_artifact_own(struct store_artifact *a, struct pare_err *err)
{
	return own(a, sizeof *a, artifact_strings, N_OF(artifact_strings), &a->memory, err);
}

enum pare_code store_key_own(struct store_key *k, struct pare_err *err)
{
	return own(k, sizeof *k, key_strings, N_OF(key_strings), &k->memory, err);
}

void store_key_done(struct store_key *k)
{
	pare_free(k->memory);
	memset(k, 0, sizeof *k);
}

void store_key_list_done(struct store_key *list, int n)
{
	for (int i = 0; i < n; i++)
		store_key_done(&list[i]);
	pare_free(list);
}

enum pare_code store_upload_own(struct store_upload *u, struct pare_err *err)
{
	return own(u, sizeof *u, upload_strings, N_OF(upload_strings), &u->memory, err);
}

enum pare_code store_hook_own(struct store_hook *h, struct pare_err *err)
{
	return own(h, sizeof *h, hook_strings, N_OF(hook_strings), &h->memory, err);
}

enum pare_code store_delivery_own(struct store_delivery *d, struct pare_err *err)
{
	return own(d, sizeof *d, delivery_strings, N_OF(delivery_strings), &d->memory, err);
}

static bool arena_string(struct pare_arena *arena, const char **s)
{
	if (*s != NULL)
		*s = pare_arena_strndup(arena, *s, strlen(*s));
	return *s != NULL;
}

enum pare_code store_asset_own(struct store_asset *a, struct pare_err *err)
{
	struct pare_arena *arena = pare_alloc(sizeof *arena);
	bool ok;

	if (arena == NULL) {
		memset(a, 0, sizeof *a);
		return pare_err_nomem(err, sizeof *arena);
	}
	pare_arena_init(arena, ASSET_CAP_BYTES);
	a->memory = arena;
	a->files = pare_arena_array(arena, (size_t)a->n_files, sizeof *a->files);
	ok = a->files != NULL && arena_string(arena, &a->name) && arena_string(arena, &a->info) && arena_string(arena, &a->labels) && arena_string(arena, &a->description) &&
	     arena_string(arena, &a->aliases);
	if (ok && a->produced_by != NULL)
		ok = arena_string(arena, &a->produced_by);
	if (ok)
		return PARE_OK;
	store_asset_done(a);
	return pare_err_nomem(err, 0);
}

enum pare_code store_asset_own_file(struct store_asset *a, int i, const struct store_file *f, struct pare_err *err)
{
	struct store_file *files = (struct store_file *)(void *)(uintptr_t)a->files; /* ours: store_asset_own made it */

	files[i] = *f;
	if (arena_string(a->memory, &files[i].path))
		return PARE_OK;
	store_asset_done(a);
	return pare_err_nomem(err, 0);
}

void store_asset_done(struct store_asset *a)
{
	if (a->memory != NULL)
		pare_arena_done(a->memory);
	pare_free(a->memory);
	memset(a, 0, sizeof *a);
}

void store_asset_list_done(struct store_asset *list, int n)
{
	for (int i = 0; i < n; i++)
		store_asset_done(&list[i]);
	pare_free(list);
}

void store_job_done(struct store_job *j)
{
	pare_free(j->memory);
	memset(j, 0, sizeof *j);
}

void store_job_list_done(struct store_job *list, int n)
{
	for (int i = 0; i < n; i++)
		store_job_done(&list[i]);
	pare_free(list);
}

void store_event_list_done(struct store_event *list, int n)
{
	for (int i = 0; i < n; i++)
		pare_free(list[i].memory);
	pare_free(list);
}

void store_hook_done(struct store_hook *h)
{
	if (h->memory != NULL)
		explicit_bzero((void *)(uintptr_t)h->secret, strlen(h->secret)); /* ours: store_hook_own made it */
	pare_free(h->memory);
	memset(h, 0, sizeof *h);
}

void store_hook_list_done(struct store_hook *list, int n)
{
	for (int i = 0; i < n; i++)
		store_hook_done(&list[i]);
	pare_free(list);
}

void store_delivery_done(struct store_delivery *d)
{
	pare_free(d->memory);
	memset(d, 0, sizeof *d);
}

void store_delivery_list_done(struct store_delivery *list, int n)
{
	for (int i = 0; i < n; i++)
		store_delivery_done(&list[i]);
	pare_free(list);
}

void store_artifact_done(struct store_artifact *a)
{
	pare_free(a->memory);
	memset(a, 0, sizeof *a);
}

void store_upload_done(struct store_upload *u)
{
	pare_free(u->memory);
	memset(u, 0, sizeof *u);
}

void store_artifact_list_done(struct store_artifact *list, int n)
{
	for (int i = 0; i < n; i++)
		store_artifact_done(&list[i]);
	pare_free(list);
}

/* Length of the well-formed UTF-8 sequence at s (RFC 3629: no overlong forms, no surrogates), 0 if there is none. */
static size_t utf8_length(const unsigned char *s)
{
	static const struct {
		unsigned char lead_min, lead_max, second_min, second_max, n;
	} row_table[] = {
	    {0x20, 0x7F, 0, 0, 1}, {0xC2, 0xDF, 0x80, 0xBF, 2}, {0xE0, 0xE0, 0xA0, 0xBF, 3}, {0xE1, 0xEC, 0x80, 0xBF, 3}, {0xED, 0xED, 0x80, 0x9F, 3},
	    {0xEE, 0xEF, 0x80, 0xBF, 3}, {0xF0, 0xF0, 0x90, 0xBF, 4}, {0xF1, 0xF3, 0x80, 0xBF, 4}, {0xF4, 0xF4, 0x80, 0x8F, 4},
	};

	for (size_t i = 0; i < N_OF(row_table); i++) {
		size_t n = row_table[i].n, k = 2;

		if (s[0] < row_table[i].lead_min || s[0] > row_table[i].lead_max)
			continue;
		if (n > 1 && (s[1] < row_table[i].second_min || s[1] > row_table[i].second_max))
			return 0;
		while (k < n && (s[k] & 0xC0) == 0x80)
			k++;
		return n <= 2 || k == n ? n : 0;
	}
	return 0;
}

bool store_text_ok(const char *s)
{
	for (size_t n; *s != '\0'; s += n) {
		n = utf8_length((const unsigned char *)s);
		if (n == 0 || *s == 0x7F)
			return false;
	}
	return true;
}

enum pare_code store_name_refused(struct pare_err *err)
{
	return pare_err_set(err, PARE_E_INVALID, "/name", STORE_NAME_RULE);
}

static void json_text(struct pare_buf *b, const char *value)
{
	const unsigned char *s = (const unsigned char *)value;

	(void)pare_buf_str(b, "\"");
	while (*s != '\0') {
		size_t n = utf8_length(s);

		if (*s == '"' || *s == '\\')
			(void)pare_buf_printf(b, "\\%c", *s);
		else if (*s < 0x20)
			(void)pare_buf_printf(b, "\\u%04x", *s);
		else
			(void)pare_buf_add(b, n != 0 ? (const void *)s : "\xEF\xBF\xBD", n != 0 ? n : 3);
		s += n != 0 ? n : 1;
	}
	(void)pare_buf_str(b, "\"");
}

void store_json_member(struct pare_buf *b, const char *key, const char *value)
{
	(void)pare_buf_printf(b, "%s\"%s\":", b->len > 1 ? "," : "", key);
	json_text(b, value);
}

void store_json_value(struct pare_buf *b, const char *key, const char *value)
{
	(void)pare_buf_printf(b, ",\"%s\":", key);
	if (value != NULL)
		json_text(b, value);
	else
		(void)pare_buf_str(b, "null");
}

size_t store_label_next(const char **inout, const char **out)
{
	const char *end = strchr(*inout, '\n');

	if (end == NULL)
		return 0;
	*out = *inout;
	*inout = end + 1;
	return (size_t)(end - *out);
}

/* Ids hold their time, so bounds of time are bounds of ids: the last possible id of the one millisecond, and what is before the first of the other. */
static void bound_by_time(const struct store_page *page, struct store_range *out)
{
	if (page->created_after_ms > 0) {
		pare_id_bound("job", page->created_after_ms, true, out->from);
		if (out->above == NULL || strcmp(out->above, out->from) < 0)
			out->above = out->from;
	}
	if (page->created_before_ms > 0) {
		pare_id_bound("job", page->created_before_ms, false, out->until);
		if (out->below == NULL || strcmp(out->below, out->until) > 0)
			out->below = out->until;
	}
}

static enum pare_code range_of(struct store_view v, const struct store_page *page, struct store_range *out, bool *out_flip, struct pare_err *err)
{
	if (page->limit < 1 || page->limit > 200)
		return pare_err_set(err, PARE_E_INVALID, "limit", "a page holds 1 to 200 entries, not %d", page->limit);
	*out_flip = page->before != NULL && page->after == NULL;
	out->owner = v.owner;
	out->above = page->ascending ? page->after : page->before;
	out->below = page->ascending ? page->before : page->after;
	out->ascending = page->ascending != *out_flip;
	out->limit = page->limit + 1;
	out->statuses = page->statuses;
	out->kind = page->kind;
	out->model = page->model;
	out->dataset = page->dataset;
	out->name = page->name;
	out->parent = page->parent;
	out->labels = page->labels;
	out->n_labels = page->n_labels < STORE_FILTER_LABELS ? page->n_labels : STORE_FILTER_LABELS;
	bound_by_time(page, out);
	return PARE_OK;
}

/* Turns a list round; spare holds a row. */
static void reverse(char *rows, int n, size_t row_bytes, char *spare)
{
	for (int i = 0, k = n - 1; i < k; i++, k--) {
		char *a = rows + (size_t)i * row_bytes, *b = rows + (size_t)k * row_bytes;

		memcpy(spare, a, row_bytes);
		memcpy(a, b, row_bytes);
		memcpy(b, spare, row_bytes);
	}
}

enum pare_code store_page_read(struct store_view v, const struct store_page *page, const struct store_pager *p, void **out, int *out_n, bool *out_more, struct pare_err *err)
{
	struct store_range range;
	struct store_tx *tx;
	char *list; /* with a row more, to turn it round with */
	bool flip = false;
	int n = 0;
	enum pare_code code = range_of(v, page, &range, &flip, err);

	if (code != PARE_OK)
		return code;
	list = pare_calloc((size_t)range.limit + 1, p->row_bytes);
	if (list == NULL)
		return pare_err_nomem(err, (size_t)range.limit * p->row_bytes);
	code = v.store->ops->begin(v.store, false, &tx, err);
	if (code == PARE_OK)
		code = v.store->ops->end(tx, p->read(p->ctx, v, tx, &range, list, &n, err), err);
	for (int keep = code == PARE_OK ? page->limit : 0, last = n; last > keep; last--)
		p->done(list + (size_t)(last - 1) * p->row_bytes);
	if (code != PARE_OK) {
		pare_free(list);
		return code;
	}
	*out_more = n > page->limit;
	*out_n = *out_more ? page->limit : n;
	if (flip)
		reverse(list, *out_n, p->row_bytes, list + (size_t)range.limit * p->row_bytes);
	*out = list;
	return PARE_OK;
}
