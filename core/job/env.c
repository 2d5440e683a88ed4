/* Here the engine meets the clock and the kernel's random numbers; everything else is handed a struct pare_env. Times go
 * into events and into the timing part of a report, never into anything that a model is computed from. */
#include <sys/random.h>
#include <time.h>

#include "core/job/job.h"

static int64_t read_clock(clockid_t id, int64_t per_second)
{
	struct timespec t = {0};

	(void)clock_gettime(id, &t);
	return (int64_t)t.tv_sec * per_second + (int64_t)t.tv_nsec / (1000000000 / per_second);
}

static int64_t wall_ms(void *ctx)
{
	(void)ctx;
	return read_clock(CLOCK_REALTIME, 1000);
}

static int64_t mono_ms(void *ctx)
{
	(void)ctx;
	return read_clock(CLOCK_BOOTTIME, 1000);
}

static int64_t tick_ns(void *ctx)
{
	(void)ctx;
	return read_clock(CLOCK_MONOTONIC, 1000000000);
}

static void random_bytes(void *ctx, void *out, size_t n_bytes)
{
	char *p = out;

	(void)ctx;
	while (n_bytes > 0) {
		ssize_t n = getrandom(p, n_bytes, 0);

		if (n <= 0)
			continue;
		p += n;
		n_bytes -= (size_t)n;
	}
}

const struct pare_env pare_job_env = {.wall_ms = wall_ms, .mono_ms = mono_ms, .tick_ns = tick_ns, .random = random_bytes, .ctx = NULL};
