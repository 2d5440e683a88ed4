/* Construction and switches of the api. Strings of the options are copied, function tables and stores are borrowed. Keys can be replaced while
 * requests run, so they stand behind a read-write lock; a key file that cannot be read leaves the old keys in force. */
#include <string.h>

#include "api/job_cache.h"
#include "api/priv.h"

static enum pare_code copy_text(const char **s, struct pare_err *err)
{
	if (*s == NULL)
		return PARE_OK;
	*s = pare_strdup(*s);
	return *s != NULL ? PARE_OK : pare_err_nomem(err, 0);
}

static enum pare_code copy_options(struct api *api, const struct api_options *opt, struct pare_err *err)
{
	const char **texts[] = {&api->opt.backup_dir, &api->opt.public_url, &api->opt.openapi, &api->opt.version, &api->opt.api_key_file};
	enum pare_code rc = PARE_OK;
	size_t n;

	api->opt = *opt;
	if (api->opt.public_url == NULL)
		api->opt.public_url = "";
	for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
		if (rc == PARE_OK)
			rc = copy_text(texts[i], err);
		if (rc != PARE_OK)
			*texts[i] = NULL;
	}
	n = rc == PARE_OK ? strlen(api->opt.public_url) : 0;
	if (n > API_PUBLIC_URL_MAX)
		return pare_err_set(err, PARE_E_INVALID, NULL, "the public URL is longer than %d characters", API_PUBLIC_URL_MAX);
	while (n > 0 && api->opt.public_url[n - 1] == '/')
		((char *)(uintptr_t)api->opt.public_url)[--n] = '\0';
	return rc;
}

enum pare_code api_new(const struct api_options *opt, struct api **out, struct pare_err *err)
{
	struct api *api = pare_calloc(1, sizeof *api);
	enum pare_code rc;

	if (api == NULL)
		return pare_err_nomem(err, sizeof *api);
	(void)pthread_rwlock_init(&api->keys_lock, NULL);
	(void)pthread_mutex_init(&api->making, NULL);
	atomic_init(&api->queue_bound, -1);
	atomic_flag_clear(&api->upkeep);
	rc = api_wait_init(&api->waiters, err);
	if (rc == PARE_OK)
		rc = copy_options(api, opt, err);
	if (rc == PARE_OK) {
		api->started_wall_ms = opt->env->wall_ms(opt->env->ctx);
		api->metrics = api_metrics_new();
		api->jobs = api_job_cache_new();
		rc = api->metrics != NULL && api->jobs != NULL ? PARE_OK : pare_err_nomem(err, 0);
	}
	if (rc == PARE_OK)
		rc = api_charge_init(api, err);
	if (rc == PARE_OK)
		rc = api_networks_parse("trusted-proxies", opt->trusted_proxies != NULL ? opt->trusted_proxies : "", &api->trusted, err);
	if (rc == PARE_OK)
		rc = api_outgoing_parse(opt->webhook_allow, opt->webhook_deny, &api->outgoing, err);
	api->opt.trusted_proxies = api->opt.webhook_allow = api->opt.webhook_deny = NULL; /* borrowed, and read */
	if (rc == PARE_OK && api->opt.api_key_file != NULL)
		rc = api_keys_load(api->opt.api_key_file, &api->keys, err);
	if (rc == PARE_OK)
		rc = api_keys_of_store(opt->store, NULL, &api->made, err);
	if (rc != PARE_OK) {
		api_free(api);
		return rc;
	}
	*out = api;
	return PARE_OK;
}

static void free_text(const char *s)
{
	pare_free((void *)(uintptr_t)s);
}

void api_free(struct api *api)
{
	if (api == NULL)
		return;
	free_text(api->opt.public_url);
	free_text(api->opt.backup_dir);
	free_text(api->opt.openapi);
	pare_free(atomic_load(&api->capabilities));
	api_job_cache_free(api->jobs);
	free_text(api->opt.version);
	free_text(api->opt.api_key_file);
	api_keys_free(api->keys);
	api_keys_free(api->made);
	api_networks_free(api->trusted);
	api_outgoing_done(&api->outgoing);
	api_metrics_free(api->metrics);
	api_charge_done(api);
	api_wait_done(&api->waiters);
	(void)pthread_rwlock_destroy(&api->keys_lock);
	(void)pthread_mutex_destroy(&api->making);
	pare_free(api);
}

void api_set_draining(struct api *api, bool draining)
{
	if (draining)
		(void)atomic_fetch_or(&api->draining, API_DRAIN_STOPPING);
	else
		(void)atomic_fetch_and(&api->draining, ~API_DRAIN_STOPPING);
	api_events_added(api); /* nobody waits for what may not come */
}

enum pare_code api_reload_keys(struct api *api, struct pare_err *err)
{
	struct api_keys *fresh, *old;
	enum pare_code rc;

	if (api->opt.api_key_file == NULL)
		return PARE_OK;
	rc = api_keys_load(api->opt.api_key_file, &fresh, err);
	if (rc != PARE_OK)
		return rc;
	(void)pthread_rwlock_wrlock(&api->keys_lock);
	old = api->keys;
	api->keys = fresh;
	(void)pthread_rwlock_unlock(&api->keys_lock);
	api_keys_free(old);
	return PARE_OK;
}
