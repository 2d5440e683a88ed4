/* layer: core */
/* Checkpoints. The head's length and the checksum are put right first, so that what lies behind them is reached; what can be read is written again and
 * reads the same. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include <zlib.h>

#include "core/base/mem.h"
#include "core/job/checkpoint.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void write_again(const struct pare_checkpoint *c)
{
	int fd = memfd_create("checkpoint", MFD_CLOEXEC);
	struct pare_checkpoint again;
	int64_t n = 0;
	void *p;

	if (fd < 0 || pare_checkpoint_write(c, fd, &n, NULL) != PARE_OK)
		abort();
	p = mmap(NULL, (size_t)n, PROT_READ, MAP_PRIVATE, fd, 0);
	if (p == MAP_FAILED || pare_checkpoint_read((struct pare_span){p, (size_t)n}, &again, NULL) != PARE_OK || again.step != c->step || again.slab_len != c->slab_len)
		abort();
	(void)munmap(p, (size_t)n);
	(void)close(fd);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint8_t *file = pare_alloc_aligned(size + 1);
	struct pare_checkpoint c;
	uint64_t word = size;

	if (file == NULL)
		return 0;
	memcpy(file, data, size);
	if (size >= 32) {
		memcpy(file + 16, &word, sizeof word);
		word = crc32_z(0, file, size - sizeof word);
		memcpy(file + size - sizeof word, &word, sizeof word);
	}
	if (pare_checkpoint_read((struct pare_span){file, size}, &c, NULL) == PARE_OK)
		write_again(&c);
	pare_free(file);
	return 0;
}
