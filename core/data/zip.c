/* A zip reader for NPZ files, small because it trusts nothing: the central directory is read first and is what counts; each
 * local header must tell the same; the stored ranges may not overlap each other or the directory (overlapping entries are
 * how a 10 MB archive becomes petabytes); sizes must be possible for deflate (1032 to 1 at most) before a byte is
 * allocated; the CRC must match. Methods 0 (stored: used in place) and 8 (deflated). zip64 is read because numpy always
 * writes it into local headers. Encryption, several disks and other methods are refused.
 *
 * Source: PKWARE APPNOTE 6.3.10, sections 4.3 to 4.5. */
#include "core/data/data_priv.h"

#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include "core/base/mem.h"
#include "core/base/num.h"

#define EOCD_BYTES ((size_t)22)
#define LOCATOR_BYTES ((size_t)20)
#define EOCD64_BYTES ((size_t)56)
#define CENTRAL_BYTES ((size_t)46)
#define LOCAL_BYTES ((size_t)30)
#define ENTRIES_MAX 1024
#define DEFLATE_MAX 1032
#define CRC_PIECE ((size_t)16 << 20)
#define FLAG_ENCRYPTED 0x0001
#define FLAG_DESCRIPTOR 0x0008 /* the local header does not know sizes and CRC */
#define METHOD_STORED 0
#define METHOD_DEFLATED 8
#define SIG_CENTRAL 0x02014b50u
#define SIG_LOCAL 0x04034b50u
#define SIG_EOCD 0x06054b50u
#define SIG_EOCD64 0x06064b50u
#define SIG_LOCATOR 0x07064b50u

struct directory {
	uint64_t n_entries, start, n_bytes;
	uint64_t end; /* where the end records begin */
};

bool data_is_zip(struct pare_span s)
{
	return s.len >= 4 && (data_le(s.data, 4) == SIG_LOCAL || data_le(s.data, 4) == SIG_EOCD);
}

static enum pare_code bad_zip(const char *where, struct pare_err *err, const char *what)
{
	return pare_err_set(err, PARE_E_DATASET, where, "the zip archive is damaged: %s", what);
}

static enum pare_code read_end64(struct pare_span s, size_t eocd, struct directory *dir, const char *where, struct pare_err *err)
{
	const uint8_t *loc = s.data + eocd - LOCATOR_BYTES;
	uint64_t at = data_le(loc + 8, 8);
	const uint8_t *p;

	if (at > eocd - LOCATOR_BYTES || eocd - LOCATOR_BYTES - at < EOCD64_BYTES)
		return bad_zip(where, err, "the zip64 end record is not where its locator points");
	p = s.data + at;
	if (data_le(p, 4) != SIG_EOCD64 || data_le(p + 16, 4) != 0 || data_le(p + 20, 4) != 0 || data_le(p + 24, 8) != data_le(p + 32, 8))
		return bad_zip(where, err, "the zip64 end record is not one of a single file");
	dir->n_entries = data_le(p + 32, 8);
	dir->n_bytes = data_le(p + 40, 8);
	dir->start = data_le(p + 48, 8);
	dir->end = at;
	return PARE_OK;
}

static enum pare_code read_end(struct pare_span s, struct directory *dir, const char *where, struct pare_err *err)
{
	size_t lowest = s.len > EOCD_BYTES + 65535 ? s.len - EOCD_BYTES - 65535 : 0;
	size_t at = s.len < EOCD_BYTES ? 0 : s.len - EOCD_BYTES;
	const uint8_t *p;

	if (s.len < EOCD_BYTES)
		return bad_zip(where, err, "it ends too early");
	while (data_le(s.data + at, 4) != SIG_EOCD || data_le(s.data + at + 20, 2) != s.len - at - EOCD_BYTES) {
		if (at == lowest)
			return bad_zip(where, err, "it has no directory at its end (is the file complete?)");
		at--;
	}
	p = s.data + at;
	if (data_le(p + 4, 2) != 0 || data_le(p + 6, 2) != 0 || data_le(p + 8, 2) != data_le(p + 10, 2))
		return bad_zip(where, err, "it is one part of several");
	*dir = (struct directory){.n_entries = data_le(p + 10, 2), .n_bytes = data_le(p + 12, 4), .start = data_le(p + 16, 4), .end = at};
	if (at >= LOCATOR_BYTES && data_le(p - LOCATOR_BYTES, 4) == SIG_LOCATOR)
		return read_end64(s, at, dir, where, err);
	return PARE_OK;
}

/* Replaces the 32-bit sizes that say "look in the extra field". fields: pointers in the order the standard gives. */
static bool read_extra64(const uint8_t *extra, size_t len, uint64_t *fields[], int n)
{
	int wanted = 0, got = 0;

	for (int i = 0; i < n; i++)
		wanted += *fields[i] == 0xffffffffu;
	while (wanted > 0 && len >= 4) {
		size_t id = (size_t)data_le(extra, 2), size = (size_t)data_le(extra + 2, 2);

		if (size > len - 4)
			return false;
		if (id == 1) {
			for (int i = 0; i < n; i++) {
				if (*fields[i] != 0xffffffffu)
					continue;
				if ((size_t)(got + 1) * 8 > size)
					return false;
				*fields[i] = data_le(extra + 4 + 8 * got++, 8);
			}
			return true;
		}
		extra += 4 + size;
		len -= 4 + size;
	}
	return wanted == 0;
}

/* The entry at dir[*pos), which moves behind it. */
static enum pare_code read_central(struct pare_span dir, size_t *pos, struct data_zip_entry *e, const char *where, struct pare_err *err)
{
	const uint8_t *p = dir.data + *pos;
	size_t left = dir.len - *pos, name, extra, comment;
	uint64_t bytes = 0, comp = 0, start = 0;
	uint64_t *fields[] = {&bytes, &comp, &start};

	if (left < CENTRAL_BYTES || data_le(p, 4) != SIG_CENTRAL)
		return bad_zip(where, err, "a directory entry is not one");
	name = (size_t)data_le(p + 28, 2);
	extra = (size_t)data_le(p + 30, 2);
	comment = (size_t)data_le(p + 32, 2);
	if (left - CENTRAL_BYTES < name + extra + comment)
		return bad_zip(where, err, "a directory entry is cut off");
	comp = data_le(p + 20, 4);
	bytes = data_le(p + 24, 4);
	start = data_le(p + 42, 4);
	if (!read_extra64(p + CENTRAL_BYTES + name, extra, fields, 3) || comp > SIZE_MAX || bytes > SIZE_MAX)
		return bad_zip(where, err, "a zip64 field is missing");
	*e = (struct data_zip_entry){.name = (const char *)p + CENTRAL_BYTES, .name_len = name, .flags = (uint16_t)data_le(p + 8, 2),
	    .method = (uint16_t)data_le(p + 10, 2), .crc = (uint32_t)data_le(p + 16, 4), .comp_bytes = (size_t)comp,
	    .bytes = (size_t)bytes, .start = (size_t)start};
	*pos += CENTRAL_BYTES + name + extra + comment;
	return PARE_OK;
}

static enum pare_code check_kind(const struct data_zip_entry *e, const char *where, struct pare_err *err)
{
	char name[64];

	data_show(e->name, e->name_len, name, sizeof name);
	if (e->flags & FLAG_ENCRYPTED)
		return pare_err_set(err, PARE_E_UNSUPPORTED, where, "the member \"%s\" is encrypted", name);
	if (e->method != METHOD_STORED && e->method != METHOD_DEFLATED)
		return pare_err_set(err, PARE_E_UNSUPPORTED, where,
		    "the member \"%s\" uses zip method %d (stored and deflated are supported)", name, e->method);
	if ((e->method == METHOD_STORED && e->bytes != e->comp_bytes) || e->bytes / DEFLATE_MAX > e->comp_bytes)
		return pare_err_set(err, PARE_E_DATASET, where, "the member \"%s\" cannot have %zu bytes: it is stored in %zu",
		    name, e->bytes, e->comp_bytes);
	return PARE_OK;
}

/* The local header must agree with the directory; finds where the data are. limit: where the directory starts. */
static enum pare_code read_local(struct pare_span s, size_t limit, struct data_zip_entry *e, const char *where, struct pare_err *err)
{
	const uint8_t *p = s.data + e->start;
	size_t head, name, extra;
	uint64_t bytes = 0, comp = 0;
	uint64_t *fields[] = {&bytes, &comp};

	if (e->start > limit || limit - e->start < LOCAL_BYTES || data_le(p, 4) != SIG_LOCAL)
		return bad_zip(where, err, "a directory entry points nowhere");
	name = (size_t)data_le(p + 26, 2);
	extra = (size_t)data_le(p + 28, 2);
	head = LOCAL_BYTES + name + extra;
	if (limit - e->start < head || limit - e->start - head < e->comp_bytes)
		return bad_zip(where, err, "a member runs into the directory");
	comp = data_le(p + 18, 4);
	bytes = data_le(p + 22, 4);
	if (!read_extra64(p + LOCAL_BYTES + name, extra, fields, 2))
		return bad_zip(where, err, "a zip64 field is missing");
	if (data_le(p + 6, 2) != e->flags || data_le(p + 8, 2) != e->method || name != e->name_len ||
	    memcmp(p + LOCAL_BYTES, e->name, name) != 0)
		return bad_zip(where, err, "a member's own header differs from the directory");
	if (!(e->flags & FLAG_DESCRIPTOR) && (comp != e->comp_bytes || bytes != e->bytes || data_le(p + 14, 4) != e->crc))
		return bad_zip(where, err, "a member's own sizes differ from the directory");
	e->data = (struct pare_span){p + head, e->comp_bytes};
	return PARE_OK;
}

static int by_start(const void *a, const void *b)
{
	size_t x = ((const struct data_zip_entry *)a)->start, y = ((const struct data_zip_entry *)b)->start;

	return (x > y) - (x < y);
}

static enum pare_code check_overlaps(struct pare_span s, struct data_zip_entry *e, size_t n, const char *where, struct pare_err *err)
{
	qsort(e, n, sizeof *e, by_start);
	for (size_t i = 1; i < n; i++)
		if (e[i - 1].data.data + e[i - 1].data.len > s.data + e[i].start)
			return bad_zip(where, err, "two members share bytes");
	return PARE_OK;
}

enum pare_code data_zip_list(struct pare_span s, const char *where, struct data_zip_entry **out, size_t *out_n, struct pare_err *err)
{
	struct data_zip_entry *list = NULL;
	struct directory dir = {.n_entries = 0};
	struct pare_span span;
	enum pare_code rc;
	size_t pos = 0;

	rc = read_end(s, &dir, where, err);
	if (rc != PARE_OK)
		return rc;
	if (dir.n_entries > ENTRIES_MAX)
		return pare_err_set(err, PARE_E_LIMIT, where, "the archive has %llu members, %d at most are read",
		    (unsigned long long)dir.n_entries, ENTRIES_MAX);
	if (dir.start > dir.end || dir.end - dir.start != dir.n_bytes)
		return bad_zip(where, err, "the directory is not where the end record says");
	list = pare_calloc((size_t)dir.n_entries + 1, sizeof *list);
	if (list == NULL)
		return pare_err_nomem(err, 0);
	span = (struct pare_span){s.data + dir.start, (size_t)dir.n_bytes};
	for (size_t i = 0; i < dir.n_entries; i++) {
		if ((rc = read_central(span, &pos, &list[i], where, err)) != PARE_OK ||
		    (rc = check_kind(&list[i], where, err)) != PARE_OK ||
		    (rc = read_local(s, (size_t)dir.start, &list[i], where, err)) != PARE_OK)
			goto out;
	}
	rc = pos == span.len ? check_overlaps(s, list, (size_t)dir.n_entries, where, err)
	                     : bad_zip(where, err, "the directory has bytes left over");
out:
	if (rc != PARE_OK) {
		pare_free(list);
		return rc;
	}
	*out = list;
	*out_n = (size_t)dir.n_entries;
	return PARE_OK;
}

static uint32_t crc_of(const struct pare_dataset *d, const uint8_t *p, size_t n)
{
	uint32_t crc = (uint32_t)crc32_z(0, NULL, 0);

	for (size_t at = 0; at < n; at += CRC_PIECE) {
		size_t k = n - at < CRC_PIECE ? n - at : CRC_PIECE;

		data_touch(d, k);
		crc = (uint32_t)crc32_z(crc, p + at, k);
	}
	return crc;
}

enum pare_code data_zip_extract(struct pare_dataset *d, const struct pare_data_options *opt, const struct data_zip_entry *e, const char *where,
    struct pare_span *out, struct pare_err *err)
{
	struct data_sink sink = data_sink_of(d, opt, where);
	struct pare_span s = e->data;
	enum pare_code rc = PARE_OK;

	if (e->method == METHOD_DEFLATED) {
		rc = data_inflate(e->data, e->bytes, &sink, err);
		if (rc == PARE_OK)
			rc = data_sink_finish(&sink, &s, err);
		data_sink_done(&sink);
	}
	if (rc == PARE_OK && crc_of(d, s.data, s.len) != e->crc)
		rc = pare_err_set(err, PARE_E_DATASET, where, "the checksum (CRC-32) of this member is wrong: the file is damaged");
	if (rc == PARE_OK)
		*out = s;
	return rc;
}
