/* Small questions about text that comes from outside. Pure functions, no allocation. */
#ifndef API_TEXT_H
#define API_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Length of the well-formed UTF-8 sequence at s[0..n) (RFC 3629: no overlong forms, no surrogates, at most U+10FFFF); 0 if there is none. */
size_t api_utf8_sequence(const char *s, size_t n);
bool api_utf8_valid(const char *s, size_t n);
bool api_plain_text(const char *s); /* UTF-8 without control characters */
/* A token of RFC 9110, section 5.6.2 (methods, header names). The empty string is none. */
bool api_is_token(const char *s, size_t n);
/* Equal without regard to ASCII case. */
bool api_same_nocase(const char *a, const char *b);
/* Is word (any case) the text s[0..n)? */
bool api_word_is(const char *s, size_t n, const char *word);
/* s without blanks and tabs at both ends: returns its start, *n is adjusted. */
const char *api_trim(const char *s, size_t *n);
/* Base 64 with padding; out holds 4 * ((n + 2) / 3) + 1 characters. */
void api_base64(const uint8_t *p, size_t n, char *out);
/* The bytes of a whole base 64 text with padding (RFC 4648, section 4; nothing else in it); 0 if it is none, or more than cap bytes. */
size_t api_base64_decode(const char *s, uint8_t *out, size_t cap);
/* A SHA-256 in lower-case hex (64 digits) as the base 64 of its bytes (RFC 9530). */
#define API_DIGEST_BASE64 45
void api_digest_base64(const char *hex, char out[API_DIGEST_BASE64]);
/* The file name in a client's path or file name, made safe: [A-Za-z0-9._-], no leading dot, 1 to 64 characters. */
#define API_FILENAME_MAX 65
void api_safe_filename(const char *s, char out[API_FILENAME_MAX]);
/* Content negotiation (RFC 9110, section 12.5.1): index of the offered media type that the Accept value wants most, the earlier on a tie; -1 if
 * none is acceptable. accept NULL: the first. offers ends with NULL. */
int api_negotiate(const char *accept, const char *const *offers);

#endif
