/* layer: core */
/* Any bytes as a packed model: refused with a message, or bytes that agree with the checksum, never more than there is room for. Any bytes that are an
 * ONNX file are packed and come back. */
#include <stdlib.h>
#include <string.h>

#include "core/compress/pack.h"
#include "core/onnx/onnx.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void check(bool ok)
{
	if (!ok)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct pare_span in = {data, n};
	struct pare_model *m = NULL;
	struct pare_err err = {0};
	struct pare_buf out, packed;

	pare_buf_init(&out, (size_t)1 << 20);
	if (pare_model_unpack(in, &out, &err) != PARE_OK)
		check(err.message[0] != '\0');
	check(out.len <= out.cap_bytes);
	if (pare_onnx_read(in, &m, NULL) == PARE_OK) {
		pare_buf_init(&packed, 2 * n + ((size_t)1 << 16));
		check(pare_model_pack(m, in, &packed, &err) == PARE_OK);
		pare_buf_done(&packed);
	}
	pare_model_free(m);
	pare_buf_done(&out);
	return 0;
}
