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

#define MAX_HOPS 32

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
	uint8_t bytes[API_ADDRESS_BYTES];
	const char *end;
	bool v4;

	if (hop[0] == '[') {
		end = strchr(++hop, ']');
		n = end != NULL ? (size_t)(end - hop) : 0;
	} else if (strchr(hop, ':') != NULL && strchr(hop, ':') == strrchr(hop, ':')) {
		n = strcspn(hop, ":");
	}
	if (!api_address_parse(hop, n, bytes, &v4))
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
