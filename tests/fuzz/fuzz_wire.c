/* layer: core */
/* Any bytes as a protobuf message: every span the cursor hands out lies inside the input, and a cursor that ended without a
 * fault has seen every byte. Length-delimited fields are tried as messages too, 8 deep. */
#include <stdlib.h>

#include "core/onnx/wire.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void check(bool ok)
{
	if (!ok)
		abort();
}

static void walk(const uint8_t *file, size_t file_len, struct pare_span span, int depth)
{
	struct pare_err err = {0};
	const uint8_t *seen = span.data;
	struct pare_field f;
	struct pare_wire w;
	uint64_t v;

	pare_wire_init(&w, file, span);
	while (pare_wire_next(&w, &f)) {
		check(f.at == seen && f.body > f.at && w.p > f.at && w.p <= file + file_len);
		seen = w.p;
		if (f.type != PARE_WIRE_LEN)
			continue;
		check(f.span.data >= f.body && f.span.data + f.span.len == w.p);
		check(pare_wire_packed_len(&f, 0) <= f.span.len);
		if (depth < 8)
			walk(file, file_len, f.span, depth + 1);
	}
	check(pare_wire_status(&w, &err) == PARE_OK ? seen == span.data + span.len : err.where[0] != '\0');
	check(!pare_wire_next(&w, &f));
	pare_wire_init(&w, file, span);
	while (pare_wire_varint(&w, &v))
		check(pare_wire_varint_size(v) <= 10);
	pare_wire_init(&w, file, span);
	while (pare_wire_fixed(&w, 8, &v))
		;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	static const uint8_t nothing[1];

	walk(n != 0 ? data : nothing, n, (struct pare_span){n != 0 ? data : nothing, n}, 0);
	return 0;
}
