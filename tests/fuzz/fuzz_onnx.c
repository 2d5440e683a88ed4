/* layer: core */
/* Any bytes as an ONNX file. What is refused has a message; what is accepted is written back byte for byte, and after one float
 * initializer was replaced the file can be read again and holds the new values. */
#include <stdlib.h>
#include <string.h>

#include "core/onnx/onnx.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void check(bool ok)
{
	if (!ok)
		abort();
}

static void replace(struct pare_model *m, int32_t v, struct pare_buf *out)
{
	const struct pare_tensor *t = m->graph.values[v].init;
	float *old = pare_calloc(t->n_elems + 1, sizeof *old), *got = pare_calloc(t->n_elems + 1, sizeof *got);
	struct pare_model *again = NULL;

	check(old != NULL && got != NULL && pare_tensor_read_f32(t, old, NULL) == PARE_OK);
	for (size_t i = 0; i < t->n_elems; i++)
		old[i] = old[i] == 1 ? 2.0f : 1.0f;
	check(pare_model_set_init_f32(m, v, old, NULL) == PARE_OK);
	check(pare_onnx_write(m, out, NULL) == PARE_OK);
	check(pare_onnx_read((struct pare_span){(const uint8_t *)out->data, out->len}, &again, NULL) == PARE_OK);
	check(again->graph.n_values == m->graph.n_values);
	check(pare_tensor_read_f32(again->graph.values[v].init, got, NULL) == PARE_OK);
	check(memcmp(old, got, t->n_elems * sizeof *old) == 0);
	pare_model_free(again);
	pare_free(old);
	pare_free(got);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct pare_model *m = NULL;
	struct pare_err err = {0};
	struct pare_buf out;

	if (pare_onnx_read((struct pare_span){data, n}, &m, &err) != PARE_OK) {
		check(err.message[0] != '\0' && m == NULL);
		return 0;
	}
	pare_buf_init(&out, 64 * n + 4096);
	check(m->arena.used_bytes <= 16 * n + ((size_t)1 << 20));
	check(pare_onnx_write(m, &out, &err) == PARE_OK && out.len == n && memcmp(out.data, data, n) == 0);
	pare_buf_reset(&out);
	for (int32_t i = 0; i < m->graph.n_inits; i++) {
		const struct pare_tensor *t = m->graph.values[m->graph.inits[i]].init;

		if (out.len == 0 && !t->external && (t->dtype == PARE_DT_FLOAT || t->dtype == PARE_DT_FLOAT16))
			replace(m, m->graph.inits[i], &out);
	}
	pare_model_free(m);
	pare_buf_done(&out);
	return 0;
}
