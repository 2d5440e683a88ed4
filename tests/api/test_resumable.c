/* /v1/uploads in both dialects: offsets, takeovers, limits, completion, owners' quotas. */
#include "api/resumable_head.h"
#include "tests/api/harness.h"

#define TUS "Tus-Resumable", "1.0.0"
#define TUS_BODY "Content-Type", "application/offset+octet-stream"
#define IETF_BODY "Content-Type", "application/partial-upload"
#define SHA_HELLO "b94d27b9934d3e08a52e52d7da7dabfac484efe37a5380ee9088f7ace2efcde9"

static struct world w;
static char url[128];

static void setup(void)
{
	world_init(&w);
	world_start(&w);
}

static void teardown(void)
{
	world_done(&w);
}

static void create(const char *const *headers)
{
	struct answer a = request(&w, "POST", "/v1/uploads", headers, NULL, 0);

	assert_status(&a, 201);
	(void)snprintf(url, sizeof url, "%s", header(&a, "Location"));
	ck_assert_int_eq(strncmp(url, "/v1/uploads/upl_", 16), 0);
	ck_assert_str_eq(header(&a, "Upload-Offset"), "0");
	ck_assert_str_eq(header(&a, "Tus-Resumable"), "1.0.0");
	answer_done(&a);
}

static struct answer patch(const char *const *headers, const char *body)
{
	return request(&w, "PATCH", url, headers, body, strlen(body));
}

static void expect_patch(int status, const char *const *headers, const char *body, const char *offset)
{
	struct answer a = patch(headers, body);

	assert_status(&a, status);
	ck_assert_str_eq(header(&a, "Upload-Offset"), offset);
	answer_done(&a);
}

static void expect_offset(const char *offset, const char *complete)
{
	struct answer a = request(&w, "HEAD", url, H(TUS), NULL, 0);

	assert_status(&a, 200);
	ck_assert_str_eq(header(&a, "Upload-Offset"), offset);
	ck_assert_str_eq(header(&a, "Upload-Complete"), complete);
	ck_assert_str_eq(header(&a, "Cache-Control"), "no-store");
	answer_done(&a);
}

static void expect_hello(void)
{
	struct answer a = get(&w, url);

	assert_status(&a, 200);
	ck_assert_str_eq(text_at(a.json, "status"), "complete");
	ck_assert_str_eq(text_at(a.json, "sha256"), SHA_HELLO);
	ck_assert_int_eq(json_integer_value(json_object_get(a.json, "length")), 11);
	answer_done(&a);
	ck_assert_int_eq(world_blobs(&w), 1);
}

START_TEST(tus_in_pieces)
{
	create(H(TUS, "Upload-Length", "11", "Upload-Metadata", "filename bmV0Lm9ubng=,draft"));
	expect_patch(204, H(TUS, TUS_BODY, "Upload-Offset", "0"), "hello ", "6");
	expect_offset("6", "?0");
	ck_assert_int_eq(world_blobs(&w), 0);
	expect_patch(204, H(TUS, TUS_BODY, "Upload-Offset", "6"), "world", "11");
	expect_offset("11", "?1");
	expect_hello();
}
END_TEST

START_TEST(tus_says_what_was_said)
{
	struct answer a;

	create(H(TUS, "Upload-Length", "11", "Upload-Metadata", "filename bmV0Lm9ubng=,draft"));
	a = get(&w, url);
	ck_assert_str_eq(header(&a, "Upload-Metadata"), "filename bmV0Lm9ubng=,draft");
	ck_assert_str_eq(header(&a, "Upload-Length"), "11");
	ck_assert_str_eq(header(&a, "Upload-Expires"), "Sun, 22 Nov 2026 02:22:03 GMT");
	ck_assert_str_eq(text_at(a.json, "name"), "net.onnx");
	answer_done(&a);
	a = request(&w, "OPTIONS", "/v1/uploads", NULL, NULL, 0);
	assert_status(&a, 204);
	ck_assert_str_eq(header(&a, "Tus-Version"), "1.0.0");
	ck_assert_str_eq(header(&a, "Tus-Max-Size"), "1048576");
	ck_assert_str_eq(header(&a, "Tus-Extension"), API_TUS_EXTENSIONS);
	ck_assert_str_eq(header(&a, "Upload-Limit"), "max-size=1048576, max-age=3600");
	ck_assert_str_eq(header(&a, "Allow"), "GET, HEAD, POST, OPTIONS");
	answer_done(&a);
}
END_TEST

START_TEST(tus_with_bytes_at_once_and_length_later)
{
	struct answer a = request(&w, "POST", "/v1/uploads?name=a.csv", H(TUS, TUS_BODY, "Upload-Defer-Length", "1"), "hello ", 6);

	assert_status(&a, 201);
	ck_assert_str_eq(header(&a, "Upload-Offset"), "6");
	ck_assert_str_eq(header(&a, "Upload-Defer-Length"), "1");
	ck_assert_str_eq(text_at(a.json, "name"), "a.csv");
	(void)snprintf(url, sizeof url, "%s", header(&a, "Location"));
	answer_done(&a);
	expect_patch(204, H(TUS, TUS_BODY, "Upload-Offset", "6", "Upload-Length", "11"), "wor", "9");
	a = patch(H(TUS, TUS_BODY, "Upload-Offset", "9", "Upload-Length", "12"), "ld");
	assert_problem(&a, 400, "bad_request");
	ck_assert_str_eq(text_at(a.json, "type"), "https://iana.org/assignments/http-problem-types#inconsistent-upload-length");
	answer_done(&a);
	expect_patch(204, H(TUS, TUS_BODY, "Upload-Offset", "9"), "ld", "11");
	expect_hello();
}
END_TEST

START_TEST(tus_checksum)
{
	struct answer a;

	create(H(TUS, "Upload-Length", "11"));
	/* printf 'hello ' | openssl sha1 -binary | base64 */
	expect_patch(204, H(TUS, TUS_BODY, "Upload-Offset", "0", "Upload-Checksum", "sha1 xNhxrROtAP3pp7t/9+0lQ67FQkE="), "hello ", "6");
	a = patch(H(TUS, TUS_BODY, "Upload-Offset", "6", "Upload-Checksum", "sha1 xNhxrROtAP3pp7t/9+0lQ67FQkE="), "world");
	ck_assert_int_eq(a.status, 460);
	ck_assert_str_eq(text_at(a.json, "code"), "checksum_mismatch");
	answer_done(&a);
	expect_offset("6", "?0");
	/* printf world | openssl sha256 -binary | base64 */
	expect_patch(204, H(TUS, TUS_BODY, "Upload-Offset", "6", "Upload-Checksum", "sha256 SG6kYiTRu0+2gPNPfJrZao8k7Ii+c+qOWmxlJg6cuKc="), "world", "11");
	expect_hello();
}
END_TEST

START_TEST(ietf_in_pieces)
{
	struct answer a;

	create(H("Upload-Complete", "?0"));
	expect_patch(204, H("Upload-Complete", "?0", IETF_BODY, "Upload-Offset", "0"), "hello ", "6");
	expect_offset("6", "?0");
	a = patch(H("Upload-Complete", "?1", IETF_BODY, "Upload-Offset", "6"), "world");
	assert_status(&a, 200);
	ck_assert_str_eq(header(&a, "Upload-Complete"), "?1");
	ck_assert_str_eq(text_at(a.json, "sha256"), SHA_HELLO);
	answer_done(&a);
	expect_hello();
	a = patch(H("Upload-Complete", "?1", IETF_BODY, "Upload-Offset", "11"), "!");
	assert_problem(&a, 409, "conflict");
	ck_assert_str_eq(text_at(a.json, "type"), "https://iana.org/assignments/http-problem-types#completed-upload");
	answer_done(&a);
}
END_TEST

START_TEST(ietf_completes_with_nothing)
{
	create(H("Upload-Complete", "?0", "Upload-Length", "11"));
	expect_patch(204, H("Upload-Complete", "?0", IETF_BODY, "Upload-Offset", "0"), "hello world", "11");
	expect_offset("11", "?0"); /* it is complete when its client says so */
	expect_patch(200, H("Upload-Complete", "?1", IETF_BODY, "Upload-Offset", "11"), "", "11");
	expect_hello();
}
END_TEST

START_TEST(ietf_wrong_offset_and_length)
{
	struct answer a;

	create(H("Upload-Complete", "?0", "Upload-Length", "11"));
	expect_patch(204, H("Upload-Complete", "?0", IETF_BODY, "Upload-Offset", "0"), "hello ", "6");
	a = patch(H("Upload-Complete", "?0", IETF_BODY, "Upload-Offset", "5"), "world");
	assert_problem(&a, 409, "conflict");
	ck_assert_str_eq(text_at(a.json, "type"), "https://iana.org/assignments/http-problem-types#mismatching-upload-offset");
	ck_assert_int_eq(json_integer_value(json_object_get(a.json, "expected-offset")), 6);
	ck_assert_int_eq(json_integer_value(json_object_get(a.json, "provided-offset")), 5);
	ck_assert_str_eq(header(&a, "Upload-Offset"), "6");
	answer_done(&a);
	a = patch(H("Upload-Complete", "?1", IETF_BODY, "Upload-Offset", "6"), "wo");
	assert_problem(&a, 400, "bad_request");
	ck_assert_str_eq(text_at(a.json, "type"), "https://iana.org/assignments/http-problem-types#inconsistent-upload-length");
	answer_done(&a);
	expect_offset("6", "?0");
}
END_TEST

START_TEST(one_body_is_a_whole_upload)
{
	struct answer a = request(&w, "POST", "/v1/uploads", NULL, "hello world", 11);

	assert_status(&a, 201);
	ck_assert_str_eq(header(&a, "Upload-Complete"), "?1");
	(void)snprintf(url, sizeof url, "%s", header(&a, "Location"));
	answer_done(&a);
	expect_hello();
	a = request(&w, "DELETE", url, NULL, NULL, 0);
	assert_status(&a, 204);
	answer_done(&a);
	ck_assert_int_eq(world_blobs(&w), 0);
	refuses(&w, "GET", url, NULL, 404, "not_found");
}
END_TEST

/* A request whose body never ends, as the server has it: begun, fed, and not yet ended. */
static struct api_exchange *begin_a_patch(struct api_header version, const char *type, const char *offset, const char *length, const char *body)
{
	const struct api_header headers[] = {{"Host", "x"}, version, {"Content-Type", type}, {"Upload-Offset", offset}, {"Content-Length", length}};
	struct api_head head = {.method = "PATCH", .target = url, .version = "HTTP/1.1", .headers = headers, .n_headers = 5, .peer = "127.0.0.1"};
	struct api_exchange *x = api_exchange_new(w.api, &head);

	ck_assert(!api_exchange_done(x));
	api_exchange_body(x, body, strlen(body));
	ck_assert(!api_exchange_done(x));
	return x;
}

static struct api_exchange *begin_patch(const char *offset, const char *length, const char *body)
{
	return begin_a_patch((struct api_header){"Tus-Resumable", "1.0.0"}, "application/offset+octet-stream", offset, length, body);
}

/* A body that comes so slowly that the upload would have expired long ago: what came until it is cut is there, and the upload goes on from there, in either form. */
START_TEST(a_body_that_outlasts_its_upload)
{
	const int64_t keep_ms = w.opt.limits.upload_ms;
	struct api_exchange *x;
	struct answer a;

	create(_i == 0 ? H(TUS, "Upload-Length", "11") : H("Upload-Complete", "?0", "Upload-Length", "11"));
	x = _i == 0 ? begin_patch("0", "11", "hel") : begin_a_patch((struct api_header){"Upload-Complete", "?1"}, "application/partial-upload", "0", "11", "hel");
	for (int i = 0; i < 3; i++) {
		w.now_ms += keep_ms - 1;
		a = request(&w, "POST", "/v1/admin/gc", NULL, "", 0);
		assert_status(&a, 200);
		answer_done(&a);
		api_exchange_body(x, &"lo "[i], 1);
		ck_assert(!api_exchange_done(x));
	}
	api_exchange_free(x);
	w.now_ms += keep_ms - 1;
	expect_offset("6", "?0");
	a = request(&w, "POST", "/v1/admin/gc", NULL, "", 0);
	answer_done(&a);
	expect_patch(204, H(TUS, TUS_BODY, "Upload-Offset", "6"), "world", "11");
	expect_hello();
	create(H(TUS, "Upload-Length", "11"));
	api_exchange_free(begin_patch("0", "11", "hello "));
	w.now_ms += keep_ms;
	refuses(&w, "GET", url, NULL, 404, "not_found"); /* nobody came back for it */
}
END_TEST

START_TEST(cut_bodies_stay)
{
	create(H(TUS, "Upload-Length", "11"));
	api_exchange_free(begin_patch("0", "11", "hello "));
	expect_offset("6", "?0");
	expect_patch(204, H(TUS, TUS_BODY, "Upload-Offset", "6"), "world", "11");
	expect_hello();
}
END_TEST

START_TEST(the_newer_request_ends_the_older)
{
	struct api_exchange *old;

	create(H(TUS, "Upload-Length", "11"));
	old = begin_patch("0", "11", "hello ");
	expect_patch(204, H(TUS, TUS_BODY, "Upload-Offset", "6"), "wor", "9");
	api_exchange_body(old, "ld?", 3);
	ck_assert(api_exchange_done(old));
	ck_assert_int_eq(api_exchange_reply(old)->status, 409);
	api_exchange_free(old);
	old = begin_patch("9", "2", "l");
	expect_offset("10", "?0"); /* asking takes it over, too */
	api_exchange_body(old, "X", 1);
	ck_assert_int_eq(api_exchange_reply(old)->status, 409);
	api_exchange_free(old);
	expect_patch(204, H(TUS, TUS_BODY, "Upload-Offset", "10"), "d", "11");
	expect_hello();
}
END_TEST

START_TEST(limits)
{
	struct answer a;

	a = request(&w, "POST", "/v1/uploads", H(TUS, "Upload-Length", "1048577"), NULL, 0);
	assert_problem(&a, 413, "too_large");
	ck_assert_str_eq(header(&a, "Upload-Limit"), "max-size=1048576, max-age=3600");
	answer_done(&a);
	create(H(TUS, "Upload-Length", "5"));
	a = patch(H(TUS, TUS_BODY, "Upload-Offset", "0"), "123456");
	assert_problem(&a, 413, "too_large");
	answer_done(&a);
	a = patch(H(TUS, TUS_BODY, "Upload-Offset", "0", "Transfer-Encoding", "chunked"), "123456");
	assert_problem(&a, 413, "too_large");
	answer_done(&a);
	for (int i = 1; i < w.opt.limits.max_uploads; i++)
		create(H(TUS, "Upload-Length", "5"));
	a = request(&w, "POST", "/v1/uploads", H(TUS, "Upload-Length", "5"), NULL, 0);
	assert_problem(&a, 429, "quota_exceeded");
	ck_assert_str_ne(header(&a, "Retry-After"), "");
	answer_done(&a);
	w.now_ms += 3600000;
	refuses(&w, "HEAD", url, H(TUS), 404, "not_found");
}
END_TEST

START_TEST(refusals)
{
	static const struct {
		const char *method, *headers[9];
		int status;
	} cases[] = {
	    {"POST", {NULL}, 400},
	    {"POST", {"Tus-Resumable", "0.2.2", "Upload-Length", "5"}, 412},
	    {"POST", {TUS}, 400},
	    {"POST", {TUS, "Upload-Length", "-5"}, 400},
	    {"POST", {TUS, "Upload-Length", "9999999999999999"}, 400},
	    {"POST", {TUS, "Upload-Length", "5", "Upload-Length", "5"}, 400},
	    {"POST", {TUS, "Upload-Length", "5", "Upload-Defer-Length", "1"}, 400},
	    {"POST", {TUS, "Upload-Length", "5", "Upload-Metadata", "filename ****"}, 400},
	    {"POST", {TUS, "Upload-Length", "5", "Upload-Metadata", "filename YQBi"}, 400}, /* a NUL byte */
	    {"POST", {"Upload-Complete", "?2"}, 400},
	    {"PATCH", {TUS, TUS_BODY}, 400},
	    {"PATCH", {TUS_BODY, "Upload-Offset", "0"}, 400},
	    {"PATCH", {TUS, "Content-Type", "application/octet-stream", "Upload-Offset", "0"}, 415},
	    {"PATCH", {"Upload-Complete", "?0", TUS_BODY, "Upload-Offset", "0"}, 415},
	    {"PATCH", {TUS, TUS_BODY, "Upload-Offset", "0", "Upload-Checksum", "md5 xxxx"}, 400},
	    {"PATCH", {TUS, TUS_BODY, "Upload-Offset", "1"}, 409},
	};

	create(H(TUS, "Upload-Length", "5"));
	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		bool is_new = strcmp(cases[i].method, "POST") == 0;
		struct answer a = request(&w, cases[i].method, is_new ? "/v1/uploads" : url, cases[i].headers, is_new ? NULL : "12345", is_new ? 0 : 5);

		ck_assert_msg(a.status == cases[i].status, "case %zu: status %d, wanted %d: %s", i, a.status, cases[i].status, a.body);
		ck_assert_str_eq(header(&a, "Tus-Resumable"), "1.0.0");
		if (a.status == 412)
			ck_assert_str_eq(header(&a, "Tus-Version"), "1.0.0");
		answer_done(&a);
	}
	expect_offset("0", "?0");
	(void)snprintf(url, sizeof url, "/v1/uploads/%s", "upl_01JD8Z3M2V9Q4T6R8W0Y2A4C6E");
	refuses(&w, "GET", url, NULL, 404, "not_found");
	refuses(&w, "DELETE", "/v1/uploads/..%2fblobs", NULL, 400, "bad_request");
}
END_TEST

static json_t *listed(const struct answer *a, int i)
{
	return json_array_get(json_object_get(a->json, "data"), (size_t)i);
}

START_TEST(a_list_only_looks)
{
	struct answer a;
	char first[128], etag[64];

	create(H(TUS, "Upload-Length", "11"));
	(void)snprintf(first, sizeof first, "%s", url + strlen("/v1/uploads/"));
	w.now_ms++;
	create(H(TUS, "Upload-Length", "11"));
	expect_patch(204, H(TUS, TUS_BODY, "Upload-Offset", "0"), "hello ", "6");
	a = request(&w, "HEAD", "/v1/uploads", NULL, NULL, 0);
	assert_status(&a, 200);
	answer_done(&a);
	a = get(&w, "/v1/uploads?limit=1");
	assert_status(&a, 200);
	ck_assert_int_eq((int)json_array_size(json_object_get(a.json, "data")), 1);
	ck_assert_str_eq(text_at(listed(&a, 0), "id"), url + strlen("/v1/uploads/"));
	ck_assert_int_eq(json_integer_value(json_object_get(listed(&a, 0), "offset")), 6);
	ck_assert_str_eq(text_at(listed(&a, 0), "status"), "receiving");
	ck_assert(json_is_true(json_object_get(a.json, "has_more")));
	answer_done(&a);
	expect_patch(204, H(TUS, TUS_BODY, "Upload-Offset", "6"), "world", "11");
	a = get(&w, "/v1/uploads?order=asc");
	ck_assert_int_eq((int)json_array_size(json_object_get(a.json, "data")), 2);
	ck_assert_str_eq(text_at(listed(&a, 0), "id"), first);
	ck_assert_str_eq(text_at(listed(&a, 1), "status"), "complete");
	(void)snprintf(etag, sizeof etag, "%s", header(&a, "ETag"));
	answer_done(&a);
	a = request(&w, "GET", "/v1/uploads?order=asc", H("If-None-Match", etag), NULL, 0);
	assert_status(&a, 304);
	answer_done(&a);
	w.now_ms += 2 * w.opt.limits.upload_ms;
	a = get(&w, "/v1/uploads");
	ck_assert_int_eq((int)json_array_size(json_object_get(a.json, "data")), 0);
	answer_done(&a);
	a = get(&w, "/v1/uploads?after=mdl_00000000000000000000000000");
	assert_problem(&a, 400, "bad_request");
	answer_done(&a);
}
END_TEST

START_TEST(dates)
{
	char out[API_HTTP_DATE];

	api_http_date(784111777000, out);
	ck_assert_str_eq(out, "Sun, 06 Nov 1994 08:49:37 GMT"); /* RFC 9110, section 5.6.7 */
}
END_TEST

static void expect_used(const char *n)
{
	struct answer a = get(&w, "/v1/keys/self");
	char want[64];

	(void)snprintf(want, sizeof want, "\"bytes\":{\"used\":%s,", n);
	ck_assert_msg(strstr(a.body, want) != NULL, "wanted %s: %s", want, a.body);
	answer_done(&a);
}

static void expect_over(struct answer a)
{
	assert_problem(&a, 507, "storage_quota_exceeded");
	ck_assert_str_eq(header(&a, "Tus-Resumable"), "1.0.0");
	answer_done(&a);
}

static void put_limit(int64_t n)
{
	store_set_quota(w.store, &(struct store_quota){.max_bytes = n});
}

/* In both dialects: the head of each says what fits, a body without a length ends where the share does, and who comes second is told; what was there before stays, and goes on when there is room. */
START_TEST(shares_of_owners)
{
	const bool tus = _i == 0;
	const char *const *new_5 = tus ? H(TUS, "Upload-Length", "5") : H("Upload-Complete", "?0", "Upload-Length", "5");
	const char *const *new_11 = tus ? H(TUS, "Upload-Length", "11") : H("Upload-Complete", "?0", "Upload-Length", "11");
	const char *const *at_0 = tus ? H(TUS, TUS_BODY, "Upload-Offset", "0") : H("Upload-Complete", "?0", IETF_BODY, "Upload-Offset", "0");
	const char *const *at_6 = tus ? H(TUS, TUS_BODY, "Upload-Offset", "6") : H("Upload-Complete", "?1", IETF_BODY, "Upload-Offset", "6");
	const char *const *at_6_chunked = tus ? H(TUS, TUS_BODY, "Upload-Offset", "6", "Transfer-Encoding", "chunked") : H("Upload-Complete", "?1", IETF_BODY, "Upload-Offset", "6", "Transfer-Encoding", "chunked");
	struct api_exchange *slow;
	struct answer a;
	char first[128];

	put_limit(11);
	create(new_11);
	expect_used("0");
	a = patch(at_0, "hello ");
	answer_done(&a);
	expect_used("6");
	(void)snprintf(first, sizeof first, "%s", url);
	expect_over(request(&w, "POST", "/v1/uploads", new_11, NULL, 0));
	create(new_5);
	put_limit(10);
	a = patch(at_0, "fours"); /* 6 and 5 are too many */
	expect_over(a);
	expect_offset("0", "?0");
	put_limit(11);
	(void)snprintf(url, sizeof url, "%s", first);
	put_limit(9);
	expect_over(patch(at_6, "world"));
	expect_over(patch(at_6_chunked, "world"));
	expect_offset("6", "?0");
	expect_used("6");
	/* it fitted when it began */
	put_limit(11);
	slow = tus ? begin_patch("6", "5", "world") : begin_a_patch((struct api_header){"Upload-Complete", "?1"}, "application/partial-upload", "6", "5", "world");
	put_limit(10);
	api_exchange_end(slow);
	ck_assert_int_eq(api_exchange_reply(slow)->status, 507);
	api_exchange_free(slow);
	expect_offset("6", "?0");
	expect_used("6");
	put_limit(11);
	a = patch(at_6, "world");
	ck_assert_int_eq(a.status, tus ? 204 : 200);
	answer_done(&a);
	expect_hello();
	expect_used("11");
	/* what is made of it takes no more, and what is refused by the share is counted */
	a = get(&w, "/metrics");
	ck_assert_ptr_nonnull(strstr(a.body, "\npared_quota_refusals_total{quota=\"bytes\"} 5\n"));
	answer_done(&a);
	a = request(&w, "DELETE", url, H(TUS), NULL, 0);
	assert_status(&a, 204);
	answer_done(&a);
	expect_used("0");
}
END_TEST

/* A model of an upload takes over its bytes; the body that names it is no bytes of the owner's. */
START_TEST(a_model_takes_its_upload_over)
{
	char text[200];
	struct answer a;

	put_limit(sizeof MODEL_BYTES - 1);
	a = request(&w, "POST", "/v1/uploads", H("Idempotency-Key", "k"), MODEL_BYTES, sizeof MODEL_BYTES - 1);
	assert_status(&a, 201);
	(void)snprintf(text, sizeof text, "{\"files\":[{\"path\":\"m.onnx\",\"upload\":\"%s\"}]}", text_at(a.json, "id"));
	answer_done(&a);
	a = request(&w, "POST", "/v1/uploads", H("Idempotency-Key", "k"), MODEL_BYTES, sizeof MODEL_BYTES - 1); /* the same again is there */
	assert_status(&a, 201);
	ck_assert_str_eq(header(&a, "Idempotency-Replayed"), "true");
	answer_done(&a);
	expect_over(request(&w, "POST", "/v1/uploads", H("Idempotency-Key", "other"), MODEL_BYTES "?", sizeof MODEL_BYTES));
	a = request(&w, "POST", "/v1/models", H("Content-Type", "application/json"), text, strlen(text));
	assert_status(&a, 201);
	answer_done(&a);
	(void)snprintf(text, sizeof text, "%zu", sizeof MODEL_BYTES - 1);
	expect_used(text);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("resumable uploads");
	TCase *tc = tcase_create("uploads");

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, tus_in_pieces);
	tcase_add_test(tc, tus_says_what_was_said);
	tcase_add_test(tc, tus_with_bytes_at_once_and_length_later);
	tcase_add_test(tc, tus_checksum);
	tcase_add_test(tc, ietf_in_pieces);
	tcase_add_test(tc, ietf_completes_with_nothing);
	tcase_add_test(tc, ietf_wrong_offset_and_length);
	tcase_add_test(tc, one_body_is_a_whole_upload);
	tcase_add_test(tc, cut_bodies_stay);
	tcase_add_loop_test(tc, a_body_that_outlasts_its_upload, 0, 2);
	tcase_add_test(tc, the_newer_request_ends_the_older);
	tcase_add_test(tc, limits);
	tcase_add_loop_test(tc, shares_of_owners, 0, 2);
	tcase_add_test(tc, a_model_takes_its_upload_over);
	tcase_add_test(tc, refusals);
	tcase_add_test(tc, a_list_only_looks);
	tcase_add_test(tc, dates);
	suite_add_tcase(s, tc);
	return run_suite(s);
}
