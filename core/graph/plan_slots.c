/* Placing intervals in memory. Largest first, each at the lowest offset where it meets no interval that lives at the same
 * time: a greedy rule that is within a few percent of the optimum on real networks and depends on nothing but sizes and
 * order. What is placed stands by offset, so one walk over it finds the place, where going through all of them
 * after every obstacle would be cubic.
 *
 * That walk is still as long as all that is placed, so only the largest MOST_BY_SIZE go that way, which are all of them in nets
 * that people make. The rest, the smallest of a very deep net, go above them in the order of time: each into the lowest hole that is
 * long enough, where what has died leaves holes. It wastes more, of little, and takes as long for every one of them. */
#include "core/graph/net_priv.h"

#include <string.h>

#define MOST_BY_SIZE 4096
#define MOST_HOLES 1024

/* What an order goes by. */
enum by { BY_SIZE, BY_FIRST, BY_LAST };

static bool before(const struct pare_slot *s, enum by by, int32_t a, int32_t b)
{
	if (by == BY_SIZE && s[a].n_floats != s[b].n_floats)
		return s[a].n_floats > s[b].n_floats;
	if (by == BY_FIRST && s[a].first != s[b].first)
		return s[a].first < s[b].first;
	if (by == BY_LAST && s[a].last != s[b].last)
		return s[a].last < s[b].last;
	return a < b;
}

static void sift(const struct pare_slot *s, enum by by, int32_t *o, int32_t i, int32_t n)
{
	for (;;) {
		int32_t c = 2 * i + 1, t;

		if (c >= n)
			return;
		if (c + 1 < n && before(s, by, o[c], o[c + 1]))
			c++;
		if (before(s, by, o[c], o[i]))
			return;
		t = o[c];
		o[c] = o[i];
		o[i] = t;
		i = c;
	}
}

/* Heap sort of indices, ties by index: no recursion, no allocation, one order on every machine. */
static void sort_order(const struct pare_slot *s, enum by by, int32_t *o, int32_t n)
{
	for (int32_t i = n / 2 - 1; i >= 0; i--)
		sift(s, by, o, i, n);
	for (int32_t i = n - 1; i > 0; i--) {
		int32_t t = o[0];

		o[0] = o[i];
		o[i] = t;
		sift(s, by, o, 0, i);
	}
}

/* --- by size */

/* The lowest offset at which nothing that is placed and lives at the same time is in the way; placed stands by offset. */
static size_t lowest(const struct pare_slot *placed, int32_t n, const struct pare_slot *s)
{
	size_t at = 0, size = pare_net_align(s->n_floats);

	for (int32_t j = 0; j < n && placed[j].offset < at + size; j++) {
		size_t end = placed[j].offset + placed[j].n_floats;

		if (placed[j].first <= s->last && s->first <= placed[j].last && end > at)
			at = end;
	}
	return at;
}

/* The first of n that stands behind an offset. */
static int32_t behind(const struct pare_slot *placed, int32_t n, size_t offset)
{
	int32_t low = 0, high = n;

	while (low < high) {
		int32_t mid = low + (high - low) / 2;

		if (placed[mid].offset <= offset)
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}

static void insert(struct pare_slot *placed, int32_t n, const struct pare_slot *s)
{
	int32_t at = behind(placed, n, s->offset);

	memmove(placed + at + 1, placed + at, (size_t)(n - at) * sizeof *placed);
	placed[at] = *s;
	placed[at].n_floats = pare_net_align(s->n_floats);
}

static size_t place_by_size(struct pare_slot *slots, int32_t n, const int32_t *order, struct pare_slot *placed)
{
	size_t total = 0;

	for (int32_t i = 0; i < n; i++) {
		struct pare_slot *s = &slots[order[i]];

		s->offset = lowest(placed, i, s);
		insert(placed, i, s);
		if (s->offset + pare_net_align(s->n_floats) > total)
			total = s->offset + pare_net_align(s->n_floats);
	}
	return total;
}

/* --- by time */

/* Holes stand by offset and do not touch each other; the last one has no end and is not among them. */
struct holes {
	struct pare_slot *hole;
	int32_t n;
	size_t end;
};

static size_t take(struct holes *h, size_t size)
{
	for (int32_t i = 0; i < h->n; i++) {
		size_t at = h->hole[i].offset;

		if (h->hole[i].n_floats < size)
			continue;
		h->hole[i].offset += size;
		h->hole[i].n_floats -= size;
		if (h->hole[i].n_floats == 0)
			memmove(h->hole + i, h->hole + i + 1, (size_t)(--h->n - i) * sizeof *h->hole);
		return at;
	}
	h->end += size;
	return h->end - size;
}

/* A hole that would be one too many is forgotten. */
static void give_back(struct holes *h, size_t offset, size_t size)
{
	int32_t i = behind(h->hole, h->n, offset);
	bool joins_left = i > 0 && h->hole[i - 1].offset + h->hole[i - 1].n_floats == offset;
	bool joins_right = i < h->n && offset + size == h->hole[i].offset;

	if (joins_left) {
		h->hole[i - 1].n_floats += size + (joins_right ? h->hole[i].n_floats : 0);
		if (joins_right)
			memmove(h->hole + i, h->hole + i + 1, (size_t)(--h->n - i) * sizeof *h->hole);
	} else if (joins_right) {
		h->hole[i].offset = offset;
		h->hole[i].n_floats += size;
	} else if (h->n < MOST_HOLES) {
		memmove(h->hole + i + 1, h->hole + i, (size_t)(h->n++ - i) * sizeof *h->hole);
		h->hole[i] = (struct pare_slot){.offset = offset, .n_floats = size};
	}
}

/* born, dying: the same slots by the beginning and by the end of their lives. */
static size_t place_by_time(struct pare_slot *slots, int32_t n, const int32_t *born, const int32_t *dying, size_t end, struct pare_slot *scratch)
{
	struct holes h = {.hole = scratch, .end = end};
	int32_t dead = 0;

	for (int32_t i = 0; i < n; i++) {
		struct pare_slot *s = &slots[born[i]];

		for (; dead < n && slots[dying[dead]].last < s->first; dead++)
			if (slots[dying[dead]].n_floats > 0 && slots[dying[dead]].first <= slots[dying[dead]].last) /* else it never lives */
				give_back(&h, slots[dying[dead]].offset, pare_net_align(slots[dying[dead]].n_floats));
		s->offset = take(&h, pare_net_align(s->n_floats));
	}
	return h.end;
}

size_t pare_slots_place(struct pare_slot *slots, int32_t n, int32_t *order, struct pare_slot *placed)
{
	int32_t most = n < MOST_BY_SIZE ? n : MOST_BY_SIZE;
	size_t total;

	for (int32_t i = 0; i < n; i++)
		order[i] = i;
	sort_order(slots, BY_SIZE, order, n);
	total = place_by_size(slots, most, order, placed);
	if (most == n)
		return total;
	memcpy(order + n, order + most, (size_t)(n - most) * sizeof *order);
	sort_order(slots, BY_FIRST, order + most, n - most);
	sort_order(slots, BY_LAST, order + n, n - most);
	return place_by_time(slots, n - most, order + most, order + n, total, placed);
}
