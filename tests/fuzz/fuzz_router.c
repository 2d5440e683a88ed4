/* layer: api */
/* A raw request target: it is refused, or its segments are safe to be names and lead to at most one route. */
#include <stdlib.h>
#include <string.h>

#include "api/router.h"

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size);

static void require(int holds)
{
	if (!holds)
		abort();
}

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size)
{
	static const char *const methods[] = {"GET", "HEAD", "POST", "DELETE", "OPTIONS"};
	char *raw = malloc(size + 1);
	struct pare_arena arena;
	struct api_target t;

	if (raw == NULL)
		return 0;
	memcpy(raw, data, size);
	raw[size] = '\0';
	pare_arena_init(&arena, (size_t)1 << 20);
	if (api_target_parse(&arena, raw, &t, NULL) == PARE_OK) {
		for (size_t i = 0; i < t.n_segments; i++) {
			require(t.segments[i][0] != '\0' && strpbrk(t.segments[i], "/\\\r\n") == NULL);
			require(strcmp(t.segments[i], ".") != 0 && strcmp(t.segments[i], "..") != 0);
		}
		for (size_t i = 0; i < sizeof methods / sizeof methods[0]; i++) {
			const char *params[API_MAX_PARAMS];
			const struct api_route *route;
			struct pare_buf allow;

			pare_buf_init(&allow, 256);
			if (api_route_find(methods[i], &t, &route, params, &allow, NULL) == PARE_OK)
				(void)!api_query_check(route, &t, NULL);
			pare_buf_done(&allow);
		}
	}
	pare_arena_done(&arena);
	free(raw);
	return 0;
}
