/* "Did you mean": Levenshtein's distance over one row of the table. Names longer than a row hold are nobody's typo. A
 * candidate counts when its distance is at most a third of the longer name (rounded up), so "sparcity" finds
 * sparsity and "foo" finds nothing; or, less near than any of those, when one has all the other's letters as words of its own, so
 * "batch" finds batch_size. */
#include "core/base/nearest.h"

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#define NAME_MAX_LEN ((size_t)64)
#define WORD_MIN_LEN ((size_t)3)

static size_t min3(size_t a, size_t b, size_t c)
{
	size_t m = a < b ? a : b;

	return m < c ? m : c;
}

static size_t distance(const char *a, size_t n_a, const char *b, size_t n_b)
{
	size_t row[NAME_MAX_LEN + 1];

	for (size_t j = 0; j <= n_b; j++)
		row[j] = j;
	for (size_t i = 1; i <= n_a; i++) {
		size_t diagonal = row[0];

		row[0] = i;
		for (size_t j = 1; j <= n_b; j++) {
			size_t above = row[j];

			row[j] = min3(above + 1, row[j - 1] + 1, diagonal + (a[i - 1] != b[j - 1] ? 1 : 0));
			diagonal = above;
		}
	}
	return row[n_b];
}

static bool is_edge(char c)
{
	return c == '\0' || c == '_' || c == '-';
}

/* Does longer hold shorter between edges? */
static bool has_words(const char *longer, const char *shorter)
{
	size_t n = strlen(shorter);

	for (const char *at = strstr(longer, shorter); at != NULL; at = strstr(at + 1, shorter))
		if ((at == longer || is_edge(at[-1])) && is_edge(at[n]))
			return true;
	return false;
}

void pare_nearest_init(struct pare_nearest *s, const char *name)
{
	s->name = name;
	s->best = NULL;
	s->distance = SIZE_MAX;
}

void pare_nearest_try(struct pare_nearest *s, const char *candidate)
{
	size_t n = strlen(s->name), n_c = strlen(candidate), d;

	if (n == 0 || n > NAME_MAX_LEN || n_c > NAME_MAX_LEN)
		return;
	d = distance(s->name, n, candidate, n_c);
	if (d > ((n > n_c ? n : n_c) + 2) / 3 && n >= WORD_MIN_LEN && n_c >= WORD_MIN_LEN && (has_words(candidate, s->name) || has_words(s->name, candidate)))
		d = NAME_MAX_LEN + d;
	else if (d > ((n > n_c ? n : n_c) + 2) / 3 || d >= n_c)
		return;
	if (d < s->distance) {
		s->distance = d;
		s->best = candidate;
	}
}

const char *pare_nearest_of(const char *name, const char *const *candidates)
{
	struct pare_nearest s;

	pare_nearest_init(&s, name);
	for (; *candidates != NULL; candidates++)
		pare_nearest_try(&s, *candidates);
	return s.best;
}

bool pare_is_among(const char *name, const char *const *names)
{
	while (*names != NULL && strcmp(*names, name) != 0)
		names++;
	return *names != NULL;
}
