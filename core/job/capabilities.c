/* What this engine can do, from its own tables: which operators of which opsets it executes, which element types and data formats it reads. Whoever lacks an
 * operator learns so here, before uploading anything.
 *
 * An operator whose meaning changed between opsets has several rows; ranges that follow on each other are one. A row without a gradient runs in inference, and
 * as a fixed part of a net that is trained; the row says why. Models with other operators can still be pruned by their weights alone. */
#include "core/base/mem.h"
#include "core/data/data.h"
#include "core/graph/graph.h"
#include "core/job/job_priv.h"
#include "core/ops/kernels/gemm.h"
#include "core/ops/op.h"
#include "core/recipe/json_text.h"

#include <string.h>

static bool same_operator(const struct pare_op *a, const struct pare_op *b)
{
	return strcmp(a->domain, b->domain) == 0 && strcmp(a->name, b->name) == 0;
}

static bool is_first_row(size_t i)
{
	for (size_t k = 0; k < i; k++)
		if (same_operator(pare_op_at(k), pare_op_at(i)))
			return false;
	return true;
}

static void write_range(struct pare_buf *b, int since, int until)
{
	pare_json_sep(b);
	pare_buf_str(b, "{");
	pare_json_key_int(b, "since", since);
	pare_json_key_int(b, "until", until);
	pare_buf_str(b, "}");
}

/* The opsets of all rows of one operator, from the lowest on: what does not join on begins a new range. */
static void write_ranges(struct pare_buf *b, const struct pare_op *op)
{
	const struct pare_op *row;
	int since = 0, until = 0;

	for (int opset = 1; opset <= PARE_OPSET_MAX + 1; opset++) {
		bool in = false;

		for (size_t i = 0; (row = pare_op_at(i)) != NULL && !in; i++)
			in = same_operator(row, op) && row->since <= opset && opset <= row->until;
		if (in && since == 0)
			since = opset;
		if (in)
			until = opset;
		if (!in && since != 0) {
			write_range(b, since, until);
			since = 0;
		}
	}
	if (since != 0)
		write_range(b, since, until);
}

static void write_operators(struct pare_buf *b)
{
	const struct pare_op *op;

	pare_json_key_raw(b, "operators", "[");
	for (size_t i = 0; (op = pare_op_at(i)) != NULL; i++) {
		if (!is_first_row(i))
			continue;
		pare_json_sep(b);
		pare_buf_str(b, "{");
		pare_json_key_str(b, "name", op->name);
		pare_json_key_str(b, "domain", op->domain);
		pare_json_key_raw(b, "opsets", "[");
		write_ranges(b, op);
		pare_buf_str(b, "]");
		pare_json_key_bool(b, "gradient", op->no_gradient == NULL);
		if (op->no_gradient != NULL)
			pare_json_key_str(b, "no_gradient", op->no_gradient);
		pare_buf_str(b, "}");
	}
	pare_buf_str(b, "]");
}

/* Computed with: floats become float32 and leave in their own type. Others are carried as they are. */
static void write_dtypes(struct pare_buf *b)
{
	pare_json_key_raw(b, "dtypes", "[");
	for (int t = PARE_DT_UNDEFINED + 1; t <= PARE_DT_MAX; t++) {
		pare_json_sep(b);
		pare_buf_str(b, "{");
		pare_json_key_str(b, "name", pare_dtype_name(t));
		pare_json_key_int(b, "onnx", t);
		pare_json_key_int(b, "bits", pare_dtype_bits(t));
		pare_json_key_str(b, "use", !pare_dtype_is_number(t) ? "carried" : "computed");
		pare_json_key_str(b, "computed_as", pare_dtype_is_number(t) ? pare_dtype_name(pare_dtype_computed(t)) : NULL);
		pare_buf_str(b, "}");
	}
	pare_buf_str(b, "]");
}

static void write_data(struct pare_buf *b)
{
	const char *name;

	pare_json_key_raw(b, "datasets", "{");
	pare_json_key_raw(b, "formats", "[");
	for (size_t i = 0; (name = pare_data_format_at(i)) != NULL; i++) {
		pare_json_sep(b);
		pare_json_str(b, name);
	}
	pare_buf_str(b, "]");
	pare_json_key_raw(b, "compressions", "[\"gzip\"]");
	pare_json_key_raw(b, "tasks", "[");
	for (int i = 0; i < PARE_N_TASKS; i++) {
		pare_json_sep(b);
		pare_json_str(b, pare_task_names[i]);
	}
	pare_buf_str(b, "]}");
}

enum pare_code job_capabilities(struct job_worker *w, struct job_answer *a, struct pare_err *err)
{
	struct pare_buf *b = &a->result;

	(void)w;
	pare_buf_str(b, "{");
	pare_json_key_str(b, "version", PARE_VERSION);
	pare_json_key_str(b, "blas_core", pare_gemm_core());
	pare_json_key_raw(b, "onnx", "{");
	pare_json_key_raw(b, "opset", "{");
	pare_json_key_int(b, "min", PARE_OPSET_MIN);
	pare_json_key_int(b, "max", PARE_OPSET_MAX);
	pare_buf_str(b, "}");
	pare_json_key_raw(b, "ir_version", "{\"min\":1}"); /* fields that are newer than this program are carried */
	pare_json_key_bool(b, "external_data", true);
	pare_json_key_bool(b, "local_functions", true);
	pare_buf_str(b, "}");
	write_operators(b);
	write_dtypes(b);
	write_data(b);
	pare_buf_str(b, "}");
	return pare_buf_status(b, err);
}
