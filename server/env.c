/* Every request has an id of ten random bytes, and a system call for so few costs more than all else about it: each thread keeps some in advance, and wipes what it hands out.
 * CLOCK_BOOTTIME and not CLOCK_MONOTONIC for leases: a laptop or a virtual machine that slept has lost its leases, and
 * only the former counts the sleep. getrandom cannot fail once the pool is seeded, except by a signal or, with more than
 * 256 bytes, by a short read; both are retried. */
#include "server/env.h"

#include <stdint.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

static int64_t read_ns(clockid_t clock)
{
	struct timespec t = {0};

	clock_gettime(clock, &t);
	return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static int64_t wall_ms(void *ctx)
{
	(void)ctx;
	return read_ns(CLOCK_REALTIME) / 1000000;
}

static int64_t mono_ms(void *ctx)
{
	(void)ctx;
	return read_ns(CLOCK_BOOTTIME) / 1000000;
}

static int64_t tick_ns(void *ctx)
{
	(void)ctx;
	return read_ns(CLOCK_MONOTONIC);
}

static void fill(unsigned char *p, size_t n_bytes)
{
	size_t done = 0;

	while (done < n_bytes) {
		ssize_t r = getrandom(p + done, n_bytes - done, 0);

		if (r > 0)
			done += (size_t)r;
	}
}

#define AHEAD 256
static void random_bytes(void *ctx, void *out, size_t n_bytes)
{
	static _Thread_local unsigned char ahead[AHEAD];
	static _Thread_local size_t n_left;

	(void)ctx;
	if (n_bytes > AHEAD / 8) {
		fill(out, n_bytes);
		return;
	}
	if (n_left < n_bytes) {
		fill(ahead, AHEAD);
		n_left = AHEAD;
	}
	n_left -= n_bytes;
	memcpy(out, ahead + n_left, n_bytes);
	explicit_bzero(ahead + n_left, n_bytes);
}

const struct pare_env srv_env = {wall_ms, mono_ms, tick_ns, random_bytes, NULL};
