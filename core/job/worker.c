/* The order is the point: signals, sandbox, and only then the first byte of a message. What may be opened lazily by a
 * library (jansson's seed for its hash tables reads /dev/urandom) is opened before.
 *
 * PR_SET_PDEATHSIG ends the worker with the thread that started it. Should the parent die before that call, the read of the start
 * line ends at once, since no other process holds the other end of the socket.
 *
 * Inputs are mapped and not read: a data set of gigabytes costs what is touched. The size in the message must be that of
 * the file, otherwise a later access would be a SIGBUS. */
#include <errno.h>
#include <malloc.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "core/base/mem.h"
#include "core/job/job_priv.h"
#include "core/ops/kernels/gemm.h"
#include "core/recipe/json_text.h"

static atomic_bool stop_requested; /* lock-free: set by a signal handler, which may run on any thread */

static atomic_bool keep_requested;

static void on_keep(int signum)
{
	(void)signum;
	atomic_store(&keep_requested, true);
}

bool job_keep_requested(bool done)
{
	return done ? atomic_exchange(&keep_requested, false) : atomic_load(&keep_requested);
}

static void on_stop(int signum)
{
	(void)signum;
	atomic_store(&stop_requested, true);
}

const atomic_bool *job_cancel_flag(void)
{
	return &stop_requested;
}

enum pare_code job_check_canceled(const struct job_worker *w, struct pare_err *err)
{
	if (!atomic_load(&stop_requested) && !w->link.broken)
		return PARE_OK;
	return pare_err_set(err, PARE_E_CANCELED, NULL, "the job was canceled");
}

static bool is_onnx(const char *name)
{
	size_t n = strlen(name);

	return n > 5 && strcmp(name + n - 5, ".onnx") == 0;
}

enum pare_code job_model_files(const struct job_worker *w, const char *role, struct pare_span *out, struct pare_side_file *side, int *n_side, struct pare_err *err)
{
	int of_role = 0, models = 0;

	for (int i = 0; i < w->start.n_inputs; i++)
		of_role += strcmp(w->start.inputs[i].role, role) == 0;
	*n_side = 0;
	for (int i = 0; i < w->start.n_inputs; i++) {
		const struct pare_msg_input *in = &w->start.inputs[i];

		if (strcmp(in->role, role) != 0)
			continue;
		if (of_role == 1 || is_onnx(in->name)) {
			*out = w->spans[i];
			models++;
		} else if (side != NULL) {
			side[(*n_side)++] = (struct pare_side_file){in->name, w->spans[i]};
		}
	}
	if (models == 1)
		return PARE_OK;
	if (of_role == 0)
		(void)pare_err_set(err, PARE_E_INVALID, NULL, "exactly one file of the role %s is needed; got 0", role);
	else
		(void)pare_err_set(err, PARE_E_INVALID, NULL, "exactly one model is needed, and what stands beside it may not be called *.onnx; of %d files of the role %s %d are", of_role, role, models);
	return pare_err_at(err, "/%s", role);
}

#define OTHER_ARTIFACTS 16 /* the model, reports and what else a job writes */

enum pare_code job_check_side(const struct job_run *r, struct pare_err *err)
{
	if (r->n_side > JOB_MAX_ARTIFACTS - OTHER_ARTIFACTS)
		return pare_err_set(err, PARE_E_LIMIT, "/model", "the model has %d files of external data, at most %d may be", r->n_side, JOB_MAX_ARTIFACTS - OTHER_ARTIFACTS);
	for (int i = 0; i < r->n_side; i++)
		if (!pare_msg_artifact_name(r->side[i].name))
			return pare_err_set(err, PARE_E_INVALID, "/model",
			    "the external file \"%.100s\" cannot be an artifact: names are 1 to 64 letters, digits, dots, dashes and underscores", r->side[i].name);
	return PARE_OK;
}

enum pare_code job_model_input(const struct job_worker *w, const char *role, struct pare_span *out, struct pare_err *err)
{
	int n_side;

	return job_model_files(w, role, out, NULL, &n_side, err);
}

static enum pare_code map_inputs(struct job_worker *w, struct pare_err *err)
{
	for (int i = 0; i < w->start.n_inputs; i++) {
		const struct pare_msg_input *in = &w->start.inputs[i];
		off_t size = lseek(in->fd, 0, SEEK_END);
		void *p;

		if (size < 0 || (int64_t)size != in->n_bytes)
			return pare_err_set(err, PARE_E_IO, in->name, "the file has %lld bytes, %lld were announced", (long long)size, (long long)in->n_bytes);
		w->spans[i] = (struct pare_span){(const uint8_t *)"", 0};
		if (size == 0)
			continue;
		p = mmap(NULL, (size_t)size, PROT_READ, MAP_PRIVATE, in->fd, 0);
		if (p == MAP_FAILED)
			return pare_err_errno(err, errno, in->name);
		w->spans[i] = (struct pare_span){p, (size_t)size};
	}
	return PARE_OK;
}

static void unmap_inputs(struct job_worker *w)
{
	for (int i = 0; i < w->start.n_inputs; i++)
		if (w->spans[i].len > 0)
			(void)munmap((void *)(uintptr_t)w->spans[i].data, w->spans[i].len);
}

static const struct {
	const char *kind;
	enum pare_code (*run)(struct job_worker *, struct job_answer *, struct pare_err *);
} kind_table[] = {
    {"run", job_run},
    {"inspect-model", job_inspect_model},
    {"inspect-dataset", job_inspect_dataset},
    {"sample-dataset", job_sample_dataset},
    {"analyze", job_analyze},
    {"build", job_build},
    {"pack", job_pack},
    {"unpack", job_unpack},
    {"capabilities", job_capabilities},
};

static int64_t announced_bytes(const struct job_worker *w)
{
	int64_t sum = 0;

	for (int i = 0; i < w->start.n_inputs; i++)
		if (__builtin_add_overflow(sum, w->start.inputs[i].n_bytes, &sum))
			return INT64_MAX;
	return sum;
}

static enum pare_code receive(struct job_worker *w, struct pare_err *err)
{
	const char *line;
	size_t len;
	int64_t own = 0;
	enum pare_code code = pare_link_read(&w->link, &line, &len, err);

	if (code != PARE_OK) {
		w->link.broken = true;
		return code;
	}
	code = pare_msg_read_start(line, len, &w->start, err);
	if (code == PARE_OK && w->start.memory_bytes > 0 && (own = pare_gemm_reserve(w->start.threads > 0 ? (int)w->start.threads : 1)) < 0)
		code = pare_err_set(err, PARE_E_NOMEM, NULL, "there is no room for what matrix products pack, 128 MiB of addresses a thread");
	if (code == PARE_OK)
		code = pare_sandbox_limits(w->start.memory_bytes, own, announced_bytes(w), w->start.cpu_seconds, err);
	if (code == PARE_OK)
		code = map_inputs(w, err);
	return code;
}

static enum pare_code obey(struct job_worker *w, struct job_answer *a, struct pare_err *err)
{
	for (size_t i = 0; i < sizeof kind_table / sizeof kind_table[0]; i++)
		if (strcmp(kind_table[i].kind, w->start.kind) == 0)
			return kind_table[i].run(w, a, err);
	return pare_err_set(err, PARE_E_INTERNAL, NULL, "unknown kind of request");
}

/* Out of memory under a limit is the job's fault, not the machine's. */
static void blame_limit(const struct job_worker *w, struct pare_err *err)
{
	if (err->code != PARE_E_NOMEM || w->start.memory_bytes <= 0)
		return;
	(void)pare_err_set(err, PARE_E_MEMORY_LIMIT, "/limits/max_memory_bytes", "the job needs more than the %lld bytes of memory that it may have", (long long)w->start.memory_bytes);
}

static void answer(struct job_worker *w, enum pare_code code, struct job_answer *a, struct pare_err *err)
{
	struct pare_err failure;

	if (code == PARE_OK)
		code = pare_buf_status(&a->result, err);
	if (code == PARE_OK && a->trials != NULL)
		code = pare_link_send(&w->link, pare_msg_write_trials(&w->link.out, a->trials, a->n_trials, a->n_known, a->n_all, err), err);
	else if (code == PARE_OK)
		code = pare_link_send(&w->link, pare_msg_write_result(&w->link.out, a->result.data, a->artifacts, a->n_artifacts, err), err);
	if (code == PARE_OK)
		return;
	err->code = code;
	blame_limit(w, err);
	pare_buf_reset(&w->link.out);
	if (pare_link_send(&w->link, pare_msg_write_error(&w->link.out, err, &failure), &failure) != PARE_OK)
		w->link.broken = true;
}

int pare_worker_main(void)
{
	struct sigaction action = {.sa_handler = on_stop}, keep = {.sa_handler = on_keep, .sa_flags = SA_RESTART};
	struct job_worker *w = pare_calloc(1, sizeof *w);
	struct job_answer a = {.n_artifacts = 0};
	struct pare_err err = {.code = PARE_OK};
	enum pare_code code;
	int status;

	if (w == NULL)
		return 1;
	(void)sigaction(SIGTERM, &action, NULL);
	(void)sigaction(SIGINT, &action, NULL);
	(void)sigaction(SIGUSR1, &keep, NULL);
	(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
	(void)mallopt(M_ARENA_MAX, 1); /* glibc opens a file when it shrinks a second one, which it turns to when memory runs short */
	(void)pare_gemm_reserve(1); /* sees the size of a buffer, which the sandbox hides */
	pare_json_init();
	pare_link_init(&w->link, PARE_ENGINE_FD);
	pare_buf_init(&a.result, PARE_LINE_MAX);
	code = pare_sandbox_enter(w->sandbox, &err);
	if (code == PARE_OK)
		code = receive(w, &err);
	if (code == PARE_OK)
		code = obey(w, &a, &err);
	answer(w, code, &a, &err);
	status = w->link.broken ? 1 : 0;
	unmap_inputs(w);
	pare_msg_start_done(&w->start);
	pare_buf_done(&a.result);
	pare_free(a.trials);
	pare_link_done(&w->link);
	pare_free(w);
	return status;
}
