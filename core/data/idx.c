/* IDX, the format of the MNIST files: two zero bytes, a type byte, the rank, the dimensions as big-endian 32-bit numbers,
 * then the values, big-endian, last dimension fastest. Nothing is copied: MNIST stays the 47 MB that it is on disk. */
#include "core/data/data_priv.h"

#include "core/base/num.h"

bool data_is_idx(struct pare_span s)
{
	return s.len >= 4 && s.data[0] == 0 && s.data[1] == 0 && data_type_by_idx(s.data[2]) != NULL && s.data[3] >= 1 &&
	    s.data[3] <= PARE_MAX_DIMS;
}

static int64_t be32(const uint8_t *p)
{
	return (int64_t)p[0] << 24 | (int64_t)p[1] << 16 | (int64_t)p[2] << 8 | (int64_t)p[3];
}

enum pare_code data_idx_read(struct pare_span s, const char *where, struct data_array *out, struct pare_err *err)
{
	struct data_array a = {.type = data_type_by_idx(s.data[2]), .big_endian = true, .n_dims = s.data[3], .n_elems = 1};
	size_t head = 4 + 4 * (size_t)a.n_dims;
	size_t n_bytes;
	char dims[160];

	if (s.len < head)
		return pare_err_set(err, PARE_E_DATASET, where, "the IDX header of rank %d takes %zu bytes, the file has %zu",
		    a.n_dims, head, s.len);
	for (int i = 0; i < a.n_dims; i++) {
		a.dims[i] = be32(s.data + 4 + 4 * i);
		if (!pare_mul_size(a.n_elems, (size_t)a.dims[i], &a.n_elems))
			return pare_err_set(err, PARE_E_DATASET, where, "the IDX dimensions %s are too large",
			    data_show_dims(a.dims, i + 1, dims, sizeof dims));
	}
	if (!pare_mul_size(a.n_elems, a.type->size, &n_bytes) || n_bytes != s.len - head)
		return pare_err_set(err, PARE_E_DATASET, where,
		    "IDX dimensions %s of %d-byte values need %zu bytes after the header, the file has %zu",
		    data_show_dims(a.dims, a.n_dims, dims, sizeof dims), a.type->size, a.n_elems * a.type->size, s.len - head);
	a.raw = (struct pare_span){s.data + head, n_bytes};
	*out = a;
	return PARE_OK;
}
