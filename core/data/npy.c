/* NPY 1.0 to 3.0: a magic string, a version, the length of a header, the header, the values. The header is a Python
 * dictionary literal; it is read by a grammar that knows exactly the three keys and their kinds of value and nothing else
 * of Python, so nothing is ever evaluated:
 *
 *   { 'descr': '<f4', 'fortran_order': False, 'shape': (60000, 784), }
 *
 * in any order, each key once, then only white space. Structured types (descr is a list) and objects (pickles) are refused. */
#include "core/data/data_priv.h"

#include <string.h>

#include "core/base/num.h"

#define HEADER_MAX ((size_t)65535)

struct npy_header {
	const char *p, *end;
	bool has_descr, has_order, has_shape;
	struct data_array a;
};

bool data_is_npy(struct pare_span s)
{
	return s.len >= 6 && memcmp(s.data, "\x93NUMPY", 6) == 0;
}

static void skip_space(struct npy_header *h)
{
	while (h->p < h->end && (*h->p == ' ' || *h->p == '\n' || *h->p == '\t'))
		h->p++;
}

static bool take(struct npy_header *h, char c)
{
	skip_space(h);
	if (h->p == h->end || *h->p != c)
		return false;
	h->p++;
	return true;
}

static bool take_word(struct npy_header *h, const char *word)
{
	size_t n = strlen(word);

	skip_space(h);
	if ((size_t)(h->end - h->p) < n || memcmp(h->p, word, n) != 0)
		return false;
	h->p += n;
	return true;
}

static bool take_string(struct npy_header *h, const char **s, size_t *n)
{
	const char *stop;
	char quote;

	skip_space(h);
	if (h->p == h->end || (*h->p != '\'' && *h->p != '"'))
		return false;
	quote = *h->p++;
	stop = memchr(h->p, quote, (size_t)(h->end - h->p));
	if (stop == NULL || memchr(h->p, '\\', (size_t)(stop - h->p)) != NULL)
		return false;
	*s = h->p;
	*n = (size_t)(stop - h->p);
	h->p = stop + 1;
	return true;
}

static enum pare_code bad_header(const struct npy_header *h, const char *where, struct pare_err *err)
{
	char text[48];

	return pare_err_set(err, PARE_E_DATASET, where,
	    "the NPY header is not {'descr': …, 'fortran_order': …, 'shape': (…)} (near \"%s\")",
	    data_show(h->p, (size_t)(h->end - h->p), text, 24));
}

static enum pare_code read_descr(struct npy_header *h, const char *where, struct pare_err *err)
{
	char text[32];
	const char *s;
	size_t n;

	skip_space(h);
	if (h->p < h->end && *h->p == '[')
		return pare_err_set(err, PARE_E_UNSUPPORTED, where, "structured NPY types are not supported: save plain arrays of numbers");
	if (h->has_descr || !take_string(h, &s, &n))
		return bad_header(h, where, err);
	h->has_descr = true;
	if (n >= 2 && s[1] == 'O')
		return pare_err_set(err, PARE_E_UNSUPPORTED, where,
		    "the array holds Python objects (dtype object), which would have to be unpickled: save an array of numbers");
	if (n >= 2 && strchr("<>=|", s[0]) != NULL)
		h->a.type = data_type_by_npy(s + 1, n - 1);
	if (h->a.type == NULL || (s[0] == '|' && h->a.type->size > 1))
		return pare_err_set(err, PARE_E_UNSUPPORTED, where,
		    "the element type \"%s\" is not supported: use f4, f8, b1 or integers of 8 to 64 bits",
		    data_show(s, n, text, sizeof text));
	h->a.big_endian = s[0] == '>';
	return PARE_OK;
}

static enum pare_code read_order(struct npy_header *h, const char *where, struct pare_err *err)
{
	bool t = take_word(h, "True");

	if (h->has_order || (!t && !take_word(h, "False")))
		return bad_header(h, where, err);
	h->has_order = true;
	h->a.fortran = t;
	return PARE_OK;
}

static bool take_dim(struct npy_header *h, int64_t *out)
{
	const char *s;

	skip_space(h);
	for (s = h->p; h->p < h->end && *h->p >= '0' && *h->p <= '9';)
		h->p++;
	if (!pare_parse_i64(s, (size_t)(h->p - s), 0, INT64_MAX, out))
		return false;
	if (h->p < h->end && *h->p == 'L') /* written by Python 2 */
		h->p++;
	return true;
}

static enum pare_code read_shape(struct npy_header *h, const char *where, struct pare_err *err)
{
	bool comma = true;

	if (h->has_shape || !take(h, '('))
		return bad_header(h, where, err);
	h->has_shape = true;
	while (!take(h, ')')) {
		int64_t dim;

		if (!comma || !take_dim(h, &dim))
			return bad_header(h, where, err);
		if (h->a.n_dims == PARE_MAX_DIMS)
			return pare_err_set(err, PARE_E_UNSUPPORTED, where, "the array has more than %d dimensions", PARE_MAX_DIMS);
		h->a.dims[h->a.n_dims++] = dim;
		comma = take(h, ',');
	}
	return h->a.n_dims == 1 && !comma ? bad_header(h, where, err) : PARE_OK; /* (3) is a number, (3,) a tuple */
}

static const struct key_row {
	const char *name;
	enum pare_code (*read)(struct npy_header *h, const char *where, struct pare_err *err);
} key_table[] = {
    {"descr", read_descr},
    {"fortran_order", read_order},
    {"shape", read_shape},
};

static enum pare_code read_pair(struct npy_header *h, const char *where, struct pare_err *err)
{
	const char *s;
	size_t n;

	if (!take_string(h, &s, &n) || !take(h, ':'))
		return bad_header(h, where, err);
	for (size_t i = 0; i < sizeof key_table / sizeof key_table[0]; i++)
		if (strlen(key_table[i].name) == n && memcmp(key_table[i].name, s, n) == 0)
			return key_table[i].read(h, where, err);
	return bad_header(h, where, err);
}

static enum pare_code read_dict(struct npy_header *h, const char *where, struct pare_err *err)
{
	bool comma = true;

	if (!take(h, '{'))
		return bad_header(h, where, err);
	while (!take(h, '}')) {
		enum pare_code rc = comma ? read_pair(h, where, err) : bad_header(h, where, err);

		if (rc != PARE_OK)
			return rc;
		comma = take(h, ',');
	}
	skip_space(h);
	if (h->p != h->end || !h->has_descr || !h->has_order || !h->has_shape)
		return bad_header(h, where, err);
	return PARE_OK;
}

enum pare_code data_npy_read(struct pare_span s, const char *where, struct data_array *out, struct pare_err *err)
{
	struct npy_header h = {.a = {.n_elems = 1}};
	int len_bytes = s.len >= 8 && s.data[6] == 1 ? 2 : 4;
	size_t head = 8 + (size_t)len_bytes, n_bytes = 0, text;
	enum pare_code rc;
	char dims[160];

	if (s.len < head)
		return pare_err_set(err, PARE_E_DATASET, where, "the NPY file ends after %zu bytes, inside its header", s.len);
	if (s.data[6] < 1 || s.data[6] > 3)
		return pare_err_set(err, PARE_E_UNSUPPORTED, where, "NPY version %d is not supported (1 to 3 are)", s.data[6]);
	text = (size_t)data_le(s.data + 8, len_bytes);
	if (text > HEADER_MAX || text > s.len - head)
		return pare_err_set(err, PARE_E_DATASET, where,
		    "the NPY header says that it takes %zu bytes, the file has %zu after it", text, s.len - head);
	h.p = (const char *)s.data + head;
	h.end = h.p + text;
	rc = read_dict(&h, where, err);
	if (rc != PARE_OK)
		return rc;
	head += text;
	data_show_dims(h.a.dims, h.a.n_dims, dims, sizeof dims);
	for (int i = 0; i < h.a.n_dims; i++)
		if (!pare_mul_size(h.a.n_elems, (size_t)h.a.dims[i], &h.a.n_elems))
			return pare_err_set(err, PARE_E_DATASET, where, "the array's shape %s is too large", dims);
	if (h.a.fortran && h.a.n_dims > 2)
		return pare_err_set(err, PARE_E_UNSUPPORTED, where,
		    "Fortran order is supported up to 2 dimensions, the array has %d: save numpy.ascontiguousarray(a)", h.a.n_dims);
	if (!pare_mul_size(h.a.n_elems, h.a.type->size, &n_bytes) || n_bytes != s.len - head)
		return pare_err_set(err, PARE_E_DATASET, where,
		    "shape %s of %d-byte values needs %zu bytes after the header, the file has %zu", dims,
		    h.a.type->size, h.a.n_elems * h.a.type->size, s.len - head);
	h.a.raw = (struct pare_span){s.data + head, n_bytes};
	*out = h.a;
	return PARE_OK;
}
