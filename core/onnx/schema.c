/* The schema is data: one row per field, one table per message, numbers as of ONNX 1.23 (IR 14). The walk below knows no
 * message by name, so a new field is one row. Fields without a row are unknown: they are stepped over and, because
 * writing copies bytes, kept.
 *
 * The walk keeps its own stack of 64 cursors. A recursive one would need as much C stack as the file asks for: a file of
 * 114 KB with 10,000 nested subgraphs kills protobuf-c that way.
 *
 * Protobuf merges a single submessage that comes twice; two graphs would then be one graph for us and another for the next
 * reader, so a second one is refused. Of a scalar that comes twice the last counts, as everywhere. Doc strings are not
 * looked into: old exporters wrote Latin-1 there. */
#include "core/onnx/schema.h"

#include <string.h>

#include "core/base/num.h"
#include "core/onnx/wire.h"

enum kind {
	VARINT,
	FIXED32,
	BYTES,
	NAME, /* UTF-8 without NUL, so that it can live as a C string */
	VARINTS,
	FLOATS,
	DOUBLES,
	ONE,  /* a submessage */
	MANY  /* repeated submessages */
};

enum msg {
	MSG_MODEL,
	MSG_GRAPH,
	MSG_NODE,
	MSG_ATTR,
	MSG_TENSOR,
	MSG_SPARSE,
	MSG_VALUE,
	MSG_TYPE,
	MSG_TENSOR_TYPE,
	MSG_SEQUENCE,
	MSG_MAP,
	MSG_SHAPE,
	MSG_DIM,
	MSG_ENTRY,
	MSG_OPSET,
	MSG_FUNCTION,
	MSG_TRAINING,
	N_MSGS
};

struct field_row {
	uint8_t number;
	uint8_t kind;
	uint8_t msg;
	const char *name;
};

#define MAX_ROWS 20

static const struct {
	const char *name;
	struct field_row rows[MAX_ROWS]; /* ends at number 0 */
} msg_table[N_MSGS] = {
    [MSG_MODEL] = {"ModelProto",
        {{1, VARINT, 0, "ir_version"}, {2, NAME, 0, "producer_name"}, {3, NAME, 0, "producer_version"}, {4, NAME, 0, "domain"},
            {5, VARINT, 0, "model_version"}, {6, BYTES, 0, "doc_string"}, {7, ONE, MSG_GRAPH, "graph"},
            {8, MANY, MSG_OPSET, "opset_import"}, {14, MANY, MSG_ENTRY, "metadata_props"},
            {20, MANY, MSG_TRAINING, "training_info"}, {25, MANY, MSG_FUNCTION, "functions"}}},
    [MSG_GRAPH] = {"GraphProto",
        {{1, MANY, MSG_NODE, "node"}, {2, NAME, 0, "name"}, {5, MANY, MSG_TENSOR, "initializer"}, {10, BYTES, 0, "doc_string"},
            {11, MANY, MSG_VALUE, "input"}, {12, MANY, MSG_VALUE, "output"}, {13, MANY, MSG_VALUE, "value_info"},
            {14, BYTES, 0, "quantization_annotation"}, {15, MANY, MSG_SPARSE, "sparse_initializer"},
            {16, MANY, MSG_ENTRY, "metadata_props"}}},
    [MSG_NODE] = {"NodeProto",
        {{1, NAME, 0, "input"}, {2, NAME, 0, "output"}, {3, NAME, 0, "name"}, {4, NAME, 0, "op_type"},
            {5, MANY, MSG_ATTR, "attribute"}, {6, BYTES, 0, "doc_string"}, {7, NAME, 0, "domain"}, {8, NAME, 0, "overload"},
            {9, MANY, MSG_ENTRY, "metadata_props"}}},
    [MSG_ATTR] = {"AttributeProto",
        {{1, NAME, 0, "name"}, {2, FIXED32, 0, "f"}, {3, VARINT, 0, "i"}, {4, BYTES, 0, "s"}, {5, ONE, MSG_TENSOR, "t"},
            {6, ONE, MSG_GRAPH, "g"}, {7, FLOATS, 0, "floats"}, {8, VARINTS, 0, "ints"}, {9, BYTES, 0, "strings"},
            {10, MANY, MSG_TENSOR, "tensors"}, {11, MANY, MSG_GRAPH, "graphs"}, {13, BYTES, 0, "doc_string"},
            {14, ONE, MSG_TYPE, "tp"}, {15, MANY, MSG_TYPE, "type_protos"}, {20, VARINT, 0, "type"},
            {21, NAME, 0, "ref_attr_name"}, {22, ONE, MSG_SPARSE, "sparse_tensor"}, {23, MANY, MSG_SPARSE, "sparse_tensors"}}},
    [MSG_TENSOR] = {"TensorProto",
        {{1, VARINTS, 0, "dims"}, {2, VARINT, 0, "data_type"}, {3, BYTES, 0, "segment"}, {4, FLOATS, 0, "float_data"},
            {5, VARINTS, 0, "int32_data"}, {6, BYTES, 0, "string_data"}, {7, VARINTS, 0, "int64_data"}, {8, NAME, 0, "name"},
            {9, BYTES, 0, "raw_data"}, {10, DOUBLES, 0, "double_data"}, {11, VARINTS, 0, "uint64_data"},
            {12, BYTES, 0, "doc_string"}, {13, MANY, MSG_ENTRY, "external_data"}, {14, VARINT, 0, "data_location"},
            {16, MANY, MSG_ENTRY, "metadata_props"}}},
    [MSG_SPARSE] = {"SparseTensorProto",
        {{1, ONE, MSG_TENSOR, "values"}, {2, ONE, MSG_TENSOR, "indices"}, {3, VARINTS, 0, "dims"}}},
    [MSG_VALUE] = {"ValueInfoProto",
        {{1, NAME, 0, "name"}, {2, ONE, MSG_TYPE, "type"}, {3, BYTES, 0, "doc_string"}, {4, MANY, MSG_ENTRY, "metadata_props"}}},
    [MSG_TYPE] = {"TypeProto",
        {{1, ONE, MSG_TENSOR_TYPE, "tensor_type"}, {4, ONE, MSG_SEQUENCE, "sequence_type"}, {5, ONE, MSG_MAP, "map_type"},
            {6, NAME, 0, "denotation"}, {7, BYTES, 0, "opaque_type"}, {8, ONE, MSG_TENSOR_TYPE, "sparse_tensor_type"},
            {9, ONE, MSG_SEQUENCE, "optional_type"}}},
    [MSG_TENSOR_TYPE] = {"TypeProto.Tensor", {{1, VARINT, 0, "elem_type"}, {2, ONE, MSG_SHAPE, "shape"}}},
    [MSG_SEQUENCE] = {"TypeProto.Sequence", {{1, ONE, MSG_TYPE, "elem_type"}}},
    [MSG_MAP] = {"TypeProto.Map", {{1, VARINT, 0, "key_type"}, {2, ONE, MSG_TYPE, "value_type"}}},
    [MSG_SHAPE] = {"TensorShapeProto", {{1, MANY, MSG_DIM, "dim"}}},
    [MSG_DIM] = {"TensorShapeProto.Dimension",
        {{1, VARINT, 0, "dim_value"}, {2, NAME, 0, "dim_param"}, {3, NAME, 0, "denotation"}}},
    [MSG_ENTRY] = {"StringStringEntryProto", {{1, NAME, 0, "key"}, {2, BYTES, 0, "value"}}},
    [MSG_OPSET] = {"OperatorSetIdProto", {{1, NAME, 0, "domain"}, {2, VARINT, 0, "version"}}},
    [MSG_FUNCTION] = {"FunctionProto",
        {{1, NAME, 0, "name"}, {4, NAME, 0, "input"}, {5, NAME, 0, "output"}, {6, NAME, 0, "attribute"},
            {7, MANY, MSG_NODE, "node"}, {8, BYTES, 0, "doc_string"}, {9, MANY, MSG_OPSET, "opset_import"},
            {10, NAME, 0, "domain"}, {11, MANY, MSG_ATTR, "attribute_proto"}, {12, MANY, MSG_VALUE, "value_info"},
            {13, NAME, 0, "overload"}, {14, MANY, MSG_ENTRY, "metadata_props"}}},
    [MSG_TRAINING] = {"TrainingInfoProto",
        {{1, ONE, MSG_GRAPH, "initialization"}, {2, ONE, MSG_GRAPH, "algorithm"}, {3, MANY, MSG_ENTRY, "initialization_binding"},
            {4, MANY, MSG_ENTRY, "update_binding"}}},
};

static const struct {
	enum pare_wire_type type;
	const char *expected;
	bool packed; /* the same values may also come as one length-delimited run */
} kind_table[] = {
    [VARINT] = {PARE_WIRE_VARINT, "a varint", false},
    [FIXED32] = {PARE_WIRE_I32, "a 32-bit value", false},
    [BYTES] = {PARE_WIRE_LEN, "length-delimited bytes", false},
    [NAME] = {PARE_WIRE_LEN, "a length-delimited string", false},
    [VARINTS] = {PARE_WIRE_VARINT, "varints", true},
    [FLOATS] = {PARE_WIRE_I32, "32-bit values", true},
    [DOUBLES] = {PARE_WIRE_I64, "64-bit values", true},
    [ONE] = {PARE_WIRE_LEN, "a length-delimited message", false},
    [MANY] = {PARE_WIRE_LEN, "a length-delimited message", false},
};

struct frame {
	struct pare_wire w;
	enum msg msg;
	uint64_t seen; /* bit n: the single submessage with field number n has come */
};

static const struct field_row *find_row(enum msg msg, uint32_t number)
{
	for (const struct field_row *r = msg_table[msg].rows; r < msg_table[msg].rows + MAX_ROWS && r->number != 0; r++)
		if (r->number == number)
			return r;
	return NULL;
}

/* The length of the UTF-8 sequence at p (Unicode 15, table 3-7: no surrogates, no overlong forms), 0 if it is none. */
static size_t utf8_len(const uint8_t *p, size_t left)
{
	uint8_t low = 0x80, high = 0xbf;
	size_t n = p[0] < 0x80 ? 1 : p[0] < 0xc2 ? 0 : p[0] < 0xe0 ? 2 : p[0] < 0xf0 ? 3 : p[0] < 0xf5 ? 4 : 0;

	if (n == 0 || n > left)
		return 0;
	if (p[0] == 0xe0)
		low = 0xa0;
	if (p[0] == 0xed)
		high = 0x9f;
	if (p[0] == 0xf0)
		low = 0x90;
	if (p[0] == 0xf4)
		high = 0x8f;
	for (size_t i = 1; i < n; i++) {
		if (p[i] < low || p[i] > high)
			return 0;
		low = 0x80;
		high = 0xbf;
	}
	return n;
}

static enum pare_code refuse(const struct frame *f, const uint8_t *at, const struct field_row *row, const char *what,
    struct pare_err *err)
{
	(void)pare_err_set(err, PARE_E_SYNTAX, NULL, "%s.%s %s", msg_table[f->msg].name, row->name, what);
	(void)pare_err_at(err, "byte %zu", (size_t)(at - f->w.file));
	return PARE_E_SYNTAX;
}

static enum pare_code check_name(const struct frame *f, const struct pare_field *field, const struct field_row *row,
    struct pare_err *err)
{
	const uint8_t *p = field->span.data, *end = p + field->span.len;

	while (p < end) {
		size_t n = utf8_len(p, (size_t)(end - p));

		if (n == 0)
			return refuse(f, p, row, "is not valid UTF-8", err);
		if (*p == '\0')
			return refuse(f, p, row, "holds a NUL byte, which no name may", err);
		p += n;
	}
	return PARE_OK;
}

static enum pare_code check_packed(const struct frame *f, const struct pare_field *field, const struct field_row *row,
    struct pare_err *err)
{
	struct pare_wire w;
	uint64_t ignored;

	if (row->kind == FLOATS && field->span.len % 4 != 0)
		return refuse(f, field->at, row, "is not a whole number of 32-bit values", err);
	if (row->kind == DOUBLES && field->span.len % 8 != 0)
		return refuse(f, field->at, row, "is not a whole number of 64-bit values", err);
	if (row->kind != VARINTS)
		return PARE_OK;
	pare_wire_init(&w, f->w.file, field->span);
	while (pare_wire_varint(&w, &ignored))
		;
	return pare_wire_status(&w, err);
}

/* One field of the frame on top; *enter says that its contents are to be walked next. */
static enum pare_code check_field(struct frame *f, const struct pare_field *field, const struct field_row *row, bool *enter,
    struct pare_err *err)
{
	bool is_packed = kind_table[row->kind].packed && field->type == PARE_WIRE_LEN;

	if (field->type != kind_table[row->kind].type && !is_packed) {
		char what[80] = "has the wrong wire type; it must be ";

		(void)strncat(what, kind_table[row->kind].expected, sizeof what - strlen(what) - 1);
		return refuse(f, field->at, row, what, err);
	}
	if (is_packed)
		return check_packed(f, field, row, err);
	if (row->kind == NAME)
		return check_name(f, field, row, err);
	if (row->kind == ONE) {
		if ((f->seen >> row->number & 1) != 0)
			return refuse(f, field->at, row, "comes twice; there must be one", err);
		f->seen |= (uint64_t)1 << row->number;
	}
	*enter = row->kind == ONE || row->kind == MANY;
	return PARE_OK;
}

enum pare_code pare_onnx_check(struct pare_span file, struct pare_err *err)
{
	struct frame stack[PARE_WIRE_MAX_DEPTH];
	int depth = 0;

	stack[0] = (struct frame){.msg = MSG_MODEL};
	pare_wire_init(&stack[0].w, file.data, file);
	while (depth >= 0) {
		struct frame *f = &stack[depth];
		const struct field_row *row;
		struct pare_field field;
		enum pare_code code;
		bool enter = false;

		if (!pare_wire_next(&f->w, &field)) {
			code = pare_wire_status(&f->w, err);
			if (code != PARE_OK)
				return code;
			depth--;
			continue;
		}
		row = find_row(f->msg, field.number);
		if (row == NULL)
			continue;
		code = check_field(f, &field, row, &enter, err);
		if (code != PARE_OK)
			return code;
		if (!enter)
			continue;
		if (++depth == PARE_WIRE_MAX_DEPTH) {
			(void)pare_err_set(err, PARE_E_LIMIT, NULL, "subgraphs nest deeper than %d messages", PARE_WIRE_MAX_DEPTH);
			(void)pare_err_at(err, "byte %zu", (size_t)(field.at - file.data));
			return PARE_E_LIMIT;
		}
		stack[depth] = (struct frame){.msg = (enum msg)row->msg};
		pare_wire_init(&stack[depth].w, file.data, field.span);
	}
	return PARE_OK;
}

uint32_t pare_onnx_data_field(int dtype)
{
	switch (dtype) {
	case PARE_DT_FLOAT:
	case PARE_DT_COMPLEX64:
		return TENSOR_FLOAT_DATA;
	case PARE_DT_DOUBLE:
	case PARE_DT_COMPLEX128:
		return TENSOR_DOUBLE_DATA;
	case PARE_DT_INT64:
		return TENSOR_INT64_DATA;
	case PARE_DT_UINT32:
	case PARE_DT_UINT64:
		return TENSOR_UINT64_DATA;
	case PARE_DT_STRING:
		return TENSOR_STRING_DATA;
	default:
		return dtype > PARE_DT_UNDEFINED && dtype <= PARE_DT_MAX ? TENSOR_INT32_DATA : 0;
	}
}

bool pare_onnx_data_count(int dtype, size_t n_elems, size_t *out)
{
	int bits = pare_dtype_bits(dtype);
	size_t per_entry = bits > 0 && bits < 8 ? (size_t)(8 / bits) : 1;

	if (dtype == PARE_DT_COMPLEX64 || dtype == PARE_DT_COMPLEX128)
		return pare_mul_size(n_elems, 2, out);
	*out = n_elems / per_entry + (n_elems % per_entry != 0 ? 1 : 0);
	return true;
}
