/* The k-th smallest of many floats, by counting instead of comparing.
 *
 * The bits of an IEEE float, with the sign bit flipped for positives and all bits flipped for negatives, order as
 * unsigned integers the way the floats do. Pass 1 counts the upper 16 bits of every key and finds the bucket that holds
 * rank k; pass 2 counts the lower 16 bits of the keys in that bucket and finds the value. Two reads of the data,
 * no copy, no writes but 512 KiB of counters, and a running time that does not depend on the values: quickselect
 * copies or permutes the input, reads it several times and has a bad case.
 *
 * Of many scores a sample says within what bounds the one of rank k is, but for bad luck, and one pass sets aside the few that are within, at
 * the speed of memory. Bad luck is seen, as the rank is not among them, and then they are counted as above. The result is the same score.
 *
 * Adding 0.0f to a score turns -0 into +0, so that the two, equal for every comparison of floats, share a key. */
#include "core/prune/prune.h"

#include <assert.h>
#include <float.h>
#include <math.h>
#include <string.h>

#include "core/base/mem.h"
#include "core/base/multiarch.h"
#include "core/prune/prune_priv.h"

#define BLOCK ((size_t)1024)

static uint32_t key_of(float x)
{
	float y = x + 0.0f;
	uint32_t u;

	memcpy(&u, &y, sizeof u);
	return u ^ ((0u - (u >> 31)) | 0x80000000u);
}

static float of_key(uint32_t key)
{
	uint32_t u = key & 0x80000000u ? key ^ 0x80000000u : ~key;
	float x;

	memcpy(&x, &u, sizeof x);
	return x;
}

/* The bucket that holds rank *k; *k becomes the rank within it. */
static uint32_t find_bucket(const uint64_t *count, size_t *k)
{
	uint32_t b = 0;

	while (*k >= count[b])
		*k -= (size_t)count[b++];
	return b;
}

/* Keys are made a block at a time by vector code; the counting that follows is scalar and reads the first-level cache. */
PARE_MULTIARCH
static void keys_of(size_t n, const float *restrict x, uint32_t *restrict key)
{
	for (size_t i = 0; i < n; i++)
		key[i] = key_of(x[i]);
}

void pare_radix_first(struct pare_radix *r, const float *scores, size_t n)
{
	uint32_t key[BLOCK];

	for (size_t at = 0; at < n; at += BLOCK) {
		size_t m = n - at < BLOCK ? n - at : BLOCK;

		keys_of(m, scores + at, key);
		for (size_t i = 0; i < m; i++)
			r->count[key[i] >> 16]++;
	}
}

void pare_radix_turn(struct pare_radix *r, size_t k)
{
	r->k = k;
	r->rank = k;
	r->high = find_bucket(r->count, &r->rank);
	memset(r->count, 0, sizeof r->count);
}

void pare_radix_second(struct pare_radix *r, const float *scores, size_t n)
{
	uint32_t key[BLOCK];

	for (size_t at = 0; at < n; at += BLOCK) {
		size_t m = n - at < BLOCK ? n - at : BLOCK;

		keys_of(m, scores + at, key);
		for (size_t i = 0; i < m; i++)
			if (key[i] >> 16 == r->high)
				r->count[key[i] & 0xffffu]++;
	}
}

float pare_radix_value(struct pare_radix *r, size_t *out_below)
{
	uint32_t low = find_bucket(r->count, &r->rank);

	*out_below = r->k - r->rank;
	return of_key(r->high << 16 | low);
}

bool pare_bracket_set(struct pare_bracket *b, const float *sample, size_t n, size_t k, size_t n_all)
{
	double share = (double)k / (double)n_all;
	/* eight times the deviation of how many of the sample are less, and some more where it is next to nothing */
	size_t at = (size_t)(share * (double)n), apart = (size_t)(8.0 * sqrt((double)n * share * (1 - share))) + 64;

	b->lo = at > apart ? pare_select_kth(sample, n, at - apart) : -FLT_MAX;
	b->hi = at + apart < n ? pare_select_kth(sample, n, at + apart) : INFINITY;
	b->room = (size_t)((double)n_all / (double)n * 4.0 * (double)(apart + 1));
	b->n_below = b->n_in = 0;
	if (b->lo < -FLT_MAX || b->room > n_all / 4)
		return false;
	b->in = pare_alloc(b->room * sizeof *b->in);
	return b->in != NULL;
}

bool pare_bracket_part(const struct pare_bracket *b, struct pare_bracket *out)
{
	*out = (struct pare_bracket){.lo = b->lo, .hi = b->hi, .room = b->room, .in = pare_alloc(b->room * sizeof *out->in)};
	return out->in != NULL;
}

void pare_bracket_join(struct pare_bracket *b, const struct pare_bracket *part)
{
	b->n_below += part->n_below;
	if (part->n_in <= b->room && b->n_in <= b->room - part->n_in)
		memcpy(b->in + b->n_in, part->in, part->n_in * sizeof *b->in);
	b->n_in += part->n_in; /* more than there is room for, else */
}

/* Which are from lo to hi, 1 or 0; returns how many are less. */
PARE_MULTIARCH
static size_t classify(size_t n, const float *restrict x, uint32_t bits, float lo, float hi, uint8_t *restrict in)
{
	uint32_t less = 0;

	for (size_t at = 0, end; at < n; at = end) {
		end = n - at < PARE_PIECE ? n : at + PARE_PIECE;
		pare_ask_ahead(x + at);
		for (size_t i = at; i < end; i++) {
			float score = pare_score_of(x[i], bits);

			less += score < lo;
			in[i] = (score >= lo) & (score <= hi);
		}
	}
	return less;
}

static void set_aside(struct pare_bracket *b, const float *x, uint32_t bits, const uint8_t *in, size_t n)
{
	const uint8_t *end = in + n;

	for (const uint8_t *p = in; (p = memchr(p, 1, (size_t)(end - p))) != NULL; p++) {
		if (b->n_in < b->room)
			b->in[b->n_in] = pare_score_of(x[p - in], bits);
		b->n_in++;
	}
}

void pare_bracket_add(struct pare_bracket *b, const float *x, uint32_t bits, size_t n)
{
	uint8_t in[BLOCK];

	for (size_t at = 0, m; at < n; at += m) {
		m = n - at < BLOCK ? n - at : BLOCK;
		b->n_below += classify(m, x + at, bits, b->lo, b->hi, in);
		set_aside(b, x + at, bits, in, m);
	}
}

bool pare_bracket_value(const struct pare_bracket *b, size_t k, float *out, size_t *out_below)
{
	size_t n_less = 0;

	if (b->n_in > b->room || k < b->n_below || k - b->n_below >= b->n_in)
		return false;
	*out = pare_select_kth(b->in, b->n_in, k - b->n_below);
	for (size_t i = 0; i < b->n_in; i++)
		n_less += b->in[i] < *out;
	*out_below = b->n_below + n_less;
	return true;
}

void pare_bracket_done(struct pare_bracket *b)
{
	pare_free(b->in);
	*b = (struct pare_bracket){.in = NULL};
}

float pare_select_kth(const float *scores, size_t n, size_t k)
{
	struct pare_radix r = {.k = 0};
	size_t below;

	assert(k < n);
	pare_radix_first(&r, scores, n);
	pare_radix_turn(&r, k);
	pare_radix_second(&r, scores, n);
	return pare_radix_value(&r, &below);
}
