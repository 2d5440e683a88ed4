/* Errors as RFC 9457 problems. One table maps the class of a code to its status; the code's own row (errcodes.def) gives
 * the type and the title. Whatever a lower layer wrote goes out as it is: message becomes "detail", a "where" that is a JSON pointer becomes an entry of "errors", any
 * other "where" (a node, a byte offset, a line) a member of that name.
 *
 * When memory runs out while the problem is being written, a static one goes out instead, so that "no memory" never becomes "no answer". */
#include <string.h>

#include "api/priv.h"
#include "api/text.h"
#include "core/base/nearest.h"

#define OPEN_RETRY_SECONDS 30 /* nobody knows when a job or an upload of the owner ends */

static const int status_table[PARE_N_CLASSES] = {
    [PARE_CLASS_NONE] = 500,
    [PARE_CLASS_SYNTAX] = 400,
    [PARE_CLASS_BAD_INPUT] = 422,
    [PARE_CLASS_UNAUTHORIZED] = 401,
    [PARE_CLASS_FORBIDDEN] = 403,
    [PARE_CLASS_NOT_FOUND] = 404,
    [PARE_CLASS_METHOD] = 405,
    [PARE_CLASS_NOT_ACCEPTABLE] = 406,
    [PARE_CLASS_MEDIA_TYPE] = 415,
    [PARE_CLASS_CONFLICT] = 409,
    [PARE_CLASS_PRECONDITION] = 412,
    [PARE_CLASS_PRECONDITION_REQUIRED] = 428,
    [PARE_CLASS_RANGE] = 416,
    [PARE_CLASS_LENGTH] = 411,
    [PARE_CLASS_TOO_LARGE] = 413,
    [PARE_CLASS_HEADERS] = 431,
    [PARE_CLASS_QUOTA] = 429,
    [PARE_CLASS_CHECKSUM] = 460, /* tus, "Checksum" */
    [PARE_CLASS_TIMEOUT] = 504,
    [PARE_CLASS_FULL] = 507,
    [PARE_CLASS_BUSY] = 503,
    [PARE_CLASS_INTERNAL] = 500,
};

int api_status_of(enum pare_code code)
{
	return status_table[pare_code_class(code)];
}

static void finding(struct pare_buf *b, const char *pointer, const char *code, const char *detail)
{
	api_json_open(b, NULL, '{');
	api_json_str(b, "pointer", pointer);
	api_json_str(b, "code", code);
	api_json_str(b, "detail", detail);
	api_json_close(b, '}');
}

static void findings(struct api_exchange *x, const struct pare_err *err, bool pointer)
{
	struct pare_buf *b = &x->out;

	if (x->issues == NULL && !pointer)
		return;
	api_json_open(b, "errors", '[');
	for (int i = 0; x->issues != NULL && i < x->issues->n; i++)
		finding(b, x->issues->list[i].pointer, x->issues->list[i].code, x->issues->list[i].detail);
	if (x->issues == NULL)
		finding(b, err->where, pare_code_string(err->code), err->message);
	api_json_close(b, ']');
}

static void write_problem(struct api_exchange *x, const struct pare_err *err, int status)
{
	struct pare_buf *b = &x->out;
	bool pointer = err->where[0] == '/' && pare_code_class(err->code) == PARE_CLASS_BAD_INPUT;

	pare_buf_reset(b);
	api_json_open(b, NULL, '{');
	if (x->problem_type != NULL)
		api_json_str(b, "type", x->problem_type);
	else
		api_json_link(x, "type", "/problems/%s", pare_code_string(err->code));
	api_json_str(b, "title", pare_code_title(err->code));
	api_json_int(b, "status", status);
	api_json_str(b, "detail", err->message);
	api_json_str(b, "instance", x->target.path);
	api_json_str(b, "code", pare_code_string(err->code));
	api_json_str(b, "request_id", x->request_id);
	if (err->where[0] != '\0' && !pointer)
		api_json_str(b, "where", err->where);
	findings(x, err, pointer);
	if (x->problem_extra != NULL) {
		(void)pare_buf_add(b, ",", 1);
		(void)pare_buf_str(b, x->problem_extra);
	}
	api_json_close(b, '}');
	(void)pare_buf_add(b, "\n", 1);
}

const struct pare_err api_no_memory = {.code = PARE_E_NOMEM, .message = "out of memory"};

static const struct pare_err *keep_error(struct api_exchange *x, const struct pare_err *err)
{
	struct pare_err *kept = pare_arena_alloc(&x->arena, sizeof *kept);

	if (kept == NULL)
		return &api_no_memory;
	*kept = *err;
	return kept;
}

void api_reply_problem(struct api_exchange *x, const struct pare_err *err)
{
	int status = api_status_of(err->code);

	x->error = keep_error(x, err);
	if (err->code == PARE_E_QUOTA || err->code == PARE_E_QUOTA_BYTES)
		api_metrics_refused(x->api->metrics, err->code == PARE_E_QUOTA_BYTES ? API_QUOTA_BYTES : x->rate.retry_seconds > 0 ? API_QUOTA_REQUESTS : API_QUOTA_OPEN);
	write_problem(x, err, status);
	api_set_header_text(x, "Cache-Control", "no-store");
	if (status == 503)
		api_set_header(x, "Retry-After", "%d", err->code == PARE_E_DRAINING ? 10 : 5);
	if (status == 429)
		api_set_header(x, "Retry-After", "%lld", (long long)(x->rate.retry_seconds > 0 ? x->rate.retry_seconds : OPEN_RETRY_SECONDS));
	if (status == 401)
		api_set_header(x, "WWW-Authenticate", "Bearer realm=\"pared\"%s", api_request_header(x, "Authorization") != NULL ? ", error=\"invalid_token\"" : "");
	if (api_reply_text(x, status, "application/problem+json", NULL) != PARE_OK)
		api_reply_nomem(x);
	x->reply.close = x->close_after || status == 413 || status == 507;
}

void api_reply_nomem(struct api_exchange *x)
{
	static const char text[] = "{\"type\":\"/problems/out_of_memory\",\"title\":\"Out of memory\",\"status\":503,\"detail\":\"out of memory; try again\",\"code\":\"out_of_memory\"}\n";
	static const struct api_header headers[] = {
	    {"Content-Type", "application/problem+json"}, {"Cache-Control", "no-store"}, {"Retry-After", "5"}, {"X-Content-Type-Options", "nosniff"}};
	struct api_reply r = {.status = 503, .headers = headers, .n_headers = sizeof headers / sizeof headers[0], .close = true, .kind = API_BODY_MEMORY, .data = text, .n_bytes = sizeof text - 1, .fd = -1};

	r.head_only = api_is_head(x);
	x->reply = r;
	x->done = true;
	x->error = &api_no_memory;
}

static void problem_page(struct pare_buf *b, enum pare_code code)
{
	api_json_open(b, NULL, '{');
	api_json_str(b, "object", "problem_type");
	api_json_str(b, "code", pare_code_string(code));
	api_json_str(b, "title", pare_code_title(code));
	api_json_int(b, "status", api_status_of(code));
	api_json_close(b, '}');
}

enum pare_code api_get_problem(struct api_exchange *x, struct pare_err *err)
{
	const char *name = x->params[0];
	const char *names[PARE_N_CODES];
	const char *hint;
	int n = 0;

	for (int i = PARE_OK + 1; i < PARE_N_CODES; i++) {
		names[n++] = pare_code_string((enum pare_code)i);
		if (strcmp(names[n - 1], name) == 0) {
			problem_page(&x->out, (enum pare_code)i);
			return api_reply_json(x, 200, err);
		}
	}
	names[n] = NULL;
	hint = pare_nearest_of(name, names);
	return pare_err_set(err, PARE_E_NOT_FOUND, NULL, "there is no problem type \"%.60s\"%s%s%s", name, hint != NULL ? "; did you mean \"" : "", hint != NULL ? hint : "", hint != NULL ? "\"?" : "");
}
