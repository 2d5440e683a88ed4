/* SHA-256 against the vectors of FIPS 180-4 and NIST's long-message example, and the comparisons. */
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "storage/digest.h"
#include "tests/support/fail_alloc.h"

static const struct {
	const char *text, *digest;
} vector_table[] = {
    {"", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"},
    {"abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"},
    {"abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq", "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1"},
};

START_TEST(vectors)
{
	const char *text = vector_table[_i].text;
	uint8_t out[STORE_SHA256_BYTES];
	char hex[STORE_SHA256_HEX];
	struct store_sha256 *h = store_sha256_new();

	ck_assert(store_sha256_once(text, strlen(text), out));
	store_hex(out, sizeof out, hex);
	ck_assert_str_eq(hex, vector_table[_i].digest);
	ck_assert_ptr_nonnull(h);
	for (size_t i = 0; i < strlen(text); i++)
		store_sha256_add(h, text + i, 1);
	store_sha256_get(h, out);
	store_hex(out, sizeof out, hex);
	ck_assert_str_eq(hex, vector_table[_i].digest);
	store_sha256_free(h);
	store_sha256_free(NULL);
}
END_TEST

START_TEST(a_million)
{
	char chunk[1000], hex[STORE_SHA256_HEX];
	uint8_t out[STORE_SHA256_BYTES];
	struct store_sha256 *h = store_sha256_new();

	memset(chunk, 'a', sizeof chunk);
	for (int i = 0; i < 1000; i++)
		store_sha256_add(h, chunk, sizeof chunk);
	store_sha256_get(h, out);
	store_hex(out, sizeof out, hex);
	ck_assert_str_eq(hex, "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
	store_sha256_free(h);
}
END_TEST

START_TEST(hex_is_checked)
{
	ck_assert(store_hex_check("00ff", 4));
	ck_assert(store_hex_check("", 0));
	ck_assert(!store_hex_check("00f", 4));
	ck_assert(!store_hex_check("00ff0", 4));
	ck_assert(!store_hex_check("00FF", 4));
	ck_assert(!store_hex_check("00f/", 4));
	ck_assert(!store_hex_check("../.", 4));
}
END_TEST

START_TEST(equality)
{
	ck_assert(store_equal_constant_time("abc", "abd", 2));
	ck_assert(!store_equal_constant_time("abc", "abd", 3));
	ck_assert(store_equal_constant_time("a\0c", "a\0c", 3));
	ck_assert(!store_equal_constant_time("a\0c", "a\0d", 3));
	ck_assert(store_equal_constant_time("x", "y", 0));
}
END_TEST

START_TEST(no_memory)
{
	fail_alloc_install(1);
	ck_assert_ptr_null(store_sha256_new());
	ck_assert_int_eq(fail_alloc_count(), 1);
	fail_alloc_remove();
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("digest");
	TCase *tc = tcase_create("sha256");
	SRunner *runner;
	int n_failed;

	tcase_add_loop_test(tc, vectors, 0, sizeof vector_table / sizeof *vector_table);
	tcase_add_test(tc, a_million);
	tcase_add_test(tc, hex_is_checked);
	tcase_add_test(tc, equality);
	tcase_add_test(tc, no_memory);
	suite_add_tcase(suite, tc);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_NORMAL);
	n_failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return n_failed != 0;
}
