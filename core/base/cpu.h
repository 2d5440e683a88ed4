/* What a process that computes is told about the processor it runs on. */
#ifndef PARE_BASE_CPU_H
#define PARE_BASE_CPU_H

/* "OPENBLAS_CORETYPE=…" for the environment of a process that links OpenBLAS, or NULL where OpenBLAS may choose. The string is static. */
const char *pare_cpu_blas(void);

#endif
