/* The file, in the machine's own byte order (a checkpoint does not leave the kind of machine that made it; another reads its magic as a wrong one):
 *
 *   magic, version, bytes of the file     8 bytes each
 *   the numbers of number_table           8 bytes each
 *   the blocks of block_table             each beginning at a multiple of 64, zeros between; which there are and how long they are follows from the numbers
 *   CRC-32 of all before                  8 bytes
 *
 * Both directions walk the same two tables; a new number or block is a row, its field and a new version. Nothing is compressed: weights
 * in training are noise to every general compressor. The checksum is against damage (half-written files, bad disks). It cannot keep out whoever
 * makes a file on purpose; the bounds do. JSON with base64 was rejected for its third more bytes and for the copies that it takes to read it. */
#include "core/job/checkpoint.h"

#include <errno.h>
#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <string.h>
#include <unistd.h>
#include <zlib.h>

#include "core/base/num.h"
#include "core/recipe/trial.h"

#define MAGIC UINT64_C(0x31544b4345524150) /* "PARECKT1" where the first byte is the lowest */
#define ALIGN ((size_t)64)
#define WORD sizeof(uint64_t)
#define SLAB_MAX (INT64_C(1) << 40)
#define COUNT_MAX (INT64_C(1) << 24)

_Static_assert(sizeof(((struct pare_checkpoint_trial *)NULL)->error) == PARE_TRIAL_ERROR_MAX, "an error fits");

#define AT(field) offsetof(struct pare_checkpoint, field)
#define INT(field, max) {#field, AT(field), max}
#define NUM(field) {#field, AT(field), -1}

static const struct {
	const char *name;
	size_t at;
	int64_t max; /* -1: a double */
} number_table[] = {
    INT(job, UINT32_MAX), INT(model, UINT32_MAX), INT(teacher, UINT32_MAX), INT(data, UINT32_MAX), INT(threads, 1024), INT(program_len, 63),
    INT(step, COUNT_MAX), INT(fold, COUNT_MAX), INT(inner, COUNT_MAX), INT(round, COUNT_MAX), INT(epoch, INT_MAX), INT(stage, INT_MAX / 2),
    NUM(from), NUM(units_before), NUM(units_step), INT(elapsed_ns, INT64_MAX / 4),
    INT(slab_len, SLAB_MAX), INT(n_slices, COUNT_MAX * 64), INT(source_len, SLAB_MAX), INT(source_slices, COUNT_MAX * 64), INT(has_source_dense, 1),
    INT(has_dense, 1), INT(has_before, 1), INT(mask_any, 1), INT(cut_any, 1), INT(has_early, 1), INT(has_moved, 1),
    INT(aside, 1), INT(has_fold_dense, 1), INT(kept_mask_any, 1), INT(kept_cut_any, 1), INT(kept_stage, INT_MAX / 2), INT(has_kept_early, 1), INT(has_kept_moved, 1),
    INT(n_points, COUNT_MAX), INT(n_states, 64), INT(states_len, SLAB_MAX), INT(states_slices, COUNT_MAX * 64),
    INT(n_trials, PARE_SWEEP_ALL_MAX), INT(in_sweep, 1), INT(in_trial, 1), INT(variant, COUNT_MAX), INT(rung, COUNT_MAX), INT(repeat, COUNT_MAX), INT(trial_fold, COUNT_MAX),
    INT(n_state, PARE_CHECKPOINT_STATES), INT(has_best, 1), INT(since, INT_MAX / 2), NUM(best_accuracy), NUM(best_loss), NUM(stop_loss),
    INT(n_records, COUNT_MAX), INT(history_n, COUNT_MAX), INT(history_stride, INT_MAX / 4), INT(history_skipped, INT_MAX / 2), NUM(history_done),
};
#define N_NUMBERS (sizeof number_table / sizeof number_table[0])
#define HEAD ((3 + N_NUMBERS) * WORD)

/* A block of count things that is there when the number at given is at least least. */
#define BLOCK(field, size, count, given, least, bits) {#field, AT(field), size, AT(count), AT(given), least, bits}
#define HISTORY(i) {"history", AT(history) + (i) * sizeof(void *), sizeof(double), AT(history_n), AT(history_n), 1, false}

static const struct {
	const char *name;
	size_t at;   /* of a pointer */
	size_t size; /* of one thing */
	size_t count, given;
	int64_t least;
	bool bits; /* bytes that are 0 or 1 */
} block_table[] = {
    BLOCK(program, 1, program_len, program_len, 1, false),
    BLOCK(slab, sizeof(float), slab_len, slab_len, 1, false),
    BLOCK(source, sizeof(float), source_len, source_len, 1, false),
    BLOCK(source_dense, sizeof(float), source_len, has_source_dense, 1, false),
    BLOCK(source_cut, 1, source_slices, source_slices, 1, true),
    BLOCK(mask, 1, slab_len, mask_any, 1, true),
    BLOCK(before, 1, slab_len, has_before, 1, true),
    BLOCK(cut, 1, n_slices, cut_any, 1, true),
    BLOCK(dense, sizeof(float), slab_len, has_dense, 1, false),
    BLOCK(kept, sizeof(float), slab_len, aside, 1, false),
    BLOCK(fold_dense, sizeof(float), slab_len, has_fold_dense, 1, false),
    BLOCK(kept_mask, 1, slab_len, kept_mask_any, 1, true),
    BLOCK(kept_cut, 1, n_slices, kept_cut_any, 1, true),
    BLOCK(fold_record, PARE_CHECKPOINT_RECORD * sizeof(double), aside, aside, 1, false),
    BLOCK(points, PARE_CHECKPOINT_POINT * sizeof(double), n_points, n_points, 1, false),
    BLOCK(states, sizeof(float), states_len, n_states, 1, false),
    BLOCK(state_masks, 1, states_len, n_states, 1, true),
    BLOCK(state_cuts, 1, states_slices, states_slices, 1, true),
    BLOCK(early, sizeof(float), slab_len, has_early, 1, false),
    BLOCK(moved, sizeof(float), slab_len, has_moved, 1, false),
    BLOCK(kept_early, sizeof(float), slab_len, has_kept_early, 1, false),
    BLOCK(kept_moved, sizeof(float), slab_len, has_kept_moved, 1, false),
    BLOCK(state[0], sizeof(float), slab_len, n_state, 1, false),
    BLOCK(state[1], sizeof(float), slab_len, n_state, 2, false),
    BLOCK(state[2], sizeof(float), slab_len, n_state, 3, false),
    BLOCK(state[3], sizeof(float), slab_len, n_state, 4, false),
    BLOCK(state[4], sizeof(float), slab_len, n_state, 5, false),
    BLOCK(best, sizeof(float), slab_len, has_best, 1, false),
    BLOCK(trials, sizeof(struct pare_checkpoint_trial), n_trials, n_trials, 1, false),
    BLOCK(records, PARE_CHECKPOINT_RECORD * sizeof(double), n_records, n_records, 1, false),
    HISTORY(0), HISTORY(1), HISTORY(2), HISTORY(3), HISTORY(4),
};
#define N_BLOCKS (sizeof block_table / sizeof block_table[0])

static int64_t int_at(const struct pare_checkpoint *c, size_t at)
{
	int64_t v;

	memcpy(&v, (const char *)c + at, sizeof v);
	return v;
}

/* Bytes of block i; false: too many to count. */
static bool block_bytes(const struct pare_checkpoint *c, size_t i, size_t *out)
{
	*out = 0;
	return int_at(c, block_table[i].given) < block_table[i].least || pare_mul_size((size_t)int_at(c, block_table[i].count), block_table[i].size, out);
}

/* Moves *at past block i and says where it begins. */
static bool place_block(const struct pare_checkpoint *c, size_t i, size_t *at, size_t *out_begin, size_t *out_bytes)
{
	if (!block_bytes(c, i, out_bytes) || !pare_add_size(*at, ALIGN - 1, out_begin))
		return false;
	*out_begin = *out_bytes > 0 ? *out_begin / ALIGN * ALIGN : *at;
	return pare_add_size(*out_begin, *out_bytes, at);
}

/* Of the whole file. */
static bool total_bytes(const struct pare_checkpoint *c, size_t *out)
{
	size_t at = HEAD, begin, n;

	for (size_t i = 0; i < N_BLOCKS; i++)
		if (!place_block(c, i, &at, &begin, &n))
			return false;
	return pare_add_size(at, WORD, out);
}

/* --- writing */

struct sink {
	int fd;
	uint32_t crc;
	size_t at;
	struct pare_err *err;
};

static enum pare_code put(struct sink *s, const void *p, size_t n)
{
	const char *bytes = p;

	s->crc = (uint32_t)crc32_z(s->crc, p, n);
	s->at += n;
	while (n > 0) {
		ssize_t k = write(s->fd, bytes, n);

		if (k < 0 && errno == EINTR)
			continue;
		if (k < 0)
			return pare_err_errno(s->err, errno, "writing a checkpoint");
		bytes += k;
		n -= (size_t)k;
	}
	return PARE_OK;
}

enum pare_code pare_checkpoint_write(const struct pare_checkpoint *c, int fd, int64_t *out_bytes, struct pare_err *err)
{
	static const char zeros[ALIGN];
	struct sink s = {.fd = fd, .err = err};
	uint64_t head[3 + N_NUMBERS] = {MAGIC, PARE_CHECKPOINT_VERSION}, crc;
	size_t total, at = HEAD;
	enum pare_code code;

	if (!total_bytes(c, &total))
		return pare_err_set(err, PARE_E_LIMIT, NULL, "the state of the job is too large for a checkpoint");
	head[2] = total;
	for (size_t i = 0; i < N_NUMBERS; i++)
		memcpy(&head[3 + i], (const char *)c + number_table[i].at, WORD);
	code = put(&s, head, sizeof head);
	for (size_t i = 0; i < N_BLOCKS && code == PARE_OK; i++) {
		const void *block;
		size_t begin, n;

		(void)place_block(c, i, &at, &begin, &n);
		memcpy(&block, (const char *)c + block_table[i].at, sizeof block);
		if (n > 0)
			code = put(&s, zeros, begin - s.at);
		if (n > 0 && code == PARE_OK)
			code = put(&s, block, n);
	}
	crc = s.crc;
	if (code == PARE_OK)
		code = put(&s, &crc, sizeof crc);
	if (code == PARE_OK)
		*out_bytes = (int64_t)total;
	return code;
}

/* --- reading */

static uint64_t word(struct pare_span file, size_t i)
{
	uint64_t v;

	memcpy(&v, file.data + i * WORD, WORD);
	return v;
}

static enum pare_code check_frame(struct pare_span file, struct pare_err *err)
{
	if (file.len < HEAD + WORD || word(file, 0) != MAGIC)
		return pare_err_set(err, PARE_E_CHECKPOINT, NULL, "this is no checkpoint of pare-core on this kind of machine");
	if (word(file, 1) != PARE_CHECKPOINT_VERSION)
		return pare_err_set(err, PARE_E_CHECKPOINT, "byte offset 8", "the checkpoint has format version %llu, this program reads %d", (unsigned long long)word(file, 1),
		    PARE_CHECKPOINT_VERSION);
	if (word(file, 2) != file.len)
		return pare_err_set(err, PARE_E_CHECKPOINT, "byte offset 16", "the checkpoint has %zu bytes, its head says %llu", file.len, (unsigned long long)word(file, 2));
	return PARE_OK;
}

static enum pare_code check_sum(struct pare_span file, struct pare_err *err)
{
	uint64_t want, is = crc32_z(0, file.data, file.len - WORD);

	memcpy(&want, file.data + file.len - WORD, WORD);
	if (is == want)
		return PARE_OK;
	return pare_err_set(err, PARE_E_CHECKPOINT, NULL, "the checkpoint is damaged: its checksum is %llx, its bytes give %llx", (unsigned long long)want, (unsigned long long)is);
}

static enum pare_code read_numbers(struct pare_span file, struct pare_checkpoint *c, struct pare_err *err)
{
	for (size_t i = 0; i < N_NUMBERS; i++) {
		int64_t v;

		memcpy((char *)c + number_table[i].at, file.data + (3 + i) * WORD, WORD);
		v = int_at(c, number_table[i].at);
		if (number_table[i].max >= 0 && (v < 0 || v > number_table[i].max))
			return pare_err_set(err, PARE_E_CHECKPOINT, number_table[i].name, "the number %lld is not between 0 and %lld", (long long)v, (long long)number_table[i].max);
	}
	return PARE_OK;
}

static bool is_bits(const uint8_t *p, size_t n)
{
	uint8_t all = 0;

	for (size_t i = 0; i < n; i++)
		all |= p[i];
	return all <= 1;
}

static enum pare_code read_blocks(struct pare_span file, struct pare_checkpoint *c, struct pare_err *err)
{
	size_t at = HEAD, end = file.len - WORD;

	for (size_t i = 0; i < N_BLOCKS; i++) {
		const void *block = NULL;
		size_t begin, n;

		if (!place_block(c, i, &at, &begin, &n) || at > end)
			return pare_err_set(err, PARE_E_CHECKPOINT, block_table[i].name, "the block is longer than the file");
		if (n > 0)
			block = file.data + begin;
		if (n > 0 && block_table[i].bits && !is_bits(block, n))
			return pare_err_set(err, PARE_E_CHECKPOINT, block_table[i].name, "a mask has bytes other than 0 and 1");
		memcpy((char *)c + block_table[i].at, &block, sizeof block);
	}
	return at == end ? PARE_OK : pare_err_set(err, PARE_E_CHECKPOINT, NULL, "%zu bytes follow the last block", end - at);
}

enum pare_code pare_checkpoint_read(struct pare_span file, struct pare_checkpoint *out, struct pare_err *err)
{
	struct pare_checkpoint c;
	enum pare_code code = check_frame(file, err);

	memset(&c, 0, sizeof c);
	if (code == PARE_OK)
		code = read_numbers(file, &c, err);
	if (code == PARE_OK)
		code = read_blocks(file, &c, err);
	if (code == PARE_OK)
		code = check_sum(file, err);
	if (code == PARE_OK)
		*out = c;
	return code;
}
