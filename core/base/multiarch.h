/* PARE_MULTIARCH before a function: gcc makes a copy of it for each instruction set and the loader picks the best one
 * that the machine has. Empty under sanitizers (the loader's resolvers would run before the sanitizer is ready) and with
 * other compilers, where the same loops run with the baseline instructions. */
#ifndef PARE_BASE_MULTIARCH_H
#define PARE_BASE_MULTIARCH_H

#include <stddef.h>
#include <stdint.h>

#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__) && !defined(PARE_SANITIZED)
#define PARE_MULTIARCH __attribute__((target_clones("avx512f", "avx2", "default")))
#else
#define PARE_MULTIARCH
#endif

/* PARE_LANES before a loop: its passes are independent, also where arrays are the same one (element i is read before it is
 * written), so the compiler need not ask at run time whether they overlap, and give up when they do. */
#if defined(__GNUC__) && !defined(__clang__)
#define PARE_LANES _Pragma("GCC ivdep")
#else
#define PARE_LANES
#endif

/* Loops over floats that come from memory and have much done to them go piece by piece, and ask before each for what comes a little later: the
 * processor does not get to the next lines in time by itself, and stops reading whenever a block goes through another loop. Half of the gradient of
 * gelu in a ViT, a fifth of a selection among 10^8 weights. */
#define PARE_PIECE ((size_t)64)
static inline void pare_ask_ahead(const float *x)
{
	for (size_t i = 0; i < PARE_PIECE; i += 16)
		__builtin_prefetch((const void *)((uintptr_t)x + (4 * PARE_PIECE + i) * sizeof *x)); /* perhaps past the end */
}

#endif
