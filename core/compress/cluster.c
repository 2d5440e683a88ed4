/* k-means on a line needs no search for the nearest centroid: with the weights sorted, a cluster is a run of them, its mean a
 * difference of running sums, and a round costs k binary searches, whatever the size of the tensor. Sorting once is all the work.
 *
 * Rounds end when no border moves. Empty clusters keep their centroid (a border may still come to them) and are left out at the end. Random
 * starting points were rejected: the two fixed ones are what the source compares them with, and better. */
#include "core/compress/cluster.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/mem.h"

#define MAX_VALUES (1 << PARE_CLUSTER_MAX_BITS)

struct line {
	float *w;    /* ascending, no zeros */
	double *sum; /* of the first i */
	size_t n;
	int k;
	double centroid[MAX_VALUES];
	size_t end[MAX_VALUES]; /* of cluster j's run */
};

static int ascending(const void *a, const void *b)
{
	float x = *(const float *)a, y = *(const float *)b;

	return x < y ? -1 : x > y;
}

static void start(struct line *l, enum pare_cluster_init init)
{
	for (int j = 0; j < l->k; j++) {
		double at = (j + 0.5) / l->k;

		l->centroid[j] = init == PARE_CLUSTER_DENSITY ? (double)l->w[(size_t)(at * (double)l->n)]
		                                              : (double)l->w[0] + ((double)l->w[l->n - 1] - (double)l->w[0]) * at;
	}
}

/* The first weight that is not below x. */
static size_t lower_bound(const struct line *l, double x)
{
	size_t first = 0, last = l->n;

	while (first < last) {
		size_t mid = first + (last - first) / 2;

		if ((double)l->w[mid] < x)
			first = mid + 1;
		else
			last = mid;
	}
	return first;
}

static bool move_borders(struct line *l)
{
	bool moved = false;

	for (int j = 0; j < l->k; j++) {
		size_t end = j + 1 < l->k ? lower_bound(l, (l->centroid[j] + l->centroid[j + 1]) / 2) : l->n;

		moved |= end != l->end[j];
		l->end[j] = end;
	}
	return moved;
}

static void move_centroids(struct line *l)
{
	for (int j = 0; j < l->k; j++) {
		size_t first = j > 0 ? l->end[j - 1] : 0;

		if (l->end[j] > first)
			l->centroid[j] = (l->sum[l->end[j]] - l->sum[first]) / (double)(l->end[j] - first);
	}
}

/* The value of the run that a weight stands in. */
static float shared_value(const struct line *l, float w)
{
	int first = 0, last = l->k - 1;

	while (first < last) { /* the first run whose last weight is not below w */
		int mid = (first + last) / 2;

		if (l->end[mid] == 0 || l->w[l->end[mid] - 1] < w)
			first = mid + 1;
		else
			last = mid;
	}
	return (float)l->centroid[first];
}

static enum pare_code share_tensor(struct line *l, const struct pare_param_info *info, float *w, const struct pare_cluster_options *opt, struct pare_err *err)
{
	l->n = 0;
	for (size_t i = 0; i < info->n_elems; i++) {
		if (!isfinite(w[i]))
			return pare_err_set(err, PARE_E_NONFINITE, info->name, "the weight holds NaN or infinity");
		if (w[i] < 0 || w[i] > 0)
			l->w[l->n++] = w[i];
	}
	if (l->n == 0)
		return PARE_OK;
	qsort(l->w, l->n, sizeof *l->w, ascending);
	l->sum[0] = 0;
	for (size_t i = 0; i < l->n; i++)
		l->sum[i + 1] = l->sum[i] + (double)l->w[i];
	l->k = 1 << (info->n_dims > 2 ? opt->conv_bits : opt->bits);
	memset(l->end, 0, sizeof l->end);
	start(l, opt->init);
	for (int i = 0; i < opt->iterations && move_borders(l); i++)
		move_centroids(l);
	for (size_t i = 0; i < info->n_elems; i++)
		if (w[i] < 0 || w[i] > 0)
			w[i] = shared_value(l, w[i]);
	return PARE_OK;
}

enum pare_code pare_cluster(struct pare_net *net, const struct pare_cluster_options *opt, struct pare_err *err)
{
	struct line *l = pare_calloc(1, sizeof *l);
	float *slab = pare_net_slab(net);
	size_t most = 0;
	enum pare_code code = PARE_OK;

	if (l == NULL)
		return pare_err_nomem(err, sizeof *l);
	for (int p = 0; p < pare_net_n_params(net); p++)
		if (pare_prune_is_target(&opt->names, pare_net_param(net, p)))
			most = pare_net_param(net, p)->n_elems > most ? pare_net_param(net, p)->n_elems : most;
	l->w = pare_alloc((most + 1) * sizeof *l->w);
	l->sum = pare_alloc((most + 1) * sizeof *l->sum);
	if (most == 0)
		code = pare_err_set(err, PARE_E_INVALID, NULL, "there are no weights to share: all are excluded, or the model has none");
	else if (l->w == NULL || l->sum == NULL)
		code = pare_err_nomem(err, most * sizeof *l->sum);
	for (int p = 0; p < pare_net_n_params(net) && code == PARE_OK; p++)
		if (pare_prune_is_target(&opt->names, pare_net_param(net, p)))
			code = share_tensor(l, pare_net_param(net, p), slab + pare_net_param(net, p)->offset, opt, err);
	pare_free(l->w);
	pare_free(l->sum);
	pare_free(l);
	return code;
}

void pare_count_values(float *w, size_t n, size_t *n_values, double *bits)
{
	*n_values = 0;
	*bits = 0;
	qsort(w, n, sizeof *w, ascending);
	for (size_t i = 0, end; i < n; i = end) {
		for (end = i + 1; end < n && !(w[end] > w[i]);)
			end++;
		*n_values += w[i] < 0 || w[i] > 0;
		*bits -= (double)(end - i) / (double)n * log2((double)(end - i) / (double)n);
	}
}
