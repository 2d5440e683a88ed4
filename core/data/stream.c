/* What streaming needs besides pages.c: an order of rows that reads well from a disk, and a copy of one batch that a thread of
 * its own can make ahead.
 *
 * A full shuffle touches a page per row: from a disk that is one seek a row, and more is read than used. Here the rows are cut
 * into blocks that lie together (1 MiB), the blocks are shuffled, and then the rows within every window of 256 blocks. A
 * batch draws from 256 places of the set, which mixes even a set that is sorted by class, and the disk reads whole blocks of one
 * window at a time. The order depends on the seed and the sizes of rows only, so the same job has the same order anywhere. */
#include <string.h>

#include "core/base/mem.h"
#include "core/base/num.h"
#include "core/base/rng.h"
#include "core/data/data_priv.h"

#define BLOCK_BYTES ((size_t)1 << 20)
#define WINDOW_BLOCKS 256

bool pare_data_streams(const struct pare_dataset *d)
{
	return d->streams;
}

static uint32_t rows_per_block(const struct pare_dataset *d)
{
	size_t bytes = 0, n;

	for (int i = 0; i < d->info.n_x; i++)
		bytes += d->x[i].row_bytes;
	for (int i = 0; i < d->info.n_y; i++)
		bytes += d->y[i].row_bytes;
	n = BLOCK_BYTES / (bytes > 0 ? bytes : 1);
	return n > 0 ? (uint32_t)n : 1;
}

void pare_data_shuffle(const struct pare_dataset *d, uint64_t seed, uint64_t stream, const uint32_t *rows, uint32_t n, uint32_t *out, uint32_t *blocks)
{
	uint32_t size = rows_per_block(d), n_blocks = n / size + (n % size != 0), at = 0;
	struct pare_rng rng;

	pare_rng_init(&rng, seed, "shuffle", stream);
	if (!d->streams) {
		memcpy(out, rows, n * sizeof *rows);
		pare_rng_shuffle(&rng, out, n);
		return;
	}
	for (uint32_t i = 0; i < n_blocks; i++)
		blocks[i] = i;
	pare_rng_shuffle(&rng, blocks, n_blocks);
	for (uint32_t i = 0, begin = 0; i < n_blocks; i++) {
		uint32_t first = blocks[i] * size, k = n - first < size ? n - first : size;

		memcpy(out + at, rows + first, k * sizeof *rows);
		at += k;
		if ((i + 1) % WINDOW_BLOCKS != 0 && i + 1 < n_blocks)
			continue;
		pare_rng_shuffle(&rng, out + begin, at - begin);
		begin = at;
	}
}

/* --- windows */

struct pare_data_window {
	struct pare_dataset d; /* of the rows of the window; its fields point into memory */
	struct data_chunk chunks[2 * PARE_DATA_FIELDS];
	uint8_t *memory;
};

static enum pare_code add_bytes(const struct data_field *f, int n, size_t n_rows, size_t *all, struct pare_err *err)
{
	for (int i = 0; i < n; i++) {
		size_t bytes;

		if (!pare_mul_size(n_rows, f[i].row_bytes, &bytes) || !pare_add_size(*all, (bytes + 15) & ~(size_t)15, all))
			return pare_err_nomem(err, 0);
	}
	return PARE_OK;
}

static uint8_t *place(struct data_field *f, int n, size_t n_rows, struct data_chunk *chunks, uint8_t *p)
{
	for (int i = 0; i < n; i++) {
		chunks[i] = (struct data_chunk){.p = p, .stride = f[i].row_bytes, .n_rows = n_rows};
		f[i].chunks = &chunks[i];
		f[i].n_chunks = 1;
		p += (n_rows * f[i].row_bytes + 15) & ~(size_t)15;
	}
	return p;
}

enum pare_code pare_data_window_new(const struct pare_dataset *d, size_t n_rows, struct pare_data_window **out, struct pare_err *err)
{
	struct pare_data_window *w;
	size_t bytes = 0;
	uint8_t *p;
	enum pare_code rc = add_bytes(d->x, d->info.n_x, n_rows, &bytes, err);

	if (rc == PARE_OK)
		rc = add_bytes(d->y, d->info.n_y, n_rows, &bytes, err);
	if (rc != PARE_OK)
		return rc;
	w = pare_calloc(1, sizeof *w);
	p = pare_alloc(bytes);
	if (w == NULL || p == NULL) {
		pare_free(w);
		pare_free(p);
		return pare_err_nomem(err, bytes);
	}
	w->memory = p;
	w->d.info = d->info;
	memcpy(w->d.x, d->x, sizeof d->x);
	memcpy(w->d.y, d->y, sizeof d->y);
	p = place(w->d.x, d->info.n_x, n_rows, w->chunks, p);
	(void)place(w->d.y, d->info.n_y, n_rows, w->chunks + PARE_DATA_FIELDS, p);
	*out = w;
	return PARE_OK;
}

void pare_data_window_free(struct pare_data_window *w)
{
	if (w == NULL)
		return;
	pare_free(w->memory);
	pare_free(w);
}

static void load(const struct data_field *from, const struct data_field *to, const uint32_t *rows, size_t n)
{
	uint8_t *p = (uint8_t *)(uintptr_t)to->chunks[0].p;

	for (size_t i = 0; i < n; i++, p += to->row_bytes) {
		const struct data_chunk *c = data_chunk_of(from, rows[i]);

		data_copy(from->type, c->swap, c->p + (rows[i] - c->first_row) * c->stride, from->info->row_elems, p);
	}
}

const struct pare_dataset *pare_data_window_load(struct pare_data_window *w, const struct pare_dataset *d, const uint32_t *rows, size_t n)
{
	for (int i = 0; i < d->info.n_x; i++) {
		data_touch_rows(d, &d->x[i], rows, n);
		load(&d->x[i], &w->d.x[i], rows, n);
	}
	for (int i = 0; i < d->info.n_y; i++) {
		data_touch_rows(d, &d->y[i], rows, n);
		load(&d->y[i], &w->d.y[i], rows, n);
	}
	return &w->d;
}
