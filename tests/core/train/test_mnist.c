/* One epoch on real data: 784-64-10 on MNIST must pass 90 % of the test images. Skipped, with a message, where MNIST is not
 * at hand ($PARED_MNIST_DIR or ~/.cache/pared/mnist). */
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/core/train/train_support.h"

static const char *const names[4] = {
    "train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"};

static bool map_files(struct pare_data_file files[4])
{
	const char *dir = getenv("PARED_MNIST_DIR"), *home = getenv("HOME");

	for (int i = 0; i < 4; i++) {
		char path[512];
		struct stat st;
		void *p;
		int fd;

		if (dir != NULL)
			snprintf(path, sizeof path, "%s/%s", dir, names[i]);
		else
			snprintf(path, sizeof path, "%s/.cache/pared/mnist/%s", home != NULL ? home : "", names[i]);
		fd = open(path, O_RDONLY | O_CLOEXEC);
		if (fd < 0) {
			printf("skipped: %s is missing\n", path);
			return false;
		}
		ck_assert_int_eq(fstat(fd, &st), 0);
		p = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
		ck_assert(p != MAP_FAILED);
		close(fd);
		files[i] = (struct pare_data_file){.name = names[i], .bytes = {p, (size_t)st.st_size}};
	}
	return true;
}

START_TEST(one_epoch_passes_ninety_percent)
{
	static const struct pare_arch_layer layers[] = {{.units = 64, .activation = PARE_ACT_RELU}, {.units = 10}};
	struct pare_arch arch = {.n_input_dims = 2, .input_dims = {28, 28}, .n_layers = 2, .layers = layers, .seed = 1};
	struct pare_net_options net = {.n_threads = 2, .max_batch = 64, .training = true, .seed = 1};
	struct pare_train_options opt = train_options("sgd", 0.1, 1, 64);
	struct pare_data_options none = {0};
	struct pare_data_file files[4];
	struct fixture f = {0};
	struct pare_metrics m = {0};
	struct pare_err err = {0};

	if (!map_files(files))
		return;
	ck_ok(pare_data_open(files, 4, &none, &f.data, &err));
	ck_ok(pare_data_split(f.data, 0.0, 0.0, 1, &err));
	ck_ok(pare_data_normalize(f.data, 0, PARE_NORM_AUTO, &err));
	pare_buf_init(&f.file, (size_t)16 << 20);
	ck_ok(pare_arch_build(&arch, &f.file, &err));
	ck_ok(pare_onnx_read((struct pare_span){(const uint8_t *)f.file.data, f.file.len}, &f.model, &err));
	ck_ok(pare_net_new(f.model, &net, &f.net, &err));
	ck_ok(pare_train(f.net, f.data, &opt, NULL, &err));
	ck_ok(pare_eval(f.net, f.data, PARE_SPLIT_TEST, NULL, &m, &err));
	ck_assert_int_eq(m.n, 10000);
	ck_assert_double_gt(m.accuracy, 0.90);
	pare_metrics_done(&m);
	fixture_done(&f);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("mnist");
	TCase *tc = tcase_create("mnist");
	SRunner *sr;
	int failed;

	tcase_set_timeout(tc, 60);
	tcase_add_test(tc, one_epoch_passes_ninety_percent);
	suite_add_tcase(s, tc);
	sr = srunner_create(s);
	srunner_run_all(sr, CK_NORMAL);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed != 0;
}
