/* layer: api */
/* First byte: how the rest is cut into pieces; boundary "B". Cut or whole, the parser must give the same data and the same verdict. */
#include <stdlib.h>
#include <string.h>

#include "api/multipart.h"

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size);
struct tally {
	int n_ended;
	unsigned long sum, n_bytes;
};

static enum pare_code on_begin(void *ctx, const char *name, const char *filename, struct pare_err *err)
{
	(void)err;
	((struct tally *)ctx)->sum += 1 + strlen(name) + (filename != NULL ? strlen(filename) : 0);
	return PARE_OK;
}

static enum pare_code on_data(void *ctx, const void *p, size_t n, struct pare_err *err)
{
	struct tally *t = ctx;

	(void)err;
	for (size_t i = 0; i < n; i++, t->n_bytes++)
		t->sum = t->sum * 31 + ((const unsigned char *)p)[i];
	return PARE_OK;
}

static enum pare_code on_end(void *ctx, struct pare_err *err)
{
	(void)err;
	((struct tally *)ctx)->n_ended++;
	return PARE_OK;
}

static enum pare_code run(struct tally *t, const unsigned char *p, size_t n, size_t cut)
{
	struct api_part_sink sink = {on_begin, on_data, on_end, t};
	static struct api_multipart m;
	enum pare_code rc;

	memset(t, 0, sizeof *t);
	rc = api_multipart_init(&m, "multipart/form-data; boundary=B", &sink, NULL);
	for (size_t i = 0; i < n && rc == PARE_OK; i += cut)
		rc = api_multipart_feed(&m, p + i, n - i < cut ? n - i : cut, NULL);
	return rc == PARE_OK ? api_multipart_finish(&m, NULL) : rc;
}

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size)
{
	struct tally whole, pieces;

	if (size < 1)
		return 0;
	if (run(&whole, data + 1, size - 1, size) != run(&pieces, data + 1, size - 1, data[0] % 64u + 1) || memcmp(&whole, &pieces, sizeof whole) != 0)
		abort();
	return 0;
}
