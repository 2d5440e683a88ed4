/* "Did you mean": the candidate that is nearest to a misspelt name, if one is near. */
#ifndef PARE_BASE_NEAREST_H
#define PARE_BASE_NEAREST_H

#include <stddef.h>

struct pare_nearest {
	const char *name;
	const char *best; /* borrowed from pare_nearest_try; NULL while nothing is near */
	size_t distance;
};
void pare_nearest_init(struct pare_nearest *s, const char *name);
void pare_nearest_try(struct pare_nearest *s, const char *candidate);

/* The same over a list that ends with NULL. */
const char *pare_nearest_of(const char *name, const char *const *candidates);

#endif
