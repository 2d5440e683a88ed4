/* Data sets: files in, rows of numbers out.
 *
 * A data set is one or more files of one format, each plain or gzipped: IDX, NPY, NPZ (arrays of features and of labels) or
 * CSV (a header and a label column). The format is told by the first bytes, never by the name; the words of a name (or of
 * an NPZ key) tell the role: train, val, test or t10k; x, images or features; y, labels or targets. Without such words an
 * array of one dimension holds labels. The values stay in their compact form (MNIST in 8 bits a pixel, in the mapped file)
 * and become floats when a batch is filled.
 *
 * Labels: integers and whole floats are classes and keep their value (label 3 is output 3); texts are classes in sorted
 * order; fractions, and arrays of several floats a row, are regression targets. */
#ifndef PARE_DATA_DATA_H
#define PARE_DATA_DATA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/base/err.h"
#include "core/graph/graph.h"

enum pare_task { PARE_TASK_CLASSIFY, PARE_TASK_REGRESS };
enum pare_split { PARE_SPLIT_TRAIN, PARE_SPLIT_VALIDATION, PARE_SPLIT_TEST, PARE_N_SPLITS };
enum pare_normalize {
	PARE_NORM_AUTO,    /* unit for 8-bit data, none for others */
	PARE_NORM_NONE,
	PARE_NORM_UNIT,    /* 8-bit data / 255 */
	PARE_NORM_STANDARD /* (x - mean) / std per feature, of the training split */
};

struct pare_data_file {
	const char *name; /* as uploaded: "train-images-idx3-ubyte.gz" or the form field; tells the role of a file, nothing else */
	struct pare_span bytes;
};

struct pare_data_options {
	const char *label;      /* CSV column (1, 2, … without a header); NULL: a usual name (label, class, target, species, y), else the last */
	enum pare_task task;    /* used only if task_given */
	bool task_given;        /* else: labels of integer (or text) type classify, fractions regress */
	size_t max_bytes;       /* of decoded data (decompression bombs stop here); 0: 4 GiB */
};

struct pare_dataset; /* opaque: rows, labels, splits */

struct pare_data_info {
	const char *format; /* "idx", "npz", "npy", "csv" */
	enum pare_task task;
	int64_t n_rows;                 /* of all splits */
	int64_t n_given[PARE_N_SPLITS]; /* rows that the files themselves assign to train / validation / test */
	int n_dims;                     /* of one row */
	int64_t dims[PARE_MAX_DIMS];
	size_t row_elems;
	int dtype;                      /* of the stored features */
	int n_classes;                  /* 0 for regression */
	const char *const *class_names; /* n_classes; decimal numbers where labels are numbers */
	const int64_t *class_counts;
	int n_targets;                  /* columns of y for regression */
};

/* Reads and checks everything (finite features: PARE_E_NONFINITE names row and column; labels; equal counts; not empty).
 * Keeps pointers into files' bytes where it can: they must outlive the data set. PARE_E_DATASET for what is wrong in a file,
 * PARE_E_UNSUPPORTED for what is right but not read (object arrays, encrypted archives), PARE_E_LIMIT past max_bytes. opt may be NULL. */
PARE_MUST_USE enum pare_code pare_data_open(const struct pare_data_file *files, int n_files, const struct pare_data_options *opt,
    struct pare_dataset **out, struct pare_err *err);
void pare_data_free(struct pare_dataset *d);
const struct pare_data_info *pare_data_info(const struct pare_dataset *d);

/* Assigns rows to splits. Rows that the files call test stay test. validation and test are fractions of the training rows
 * in [0, 1); each counts only when the files bring no such rows. A fraction takes its rows by the seed, stratified by class. Every
 * split that is used must have at least one row (PARE_E_DATASET otherwise; PARE_E_INVALID for bad fractions). A failure changes nothing.
 * After opening, the splits are what the files say, and rows without a role train. */
PARE_MUST_USE enum pare_code pare_data_split(struct pare_dataset *d, double validation, double test, uint64_t seed, struct pare_err *err);
/* k-fold, stratified: fold i of k (2 to the number of rows) becomes validation, the other folds training; what is test stays aside. */
PARE_MUST_USE enum pare_code pare_data_fold(struct pare_dataset *d, int k, int i, uint64_t seed, struct pare_err *err);
/* Row numbers of a split, ascending; valid until the next split or fold. */
const uint32_t *pare_data_rows(const struct pare_dataset *d, enum pare_split split, uint32_t *out_n);

/* How features become floats (AUTO after opening); STANDARD is estimated from the present training split: call it again after
 * a new split. PARE_E_INVALID for UNIT on data that are not of 8 bits. */
PARE_MUST_USE enum pare_code pare_data_normalize(struct pare_dataset *d, enum pare_normalize how, struct pare_err *err);
enum pare_normalize pare_data_normalization(const struct pare_dataset *d); /* what AUTO became */
/* mean and std per feature (row_elems each) when STANDARD, else NULL: a user must apply them before the exported model. */
const float *pare_data_mean(const struct pare_dataset *d);
const float *pare_data_std(const struct pare_dataset *d);

/* out[n * row_elems] = the normalised features of rows[0..n). Thread safe. */
void pare_data_fill(const struct pare_dataset *d, const uint32_t *rows, size_t n, float *out);
/* Class indices, or the n_targets columns. Thread safe. */
void pare_data_classes(const struct pare_dataset *d, const uint32_t *rows, size_t n, int32_t *out);
void pare_data_targets(const struct pare_dataset *d, const uint32_t *rows, size_t n, float *out);

#endif
