/* The sender of webhooks, on libcurl's multi interface; the one file of the daemon that knows libcurl.
 *
 * A delivery that is under way is marked nowhere but in this process's memory. The row stays pending until its attempt is written down, so a process that dies
 * has sent perhaps and noted nothing, and the next one sends again: at least once, and twice only then. Two senders on one database would send
 * everything twice; the store admits one process.
 *
 * An endpoint has at most PER_HOOK deliveries under way, and an owner PER_OWNER. When one is full, what else is due for it is not even looked at (store_delivery_due takes
 * the list of the busy), so a thousand messages for a receiver that hangs do not stand in front of one for a receiver that does not, nor do all of one owner's in front of another's.
 *
 * Where a request may go is decided in open_socket, which libcurl calls with the very address it is about to connect to: what a name resolved to earlier, in which
 * notation an address was written, or what an environment variable says about proxies does not matter there. A connection that is kept open was checked
 * when it was made.
 *
 * The answer's body is read as far as it is kept or a little further, and no longer: a 2xx is a 2xx whatever follows it. */
#include "server/webhook.h"

#include <arpa/inet.h>
#include <curl/curl.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "api/address.h"
#include "api/hook.h"
#include "api/text.h"
#include "core/base/mem.h"
#include "core/base/num.h"
#include "server/env.h"
#include "server/log.h"

#define N_TRANSFERS 96
#define PER_HOOK 4
#define PER_OWNER 32
#define MAX_TRIES 32
#define TIMEOUT_MS 15000
#define CONNECT_TIMEOUT_MS 10000
#define ANSWER_MAX ((size_t)65536)  /* bytes of head and body that are read */
#define RESPONSE_MAX ((size_t)1024) /* bytes of the body that are kept for the log */
#define BODY_CAP ((size_t)65536)
#define RETRY_AFTER_MAX_S 86400
#define JITTER_PERCENT 10
#define IDLE_MS 30000               /* look at the outbox even if nobody says that there is something */
#define TROUBLE_MS 5000             /* rest after the store has failed */
#define GRACE_MS 2000               /* at the end, for what is under way */
#define GRACE_STEP_MS 50
#define PURGE_MS 3600000

struct transfer {
	struct srv_webhook *w;
	bool in_use;
	CURL *easy; /* made once, used again */
	struct curl_slist *headers;
	struct store_delivery d;
	struct store_hook h;
	struct pare_buf body;
	int64_t at_ms, began_ms;
	size_t n_seen, n_response;
	bool cut; /* we have read enough of the answer */
	char response[RESPONSE_MAX + 1];
	char refused[120]; /* why open_socket refused the last address, "" when it did not */
	char trouble[CURL_ERROR_SIZE];
};

struct srv_webhook {
	struct srv_webhook_options opt;
	char *ca_file, *link_base;
	struct api_outgoing outgoing;
	int n_delays;
	int64_t delays_ms[MAX_TRIES];
	CURLM *multi;
	pthread_t thread;
	bool started;
	atomic_bool stopping, looks; /* looks: the outbox may hold something new */
	_Atomic uint64_t n_due;      /* what the store had counted when it was last said so */
	_Atomic int64_t outcomes[API_N_HOOK_OUTCOMES];
	/* the thread's own: */
	struct transfer transfers[N_TRANSFERS];
	int n_active;
	int64_t next_ms;    /* wall clock: when the next delivery is due, 0: none is known */
	int64_t trouble_until_ms, purge_at_ms; /* monotonic */
	bool more; /* something due was left for want of room */
};

/* --- what libcurl asks while it works */
static bool address_bytes(const struct sockaddr *a, uint8_t out[API_ADDRESS_BYTES])
{
	memset(out, 0, API_ADDRESS_BYTES);
	if (a->sa_family == AF_INET) {
		out[10] = out[11] = 0xFF;
		memcpy(out + 12, &((const struct sockaddr_in *)(const void *)a)->sin_addr, 4);
	} else if (a->sa_family == AF_INET6) {
		memcpy(out, &((const struct sockaddr_in6 *)(const void *)a)->sin6_addr, API_ADDRESS_BYTES);
	} else {
		return false;
	}
	return true;
}

static curl_socket_t open_socket(void *ctx, curlsocktype purpose, struct curl_sockaddr *a)
{
	struct transfer *t = ctx;
	uint8_t address[API_ADDRESS_BYTES];
	const char *why = "not of the Internet";

	if (purpose == CURLSOCKTYPE_IPCXN && address_bytes(&a->addr, address))
		why = api_address_refused(address, &t->w->outgoing);
	t->refused[0] = '\0';
	if (why == NULL)
		return socket(a->family, a->socktype | SOCK_CLOEXEC, a->protocol);
	(void)snprintf(t->refused, sizeof t->refused, "the host leads to an address that is not called: it is %s", why);
	return CURL_SOCKET_BAD;
}

static size_t take_body(char *p, size_t size, size_t n, void *ctx)
{
	struct transfer *t = ctx;
	size_t keep = RESPONSE_MAX - t->n_response < n ? RESPONSE_MAX - t->n_response : n;

	(void)size; /* always 1 */
	memcpy(t->response + t->n_response, p, keep);
	t->n_response += keep;
	t->n_seen += n;
	t->cut = t->n_seen > ANSWER_MAX;
	return t->cut ? 0 : n;
}

static size_t take_header(char *p, size_t size, size_t n, void *ctx)
{
	struct transfer *t = ctx;

	(void)p;
	(void)size;
	t->n_seen += n;
	return t->n_seen > ANSWER_MAX ? 0 : n;
}

/* --- a transfer */
static bool PARE_PRINTF(2, 3) add_header(struct transfer *t, const char *fmt, ...)
{
	char line[400];
	struct curl_slist *longer;
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(line, sizeof line, fmt, ap);
	va_end(ap);
	longer = curl_slist_append(t->headers, line);
	if (longer != NULL)
		t->headers = longer;
	return longer != NULL;
}

static enum pare_code set_message(struct transfer *t, struct pare_err *err)
{
	char signature[API_HOOK_SIGNATURES_MAX];
	int64_t seconds = t->at_ms / 1000;
	enum pare_code rc = api_hook_body(&t->h, &t->d, t->w->link_base, &t->body, err);

	if (rc == PARE_OK)
		rc = api_hook_sign(&t->h, t->at_ms, t->d.event, seconds, t->body.data, t->body.len, signature, err);
	if (rc != PARE_OK)
		return rc;
	if (add_header(t, "Content-Type: %s", api_hook_media_type(t->h.format)) && add_header(t, "webhook-id: %s", t->d.event) &&
	    add_header(t, "webhook-timestamp: %" PRId64, seconds) && add_header(t, "webhook-signature: %s", signature) && add_header(t, "Expect:"))
		return PARE_OK;
	return pare_err_nomem(err, 0);
}

/* Everything that libcurl could do and shall not. */
static bool set_limits(const struct transfer *t)
{
	CURL *e = t->easy;

	return curl_easy_setopt(e, CURLOPT_PROTOCOLS_STR, "http,https") == CURLE_OK && curl_easy_setopt(e, CURLOPT_PROXY, "") == CURLE_OK &&
	    curl_easy_setopt(e, CURLOPT_NOPROXY, "*") == CURLE_OK && curl_easy_setopt(e, CURLOPT_FOLLOWLOCATION, 0L) == CURLE_OK &&
	    curl_easy_setopt(e, CURLOPT_DISALLOW_USERNAME_IN_URL, 1L) == CURLE_OK &&
	    curl_easy_setopt(e, CURLOPT_OPENSOCKETFUNCTION, open_socket) == CURLE_OK && curl_easy_setopt(e, CURLOPT_OPENSOCKETDATA, t) == CURLE_OK &&
	    curl_easy_setopt(e, CURLOPT_TIMEOUT_MS, (long)TIMEOUT_MS) == CURLE_OK && curl_easy_setopt(e, CURLOPT_CONNECTTIMEOUT_MS, (long)CONNECT_TIMEOUT_MS) == CURLE_OK &&
	    curl_easy_setopt(e, CURLOPT_NOSIGNAL, 1L) == CURLE_OK && curl_easy_setopt(e, CURLOPT_QUICK_EXIT, 1L) == CURLE_OK &&
	    curl_easy_setopt(e, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1) == CURLE_OK &&
	    (t->w->ca_file[0] == '\0' || (curl_easy_setopt(e, CURLOPT_CAINFO, t->w->ca_file) == CURLE_OK && curl_easy_setopt(e, CURLOPT_CAPATH, NULL) == CURLE_OK));
}

static bool set_request(struct transfer *t)
{
	CURL *e = t->easy;

	return curl_easy_setopt(e, CURLOPT_URL, t->h.url) == CURLE_OK && curl_easy_setopt(e, CURLOPT_POST, 1L) == CURLE_OK &&
	    curl_easy_setopt(e, CURLOPT_POSTFIELDSIZE, (long)t->body.len) == CURLE_OK && curl_easy_setopt(e, CURLOPT_POSTFIELDS, t->body.data) == CURLE_OK &&
	    curl_easy_setopt(e, CURLOPT_HTTPHEADER, t->headers) == CURLE_OK && curl_easy_setopt(e, CURLOPT_USERAGENT, "pared/" PARE_VERSION) == CURLE_OK &&
	    curl_easy_setopt(e, CURLOPT_WRITEFUNCTION, take_body) == CURLE_OK && curl_easy_setopt(e, CURLOPT_WRITEDATA, t) == CURLE_OK &&
	    curl_easy_setopt(e, CURLOPT_HEADERFUNCTION, take_header) == CURLE_OK && curl_easy_setopt(e, CURLOPT_HEADERDATA, t) == CURLE_OK &&
	    curl_easy_setopt(e, CURLOPT_ERRORBUFFER, t->trouble) == CURLE_OK && curl_easy_setopt(e, CURLOPT_PRIVATE, t) == CURLE_OK;
}

static void release(struct transfer *t)
{
	curl_slist_free_all(t->headers);
	t->headers = NULL;
	pare_buf_done(&t->body);
	store_delivery_done(&t->d);
	store_hook_done(&t->h);
	t->in_use = false;
	t->w->n_active--;
}

/* Takes over what d owns. False: it cannot be begun now; it stays in the outbox. */
static bool begin(struct srv_webhook *w, struct transfer *t, struct store_due *d)
{
	struct pare_err err = {0};
	enum pare_code rc;

	t->in_use = true;
	w->n_active++;
	t->d = d->d;
	t->h = d->h;
	d->d.memory = d->h.memory = NULL;
	t->at_ms = srv_env.wall_ms(NULL);
	t->began_ms = srv_env.mono_ms(NULL);
	t->n_seen = t->n_response = 0;
	t->cut = false;
	t->refused[0] = t->trouble[0] = '\0';
	pare_buf_init(&t->body, BODY_CAP);
	rc = set_message(t, &err);
	if (t->easy == NULL)
		t->easy = curl_easy_init();
	else
		curl_easy_reset(t->easy);
	if (rc == PARE_OK && (t->easy == NULL || !set_limits(t) || !set_request(t) || curl_multi_add_handle(w->multi, t->easy) != CURLM_OK))
		rc = pare_err_nomem(&err, 0);
	if (rc == PARE_OK)
		return true;
	srv_log_event(SRV_LOG_WARNING, "webhook.unsent", "delivery", t->d.id, &err);
	release(t);
	return false;
}

/* --- the end of an attempt */
static void describe(struct transfer *t, CURLcode result, long status, char *out, size_t size)
{
	out[0] = '\0';
	if (status >= 300 && status < 400)
		(void)snprintf(out, size, "redirects are not followed");
	else if (status == 410)
		(void)snprintf(out, size, "the receiver wants no more");
	else if (status > 0 && (status < 200 || status > 299))
		(void)snprintf(out, size, "the receiver did not answer with 2xx");
	else if (result != CURLE_OK && !t->cut)
		(void)snprintf(out, size, "%s", t->refused[0] != '\0' ? t->refused : t->trouble[0] != '\0' ? t->trouble : curl_easy_strerror(result));
}

static int64_t with_jitter(int64_t ms)
{
	uint32_t r = 0;

	srv_env.random(NULL, &r, sizeof r);
	return ms + (int64_t)((double)ms * JITTER_PERCENT / 100 * ((double)r / UINT32_MAX));
}

static void settle(struct transfer *t, CURLcode result, struct store_attempt *a)
{
	struct srv_webhook *w = t->w;
	curl_off_t wait_s = 0;
	bool ok = a->http_status >= 200 && a->http_status <= 299 && (result == CURLE_OK || t->cut);
	int tries = t->d.n_tries + 1;

	a->status = ok ? STORE_DELIVERED : STORE_UNDELIVERED;
	if (a->http_status == 410)
		a->disable = "the receiver answered 410 Gone";
	if (ok || a->disable != NULL || tries >= w->n_delays)
		return;
	if (curl_easy_getinfo(t->easy, CURLINFO_RETRY_AFTER, &wait_s) != CURLE_OK || wait_s < 0)
		wait_s = 0;
	if (wait_s > RETRY_AFTER_MAX_S)
		wait_s = RETRY_AFTER_MAX_S;
	a->status = STORE_PENDING;
	a->next_ms = with_jitter(w->delays_ms[tries]);
	if (a->next_ms < (int64_t)wait_s * 1000)
		a->next_ms = (int64_t)wait_s * 1000;
	a->next_ms += srv_env.wall_ms(NULL);
}

static void log_attempt(const struct transfer *t, const struct store_attempt *a)
{
	struct srv_log_line l;

	srv_log_begin(&l, a->status == STORE_DELIVERED ? SRV_LOG_DEBUG : a->status == STORE_PENDING ? SRV_LOG_INFO : SRV_LOG_WARNING, a->status == STORE_DELIVERED ? "webhook.delivered" : "webhook.failed");
	srv_log_str(&l, "webhook", t->h.id);
	srv_log_str(&l, "delivery", t->d.id);
	srv_log_str(&l, "type", t->d.type);
	srv_log_int(&l, "attempt", t->d.n_attempts + 1);
	if (a->http_status > 0)
		srv_log_int(&l, "status", a->http_status);
	srv_log_int(&l, "ms", a->duration_ms);
	srv_log_str(&l, "error", a->error);
	srv_log_str(&l, "disabled", a->disable);
	srv_log_end(&l);
}

static void note(struct transfer *t, CURLcode result)
{
	static const enum api_hook_outcome outcome_of[STORE_N_DELIVERY_STATUS] = {
	    [STORE_PENDING] = API_HOOK_RETRYING, [STORE_DELIVERED] = API_HOOK_SUCCEEDED, [STORE_UNDELIVERED] = API_HOOK_FAILED};
	struct store_attempt a = {.due_ms = t->d.next_ms, .at_ms = t->at_ms, .duration_ms = srv_env.mono_ms(NULL) - t->began_ms};
	struct srv_webhook *w = t->w;
	char error[CURL_ERROR_SIZE];
	struct pare_err err = {0};
	long status = 0;

	(void)curl_easy_getinfo(t->easy, CURLINFO_RESPONSE_CODE, &status);
	a.http_status = (int)status;
	describe(t, result, status, error, sizeof error);
	a.error = error[0] != '\0' ? error : NULL;
	t->response[t->n_response] = '\0';
	a.response = status > 0 ? t->response : NULL;
	settle(t, result, &a);
	log_attempt(t, &a);
	atomic_fetch_add(&w->outcomes[outcome_of[a.status]], 1);
	if (store_delivery_tried(w->opt.store, t->d.id, &a, &err) != PARE_OK) {
		srv_log_event(SRV_LOG_ERROR, "webhook.unnoted", "delivery", t->d.id, &err); /* it will be sent once more */
		w->trouble_until_ms = srv_env.mono_ms(NULL) + TROUBLE_MS;
	}
	if (a.status == STORE_PENDING && (w->next_ms == 0 || a.next_ms < w->next_ms))
		w->next_ms = a.next_ms;
}

static void finish_done(struct srv_webhook *w)
{
	CURLMsg *m;
	int left;

	while ((m = curl_multi_info_read(w->multi, &left)) != NULL) {
		CURLcode result = m->data.result;
		CURL *easy = m->easy_handle;
		struct transfer *t = NULL;

		if (m->msg != CURLMSG_DONE || curl_easy_getinfo(easy, CURLINFO_PRIVATE, (char **)&t) != CURLE_OK)
			continue;
		note(t, result); /* while the handle still knows what it has seen */
		(void)curl_multi_remove_handle(w->multi, easy);
		release(t);
		if (w->more)
			atomic_store(&w->looks, true);
	}
}

/* --- the outbox */
struct load {
	int of_hook, of_owner;
	const struct transfer *itself; /* of this delivery */
};

static struct load load_beside(const struct srv_webhook *w, const struct store_delivery *d, const struct store_hook *h)
{
	struct load l = {.itself = NULL};

	for (int i = 0; i < N_TRANSFERS; i++) {
		const struct transfer *t = &w->transfers[i];

		if (!t->in_use)
			continue;
		l.of_hook += strcmp(t->h.id, h->id) == 0;
		l.of_owner += strcmp(t->h.owner, h->owner) == 0;
		if (strcmp(t->d.id, d->id) == 0)
			l.itself = t;
	}
	return l;
}

static void add_once(const char **list, int *n, const char *name)
{
	for (int i = 0; i < *n; i++)
		if (strcmp(list[i], name) == 0)
			return;
	list[(*n)++] = name;
}

static void find_busy(const struct srv_webhook *w, struct store_busy *out)
{
	out->n_hooks = out->n_owners = 0;
	out->per_hook = PER_HOOK + 1; /* one more than may be under way: that there is more is seen by it */
	for (int i = 0; i < N_TRANSFERS; i++) {
		const struct transfer *t = &w->transfers[i];
		struct load l;

		if (!t->in_use)
			continue;
		l = load_beside(w, &t->d, &t->h);
		if (l.of_hook >= PER_HOOK)
			add_once(out->hooks, &out->n_hooks, t->h.id);
		if (l.of_owner >= PER_OWNER)
			add_once(out->owners, &out->n_owners, t->h.owner);
	}
}

static struct transfer *free_transfer(struct srv_webhook *w)
{
	for (int i = 0; i < N_TRANSFERS; i++)
		if (!w->transfers[i].in_use)
			return &w->transfers[i];
	return NULL;
}

/* The key behind the endpoint may not read any more what this tells of: it is disabled, and what is pending for it fails. */
static void disable(struct srv_webhook *w, const struct store_due *d, const struct pare_err *why)
{
	struct store_attempt a = {.due_ms = d->d.next_ms, .at_ms = srv_env.wall_ms(NULL), .status = STORE_UNDELIVERED, .error = why->message, .disable = why->message};
	struct pare_err err = {0};

	srv_log_event(SRV_LOG_WARNING, "webhook.unauthorized", "webhook", d->h.id, why);
	if (store_delivery_tried(w->opt.store, d->d.id, &a, &err) == PARE_OK)
		return;
	srv_log_event(SRV_LOG_ERROR, "webhook.unnoted", "delivery", d->d.id, &err);
	w->trouble_until_ms = srv_env.mono_ms(NULL) + TROUBLE_MS;
}

static bool may_hear(struct srv_webhook *w, const struct store_due *d)
{
	struct pare_err why = {0};
	bool may = w->opt.may_hear(w->opt.ctx, &d->h, d->d.type, &why) == PARE_OK;

	if (!may)
		disable(w, d, &why);
	return may;
}

/* One look at the outbox: begins what fits. True: another look may find more. */
static bool begin_some(struct srv_webhook *w)
{
	struct store_busy busy;
	struct store_due *list;
	struct pare_err err = {0};
	int n, n_begun = 0, limit = 2 * N_TRANSFERS;
	bool full = false;

	find_busy(w, &busy);
	if (store_delivery_due(w->opt.store, &busy, limit, &list, &n, &w->next_ms, &err) != PARE_OK) {
		srv_log_event(SRV_LOG_ERROR, "webhook.unread", NULL, NULL, &err);
		w->trouble_until_ms = srv_env.mono_ms(NULL) + TROUBLE_MS;
		return false;
	}
	for (int i = 0; i < n && !full; i++) {
		struct transfer *t = free_transfer(w);
		struct load l = load_beside(w, &list[i].d, &list[i].h);
		bool waits = t == NULL || l.of_hook >= PER_HOOK || l.of_owner >= PER_OWNER;

		if (l.itself != NULL) {
			w->more |= l.itself->d.next_ms != list[i].d.next_ms; /* asked for again: after this attempt */
			continue;
		}
		full = t == NULL;
		w->more |= waits;
		if (!waits && may_hear(w, &list[i]))
			n_begun += begin(w, t, &list[i]);
	}
	w->more |= n == limit || busy.n_hooks + busy.n_owners > 0; /* of the busy ones nothing is known */
	store_due_list_done(list, n);
	return n == limit && n_begun > 0 && !full;
}

static void begin_due(struct srv_webhook *w)
{
	bool due = atomic_exchange(&w->looks, false) || (w->next_ms != 0 && srv_env.wall_ms(NULL) >= w->next_ms);

	if (!due)
		return;
	if (srv_env.mono_ms(NULL) < w->trouble_until_ms) {
		atomic_store(&w->looks, true);
		return;
	}
	w->more = false;
	while (begin_some(w))
		continue;
}

static void purge(struct srv_webhook *w)
{
	struct pare_err err = {0};
	int n = 0;

	if (srv_env.mono_ms(NULL) < w->purge_at_ms)
		return;
	if (store_delivery_purge(w->opt.store, srv_env.wall_ms(NULL) - w->opt.keep_ms, &n, &err) != PARE_OK)
		srv_log_event(SRV_LOG_WARNING, "webhook.unpurged", NULL, NULL, &err);
	w->purge_at_ms = srv_env.mono_ms(NULL) + (n > 0 ? TROUBLE_MS : PURGE_MS);
}

/* How long to sleep if nothing happens. */
static int64_t pause_ms(const struct srv_webhook *w)
{
	int64_t ms = IDLE_MS, until = w->next_ms - srv_env.wall_ms(NULL);

	if (atomic_load(&w->looks))
		ms = w->trouble_until_ms - srv_env.mono_ms(NULL);
	else if (w->next_ms != 0 && until < ms)
		ms = until;
	return ms < 0 ? 0 : ms;
}

/* How long to sleep is asked last: what has just ended may have made room, or have its next attempt soon. */
static void turn(struct srv_webhook *w)
{
	int running;

	(void)curl_multi_perform(w->multi, &running);
	finish_done(w);
	(void)curl_multi_poll(w->multi, NULL, 0, (int)(atomic_load(&w->stopping) ? GRACE_STEP_MS : pause_ms(w)), NULL);
}

static void *webhook_main(void *arg)
{
	struct srv_webhook *w = arg;
	int64_t until;

	while (!atomic_load(&w->stopping)) {
		begin_due(w);
		purge(w);
		turn(w);
		if (w->n_active == 0 && pause_ms(w) == IDLE_MS)
			atomic_store(&w->looks, true);
	}
	until = srv_env.mono_ms(NULL) + GRACE_MS;
	while (w->n_active > 0 && srv_env.mono_ms(NULL) < until)
		turn(w);
	return NULL;
}

/* --- start and stop */
static enum pare_code parse_delays(const char *text, int64_t out_ms[MAX_TRIES], int *out_n, struct pare_err *err)
{
	int count = 0;

	for (const char *s = text; *s != '\0' || count == 0;) {
		size_t n = strcspn(s, ","), n_word = n;
		const char *word = api_trim(s, &n_word);
		double seconds;

		if (count == MAX_TRIES || !pare_parse_double(word, n_word, &seconds) || seconds < 0 || seconds > 604800)
			return pare_err_set(err, PARE_E_INVALID, "webhook-retry-seconds", "it should be 1 to %d numbers of seconds with commas between them, each at most 604800", MAX_TRIES);
		out_ms[count++] = (int64_t)(seconds * 1000);
		s += n + (s[n] == ',');
	}
	*out_n = count;
	return PARE_OK;
}

static enum pare_code check_ca_file(const char *path, struct pare_err *err)
{
	if (path[0] == '\0' || access(path, R_OK) == 0)
		return PARE_OK;
	return pare_err_set(err, PARE_E_INVALID, "webhook-ca-file", "\"%.200s\" cannot be read", path);
}

enum pare_code srv_webhook_check(const struct srv_webhook_options *opt, struct pare_err *err)
{
	struct api_outgoing outgoing = {.allow = NULL};
	int64_t delays_ms[MAX_TRIES];
	int n;
	enum pare_code rc = api_outgoing_parse(opt->allow, opt->deny, &outgoing, err);

	api_outgoing_done(&outgoing);
	if (rc == PARE_OK)
		rc = parse_delays(opt->retry, delays_ms, &n, err);
	return rc == PARE_OK ? check_ca_file(opt->ca_file, err) : rc;
}

enum pare_code srv_webhook_new(const struct srv_webhook_options *opt, struct srv_webhook **out, struct pare_err *err)
{
	struct srv_webhook *w = pare_calloc(1, sizeof *w);
	enum pare_code rc;

	if (w == NULL)
		return pare_err_nomem(err, sizeof *w);
	w->opt = *opt;
	for (int i = 0; i < N_TRANSFERS; i++)
		w->transfers[i].w = w;
	w->ca_file = pare_strdup(opt->ca_file);
	w->link_base = pare_strdup(opt->link_base);
	rc = w->ca_file != NULL && w->link_base != NULL ? PARE_OK : pare_err_nomem(err, 0);
	if (rc == PARE_OK)
		rc = api_outgoing_parse(opt->allow, opt->deny, &w->outgoing, err);
	if (rc == PARE_OK)
		rc = parse_delays(opt->retry, w->delays_ms, &w->n_delays, err);
	if (rc == PARE_OK)
		rc = check_ca_file(opt->ca_file, err);
	if (rc == PARE_OK && (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK || (w->multi = curl_multi_init()) == NULL))
		rc = pare_err_nomem(err, 0);
	if (rc == PARE_OK)
		*out = w;
	else
		srv_webhook_free(w);
	return rc;
}

enum pare_code srv_webhook_start(struct srv_webhook *w, struct pare_err *err)
{
	atomic_store(&w->looks, true); /* what the last process left */
	w->started = pthread_create(&w->thread, NULL, webhook_main, w) == 0;
	return w->started ? PARE_OK : pare_err_set(err, PARE_E_NOMEM, NULL, "the thread of webhooks cannot be started");
}

/* Told of every event, most of which nobody is called for: those cost no look. */
void srv_webhook_wake(struct srv_webhook *w)
{
	uint64_t n;

	if (w == NULL)
		return;
	n = store_n_due(w->opt.store);
	if (atomic_exchange(&w->n_due, n) == n || atomic_exchange(&w->looks, true))
		return;
	(void)curl_multi_wakeup(w->multi);
}

void srv_webhook_count(struct srv_webhook *w, int64_t out[API_N_HOOK_OUTCOMES])
{
	for (int i = 0; i < API_N_HOOK_OUTCOMES; i++)
		out[i] = atomic_load(&w->outcomes[i]);
}

void srv_webhook_stop(struct srv_webhook *w)
{
	if (w == NULL || !w->started)
		return;
	atomic_store(&w->stopping, true);
	(void)curl_multi_wakeup(w->multi);
	pthread_join(w->thread, NULL);
	w->started = false;
}

void srv_webhook_free(struct srv_webhook *w)
{
	if (w == NULL)
		return;
	srv_webhook_stop(w);
	for (int i = 0; i < N_TRANSFERS; i++) {
		struct transfer *t = &w->transfers[i];

		if (t->in_use) {
			(void)curl_multi_remove_handle(w->multi, t->easy);
			release(t);
		}
		curl_easy_cleanup(t->easy);
	}
	if (w->multi != NULL)
		(void)curl_multi_cleanup(w->multi);
	api_outgoing_done(&w->outgoing);
	pare_free(w->ca_file);
	pare_free(w->link_base);
	pare_free(w);
}
