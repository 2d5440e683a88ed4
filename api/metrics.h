/* Counters and histograms of the HTTP side, kept with atomics: one row per route, none per id. */
#ifndef API_METRICS_H
#define API_METRICS_H

#include <stdint.h>

#include "core/base/buf.h"
#include "core/base/err.h"

struct api;
struct api_metrics;

struct api_metrics *api_metrics_new(void); /* NULL: out of memory */
void api_metrics_free(struct api_metrics *m);
/* route: index into api_route_table, or api_route_count() for requests that found none. */
void api_metrics_count(struct api_metrics *m, size_t route, int status, int64_t ns);
/* A request was refused by a quota of its owner's. */
enum api_quota { API_QUOTA_REQUESTS, API_QUOTA_OPEN, API_QUOTA_BYTES, API_N_QUOTAS };
void api_metrics_refused(struct api_metrics *m, enum api_quota q);
/* The whole page in Prometheus' text format 0.0.4. */
PARE_MUST_USE enum pare_code api_metrics_write(struct api *api, struct pare_buf *out, struct pare_err *err);

#endif
