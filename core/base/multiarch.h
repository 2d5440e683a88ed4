/* PARE_MULTIARCH before a function: gcc makes a copy of it for each instruction set and the loader picks the best one
 * that the machine has. Empty under sanitizers (the loader's resolvers would run before the sanitizer is ready) and with
 * other compilers, where the same loops run with the baseline instructions. */
#ifndef PARE_BASE_MULTIARCH_H
#define PARE_BASE_MULTIARCH_H

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

#endif
