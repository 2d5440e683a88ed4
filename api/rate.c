/* The generic cell rate algorithm (ITU-T I.371): a token bucket kept as one number for each who pays, the time at which the bucket would be full again. A request moves it on by one
 * interval, and is refused if it would then lie more than a window ahead. Nothing has to be filled by a timer, and there is no edge between windows at which a
 * client could make twice its share.
 *
 * Who pays is a valid key or its owner, so their number is bounded by what the operator gives out, and none is ever forgotten. */
#include "api/rate.h"

#include <pthread.h>
#include <string.h>

#include "core/base/mem.h"

#define N_BUCKETS 256
#define SECOND ((int64_t)1000000000)

struct cell {
	struct cell *next;
	char who[API_RATE_WHO_MAX];
	int64_t full_ns;
};

struct api_rates {
	int64_t interval_ns, window_ns;
	pthread_mutex_t lock;
	struct cell *buckets[N_BUCKETS];
};

struct api_rates *api_rates_new(int64_t requests, int64_t window_seconds)
{
	struct api_rates *r = pare_calloc(1, sizeof *r);

	if (r == NULL)
		return NULL;
	r->interval_ns = window_seconds * SECOND / requests;
	r->interval_ns = r->interval_ns > 0 ? r->interval_ns : 1;
	r->window_ns = r->interval_ns * requests;
	(void)pthread_mutex_init(&r->lock, NULL);
	return r;
}

void api_rates_free(struct api_rates *r)
{
	if (r == NULL)
		return;
	for (int i = 0; i < N_BUCKETS; i++)
		while (r->buckets[i] != NULL) {
			struct cell *c = r->buckets[i];

			r->buckets[i] = c->next;
			pare_free(c);
		}
	(void)pthread_mutex_destroy(&r->lock);
	pare_free(r);
}

/* FNV-1a */
static unsigned int bucket_of(const char *s)
{
	uint32_t h = 2166136261u;

	for (; *s != '\0'; s++)
		h = (h ^ (unsigned char)*s) * 16777619u;
	return h % N_BUCKETS;
}

static struct cell *find(struct api_rates *r, const char *who)
{
	struct cell **at = &r->buckets[bucket_of(who)], *c = *at;

	while (c != NULL && strcmp(c->who, who) != 0)
		c = c->next;
	if (c != NULL)
		return c;
	c = pare_calloc(1, sizeof *c);
	if (c == NULL)
		return NULL;
	memcpy(c->who, who, strlen(who) + 1);
	c->full_ns = INT64_MIN / 2;
	c->next = *at;
	*at = c;
	return c;
}

static int64_t seconds_up(int64_t ns)
{
	return ns > 0 ? (ns + SECOND - 1) / SECOND : 0;
}

static void tell(const struct api_rates *r, const struct cell *c, int64_t now_ns, struct api_rate *out)
{
	int64_t ahead = c->full_ns > now_ns ? c->full_ns - now_ns : 0;

	*out = (struct api_rate){.remaining = (r->window_ns - ahead) / r->interval_ns, .reset_seconds = seconds_up(ahead)};
}

bool api_rate_take(struct api_rates *r, const char *who, int64_t now_ns, struct api_rate *out)
{
	struct cell *c;
	bool ok = true;

	(void)pthread_mutex_lock(&r->lock);
	c = find(r, who);
	if (c != NULL) {
		int64_t then = (c->full_ns > now_ns ? c->full_ns : now_ns) + r->interval_ns;

		ok = then - now_ns <= r->window_ns;
		if (ok)
			c->full_ns = then;
		tell(r, c, now_ns, out);
		out->retry_seconds = ok ? 0 : seconds_up(then - now_ns - r->window_ns);
	}
	(void)pthread_mutex_unlock(&r->lock);
	return ok;
}

void api_rate_give_back(struct api_rates *r, const char *who, int64_t now_ns, struct api_rate *out)
{
	struct cell *c;

	(void)pthread_mutex_lock(&r->lock);
	c = find(r, who);
	if (c != NULL) {
		c->full_ns -= r->interval_ns;
		tell(r, c, now_ns, out);
	}
	(void)pthread_mutex_unlock(&r->lock);
}
