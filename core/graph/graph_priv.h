/* What core/graph and core/onnx share about changed initializers. */
#ifndef PARE_GRAPH_GRAPH_PRIV_H
#define PARE_GRAPH_GRAPH_PRIV_H

#include "core/graph/graph.h"

/* New values of one initializer in its own dtype, little-endian; its tensor's raw span points here from then on, while
 * its wire span still says where the old one stands in the file. */
struct pare_init_patch {
	size_t n_bytes;
	uint8_t bytes[];
};

/* A name as it may stand in a message: at most 60 bytes, cut between characters, control characters as '?'. */
#define PARE_NAME_SHOWN 64
const char *pare_name_shown(const char *name, char out[PARE_NAME_SHOWN]);

/* Round to nearest even; *finite_lost is set when a finite value becomes an infinity. */
uint16_t pare_half_from_float(float f, bool *finite_lost);
uint16_t pare_bfloat_from_float(float f, bool *finite_lost);
float pare_bfloat_to_float(uint16_t h);

#endif
