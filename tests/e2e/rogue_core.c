/* An engine that turns on its host: pare-core, linked so that training (pare_train) comes here first. What it tries is told by the
 * seed of its options, so one program serves one job for each class of system call; the row of attack_table is named by the
 * scenario (tests/e2e/sandbox.py) by its place, and printed by `rogue_core --attacks`.
 *
 * An attack returns only if the sandbox let it do something: then the job succeeds, and the scenario fails. */
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "core/train/train.h"

static void *page;

static void try_open(void) { (void)!open("/etc/passwd", O_RDONLY); }
static void try_create(void) { (void)!open("/tmp/pared-rogue", O_WRONLY | O_CREAT, 0600); }
static void try_unlink(void) { (void)!unlink("/tmp/pared-rogue"); }
static void try_socket(void) { (void)!socket(AF_INET, SOCK_STREAM, 0); }
static void try_socketpair(void) { (void)!socketpair(AF_UNIX, SOCK_STREAM, 0, (int[2]){0, 0}); }
static void try_exec(void) { (void)!execl("/bin/true", "true", (char *)NULL); }
static void try_fork(void) { (void)!syscall(SYS_fork); }
static void try_clone(void) { (void)!syscall(SYS_clone, SIGCHLD, NULL, NULL, NULL, 0L); }
static void try_ptrace(void) { (void)!ptrace(PTRACE_ATTACH, getppid(), NULL, NULL); }
static void try_kill(void) { (void)!kill(getppid(), SIGKILL); }
static void try_read_memory(void) { (void)!syscall(SYS_process_vm_readv, (long)getppid(), NULL, 0L, NULL, 0L, 0L); }
static void try_executable(void) { page = mmap(NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0); }
static void try_make_executable(void)
{
	page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	(void)!mprotect(page, 4096, PROT_READ | PROT_EXEC);
}
static void try_mount(void) { (void)!mount("none", "/mnt", "tmpfs", 0, NULL); }
static void try_ioctl(void) { (void)!syscall(SYS_ioctl, 0L, 0x5412L, "x"); }
static void try_ring(void) { (void)!syscall(425L, 4L, NULL); } /* io_uring_setup */
static void try_bpf(void) { (void)!syscall(SYS_bpf, 0L, NULL, 0L); }
static void try_memfd(void) { (void)!syscall(SYS_memfd_create, "x", 0L); }
static void try_shared(void) { page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0); }
static void try_root(void) { (void)!setuid(0); }
static void try_undo(void) { (void)!prctl(PR_SET_DUMPABLE, 1, 0, 0, 0); }
static void try_limits(void) { (void)!syscall(SYS_prlimit64, (long)getppid(), 7L, NULL, NULL); }

#define ROW(name) {#name, try_##name}
static const struct {
	const char *name;
	void (*run)(void);
} attack_table[] = {
    ROW(open), ROW(create), ROW(unlink), ROW(socket), ROW(socketpair), ROW(exec), ROW(fork), ROW(clone), ROW(ptrace), ROW(kill), ROW(read_memory),
    ROW(executable), ROW(make_executable), ROW(mount), ROW(ioctl), ROW(ring), ROW(bpf), ROW(memfd), ROW(shared), ROW(root), ROW(undo), ROW(limits),
};
#define N_ATTACKS (sizeof attack_table / sizeof attack_table[0])

enum pare_code __real_pare_train(struct pare_net *net, const struct pare_dataset *data, const struct pare_train_options *opt, const struct pare_mask *mask, struct pare_err *err);
enum pare_code __wrap_pare_train(struct pare_net *net, const struct pare_dataset *data, const struct pare_train_options *opt, const struct pare_mask *mask, struct pare_err *err);

enum pare_code __wrap_pare_train(struct pare_net *net, const struct pare_dataset *data, const struct pare_train_options *opt, const struct pare_mask *mask, struct pare_err *err)
{
	if (opt->seed < N_ATTACKS)
		attack_table[opt->seed].run();
	return __real_pare_train(net, data, opt, mask, err);
}

/* Before main: the engine's own main knows nothing of this. */
__attribute__((constructor)) static void list(int argc, char **argv)
{
	if (argc != 2 || strcmp(argv[1], "--attacks") != 0)
		return;
	for (size_t i = 0; i < N_ATTACKS; i++)
		puts(attack_table[i].name);
	_exit(fflush(stdout) != 0);
}
