/* The engine as a program: what `pare-core` does with one request. A worker process reads one start message from its
 * socket, shuts itself into the sandbox, does what was asked and answers with a result or an error (core/recipe/protocol.h).
 * The host is the other end of that socket for use from a shell: the same worker, the same sandbox, outputs in a directory. */
#ifndef PARE_JOB_JOB_H
#define PARE_JOB_JOB_H

#include <signal.h>
#include <stdbool.h>
#include <stdint.h>

#include "core/base/env.h"
#include "core/base/err.h"
#include "core/recipe/protocol.h"

/* The clocks of the operating system. */
extern const struct pare_env pare_job_env;

/* The whole life of a worker on PARE_ENGINE_FD; returns the process's exit status: 0 when a last line (result or error) was
 * sent, 1 when the other end is gone. */
int pare_worker_main(void);

/* --- the shell's side */
struct pare_host {
	const char *exe;                 /* the program to run as worker: pare-core itself */
	const char *out_dir;             /* where outputs go */
	const char *only_file;           /* not NULL: the one output goes to this path instead (build) */
	const char *checkpoint;          /* not NULL: the last checkpoint goes to this path, whole or not at all */
	const volatile sig_atomic_t *stop; /* set by a signal handler: the worker is asked to cancel */
	/* Events as they come; data is JSON. May be NULL. */
	void (*event)(void *ctx, const char *event, const char *data);
	/* Runs of its sweep that the job needs first, and then *out_result is NULL. Needed where start->trials is given. */
	void (*trials)(void *ctx, const struct pare_msg *m);
	void *ctx;
};

/* Runs one worker to its end. start->inputs[i].fd are open descriptors of the caller; they stay open. *out_result is the JSON of the
 * result message (pare_free). Outputs are written beside their place and renamed when the result has come. */
PARE_MUST_USE enum pare_code pare_host_run(const struct pare_host *h, const struct pare_msg_start *start, char **out_result, struct pare_err *err);

/* The shell's job file may leave model, dataset and teacher out: *out is the text with those filled in that there are files for (pare_free). */
PARE_MUST_USE enum pare_code pare_host_job_text(const char *text, size_t len, int threads, bool data, bool teacher, char **out, struct pare_err *err);

#endif
