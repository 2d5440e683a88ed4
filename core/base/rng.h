/* Random numbers that are the same on every machine: xoshiro256** (Blackman and Vigna, 2018), seeded by splitmix64.
 * Every use draws from a stream of its own, named by a purpose ("init", "split", "shuffle", "dropout", "prune"), so
 * that adding a draw in one place does not change another. */
#ifndef PARE_BASE_RNG_H
#define PARE_BASE_RNG_H

#include <stdint.h>

struct pare_rng {
	uint64_t s[4];
};

/* A stream for (seed, purpose, index); equal arguments give equal streams. */
void pare_rng_init(struct pare_rng *r, uint64_t seed, const char *purpose, uint64_t index);
uint64_t pare_rng_u64(struct pare_rng *r);
/* Uniform in [0, n), unbiased (Lemire 2019); n > 0. */
uint64_t pare_rng_below(struct pare_rng *r, uint64_t n);
/* Uniform in [0, 1) with 24 bits: exact in float. */
float pare_rng_uniform(struct pare_rng *r);
/* Standard normal (Box-Muller, one of the pair is used). */
double pare_rng_normal(struct pare_rng *r);
/* Fisher-Yates over idx[0..n). */
void pare_rng_shuffle(struct pare_rng *r, uint32_t *idx, uint32_t n);

#endif
