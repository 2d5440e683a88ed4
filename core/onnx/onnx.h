/* ONNX files: bytes to model and back. core/onnx/ is the only place that knows protobuf and the ONNX schema.
 *
 * The reader is bounded: messages nest at most 64 deep (some 20 subgraphs), counts and allocations are limited to a small multiple of the
 * file (16 times plus 1 MiB), and nothing is copied that can be pointed at. Any byte string gives a model or an error
 * with the byte offset; never a crash. Source: onnx.proto of ONNX 1.23 (IR 14) and the protobuf encoding guide.
 *
 * Only the main graph becomes nodes and values; calls of model-local functions are replaced by the functions' nodes. Subgraphs
 * and training information are checked for form and carried. A sparse initializer defines its name, with producer -1, no init and not is_input: nothing can compute with it. */
#ifndef PARE_ONNX_ONNX_H
#define PARE_ONNX_ONNX_H

#include "core/base/buf.h"
#include "core/base/err.h"
#include "core/graph/graph.h"
#include "core/graph/rewrite.h"

/* Reads a model over file (kept alive by the caller). Errors: PARE_E_SYNTAX (not protobuf, or not a ModelProto: where is
 * "byte N"), PARE_E_MODEL (a graph that contradicts itself: where names the node or tensor), PARE_E_LIMIT, PARE_E_NOMEM. */
PARE_MUST_USE enum pare_code pare_onnx_read(struct pare_span file, struct pare_model **out, struct pare_err *err);

/* Reads a model to train or prune it: as pare_onnx_read, but weights in Constant nodes are initializers (core/graph/lift.h). Where there
 * are any, the model stands over *own, the file rewritten, which lives as long as the model does; else *own stays empty. own is
 * pare_buf_done by the caller in any case. */
PARE_MUST_USE enum pare_code pare_onnx_open(struct pare_span file, struct pare_buf *own, struct pare_model **out, struct pare_err *err);

/* Appends the model's file to out, with every replaced initializer in the place of the old one (as raw_data) and every
 * other byte as it came. */
PARE_MUST_USE enum pare_code pare_onnx_write(const struct pare_model *m, struct pare_buf *out, struct pare_err *err);

/* Appends the model's file with a changed graph (and replaced initializers, as above): nodes, initializers and value_info that
 * the rewrite does not name, and everything outside the graph, leave byte for byte. */
PARE_MUST_USE enum pare_code pare_onnx_rewrite(const struct pare_model *m, const struct pare_rewrite *rw, struct pare_buf *out, struct pare_err *err);

#endif
