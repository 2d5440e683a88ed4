/* Opening a model while memory ends at every allocation in turn: each end is told, and leaves nothing behind. */
#ifndef TESTS_SUPPORT_OPEN_NO_MEMORY_H
#define TESTS_SUPPORT_OPEN_NO_MEMORY_H

#include <check.h>

#include "core/onnx/onnx.h"
#include "tests/support/fail_alloc.h"

static inline void open_no_memory(struct pare_span file)
{
	enum pare_code code = PARE_E_NOMEM;
	long nth = 0;

	while (code != PARE_OK) {
		struct pare_model *m = NULL;
		struct pare_buf own;

		fail_alloc_install(++nth);
		code = pare_onnx_open(file, NULL, 0, &own, &m, NULL);
		pare_model_free(m);
		pare_buf_done(&own);
		ck_assert_int_eq(fail_alloc_live(), 0);
		fail_alloc_remove();
		ck_assert(code == PARE_OK || code == PARE_E_NOMEM);
	}
	ck_assert_int_gt(nth, 11);
}

#endif
