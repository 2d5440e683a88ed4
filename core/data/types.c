/* Element types, one row each, and what reads them. The readers go through memcpy because an array may start at any byte
 * of a file (stored zip members are not aligned), and in blocks of 16 because that is what gcc and clang turn into vector
 * code at -O2, where a loop of unknown length stays scalar. A float32 row is copied as it is. */
#include "core/data/data_priv.h"

#include <string.h>

#define BLOCK 16
#define SWAPPED ((size_t)64) /* values turned at a time: values of the other byte order stay so in their file */

#define READER(name, ctype, to, expr) \
	static void name(const uint8_t *restrict in, size_t n, to *restrict out) \
	{ \
		ctype v[BLOCK]; \
		size_t i = 0; \
\
		for (; i + BLOCK <= n; i += BLOCK) { \
			memcpy(v, in + i * sizeof(ctype), sizeof v); \
			for (int j = 0; j < BLOCK; j++) \
				out[i + (size_t)j] = (to)(expr(v[j])); \
		} \
		memcpy(v, in + i * sizeof(ctype), (n - i) * sizeof(ctype)); \
		for (size_t j = 0; i + j < n; j++) \
			out[i + j] = (to)(expr(v[j])); \
	}
#define SAME(x) (x)
#define TRUTH(x) ((x) != 0)
#define READERS(t, ctype, expr) \
	READER(read_float_##t, ctype, float, expr) \
	READER(read_double_##t, ctype, double, expr)

READERS(u1, uint8_t, SAME)
READERS(i1, int8_t, SAME)
READERS(u2, uint16_t, SAME)
READERS(i2, int16_t, SAME)
READERS(u4, uint32_t, SAME)
READERS(i4, int32_t, SAME)
READERS(u8, uint64_t, SAME)
READERS(i8, int64_t, SAME)
READERS(f8, double, SAME)
READERS(b1, uint8_t, TRUTH)
READER(read_double_f4, float, double, SAME)

static void read_float_f2(const uint8_t *in, size_t n, float *out)
{
	for (size_t i = 0; i < n; i++) {
		uint16_t h;

		memcpy(&h, in + 2 * i, sizeof h);
		out[i] = pare_half_to_float(h);
	}
}

static void read_double_f2(const uint8_t *in, size_t n, double *out)
{
	for (size_t i = 0; i < n; i++) {
		float v;

		read_float_f2(in + 2 * i, 1, &v);
		out[i] = (double)v;
	}
}

static void read_float_f4(const uint8_t *in, size_t n, float *out)
{
	memcpy(out, in, n * sizeof *out);
}

#define ROW(t, dt, idx_, size_, integer_) \
	{.dtype = (dt), .npy = #t, .idx = (idx_), .size = (size_), .integer = (integer_), .read_float = read_float_##t, \
	    .read_double = read_double_##t, .wide = (integer_) ? (size_) > 2 : (size_) > 4}

static const struct data_type type_table[] = {
    ROW(f4, PARE_DT_FLOAT, 0x0d, 4, false),
    ROW(f2, PARE_DT_FLOAT16, 0, 2, false),
    ROW(f8, PARE_DT_DOUBLE, 0x0e, 8, false),
    ROW(u1, PARE_DT_UINT8, 0x08, 1, true),
    ROW(i1, PARE_DT_INT8, 0x09, 1, true),
    ROW(u2, PARE_DT_UINT16, 0, 2, true),
    ROW(i2, PARE_DT_INT16, 0x0b, 2, true),
    ROW(u4, PARE_DT_UINT32, 0, 4, true),
    ROW(i4, PARE_DT_INT32, 0x0c, 4, true),
    ROW(u8, PARE_DT_UINT64, 0, 8, true),
    ROW(i8, PARE_DT_INT64, 0, 8, true),
    ROW(b1, PARE_DT_BOOL, 0, 1, true),
};
#define N_TYPES (sizeof type_table / sizeof type_table[0])

const struct data_type *data_type_by_npy(const char *code, size_t n)
{
	for (size_t i = 0; i < N_TYPES; i++)
		if (strlen(type_table[i].npy) == n && memcmp(type_table[i].npy, code, n) == 0)
			return &type_table[i];
	return NULL;
}

const struct data_type *data_type_by_idx(uint8_t idx)
{
	for (size_t i = 0; idx != 0 && i < N_TYPES; i++)
		if (type_table[i].idx == idx)
			return &type_table[i];
	return NULL;
}

static const struct data_type *by_dtype(int dtype)
{
	const struct data_type *t = type_table;

	while (t->dtype != dtype)
		t++;
	return t;
}

const struct data_type *data_type_float(void)
{
	return by_dtype(PARE_DT_FLOAT);
}

const struct data_type *data_type_double(void)
{
	return by_dtype(PARE_DT_DOUBLE);
}

const struct data_type *data_type_int32(void)
{
	return by_dtype(PARE_DT_INT32);
}

const struct data_type *data_type_uint8(void)
{
	return by_dtype(PARE_DT_UINT8);
}

static void swap_bytes(const uint8_t *in, uint8_t *out, size_t n, size_t size)
{
	for (size_t i = 0; i < n; i++)
		for (size_t j = 0; j < size; j++)
			out[i * size + j] = in[i * size + size - 1 - j];
}

void data_read_floats(const struct data_type *t, bool swap, const uint8_t *in, size_t n, float *out)
{
	uint8_t turned[SWAPPED * 8];

	if (!swap) {
		t->read_float(in, n, out);
		return;
	}
	for (size_t i = 0; i < n; i += SWAPPED) {
		size_t k = n - i < SWAPPED ? n - i : SWAPPED;

		swap_bytes(in + i * t->size, turned, k, t->size);
		t->read_float(turned, k, out + i);
	}
}

void data_copy(const struct data_type *t, bool swap, const uint8_t *in, size_t n, uint8_t *out)
{
	if (swap)
		swap_bytes(in, out, n, t->size);
	else
		memcpy(out, in, n * t->size);
}

void data_read_doubles(const struct data_type *t, bool swap, const uint8_t *in, size_t n, double *out)
{
	uint8_t turned[8];

	if (!swap) {
		t->read_double(in, n, out);
		return;
	}
	for (size_t i = 0; i < n; i++) {
		swap_bytes(in + i * t->size, turned, 1, t->size);
		t->read_double(turned, 1, out + i);
	}
}
