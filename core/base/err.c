/* The registry of errcodes.def, expanded three times: strings, titles and classes cannot get out of step with the enum. */
#include "core/base/err.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

static const struct {
	const char *string;
	const char *title;
	enum pare_class cls;
} code_table[PARE_N_CODES] = {
#define PARE_ERROR(sym, str, class_, title_) [sym] = {.string = (str), .title = (title_), .cls = (class_)},
#include "core/base/errcodes.def"
#undef PARE_ERROR
};

static enum pare_code known(enum pare_code code)
{
	return (unsigned)code < PARE_N_CODES ? code : PARE_E_INTERNAL;
}

enum pare_code pare_err_set(struct pare_err *err, enum pare_code code, const char *where, const char *fmt, ...)
{
	if (err != NULL) {
		va_list ap;

		err->code = code;
		va_start(ap, fmt);
		(void)vsnprintf(err->message, sizeof err->message, fmt, ap);
		va_end(ap);
		(void)snprintf(err->where, sizeof err->where, "%s", where != NULL ? where : "");
	}
	return code;
}

enum pare_code pare_err_at(struct pare_err *err, const char *fmt, ...)
{
	char place[PARE_ERR_WHERE_MAX];
	char lower[PARE_ERR_WHERE_MAX];
	va_list ap;

	if (err == NULL)
		return PARE_E_INTERNAL;
	va_start(ap, fmt);
	(void)vsnprintf(place, sizeof place, fmt, ap);
	va_end(ap);
	memcpy(lower, err->where, sizeof lower);
	if (lower[0] == '\0')
		(void)snprintf(err->where, sizeof err->where, "%s", place);
	else
		(void)snprintf(err->where, sizeof err->where, "%.90s: %.100s", place, lower);
	return err->code;
}

enum pare_code pare_err_nomem(struct pare_err *err, size_t n_bytes)
{
	if (n_bytes == 0)
		return pare_err_set(err, PARE_E_NOMEM, NULL, "out of memory");
	return pare_err_set(err, PARE_E_NOMEM, NULL, "out of memory: %zu bytes could not be allocated", n_bytes);
}

enum pare_code pare_err_canceled(struct pare_err *err, const atomic_bool *cancel)
{
	if (cancel == NULL || !atomic_load_explicit(cancel, memory_order_relaxed))
		return PARE_OK;
	return pare_err_set(err, PARE_E_CANCELED, NULL, "the job was canceled");
}

enum pare_code pare_err_errno(struct pare_err *err, int errnum, const char *what)
{
	enum pare_code code = PARE_E_IO;

	if (errnum == ENOSPC || errnum == EDQUOT)
		code = PARE_E_STORE_FULL;
	else if (errnum == ENOMEM)
		code = PARE_E_NOMEM;
	return pare_err_set(err, code, NULL, "%s: %s", what, strerror(errnum));
}

const char *pare_code_string(enum pare_code code)
{
	return code_table[known(code)].string;
}

const char *pare_code_title(enum pare_code code)
{
	return code_table[known(code)].title;
}

enum pare_class pare_code_class(enum pare_code code)
{
	return code_table[known(code)].cls;
}

enum pare_code pare_code_from_string(const char *s)
{
	for (int i = 0; i < PARE_N_CODES; i++)
		if (s != NULL && strcmp(code_table[i].string, s) == 0)
			return (enum pare_code)i;
	return PARE_E_INTERNAL;
}
