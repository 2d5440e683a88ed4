/* Reading and lifting in one. What is lifted is written anew and read again, twice where it must be: whether layers share a tensor of one number throughout
 * is seen once all weights are initializers and have their values. */
#include "core/base/num.h"
#include "core/graph/lift.h"
#include "core/onnx/loop_priv.h"
#include "core/onnx/onnx.h"

#define MIN_IR_VERSION 4
#define EXTRA ((size_t)1 << 20)

struct opening {
	struct pare_model *m;
	struct pare_buf *own;
	const struct pare_side_file *files;
	int n_files;
	size_t room; /* what copies of shared tensors may take: as much as all files */
	struct pare_err *err;
};

/* What is rewritten is about as long as the file: typed fields (varints) become raw data, at most 4 times as long. */
static enum pare_code take_rewritten(struct opening *o, const struct pare_rewrite *rw)
{
	struct pare_buf out;
	enum pare_code code;
	size_t cap;

	if (!pare_mul_size(o->m->file.len, 4, &cap) || !pare_add_size(cap, o->room, &cap) || !pare_add_size(cap, EXTRA, &cap))
		return pare_err_set(o->err, PARE_E_LIMIT, NULL, "the model is too large");
	pare_buf_init(&out, cap);
	code = pare_onnx_rewrite(o->m, rw, &out, o->err);
	pare_model_free(o->m);
	o->m = NULL;
	pare_buf_done(o->own);
	*o->own = out;
	return code == PARE_OK ? pare_onnx_read((struct pare_span){(const uint8_t *)out.data, out.len}, &o->m, o->err) : code;
}

enum pare_code pare_onnx_gather(struct pare_model **m, struct pare_buf *own, struct pare_err *err)
{
	const struct pare_graph *g = &(*m)->graph;
	size_t cap = 2 * (*m)->file.len + EXTRA; /* lengths, and heads of values, grow by a few bytes each */
	enum pare_code code = PARE_OK;
	struct pare_buf out;
	bool any = false;

	for (int32_t i = 0; i < g->n_inits && code == PARE_OK; i++) {
		const struct pare_tensor *t = g->values[g->inits[i]].init;

		if (!t->beside)
			continue;
		any = true;
		cap += t->raw.len;
		code = pare_model_take_init(*m, g->inits[i], err);
	}
	if (code != PARE_OK || !any)
		return code;
	pare_buf_init(&out, cap);
	code = pare_onnx_write(*m, &out, err);
	pare_model_free(*m);
	*m = NULL;
	pare_buf_done(own);
	*own = out;
	return code == PARE_OK ? pare_onnx_read((struct pare_span){(const uint8_t *)out.data, out.len}, m, err) : code;
}

static bool may_lift(const struct pare_model *m)
{
	bool may = m->ir_version >= MIN_IR_VERSION;

	for (int32_t i = 0; i < m->graph.n_nodes; i++)
		may &= !m->graph.nodes[i].inlined;
	return may;
}

static enum pare_code take_branches(struct opening *o)
{
	enum pare_code code = PARE_OK;
	size_t n = 1, work = 0;

	while (n > 0 && code == PARE_OK && pare_has_branches(o->m)) {
		struct pare_rewrite rw;

		n = 0;
		code = pare_rewrite_init(&rw, o->m, o->err);
		if (code != PARE_OK)
			return code;
		code = pare_lift_branches(o->m, &rw, &n, &work, o->err);
		if (code == PARE_OK && n > 0)
			code = take_rewritten(o, &rw);
		pare_rewrite_done(&rw);
	}
	return code;
}

static enum pare_code lift(struct opening *o)
{
	struct pare_rewrite rw;
	size_t n = 0;
	enum pare_code code = pare_rewrite_init(&rw, o->m, o->err);

	if (code != PARE_OK)
		return code;
	code = pare_lift_weights(o->m, &rw, &n, o->err);
	if (code == PARE_OK)
		code = pare_lift_loops(o->m, &rw, &n, o->err);
	if (code == PARE_OK && n > 0)
		code = take_rewritten(o, &rw);
	pare_rewrite_done(&rw);
	return code;
}

static enum pare_code untie(struct opening *o)
{
	struct pare_rewrite rw;
	size_t n = 0;
	enum pare_code code = pare_rewrite_init(&rw, o->m, o->err);

	if (code != PARE_OK)
		return code;
	code = pare_lift_shared(o->m, o->room, &rw, &n, o->err);
	if (code == PARE_OK && n > 0)
		code = take_rewritten(o, &rw);
	pare_rewrite_done(&rw);
	return code == PARE_OK && n > 0 ? pare_onnx_attach(o->m, o->files, o->n_files, o->err) : code;
}

enum pare_code pare_onnx_open(struct pare_span file, const struct pare_side_file *files, int n_files, struct pare_buf *own, struct pare_model **out, struct pare_err *err)
{
	struct pare_err unwanted = {.code = PARE_OK};
	struct opening o = {.own = own, .files = files, .n_files = n_files, .room = EXTRA, .err = err != NULL ? err : &unwanted};
	enum pare_code code = pare_onnx_read(file, &o.m, o.err);
	bool may = code == PARE_OK && may_lift(o.m);

	pare_buf_init(own, 0);
	for (int i = -1; i < n_files && code == PARE_OK; i++)
		if (!pare_add_size(o.room, i < 0 ? file.len : files[i].bytes.len, &o.room))
			code = pare_err_set(o.err, PARE_E_LIMIT, NULL, "the model is too large");
	if (code == PARE_OK && may)
		code = take_branches(&o);
	if (code == PARE_OK && may)
		code = lift(&o);
	if (code == PARE_OK)
		code = pare_onnx_attach(o.m, files, n_files, o.err);
	if (code == PARE_OK && may)
		code = untie(&o);
	if (code == PARE_OK)
		*out = o.m;
	else
		pare_model_free(o.m);
	return code;
}
