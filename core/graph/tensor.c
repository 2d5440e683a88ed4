/* Element types, and values going into a tensor. A change is converted to the tensor's own dtype at once, so that a value
 * that does not fit is reported where it was set, and the tensor's raw span is turned to the new bytes: whoever reads the
 * tensor afterwards, be it the counts, the executor or the writer, sees one truth.
 *
 * float16 has 1+5+10 bits, bfloat16 1+8+7. Rounding is to nearest, ties to even: with r the bits that fall off, add half
 * of their unit minus one plus the lowest bit kept, then cut (the carry runs into the exponent, as it should). Half
 * subnormals are multiples of 2^-24, which adding 0.5f aligns to the last bits of a float's mantissa. */
#include <assert.h>
#include <string.h>

#include "core/base/num.h"
#include "core/graph/graph_priv.h"

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "tensor bytes are used in place: a little-endian machine");

static const struct {
	const char *name;
	int bits;
} dtype_table[PARE_DT_MAX + 1] = {
    [PARE_DT_UNDEFINED] = {"undefined", 0},
    [PARE_DT_FLOAT] = {"float", 32},
    [PARE_DT_UINT8] = {"uint8", 8},
    [PARE_DT_INT8] = {"int8", 8},
    [PARE_DT_UINT16] = {"uint16", 16},
    [PARE_DT_INT16] = {"int16", 16},
    [PARE_DT_INT32] = {"int32", 32},
    [PARE_DT_INT64] = {"int64", 64},
    [PARE_DT_STRING] = {"string", 0},
    [PARE_DT_BOOL] = {"bool", 8},
    [PARE_DT_FLOAT16] = {"float16", 16},
    [PARE_DT_DOUBLE] = {"double", 64},
    [PARE_DT_UINT32] = {"uint32", 32},
    [PARE_DT_UINT64] = {"uint64", 64},
    [PARE_DT_COMPLEX64] = {"complex64", 64},
    [PARE_DT_COMPLEX128] = {"complex128", 128},
    [PARE_DT_BFLOAT16] = {"bfloat16", 16},
    [17] = {"float8e4m3fn", 8},
    [18] = {"float8e4m3fnuz", 8},
    [19] = {"float8e5m2", 8},
    [20] = {"float8e5m2fnuz", 8},
    [21] = {"uint4", 4},
    [22] = {"int4", 4},
    [23] = {"float4e2m1", 4},
    [24] = {"float8e8m0", 8},
    [25] = {"uint2", 2},
    [26] = {"int2", 2},
};

const char *pare_dtype_name(int dtype)
{
	return dtype >= 0 && dtype <= PARE_DT_MAX ? dtype_table[dtype].name : "unknown";
}

int pare_dtype_bits(int dtype)
{
	return dtype >= 0 && dtype <= PARE_DT_MAX ? dtype_table[dtype].bits : 0;
}

static bool is_floating(int dtype)
{
	return dtype == PARE_DT_FLOAT || dtype == PARE_DT_FLOAT16 || dtype == PARE_DT_BFLOAT16 || dtype == PARE_DT_DOUBLE;
}

bool pare_dtype_is_number(int dtype)
{
	return dtype >= PARE_DT_FLOAT && dtype <= PARE_DT_BFLOAT16 && dtype != PARE_DT_STRING && dtype != PARE_DT_COMPLEX64 && dtype != PARE_DT_COMPLEX128;
}

int pare_dtype_computed(int dtype)
{
	return is_floating(dtype) ? PARE_DT_FLOAT : dtype;
}

static uint32_t float_bits(float f)
{
	uint32_t u;

	memcpy(&u, &f, sizeof u);
	return u;
}

static float bits_float(uint32_t u)
{
	float f;

	memcpy(&f, &u, sizeof f);
	return f;
}

uint16_t pare_half_from_float(float f, bool *finite_lost)
{
	uint32_t u = float_bits(f), sign = u >> 16 & 0x8000, a = u & 0x7fffffff;

	if (a > 0x7f800000) /* NaN stays one, quiet */
		return (uint16_t)(sign | 0x7e00 | (a >> 13 & 0x1ff));
	if (a >= 0x477ff000) { /* 65520 and more round to infinity */
		*finite_lost |= a != 0x7f800000;
		return (uint16_t)(sign | 0x7c00);
	}
	if (a < 0x38800000) /* below 2^-14 */
		return (uint16_t)(sign | (float_bits(bits_float(a) + 0.5f) - float_bits(0.5f)));
	a += 0xfff + (a >> 13 & 1);
	return (uint16_t)(sign | ((a - 0x38000000) >> 13));
}

uint16_t pare_bfloat_from_float(float f, bool *finite_lost)
{
	uint32_t u = float_bits(f), a = u & 0x7fffffff;

	if (a > 0x7f800000)
		return (uint16_t)(u >> 16 | 0x40);
	*finite_lost |= a >= 0x7f7f8000 && a < 0x7f800000;
	return (uint16_t)((u + 0x7fff + (u >> 16 & 1)) >> 16);
}

float pare_half_to_float(uint16_t h)
{
	uint32_t sign = (uint32_t)(h & 0x8000) << 16, a = h & 0x7fff;

	if (a >= 0x7c00)
		return bits_float(sign | 0x7f800000 | (a & 0x3ff) << 13);
	if (a < 0x400) {
		float f = (float)a * 0x1p-24f;

		return sign != 0 ? -f : f;
	}
	return bits_float(sign | ((a << 13) + 0x38000000));
}

float pare_bfloat_to_float(uint16_t h)
{
	return bits_float((uint32_t)h << 16);
}

/* out has room for n values of dtype; false when a finite value would become infinite, *at says which. */
static bool convert(int dtype, const float *data, size_t n, uint8_t *out, size_t *at)
{
	bool lost = false;

	if (dtype == PARE_DT_FLOAT) {
		if (n != 0)
			memcpy(out, data, n * sizeof *data);
		return true;
	}
	for (size_t i = 0; i < n && !lost; i++) {
		if (dtype == PARE_DT_DOUBLE) {
			double d = (double)data[i];

			memcpy(out + 8 * i, &d, sizeof d);
		} else {
			uint16_t h = dtype == PARE_DT_FLOAT16 ? pare_half_from_float(data[i], &lost) : pare_bfloat_from_float(data[i], &lost);

			memcpy(out + 2 * i, &h, sizeof h);
		}
		*at = i;
	}
	return !lost;
}

/* Room for new values of t, which take_patch makes its own. */
static enum pare_code make_patch(struct pare_model *m, const struct pare_tensor *t, struct pare_init_patch **out, struct pare_err *err)
{
	size_t n_bytes;

	if (!pare_mul_size(t->n_elems, (size_t)pare_dtype_bits(t->dtype) / 8, &n_bytes) || n_bytes > SIZE_MAX - sizeof **out)
		return pare_err_nomem(err, 0);
	if (m->patches == NULL)
		m->patches = pare_calloc((size_t)m->graph.n_values, sizeof(struct pare_init_patch *));
	if (m->patches == NULL)
		return pare_err_nomem(err, (size_t)m->graph.n_values * sizeof(struct pare_init_patch *));
	*out = pare_alloc(sizeof **out + n_bytes);
	if (*out == NULL)
		return pare_err_nomem(err, sizeof **out + n_bytes);
	(*out)->n_bytes = n_bytes;
	return PARE_OK;
}

static void take_patch(struct pare_model *m, int32_t value, struct pare_init_patch *patch)
{
	struct pare_tensor *t = m->graph.values[value].init;

	pare_free(m->patches[value]);
	m->patches[value] = patch;
	t->raw = (struct pare_span){patch->bytes, patch->n_bytes};
	t->external = false;
	t->beside = false;
}

enum pare_code pare_model_take_init(struct pare_model *m, int32_t value, struct pare_err *err)
{
	const struct pare_tensor *t = m->graph.values[value].init;
	struct pare_init_patch *patch = NULL;
	enum pare_code code = make_patch(m, t, &patch, err);

	if (code != PARE_OK)
		return code;
	assert(t->beside && t->raw.len == patch->n_bytes);
	if (patch->n_bytes > 0)
		memcpy(patch->bytes, t->raw.data, patch->n_bytes);
	take_patch(m, value, patch);
	return PARE_OK;
}

enum pare_code pare_model_set_init_f32(struct pare_model *m, int32_t value, const float *data, struct pare_err *err)
{
	struct pare_tensor *t = m->graph.values[value].init;
	struct pare_init_patch *patch = NULL;
	char shown[PARE_NAME_SHOWN];
	enum pare_code code;
	size_t at = 0;

	if (t == NULL || !is_floating(t->dtype)) {
		(void)pare_err_set(err, PARE_E_UNSUPPORTED, NULL, "only initializers of type float, float16, bfloat16 or double can be replaced, not %s",
		    t == NULL ? "other values" : pare_dtype_name(t->dtype));
		(void)pare_err_at(err, "value \"%s\"", pare_name_shown(m->graph.values[value].name, shown));
		return PARE_E_UNSUPPORTED;
	}
	code = make_patch(m, t, &patch, err);
	if (code != PARE_OK)
		return code;
	if (!convert(t->dtype, data, t->n_elems, patch->bytes, &at)) {
		pare_free(patch);
		(void)pare_err_set(err, PARE_E_NONFINITE, NULL, "element %zu is %g, too large for %s", at, (double)data[at], pare_dtype_name(t->dtype));
		(void)pare_err_at(err, "tensor \"%s\"", pare_name_shown(t->name, shown));
		return PARE_E_NONFINITE;
	}
	take_patch(m, value, patch);
	return PARE_OK;
}
