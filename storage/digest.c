/* OpenSSL's EVP interface, because the older SHA256_* functions are deprecated and because EVP picks the processor's SHA instructions. EVP may
 * allocate while a digest is set up (store_sha256_new, store_sha256_once) and not afterwards, so adding and getting cannot fail. */
#include "storage/digest.h"

#include <assert.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <string.h>

#include "core/base/mem.h"

struct store_sha256 {
	EVP_MD_CTX *md;
};

struct store_sha256 *store_sha256_new(void)
{
	return store_digest_new("sha256");
}

struct store_sha256 *store_digest_new(const char *algorithm)
{
	struct store_sha256 *h = pare_alloc(sizeof *h);

	if (h == NULL)
		return NULL;
	h->md = EVP_MD_CTX_new();
	if (h->md != NULL && EVP_DigestInit_ex(h->md, strcmp(algorithm, "sha1") == 0 ? EVP_sha1() : EVP_sha256(), NULL) == 1)
		return h;
	store_sha256_free(h);
	return NULL;
}

void store_sha256_add(struct store_sha256 *h, const void *p, size_t n)
{
	int ok = EVP_DigestUpdate(h->md, p, n);

	assert(ok == 1);
	(void)ok;
}

void store_sha256_get(struct store_sha256 *h, uint8_t out[STORE_SHA256_BYTES])
{
	int ok = EVP_DigestFinal_ex(h->md, out, NULL);

	assert(ok == 1);
	(void)ok;
}

void store_sha256_free(struct store_sha256 *h)
{
	if (h == NULL)
		return;
	EVP_MD_CTX_free(h->md);
	pare_free(h);
}

bool store_sha256_once(const void *p, size_t n, uint8_t out[STORE_SHA256_BYTES])
{
	if (EVP_Digest(p, n, out, NULL, EVP_sha256(), NULL) == 1)
		return true;
	memset(out, 0, STORE_SHA256_BYTES);
	return false;
}

bool store_hmac_sha256(const void *key, size_t n_key, const struct store_bytes *pieces, size_t n_pieces, uint8_t out[STORE_SHA256_BYTES])
{
	size_t n_out = STORE_SHA256_BYTES;
	EVP_MD_CTX *md = EVP_MD_CTX_new();
	EVP_PKEY *pkey = EVP_PKEY_new_raw_private_key(EVP_PKEY_HMAC, NULL, key, n_key);
	bool ok = md != NULL && pkey != NULL && EVP_DigestSignInit(md, NULL, EVP_sha256(), NULL, pkey) == 1;

	for (size_t i = 0; i < n_pieces && ok; i++)
		ok = EVP_DigestSignUpdate(md, pieces[i].p, pieces[i].n) == 1;
	ok = ok && EVP_DigestSignFinal(md, out, &n_out) == 1 && n_out == STORE_SHA256_BYTES;
	if (!ok)
		memset(out, 0, STORE_SHA256_BYTES);
	EVP_PKEY_free(pkey);
	EVP_MD_CTX_free(md);
	return ok;
}

void store_hex(const uint8_t *p, size_t n, char *out)
{
	static const char digits[] = "0123456789abcdef";

	for (size_t i = 0; i < n; i++) {
		out[2 * i] = digits[p[i] >> 4];
		out[2 * i + 1] = digits[p[i] & 15];
	}
	out[2 * n] = '\0';
}

bool store_hex_check(const char *s, size_t n_digits)
{
	return strspn(s, "0123456789abcdef") == n_digits && s[n_digits] == '\0';
}

bool store_equal_constant_time(const void *a, const void *b, size_t n)
{
	return CRYPTO_memcmp(a, b, n) == 0;
}
