/* layer: core */
/* Pairs of IDX files, plain or gzipped. */
#include "tests/fuzz/fuzz_data.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	return fuzz_pair(data, size);
}
