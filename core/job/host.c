/* The daemon's part of the conversation for a shell: start the program again as a worker, give it descriptors, print what it says.
 * There is one way to run a job and it is always in the sandbox; a shell gets no shortcut.
 *
 * fork and exec, not fork alone: the worker begins with fresh memory and without the shell's descriptors. Numbers are
 * arranged in two moves, first all out of the way (above 200), then each to its place, so that none is overwritten.
 * An output is written to "name.part" and renamed when the result has come and the worker has ended well: a failed job leaves no
 * half files. A checkpoint is renamed as soon as it is whole: it is there for when the worker, or this program, ends badly. */
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <openssl/evp.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/base/cpu.h"
#include "core/base/mem.h"
#include "core/job/job.h"
#include "core/job/link.h"
#include "core/recipe/json_text.h"

#define AWAY 200 /* above PARE_ENGINE_FD + 1 + PARE_MAX_INPUTS */
#define PATH_TEXT_MAX 4096

struct host_output {
	char name[72], path[PATH_TEXT_MAX], part[PATH_TEXT_MAX + 8];
	bool named; /* by the result: others are dropped */
};

struct host_run {
	const struct pare_host *h;
	struct pare_link link;
	pid_t pid;
	struct host_output outputs[PARE_MAX_ARTIFACTS], checkpoint;
	int n_outputs;
	bool asked_to_stop, done;
	char *result;
};

enum pare_code pare_host_job_text(const char *text, size_t len, int threads, bool data, bool teacher, char **out, struct pare_err *err)
{
	const struct {
		const char *name;
		bool given;
	} ids[] = {{"model", true}, {"dataset", data}, {"teacher", teacher}};
	json_t *job;
	enum pare_code code = pare_json_load(text, len, len, &job, NULL, err);

	if (code != PARE_OK)
		return code;
	if (!json_is_object(job)) {
		json_decref(job);
		return pare_err_set(err, PARE_E_INVALID, NULL, "the job must be a JSON object");
	}
	for (size_t i = 0; i < sizeof ids / sizeof ids[0]; i++)
		if (ids[i].given && json_object_get(job, ids[i].name) == NULL)
			(void)json_object_set_new(job, ids[i].name, json_string("local"));
	if (threads > 0)
		(void)json_object_set_new(job, "threads", json_integer(threads));
	*out = json_dumps(job, JSON_COMPACT);
	json_decref(job);
	return *out != NULL && !pare_json_nomem() ? PARE_OK : pare_err_nomem(err, 0);
}

/* --- the child, between fork and exec: async-signal-safe calls only */

static void child(const struct pare_host *h, int sock, const struct pare_msg_start *start)
{
	char *const argv[] = {(char *)(uintptr_t)h->exe, (char *)(uintptr_t)"worker", NULL};
	char *const env[] = {(char *)(uintptr_t)"OPENBLAS_NUM_THREADS=1", (char *)(uintptr_t)pare_cpu_blas(), NULL};
	int away[1 + PARE_MAX_INPUTS];

	away[0] = fcntl(sock, F_DUPFD, AWAY);
	for (int i = 0; i < start->n_inputs; i++)
		away[1 + i] = fcntl(start->inputs[i].fd, F_DUPFD, AWAY);
	for (int i = 0; i <= start->n_inputs; i++)
		if (away[i] < 0 || dup2(away[i], PARE_ENGINE_FD + i) < 0)
			_exit(127);
	(void)close_range((unsigned)(PARE_ENGINE_FD + 1 + start->n_inputs), ~0u, 0);
	(void)setpgid(0, 0);
	(void)execve(h->exe, argv, env);
	_exit(127);
}

static enum pare_code spawn(struct host_run *r, const struct pare_msg_start *start, struct pare_err *err)
{
	int ends[2];

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0)
		return pare_err_errno(err, errno, "socketpair");
	r->pid = fork();
	if (r->pid == 0)
		child(r->h, ends[1], start);
	(void)close(ends[1]);
	pare_link_init(&r->link, ends[0]);
	return r->pid > 0 ? PARE_OK : pare_err_errno(err, errno, "fork");
}

#define HASH_CHUNK ((size_t)1 << 20)
#define DIGITS (2 * 32 + 1) /* of a SHA-256, with NUL */

static enum pare_code hash_file(int fd, const char *name, uint8_t *chunk, char hex[DIGITS], struct pare_err *err)
{
	uint8_t digest[EVP_MAX_MD_SIZE];
	EVP_MD_CTX *md = EVP_MD_CTX_new();
	bool ok = md != NULL && EVP_DigestInit_ex(md, EVP_sha256(), NULL) == 1;
	off_t at = 0;
	ssize_t n = 0;

	while (ok && (n = pread(fd, chunk, HASH_CHUNK, at)) > 0) {
		ok = EVP_DigestUpdate(md, chunk, (size_t)n) == 1;
		at += n;
	}
	ok = ok && EVP_DigestFinal_ex(md, digest, NULL) == 1;
	EVP_MD_CTX_free(md);
	if (n < 0)
		return pare_err_errno(err, errno, name);
	for (size_t i = 0; ok && i < DIGITS / 2; i++)
		(void)snprintf(hex + 2 * i, 3, "%02x", digest[i]);
	return ok ? PARE_OK : pare_err_nomem(err, 0);
}

/* The inputs of a job by their contents, for its provenance. */
static enum pare_code hash_inputs(struct pare_msg_start *m, char hex[PARE_MAX_INPUTS][DIGITS], struct pare_err *err)
{
	uint8_t *chunk = pare_alloc(HASH_CHUNK);
	enum pare_code code = chunk != NULL ? PARE_OK : pare_err_nomem(err, HASH_CHUNK);

	for (int i = 0; i < m->n_inputs && code == PARE_OK && strcmp(m->kind, "run") == 0; i++) {
		code = hash_file(m->inputs[i].fd, m->inputs[i].name, chunk, hex[i], err);
		m->inputs[i].sha256 = hex[i];
	}
	pare_free(chunk);
	return code;
}

static enum pare_code send_start(struct host_run *r, const struct pare_msg_start *start, struct pare_err *err)
{
	char hex[PARE_MAX_INPUTS][DIGITS];
	struct pare_msg_start m = *start;
	enum pare_code code = hash_inputs(&m, hex, err);

	if (code != PARE_OK)
		return code;
	for (int i = 0; i < m.n_inputs; i++)
		m.inputs[i].fd = PARE_ENGINE_FD + 1 + i;
	return pare_link_send(&r->link, pare_msg_write_start(&r->link.out, &m, err), err);
}

/* --- outputs */

static enum pare_code send_fd(struct host_run *r, const char *name, int fd, struct pare_err *err)
{
	union {
		char bytes[CMSG_SPACE(sizeof(int))];
		struct cmsghdr align;
	} control = {{0}};
	struct iovec last;
	struct msghdr m = {.msg_iov = &last, .msg_iovlen = 1, .msg_control = control.bytes, .msg_controllen = sizeof control.bytes};
	struct cmsghdr *c = CMSG_FIRSTHDR(&m);
	char newline = '\n';
	enum pare_code code = pare_msg_write_fd(&r->link.out, name, err);

	if (code == PARE_OK)
		r->link.out.len--;
	code = pare_link_send(&r->link, code, err);
	if (code != PARE_OK)
		return code;
	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = SCM_RIGHTS;
	c->cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(c), &fd, sizeof fd);
	last = (struct iovec){&newline, 1};
	return sendmsg(r->link.fd, &m, MSG_NOSIGNAL) == 1 ? PARE_OK : pare_err_errno(err, errno, "sending a descriptor");
}

static enum pare_code open_output(struct host_run *r, const char *name, struct pare_err *err)
{
	bool checkpoint = strcmp(name, PARE_CHECKPOINT_OUTPUT) == 0 && r->h->checkpoint != NULL;
	struct host_output *o = checkpoint ? &r->checkpoint : &r->outputs[r->n_outputs];
	char path[PATH_TEXT_MAX];
	struct pare_err why;
	enum pare_code code;
	int fd, n;

	if (r->n_outputs == PARE_MAX_ARTIFACTS)
		return pare_err_set(err, PARE_E_INTERNAL, name, "the worker asks for too many outputs");
	if (checkpoint)
		n = snprintf(path, sizeof path, "%s", r->h->checkpoint);
	else if (r->h->only_file != NULL)
		n = snprintf(path, sizeof path, "%s", r->h->only_file);
	else
		n = snprintf(path, sizeof path, "%s/%s", r->h->out_dir, name);
	if (n < 0 || (size_t)n >= sizeof path)
		return pare_err_set(err, PARE_E_INVALID, name, "the path of the output is too long");
	memcpy(o->path, path, (size_t)n + 1);
	(void)snprintf(o->name, sizeof o->name, "%s", name);
	(void)snprintf(o->part, sizeof o->part, "%s.part", path);
	fd = open(o->part, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
	if (fd < 0) {
		(void)pare_err_errno(&why, errno, o->part);
		return pare_link_send(&r->link, pare_msg_write_error(&r->link.out, &why, err), err);
	}
	r->n_outputs += checkpoint ? 0 : 1;
	code = send_fd(r, name, fd, err);
	(void)close(fd);
	return code;
}

/* On the disk before it takes the place of the last one. One that cannot be kept is told of and no reason to lose the job. */
static void keep_checkpoint(struct host_run *r)
{
	struct host_output *o = &r->checkpoint;
	int fd = open(o->part, O_RDONLY | O_CLOEXEC);
	struct pare_err why;
	struct pare_buf b;

	if (fd >= 0 && fsync(fd) == 0 && rename(o->part, o->path) == 0) {
		o->part[0] = '\0';
	} else if (r->h->event != NULL) {
		(void)pare_err_errno(&why, errno, o->part);
		pare_buf_init(&b, sizeof why + 4096);
		pare_buf_str(&b, "{");
		pare_json_key_str(&b, "level", "warning");
		pare_json_key_str(&b, "message", why.message);
		pare_buf_str(&b, "}");
		if (pare_buf_status(&b, NULL) == PARE_OK)
			r->h->event(r->h->ctx, "log", b.data);
		pare_buf_done(&b);
	}
	if (fd >= 0)
		(void)close(fd);
}

static enum pare_code keep_outputs(struct host_run *r, struct pare_err *err)
{
	for (int i = 0; i < r->n_outputs; i++) {
		if (!r->outputs[i].named)
			continue;
		if (rename(r->outputs[i].part, r->outputs[i].path) != 0)
			return pare_err_errno(err, errno, r->outputs[i].path);
		r->outputs[i].part[0] = '\0';
	}
	return PARE_OK;
}

static void name_outputs(struct host_run *r, const struct pare_msg *m)
{
	for (int k = 0; k < m->n_artifacts; k++)
		for (int i = 0; i < r->n_outputs; i++)
			if (strcmp(r->outputs[i].name, m->artifacts[k]) == 0)
				r->outputs[i].named = true;
}

/* --- the conversation */

static enum pare_code obey(struct host_run *r, struct pare_msg *m, struct pare_err *err)
{
	switch (m->type) {
	case PARE_MSG_EVENT:
		if (strcmp(m->event, "checkpoint") == 0 && r->checkpoint.part[0] != '\0')
			keep_checkpoint(r);
		if (r->h->event != NULL)
			r->h->event(r->h->ctx, m->event, m->data);
		return PARE_OK;
	case PARE_MSG_OPEN:
		return open_output(r, m->name, err);
	case PARE_MSG_RESULT:
		r->done = true;
		name_outputs(r, m);
		r->result = pare_strdup(m->data);
		return r->result != NULL ? PARE_OK : pare_err_nomem(err, 0);
	case PARE_MSG_ERROR:
		r->done = true;
		*err = m->error;
		return m->error.code;
	case PARE_MSG_TRIALS:
		if (r->h->trials == NULL) /* nobody told it to ask */
			break;
		r->done = true;
		r->h->trials(r->h->ctx, m);
		return PARE_OK;
	case PARE_MSG_FD:
		break;
	}
	return pare_err_set(err, PARE_E_INTERNAL, NULL, "the worker sent a message that is not its to send");
}

/* Waits until there is something to read; passes a stop on. */
static void wait_for_worker(struct host_run *r)
{
	struct pollfd p = {.fd = r->link.fd, .events = POLLIN};

	while (r->link.in.len <= r->link.line_len || memchr(r->link.in.data + r->link.line_len, '\n', r->link.in.len - r->link.line_len) == NULL) {
		int n = poll(&p, 1, 200);

		if (r->h->stop != NULL && *r->h->stop != 0 && !r->asked_to_stop) {
			r->asked_to_stop = true;
			(void)kill(r->pid, SIGTERM);
		}
		if (n > 0)
			return;
	}
}

static enum pare_code death(struct host_run *r, int status, struct pare_err *err)
{
	int signum = WIFSIGNALED(status) ? WTERMSIG(status) : 0;

	if (signum == SIGSYS)
		return pare_err_set(err, PARE_E_SANDBOX, NULL, "the worker made a system call that its sandbox forbids and was stopped");
	if (signum == SIGXCPU)
		return pare_err_set(err, PARE_E_TIMEOUT, NULL, "the worker used up its processor time; limits.max_runtime_seconds sets it");
	if (signum != 0)
		return pare_err_set(err, PARE_E_WORKER_CRASHED, NULL, "the worker was ended by signal %d", signum);
	return pare_err_set(err, PARE_E_WORKER_CRASHED, NULL, "the worker %s ended with status %d", r->h->exe, WEXITSTATUS(status));
}

static enum pare_code converse(struct host_run *r, struct pare_err *err)
{
	enum pare_code code = PARE_OK;

	while (code == PARE_OK && !r->done) {
		const char *line;
		struct pare_msg m;
		size_t len;

		wait_for_worker(r);
		code = pare_link_read(&r->link, &line, &len, err);
		if (code == PARE_OK)
			code = pare_msg_read(line, len, &m, err);
		if (code == PARE_OK) {
			code = obey(r, &m, err);
			pare_msg_done(&m);
		}
	}
	return code;
}

enum pare_code pare_host_run(const struct pare_host *h, const struct pare_msg_start *start, char **out_result, struct pare_err *err)
{
	struct host_run *r = pare_calloc(1, sizeof *r);
	enum pare_code code;
	int status = 0;

	if (r == NULL)
		return pare_err_nomem(err, sizeof *r);
	r->h = h;
	code = spawn(r, start, err);
	if (code == PARE_OK)
		code = send_start(r, start, err);
	if (code == PARE_OK || r->link.broken)
		code = converse(r, err);
	(void)close(r->link.fd);
	if (r->pid > 0) {
		if (!r->done)
			(void)kill(r->pid, code == PARE_E_IO ? 0 : SIGKILL);
		while (waitpid(r->pid, &status, 0) < 0 && errno == EINTR)
			continue;
	}
	if ((!r->done && code == PARE_E_IO) || (code == PARE_OK && status != 0))
		code = death(r, status, err);
	if (code == PARE_OK)
		code = keep_outputs(r, err);
	for (int i = 0; i < r->n_outputs; i++)
		if (r->outputs[i].part[0] != '\0')
			(void)unlink(r->outputs[i].part);
	if (r->checkpoint.part[0] != '\0')
		(void)unlink(r->checkpoint.part);
	if (code == PARE_OK)
		*out_result = r->result;
	else
		pare_free(r->result);
	pare_link_done(&r->link);
	pare_free(r);
	return code;
}
