/* Data that are not kept in memory: what a file's pages and a spill file give must be what memory gives; the order of rows
 * reads well and mixes well; how much stays resident. */
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>
#include <zlib.h>

#include "core/base/mem.h"
#include "tests/core/data/data_testing.h"
#include "tests/support/npy.h"

static int files_opened;

static enum pare_code open_spill(void *ctx, int *out_fd, struct pare_err *err)
{
	(void)ctx;
	*out_fd = memfd_create("spill", MFD_CLOEXEC);
	files_opened++;
	return *out_fd >= 0 ? PARE_OK : pare_err_set(err, PARE_E_IO, NULL, "no file");
}

static enum pare_code refuse_spill(void *ctx, int *out_fd, struct pare_err *err)
{
	(void)ctx;
	(void)out_fd;
	return pare_err_set(err, PARE_E_STORE_FULL, NULL, "no room for a file");
}

static struct pare_data_file gzipped(const struct pare_data_file *f)
{
	size_t cap = f->bytes.len / 2 + 4096;
	uint8_t *p = malloc(cap);
	z_stream z = {.next_in = (Bytef *)(uintptr_t)f->bytes.data, .avail_in = (uInt)f->bytes.len, .next_out = p, .avail_out = (uInt)cap};

	ck_assert_ptr_nonnull(p);
	ck_assert_int_eq(deflateInit2(&z, 1, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY), Z_OK);
	ck_assert_int_eq(deflate(&z, Z_FINISH), Z_STREAM_END);
	deflateEnd(&z);
	return (struct pare_data_file){f->name, {p, z.total_out}};
}

enum { BIG_ROWS = 3000, BIG_WIDTH = 24 << 10 }; /* 72 MB: more than memory takes */

static struct pare_data_file big_x(void)
{
	uint8_t *v = calloc(BIG_ROWS, BIG_WIDTH);
	struct pare_data_file f;
	char shape[32];

	ck_assert_ptr_nonnull(v);
	for (size_t i = 0; i < BIG_ROWS; i++)
		for (size_t j = 0; j < BIG_WIDTH; j += 97)
			v[i * BIG_WIDTH + j] = (uint8_t)(i + j * 3);
	snprintf(shape, sizeof shape, "(%d, %d)", BIG_ROWS, BIG_WIDTH);
	f = npy("x.npy", "|u1", shape, v, (size_t)BIG_ROWS * BIG_WIDTH);
	free(v);
	return f;
}

static struct pare_data_file big_y(void)
{
	static uint8_t v[BIG_ROWS];
	char shape[32];

	for (int i = 0; i < BIG_ROWS; i++)
		v[i] = (uint8_t)(i % 7);
	snprintf(shape, sizeof shape, "(%d,)", BIG_ROWS);
	return npy("y.npy", "|u1", shape, v, sizeof v);
}

static void same_rows(const struct pare_dataset *a, const struct pare_dataset *b)
{
	static float x[BIG_WIDTH], y[BIG_WIDTH];

	for (uint32_t i = 0; i < BIG_ROWS; i += 13) {
		pare_data_fill(a, 0, &i, 1, x);
		pare_data_fill(b, 0, &i, 1, y);
		ck_assert_mem_eq(x, y, sizeof x);
		ck_assert_int_eq(class_at(a, i), class_at(b, i));
	}
}

START_TEST(gzip_goes_into_a_spill_file)
{
	struct pare_data_file plain[] = {big_x(), big_y()}, packed[] = {gzipped(&plain[0]), plain[1]};
	struct pare_data_options spill = {.spill = open_spill}, full = {.spill = refuse_spill}, small = {.spill = open_spill, .max_spill_bytes = (size_t)70 << 20, .max_bytes = (size_t)66 << 20};
	struct pare_dataset *a = must_open(plain, 2, NULL), *b;

	files_opened = 0;
	b = must_open(packed, 2, &spill);
	ck_assert_int_eq(files_opened, 1);
	same_rows(a, b);
	pare_data_free(b);
	must_refuse(packed, 2, &full, PARE_E_STORE_FULL, "no room for a file");
	must_refuse(packed, 2, &small, PARE_E_LIMIT, "inflates to more than");
	packed[0].bytes.len -= 100;
	must_refuse(packed, 2, &spill, PARE_E_DATASET, "end too early");
	pare_data_free(a);
	npy_free(plain, 2);
	npy_free(packed, 1);
}
END_TEST

/* Nothing small is worth a file. */
START_TEST(small_data_stay_in_memory)
{
	struct pare_data_file y = big_y(), f[] = {npy("x.npy", "|u1", "(3000, 1)", y.bytes.data + y.bytes.len - 3000, 3000), gzipped(&y)};
	struct pare_data_options opt = {.spill = refuse_spill};
	struct pare_dataset *d = must_open(f, 2, &opt);

	ck_assert(!pare_data_streams(d));
	pare_data_free(d);
	npy_free(f, 2);
	npy_free(&y, 1);
}
END_TEST

START_TEST(csv_goes_into_a_spill_file)
{
	enum { WIDTH = 500, ROWS = 36000 };
	size_t cap = (size_t)ROWS * (2 * WIDTH + 8), n = 0;
	char *csv = malloc(cap);
	struct pare_data_options opt = {.spill = open_spill};
	struct pare_data_file f = {"t.csv", {(const uint8_t *)csv, 0}};
	static float x[WIDTH];
	struct pare_dataset *d;

	ck_assert_ptr_nonnull(csv);
	for (int i = 0; i < ROWS; i++) {
		for (int j = 0; j < WIDTH; j++) {
			csv[n++] = (char)('0' + (i * 7 + j) % 10);
			csv[n++] = ',';
		}
		csv[n++] = (char)('0' + i % 3);
		csv[n++] = '\n';
	}
	f.bytes.len = n;
	files_opened = 0;
	d = must_open(&f, 1, &opt);
	ck_assert_int_eq(files_opened, 1);
	for (uint32_t i = 0; i < ROWS; i += 1999) {
		pare_data_fill(d, 0, &i, 1, x);
		for (uint32_t j = 0; j < WIDTH; j++)
			ck_assert(x[j] == (float)((i * 7 + j) % 10));
		ck_assert_int_eq(class_at(d, i), (int)i % 3);
	}
	pare_data_free(d);
	free(csv);
}
END_TEST

/* A sanitizer's shadow of what was read is anonymous memory, and larger than it: only pages of files are counted there. */
static size_t resident_kb(void)
{
#ifdef PARE_SANITIZED
	static const char *const counted[] = {"RssFile:", "RssShmem:"};
#else
	static const char *const counted[] = {"RssAnon:", "RssFile:", "RssShmem:"};
#endif
	FILE *f = fopen("/proc/self/status", "r");
	size_t sum = 0, n_found = 0;
	char line[256];

	ck_assert_ptr_nonnull(f);
	while (fgets(line, sizeof line, f) != NULL)
		for (size_t i = 0; i < sizeof counted / sizeof counted[0]; i++)
			if (strncmp(line, counted[i], strlen(counted[i])) == 0) {
				sum += strtoul(line + strlen(counted[i]), NULL, 10);
				n_found++;
			}
	fclose(f);
	ck_assert_uint_eq(n_found, sizeof counted / sizeof counted[0]);
	return sum;
}

/* Everything that is said to be mapped must be. */
static void map(struct pare_data_file *f)
{
	int fd = memfd_create("mapped", MFD_CLOEXEC);
	void *p;

	ck_assert_int_eq(write(fd, f->bytes.data, f->bytes.len), (ssize_t)f->bytes.len);
	p = mmap(NULL, f->bytes.len, PROT_READ, MAP_PRIVATE, fd, 0);
	ck_assert_ptr_ne(p, MAP_FAILED);
	free((void *)(uintptr_t)f->bytes.data);
	f->bytes.data = p;
	close(fd);
}

/* A sparse file of 600 MB, read through twice (checks) and once more by rows: never much more than the budget is resident. */
START_TEST(pages_are_given_back)
{
	const size_t width = 8192, n_rows = 73728;
	FILE *file = tmpfile();
	int fd = fileno(file);
	struct pare_data_file small = npy("x.npy", "<f4", "(73728, 2048)", "", 0), f[2];
	struct pare_data_options opt = {.mapped = true, .stream = PARE_STREAM_ALWAYS}, kept = {.mapped = true};
	size_t head = small.bytes.len, len = head + width * n_rows, most = 0;
	float x[2048];
	struct pare_dataset *d;
	void *p;

	ck_assert_int_eq(ftruncate(fd, (off_t)len), 0);
	ck_assert_int_eq(pwrite(fd, small.bytes.data, head, 0), (ssize_t)head);
	p = mmap(NULL, len, PROT_READ, MAP_PRIVATE, fd, 0);
	ck_assert_ptr_ne(p, MAP_FAILED);
	f[0] = (struct pare_data_file){"x.npy", {p, len}};
	f[1] = npy("y.npy", "|u1", "(73728,)", p, n_rows);
	memset((void *)(uintptr_t)(f[1].bytes.data + f[1].bytes.len - n_rows), 1, n_rows);
	map(&f[1]);
	d = must_open(f, 2, &opt);
	ck_assert(pare_data_streams(d));
	for (uint32_t i = 0; i < n_rows; i++) {
		pare_data_fill(d, 0, &i, 1, x);
		if (i % 8192 == 0 && resident_kb() > most)
			most = resident_kb();
	}
	ck_assert_msg(most < (size_t)400 << 10, "%zu MB resident", most >> 10);
	ck_assert_int_eq(class_at(d, 77), 1);
	pare_data_free(d);
	d = must_open(f, 2, &kept);
	ck_assert(!pare_data_streams(d));
	ck_assert_uint_gt(resident_kb(), (size_t)550 << 10); /* so the figure above means something */
	pare_data_free(d);
	munmap(p, len);
	munmap((void *)(uintptr_t)f[1].bytes.data, f[1].bytes.len);
	fclose(file);
	npy_free(&small, 1);
}
END_TEST

static long faults(void)
{
	struct rusage u;

	ck_assert_int_eq(getrusage(RUSAGE_SELF, &u), 0);
	return u.ru_minflt + u.ru_majflt;
}

/* An epoch of small rows in the order of training takes a fault for an area of 64 KiB, not one for a row. */
START_TEST(an_epoch_faults_by_areas)
{
	enum { ROWS = 327680, WIDTH = 1024, AREAS = ROWS / 64 };
	FILE *file = tmpfile();
	struct pare_data_file small = npy("x.npy", "|u1", "(327680, 1024)", "", 0), f[2];
	struct pare_data_options opt = {.mapped = true, .stream = PARE_STREAM_ALWAYS};
	size_t head = small.bytes.len, len = head + (size_t)ROWS * WIDTH;
	uint32_t *rows = malloc(3 * sizeof *rows * ROWS), *order = rows + ROWS, *blocks = order + ROWS;
	uint8_t *labels = calloc(ROWS, 1);
	static float x[WIDTH];
	struct pare_dataset *d;
	long before;
	void *p;

	ck_assert(file != NULL && rows != NULL && labels != NULL);
	ck_assert_int_eq(ftruncate(fileno(file), (off_t)len), 0);
	ck_assert_int_eq(pwrite(fileno(file), small.bytes.data, head, 0), (ssize_t)head);
	p = mmap(NULL, len, PROT_READ, MAP_PRIVATE, fileno(file), 0);
	ck_assert_ptr_ne(p, MAP_FAILED);
	labels[7] = 1;
	f[0] = (struct pare_data_file){"x.npy", {p, len}};
	f[1] = npy("y.npy", "|u1", "(327680,)", labels, ROWS);
	map(&f[1]);
	d = must_open(f, 2, &opt);
	for (uint32_t i = 0; i < ROWS; i++) {
		rows[i] = i;
		pare_data_fill(d, 0, &i, 1, x); /* brings the file into the page cache, and every row into a sanitizer's shadow */
	}
	pare_data_shuffle(d, 5, 1, rows, ROWS, order, blocks);
	before = faults();
	for (uint32_t i = 0; i < ROWS; i++)
		pare_data_fill(d, 0, &order[i], 1, x);
	ck_assert_msg(faults() - before < 2L * AREAS, "%ld faults for %d areas", faults() - before, AREAS);
	pare_data_free(d);
	munmap(p, len);
	fclose(file);
	free(rows);
	free(labels);
	munmap((void *)(uintptr_t)f[1].bytes.data, f[1].bytes.len);
	npy_free(&small, 1);
}
END_TEST

/* 400 blocks of 63 rows (16 KiB and a label byte each): every row once, the same for the same stream, whole blocks by the window, classes mixed. */
START_TEST(blocks_are_shuffled)
{
	enum { N = 25200, BLOCK = 63, WINDOW = 256 * BLOCK };
	static float v[16384];
	static uint32_t rows[N], a[N], b[N], blocks[N];
	static bool seen[N];
	struct pare_data_file f[2];
	struct pare_data_options opt = {.stream = PARE_STREAM_ALWAYS};
	struct pare_dataset *d;
	size_t n_blocks = 0, low = 0;
	static bool in_window[N / BLOCK];

	f[0] = npy("x.npy", "<f4", "(4, 4096)", v, sizeof v);
	f[1] = npy("y.npy", "|u1", "(4,)", "\0\1\2\3", 4);
	d = must_open(f, 2, &opt);
	for (uint32_t i = 0; i < N; i++)
		rows[i] = i;
	pare_data_shuffle(d, 5, 1, rows, N, a, blocks);
	pare_data_shuffle(d, 5, 1, rows, N, b, blocks);
	ck_assert_mem_eq(a, b, sizeof a);
	pare_data_shuffle(d, 5, 2, rows, N, b, blocks);
	ck_assert(memcmp(a, b, sizeof a) != 0);
	for (uint32_t i = 0; i < N; i++) {
		ck_assert(a[i] < N && !seen[a[i]]);
		seen[a[i]] = true;
	}
	for (uint32_t i = 0; i < WINDOW; i++) {
		n_blocks += !in_window[a[i] / BLOCK];
		in_window[a[i] / BLOCK] = true;
		low += i < 256 && a[i] < N / 2;
	}
	ck_assert_uint_eq(n_blocks, 256);
	ck_assert(low > 64 && low < 192); /* the first batch comes from both halves */
	pare_data_free(d);
	npy_free(f, 2);
}
END_TEST

/* What a window holds is what the set has, whatever the chunks, byte orders and layouts. */
START_TEST(windows_are_copies)
{
	static const uint8_t big[] = {0x3c, 0, 0x40, 0, 0x42, 0, 0x44, 0}, little[] = {0, 0x45, 0, 0x46, 0, 0x47, 0, 0x48};
	struct pare_data_file f[] = {npy("x-part1.npy", ">f2", "(1, 2, 2)", big, sizeof big), npy("x-part2.npy", "<f2", "(1, 2, 2)", little, sizeof little),
	    npy("y.npy", "<i2", "(2, 2)", (const int16_t[]){3, -1, 1, 2}, 8)};
	struct pare_dataset *d = must_open(f, 3, NULL);
	const uint32_t rows[] = {1, 0, 1}, same[] = {0, 1, 2};
	struct pare_data_window *w;
	const struct pare_dataset *copy;
	float a[12], b[12];
	int32_t p[6], q[6];

	ck_assert_int_eq(pare_data_layout(d, 0, PARE_LAYOUT_TO_NCHW, NULL), PARE_OK);
	ck_assert_int_eq(pare_data_normalize(d, 0, PARE_NORM_STANDARD, NULL), PARE_OK);
	ck_assert_int_eq(pare_data_window_new(d, 3, &w, NULL), PARE_OK);
	copy = pare_data_window_load(w, d, rows, 3);
	pare_data_fill(d, 0, rows, 3, a);
	pare_data_fill(copy, 0, same, 3, b);
	ck_assert_mem_eq(a, b, sizeof a);
	ck_assert(a[0] == 1 && a[4] == -1);
	pare_data_classes(d, 0, rows, 3, p);
	pare_data_classes(copy, 0, same, 3, q);
	ck_assert_mem_eq(p, q, sizeof p);
	ck_assert_int_eq(pare_data_n_labels(copy, 0, same, 3), 5);
	pare_data_window_free(w);
	pare_data_free(d);
	npy_free(f, 3);
}
END_TEST

PROGRAM("core/data/stream", gzip_goes_into_a_spill_file, small_data_stay_in_memory, csv_goes_into_a_spill_file, pages_are_given_back,
    an_epoch_faults_by_areas, blocks_are_shuffled, windows_are_copies)
