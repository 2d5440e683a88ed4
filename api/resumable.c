/* /v1/uploads: one resource that speaks tus 1.0.0 and the IETF's resumable uploads (draft-ietf-httpbis-resumable-upload, interop version 8). They differ in
 * a few header fields and media types; bytes, offsets and rows are the same, so an upload begun in one can be continued in the other.
 *
 * The IETF form is its careful one: create with an empty body, then PATCH. The other, in which the server tells the upload's URL in a 104 while the first body is
 * still coming, cannot be had with libmicrohttpd, and the draft leaves it to the server. A POST that speaks neither dialect is a whole upload in one body.
 *
 * A request that appends, asks for the offset (HEAD) or deletes takes the part over (storage/blob.h): a client that comes back because its connection hangs need
 * not wait until the server has noticed, and the offset it is told cannot move any more. Bytes go to the file as they come; after the last one of a request they
 * are synced and the row is brought up to date, by a thread that may wait for the disk. A body that is cut off leaves its bytes where they are, and one that lasts longer than
 * an upload stays without a request keeps it, since it expires so long after its last bytes.
 *
 * An upload is complete when tus has its length of bytes, or the IETF's client has said so. The order is: the file durable and hashed, the row with the digest, the
 * file in its place among the blobs. A crash before the row leaves an upload whose bytes are all there, which the next request that needs them
 * completes (api_resumable_use); one after the row is put right at the next start. */
#include "api/once.h"
#include "api/resumable.h"

#include <stdio.h>
#include <string.h>

#include "api/resumable_head.h"
#include "api/text.h"

#define TUS_TYPE "application/offset+octet-stream"
#define IETF_TYPE "application/partial-upload"
#define IANA_TYPE "https://iana.org/assignments/http-problem-types#"

struct api_resumable {
	struct api_resumable_head head;
	struct store_upload row; /* of a new one: as it will be stored; else loaded */
	struct blob_part *part;  /* open while a body may come */
	struct store_sha256 *checksum;
	int64_t n_began; /* bytes that were there before this request */
	int64_t n_left;  /* that may still come */
	int64_t n_new;   /* that have come, and do not count for the owner yet */
	bool is_new, stored;
};

/* --- what every answer says */

static void say_limits(struct api_exchange *x)
{
	const struct api_limits *l = &x->api->opt.limits;

	api_set_header_text(x, "Tus-Resumable", API_TUS_VERSION);
	api_set_header(x, "Upload-Limit", "max-size=%lld, max-age=%lld", (long long)l->max_upload_bytes, (long long)(l->upload_ms / 1000));
	api_set_header_text(x, "Cache-Control", "no-store");
}

static void say_state(struct api_exchange *x, const struct store_upload *u, int64_t offset)
{
	char date[API_HTTP_DATE];

	api_http_date(u->expires_ms, date);
	api_set_header(x, "Upload-Offset", "%lld", (long long)offset);
	api_set_header(x, "Upload-Complete", u->sha256[0] != '\0' ? "?1" : "?0");
	api_set_header_text(x, "Upload-Expires", date);
	if (u->n_total >= 0)
		api_set_header(x, "Upload-Length", "%lld", (long long)u->n_total);
	else
		api_set_header_text(x, "Upload-Defer-Length", "1");
	if (u->metadata != NULL && u->metadata[0] != '\0')
		api_set_header_text(x, "Upload-Metadata", u->metadata);
}

static void write_upload(struct api_exchange *x, const struct store_upload *u, int64_t offset)
{
	struct pare_buf *b = &x->out;

	api_json_open(b, NULL, '{');
	api_json_str(b, "object", "upload");
	api_json_str(b, "id", u->id);
	api_json_str(b, "name", u->name);
	api_json_str(b, "status", u->sha256[0] != '\0' ? "complete" : "receiving");
	api_json_int(b, "offset", offset);
	if (u->n_total >= 0)
		api_json_int(b, "length", u->n_total);
	else
		api_json_raw(b, "length", NULL);
	api_json_str(b, "sha256", u->sha256[0] != '\0' ? u->sha256 : NULL);
	api_json_time(b, "created_at", u->created_ms);
	api_json_time(b, "expires_at", u->expires_ms);
	api_json_open(b, "urls", '{');
	api_json_link(x, "self", "/v1/uploads/%s", u->id);
	api_json_close(b, '}');
	api_json_close(b, '}');
}

/* --- finding and completing */

/* What a request says of its protocol, before anything is done. An upload has no ETag: its offset is what keeps two writers apart. */
static enum pare_code read_head(struct api_exchange *x, struct api_resumable_head *out, struct pare_err *err)
{
	const char *match = api_request_header(x, "If-Match");
	enum pare_code rc = api_resumable_head_read(x->headers, x->n_headers, out, err);

	if (rc == PARE_E_PRECONDITION)
		api_set_header_text(x, "Tus-Version", API_TUS_VERSION);
	if (rc == PARE_OK && match != NULL && strcmp(match, "*") != 0)
		rc = pare_err_set(err, PARE_E_PRECONDITION, NULL, "If-Match: an upload has no ETag; say what you know of it with Upload-Offset");
	return rc;
}

/* Brings the time at which it expires up to date. */
static bool lives(struct api_exchange *x, struct store_upload *u)
{
	const struct pare_env *env = x->api->opt.env;

	u->expires_ms = store_upload_expiry(u, x->api->opt.blobs, x->api->opt.limits.upload_ms);
	return u->expires_ms > env->wall_ms(env->ctx);
}

static enum pare_code find(struct api_exchange *x, const char *id, struct store_upload *out, struct pare_err *err)
{
	enum pare_code rc = PARE_E_NOT_FOUND;

	if (pare_id_check(id, "upl"))
		rc = store_upload_get(x->view, id, out, err);
	if (rc == PARE_OK && !lives(x, out)) {
		store_upload_done(out);
		rc = PARE_E_NOT_FOUND;
	}
	return rc == PARE_E_NOT_FOUND ? pare_err_set(err, rc, NULL, "there is no upload \"%.60s\", or it has expired", id) : rc;
}

static int64_t expiry(struct api_exchange *x)
{
	return x->api->opt.env->wall_ms(x->api->opt.env->ctx) + x->api->opt.limits.upload_ms;
}

static void take_ref(struct store_upload *u, const struct blob_ref *ref)
{
	memcpy(u->sha256, ref->sha256, sizeof u->sha256);
	u->n_total = u->n_synced = ref->n_bytes;
}

/* Opens the part if it is not, and seals it: u says what it will be, and the digest is held. */
static enum pare_code seal(struct api_exchange *x, struct store_upload *u, struct blob_part **part, struct pare_err *err)
{
	struct blob_ref ref;
	enum pare_code rc = *part == NULL ? blob_part_open(x->api->opt.blobs, u->part, part, err) : PARE_OK;

	if (rc == PARE_OK)
		rc = blob_part_seal(*part, &ref, err);
	if (rc == PARE_OK)
		take_ref(u, &ref);
	return rc;
}

/* A row names the digest now. It stays held. */
static enum pare_code place(struct api_exchange *x, const struct store_upload *u, struct pare_err *err)
{
	enum pare_code rc = blob_part_place(x->api->opt.blobs, u->part, u->sha256, err);
	int64_t n_bytes;

	if (rc != PARE_E_NOT_FOUND) /* which says that it has its place already */
		return rc;
	rc = blob_hold(x->api->opt.blobs, u->sha256, &n_bytes, err);
	if (rc == PARE_OK)
		blob_release(x->api->opt.blobs, u->sha256);
	return rc == PARE_E_NOT_FOUND ? pare_err_set(err, PARE_E_STORE, NULL, "the bytes of upload %s are missing in the store", u->id) : rc;
}

static enum pare_code complete(struct api_exchange *x, struct store_upload *u, struct blob_part **part, struct pare_err *err)
{
	enum pare_code rc = seal(x, u, part, err);

	if (rc != PARE_OK)
		return rc;
	u->expires_ms = expiry(x);
	rc = store_upload_update(x->view, u, err);
	if (rc == PARE_OK)
		rc = place(x, u, err);
	blob_release(x->api->opt.blobs, u->sha256);
	return rc;
}

static enum pare_code make_whole(struct api_exchange *x, struct store_upload *u, struct pare_err *err)
{
	struct blob_part *part = NULL;
	int64_t there = blob_part_size(x->api->opt.blobs, u->part);
	enum pare_code rc;

	if (u->n_total < 0 || there != u->n_total)
		return pare_err_set(err, PARE_E_CONFLICT, NULL, "upload %s is not complete: %lld bytes are there%s", u->id, (long long)there, u->n_total < 0 ? ", and it was not said that they are all" : "");
	rc = complete(x, u, &part, err);
	blob_part_close(part);
	return rc;
}

enum pare_code api_resumable_use(struct api_exchange *x, const char *id, struct blob_ref *out, struct pare_err *err)
{
	struct store_upload u;
	enum pare_code rc = find(x, id, &u, err);

	if (rc != PARE_OK)
		return rc;
	if (u.sha256[0] == '\0')
		rc = make_whole(x, &u, err);
	if (rc == PARE_OK)
		rc = blob_hold(x->api->opt.blobs, u.sha256, &out->n_bytes, err);
	if (rc == PARE_E_NOT_FOUND) { /* its place could not be taken when it was completed */
		rc = place(x, &u, err);
		if (rc == PARE_OK)
			rc = blob_hold(x->api->opt.blobs, u.sha256, &out->n_bytes, err);
	}
	memcpy(out->sha256, u.sha256, sizeof out->sha256);
	store_upload_done(&u);
	return rc;
}

/* --- refusals with a type of their own (draft, section "Problem Types") */

static enum pare_code refuse(struct api_exchange *x, const char *type, const char *extra, enum pare_code rc)
{
	x->problem_type = type;
	x->problem_extra = extra != NULL ? pare_arena_strndup(&x->arena, extra, strlen(extra)) : NULL;
	return rc;
}

static enum pare_code wrong_offset(struct api_exchange *x, int64_t is, int64_t sent, struct pare_err *err)
{
	char extra[96];

	api_set_header(x, "Upload-Offset", "%lld", (long long)is);
	(void)snprintf(extra, sizeof extra, "\"expected-offset\":%lld,\"provided-offset\":%lld", (long long)is, (long long)sent);
	return refuse(x, IANA_TYPE "mismatching-upload-offset", extra, pare_err_set(err, PARE_E_CONFLICT, NULL, "the upload has %lld bytes, and Upload-Offset says %lld", (long long)is, (long long)sent));
}

static enum pare_code is_complete(struct api_exchange *x, const struct store_upload *u, struct pare_err *err)
{
	api_set_header_text(x, "Upload-Complete", "?1");
	api_set_header(x, "Upload-Offset", "%lld", (long long)u->n_total);
	return refuse(x, IANA_TYPE "completed-upload", NULL, pare_err_set(err, PARE_E_CONFLICT, NULL, "upload %s is complete: nothing can be appended", u->id));
}

static enum pare_code other_length(struct api_exchange *x, int64_t length, int64_t sum, struct pare_err *err)
{
	return refuse(x, IANA_TYPE "inconsistent-upload-length", NULL, pare_err_set(err, PARE_E_BAD_REQUEST, NULL, "this request would make the upload %lld bytes long, and its length is %lld", (long long)sum, (long long)length));
}

/* --- the head of a POST or PATCH */

static bool announces_body(const struct api_exchange *x)
{
	return x->framing.chunked || x->framing.length > 0;
}

static enum pare_code too_large(struct api_exchange *x, struct pare_err *err)
{
	return pare_err_set(err, PARE_E_TOO_LARGE, NULL, "the upload is larger than the limit of %lld bytes", (long long)x->api->opt.limits.max_upload_bytes);
}

static enum pare_code check_type(struct api_exchange *x, const char *wanted, struct pare_err *err)
{
	const char *type = api_request_header(x, "Content-Type");

	if (api_request_header(x, "Content-Encoding") != NULL && !api_same_nocase(api_request_header(x, "Content-Encoding"), "identity"))
		return pare_err_set(err, PARE_E_MEDIA_TYPE, NULL, "Content-Encoding is not supported; send the bytes as they are");
	if (wanted == NULL || (type != NULL && api_word_is(type, strcspn(type, "; \t"), wanted)))
		return PARE_OK;
	api_set_header(x, "Accept-Patch", TUS_TYPE ", " IETF_TYPE);
	return pare_err_set(err, PARE_E_MEDIA_TYPE, NULL, "Content-Type must be %s here, not \"%.60s\"", wanted, type != NULL ? type : "");
}

static enum pare_code begin_checksum(struct api_resumable *r, struct pare_err *err)
{
	if (r->head.checksum == NULL)
		return PARE_OK;
	r->checksum = store_digest_new(r->head.checksum);
	return r->checksum != NULL ? PARE_OK : pare_err_nomem(err, 0);
}

/* What may still come, against what is announced to come. */
static enum pare_code check_length(struct api_exchange *x, struct pare_err *err)
{
	struct api_resumable *r = x->resumable;
	int64_t max = x->api->opt.limits.max_upload_bytes, total = r->row.n_total, sum = r->n_began + x->framing.length;

	if (total > max)
		return too_large(x, err);
	r->n_left = (total >= 0 ? total : max) - r->n_began;
	if (x->framing.length > r->n_left)
		return total >= 0 ? pare_err_set(err, PARE_E_TOO_LARGE, NULL, "%lld bytes are announced, and %lld are left of the upload's length", (long long)x->framing.length, (long long)r->n_left) : too_large(x, err);
	if (r->head.dialect == API_IETF && r->head.complete && total >= 0 && !x->framing.chunked && sum != total)
		return other_length(x, total, sum, err);
	return PARE_OK;
}

/* With a key it may be one that is there, and takes nothing: the store looks when it is known. */
static bool may_be_known(const struct api_exchange *x)
{
	return x->resumable->is_new && api_request_header(x, "Idempotency-Key") != NULL;
}

static int64_t announced(const struct api_exchange *x)
{
	return x->framing.length > 0 ? x->framing.length : 0;
}

/* What came with a request that was cut off may not be counted yet. A request that brings nothing takes nothing. */
static enum pare_code check_share(struct api_exchange *x, struct pare_err *err)
{
	struct api_resumable *r = x->resumable;

	r->n_new = r->n_began > r->row.n_synced ? r->n_began - r->row.n_synced : 0;
	return announces_body(x) ? store_quota_check(x->view, r->n_new + announced(x), err) : PARE_OK;
}

static enum pare_code take_name(struct api_exchange *x, struct pare_err *err)
{
	struct api_resumable *r = x->resumable;
	const char *name = api_query(x, "name");

	if (name == NULL)
		name = r->head.filename;
	if (strlen(name) >= API_UPLOAD_FILENAME_MAX || !api_plain_text(name))
		return pare_err_set(err, PARE_E_BAD_REQUEST, NULL, "query parameter \"name\" must be text of at most %d bytes", API_UPLOAD_FILENAME_MAX - 1);
	r->row.name = name;
	r->row.metadata = r->head.metadata;
	return PARE_OK;
}

static enum pare_code begin_new(struct api_exchange *x, struct pare_err *err)
{
	struct api_resumable *r = x->resumable;
	enum pare_code rc;

	r->is_new = true;
	r->row.n_total = r->head.length;
	if (r->head.dialect == API_TUS && r->head.length < 0 && !r->head.length_later)
		return pare_err_set(err, PARE_E_BAD_REQUEST, NULL, "tus wants Upload-Length, or Upload-Defer-Length: 1");
	if (r->head.dialect == API_PLAIN && !announces_body(x))
		return pare_err_set(err, PARE_E_BAD_REQUEST, NULL, "send the bytes, or begin an upload: with Tus-Resumable and Upload-Length, or with Upload-Complete: ?0");
	rc = check_type(x, announces_body(x) && r->head.dialect == API_TUS ? TUS_TYPE : NULL, err);
	if (rc == PARE_OK)
		rc = take_name(x, err);
	if (rc == PARE_OK)
		rc = check_length(x, err);
	if (rc == PARE_OK && !may_be_known(x)) /* told before the bytes are sent */
		rc = store_quota_check(x->view, r->row.n_total >= 0 ? r->row.n_total : announced(x), err);
	if (rc != PARE_OK)
		return rc;
	blob_part_name(x->api->opt.blobs, r->row.part);
	return announces_body(x) ? blob_part_open(x->api->opt.blobs, r->row.part, &r->part, err) : PARE_OK;
}

static enum pare_code take_length(struct api_exchange *x, struct pare_err *err)
{
	struct api_resumable *r = x->resumable;

	if (r->head.length < 0)
		return PARE_OK;
	if (r->row.n_total < 0 && r->head.length >= r->n_began)
		r->row.n_total = r->head.length;
	return r->row.n_total == r->head.length ? PARE_OK : other_length(x, r->row.n_total >= 0 ? r->row.n_total : r->n_began, r->head.length, err);
}

static enum pare_code begin_append(struct api_exchange *x, struct pare_err *err)
{
	struct api_resumable *r = x->resumable;
	enum pare_code rc;

	if (r->head.dialect == API_PLAIN)
		return pare_err_set(err, PARE_E_BAD_REQUEST, NULL, "say which protocol this is: Tus-Resumable: " API_TUS_VERSION ", or Upload-Complete: ?0 or ?1");
	if (r->head.offset < 0)
		return pare_err_set(err, PARE_E_BAD_REQUEST, NULL, "Upload-Offset is missing");
	rc = check_type(x, r->head.dialect == API_TUS ? TUS_TYPE : IETF_TYPE, err);
	if (rc == PARE_OK)
		rc = find(x, x->params[0], &r->row, err);
	if (rc != PARE_OK)
		return rc;
	r->stored = true;
	if (r->row.sha256[0] != '\0')
		return is_complete(x, &r->row, err);
	rc = blob_part_open(x->api->opt.blobs, r->row.part, &r->part, err);
	if (rc != PARE_OK)
		return rc;
	r->n_began = blob_part_bytes(r->part);
	if (r->n_began != r->head.offset)
		return wrong_offset(x, r->n_began, r->head.offset, err);
	rc = take_length(x, err);
	if (rc == PARE_OK)
		rc = check_length(x, err);
	return rc == PARE_OK ? check_share(x, err) : rc;
}

enum pare_code api_resumable_begin(struct api_exchange *x, struct pare_err *err)
{
	struct api_resumable *r = pare_calloc(1, sizeof *r);
	enum pare_code rc;

	if (r == NULL)
		return pare_err_nomem(err, sizeof *r);
	x->resumable = r;
	say_limits(x);
	rc = read_head(x, &r->head, err);
	if (rc == PARE_OK)
		rc = begin_checksum(r, err);
	if (rc == PARE_OK)
		rc = strcmp(x->route->method, "POST") == 0 ? begin_new(x, err) : begin_append(x, err);
	return rc;
}

enum pare_code api_resumable_body(struct api_exchange *x, const void *p, size_t n, struct pare_err *err)
{
	struct api_resumable *r = x->resumable;
	enum pare_code rc = PARE_OK;

	if (n > (uint64_t)r->n_left)
		return r->row.n_total >= 0 ? pare_err_set(err, PARE_E_TOO_LARGE, NULL, "more bytes than the upload's length of %lld", (long long)r->row.n_total) : too_large(x, err);
	r->n_left -= (int64_t)n;
	r->n_new += (int64_t)n;
	if (x->framing.chunked && !may_be_known(x)) /* nothing was announced that could have been looked at */
		rc = store_quota_check(x->view, r->n_new, err);
	if (rc != PARE_OK)
		return rc;
	if (r->checksum != NULL)
		store_sha256_add(r->checksum, p, n);
	return blob_part_append(r->part, p, n, err);
}

void api_resumable_free(struct api_exchange *x)
{
	struct api_resumable *r = x->resumable;

	if (r == NULL)
		return;
	blob_part_close(r->part);
	if (r->is_new && !r->stored && r->row.part[0] != '\0')
		blob_part_remove(x->api->opt.blobs, r->row.part);
	if (!r->is_new)
		store_upload_done(&r->row);
	store_sha256_free(r->checksum);
	pare_free(r);
	x->resumable = NULL;
}

/* --- after the last byte of a request */

static enum pare_code check_checksum(struct api_resumable *r, struct pare_err *err)
{
	uint8_t have[32] = {0};
	enum pare_code rc = PARE_OK;

	if (r->checksum == NULL)
		return PARE_OK;
	store_sha256_get(r->checksum, have);
	if (memcmp(have, r->head.digest, r->head.n_digest) == 0)
		return PARE_OK;
	if (r->part != NULL)
		rc = blob_part_cut(r->part, r->n_began, err);
	return rc != PARE_OK ? rc : pare_err_set(err, PARE_E_CHECKSUM, NULL, "the body has another %s than Upload-Checksum says; its bytes are forgotten", r->head.checksum);
}

/* Is the upload whole with this request, and if its client says so, is it true? */
static enum pare_code is_whole(struct api_exchange *x, int64_t n_bytes, bool *out, struct pare_err *err)
{
	const struct api_resumable *r = x->resumable;

	*out = r->head.dialect == API_PLAIN || (r->head.dialect == API_IETF && r->head.complete) || (r->head.dialect == API_TUS && n_bytes == r->row.n_total);
	if (*out && r->row.n_total >= 0 && n_bytes != r->row.n_total)
		return other_length(x, r->row.n_total, n_bytes, err);
	return PARE_OK;
}

static enum pare_code finish_body(struct api_exchange *x, int64_t *out_bytes, bool *out_whole, struct pare_err *err)
{
	struct api_resumable *r = x->resumable;
	enum pare_code rc = check_checksum(r, err);

	*out_bytes = r->part != NULL ? blob_part_bytes(r->part) : 0;
	if (rc == PARE_OK)
		rc = is_whole(x, *out_bytes, out_whole, err);
	if (rc == PARE_OK && r->part != NULL && !*out_whole) /* sealing syncs, too */
		rc = blob_part_sync(r->part, err);
	return rc;
}

static int64_t bytes_there(struct api_exchange *x, const struct store_upload *u)
{
	return u->sha256[0] != '\0' ? u->n_total : blob_part_size(x->api->opt.blobs, u->part);
}

/* What a request for a new upload says it will be, and what of it has come if that is all. */
static enum pare_code once_of(struct api_exchange *x, struct store_idempotency *out, struct pare_err *err)
{
	const struct store_upload *u = &x->resumable->row;
	struct pare_buf said;
	enum pare_code rc;

	pare_buf_init(&said, (size_t)64 << 10);
	(void)pare_buf_printf(&said, "%lld %s %s %s", (long long)u->n_total, u->sha256, u->name != NULL ? u->name : "", u->metadata != NULL ? u->metadata : "");
	rc = pare_buf_status(&said, err);
	if (rc == PARE_OK)
		rc = api_once(x, said.data, out, err);
	pare_buf_done(&said);
	return rc;
}

/* The upload that an earlier request with the same key has begun, as it is now; bytes that came with this one are let go of. */
static enum pare_code reply_again(struct api_exchange *x, const struct store_upload *made, struct pare_err *err)
{
	struct store_upload u;
	enum pare_code rc = store_upload_get(x->view, made->id, &u, err);
	int64_t n_bytes;

	if (rc != PARE_OK)
		return rc;
	n_bytes = bytes_there(x, &u);
	api_once_told(x, made->once);
	api_set_location(x, "/v1/uploads/%s", u.id);
	say_state(x, &u, n_bytes);
	write_upload(x, &u, n_bytes);
	store_upload_done(&u);
	return api_reply_json(x, 201, err);
}

enum pare_code api_post_upload(struct api_exchange *x, struct pare_err *err)
{
	struct api_resumable *r = x->resumable;
	struct store_idempotency once = {.key = NULL};
	int64_t n_bytes;
	bool whole;
	enum pare_code rc = finish_body(x, &n_bytes, &whole, err);

	if (rc != PARE_OK)
		return rc;
	r->row.n_synced = n_bytes;
	if (whole)
		rc = seal(x, &r->row, &r->part, err);
	if (rc != PARE_OK)
		return rc;
	r->row.expires_ms = expiry(x);
	rc = once_of(x, &once, err);
	r->row.once = &once;
	if (rc == PARE_OK)
		rc = store_upload_put(x->view, &r->row, x->api->opt.limits.max_uploads, err);
	r->stored = rc == PARE_OK && !once.replayed;
	if (r->stored && whole)
		rc = place(x, &r->row, err);
	if (whole)
		blob_release(x->api->opt.blobs, r->row.sha256);
	if (whole && !r->stored)
		(void)store_blob_drop(x->api->opt.store, x->api->opt.blobs, r->row.sha256);
	if (rc != PARE_OK)
		return rc;
	if (once.replayed)
		return reply_again(x, &r->row, err);
	api_set_location(x, "/v1/uploads/%s", r->row.id);
	say_state(x, &r->row, n_bytes);
	write_upload(x, &r->row, n_bytes);
	return api_reply_json(x, 201, err);
}

/* Others were faster, and what has come does not fit any more: what was there before is still there. */
static enum pare_code give_back(struct api_resumable *r, struct pare_err *err)
{
	struct pare_err why = *err;
	enum pare_code rc = r->part != NULL ? blob_part_cut(r->part, r->n_began, err) : PARE_OK;

	if (rc != PARE_OK)
		return rc;
	*err = why;
	return why.code;
}

enum pare_code api_patch_upload(struct api_exchange *x, struct pare_err *err)
{
	struct api_resumable *r = x->resumable;
	int64_t n_bytes;
	bool whole;
	enum pare_code rc = finish_body(x, &n_bytes, &whole, err);

	if (rc != PARE_OK)
		return rc;
	if (whole) {
		rc = complete(x, &r->row, &r->part, err);
	} else {
		r->row.n_synced = n_bytes;
		r->row.expires_ms = expiry(x);
		rc = store_upload_update(x->view, &r->row, err);
	}
	if (rc == PARE_E_QUOTA_BYTES)
		rc = give_back(r, err);
	if (rc != PARE_OK)
		return rc;
	say_state(x, &r->row, n_bytes);
	if (r->head.dialect == API_TUS || !whole) {
		api_reply_empty(x, 204);
		return PARE_OK;
	}
	write_upload(x, &r->row, n_bytes);
	return api_reply_json(x, 200, err);
}

/* --- without a body */

/* HEAD asks because it wants to go on: whoever was appending is done. GET only looks. */
static enum pare_code offset_of(struct api_exchange *x, const struct store_upload *u, int64_t *out, struct pare_err *err)
{
	struct blob_part *part;
	enum pare_code rc;

	*out = bytes_there(x, u);
	if (u->sha256[0] != '\0' || !api_is_head(x))
		return PARE_OK;
	rc = blob_part_open(x->api->opt.blobs, u->part, &part, err);
	if (rc != PARE_OK)
		return rc;
	*out = blob_part_bytes(part);
	blob_part_close(part);
	return PARE_OK;
}

enum pare_code api_get_upload(struct api_exchange *x, struct pare_err *err)
{
	struct api_resumable_head head;
	struct store_upload u;
	int64_t offset;
	enum pare_code rc;

	say_limits(x);
	rc = read_head(x, &head, err);
	if (rc == PARE_OK)
		rc = find(x, x->params[0], &u, err);
	if (rc != PARE_OK)
		return rc;
	rc = offset_of(x, &u, &offset, err);
	if (rc == PARE_OK) {
		say_state(x, &u, offset);
		write_upload(x, &u, offset);
		rc = api_reply_json(x, 200, err);
	}
	store_upload_done(&u);
	return rc;
}

/* What has expired and is not yet removed is not there, as for all other requests: such a page is shorter. */
enum pare_code api_get_uploads(struct api_exchange *x, struct pare_err *err)
{
	struct store_upload *list = NULL;
	struct store_page page;
	bool more = false;
	int n = 0;
	enum pare_code rc = api_page_parse(x, "upl", &page, err);

	if (rc == PARE_OK)
		rc = store_upload_list(x->view, &page, &list, &n, &more, err);
	if (rc != PARE_OK)
		return rc;
	api_list_open(x);
	for (int i = 0; i < n; i++)
		if (lives(x, &list[i]))
			write_upload(x, &list[i], bytes_there(x, &list[i]));
	api_list_close(x, more, n > 0 ? list[n - 1].id : NULL);
	store_upload_list_done(list, n);
	return api_reply_json(x, 200, err);
}

enum pare_code api_delete_upload(struct api_exchange *x, struct pare_err *err)
{
	struct api_resumable_head head;
	struct store_upload u;
	enum pare_code rc;

	say_limits(x);
	rc = read_head(x, &head, err);
	if (rc == PARE_OK)
		rc = find(x, x->params[0], &u, err);
	if (rc != PARE_OK)
		return rc;
	rc = store_upload_delete(x->view, u.id, err);
	if (rc == PARE_OK) {
		blob_part_remove(x->api->opt.blobs, u.part);
		if (u.sha256[0] != '\0')
			(void)store_blob_drop(x->api->opt.store, x->api->opt.blobs, u.sha256);
		api_reply_empty(x, 204);
	}
	store_upload_done(&u);
	return rc;
}

enum pare_code api_options_upload(struct api_exchange *x, struct pare_err *err)
{
	(void)err;
	say_limits(x);
	api_set_header_text(x, "Tus-Version", API_TUS_VERSION);
	api_set_header_text(x, "Tus-Extension", API_TUS_EXTENSIONS);
	api_set_header_text(x, "Tus-Checksum-Algorithm", API_TUS_CHECKSUMS);
	api_set_header(x, "Tus-Max-Size", "%lld", (long long)x->api->opt.limits.max_upload_bytes);
	api_set_header(x, "Accept-Patch", TUS_TYPE ", " IETF_TYPE);
	api_reply_empty(x, 204);
	return PARE_OK;
}
