/* LeNet-5 (20-50-500-10) from Conv, MaxPool and Gemm rows, trained through core/train on a tenth of MNIST: the loss falls
 * and unseen images are told apart. Skipped, with a message, where MNIST is not at hand ($PARED_MNIST_DIR or
 * ~/.cache/pared/mnist). */
#include <check.h>
#include <fcntl.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/base/mem.h"
#include "core/base/rng.h"
#include "core/train/train.h"
#include "tests/support/net_check.h"

#ifdef PARE_SANITIZED
#define TRAIN_ROWS 1200
#else
#define TRAIN_ROWS 6000
#endif
#define TEST_ROWS 1000
#define EPOCHS 2
#define ck_ok(expr) ck_assert_msg((expr) == PARE_OK, "%s: %s (%s)", #expr, err.message, err.where)

static const char *const names[4] = {
    "train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"};

/* The first rows of an IDX file, under a header that says so. */
static struct pare_span first_rows(const uint8_t *file, int which)
{
	size_t header = which % 2 == 0 ? 16 : 8, row = which % 2 == 0 ? 784 : 1, n = which < 2 ? TRAIN_ROWS : TEST_ROWS;
	uint8_t *p = pare_alloc(header + n * row);

	ck_assert_ptr_nonnull(p);
	memcpy(p, file, header + n * row);
	for (size_t i = 0; i < 4; i++)
		p[4 + i] = (uint8_t)(n >> (24 - 8 * i));
	return (struct pare_span){p, header + n * row};
}

static bool read_files(struct pare_data_file files[4])
{
	const char *dir = getenv("PARED_MNIST_DIR"), *home = getenv("HOME");

	for (int i = 0; i < 4; i++) {
		char path[512];
		struct stat st;
		void *p;
		int fd;

		(void)snprintf(path, sizeof path, "%s%s/%s", dir != NULL ? dir : home != NULL ? home : "", dir != NULL ? "" : "/.cache/pared/mnist", names[i]);
		fd = open(path, O_RDONLY | O_CLOEXEC);
		if (fd < 0) {
			printf("skipped: %s is missing\n", path);
			return false;
		}
		ck_assert_int_eq(fstat(fd, &st), 0);
		p = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
		ck_assert(p != MAP_FAILED);
		(void)close(fd);
		files[i] = (struct pare_data_file){.name = names[i], .bytes = first_rows(p, i)};
		ck_assert_int_eq(munmap(p, (size_t)st.st_size), 0);
	}
	return true;
}

/* Uniform in +-sqrt(3 / fan_in), biases zero. */
static void layer(struct gb *b, const char *w, const char *shape, size_t n, int fan_in, const char *bias, const char *n_bias)
{
	float *data = pare_calloc(n, sizeof *data), bound = sqrtf(3.0f / (float)fan_in);
	struct pare_rng r;

	ck_assert_ptr_nonnull(data);
	pare_rng_init(&r, 5, w, 0);
	for (size_t i = 0; i < n; i++)
		data[i] = bound * (2.0f * pare_rng_uniform(&r) - 1.0f);
	gb_init(b, w, shape, data);
	gb_init(b, bias, n_bias, NULL);
	pare_free(data);
}

static struct gb *lenet5(void)
{
	static const int64_t two[2] = {2, 2};
	struct gb *b = gb_new(17);

	gb_input(b, "x", "N 1 28 28");
	layer(b, "w1", "20 1 5 5", 500, 25, "b1", "20");
	layer(b, "w2", "50 20 5 5", 25000, 500, "b2", "50");
	layer(b, "w3", "500 800", 400000, 800, "b3", "500");
	layer(b, "w4", "10 500", 5000, 500, "b4", "10");
	gb_node(b, "Conv", "conv1", "x w1 b1", "c1");
	gb_node(b, "MaxPool", "pool1", "c1", "p1");
	gb_attr_ints(b, "kernel_shape", two, 2);
	gb_attr_ints(b, "strides", two, 2);
	gb_node(b, "Conv", "conv2", "p1 w2 b2", "c2");
	gb_node(b, "MaxPool", "pool2", "c2", "p2");
	gb_attr_ints(b, "kernel_shape", two, 2);
	gb_attr_ints(b, "strides", two, 2);
	gb_node(b, "Flatten", "flat", "p2", "f");
	gb_node(b, "Gemm", "fc1", "f w3 b3", "h");
	gb_attr_int(b, "transB", 1);
	gb_node(b, "Relu", "relu", "h", "a");
	gb_node(b, "Gemm", "fc2", "a w4 b4", "y");
	gb_attr_int(b, "transB", 1);
	gb_output(b, "y");
	return b;
}

static bool keep_loss(void *ctx, const struct pare_train_report *r)
{
	double *loss = ctx;

	loss[r->epoch - 1] = r->train_loss;
	return true;
}

START_TEST(lenet5_learns)
{
	double loss[EPOCHS] = {0};
	struct pare_train_options opt = {.epochs = EPOCHS, .batch_size = 64, .optimizer = pare_optimizer_find("sgd"),
	    .optimizer_args = {.lr = 0.02, .momentum = 0.9}, .lr_schedule = pare_lr_find("constant"), .seed = 11,
	    .report = keep_loss, .report_ctx = loss};
	struct pare_data_file files[4];
	struct pare_dataset *data = NULL;
	struct pare_metrics m = {0};
	struct pare_err err = {0};
	struct pare_net *net;
	struct gb *b;

	if (!read_files(files))
		return;
	b = lenet5();
	net = nc_net(b, 2, 64, true);
	ck_assert_int_eq(pare_net_macs(net), 20 * 24 * 24 * 25 + 50 * 8 * 8 * 500 + 500 * 800 + 10 * 500);
	ck_assert_int_eq(pare_net_n_shards(net), 2);
	ck_ok(pare_data_open(files, 4, NULL, &data, &err));
	ck_ok(pare_data_split(data, 0.0, 0.0, 1, &err));
	ck_ok(pare_data_normalize(data, 0, PARE_NORM_AUTO, &err));
	ck_ok(pare_train(net, data, &opt, NULL, &err));
	ck_ok(pare_eval(net, data, PARE_SPLIT_TEST, NULL, &m, &err));
	ck_assert_double_lt(loss[1], 0.6 * loss[0]);
	ck_assert_double_gt(m.accuracy, TRAIN_ROWS < 6000 ? 0.75 : 0.92);
	pare_metrics_done(&m);
	pare_data_free(data);
	for (int i = 0; i < 4; i++)
		pare_free((void *)(uintptr_t)files[i].bytes.data);
	pare_net_free(net);
	gb_free(b);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("LeNet-5");
	TCase *t = tcase_create("train");
	SRunner *r;
	int failed;

	tcase_set_timeout(t, 60);
	tcase_add_test(t, lenet5_learns);
	suite_add_tcase(s, t);
	r = srunner_create(s);
	srunner_run_all(r, CK_NORMAL);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed != 0;
}
