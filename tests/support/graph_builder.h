/* Builds a struct pare_model in memory, without a file: what tests of the net and the operators run on. Values are named;
 * naming one that does not exist makes it. Wrong use (too many of anything, unknown names) fails an assertion.
 *
 *	struct gb *b = gb_new(17);
 *	gb_input(b, "x", "N 4");
 *	gb_init(b, "w", "3 4", weights);
 *	gb_node(b, "Gemm", "fc1", "x w", "y");
 *	gb_attr_int(b, "transB", 1);
 *	gb_output(b, "y");
 *	pare_net_new(gb_model(b), ...);
 *	gb_free(b);
 */
#ifndef TESTS_SUPPORT_GRAPH_BUILDER_H
#define TESTS_SUPPORT_GRAPH_BUILDER_H

#include "core/graph/graph.h"

struct gb;

struct gb *gb_new(int64_t opset);
void gb_free(struct gb *b);
/* A shape is "2 3 4", "N 4" (open batch) or "" (scalar). */
void gb_input(struct gb *b, const char *name, const char *shape);
void gb_input_typed(struct gb *b, const char *name, const char *shape, int dtype);
void gb_init(struct gb *b, const char *name, const char *shape, const float *data); /* copies; NULL: zeros */
void gb_init_i64(struct gb *b, const char *name, const char *shape, const int64_t *data);
void gb_init_bytes(struct gb *b, const char *name, const char *shape, int dtype, const void *data, size_t n_bytes);
void gb_init_dims(struct gb *b, const char *name, int n_dims, const int64_t *dims, int dtype, const void *data, size_t n_bytes);
/* Inputs and outputs are names with a blank between; "-" leaves one out. */
void gb_node(struct gb *b, const char *op, const char *name, const char *in, const char *out);
/* Attributes of the last node. */
void gb_attr_int(struct gb *b, const char *name, int64_t v);
void gb_attr_float(struct gb *b, const char *name, float v);
void gb_attr_ints(struct gb *b, const char *name, const int64_t *v, size_t n);
void gb_attr_floats(struct gb *b, const char *name, const float *v, size_t n);
void gb_attr_string(struct gb *b, const char *name, const char *text);
void gb_attr_strings(struct gb *b, const char *name, const char *const *texts, size_t n);
/* The tensor is an initializer made before, under that name. */
void gb_attr_tensor(struct gb *b, const char *name, const char *init);
/* The domain of the last node. */
void gb_domain(struct gb *b, const char *domain);
void gb_import(struct gb *b, const char *domain, int64_t version);
void gb_output(struct gb *b, const char *name);
/* Valid until gb_free; do not add to it afterwards. */
struct pare_model *gb_model(struct gb *b);

#endif
