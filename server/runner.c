/* posix_spawn and not fork: the daemon may hold hundreds of megabytes of page tables, and vfork-like starting does not
 * copy them. Every descriptor of ours is close-on-exec; the child gets exactly 0 to 3 and its inputs, since the file actions
 * close the rest once more (a library's descriptor may lack the flag).
 *
 * The inputs are first duplicated to numbers that no target can have, so that placing one cannot overwrite another. The
 * environment is not inherited: a secret in the daemon's environment must not be readable in /proc/<engine>/environ.
 * What is passed on are the three knobs of OpenBLAS, which on old builds picks a wrong kernel without them.
 *
 * The engine asks the kernel to be killed when its parent thread (server/sched.c) ends, and sees the end of its socket: an engine never
 * outlives the daemon by more than an instant. It is a process group of its own, so that ^C in a terminal stops the daemon
 * in its own order. */
#include "server/runner.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "core/base/cpu.h"
#include "core/base/mem.h"
#include "server/env.h"
#include "server/log.h"
#include "server/sched.h"

#define FIRST_INPUT_FD (PARE_ENGINE_FD + 1)
#define SAFE_FD 256 /* above every target: FIRST_INPUT_FD + PARE_MAX_INPUTS */
#define COMPLAINT_MAX ((size_t)1000)
#define READS_AT_ONCE 64 /* what a pipe holds; then the lease and the client have their turn */
#define COMPLAINTS_LOGGED 100 /* of one engine: it must not fill the disk with our log */
#define N_PASSED 6

static const char *const passed_on[N_PASSED] = {"OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE", "OPENBLAS_VERBOSE", "ASAN_OPTIONS", "UBSAN_OPTIONS", "TSAN_OPTIONS"};

struct plan {
	int safe[2 + PARE_MAX_INPUTS]; /* socket, standard error, inputs: duplicates >= SAFE_FD */
	int n;
	char *environment[N_PASSED + 3];
	char values[N_PASSED][256];
};

static void close_plan(struct plan *p)
{
	for (int i = 0; i < p->n; i++)
		close(p->safe[i]);
	p->n = 0;
}

static bool plan_fd(struct plan *p, int fd)
{
	int safe = fcntl(fd, F_DUPFD_CLOEXEC, SAFE_FD);

	if (safe < 0)
		return false;
	p->safe[p->n++] = safe;
	return true;
}

static void plan_environment(struct plan *p)
{
	static char one_thread[] = "OPENBLAS_NUM_THREADS=1";
	int n = 0;

	p->environment[n++] = one_thread;
	if (getenv("OPENBLAS_CORETYPE") == NULL && pare_cpu_blas() != NULL)
		p->environment[n++] = (char *)(uintptr_t)pare_cpu_blas();
	for (int i = 0; i < N_PASSED; i++) {
		const char *value = getenv(passed_on[i]);

		if (value == NULL)
			continue;
		snprintf(p->values[i], sizeof p->values[i], "%s=%s", passed_on[i], value);
		p->environment[n++] = p->values[i];
	}
	p->environment[n] = NULL;
}

static int add_actions(posix_spawn_file_actions_t *a, const struct plan *p)
{
	int r = posix_spawn_file_actions_addopen(a, STDIN_FILENO, "/dev/null", O_RDONLY, 0);

	if (r == 0)
		r = posix_spawn_file_actions_addopen(a, STDOUT_FILENO, "/dev/null", O_WRONLY, 0);
	if (r == 0)
		r = posix_spawn_file_actions_adddup2(a, p->safe[1], STDERR_FILENO);
	if (r == 0)
		r = posix_spawn_file_actions_adddup2(a, p->safe[0], PARE_ENGINE_FD);
	for (int i = 2; i < p->n && r == 0; i++)
		r = posix_spawn_file_actions_adddup2(a, p->safe[i], FIRST_INPUT_FD + i - 2);
	if (r == 0)
		r = posix_spawn_file_actions_addclosefrom_np(a, FIRST_INPUT_FD + p->n - 2);
	return r;
}

static int set_attributes(posix_spawnattr_t *a)
{
	sigset_t none, all;
	int r;

	sigemptyset(&none);
	sigfillset(&all);
	r = posix_spawnattr_setflags(a, POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
	if (r == 0)
		r = posix_spawnattr_setpgroup(a, 0);
	if (r == 0)
		r = posix_spawnattr_setsigmask(a, &none);
	if (r == 0)
		r = posix_spawnattr_setsigdefault(a, &all);
	return r;
}

static int spawn(const char *core, const struct plan *p, pid_t *out)
{
	char verb[] = "worker";
	char *argv[] = {(char *)core, verb, NULL};
	posix_spawn_file_actions_t actions;
	posix_spawnattr_t attributes;
	int r = posix_spawn_file_actions_init(&actions);

	if (r != 0)
		return r;
	r = posix_spawnattr_init(&attributes);
	if (r == 0) {
		r = add_actions(&actions, p);
		if (r == 0)
			r = set_attributes(&attributes);
		if (r == 0)
			r = srv_sched_spawn(out, core, &actions, &attributes, argv, p->environment);
		posix_spawnattr_destroy(&attributes);
	}
	posix_spawn_file_actions_destroy(&actions);
	return r;
}

static enum pare_code send_all(struct srv_engine *e, const char *p, size_t n, struct pare_err *err)
{
	while (n > 0) {
		ssize_t r = send(e->sock, p, n, MSG_NOSIGNAL);

		if (r < 0 && errno == EINTR)
			continue;
		if (r < 0)
			return pare_err_errno(err, errno, "sending to the engine");
		p += r;
		n -= (size_t)r;
	}
	return PARE_OK;
}

static enum pare_code send_start(struct srv_engine *e, const struct pare_msg_start *start, struct pare_err *err)
{
	struct pare_msg_start m = *start;
	struct pare_buf line;
	enum pare_code code;

	for (int i = 0; i < m.n_inputs; i++)
		m.inputs[i].fd = FIRST_INPUT_FD + i;
	pare_buf_init(&line, PARE_LINE_MAX);
	code = pare_msg_write_start(&line, &m, err);
	if (code == PARE_OK) {
		/* an engine that died at once is heard of as one: the end of its stream comes next */
		struct pare_err ignored;

		if (send_all(e, line.data, line.len, &ignored) != PARE_OK)
			e->ended = true;
	}
	pare_buf_done(&line);
	return code;
}

static enum pare_code make_ends(struct srv_engine *e, struct plan *p, const struct pare_msg_start *start, struct pare_err *err)
{
	int pair[2], pipe_ends[2];
	struct timeval limit = {.tv_sec = 10};
	bool ok;

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) != 0)
		return pare_err_errno(err, errno, "a socket for the engine");
	e->sock = pair[0];
	ok = plan_fd(p, pair[1]);
	close(pair[1]);
	if (!ok || pipe2(pipe_ends, O_CLOEXEC) != 0)
		return pare_err_errno(err, errno, "a pipe for the engine");
	e->standard_error = pipe_ends[0];
	ok = plan_fd(p, pipe_ends[1]) && fcntl(pipe_ends[0], F_SETFL, O_NONBLOCK) == 0; /* ours alone: its last words must not get EAGAIN */
	close(pipe_ends[1]);
	for (int i = 0; i < start->n_inputs && ok; i++)
		ok = plan_fd(p, start->inputs[i].fd);
	if (!ok)
		return pare_err_errno(err, errno, "descriptors for the engine");
	setsockopt(e->sock, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
	return PARE_OK;
}

enum pare_code srv_engine_start(struct srv_engine *e, const char *core, const char *label, const struct pare_msg_start *start, struct pare_err *err)
{
	struct plan p = {.n = 0};
	enum pare_code code;
	int r;

	memset(e, 0, sizeof *e);
	e->sock = e->standard_error = -1;
	e->label = label;
	srv_lines_init(&e->lines, PARE_LINE_MAX);
	srv_lines_init(&e->complaints, COMPLAINT_MAX);
	code = make_ends(e, &p, start, err);
	if (code != PARE_OK)
		goto out;
	plan_environment(&p);
	r = spawn(core, &p, &e->pid);
	if (r != 0) {
		e->pid = 0;
		code = pare_err_errno(err, r, "starting the engine");
		(void)pare_err_at(err, "%.150s", core);
		goto out;
	}
	close_plan(&p); /* ours of the child's ends: else the stream would never end */
	code = send_start(e, start, err);
out:
	close_plan(&p);
	if (code != PARE_OK)
		srv_engine_end(e, 0);
	return code;
}

/* --- what it says on its standard error goes to the log, and the last line into what a crash report says */
static void complain(struct srv_engine *e, const char *line)
{
	struct srv_log_line l;

	snprintf(e->said, sizeof e->said, "%s", line);
	if (e->n_said++ >= COMPLAINTS_LOGGED)
		return;
	srv_log_begin(&l, SRV_LOG_WARNING, "engine.said");
	srv_log_str(&l, "engine", e->label);
	srv_log_int(&l, "pid", e->pid);
	srv_log_str(&l, "text", line);
	srv_log_end(&l);
}

static void read_complaints(struct srv_engine *e)
{
	char buf[1024];
	ssize_t r = -1;
	size_t n;
	char *line;

	for (int i = 0; i < READS_AT_ONCE && (r = read(e->standard_error, buf, sizeof buf)) > 0; i++) {
		if (srv_lines_add(&e->complaints, buf, (size_t)r, NULL) != PARE_OK) {
			char *rest = srv_lines_rest(&e->complaints);

			if (rest != NULL)
				complain(e, rest);
			srv_lines_done(&e->complaints); /* what is too long for one line begins a new one */
			continue;
		}
		while ((line = srv_lines_next(&e->complaints, &n)) != NULL)
			complain(e, line);
	}
	if (r == 0) {
		close(e->standard_error);
		e->standard_error = -1;
	}
}

/* --- messages */
static enum srv_heard read_socket(struct srv_engine *e, struct pare_err *err)
{
	char buf[16384];
	ssize_t r = recv(e->sock, buf, sizeof buf, MSG_DONTWAIT);

	if (r < 0 && (errno == EAGAIN || errno == EINTR))
		return SRV_HEARD_NOTHING;
	if (r <= 0) {
		e->ended = true;
		return SRV_HEARD_END;
	}
	if (srv_lines_add(&e->lines, buf, (size_t)r, err) != PARE_OK)
		return SRV_HEARD_RUBBISH;
	return SRV_HEARD_MESSAGE;
}

static bool next_message(struct srv_engine *e, struct pare_msg *out, struct pare_err *err, enum srv_heard *heard)
{
	size_t n;
	char *line = srv_lines_next(&e->lines, &n);

	if (line == NULL)
		return false;
	*heard = pare_msg_read(line, n, out, err) == PARE_OK ? SRV_HEARD_MESSAGE : SRV_HEARD_RUBBISH;
	return true;
}

enum srv_heard srv_engine_hear(struct srv_engine *e, int wake_fd, int64_t timeout_ms, struct pare_msg *out, struct pare_err *err)
{
	int64_t deadline = srv_env.mono_ms(NULL) + timeout_ms;

	for (;;) {
		struct pollfd f[3] = {{e->ended ? -1 : e->sock, POLLIN, 0}, {e->standard_error, POLLIN, 0}, {wake_fd, POLLIN, 0}};
		int64_t left = deadline - srv_env.mono_ms(NULL);
		enum srv_heard heard;

		if (next_message(e, out, err, &heard))
			return heard;
		if (e->ended)
			return SRV_HEARD_END;
		if (left <= 0)
			return SRV_HEARD_NOTHING;
		if (poll(f, 3, (int)(left > 60000 ? 60000 : left)) < 0 && errno != EINTR)
			return SRV_HEARD_END;
		if (f[1].revents != 0)
			read_complaints(e);
		if (f[0].revents != 0) {
			heard = read_socket(e, err);
			if (heard == SRV_HEARD_RUBBISH)
				return heard;
		}
		if (f[2].revents != 0)
			return SRV_HEARD_NOTHING;
	}
}

enum pare_code srv_engine_answer_fd(struct srv_engine *e, const char *name, int fd, struct pare_err *err)
{
	struct pare_buf line;
	union {
		struct cmsghdr align;
		char bytes[CMSG_SPACE(sizeof(int))];
	} control = {.bytes = {0}};
	struct iovec last;
	struct msghdr m = {.msg_iov = &last, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof control};
	struct cmsghdr *c = CMSG_FIRSTHDR(&m);
	enum pare_code code;

	pare_buf_init(&line, PARE_LINE_MAX);
	code = pare_msg_write_fd(&line, name, err);
	if (code == PARE_OK)
		code = send_all(e, line.data, line.len - 1, err);
	if (code != PARE_OK)
		goto out;
	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = SCM_RIGHTS;
	c->cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(c), &fd, sizeof fd);
	last.iov_base = line.data + line.len - 1;
	last.iov_len = 1;
	if (sendmsg(e->sock, &m, MSG_NOSIGNAL) != 1)
		code = pare_err_errno(err, errno, "sending a descriptor to the engine");
out:
	pare_buf_done(&line);
	return code;
}

enum pare_code srv_engine_answer_error(struct srv_engine *e, const struct pare_err *answer, struct pare_err *err)
{
	struct pare_buf line;
	enum pare_code code;

	pare_buf_init(&line, PARE_LINE_MAX);
	code = pare_msg_write_error(&line, answer, err);
	if (code == PARE_OK)
		code = send_all(e, line.data, line.len, err);
	pare_buf_done(&line);
	return code;
}

void srv_engine_signal(struct srv_engine *e, int signum)
{
	if (e->pid > 0)
		kill(-e->pid, signum);
}

static bool reaped(struct srv_engine *e, int64_t grace_ms)
{
	int64_t deadline = srv_env.mono_ms(NULL) + grace_ms;
	struct timespec nap = {.tv_nsec = 200000};

	for (;;) {
		pid_t r = waitpid(e->pid, &e->status, WNOHANG);

		if (r == e->pid || (r < 0 && errno == ECHILD))
			return true;
		if (srv_env.mono_ms(NULL) >= deadline)
			return false;
		nanosleep(&nap, NULL);
		if (nap.tv_nsec < 20000000)
			nap.tv_nsec *= 2;
	}
}

void srv_engine_end(struct srv_engine *e, int64_t grace_ms)
{
	if (e->sock >= 0)
		shutdown(e->sock, SHUT_WR);
	if (e->pid > 0 && !reaped(e, grace_ms)) {
		srv_engine_signal(e, SIGKILL);
		while (waitpid(e->pid, &e->status, 0) < 0 && errno == EINTR)
			continue;
	}
	if (e->standard_error >= 0)
		read_complaints(e);
	e->pid = 0;
	if (e->sock >= 0)
		close(e->sock);
	if (e->standard_error >= 0)
		close(e->standard_error);
	e->sock = e->standard_error = -1;
	srv_lines_done(&e->lines);
	srv_lines_done(&e->complaints);
}

enum pare_code srv_engine_death(const struct srv_engine *e, struct pare_err *err)
{
	const char *said = e->said[0] != '\0' ? e->said : "nothing";
	int signum = WIFSIGNALED(e->status) ? WTERMSIG(e->status) : 0;

	if (signum == SIGSYS)
		return pare_err_set(err, PARE_E_SANDBOX, NULL, "the engine made a system call that its sandbox forbids and was stopped");
	if (signum == SIGXCPU)
		return pare_err_set(err, PARE_E_TIMEOUT, NULL, "the engine used up its processor time");
	if (signum != 0)
		return pare_err_set(err, PARE_E_WORKER_CRASHED, NULL, "the engine process was ended by signal %d (%s); its last words: %s", signum, strsignal(signum), said);
	return pare_err_set(err, PARE_E_WORKER_CRASHED, NULL, "the engine process exited with status %d before it was done; its last words: %s", WEXITSTATUS(e->status), said);
}
