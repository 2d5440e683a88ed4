/* SHA-256 and other things from libcrypto, the one library for them. */
#ifndef STORAGE_DIGEST_H
#define STORAGE_DIGEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/base/err.h"

#define STORE_SHA256_BYTES 32
#define STORE_SHA256_HEX 65 /* with NUL */

struct store_sha256; /* a running digest */
struct store_sha256 *store_sha256_new(void); /* NULL: out of memory */
/* The same for another algorithm, "sha1" (20 bytes) or "sha256". */
struct store_sha256 *store_digest_new(const char *algorithm);
void store_sha256_add(struct store_sha256 *h, const void *p, size_t n);
void store_sha256_get(struct store_sha256 *h, uint8_t out[STORE_SHA256_BYTES]); /* ends it */
void store_sha256_free(struct store_sha256 *h);
/* false: out of memory, and out is all zero. */
PARE_MUST_USE bool store_sha256_once(const void *p, size_t n, uint8_t out[STORE_SHA256_BYTES]);
/* RFC 2104 over SHA-256, of the pieces one after the other. false: out of memory, and out is all zero. */
struct store_bytes {
	const void *p;
	size_t n;
};
PARE_MUST_USE bool store_hmac_sha256(const void *key, size_t n_key, const struct store_bytes *pieces, size_t n_pieces, uint8_t out[STORE_SHA256_BYTES]);
void store_hex(const uint8_t *p, size_t n, char *out /* 2n + 1 */);
bool store_hex_check(const char *s, size_t n_digits); /* lower-case hex of exactly that length */
/* Equal, in time that depends on n only. */
bool store_equal_constant_time(const void *a, const void *b, size_t n);

#endif
