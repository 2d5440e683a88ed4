/* What a request costs: a token of its owner's bucket, from which all keys of an owner draw, and one of its key's own, so that one client that has lost its way leaves something
 * to the others of its owner. Both are taken before anything else that the request costs, or none: who is refused pays nothing, and an answer of 304 is free after all.
 *
 * RateLimit tells of the bucket with less in it, RateLimit-Policy of every one there is (draft-ietf-httpapi-ratelimit-headers). */
#include <stdio.h>

#include "api/priv.h"

_Static_assert(STORE_OWNER_MAX <= API_RATE_WHO_MAX && API_KEY_ID_MAX <= API_RATE_WHO_MAX, "who pays fits");

static const struct {
	const char *policy, *noun;
} rate_table[API_N_RATES] = {
    [API_RATE_OWNER] = {"default", "owner"},
    [API_RATE_KEY] = {"key", "API key"},
};

enum pare_code api_charge_init(struct api *api, struct pare_err *err)
{
	const struct api_limits *l = &api->opt.limits;

	for (int i = 0; i < API_N_RATES; i++) {
		if (l->max_requests[i] == 0)
			continue;
		api->rates[i] = api_rates_new(l->max_requests[i], l->window_seconds);
		if (api->rates[i] == NULL)
			return pare_err_nomem(err, 0);
	}
	return PARE_OK;
}

void api_charge_done(struct api *api)
{
	for (int i = 0; i < API_N_RATES; i++)
		api_rates_free(api->rates[i]);
}

static const char *payer(const struct api_exchange *x, int i)
{
	return i == API_RATE_OWNER ? x->caller.owner : x->caller.id;
}

static void tell(struct api_exchange *x, int i, const struct api_rate *r)
{
	if (x->charged && x->rate.remaining <= r->remaining)
		return;
	x->charged = true;
	x->rate_of = i;
	x->rate = *r;
}

/* Of the first n buckets. */
static void give_back(struct api_exchange *x, int n)
{
	x->charged = false;
	for (int i = 0; i < n; i++) {
		struct api_rate r = {.remaining = 0};

		if (x->api->rates[i] == NULL)
			continue;
		api_rate_give_back(x->api->rates[i], payer(x, i), x->start_ns, &r);
		tell(x, i, &r);
	}
}

enum pare_code api_charge(struct api_exchange *x, struct pare_err *err)
{
	const struct api_limits *l = &x->api->opt.limits;

	for (int i = 0; i < API_N_RATES; i++) {
		struct api_rate r = {.remaining = l->max_requests[i]};

		if (x->api->rates[i] == NULL)
			continue;
		if (api_rate_take(x->api->rates[i], payer(x, i), x->start_ns, &r)) {
			tell(x, i, &r);
			continue;
		}
		give_back(x, i);
		x->charged = true;
		x->rate_of = i;
		x->rate = r;
		return pare_err_set(err, PARE_E_QUOTA, NULL, "the %s \"%s\" may make %lld requests in %lld s: wait %lld s", rate_table[i].noun, payer(x, i), (long long)l->max_requests[i], (long long)l->window_seconds,
		    (long long)r.retry_seconds);
	}
	return PARE_OK;
}

void api_charge_tell(struct api_exchange *x, int status)
{
	const struct api_limits *l = &x->api->opt.limits;
	char policies[API_N_RATES * 64];
	size_t used = 0;

	if (!x->charged)
		return;
	if (status == 304)
		give_back(x, API_N_RATES);
	x->charged = status != 304;
	for (int i = 0; i < API_N_RATES; i++)
		if (x->api->rates[i] != NULL)
			used += (size_t)snprintf(policies + used, sizeof policies - used, "%s\"%s\";q=%lld;w=%lld", used > 0 ? ", " : "", rate_table[i].policy, (long long)l->max_requests[i], (long long)l->window_seconds);
	api_set_header_text(x, "RateLimit-Policy", policies);
	api_set_header(x, "RateLimit", "\"%s\";r=%lld;t=%lld", rate_table[x->rate_of].policy, (long long)x->rate.remaining, (long long)x->rate.reset_seconds);
}
