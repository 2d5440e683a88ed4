/* A changed graph as a list of changes to the one in the file: what core/onnx/rewrite.c writes, and all that it can write. The
 * rest of the file goes out byte for byte. Everything lives in the arena, names may point into the model. */
#ifndef PARE_GRAPH_REWRITE_H
#define PARE_GRAPH_REWRITE_H

#include "core/base/mem.h"
#include "core/graph/names.h"
#include "core/graph/shape.h"

struct pare_new_init {
	const char *name;
	int dtype;
	int n_dims;
	int64_t dims[PARE_MAX_DIMS];
	const void *bytes; /* little-endian, as in raw_data */
	size_t n_bytes;
	const struct pare_span *texts; /* PARE_DT_STRING: dims[0] of them in the place of bytes */
};

/* One change of a node. attr not NULL: that attribute is v (a list if is_list), or goes when n is 0. op not NULL: the node becomes that
 * operator of ONNX's own, with so many inputs as `input` says and without attributes; name and outputs stay. Else that input is `name`; NULL: it goes,
 * and those behind it move up, while edits go on calling them by their old numbers. */
struct pare_node_edit {
	int32_t node;
	const char *attr, *op;
	bool is_list;
	const int64_t *v;
	size_t n;
	int input;
	const char *name;
	size_t next; /* the rewrite's own */
};

/* A node that is put in front of another one. */
#define PARE_NEW_INPUTS 6
#define PARE_NEW_MORE 2
#define PARE_NEW_ATTRS 3
#define PARE_NEW_TEXTS 2
#define PARE_NEW_INTS 4
struct pare_new_attr {
	const char *name;
	int64_t value;
	const char *text[PARE_NEW_TEXTS]; /* up to the first NULL; any: a list of texts instead of an integer */
	int64_t ints[PARE_NEW_INTS];      /* n_ints > 0: a list of so many */
	size_t n_ints;
};
struct pare_new_node {
	int32_t before;
	bool instead; /* stays when that one goes */
	const char *op, *in[PARE_NEW_INPUTS], *out; /* inputs up to the first NULL */
	const char *more[PARE_NEW_MORE];            /* further outputs, up to the first NULL */
	struct pare_new_attr attr[PARE_NEW_ATTRS]; /* up to the first without name */
	const struct pare_node *like; /* not NULL: all attributes of that node of the graph instead */
	const char *without; /* not NULL: of those attributes, the one that is left out */
	const struct pare_tensor *constant; /* not NULL: the attribute "value", a tensor of the graph */
	struct pare_span copy; /* data not NULL: a NodeProto of the file instead of all above, but with these names */
	const char *const *copy_in, *const *copy_out; /* "": left out */
	size_t n_copy_in, n_copy_out;
	size_t next; /* the rewrite's own */
};

/* What is changed of one node, or put in front of it. Numbers of edits and nodes begin at 1; 0: none, or the end. */
struct pare_rewrite_node {
	const char **inputs; /* names; NULL: as it is */
	int n_inputs, max_inputs;
	size_t first_edit, last_edit; /* of its operator and attributes, as they came, by next */
	size_t first_new, last_new;   /* of nodes in front of it, likewise */
};

struct pare_rewrite {
	struct pare_arena arena;
	int32_t n_nodes, n_values; /* of the graph */
	bool *drop_node;           /* by node */
	bool *drop_init;           /* by value: the initializer goes */
	const struct pare_new_init **resized; /* by value: the initializer's new dimensions and data; NULL: as it is */
	const struct pare_shape **shapes;     /* by value: what value_info says from now on (but for its batch dimensions); NULL: as it is */
	struct pare_new_init *inits;
	struct pare_node_edit *edits; /* but for those of inputs */
	struct pare_new_node *nodes;
	struct pare_rewrite_node *by_node;
	struct pare_names names; /* of the graph and of what is new; none until the first is asked for */
	size_t n_inits, max_inits, n_edits, max_edits, n_new_nodes, max_new_nodes;
};

PARE_MUST_USE enum pare_code pare_rewrite_init(struct pare_rewrite *rw, const struct pare_model *m, struct pare_err *err);
void pare_rewrite_done(struct pare_rewrite *rw);
/* Copies what they are given, but for names and bytes. */
PARE_MUST_USE enum pare_code pare_rewrite_add_init(struct pare_rewrite *rw, const struct pare_new_init *init, struct pare_err *err);
PARE_MUST_USE enum pare_code pare_rewrite_add_edit(struct pare_rewrite *rw, const struct pare_node_edit *edit, struct pare_err *err);
PARE_MUST_USE enum pare_code pare_rewrite_add_node(struct pare_rewrite *rw, const struct pare_new_node *node, struct pare_err *err);
/* What the node becomes; NULL: it stays what it is. */
const struct pare_node_edit *pare_rewrite_op(const struct pare_rewrite *rw, int32_t node);
/* The last edit of that attribute; NULL: it stays as it is. */
const struct pare_node_edit *pare_rewrite_attr(const struct pare_rewrite *rw, int32_t node, struct pare_span name);
/* The name that input k of a node has after the edits ("" when left out, NULL when it is gone), and how many inputs there are with those that are gone. */
const char *pare_rewrite_input(const struct pare_rewrite *rw, const struct pare_graph *g, int32_t node, int k);
int pare_rewrite_n_inputs(const struct pare_rewrite *rw, const struct pare_graph *g, int32_t node);
/* A name that neither the graph nor the rewrite has yet: base, with a number where it must. NULL without memory. */
const char *pare_rewrite_name(struct pare_rewrite *rw, const struct pare_graph *g, const char *base);
/* Marks what no graph output needs any more: nodes, initializers that are no graph inputs. */
PARE_MUST_USE enum pare_code pare_rewrite_drop_dead(struct pare_rewrite *rw, const struct pare_graph *g, struct pare_err *err);

#endif
