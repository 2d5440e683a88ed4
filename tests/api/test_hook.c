/* Webhooks without a socket: the message and its signature, the URLs that are called, and the resource. */
#include "tests/api/harness.h"

#include <arpa/inet.h>

#include "api/address.h"
#include "api/hook.h"
#include "api/text.h"
#include "core/recipe/recipe.h"

static struct world w;

static void start(const char *allow)
{
	world_init(&w);
	w.opt.webhook_allow = allow;
	world_start(&w);
}

/* --- the message */

/* The example of the Standard Webhooks specification and of its libraries. */
START_TEST(signature_is_the_standards)
{
	static const char body[] = "{\"test\": 2432232314}";
	struct store_hook h = {.secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", .old_secret = ""};
	char out[API_HOOK_SIGNATURES_MAX];

	ck_assert_int_eq(api_hook_sign(&h, 1614265330000, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, body, sizeof body - 1, out, NULL), PARE_OK);
	ck_assert_str_eq(out, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
	/* for a while the secret before signs, too, and the present one comes first */
	h.old_secret = h.secret;
	h.secret = "whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
	h.old_until_ms = 1614265330001;
	ck_assert_int_eq(api_hook_sign(&h, 1614265330000, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, body, sizeof body - 1, out, NULL), PARE_OK);
	ck_assert_str_eq(strchr(out, ' ') + 1, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
	ck_assert_int_eq(api_hook_sign(&h, 1614265330001, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, body, sizeof body - 1, out, NULL), PARE_OK);
	ck_assert_ptr_null(strchr(out, ' '));
	h.secret = "whsec_broken";
	ck_assert_int_eq(api_hook_sign(&h, 0, "m", 1, body, sizeof body - 1, out, NULL), PARE_E_STORE);
}
END_TEST

START_TEST(secrets_have_a_form)
{
	static const char *const bad[] = {"", "whsec_", "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaS", "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLa", "whsec_MfKQ9r8GKYqr TwjUPD8ILPZIo2LaLa==",
	    "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2La===="};
	struct pare_env env;
	char secret[API_HOOK_SECRET_MAX], next[API_HOOK_SECRET_MAX];
	uint8_t bytes[64];

	start(NULL);
	env = w.env;
	ck_assert(api_hook_secret_check("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"));
	for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
		ck_assert_msg(!api_hook_secret_check(bad[i]), "%s", bad[i]);
	api_hook_secret_make(&env, secret);
	api_hook_secret_make(&env, next);
	ck_assert(api_hook_secret_check(secret));
	ck_assert_str_ne(secret, next);
	ck_assert_uint_eq(api_base64_decode(secret + 6, bytes, sizeof bytes), 32);
	ck_assert_uint_eq(api_base64_decode("AQI=", bytes, 2), 2);
	ck_assert_int_eq(bytes[0] * 256 + bytes[1], 0x0102);
	ck_assert_uint_eq(api_base64_decode("AQI=", bytes, 1), 0);
	ck_assert_uint_eq(api_base64_decode("A===", bytes, 64), 0);
	world_done(&w);
}
END_TEST

static json_t *body_of(enum store_hook_format format, const char *data)
{
	const struct store_hook h = {.format = format};
	struct store_delivery d = {.type = "job.succeeded", .seq = 7, .cursor = 99, .at_ms = 1795000000123, .level = "info", .data = data, .event = "job_1-7", .subject = "job_1"};
	struct pare_buf b;
	json_t *root;

	pare_buf_init(&b, 65536);
	ck_assert_int_eq(api_hook_body(&h, &d, "https://x.example/p", &b, NULL), PARE_OK);
	ck_assert_uint_lt(b.len, 20000);
	root = json_loadb(b.data, b.len, JSON_REJECT_DUPLICATES, NULL);
	ck_assert_ptr_nonnull(root);
	pare_buf_done(&b);
	return root;
}

START_TEST(messages_are_small_and_whole)
{
	static char large[40000];
	json_t *m = body_of(STORE_HOOK_STANDARD, "{\"a\":1}"), *data;

	ck_assert_str_eq(text_at(m, "type"), "job.succeeded");
	ck_assert_str_eq(text_at(m, "timestamp"), "2026-11-18T11:06:40.123Z");
	data = json_object_get(m, "data");
	ck_assert_str_eq(text_at(data, "job"), "job_1");
	ck_assert_str_eq(text_at(data, "url"), "https://x.example/p/v1/jobs/job_1");
	ck_assert_int_eq(json_integer_value(json_object_get(data, "seq")), 7);
	ck_assert_int_eq(json_integer_value(json_object_get(json_object_get(data, "data"), "a")), 1);
	json_decref(m);
	m = body_of(STORE_HOOK_CLOUDEVENTS, "{}");
	ck_assert_str_eq(text_at(m, "specversion"), "1.0");
	ck_assert_str_eq(text_at(m, "id"), "job_1-7");
	ck_assert_str_eq(text_at(m, "source"), "https://x.example/p/v1");
	ck_assert_str_eq(text_at(m, "type"), "pared.job.succeeded");
	ck_assert_str_eq(text_at(m, "subject"), "job_1");
	ck_assert_str_eq(text_at(json_object_get(m, "data"), "type"), "job.succeeded");
	json_decref(m);
	memset(large, ' ', sizeof large - 1);
	memcpy(large, "{", 1);
	memcpy(large + sizeof large - 2, "}", 1);
	m = body_of(STORE_HOOK_STANDARD, large);
	ck_assert(json_is_true(json_object_get(json_object_get(json_object_get(m, "data"), "data"), "omitted")));
	json_decref(m);
}
END_TEST

/* --- addresses: every one of the special-purpose ranges by name, at its ends, and what lies just outside */
static const struct {
	const char *address;
	bool refused;
} address_table[] = {
    {"127.0.0.1", true}, {"127.255.255.255", true}, {"126.255.255.255", false}, {"128.0.0.1", false},
    {"0.0.0.0", true}, {"0.255.255.255", true}, {"1.0.0.0", false},
    {"10.0.0.0", true}, {"10.255.255.255", true}, {"9.255.255.255", false}, {"11.0.0.0", false},
    {"100.64.0.0", true}, {"100.127.255.255", true}, {"100.63.255.255", false}, {"100.128.0.0", false},
    {"169.254.169.254", true}, {"169.254.0.0", true}, {"169.253.255.255", false}, {"169.255.0.0", false},
    {"172.16.0.0", true}, {"172.31.255.255", true}, {"172.15.255.255", false}, {"172.32.0.0", false},
    {"192.0.0.8", true}, {"192.0.2.1", true}, {"192.0.1.1", false}, {"192.88.99.1", true},
    {"192.168.0.0", true}, {"192.168.255.255", true}, {"192.167.255.255", false}, {"192.169.0.0", false},
    {"198.18.0.0", true}, {"198.19.255.255", true}, {"198.17.255.255", false}, {"198.20.0.0", false},
    {"198.51.100.7", true}, {"203.0.113.7", true}, {"224.0.0.1", true}, {"239.255.255.255", true}, {"223.255.255.255", false},
    {"240.0.0.1", true}, {"255.255.255.255", true},
    {"::", true}, {"::1", true}, {"::2", true}, {"::127.0.0.1", true}, {"::ffff:127.0.0.1", true}, {"::ffff:10.0.0.1", true}, {"::ffff:8.8.8.8", false},
    {"::ffff:0:7f00:1", true}, {"64:ff9b::7f00:1", true}, {"64:ff9b::8.8.8.8", true}, {"64:ff9b:1::1", true}, {"64:ff9c::1", true},
    {"100::1", true}, {"2001::1", true}, {"2001:db8::1", true}, {"2001:200::1", false}, {"2002:7f00:1::", true}, {"2003::1", false},
    {"fc00::1", true}, {"fd00::1", true}, {"fdff:ffff::1", true}, {"fbff::1", true}, {"fe80::1", true}, {"febf::1", true}, {"fec0::1", true}, {"ff02::1", true},
    {"3fff::1", true}, {"5f00::1", true}, {"100:0:0:1::1", true}, {"1fff::1", true}, {"2000::1", false}, {"4000::1", true}, {"8000::1", true}, {"0:0:1::1", true}, {"2606:4700::1111", false}, {"2a00:1450:4001::1", false},
    {"8.8.8.8", false}, {"93.184.216.34", false},
};

START_TEST(special_addresses_are_not_called)
{
	uint8_t bytes[API_ADDRESS_BYTES];
	struct api_outgoing some = {0};
	bool v4;

	for (size_t i = 0; i < sizeof address_table / sizeof address_table[0]; i++) {
		const char *s = address_table[i].address;

		ck_assert_msg(api_address_parse(s, strlen(s), bytes, &v4), "%s", s);
		ck_assert_msg((api_address_refused(bytes, &(struct api_outgoing){0}) != NULL) == address_table[i].refused, "%s", s);
	}
	ck_assert_int_eq(api_outgoing_parse("10.1.0.0/16, ::1", "10.1.9.0/24, 8.8.8.8", &some, NULL), PARE_OK);
	ck_assert(api_address_parse("10.1.2.3", 8, bytes, &v4));
	ck_assert_ptr_null(api_address_refused(bytes, &some));
	ck_assert(api_address_parse("::ffff:10.1.2.3", 15, bytes, &v4));
	ck_assert_ptr_null(api_address_refused(bytes, &some));
	ck_assert(api_address_parse("10.2.2.3", 8, bytes, &v4));
	ck_assert_str_eq(api_address_refused(bytes, &some), "private");
	ck_assert(api_address_parse("::1", 3, bytes, &v4));
	ck_assert_ptr_null(api_address_refused(bytes, &some));
	ck_assert(api_address_parse("10.1.9.1", 8, bytes, &v4));
	ck_assert_str_eq(api_address_refused(bytes, &some), "denied by the operator");
	ck_assert(api_address_parse("8.8.8.8", 7, bytes, &v4));
	ck_assert_str_eq(api_address_refused(bytes, &some), "denied by the operator");
	api_outgoing_done(&some);
}
END_TEST

/* --- URLs */
static const struct {
	const char *url, *says; /* NULL: taken */
} url_table[] = {
    {"https://hooks.example/a?b=c", NULL},
    {"http://hooks.example:8080", NULL},
    {"HTTPS://hooks.example./", NULL},
    {"https://8.8.8.8/", NULL},
    {"https://[2606:4700::1111]:8443/x", NULL},
    {"https://xn--bcher-kva.example/", NULL},
    {"", "1 to 2048"},
    {"hooks.example", "begins with https"},
    {"file:///etc/passwd", "begins with https"},
    {"gopher://hooks.example/_x", "begins with https"},
    {"dict://hooks.example:11211/", "begins with https"},
    {"ftp://hooks.example/", "begins with https"},
    {"//hooks.example/", "begins with https"},
    {"http:/hooks.example/", "begins with https"},
    {"http:///x", "no host"},
    {"https://u:p@hooks.example/", "user name"},
    {"https://hooks.example@10.0.0.1/", "user name"},
    {"https://10.0.0.1\\@hooks.example/", "0x5c"},
    {"https://hooks.example/#f", "fragment"},
    {"https://hooks.example/a b", "0x20"},
    {"https://hooks.example/\r\nX-Evil: 1", "0x0d"},
    {"https://hooks.example/\nX", "0x0a"},
    {"https://b\xC3\xBC" "cher.example/", "ASCII"},
    {"https://hooks%2eexample/", "letters, digits"},
    {"https://.example/", "letters, digits"},
    {"http://127.0.0.1/", "loopback"},
    {"http://127.0.0.1./", "loopback"},
    {"http://0x7f.1./", "four decimal"},
    {"http://localhost/", "loopback"},
    {"http://LOCALHOST./", "loopback"},
    {"http://a.localhost/", "loopback"},
    {"http://0.0.0.0/", "this host"},
    {"http://169.254.169.254/latest/meta-data/", "link-local"},
    {"http://100.64.0.1/", "CGNAT"},
    {"http://[::1]/", "loopback"},
    {"http://[::]/", "this host"},
    {"http://[::ffff:127.0.0.1]/", "loopback"},
    {"http://[::ffff:7f00:1]/", "loopback"},
    {"http://[fd00::1]/", "private"},
    {"http://[fe80::1]/", "link-local"},
    {"http://[fe80::1%25eth0]/", "IPv6 address"},
    {"http://[64:ff9b::7f00:1]/", "NAT64"},
    {"http://[2002:7f00:1::]/", "6to4"},
    {"http://[127.0.0.1]/", "IPv6 address"},
    {"http://[::1/", "bracket"},
    {"http://[2606:4700::1111]x/", "port, a path or nothing"},
    {"http://2130706433/", "four decimal"},
    {"http://0177.0.0.1/", "four decimal"},
    {"http://017700000001/", "four decimal"},
    {"http://0x7f.1/", "four decimal"},
    {"http://0x7f000001/", "four decimal"},
    {"http://127.1/", "four decimal"},
    {"http://hooks.example:22/", "another service"},
    {"http://hooks.example:25/", "another service"},
    {"http://hooks.example:0/", "1 to 65535"},
    {"http://hooks.example:65536/", "1 to 65535"},
    {"http://hooks.example:80a/", "1 to 65535"},
};

START_TEST(urls)
{
	struct pare_err err = {.code = PARE_OK};
	enum pare_code rc = api_hook_url_check(url_table[_i].url, &(struct api_outgoing){0}, &err);

	if (url_table[_i].says == NULL) {
		ck_assert_msg(rc == PARE_OK, "%s: %s", url_table[_i].url, err.message);
		return;
	}
	ck_assert_msg(rc == PARE_E_INVALID, "%s was taken", url_table[_i].url);
	ck_assert_str_eq(err.where, "/url");
	ck_assert_msg(strstr(err.message, url_table[_i].says) != NULL, "%s: %s", url_table[_i].url, err.message);
}
END_TEST

/* --- the resource */
static void make_hook(const char *text, char id[PARE_ID_MAX])
{
	struct answer a = post_json(&w, "/v1/webhooks", text);

	assert_status(&a, 201);
	(void)snprintf(id, PARE_ID_MAX, "%s", text_at(a.json, "id"));
	ck_assert(api_hook_secret_check(text_at(a.json, "secret")));
	ck_assert_str_eq(header(&a, "Cache-Control"), "no-store");
	ck_assert_ptr_nonnull(strstr(header(&a, "Location"), id));
	answer_done(&a);
}

static const char *path_of(const char *id, const char *rest)
{
	static char path[160];

	(void)snprintf(path, sizeof path, "/v1/webhooks/%s%s", id, rest);
	return path;
}

static struct answer patch(const char *id, const char *if_match, const char *text)
{
	return request(&w, "PATCH", path_of(id, ""), if_match != NULL ? H(JSON_TYPE, "If-Match", if_match) : H(JSON_TYPE), text, strlen(text));
}

START_TEST(a_secret_is_told_once)
{
	char id[PARE_ID_MAX], first[API_HOOK_SECRET_MAX], list[64];
	struct answer a = post_json(&w, "/v1/webhooks", "{\"url\":\"https://a.example/\",\"secret\":\"whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw\"}");

	assert_status(&a, 201);
	ck_assert_str_eq(text_at(a.json, "secret"), "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw");
	(void)snprintf(id, sizeof id, "%s", text_at(a.json, "id"));
	(void)snprintf(first, sizeof first, "%s", text_at(a.json, "secret"));
	answer_done(&a);
	(void)snprintf(list, sizeof list, "/v1/webhooks");
	for (int i = 0; i < 2; i++) {
		a = get(&w, i == 0 ? path_of(id, "") : list);
		assert_status(&a, 200);
		ck_assert_ptr_null(strstr(a.body, "whsec"));
		answer_done(&a);
	}
	a = patch(id, NULL, "{\"description\":\"x\"}");
	assert_status(&a, 200);
	ck_assert_ptr_null(strstr(a.body, "whsec"));
	answer_done(&a);
	a = request(&w, "POST", path_of(id, "/rotate-secret"), NULL, "", 0);
	assert_status(&a, 200);
	ck_assert(api_hook_secret_check(text_at(a.json, "secret")));
	ck_assert_str_ne(text_at(a.json, "secret"), first);
	ck_assert_str_ne(text_at(a.json, "old_secret_valid_until"), "");
	answer_done(&a);
	a = request(&w, "POST", path_of(id, "/rotate-secret?overlap_seconds=0"), NULL, "", 0);
	ck_assert(json_is_null(json_object_get(a.json, "old_secret_valid_until")));
	answer_done(&a);
	a = request(&w, "POST", path_of(id, "/rotate-secret?overlap_seconds=604801"), NULL, "", 0);
	assert_problem(&a, 400, "bad_request");
	answer_done(&a);
}
END_TEST

static void expect_issue(const struct answer *a, const char *pointer, const char *code, const char *detail)
{
	size_t i;
	json_t *e;

	json_array_foreach(json_object_get(a->json, "errors"), i, e)
		if (strcmp(text_at(e, "pointer"), pointer) == 0) {
			ck_assert_str_eq(text_at(e, "code"), code);
			ck_assert_msg(strstr(text_at(e, "detail"), detail) != NULL, "%s", text_at(e, "detail"));
			return;
		}
	ck_abort_msg("no finding at %s: %s", pointer, a->body);
}

START_TEST(all_that_is_wrong_is_told_at_once)
{
	char many[1200] = "{\"url\":\"https://a.example/\"";
	struct answer a = post_json(&w, "/v1/webhooks",
	    "{\"url\":\"http://10.0.0.1/\",\"events\":[\"job.suceeded\",7,\"job.failed\"],\"format\":\"xml\",\"description\":\"a\\nb\",\"enabled\":1,\"secret\":\"x\",\"evnts\":[]}");

	assert_problem(&a, 422, "validation_failed");
	expect_issue(&a, "/url", "bad_url", "private");
	expect_issue(&a, "/events/0", "unknown_value", "did you mean \"job.succeeded\"?");
	expect_issue(&a, "/events/1", "wrong_type", "string");
	expect_issue(&a, "/format", "unknown_value", "cloudevents");
	expect_issue(&a, "/description", "out_of_range", "control");
	expect_issue(&a, "/enabled", "wrong_type", "true or false");
	expect_issue(&a, "/secret", "out_of_range", "whsec_");
	expect_issue(&a, "/evnts", "unknown_field", "did you mean \"events\"?");
	answer_done(&a);
	a = post_json(&w, "/v1/webhooks", "{\"url\":\"https://a.example/\\r\\nX-Evil: 1\"}");
	assert_problem(&a, 422, "validation_failed");
	expect_issue(&a, "/url", "bad_url", "0x0d");
	answer_done(&a);
	a = post_json(&w, "/v1/webhooks", "{}");
	expect_issue(&a, "/url", "missing", "URL");
	answer_done(&a);
	a = post_json(&w, "/v1/webhooks", "[]");
	assert_problem(&a, 422, "validation_failed");
	answer_done(&a);
	a = post_json(&w, "/v1/webhooks", "{\"url\":\"https://a.example/\",\"events\":[]}");
	expect_issue(&a, "/events", "wrong_type", "1 to");
	answer_done(&a);
	for (int i = 0; i < PARE_MAX_ISSUES + 9; i++)
		(void)snprintf(many + strlen(many), sizeof many - strlen(many), ",\"x%d\":1", i);
	(void)snprintf(many + strlen(many), sizeof many - strlen(many), "}");
	a = post_json(&w, "/v1/webhooks", many);
	assert_problem(&a, 422, "validation_failed");
	ck_assert_uint_eq(json_array_size(json_object_get(a.json, "errors")), PARE_MAX_ISSUES);
	answer_done(&a);
}
END_TEST

START_TEST(it_can_be_for_one_job)
{
	char job[PARE_ID_MAX], text[200];
	struct answer a;

	make_job(&w, job);
	(void)snprintf(text, sizeof text, "{\"url\":\"https://a.example/\",\"job\":\"%s\"}", job);
	a = post_json(&w, "/v1/webhooks", text);
	assert_status(&a, 201);
	ck_assert_str_eq(text_at(a.json, "job"), job);
	answer_done(&a);
	a = post_json(&w, "/v1/webhooks", "{\"url\":\"https://a.example/\",\"job\":\"job_01JD8Z3M2V9Q4T6R8W0Y2A4C6E\"}");
	assert_problem(&a, 422, "validation_failed");
	expect_issue(&a, "/job", "validation_failed", "there is no job");
	answer_done(&a);
	a = post_json(&w, "/v1/webhooks", "{\"url\":\"https://a.example/\",\"job\":\"mine\"}");
	expect_issue(&a, "/job", "not_found", "there is no job");
	answer_done(&a);
}
END_TEST

START_TEST(it_can_be_changed)
{
	char id[PARE_ID_MAX];
	struct answer a;

	make_hook("{\"url\":\"https://a.example/\"}", id);
	a = get(&w, path_of(id, ""));
	ck_assert_uint_eq(json_array_size(json_object_get(a.json, "events")), 9); /* those that tell of progress must be asked for */
	ck_assert_str_eq(header(&a, "ETag"), "\"1\"");
	answer_done(&a);
	a = patch(id, "\"1\"", "{\"events\":[\"job.metrics\"],\"format\":\"cloudevents\",\"enabled\":false}");
	assert_status(&a, 200);
	ck_assert_str_eq(text_at(a.json, "url"), "https://a.example/");
	ck_assert_str_eq(text_at(a.json, "format"), "cloudevents");
	ck_assert_str_eq(text_at(a.json, "disabled_reason"), "disabled by its owner");
	ck_assert_uint_eq(json_array_size(json_object_get(a.json, "events")), 1);
	answer_done(&a);
	a = patch(id, "\"1\"", "{\"enabled\":true}");
	assert_problem(&a, 412, "precondition_failed");
	answer_done(&a);
	a = patch(id, NULL, "{\"secret\":\"whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw\",\"job\":\"job_1\",\"sercet\":1}"); /* what stays says so, and is no hint */
	assert_problem(&a, 422, "validation_failed");
	expect_issue(&a, "/secret", "unsupported", "rotate-secret");
	expect_issue(&a, "/job", "unsupported", "stays");
	expect_issue(&a, "/sercet", "unknown_field", "unknown field");
	answer_done(&a);
	a = request(&w, "POST", path_of(id, "/test"), NULL, "", 0);
	assert_problem(&a, 409, "conflict");
	answer_done(&a);
	a = patch(id, NULL, "{\"enabled\":true}");
	ck_assert(json_is_null(json_object_get(a.json, "disabled_reason")));
	answer_done(&a);
	a = request(&w, "GET", path_of(id, ""), H("If-None-Match", "\"3\""), NULL, 0);
	assert_status(&a, 304);
	answer_done(&a);
	a = request(&w, "DELETE", path_of(id, ""), NULL, NULL, 0);
	assert_status(&a, 204);
	answer_done(&a);
	refuses(&w, "GET", path_of(id, ""), NULL, 404, "not_found");
}
END_TEST

START_TEST(a_test_that_comes_again_is_sent_once)
{
	char id[PARE_ID_MAX], other[PARE_ID_MAX], dlv[PARE_ID_MAX];
	const char *const *headers = H("Idempotency-Key", "once");
	struct answer a;

	make_hook("{\"url\":\"https://a.example/\"}", id);
	make_hook("{\"url\":\"https://b.example/\"}", other);
	a = request(&w, "POST", path_of(id, "/test"), headers, "", 0);
	assert_status(&a, 202);
	(void)snprintf(dlv, sizeof dlv, "%s", text_at(a.json, "id"));
	answer_done(&a);
	a = request(&w, "POST", path_of(id, "/test"), headers, "", 0);
	assert_status(&a, 202);
	ck_assert_str_eq(text_at(a.json, "id"), dlv);
	ck_assert_str_eq(header(&a, "Idempotency-Replayed"), "true");
	answer_done(&a);
	a = get(&w, path_of(id, "/deliveries"));
	ck_assert_uint_eq(json_array_size(json_object_get(a.json, "data")), 1);
	answer_done(&a);
	a = request(&w, "POST", path_of(other, "/test"), headers, "", 0);
	assert_problem(&a, 422, "idempotency_key_reused");
	answer_done(&a);
	a = request(&w, "POST", path_of(id, "/test"), H("Idempotency-Key", "another"), "", 0);
	assert_status(&a, 202);
	ck_assert_str_ne(text_at(a.json, "id"), dlv);
	answer_done(&a);
}
END_TEST

START_TEST(deliveries_are_told_and_sent_again)
{
	struct store_attempt attempt = {.at_ms = 1795000000000, .duration_ms = 1500, .http_status = 500, .error = "e", .response = "no\x01\xff", .status = STORE_UNDELIVERED};
	struct store_due *due;
	int64_t next;
	int n;
	char id[PARE_ID_MAX], dlv[PARE_ID_MAX], rest[100];
	struct answer a;
	const json_t *d, *one;
	int woken = w.n_deliveries_added;

	make_hook("{\"url\":\"https://a.example/\"}", id);
	a = request(&w, "POST", path_of(id, "/test"), NULL, "", 0);
	assert_status(&a, 202);
	ck_assert_int_eq(w.n_deliveries_added, woken + 1);
	(void)snprintf(dlv, sizeof dlv, "%s", text_at(a.json, "id"));
	answer_done(&a);
	ck_assert_int_eq(store_delivery_due(w.store, NULL, 1, &due, &n, &next, NULL), PARE_OK);
	ck_assert_int_eq(n, 1);
	attempt.due_ms = due[0].d.next_ms;
	store_due_list_done(due, n);
	ck_assert_int_eq(store_delivery_tried(w.store, dlv, &attempt, NULL), PARE_OK);
	a = get(&w, path_of(id, "/deliveries"));
	assert_status(&a, 200);
	d = json_array_get(json_object_get(a.json, "data"), 0);
	ck_assert_str_eq(text_at(d, "status"), "failed");
	one = json_array_get(json_object_get(d, "attempts"), 0);
	ck_assert_int_eq(json_integer_value(json_object_get(one, "status")), 500);
	ck_assert_double_eq(json_real_value(json_object_get(one, "duration_seconds")), 1.5);
	ck_assert_str_eq(text_at(one, "response"), "no\x01\xEF\xBF\xBD");
	answer_done(&a);
	(void)snprintf(rest, sizeof rest, "/deliveries/%s/redeliver", dlv);
	a = request(&w, "POST", path_of(id, rest), NULL, "", 0);
	assert_status(&a, 202);
	ck_assert_str_eq(text_at(a.json, "status"), "pending");
	ck_assert_int_eq(w.n_deliveries_added, woken + 2);
	answer_done(&a);
	for (int i = 0; i < 2; i++) {
		a = request(&w, "POST", path_of(id, "/test"), NULL, "", 0);
		answer_done(&a);
	}
	a = get(&w, path_of(id, "/deliveries?limit=2"));
	ck_assert(json_is_true(json_object_get(a.json, "has_more")));
	ck_assert_ptr_nonnull(strstr(header(&a, "Link"), path_of(id, "/deliveries?after=dlv_")));
	answer_done(&a);
	refuses(&w, "POST", path_of(id, "/deliveries/dlv_01JD8Z3M2V9Q4T6R8W0Y2A4C6E/redeliver"), H("Content-Length", "0"), 404, "not_found");
}
END_TEST

/* --- the feed */
START_TEST(the_feed_comes_in_three_forms)
{
	char job[PARE_ID_MAX], target[64];
	struct answer a;
	struct api_exchange *x;
	char text[4096];
	ptrdiff_t n;
	json_int_t last;

	make_job(&w, job);
	a = get(&w, "/v1/events?limit=2");
	assert_status(&a, 200);
	ck_assert(json_is_true(json_object_get(a.json, "has_more")));
	last = json_integer_value(json_object_get(a.json, "next_after"));
	answer_done(&a);
	(void)snprintf(target, sizeof target, "/v1/events?after=%lld", (long long)last);
	a = get(&w, target);
	ck_assert_uint_eq(json_array_size(json_object_get(a.json, "data")), 1);
	ck_assert_str_eq(text_at(json_array_get(json_object_get(a.json, "data"), 0), "subject"), job);
	answer_done(&a);
	x = exchange(&w, "GET", "/v1/events", H("Accept", "text/event-stream", "Last-Event-ID", "2"), NULL, 0);
	ck_assert_int_eq(api_exchange_reply(x)->kind, API_BODY_STREAM);
	ck_assert_str_eq(api_stream_job(x), "");
	n = api_stream_read(x, text, sizeof text - 1);
	ck_assert_int_gt(n, 0);
	text[n] = '\0';
	ck_assert_ptr_nonnull(strstr(text, "id: 3\nevent: job.queued\n"));
	ck_assert_int_eq(api_stream_read(x, text, sizeof text), 0);
	make_job(&w, job);
	n = api_stream_read(x, text, sizeof text - 1);
	ck_assert_int_gt(n, 0);
	text[n] = '\0';
	ck_assert_ptr_nonnull(strstr(text, "id: 4\nevent: model.ready\n"));
	ck_assert_ptr_nonnull(strstr(text, "event: job.queued\n"));
	api_exchange_free(x);
	x = exchange(&w, "GET", "/v1/events?after=latest", H("Accept", "application/x-ndjson"), NULL, 0);
	ck_assert_int_eq(api_stream_read(x, text, sizeof text), 0);
	api_exchange_free(x);
	refuses(&w, "GET", "/v1/events?after=newest", NULL, 400, "bad_request");
	refuses(&w, "GET", "/v1/events", H("Accept", "image/png"), 406, "not_acceptable");
	refuses(&w, "GET", "/v1/events?limit=9", H("Accept", "text/event-stream"), 400, "bad_request");
}
END_TEST

static void start_plain(void)
{
	start(NULL);
}

static void stop(void)
{
	world_done(&w);
}

int main(void)
{
	Suite *s = suite_create("webhooks");
	TCase *pure = tcase_create("message"), *resource = tcase_create("resource");

	tcase_add_test(pure, signature_is_the_standards);
	tcase_add_test(pure, secrets_have_a_form);
	tcase_add_test(pure, messages_are_small_and_whole);
	tcase_add_test(pure, special_addresses_are_not_called);
	tcase_add_loop_test(pure, urls, 0, (int)(sizeof url_table / sizeof url_table[0]));
	suite_add_tcase(s, pure);
	tcase_add_checked_fixture(resource, start_plain, stop);
	tcase_add_test(resource, a_secret_is_told_once);
	tcase_add_test(resource, all_that_is_wrong_is_told_at_once);
	tcase_add_test(resource, it_can_be_for_one_job);
	tcase_add_test(resource, it_can_be_changed);
	tcase_add_test(resource, a_test_that_comes_again_is_sent_once);
	tcase_add_test(resource, deliveries_are_told_and_sent_again);
	tcase_add_test(resource, the_feed_comes_in_three_forms);
	suite_add_tcase(s, resource);
	return run_suite(s);
}
