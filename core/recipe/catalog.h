/* The catalog: every step, criterion, schedule, regularizer, optimizer, loss and output that a recipe may name, with typed
 * parameters, bounds, defaults and one line of documentation each. One set of tables; the recipe checker, GET /v1/methods
 * and the documents follow from it. The engine keeps the code of a method in a table of its own, found by name;
 * tests/core checks that the two tables name the same methods. */
#ifndef PARE_RECIPE_CATALOG_H
#define PARE_RECIPE_CATALOG_H

#include <stdbool.h>
#include <stddef.h>

enum pare_method_kind {
	PARE_KIND_JOB,        /* the one top-level object; its parameters are the fields of a job */
	PARE_KIND_STEP,       /* train, prune, evaluate */
	PARE_KIND_CRITERION,  /* magnitude, random */
	PARE_KIND_SCHEDULE,   /* of sparsity: one_shot, linear, cubic */
	PARE_KIND_LR,         /* of the learning rate: constant, step, cosine … */
	PARE_KIND_REGULARIZER,/* l1 (proximal), l2 … */
	PARE_KIND_NOISE,      /* on weights while they train: variational, l0 */
	PARE_KIND_OPTIMIZER,  /* sgd, adam … */
	PARE_KIND_LOSS,       /* cross_entropy, mse … */
	PARE_KIND_OBJECT,     /* helper objects: data, limits, require, recover */
	PARE_N_KINDS
};

enum pare_param_type {
	PARE_PARAM_NUMBER,  /* finite double */
	PARE_PARAM_INTEGER, /* |v| <= 2^53 */
	PARE_PARAM_BOOL,
	PARE_PARAM_STRING,
	PARE_PARAM_ENUM,    /* a string out of choices[] */
	PARE_PARAM_STRINGS, /* list of strings */
	PARE_PARAM_METHOD,  /* {"name": …, parameters}, or just the name; the method is of kind `of` */
	PARE_PARAM_METHODS, /* a list of such, or just one of them */
	PARE_PARAM_OBJECT,  /* parameters of the one method named object */
	PARE_PARAM_STEPS,   /* list of {"train": {...}} … */
	PARE_PARAM_INTEGERS,/* list of integers within the bounds */
	PARE_PARAM_NUMBERS, /* list of numbers within the bounds */
	PARE_PARAM_OBJECTS, /* list of objects of the one method named object */
	PARE_PARAM_LABELS,  /* object of strings; kept as lines "key=value", sorted */
	PARE_PARAM_PARAMS   /* values for the parameters of a named recipe; consumed when the name is resolved */
};

struct pare_param {
	const char *name;
	enum pare_param_type type;
	const char *doc; /* one line */
	bool required;
	/* bounds of NUMBER and INTEGER; open_* excludes the bound itself; min == max == 0: unbounded */
	double min, max;
	bool open_min, open_max;
	double def;              /* NUMBER, INTEGER, BOOL */
	bool has_default;        /* else: absent unless given */
	const char *def_text;    /* STRING, ENUM, METHOD; STRINGS: separated by commas; OBJECT: "{}", all its defaults */
	const char *const *choices; /* ENUM, STRINGS: NULL-terminated */
	enum pare_method_kind of;   /* METHOD, METHODS */
	const char *object;         /* OBJECT, OBJECTS: name of a method of PARE_KIND_OBJECT */
	size_t max_items;        /* INTEGERS, NUMBERS, OBJECTS, METHODS, LABELS: at least 1, at most this many */
	bool beside;             /* says nothing of the work: checked with the job, kept beside its text (canonical.c leaves it out) */
	const char *group;       /* of the parameters with one group name exactly one must be given (sparsity | threshold) */
};

struct pare_method {
	enum pare_method_kind kind;
	const char *name;
	const char *doc;    /* one line */
	const char *source; /* paper, or NULL */
	const struct pare_param *params; /* ends with a row whose name is NULL; may be NULL */
};

extern const struct pare_method pare_catalog[]; /* ends with a row whose name is NULL */
const struct pare_method *pare_catalog_find(enum pare_method_kind kind, const char *name);
/* Does a criterion score channels and heads only? */
bool pare_catalog_of_structures(const struct pare_method *criterion);
/* Does a criterion score weights by nothing but the weights? */
bool pare_catalog_of_weights_alone(const struct pare_method *criterion);
const char *pare_kind_name(enum pare_method_kind kind); /* "criterion" … as GET /v1/methods says it */
/* The nearest name (edit distance at most a third of its length) among methods of a kind, or parameters of a method; NULL if none. */
const char *pare_catalog_nearest_method(enum pare_method_kind kind, const char *name);
const char *pare_catalog_nearest_param(const struct pare_method *m, const char *name);

#endif
