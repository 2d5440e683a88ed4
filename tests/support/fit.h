/* A net and a data set brought together with one loss, for tests that are about something else. */
#ifndef TESTS_SUPPORT_FIT_H
#define TESTS_SUPPORT_FIT_H

#include "core/eval/fit.h"

static inline enum pare_code fit_with(const struct pare_net *net, const struct pare_dataset *d, const char *loss, struct pare_fit *out, struct pare_err *err)
{
	const struct pare_objective o = pare_objective(loss);
	enum pare_code rc = pare_fit_make(net, d, NULL, out, err);

	return rc == PARE_OK ? pare_fit_set_loss(out, NULL, &o, 1, err) : rc;
}

static inline enum pare_code fit_and_eval(struct pare_net *net, const struct pare_dataset *d, enum pare_split split, const char *loss, struct pare_metrics *m,
    struct pare_err *err)
{
	struct pare_fit fit;
	enum pare_code rc = fit_with(net, d, loss, &fit, err);

	return rc == PARE_OK ? pare_eval(net, d, split, &fit, m, err) : rc;
}

#endif
