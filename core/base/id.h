/* Prefixed ULIDs ("job_01JD8Z3M2V9Q4T6R8W0Y2A4C6E"): 48 bits of milliseconds, 80 random bits, Crockford base 32, upper
 * case. They sort by creation time, so an id is also a page cursor. */
#ifndef PARE_BASE_ID_H
#define PARE_BASE_ID_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/base/env.h"

#define PARE_ID_MAX 32 /* prefix of at most 4 characters + '_' + 26 + NUL */

/* Writes a new id with the given prefix ("job"). Two calls in one millisecond still sort in call order only by chance. */
void pare_id_make(const struct pare_env *env, const char *prefix, char out[PARE_ID_MAX]);
/* Is s a well-formed id with this prefix? */
bool pare_id_check(const char *s, const char *prefix);

/* The first or last id that can be made in one millisecond: what is before and behind it was made before and after that time. */
void pare_id_bound(const char *prefix, int64_t wall_ms, bool last, char out[PARE_ID_MAX]);

/* RFC 3339 in UTC with milliseconds: "2026-11-22T01:02:03.123Z" (24 characters and NUL). */
#define PARE_TIME_MAX 32
void pare_time_format(int64_t wall_ms, char out[PARE_TIME_MAX]);
/* Such a time in UTC, also without milliseconds, or a day (its beginning), from 1970 on. */
bool pare_time_parse(const char *s, size_t n, int64_t *out_ms);

#endif
