/* A model that opening writes anew, and what other parts make of it: GOLDEN is a directory of NAME.onnx and NAME.f32 (rows of the one
 * input, then the output of those rows). */
#ifndef TESTS_SUPPORT_LIFTED_H
#define TESTS_SUPPORT_LIFTED_H

#include <check.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "core/graph/net.h"
#include "core/onnx/onnx.h"
#include "tests/support/net_check.h"

#define LIFTED_MAX 65536
#define LIFTED_ROWS 4

struct lifted {
	uint8_t file[LIFTED_MAX];
	float numbers[LIFTED_MAX / sizeof(float)];
	size_t len, n_numbers, n_in; /* n_in: of them, the input's */
	struct pare_row_shape shape;
};

static size_t lifted_load(const char *dir, const char *name, const char *suffix, void *out)
{
	char path[100];
	FILE *fp;
	size_t n;

	(void)snprintf(path, sizeof path, "%s%s.%s", dir, name, suffix);
	fp = fopen(path, "rb");
	ck_assert_msg(fp != NULL, "%s", path);
	n = fread(out, 1, LIFTED_MAX, fp);
	(void)fclose(fp);
	return n;
}

static int lifted_count(const struct pare_model *m, const char *op)
{
	int n = 0;

	for (int32_t i = 0; i < m->graph.n_nodes; i++)
		n += strcmp(m->graph.nodes[i].op_type, op) == 0;
	return n;
}

static void lifted_numbers(const struct lifted *l, const char *name, struct pare_model *m, double gradient_error)
{
	struct pare_row_shape shape = l->shape;
	const struct pare_net_options opt = {.n_threads = 1, .max_batch = LIFTED_ROWS, .training = true};
	const float *numbers = l->numbers;
	static float got[LIFTED_MAX / sizeof(float)];
	struct pare_net *net = NULL;
	struct pare_err err = {0};

	shape.name = m->graph.values[m->graph.inputs[0]].name;
	ck_assert_int_eq(pare_model_set_rows(m, &shape, 1, &err), PARE_OK);
	ck_assert_msg(pare_net_new(m, &opt, &net, &err) == PARE_OK, "%s: %s: %s", name, err.where, err.message);
	nc_forward(net, &numbers, LIFTED_ROWS, PARE_MODE_INFER, 0);
	ck_assert_uint_eq(nc_output(net, 0, LIFTED_ROWS, got), l->n_numbers - l->n_in);
	for (size_t i = 0; i < l->n_numbers - l->n_in; i++)
		ck_assert_msg(fabsf(got[i] - numbers[l->n_in + i]) <= 1e-5f, "%s: output %zu is %g, not %g", name, i, (double)got[i], (double)numbers[l->n_in + i]);
	if (gradient_error > 0)
		ck_assert_double_lt(nc_gradient_error(net, &numbers, LIFTED_ROWS, PARE_MODE_TRAIN, 1e-2), gradient_error);
	pare_net_free(net);
}

/* Opens the file, without any operator `from` afterwards, runs it, writes it and runs what was written. The caller's check comes in between. */
static void lifted_check(struct lifted *l, const char *dir, const char *name, const char *from, double gradient_error, void (*check)(const struct pare_model *m, int row), int row)
{
	struct pare_model *m = NULL, *again = NULL;
	struct pare_buf own, written;
	struct pare_err err = {0};

	l->len = lifted_load(dir, name, "onnx", l->file);
	l->n_numbers = lifted_load(dir, name, "f32", l->numbers) / sizeof(float);
	ck_assert_int_eq(pare_onnx_open((struct pare_span){l->file, l->len}, NULL, 0, &own, &m, &err), PARE_OK);
	ck_assert_int_eq(lifted_count(m, from), 0);
	check(m, row);
	lifted_numbers(l, name, m, gradient_error);
	pare_buf_init(&written, LIFTED_MAX);
	ck_assert_int_eq(pare_onnx_write(m, &written, &err), PARE_OK);
	ck_assert_int_eq(pare_onnx_read((struct pare_span){(const uint8_t *)written.data, written.len}, &again, &err), PARE_OK);
	lifted_numbers(l, name, again, 0);
	pare_model_free(again);
	pare_model_free(m);
	pare_buf_done(&written);
	pare_buf_done(&own);
}

#endif
