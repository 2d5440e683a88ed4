/* Writing is copying. Only three kinds of messages can change: a replaced TensorProto, the graph around it and the model
 * around that, and of the latter two only their lengths. So the file is copied run by run, and where a tensor was replaced
 * its fields are copied one by one: the values (raw_data, typed data, external references) are left out, all others,
 * unknown ones included, keep their bytes and their order, and the new raw_data stands where the first of the old values stood.
 * To decode the model into messages and encode those again, as other tools do, loses what the tool does not know.
 *
 * Lengths come first in protobuf, so each pass over a tensor or a graph is run twice by one function: once to count (out is
 * NULL), once to write. */
#include "core/onnx/onnx.h"

#include "core/graph/graph_priv.h"
#include "core/onnx/schema.h"
#include "core/onnx/wire.h"
#include "core/onnx/write_priv.h"

struct sink {
	struct pare_buf *out; /* NULL: only count */
	size_t n_bytes;
};

static void put(struct sink *s, const uint8_t *p, size_t n)
{
	if (s->out != NULL)
		(void)pare_buf_add(s->out, p, n);
	s->n_bytes += n;
}

/* The tag as it came, the length anew. */
static void put_head(struct sink *s, const struct pare_field *f, size_t len)
{
	put(s, f->at, (size_t)(f->body - f->at));
	if (s->out != NULL)
		pare_wire_put_varint(s->out, len);
	s->n_bytes += pare_wire_varint_size(len);
}

static void put_raw_data(struct sink *s, const struct pare_init_patch *patch)
{
	if (s->out != NULL)
		pare_wire_put_bytes(s->out, TENSOR_RAW_DATA, patch->bytes, patch->n_bytes);
	s->n_bytes += 1 + pare_wire_varint_size(patch->n_bytes) + patch->n_bytes;
}

bool pare_onnx_holds_values(uint32_t number)
{
	switch (number) {
	case TENSOR_FLOAT_DATA:
	case TENSOR_INT32_DATA:
	case TENSOR_STRING_DATA:
	case TENSOR_INT64_DATA:
	case TENSOR_RAW_DATA:
	case TENSOR_DOUBLE_DATA:
	case TENSOR_UINT64_DATA:
	case TENSOR_EXTERNAL_DATA:
	case TENSOR_DATA_LOCATION:
		return true;
	default:
		return false;
	}
}

static void put_tensor(struct sink *s, const uint8_t *file, struct pare_span tensor, const struct pare_init_patch *patch)
{
	bool is_done = false;
	struct pare_field f;
	struct pare_wire w;

	pare_wire_init(&w, file, tensor);
	while (pare_wire_next(&w, &f)) {
		if (!pare_onnx_holds_values(f.number)) {
			put(s, f.at, (size_t)(w.p - f.at));
			continue;
		}
		if (!is_done)
			put_raw_data(s, patch);
		is_done = true;
	}
	if (!is_done)
		put_raw_data(s, patch);
}

static void put_patched(struct sink *s, const uint8_t *file, const struct pare_field *f, const struct pare_init_patch *patch)
{
	struct sink measure = {NULL, 0};

	put_tensor(&measure, file, f->span, patch);
	put_head(s, f, measure.n_bytes);
	put_tensor(s, file, f->span, patch);
}

void pare_onnx_put_patched(struct pare_buf *out, const uint8_t *file, const struct pare_field *f, const struct pare_init_patch *patch)
{
	struct sink s = {out, 0};

	put_patched(&s, file, f, patch);
}

static const struct pare_init_patch *patch_of(const struct pare_model *m, int32_t nth_init)
{
	return m->patches[m->graph.inits[nth_init]];
}

static void put_graph(struct sink *s, const struct pare_model *m, struct pare_span graph)
{
	const uint8_t *kept = graph.data; /* copied up to here */
	int32_t n_inits = 0;
	struct pare_field f;
	struct pare_wire w;

	pare_wire_init(&w, m->file.data, graph);
	while (pare_wire_next(&w, &f)) {
		const struct pare_init_patch *patch = f.number == GRAPH_INITIALIZER ? patch_of(m, n_inits++) : NULL;

		if (patch == NULL)
			continue;
		put(s, kept, (size_t)(f.at - kept));
		kept = w.p;
		put_patched(s, m->file.data, &f, patch);
	}
	put(s, kept, (size_t)(graph.data + graph.len - kept));
}

enum pare_code pare_onnx_write(const struct pare_model *m, struct pare_buf *out, struct pare_err *err)
{
	struct sink s = {out, 0};
	const uint8_t *kept = m->file.data;
	struct pare_field f;
	struct pare_wire w;

	pare_wire_init(&w, m->file.data, m->file);
	while (m->patches != NULL && pare_wire_next(&w, &f)) {
		struct sink measure = {NULL, 0};

		if (f.number != MODEL_GRAPH)
			continue;
		put(&s, kept, (size_t)(f.at - kept));
		kept = w.p;
		put_graph(&measure, m, f.span);
		put_head(&s, &f, measure.n_bytes);
		put_graph(&s, m, f.span);
	}
	put(&s, kept, (size_t)(m->file.data + m->file.len - kept));
	return pare_buf_status(out, err);
}
