/* Each thing that a worker must not be able to do is tried from within the sandbox, in a process of its own. It must die by
 * SIGSYS or be refused; "it worked" is exit status 0. */
#include <arpa/inet.h>
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/base/mem.h"
#include "core/job/sandbox.h"
#include "core/ops/kernels/gemm.h"

/* Runs fn in a sandboxed child; returns its wait status. 0: it worked, 1: refused. */
static int in_sandbox(bool (*fn)(void), char text[PARE_SANDBOX_TEXT_MAX])
{
	int status, ends[2];
	pid_t pid;

	ck_assert_int_eq(pipe(ends), 0);
	pid = fork();
	if (pid == 0) {
		struct pare_err err;
		char active[PARE_SANDBOX_TEXT_MAX] = "";

		if (pare_sandbox_enter(active, &err) != PARE_OK)
			_exit(99);
		if (write(ends[1], active, sizeof active) != (ssize_t)sizeof active)
			_exit(98);
		_exit(fn() ? 0 : 1);
	}
	(void)close(ends[1]);
	ck_assert_int_eq(read(ends[0], text, PARE_SANDBOX_TEXT_MAX), PARE_SANDBOX_TEXT_MAX);
	(void)close(ends[0]);
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	return status;
}

#ifndef PARE_SANITIZED /* with sanitizers only the limits hold, and the text says so */
static bool try_open(void) { return open("/etc/passwd", O_RDONLY) >= 0; }
static bool try_create(void) { return open("/tmp/pare-sandbox-escape", O_WRONLY | O_CREAT, 0600) >= 0; }
static bool try_openat2(void) { return syscall(SYS_openat2, AT_FDCWD, "/etc/passwd", NULL, 0) >= 0; }
static bool try_socket(void) { return socket(AF_INET, SOCK_STREAM, 0) >= 0; }
static bool try_unix_socket(void) { return socket(AF_UNIX, SOCK_STREAM, 0) >= 0; }
static bool try_fork(void) { return fork() >= 0; }
static bool try_vfork(void) { return syscall(SYS_vfork) >= 0; }
static bool try_ptrace(void) { return ptrace(PTRACE_TRACEME, 0, NULL, NULL) == 0; }
static bool try_kill(void) { return kill(getppid(), 0) == 0; }
static bool try_unlink(void) { return unlink("/tmp/pare-sandbox-nothing") == 0 || errno == ENOENT; }
static bool try_mkdir(void) { return mkdir("/tmp/pare-sandbox-dir", 0700) == 0; }
static bool try_chmod(void) { return chmod("/tmp", 01777) == 0; }
static bool try_mount(void) { return syscall(SYS_mount, NULL, "/", NULL, 0, NULL) == 0; }
static bool try_io_uring(void) { return syscall(SYS_io_uring_setup, 1, NULL) >= 0 || errno == EFAULT; }
static bool try_process_vm(void) { return syscall(SYS_process_vm_readv, (long)getppid(), NULL, 0, NULL, 0, 0) >= 0; }
static bool try_ioctl(void) { return syscall(SYS_ioctl, 0, 0x5412, "x") == 0; } /* TIOCSTI */
static bool try_keyctl(void) { return syscall(SYS_keyctl, 0, 0, 0, 0, 0) >= 0; }
static bool try_bpf(void) { return syscall(SYS_bpf, 0, NULL, 0) >= 0; }

static bool try_exec(void)
{
	char *argv[] = {"true", NULL};

	execv("/bin/true", argv); /* true would exit with 0 */
	return false;
}

static bool try_executable_memory(void)
{
	return mmap(NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) != MAP_FAILED;
}

static bool try_make_executable(void)
{
	void *p = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	return mprotect(p, 4096, PROT_READ | PROT_EXEC) == 0;
}

static bool try_shared_memory(void)
{
	return mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0) != MAP_FAILED;
}

static bool try_raise_limit(void)
{
	struct rlimit l = {RLIM_INFINITY, RLIM_INFINITY};

	return prlimit(getppid(), RLIMIT_NOFILE, &l, NULL) == 0;
}

static const struct {
	const char *name;
	bool (*run)(void);
} forbidden[] = {
    {"open", try_open},
    {"create", try_create},
    {"openat2", try_openat2},
    {"socket", try_socket},
    {"unix socket", try_unix_socket},
    {"fork", try_fork},
    {"vfork", try_vfork},
    {"exec", try_exec},
    {"ptrace", try_ptrace},
    {"kill", try_kill},
    {"unlink", try_unlink},
    {"mkdir", try_mkdir},
    {"chmod", try_chmod},
    {"mount", try_mount},
    {"io_uring", try_io_uring},
    {"process_vm_readv", try_process_vm},
    {"ioctl", try_ioctl},
    {"keyctl", try_keyctl},
    {"bpf", try_bpf},
    {"executable memory", try_executable_memory},
    {"making memory executable", try_make_executable},
    {"shared memory without a file", try_shared_memory},
    {"limits of others", try_raise_limit},
};

START_TEST(what_is_forbidden)
{
	char text[PARE_SANDBOX_TEXT_MAX];
	int status = in_sandbox(forbidden[_i].run, text);

	ck_assert_msg((WIFSIGNALED(status) && WTERMSIG(status) == SIGSYS) || (WIFEXITED(status) && WEXITSTATUS(status) == 1),
	    "%s: status %#x under %s", forbidden[_i].name, (unsigned)status, text);
}
END_TEST

static bool abort_kills(void)
{
	abort();
}

static int big_file = -1;

/* A file of 512 MiB may be mapped under a limit of 256 MiB; as much memory may not be had. */
static bool memory_is_limited(void)
{
	struct pare_err err;
	void *p;

	if (pare_sandbox_limits((int64_t)255 << 20, (int64_t)1 << 20, (int64_t)512 << 20, 0, &err) != PARE_OK)
		return false;
	p = mmap(NULL, (size_t)512 << 20, PROT_READ, MAP_PRIVATE, big_file, 0);
	return p != MAP_FAILED && *(const char *)p == 0 && pare_alloc((size_t)512 << 20) == NULL;
}

#define SIDE 1000 /* of a product that is BLAS's */

/* Where no memory is left a product has what was set apart for it. */
static bool products_go_on(void)
{
	struct pare_err err;
	float *a = pare_calloc((size_t)SIDE * SIDE, sizeof *a), *c = pare_calloc((size_t)SIDE * SIDE, sizeof *c);
	int64_t own = pare_gemm_reserve(2);

	if (a == NULL || c == NULL || own <= 0 || own % 2 != 0 || pare_sandbox_limits((int64_t)1 << 20, own, 0, 0, &err) != PARE_OK)
		return false;
	for (int i = 0; i < SIDE * SIDE; i++)
		a[i] = 0.5f;
	pare_gemm(false, true, SIDE, SIDE, SIDE, 1.0f, a, a, 0.0f, c);
	return pare_alloc((size_t)own) == NULL && c[0] == 0.25f * SIDE && c[SIDE * SIDE - 1] == 0.25f * SIDE;
}
#endif

static void *thread_body(void *p)
{
	*(int *)p = 42;
	return NULL;
}

static bool threads_work(void)
{
	pthread_t t;
	int v = 0;

	return pthread_create(&t, NULL, thread_body, &v) == 0 && pthread_join(t, NULL) == 0 && v == 42;
}

static bool memory_works(void)
{
	for (size_t n = 1; n < ((size_t)64 << 20); n *= 2) {
		char *p = pare_alloc(n);

		if (p == NULL)
			return false;
		memset(p, 1, n);
		p = pare_realloc(p, 2 * n);
		pare_free(p);
	}
	return true;
}

START_TEST(what_is_needed)
{
	char text[PARE_SANDBOX_TEXT_MAX];

	ck_assert_int_eq(in_sandbox(threads_work, text), 0);
	ck_assert_int_eq(in_sandbox(memory_works, text), 0);
	ck_assert_ptr_nonnull(strstr(text, "rlimits"));
#ifndef PARE_SANITIZED
	ck_assert_ptr_nonnull(strstr(text, "seccomp"));
	ck_assert_int_eq(WTERMSIG(in_sandbox(abort_kills, text)), SIGABRT);
#endif
}
END_TEST

static bool no_core_dumps(void)
{
	struct rlimit l;

	return getrlimit(RLIMIT_CORE, &l) == 0 && l.rlim_cur == 0 && l.rlim_max == 0;
}

static bool burn(void)
{
	struct pare_err err;
	volatile unsigned x = 0;

	if (pare_sandbox_limits(0, 0, 0, 1, &err) != PARE_OK)
		return true;
	for (;;)
		x++;
}

START_TEST(limits)
{
	char text[PARE_SANDBOX_TEXT_MAX];
	int status;

	ck_assert_int_eq(in_sandbox(no_core_dumps, text), 0);
#ifndef PARE_SANITIZED
	big_file = memfd_create("big", MFD_CLOEXEC);
	ck_assert_int_eq(ftruncate(big_file, (off_t)512 << 20), 0);
	ck_assert_int_eq(in_sandbox(memory_is_limited, text), 0);
	(void)close(big_file);
	pare_gemm_init();
	ck_assert_int_gt(pare_gemm_reserve(1), 0);
	ck_assert_int_eq(in_sandbox(products_go_on, text), 0);
#endif
	status = in_sandbox(burn, text);
	ck_assert(WIFSIGNALED(status));
	ck_assert_int_eq(WTERMSIG(status), SIGXCPU);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("core/job/sandbox");
	TCase *t = tcase_create("sandbox");
	SRunner *r;
	int failed;

	tcase_set_timeout(t, 20);
#ifndef PARE_SANITIZED
	tcase_add_loop_test(t, what_is_forbidden, 0, (int)(sizeof forbidden / sizeof forbidden[0]));
#endif
	tcase_add_test(t, what_is_needed);
	tcase_add_test(t, limits);
	suite_add_tcase(s, t);
	r = srunner_create(s);
	srunner_run_all(r, CK_NORMAL);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed != 0;
}
