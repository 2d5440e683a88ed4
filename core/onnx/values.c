/* The values of a tensor, wherever they are: raw_data, or packed or unpacked entries of the typed field that belongs to the
 * dtype. All of them are turned into one stream of bit patterns of the dtype ("one element, as raw_data would hold it"), so
 * each conversion exists once. float raw_data, which is nearly every weight there is, takes short cuts instead. */
#include <string.h>

#include "core/graph/graph_priv.h"
#include "core/onnx/schema.h"
#include "core/onnx/wire.h"

struct stream {
	const uint8_t *raw; /* NULL: typed fields */
	size_t left;        /* elements that raw still holds */
	size_t size;        /* of one element in bytes */
	uint32_t field;     /* the typed field and the size of its fixed entries, 0 for varints */
	size_t fixed;
	struct pare_wire tensor, run; /* the TensorProto's fields, and the inside of a packed one */
};

static enum pare_code bad(const struct pare_tensor *t, enum pare_code code, const char *what, struct pare_err *err)
{
	char shown[PARE_NAME_SHOWN];

	(void)pare_err_set(err, code, NULL, "%s (type %s)", what, pare_dtype_name(t->dtype));
	(void)pare_err_at(err, "tensor \"%s\"", pare_name_shown(t->name, shown));
	return code;
}

static enum pare_code stream_open(struct stream *s, const struct pare_tensor *t, struct pare_err *err)
{
	int bits = pare_dtype_bits(t->dtype);

	memset(s, 0, sizeof *s);
	if (t->external)
		return bad(t, PARE_E_UNSUPPORTED, "the values are in an external file, which was not uploaded with the model", err);
	s->size = (size_t)bits / 8;
	s->field = pare_onnx_data_field(t->dtype);
	s->fixed = s->field == TENSOR_FLOAT_DATA ? 4 : s->field == TENSOR_DOUBLE_DATA ? 8 : 0;
	if (t->raw.data != NULL) {
		if (s->size == 0 || t->raw.len / s->size != t->n_elems || t->raw.len % s->size != 0)
			return bad(t, PARE_E_MODEL, "raw_data is not as long as the tensor's dimensions say", err);
		s->raw = t->raw.data;
		s->left = t->n_elems;
	}
	pare_wire_init(&s->tensor, t->wire.data, t->wire);
	pare_wire_init(&s->run, t->wire.data, (struct pare_span){t->wire.data, 0});
	return PARE_OK;
}

static bool next_typed(struct stream *s, uint64_t *out)
{
	struct pare_field f;

	for (;;) {
		if (s->fixed != 0 ? pare_wire_fixed(&s->run, s->fixed, out) : pare_wire_varint(&s->run, out))
			return true;
		do {
			if (!pare_wire_next(&s->tensor, &f))
				return false;
		} while (f.number != s->field);
		if (f.type != PARE_WIRE_LEN) {
			*out = f.bits;
			return true;
		}
		pare_wire_init(&s->run, s->tensor.file, f.span);
	}
}

static bool stream_next(struct stream *s, uint64_t *out)
{
	uint64_t bits = 0;

	if (s->raw == NULL)
		return next_typed(s, out);
	if (s->left == 0)
		return false;
	memcpy(&bits, s->raw, s->size);
	s->raw += s->size;
	s->left--;
	*out = bits;
	return true;
}

static double bits_double(uint64_t bits)
{
	double d;

	memcpy(&d, &bits, sizeof d);
	return d;
}

static float bits_float(uint64_t bits)
{
	uint32_t low = (uint32_t)bits;
	float f;

	memcpy(&f, &low, sizeof f);
	return f;
}

/* Which kinds of number a dtype is, and how its bits read as an integer. */
static bool is_int(int dtype)
{
	return (dtype >= PARE_DT_UINT8 && dtype <= PARE_DT_INT64) || dtype == PARE_DT_BOOL || dtype == PARE_DT_UINT32 || dtype == PARE_DT_UINT64;
}

static bool is_float(int dtype)
{
	return dtype == PARE_DT_FLOAT || dtype == PARE_DT_FLOAT16 || dtype == PARE_DT_BFLOAT16 || dtype == PARE_DT_DOUBLE;
}

static int64_t int_of(int dtype, uint64_t bits)
{
	switch (dtype) {
	case PARE_DT_UINT8:
		return (uint8_t)bits;
	case PARE_DT_INT8:
		return (int8_t)bits;
	case PARE_DT_UINT16:
		return (uint16_t)bits;
	case PARE_DT_INT16:
		return (int16_t)bits;
	case PARE_DT_INT32:
		return (int32_t)bits;
	case PARE_DT_UINT32:
		return (uint32_t)bits;
	case PARE_DT_BOOL:
		return (uint8_t)bits != 0;
	default:
		return (int64_t)bits;
	}
}

static float float_of(int dtype, uint64_t bits)
{
	switch (dtype) {
	case PARE_DT_FLOAT:
		return bits_float(bits);
	case PARE_DT_FLOAT16:
		return pare_half_to_float((uint16_t)bits);
	case PARE_DT_BFLOAT16:
		return pare_bfloat_to_float((uint16_t)bits);
	case PARE_DT_DOUBLE:
		return (float)bits_double(bits);
	case PARE_DT_UINT64:
		return (float)bits;
	default:
		return (float)int_of(dtype, bits);
	}
}

static enum pare_code wrong_length(const struct pare_tensor *t, size_t got, struct stream *s, struct pare_err *err)
{
	uint64_t extra;

	if (got != t->n_elems || stream_next(s, &extra))
		return bad(t, PARE_E_MODEL, "the stored values are not as many as the tensor's dimensions say", err);
	return PARE_OK;
}

enum pare_code pare_tensor_read_f32(const struct pare_tensor *t, float *out, struct pare_err *err)
{
	struct stream s;
	uint64_t bits;
	size_t n = 0;
	enum pare_code code;

	if (!is_int(t->dtype) && !is_float(t->dtype))
		return bad(t, PARE_E_UNSUPPORTED, "the values cannot be read as numbers", err);
	code = stream_open(&s, t, err);
	if (code != PARE_OK)
		return code;
	if (s.raw != NULL && t->dtype == PARE_DT_FLOAT) {
		if (t->n_elems != 0)
			memcpy(out, s.raw, t->n_elems * sizeof *out);
		return PARE_OK;
	}
	while (n < t->n_elems && stream_next(&s, &bits))
		out[n++] = float_of(t->dtype, bits);
	return wrong_length(t, n, &s, err);
}

enum pare_code pare_tensor_read_i64(const struct pare_tensor *t, int64_t *out, struct pare_err *err)
{
	struct stream s;
	uint64_t bits;
	size_t n = 0;
	enum pare_code code;

	if (!is_int(t->dtype))
		return bad(t, PARE_E_UNSUPPORTED, "the values cannot be read as integers", err);
	code = stream_open(&s, t, err);
	if (code != PARE_OK)
		return code;
	while (n < t->n_elems && stream_next(&s, &bits)) {
		if (t->dtype == PARE_DT_UINT64 && bits > INT64_MAX)
			return bad(t, PARE_E_UNSUPPORTED, "a value is larger than 2^63 - 1", err);
		out[n++] = int_of(t->dtype, bits);
	}
	return wrong_length(t, n, &s, err);
}

enum pare_code pare_tensor_read_bytes(const struct pare_tensor *t, uint8_t *out, struct pare_err *err)
{
	struct stream s;
	uint64_t bits;
	size_t n = 0;
	enum pare_code code;

	if ((!is_int(t->dtype) && !is_float(t->dtype)) || pare_dtype_bits(t->dtype) % 8 != 0)
		return bad(t, PARE_E_UNSUPPORTED, "the values are not numbers of whole bytes", err);
	code = stream_open(&s, t, err);
	for (; code == PARE_OK && n < t->n_elems && stream_next(&s, &bits); n++)
		memcpy(out + n * s.size, &bits, s.size);
	return code == PARE_OK ? wrong_length(t, n, &s, err) : code;
}

static int64_t count_nonzero_float(const uint8_t *raw, size_t n_elems)
{
	int64_t n = 0;

	for (size_t i = 0; i < n_elems; i++) {
		uint32_t bits;

		memcpy(&bits, raw + 4 * i, sizeof bits);
		n += bits << 1 != 0;
	}
	return n;
}

/* Zero is all bits zero but the sign, in every floating type. */
static enum pare_code count_nonzero(const struct pare_tensor *t, int64_t *out, struct pare_err *err)
{
	struct stream s;
	uint64_t bits;
	int64_t n = 0;
	enum pare_code code = stream_open(&s, t, err);
	unsigned drop_sign = 65 - (unsigned)pare_dtype_bits(t->dtype);

	if (code != PARE_OK)
		return code;
	if (s.raw != NULL && t->dtype == PARE_DT_FLOAT) {
		*out = count_nonzero_float(s.raw, t->n_elems);
		return PARE_OK;
	}
	while (stream_next(&s, &bits))
		n += bits << drop_sign != 0;
	*out = n;
	return PARE_OK;
}

static enum pare_code add_tensor(const struct pare_tensor *t, bool is_init, struct pare_model_counts *c, struct pare_err *err)
{
	int64_t nonzero;
	enum pare_code code;

	if (!is_float(t->dtype))
		return PARE_OK;
	code = count_nonzero(t, &nonzero, err);
	if (code != PARE_OK)
		return code;
	c->n_params += (int64_t)t->n_elems;
	c->n_nonzero += nonzero;
	if (is_init && t->n_dims >= 2) {
		c->n_weights += (int64_t)t->n_elems;
		c->n_weights_nonzero += nonzero;
	}
	return PARE_OK;
}

enum pare_code pare_model_count(const struct pare_model *m, struct pare_model_counts *out, struct pare_err *err)
{
	struct pare_model_counts c = {0};
	const struct pare_graph *g = &m->graph;

	for (int32_t i = 0; i < g->n_inits; i++) {
		enum pare_code code = add_tensor(g->values[g->inits[i]].init, true, &c, err);

		if (code != PARE_OK)
			return code;
	}
	for (int32_t i = 0; i < g->n_nodes; i++) {
		const struct pare_attr *a = pare_node_attr(&g->nodes[i], "value");
		enum pare_code code;

		if (a == NULL || a->type != PARE_ATTR_TENSOR || strcmp(g->nodes[i].op_type, "Constant") != 0 || g->nodes[i].domain[0] != '\0' ||
		    g->nodes[i].repeated)
			continue;
		code = add_tensor(a->t, false, &c, err);
		if (code != PARE_OK)
			return code;
	}
	*out = c;
	return PARE_OK;
}
