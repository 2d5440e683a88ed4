/* Prometheus text format 0.0.4. Labels are route templates and status codes only, so the number of series is bounded by the route table, whatever
 * clients send. Counting is a few relaxed atomic additions; a page that is read while requests run may be off by those in flight, which the format
 * allows. Buckets are those of OpenTelemetry's HTTP conventions (5 ms to 10 s).
 *
 * What the process uses comes from /proc and getrusage under the names that every Prometheus client library uses. */
#include "api/metrics.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "api/priv.h"
#include "core/base/num.h"

static const double bounds[] = {0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10};
#define N_BOUNDS (sizeof bounds / sizeof bounds[0])

static const int statuses[] = {200, 201, 202, 204, 206, 304, 400, 401, 403, 404, 405, 406, 409, 411, 412, 413, 415, 416, 422, 428, 429, 431, 500, 503, 504, 507};
#define N_STATUSES (sizeof statuses / sizeof statuses[0])

struct route_metrics {
	atomic_ullong codes[N_STATUSES + 1]; /* the last: any other status */
	atomic_ullong buckets[N_BOUNDS + 1];
	atomic_ullong sum_ns;
};
struct api_metrics {
	atomic_ullong refusals[API_N_QUOTAS];
	size_t n;
	struct route_metrics routes[];
};

struct api_metrics *api_metrics_new(void)
{
	size_t n = api_route_count() + 1;
	struct api_metrics *m = pare_calloc(1, sizeof *m + n * sizeof m->routes[0]);

	if (m != NULL)
		m->n = n;
	return m;
}

void api_metrics_free(struct api_metrics *m)
{
	pare_free(m);
}

void api_metrics_count(struct api_metrics *m, size_t route, int status, int64_t ns)
{
	struct route_metrics *r = &m->routes[route];
	size_t s = 0, b = 0;

	while (s < N_STATUSES && statuses[s] != status)
		s++;
	while (b < N_BOUNDS && (double)ns > bounds[b] * 1e9)
		b++;
	atomic_fetch_add_explicit(&r->codes[s], 1, memory_order_relaxed);
	atomic_fetch_add_explicit(&r->buckets[b], 1, memory_order_relaxed);
	atomic_fetch_add_explicit(&r->sum_ns, ns > 0 ? (unsigned long long)ns : 0, memory_order_relaxed);
}

void api_metrics_refused(struct api_metrics *m, enum api_quota q)
{
	atomic_fetch_add_explicit(&m->refusals[q], 1, memory_order_relaxed);
}

static void family(struct pare_buf *b, const char *name, const char *type, const char *help)
{
	(void)pare_buf_printf(b, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

static const char *route_method(size_t i)
{
	return i < api_route_count() ? api_route_table[i].method : "-";
}

static const char *route_path(size_t i)
{
	return i < api_route_count() ? api_route_table[i].path : "-";
}

static void write_requests(const struct api_metrics *m, struct pare_buf *b)
{
	family(b, "pared_http_requests_total", "counter", "Requests answered, by route template and status code.");
	for (size_t i = 0; i < m->n; i++)
		for (size_t s = 0; s <= N_STATUSES; s++) {
			unsigned long long n = atomic_load(&m->routes[i].codes[s]);

			if (n > 0 && s < N_STATUSES)
				(void)pare_buf_printf(b, "pared_http_requests_total{method=\"%s\",route=\"%s\",code=\"%d\"} %llu\n", route_method(i), route_path(i), statuses[s], n);
			else if (n > 0)
				(void)pare_buf_printf(b, "pared_http_requests_total{method=\"%s\",route=\"%s\",code=\"other\"} %llu\n", route_method(i), route_path(i), n);
		}
}

static void write_duration(const struct route_metrics *r, size_t i, struct pare_buf *b)
{
	static const char name[] = "pared_http_request_duration_seconds";
	unsigned long long total = 0;

	for (size_t k = 0; k < N_BOUNDS; k++) {
		total += atomic_load(&r->buckets[k]);
		(void)pare_buf_printf(b, "%s_bucket{method=\"%s\",route=\"%s\",le=\"%g\"} %llu\n", name, route_method(i), route_path(i), bounds[k], total);
	}
	total += atomic_load(&r->buckets[N_BOUNDS]);
	(void)pare_buf_printf(b, "%s_bucket{method=\"%s\",route=\"%s\",le=\"+Inf\"} %llu\n", name, route_method(i), route_path(i), total);
	(void)pare_buf_printf(b, "%s_sum{method=\"%s\",route=\"%s\"} %.9f\n", name, route_method(i), route_path(i), (double)atomic_load(&r->sum_ns) / 1e9);
	(void)pare_buf_printf(b, "%s_count{method=\"%s\",route=\"%s\"} %llu\n", name, route_method(i), route_path(i), total);
}

static bool was_used(const struct route_metrics *r)
{
	for (size_t k = 0; k <= N_BOUNDS; k++)
		if (atomic_load(&r->buckets[k]) > 0)
			return true;
	return false;
}

static void write_durations(const struct api_metrics *m, struct pare_buf *b)
{
	family(b, "pared_http_request_duration_seconds", "histogram", "Time from the request head to the end of the reply.");
	for (size_t i = 0; i < m->n; i++)
		if (was_used(&m->routes[i]))
			write_duration(&m->routes[i], i, b);
}

static void write_refusals(const struct api_metrics *m, struct pare_buf *b)
{
	static const char *const names[API_N_QUOTAS] = {"requests", "open", "bytes"};

	family(b, "pared_quota_refusals_total", "counter", "Requests refused because their owner has used up a quota: of requests, of jobs or uploads that have not ended, of bytes.");
	for (int i = 0; i < API_N_QUOTAS; i++)
		(void)pare_buf_printf(b, "pared_quota_refusals_total{quota=\"%s\"} %llu\n", names[i], atomic_load(&m->refusals[i]));
}

static enum pare_code write_jobs(struct api *api, struct pare_buf *b, struct pare_err *err)
{
	int64_t counts[STORE_N_STATUS], oldest = 0, now = api->opt.env->wall_ms(api->opt.env->ctx);
	enum pare_code rc = store_job_counts(api->opt.store, counts, &oldest, err);

	if (rc != PARE_OK)
		return rc;
	family(b, "pared_jobs", "gauge", "Jobs in the store, by state.");
	for (int i = 0; i < STORE_N_STATUS; i++)
		(void)pare_buf_printf(b, "pared_jobs{state=\"%s\"} %lld\n", store_job_status_name((enum store_job_status)i), (long long)counts[i]);
	family(b, "pared_queue_oldest_age_seconds", "gauge", "Age of the oldest queued job; 0 when none waits.");
	(void)pare_buf_printf(b, "pared_queue_oldest_age_seconds %.3f\n", oldest > 0 && now > oldest ? (double)(now - oldest) / 1000 : 0.0);
	return PARE_OK;
}

static void write_service(struct api *api, struct pare_buf *b)
{
	int alive = 0, busy = 0;
	const char *sandbox = "";

	if (api->opt.engine.workers != NULL)
		api->opt.engine.workers(api->opt.engine.ctx, &alive, &busy, &sandbox);
	family(b, "pared_workers", "gauge", "Worker slots, by state.");
	(void)pare_buf_printf(b, "pared_workers{state=\"busy\"} %d\npared_workers{state=\"idle\"} %d\n", busy, alive - busy);
	family(b, "pared_store_free_bytes", "gauge", "Free bytes of the file system that holds the store.");
	(void)pare_buf_printf(b, "pared_store_free_bytes %lld\n", (long long)blob_free_bytes(api->opt.blobs));
	family(b, "pared_draining", "gauge", "1 while the server takes no new work.");
	(void)pare_buf_printf(b, "pared_draining %d\n", atomic_load(&api->draining) ? 1 : 0);
	family(b, "pared_build_info", "gauge", "Always 1; the version is in the label.");
	(void)pare_buf_printf(b, "pared_build_info{version=\"%s\"} 1\n", api->opt.version);
}

static void write_deliveries(struct api *api, struct pare_buf *b)
{
	static const char *const names[API_N_HOOK_OUTCOMES] = {[API_HOOK_SUCCEEDED] = "succeeded", [API_HOOK_RETRYING] = "retrying", [API_HOOK_FAILED] = "failed"};
	int64_t n[API_N_HOOK_OUTCOMES] = {0};

	if (api->opt.engine.deliveries == NULL)
		return;
	api->opt.engine.deliveries(api->opt.engine.ctx, n);
	family(b, "pared_webhook_deliveries_total", "counter", "Attempts to deliver a webhook: taken, to be tried again, given up.");
	for (int i = 0; i < API_N_HOOK_OUTCOMES; i++)
		(void)pare_buf_printf(b, "pared_webhook_deliveries_total{outcome=\"%s\"} %lld\n", names[i], (long long)n[i]);
}

static long long resident_bytes(void)
{
	char text[128];
	int fd = open("/proc/self/statm", O_RDONLY | O_CLOEXEC);
	ssize_t n = fd >= 0 ? read(fd, text, sizeof text - 1) : -1;
	int64_t pages;
	const char *p;

	if (fd >= 0)
		(void)close(fd);
	text[n > 0 ? n : 0] = '\0';
	p = strchr(text, ' ');
	if (p == NULL || !pare_parse_i64(p + 1, strcspn(p + 1, " "), 0, INT64_MAX / 65536, &pages))
		return 0;
	return (long long)pages * sysconf(_SC_PAGESIZE);
}

static int open_fds(void)
{
	DIR *d = opendir("/proc/self/fd");
	int n = -3; /* ".", "..", and the directory itself */

	if (d == NULL)
		return 0;
	while (readdir(d) != NULL)
		n++;
	(void)closedir(d);
	return n;
}

static double seconds(struct timeval t)
{
	return (double)t.tv_sec + (double)t.tv_usec / 1e6;
}

static void write_process(struct api *api, struct pare_buf *b)
{
	struct rusage use = {0};
	struct rlimit fds = {0};

	(void)getrusage(RUSAGE_SELF, &use);
	(void)getrlimit(RLIMIT_NOFILE, &fds);
	family(b, "process_cpu_seconds_total", "counter", "User and system CPU time spent.");
	(void)pare_buf_printf(b, "process_cpu_seconds_total %.3f\n", seconds(use.ru_utime) + seconds(use.ru_stime));
	family(b, "process_resident_memory_bytes", "gauge", "Resident memory.");
	(void)pare_buf_printf(b, "process_resident_memory_bytes %lld\n", resident_bytes());
	family(b, "process_open_fds", "gauge", "Open file descriptors.");
	(void)pare_buf_printf(b, "process_open_fds %d\n", open_fds());
	family(b, "process_max_fds", "gauge", "Limit of open file descriptors.");
	(void)pare_buf_printf(b, "process_max_fds %llu\n", (unsigned long long)fds.rlim_cur);
	family(b, "process_start_time_seconds", "gauge", "Start of the process, in seconds since 1970.");
	(void)pare_buf_printf(b, "process_start_time_seconds %.3f\n", (double)api->started_wall_ms / 1000);
}

enum pare_code api_metrics_write(struct api *api, struct pare_buf *out, struct pare_err *err)
{
	enum pare_code rc;

	write_requests(api->metrics, out);
	write_durations(api->metrics, out);
	write_refusals(api->metrics, out);
	rc = write_jobs(api, out, err);
	if (rc != PARE_OK)
		return rc;
	write_service(api, out);
	write_deliveries(api, out);
	write_process(api, out);
	return pare_buf_status(out, err);
}

enum pare_code api_get_metrics(struct api_exchange *x, struct pare_err *err)
{
	enum pare_code rc = api_metrics_write(x->api, &x->out, err);

	if (rc != PARE_OK)
		return rc;
	api_set_header_text(x, "Cache-Control", "no-store");
	return api_reply_text(x, 200, "text/plain; version=0.0.4; charset=utf-8", err);
}
