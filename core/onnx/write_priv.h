/* What copying a file with new values (write.c) and with a new graph (rewrite.c) share. */
#ifndef PARE_ONNX_WRITE_PRIV_H
#define PARE_ONNX_WRITE_PRIV_H

#include "core/graph/graph_priv.h"
#include "core/onnx/wire.h"

/* Is it a field of TensorProto that holds values, or says where they are? */
bool pare_onnx_holds_values(uint32_t number);
/* The field of an initializer, with the patch's values in the place of its own. */
void pare_onnx_put_patched(struct pare_buf *out, const uint8_t *file, const struct pare_field *f, const struct pare_init_patch *patch);

#endif
