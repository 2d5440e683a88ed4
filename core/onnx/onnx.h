/* ONNX files: bytes to model and back. core/onnx/ is the only place that knows protobuf and the ONNX schema.
 *
 * The reader is bounded: messages nest at most 64 deep (some 20 subgraphs), counts and allocations are limited to a small multiple of the
 * file (16 times plus 1 MiB), and nothing is copied that can be pointed at. Any byte string gives a model or an error
 * with the byte offset; never a crash. Source: onnx.proto of ONNX 1.23 (IR 14) and the protobuf encoding guide.
 *
 * Only the main graph becomes nodes and values; calls of model-local functions are replaced by the functions' nodes. Subgraphs
 * and training information are checked for form and carried; the weights in them are found by pare_onnx_inventory. A sparse initializer defines its name, with producer -1, no init and not is_input: nothing can compute with it. */
#ifndef PARE_ONNX_ONNX_H
#define PARE_ONNX_ONNX_H

#include "core/base/buf.h"
#include "core/base/err.h"
#include "core/graph/graph.h"
#include "core/graph/rewrite.h"
#include "core/graph/weights.h"

/* Reads a model over file (kept alive by the caller). Errors: PARE_E_SYNTAX (not protobuf, or not a ModelProto: where is
 * "byte N"), PARE_E_MODEL (a graph that contradicts itself: where names the node or tensor), PARE_E_LIMIT, PARE_E_NOMEM. */
PARE_MUST_USE enum pare_code pare_onnx_read(struct pare_span file, struct pare_model **out, struct pare_err *err);

/* Reads a model to train or prune it: as pare_onnx_read, but weights in Constant nodes are initializers, layers that share a tensor only because their parameters
 * were equal have their own (core/graph/lift.h), Loops that are recurrent layers are GRU and RNN (loop.c), an If whose condition follows from shapes is its branch (branch.c), and initializers whose values are external
 * have them: they are like any other in memory, while pare_onnx_write leaves them where they were unless they are replaced. Where anything had to be changed, the model stands
 * over *own, the file rewritten; else *own stays empty. own, which is pare_buf_done by the caller in any case, and the files live as long as the model does. Errors as of
 * pare_onnx_read, and of pare_onnx_inventory for external data. */
PARE_MUST_USE enum pare_code pare_onnx_open(struct pare_span file, const struct pare_side_file *files, int n_files, struct pare_buf *own, struct pare_model **out,
    struct pare_err *err);

/* The floating-point tensors of a model that has been read and of the data files beside it (in subgraphs and functions, too), and who reads
 * them; out is pare_inventory_done by the caller. PARE_E_MODEL, naming the tensor, where external data are missing, in a directory, past the end
 * of their file or overlapping; PARE_E_LIMIT. */
PARE_MUST_USE enum pare_code pare_onnx_inventory(const struct pare_model *m, const struct pare_side_file *files, int n_files, struct pare_inventory *out, struct pare_err *err);

/* Moves those values into the model's own file: *m stands over *own from then on, which is as of pare_onnx_open. After an error *m may be NULL. */
PARE_MUST_USE enum pare_code pare_onnx_gather(struct pare_model **m, struct pare_buf *own, struct pare_err *err);

/* Gives initializers of a model that was read whose values are external those values, as pare_onnx_open does. Errors as of pare_onnx_inventory. */
PARE_MUST_USE enum pare_code pare_onnx_attach(struct pare_model *m, const struct pare_side_file *files, int n_files, struct pare_err *err);

/* Writes file number `file` of the model anew (0: the model itself) in pieces, from start to end: its bytes, and zeros for what keep says
 * is not kept. keep fills room for weights [first, first + n) of tensor p, or returns NULL for all; the sink must not fail silently.
 * In the model's file the metadata whose keys begin with "pare." are replaced by entries (NULL: none). */
struct pare_onnx_entry {
	const char *key, *value;
};
struct pare_onnx_copy {
	struct pare_span bytes; /* of the file */
	int file;
	const struct pare_inventory *v; /* NULL: no weights to look after */
	const uint8_t *(*keep)(void *ctx, int p, size_t first, size_t n, uint8_t *room);
	const struct pare_onnx_entry *entries; /* ends with key NULL */
	enum pare_code (*put)(void *ctx, const void *bytes, size_t n, struct pare_err *err);
	void *ctx;
};
PARE_MUST_USE enum pare_code pare_onnx_copy(const struct pare_onnx_copy *c, struct pare_err *err);

/* Appends the model's file to out, with every replaced initializer in the place of the old one (as raw_data) and every
 * other byte as it came. */
PARE_MUST_USE enum pare_code pare_onnx_write(const struct pare_model *m, struct pare_buf *out, struct pare_err *err);

/* Appends the model's file with a changed graph (and replaced initializers, as above): nodes, initializers and value_info that
 * the rewrite does not name, and everything outside the graph, leave byte for byte. */
PARE_MUST_USE enum pare_code pare_onnx_rewrite(const struct pare_model *m, const struct pare_rewrite *rw, struct pare_buf *out, struct pare_err *err);

#endif
