/* Who asked, behind proxies: headers of strangers mean nothing, those of trusted networks are read from the right. */
#include "tests/api/harness.h"

static struct world w;

static void start(const char *trusted)
{
	world_init(&w);
	w.opt.trusted_proxies = trusted;
	world_start(&w);
}

static void client_is(const char *peer, const char *const *headers, const char *want)
{
	struct api_header list[8];
	struct api_head head = {.method = "GET", .target = "/livez", .version = "HTTP/1.1", .headers = list, .peer = peer};
	struct api_exchange *x;

	list[head.n_headers++] = (struct api_header){"Host", "h"};
	for (; *headers != NULL; headers += 2)
		list[head.n_headers++] = (struct api_header){headers[0], headers[1]};
	x = api_exchange_new(w.api, &head);
	ck_assert_str_eq(api_exchange_client(x), want);
	api_exchange_free(x);
}

START_TEST(strangers_are_not_believed)
{
	start("10.0.0.0/8");
	client_is("192.0.2.1", H("X-Forwarded-For", "203.0.113.9"), "192.0.2.1");
	client_is("11.0.0.1", H("Forwarded", "for=203.0.113.9"), "11.0.0.1");
	client_is("local", H("X-Forwarded-For", "203.0.113.9"), "local");
	world_done(&w);
	start(NULL);
	client_is("127.0.0.1", H("X-Forwarded-For", "203.0.113.9"), "127.0.0.1");
	world_done(&w);
}
END_TEST

static const struct {
	const char *name, *value, *want;
} chain_table[] = {
    {"X-Forwarded-For", "203.0.113.9", "203.0.113.9"},
    {"X-Forwarded-For", "1.2.3.4, 203.0.113.9", "203.0.113.9"}, /* the left one is the client's own claim */
    {"X-Forwarded-For", "203.0.113.9, 10.1.1.1,10.2.2.2", "203.0.113.9"},
    {"X-Forwarded-For", "10.1.1.1, 10.2.2.2", "10.1.1.1"},
    {"X-Forwarded-For", "unknown", "10.0.0.1"},
    {"X-Forwarded-For", "1.2.3.4, unknown, 10.2.2.2", "10.2.2.2"},
    {"X-Forwarded-For", "", "10.0.0.1"},
    {"X-Forwarded-For", ",,,", "10.0.0.1"},
    {"X-Forwarded-For", "203.0.113.9:4711", "203.0.113.9"},
    {"X-Forwarded-For", "2001:DB8::17", "2001:db8::17"},
    {"X-Forwarded-For", "[2001:db8::17]:4711", "2001:db8::17"},
    {"X-Forwarded-For", "[2001:db8::17", "10.0.0.1"},
    {"X-Forwarded-For", "::ffff:10.3.3.3", "::ffff:10.3.3.3"},
    {"Forwarded", "for=203.0.113.9", "203.0.113.9"},
    {"Forwarded", "For=\"[2001:db8::17]:4711\";proto=https;by=10.0.0.1", "2001:db8::17"},
    {"Forwarded", "for=1.2.3.4;x=\"a,for=6.6.6.6;\", proto=http;for=203.0.113.9", "203.0.113.9"},
    {"Forwarded", "for=_hidden", "10.0.0.1"},
    {"Forwarded", "for", "10.0.0.1"},
    {"Forwarded", "=;=,=\"", "10.0.0.1"},
};

START_TEST(chains_are_read_from_the_right)
{
	start("10.0.0.0/8, ::1,fd00::/8");
	client_is("10.0.0.1", H(chain_table[_i].name, chain_table[_i].value), chain_table[_i].want);
	world_done(&w);
}
END_TEST

START_TEST(the_standard_header_goes_before_the_older_ones)
{
	start("unix");
	client_is("local", H("X-Forwarded-For", "1.1.1.1", "Forwarded", "for=2.2.2.2"), "2.2.2.2");
	client_is("10.0.0.1", H("X-Forwarded-For", "1.1.1.1"), "10.0.0.1");
	world_done(&w);
}
END_TEST

static const struct {
	const char *proto, *host, *prefix, *want;
} link_table[] = {
    {"https", "models.example", "/pared", "https://models.example/pared"},
    {"https", "models.example:8443", "/", "https://models.example:8443"},
    {"http", "[2001:db8::1]", "", "http://[2001:db8::1]"},
    {"ftp", "models.example", "/pared", "/pared"},
    {"https", "a\"b", "/pared", "/pared"},
    {"https", "evil.example/x", "", ""},
    {"https", "models.example", "//evil.example", "https://models.example"},
    {"https", "models.example", "/a/../b", "https://models.example"},
    {"https", "models.example", "/a b", "https://models.example"},
    {"x, https", "a.example, models.example", "/", "https://models.example"},
};

START_TEST(links_are_what_the_client_saw)
{
	const char *const *h = H("X-Forwarded-Proto", link_table[_i].proto, "X-Forwarded-Host", link_table[_i].host, "X-Forwarded-Prefix", link_table[_i].prefix, "Content-Type", "application/json");
	char job[512], want[256];
	struct answer a;

	start("127.0.0.1");
	job_text(&w, job);
	a = request(&w, "POST", "/v1/jobs", h, job, strlen(job));
	assert_status(&a, 201);
	(void)snprintf(want, sizeof want, "%s/v1/jobs/%s", link_table[_i].want, text_at(a.json, "id"));
	ck_assert_str_eq(header(&a, "Location"), want);
	answer_done(&a);
	world_done(&w);
}
END_TEST

START_TEST(the_public_url_goes_before_all)
{
	char job[512];
	struct answer a;

	world_init(&w);
	w.opt.trusted_proxies = "127.0.0.1";
	w.opt.public_url = "https://public.example/p";
	world_start(&w);
	job_text(&w, job);
	a = request(&w, "POST", "/v1/jobs", H(JSON_TYPE, "X-Forwarded-Proto", "http", "X-Forwarded-Host", "other.example"), job, strlen(job));
	assert_status(&a, 201);
	ck_assert_int_eq(strncmp(header(&a, "Location"), "https://public.example/p/v1/jobs/", 33), 0);
	answer_done(&a);
	world_done(&w);
}
END_TEST

static const char *const bad_networks[] = {"10.0.0.0/33", "10.0.0/8", "::1/129", "localhost", "10.0.0.0/", "10.0.0.0/-1", "1.2.3.4;5.6.7.8"};

START_TEST(networks_that_are_none)
{
	struct pare_err err = {0};

	world_init(&w);
	w.opt.trusted_proxies = bad_networks[_i];
	ck_assert_int_eq(api_new(&w.opt, &w.api, &err), PARE_E_INVALID);
	ck_assert_str_eq(err.where, "trusted-proxies");
	w.opt.trusted_proxies = "";
	world_start(&w);
	world_done(&w);
}
END_TEST

#define N(table) ((int)(sizeof table / sizeof table[0]))
int main(void)
{
	Suite *s = suite_create("forward");
	TCase *t = tcase_create("forward");

	tcase_add_test(t, strangers_are_not_believed);
	tcase_add_loop_test(t, chains_are_read_from_the_right, 0, N(chain_table));
	tcase_add_test(t, the_standard_header_goes_before_the_older_ones);
	tcase_add_loop_test(t, links_are_what_the_client_saw, 0, N(link_table));
	tcase_add_test(t, the_public_url_goes_before_all);
	tcase_add_loop_test(t, networks_that_are_none, 0, N(bad_networks));
	suite_add_tcase(s, t);
	return run_suite(s);
}
