/* gmtime_r and strftime are left out on purpose: civil-from-days (Hinnant, 2013) is ten lines and has no time zone,
 * no locale and no global state. */
#include "core/base/id.h"

#include <stdio.h>
#include <string.h>

static const char crockford[] = "0123456789ABCDEFGHJKMNPQRSTVWXYZ";

void pare_id_make(const struct pare_env *env, const char *prefix, char out[PARE_ID_MAX])
{
	unsigned char rnd[16];
	uint64_t ms = (uint64_t)env->wall_ms(env->ctx);
	size_t n = strlen(prefix) <= 4 ? strlen(prefix) : 4;

	env->random(env->ctx, rnd, sizeof rnd);
	memcpy(out, prefix, n);
	out[n++] = '_';
	for (int i = 0; i < 10; i++)
		out[n++] = crockford[(ms >> (45 - 5 * i)) & 31];
	for (int i = 0; i < 16; i++)
		out[n++] = crockford[rnd[i] & 31];
	out[n] = '\0';
}

bool pare_id_check(const char *s, const char *prefix)
{
	size_t n = strlen(prefix);

	if (strncmp(s, prefix, n) != 0 || s[n] != '_' || strlen(s + n + 1) != 26)
		return false;
	return strspn(s + n + 1, crockford) == 26;
}

void pare_time_format(int64_t wall_ms, char out[PARE_TIME_MAX])
{
	int64_t ms = wall_ms % 1000, s = wall_ms / 1000;
	int64_t days, z, era, doe, yoe, doy, mp, day, month, year;

	if (ms < 0) {
		ms += 1000;
		s -= 1;
	}
	days = s >= 0 ? s / 86400 : -((-s + 86399) / 86400);
	s -= days * 86400;
	z = days + 719468;
	era = (z >= 0 ? z : z - 146096) / 146097;
	doe = z - era * 146097;
	yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365;
	doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
	mp = (5 * doy + 2) / 153;
	day = doy - (153 * mp + 2) / 5 + 1;
	month = mp < 10 ? mp + 3 : mp - 9;
	year = yoe + era * 400 + (month <= 2 ? 1 : 0);
	(void)snprintf(out, PARE_TIME_MAX, "%04d-%02u-%02uT%02u:%02u:%02u.%03uZ", (int)(year % 10000),
	    (unsigned)month % 100, (unsigned)day % 100, (unsigned)(s / 3600) % 100, (unsigned)(s / 60 % 60),
	    (unsigned)(s % 60), (unsigned)ms % 1000);
}
