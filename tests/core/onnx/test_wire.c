/* The wire format alone: what is written is read back, in the shortest form. */
#include <check.h>
#include <string.h>

#include "core/onnx/wire.h"

static const struct {
	uint64_t v;
	size_t size;
} varint_table[] = {{0, 1}, {1, 1}, {127, 1}, {128, 2}, {300, 2}, {16383, 2}, {16384, 3}, {(uint64_t)1 << 35, 6}, {(uint64_t)1 << 63, 10}, {UINT64_MAX, 10}};

START_TEST(varints)
{
	struct pare_wire w;
	struct pare_buf b;
	uint64_t v = 1;

	pare_buf_init(&b, 64);
	pare_wire_put_varint(&b, varint_table[_i].v);
	ck_assert_uint_eq(b.len, varint_table[_i].size);
	ck_assert_uint_eq(pare_wire_varint_size(varint_table[_i].v), b.len);
	pare_wire_init(&w, (uint8_t *)b.data, (struct pare_span){(uint8_t *)b.data, b.len});
	ck_assert(pare_wire_varint(&w, &v));
	ck_assert_uint_eq(v, varint_table[_i].v);
	ck_assert(!pare_wire_varint(&w, &v));
	ck_assert_int_eq(pare_wire_status(&w, NULL), PARE_OK);
	pare_buf_done(&b);
}
END_TEST

START_TEST(fields_of_every_kind)
{
	char text[200];
	struct pare_field f;
	struct pare_wire w;
	struct pare_buf b;
	size_t outer, inner;

	memset(text, 'x', sizeof text);
	pare_buf_init(&b, 1000);
	pare_wire_put_int(&b, 1, -1);
	pare_wire_put_float(&b, 2, 1.0f);
	outer = pare_wire_begin(&b, 300);
	inner = pare_wire_begin(&b, 4);
	pare_wire_put_bytes(&b, 5, text, sizeof text); /* its length takes two bytes, at each level */
	pare_wire_end(&b, inner);
	pare_wire_end(&b, outer);
	pare_wire_put_str(&b, 6, "end");
	ck_assert(!b.failed);
	pare_wire_init(&w, (uint8_t *)b.data, (struct pare_span){(uint8_t *)b.data, b.len});
	ck_assert(pare_wire_next(&w, &f) && f.number == 1 && f.type == PARE_WIRE_VARINT && (int64_t)f.bits == -1);
	ck_assert(pare_wire_next(&w, &f) && f.number == 2 && f.type == PARE_WIRE_I32 && f.bits == 0x3f800000);
	ck_assert(pare_wire_next(&w, &f) && f.number == 300 && f.span.len == 206);
	ck_assert_uint_eq(pare_wire_find(w.file, f.span, 4).len, 203);
	ck_assert_uint_eq(pare_wire_find(w.file, pare_wire_find(w.file, f.span, 4), 5).len, 200);
	ck_assert_ptr_null(pare_wire_find(w.file, f.span, 5).data);
	ck_assert(pare_wire_next(&w, &f) && f.number == 6 && f.span.len == 3 && memcmp(f.span.data, "end", 3) == 0);
	ck_assert(!pare_wire_next(&w, &f));
	ck_assert_int_eq(pare_wire_status(&w, NULL), PARE_OK);
	pare_buf_done(&b);
}
END_TEST

/* Offsets count from the start of the file, also inside nested messages; after a fault nothing more is handed out. */
START_TEST(faults_stick_and_name_the_byte)
{
	static const uint8_t file[] = {0x0a, 0x04, 0x08, 0x01, 0x0b, 0x08, 0x10, 0x02};
	struct pare_err err = {0};
	struct pare_field f;
	struct pare_wire w, in;

	pare_wire_init(&w, file, (struct pare_span){file, sizeof file});
	ck_assert(pare_wire_next(&w, &f));
	pare_wire_init(&in, file, f.span);
	ck_assert(pare_wire_next(&in, &f));
	ck_assert(!pare_wire_next(&in, &f));
	ck_assert(!pare_wire_next(&in, &f));
	ck_assert_int_eq(pare_wire_status(&in, &err), PARE_E_SYNTAX);
	ck_assert_str_eq(err.where, "byte 4");
	ck_assert_ptr_nonnull(strstr(err.message, "group"));
	ck_assert(pare_wire_next(&w, &f) && f.number == 2);
}
END_TEST

START_TEST(a_full_buffer_is_an_error)
{
	struct pare_buf b;
	size_t mark;

	pare_buf_init(&b, 8);
	mark = pare_wire_begin(&b, 1);
	pare_wire_put_str(&b, 2, "too long for it");
	pare_wire_end(&b, mark);
	ck_assert(b.failed);
	ck_assert_int_ne(pare_buf_status(&b, NULL), PARE_OK);
	pare_buf_done(&b);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("protobuf wire");
	TCase *tc = tcase_create("wire");
	SRunner *sr;
	int failed;

	tcase_add_loop_test(tc, varints, 0, (int)(sizeof varint_table / sizeof varint_table[0]));
	tcase_add_test(tc, fields_of_every_kind);
	tcase_add_test(tc, faults_stick_and_name_the_byte);
	tcase_add_test(tc, a_full_buffer_is_an_error);
	suite_add_tcase(s, tc);
	sr = srunner_create(s);
	srunner_run_all(sr, CK_NORMAL);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed != 0;
}
