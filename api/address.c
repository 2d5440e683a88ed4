/* The ranges that are refused are the special-purpose registries of IANA (RFC 6890, kept at iana.org/assignments/iana-ipv4-special-registry and
 * -ipv6-special-registry): what is not ordinary unicast space of the public Internet is not called. IPv4 stands in the last 32 bits of
 * ::ffff:0:0/96, so one comparison serves both, and a v4-mapped address is its IPv4 address.
 *
 * Names are not looked at here: a name says nothing about where it leads (decimal and octal forms, DNS that answers differently the second
 * time). Whoever opens the socket asks with the address that it is about to be connected to. */
#include "api/address.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <string.h>

#include "api/text.h"
#include "core/base/mem.h"
#include "core/base/num.h"

#define MAPPED_BITS 96
#define MAX_NETWORKS 64

struct network {
	uint8_t address[API_ADDRESS_BYTES];
	int bits;
};
struct api_networks {
	bool local;
	size_t n;
	struct network list[MAX_NETWORKS];
};

#define V4(a, b, c, d, bits) {{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xFF, 0xFF, a, b, c, d}, MAPPED_BITS + (bits)}
#define V6(a, b, c, d, e, f, bits) {{(a) >> 8, (a) & 255, (b) >> 8, (b) & 255, (c) >> 8, (c) & 255, (d) >> 8, (d) & 255, (e) >> 8, (e) & 255, (f) >> 8, (f) & 255}, bits}
static const struct {
	struct network net;
	const char *why;
} refused_table[] = {
    {V4(0, 0, 0, 0, 8), "this host"},
    {V4(10, 0, 0, 0, 8), "private"},
    {V4(100, 64, 0, 0, 10), "shared by a carrier (CGNAT)"},
    {V4(127, 0, 0, 0, 8), "loopback"},
    {V4(169, 254, 0, 0, 16), "link-local"},
    {V4(172, 16, 0, 0, 12), "private"},
    {V4(192, 0, 0, 0, 24), "reserved for protocols"},
    {V4(192, 0, 2, 0, 24), "for documentation"},
    {V4(192, 88, 99, 0, 24), "a relay of IPv6"},
    {V4(192, 168, 0, 0, 16), "private"},
    {V4(198, 18, 0, 0, 15), "for benchmarks"},
    {V4(198, 51, 100, 0, 24), "for documentation"},
    {V4(203, 0, 113, 0, 24), "for documentation"},
    {V4(224, 0, 0, 0, 4), "multicast"},
    {V4(240, 0, 0, 0, 4), "reserved"},
    {{{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1}, 128}, "loopback"},
    {V6(0, 0, 0, 0, 0, 0, 96), "this host, or an IPv4 address within IPv6"},
    {V6(0, 0, 0, 0, 0xFFFF, 0, 96), "an IPv4 address within IPv6"},
    {V6(0x64, 0xFF9B, 0, 0, 0, 0, 96), "an IPv4 address within IPv6 (NAT64)"},
    {V6(0x64, 0xFF9B, 1, 0, 0, 0, 48), "an IPv4 address within IPv6 (NAT64)"},
    {V6(0x100, 0, 0, 0, 0, 0, 64), "discarded"},
    {V6(0x2001, 0, 0, 0, 0, 0, 23), "reserved for protocols (Teredo and others)"},
    {V6(0x2001, 0xDB8, 0, 0, 0, 0, 32), "for documentation"},
    {V6(0x2002, 0, 0, 0, 0, 0, 16), "an IPv4 address within IPv6 (6to4)"},
    {V6(0x3FFF, 0, 0, 0, 0, 0, 20), "for documentation"},
    {V6(0x5F00, 0, 0, 0, 0, 0, 16), "reserved for protocols"},
    {V6(0xFC00, 0, 0, 0, 0, 0, 7), "private"},
    {V6(0xFE80, 0, 0, 0, 0, 0, 10), "link-local"},
    {V6(0xFEC0, 0, 0, 0, 0, 0, 10), "site-local"},
    {V6(0xFF00, 0, 0, 0, 0, 0, 8), "multicast"},
};

/* What is no special purpose's may still be nobody's: of IPv6 only this much is given out (RFC 4291, section 2.4, and the registry of unicast addresses). */
static const struct network public_table[] = {V4(0, 0, 0, 0, 0), V6(0x2000, 0, 0, 0, 0, 0, 3)};

bool api_address_parse(const char *s, size_t n, uint8_t out[API_ADDRESS_BYTES], bool *out_v4)
{
	char text[INET6_ADDRSTRLEN];

	if (n >= sizeof text)
		return false;
	memcpy(text, s, n);
	text[n] = '\0';
	memset(out, 0, API_ADDRESS_BYTES);
	*out_v4 = inet_pton(AF_INET, text, out + 12) == 1;
	if (*out_v4) {
		out[10] = out[11] = 0xFF;
		return true;
	}
	return inet_pton(AF_INET6, text, out) == 1;
}

static enum pare_code parse_network(const char *setting, const char *s, size_t n, struct api_networks *out, struct pare_err *err)
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
		return pare_err_set(err, PARE_E_INVALID, setting, "at most %d networks", MAX_NETWORKS);
	if (!api_address_parse(s, n_address, net->address, &v4))
		return pare_err_set(err, PARE_E_INVALID, setting, "\"%.*s\" is no network like 10.0.0.0/8 or fd00::/8, no address, and not \"unix\"", (int)(n < 60 ? n : 60), s);
	bits = v4 ? 32 : 128;
	if (slash != NULL && !pare_parse_i64(slash + 1, n - n_address - 1, 0, bits, &bits))
		return pare_err_set(err, PARE_E_INVALID, setting, "\"%.*s\": the part behind / must be a number from 0 to %d", (int)(n < 60 ? n : 60), s, v4 ? 32 : 128);
	net->bits = (int)bits + (v4 ? MAPPED_BITS : 0);
	out->n++;
	return PARE_OK;
}

enum pare_code api_networks_parse(const char *setting, const char *text, struct api_networks **out, struct pare_err *err)
{
	struct api_networks *list = pare_calloc(1, sizeof *list);
	enum pare_code code = PARE_OK;

	if (list == NULL)
		return pare_err_nomem(err, sizeof *list);
	for (const char *s = text; *s != '\0' && code == PARE_OK;) {
		size_t n = strcspn(s, ","), n_word = n;
		const char *word = api_trim(s, &n_word);

		if (n_word > 0)
			code = parse_network(setting, word, n_word, list, err);
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

static bool holds(const struct api_networks *n, const uint8_t *address)
{
	for (size_t i = 0; n != NULL && i < n->n; i++)
		if (within(&n->list[i], address))
			return true;
	return false;
}

bool api_networks_has(const struct api_networks *n, const char *address)
{
	uint8_t bytes[API_ADDRESS_BYTES];
	bool v4;

	if (n == NULL)
		return false;
	if (strcmp(address, "local") == 0)
		return n->local;
	return api_address_parse(address, strlen(address), bytes, &v4) && holds(n, bytes);
}

enum pare_code api_outgoing_parse(const char *allow, const char *deny, struct api_outgoing *out, struct pare_err *err)
{
	enum pare_code code = api_networks_parse("webhook-allow", allow != NULL ? allow : "", &out->allow, err);

	return code == PARE_OK ? api_networks_parse("webhook-deny", deny != NULL ? deny : "", &out->deny, err) : code;
}

void api_outgoing_done(struct api_outgoing *o)
{
	api_networks_free(o->allow);
	api_networks_free(o->deny);
	o->allow = o->deny = NULL;
}

const char *api_address_refused(const uint8_t address[API_ADDRESS_BYTES], const struct api_outgoing *o)
{
	if (holds(o->deny, address))
		return "denied by the operator";
	if (holds(o->allow, address))
		return NULL;
	for (size_t i = 0; i < sizeof refused_table / sizeof refused_table[0]; i++)
		if (within(&refused_table[i].net, address))
			return refused_table[i].why;
	for (size_t i = 0; i < sizeof public_table / sizeof public_table[0]; i++)
		if (within(&public_table[i], address))
			return NULL;
	return "not of the public Internet";
}
