/* One engine process: started with its inputs as inherited descriptors, spoken to over a socketpair, watched, ended. Used by
 * the pool (jobs) and by the services (inspect, build). Not thread safe: one thread owns an engine. */
#ifndef SERVER_RUNNER_H
#define SERVER_RUNNER_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "core/base/err.h"
#include "core/recipe/protocol.h"
#include "server/lines.h"

#define SRV_SAID_MAX 200
struct srv_engine {
	pid_t pid;   /* 0: none */
	int sock, standard_error;
	const char *label; /* for the log: a job id, or "inspect"; borrowed */
	struct srv_lines lines, complaints;
	char said[SRV_SAID_MAX]; /* the last line on its standard error */
	int n_said;
	bool ended;   /* its side of the socket is closed */
	int status;   /* of waitpid, once reaped */
};

/* Starts the program core with the argument "worker". start->inputs[].fd are the caller's descriptors (it keeps them; the child gets duplicates numbered from 4 up). On error nothing is left behind. */
PARE_MUST_USE enum pare_code srv_engine_start(struct srv_engine *e, const char *core, const char *label, const struct pare_msg_start *start, struct pare_err *err);

enum srv_heard {
	SRV_HEARD_MESSAGE, /* *out is filled (pare_msg_done) */
	SRV_HEARD_NOTHING, /* the time is over or wake_fd can be read */
	SRV_HEARD_END,     /* the stream ended: srv_engine_end tells why */
	SRV_HEARD_RUBBISH  /* something that is not a message: err says what */
};
/* Waits for the next message, at most timeout_ms. wake_fd: another descriptor whose readability ends the wait, or -1. */
enum srv_heard srv_engine_hear(struct srv_engine *e, int wake_fd, int64_t timeout_ms, struct pare_msg *out, struct pare_err *err);

/* Answers an "open": with the descriptor, or with an error. */
PARE_MUST_USE enum pare_code srv_engine_answer_fd(struct srv_engine *e, const char *name, int fd, struct pare_err *err);
PARE_MUST_USE enum pare_code srv_engine_answer_error(struct srv_engine *e, const struct pare_err *answer, struct pare_err *err);

void srv_engine_signal(struct srv_engine *e, int signum); /* to its whole process group */
/* Closes everything, waits grace_ms for the process to exit, kills it then, reaps it. */
void srv_engine_end(struct srv_engine *e, int64_t grace_ms);
/* After srv_engine_end, for an engine that ended without its last line: PARE_E_SANDBOX (SIGSYS), PARE_E_TIMEOUT (SIGXCPU) or
 * PARE_E_WORKER_CRASHED, worded. */
enum pare_code srv_engine_death(const struct srv_engine *e, struct pare_err *err);

#endif
