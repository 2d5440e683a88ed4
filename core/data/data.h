/* Data sets: files in, rows of numbers out.
 *
 * A data set is one or more files of one format, each plain or gzipped: IDX, NPY, NPZ (arrays by name), CIFAR's binary
 * records, or CSV (a header and a label column). The format is told by the first bytes, never by the name; the words of a
 * name (or of an NPZ key) tell the role: train, val, test or t10k; x, images or features; y, labels or targets; part7 is the
 * seventh piece of an array that lies in several files. Without such words an array of one dimension holds labels.
 *
 * An array over all rows is a field: x fields are what model inputs take, y fields what model outputs are held against.
 * Several x in one split (input_ids, attention_mask) are the inputs of one model, told apart by their names; several y
 * likewise (y_age, y_sex). Without any y the data are unlabelled. The values stay in their compact form (MNIST in 8 bits a pixel,
 * in the mapped file) and become floats when a batch is filled.
 *
 * Tasks of a y field, told by shape and values unless the user says it:
 *   classify    [n] or [n, 1]: integers and whole floats keep their value (label 3 is output 3); texts are numbered in
 *               sorted order; [n, k] of 0 and 1 with a single 1 in every row is one-hot
 *   multilabel  [n, k] of 0 and 1, any number of them in a row
 *   sequence    [n, T], [n, H, W] …: a class for every position; negative ones (and ignore) are positions without a label
 *   regress     fractions, [n], [n, k] … */
#ifndef PARE_DATA_DATA_H
#define PARE_DATA_DATA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/base/err.h"
#include "core/graph/graph.h"

enum pare_task { PARE_TASK_CLASSIFY, PARE_TASK_REGRESS, PARE_TASK_MULTILABEL, PARE_TASK_SEQUENCE, PARE_N_TASKS };
extern const char *const pare_task_names[PARE_N_TASKS]; /* "classify" … */
const char *pare_data_format_at(size_t i); /* "idx" …; NULL past the last */

enum pare_split { PARE_SPLIT_TRAIN, PARE_SPLIT_VALIDATION, PARE_SPLIT_TEST, PARE_N_SPLITS };
enum pare_normalize {
	PARE_NORM_AUTO,    /* unit for 8-bit data, none for others */
	PARE_NORM_NONE,
	PARE_NORM_UNIT,    /* 8-bit data / 255 */
	PARE_NORM_STANDARD /* (x - mean) / std per feature, of the training split */
};
enum pare_data_layout { PARE_LAYOUT_KEEP, PARE_LAYOUT_TO_NCHW, PARE_LAYOUT_TO_NHWC };

enum pare_stream { PARE_STREAM_AUTO, PARE_STREAM_ALWAYS, PARE_STREAM_NEVER }; /* AUTO: sets of more than 1 GiB */

struct pare_data_file {
	const char *name; /* as uploaded: "train-images-idx3-ubyte.gz" or the form field; tells the role of a file, nothing else */
	struct pare_span bytes;
};

/* What the user says of one array, which else its name and values would tell. */
struct pare_data_role {
	const char *array; /* its name, with or without the words for split and part */
	bool is_y;
};

struct pare_data_options {
	const char *label;      /* CSV column (1, 2, … without a header), or several with commas between, which hold numbers; NULL: a usual name (label, class, target, species, y), else the last */
	enum pare_task task;    /* of every y field; used only if task_given */
	bool task_given;
	int64_t ignore;         /* of sequences: this label counts as none, as negative ones do; used only if ignore_given */
	bool ignore_given;
	const struct pare_data_role *roles;
	int n_roles;
	size_t max_bytes;       /* of decoded data in memory (decompression bombs stop here); 0: 4 GiB */
	bool mapped;            /* the bytes of all files are mappings that nobody writes to: pages of theirs are given back to the kernel */
	/* Opens an empty file, read and write, for data that decode to more than memory should hold (64 MiB); it belongs to the data set. NULL:
	 * everything decodes to memory. */
	enum pare_code (*spill)(void *ctx, int *out_fd, struct pare_err *err);
	void *spill_ctx;
	size_t max_spill_bytes; /* of one such file; 0: 16 GiB */
	enum pare_stream stream;
};

struct pare_dataset; /* opaque: fields, splits */

#define PARE_DATA_FIELDS 32 /* x, and as many y */

struct pare_data_field {
	const char *name; /* "" when words for its role are all that its name has */
	int dtype;        /* as stored */
	int n_dims;       /* of one row; 1 where there is one number a row */
	int64_t dims[PARE_MAX_DIMS];
	size_t row_elems;
	/* of a y field */
	enum pare_task task;
	int n_classes;                  /* classify and sequence: one more than the largest; else 0 */
	const char *const *class_names; /* n_classes; decimal numbers where labels are numbers */
	const int64_t *class_counts;    /* of rows, or of positions */
	int64_t n_ignored;              /* positions without a label */
	size_t n_targets;               /* numbers a row that pare_data_targets gives: multilabel and regress; else 0 */
};

struct pare_data_info {
	const char *format; /* "idx", "npz", "npy", "csv", "cifar" */
	int64_t n_rows;                 /* of all splits */
	int64_t n_given[PARE_N_SPLITS]; /* rows that the files themselves assign to train / validation / test */
	int n_x, n_y;                   /* n_y 0: unlabelled */
	const struct pare_data_field *x, *y;
};

/* Reads and checks everything (finite features: PARE_E_NONFINITE names row and column; labels; equal counts; not empty).
 * Keeps pointers into files' bytes where it can: they must outlive the data set. PARE_E_DATASET for what is wrong in a file,
 * PARE_E_UNSUPPORTED for what is right but not read (object arrays, encrypted archives), PARE_E_LIMIT past max_bytes. opt may be NULL. */
PARE_MUST_USE enum pare_code pare_data_open(const struct pare_data_file *files, int n_files, const struct pare_data_options *opt,
    struct pare_dataset **out, struct pare_err *err);
void pare_data_free(struct pare_dataset *d);
const struct pare_data_info *pare_data_info(const struct pare_dataset *d);
/* The field that name means: its name as it stands, or without the words for its part ("x_image": "image"). -1: none. */
int pare_data_find_x(const struct pare_dataset *d, const char *name);
int pare_data_find_y(const struct pare_dataset *d, const char *name);

/* Assigns rows to splits. Rows that the files call test stay test. validation and test are fractions of the training rows
 * in [0, 1); each counts only when the files bring no such rows. A fraction takes its rows by the seed, stratified by class (of the
 * first y field, when it classifies). Every split that is used must have at least one row (PARE_E_DATASET otherwise;
 * PARE_E_INVALID for bad fractions). A failure changes nothing. After opening, the splits are what the files say, and rows
 * without a role train. */
PARE_MUST_USE enum pare_code pare_data_split(struct pare_dataset *d, double validation, double test, uint64_t seed, struct pare_err *err);
/* k-fold, stratified: fold i of k (2 to the number of rows) becomes validation, the other folds training; what is test stays aside. */
PARE_MUST_USE enum pare_code pare_data_fold(struct pare_dataset *d, int k, int i, uint64_t seed, struct pare_err *err);
/* Row numbers of a split, ascending; valid until the next split or fold. */
const uint32_t *pare_data_rows(const struct pare_dataset *d, enum pare_split split, uint32_t *out_n);

/* Does the set lie in files that are read as batches need it, without being kept? */
bool pare_data_streams(const struct pare_dataset *d);
/* out[n] = rows[n] in an order drawn from (seed, "shuffle", stream): any order; when the set streams, blocks in any order and
 * rows in any order within windows of blocks (stream.c). blocks: scratch of n. */
void pare_data_shuffle(const struct pare_dataset *d, uint64_t seed, uint64_t stream, const uint32_t *rows, uint32_t n, uint32_t *out, uint32_t *blocks);

/* How the values of field x become floats (AUTO after opening); STANDARD is estimated from the present training split: call it
 * again after a new split. PARE_E_INVALID for UNIT on data that are not of 8 bits. */
PARE_MUST_USE enum pare_code pare_data_normalize(struct pare_dataset *d, int x, enum pare_normalize how, struct pare_err *err);
enum pare_normalize pare_data_normalization(const struct pare_dataset *d, int x); /* what AUTO became */
/* mean and std per feature (row_elems each, in the order of the files) when STANDARD, else NULL: a user must apply them
 * before the exported model. */
const double *pare_data_mean(const struct pare_dataset *d, int x);
const double *pare_data_std(const struct pare_dataset *d, int x);
/* Moves the channels of every row from last to first or back. PARE_E_SHAPE for rows that are not [H, W, C] (or [W, C]). */
PARE_MUST_USE enum pare_code pare_data_layout(struct pare_dataset *d, int x, enum pare_data_layout layout, struct pare_err *err);

/* out[n * row_elems] = the normalised values of field x of rows[0..n). Thread safe. */
void pare_data_fill(const struct pare_dataset *d, int x, const uint32_t *rows, size_t n, float *out);
/* Of one row of field x, or y if its labels are numbers: row_elems values as the files have them, in their order and before any
 * normalisation. Thread safe. */
void pare_data_values(const struct pare_dataset *d, int x, uint32_t row, double *out);
void pare_data_target_values(const struct pare_dataset *d, int y, uint32_t row, double *out);
/* Of field y: row_elems class indices a row (1 for classify), -1 where a position has no label; or the n_targets numbers a
 * row. Thread safe. */
void pare_data_classes(const struct pare_dataset *d, int y, const uint32_t *rows, size_t n, int32_t *out);
void pare_data_targets(const struct pare_dataset *d, int y, const uint32_t *rows, size_t n, float *out);
/* Labelled positions of field y in rows[0..n): n for all tasks but sequence. Thread safe. */
int64_t pare_data_n_labels(const struct pare_dataset *d, int y, const uint32_t *rows, size_t n);

/* A copy of the bytes of some rows: a data set in which they are the rows 0 to n - 1. Made when normalisation and layout stand;
 * valid until the next load and as long as d. Splits, and whatever changes a data set, are not for it. */
struct pare_data_window;
PARE_MUST_USE enum pare_code pare_data_window_new(const struct pare_dataset *d, size_t n_rows, struct pare_data_window **out, struct pare_err *err);
void pare_data_window_free(struct pare_data_window *w);
const struct pare_dataset *pare_data_window_load(struct pare_data_window *w, const struct pare_dataset *d, const uint32_t *rows, size_t n);

#endif
