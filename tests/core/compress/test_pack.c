/* Packed models: the same bytes come back from every file, what is sparse or shared gets small, and whatever else is offered is
 * refused with a reason. */
#include <check.h>
#include <ftw.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/rng.h"
#include "core/compress/pack.h"
#include "core/compress/range.h"
#include "tests/core/onnx/models.h"

static struct pare_span span_of(const struct pare_buf *b)
{
	return (struct pare_span){(const uint8_t *)b->data, b->len};
}

/* Bits of any lopsidedness, with runs that make carries ripple, come back. */
START_TEST(bits_come_back)
{
	struct pare_prob p[4], q[4];
	struct pare_coder enc, dec;
	struct pare_rng rng;
	struct pare_buf b;
	uint8_t bit[20000];

	pare_rng_init(&rng, (uint64_t)_i, "bits", 0);
	pare_buf_init(&b, 1 << 20);
	pare_prob_reset(p, 4);
	pare_prob_reset(q, 4);
	pare_encoder_init(&enc, &b);
	for (size_t i = 0; i < sizeof bit; i++) {
		bit[i] = (double)pare_rng_uniform(&rng) < (double)(i * (size_t)_i % 1000) / 1000;
		ck_assert_uint_eq(pare_coder_bit(&enc, &p[i % 4], bit[i]), bit[i]);
	}
	pare_encoder_finish(&enc);
	pare_decoder_init(&dec, (const uint8_t *)b.data, b.len);
	for (size_t i = 0; i < sizeof bit; i++)
		ck_assert_msg(pare_coder_bit(&dec, &q[i % 4], 0) == bit[i], "bit %zu", i);
	ck_assert_uint_eq(dec.overrun, 0);
	ck_assert_ptr_eq(dec.p, dec.end);
	pare_buf_done(&b);
}
END_TEST

static size_t packed_size(const struct pare_buf *file)
{
	struct pare_model *m = NULL;
	struct pare_err err = {0};
	struct pare_buf packed, again;

	ck_assert_int_eq(pare_onnx_read(span_of(file), &m, &err), PARE_OK);
	pare_buf_init(&packed, MODEL_CAP);
	pare_buf_init(&again, file->len);
	ck_assert_msg(pare_model_pack(m, span_of(file), &packed, &err) == PARE_OK, "%s", err.message);
	ck_assert_msg(pare_model_unpack(span_of(&packed), &again, &err) == PARE_OK, "%s", err.message);
	ck_assert_uint_eq(again.len, file->len);
	ck_assert_mem_eq(again.data, file->data, file->len);
	pare_model_free(m);
	pare_buf_done(&again);
	again = packed;
	pare_buf_done(&packed);
	return again.len;
}

#define N_WEIGHTS 40000

/* A model whose one weight of 200 x 200 has the given share of non-zeros, out of n_values values (0: any). */
static void one_weight(struct built *m, double density, int n_values)
{
	float *w = calloc(N_WEIGHTS, sizeof *w);
	struct pare_rng rng;
	size_t mark;

	pare_rng_init(&rng, 5, "weights", 0);
	for (size_t i = 0; i < N_WEIGHTS; i++)
		if ((double)pare_rng_uniform(&rng) < density)
			w[i] = n_values == 0 ? (float)pare_rng_normal(&rng) : (float)(1 + pare_rng_below(&rng, (uint32_t)n_values)) * 0.37f;
	model_begin(m);
	mark = pare_wire_begin(&m->b, GRAPH_INITIALIZER);
	pare_wire_put_int(&m->b, TENSOR_DIMS, 200);
	pare_wire_put_int(&m->b, TENSOR_DIMS, 200);
	pare_wire_put_int(&m->b, TENSOR_DATA_TYPE, PARE_DT_FLOAT);
	pare_wire_put_str(&m->b, TENSOR_NAME, "w");
	pare_wire_put_bytes(&m->b, TENSOR_RAW_DATA, w, N_WEIGHTS * sizeof *w);
	pare_wire_end(&m->b, mark);
	model_node(m, "MatMul", "x", "w", "y");
	model_value(m, GRAPH_INPUT, "x");
	model_value(m, GRAPH_OUTPUT, "y");
	model_end(m);
	free(w);
}

/* Against entropy: within 4 % and 300 bytes of what such weights must cost. */
static const struct {
	double density;
	int n_values;
	double bits; /* a weight */
} size_table[] = {
    {0.08, 32, 0.402179 + 0.08 * 5},
    {0.5, 16, 1 + 0.5 * 4},
    {0.01, 2, 0.080793 + 0.01},
    {1, 200, 7.6439},
    {0, 1, 0},
};

START_TEST(sizes_are_near_entropy)
{
	struct built m;
	double must = size_table[_i].bits * N_WEIGHTS / 8, is;

	one_weight(&m, size_table[_i].density, size_table[_i].n_values);
	is = (double)packed_size(&m.b);
	ck_assert_msg(is <= must * 1.04 + 300, "row %d: %g bytes, entropy says %g", _i, is, must);
	pare_buf_done(&m.b);
}
END_TEST

START_TEST(dense_floats_do_not_grow)
{
	struct built m;

	one_weight(&m, 1, 0);
	ck_assert_uint_lt(packed_size(&m.b), m.b.len);
	pare_buf_done(&m.b);
}
END_TEST

static int n_files;

static int visit(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	size_t n = strlen(path);
	struct pare_model *m = NULL;
	struct pare_buf file;
	char *bytes;
	FILE *f;

	(void)ftw;
	if (type != FTW_F || n < 5 || strcmp(path + n - 5, ".onnx") != 0 || st->st_size == 0 || n_files % 8 != 0) {
		n_files += type == FTW_F;
		return 0;
	}
	n_files++;
	f = fopen(path, "rb");
	ck_assert_ptr_nonnull(f);
	bytes = malloc((size_t)st->st_size);
	ck_assert_uint_eq(fread(bytes, 1, (size_t)st->st_size, f), (size_t)st->st_size);
	(void)fclose(f);
	pare_buf_init(&file, MODEL_CAP);
	ck_assert(pare_buf_add(&file, bytes, (size_t)st->st_size));
	free(bytes);
	if (pare_onnx_read(span_of(&file), &m, NULL) == PARE_OK) {
		pare_model_free(m);
		(void)packed_size(&file);
	}
	pare_buf_done(&file);
	return 0;
}

START_TEST(published_models_come_back)
{
	ck_assert_int_eq(nftw("/usr/share/libonnx-testdata/data/node", visit, 16, FTW_PHYS), 0);
	ck_assert_int_gt(n_files, 500);
}
END_TEST

START_TEST(damage_is_refused)
{
	struct built m;
	struct pare_model *model = NULL;
	struct pare_buf packed, out;
	struct pare_err err = {0};

	one_weight(&m, 0.05, 8);
	ck_assert_int_eq(pare_onnx_read(span_of(&m.b), &model, &err), PARE_OK);
	pare_buf_init(&packed, MODEL_CAP);
	ck_assert_int_eq(pare_model_pack(model, span_of(&m.b), &packed, &err), PARE_OK);
	pare_model_free(model);
	pare_buf_init(&out, m.b.len);
	for (size_t i = 0; i < packed.len; i += 1 + packed.len / 97) { /* one byte wrong */
		packed.data[i] = (char)(packed.data[i] ^ 0x15);
		pare_buf_reset(&out);
		ck_assert_msg(pare_model_unpack(span_of(&packed), &out, &err) != PARE_OK && err.message[0] != '\0', "byte %zu", i);
		packed.data[i] = (char)(packed.data[i] ^ 0x15);
	}
	for (size_t n = 0; n < packed.len; n += 1 + packed.len / 53) { /* cut off */
		pare_buf_reset(&out);
		ck_assert_int_eq(pare_model_unpack((struct pare_span){(uint8_t *)packed.data, n}, &out, &err), PARE_E_SYNTAX);
	}
	pare_buf_add(&packed, "", 1); /* a byte too many */
	pare_buf_reset(&out);
	ck_assert_int_eq(pare_model_unpack(span_of(&packed), &out, &err), PARE_E_SYNTAX);
	pare_buf_done(&out);
	packed.len--;
	pare_buf_init(&out, m.b.len - 1); /* no room */
	ck_assert_int_eq(pare_model_unpack(span_of(&packed), &out, &err), PARE_E_LIMIT);
	packed.data[6] = 2;
	ck_assert_int_eq(pare_model_unpack(span_of(&packed), &out, &err), PARE_E_SYNTAX);
	ck_assert_ptr_nonnull(strstr(err.message, "version 2"));
	pare_buf_done(&out);
	pare_buf_done(&packed);
	pare_buf_done(&m.b);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("pack");
	TCase *t = tcase_create("pack");
	SRunner *sr;
	int failed;

	tcase_set_timeout(t, 120);
	tcase_add_loop_test(t, bits_come_back, 0, 6);
	tcase_add_loop_test(t, sizes_are_near_entropy, 0, (int)(sizeof size_table / sizeof size_table[0]));
	tcase_add_test(t, dense_floats_do_not_grow);
	tcase_add_test(t, published_models_come_back);
	tcase_add_test(t, damage_is_refused);
	suite_add_tcase(s, t);
	sr = srunner_create(s);
	srunner_run_all(sr, CK_NORMAL);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed == 0 ? 0 : 1;
}
