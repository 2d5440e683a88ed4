/* Hints over the catalog; what "near" means stands in core/base/nearest.c. */
#include "core/base/nearest.h"
#include "core/recipe/catalog.h"

const char *pare_catalog_nearest_method(enum pare_method_kind kind, const char *name)
{
	struct pare_nearest s;

	pare_nearest_init(&s, name);
	for (const struct pare_method *m = pare_catalog; m->name != NULL; m++)
		if (m->kind == kind)
			pare_nearest_try(&s, m->name);
	return s.best;
}

const char *pare_catalog_nearest_param(const struct pare_method *m, const char *name)
{
	struct pare_nearest s;

	pare_nearest_init(&s, name);
	for (const struct pare_param *p = m->params; p != NULL && p->name != NULL; p++)
		pare_nearest_try(&s, p->name);
	return s.best;
}
