/* "Did you mean": the candidate that is nearest to a misspelt name, if one is near. */
#ifndef PARE_BASE_NEAREST_H
#define PARE_BASE_NEAREST_H

#include <stdbool.h>
#include <stddef.h>

struct pare_nearest {
	const char *name;
	const char *best; /* borrowed from pare_nearest_try; NULL while nothing is near */
	size_t distance;
};
void pare_nearest_init(struct pare_nearest *s, const char *name);
void pare_nearest_try(struct pare_nearest *s, const char *candidate);

/* Over a list that ends with NULL: the same, and whether the name itself is there. */
const char *pare_nearest_of(const char *name, const char *const *candidates);
bool pare_is_among(const char *name, const char *const *names);

#endif
