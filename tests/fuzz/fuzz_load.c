/* layer: core */
/* Any bytes as far as a job goes before its first batch, and one batch: opened (Loops and attention are written anew, and read), planned (sizes that are
 * open are small), coupled. No allocation of more than CAP succeeds, so that files that ask for much end early. */
#include <stdlib.h>

#include "core/graph/net.h"
#include "core/onnx/onnx.h"
#include "core/prune/groups.h"
#define CAP ((size_t)8 << 20)

static void *capped(void *ctx, size_t n, size_t align)
{
	void *p = ctx;
	return n <= CAP && posix_memalign(&p, align < sizeof p ? sizeof p : align, n + (n == 0)) == 0 ? p : NULL;
}

static void *resized(void *ctx, void *p, size_t n)
{
	return n <= CAP ? realloc(p, n + (n == 0)) : ctx;
}

static void released(void *ctx, void *p)
{
	free(ctx == NULL ? p : ctx);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void plan(const struct pare_model *m, bool training)
{
	struct pare_net_options opt = {.n_threads = 1, .max_batch = 2, .training = training, .plain = training};
	struct pare_structures *g = NULL;
	struct pare_net *net = NULL;
	struct pare_err err = {0};

	if ((pare_net_new(m, &opt, &net, &err) != PARE_OK || (training && pare_structures_new(net, PARE_GRANULARITY_CHANNEL, NULL, &g, &err) != PARE_OK)) && err.message[0] == '\0')
		abort();
	if (net != NULL && pare_net_macs(net) < 1000000)
		pare_net_shard_forward(net, 0, 2, PARE_MODE_INFER, 0, 0);
	pare_structures_free(g);
	pare_net_free(net);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	static const struct pare_allocator small = {capped, resized, released, NULL};
	struct pare_model *m = NULL;
	struct pare_err err = {0};
	struct pare_buf own;

	pare_mem_set(&small);
	if (pare_onnx_open((struct pare_span){data, n}, NULL, 0, &own, &m, &err) != PARE_OK && err.message[0] == '\0')
		abort();
	(void)(m != NULL && pare_model_open_rows(m, 4, &err));
	for (int training = 0; training < 2 && m != NULL; training++)
		plan(m, training != 0);
	pare_model_free(m);
	pare_buf_done(&own);
	return 0;
}
