/* Placing intervals in memory. Largest first, each at the lowest offset where it meets no interval that lives at the same
 * time: a greedy rule that is within a few percent of the optimum on real networks and depends on nothing but sizes and
 * order. What is placed stands by offset, so one walk over it finds the place, where going through all of them
 * after every obstacle would be cubic: a second for thirty thousand layers. */
#include "core/graph/net_priv.h"

#include <string.h>

/* Heap sort of indices by falling size, ties by index: no recursion, no allocation, one order on every machine. */
static bool before(const struct pare_slot *s, int32_t a, int32_t b)
{
	return s[a].n_floats != s[b].n_floats ? s[a].n_floats > s[b].n_floats : a < b;
}

static void sift(const struct pare_slot *s, int32_t *o, int32_t i, int32_t n)
{
	for (;;) {
		int32_t c = 2 * i + 1, t;

		if (c >= n)
			return;
		if (c + 1 < n && before(s, o[c], o[c + 1]))
			c++;
		if (before(s, o[c], o[i]))
			return;
		t = o[c];
		o[c] = o[i];
		o[i] = t;
		i = c;
	}
}

static void sort_order(const struct pare_slot *s, int32_t *o, int32_t n)
{
	for (int32_t i = 0; i < n; i++)
		o[i] = i;
	for (int32_t i = n / 2 - 1; i >= 0; i--)
		sift(s, o, i, n);
	for (int32_t i = n - 1; i > 0; i--) {
		int32_t t = o[0];

		o[0] = o[i];
		o[i] = t;
		sift(s, o, 0, i);
	}
}

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

static void insert(struct pare_slot *placed, int32_t n, const struct pare_slot *s)
{
	int32_t low = 0, high = n;

	while (low < high) {
		int32_t mid = low + (high - low) / 2;

		if (placed[mid].offset <= s->offset)
			low = mid + 1;
		else
			high = mid;
	}
	memmove(placed + low + 1, placed + low, (size_t)(n - low) * sizeof *placed);
	placed[low] = *s;
	placed[low].n_floats = pare_net_align(s->n_floats);
}

size_t pare_slots_place(struct pare_slot *slots, int32_t n, int32_t *order, struct pare_slot *placed)
{
	size_t total = 0;

	sort_order(slots, order, n);
	for (int32_t i = 0; i < n; i++) {
		struct pare_slot *s = &slots[order[i]];

		s->offset = lowest(placed, i, s);
		insert(placed, i, s);
		if (s->offset + pare_net_align(s->n_floats) > total)
			total = s->offset + pare_net_align(s->n_floats);
	}
	return total;
}
