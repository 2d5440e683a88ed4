/* Which rows train, validate and test. split_of holds the answer by row; rows lists it by split, ascending, so that a
 * split reads the data front to back.
 *
 * A fraction f of n rows is round(f n) rows, shared among the classes by largest remainders: each class gives
 * floor(f n_c), then the classes with the largest f n_c - floor(f n_c) give one more, ties to the lower class. Within a
 * class the rows are shuffled by a stream of their own, so the rows of one class do not depend on the others. Regression
 * is one class. Test rows are taken from the front of the shuffled class and validation rows behind them.
 *
 * Folds deal the shuffled rows of class after class out like cards, going on where the last class stopped: sizes differ by
 * one at most, overall and within each class. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/mem.h"
#include "core/base/rng.h"
#include "core/data/data_priv.h"

/* The rows that may be dealt, by class: rows[first[c] .. first[c + 1]), shuffled. */
struct pool {
	size_t n, n_classes;
	uint32_t *rows;
	size_t *first; /* n_classes + 1 */
	size_t *taken, *quota; /* by class */
	double *rest;
	uint32_t *order; /* of classes, while sharing */
};

static size_t n_rows(const struct pare_dataset *d)
{
	return (size_t)d->info.n_rows;
}

static void list_rows(struct pare_dataset *d)
{
	size_t at = 0;

	for (int s = 0; s < PARE_N_SPLITS; s++) {
		size_t before = at;

		for (size_t i = 0; i < n_rows(d); i++)
			if (d->split_of[i] == s)
				d->rows[at++] = (uint32_t)i;
		d->n_split[s] = (uint32_t)(at - before);
	}
}

static void mark_given(const struct pare_dataset *d, uint8_t *split_of)
{
	static const uint8_t split_of_group[] = {PARE_SPLIT_TRAIN, PARE_SPLIT_TRAIN, PARE_SPLIT_VALIDATION, PARE_SPLIT_TEST};

	for (int g = 0; g < DATA_N_GROUPS; split_of += d->n_group[g++])
		memset(split_of, split_of_group[g], d->n_group[g]);
}

enum pare_code data_split_given(struct pare_dataset *d, struct pare_err *err)
{
	d->split_of = pare_calloc(n_rows(d), 1);
	d->rows = pare_calloc(n_rows(d), sizeof *d->rows);
	if (d->split_of == NULL || d->rows == NULL)
		return pare_err_nomem(err, n_rows(d) * sizeof *d->rows);
	mark_given(d, d->split_of);
	list_rows(d);
	return PARE_OK;
}

static void pool_done(struct pool *p)
{
	pare_free(p->rows);
	pare_free(p->first);
	pare_free(p->taken);
	pare_free(p->quota);
	pare_free(p->rest);
	pare_free(p->order);
}

static bool has_classes(const struct pare_dataset *d)
{
	return d->info.n_y > 0 && d->info.y[0].task == PARE_TASK_CLASSIFY;
}

static size_t class_of(const struct pare_dataset *d, size_t row)
{
	uint32_t r = (uint32_t)row;
	int32_t c = 0;

	if (has_classes(d))
		pare_data_classes(d, 0, &r, 1, &c);
	return (size_t)c;
}

/* The rows for which in_pool is set, sorted into classes and shuffled there. pool_done is the caller's, after a failure too. */
static enum pare_code pool_init(struct pool *p, const struct pare_dataset *d, const uint8_t *in_pool, uint64_t seed,
    const char *purpose, struct pare_err *err)
{
	size_t k = has_classes(d) ? (size_t)d->info.y[0].n_classes : 1;

	*p = (struct pool){.n_classes = k};
	p->rows = pare_calloc(n_rows(d), sizeof *p->rows);
	p->first = pare_calloc(k + 1, sizeof *p->first);
	p->taken = pare_calloc(k, sizeof *p->taken);
	p->quota = pare_calloc(k, sizeof *p->quota);
	p->rest = pare_calloc(k, sizeof *p->rest);
	p->order = pare_calloc(k, sizeof *p->order);
	if (p->rows == NULL || p->first == NULL || p->taken == NULL || p->quota == NULL || p->rest == NULL || p->order == NULL)
		return pare_err_nomem(err, n_rows(d) * sizeof *p->rows);
	for (size_t i = 0; i < n_rows(d); i++)
		p->first[class_of(d, i) + 1] += in_pool[i];
	for (size_t c = 0; c < k; c++)
		p->first[c + 1] += p->first[c];
	for (size_t i = 0; i < n_rows(d); i++)
		if (in_pool[i])
			p->rows[p->first[class_of(d, i)] + p->taken[class_of(d, i)]++] = (uint32_t)i;
	p->n = p->first[k];
	for (size_t c = 0; c < k; c++) {
		struct pare_rng rng;

		p->taken[c] = 0;
		pare_rng_init(&rng, seed, purpose, c);
		pare_rng_shuffle(&rng, p->rows + p->first[c], (uint32_t)(p->first[c + 1] - p->first[c]));
	}
	return PARE_OK;
}

static size_t left_in(const struct pool *p, size_t c)
{
	return p->first[c + 1] - p->first[c] - p->taken[c];
}

static int by_rest(const void *a, const void *b, void *ctx)
{
	const double *rest = ctx;
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	if (rest[x] != rest[y])
		return rest[x] > rest[y] ? -1 : 1;
	return (x > y) - (x < y);
}

/* How many rows each class gives for a fraction; returns their sum. */
static size_t share(struct pool *p, double fraction)
{
	size_t total = (size_t)floor(fraction * (double)p->n + 0.5), sum = 0, before;

	for (size_t c = 0; c < p->n_classes; c++) {
		double exact = fraction * (double)(p->first[c + 1] - p->first[c]);

		p->quota[c] = (size_t)exact < left_in(p, c) ? (size_t)exact : left_in(p, c);
		p->rest[c] = exact - floor(exact);
		p->order[c] = (uint32_t)c;
		sum += p->quota[c];
	}
	qsort_r(p->order, p->n_classes, sizeof *p->order, by_rest, p->rest);
	do {
		before = sum;
		for (size_t i = 0; i < p->n_classes && sum < total; i++) {
			size_t c = p->order[i];

			if (p->quota[c] < left_in(p, c)) {
				p->quota[c]++;
				sum++;
			}
		}
	} while (sum < total && sum > before);
	return sum;
}

static enum pare_code take_fraction(struct pool *p, double fraction, enum pare_split split, uint8_t *split_of, struct pare_err *err)
{
	static const char *const names[] = {"train", "validation", "test"};

	if (fraction == 0)
		return PARE_OK;
	if (share(p, fraction) == 0)
		return pare_err_set(err, PARE_E_DATASET, NULL,
		    "a %s fraction of %g of %zu rows is no row: use a larger fraction or more data", names[split], fraction, p->n);
	for (size_t c = 0; c < p->n_classes; c++) {
		for (size_t i = 0; i < p->quota[c]; i++)
			split_of[p->rows[p->first[c] + p->taken[c] + i]] = (uint8_t)split;
		p->taken[c] += p->quota[c];
	}
	return PARE_OK;
}

static size_t count_split(const struct pare_dataset *d, const uint8_t *split_of, enum pare_split split)
{
	size_t n = 0;

	for (size_t i = 0; i < n_rows(d); i++)
		n += split_of[i] == split;
	return n;
}

static void use_split(struct pare_dataset *d, uint8_t *split_of)
{
	pare_free(d->split_of);
	d->split_of = split_of;
	list_rows(d);
}

enum pare_code pare_data_split(struct pare_dataset *d, double validation, double test, uint64_t seed, struct pare_err *err)
{
	uint8_t *split_of = NULL, *in_pool = NULL;
	struct pool p = {.n = 0};
	bool given_test = d->info.n_given[PARE_SPLIT_TEST] > 0;
	bool given_validation = d->info.n_given[PARE_SPLIT_VALIDATION] > 0;
	enum pare_code rc;

	if (!(validation >= 0 && validation < 1) || !(test >= 0 && test < 1) ||
	    (!given_test && !given_validation && validation + test >= 1))
		return pare_err_set(err, PARE_E_INVALID, NULL,
		    "validation %g and test %g must be fractions in [0, 1) that leave rows to train on", validation, test);
	split_of = pare_calloc(n_rows(d), 1);
	in_pool = pare_calloc(n_rows(d), 1);
	if (split_of == NULL || in_pool == NULL) {
		rc = pare_err_nomem(err, n_rows(d));
		goto out;
	}
	mark_given(d, split_of);
	for (size_t i = 0; i < n_rows(d); i++)
		in_pool[i] = split_of[i] == PARE_SPLIT_TRAIN;
	if ((rc = pool_init(&p, d, in_pool, seed, "split", err)) != PARE_OK ||
	    (rc = take_fraction(&p, given_test ? 0 : test, PARE_SPLIT_TEST, split_of, err)) != PARE_OK ||
	    (rc = take_fraction(&p, given_validation ? 0 : validation, PARE_SPLIT_VALIDATION, split_of, err)) != PARE_OK)
		goto out;
	if (count_split(d, split_of, PARE_SPLIT_TRAIN) == 0) {
		rc = pare_err_set(err, PARE_E_DATASET, NULL,
		    "no row is left to train on: of %zu rows, %lld are for validation or test by the names of their files", n_rows(d),
		    (long long)(d->info.n_given[PARE_SPLIT_VALIDATION] + d->info.n_given[PARE_SPLIT_TEST]));
		goto out;
	}
	use_split(d, split_of);
	split_of = NULL;
out:
	pare_free(split_of);
	pare_free(in_pool);
	pool_done(&p);
	return rc;
}

static void deal(const struct pool *p, int k, int fold, uint8_t *split_of)
{
	for (size_t i = 0; i < p->n; i++)
		split_of[p->rows[i]] = i % (size_t)k == (size_t)fold ? PARE_SPLIT_VALIDATION : PARE_SPLIT_TRAIN;
}

enum pare_code pare_data_fold(struct pare_dataset *d, int k, int i, uint64_t seed, struct pare_err *err)
{
	uint8_t *split_of = NULL, *in_pool = NULL;
	struct pool p = {.n = 0};
	enum pare_code rc;

	if (k < 2 || i < 0 || i >= k)
		return pare_err_set(err, PARE_E_INVALID, NULL, "fold %d of %d: at least 2 folds are needed, counted from 0", i, k);
	split_of = pare_calloc(n_rows(d), 1);
	in_pool = pare_calloc(n_rows(d), 1);
	if (split_of == NULL || in_pool == NULL) {
		rc = pare_err_nomem(err, n_rows(d));
		goto out;
	}
	memcpy(split_of, d->split_of, n_rows(d));
	for (size_t row = 0; row < n_rows(d); row++)
		in_pool[row] = split_of[row] != PARE_SPLIT_TEST;
	rc = pool_init(&p, d, in_pool, seed, "fold", err);
	if (rc != PARE_OK)
		goto out;
	if (p.n < (size_t)k) {
		rc = pare_err_set(err, PARE_E_DATASET, NULL, "%zu rows cannot be cut into %d folds", p.n, k);
		goto out;
	}
	deal(&p, k, i, split_of);
	use_split(d, split_of);
	split_of = NULL;
out:
	pare_free(split_of);
	pare_free(in_pool);
	pool_done(&p);
	return rc;
}

const uint32_t *pare_data_rows(const struct pare_dataset *d, enum pare_split split, uint32_t *out_n)
{
	size_t before = 0;

	for (int s = 0; s < (int)split; s++)
		before += d->n_split[s];
	*out_n = d->n_split[split];
	return d->rows + before;
}
