/* Saved recipes as jobs use them. */
#ifndef API_RECIPES_H
#define API_RECIPES_H

#include "api/priv.h"

/* Where a job's recipe names are looked up after the built-in ones: the caller's saved recipes. */
struct pare_recipe_source api_recipe_source(struct api_exchange *x);

#endif
