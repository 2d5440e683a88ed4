/* What a layer may not reach for itself: clocks and randomness of the outside world. server/ passes the real ones,
 * tests pass ones that they can turn. */
#ifndef PARE_BASE_ENV_H
#define PARE_BASE_ENV_H

#include <stddef.h>
#include <stdint.h>

struct pare_env {
	int64_t (*wall_ms)(void *ctx); /* since 1970-01-01 UTC: for what people read */
	int64_t (*mono_ms)(void *ctx); /* since boot, counts sleep: for leases and deadlines */
	int64_t (*tick_ns)(void *ctx); /* monotonic and fine: for measuring how long a thing takes */
	void (*random)(void *ctx, void *out, size_t n_bytes); /* cryptographic */
	void *ctx;
};

#endif
