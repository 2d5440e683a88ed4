/* Bad input: always a code and a sentence that says what and where, never a crash, never a leak. */
#include <zlib.h>

#include "tests/core/data/data_testing.h"
#include "tests/support/fail_alloc.h"

static const uint8_t idx_x[] = {0, 0, 8, 3, 0, 0, 0, 2, 0, 0, 0, 1, 0, 0, 0, 2, 0, 255, 51, 102};
static const uint8_t idx_y[] = {0, 0, 8, 1, 0, 0, 0, 2, 1, 0};

#define FILE_OF(n, a) {.name = (n), .bytes = {(a), sizeof(a)}}

/* A copy of exactly len bytes, so that the sanitizer sees one byte too far. */
static struct pare_span cut(struct pare_span s, size_t len)
{
	uint8_t *p = malloc(len > 0 ? len : 1);

	ck_assert_ptr_nonnull(p);
	memcpy(p, s.data, len);
	return (struct pare_span){p, len};
}

/* The file at [which], cut after every byte, must be refused (or, for CSV, may be a shorter table). */
static void cut_everywhere(const struct pare_data_file *files, int n, int which, bool may_open)
{
	struct pare_data_file f[4];

	memcpy(f, files, (size_t)n * sizeof *f);
	for (size_t len = 0; len < files[which].bytes.len; len++) {
		struct pare_dataset *d = NULL;
		struct pare_err err = {.code = PARE_OK};
		enum pare_code rc;

		f[which].bytes = cut(files[which].bytes, len);
		rc = pare_data_open(f, n, NULL, &d, &err);
		ck_assert_msg(may_open || rc != PARE_OK, "opens after %zu bytes", len);
		ck_assert(rc == PARE_OK || (err.message[0] != '\0' && err.code == rc));
		pare_data_free(d);
		drop(f[which].bytes);
	}
}

START_TEST(idx_cut_everywhere)
{
	struct pare_data_file f[] = {FILE_OF("x", idx_x), FILE_OF("y", idx_y)};

	cut_everywhere(f, 2, 0, false);
	cut_everywhere(f, 2, 1, false);
}
END_TEST

START_TEST(numpy_cut_everywhere)
{
	static const char *const names[] = {"tests/data/stored.npz", "tests/data/streamed.npz", "tests/data/deflated.npz"};
	struct pare_data_file x = {"x.npy", slurp("tests/data/x_c_f4.npy")};

	for (size_t i = 0; i < 3; i++) {
		struct pare_data_file f = {"d", slurp(names[i])};

		cut_everywhere(&f, 1, 0, false);
		drop(f.bytes);
	}
	cut_everywhere(&x, 1, 0, false);
	drop(x.bytes);
}
END_TEST

START_TEST(csv_cut_everywhere)
{
	struct pare_data_file f = {"t.csv", text("\xef\xbb\xbf\"a\",b,class\r\n\"1\",2e0,\"x \"\"y\"\"\"\r\n3,4,z\r\n")};

	cut_everywhere(&f, 1, 0, true);
}
END_TEST

/* Every bit of a small file flipped: no crash; the sanitizer build sees the rest. */
START_TEST(bits_flipped_everywhere)
{
	static const char *const names[] = {"tests/data/stored.npz", "tests/data/deflated.npz", "tests/data/x_c_f4.npy"};
	struct pare_data_options opt = {.max_bytes = (size_t)1 << 20};

	for (size_t i = 0; i < 3; i++) {
		struct pare_data_file f = {"d", slurp(names[i])};
		uint8_t *p = (uint8_t *)(uintptr_t)f.bytes.data;

		for (size_t bit = 0; bit < f.bytes.len * 8; bit++) {
			struct pare_dataset *d = NULL;

			p[bit / 8] ^= (uint8_t)(1 << bit % 8);
			if (pare_data_open(&f, 1, &opt, &d, NULL) == PARE_OK)
				pare_data_free(d);
			p[bit / 8] ^= (uint8_t)(1 << bit % 8);
		}
		drop(f.bytes);
	}
}
END_TEST

START_TEST(npz_checksum_is_checked)
{
	struct pare_data_file f = {"d.npz", slurp("tests/data/stored.npz")};
	uint8_t *p = (uint8_t *)(uintptr_t)f.bytes.data;

	for (size_t i = 0; i + 6 < f.bytes.len; i++)
		if (memcmp(p + i, "\x93NUMPY", 6) == 0) {
			p[i + 128] ^= 1; /* a value, behind the header */
			break;
		}
	must_refuse(&f, 1, NULL, PARE_E_DATASET, "checksum");
	drop(f.bytes);
}
END_TEST

static size_t deflated(const uint8_t *in, size_t n, int window_bits, uint8_t *out, size_t size)
{
	z_stream z = {.zalloc = NULL};

	ck_assert_int_eq(deflateInit2(&z, 9, Z_DEFLATED, window_bits, 9, Z_DEFAULT_STRATEGY), Z_OK);
	z.next_in = (Bytef *)(uintptr_t)in;
	z.avail_in = (uInt)n;
	z.next_out = out;
	z.avail_out = (uInt)size;
	ck_assert_int_eq(deflate(&z, Z_FINISH), Z_STREAM_END);
	n = z.total_out;
	deflateEnd(&z);
	return n;
}

START_TEST(gzip_bomb_stops_at_the_cap)
{
	size_t n = (size_t)8 << 20;
	uint8_t *zeros = calloc(1, n), *out = malloc(n);
	struct pare_data_options opt = {.max_bytes = (size_t)1 << 20};
	struct pare_data_file f = {.name = "x.gz"};

	f.bytes = (struct pare_span){out, deflated(zeros, n, 15 + 16, out, n)};
	must_refuse(&f, 1, &opt, PARE_E_LIMIT, "1048576 bytes");
	free(zeros);
	free(out);
}
END_TEST

START_TEST(gzip_bomb_stops_at_the_ratio)
{
	size_t n = (size_t)80 << 20;
	uint8_t *zeros = calloc(1, n), *out = malloc(n);
	struct pare_data_file f = {.name = "x.gz"};

	f.bytes = (struct pare_span){out, deflated(zeros, n, 15 + 16, out, n)};
	must_refuse(&f, 1, NULL, PARE_E_LIMIT, "400 times");
	free(zeros);
	free(out);
}
END_TEST

START_TEST(gzip_damaged)
{
	uint8_t out[256];
	size_t n = deflated(idx_x, sizeof idx_x, 15 + 16, out, sizeof out);
	struct pare_data_file f = {"x.gz", {out, n}};

	cut_everywhere(&f, 1, 0, false);
	out[n - 5] ^= 1; /* the trailer's CRC */
	must_refuse(&f, 1, NULL, PARE_E_DATASET, "damaged");
	out[n - 5] ^= 1;
	out[n] = 'x';
	f.bytes.len++;
	must_refuse(&f, 1, NULL, PARE_E_DATASET, "1 bytes after the end");
}
END_TEST

/* --- zip archives made by hand */
struct zip {
	uint8_t b[4096];
	size_t n;
};

static void put(struct zip *z, uint64_t v, int bytes)
{
	for (int i = 0; i < bytes; i++)
		z->b[z->n++] = (uint8_t)(v >> (8 * i));
}

static void put_bytes(struct zip *z, const void *p, size_t n)
{
	memcpy(z->b + z->n, p, n);
	z->n += n;
}

struct entry {
	const char *name;
	uint32_t comp, size, crc, start;
	uint16_t flags, method;
};

static void put_local(struct zip *z, const struct entry *e)
{
	put(z, 0x04034b50, 4);
	put(z, 20, 2);
	put(z, e->flags, 2);
	put(z, e->method, 2);
	put(z, 0, 4);
	put(z, e->crc, 4);
	put(z, e->comp, 4);
	put(z, e->size, 4);
	put(z, strlen(e->name), 2);
	put(z, 0, 2);
	put_bytes(z, e->name, strlen(e->name));
}

static void put_central(struct zip *z, const struct entry *e)
{
	put(z, 0x02014b50, 4);
	put(z, 20, 2);
	put(z, 20, 2);
	put(z, e->flags, 2);
	put(z, e->method, 2);
	put(z, 0, 4);
	put(z, e->crc, 4);
	put(z, e->comp, 4);
	put(z, e->size, 4);
	put(z, strlen(e->name), 2);
	put(z, 0, 2);
	put(z, 0, 2);
	put(z, 0, 2);
	put(z, 0, 2);
	put(z, 0, 4);
	put(z, e->start, 4);
	put_bytes(z, e->name, strlen(e->name));
}

static void put_end(struct zip *z, size_t entries, size_t start, size_t bytes)
{
	put(z, 0x06054b50, 4);
	put(z, 0, 4);
	put(z, entries, 2);
	put(z, entries, 2);
	put(z, bytes, 4);
	put(z, start, 4);
	put(z, 0, 2);
}

/* One stored member; the directory may claim something else. */
static void one_member(struct zip *z, const struct entry *local, const struct entry *central, const void *data, size_t n)
{
	size_t start;

	z->n = 0;
	put_local(z, local);
	put_bytes(z, data, n);
	start = z->n;
	put_central(z, central);
	put_end(z, 1, start, z->n - start);
}

static void refuse_zip(const struct zip *z, enum pare_code code, const char *says)
{
	struct pare_span s = cut((struct pare_span){z->b, z->n}, z->n);
	struct pare_data_file f = {"d.npz", s};

	must_refuse(&f, 1, NULL, code, says);
	drop(s);
}

START_TEST(zip_lies)
{
	static const char data[] = "0123456789";
	uint32_t crc = (uint32_t)crc32(0, (const Bytef *)data, 10);
	const struct entry good = {.name = "x.npy", .comp = 10, .size = 10, .crc = crc};
	struct entry bad;
	struct zip z;

	one_member(&z, &good, &good, data, 10);
	refuse_zip(&z, PARE_E_DATASET, "does not begin like an NPY array"); /* the archive itself is in order */
	bad = good;
	bad.size = bad.comp = 9;
	one_member(&z, &good, &bad, data, 10);
	refuse_zip(&z, PARE_E_DATASET, "own sizes differ");
	bad = good;
	bad.name = "y.npy";
	one_member(&z, &good, &bad, data, 10);
	refuse_zip(&z, PARE_E_DATASET, "differs from the directory");
	bad = good;
	bad.comp = bad.size = 1000;
	one_member(&z, &bad, &bad, data, 10);
	refuse_zip(&z, PARE_E_DATASET, "runs into the directory");
	bad = good;
	bad.start = 3;
	one_member(&z, &good, &bad, data, 10);
	refuse_zip(&z, PARE_E_DATASET, "points nowhere");
	bad = good;
	bad.flags = 1;
	one_member(&z, &bad, &bad, data, 10);
	refuse_zip(&z, PARE_E_UNSUPPORTED, "encrypted");
	bad = good;
	bad.method = 12;
	one_member(&z, &bad, &bad, data, 10);
	refuse_zip(&z, PARE_E_UNSUPPORTED, "method 12");
	bad = good;
	bad.method = 8;
	bad.size = 1000000000;
	one_member(&z, &bad, &bad, data, 10);
	refuse_zip(&z, PARE_E_DATASET, "cannot have 1000000000 bytes");
	bad = good;
	bad.name = "readme.txt";
	one_member(&z, &bad, &bad, data, 10);
	refuse_zip(&z, PARE_E_DATASET, "readme.txt");
}
END_TEST

START_TEST(zip_overlapping_members)
{
	const struct entry e = {.name = "x.npy", .comp = 4, .size = 4};
	struct zip z = {.n = 0};
	size_t start;

	put_local(&z, &e);
	put_bytes(&z, "abcd", 4);
	start = z.n;
	put_central(&z, &e);
	put_central(&z, &e);
	put_end(&z, 2, start, z.n - start);
	refuse_zip(&z, PARE_E_DATASET, "share bytes");
}
END_TEST

START_TEST(zip_bomb_stops_at_the_cap)
{
	size_t n = (size_t)2 << 20;
	uint8_t *zeros = calloc(1, n), out[3000];
	size_t len = deflated(zeros, n, -15, out, sizeof out);
	struct entry e = {.name = "x.npy", .method = 8, .comp = (uint32_t)len, .size = (uint32_t)n, .crc = (uint32_t)crc32_z(0, zeros, n)};
	struct pare_data_options opt = {.max_bytes = (size_t)1 << 20};
	struct zip z;
	struct pare_data_file f = {.name = "d.npz"};

	one_member(&z, &e, &e, out, len);
	f.bytes = (struct pare_span){z.b, z.n};
	must_refuse(&f, 1, &opt, PARE_E_LIMIT, "inflates to more than the 1048576 bytes");
	e.size /= 2; /* fits, but the stream gives more than that */
	one_member(&z, &e, &e, out, len);
	f.bytes.len = z.n;
	must_refuse(&f, 1, &opt, PARE_E_DATASET, "do not have the 1048576 bytes");
	free(zeros);
}
END_TEST

/* The end records of zip64, which write their numbers elsewhere. */
START_TEST(zip64_end_records)
{
	const struct entry e = {.name = "x.npy", .comp = 4, .size = 4, .crc = (uint32_t)crc32(0, (const Bytef *)"abcd", 4)};
	struct zip z;

	for (int lie = 0; lie < 3; lie++) {
		size_t start, end;

		z.n = 0;
		put_local(&z, &e);
		put_bytes(&z, "abcd", 4);
		start = z.n;
		put_central(&z, &e);
		end = z.n;
		put(&z, 0x06064b50, 4);
		put(&z, 44, 8);
		put(&z, 0x002d002d, 4);
		put(&z, 0, 8);
		put(&z, lie == 1 ? 2 : 1, 8);
		put(&z, 1, 8);
		put(&z, end - start, 8);
		put(&z, start, 8);
		put(&z, 0x07064b50, 4);
		put(&z, 0, 4);
		put(&z, lie == 2 ? UINT64_MAX - 10 : end, 8);
		put(&z, 1, 4);
		put_end(&z, 0xffff, 0xffffffff, 0xffffffff);
		refuse_zip(&z, PARE_E_DATASET, lie == 0 ? "does not begin like an NPY array" : lie == 1 ? "not one of a single file"
		    : "not where its locator points");
	}
}
END_TEST

START_TEST(zip_count_and_empty)
{
	struct zip z = {.n = 0};

	put_end(&z, 5000, 0, 0);
	refuse_zip(&z, PARE_E_LIMIT, "5000 members");
	z.n = 0;
	put_end(&z, 0, 0, 0);
	refuse_zip(&z, PARE_E_DATASET, "no rows");
}
END_TEST

/* --- NPY headers */
static void refuse_npy(const char *dict, size_t extra, enum pare_code code, const char *says)
{
	uint8_t b[512] = "\x93NUMPY\x01";
	struct pare_data_file f = {.name = "x.npy"};

	b[8] = (uint8_t)strlen(dict);
	memcpy(b + 10, dict, strlen(dict));
	f.bytes = cut((struct pare_span){b, 0}, 10 + strlen(dict) + extra);
	must_refuse(&f, 1, NULL, code, says);
	drop(f.bytes);
}

START_TEST(npy_headers)
{
	refuse_npy("{'descr': '|O', 'fortran_order': False, 'shape': (2,)}", 16, PARE_E_UNSUPPORTED, "Python objects");
	refuse_npy("{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (2,)}", 8, PARE_E_UNSUPPORTED, "structured");
	refuse_npy("{'descr': '<c8', 'fortran_order': False, 'shape': (2,)}", 16, PARE_E_UNSUPPORTED, "<c8");
	refuse_npy("{'descr': '<f4', 'fortran_order': True, 'shape': (1, 1, 1)}", 4, PARE_E_UNSUPPORTED, "Fortran");
	refuse_npy("{'descr': '<f4', 'fortran_order': False, 'shape': (2, 2)}", 15, PARE_E_DATASET, "needs 16 bytes");
	refuse_npy("{'descr': '<f4', 'fortran_order': False, 'shape': (2, 2)}", 17, PARE_E_DATASET, "has 17");
	refuse_npy("{'descr': '<f4', 'fortran_order': False, 'shape': (9223372036854775807, 9)}", 4, PARE_E_DATASET, "too large");
	refuse_npy("{'descr': '<f4', 'fortran_order': False, 'shape': (99999999999999999999,)}", 4, PARE_E_DATASET, "NPY header");
	refuse_npy("{'descr': '<f4', 'fortran_order': False}", 4, PARE_E_DATASET, "NPY header");
	refuse_npy("{'descr': '<f4', 'descr': '<f4', 'fortran_order': False, 'shape': (1,)}", 4, PARE_E_DATASET, "NPY header");
	refuse_npy("{'descr': __import__('os'), 'fortran_order': False, 'shape': (1,)}", 4, PARE_E_DATASET, "NPY header");
	refuse_npy("{'descr': '<f4', 'fortran_order': False, 'shape': (1)}", 4, PARE_E_DATASET, "NPY header");
	refuse_npy("{'descr': '<f4', 'fortran_order': False, 'shape': (-1,)}", 4, PARE_E_DATASET, "NPY header");
	refuse_npy("{'descr': '<f4', 'fortran_order': False, 'shape': (1,1,1,1,1,1,1,1,1)}", 4, PARE_E_UNSUPPORTED, "more than 8");
	refuse_npy("{'descr': '<f4', 'fortran_order': False, 'shape': (1,)} x", 4, PARE_E_DATASET, "NPY header");
	refuse_npy("{'descr': '<f4', 'fortran_order': False, 'shape': ()}", 4, PARE_E_DATASET, "single number");
	refuse_npy("{'descr': '<f4', 'fortran_order': False, 'shape': (0, 1)}", 0, PARE_E_DATASET, "no rows");
}
END_TEST

START_TEST(object_arrays_of_numpy)
{
	struct pare_data_file f = {"o.npy", slurp("tests/data/object.npy")};

	must_refuse(&f, 1, NULL, PARE_E_UNSUPPORTED, "Python objects");
	drop(f.bytes);
	f = (struct pare_data_file){"o.npz", slurp("tests/data/object.npz")};
	must_refuse(&f, 1, NULL, PARE_E_UNSUPPORTED, "o.npz: y");
	drop(f.bytes);
}
END_TEST

/* --- sets */
START_TEST(counts_differ)
{
	static const uint8_t y3[] = {0, 0, 8, 1, 0, 0, 0, 3, 1, 0, 0};
	struct pare_data_file f[] = {FILE_OF("x", idx_x), FILE_OF("y", y3)};

	must_refuse(f, 2, NULL, PARE_E_DATASET, "2 rows here but 3 labels");
}
END_TEST

START_TEST(missing_and_double_parts)
{
	struct pare_data_file f[] = {FILE_OF("train-images", idx_x), FILE_OF("train-labels", idx_y), FILE_OF("test-images", idx_x)};

	must_refuse(f + 1, 1, NULL, PARE_E_DATASET, "no features");
	must_refuse(f, 3, NULL, PARE_E_DATASET, "named with test");
	f[2] = (struct pare_data_file)FILE_OF("images.train", idx_x);
	must_refuse(f, 3, NULL, PARE_E_DATASET, "both hold features images of split train");
}
END_TEST

START_TEST(splits_differ)
{
	static const uint8_t wide[] = {0, 0, 8, 2, 0, 0, 0, 2, 0, 0, 0, 3, 1, 2, 3, 4, 5, 6};
	static const uint8_t other[] = {0, 0, 9, 3, 0, 0, 0, 2, 0, 0, 0, 1, 0, 0, 0, 2, 0, 255, 51, 102};
	struct pare_data_file f[] = {FILE_OF("x_train", idx_x), FILE_OF("y_train", idx_y), FILE_OF("x_test", wide),
	    FILE_OF("y_test", idx_y)};

	must_refuse(f, 4, NULL, PARE_E_DATASET, "shape [3] here and [1, 2]");
	f[2] = (struct pare_data_file)FILE_OF("x_test", other);
	must_refuse(f, 4, NULL, PARE_E_DATASET, "type i1 here and u1");
	f[2] = (struct pare_data_file){"x_test", text("a,b\n1,2\n")};
	must_refuse(f, 4, NULL, PARE_E_DATASET, "one format");
}
END_TEST

START_TEST(no_rows)
{
	static const uint8_t x0[] = {0, 0, 8, 2, 0, 0, 0, 0, 0, 0, 0, 2}, y0[] = {0, 0, 8, 1, 0, 0, 0, 0};
	static const uint8_t thin[] = {0, 0, 8, 2, 0, 0, 0, 2, 0, 0, 0, 0};
	struct pare_data_file f[] = {FILE_OF("x", x0), FILE_OF("y", y0)};

	must_refuse(f, 2, NULL, PARE_E_DATASET, "the data set has no rows");
	must_refuse(NULL, 0, NULL, PARE_E_DATASET, "the data set has no rows");
	f[0] = (struct pare_data_file)FILE_OF("x", thin);
	f[1] = (struct pare_data_file)FILE_OF("y", idx_y);
	must_refuse(f, 2, NULL, PARE_E_DATASET, "no features");
	f[0].bytes = (struct pare_span){NULL, 0};
	must_refuse(f, 1, NULL, PARE_E_DATASET, "the data set has no rows");
	refuse_csv("a,b,y\n", PARE_E_DATASET, "the data set has no rows");
	refuse_csv("\n\n\r\n", PARE_E_DATASET, "the data set has no rows");
}
END_TEST

START_TEST(not_finite)
{
	static const uint8_t nan[] = {0, 0, 0x0d, 2, 0, 0, 0, 2, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x7f, 0xc0, 0, 0};
	static const uint8_t big[] = {0, 0, 0x0e, 2, 0, 0, 0, 2, 0, 0, 0, 1, 0x7e, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0};
	static const uint8_t ynan[] = {0, 0, 0x0d, 1, 0, 0, 0, 2, 0, 0, 0, 0, 0x7f, 0x80, 0, 0};
	struct pare_data_file f[] = {FILE_OF("x.idx", nan), FILE_OF("y", idx_y)};

	must_refuse(f, 2, NULL, PARE_E_NONFINITE, "x.idx: row 1, column 1");
	f[0] = (struct pare_data_file)FILE_OF("x", big);
	must_refuse(f, 2, NULL, PARE_E_NONFINITE, "row 0, column 0");
	f[0] = (struct pare_data_file)FILE_OF("x", idx_x);
	f[1] = (struct pare_data_file)FILE_OF("y", ynan);
	must_refuse(f, 2, NULL, PARE_E_NONFINITE, "y: row 1");
	refuse_csv("a,b,y\n1,2,0\n3,NaN,1\n", PARE_E_NONFINITE, "line 3, column 2 (b)");
	refuse_csv("a,b,y\n1,-inf,0\n", PARE_E_NONFINITE, "line 2, column 2 (b)");
	refuse_csv("a,b,y\n1,1e39,0\n", PARE_E_NONFINITE, "1e39");
	refuse_csv("a,y\n1,0\n2,10\n3,NaN\n4,2\n", PARE_E_NONFINITE, "line 4: the label \"NaN\"");
	refuse_csv("a,y\n1,0.5\n2,-inf\n", PARE_E_NONFINITE, "line 3");
}
END_TEST

START_TEST(labels_out_of_range)
{
	static const uint8_t minus[] = {0, 0, 0x09, 1, 0, 0, 0, 2, 1, 0xff};
	static const uint8_t huge[] = {0, 0, 0x0c, 1, 0, 0, 0, 2, 0, 0, 0, 0, 0, 1, 0, 0};
	static const uint8_t two[] = {0, 0, 0x0c, 2, 0, 0, 0, 2, 0, 0, 0, 2, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 1};
	static const uint8_t half[] = {0, 0, 0x0d, 1, 0, 0, 0, 2, 0x3f, 0, 0, 0, 0, 0, 0, 0};
	struct pare_data_options classify = {.task = PARE_TASK_CLASSIFY, .task_given = true}, regress = {.task = PARE_TASK_REGRESS,
	    .task_given = true};
	struct pare_data_file f[] = {FILE_OF("x", idx_x), FILE_OF("y", minus)}, csv = {"t.csv", text("a,y\n1,2\n2,cat\n")};

	must_refuse(f, 2, NULL, PARE_E_DATASET, "row 1 (counted from 0): the label -1 is negative");
	f[1] = (struct pare_data_file)FILE_OF("y", huge);
	must_refuse(f, 2, NULL, PARE_E_DATASET, "65536 is beyond 65535");
	f[1] = (struct pare_data_file)FILE_OF("y", two);
	must_refuse(f, 2, NULL, PARE_E_DATASET, "set the task to multilabel or sequence");
	must_refuse(f, 2, &classify, PARE_E_DATASET, "there are 2 numbers");
	f[1] = (struct pare_data_file)FILE_OF("y", half);
	must_refuse(f, 2, &classify, PARE_E_DATASET, "0.5 is not a class number");
	must_refuse(&csv, 1, &regress, PARE_E_DATASET, "line 3: the label \"cat\" is not a number");
	refuse_csv("a,y\n1,-1\n2,1\n", PARE_E_DATASET, "line 2: the label \"-1\" is negative");
	refuse_csv("a,y\n1,\xff\xfe\n2,b\n", PARE_E_DATASET, "not UTF-8");
	refuse_csv("a,y\n1,\n", PARE_E_DATASET, "label is empty");
}
END_TEST

START_TEST(csv_errors_say_where)
{
	refuse_csv("a,b,y\n1,2,0\n1,\"2,0\n", PARE_E_DATASET, "line 3, column 2: a quoted field is not closed");
	refuse_csv("a,b,y\n1,2,0\n\n1,2\n", PARE_E_DATASET, "line 4 has 2 columns, the first line has 3");
	refuse_csv("a,b,y\n1,2,3,0\n", PARE_E_DATASET, "line 2 has 4 columns");
	refuse_csv("a,b,y\n1,two,0\n", PARE_E_DATASET, "line 2, column 2 (b): \"two\" is not a number");
	refuse_csv("a,b,y\n1,,0\n", PARE_E_DATASET, "line 2, column 2 (b): the field is empty");
	refuse_csv("a,b,y\n1,\"2\"x,0\n", PARE_E_DATASET, "line 2, column 2: text behind the closing quote");
	refuse_csv("a,b,y\n1,2\"x,0\n", PARE_E_DATASET, "line 2, column 2: a quote inside");
	refuse_csv("a|b|y\n1|2|0\n", PARE_E_DATASET, "separated by commas, semicolons or tabs");
	refuse_csv("a;b;y\n1;2,5;0\n", PARE_E_DATASET, "line 2, column 2 (b): \"2,5\" is not a number");
	refuse_csv("a,b,y\n\"1\n\n\",2,0\n", PARE_E_DATASET, "line 2, column 1");
}
END_TEST

START_TEST(csv_missing_label_column_lists_columns)
{
	struct pare_data_options opt = {.label = "spezies"};
	struct pare_data_file f = {"iris.csv", slurp("tests/data/iris.csv")};
	struct pare_span wide = {.data = NULL};
	char *p = malloc(40000);
	size_t n = 0;

	must_refuse(&f, 1, &opt, PARE_E_DATASET,
	    "no column \"spezies\" for the label; the columns are sepal_length, sepal_width, petal_length, petal_width, species");
	drop(f.bytes);
	for (int i = 0; i < 2000; i++)
		n += (size_t)snprintf(p + n, 40000 - n, "column_%04d%c", i, i < 1999 ? ',' : '\n');
	wide = (struct pare_span){(const uint8_t *)p, n};
	f = (struct pare_data_file){"wide.csv", wide};
	must_refuse(&f, 1, &opt, PARE_E_DATASET, "column_0000, column_0001");
	must_refuse(&f, 1, &opt, PARE_E_DATASET, ", ...");
	free(p);
}
END_TEST

START_TEST(csv_line_without_end)
{
	size_t n = (size_t)20 << 20;
	uint8_t *p = malloc(n);
	struct pare_data_file f = {"t.csv", {p, n}};

	memset(p, '1', n);
	must_refuse(&f, 1, NULL, PARE_E_LIMIT, "line 1 is longer than 16777216 bytes");
	p[0] = '"';
	must_refuse(&f, 1, NULL, PARE_E_LIMIT, "line 1 is longer");
	memcpy(p, "a,b\n", 4);
	for (size_t i = 5; i < n; i += 2)
		p[i] = ',';
	must_refuse(&f, 1, NULL, PARE_E_LIMIT, "line 2 is longer");
	free(p);
}
END_TEST

START_TEST(csv_larger_than_the_cap)
{
	struct pare_data_options opt = {.max_bytes = 4000};
	char *p = malloc(100000);
	size_t n = 4;
	struct pare_data_file f = {.name = "t.csv"};

	memcpy(p, "a,y\n", 5);
	while (n < 40000) {
		memcpy(p + n, "1,2\n", 5);
		n += 4;
	}
	f.bytes = (struct pare_span){(const uint8_t *)p, n};
	must_refuse(&f, 1, &opt, PARE_E_LIMIT, "4000 bytes");
	free(p);
}
END_TEST

START_TEST(unknown_format)
{
	static const uint8_t png[] = {0x89, 'P', 'N', 'G', 13, 10, 26, 10};
	struct pare_data_file f = FILE_OF("cat.png", png);

	must_refuse(&f, 1, NULL, PARE_E_DATASET, "begins with 89 50 4e 47");
}
END_TEST

START_TEST(names_are_made_printable)
{
	struct pare_data_file f = {"\x1b[31m\xff.csv", text("a,b\n")};

	must_refuse(&f, 1, NULL, PARE_E_DATASET, "?[31m?.csv");
}
END_TEST

/* --- every allocation fails once */
static void fail_each(const struct pare_data_file *f, int n)
{
	struct pare_dataset *d = NULL;
	long count;

	fail_alloc_install(0);
	ck_assert_int_eq(pare_data_open(f, n, NULL, &d, NULL), PARE_OK);
	ck_assert_int_eq(pare_data_split(d, 0.4, 0, 1, NULL), PARE_OK);
	ck_assert_int_eq(pare_data_normalize(d, 0, PARE_NORM_STANDARD, NULL), PARE_OK);
	ck_assert_int_eq(pare_data_fold(d, 2, 1, 1, NULL), PARE_OK);
	pare_data_free(d);
	count = fail_alloc_count();
	ck_assert_int_eq(fail_alloc_live(), 0);
	ck_assert_int_gt(count, 10);
	for (long nth = 1; nth <= count; nth++) {
		struct pare_err err = {.code = PARE_OK};
		enum pare_code rc;

		d = NULL;
		fail_alloc_install(nth);
		rc = pare_data_open(f, n, NULL, &d, &err);
		if (rc == PARE_OK)
			rc = pare_data_split(d, 0.4, 0, 1, &err);
		if (rc == PARE_OK)
			rc = pare_data_normalize(d, 0, PARE_NORM_STANDARD, &err);
		if (rc == PARE_OK)
			rc = pare_data_fold(d, 2, 1, 1, &err);
		pare_data_free(d);
		ck_assert_msg(rc == PARE_E_NOMEM, "allocation %ld of %ld: %s (%s)", nth, count, pare_code_string(rc), err.message);
		ck_assert_int_eq(fail_alloc_live(), 0);
	}
	fail_alloc_remove();
}

START_TEST(nth_allocation_fails)
{
	static const uint8_t y[] = {0, 0, 0x0c, 1, 0, 0, 0, 2, 0, 0, 0, 1, 0, 0, 0, 0};
	static const uint8_t ynpy[] = "\x93NUMPY\x01\x00\x38\x00{'descr': '|u1', 'fortran_order': False, 'shape': (6,)}\n\x00\x01\x02\x00\x01\x02";
	uint8_t zx[256];
	struct pare_data_file idx[] = {{"x.gz", {zx, deflated(idx_x, sizeof idx_x, 15 + 16, zx, sizeof zx)}}, FILE_OF("y", y)};
	struct pare_data_file npy[] = {{"x.npy", slurp("tests/data/x_fortran_big_f8.npy")}, {"y.npy", {ynpy, sizeof ynpy - 1}}};
	struct pare_data_file npz = {"d.npz", slurp("tests/data/deflated.npz")};
	struct pare_data_file csv = {"t.csv", text("a,b,y\n1,2,\"p \"\"q\"\"\"\n3,4,r\n5,6,r\n")};

	fail_each(idx, 2);
	fail_each(npy, 2);
	fail_each(&npz, 1);
	fail_each(&csv, 1);
	drop(npy[0].bytes);
	drop(npz.bytes);
}
END_TEST

PROGRAM("core/data/bad", idx_cut_everywhere, numpy_cut_everywhere, csv_cut_everywhere, bits_flipped_everywhere,
    npz_checksum_is_checked, gzip_bomb_stops_at_the_cap,
    gzip_bomb_stops_at_the_ratio, gzip_damaged, zip_lies, zip_overlapping_members, zip_bomb_stops_at_the_cap, zip64_end_records,
    zip_count_and_empty, npy_headers, object_arrays_of_numpy, counts_differ,
    missing_and_double_parts, splits_differ, no_rows, not_finite, labels_out_of_range, csv_errors_say_where,
    csv_missing_label_column_lists_columns, csv_line_without_end,
    csv_larger_than_the_cap, unknown_format, names_are_made_printable, nth_allocation_fails)
