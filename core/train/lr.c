/* Learning-rate schedules: a factor on the optimizer's lr, a function of the position in the run alone, so that a
 * resumed run needs no state.
 *
 * step: gamma^floor(epoch / every). cosine: from 1 down to floor along half a cosine (Loshchilov and Hutter 2017,
 * "SGDR", without restarts); the factor moves with every batch, not in jumps at the epochs. */
#include "core/train/train.h"

#include <math.h>
#include <string.h>

static double factor_constant(const struct pare_lr_args *a, double epoch, double progress)
{
	(void)a;
	(void)epoch;
	(void)progress;
	return 1.0;
}

static double factor_step(const struct pare_lr_args *a, double epoch, double progress)
{
	(void)progress;
	return a->every > 0 ? pow(a->gamma, floor(epoch / a->every)) : 1.0;
}

static double factor_cosine(const struct pare_lr_args *a, double epoch, double progress)
{
	(void)epoch;
	return a->floor + (1.0 - a->floor) * 0.5 * (1.0 + cos(3.141592653589793 * progress));
}

const struct pare_lr_schedule pare_lr_table[] = {
    {.name = "constant", .factor = factor_constant},
    {.name = "step", .factor = factor_step},
    {.name = "cosine", .factor = factor_cosine},
    {.name = NULL},
};

const struct pare_lr_schedule *pare_lr_find(const char *name)
{
	for (const struct pare_lr_schedule *s = pare_lr_table; s->name != NULL; s++)
		if (strcmp(s->name, name) == 0)
			return s;
	return NULL;
}
