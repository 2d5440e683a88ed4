/* Initializers of float16, bfloat16 and double: trained as float, written back in their own type. What a net stores is what
 * the next net over the model starts from, to the last bit. */
#include <check.h>
#include <math.h>
#include <string.h>

#include "core/graph/graph_priv.h"
#include "tests/support/net_check.h"

#define ROWS 2
#define N 12

static const struct type_case {
	int dtype;
	double unit; /* relative: half of the last place */
} type_table[] = {{PARE_DT_FLOAT16, 0x1p-11}, {PARE_DT_BFLOAT16, 0x1p-8}, {PARE_DT_DOUBLE, 0}, {PARE_DT_FLOAT, 0}};

/* The weights of x W + b in that type; zeros, the smallest and the largest that a float16 holds among them. */
static const float weight_table[N] = {0, -0.0f, 0x1p-24f, 0x1p-14f, 1, -1, 0.333251953125f, 65504, -65504, 2, 0.5f, -3};

static size_t encode(int dtype, const float *v, size_t n, unsigned char *out)
{
	bool lost = false;

	for (size_t i = 0; i < n; i++) {
		uint16_t half = dtype == PARE_DT_FLOAT16 ? pare_half_from_float(v[i], &lost) : pare_bfloat_from_float(v[i], &lost);
		double wide = (double)v[i];

		if (dtype == PARE_DT_DOUBLE)
			memcpy(out + 8 * i, &wide, 8);
		else if (dtype == PARE_DT_FLOAT)
			memcpy(out + 4 * i, &v[i], 4);
		else
			memcpy(out + 2 * i, &half, 2);
	}
	ck_assert(!lost);
	return n * (size_t)pare_dtype_bits(dtype) / 8;
}

static struct gb *model(int dtype)
{
	struct gb *b = gb_new(13);
	unsigned char bytes[8 * N];

	gb_input_typed(b, "x", "N 4", dtype);
	gb_init_bytes(b, "w", "4 3", dtype, bytes, encode(dtype, weight_table, N, bytes));
	gb_init_bytes(b, "b", "3", dtype, bytes, encode(dtype, (const float[]){1, 2, 3}, 3, bytes));
	gb_node(b, "Gemm", "fc", "x w b", "y");
	gb_output(b, "y");
	return b;
}

START_TEST(a_round_of_training)
{
	const struct type_case *c = &type_table[_i];
	struct gb *b = model(c->dtype);
	struct pare_model *m = gb_model(b);
	const struct pare_tensor *t = m->graph.values[pare_graph_find_value(&m->graph, "w")].init;
	struct pare_net *net = nc_net(b, 1, ROWS, true), *again;
	float read[N], *slab = pare_net_slab(net), before[N];

	ck_assert_int_eq(pare_net_n_params(net), 2);
	for (int i = 0; i < N; i++)
		ck_assert(fabs((double)slab[i] - (double)weight_table[i]) <= 2 * c->unit * fabs((double)weight_table[i]));
	memcpy(before, slab, sizeof before);
	for (int i = 3; i < N; i++)
		slab[i] *= 0.9f; /* a step; the first three stay, of them two are pruned */
	ck_assert_int_eq(pare_net_store(net, m, NULL), PARE_OK);
	ck_assert_int_eq(t->dtype, c->dtype);
	ck_assert_uint_eq(t->raw.len, N * (size_t)pare_dtype_bits(c->dtype) / 8);
	ck_assert_int_eq(pare_tensor_read_f32(t, read, NULL), PARE_OK);
	for (int i = 0; i < N; i++)
		ck_assert_msg(fabs((double)read[i] - (double)slab[i]) <= c->unit * fabs((double)slab[i]), "%s: element %d is %.9g, want %.9g",
		    pare_dtype_name(c->dtype), i, (double)read[i], (double)slab[i]);
	ck_assert(memcmp(read, before, 3 * sizeof *read) == 0);
	again = nc_net(b, 1, ROWS, true);
	ck_assert_mem_eq(pare_net_slab(again), read, sizeof read);
	ck_assert_int_eq(pare_net_store(again, m, NULL), PARE_OK);
	ck_assert_int_eq(pare_tensor_read_f32(t, before, NULL), PARE_OK);
	ck_assert_mem_eq(before, read, sizeof read);
	pare_net_free(again);
	pare_net_free(net);
	gb_free(b);
}
END_TEST

/* A weight that its type cannot hold is an error that names it, not an infinity in the file. */
START_TEST(too_large_for_the_type)
{
	struct gb *b = model(PARE_DT_FLOAT16);
	struct pare_net *net = nc_net(b, 1, ROWS, true);
	struct pare_err err = {0};

	pare_net_slab(net)[4] = 70000;
	ck_assert_int_eq(pare_net_store(net, gb_model(b), &err), PARE_E_NONFINITE);
	ck_assert_msg(strstr(err.message, "70000") != NULL && strstr(err.message, "float16") != NULL, "%s", err.message);
	pare_net_free(net);
	gb_free(b);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("types of initializers");
	TCase *t = tcase_create("types");
	SRunner *r;
	int failed;

	tcase_add_loop_test(t, a_round_of_training, 0, (int)(sizeof type_table / sizeof type_table[0]));
	tcase_add_test(t, too_large_for_the_type);
	suite_add_tcase(s, t);
	r = srunner_create(s);
	srunner_run_all(r, CK_NORMAL);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed != 0;
}
