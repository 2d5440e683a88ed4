/* Attributes of a node to the argument struct of its row, once, at plan time: from there on a kernel reads a member, not
 * a list of names. What a row does not list is an error, because an attribute that is skipped changes the meaning. */
#include "core/ops/args.h"

#include <string.h>

#include "core/graph/graph_priv.h"

static const struct pare_arg_spec *find_spec(const struct pare_op *op, const char *name)
{
	for (const struct pare_arg_spec *s = op->args; s != NULL && s->name != NULL; s++)
		if (strcmp(s->name, name) == 0)
			return s;
	return NULL;
}

static enum pare_attr_type wire_type(enum pare_attr_kind kind)
{
	static const enum pare_attr_type type_table[] = {
	    [PARE_ARG_INT] = PARE_ATTR_INT,       [PARE_ARG_FLOAT] = PARE_ATTR_FLOAT,   [PARE_ARG_INTS] = PARE_ATTR_INTS,
	    [PARE_ARG_FLOATS] = PARE_ATTR_FLOATS, [PARE_ARG_TENSOR] = PARE_ATTR_TENSOR,
	    [PARE_ARG_STRING] = PARE_ATTR_STRING, [PARE_ARG_STRINGS] = PARE_ATTR_STRINGS,
	};

	return type_table[kind];
}

/* An empty list still has an address, so that it differs from an absent one. */
static const int64_t no_ints[1];
static const float no_floats[1];
static const struct pare_span no_strings[1];

static void store(const struct pare_arg_spec *s, const struct pare_attr *a, unsigned char *args)
{
	void *to = args + s->offset;

	switch (s->kind) {
	case PARE_ARG_INT:
		memcpy(to, &a->i, sizeof a->i);
		break;
	case PARE_ARG_FLOAT:
		memcpy(to, &a->f, sizeof a->f);
		break;
	case PARE_ARG_INTS:
		*(struct pare_ints *)to = (struct pare_ints){.v = a->n > 0 ? a->ints : no_ints, .n = a->n};
		break;
	case PARE_ARG_FLOATS:
		*(struct pare_floats *)to = (struct pare_floats){.v = a->n > 0 ? a->floats : no_floats, .n = a->n};
		break;
	case PARE_ARG_TENSOR:
		memcpy(to, &a->t, sizeof a->t);
		break;
	case PARE_ARG_STRING:
		*(struct pare_span *)to = a->s;
		break;
	case PARE_ARG_STRINGS:
		*(struct pare_strings *)to = (struct pare_strings){.v = a->n > 0 ? a->strings : no_strings, .n = a->n};
		break;
	}
}

static void store_default(const struct pare_arg_spec *s, unsigned char *args)
{
	struct pare_attr a = {.i = 0};

	if (s->kind == PARE_ARG_INT)
		a.i = (int64_t)s->def;
	else if (s->kind == PARE_ARG_FLOAT)
		a.f = (float)s->def; /* no integer holds the lowest of them */
	else
		return;
	store(s, &a, args);
}

static enum pare_code check(const struct pare_arg_spec *s, const struct pare_attr *a, const char *where, struct pare_err *err)
{
	double v = s->kind == PARE_ARG_INT ? (double)a->i : (double)a->f;
	bool number = s->kind == PARE_ARG_INT || s->kind == PARE_ARG_FLOAT;

	if (a->type != wire_type(s->kind))
		return pare_err_set(err, PARE_E_MODEL, where, "attribute \"%s\" has the wrong type (%d, it must be %d)", s->name, (int)a->type,
		    (int)wire_type(s->kind));
	if (number && (s->min != 0 || s->max != 0) && !(v >= s->min && v <= s->max))
		return pare_err_set(err, PARE_E_INVALID, where, "attribute \"%s\" is %g, it must be from %g to %g", s->name, v, s->min, s->max);
	return PARE_OK;
}

enum pare_code pare_op_parse_args(const struct pare_op *op, const struct pare_node *node, const char *where, void *args, struct pare_err *err)
{
	enum pare_code code;

	for (const struct pare_arg_spec *s = op->args; s != NULL && s->name != NULL; s++)
		store_default(s, args);
	for (int i = 0; i < node->n_attrs; i++) {
		const struct pare_attr *a = &node->attrs[i];
		const struct pare_arg_spec *s = find_spec(op, a->name);
		char shown[PARE_NAME_SHOWN];

		if (s == NULL)
			return pare_err_set(err, PARE_E_UNSUPPORTED_OP, where, "operator %s is not supported for execution with attribute \"%s\"",
			    op->name, pare_name_shown(a->name, shown));
		code = check(s, a, where, err);
		if (code != PARE_OK)
			return code;
		store(s, a, args);
	}
	for (const struct pare_arg_spec *s = op->args; s != NULL && s->name != NULL; s++)
		if (s->required && pare_node_attr(node, s->name) == NULL)
			return pare_err_set(err, PARE_E_MODEL, where, "attribute \"%s\" is missing", s->name);
	return PARE_OK;
}
