/* What a webhook is made of, without a socket and without a store: which URLs are called, what an endpoint may hear of, and the message itself with its
 * signature (Standard Webhooks 1.0.0, https://www.standardwebhooks.com; CloudEvents 1.0.2 in structured JSON form). */
#ifndef API_HOOK_H
#define API_HOOK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "api/address.h"
#include "api/auth.h"
#include "core/base/buf.h"
#include "core/base/env.h"
#include "core/base/err.h"
#include "storage/hook.h"

/* --- events that have a name here can be asked for; those that are by_default come to endpoints that ask for nothing, as far as their key may read them. Ends with a row without a type. */
struct api_event_type {
	const char *type;
	bool by_default;
	enum api_scope scope; /* what reading it takes: an endpoint hears of it if its key has that */
};
extern const struct api_event_type api_event_type_table[];

/* --- URLs: http or https, a host, nothing of a user, no fragment, no port of another service. A host that is an address, in whatever form, must be one that is called.
 * PARE_E_INVALID says what is wrong; the address that a name leads to is checked when it is called. */
#define API_HOOK_URL_MAX 2048
PARE_MUST_USE enum pare_code api_hook_url_check(const char *url, const struct api_outgoing *outgoing, struct pare_err *err);

/* --- secrets: "whsec_" and 24 to 64 bytes in base 64 */
#define API_HOOK_SECRET_MAX 100
bool api_hook_secret_check(const char *secret);
void api_hook_secret_make(const struct pare_env *env, char out[API_HOOK_SECRET_MAX]);

/* --- the message */
#define API_HOOK_DATA_MAX ((size_t)16384) /* longer data of an event are left out: whoever needs them reads the event */
#define API_HOOK_SIGNATURES_MAX 128
/* The body of a delivery, the same at every attempt. link_base: what the link to the subject begins with. */
PARE_MUST_USE enum pare_code api_hook_body(const struct store_hook *h, const struct store_delivery *d, const char *link_base, struct pare_buf *out, struct pare_err *err);
const char *api_hook_media_type(enum store_hook_format f);
/* The value of webhook-signature over "<id>.<timestamp>.<body>": one signature per secret that is valid at now_ms, the present one first. */
PARE_MUST_USE enum pare_code api_hook_sign(const struct store_hook *h, int64_t now_ms, const char *id, int64_t timestamp_s, const char *body, size_t n, char out[API_HOOK_SIGNATURES_MAX], struct pare_err *err);

#endif
