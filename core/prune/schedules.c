/* How sparse a model is after each round of gradual pruning. Each row is a closed form of the round number, so a
 * resumed job needs no history. Every schedule starts at s0 (round 0) and ends at exactly s1 (round n): the last round
 * returns s1 itself, because s0 + (s1 - s0) need not round to it.
 *
 * cubic is equation 1 of Zhu and Gupta (2017), "To prune, or not to prune": most is removed early, while there is much
 * redundancy, and little per round near the end. exponential removes the same share of what is left in every round, which is
 * how iterative pruning was first done (Han et al. 2015; Frankle and Carbin 2019 remove a fifth each time). */
#include "core/prune/prune.h"

#include <math.h>
#include <string.h>

static double at_one_shot(double s0, double s1, int i, int n)
{
	(void)n;
	return i <= 0 ? s0 : s1;
}

static double at_linear(double s0, double s1, int i, int n)
{
	if (i <= 0)
		return s0;
	return i >= n ? s1 : s0 + (s1 - s0) * i / n;
}

static double at_cubic(double s0, double s1, int i, int n)
{
	double left = 1.0 - (double)i / n;

	if (i <= 0)
		return s0;
	return i >= n ? s1 : s1 + (s0 - s1) * left * left * left;
}

static double at_exponential(double s0, double s1, int i, int n)
{
	if (i <= 0)
		return s0;
	return i >= n ? s1 : 1.0 - (1.0 - s0) * pow((1.0 - s1) / (1.0 - s0), (double)i / n);
}

const struct pare_sparsity_schedule pare_schedule_table[] = {
    {.name = "one_shot", .at = at_one_shot},
    {.name = "linear", .at = at_linear},
    {.name = "cubic", .at = at_cubic},
    {.name = "exponential", .at = at_exponential},
    {.name = NULL},
};

const struct pare_sparsity_schedule *pare_schedule_find(const char *name)
{
	for (const struct pare_sparsity_schedule *s = pare_schedule_table; s->name != NULL; s++)
		if (strcmp(s->name, name) == 0)
			return s;
	return NULL;
}
