/* A table of slots by a hash of the id, with no chains: what comes takes the place of what was there. Nothing is ever looked for in it to be removed. Rejected: a list by
 * use, whose lock every reader would hold for writing; and keys in the store's writes, since the revision says all there is to say. */
#include "api/job_cache.h"

#include <pthread.h>
#include <string.h>

#include "core/base/mem.h"

#define N_SLOTS 256
#define TEXT_MAX ((size_t)16 << 10) /* so at most 4 MiB are kept */

struct slot {
	int64_t revision;
	uint64_t seen; /* the store as it was when the text was last known to be of now */
	size_t n;
	char *text; /* NULL: empty. owner, id and link_base stand behind it, each with its NUL */
};

struct api_job_cache {
	pthread_mutex_t lock;
	struct slot slots[N_SLOTS];
};

struct api_job_cache *api_job_cache_new(void)
{
	struct api_job_cache *c = pare_calloc(1, sizeof *c);

	if (c != NULL)
		(void)pthread_mutex_init(&c->lock, NULL);
	return c;
}

void api_job_cache_free(struct api_job_cache *c)
{
	if (c == NULL)
		return;
	for (int i = 0; i < N_SLOTS; i++)
		pare_free(c->slots[i].text);
	(void)pthread_mutex_destroy(&c->lock);
	pare_free(c);
}

/* FNV-1a. */
static struct slot *slot_of(struct api_job_cache *c, const char *id)
{
	uint32_t h = 2166136261U;

	for (; *id != '\0'; id++)
		h = (h ^ (unsigned char)*id) * 16777619U;
	return &c->slots[(h ^ h >> 16) % N_SLOTS];
}

static bool is_of(const struct slot *s, const struct api_job_key *key)
{
	const char *const parts[] = {key->owner, key->id, key->link_base}, *p;

	if (s->text == NULL)
		return false;
	p = s->text + s->n;
	for (int i = 0; i < 3; i++) {
		if (strcmp(p, parts[i]) != 0)
			return false;
		p += strlen(p) + 1;
	}
	return true;
}

bool api_job_cache_get(struct api_job_cache *c, struct api_job_key *key, uint64_t seen, struct pare_buf *out)
{
	struct slot *s = slot_of(c, key->id);
	bool found;

	(void)pthread_mutex_lock(&c->lock);
	found = (key->revision != 0 ? s->revision == key->revision : s->seen == seen) && is_of(s, key);
	if (found) {
		key->revision = s->revision;
		s->seen = s->seen > seen ? s->seen : seen;
		(void)pare_buf_add(out, s->text, s->n);
	}
	(void)pthread_mutex_unlock(&c->lock);
	return found;
}

void api_job_cache_put(struct api_job_cache *c, const struct api_job_key *key, const char *text, size_t n)
{
	const char *const parts[] = {key->owner, key->id, key->link_base};
	size_t size = n + strlen(key->owner) + strlen(key->id) + strlen(key->link_base) + 3;
	char *copy = size <= TEXT_MAX ? pare_alloc(size) : NULL, *p = copy, *old;
	struct slot *s = slot_of(c, key->id);

	if (copy == NULL)
		return;
	memcpy(p, text, n);
	p += n;
	for (int i = 0; i < 3; i++) {
		memcpy(p, parts[i], strlen(parts[i]) + 1);
		p += strlen(parts[i]) + 1;
	}
	(void)pthread_mutex_lock(&c->lock);
	old = s->text;
	*s = (struct slot){.revision = key->revision, .n = n, .text = copy};
	(void)pthread_mutex_unlock(&c->lock);
	pare_free(old);
}
