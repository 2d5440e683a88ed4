/* OpenBLAS goes by the model number of the processor. A number that came after its release is a processor of 2005 to it: OpenBLAS 0.3.21 of
 * Debian 12 computes with SSE3 on an Emerald Rapids, which made training 3.7 times slower there. What matters are the instructions, so those are
 * asked for, and the core whose code needs no others is named. It has to be in the environment when the library is loaded: whoever starts an
 * engine puts it there. */
#include "core/base/cpu.h"

#include <stddef.h>

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
