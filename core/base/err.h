/* Errors: a code that a program can act on, and a detail that a person can.
 *
 * Every fallible function returns an enum pare_code (PARE_OK is 0) and fills a caller-owned struct pare_err, its
 * last argument, which may be NULL. The layer that finds the error words it; a layer above adds "where" and never
 * overwrites the message. Codes live in one registry, errcodes.def; api/problem.c maps their class to an HTTP status. */
#ifndef PARE_BASE_ERR_H
#define PARE_BASE_ERR_H

#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>

enum pare_code {
#define PARE_ERROR(sym, str, cls, title) sym,
#include "core/base/errcodes.def"
#undef PARE_ERROR
	PARE_N_CODES
};

enum pare_class {
	PARE_CLASS_NONE,
	PARE_CLASS_SYNTAX,
	PARE_CLASS_BAD_INPUT,
	PARE_CLASS_UNAUTHORIZED,
	PARE_CLASS_FORBIDDEN,
	PARE_CLASS_NOT_FOUND,
	PARE_CLASS_METHOD,
	PARE_CLASS_NOT_ACCEPTABLE,
	PARE_CLASS_MEDIA_TYPE,
	PARE_CLASS_CONFLICT,
	PARE_CLASS_PRECONDITION,
	PARE_CLASS_PRECONDITION_REQUIRED,
	PARE_CLASS_RANGE,
	PARE_CLASS_LENGTH,
	PARE_CLASS_TOO_LARGE,
	PARE_CLASS_HEADERS,
	PARE_CLASS_CHECKSUM,
	PARE_CLASS_TIMEOUT,
	PARE_CLASS_FULL,
	PARE_CLASS_QUOTA,
	PARE_CLASS_BUSY,
	PARE_CLASS_INTERNAL,
	PARE_N_CLASSES
};

#define PARE_ERR_MESSAGE_MAX 400
#define PARE_ERR_WHERE_MAX 200

struct pare_err {
	enum pare_code code;
	char message[PARE_ERR_MESSAGE_MAX]; /* one line, no trailing stop: what is wrong and what would be right */
	char where[PARE_ERR_WHERE_MAX];     /* node "fc1" (Gemm), byte offset 812, JSON pointer /recipe/steps/0, or "" */
};

#define PARE_MUST_USE __attribute__((warn_unused_result))
#define PARE_PRINTF(f, a) __attribute__((format(printf, f, a)))

/* Fills err (when not NULL) and returns code, so that "return pare_err_set(...)" reads as one line. where may be NULL. */
enum pare_code pare_err_set(struct pare_err *err, enum pare_code code, const char *where, const char *fmt, ...)
    PARE_PRINTF(4, 5);

/* Sets "where" if the lower layer left it empty, else prefixes it ("where: lower"). Returns err->code (PARE_E_INTERNAL
 * for NULL). The message stays. */
enum pare_code pare_err_at(struct pare_err *err, const char *fmt, ...) PARE_PRINTF(2, 3);

/* Out of memory, worded in one place. n_bytes 0 when unknown. */
enum pare_code pare_err_nomem(struct pare_err *err, size_t n_bytes);

/* An errno after a failed call: ENOSPC/EDQUOT become PARE_E_STORE_FULL, ENOMEM PARE_E_NOMEM, others PARE_E_IO. */
enum pare_code pare_err_errno(struct pare_err *err, int errnum, const char *what);

/* What long work asks now and then: PARE_E_CANCELED, worded in one place, once the flag is set. cancel NULL: never. */
PARE_MUST_USE enum pare_code pare_err_canceled(struct pare_err *err, const atomic_bool *cancel);

/* The stable string ("shape_mismatch"), title and class of a code. Unknown numbers read as internal_error. */
const char *pare_code_string(enum pare_code code);
const char *pare_code_title(enum pare_code code);
enum pare_class pare_code_class(enum pare_code code);

/* The code of a stable string; PARE_E_INTERNAL when there is none. */
enum pare_code pare_code_from_string(const char *s);

#endif
