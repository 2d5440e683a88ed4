/* A model's file, entropy coded: what Deep Compression (Han et al. 2016, arXiv:1510.00149) stores as sparse indices, cluster numbers and
 * Huffman codes, here as one arithmetic-coded stream in which a zero costs a small part of a bit and a shared value its
 * frequency. Exact: unpacking gives the bytes of the ONNX file back, whatever is in it; that it is small comes from zeros, shared values
 * and few-bit integers.
 *
 * Format, version 1, little-endian: "PAREPK" 1 0, the file's length (u64), its CRC-32 (u32), then the stream (pack.c). */
#ifndef PARE_COMPRESS_PACK_H
#define PARE_COMPRESS_PACK_H

#include "core/base/buf.h"
#include "core/base/err.h"
#include "core/graph/graph.h"

#define PARE_PACK_HEADER 20

/* Appends the packed form of file, which m stands over; it was unpacked again and compared before this returns well. */
PARE_MUST_USE enum pare_code pare_model_pack(const struct pare_model *m, struct pare_span file, struct pare_buf *out, struct pare_err *err);
/* Appends the file. out's cap bounds what is made of a hostile input. PARE_E_SYNTAX: not such a file, another version, damaged, cut off or
 * with bytes behind its end; PARE_E_LIMIT: larger than out may get. */
PARE_MUST_USE enum pare_code pare_model_unpack(struct pare_span packed, struct pare_buf *out, struct pare_err *err);

#endif
