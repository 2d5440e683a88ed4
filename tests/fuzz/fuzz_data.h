/* What the targets of data sets share: whatever opens is split, normalised and read to the last value, so that a wrong size shows. */
#ifndef TESTS_FUZZ_FUZZ_DATA_H
#define TESTS_FUZZ_FUZZ_DATA_H

#include <stdint.h>
#include <stdlib.h>

#include "core/base/mem.h"
#include "core/data/data.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static inline void fuzz_use(struct pare_dataset *d)
{
	const struct pare_data_info *info = pare_data_info(d);
	float *row = pare_calloc(info->row_elems + (size_t)info->n_targets, sizeof *row);
	int32_t c;

	if (row == NULL)
		abort();
	if (pare_data_split(d, 0.2, 0.2, 1, NULL) == PARE_OK && pare_data_normalize(d, PARE_NORM_STANDARD, NULL) != PARE_OK)
		abort();
	for (uint32_t i = 0; i < (uint32_t)info->n_rows && i < 1000; i++) {
		pare_data_fill(d, &i, 1, row);
		if (info->task == PARE_TASK_REGRESS) {
			pare_data_targets(d, &i, 1, row);
			continue;
		}
		pare_data_classes(d, &i, 1, &c);
		if (c < 0 || c >= info->n_classes)
			abort();
	}
	pare_free(row);
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
