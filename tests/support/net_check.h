/* Runs a net the plain way, and checks its gradients against differences. For tests of core/graph and core/ops. */
#ifndef TESTS_SUPPORT_NET_CHECK_H
#define TESTS_SUPPORT_NET_CHECK_H

#include "core/graph/net.h"
#include "tests/support/graph_builder.h"

/* A net over the builder's model; fails the test with the error's text when there is none. */
struct pare_net *nc_net(struct gb *b, int n_threads, int64_t max_batch, bool training);
/* The same without layouts and fusion. */
struct pare_net *nc_plain_net(struct gb *b, int n_threads, int64_t max_batch, bool training);

/* Copies rows of inputs[i] (row-major, all rows) into the shards and runs forward on all of them. */
void nc_forward(struct pare_net *net, const float *const *inputs, int64_t rows, enum pare_mode mode, uint64_t step);
/* Output i of all rows, one after the other, into out. Returns elements. */
size_t nc_output(const struct pare_net *net, int i, int64_t rows, float *out);
/* Fills every output's gradient with proj(i, element), runs backward on every shard, sums the gradients into out. In a plain net
 * it spoils before all data that backward should not read. */
void nc_backward(struct pare_net *net, int64_t rows, float *out);
/* sum of output * proj in double: the loss whose gradient nc_backward computes. */
double nc_loss(const struct pare_net *net, int64_t rows);

/* The largest difference, over all parameters, between backward and (loss(w + h) - loss(w - h)) / 2h, relative to the
 * largest gradient of that parameter tensor. Dropout is drawn as of step 1 when training. Buffers have no gradient and are left out. */
double nc_gradient_error(struct pare_net *net, const float *const *inputs, int64_t rows, enum pare_mode mode, double h);

/* n values in (-1, 1) from a seed, none nearer to 0 than 0.05. */
void nc_fill(float *out, size_t n, uint64_t seed);

#endif
