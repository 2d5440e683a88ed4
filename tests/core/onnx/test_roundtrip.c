/* Every model of Debian's libonnx-testdata is read and written back: the bytes must be the same. The ones that must be refused are
 * listed with the reason; anything else that does not parse fails. */
#include <ftw.h>
#include <unistd.h>

#include "tests/core/onnx/models.h"

#define ROOT "/usr/share/libonnx-testdata/data"

static int n_files, n_parsed, n_changed, n_replaced;
static char first_failure[800];

static void note(const char *path, const char *what, const struct pare_err *err)
{
	if (first_failure[0] == '\0')
		(void)snprintf(first_failure, sizeof first_failure, "%s: %s: %s (%s)", path, what, err->message, err->where);
	printf("  %s: %s: %s (%s)\n", path + strlen(ROOT), what, err->message, err->where);
}

/* Setting an initializer to its own values and reading the result gives the same values. */
static void replace_one(const char *path, struct pare_model *m)
{
	struct pare_model *again = NULL;
	struct pare_err err = {0};
	struct pare_buf out;

	pare_buf_init(&out, MODEL_CAP);
	for (int32_t i = 0; i < m->graph.n_inits; i++) {
		int32_t v = m->graph.inits[i];
		const struct pare_tensor *t = m->graph.values[v].init;
		float *a, *b;

		if (t->dtype != PARE_DT_FLOAT || t->n_elems == 0)
			continue;
		a = malloc(t->n_elems * sizeof *a);
		b = malloc(t->n_elems * sizeof *b);
		ck_assert(a != NULL && b != NULL);
		ck_assert_int_eq(pare_tensor_read_f32(t, a, &err), PARE_OK);
		a[0] = 42;
		ck_assert_int_eq(pare_model_set_init_f32(m, v, a, &err), PARE_OK);
		ck_assert_int_eq(pare_onnx_write(m, &out, &err), PARE_OK);
		if (pare_onnx_read((struct pare_span){(uint8_t *)out.data, out.len}, &again, &err) != PARE_OK) {
			note(path, "after replacing an initializer", &err);
			n_changed++;
		} else {
			ck_assert_int_eq(pare_tensor_read_f32(again->graph.values[v].init, b, &err), PARE_OK);
			ck_assert_mem_eq(a, b, t->n_elems * sizeof *a);
			ck_assert_int_eq(again->graph.n_nodes, m->graph.n_nodes);
			n_replaced++;
		}
		free(a);
		free(b);
		pare_model_free(again);
		break;
	}
	pare_buf_done(&out);
}

static int visit(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	size_t n = strlen(path);
	struct pare_model *m = NULL;
	struct pare_err err = {0};
	struct pare_span file;
	struct pare_buf out;

	(void)st;
	(void)ftw;
	if (type != FTW_F || n < 5 || strcmp(path + n - 5, ".onnx") != 0)
		return 0;
	file = file_bytes(path);
	ck_assert_ptr_nonnull(file.data);
	n_files++;
	pare_buf_init(&out, MODEL_CAP);
	if (pare_onnx_read(file, &m, &err) != PARE_OK) {
		note(path, "does not parse", &err);
	} else {
		n_parsed++;
		ck_assert_int_eq(pare_onnx_write(m, &out, &err), PARE_OK);
		if (out.len != file.len || memcmp(out.data, file.data, file.len) != 0) {
			note(path, "changed on writing", &err);
			n_changed++;
		}
		replace_one(path, m);
		pare_model_free(m);
	}
	pare_buf_done(&out);
	free((void *)(uintptr_t)file.data);
	return 0;
}

START_TEST(every_model_round_trips)
{
	if (access(ROOT, R_OK) != 0) {
		printf("skipped: %s is missing (Debian package libonnx-testdata)\n", ROOT);
		return;
	}
	ck_assert_int_eq(nftw(ROOT, visit, 16, FTW_PHYS), 0);
	printf("libonnx-testdata: %d of %d models parsed and written back byte for byte, an initializer replaced in %d\n", n_parsed, n_files,
	    n_replaced);
	ck_assert_int_gt(n_files, 1000);
	ck_assert_msg(n_changed == 0, "%d models changed; first: %s", n_changed, first_failure);
	ck_assert_msg(n_parsed == n_files, "%d models do not parse; first: %s", n_files - n_parsed, first_failure);
	ck_assert_int_gt(n_replaced, 10);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("onnx round trip");
	TCase *tc = tcase_create("libonnx-testdata");
	SRunner *sr;
	int failed;

	tcase_set_timeout(tc, 60);
	tcase_add_test(tc, every_model_round_trips);
	suite_add_tcase(s, tc);
	sr = srunner_create(s);
	srunner_run_all(sr, CK_NORMAL);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed != 0;
}
