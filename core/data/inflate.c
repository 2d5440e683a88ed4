/* gzip and deflate by zlib, with two brakes: a cap on what comes out, and a ratio. Deflate can reach 1032 to 1, so a few
 * megabytes could fill the whole cap of gigabytes; data that anybody trains on does not shrink 400 to 1, so past 64 MiB
 * that is refused as a bomb. The length in a gzip trailer is not used: it is 32 bits and may lie.
 *
 * zlib allocates through pare_alloc, like everyone. It counts in unsigned int, so input and output are handed over in
 * pieces. */
#include "core/data/data_priv.h"

#include <string.h>
#include <zlib.h>

#include "core/base/mem.h"
#include "core/base/num.h"

#define PIECE ((size_t)1 << 30)
#define RATIO_FREE ((size_t)64 << 20)
#define RATIO_MAX 400

static void *z_alloc(void *ctx, unsigned n, unsigned size)
{
	size_t bytes;

	(void)ctx;
	return pare_mul_size(n, size, &bytes) ? pare_alloc(bytes) : NULL;
}

static void z_release(void *ctx, void *p)
{
	(void)ctx;
	pare_free(p);
}

static enum pare_code z_start(z_stream *z, int window_bits, struct pare_err *err)
{
	memset(z, 0, sizeof *z);
	z->zalloc = z_alloc;
	z->zfree = z_release;
	return inflateInit2(z, window_bits) == Z_OK ? PARE_OK : pare_err_nomem(err, 0);
}

static enum pare_code z_error(const z_stream *z, int rc, size_t at, const char *where, struct pare_err *err)
{
	if (rc == Z_MEM_ERROR)
		return pare_err_nomem(err, 0);
	if (rc == Z_BUF_ERROR || rc == Z_OK)
		return pare_err_set(err, PARE_E_DATASET, where, "the compressed data end too early, after %zu bytes", at);
	return pare_err_set(err, PARE_E_DATASET, where, "the compressed data are damaged near byte %zu (%s)", at,
	    z->msg != NULL ? z->msg : "no deflate stream");
}

/* One step over at most a piece of input and of room; *pos and *len move on. */
static int z_step(z_stream *z, struct pare_span in, size_t *pos, uint8_t *out, size_t *len, size_t room)
{
	size_t n_in = in.len - *pos < PIECE ? in.len - *pos : PIECE;
	size_t n_out = room - *len < PIECE ? room - *len : PIECE;
	int rc;

	z->next_in = (Bytef *)(uintptr_t)(in.data + *pos); /* zlib only reads it */
	z->avail_in = (uInt)n_in;
	z->next_out = out + *len;
	z->avail_out = (uInt)n_out;
	rc = inflate(z, Z_NO_FLUSH);
	*pos += n_in - z->avail_in;
	*len += n_out - z->avail_out;
	return rc;
}

static enum pare_code check_size(size_t len, size_t in_len, size_t cap, const char *where, struct pare_err *err)
{
	if (len > cap)
		return pare_err_set(err, PARE_E_LIMIT, where, "inflates to more than the %zu bytes that decoded data may take", cap);
	if (len > RATIO_FREE && len / RATIO_MAX > in_len)
		return pare_err_set(err, PARE_E_LIMIT, where, "inflates to more than %d times its size, which real data do not", RATIO_MAX);
	return PARE_OK;
}

bool data_is_gzip(struct pare_span s)
{
	return s.len >= 2 && s.data[0] == 0x1f && s.data[1] == 0x8b;
}

/* One step into what room the sink has, or gets. */
static enum pare_code z_into(z_stream *z, struct pare_span in, size_t *pos, struct data_sink *out, size_t expected, int *zrc, struct pare_err *err)
{
	enum pare_code rc = data_sink_room(out, 1, expected, err);

	if (rc == PARE_OK)
		*zrc = z_step(z, in, pos, out->p, &out->len, out->size);
	return rc;
}

enum pare_code data_gunzip(struct pare_span in, struct data_sink *out, struct pare_err *err)
{
	size_t cap = data_sink_cap(out), pos = 0;
	enum pare_code rc;
	z_stream z;
	int zrc = Z_OK;

	rc = z_start(&z, 15 + 16, err);
	if (rc != PARE_OK)
		return rc;
	while (zrc != Z_STREAM_END || pos < in.len) {
		size_t before = pos;

		if (zrc == Z_STREAM_END && (!data_is_gzip((struct pare_span){in.data + pos, in.len - pos}) || inflateReset(&z) != Z_OK)) {
			rc = pare_err_set(err, PARE_E_DATASET, out->where, "there are %zu bytes after the end of the gzip data", in.len - pos);
			goto out;
		}
		if ((rc = z_into(&z, in, &pos, out, 0, &zrc, err)) != PARE_OK || (rc = check_size(out->flushed + out->len, in.len, cap, out->where, err)) != PARE_OK)
			goto out;
		data_touch(out->d, pos - before);
		if (zrc == Z_STREAM_END || (zrc == Z_OK && (pos < in.len || out->len == out->size)) || (zrc == Z_BUF_ERROR && out->len == out->size))
			continue;
		rc = z_error(&z, zrc, pos, out->where, err);
		goto out;
	}
out:
	inflateEnd(&z);
	return rc;
}

enum pare_code data_inflate(struct pare_span in, size_t len, struct data_sink *out, struct pare_err *err)
{
	size_t pos = 0;
	enum pare_code rc;
	z_stream z;
	int zrc = Z_OK;

	rc = check_size(len, in.len, data_sink_cap(out), out->where, err);
	if (rc != PARE_OK)
		return rc;
	rc = z_start(&z, -15, err);
	while (rc == PARE_OK && zrc == Z_OK && out->flushed + out->len <= len) /* every call moves on or says Z_BUF_ERROR; one byte of room more than fits tells too long a stream */
		rc = z_into(&z, in, &pos, out, len + 1, &zrc, err);
	if (rc != PARE_OK)
		goto out;
	if (zrc == Z_STREAM_END && out->flushed + out->len == len && pos == in.len)
		rc = PARE_OK;
	else if (zrc == Z_STREAM_END || zrc == Z_OK || out->flushed + out->len >= len)
		rc = pare_err_set(err, PARE_E_DATASET, out->where, "the deflated data do not have the %zu bytes that the directory states", len);
	else
		rc = z_error(&z, zrc, pos, out->where, err);
out:
	inflateEnd(&z);
	return rc;
}
