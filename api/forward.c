/* The chain of addresses is read from its right end, which the nearest proxy wrote: as long as an address is one of the trusted networks
 * the one left of it may be believed, too, and the first that is not is the client. Everything left of that was written by the client
 * itself, however it looks. Text that is no address ends the walk. The same holds for proto, host and prefix: the last one given counts.
 *
 * Links begin with public_url if there is one. Else, when a trusted proxy says what the client saw, with that; else they are relative to the
 * server. A host or prefix goes into links, so only the characters that such a thing has are taken; a header with others is ignored. */
#include "api/forward.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>

#include "api/priv.h"
#include "api/text.h"
#include "core/base/num.h"

#define ADDRESS_BYTES 16
#define MAPPED_BITS 96 /* IPv4 stands in the last 32 bits of ::ffff:0:0/96 */
#define MAX_NETWORKS 64
#define MAX_HOPS 32

struct network {
	uint8_t address[ADDRESS_BYTES];
	int bits;
};
struct api_networks {
	bool local;
	size_t n;
	struct network list[MAX_NETWORKS];
};

static bool parse_ip(const char *s, size_t n, uint8_t out[ADDRESS_BYTES], bool *out_v4)
{
	char text[INET6_ADDRSTRLEN];

	if (n >= sizeof text)
		return false;
	memcpy(text, s, n);
	text[n] = '\0';
	memset(out, 0, ADDRESS_BYTES);
	*out_v4 = inet_pton(AF_INET, text, out + 12) == 1;
	if (*out_v4) {
		out[10] = out[11] = 0xFF;
		return true;
	}
	return inet_pton(AF_INET6, text, out) == 1;
}

static enum pare_code parse_network(const char *s, size_t n, struct api_networks *out, struct pare_err *err)
{
	const char *slash = memchr(s, '/', n);
	size_t n_address = slash != NULL ? (size_t)(slash - s) : n;
	struct network *net = &out->list[out->n];
	int64_t bits;
	bool v4;

	if (n == 4 && memcmp(s, "unix", 4) == 0) {
		out->local = true;
		return PARE_OK;
	}
	if (out->n == MAX_NETWORKS)
		return pare_err_set(err, PARE_E_INVALID, "trusted-proxies", "at most %d networks", MAX_NETWORKS);
	if (!parse_ip(s, n_address, net->address, &v4))
		return pare_err_set(err, PARE_E_INVALID, "trusted-proxies", "\"%.*s\" is no network like 10.0.0.0/8 or fd00::/8, no address, and not \"unix\"", (int)(n < 60 ? n : 60), s);
	bits = v4 ? 32 : 128;
	if (slash != NULL && !pare_parse_i64(slash + 1, n - n_address - 1, 0, bits, &bits))
		return pare_err_set(err, PARE_E_INVALID, "trusted-proxies", "\"%.*s\": the part behind / must be a number from 0 to %d", (int)(n < 60 ? n : 60), s, v4 ? 32 : 128);
	net->bits = (int)bits + (v4 ? MAPPED_BITS : 0);
	out->n++;
	return PARE_OK;
}

enum pare_code api_networks_parse(const char *text, struct api_networks **out, struct pare_err *err)
{
	struct api_networks *list = pare_calloc(1, sizeof *list);
	enum pare_code code = PARE_OK;

	if (list == NULL)
		return pare_err_nomem(err, sizeof *list);
	for (const char *s = text; *s != '\0' && code == PARE_OK;) {
		size_t n = strcspn(s, ","), n_word = n;
		const char *word = api_trim(s, &n_word);

		if (n_word > 0)
			code = parse_network(word, n_word, list, err);
		s += n + (s[n] == ',');
	}
	if (code == PARE_OK)
		*out = list;
	else
		pare_free(list);
	return code;
}

void api_networks_free(struct api_networks *n)
{
	pare_free(n);
}

static bool within(const struct network *net, const uint8_t *address)
{
	int whole = net->bits / 8, rest = net->bits % 8;

	if (memcmp(net->address, address, (size_t)whole) != 0)
		return false;
	return rest == 0 || ((net->address[whole] ^ address[whole]) >> (8 - rest)) == 0;
}

bool api_networks_has(const struct api_networks *n, const char *address)
{
	uint8_t bytes[ADDRESS_BYTES];
	bool v4;

	if (n == NULL)
		return false;
	if (strcmp(address, "local") == 0)
		return n->local;
	if (!parse_ip(address, strlen(address), bytes, &v4))
		return false;
	for (size_t i = 0; i < n->n; i++)
		if (within(&n->list[i], bytes))
			return true;
	return false;
}

/* --- what the proxies said */
struct said {
	size_t n_for;
	const char *for_[MAX_HOPS]; /* left to right; longer chains lose their left end */
	const char *proto, *host, *prefix;
};

/* A piece of a header in the arena, without blanks and quotes; NULL: no memory. */
static const char *word_of(struct api_exchange *x, const char *s, size_t n)
{
	s = api_trim(s, &n);
	if (n >= 2 && s[0] == '"' && s[n - 1] == '"') {
		s++;
		n -= 2;
	}
	return pare_arena_strndup(&x->arena, s, n);
}

static bool add_hop(struct said *said, const char *word)
{
	if (word == NULL)
		return false;
	if (said->n_for == MAX_HOPS) {
		memmove(said->for_, said->for_ + 1, (MAX_HOPS - 1) * sizeof said->for_[0]);
		said->n_for--;
	}
	said->for_[said->n_for++] = word;
	return true;
}

/* Up to the separator, but not within quotes. */
static size_t piece(const char *s, const char *separators)
{
	bool quoted = false;
	size_t i;

	for (i = 0; s[i] != '\0' && (quoted || strchr(separators, s[i]) == NULL); i++)
		if (s[i] == '"')
			quoted = !quoted;
	return i;
}

/* for=192.0.2.60;proto=https;host=a.example, for="[2001:db8::17]:4711" */
static bool read_forwarded(struct api_exchange *x, const char *value, struct said *said)
{
	for (const char *s = value; *s != '\0';) {
		size_t n = piece(s, ",;"), n_name = strcspn(s, "=");
		const char *name = api_trim(s, &n_name), *word;

		if (n_name > 0 && name + n_name < s + n) {
			word = word_of(x, s + strcspn(s, "=") + 1, n - strcspn(s, "=") - 1);
			if (word == NULL || (api_word_is(name, n_name, "for") && !add_hop(said, word)))
				return false;
			if (api_word_is(name, n_name, "proto"))
				said->proto = word;
			if (api_word_is(name, n_name, "host"))
				said->host = word;
		}
		s += n + (s[n] != '\0');
	}
	return true;
}

static bool read_list(struct api_exchange *x, const char *value, struct said *said)
{
	for (const char *s = value; *s != '\0';) {
		size_t n = strcspn(s, ",");

		if (!add_hop(said, word_of(x, s, n)))
			return false;
		s += n + (s[n] == ',');
	}
	return true;
}

/* The last element of a list. */
static bool read_last(struct api_exchange *x, const char *value, const char **out)
{
	const char *comma = strrchr(value, ',');

	value = comma != NULL ? comma + 1 : value;
	*out = word_of(x, value, strlen(value));
	return *out != NULL;
}

/* Forwarded, if it is there, instead of all but X-Forwarded-Prefix, which it has no word for. */
static bool read_headers(struct api_exchange *x, struct said *said)
{
	bool standard = api_request_header(x, "Forwarded") != NULL, ok = true;

	for (size_t i = 0; i < x->n_headers && ok; i++) {
		const char *name = x->headers[i].name, *value = x->headers[i].value;

		if (api_same_nocase(name, "X-Forwarded-Prefix"))
			ok = read_last(x, value, &said->prefix);
		else if (standard)
			ok = !api_same_nocase(name, "Forwarded") || read_forwarded(x, value, said);
		else if (api_same_nocase(name, "X-Forwarded-For"))
			ok = read_list(x, value, said);
		else if (api_same_nocase(name, "X-Forwarded-Proto"))
			ok = read_last(x, value, &said->proto);
		else if (api_same_nocase(name, "X-Forwarded-Host"))
			ok = read_last(x, value, &said->host);
	}
	return ok;
}

/* The address of a hop without its port, as text of our own form. False: it is none ("unknown", "_hidden"). */
static bool address_of(const char *hop, char out[API_CLIENT_MAX])
{
	size_t n = strlen(hop);
	uint8_t bytes[ADDRESS_BYTES];
	const char *end;
	bool v4;

	if (hop[0] == '[') {
		end = strchr(++hop, ']');
		n = end != NULL ? (size_t)(end - hop) : 0;
	} else if (strchr(hop, ':') != NULL && strchr(hop, ':') == strrchr(hop, ':')) {
		n = strcspn(hop, ":");
	}
	if (!parse_ip(hop, n, bytes, &v4))
		return false;
	return inet_ntop(v4 ? AF_INET : AF_INET6, v4 ? bytes + 12 : bytes, out, API_CLIENT_MAX) != NULL;
}

static bool made_of(const char *s, const char *others)
{
	for (; *s != '\0'; s++)
		if (!((*s >= 'a' && *s <= 'z') || (*s >= 'A' && *s <= 'Z') || (*s >= '0' && *s <= '9') || strchr(others, *s) != NULL))
			return false;
	return true;
}

static enum pare_code make_base(struct api_exchange *x, const struct said *said, struct pare_err *err)
{
	const char *host = said->host != NULL ? said->host : api_request_header(x, "Host");
	const char *prefix = said->prefix != NULL ? said->prefix : "";
	bool https = said->proto != NULL && api_same_nocase(said->proto, "https"), http = said->proto != NULL && api_same_nocase(said->proto, "http");
	size_t n_prefix = strlen(prefix), size;
	char *base;

	while (n_prefix > 0 && prefix[n_prefix - 1] == '/')
		n_prefix--;
	if (n_prefix > 0 && (prefix[0] != '/' || prefix[1] == '/' || !made_of(prefix, "/-._~") || strstr(prefix, "..") != NULL))
		n_prefix = 0;
	if (host == NULL || host[0] == '\0' || strlen(host) > 255 || !made_of(host, ".-:[]") || (!https && !http))
		host = "";
	size = strlen(host) + n_prefix + sizeof "https://";
	base = pare_arena_alloc(&x->arena, size);
	if (base == NULL)
		return pare_err_nomem(err, size);
	(void)snprintf(base, size, "%s%s%.*s", host[0] == '\0' ? "" : https ? "https://" : "http://", host, (int)n_prefix, prefix);
	x->link_base = base;
	return PARE_OK;
}

enum pare_code api_forward_read(struct api_exchange *x, const char *peer, struct pare_err *err)
{
	const struct api_networks *trusted = x->api->trusted;
	struct said said = {.n_for = 0};

	(void)snprintf(x->client, sizeof x->client, "%s", peer != NULL ? peer : "");
	if (!api_networks_has(trusted, x->client))
		return PARE_OK;
	if (!read_headers(x, &said))
		return pare_err_nomem(err, 0);
	for (size_t i = said.n_for; i-- > 0 && api_networks_has(trusted, x->client);)
		if (!address_of(said.for_[i], x->client))
			break;
	if (x->link_base[0] != '\0' || (said.proto == NULL && said.prefix == NULL))
		return PARE_OK;
	return make_base(x, &said, err);
}
