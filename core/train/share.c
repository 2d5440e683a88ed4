/* Sums are taken over the whole slab by one thread, in its order and in double: a pass over memory as the update itself is one, and the
 * same bits for every number of threads. */
#include "core/train/share.h"

#include <stdlib.h>
#include <string.h>

#include "core/base/mem.h"

static int ascending(const void *a, const void *b)
{
	float x = *(const float *)a, y = *(const float *)b;

	return x < y ? -1 : x > y;
}

/* The different values in room[n]; returns how many. */
static size_t distinct(float *room, size_t n)
{
	size_t k = 0;

	qsort(room, n, sizeof *room, ascending);
	for (size_t i = 0; i < n; i++)
		if (k == 0 || room[i] > room[k - 1])
			room[k++] = room[i];
	return k;
}

static void number_tensor(struct pare_sharing *s, const struct pare_param_info *p, const float *slab, float *room)
{
	const float *w = slab + p->offset;
	size_t k;

	memcpy(room, w, p->n_elems * sizeof *room);
	k = distinct(room, p->n_elems);
	for (size_t i = 0; i < p->n_elems; i++) {
		const float *at = bsearch(&w[i], room, k, sizeof *room, ascending);

		s->number[p->offset + i] = w[i] < 0 || w[i] > 0 ? (uint32_t)(s->n + (size_t)(at - room)) : PARE_SHARED_ZERO;
	}
	s->n += k;
}

enum pare_code pare_sharing_init(struct pare_sharing *s, struct pare_net *net, const bool *shared, struct pare_err *err)
{
	const float *slab = pare_net_slab(net);
	float *room;

	*s = (struct pare_sharing){.len = pare_net_slab_len(net)};
	s->number = pare_alloc(s->len * sizeof *s->number);
	room = pare_alloc(s->len * sizeof *room);
	if (s->number != NULL && room != NULL) {
		memset(s->number, 0xff, s->len * sizeof *s->number);
		for (int p = 0; p < pare_net_n_params(net); p++)
			if (shared[p])
				number_tensor(s, pare_net_param(net, p), slab, room);
		s->sum = pare_alloc((s->n + 1) * sizeof *s->sum);
		s->count = pare_alloc((s->n + 1) * sizeof *s->count);
	}
	pare_free(room);
	if (s->sum != NULL && s->count != NULL)
		return PARE_OK;
	pare_sharing_done(s);
	return pare_err_nomem(err, s->len * sizeof *s->number);
}

void pare_sharing_done(struct pare_sharing *s)
{
	pare_free(s->number);
	pare_free(s->sum);
	pare_free(s->count);
	s->number = NULL;
	s->sum = NULL;
	s->count = NULL;
}

static void gather(const struct pare_sharing *s, const float *x)
{
	memset(s->sum, 0, s->n * sizeof *s->sum);
	memset(s->count, 0, s->n * sizeof *s->count);
	for (size_t i = 0; i < s->len; i++)
		if (s->number[i] < PARE_SHARED_ZERO) {
			s->sum[s->number[i]] += (double)x[i];
			s->count[s->number[i]]++;
		}
}

void pare_sharing_sum(const struct pare_sharing *s, float *g)
{
	gather(s, g);
	for (size_t i = 0; i < s->len; i++)
		if (s->number[i] != PARE_SHARED_ALONE)
			g[i] = s->number[i] == PARE_SHARED_ZERO ? 0 : (float)s->sum[s->number[i]];
}

void pare_sharing_average(const struct pare_sharing *s, float *w)
{
	gather(s, w);
	for (size_t i = 0; i < s->len; i++)
		if (s->number[i] < PARE_SHARED_ZERO)
			w[i] = (float)(s->sum[s->number[i]] / s->count[s->number[i]]);
}
