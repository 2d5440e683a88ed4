/* What core/graph says about types and names, without a file. */
#include <check.h>
#include <string.h>

#include "core/graph/graph.h"
#include "core/graph/graph_priv.h"

START_TEST(element_types)
{
	static const struct {
		int dtype, bits;
		const char *name;
	} want[] = {{PARE_DT_FLOAT, 32, "float"}, {PARE_DT_INT64, 64, "int64"}, {PARE_DT_BOOL, 8, "bool"}, {PARE_DT_STRING, 0, "string"},
	    {PARE_DT_BFLOAT16, 16, "bfloat16"}, {PARE_DT_COMPLEX128, 128, "complex128"}, {22, 4, "int4"}, {25, 2, "uint2"}, {27, 0, "unknown"},
	    {-1, 0, "unknown"}};

	for (size_t i = 0; i < sizeof want / sizeof want[0]; i++) {
		ck_assert_str_eq(pare_dtype_name(want[i].dtype), want[i].name);
		ck_assert_int_eq(pare_dtype_bits(want[i].dtype), want[i].bits);
	}
	for (int a = 0; a <= PARE_DT_MAX; a++)
		for (int b = 0; b < a; b++)
			ck_assert_str_ne(pare_dtype_name(a), pare_dtype_name(b));
}
END_TEST

START_TEST(labels_fit_and_hold_no_control_characters)
{
	struct pare_node nodes[3] = {{.name = "", .op_type = "Gemm"}, {.name = "line\nbreak", .op_type = "Relu"}, {.name = "", .op_type = "Relu"}};
	struct pare_graph g = {.n_nodes = 3, .nodes = nodes};
	char label[80], small[4], shown[PARE_NAME_SHOWN];

	pare_node_label(&g, 0, label, sizeof label);
	ck_assert_str_eq(label, "Gemm_0");
	pare_node_label(&g, 1, label, sizeof label);
	ck_assert_str_eq(label, "line?break");
	pare_node_label(&g, 2, small, sizeof small);
	ck_assert_str_eq(small, "Rel");
	ck_assert_str_eq(pare_name_shown("", shown), "");
	ck_assert_uint_eq(strlen(pare_name_shown("012345678901234567890123456789012345678901234567890123456789", shown)), 60);
	ck_assert_str_eq(shown + 50, "0123456789");
	(void)pare_name_shown("0123456789012345678901234567890123456789012345678901234567890", shown);
	ck_assert_str_eq(shown + 50, "0123456789...");
}
END_TEST

int main(void)
{
	Suite *s = suite_create("graph");
	TCase *tc = tcase_create("types and names");
	SRunner *sr;
	int failed;

	tcase_add_test(tc, element_types);
	tcase_add_test(tc, labels_fit_and_hold_no_control_characters);
	suite_add_tcase(s, tc);
	sr = srunner_create(s);
	srunner_run_all(sr, CK_NORMAL);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed != 0;
}
