/* Memory fails at every allocation of a request in turn: the answer is right or a 503, never a crash, never a leak, and the next request is served. */
#include <dirent.h>

#include "tests/api/harness.h"
#include "tests/support/fail_alloc.h"

static struct world w;

static void setup(void)
{
	world_init(&w);
	world_start(&w);
}

static void teardown(void)
{
	world_done(&w);
}

static int status_of(struct api_exchange *x)
{
	int status = api_exchange_reply(x)->status;

	api_exchange_free(x);
	return status;
}

struct trial {
	const char *method, *target;
	const char *const *headers;
	const char *body;
	int status;
};

/* Counts the allocations of one request, then fails each in turn. */
static void torture(const struct trial *t)
{
	long total;
	int good = 0, busy = 0;

	fail_alloc_install(0);
	ck_assert_int_eq(status_of(exchange(&w, t->method, t->target, t->headers, t->body, t->body != NULL ? strlen(t->body) : 0)), t->status);
	total = fail_alloc_count();
	fail_alloc_remove();
	ck_assert_int_gt(total, 0);
	for (long nth = 1; nth <= total; nth++) {
		int status;

		fail_alloc_install(nth);
		status = status_of(exchange(&w, t->method, t->target, t->headers, t->body, t->body != NULL ? strlen(t->body) : 0));
		fail_alloc_remove();
		ck_assert_msg(status == 503 || status == t->status, "%s %s: status %d when allocation %ld of %ld failed", t->method, t->target, status, nth, total);
		good += status == t->status;
		busy += status == 503;
	}
	ck_assert_int_gt(busy, 0);
	ck_assert_int_eq(good + busy, total);
}

START_TEST(get_survives)
{
	char id[PARE_ID_MAX], path[128], events[160];

	make_job(&w, id);
	finish_job(&w);
	(void)snprintf(path, sizeof path, "/v1/jobs/%s", id);
	(void)snprintf(events, sizeof events, "/v1/jobs/%s/events", id);
	torture(&(struct trial){"GET", path, NULL, NULL, 200});
	torture(&(struct trial){"GET", "/v1/models?limit=5", NULL, NULL, 200});
	torture(&(struct trial){"GET", events, NULL, NULL, 200});
	torture(&(struct trial){"GET", events, H("Accept", "text/event-stream"), NULL, 200});
	torture(&(struct trial){"GET", "/metrics", NULL, NULL, 200});
	torture(&(struct trial){"GET", "/readyz?verbose", NULL, NULL, 200});
	torture(&(struct trial){"GET", "/nothing", NULL, NULL, 404});
	torture(&(struct trial){"OPTIONS", "/v1/models", NULL, NULL, 204});
	torture(&(struct trial){"PUT", "/v1/models", NULL, NULL, 405});
}
END_TEST

START_TEST(post_job_survives)
{
	char text[512], hooked[600];

	job_text(&w, text);
	torture(&(struct trial){"POST", "/v1/jobs", H(JSON_TYPE), text, 201});
	(void)snprintf(hooked, sizeof hooked, "%.*s,\"webhook\":{\"url\":\"https://a.example/\",\"events\":[\"job.failed\"]}}", (int)strlen(text) - 1, text);
	torture(&(struct trial){"POST", "/v1/jobs", H(JSON_TYPE), hooked, 201});
	torture(&(struct trial){"POST", "/v1/jobs", H(JSON_TYPE), "{\"model\":\"mdl_x\",\"colour\":1}", 422});
}
END_TEST

START_TEST(keys_survive)
{
	char path[128];
	FILE *f;

	api_free(w.api);
	(void)snprintf(path, sizeof path, "%s/keys", w.dir);
	f = fopen(path, "w");
	ck_assert_ptr_nonnull(f);
	ck_assert_int_ge(fputs("pare_root_0123456789abcdef0123 scopes=admin\n", f), 0);
	ck_assert_int_eq(fclose(f), 0);
	w.opt.api_key_file = path;
	world_start(&w);
	torture(&(struct trial){"POST", "/v1/keys", H("Authorization", "Bearer pare_root_0123456789abcdef0123", JSON_TYPE), "{\"scopes\":[\"jobs:r\"]}", 201});
	torture(&(struct trial){"GET", "/v1/keys", H("Authorization", "Bearer pare_root_0123456789abcdef0123"), NULL, 200});
}
END_TEST

START_TEST(upload_survives)
{
	static const char form[] = "--B\r\nContent-Disposition: form-data; name=f; filename=a\r\n\r\n123\r\n--B--";

	torture(&(struct trial){"POST", "/v1/models?name=a", NULL, "\x08\x07 bytes", 201});
	torture(&(struct trial){"POST", "/v1/datasets", H("Content-Type", "multipart/form-data; boundary=B"), form, 201});
	torture(&(struct trial){"POST", "/v1/models", H(JSON_TYPE), "{\"architecture\":{\"input\":[4],\"layers\":[{\"units\":3}]}}", 201});
}
END_TEST

/* Files in the directory of parts, once nothing is being received. */
static int n_parts(void)
{
	char path[80];
	struct dirent *e;
	DIR *d;
	int n = 0;

	(void)snprintf(path, sizeof path, "%s/parts", w.dir);
	d = opendir(path);
	ck_assert_ptr_nonnull(d);
	while ((e = readdir(d)) != NULL)
		n += e->d_name[0] != '.' && strcmp(e->d_name, "boot") != 0;
	(void)closedir(d);
	return n;
}

START_TEST(resumable_uploads_survive)
{
	static const char *const begin_tus[] = {"Tus-Resumable", "1.0.0", "Upload-Length", "11", "Upload-Metadata", "filename bmV0Lm9ubng=", NULL};
	struct answer a;
	char url[64], text[200], sha256[STORE_SHA256_HEX];

	api_free(w.api);
	w.opt.limits.max_uploads = 100000;
	world_start(&w);
	torture(&(struct trial){"POST", "/v1/uploads", begin_tus, NULL, 201});
	torture(&(struct trial){"POST", "/v1/uploads", NULL, "\x08\x07 bytes", 201});
	ck_assert_int_eq(n_parts(), 0); /* those that were refused have left nothing */
	a = request(&w, "POST", "/v1/uploads", NULL, "\x08\x07 bytes", 8);
	(void)snprintf(url, sizeof url, "%s", header(&a, "Location"));
	(void)snprintf(sha256, sizeof sha256, "%s", text_at(a.json, "sha256"));
	answer_done(&a);
	torture(&(struct trial){"HEAD", url, NULL, NULL, 200});
	(void)snprintf(text, sizeof text, "{\"name\":\"a\",\"files\":[{\"path\":\"a.onnx\",\"upload\":\"%s\"},{\"path\":\"b\",\"blob\":\"sha256:%s\"}]}", url + strlen("/v1/uploads/"), sha256);
	torture(&(struct trial){"POST", "/v1/models", H(JSON_TYPE), text, 201});
	ck_assert_int_eq(world_blobs(&w), 1);
}
END_TEST

START_TEST(names_and_recipes_survive)
{
	static const char recipe[] = "{\"recipe\":{\"steps\":[{\"prune\":{\"sparsity\":0.5}}]}}";
	char id[PARE_ID_MAX];
	struct answer a;

	make_model(&w, id);
	a = request(&w, "PUT", "/v1/models/lenet/aliases/best", H(JSON_TYPE), "{\"version\":1}", 13);
	assert_status(&a, 201);
	answer_done(&a);
	a = request(&w, "PUT", "/v1/recipes/ours", H(JSON_TYPE), recipe, sizeof recipe - 1);
	assert_status(&a, 201);
	answer_done(&a);
	torture(&(struct trial){"GET", "/v1/models/lenet@best", NULL, NULL, 200});
	torture(&(struct trial){"GET", "/v1/models/lenet/versions", NULL, NULL, 200});
	torture(&(struct trial){"PUT", "/v1/models/lenet/aliases/best", H(JSON_TYPE), "{\"version\":1}", 200});
	torture(&(struct trial){"PATCH", "/v1/models/lenet", H(JSON_TYPE), "{\"description\":\"d\",\"labels\":{\"a\":\"b\"}}", 200});
	torture(&(struct trial){"POST", "/v1/models/lenet/validate", NULL, NULL, 200});
	torture(&(struct trial){"PUT", "/v1/recipes/ours", H(JSON_TYPE), recipe, 200});
	torture(&(struct trial){"GET", "/v1/recipes/ours@1", NULL, NULL, 200});
}
END_TEST

/* What a request has taken is given back when it ends, answered or not. */
START_TEST(get_leaks_nothing)
{
	char id[PARE_ID_MAX], path[128];
	long total;

	make_job(&w, id);
	(void)snprintf(path, sizeof path, "/v1/jobs/%s", id);
	fail_alloc_install(0);
	(void)status_of(exchange(&w, "GET", path, NULL, NULL, 0));
	total = fail_alloc_count();
	ck_assert_int_eq(fail_alloc_live(), 0);
	for (long nth = 1; nth <= total; nth++) {
		fail_alloc_install(nth);
		(void)status_of(exchange(&w, "GET", path, NULL, NULL, 0));
		ck_assert_int_eq(fail_alloc_live(), 0);
	}
	fail_alloc_remove();
	ck_assert_int_gt(total, 0);
}
END_TEST

START_TEST(construction_survives)
{
	struct api *api = NULL;
	long total;

	fail_alloc_install(0);
	ck_assert_int_eq(api_new(&w.opt, &api, NULL), PARE_OK);
	api_free(api);
	total = fail_alloc_count();
	ck_assert_int_eq(fail_alloc_live(), 0);
	for (long nth = 1; nth <= total; nth++) {
		fail_alloc_install(nth);
		ck_assert_int_eq(api_new(&w.opt, &api, NULL), PARE_E_NOMEM);
		ck_assert_int_eq(fail_alloc_live(), 0);
	}
	fail_alloc_remove();
	ck_assert_int_gt(total, 0);
}
END_TEST

START_TEST(answers_when_not_even_the_exchange_fits)
{
	struct api_exchange *x;
	const struct api_reply *r;

	fail_alloc_install(1);
	x = exchange(&w, "GET", "/livez", NULL, NULL, 0);
	fail_alloc_remove();
	r = api_exchange_reply(x);
	ck_assert_int_eq(r->status, 503);
	ck_assert(r->close);
	ck_assert_ptr_nonnull(strstr(r->data, "\"code\":\"out_of_memory\""));
	ck_assert_str_ne(api_exchange_request_id(x), "");
	ck_assert_str_eq(api_exchange_route(x), "-");
	api_exchange_body(x, "a", 1);
	api_exchange_end(x);
	ck_assert_int_eq(api_exchange_waits(x), API_WAIT_NOTHING);
	api_exchange_free(x);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("nomem");
	TCase *t = tcase_create("nomem");

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, get_survives);
	tcase_add_test(t, post_job_survives);
	tcase_add_test(t, upload_survives);
	tcase_add_test(t, keys_survive);
	tcase_add_test(t, resumable_uploads_survive);
	tcase_add_test(t, names_and_recipes_survive);
	tcase_add_test(t, get_leaks_nothing);
	tcase_add_test(t, construction_survives);
	tcase_add_test(t, answers_when_not_even_the_exchange_fits);
	tcase_set_timeout(t, 60);
	suite_add_tcase(s, t);
	return run_suite(s);
}
