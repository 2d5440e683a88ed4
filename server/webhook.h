/* Outgoing requests: everything that this service sends to somebody by itself goes through here. One thread takes what is due out of the outbox (storage/hook.h) and
 * posts it, many at a time, so a receiver that hangs holds up nobody but itself.
 *
 * Only http and https, no redirects, no proxies, no credentials; the address is checked when the socket is made, against the ranges of api/address.h; a receiver
 * has 15 seconds, and no more than 64 kB of its answer are read. */
#ifndef SERVER_WEBHOOK_H
#define SERVER_WEBHOOK_H

#include <stdint.h>

#include "api/api.h"
#include "core/base/err.h"
#include "storage/hook.h"
#include "storage/store.h"

struct srv_webhook;
struct srv_webhook_options {
	struct store *store;
	const char *allow, *deny; /* networks that are called although they are not public, and that are not called */
	const char *retry;     /* "0, 5, 300": seconds before each attempt; so many are made */
	const char *ca_file;   /* certificates to trust instead of the system's; "": the system's */
	const char *link_base; /* what links in messages begin with; "": the server */
	/* May the endpoint still be told of such an event? If not, err says why, and it is disabled. Called from the start to the stop. */
	enum pare_code (*may_hear)(void *ctx, const struct store_hook *h, const char *type, struct pare_err *err);
	void *ctx;
	int64_t keep_ms;       /* deliveries that ended are forgotten after this time */
};
/* Reads the settings and starts nothing. PARE_E_INVALID names the one that is wrong. */
PARE_MUST_USE enum pare_code srv_webhook_check(const struct srv_webhook_options *opt, struct pare_err *err);
/* Texts are copied. PARE_E_INVALID names the setting that is wrong. */
PARE_MUST_USE enum pare_code srv_webhook_new(const struct srv_webhook_options *opt, struct srv_webhook **out, struct pare_err *err);
/* Starts the thread: whom may_hear asks must be there by now. */
PARE_MUST_USE enum pare_code srv_webhook_start(struct srv_webhook *w, struct pare_err *err);
/* Something may be due: look. Any thread; w may be NULL. */
void srv_webhook_wake(struct srv_webhook *w);
void srv_webhook_count(struct srv_webhook *w, int64_t out[API_N_HOOK_OUTCOMES]);
/* Sends nothing more, waits a little for what is under way and leaves the rest in the outbox. NULL is fine. */
void srv_webhook_stop(struct srv_webhook *w);
void srv_webhook_free(struct srv_webhook *w); /* stops first */

#endif
