/* Augmentation: what moves where, in both layouts; that it is drawn by row and epoch and not by thread; what it is not for. */
#include <check.h>
#include <math.h>
#include <string.h>

#include "tests/core/train/train_support.h"
#include "tests/support/net_check.h"

#define H 4
#define W 5
#define C 2
#define ELEMS (C * H * W)

static struct gb *image_net(bool last)
{
	struct gb *b = gb_new(17);
	float w[3 * ELEMS];

	nc_fill(w, 3 * ELEMS, 4);
	gb_input(b, "x", last ? "N 4 5 2" : "N 2 4 5");
	gb_init(b, "w", "3 40", w);
	gb_node(b, "Flatten", "flat", "x", "f");
	gb_node(b, "Gemm", "fc", "f w", "y");
	gb_attr_int(b, "transB", 1);
	gb_output(b, "y");
	return b;
}

/* Channel c of the pixel (y, x). */
static float *pixel(float *image, bool last, int c, int y, int x)
{
	return image + (last ? (y * W + x) * C + c : (c * H + y) * W + x);
}

static void picture(float *image, bool last)
{
	for (int c = 0; c < C; c++)
		for (int y = 0; y < H; y++)
			for (int x = 0; x < W; x++)
				*pixel(image, last, c, y, x) = (float)(100 * c + 10 * y + x + 1);
}

/* What the picture looks like at (y, x), moved by (dy, dx), then mirrored. */
static float expected(int c, int y, int x, int dy, int dx, bool edges, bool flip)
{
	int sy = y + dy, sx = (flip ? W - 1 - x : x) + dx;

	if (edges) {
		sy = sy < 0 ? 0 : sy >= H ? H - 1 : sy;
		sx = sx < 0 ? 0 : sx >= W ? W - 1 : sx;
	}
	return sy < 0 || sy >= H || sx < 0 || sx >= W ? 0.0f : (float)(100 * c + 10 * sy + sx + 1);
}

static bool is_moved(float *image, bool last, int dy, int dx, bool edges, bool flip)
{
	for (int c = 0; c < C; c++)
		for (int y = 0; y < H; y++)
			for (int x = 0; x < W; x++)
				if (*pixel(image, last, c, y, x) != expected(c, y, x, dy, dx, edges, flip))
					return false;
	return true;
}

/* Every row is the picture moved by at most `most`, maybe mirrored; over many rows everything occurs. */
START_TEST(rows_are_moved_pictures)
{
	enum { ROWS = 400, MOST = 2 };
	bool edges = (_i & 1) != 0, last = (_i & 2) != 0;
	struct pare_augment a = {.crop = edges ? 0 : MOST, .shift = edges ? MOST : 0, .flip = true, .channels_last = last};
	struct gb *b = image_net(last);
	struct pare_net *net = nc_net(b, 1, 2, true);
	float x[2 * ELEMS], again[ELEMS], scratch[ELEMS];
	int seen[2 * MOST + 1][2 * MOST + 1][2] = {0}, n_flips = 0;
	uint32_t ids[2];

	ck_assert_uint_ge(ELEMS, pare_augment_scratch(net));
	for (uint32_t row = 0; row < ROWS; row++) {
		int found = 0;

		ids[0] = row;
		ids[1] = row + 7;
		picture(x, last);
		picture(x + ELEMS, last);
		picture(again, last);
		pare_augment_rows(&a, net, 0, 99, ids, 2, x, scratch);
		pare_augment_rows(&a, net, 0, 99, ids, 1, again, scratch);
		ck_assert_mem_eq(x, again, sizeof again); /* whatever stands beside it */
		for (int k = 0; k < (2 * MOST + 1) * (2 * MOST + 1) * 2 && found == 0; k++) {
			int dy = k / 2 % (2 * MOST + 1) - MOST, dx = k / 2 / (2 * MOST + 1) - MOST;

			found = is_moved(x, last, dy, dx, edges, k % 2 != 0);
			if (found != 0)
				seen[dy + MOST][dx + MOST][k % 2]++;
			n_flips += found != 0 && k % 2 != 0;
		}
		ck_assert_msg(found != 0, "row %u is no moved picture", row);
	}
	for (int k = 0; k < (2 * MOST + 1) * (2 * MOST + 1) * 2; k++)
		ck_assert_int_gt(seen[k / 2 % 5][k / 10][k % 2], 0);
	ck_assert(n_flips > ROWS / 2 - 50 && n_flips < ROWS / 2 + 50);
	pare_net_free(net);
	gb_free(b);
}
END_TEST

/* Far moves leave nothing of the picture, or its edge. */
START_TEST(moves_beyond_the_picture)
{
	struct pare_augment a = {.crop = 1000};
	struct gb *b = image_net(false);
	struct pare_net *net = nc_net(b, 1, 1, true);
	float x[ELEMS], scratch[ELEMS];
	int n_empty = 0;

	for (uint32_t row = 0; row < 50; row++) {
		picture(x, false);
		pare_augment_rows(&a, net, 0, 5, &row, 1, x, scratch);
		n_empty += is_moved(x, false, 2 * H, 2 * W, false, false);
	}
	ck_assert_int_gt(n_empty, 40);
	a = (struct pare_augment){.shift = 1000};
	for (uint32_t row = 0; row < 50; row++) {
		picture(x, false);
		pare_augment_rows(&a, net, 0, 5, &row, 1, x, scratch);
		for (int i = 0; i < ELEMS; i++)
			ck_assert(x[i] >= 1 && x[i] <= 100 * (C - 1) + 10 * (H - 1) + W);
	}
	pare_net_free(net);
	gb_free(b);
}
END_TEST

static void image_data(struct fixture *f)
{
	csv_begin(f, ELEMS);
	for (int i = 0; i < 30; i++) {
		double x[ELEMS];

		for (int j = 0; j < ELEMS; j++)
			x[j] = (double)((i * 31 + j * 17) % 23) / 11 - 1;
		csv_row(f, ELEMS, x, i % 3);
	}
	csv_end(f, PARE_TASK_CLASSIFY, 0);
}

static void trained(int threads, const struct pare_augment *a, uint64_t seed, float *out)
{
	struct pare_train_options opt = train_options("sgd", 0.05, 3, 8);
	struct gb *b = image_net(false);
	struct fixture f = {0};
	struct pare_err err = {0};

	image_data(&f);
	f.net = nc_net(b, threads, 8, true);
	opt.augment = a;
	opt.seed = seed;
	ck_ok(pare_train(f.net, f.data, &opt, NULL, &err));
	memcpy(out, pare_net_slab(f.net), 3 * ELEMS * sizeof *out);
	fixture_done(&f);
	gb_free(b);
}

START_TEST(training_is_repeatable_for_any_threads)
{
	const struct pare_augment a = {.crop = 1, .shift = 1, .flip = true};
	static float one[3 * ELEMS], same[3 * ELEMS], three[3 * ELEMS], other[3 * ELEMS], plain[3 * ELEMS];

	trained(1, &a, 11, one);
	trained(1, &a, 11, same);
	trained(3, &a, 11, three);
	trained(1, &a, 12, other);
	trained(1, NULL, 11, plain);
	ck_assert_mem_eq(one, same, sizeof one);
	ck_assert(memcmp(one, other, sizeof one) != 0);
	ck_assert(memcmp(one, plain, sizeof one) != 0);
	for (int i = 0; i < 3 * ELEMS; i++)
		ck_assert_double_eq_tol((double)one[i], (double)three[i], 1e-5);
	ck_assert(pare_augment_seed(1, 0, 0) != pare_augment_seed(1, 0, 1) && pare_augment_seed(1, 0, 1) != pare_augment_seed(1, 1, 1));
}
END_TEST

START_TEST(only_images_are_augmented)
{
	const struct pare_augment a = {.flip = true};
	struct pare_train_options opt = train_options("sgd", 0.05, 1, 8);
	struct fixture f = {0};
	struct pare_err err = {0};

	circle_net(&f, 1);
	circle_data(&f, 30, 0);
	opt.augment = &a;
	ck_assert_int_eq(pare_train(f.net, f.data, &opt, NULL, &err), PARE_E_INVALID);
	ck_assert_msg(strstr(err.message, "[N, C, H, W]") != NULL, "%s", err.message);
	fixture_done(&f);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("augmentation");
	TCase *t = tcase_create("augmentation");
	SRunner *r;
	int failed;

	tcase_set_timeout(t, 60);
	tcase_add_loop_test(t, rows_are_moved_pictures, 0, 4);
	tcase_add_test(t, moves_beyond_the_picture);
	tcase_add_test(t, training_is_repeatable_for_any_threads);
	tcase_add_test(t, only_images_are_augmented);
	suite_add_tcase(s, t);
	r = srunner_create(s);
	srunner_run_all(r, CK_NORMAL);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed != 0;
}
