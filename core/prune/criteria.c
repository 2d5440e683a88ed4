/* What a weight is worth. One row per criterion; a score is larger for what should stay.
 *
 * magnitude: |w| (Han et al. 2015, "Learning both weights and connections"). Comparable across tensors only as far as
 * the layers are scaled alike; the scope "layer" is there for nets where they are not.
 * random: the baseline that every other criterion must beat. Its streams are named by seed, tensor and block, so the order
 * in which blocks are scored does not matter, and a second round with the same seed removes a superset of the first.
 *
 * Scores are asked for a block at a time and more than once, so that nobody has to keep them: a criterion is a function
 * of what it is given. */
#include "core/prune/prune.h"

#include <math.h>
#include <string.h>

#include "core/base/rng.h"

static void score_magnitude(const struct pare_score_input *in, float *out)
{
	const float *w = in->weights + in->first;

	for (size_t i = 0; i < in->n; i++)
		out[i] = fabsf(w[i]);
}

static void score_random(const struct pare_score_input *in, float *out)
{
	struct pare_rng rng;

	pare_rng_init(&rng, in->seed, "prune", (uint64_t)in->param_index << 40 | in->first / PARE_SCORE_BLOCK);
	for (size_t i = 0; i < in->n; i++)
		out[i] = pare_rng_uniform(&rng);
}

const struct pare_criterion pare_criterion_table[] = {
    {.name = "magnitude", .thresholds = true, .score = score_magnitude},
    {.name = "random", .thresholds = false, .score = score_random},
    {.name = NULL},
};

const struct pare_criterion *pare_criterion_find(const char *name)
{
	for (const struct pare_criterion *c = pare_criterion_table; c->name != NULL; c++)
		if (strcmp(c->name, name) == 0)
			return c;
	return NULL;
}
