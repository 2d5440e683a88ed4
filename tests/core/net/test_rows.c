/* Which graphs may be cut into shards that read a row's own elements by the number of the row and a place that is computed of its data: those
 * that say themselves that the place is in the row. Cut or not, the numbers are the same. */
#include <check.h>
#include <string.h>

#include "core/graph/net.h"
#include "tests/support/net_check.h"

#define WIDTH 6
#define ROWS 7

static const struct {
	const char *what;
	struct {
		const char *op, *in, *out;
	} steps[3]; /* from arg, an ArgMax of the row, and total, the row's sum as an integer, to place */
	int shards;
} place_table[] = {
    {"an index of its axis", {{"Identity", "arg", "place"}}, 3},
    {"the one before it", {{"Sub", "arg one", "place"}}, 1},
    {"the one before it, or the last", {{"Sub", "arg one", "before"}, {"Mod", "before width", "place"}}, 3},
    {"the one before it, or the first", {{"Sub", "arg one", "before"}, {"Max", "before none", "place"}}, 3},
    {"the one behind it", {{"Add", "arg one", "place"}}, 1},
    {"the one behind it, or the last", {{"Add", "arg one", "behind"}, {"Min", "behind last", "place"}}, 3},
    {"any number", {{"Identity", "total", "place"}}, 1},
    {"any number, to bounds", {{"Clip", "total none last", "place"}}, 3},
    {"any number, to bounds that are too wide", {{"Clip", "total none width", "place"}}, 1},
    {"any number, to one bound", {{"Clip", "total none", "place"}}, 1},
    {"a remainder", {{"Mod", "total width", "place"}}, 3},
    {"a remainder of more than a row", {{"Mod", "total more", "place"}}, 1},
    {"a truth", {{"Greater", "total width", "is"}, {"Cast", "is", "place"}}, 3},
    {"one of two", {{"Greater", "total width", "is"}, {"Where", "is arg last", "place"}}, 3},
    {"one of two, of which one is anything", {{"Greater", "total width", "is"}, {"Where", "is arg total", "place"}}, 1},
    {"a multiple", {{"Mod", "total three", "few"}, {"Mul", "few two", "place"}}, 3},
    {"a multiple that is too large", {{"Mod", "total three", "few"}, {"Mul", "few three", "place"}}, 1},
};

static void put_numbers(struct gb *b)
{
	static const struct {
		const char *name;
		int64_t v;
	} number_table[] = {{"none", 0}, {"one", 1}, {"two", 2}, {"three", 3}, {"last", WIDTH - 1}, {"width", WIDTH}, {"more", WIDTH + 1}};

	for (size_t i = 0; i < sizeof number_table / sizeof number_table[0]; i++)
		gb_init_i64(b, number_table[i].name, "", &number_table[i].v);
	gb_init_i64(b, "flat", "1", (const int64_t[]){-1});
	gb_init_i64(b, "columns", "1", (const int64_t[]){1});
}

static void put_step(struct gb *b, const char *op, const char *in, const char *out)
{
	gb_node(b, op, out, in, out);
	if (strcmp(op, "Cast") == 0)
		gb_attr_int(b, "to", PARE_DT_INT64);
}

/* y = x laid flat [row * WIDTH + place] */
static struct gb *picks(int i)
{
	struct gb *b = gb_new(17);

	put_numbers(b);
	gb_input(b, "x", "N 6");
	gb_node(b, "Shape", "shape", "x", "sizes");
	gb_node(b, "Gather", "n", "sizes none", "n");
	gb_node(b, "Range", "rows", "none n one", "rows");
	gb_node(b, "Mul", "begin", "rows width", "begin");
	gb_node(b, "ArgMax", "arg", "x", "arg");
	gb_attr_int(b, "axis", 1);
	gb_attr_int(b, "keepdims", 0);
	gb_node(b, "ReduceSum", "sum", "x columns", "sum");
	gb_attr_int(b, "keepdims", 0);
	put_step(b, "Cast", "sum", "total");
	for (int k = 0; k < 3 && place_table[i].steps[k].op != NULL; k++)
		put_step(b, place_table[i].steps[k].op, place_table[i].steps[k].in, place_table[i].steps[k].out);
	gb_node(b, "Add", "index", "place begin", "index");
	gb_node(b, "Reshape", "laid", "x flat", "laid");
	gb_node(b, "Gather", "y", "laid index", "y");
	gb_output(b, "y");
	return b;
}

START_TEST(places_within_the_row)
{
	struct gb *b = picks(_i);
	struct pare_net *one = nc_net(b, 1, ROWS, false), *several = nc_net(b, 3, ROWS, false);
	static float x[ROWS * WIDTH], want[ROWS], got[ROWS];
	const float *inputs = x;

	nc_fill(x, ROWS * WIDTH, 5);
	for (int k = 0; k < ROWS * WIDTH; k++)
		x[k] *= 9;
	ck_assert_msg(pare_net_n_shards(several) == place_table[_i].shards, "%s: %d shards", place_table[_i].what, pare_net_n_shards(several));
	nc_forward(one, &inputs, ROWS, PARE_MODE_INFER, 0);
	ck_assert_uint_eq(nc_output(one, 0, ROWS, want), ROWS);
	nc_forward(several, &inputs, ROWS, PARE_MODE_INFER, 0);
	ck_assert_uint_eq(nc_output(several, 0, ROWS, got), ROWS);
	ck_assert_msg(memcmp(want, got, sizeof want) == 0, "%s", place_table[_i].what);
	pare_net_free(one);
	pare_net_free(several);
	gb_free(b);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("rows");
	TCase *t = tcase_create("rows");
	SRunner *r;
	int failed;

	tcase_add_loop_test(t, places_within_the_row, 0, (int)(sizeof place_table / sizeof place_table[0]));
	suite_add_tcase(s, t);
	r = srunner_create(s);
	srunner_run_all(r, CK_NORMAL);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed != 0;
}
