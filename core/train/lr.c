/* Learning-rate schedules: a factor on the optimizer's lr, a function of the position in the run alone, so that a
 * resumed run needs no state. Positions are counted after the warm-up, which goes before any of them: a straight line up to
 * where the schedule starts.
 *
 * step: gamma^floor(epoch / every). exponential: gamma^epoch. cosine: from 1 down to floor along half a cosine (Loshchilov and
 * Hutter 2017, "SGDR", without restarts). one_cycle: half a cosine up from 1 / div to 1 over the first `peak` of the steps, then half a
 * cosine down to 1 / (div final_div) (Smith and Topin 2018; steps as PyTorch's OneCycleLR counts them). All but step move
 * with every batch, not in jumps at the epochs. */
#include "core/train/train.h"

#include <math.h>
#include <string.h>

#define PI 3.141592653589793

static double factor_constant(const struct pare_lr_args *a, const struct pare_lr_point *p)
{
	(void)a;
	(void)p;
	return 1.0;
}

static double factor_step(const struct pare_lr_args *a, const struct pare_lr_point *p)
{
	return a->every > 0 ? pow(a->gamma, floor(p->epoch / a->every)) : 1.0;
}

static double factor_exponential(const struct pare_lr_args *a, const struct pare_lr_point *p)
{
	return pow(a->gamma, p->epoch);
}

/* Half a cosine from one value to another; x in [0, 1]. */
static double half_cosine(double from, double to, double x)
{
	return to + (from - to) * 0.5 * (1.0 + cos(PI * x));
}

static double factor_cosine(const struct pare_lr_args *a, const struct pare_lr_point *p)
{
	return half_cosine(1.0, a->floor, (double)p->step / (double)p->n_steps);
}

static double factor_one_cycle(const struct pare_lr_args *a, const struct pare_lr_point *p)
{
	double up = a->peak * (double)p->n_steps - 1, down = (double)p->n_steps - 1 - up, step = (double)p->step;

	if (step < up)
		return half_cosine(1 / a->div, 1, step / up);
	return half_cosine(1, 1 / (a->div * a->final_div), down > 0 ? (step - up) / down : 0);
}

const struct pare_lr_schedule pare_lr_table[] = {
    {.name = "constant", .factor = factor_constant},
    {.name = "step", .factor = factor_step},
    {.name = "exponential", .factor = factor_exponential},
    {.name = "cosine", .factor = factor_cosine},
    {.name = "one_cycle", .factor = factor_one_cycle},
    {.name = NULL},
};

const struct pare_lr_schedule *pare_lr_find(const char *name)
{
	for (const struct pare_lr_schedule *s = pare_lr_table; s->name != NULL; s++)
		if (strcmp(s->name, name) == 0)
			return s;
	return NULL;
}

double pare_lr_at(const struct pare_train_options *opt, int64_t step, int64_t epoch_steps)
{
	int64_t all = opt->epochs * epoch_steps, warm = llround(opt->warmup * (double)epoch_steps);
	struct pare_lr_point p = {.n_steps = all > warm ? all - warm : 1};
	double ramp = 1;

	if (step < warm)
		ramp = (double)(step + 1) / (double)(warm + 1);
	else
		p.step = step - warm;
	p.epoch = (double)p.step / (double)epoch_steps;
	return opt->optimizer_args.lr * ramp * opt->lr_schedule->factor(&opt->lr_args, &p);
}
