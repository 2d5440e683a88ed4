/* Events, in three forms of one sequence: a JSON page of what there is, or a stream that follows it, as NDJSON or as server-sent events (WHATWG HTML,
 * section 9.2). There are two sequences: a job's, which the store numbers 1, 2, 3 … without gaps and which ends with the job, and the feed of everything
 * that is the caller's, which has the numbers of the store's cursor and no end. The number is all the state that resuming needs: Last-Event-ID or ?after=.
 *
 * A stream is pulled: the server asks for bytes when the socket can take them, and sleeps until told of new events or until a comment is due (every
 * 15 s, because proxies close idle connections after 60). Memory per idle stream is this struct and an empty buffer; pages of 64 events are
 * formatted on demand and never queued. A client that reconnects after the last event gets 204, which tells an EventSource to stop. */
#include <string.h>

#include "api/jobs.h"
#include "api/text.h"
#include "core/base/num.h"

#define PAGE 64
#define PING_MS 15000
#define PENDING_CAP ((size_t)64 << 20)

enum form { FORM_JSON, FORM_NDJSON, FORM_SSE };

struct api_stream {
	char job[PARE_ID_MAX]; /* "": the feed */
	enum form form;
	int64_t after;   /* the number of the last event that was formatted */
	bool final;      /* nothing follows it */
	bool lost;       /* the job was deleted, or the store failed: the stream just ends */
	int64_t ping_ms; /* mono_ms of the next comment */
	struct pare_buf pending;
	size_t n_sent; /* of pending */
};

void api_json_event(struct pare_buf *b, const char *key, const struct store_event *e)
{
	api_json_open(b, key, '{');
	api_json_str(b, "object", "event");
	api_json_int(b, "seq", e->seq);
	api_json_int(b, "cursor", e->cursor);
	api_json_str(b, "subject", e->subject);
	api_json_str(b, "job", strncmp(e->subject, "job_", 4) == 0 ? e->subject : NULL);
	api_json_str(b, "type", e->type);
	api_json_str(b, "level", e->level);
	api_json_time(b, "at", e->at_ms);
	api_json_raw(b, "data", e->data);
	api_json_close(b, '}');
}

static int64_t number_of(const char *job, const struct store_event *e)
{
	return job[0] != '\0' ? e->seq : e->cursor;
}

/* What comes after that number. */
static enum pare_code read_events(struct api_exchange *x, const char *job, int64_t after, int limit, struct store_event **out, int *out_n, bool *out_final, struct pare_err *err)
{
	*out_final = false;
	if (job[0] == '\0')
		return store_feed_list(x->view, after, limit, out, out_n, err);
	return store_event_list(x->view, job, after, limit, out, out_n, out_final, err);
}

static void write_streamed(struct api_stream *s, const struct store_event *e)
{
	struct pare_buf *b = &s->pending;

	if (s->form == FORM_SSE)
		(void)pare_buf_printf(b, "id: %lld\nevent: %s\ndata: ", (long long)number_of(s->job, e), e->type);
	api_json_event(b, NULL, e);
	(void)pare_buf_str(b, s->form == FORM_SSE ? "\n\n" : "\n");
}

/* Fetches and formats what there is now. */
static enum pare_code fetch(struct api_exchange *x, struct pare_err *err)
{
	struct api_stream *s = x->stream;
	struct store_event *list = NULL;
	int n = 0;
	bool final = false;
	enum pare_code rc = read_events(x, s->job, s->after, PAGE, &list, &n, &final, err);

	if (rc != PARE_OK)
		return rc;
	for (int i = 0; i < n; i++)
		write_streamed(s, &list[i]);
	rc = pare_buf_status(&s->pending, err);
	if (rc == PARE_OK) {
		s->after = n > 0 ? number_of(s->job, &list[n - 1]) : s->after;
		s->final = final;
	}
	store_event_list_done(list, n);
	return rc;
}

static int64_t now_ms(const struct api *api)
{
	return api->opt.env->mono_ms(api->opt.env->ctx);
}

static void set_stream_headers(struct api_exchange *x, enum form form)
{
	api_set_header_text(x, "Content-Type", form == FORM_SSE ? "text/event-stream" : "application/x-ndjson");
	api_set_header_text(x, "Cache-Control", "no-store");
	api_set_header_text(x, "X-Accel-Buffering", "no");
	api_set_header_text(x, "Vary", "Accept");
}

static enum pare_code start_stream(struct api_exchange *x, const char *job, enum form form, int64_t after, bool resumed, struct pare_err *err)
{
	struct api_stream *s = pare_calloc(1, sizeof *s);
	enum pare_code rc;

	if (s == NULL)
		return pare_err_nomem(err, sizeof *s);
	x->stream = s;
	memcpy(s->job, job, strlen(job) + 1);
	s->form = form;
	s->after = after;
	s->ping_ms = now_ms(x->api) + PING_MS;
	pare_buf_init(&s->pending, PENDING_CAP);
	if (form == FORM_SSE)
		(void)pare_buf_str(&s->pending, "retry: 3000\n\n");
	rc = fetch(x, err);
	if (rc != PARE_OK)
		return rc;
	if (form == FORM_SSE && resumed && s->final && s->after == after) {
		api_set_header_text(x, "Cache-Control", "no-store");
		api_reply_empty(x, 204);
		return PARE_OK;
	}
	set_stream_headers(x, form);
	api_reply_empty(x, 200);
	if (x->reply.status == 200 && !api_is_head(x))
		x->reply.kind = API_BODY_STREAM;
	return PARE_OK;
}

static enum pare_code reply_page(struct api_exchange *x, const char *job, int64_t after, int64_t limit, struct pare_err *err)
{
	struct store_event *list = NULL;
	int n = 0;
	bool final = false, more;
	enum pare_code rc = read_events(x, job, after, (int)limit + 1, &list, &n, &final, err);

	if (rc != PARE_OK)
		return rc;
	more = n > (int)limit;
	api_list_open(x); /* its end is one of its own: pages go by numbers, and may be the last */
	for (int i = 0; i < n - more; i++)
		api_json_event(&x->out, NULL, &list[i]);
	api_json_close(&x->out, ']');
	api_json_bool(&x->out, "has_more", more);
	api_json_int(&x->out, "next_after", n - more > 0 ? number_of(job, &list[n - more - 1]) : after);
	if (job[0] != '\0')
		api_json_bool(&x->out, "final", final && !more);
	api_json_close(&x->out, '}');
	store_event_list_done(list, n);
	api_set_header_text(x, "Vary", "Accept");
	return api_reply_json(x, 200, err);
}

static enum pare_code last_event_id(struct api_exchange *x, int64_t *inout, bool *out_resumed, struct pare_err *err)
{
	const char *sent = api_request_header(x, "Last-Event-ID");
	size_t n = sent != NULL ? strlen(sent) : 0;

	*out_resumed = api_query(x, "after") != NULL;
	if (n == 0)
		return PARE_OK;
	sent = api_trim(sent, &n);
	*out_resumed = true;
	if (!pare_parse_i64(sent, n, 0, INT64_MAX, inout))
		return pare_err_set(err, PARE_E_BAD_REQUEST, NULL, "Last-Event-ID must be the number of an event");
	return PARE_OK;
}

/* What the request asks for, in both sequences alike. */
struct asked {
	enum form form;
	int64_t after, limit;
	bool resumed;
};

static enum pare_code read_request(struct api_exchange *x, struct asked *out, struct pare_err *err)
{
	static const char *const types[] = {"application/json", "application/x-ndjson", "text/event-stream", NULL};
	int form = api_negotiate(api_request_header(x, "Accept"), types);
	enum pare_code rc;

	*out = (struct asked){.limit = 100};
	if (form < 0)
		return pare_err_set(err, PARE_E_NOT_ACCEPTABLE, NULL, "events come as application/json, application/x-ndjson or text/event-stream");
	out->form = (enum form)form;
	rc = api_query_int(x, "limit", 1, 1000, &out->limit, err);
	if (rc == PARE_OK && form != FORM_JSON && api_query(x, "limit") != NULL)
		rc = pare_err_set(err, PARE_E_BAD_REQUEST, NULL, "query parameter \"limit\" belongs to the JSON list; a stream goes on as long as there is something to come");
	return rc;
}

static enum pare_code answer(struct api_exchange *x, const char *job, const struct asked *a, struct pare_err *err)
{
	if (a->form == FORM_JSON)
		return reply_page(x, job, a->after, a->limit, err);
	return start_stream(x, job, a->form, a->after, a->resumed, err);
}

enum pare_code api_get_job_events(struct api_exchange *x, struct pare_err *err)
{
	struct asked a;
	struct store_job j;
	enum pare_code rc = read_request(x, &a, err);

	if (rc == PARE_OK)
		rc = api_query_int(x, "after", 0, INT64_MAX, &a.after, err);
	if (rc == PARE_OK)
		rc = last_event_id(x, &a.after, &a.resumed, err);
	if (rc == PARE_OK)
		rc = api_find_job(x, &j, err);
	if (rc != PARE_OK)
		return rc;
	rc = answer(x, j.id, &a, err);
	store_job_done(&j);
	return rc;
}

enum pare_code api_get_events(struct api_exchange *x, struct pare_err *err)
{
	const char *after = api_query(x, "after");
	struct asked a;
	enum pare_code rc = read_request(x, &a, err);

	if (rc == PARE_OK && after != NULL && strcmp(after, "latest") == 0)
		rc = store_feed_last(x->view, &a.after, err);
	else if (rc == PARE_OK && after != NULL && !pare_parse_i64(after, strlen(after), 0, INT64_MAX, &a.after))
		rc = pare_err_set(err, PARE_E_BAD_REQUEST, NULL, "query parameter \"after\" must be the cursor of an event, or \"latest\"");
	if (rc == PARE_OK)
		rc = last_event_id(x, &a.after, &a.resumed, err);
	return rc == PARE_OK ? answer(x, "", &a, err) : rc;
}

/* --- the server's side of a stream */

static ptrdiff_t give(struct api_stream *s, char *out, size_t cap)
{
	size_t n = s->pending.len - s->n_sent;

	n = n < cap ? n : cap;
	memcpy(out, s->pending.data + s->n_sent, n);
	s->n_sent += n;
	if (s->n_sent == s->pending.len) {
		pare_buf_done(&s->pending);
		s->n_sent = 0;
	}
	return (ptrdiff_t)n;
}

ptrdiff_t api_stream_read(struct api_exchange *x, char *out, size_t cap)
{
	struct api_stream *s = x->stream;
	int64_t now;

	if (s == NULL)
		return -1;
	if (s->pending.len == 0 && !s->final && !s->lost && fetch(x, NULL) != PARE_OK)
		s->lost = true;
	now = now_ms(x->api);
	if (s->pending.len == 0 && !s->final && !s->lost && now >= s->ping_ms)
		(void)pare_buf_str(&s->pending, s->form == FORM_SSE ? ": ping\n\n" : "\n");
	if (s->lost || (s->pending.len == 0 && s->final))
		return -1;
	if (s->pending.len == 0 || cap == 0)
		return 0;
	s->ping_ms = now + PING_MS;
	return give(s, out, cap);
}

const char *api_stream_job(const struct api_exchange *x)
{
	return x->stream != NULL ? x->stream->job : "";
}

int64_t api_stream_deadline_ms(const struct api_exchange *x)
{
	return x->stream != NULL ? x->stream->ping_ms : INT64_MAX;
}

void api_stream_settle(struct api_exchange *x)
{
	x->reply.headers = x->reply_headers = NULL;
	x->error = NULL;
	x->reply.n_headers = 0;
	x->headers = NULL;
	x->n_headers = 0;
	memset(&x->target, 0, sizeof x->target);
	memset(x->params, 0, sizeof x->params);
	x->issues = NULL;
	pare_buf_done(&x->body);
	pare_buf_done(&x->out);
	pare_arena_done(&x->arena);
}

void api_stream_free(struct api_exchange *x)
{
	if (x->stream == NULL)
		return;
	pare_buf_done(&x->stream->pending);
	pare_free(x->stream);
	x->stream = NULL;
}
