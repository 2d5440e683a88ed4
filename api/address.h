/* Internet addresses as text, networks of them, and which addresses this service may call by itself: webhooks go to places that clients name, and what stands beside
 * the daemon (its own host, the private network, the cloud's metadata service) must not be among them unless the operator says so. */
#ifndef API_ADDRESS_H
#define API_ADDRESS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/base/err.h"

#define API_ADDRESS_BYTES 16 /* IPv6; IPv4 as ::ffff:a.b.c.d */

/* s[0..n) as an IPv4 address of four decimal numbers, or as an IPv6 address. */
bool api_address_parse(const char *s, size_t n, uint8_t out[API_ADDRESS_BYTES], bool *out_v4);

struct api_networks;
/* "127.0.0.0/8, ::1, 10.0.0.0/8, unix": networks and addresses; unix is every peer on a Unix socket. "" is no network. setting: whose value it is, for the error. */
PARE_MUST_USE enum pare_code api_networks_parse(const char *setting, const char *text, struct api_networks **out, struct pare_err *err);
void api_networks_free(struct api_networks *n);
/* address: text of an IPv4 or IPv6 address, or "local". n NULL: no network. */
bool api_networks_has(const struct api_networks *n, const char *address);

/* Which addresses are called: those of the public Internet, and those of allow, but none of deny. */
struct api_outgoing {
	struct api_networks *allow, *deny; /* NULL: none */
};
PARE_MUST_USE enum pare_code api_outgoing_parse(const char *allow, const char *deny, struct api_outgoing *out, struct pare_err *err); /* NULL: none */
void api_outgoing_done(struct api_outgoing *o);
/* Why the service does not call this address ("loopback", "private", …); NULL: it does. An IPv6 address that holds an IPv4 address in it is refused
 * as a kind, for what it holds reaches wherever the gateway is. */
const char *api_address_refused(const uint8_t address[API_ADDRESS_BYTES], const struct api_outgoing *o);

#endif
