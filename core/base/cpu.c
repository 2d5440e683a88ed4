/* OpenBLAS goes by the model number of the processor. A number that came after its release is a processor of 2005 to it: OpenBLAS 0.3.21 of
 * Debian 12 computes with SSE3 on an Emerald Rapids, which made training 3.7 times slower there. What matters are the instructions, so those are
 * asked for, and the core whose code needs no others is named. It has to be in the environment when the library is loaded: whoever starts an
 * engine puts it there.
 *
 * Denormal numbers take a hundred cycles each. Training makes them by the million where units die: the moments of Adam fall by a tenth a step and stay at
 * the least denormal for ever, because a tenth of it rounds to nothing. A LeNet-5 that SNIP had pruned to 1 % took 44 s an epoch instead of 8. */
#include "core/base/cpu.h"

#include <unistd.h>

#include <stddef.h>
#if defined(__x86_64__)
#include <xmmintrin.h>
#endif

const char *pare_cpu_blas(void)
{
#if defined(__x86_64__)
	if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512cd"))
		return "OPENBLAS_CORETYPE=SkylakeX";
	if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"))
		return "OPENBLAS_CORETYPE=Haswell";
#endif
	return NULL;
}

void pare_cpu_flush_denormals(void)
{
#if defined(__x86_64__)
	_mm_setcsr(_mm_getcsr() | 0x8040); /* results (FTZ) and operands (DAZ) */
#elif defined(__aarch64__)
	unsigned long control;

	__asm__ volatile("mrs %0, fpcr" : "=r"(control));
	__asm__ volatile("msr fpcr, %0" : : "r"(control | (1ul << 24))); /* FZ */
#endif
}

long pare_cpu_first_cache(void)
{
	long bytes = sysconf(_SC_LEVEL1_DCACHE_SIZE);

	return bytes >= 16384 ? bytes : 32768;
}
