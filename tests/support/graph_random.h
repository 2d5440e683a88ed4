/* Random graphs of the kinds that structures are taken out of: images with every way in which channels can be coupled, and
 * sequences with attention, gates and recurrent layers. The same seed gives the same graph and weights. */
#ifndef TESTS_SUPPORT_GRAPH_RANDOM_H
#define TESTS_SUPPORT_GRAPH_RANDOM_H

#include <stdbool.h>

#include "tests/support/graph_builder.h"

/* One input "x", one output "y" of [N, 5]. Odd seeds: images [N, c, 8, 8]; even ones: sequences [N, s, d]. open: height, width and s could be left open; most
 * graphs ask the input for them. gb_free. */
struct gb *graph_random(uint64_t seed, bool open);

#endif
