/* pared: reads its settings, opens the store, puts right what a crash left, starts the workers and the HTTP server, and
 * waits for signals:
 *
 *   SIGTERM, SIGINT  stop in order: readyz says 503, no job is claimed, running ones go back to the queue, requests under way end
 *   SIGHUP           read the API keys again
 *
 * The parts hold no pointers to each other; struct daemon below is where they meet. Signals are blocked before the first
 * thread starts, so only the wait here takes them. Settings are looked at before anything is made: who mistypes one finds no directory of data afterwards. Exit status: 0 after an
 * orderly stop, 1 when starting failed, 2 for wrong settings. */
#include <malloc.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "api/address.h"
#include "api/api.h"
#include "api/auth.h"
#include "core/base/mem.h"
#include "core/recipe/recipe.h"
#include "server/config.h"
#include "server/env.h"
#include "server/httpd.h"
#include "server/janitor.h"
#include "server/listen.h"
#include "server/log.h"
#include "server/look.h"
#include "server/pool.h"
#include "server/webhook.h"
#include "storage/uploads.h"

#include "embed_docs.inc"
#include "embed_openapi.inc"

#define LOOKS_AT_ONCE 2

extern char **environ;

struct daemon {
	struct srv_config config;
	struct blob_store *blobs;
	struct store *store;
	struct srv_look *look;
	struct srv_pool *pool;
	struct srv_webhook *webhook;
	_Atomic(struct api *) api; /* workers tell it of events, the first of them before it is there */
	_Atomic(struct srv_httpd *) httpd;
	struct srv_janitor *janitor;
	const char *sandbox;
};

/* --- what the api asks for */
static enum pare_code on_inspect(void *ctx, enum store_asset_kind kind, const struct store_file *files, int n, const char *options, char **out_info, struct pare_err *err)
{
	return srv_look_inspect(((struct daemon *)ctx)->look, kind, files, n, options, out_info, err);
}

static enum pare_code on_sample(void *ctx, const struct store_file *files, int n, const char *options, int n_rows, char **out_rows, struct pare_err *err)
{
	return srv_look_sample(((struct daemon *)ctx)->look, files, n, options, n_rows, out_rows, err);
}

static enum pare_code on_analyze(void *ctx, const char *job, const struct api_engine_input *inputs, int n, char **out_info, struct pare_err *err)
{
	return srv_look_analyze(((struct daemon *)ctx)->look, job, inputs, n, out_info, err);
}

static enum pare_code on_build(void *ctx, const char *architecture, struct blob_ref *out, char **out_info, struct pare_err *err)
{
	return srv_look_build(((struct daemon *)ctx)->look, architecture, out, out_info, err);
}

static enum pare_code on_capabilities(void *ctx, char **out_info, struct pare_err *err)
{
	return srv_look_capabilities(((struct daemon *)ctx)->look, out_info, err);
}

static void on_job_added(void *ctx)
{
	struct daemon *d = ctx;

	srv_pool_wake(d->pool);
	srv_httpd_events_added(atomic_load(&d->httpd), "");
	srv_webhook_wake(d->webhook);
}

static void on_job_asked(void *ctx, const char *id, enum store_job_status asked)
{
	srv_pool_ask(((struct daemon *)ctx)->pool, id, asked);
}

static void on_drain(void *ctx, bool on)
{
	srv_pool_pause(((struct daemon *)ctx)->pool, on);
	srv_log_event(SRV_LOG_INFO, on ? "drained" : "undrained", NULL, NULL, NULL);
}

static void on_events(void *ctx, const char *subject)
{
	struct daemon *d = ctx;
	struct api *api = atomic_load(&d->api);

	srv_httpd_events_added(atomic_load(&d->httpd), subject);
	srv_webhook_wake(d->webhook);
	if (api != NULL)
		api_events_added(api);
}

static void on_workers(void *ctx, int *out_alive, int *out_busy, const char **out_sandbox)
{
	struct daemon *d = ctx;

	srv_pool_count(d->pool, out_alive, out_busy);
	*out_sandbox = d->sandbox;
}

static void on_deliveries_added(void *ctx)
{
	srv_webhook_wake(((struct daemon *)ctx)->webhook);
}

static void on_deliveries(void *ctx, int64_t out[API_N_HOOK_OUTCOMES])
{
	srv_webhook_count(((struct daemon *)ctx)->webhook, out);
}

static int on_each_worker(void *ctx, struct api_worker *out, int cap)
{
	return srv_pool_list(((struct daemon *)ctx)->pool, out, cap);
}

/* --- start */
static const char *sandbox_kind(void)
{
	long version = syscall(SYS_landlock_create_ruleset, NULL, 0, 1u); /* the flag that asks for the version; only core/job knows the header */

	return version > 0 ? "landlock+seccomp" : "seccomp";
}

/* As many files as may be; and no core dump, which would leave what clients have sent, and secrets, in a file. */
static void set_limits(void)
{
	struct rlimit r = {0, 0};

	setrlimit(RLIMIT_CORE, &r);
	if (getrlimit(RLIMIT_NOFILE, &r) == 0 && r.rlim_cur < r.rlim_max) {
		r.rlim_cur = r.rlim_max;
		setrlimit(RLIMIT_NOFILE, &r);
	}
}

static int count_cores(void)
{
	cpu_set_t set;

	return sched_getaffinity(0, sizeof set, &set) == 0 ? CPU_COUNT(&set) : 1;
}

static void program_dir(char *out, size_t cap)
{
	ssize_t n = readlink("/proc/self/exe", out, cap - 1);
	char *slash;

	out[n > 0 ? n : 0] = '\0';
	slash = strrchr(out, '/');
	if (slash != NULL)
		*slash = '\0';
	else
		snprintf(out, cap, ".");
}

static enum pare_code open_store(struct daemon *d, struct pare_err *err)
{
	struct srv_log_line l;
	int given_back = 0;
	enum pare_code code;

	if (mkdir(d->config.data_dir, 0700) == 0)
		srv_log_event(SRV_LOG_INFO, "data.created", "dir", d->config.data_dir, NULL);
	/* the store first: its lock keeps a second daemon from emptying the first one's staging directory */
	code = store_sqlite_open(d->config.data_dir, &srv_env, &d->store, err);
	if (code == PARE_OK)
		store_set_quota(d->store, &(struct store_quota){.max_bytes = d->config.owner_max_bytes, .max_open_jobs = d->config.owner_max_open_jobs});
	if (code == PARE_OK)
		code = blob_fs_open(d->config.data_dir, &srv_env, &d->blobs, err);
	if (code == PARE_OK)
		code = store_recover(d->store, &given_back, err);
	if (code == PARE_OK)
		code = store_uploads_recover(d->store, d->blobs, err);
	if (code != PARE_OK)
		return code;
	srv_log_begin(&l, SRV_LOG_INFO, "store.opened");
	srv_log_str(&l, "dir", d->config.data_dir);
	srv_log_int(&l, "jobs_given_back", given_back);
	srv_log_end(&l);
	return PARE_OK;
}

static struct store_retention retention_of(const struct srv_config *c)
{
	return (struct store_retention){.jobs_ms = c->keep_jobs_seconds * 1000, .artifacts_ms = c->keep_artifacts_seconds * 1000};
}

static enum pare_code make_api(struct daemon *d, struct pare_err *err)
{
	const struct srv_config *c = &d->config;
	struct api_options o = {
	    .env = &srv_env, .store = d->store, .blobs = d->blobs,
	    .engine = {on_inspect, on_sample, on_analyze, on_build, on_job_added, on_job_asked, on_events, on_workers, on_deliveries_added, on_deliveries, on_drain, on_each_worker, on_capabilities, d},
	    .limits = {.max_upload_bytes = c->max_upload_bytes, .max_json_bytes = c->max_json_bytes, .min_free_bytes = c->min_free_bytes, .max_queued_jobs = (int)c->max_queued_jobs,
		.max_uploads = (int)c->max_uploads, .upload_ms = c->upload_seconds * 1000,
		.default_threads = (int)c->job_threads, .max_threads = count_cores(), .max_crashes = (int)c->max_crashes, .retention = retention_of(c), .max_requests = {c->owner_max_requests, c->key_max_requests}, .window_seconds = c->owner_window_seconds},
	    .public_url = c->public_url, .trusted_proxies = c->trusted_proxies, .webhook_allow = c->webhook_allow, .webhook_deny = c->webhook_deny, .openapi = openapi_yaml, .openapi_json = openapi_json, .docs = openapi_html, .docs_policy = openapi_csp, .version = PARE_VERSION, .api_key_file = c->api_key_file[0] != '\0' ? c->api_key_file : NULL};

	char backups[4096 + sizeof "/backups"];
	struct api *api = NULL;
	enum pare_code code;

	(void)snprintf(backups, sizeof backups, "%.4096s/backups", c->data_dir);
	o.backup_dir = backups;
	code = api_new(&o, &api, err);

	atomic_store(&d->api, api);
	return code;
}

static enum pare_code may_hear(void *ctx, const struct store_hook *h, const char *type, struct pare_err *err)
{
	return api_hook_may_hear(atomic_load(&((struct daemon *)ctx)->api), h->key, h->owner, type, err);
}

static struct srv_webhook_options hook_options(struct daemon *d)
{
	const struct srv_config *c = &d->config;

	return (struct srv_webhook_options){.store = d->store, .allow = c->webhook_allow, .deny = c->webhook_deny, .retry = c->webhook_retry_seconds, .ca_file = c->webhook_ca_file, .link_base = c->public_url,
	    .may_hear = may_hear, .ctx = d, .keep_ms = c->webhook_keep_days * 86400000};
}

/* What is read and used later, and can be seen to be wrong now. */
static enum pare_code check_settings(struct daemon *d, struct pare_err *err)
{
	const struct srv_config *c = &d->config;
	struct srv_webhook_options hooks = hook_options(d);
	struct api_networks *trusted = NULL;
	struct api_keys *keys = NULL;
	struct stat st;
	enum pare_code code = api_networks_parse("trusted-proxies", c->trusted_proxies, &trusted, err);

	if (code == PARE_OK)
		code = srv_webhook_check(&hooks, err);
	if (code == PARE_OK && c->api_key_file[0] != '\0')
		code = api_keys_load(c->api_key_file, &keys, err);
	if (code == PARE_OK && strlen(c->public_url) > API_PUBLIC_URL_MAX)
		code = pare_err_set(err, PARE_E_INVALID, "public-url", "it is longer than %d characters", API_PUBLIC_URL_MAX);
	if (code == PARE_OK && (stat(c->core, &st) != 0 || !S_ISREG(st.st_mode) || access(c->core, X_OK) != 0))
		code = pare_err_set(err, PARE_E_INVALID, c->core, "the engine is not there, or cannot be executed; set \"core\" to the path of pare-core");
	api_networks_free(trusted);
	api_keys_free(keys);
	return code;
}

static enum pare_code make_workers(struct daemon *d, struct pare_err *err)
{
	const struct srv_config *c = &d->config;
	struct srv_look_options look = {.blobs = d->blobs, .core = c->core, .concurrency = LOOKS_AT_ONCE, .limit_ms = c->inspect_seconds * 1000, .memory_bytes = c->max_memory_bytes};
	struct srv_pool_options pool = {.store = d->store, .blobs = d->blobs, .core = c->core, .workers = (int)c->workers, .memory_bytes = c->max_memory_bytes,
	    .max_runtime_seconds = c->max_runtime_seconds, .full_ms = c->max_full_seconds * 1000, .checkpoint_ms = c->checkpoint_seconds * 1000, .max_artifact_bytes = 2 * c->max_upload_bytes + ((int64_t)64 << 20), .events_added = on_events, .ctx = d};

	struct srv_webhook_options hooks = hook_options(d);

	if (srv_webhook_new(&hooks, &d->webhook, err) != PARE_OK || srv_look_new(&look, &d->look, err) != PARE_OK)
		return err->code;
	pool.look = d->look;
	return srv_pool_new(&pool, &d->pool, err);
}

static void announce(const char *url)
{
	printf("pared %s listening on %s\n", PARE_VERSION, url);
	if (strncmp(url, "unix:", 5) == 0)
		printf("try: curl -fsS --unix-socket %s http://localhost/v1/methods\n", url + 5);
	else
		printf("try: curl -fsS %s/v1/methods\n", url);
	fflush(stdout);
	srv_notify("READY=1\n");
}

static enum pare_code serve(struct daemon *d, struct pare_err *err)
{
	const struct srv_config *c = &d->config;
	struct srv_httpd_options o = {.threads = (int)c->http_threads, .max_connections = (int)c->max_connections, .header_timeout_ms = c->header_timeout_seconds * 1000,
	    .idle_timeout_ms = c->idle_timeout_seconds * 1000, .min_body_rate = c->min_body_rate};
	struct srv_httpd *h = NULL;
	char url[200];
	enum pare_code code = open_store(d, err);

	if (code == PARE_OK) /* taken early: an address in use is told before any work begins */
		code = srv_listen(c->listen, c->port, &o.listen_fd, url, sizeof url, err);
	if (code != PARE_OK)
		return code;
	code = pare_recipes_keep(err);
	if (code == PARE_OK)
		code = make_workers(d, err);
	if (code == PARE_OK)
		code = make_api(d, err);
	if (code == PARE_OK) /* it asks the API what may be told */
		code = srv_webhook_start(d->webhook, err);
	if (code != PARE_OK) {
		close(o.listen_fd);
		return code;
	}
	o.api = d->api;
	code = srv_httpd_start(&o, &h, err);
	atomic_store(&d->httpd, h);
	if (code != PARE_OK)
		return code;
	code = srv_janitor_start(&(struct srv_janitor_options){.store = d->store, .blobs = d->blobs, .api = d->api, .retention = retention_of(c), .upload_ms = c->upload_seconds * 1000}, &d->janitor, err);
	if (code != PARE_OK)
		return code;
	announce(url);
	return PARE_OK;
}

/* --- stop */
static void stop(struct daemon *d)
{
	struct srv_httpd *h = atomic_load(&d->httpd);
	int64_t began = srv_env.mono_ms(NULL), left;

	srv_notify("STOPPING=1\n");
	if (d->api != NULL)
		api_set_draining(d->api, true);
	if (d->look != NULL) /* first: a worker may wait for it */
		srv_look_stop(d->look);
	if (d->pool != NULL)
		srv_pool_stop(d->pool);
	srv_webhook_stop(d->webhook);
	left = d->config.shutdown_seconds * 1000 - (srv_env.mono_ms(NULL) - began);
	srv_httpd_stop(h, left > 0 ? left : 0);
	atomic_store(&d->httpd, NULL);
	srv_janitor_stop(d->janitor);
	api_free(d->api);
	srv_pool_free(d->pool);
	srv_look_free(d->look);
	srv_webhook_free(d->webhook);
	blob_close(d->blobs);
	if (d->store != NULL)
		store_close(d->store);
	pare_recipes_drop();
}

static void reload(struct daemon *d)
{
	struct pare_err err = {0};

	if (api_reload_keys(d->api, &err) != PARE_OK)
		srv_log_event(SRV_LOG_ERROR, "keys.kept", NULL, NULL, &err);
	else
		srv_log_event(SRV_LOG_INFO, "keys.reloaded", NULL, NULL, NULL);
}

static void wait_for_end(struct daemon *d, const sigset_t *signals)
{
	int signum = 0;

	while (sigwait(signals, &signum) != 0 || signum == SIGHUP)
		if (signum == SIGHUP)
			reload(d);
	srv_log_event(SRV_LOG_INFO, "stopping", "signal", signum == SIGTERM ? "SIGTERM" : "SIGINT", NULL);
}

static int run(struct daemon *d)
{
	struct sigaction ignore = {.sa_handler = SIG_IGN};
	struct pare_err err = {0};
	sigset_t signals;

	sigaction(SIGPIPE, &ignore, NULL);
	sigaction(SIGXFSZ, &ignore, NULL); /* a file size limit is an error of one write, like a full disk */
	sigemptyset(&signals);
	sigaddset(&signals, SIGTERM);
	sigaddset(&signals, SIGINT);
	sigaddset(&signals, SIGHUP);
	pthread_sigmask(SIG_BLOCK, &signals, NULL);
	mallopt(M_ARENA_MAX, 2); /* an arena per thread would keep what a burst has used */
	set_limits();
	d->sandbox = sandbox_kind();
	if (serve(d, &err) != PARE_OK) {
		fprintf(stderr, "pared: %s%s%s\n", err.where, err.where[0] != '\0' ? ": " : "", err.message);
		stop(d);
		return 1;
	}
	wait_for_end(d, &signals);
	stop(d);
	srv_log_event(SRV_LOG_INFO, "stopped", NULL, NULL, NULL);
	return 0;
}

static int print(enum pare_code (*write_text)(struct pare_buf *, struct pare_err *))
{
	struct pare_buf b;
	struct pare_err err;
	int status = 0;

	pare_buf_init(&b, (size_t)1 << 20);
	if (write_text(&b, &err) != PARE_OK || fwrite(b.data, 1, b.len, stdout) != b.len || fflush(stdout) != 0)
		status = 1;
	pare_buf_done(&b);
	return status;
}

static enum srv_log_level level_of(const char *name)
{
	static const char *const names[] = {"debug", "info", "warning"};

	for (int i = 0; i < 3; i++)
		if (strcmp(names[i], name) == 0)
			return (enum srv_log_level)i;
	return SRV_LOG_ERROR;
}

static int act(struct daemon *d, struct pare_err *err)
{
	switch (d->config.action) {
	case SRV_HELP:
		return print(srv_config_help);
	case SRV_PRINT_CONFIG:
		return print(srv_config_sample);
	case SRV_VERSION:
		printf("pared %s\n", PARE_VERSION);
		return 0;
	case SRV_HEALTHCHECK:
		if (srv_ask_health(d->config.listen, d->config.port, "/readyz", err) == PARE_OK)
			return 0;
		fprintf(stderr, "pared: %s\n", err->message);
		return 1;
	default:
		srv_log_set_level(level_of(d->config.log_level));
		return run(d);
	}
}

int main(int argc, char **argv)
{
	static struct daemon d;
	struct pare_err err = {0};
	char dir[4096];
	int status = 2;
	enum pare_code code = srv_config_load(argc, argv, environ, &d.config, &err);

	program_dir(dir, sizeof dir);
	if (code == PARE_OK && d.config.action == SRV_RUN) /* first: what is no address is not one that other machines reach */
		code = srv_listen_check(d.config.listen, &err);
	if (code == PARE_OK && d.config.action == SRV_RUN)
		code = srv_config_resolve(&d.config, count_cores(), dir, &err);
	if (code == PARE_OK && d.config.action == SRV_RUN)
		code = check_settings(&d, &err);
	if (code == PARE_OK)
		status = act(&d, &err);
	else
		fprintf(stderr, "pared: %s%s%s\n", err.where, err.where[0] != '\0' ? ": " : "", err.message);
	srv_config_done(&d.config);
	return status;
}
