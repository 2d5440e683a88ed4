/* gmtime_r and strftime are left out on purpose: civil-from-days (Hinnant, 2013) is ten lines and has no time zone,
 * no locale and no global state. */
#include "core/base/id.h"

#include <string.h>

#include "core/base/num.h"

static const char crockford[] = "0123456789ABCDEFGHJKMNPQRSTVWXYZ";

/* The prefix and the time; returns how long they are. */
static size_t write_head(const char *prefix, uint64_t ms, char out[PARE_ID_MAX])
{
	size_t n = strlen(prefix) <= 4 ? strlen(prefix) : 4;

	memcpy(out, prefix, n);
	out[n++] = '_';
	for (int i = 0; i < 10; i++)
		out[n++] = crockford[(ms >> (45 - 5 * i)) & 31];
	return n;
}

void pare_id_bound(const char *prefix, int64_t wall_ms, bool last, char out[PARE_ID_MAX])
{
	size_t n = write_head(prefix, (uint64_t)wall_ms, out);

	memset(out + n, last ? 'Z' : '0', 16);
	out[n + 16] = '\0';
}

void pare_id_make(const struct pare_env *env, const char *prefix, char out[PARE_ID_MAX])
{
	unsigned char rnd[16];
	size_t n = write_head(prefix, (uint64_t)env->wall_ms(env->ctx), out);

	env->random(env->ctx, rnd, sizeof rnd);
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

static void put_digits(char *out, int n, int64_t v)
{
	for (int i = n - 1; i >= 0; i--, v /= 10)
		out[i] = (char)('0' + v % 10);
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
	memcpy(out, "0000-00-00T00:00:00.000Z", 25);
	put_digits(out, 4, year);
	put_digits(out + 5, 2, month);
	put_digits(out + 8, 2, day);
	put_digits(out + 11, 2, s / 3600);
	put_digits(out + 14, 2, s / 60 % 60);
	put_digits(out + 17, 2, s % 60);
	put_digits(out + 20, 3, ms);
}

/* Days since 1970-01-01 of the proleptic Gregorian calendar, with years that begin in March (Hinnant, 2013). */
static int64_t days_of(int64_t year, int64_t month, int64_t day)
{
	int64_t y = month <= 2 ? year - 1 : year, era = y / 400, of_era = y - era * 400;
	int64_t of_year = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;

	return era * 146097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719468;
}

bool pare_time_parse(const char *s, size_t n, int64_t *out_ms)
{
	int64_t year, month, day, h = 0, m = 0, sec = 0, ms = 0, days;

	if ((n != 10 && n != 20 && n != 24) || s[4] != '-' || s[7] != '-' || !pare_parse_i64(s, 4, 1970, 9999, &year) || !pare_parse_i64(s + 5, 2, 1, 12, &month) || !pare_parse_i64(s + 8, 2, 1, 31, &day))
		return false;
	days = days_of(year, month, day);
	if (days_of(month == 12 ? year + 1 : year, month == 12 ? 1 : month + 1, 1) <= days)
		return false; /* the 30th of February */
	if (n > 10 && (s[10] != 'T' || s[13] != ':' || s[16] != ':' || s[n - 1] != 'Z' || !pare_parse_i64(s + 11, 2, 0, 23, &h) || !pare_parse_i64(s + 14, 2, 0, 59, &m) || !pare_parse_i64(s + 17, 2, 0, 59, &sec)))
		return false;
	if (n == 24 && (s[19] != '.' || !pare_parse_i64(s + 20, 3, 0, 999, &ms)))
		return false;
	*out_ms = (((days * 24 + h) * 60 + m) * 60 + sec) * 1000 + ms;
	return true;
}
