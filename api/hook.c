/* An endpoint hears of an event in few words (under 20 kB, mostly under 1): who needs more follows the link. The body says nothing that changes between
 * attempts, so a receiver may compare bytes; what does change, the time of sending, is in the headers and signed with them.
 *
 * The URL is checked twice. Here, when it is given, so that a mistake is told to whoever makes it; and again as an address in the socket callback of whoever
 * calls it, because only that cannot be got round. Here is therefore no resolver and no attempt to be complete about names. */
#include "api/hook.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "api/json.h"
#include "api/priv.h"
#include "api/text.h"
#include "core/base/num.h"
#include "storage/digest.h"

#define SECRET_PREFIX "whsec_"
#define SECRET_BYTES_MIN 24
#define SECRET_BYTES_MAX 64
#define SECRET_BYTES 32

const struct api_event_type api_event_type_table[] = {
    {"job.queued", true, API_JOBS_READ},
    {"job.started", true, API_JOBS_READ},
    {"job.retrying", true, API_JOBS_READ},
    {"job.paused", true, API_JOBS_READ},
    {"job.succeeded", true, API_JOBS_READ},
    {"job.failed", true, API_JOBS_READ},
    {"job.canceled", true, API_JOBS_READ},
    {"job.phase", false, API_JOBS_READ},
    {"job.progress", false, API_JOBS_READ},
    {"job.metrics", false, API_JOBS_READ},
    {"job.log", false, API_JOBS_READ},
    {"job.checkpoint", false, API_JOBS_READ},
    {"job.resumed", false, API_JOBS_READ},
    {"job.waiting", false, API_JOBS_READ},
    {"job.trial", false, API_JOBS_READ},
    {"model.ready", true, API_MODELS_READ},
    {"dataset.ready", true, API_DATASETS_READ},
    {NULL, false, API_OPEN},
};

/* --- URLs */
static enum pare_code bad_url(struct pare_err *err, const char *what)
{
	return pare_err_set(err, PARE_E_INVALID, "/url", "%s", what);
}

static enum pare_code check_characters(const char *url, struct pare_err *err)
{
	size_t n = strlen(url);

	if (n == 0 || n > API_HOOK_URL_MAX)
		return pare_err_set(err, PARE_E_INVALID, "/url", "a URL has 1 to %d characters", API_HOOK_URL_MAX);
	for (const char *s = url; *s != '\0'; s++) {
		unsigned char c = (unsigned char)*s;

		if (c > 0x7E)
			return bad_url(err, "a URL is ASCII: write an international host name in its xn-- form and percent-encode the rest");
		if (c <= 0x20 || c == '"' || c == '<' || c == '>' || c == '\\' || c == '^' || c == '`' || c == '{' || c == '|' || c == '}')
			return pare_err_set(err, PARE_E_INVALID, "/url", "byte 0x%02x does not belong in a URL: percent-encode it", c);
		if (c == '#')
			return bad_url(err, "a fragment (#) is not sent to a server: leave it out");
	}
	return PARE_OK;
}

static enum pare_code check_address(const uint8_t address[API_ADDRESS_BYTES], const struct api_outgoing *outgoing, struct pare_err *err)
{
	const char *why = api_address_refused(address, outgoing);

	if (why == NULL)
		return PARE_OK;
	return pare_err_set(err, PARE_E_INVALID, "/url", "this address is not called: it is %s; the operator of this service can allow networks with webhook-allow", why);
}

static bool is_localhost(const char *host, size_t n)
{
	return n >= 9 && strncasecmp(host + n - 9, "localhost", 9) == 0 && (n == 9 || host[n - 10] == '.');
}

/* A host without brackets and port. */
static enum pare_code check_host(const char *host, size_t n, const struct api_outgoing *outgoing, struct pare_err *err)
{
	uint8_t address[API_ADDRESS_BYTES] = {0};
	struct in_addr loose;
	char text[256];
	bool v4;

	if (n == 0 || n >= sizeof text)
		return bad_url(err, "the URL has no host, or one of more than 255 characters");
	memcpy(text, host, n);
	text[n] = '\0';
	if (strspn(text, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._") != n || text[0] == '.')
		return bad_url(err, "a host is made of letters, digits, hyphens and dots");
	if (text[n - 1] == '.') /* of the root, which an address has none of */
		text[--n] = '\0';
	if (api_address_parse(text, n, address, &v4))
		return check_address(address, outgoing, err);
	if (inet_aton(text, &loose) != 0)
		return bad_url(err, "write an IPv4 address as four decimal numbers, like 192.0.2.1");
	if (is_localhost(text, n) && api_address_parse("127.0.0.1", 9, address, &v4))
		return check_address(address, outgoing, err);
	return PARE_OK;
}

static enum pare_code check_ipv6(const char *host, size_t n, const struct api_outgoing *outgoing, struct pare_err *err)
{
	uint8_t address[API_ADDRESS_BYTES];
	bool v4;

	if (!api_address_parse(host, n, address, &v4) || v4)
		return bad_url(err, "between the brackets of a host stands an IPv6 address");
	return check_address(address, outgoing, err);
}

static enum pare_code check_port(const char *s, size_t n, struct pare_err *err)
{
	int64_t port;

	if (n == 0)
		return PARE_OK;
	if (!pare_parse_i64(s, n, 1, 65535, &port))
		return bad_url(err, "the port is a number from 1 to 65535");
	if (port < 1024 && port != 80 && port != 443)
		return pare_err_set(err, PARE_E_INVALID, "/url", "port %d belongs to another service than HTTP: use 80, 443 or one from 1024 on", (int)port);
	return PARE_OK;
}

enum pare_code api_hook_url_check(const char *url, const struct api_outgoing *outgoing, struct pare_err *err)
{
	enum pare_code rc = check_characters(url, err);
	const char *host, *port;
	size_t n, n_host;

	if (rc != PARE_OK)
		return rc;
	if (strncasecmp(url, "https://", 8) != 0 && strncasecmp(url, "http://", 7) != 0)
		return bad_url(err, "a URL begins with https:// or http://");
	host = strchr(url, ':') + 3;
	n = strcspn(host, "/?");
	if (memchr(host, '@', n) != NULL)
		return bad_url(err, "a URL with user name or password is not taken: receivers check the signature instead");
	if (host[0] == '[') {
		n_host = strcspn(host, "]");
		if (n_host >= n)
			return bad_url(err, "the host has a bracket that is not closed");
		rc = check_ipv6(host + 1, n_host - 1, outgoing, err);
		n_host++;
	} else {
		n_host = strcspn(host, ":/?");
		rc = check_host(host, n_host, outgoing, err);
	}
	if (rc != PARE_OK)
		return rc;
	port = host + n_host;
	if (n_host < n && *port != ':')
		return bad_url(err, "behind the host stands a port, a path or nothing");
	return n_host < n ? check_port(port + 1, n - n_host - 1, err) : PARE_OK;
}

/* --- secrets */
static size_t secret_bytes(const char *secret, uint8_t out[SECRET_BYTES_MAX])
{
	if (strncmp(secret, SECRET_PREFIX, sizeof SECRET_PREFIX - 1) != 0)
		return 0;
	return api_base64_decode(secret + sizeof SECRET_PREFIX - 1, out, SECRET_BYTES_MAX);
}

bool api_hook_secret_check(const char *secret)
{
	uint8_t key[SECRET_BYTES_MAX];
	bool ok = secret_bytes(secret, key) >= SECRET_BYTES_MIN;

	explicit_bzero(key, sizeof key);
	return ok;
}

void api_hook_secret_make(const struct pare_env *env, char out[API_HOOK_SECRET_MAX])
{
	uint8_t key[SECRET_BYTES];

	env->random(env->ctx, key, sizeof key);
	memcpy(out, SECRET_PREFIX, sizeof SECRET_PREFIX);
	api_base64(key, sizeof key, out + sizeof SECRET_PREFIX - 1);
	explicit_bzero(key, sizeof key);
}

/* --- the message */
static const struct {
	const char *media_type;
} format_table[STORE_N_HOOK_FORMATS] = {
    [STORE_HOOK_STANDARD] = {"application/json"},
    [STORE_HOOK_CLOUDEVENTS] = {"application/cloudevents+json"},
};

const char *api_hook_media_type(enum store_hook_format f)
{
	return format_table[f].media_type;
}

static const char *collection_of(const char *id)
{
	static const struct {
		const char *prefix, *path;
	} table[] = {{"job_", "jobs"}, {"mdl_", "models"}, {"dst_", "datasets"}, {"whk_", "webhooks"}};

	for (size_t i = 0; i < sizeof table / sizeof table[0]; i++)
		if (strncmp(id, table[i].prefix, 4) == 0)
			return table[i].path;
	return NULL;
}

static void write_data(struct pare_buf *b, const struct store_delivery *d, const char *link_base)
{
	bool fits = strlen(d->data) <= API_HOOK_DATA_MAX;
	struct store_event e = {.seq = d->seq, .cursor = d->cursor, .at_ms = d->at_ms, .type = d->type, .level = d->level, .data = fits ? d->data : "{\"omitted\":true}"};
	const char *path = collection_of(d->subject);
	char url[1200];

	memcpy(e.subject, d->subject, sizeof e.subject);
	api_json_event(b, "data", &e);
	if (path == NULL || b->failed)
		return;
	b->len--; /* into the object: its bracket comes back behind the link */
	(void)snprintf(url, sizeof url, "%s/v1/%s/%s", link_base, path, d->subject);
	api_json_str(b, "url", url);
	api_json_close(b, '}');
}

static void write_standard(struct pare_buf *b, const struct store_delivery *d, const char *link_base)
{
	api_json_str(b, "type", d->type);
	api_json_time(b, "timestamp", d->at_ms);
	write_data(b, d, link_base);
}

static void write_cloudevents(struct pare_buf *b, const struct store_delivery *d, const char *link_base)
{
	char source[1100], type[128];

	(void)snprintf(source, sizeof source, "%s/v1", link_base);
	(void)snprintf(type, sizeof type, "pared.%s", d->type);
	api_json_str(b, "specversion", "1.0");
	api_json_str(b, "id", d->event);
	api_json_str(b, "source", source);
	api_json_str(b, "type", type);
	api_json_time(b, "time", d->at_ms);
	api_json_str(b, "subject", d->subject);
	api_json_str(b, "datacontenttype", "application/json");
	write_data(b, d, link_base);
}

enum pare_code api_hook_body(const struct store_hook *h, const struct store_delivery *d, const char *link_base, struct pare_buf *out, struct pare_err *err)
{
	api_json_open(out, NULL, '{');
	if (h->format == STORE_HOOK_CLOUDEVENTS)
		write_cloudevents(out, d, link_base);
	else
		write_standard(out, d, link_base);
	api_json_close(out, '}');
	return pare_buf_status(out, err);
}

static enum pare_code sign(const char *secret, const struct store_bytes *pieces, size_t n_pieces, struct pare_buf *out, struct pare_err *err)
{
	uint8_t key[SECRET_BYTES_MAX], mac[STORE_SHA256_BYTES];
	char text[4 * ((STORE_SHA256_BYTES + 2) / 3) + 1];
	size_t n = secret_bytes(secret, key);
	bool ok = n > 0 && store_hmac_sha256(key, n, pieces, n_pieces, mac);

	explicit_bzero(key, sizeof key);
	if (!ok)
		return n > 0 ? pare_err_nomem(err, 0) : pare_err_set(err, PARE_E_STORE, NULL, "the secret of the webhook is damaged: rotate it");
	api_base64(mac, sizeof mac, text);
	(void)pare_buf_printf(out, "%sv1,%s", out->len > 0 ? " " : "", text);
	return PARE_OK;
}

enum pare_code api_hook_sign(const struct store_hook *h, int64_t now_ms, const char *id, int64_t timestamp_s, const char *body, size_t n, char out[API_HOOK_SIGNATURES_MAX], struct pare_err *err)
{
	char seconds[24];
	size_t n_seconds = (size_t)snprintf(seconds, sizeof seconds, ".%lld.", (long long)timestamp_s);
	const struct store_bytes pieces[] = {{id, strlen(id)}, {seconds, n_seconds}, {body, n}};
	struct pare_buf b;
	enum pare_code rc;

	pare_buf_init(&b, API_HOOK_SIGNATURES_MAX - 1);
	rc = sign(h->secret, pieces, 3, &b, err);
	if (rc == PARE_OK && h->old_secret[0] != '\0' && now_ms < h->old_until_ms)
		rc = sign(h->old_secret, pieces, 3, &b, err);
	if (rc == PARE_OK)
		rc = pare_buf_status(&b, err);
	if (rc == PARE_OK)
		memcpy(out, b.data, b.len + 1);
	pare_buf_done(&b);
	return rc;
}
