/* Texts of jobs that have ended, as they were last written: whoever polls, or shows a page of results, asks for the same bytes again and again. An entry is told apart by
 * owner, id, revision and what links begin with, and so can never be stale: it is looked up with the revision that the store has now, or with none if the store has not changed at all since it was last found
 * to be of now. Thread safe; bounded. */
#ifndef API_JOB_CACHE_H
#define API_JOB_CACHE_H

#include <stdbool.h>
#include <stdint.h>

#include "core/base/buf.h"

struct api_job_cache;
struct api_job_key {
	const char *owner, *id, *link_base;
	int64_t revision; /* 0: not known */
};

struct api_job_cache *api_job_cache_new(void); /* NULL: no memory */
void api_job_cache_free(struct api_job_cache *c);
/* Appends the text to out. seen: store_n_changes, asked before the revision was. Without a revision only what was found at the same count is, and key->revision is then its. */
bool api_job_cache_get(struct api_job_cache *c, struct api_job_key *key, uint64_t seen, struct pare_buf *out);
/* Keeps a copy, in the place of what stands where it belongs; not for want of memory, nor if it is large. */
void api_job_cache_put(struct api_job_cache *c, const struct api_job_key *key, const char *text, size_t n);

#endif
