/* Numbers from outside: sizes that cannot overflow, and text to number without surprises (no locale, no octal, no
 * trailing rubbish). */
#ifndef PARE_BASE_NUM_H
#define PARE_BASE_NUM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* *out = a * b, or a + b; false (and *out untouched) on overflow. */
static inline bool pare_mul_size(size_t a, size_t b, size_t *out)
{
	size_t r;

	if (__builtin_mul_overflow(a, b, &r))
		return false;
	*out = r;
	return true;
}

static inline bool pare_add_size(size_t a, size_t b, size_t *out)
{
	size_t r;

	if (__builtin_add_overflow(a, b, &r))
		return false;
	*out = r;
	return true;
}

/* The whole of s[0..n) as a decimal integer in [min, max]; false otherwise. A sign only where min < 0. */
bool pare_parse_i64(const char *s, size_t n, int64_t min, int64_t max, int64_t *out);
/* The whole of s[0..n) as a finite decimal number (C locale); false otherwise. */
bool pare_parse_double(const char *s, size_t n, double *out);
/* "64", "10k", "512M", "4G", "1T" (powers of 1024, an optional trailing B or iB) to bytes. */
bool pare_parse_bytes(const char *s, int64_t *out);

#endif
