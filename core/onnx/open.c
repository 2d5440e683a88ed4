/* Reading and lifting in one: the file is read, and if weights stand in Constant nodes it is written anew and read again. */
#include "core/base/num.h"
#include "core/graph/lift.h"
#include "core/onnx/onnx.h"

/* What is rewritten is about as long as the file: typed fields (varints) become raw data, at most 4 times as long. */
static enum pare_code write_lifted(const struct pare_model *m, const struct pare_rewrite *rw, struct pare_buf *own, struct pare_err *err)
{
	size_t cap;

	if (!pare_mul_size(m->file.len, 4, &cap) || !pare_add_size(cap, (size_t)1 << 20, &cap))
		return pare_err_set(err, PARE_E_LIMIT, NULL, "the model is too large");
	pare_buf_init(own, cap);
	return pare_onnx_rewrite(m, rw, own, err);
}

enum pare_code pare_onnx_open(struct pare_span file, struct pare_buf *own, struct pare_model **out, struct pare_err *err)
{
	struct pare_rewrite rw;
	struct pare_model *m = NULL;
	size_t n = 0;
	enum pare_code code = pare_onnx_read(file, &m, err);

	pare_buf_init(own, 0);
	if (code == PARE_OK)
		code = pare_lift_weights(m, &rw, &n, err);
	if (n > 0) {
		if (code == PARE_OK)
			code = write_lifted(m, &rw, own, err);
		pare_rewrite_done(&rw);
		pare_model_free(m);
		m = NULL;
		if (code == PARE_OK)
			code = pare_onnx_read((struct pare_span){(const uint8_t *)own->data, own->len}, &m, err);
	}
	if (code == PARE_OK)
		*out = m;
	else
		pare_model_free(m);
	return code;
}
