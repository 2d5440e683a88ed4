/* Opening a model of which a bit has changed, one after the other: an error or a model, never a crash. */
#ifndef TESTS_SUPPORT_OPEN_DAMAGED_H
#define TESTS_SUPPORT_OPEN_DAMAGED_H

#include <check.h>
#include <string.h>

#include "core/base/mem.h"
#include "core/onnx/onnx.h"

static inline void open_damaged(struct pare_span file)
{
	uint8_t *bad = pare_alloc(file.len);

	ck_assert_ptr_nonnull(bad);
	for (size_t i = 0; i < file.len; i++)
		for (int bit = 0; bit < 8; bit += 3) {
			struct pare_model *m = NULL;
			struct pare_buf own;

			memcpy(bad, file.data, file.len);
			bad[i] = (uint8_t)(bad[i] ^ (1u << bit));
			if (pare_onnx_open((struct pare_span){bad, file.len}, NULL, 0, &own, &m, NULL) == PARE_OK)
				pare_model_free(m);
			pare_buf_done(&own);
		}
	pare_free(bad);
}

#endif
