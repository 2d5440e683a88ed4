/* From names to what bears them, where thousands are looked up: an index over texts that others own. */
#ifndef PARE_GRAPH_NAMES_H
#define PARE_GRAPH_NAMES_H

#include "core/graph/graph.h"

struct pare_name {
	struct pare_span text; /* data NULL: free */
	int32_t value;         /* of the graph; -1: none */
	int32_t node;          /* of a rewrite's new nodes, that gives it; -1: none */
	unsigned tried;        /* numbers up to this one are known to be taken behind it */
};
struct pare_names {
	struct pare_name *slots; /* open addressing */
	size_t n, n_slots;       /* a power of two, at least twice n */
};

/* All values of a graph; a name that several bear is the first one's. pare_names_done also after a failure. */
PARE_MUST_USE enum pare_code pare_names_init(struct pare_names *names, const struct pare_graph *g, struct pare_err *err);
void pare_names_done(struct pare_names *names);
/* NULL: nothing bears it. Valid until the next put. */
struct pare_name *pare_names_get(const struct pare_names *names, struct pare_span text);
/* The same, made if there is none; NULL without memory. */
struct pare_name *pare_names_put(struct pare_names *names, struct pare_span text);
/* The value of that name, or -1. */
int32_t pare_names_value(const struct pare_names *names, struct pare_span text);
struct pare_span pare_text_span(const char *text);

#endif
