/* Features as the data set keeps them: rows in C order, in the file's own bytes. Values of the other byte order stay as they are and
 * are turned when they are read; only a table in Fortran order is copied, because a row of it would touch every page of
 * the file. Then every value is looked at, because a single NaN makes every weight NaN within one step and the user should
 * hear of the row, not of a diverged training. Values that overflow float32 count as not finite: float32 is what they
 * become. */
#include "core/data/data_priv.h"

#include <math.h>
#include <string.h>

#define CHUNK ((size_t)256)

static bool host_big(void)
{
	return __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__;
}

static void transpose(const uint8_t *in, uint8_t *out, size_t n_rows, size_t n_cols, size_t size)
{
	for (size_t r = 0; r < n_rows; r++)
		for (size_t c = 0; c < n_cols; c++)
			memcpy(out + (r * n_cols + c) * size, in + (c * n_rows + r) * size, size);
}

enum pare_code data_chunk_prepare(struct pare_dataset *d, struct data_chunk *c, struct pare_err *err)
{
	const struct data_array *a = &c->src->a;
	uint8_t *copy;
	enum pare_code rc;

	c->n_rows = (size_t)a->dims[0];
	c->swap = a->type->size > 1 && a->big_endian != host_big();
	c->p = a->raw.data;
	c->stride = a->stride != 0 ? a->stride : c->n_rows > 0 ? a->n_elems / c->n_rows * a->type->size : 0;
	if (!a->fortran || a->n_dims != 2)
		return PARE_OK;
	rc = data_own_alloc(d, a->n_elems, a->type->size, c->src->label, &copy, err);
	if (rc != PARE_OK)
		return rc;
	transpose(a->raw.data, copy, (size_t)a->dims[0], (size_t)a->dims[1], a->type->size);
	c->p = copy;
	return PARE_OK;
}

enum pare_code data_chunk_finite(const struct pare_dataset *d, const struct data_chunk *c, const struct data_type *type, size_t row_elems, struct pare_err *err)
{
	bool dense = c->stride == row_elems * type->size;
	size_t width = dense ? row_elems * c->n_rows : row_elems, n_lines = dense ? 1 : c->n_rows;
	float v[CHUNK];

	if (type->integer)
		return PARE_OK;
	for (size_t line = 0; line < n_lines; line++)
		for (size_t i = 0; i < width; i += CHUNK) {
			size_t n = width - i < CHUNK ? width - i : CHUNK, at = line * row_elems + i;

			data_touch(d, n * type->size);
			data_read_floats(type, c->swap, c->p + line * c->stride + i * type->size, n, v);
			for (size_t j = 0; j < n; j++)
				if (!isfinite(v[j]))
					return pare_err_set(err, PARE_E_NONFINITE, c->src->label,
					    "row %zu, column %zu (counted from 0) is NaN, infinite or too large for a 32-bit float", (at + j) / row_elems, (at + j) % row_elems);
		}
	return PARE_OK;
}
