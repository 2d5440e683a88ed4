/* Three walls, each enough by itself against the usual attack on a parser:
 *   seccomp   an allow-list of system calls; open, socket, execve, fork, ptrace and everything else ends the process;
 *   Landlock  no path can be opened, created or executed, no port connected, no outside process signalled;
 *   rlimits   memory, processor time, no core dumps, no more descriptors.
 *
 * Rejected: namespaces and chroot (they need privileges or user namespaces, which containers often forbid) and a deny-list
 * (it is out of date with the next kernel).
 *
 * Details that matter:
 * - clone3 passes its flags in memory, where a filter cannot look: it fails with ENOSYS and glibc falls back to clone,
 *   which is allowed with CLONE_THREAD only.
 * - mmap and mprotect are allowed without PROT_EXEC: no new code can be loaded or written. Shared memory without a file is refused, because
 *   the limit of memory (RLIMIT_DATA: what is private and writable) would not count it.
 * - mbind fails with ENOSYS, as on a kernel without NUMA: OpenBLAS asks for it and lives without.
 * - newfstatat fails with EPERM instead of killing: C library code may ask for the type of a descriptor and can live without.
 * - The headers of the build machine may be older than the kernel, so the Landlock structure is our own and as many of its fields are
 *   used as the kernel's ABI version has; the size tells the kernel which. */
#include "core/job/sandbox.h"

#include <errno.h>
#include <seccomp.h>
#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#ifndef PARE_SANITIZED
/* --- Landlock */

#define SYS_LANDLOCK_CREATE 444
#define SYS_LANDLOCK_RESTRICT 446
#define LANDLOCK_VERSION_FLAG 1u

struct landlock_attr {
	uint64_t access_fs;  /* ABI 1 */
	uint64_t access_net; /* ABI 4: bind, connect */
	uint64_t scoped;     /* ABI 6: abstract sockets, signals */
};

/* All rights of the file system that an ABI knows: bits are only ever added. */
static uint64_t landlock_fs_rights(long abi)
{
	static const int n_bits[] = {0, 13, 14, 15, 15, 16};
	long row = abi < 5 ? abi : 5;

	return ((uint64_t)1 << n_bits[row]) - 1;
}

static bool enter_landlock(void)
{
	struct landlock_attr attr = {0};
	long abi = syscall(SYS_LANDLOCK_CREATE, NULL, (size_t)0, LANDLOCK_VERSION_FLAG);
	size_t size = abi >= 6 ? 24 : abi >= 4 ? 16 : 8;
	long fd, r;

	if (abi < 1)
		return false;
	attr.access_fs = landlock_fs_rights(abi);
	attr.access_net = abi >= 4 ? 3 : 0;
	attr.scoped = abi >= 6 ? 3 : 0;
	fd = syscall(SYS_LANDLOCK_CREATE, &attr, size, 0u);
	if (fd < 0)
		return false;
	r = syscall(SYS_LANDLOCK_RESTRICT, (int)fd, 0u);
	(void)close((int)fd);
	return r == 0;
}

/* --- seccomp */

static const int allowed_table[] = {
    /* memory */
    SCMP_SYS(brk), SCMP_SYS(munmap), SCMP_SYS(mremap), SCMP_SYS(madvise),
    /* descriptors that are open already */
    SCMP_SYS(read), SCMP_SYS(pread64), SCMP_SYS(readv), SCMP_SYS(write), SCMP_SYS(writev), SCMP_SYS(lseek), SCMP_SYS(close),
    SCMP_SYS(sendmsg), SCMP_SYS(recvmsg), SCMP_SYS(sendto), SCMP_SYS(recvfrom),
    /* threads */
    SCMP_SYS(futex), SCMP_SYS(set_robust_list), SCMP_SYS(rseq), SCMP_SYS(sched_yield), SCMP_SYS(sched_getaffinity), SCMP_SYS(gettid),
    SCMP_SYS(getpid), SCMP_SYS(set_tid_address), SCMP_SYS(restart_syscall), SCMP_SYS(exit), SCMP_SYS(exit_group),
    /* glibc's qsort asks how much memory there is before it sorts more than a kilobyte */
    SCMP_SYS(sysinfo),
    /* clocks and chance */
    SCMP_SYS(clock_gettime), SCMP_SYS(gettimeofday), SCMP_SYS(clock_nanosleep), SCMP_SYS(nanosleep), SCMP_SYS(getrandom),
    /* signals to itself */
    SCMP_SYS(rt_sigaction), SCMP_SYS(rt_sigprocmask), SCMP_SYS(rt_sigreturn), SCMP_SYS(sigaltstack),
};

static int add_conditional(scmp_filter_ctx f)
{
	const scmp_datum_t exec = PROT_EXEC, kind = MAP_SHARED | MAP_ANONYMOUS, thread = CLONE_THREAD | CLONE_VM, self = (scmp_datum_t)getpid();
	int r;

	if ((r = seccomp_rule_add(f, SCMP_ACT_ALLOW, SCMP_SYS(mmap), 2, SCMP_A2(SCMP_CMP_MASKED_EQ, exec, 0), SCMP_A3(SCMP_CMP_MASKED_EQ, kind, 0))) != 0 ||
	    (r = seccomp_rule_add(f, SCMP_ACT_ALLOW, SCMP_SYS(mmap), 2, SCMP_A2(SCMP_CMP_MASKED_EQ, exec, 0), SCMP_A3(SCMP_CMP_MASKED_EQ, kind, MAP_SHARED))) != 0 ||
	    (r = seccomp_rule_add(f, SCMP_ACT_ALLOW, SCMP_SYS(mmap), 2, SCMP_A2(SCMP_CMP_MASKED_EQ, exec, 0), SCMP_A3(SCMP_CMP_MASKED_EQ, kind, MAP_ANONYMOUS))) != 0 ||
	    (r = seccomp_rule_add(f, SCMP_ACT_ALLOW, SCMP_SYS(mprotect), 1, SCMP_A2(SCMP_CMP_MASKED_EQ, exec, 0))) != 0 ||
	    (r = seccomp_rule_add(f, SCMP_ACT_ALLOW, SCMP_SYS(clone), 1, SCMP_A0(SCMP_CMP_MASKED_EQ, thread, thread))) != 0 ||
	    (r = seccomp_rule_add(f, SCMP_ACT_ALLOW, SCMP_SYS(tgkill), 1, SCMP_A0(SCMP_CMP_EQ, self, 0))) != 0 ||
	    (r = seccomp_rule_add(f, SCMP_ACT_ALLOW, SCMP_SYS(prlimit64), 1, SCMP_A0(SCMP_CMP_EQ, 0, 0))) != 0 ||
	    (r = seccomp_rule_add(f, SCMP_ACT_ERRNO(ENOSYS), SCMP_SYS(clone3), 0)) != 0 ||
	    (r = seccomp_rule_add(f, SCMP_ACT_ERRNO(ENOSYS), SCMP_SYS(mbind), 0)) != 0)
		return r;
	return seccomp_rule_add(f, SCMP_ACT_ERRNO(EPERM), SCMP_SYS(newfstatat), 0);
}

static enum pare_code enter_seccomp(struct pare_err *err)
{
	scmp_filter_ctx f = seccomp_init(SCMP_ACT_KILL_PROCESS);
	int r = f != NULL ? 0 : -ENOMEM;

	for (size_t i = 0; i < sizeof allowed_table / sizeof allowed_table[0] && r == 0; i++)
		r = seccomp_rule_add(f, SCMP_ACT_ALLOW, allowed_table[i], 0);
	if (r == 0)
		r = add_conditional(f);
	if (r == 0)
		r = seccomp_load(f);
	seccomp_release(f);
	return r == 0 ? PARE_OK : pare_err_set(err, PARE_E_SANDBOX, NULL, "the system call filter cannot be loaded: %s", strerror(-r));
}
#endif

/* --- limits */

static const rlim_t file_max = (rlim_t)64 << 30; /* bytes of a file that it writes */

static enum pare_code set_limit(__rlimit_resource_t what, const char *name, rlim_t soft, rlim_t hard, struct pare_err *err)
{
	struct rlimit now, want = {soft, hard};

	if (getrlimit(what, &now) != 0)
		return pare_err_errno(err, errno, name);
	if (now.rlim_max < want.rlim_max)
		want.rlim_max = now.rlim_max;
	if (want.rlim_max < want.rlim_cur)
		want.rlim_cur = want.rlim_max;
	return setrlimit(what, &want) == 0 ? PARE_OK : pare_err_errno(err, errno, name);
}

enum pare_code pare_sandbox_enter(char text[PARE_SANDBOX_TEXT_MAX], struct pare_err *err)
{
	enum pare_code code;

	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0)
		return pare_err_errno(err, errno, "no_new_privs");
	if ((code = set_limit(RLIMIT_CORE, "RLIMIT_CORE", 0, 0, err)) != PARE_OK ||
	    (code = set_limit(RLIMIT_FSIZE, "RLIMIT_FSIZE", file_max, file_max, err)) != PARE_OK ||
	    (code = set_limit(RLIMIT_NOFILE, "RLIMIT_NOFILE", 256, 256, err)) != PARE_OK)
		return code;
#ifdef PARE_SANITIZED
	(void)snprintf(text, PARE_SANDBOX_TEXT_MAX, "rlimits (sanitized build: no landlock, no seccomp)");
#else
	(void)snprintf(text, PARE_SANDBOX_TEXT_MAX, "%sseccomp+rlimits", enter_landlock() ? "landlock+" : "");
	code = enter_seccomp(err);
#endif
	return code;
}

enum pare_code pare_sandbox_limits(int64_t memory_bytes, int64_t own_bytes, int64_t mapped_bytes, int64_t cpu_seconds, struct pare_err *err)
{
	enum pare_code code = PARE_OK;
	rlim_t data = (rlim_t)memory_bytes + (rlim_t)own_bytes;

#ifdef PARE_SANITIZED
	memory_bytes = 0;
#endif
	if (memory_bytes > 0)
		code = set_limit(RLIMIT_DATA, "RLIMIT_DATA", data, data, err);
	if (code == PARE_OK && memory_bytes > 0) {
		rlim_t space = data + (rlim_t)mapped_bytes + file_max;

		code = set_limit(RLIMIT_AS, "RLIMIT_AS", space, space, err);
	}
	if (code == PARE_OK && cpu_seconds > 0)
		code = set_limit(RLIMIT_CPU, "RLIMIT_CPU", (rlim_t)cpu_seconds, (rlim_t)cpu_seconds + 5, err);
	return code;
}
