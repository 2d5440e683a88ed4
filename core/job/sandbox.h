/* What a worker gives up before it parses a byte from outside. Needs no privileges and cannot be undone. */
#ifndef PARE_JOB_SANDBOX_H
#define PARE_JOB_SANDBOX_H

#include <stddef.h>
#include <stdint.h>

#include "core/base/err.h"

#define PARE_SANDBOX_TEXT_MAX 64

/* no_new_privs, Landlock without a single rule (where the kernel has it), the seccomp allow-list. A forbidden system call ends
 * the process by SIGSYS. text says what is active: "landlock+seccomp+rlimits". In builds with PARE_SANITIZED both are left
 * out (the sanitizers' run time opens files and forks) and the text says so. PARE_E_SANDBOX when the kernel refuses. */
PARE_MUST_USE enum pare_code pare_sandbox_enter(char text[PARE_SANDBOX_TEXT_MAX], struct pare_err *err);

/* Memory and processor time; 0: no limit. Memory is what the process writes (heap, stacks) beside own_bytes, which the engine has set apart
 * for itself: files of mapped_bytes that are mapped read-only do not count, since the kernel can take their pages back. May only
 * be lowered later, so a worker calls it once. At the end of cpu_seconds the process gets SIGXCPU. Without effect on memory in builds with PARE_SANITIZED (shadow memory is larger than any limit). */
PARE_MUST_USE enum pare_code pare_sandbox_limits(int64_t memory_bytes, int64_t own_bytes, int64_t mapped_bytes, int64_t cpu_seconds, struct pare_err *err);

#endif
