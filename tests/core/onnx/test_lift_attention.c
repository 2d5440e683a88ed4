/* Attention and RotaryEmbedding (tests/golden/attention.py) become what they stand for when a model is opened: the numbers of ONNX's reference implementation,
 * gradients that agree with differences, and for what a function body would need more, a refusal by name. */
#include "tests/support/lifted.h"

#define ROOT "tests/golden/attention/"
#define STEPS 6
#define WIDTH 16

static const char *const name_table[] = {"joined", "apart", "causal", "scale", "cap", "groups", "groups_apart", "bias", "bias_causal", "truth", "truth_causal", "truth_none",
    "rotary", "rotary_apart", "rotary_interleaved", "rotary_part", "rotary_part_apart", "causal_torch", "bias_none", "bias_none_causal", "bias_none_computed"};

static void check_ops(const struct pare_model *m, int row)
{
	/* the tables of angles and the mask are no weights */
	for (int32_t i = 0; i < m->graph.n_inits; i++) {
		const struct pare_tensor *t = m->graph.values[m->graph.inits[i]].init;

		ck_assert(t->dtype != PARE_DT_FLOAT || t->n_dims != 2 || t->dims[0] == WIDTH);
	}
	ck_assert(row >= 0);
	ck_assert_int_eq(lifted_count(m, "RotaryEmbedding"), 0);
	ck_assert_int_eq(lifted_count(m, "Softmax"), 1);
}

START_TEST(functions_become_their_bodies)
{
	static struct lifted l = {.n_in = LIFTED_ROWS * STEPS * WIDTH, .shape = {.n_dims = 2, .dims = {STEPS, WIDTH}}};

	lifted_check(&l, ROOT, name_table[_i], "Attention", 0.02, check_ops, _i);
}
END_TEST

/* Opens a file after the n bytes `from` were replaced everywhere. */
static void check_refused(const char *name, const char *from, const char *to, size_t n, const char *op)
{
	static uint8_t file[LIFTED_MAX];
	const struct pare_net_options opt = {.n_threads = 1, .max_batch = 1};
	size_t len = lifted_load(ROOT, name, "onnx", file), n_changed = 0;
	struct pare_model *m = NULL;
	struct pare_net *net = NULL;
	struct pare_buf own;
	struct pare_err err = {0};

	for (size_t i = 0; i + n <= len; i++)
		if (memcmp(file + i, from, n) == 0) {
			memcpy(file + i, to, n);
			n_changed++;
		}
	ck_assert_uint_gt(n_changed, 0);
	ck_assert_int_eq(pare_onnx_open((struct pare_span){file, len}, NULL, 0, &own, &m, &err), PARE_OK);
	ck_assert_int_eq(pare_net_new(m, &opt, &net, &err), PARE_E_UNSUPPORTED_OP);
	ck_assert_msg(strstr(err.message, op) != NULL, "%s", err.message);
	pare_model_free(m);
	pare_buf_done(&own);
}

START_TEST(what_needs_more_is_refused)
{
	check_refused("groups", "\x0bq_num_heads\x18\x04", "\x0bq_num_heads\x18\x03", 14, "Attention"); /* no multiple of the keys' 2 */
	check_refused("joined", "\x0bq_num_heads\x18\x04", "\x0bq_num_heads\x18\x00", 14, "Attention");
	check_refused("rotary_part", "rotary_embedding_dim\x18\x04", "rotary_embedding_dim\x18\x06", 22, "RotaryEmbedding"); /* the table has cosines for 4 */
}
END_TEST

int main(void)
{
	Suite *s = suite_create("attention");
	TCase *t = tcase_create("attention");
	SRunner *r;
	int failed;

	tcase_set_timeout(t, 120);
	tcase_add_loop_test(t, functions_become_their_bodies, 0, (int)(sizeof name_table / sizeof *name_table));
	tcase_add_test(t, what_needs_more_is_refused);
	suite_add_tcase(s, t);
	r = srunner_create(s);
	srunner_run_all(r, CK_NORMAL);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed != 0;
}
