/* pack and unpack: a model's file to its entropy-coded form and back, for a shell and for the output "compressed". In the worker
 * like everything that reads what others wrote. */
#include "core/compress/pack.h"
#include "core/job/job_priv.h"
#include "core/onnx/onnx.h"
#include "core/recipe/json_text.h"

#define MODEL_MAX ((size_t)2 << 30) /* protobuf's own limit of a file */

enum pare_code job_pack_file(struct pare_span file, struct pare_buf *out, struct pare_err *err)
{
	struct pare_model *m = NULL;
	enum pare_code code = pare_onnx_read(file, &m, err);

	if (code == PARE_OK)
		code = pare_model_pack(m, file, out, err);
	pare_model_free(m);
	return code;
}

static enum pare_code answer(struct job_worker *w, struct job_answer *a, const char *name, const char *media_type, size_t before, const struct pare_buf *out,
    struct pare_err *err)
{
	enum pare_code code = pare_link_output(&w->link, name, media_type, out->data, out->len, err);

	if (code != PARE_OK)
		return code;
	a->artifacts[a->n_artifacts++] = name;
	pare_buf_str(&a->result, "{");
	pare_json_key_int(&a->result, "bytes", (int64_t)before);
	pare_json_key_int(&a->result, "bytes_out", (int64_t)out->len);
	pare_buf_str(&a->result, "}");
	return PARE_OK;
}

enum pare_code job_pack(struct job_worker *w, struct job_answer *a, struct pare_err *err)
{
	struct pare_span file;
	struct pare_buf out;
	enum pare_code code = job_model_input(w, "model", &file, err);

	pare_buf_init(&out, MODEL_MAX);
	if (code == PARE_OK)
		code = job_pack_file(file, &out, err);
	if (code == PARE_OK)
		code = answer(w, a, "model.packed", "application/octet-stream", file.len, &out, err);
	pare_buf_done(&out);
	return code;
}

enum pare_code job_unpack(struct job_worker *w, struct job_answer *a, struct pare_err *err)
{
	struct pare_span file;
	struct pare_buf out;
	enum pare_code code = job_model_input(w, "packed", &file, err);

	pare_buf_init(&out, MODEL_MAX);
	if (code == PARE_OK)
		code = pare_model_unpack(file, &out, err);
	if (code == PARE_OK)
		code = answer(w, a, "model.onnx", "application/onnx", file.len, &out, err);
	pare_buf_done(&out);
	return code;
}
