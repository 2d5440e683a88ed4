/* Adding a setting is one row here and one field in config.h. Values keep the text form of flags everywhere ("4G", "10"),
 * so that a line of the file, a variable and a flag are checked by one function and their errors read alike.
 *
 * Unknown flags and unknown keys of the file are errors with the nearest name. Unknown PARED_ variables are not: Kubernetes
 * puts variables into every container for each service it knows, and for a service that is called "pared" they are
 * PARED_SERVICE_HOST, PARED_PORT=tcp://10.0.0.1:8080 and so on; a value of that last shape is not taken for a port either. */
#include "server/config.h"

#include <ctype.h>
#include <inttypes.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "core/base/mem.h"
#include "core/base/num.h"
#include "core/recipe/catalog.h"

enum type { TEXT, COUNT, BYTES, CHOICE };
struct row {
	const char *name;
	enum type type;
	size_t offset;
	const char *def; /* in text form */
	int64_t min, max;
	const char *const *choices;
	const char *doc;
};

static const char *const log_levels[] = {"debug", "info", "warning", "error", NULL};

#define AT(field) offsetof(struct srv_config, field)
#define TB ((int64_t)1 << 40)
static const struct row config_table[] = {
    {"listen", TEXT, AT(listen), "127.0.0.1", 0, 0, NULL, "address to listen on: IPv4, IPv6 or unix:/path; others than loopback need api-key-file"},
    {"port", COUNT, AT(port), "8080", 0, 65535, NULL, "TCP port; 0 takes a free one and prints it"},
    {"data-dir", TEXT, AT(data_dir), "pared-data", 0, 0, NULL, "directory of the database and the files; one daemon at a time"},
    {"api-key-file", TEXT, AT(api_key_file), "", 0, 0, NULL, "file of API keys, one a line; SIGHUP reads it again; empty: no authentication"},
    {"public-url", TEXT, AT(public_url), "", 0, 0, NULL, "what clients see before /v1 when a proxy stands in front: https://host/prefix"},
    {"trusted-proxies", TEXT, AT(trusted_proxies), "", 0, 0, NULL, "networks whose Forwarded and X-Forwarded-For, -Proto, -Host, -Prefix are believed: 127.0.0.0/8, ::1, unix"},
    {"core", TEXT, AT(core), "", 0, 0, NULL, "path of the engine; empty: pare-core beside this program"},
    {"workers", COUNT, AT(workers), "0", 0, 256, NULL, "jobs that run at the same time; 0: one for every four cores"},
    {"job-threads", COUNT, AT(job_threads), "0", 0, 256, NULL, "threads of a job that asks for no number; 0: cores / workers"},
    {"max-upload-bytes", BYTES, AT(max_upload_bytes), "4G", 1, 1024 * TB, NULL, "largest model or data set"},
    {"max-uploads", COUNT, AT(max_uploads), "64", 1, 1000000, NULL, "resumable uploads at the same time; more are refused with 429"},
    {"upload-seconds", COUNT, AT(upload_seconds), "86400", 1, 31536000, NULL, "after that time without a request a resumable upload is forgotten"},
    {"max-json-bytes", BYTES, AT(max_json_bytes), "1M", 1024, 1 << 24, NULL, "largest JSON request"},
    {"min-free-bytes", BYTES, AT(min_free_bytes), "256M", 0, 1024 * TB, NULL, "below this much free disk space uploads and jobs are refused with 507"},
    {"max-queued-jobs", COUNT, AT(max_queued_jobs), "100000", 1, 10000000, NULL, "more waiting jobs are refused with 503"},
    {"owner-max-bytes", BYTES, AT(owner_max_bytes), "0", 0, 1024 * TB, NULL, "bytes that the models, data sets and artifacts of one owner may have; more get 507; 0: no limit"},
    {"owner-max-open-jobs", COUNT, AT(owner_max_open_jobs), "0", 0, 10000000, NULL, "jobs of one owner that have not ended; more get 429; 0: no limit"},
    {"owner-max-requests", COUNT, AT(owner_max_requests), "0", 0, 1000000000, NULL, "requests of one owner within owner-window-seconds; more get 429; 0: no limit"},
    {"owner-window-seconds", COUNT, AT(owner_window_seconds), "60", 1, 86400, NULL, "see owner-max-requests and key-max-requests"},
    {"key-max-requests", COUNT, AT(key_max_requests), "0", 0, 1000000000, NULL, "requests of one API key within owner-window-seconds, of those of its owner; more get 429; 0: no limit"},
    {"keep-jobs-seconds", COUNT, AT(keep_jobs_seconds), "0", 0, 3153600000, NULL, "ended jobs are removed with all they have when they ended that long ago; 0: they are kept for ever"},
    {"keep-artifacts-seconds", COUNT, AT(keep_artifacts_seconds), "0", 0, 3153600000, NULL, "artifacts are removed when their job ended that long ago, and the job stays; 0: they are kept for ever"},
    {"max-memory-bytes", BYTES, AT(max_memory_bytes), "8G", (int64_t)64 << 20, TB, NULL, "memory of one engine process"},
    {"max-runtime-seconds", COUNT, AT(max_runtime_seconds), "86400", 1, 31536000, NULL, "longest run of one job; a job may ask for less"},
    {"max-full-seconds", COUNT, AT(max_full_seconds), "86400", 0, 31536000, NULL, "a job that found no room for its results all that time fails with store_full"},
    {"max-crashes", COUNT, AT(max_crashes), "3", 1, 100, NULL, "a job whose engine died this often fails with worker_crashed"},
    {"checkpoint-seconds", COUNT, AT(checkpoint_seconds), "60", 0, 86400, NULL, "the state of a running job is kept no more often than that, and it goes on from there after a crash or restart; 0: never"},
    {"inspect-seconds", COUNT, AT(inspect_seconds), "60", 1, 3600, NULL, "longest look at an uploaded file"},
    {"http-threads", COUNT, AT(http_threads), "0", 0, 64, NULL, "threads that serve requests; 0: as many as cores, at most 4"},
    {"max-connections", COUNT, AT(max_connections), "15000", 16, 1000000, NULL, "connections at the same time"},
    {"header-timeout-seconds", COUNT, AT(header_timeout_seconds), "10", 1, 3600, NULL, "a request head must have arrived by then"},
    {"idle-timeout-seconds", COUNT, AT(idle_timeout_seconds), "75", 1, 86400, NULL, "connections on which nothing happens are closed"},
    {"min-body-rate", BYTES, AT(min_body_rate), "1k", 0, 1 << 30, NULL, "bytes per second below which an upload or a download is cut off (mean of 10 seconds); 0: never"},
    {"webhook-allow", TEXT, AT(webhook_allow), "", 0, 0, NULL, "networks that webhooks may lead to although they are not public: 10.1.0.0/16, 127.0.0.1"},
    {"webhook-deny", TEXT, AT(webhook_deny), "", 0, 0, NULL, "networks that webhooks must not lead to, public or allowed; 0.0.0.0/0, ::/0: nothing is called at all"},
    {"webhook-ca-file", TEXT, AT(webhook_ca_file), "", 0, 0, NULL, "certificates (PEM) that receivers of webhooks are checked against; empty: those of the system"},
    {"webhook-retry-seconds", TEXT, AT(webhook_retry_seconds), "0, 5, 300, 1800, 7200, 18000, 36000, 50400, 72000, 86400", 0, 0, NULL, "pauses before the attempts to deliver a webhook; so many are made"},
    {"webhook-keep-days", COUNT, AT(webhook_keep_days), "7", 1, 3650, NULL, "deliveries that ended are forgotten after so many days"},
    {"shutdown-seconds", COUNT, AT(shutdown_seconds), "20", 1, 3600, NULL, "time for requests to end after SIGTERM"},
    {"log-level", CHOICE, AT(log_level), "info", 0, 0, log_levels, "debug (every request), info, warning or error"},
};
#define N_ROWS (sizeof config_table / sizeof config_table[0])

static char **text_at(struct srv_config *c, const struct row *r)
{
	return (char **)(void *)((char *)c + r->offset);
}

static bool is_text(const struct row *r)
{
	return r->type == TEXT || r->type == CHOICE;
}

static bool is_choice(const struct row *r, const char *value)
{
	for (const char *const *p = r->choices; *p != NULL; p++)
		if (strcmp(*p, value) == 0)
			return true;
	return false;
}

static enum pare_code set_value(struct srv_config *c, const struct row *r, const char *value, const char *where, struct pare_err *err)
{
	int64_t v;
	char *copy;
	bool ok;

	if (r->type == CHOICE && !is_choice(r, value))
		return pare_err_set(err, PARE_E_INVALID, where, "%s is \"%s\", it should be one of: %s", r->name, value, r->doc);
	if (is_text(r)) {
		copy = pare_strdup(value);
		if (copy == NULL)
			return pare_err_nomem(err, strlen(value));
		pare_free(*text_at(c, r));
		*text_at(c, r) = copy;
		return PARE_OK;
	}
	ok = r->type == BYTES ? pare_parse_bytes(value, &v) : pare_parse_i64(value, strlen(value), 0, INT64_MAX, &v);
	if (!ok || v < r->min || v > r->max)
		return pare_err_set(err, PARE_E_INVALID, where, "%s is \"%s\", it should be a whole number from %" PRId64 " to %" PRId64 "%s", r->name, value, r->min, r->max,
		    r->type == BYTES ? ", with k, M, G or T if you like" : "");
	*(int64_t *)(void *)((char *)c + r->offset) = v;
	return PARE_OK;
}

static const struct row *find(const char *name, size_t n)
{
	for (size_t i = 0; i < N_ROWS; i++)
		if (strlen(config_table[i].name) == n && memcmp(config_table[i].name, name, n) == 0)
			return &config_table[i];
	return NULL;
}

static enum pare_code unknown(const char *name, const char *where, struct pare_err *err)
{
	struct pare_param names[N_ROWS + 1];
	struct pare_method all = {.name = "config", .params = names};
	const char *near;

	memset(names, 0, sizeof names);
	for (size_t i = 0; i < N_ROWS; i++)
		names[i].name = config_table[i].name;
	near = pare_catalog_nearest_param(&all, name);
	if (near != NULL)
		return pare_err_set(err, PARE_E_INVALID, where, "there is no setting \"%.64s\"; did you mean \"%s\"?", name, near);
	return pare_err_set(err, PARE_E_INVALID, where, "there is no setting \"%.64s\"; pared --help lists them all", name);
}

/* --- the file: "key = value" lines, # comments */
static char *trim(char *s)
{
	char *end;

	while (isspace((unsigned char)*s))
		s++;
	end = s + strlen(s);
	while (end > s && isspace((unsigned char)end[-1]))
		*--end = '\0';
	return s;
}

static enum pare_code read_line(struct srv_config *c, char *line, const char *where, struct pare_err *err)
{
	char *equals, *key, *value;
	const struct row *r;

	line = trim(line);
	if (line[0] == '\0' || line[0] == '#')
		return PARE_OK;
	equals = strchr(line, '=');
	if (equals == NULL)
		return pare_err_set(err, PARE_E_INVALID, where, "this line should read: name = value");
	*equals = '\0';
	key = trim(line);
	value = trim(equals + 1);
	r = find(key, strlen(key));
	if (r == NULL)
		return unknown(key, where, err);
	return set_value(c, r, value, where, err);
}

static enum pare_code read_file(struct srv_config *c, const char *path, struct pare_err *err)
{
	char line[4096], where[PARE_ERR_WHERE_MAX];
	enum pare_code code = PARE_OK;
	FILE *f = fopen(path, "re");

	if (f == NULL)
		return pare_err_set(err, PARE_E_INVALID, path, "the configuration file cannot be opened");
	for (int n = 1; code == PARE_OK && fgets(line, sizeof line, f) != NULL; n++) {
		snprintf(where, sizeof where, "%.150s line %d", path, n);
		if (strchr(line, '\n') == NULL && !feof(f))
			code = pare_err_set(err, PARE_E_INVALID, where, "the line is longer than %zu bytes", sizeof line - 2);
		else
			code = read_line(c, line, where, err);
	}
	if (code == PARE_OK && ferror(f) != 0)
		code = pare_err_set(err, PARE_E_INVALID, path, "the configuration file cannot be read");
	fclose(f);
	return code;
}

/* --- the environment */
static void variable_name(const struct row *r, char out[64])
{
	size_t n = (size_t)snprintf(out, 64, "PARED_%s", r->name);

	for (size_t i = 0; i < n; i++)
		out[i] = out[i] == '-' ? '_' : (char)toupper((unsigned char)out[i]);
}

static const char *variable(char *const *environment, const char *name)
{
	size_t n = strlen(name);

	for (; environment != NULL && *environment != NULL; environment++)
		if (strncmp(*environment, name, n) == 0 && (*environment)[n] == '=')
			return *environment + n + 1;
	return NULL;
}

static enum pare_code read_environment(struct srv_config *c, char *const *environment, struct pare_err *err)
{
	for (size_t i = 0; i < N_ROWS; i++) {
		const struct row *r = &config_table[i];
		char name[64], where[96];
		const char *value;
		enum pare_code code;

		variable_name(r, name);
		value = variable(environment, name);
		if (value == NULL || (r->type == COUNT && strncmp(value, "tcp://", 6) == 0))
			continue;
		snprintf(where, sizeof where, "environment variable %s", name);
		code = set_value(c, r, value, where, err);
		if (code != PARE_OK)
			return code;
	}
	return PARE_OK;
}

/* --- flags */
static const struct {
	const char *name;
	enum srv_action action;
	const char *doc;
} action_table[] = {
    {"help", SRV_HELP, "print this text"},
    {"version", SRV_VERSION, "print the version"},
    {"print-config", SRV_PRINT_CONFIG, "print a commented configuration file with the defaults"},
    {"healthcheck", SRV_HEALTHCHECK, "ask the daemon on listen and port whether it is ready; exit status 0 if so"},
};
#define N_ACTIONS (sizeof action_table / sizeof action_table[0])

static bool read_action(struct srv_config *c, const char *name)
{
	for (size_t i = 0; i < N_ACTIONS; i++)
		if (strcmp(action_table[i].name, name) == 0) {
			c->action = action_table[i].action;
			return true;
		}
	return false;
}

static enum pare_code read_flags(struct srv_config *c, int argc, char *const *argv, const char **out_file, struct pare_err *err)
{
	for (int i = 1; i < argc; i++) {
		const char *name = argv[i] + 2, *equals, *value;
		size_t n;
		const struct row *r;
		bool is_file;
		enum pare_code code;

		if (strncmp(argv[i], "--", 2) != 0 || argv[i][2] == '\0')
			return pare_err_set(err, PARE_E_INVALID, argv[i], "flags look like --name value; pared --help lists them");
		if (read_action(c, name))
			continue;
		equals = strchr(name, '=');
		n = equals != NULL ? (size_t)(equals - name) : strlen(name);
		is_file = n == 6 && strncmp(name, "config", 6) == 0;
		r = find(name, n);
		if (r == NULL && !is_file)
			return unknown(name, argv[i], err);
		value = equals != NULL ? equals + 1 : argv[++i]; /* argv[argc] is NULL */
		if (value == NULL)
			return pare_err_set(err, PARE_E_INVALID, argv[i - 1], "this flag needs a value");
		if (is_file)
			*out_file = value;
		code = is_file ? PARE_OK : set_value(c, r, value, argv[i], err);
		if (code != PARE_OK)
			return code;
	}
	return PARE_OK;
}

enum pare_code srv_config_load(int argc, char *const *argv, char *const *environment, struct srv_config *out, struct pare_err *err)
{
	const char *file = variable(environment, "PARED_CONFIG");
	enum pare_code code = PARE_OK;

	memset(out, 0, sizeof *out);
	for (size_t i = 0; i < N_ROWS && code == PARE_OK; i++)
		code = set_value(out, &config_table[i], config_table[i].def, "default", err);
	if (code == PARE_OK) /* once for --config and for early complaints, once more at the end: a flag has the last word */
		code = read_flags(out, argc, argv, &file, err);
	if (code == PARE_OK && file != NULL && file[0] != '\0')
		code = read_file(out, file, err);
	if (code == PARE_OK)
		code = read_environment(out, environment, err);
	if (code == PARE_OK)
		code = read_flags(out, argc, argv, &file, err);
	return code;
}

void srv_config_done(struct srv_config *c)
{
	for (size_t i = 0; i < N_ROWS; i++)
		if (is_text(&config_table[i])) {
			pare_free(*text_at(c, &config_table[i]));
			*text_at(c, &config_table[i]) = NULL;
		}
}

bool srv_address_is_local(const char *address)
{
	return strncmp(address, "unix:", 5) == 0 || strcmp(address, "localhost") == 0 || strcmp(address, "::1") == 0 ||
	    (strncmp(address, "127.", 4) == 0 && strspn(address, "0123456789.") == strlen(address));
}

static int64_t clamp(int64_t v, int64_t lo, int64_t hi)
{
	return v < lo ? lo : v > hi ? hi : v;
}

enum pare_code srv_config_resolve(struct srv_config *c, int n_cores, const char *program_dir, struct pare_err *err)
{
	char path[4096];
	char *copy;

	if (c->api_key_file[0] == '\0' && !srv_address_is_local(c->listen))
		return pare_err_set(err, PARE_E_INVALID, "listen", "\"%.100s\" can be reached by other machines and no api-key-file is set, so anybody could use this service; "
		    "set api-key-file, or listen on 127.0.0.1", c->listen);
	if (c->workers == 0)
		c->workers = clamp(n_cores / 4, 1, 256);
	if (c->job_threads == 0)
		c->job_threads = clamp(n_cores / c->workers, 1, 256);
	if (c->http_threads == 0)
		c->http_threads = clamp(n_cores, 1, 4);
	if (c->core[0] != '\0')
		return PARE_OK;
	snprintf(path, sizeof path, "%.4000s/pare-core", program_dir);
	copy = pare_strdup(path);
	if (copy == NULL)
		return pare_err_nomem(err, sizeof path);
	pare_free(c->core);
	c->core = copy;
	return PARE_OK;
}

enum pare_code srv_config_help(struct pare_buf *out, struct pare_err *err)
{
	pare_buf_str(out, "pared: makes neural networks smaller, over HTTP\n\nusage: pared [--name value]...\n\n");
	for (size_t i = 0; i < N_ACTIONS; i++)
		pare_buf_printf(out, "  --%-24s%s\n", action_table[i].name, action_table[i].doc);
	pare_buf_printf(out, "  --%-24s%s\n\n", "config FILE", "read settings from a file, lines of \"name = value\"");
	for (size_t i = 0; i < N_ROWS; i++)
		pare_buf_printf(out, "  --%-24s%s [%s]\n", config_table[i].name, config_table[i].doc, config_table[i].def);
	pare_buf_str(out, "\nEvery setting is also a variable of the environment (PARED_MAX_UPLOAD_BYTES) and a line of the file.\n"
			  "A flag beats the environment, the environment beats the file.\n");
	return pare_buf_status(out, err);
}

enum pare_code srv_config_sample(struct pare_buf *out, struct pare_err *err)
{
	pare_buf_str(out, "# Settings of pared, with their defaults. A line is: name = value\n");
	for (size_t i = 0; i < N_ROWS; i++)
		pare_buf_printf(out, "\n# %s\n#%s = %s\n", config_table[i].doc, config_table[i].name, config_table[i].def);
	return pare_buf_status(out, err);
}
