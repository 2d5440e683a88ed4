/* Every row of the operator table by hand-made cases, one file of them per kind beside this one. The table is walked at the
 * end: a row that lacks values, ties or a gradient (or the reason why it has none) fails. */
#include <check.h>
#include <stdio.h>
#include <string.h>

#include "tests/support/net_check.h"
#include "tests/support/op_case.h"

#define SIX F(1, 2, 3, 4, 5, 6)
#define NINE F(0, 1, 2, 3, 4, 5, 6, 7, 8)

#include "tests/core/ops/cases_elementwise.inc"
#include "tests/core/ops/cases_index.inc"
#include "tests/core/ops/cases_linear.inc"
#include "tests/core/ops/cases_ml.inc"
#include "tests/core/ops/cases_move.inc"
#include "tests/core/ops/cases_norm.inc"
#include "tests/core/ops/cases_quantize.inc"
#include "tests/core/ops/cases_recurrent.inc"
#include "tests/core/ops/cases_reduce.inc"
#include "tests/core/ops/cases_spatial.inc"

/* A kind is a line here and an include above. */
#define KINDS(X) \
	X(elementwise) \
	X(index) \
	X(linear) \
	X(ml) \
	X(move) \
	X(norm) \
	X(quantize) \
	X(recurrent) \
	X(reduce) \
	X(spatial)

#define TABLE(kind) {kind##_case_table, sizeof kind##_case_table / sizeof kind##_case_table[0]},
static const struct op_case_table case_table[] = {KINDS(TABLE)};
#define N_TABLES (sizeof case_table / sizeof case_table[0])

#define BAD(kind) {kind##_bad_table, sizeof kind##_bad_table / sizeof kind##_bad_table[0]},
static const struct {
	const struct op_bad_case *cases;
	size_t n;
} bad_table[N_TABLES] = {KINDS(BAD)};

/* One Check test per table and property: a loop index that runs over the cases of table _i would need a count per table. */
START_TEST(forward)
{
	for (size_t k = 0; k < case_table[_i].n; k++)
		oc_forward(&case_table[_i].cases[k]);
}
END_TEST

START_TEST(gradient)
{
	for (size_t k = 0; k < case_table[_i].n; k++)
		oc_gradient(&case_table[_i].cases[k]);
}
END_TEST

START_TEST(ties)
{
	for (size_t k = 0; k < case_table[_i].n; k++)
		oc_ties(&case_table[_i].cases[k]);
}
END_TEST

START_TEST(refused)
{
	for (size_t k = 0; k < bad_table[_i].n; k++)
		oc_refused(&bad_table[_i].cases[k]);
}
END_TEST

/* All that is missing, at once. */
START_TEST(table_is_covered)
{
	const struct pare_op *op;
	char missing[2000] = "";

	for (size_t i = 0; (op = pare_op_at(i)) != NULL; i++) {
		const char *lacks = oc_row_lacks(op, case_table, N_TABLES);

		if (*lacks != '\0')
			(void)snprintf(missing + strlen(missing), sizeof missing - strlen(missing), "\n%s from opset %d lacks %s", op->name, op->since, lacks);
	}
	ck_assert_msg(*missing == '\0', "%s", missing);
}
END_TEST

/* Each opset has at most one row of a name; since and until are in range; without a gradient there is a reason. */
START_TEST(rows_do_not_overlap)
{
	const struct pare_op *a, *b;

	for (size_t i = 0; (a = pare_op_at(i)) != NULL; i++) {
		ck_assert_int_ge(a->since, a->domain[0] == '\0' ? PARE_OPSET_MIN : 1);
		ck_assert_int_le(a->until, PARE_OPSET_MAX);
		ck_assert_msg(a->backward != NULL || a->view || a->no_gradient != NULL, "%s: no backward, and no reason why", a->name);
		ck_assert_msg(a->infer != NULL && a->couple != NULL, "%s: no infer or no couple", a->name);
		for (size_t j = 0; (b = pare_op_at(j)) != NULL; j++)
			if (i != j && strcmp(a->name, b->name) == 0 && strcmp(a->domain, b->domain) == 0)
				ck_assert(a->until < b->since || b->until < a->since);
	}
	ck_assert_ptr_null(pare_op_find("", "Gemm", 6));
	ck_assert_ptr_null(pare_op_find("", "Gemm", PARE_OPSET_MAX + 1));
	ck_assert_ptr_null(pare_op_find("com.example", "Gemm", 13));
	ck_assert_ptr_null(pare_op_find("", "NoSuchOperator", 13));
}
END_TEST

/* What planning says of a convolution's parameters: weights can be pruned, by output channel; biases cannot. */
START_TEST(parameters_and_cost)
{
	const struct op_case conv = {.op = "Conv", .opset = 13, .in = {"N 4 5 5", "6 2 3 3", "6"}, .attrs = "group=2"};
	const struct op_case turned = {.op = "ConvTranspose", .opset = 13, .in = {"N 4 5 5", "4 3 3 3", "3"}};
	struct gb *b = oc_build(&conv);
	struct pare_net *net = nc_net(b, 1, OC_ROWS, true);

	ck_assert(pare_net_param(net, 0)->prunable && pare_net_param(net, 0)->out_axis == 0);
	ck_assert(!pare_net_param(net, 1)->prunable && pare_net_param(net, 1)->out_axis == 0);
	ck_assert_int_eq(pare_net_macs(net), 6 * 9 * 2 * 9);
	pare_net_free(net);
	gb_free(b);
	b = oc_build(&turned);
	net = nc_net(b, 1, OC_ROWS, true);
	ck_assert(pare_net_param(net, 0)->prunable && pare_net_param(net, 0)->out_axis == 1);
	ck_assert_int_eq(pare_net_macs(net), 4 * 25 * 3 * 9);
	pare_net_free(net);
	gb_free(b);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("operators");
	TCase *t = tcase_create("cases");
	SRunner *r;
	int failed;

	tcase_set_timeout(t, 120);
	tcase_add_loop_test(t, forward, 0, (int)N_TABLES);
	tcase_add_loop_test(t, gradient, 0, (int)N_TABLES);
	tcase_add_loop_test(t, ties, 0, (int)N_TABLES);
	tcase_add_loop_test(t, refused, 0, (int)N_TABLES);
	tcase_add_test(t, table_is_covered);
	tcase_add_test(t, rows_do_not_overlap);
	tcase_add_test(t, parameters_and_cost);
	suite_add_tcase(s, t);
	r = srunner_create(s);
	srunner_run_all(r, CK_NORMAL);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed != 0;
}
