/* What the daemon and the engine say to each other: JSON lines over a Unix stream socketpair (fd 3 in the engine), at most
 * PARE_LINE_MAX bytes each. Both sides use this file, nothing else writes or reads the lines.
 *
 * daemon -> engine, once:
 *   {"type":"start","kind":"run|analyze|inspect-model|inspect-dataset|sample-dataset|build|pack|unpack","job":{…canonical job…} | null,
 *    "architecture":{…} (build), "options":{…} (inspect-dataset, sample-dataset: label, task; the job of the latter is {"rows":5}),
 *    "inputs":[{"role":"model|teacher|data|checkpoint","name":"train-images-idx3-ubyte","fd":5,"bytes":47040016,"sha256":"…" (or absent)}, …],
 *    "limits":{"memory_bytes":N,"cpu_seconds":N,"threads":N},"checkpoint_ms":N,"trials":null | [{…run of the sweep and its outcome…}, …]}
 *   Of several files of a model the one called *.onnx is the model, the others are its external data. The fds are inherited,
 *   read-only; the engine maps them. checkpoint_ms: the state of the job is wanted, no more often than that; 0: never. trials: which runs of the job's sweep
 *   have been made already, and that the engine shall ask for others and not make them; null: it makes them all.
 * engine -> daemon:
 *   {"type":"event","event":"phase|metrics|log|progress|checkpoint|resumed","data":{…}}      any number
 *   {"type":"open","name":"model.onnx","media_type":"application/onnx"}   wants an output; answered by one line {"type":"fd","name":…} whose
 *       last byte carries the descriptor (SCM_RIGHTS; read and write), or {"type":"error",…}. An output that the result does not name
 *       (data that decode to more than memory should hold) is dropped. The output "checkpoint" may be asked for again and again: the event checkpoint
 *       says that the last one is written and closed, and takes its place as what to go on from.
 *   {"type":"result","data":{…},"artifacts":["model.onnx","report.json"]}  last line: done
 *   {"type":"trials","trials":[{"variant","rung","repeat","fold"}, …],"known":N,"all":N}   last line: these runs of the sweep are needed before
 *       the job can go on, of all that it needs on its way, of which it knows some; 1 to PARE_MAX_TRIALS of them
 *   {"type":"error","code":"shape_mismatch","message":"…","where":"…"}     last line: failed
 * An end of the stream without a last line is a crash; the exit status tells which. */
#ifndef PARE_RECIPE_PROTOCOL_H
#define PARE_RECIPE_PROTOCOL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/base/buf.h"
#include "core/base/err.h"
#include "core/recipe/trial.h"

#define PARE_LINE_MAX ((size_t)4 << 20)
#define PARE_ENGINE_FD 3
#define PARE_MAX_INPUTS 64
#define PARE_CHECKPOINT_OUTPUT "checkpoint"
#define PARE_MAX_TRIALS 256 /* asked for at once */

struct pare_msg_input {
	const char *role, *name;
	int fd;
	int64_t n_bytes;
	const char *sha256; /* lower-case hex, NULL: not known */
};

struct pare_msg_start {
	const char *kind;
	const char *job;          /* JSON text or NULL */
	const char *architecture; /* JSON text or NULL */
	const char *options;      /* JSON text or NULL */
	int n_inputs;
	struct pare_msg_input inputs[PARE_MAX_INPUTS];
	int64_t memory_bytes, cpu_seconds; /* 0: no limit */
	int64_t threads;                   /* that compute; 0 is 1 */
	int64_t checkpoint_ms;             /* 0: none are wanted */
	const struct pare_trial *trials;   /* that are known, n_trials of them; NULL: the engine makes all itself */
	int n_trials;
	void *owner; /* of a parsed message's strings */
};

enum pare_msg_type { PARE_MSG_EVENT, PARE_MSG_OPEN, PARE_MSG_RESULT, PARE_MSG_ERROR, PARE_MSG_FD, PARE_MSG_TRIALS };

#define PARE_MAX_ARTIFACTS 64
struct pare_msg { /* engine -> daemon, parsed; all strings live until pare_msg_done */
	enum pare_msg_type type;
	const char *event;      /* EVENT */
	const char *data;       /* EVENT, RESULT: JSON text of the object */
	const char *name;       /* OPEN, FD: checked: [A-Za-z0-9._-]{1,64}, no leading dot */
	const char *media_type; /* OPEN */
	int n_artifacts;
	const char *artifacts[PARE_MAX_ARTIFACTS]; /* RESULT */
	struct pare_err error;  /* ERROR */
	const struct pare_trial *trials; /* TRIALS: 1 to PARE_MAX_TRIALS that are needed; places in a sweep of any shape */
	int n_trials, n_known, n_all;    /* n_all >= n_known + n_trials */
	void *owner;
};

/* May an artifact be called that? [A-Za-z0-9._-]{1,64}, no leading dot. */
bool pare_msg_artifact_name(const char *s);

/* Writers append one line with its newline. data and job texts must be valid JSON (asserted by parsing). */
PARE_MUST_USE enum pare_code pare_msg_write_start(struct pare_buf *out, const struct pare_msg_start *m, struct pare_err *err);
PARE_MUST_USE enum pare_code pare_msg_write_event(struct pare_buf *out, const char *event, const char *data, struct pare_err *err);
PARE_MUST_USE enum pare_code pare_msg_write_open(struct pare_buf *out, const char *name, const char *media_type, struct pare_err *err);
PARE_MUST_USE enum pare_code pare_msg_write_fd(struct pare_buf *out, const char *name, struct pare_err *err);
PARE_MUST_USE enum pare_code pare_msg_write_result(struct pare_buf *out, const char *data, const char *const *artifacts, int n, struct pare_err *err);
PARE_MUST_USE enum pare_code pare_msg_write_trials(struct pare_buf *out, const struct pare_trial *trials, int n, int n_known, int n_all, struct pare_err *err);
PARE_MUST_USE enum pare_code pare_msg_write_error(struct pare_buf *out, const struct pare_err *e, struct pare_err *err);

/* Readers take one line without its newline. PARE_E_SYNTAX for anything that is not one of the messages above. */
PARE_MUST_USE enum pare_code pare_msg_read_start(const char *line, size_t len, struct pare_msg_start *out, struct pare_err *err);
PARE_MUST_USE enum pare_code pare_msg_read(const char *line, size_t len, struct pare_msg *out, struct pare_err *err);
void pare_msg_start_done(struct pare_msg_start *m);
void pare_msg_done(struct pare_msg *m);

#endif
