/* What the tests of training and pruning share: a net born from a description, a data set from CSV text, options. */
#ifndef TESTS_CORE_TRAIN_TRAIN_SUPPORT_H
#define TESTS_CORE_TRAIN_TRAIN_SUPPORT_H

#include <check.h>
#include <stdio.h>
#include <string.h>

#include "core/base/buf.h"
#include "core/data/data.h"
#include "core/graph/arch.h"
#include "core/graph/net.h"
#include "core/onnx/onnx.h"
#include "core/train/train.h"

#define ck_ok(expr) ck_assert_msg((expr) == PARE_OK, "%s: %s (%s)", #expr, err.message, err.where)

struct fixture {
	struct pare_buf file, csv;
	struct pare_model *model;
	struct pare_net *net;
	struct pare_dataset *data;
};

static inline void net_make(struct fixture *f, int64_t n_in, int n_layers, const struct pare_arch_layer *layers, int n_threads,
    int64_t max_batch)
{
	struct pare_arch arch = {.n_input_dims = 1, .input_dims = {n_in}, .n_layers = n_layers, .layers = layers, .seed = 7};
	struct pare_net_options opt = {.n_threads = n_threads, .max_batch = max_batch, .training = true, .seed = 7};
	struct pare_err err = {0};

	pare_buf_init(&f->file, (size_t)16 << 20);
	ck_ok(pare_arch_build(&arch, &f->file, &err));
	ck_ok(pare_onnx_read((struct pare_span){(const uint8_t *)f->file.data, f->file.len}, &f->model, &err));
	ck_ok(pare_net_new(f->model, &opt, &f->net, &err));
}

/* Rows of n_features numbers; y is a class (integer) or a target. */
static inline void csv_begin(struct fixture *f, int n_features)
{
	pare_buf_init(&f->csv, (size_t)16 << 20);
	for (int j = 0; j < n_features; j++)
		pare_buf_printf(&f->csv, "x%d,", j);
	pare_buf_str(&f->csv, "label\n");
}

static inline void csv_row(struct fixture *f, int n_features, const double *x, double y)
{
	for (int j = 0; j < n_features; j++)
		pare_buf_printf(&f->csv, "%.9g,", x[j]);
	pare_buf_printf(&f->csv, "%.9g\n", y);
}

static inline void csv_end(struct fixture *f, enum pare_task task, double validation)
{
	struct pare_data_file file = {.name = "t.csv", .bytes = {(const uint8_t *)f->csv.data, f->csv.len}};
	struct pare_data_options opt = {.label = "label", .task = task, .task_given = true};
	struct pare_err err = {0};

	ck_ok(pare_data_open(&file, 1, &opt, &f->data, &err));
	ck_ok(pare_data_split(f->data, validation, 0.0, 3, &err));
	ck_ok(pare_data_normalize(f->data, 0, PARE_NORM_NONE, &err));
}

static inline void fixture_done(struct fixture *f)
{
	pare_net_free(f->net);
	pare_model_free(f->model);
	pare_data_free(f->data);
	pare_buf_done(&f->file);
	pare_buf_done(&f->csv);
}

static inline struct pare_train_options train_options(const char *optimizer, double lr, int epochs, int batch)
{
	return (struct pare_train_options){.epochs = epochs,
	    .batch_size = batch,
	    .optimizer = pare_optimizer_find(optimizer),
	    .optimizer_args = {.lr = lr, .beta1 = 0.9, .beta2 = 0.999, .epsilon = 1e-8, .alpha = 0.99, .weight_decay = 0.01},
	    .lr_schedule = pare_lr_find("constant"),
	    .seed = 11};
}

static inline void add_penalty(struct pare_train_options *opt, const char *regularizer, double lambda)
{
	struct pare_penalty p = {pare_regularizer_find(regularizer), {.lambda = lambda}};

	ck_assert_ptr_nonnull(p.regularizer);
	if (lambda > 0)
		opt->penalties[opt->n_penalties++] = p;
}

/* The slab position of element i of the tensor of that name. */
static inline float *weight_at(const struct fixture *f, const char *name, size_t i)
{
	for (int p = 0; p < pare_net_n_params(f->net); p++) {
		const struct pare_param_info *info = pare_net_param(f->net, p);

		if (strcmp(info->name, name) == 0) {
			ck_assert_uint_lt(i, info->n_elems);
			return pare_net_slab(f->net) + info->offset + i;
		}
	}
	ck_abort_msg("no tensor %s", name);
	return NULL;
}

/* Two classes that need both features and a hidden layer: which side of the unit circle. */
static inline void circle_data(struct fixture *f, int n, double validation)
{
	csv_begin(f, 2);
	for (int i = 0; i < n; i++) {
		double x[2] = {(double)(i * 37 % 101) / 25.0 - 2.0, (double)(i * 53 % 97) / 24.0 - 2.0};

		csv_row(f, 2, x, x[0] * x[0] + x[1] * x[1] < 2.0 ? 1 : 0);
	}
	csv_end(f, PARE_TASK_CLASSIFY, validation);
}

static inline void circle_net(struct fixture *f, int n_threads)
{
	static const struct pare_arch_layer layers[] = {
	    {.units = 16, .activation = PARE_ACT_TANH}, {.units = 8, .activation = PARE_ACT_RELU}, {.units = 2}};

	net_make(f, 2, 3, layers, n_threads, 32);
}

#endif
