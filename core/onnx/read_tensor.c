/* TensorProto, AttributeProto and ValueInfoProto, one at a time.
 *
 * A tensor is believed only if its values are really there: the product of its dimensions is compared with the bytes of
 * raw_data or with the entries of the one typed field that its dtype uses. So n_elems is never more than the file holds
 * (unless the values are external), and whoever allocates by it allocates in proportion to the upload. */
#include <string.h>

#include "core/base/num.h"
#include "core/onnx/read_priv.h"

#define N_FIELDS 16 /* above every TENSOR_* number */

struct tensor_fields {
	bool has_raw;
	size_t counts[N_FIELDS]; /* entries of each typed field */
};

static enum pare_code add_dim(struct pare_onnx_reader *r, struct pare_tensor *t, uint64_t bits)
{
	if (t->n_dims == PARE_MAX_DIMS) {
		(void)pare_onnx_bad(r, "tensor", t->name, "more than %d dimensions", PARE_MAX_DIMS);
		return r->err->code = PARE_E_LIMIT;
	}
	t->dims[t->n_dims] = (int64_t)bits;
	if (t->dims[t->n_dims] < 0)
		return pare_onnx_bad(r, "tensor", t->name, "dimension %d is %lld; it must not be negative", t->n_dims, (long long)t->dims[t->n_dims]);
	t->n_dims++;
	return PARE_OK;
}

static enum pare_code add_dims(struct pare_onnx_reader *r, const struct pare_field *f, struct pare_tensor *t)
{
	struct pare_wire w;
	uint64_t bits;

	if (f->type == PARE_WIRE_VARINT)
		return add_dim(r, t, f->bits);
	pare_wire_init(&w, r->m->file.data, f->span);
	while (pare_wire_varint(&w, &bits)) {
		enum pare_code code = add_dim(r, t, bits);

		if (code != PARE_OK)
			return code;
	}
	return PARE_OK;
}

static enum pare_code count_elems(struct pare_onnx_reader *r, struct pare_tensor *t)
{
	bool is_empty = false;
	size_t n = 1, bytes;

	for (int i = 0; i < t->n_dims; i++) {
		is_empty = is_empty || t->dims[i] == 0;
		if (t->dims[i] != 0 && !pare_mul_size(n, (size_t)t->dims[i], &n))
			return pare_onnx_bad(r, "tensor", t->name, "the product of its dimensions overflows");
	}
	if (!pare_mul_size(n, 16, &bytes)) /* 16: the largest element, complex128 */
		return pare_onnx_bad(r, "tensor", t->name, "the product of its dimensions overflows");
	t->n_elems = is_empty ? 0 : n;
	return PARE_OK;
}

static enum pare_code check_raw(struct pare_onnx_reader *r, const struct pare_tensor *t)
{
	int bits = pare_dtype_bits(t->dtype);
	size_t per_byte = bits > 0 && bits < 8 ? (size_t)(8 / bits) : 1;
	size_t want = bits < 8 ? t->n_elems / per_byte + (t->n_elems % per_byte != 0 ? 1 : 0) : t->n_elems * ((size_t)bits / 8);

	if (t->dtype == PARE_DT_STRING)
		return pare_onnx_bad(r, "tensor", t->name, "strings cannot be in raw_data; they belong in string_data");
	if (bits != 0 && t->raw.len != want)
		return pare_onnx_bad(r, "tensor", t->name, "raw_data has %zu bytes; %zu elements of %s need %zu", t->raw.len, t->n_elems,
		    pare_dtype_name(t->dtype), want);
	return PARE_OK;
}

static enum pare_code check_typed(struct pare_onnx_reader *r, const struct pare_tensor *t, const struct tensor_fields *f)
{
	uint32_t own = pare_onnx_data_field(t->dtype);
	size_t want;

	if (own == 0)
		return PARE_OK;
	for (uint32_t i = 0; i < N_FIELDS; i++)
		if (i != own && f->counts[i] != 0)
			return pare_onnx_bad(r, "tensor", t->name, "its values are in TensorProto field %u; those of %s belong in field %u or in raw_data", i,
			    pare_dtype_name(t->dtype), own);
	if (!pare_onnx_data_count(t->dtype, t->n_elems, &want) || f->counts[own] != want)
		return pare_onnx_bad(r, "tensor", t->name, "%zu elements of %s need %zu values, the file holds %zu", t->n_elems, pare_dtype_name(t->dtype),
		    want, f->counts[own]);
	return PARE_OK;
}

static enum pare_code check_data(struct pare_onnx_reader *r, const struct pare_tensor *t, const struct tensor_fields *f)
{
	if (t->dtype == PARE_DT_UNDEFINED)
		return pare_onnx_bad(r, "tensor", t->name, "it has no data_type");
	if (t->external)
		return PARE_OK;
	for (uint32_t i = 0; f->has_raw && i < N_FIELDS; i++)
		if (f->counts[i] != 0)
			return pare_onnx_bad(r, "tensor", t->name, "it has both raw_data and typed data (field %u); only one may be there", i);
	return f->has_raw ? check_raw(r, t) : check_typed(r, t, f);
}

enum pare_code pare_onnx_tensor(struct pare_onnx_reader *r, struct pare_span wire, struct pare_tensor *out)
{
	struct tensor_fields fields = {.has_raw = false};
	enum pare_code code = PARE_OK;
	struct pare_field f;
	struct pare_wire w;

	out->wire = wire;
	out->name = pare_onnx_text(r, pare_wire_find(r->m->file.data, wire, TENSOR_NAME)); /* first: every error names it */
	pare_wire_init(&w, r->m->file.data, wire);
	while (code == PARE_OK && pare_wire_next(&w, &f)) {
		switch (f.number) {
		case TENSOR_DIMS:
			code = add_dims(r, &f, out);
			break;
		case TENSOR_DATA_TYPE:
			out->dtype = (int)(int32_t)f.bits;
			break;
		case TENSOR_RAW_DATA:
			fields.has_raw = true;
			out->raw = f.span;
			break;
		case TENSOR_DATA_LOCATION:
			out->external = f.bits == 1;
			break;
		case TENSOR_FLOAT_DATA:
			fields.counts[f.number] += pare_wire_packed_len(&f, 4);
			break;
		case TENSOR_DOUBLE_DATA:
			fields.counts[f.number] += pare_wire_packed_len(&f, 8);
			break;
		case TENSOR_STRING_DATA:
			fields.counts[f.number]++;
			break;
		case TENSOR_INT32_DATA:
		case TENSOR_INT64_DATA:
		case TENSOR_UINT64_DATA:
			fields.counts[f.number] += pare_wire_packed_len(&f, 0);
			break;
		default:
			break;
		}
	}
	if (code == PARE_OK)
		code = count_elems(r, out);
	return code == PARE_OK ? check_data(r, out, &fields) : code;
}

static void read_dim(const struct pare_wire *outer, struct pare_span span, int64_t *out)
{
	struct pare_field f;
	struct pare_wire w;

	*out = PARE_DIM_UNKNOWN;
	pare_wire_init(&w, outer->file, span);
	while (pare_wire_next(&w, &f)) {
		if (f.number == DIM_VALUE)
			*out = (int64_t)f.bits;
		if (f.number == DIM_PARAM)
			*out = PARE_DIM_UNKNOWN;
	}
}

static enum pare_code read_shape(struct pare_onnx_reader *r, struct pare_span span, struct pare_value *out)
{
	struct pare_field f;
	struct pare_wire w;

	out->n_dims = 0;
	pare_wire_init(&w, r->m->file.data, span);
	while (pare_wire_next(&w, &f)) {
		int64_t d;

		if (f.number != SHAPE_DIM)
			continue;
		if (out->n_dims == PARE_MAX_DIMS) {
			(void)pare_onnx_bad(r, "value", out->name, "more than %d dimensions", PARE_MAX_DIMS);
			return r->err->code = PARE_E_LIMIT;
		}
		read_dim(&w, f.span, &d);
		if (d < PARE_DIM_UNKNOWN) /* -1 is how some exporters write an open batch dimension */
			return pare_onnx_bad(r, "value", out->name, "dimension %d is %lld; it must not be negative", out->n_dims, (long long)d);
		out->dims[out->n_dims++] = d;
	}
	return PARE_OK;
}

enum pare_code pare_onnx_value_type(struct pare_onnx_reader *r, struct pare_span wire, struct pare_value *out)
{
	const uint8_t *file = r->m->file.data;
	struct pare_span tensor = pare_wire_find(file, pare_wire_find(file, wire, VALUE_TYPE), TYPE_TENSOR);
	enum pare_code code = PARE_OK;
	struct pare_field f;
	struct pare_wire w;

	if (tensor.data == NULL)
		return PARE_OK;
	pare_wire_init(&w, file, tensor);
	while (code == PARE_OK && pare_wire_next(&w, &f)) {
		if (f.number == TENSOR_TYPE_ELEM)
			out->dtype = (int)(int32_t)f.bits;
		if (f.number == TENSOR_TYPE_SHAPE)
			code = read_shape(r, f.span, out);
	}
	return code;
}

#define BIT(n) (1u << (n))
#define VALUE_FIELDS \
	(BIT(ATTR_F) | BIT(ATTR_I) | BIT(ATTR_S) | BIT(ATTR_T) | BIT(ATTR_G) | BIT(ATTR_FLOATS) | BIT(ATTR_INTS) | BIT(ATTR_STRINGS) | \
	    BIT(ATTR_TENSORS) | BIT(ATTR_GRAPHS) | BIT(ATTR_TP) | BIT(ATTR_TYPE_PROTOS) | BIT(ATTR_SPARSE_TENSOR) | BIT(ATTR_SPARSE_TENSORS))

/* By AttributeProto.AttributeType. */
static const struct {
	enum pare_attr_type type;
	uint32_t field;
	bool must; /* an absent value has no default */
	const char *name;
} attr_table[] = {
    [1] = {PARE_ATTR_FLOAT, ATTR_F, false, "FLOAT"},
    [2] = {PARE_ATTR_INT, ATTR_I, false, "INT"},
    [3] = {PARE_ATTR_STRING, ATTR_S, false, "STRING"},
    [4] = {PARE_ATTR_TENSOR, ATTR_T, true, "TENSOR"},
    [5] = {PARE_ATTR_GRAPH, ATTR_G, true, "GRAPH"},
    [6] = {PARE_ATTR_FLOATS, ATTR_FLOATS, false, "FLOATS"},
    [7] = {PARE_ATTR_INTS, ATTR_INTS, false, "INTS"},
    [8] = {PARE_ATTR_STRINGS, ATTR_STRINGS, false, "STRINGS"},
    [9] = {PARE_ATTR_OTHER, ATTR_TENSORS, false, "TENSORS"},
    [10] = {PARE_ATTR_OTHER, ATTR_GRAPHS, false, "GRAPHS"},
    [11] = {PARE_ATTR_OTHER, ATTR_SPARSE_TENSOR, true, "SPARSE_TENSOR"},
    [12] = {PARE_ATTR_OTHER, ATTR_SPARSE_TENSORS, false, "SPARSE_TENSORS"},
    [13] = {PARE_ATTR_OTHER, ATTR_TP, true, "TYPE_PROTO"},
    [14] = {PARE_ATTR_OTHER, ATTR_TYPE_PROTOS, false, "TYPE_PROTOS"},
};
#define N_ATTR_TYPES (sizeof attr_table / sizeof attr_table[0])

static void add_floats(struct pare_onnx_reader *r, const struct pare_field *f, struct pare_attr *a)
{
	struct pare_wire w;
	uint64_t bits = f->bits;
	uint32_t low;

	pare_wire_init(&w, r->m->file.data, f->span);
	while (f->type == PARE_WIRE_I32 || pare_wire_fixed(&w, 4, &bits)) {
		low = (uint32_t)bits;
		memcpy(r->floats++, &low, sizeof low);
		a->n++;
		if (f->type == PARE_WIRE_I32)
			break;
	}
}

static void add_ints(struct pare_onnx_reader *r, const struct pare_field *f, struct pare_attr *a)
{
	struct pare_wire w;
	uint64_t bits = f->bits;

	pare_wire_init(&w, r->m->file.data, f->span);
	while (f->type == PARE_WIRE_VARINT || pare_wire_varint(&w, &bits)) {
		*r->ints++ = (int64_t)bits;
		a->n++;
		if (f->type == PARE_WIRE_VARINT)
			break;
	}
}

static void take_scalar(const struct pare_field *f, struct pare_attr *a)
{
	uint32_t low = (uint32_t)f->bits;

	if (f->number == ATTR_F)
		memcpy(&a->f, &low, sizeof a->f);
	else if (f->number == ATTR_I)
		a->i = (int64_t)f->bits;
	else
		a->s = f->span;
}

static enum pare_code check_attr_type(struct pare_onnx_reader *r, const char *name, uint64_t declared, uint32_t present, struct pare_attr *out)
{
	uint64_t type = declared;

	if (type == 0) /* IR version 1 wrote none */
		for (uint64_t i = 1; i < N_ATTR_TYPES; i++)
			if (present == BIT(attr_table[i].field))
				type = i;
	if (type == 0 || type >= N_ATTR_TYPES)
		return pare_onnx_bad(r, "attribute", name, "attribute type %llu is not one that ONNX has (1 to 14)", (unsigned long long)declared);
	if ((present & ~BIT(attr_table[type].field)) != 0)
		return pare_onnx_bad(r, "attribute", name, "its type is %s, but it holds a value of another type", attr_table[type].name);
	if (present == 0 && attr_table[type].must)
		return pare_onnx_bad(r, "attribute", name, "its type is %s, but it holds none", attr_table[type].name);
	out->type = attr_table[type].type;
	return PARE_OK;
}

enum pare_code pare_onnx_attr(struct pare_onnx_reader *r, struct pare_span wire, struct pare_attr *out)
{
	const uint8_t *file = r->m->file.data;
	uint64_t declared = 0;
	uint32_t present = 0;
	enum pare_code code = PARE_OK;
	struct pare_field f;
	struct pare_wire w;

	out->name = pare_onnx_text(r, pare_wire_find(file, wire, ATTR_NAME));
	out->ints = r->ints;
	out->floats = r->floats;
	out->strings = r->strings;
	if (out->name[0] == '\0')
		return pare_onnx_bad(r, "attribute", out->name, "it has no name");
	pare_wire_init(&w, file, wire);
	while (code == PARE_OK && pare_wire_next(&w, &f)) {
		present |= f.number < 32 ? BIT(f.number) & VALUE_FIELDS : 0;
		switch (f.number) {
		case ATTR_TYPE:
			declared = f.bits;
			break;
		case ATTR_REF_NAME:
			code = pare_onnx_bad(r, "attribute", out->name, "it refers to a function's attribute, but stands in the main graph");
			break;
		case ATTR_F:
		case ATTR_I:
		case ATTR_S:
		case ATTR_G:
			take_scalar(&f, out);
			break;
		case ATTR_T:
			out->t = r->tensors;
			code = pare_onnx_tensor(r, f.span, r->tensors++);
			break;
		case ATTR_FLOATS:
			add_floats(r, &f, out);
			break;
		case ATTR_INTS:
			add_ints(r, &f, out);
			break;
		case ATTR_STRINGS:
			*r->strings++ = f.span;
			out->n++;
			break;
		default:
			break;
		}
	}
	return code == PARE_OK ? check_attr_type(r, out->name, declared, present, out) : code;
}
