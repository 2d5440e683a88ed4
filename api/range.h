/* Conditional and range requests (RFC 9110, sections 13 and 14): pure functions over header values. */
#ifndef API_RANGE_H
#define API_RANGE_H

#include <stdbool.h>
#include <stdint.h>

enum api_range_kind {
	API_RANGE_WHOLE, /* no range, or one that we may ignore: several ranges, another unit, bad syntax */
	API_RANGE_PART,  /* *out_first, *out_n are set, n > 0 */
	API_RANGE_BAD,   /* 416 */
};
/* value: of the Range header, or NULL. */
enum api_range_kind api_range_parse(const char *value, int64_t n_bytes, int64_t *out_first, int64_t *out_n);
/* Is etag (with its quotes) in the list, or the list "*"? weak: W/ prefixes are ignored (If-None-Match); else a weak tag never matches (If-Match). */
bool api_etag_in(const char *list, const char *etag, bool weak);
/* May the range be served, given the If-Range value (NULL: none sent)? Dates never match, we send no Last-Modified. */
bool api_if_range(const char *value, const char *etag);

#endif
