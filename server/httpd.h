/* HTTP: everything that knows libmicrohttpd. Turns its callbacks into an exchange of the api (api/api.h) and the exchange's reply into a
 * response; adds what the library lacks: deadlines for slow clients, early refusals, event streams that sleep. */
#ifndef SERVER_HTTPD_H
#define SERVER_HTTPD_H

#include <stdint.h>

#include "api/api.h"
#include "core/base/err.h"

struct srv_httpd;
struct srv_httpd_options {
	struct api *api;
	int listen_fd; /* taken over */
	int threads, max_connections;
	int64_t header_timeout_ms, idle_timeout_ms;
	int64_t min_body_rate; /* bytes per second; 0: no limit */
};
PARE_MUST_USE enum pare_code srv_httpd_start(const struct srv_httpd_options *opt, struct srv_httpd **out, struct pare_err *err);
/* Wakes the event streams of a job, and those that tell of everything. Any thread; h may be NULL. */
void srv_httpd_events_added(struct srv_httpd *h, const char *job);
/* No new connections; ends the event streams; waits at most wait_ms for the requests under way, then cuts them off and releases everything. NULL is fine. */
void srv_httpd_stop(struct srv_httpd *h, int64_t wait_ms);

#endif
