/* What the files of core/data share. A file is decoded into sources (one array, or one table); sources of the same name are the
 * chunks of a field, split after split; fields of equal length make up the data set. Nothing here is for other directories. */
#ifndef PARE_DATA_DATA_PRIV_H
#define PARE_DATA_DATA_PRIV_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/base/buf.h"
#include "core/base/err.h"
#include "core/data/data.h"

#define DATA_MAX_CLASSES 65536
#define DATA_MAX_SOURCES 64
#define DATA_MAX_ROWS ((size_t)INT32_MAX)

/* --- element types (types.c): one row each; read_* take values in host byte order */
struct data_type {
	int dtype;
	const char *npy; /* "f4" */
	uint8_t idx;     /* IDX type byte, 0 if IDX has none */
	uint8_t size;    /* bytes */
	bool integer;    /* bool counts */
	bool wide;       /* not every value is a float */
	void (*read_float)(const uint8_t *in, size_t n, float *out);
	void (*read_double)(const uint8_t *in, size_t n, double *out);
};
const struct data_type *data_type_by_npy(const char *code, size_t n);
const struct data_type *data_type_by_idx(uint8_t idx);
const struct data_type *data_type_float(void);
const struct data_type *data_type_double(void);
const struct data_type *data_type_int32(void);
const struct data_type *data_type_uint8(void);
/* n values at in, which may be in the other byte order. */
void data_read_floats(const struct data_type *t, bool swap, const uint8_t *in, size_t n, float *out);
/* The same bytes in host byte order. */
void data_copy(const struct data_type *t, bool swap, const uint8_t *in, size_t n, uint8_t *out);
void data_read_doubles(const struct data_type *t, bool swap, const uint8_t *in, size_t n, double *out);

/* An array as its file holds it. */
struct data_array {
	const struct data_type *type;
	bool big_endian, fortran;
	int n_dims;
	int64_t dims[PARE_MAX_DIMS];
	size_t n_elems;
	struct pare_span raw; /* exactly n_elems * type->size bytes, or as far as stride says */
	size_t stride;        /* bytes from row to row where rows do not touch, else 0 */
};

/* Texts one after the other, each NUL-terminated, with the line that each came from. */
struct data_texts {
	struct pare_buf buf;
	size_t *offsets;
	uint32_t *lines;
	size_t n, size;
};
void data_texts_init(struct data_texts *t);
void data_texts_done(struct data_texts *t);
PARE_MUST_USE enum pare_code data_texts_add(struct data_texts *t, const char *s, size_t n, size_t line, struct pare_err *err);
const char *data_texts_get(const struct data_texts *t, size_t i);

enum data_group { DATA_GROUP_NONE, DATA_GROUP_TRAIN, DATA_GROUP_VALIDATION, DATA_GROUP_TEST, DATA_N_GROUPS };
enum data_part { DATA_PART_NONE, DATA_PART_X, DATA_PART_Y };

#define DATA_NAME_MAX 96

/* What the words of a name say (roles.c). */
struct data_role {
	enum data_group group;
	enum data_part part;
	int piece;                /* of "part7"; -1 */
	char name[DATA_NAME_MAX]; /* without the words for split and piece */
	char bare[DATA_NAME_MAX]; /* and without those for the part */
};

struct data_source {
	char label[PARE_ERR_WHERE_MAX]; /* "x.npy", or "d.npz: x_train.npy": for messages */
	struct data_role role;
	struct data_array a;
	bool table;
	struct data_texts texts; /* a table's label column */
};

/* Rows of a field that lie together. */
struct data_chunk {
	const uint8_t *p; /* C order; NULL for the texts of a table, while opening */
	bool swap;        /* the other byte order */
	size_t stride, n_rows, first_row;
	const struct data_source *src; /* while opening */
};

struct data_field {
	struct pare_data_field *info;
	char name[DATA_NAME_MAX], bare[DATA_NAME_MAX];
	const struct data_type *type;
	size_t row_bytes;
	struct data_chunk *chunks; /* ascending */
	size_t n_chunks;
	/* x */
	enum pare_normalize norm;
	double *mean, *std;       /* row_elems each; NULL unless STANDARD */
	float *shift, *inv_std;   /* mean and 1 / std, for types of which every value is a float */
	size_t n_channels, n_pixels; /* n_channels 0: the layout stays; else rows [n_pixels, n_channels] come out turned */
	/* y */
	const char **class_names;
	int64_t *class_counts;
	int64_t ignore; /* -1 unless given: negative labels never count */
	bool texts;     /* while opening: of tables */
};

#define DATA_MAX_MAPPINGS 160 /* files, and what was decoded of them */

/* What lies in mapped files (pages.c). */
struct data_pages {
	struct pare_span mappings[DATA_MAX_MAPPINGS];
	bool owned[DATA_MAX_MAPPINGS]; /* to be unmapped */
	size_t n, n_bytes;
	atomic_size_t *touched; /* bytes read since pages were given back */
	_Atomic uint64_t *areas; /* a bit for each area of a mapping that was read since then; NULL while the set is opened */
	size_t first_area[DATA_MAX_MAPPINGS], n_words;
};

struct pare_dataset {
	struct pare_data_info info;
	struct data_pages pages;
	bool streams;
	bool wide_tables, needs_wide; /* features of tables are doubles; should be */
	struct pare_data_field x_info[PARE_DATA_FIELDS], y_info[PARE_DATA_FIELDS];
	struct data_field x[PARE_DATA_FIELDS], y[PARE_DATA_FIELDS];
	size_t n_group[DATA_N_GROUPS]; /* rows */
	size_t bytes_left;             /* of max_bytes */
	void **owned;
	size_t n_owned, owned_size;
	uint32_t *rows; /* the splits one after the other */
	uint32_t n_split[PARE_N_SPLITS];
	uint8_t *split_of; /* by row: enum pare_split */
};

static inline const struct data_chunk *data_chunk_of(const struct data_field *f, size_t row)
{
	const struct data_chunk *c = f->chunks;

	while (row - c->first_row >= c->n_rows)
		c++;
	return c;
}

/* --- memory (open.c). What is kept is charged against max_bytes. */
PARE_MUST_USE enum pare_code data_charge(struct pare_dataset *d, size_t n_bytes, const char *where, struct pare_err *err);
/* Charged, not cleared, freed with the data set. */
PARE_MUST_USE enum pare_code data_own_alloc(struct pare_dataset *d, size_t n, size_t size, const char *where, void *out,
    struct pare_err *err);
/* Takes p over (frees it on failure); the bytes were charged before. */
PARE_MUST_USE enum pare_code data_own_take(struct pare_dataset *d, void *p, struct pare_err *err);

/* --- pages (pages.c) */
/* Does a set of that many bytes in files stream? Known when its files are, and before they are read. */
bool data_pages_stream(const struct pare_dataset *d, enum pare_stream how);
PARE_MUST_USE enum pare_code data_pages_add(struct pare_dataset *d, struct pare_span s, bool owned, struct pare_err *err);
void data_pages_done(struct pare_dataset *d);
/* So many bytes were read; when the set streams, gives all pages of the mappings back now and then. Thread safe. */
void data_touch(const struct pare_dataset *d, size_t n_bytes);
/* Begins to count by areas what rows touch, when the set streams: from now on no mappings are added. */
PARE_MUST_USE enum pare_code data_pages_watch(struct pare_dataset *d, struct pare_err *err);
/* The rows of a field are going to be read, wherever they lie. */
void data_touch_rows(const struct pare_dataset *d, const struct data_field *f, const uint32_t *rows, size_t n);

/* Where decoded bytes go: memory, or past some size a spill file. Write to p + len, at most size - len, and add to len. */
struct data_sink {
	struct pare_dataset *d;
	const struct pare_data_options *opt;
	const char *where;
	uint8_t *p;
	size_t len, size;
	size_t flushed; /* bytes in the spill file */
	int fd;         /* of it, or -1 */
};
static inline struct data_sink data_sink_of(struct pare_dataset *d, const struct pare_data_options *opt, const char *where)
{
	return (struct data_sink){.d = d, .opt = opt, .where = where, .fd = -1};
}
void data_sink_done(struct data_sink *s);
/* All that it may take. */
size_t data_sink_cap(const struct data_sink *s);
/* Room for n bytes at least; expected: the whole that is to come, 0 if nobody knows. */
PARE_MUST_USE enum pare_code data_sink_room(struct data_sink *s, size_t n, size_t expected, struct pare_err *err);
/* The bytes, which d owns from here on. */
PARE_MUST_USE enum pare_code data_sink_finish(struct data_sink *s, struct pare_span *out, struct pare_err *err);

/* --- decoders. where is the source's label. Errors leave nothing behind. */
bool data_is_gzip(struct pare_span s);
bool data_is_idx(struct pare_span s);
bool data_is_npy(struct pare_span s);
bool data_is_zip(struct pare_span s);
bool data_is_cifar(struct pare_span s);
/* Inflates all gzip members. */
PARE_MUST_USE enum pare_code data_gunzip(struct pare_span in, struct data_sink *out, struct pare_err *err);
/* A raw deflate stream that must give exactly len bytes and end with its input. */
PARE_MUST_USE enum pare_code data_inflate(struct pare_span in, size_t len, struct data_sink *out, struct pare_err *err);
PARE_MUST_USE enum pare_code data_idx_read(struct pare_span s, const char *where, struct data_array *out, struct pare_err *err);
PARE_MUST_USE enum pare_code data_npy_read(struct pare_span s, const char *where, struct data_array *out, struct pare_err *err);

/* The arrays of a file that data_is_cifar said is one, images first; returns how many. */
#define DATA_CIFAR_MAX 3
int data_cifar_read(struct pare_span s, struct data_array arrays[DATA_CIFAR_MAX], const char *names[DATA_CIFAR_MAX]);

struct data_zip_entry {
	const char *name; /* name_len bytes, not terminated */
	size_t name_len;
	uint16_t flags, method;
	uint32_t crc;
	size_t comp_bytes, bytes;
	size_t start;          /* of the local header */
	struct pare_span data; /* as stored */
};
/* The checked directory of a zip archive; *out is for pare_free. */
PARE_MUST_USE enum pare_code data_zip_list(struct pare_span s, const char *where, struct data_zip_entry **out, size_t *out_n,
    struct pare_err *err);
/* The bytes of one entry, inflated if need be (owned by d then), CRC checked. */
PARE_MUST_USE enum pare_code data_zip_extract(struct pare_dataset *d, const struct pare_data_options *opt, const struct data_zip_entry *e, const char *where,
    struct pare_span *out, struct pare_err *err);

/* Fills out->a (float, owned by d) and out->texts. */
/* out_labels: several label columns are an array of their own; NULL: one label, as texts of out. */
#define DATA_CSV_LABELS 1024
bool data_csv_many_labels(const struct pare_data_options *opt);
PARE_MUST_USE enum pare_code data_csv_read(struct pare_dataset *d, const struct pare_data_options *opt, struct pare_span s, struct data_source *out, struct data_source *out_labels, struct pare_err *err);

/* --- assembling */
/* A member's own name says what it is; what it leaves open its file may say. */
void data_role_read(const char *name, struct data_role *out);
/* The whole name and nothing else. */
void data_role_plain(const char *name, struct data_role *out);
void data_role_complete(struct data_role *member, const struct data_role *file);
/* From sources to the fields of d, all rows counted and numbered, x checked (fields.c). */
PARE_MUST_USE enum pare_code data_fields_join(struct pare_dataset *d, struct data_source *sources, size_t n, const struct pare_data_options *opt,
    struct pare_err *err);
/* Makes chunk c hold its source's values in C order. */
PARE_MUST_USE enum pare_code data_chunk_prepare(struct pare_dataset *d, struct data_chunk *c, struct pare_err *err);
/* Every value is finite as a float. */
PARE_MUST_USE enum pare_code data_chunk_finite(const struct pare_dataset *d, const struct data_chunk *c, const struct data_type *type, size_t row_elems, struct pare_err *err);
/* Task, classes or targets, names and counts of a y field. */
PARE_MUST_USE enum pare_code data_labels_resolve(struct pare_dataset *d, struct data_field *y, const struct pare_data_options *opt, struct pare_err *err);
/* Splits as the files say. */
PARE_MUST_USE enum pare_code data_split_given(struct pare_dataset *d, struct pare_err *err);

/* Is it nan or inf, however written? */
bool data_means_nonfinite(const char *s, size_t n);
/* Text from a file made fit for a message: at most n - 1 characters, printable ASCII. */
const char *data_show(const char *s, size_t len, char *out, size_t n);
/* "[60000, 28, 28]" */
const char *data_show_dims(const int64_t *dims, int n_dims, char *out, size_t n);

static inline uint64_t data_le(const uint8_t *p, int n)
{
	uint64_t v = 0;

	for (int i = 0; i < n; i++)
		v |= (uint64_t)p[i] << (8 * i);
	return v;
}

#endif
