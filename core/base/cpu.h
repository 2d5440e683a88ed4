/* How a process that computes uses the processor it runs on. */
#ifndef PARE_BASE_CPU_H
#define PARE_BASE_CPU_H

#define PARE_THREADS_MAX 64 /* of a job, and of a net */

/* "OPENBLAS_CORETYPE=…" for the environment of a process that links OpenBLAS, or NULL where OpenBLAS may choose. The string is static. */
const char *pare_cpu_blas(void);

/* Bytes of the first cache for data; 32 KiB where that cannot be found. */
long pare_cpu_first_cache(void);

/* From now on numbers below FLT_MIN are 0 in this thread and in those that it starts. */
void pare_cpu_flush_denormals(void);

#endif
