/* How many requests somebody may make: q within any window of w seconds on average, all q of them at once if it likes (a token bucket of q tokens that fills in
 * w seconds). Thread safe. */
#ifndef API_RATE_H
#define API_RATE_H

#include <stdbool.h>
#include <stdint.h>

#define API_RATE_WHO_MAX 40

struct api_rates;
struct api_rate {
	int64_t remaining;     /* requests that could follow at once */
	int64_t reset_seconds; /* until the bucket is full again, rounded up */
	int64_t retry_seconds; /* refused: until one more is allowed, rounded up; else 0 */
};
struct api_rates *api_rates_new(int64_t requests, int64_t window_seconds); /* NULL: out of memory */
void api_rates_free(struct api_rates *r);
/* Takes a token, or says false. who: shorter than API_RATE_WHO_MAX. Without memory for somebody new it says true: a limit is no reason to fail. */
bool api_rate_take(struct api_rates *r, const char *who, int64_t now_ns, struct api_rate *out);
/* The last one was for free. */
void api_rate_give_back(struct api_rates *r, const char *who, int64_t now_ns, struct api_rate *out);

#endif
