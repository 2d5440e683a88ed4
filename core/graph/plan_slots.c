/* Placing intervals in memory. Largest first, each at the lowest offset where it meets no interval that lives at the same
 * time: a greedy rule that is within a few percent of the optimum on real networks and depends on nothing but sizes and
 * order. Quadratic in the number of live intervals, which for a thousand layers is a millisecond. */
#include "core/graph/net_priv.h"

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

/* The lowest offset at or above `from` where no placed slot is in the way, or where the first such slot ends. */
static size_t push_past(const struct pare_slot *slots, const int32_t *order, int32_t n_placed, const struct pare_slot *s, size_t from)
{
	for (int32_t j = 0; j < n_placed; j++) {
		const struct pare_slot *p = &slots[order[j]];
		size_t end = p->offset + pare_net_align(p->n_floats);

		if (p->first <= s->last && s->first <= p->last && p->offset < from + pare_net_align(s->n_floats) && from < end)
			return end;
	}
	return from;
}

/* Candidate offsets are 0 and the ends of placed slots, tried in rising order by stepping past each obstacle. */
static size_t lowest(const struct pare_slot *slots, const int32_t *order, int32_t n_placed, const struct pare_slot *s)
{
	size_t at = 0, next = push_past(slots, order, n_placed, s, 0);

	while (next != at) {
		at = next;
		next = push_past(slots, order, n_placed, s, at);
	}
	return at;
}

size_t pare_slots_place(struct pare_slot *slots, int32_t n, int32_t *order)
{
	size_t total = 0;

	sort_order(slots, order, n);
	for (int32_t i = 0; i < n; i++) {
		struct pare_slot *s = &slots[order[i]];

		s->offset = lowest(slots, order, i, s);
		if (s->offset + pare_net_align(s->n_floats) > total)
			total = s->offset + pare_net_align(s->n_floats);
	}
	return total;
}
