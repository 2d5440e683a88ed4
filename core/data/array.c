/* Features as the data set keeps them: host byte order, last index fastest. An array that is so already stays in the
 * file's own bytes; any other is copied once. Then every value is looked at, because a single NaN makes every weight NaN
 * within one step and the user should hear of the row, not of a diverged training. Values that overflow float32 count as
 * not finite: float32 is what they become. */
#include "core/data/data_priv.h"

#include <math.h>
#include <string.h>

#define CHUNK 256

static bool host_big(void)
{
	return __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__;
}

static void swap_bytes(const uint8_t *in, uint8_t *out, size_t n, size_t size)
{
	for (size_t i = 0; i < n; i++)
		for (size_t j = 0; j < size; j++)
			out[i * size + j] = in[i * size + size - 1 - j];
}

static void transpose(const uint8_t *in, uint8_t *out, size_t n_rows, size_t n_cols, size_t size)
{
	for (size_t r = 0; r < n_rows; r++)
		for (size_t c = 0; c < n_cols; c++)
			memcpy(out + (r * n_cols + c) * size, in + (c * n_rows + r) * size, size);
}

static enum pare_code bad_value(const struct data_source *s, size_t at, size_t row_elems, struct pare_err *err)
{
	return pare_err_set(err, PARE_E_NONFINITE, s->label,
	    "row %zu, column %zu (counted from 0) is NaN, infinite or too large for a 32-bit float", at / row_elems, at % row_elems);
}

static enum pare_code check_finite(const struct data_source *s, const uint8_t *p, struct pare_err *err)
{
	const struct data_type *type = s->a.type;
	size_t row_elems = s->a.dims[0] > 0 ? s->a.n_elems / (size_t)s->a.dims[0] : 1;
	float v[CHUNK];

	if (type->integer)
		return PARE_OK;
	for (size_t i = 0; i < s->a.n_elems; i += CHUNK) {
		size_t n = s->a.n_elems - i < CHUNK ? s->a.n_elems - i : CHUNK;

		type->read_float(p + i * type->size, n, v);
		for (size_t j = 0; j < n; j++)
			if (!isfinite(v[j]))
				return bad_value(s, i + j, row_elems, err);
	}
	return PARE_OK;
}

enum pare_code data_array_prepare(struct pare_dataset *d, const struct data_source *s, const uint8_t **out, struct pare_err *err)
{
	const struct data_array *a = &s->a;
	const uint8_t *p = a->raw.data;
	bool swap = a->type->size > 1 && a->big_endian != host_big();
	bool turn = a->fortran && a->n_dims == 2;
	uint8_t *copy;
	enum pare_code rc;

	if (swap) {
		rc = data_own_alloc(d, a->n_elems, a->type->size, s->label, &copy, err);
		if (rc != PARE_OK)
			return rc;
		swap_bytes(p, copy, a->n_elems, a->type->size);
		p = copy;
	}
	if (turn) {
		rc = data_own_alloc(d, a->n_elems, a->type->size, s->label, &copy, err);
		if (rc != PARE_OK)
			return rc;
		transpose(p, copy, (size_t)a->dims[0], (size_t)a->dims[1], a->type->size);
		p = copy;
	}
	rc = check_finite(s, p, err);
	if (rc == PARE_OK)
		*out = p;
	return rc;
}
