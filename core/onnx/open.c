/* Reading and lifting in one: the file is read, and if weights stand in Constant nodes, or a Loop is a recurrent layer, it is written anew and read again. */
#include "core/base/num.h"
#include "core/graph/lift.h"
#include "core/onnx/loop_priv.h"
#include "core/onnx/onnx.h"

#define MIN_IR_VERSION 4

/* What is rewritten is about as long as the file: typed fields (varints) become raw data, at most 4 times as long. */
static enum pare_code write_lifted(const struct pare_model *m, const struct pare_rewrite *rw, struct pare_buf *own, struct pare_err *err)
{
	size_t cap;

	if (!pare_mul_size(m->file.len, 4, &cap) || !pare_add_size(cap, (size_t)1 << 20, &cap))
		return pare_err_set(err, PARE_E_LIMIT, NULL, "the model is too large");
	pare_buf_init(own, cap);
	return pare_onnx_rewrite(m, rw, own, err);
}

static bool may_lift(const struct pare_model *m)
{
	bool may = m->ir_version >= MIN_IR_VERSION;

	for (int32_t i = 0; i < m->graph.n_nodes; i++)
		may &= !m->graph.nodes[i].inlined;
	return may;
}

static enum pare_code lift(const struct pare_model *m, struct pare_buf *own, struct pare_err *err)
{
	struct pare_rewrite rw;
	size_t n = 0;
	enum pare_code code = pare_rewrite_init(&rw, m, err);

	if (code != PARE_OK)
		return code;
	code = pare_lift_weights(m, &rw, &n, err);
	if (code == PARE_OK)
		code = pare_lift_loops(m, &rw, &n, err);
	if (code == PARE_OK && n > 0)
		code = write_lifted(m, &rw, own, err);
	pare_rewrite_done(&rw);
	return code;
}

enum pare_code pare_onnx_open(struct pare_span file, struct pare_buf *own, struct pare_model **out, struct pare_err *err)
{
	struct pare_model *m = NULL;
	enum pare_code code = pare_onnx_read(file, &m, err);

	pare_buf_init(own, 0);
	if (code == PARE_OK && may_lift(m))
		code = lift(m, own, err);
	if (code == PARE_OK && own->len > 0) {
		pare_model_free(m);
		m = NULL;
		code = pare_onnx_read((struct pare_span){(const uint8_t *)own->data, own->len}, &m, err);
	}
	if (code == PARE_OK)
		*out = m;
	else
		pare_model_free(m);
	return code;
}
