/* Element types, one row each, and what reads them. The readers go through memcpy because an array may start at any byte
 * of a file (stored zip members are not aligned), and in blocks of 16 because that is what gcc and clang turn into vector
 * code at -O2, where a loop of unknown length stays scalar. A float32 row is copied as it is. */
#include "core/data/data_priv.h"

#include <string.h>

#define BLOCK 16

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

static void read_float_f4(const uint8_t *in, size_t n, float *out)
{
	memcpy(out, in, n * sizeof *out);
}

#define ROW(t, dt, idx_, size_, integer_) \
	{.dtype = (dt), .npy = #t, .idx = (idx_), .size = (size_), .integer = (integer_), .read_float = read_float_##t, \
	    .read_double = read_double_##t}

static const struct data_type type_table[] = {
    ROW(f4, PARE_DT_FLOAT, 0x0d, 4, false),
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

const struct data_type *data_type_float(void)
{
	return &type_table[0];
}
