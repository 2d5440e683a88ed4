/* Data larger than memory. Features stay in their files, which are mapped, so what is resident is what was touched. The kernel may
 * take such pages back at any time, but it does so late, and until then they count as the process's own in every figure that
 * people watch. So we count what we read, and after every BUDGET give all pages of the mappings back; what is needed again
 * comes from the page cache for the price of a fault. Rows may lie anywhere, and the kernel maps the pages around each: what
 * counts is the areas of that size that are touched for the first time. (Counting an area for every row gave back 256 MB of
 * small rows after 3 MB of them, and an epoch was faults.) A window of stream.c is as large as BUDGET, so a page comes in about
 * once an epoch. Sets below STREAM_MIN stay where they are: for them faults would cost more than memory.
 *
 * What has to be decoded (gzip, deflate, CSV) has no file to stay in. It is decoded in memory up to MEMORY_MAX, and past that
 * into a spill file that the caller provides: written as a stream, then mapped like an input. */
#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "core/base/mem.h"
#include "core/base/num.h"
#include "core/data/data_priv.h"

#define BUDGET ((size_t)256 << 20)
#define STREAM_MIN ((size_t)1 << 30)
#define MEMORY_MAX ((size_t)64 << 20)
#define GROW_MIN ((size_t)64 << 10)
#define SPILL_MAX ((size_t)16 << 30)
#define PAGE ((uintptr_t)4096)
#define AREA ((uintptr_t)64 << 10) /* that a fault maps: fault_around_bytes */

enum pare_code data_pages_add(struct pare_dataset *d, struct pare_span s, bool owned, struct pare_err *err)
{
	struct data_pages *p = &d->pages;

	if (p->n == DATA_MAX_MAPPINGS)
		return pare_err_set(err, PARE_E_LIMIT, NULL, "a data set has at most %d files", DATA_MAX_MAPPINGS);
	p->mappings[p->n] = s;
	p->owned[p->n++] = owned;
	p->n_bytes += s.len;
	return PARE_OK;
}

void data_pages_done(struct pare_dataset *d)
{
	for (size_t i = 0; i < d->pages.n; i++)
		if (d->pages.owned[i])
			(void)munmap((void *)(uintptr_t)d->pages.mappings[i].data, d->pages.mappings[i].len);
}

bool data_pages_stream(const struct pare_dataset *d, enum pare_stream how)
{
	return how == PARE_STREAM_ALWAYS || (how == PARE_STREAM_AUTO && d->pages.n_bytes > STREAM_MIN);
}

static void give_back(const struct data_pages *p)
{
	for (size_t i = 0; p->areas != NULL && i < p->n_words; i++)
		atomic_store_explicit(&p->areas[i], 0, memory_order_relaxed);
	for (size_t i = 0; i < p->n; i++) {
		uintptr_t begin = ((uintptr_t)p->mappings[i].data + PAGE - 1) / PAGE * PAGE, end = ((uintptr_t)p->mappings[i].data + p->mappings[i].len) / PAGE * PAGE;

		if (begin < end)
			(void)madvise((void *)begin, end - begin, MADV_DONTNEED); /* advice: a refusal costs memory, nothing else */
	}
}

void data_touch(const struct pare_dataset *d, size_t n_bytes)
{
	const struct data_pages *p = &d->pages;

	if (!d->streams)
		return;
	if (atomic_fetch_add_explicit(p->touched, n_bytes, memory_order_relaxed) + n_bytes < BUDGET)
		return;
	atomic_store_explicit(p->touched, 0, memory_order_relaxed);
	give_back(p);
}

enum pare_code data_pages_watch(struct pare_dataset *d, struct pare_err *err)
{
	struct data_pages *p = &d->pages;
	size_t n = 0;

	if (!d->streams)
		return PARE_OK;
	for (size_t i = 0; i < p->n; i++) {
		p->first_area[i] = n;
		n += p->mappings[i].len / AREA + 2;
	}
	p->n_words = n / 64 + 1;
	p->areas = pare_calloc(p->n_words, sizeof *p->areas);
	return p->areas != NULL ? PARE_OK : pare_err_nomem(err, p->n_words * sizeof *p->areas);
}

/* Bytes of the areas of [at, at + len) that were not touched before; 0 outside of the mappings. */
static size_t fresh_bytes(const struct data_pages *p, uintptr_t at, size_t len)
{
	size_t fresh = 0, i = 0;

	while (i < p->n && at - (uintptr_t)p->mappings[i].data >= p->mappings[i].len)
		i++;
	if (i == p->n || len == 0)
		return 0;
	for (uintptr_t a = at / AREA; a <= (at + len - 1) / AREA; a++) {
		size_t k = p->first_area[i] + (a - (uintptr_t)p->mappings[i].data / AREA);
		uint64_t bit = (uint64_t)1 << k % 64;

		if ((atomic_load_explicit(&p->areas[k / 64], memory_order_relaxed) & bit) == 0 &&
		    (atomic_fetch_or_explicit(&p->areas[k / 64], bit, memory_order_relaxed) & bit) == 0)
			fresh += AREA;
	}
	return fresh;
}

void data_touch_rows(const struct pare_dataset *d, const struct data_field *f, const uint32_t *rows, size_t n)
{
	size_t fresh = 0;

	if (!d->streams || d->pages.areas == NULL)
		return;
	for (size_t i = 0; i < n; i++) {
		const struct data_chunk *c = data_chunk_of(f, rows[i]);

		fresh += fresh_bytes(&d->pages, (uintptr_t)(c->p + (rows[i] - c->first_row) * c->stride), f->row_bytes);
	}
	if (fresh > 0)
		data_touch(d, fresh);
}

/* --- what is decoded */

static bool may_spill(const struct data_sink *s)
{
	return s->opt->spill != NULL;
}

size_t data_sink_cap(const struct data_sink *s)
{
	size_t spill = s->opt->max_spill_bytes > 0 ? s->opt->max_spill_bytes : SPILL_MAX;

	return may_spill(s) && spill > s->d->bytes_left ? spill : s->d->bytes_left;
}

void data_sink_done(struct data_sink *s)
{
	pare_free(s->p);
	if (s->fd >= 0)
		(void)close(s->fd);
	s->p = NULL;
	s->fd = -1;
}

static enum pare_code flush(struct data_sink *s, struct pare_err *err)
{
	const uint8_t *p = s->p;

	for (size_t left = s->len; left > 0;) {
		ssize_t k = write(s->fd, p, left);

		if (k < 0 && errno == EINTR)
			continue;
		if (k < 0)
			return pare_err_errno(err, errno, "writing decoded data");
		p += k;
		left -= (size_t)k;
	}
	s->flushed += s->len;
	s->len = 0;
	return PARE_OK;
}

static enum pare_code grow(struct data_sink *s, size_t want, struct pare_err *err)
{
	uint8_t *p;

	if (want <= s->size)
		return PARE_OK;
	p = pare_realloc(s->p, want);
	if (p == NULL)
		return pare_err_nomem(err, want);
	s->p = p;
	s->size = want;
	return PARE_OK;
}

enum pare_code data_sink_room(struct data_sink *s, size_t n, size_t expected, struct pare_err *err)
{
	size_t want = s->size > SIZE_MAX / 2 ? SIZE_MAX : 2 * s->size;
	enum pare_code rc;

	if (s->size - s->len >= n)
		return PARE_OK;
	if (may_spill(s) && s->len + n > MEMORY_MAX) {
		rc = s->fd < 0 ? s->opt->spill(s->opt->spill_ctx, &s->fd, err) : PARE_OK;
		if (rc == PARE_OK)
			rc = flush(s, err);
		return rc == PARE_OK ? grow(s, n, err) : rc;
	}
	want = want > s->len + n ? want : s->len + n;
	want = want > expected && expected >= s->len + n ? expected : want < GROW_MIN && expected == 0 ? GROW_MIN : want;
	if (may_spill(s) && want > MEMORY_MAX)
		want = MEMORY_MAX > s->len + n ? MEMORY_MAX : s->len + n;
	return grow(s, want, err);
}

static enum pare_code map_spill(struct data_sink *s, struct pare_span *out, struct pare_err *err)
{
	enum pare_code rc = flush(s, err);
	void *p;

	if (rc != PARE_OK)
		return rc;
	p = mmap(NULL, s->flushed, PROT_READ, MAP_SHARED, s->fd, 0);
	if (p == MAP_FAILED)
		return pare_err_errno(err, errno, s->where);
	*out = (struct pare_span){p, s->flushed};
	rc = data_pages_add(s->d, *out, true, err);
	if (rc != PARE_OK)
		(void)munmap(p, s->flushed);
	return rc;
}

enum pare_code data_sink_finish(struct data_sink *s, struct pare_span *out, struct pare_err *err)
{
	size_t n = s->len;
	enum pare_code rc;
	uint8_t *kept;

	if (s->fd >= 0)
		return map_spill(s, out, err);
	rc = data_charge(s->d, n, s->where, err);
	if (rc != PARE_OK)
		return rc;
	kept = pare_realloc(s->p, n > 0 ? n : 1); /* gives back what growing took too much */
	if (kept == NULL)
		return pare_err_nomem(err, n);
	s->p = NULL;
	*out = (struct pare_span){kept, n};
	return data_own_take(s->d, kept, err);
}
