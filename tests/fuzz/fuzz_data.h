/* What the targets of data sets share: whatever opens is split, normalised and read to the last value, so that a wrong size shows. */
#ifndef TESTS_FUZZ_FUZZ_DATA_H
#define TESTS_FUZZ_FUZZ_DATA_H

#include <stdint.h>
#include <stdlib.h>

#include "core/base/mem.h"
#include "core/data/data.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static inline void fuzz_labels(const struct pare_dataset *d, int y, const uint32_t *row)
{
	const struct pare_data_field *f = &pare_data_info(d)->y[y];
	float *v = pare_calloc(f->row_elems, sizeof *v);
	int32_t *c = pare_calloc(f->row_elems, sizeof *c);

	if (v == NULL || c == NULL)
		abort();
	if (f->n_targets > 0)
		pare_data_targets(d, y, row, 1, v);
	else
		pare_data_classes(d, y, row, 1, c);
	for (size_t i = 0; i < f->row_elems; i++)
		if (f->n_targets == 0 && (c[i] < (f->task == PARE_TASK_SEQUENCE ? -1 : 0) || c[i] >= f->n_classes))
			abort();
	if (pare_data_n_labels(d, y, row, 1) > (int64_t)f->row_elems)
		abort();
	pare_free(v);
	pare_free(c);
}

static inline void fuzz_input(struct pare_dataset *d, int x, uint32_t n_rows)
{
	float *row = pare_calloc(pare_data_info(d)->x[x].row_elems, sizeof *row);

	if (row == NULL)
		abort();
	if (pare_data_normalize(d, x, PARE_NORM_STANDARD, NULL) != PARE_OK)
		abort();
	for (int layout = PARE_LAYOUT_KEEP; layout <= PARE_LAYOUT_TO_NHWC; layout++)
		for (uint32_t i = 0; i < n_rows && pare_data_layout(d, x, (enum pare_data_layout)layout, NULL) == PARE_OK; i++)
			pare_data_fill(d, x, &i, 1, row);
	pare_free(row);
}

static inline void fuzz_use(struct pare_dataset *d)
{
	const struct pare_data_info *info = pare_data_info(d);
	uint32_t n_rows = (uint32_t)info->n_rows < 1000 ? (uint32_t)info->n_rows : 1000;

	if (pare_data_split(d, 0.2, 0.2, 1, NULL) == PARE_OK)
		for (int x = 0; x < info->n_x; x++)
			fuzz_input(d, x, n_rows);
	for (int y = 0; y < info->n_y; y++)
		for (uint32_t i = 0; i < n_rows; i++)
			fuzz_labels(d, y, &i);
}

static inline int fuzz_files(const struct pare_data_file *f, int n)
{
	const struct pare_data_options opt = {.max_bytes = (size_t)1 << 20};
	struct pare_dataset *d;

	if (pare_data_open(f, n, &opt, &d, NULL) != PARE_OK)
		return 0;
	fuzz_use(d);
	pare_data_free(d);
	return 0;
}

static inline int fuzz_file(const char *name, const uint8_t *data, size_t size)
{
	const struct pare_data_file f = {name, {data, size}};

	return fuzz_files(&f, 1);
}

/* Features and labels in two files; the first byte says where one ends and the other begins. */
static inline int fuzz_pair(const uint8_t *data, size_t size)
{
	size_t cut = size > 1 ? (size_t)data[0] * (size - 1) / 255 : 0;
	const struct pare_data_file f[] = {{"x", {data + (size > 0), cut}}, {"y", {data + (size > 0) + cut, size > 0 ? size - 1 - cut : 0}}};

	return fuzz_files(f, 2);
}

#endif
