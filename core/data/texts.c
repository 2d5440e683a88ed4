/* Lists of texts (column names, labels), and text made fit for messages: what comes from a file may hold control
 * characters or broken UTF-8, which must reach neither a terminal nor a JSON document. */
#include "core/data/data_priv.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "core/base/mem.h"
#include "core/base/num.h"

void data_texts_init(struct data_texts *t)
{
	memset(t, 0, sizeof *t);
	pare_buf_init(&t->buf, SIZE_MAX / 2);
}

void data_texts_done(struct data_texts *t)
{
	pare_buf_done(&t->buf);
	pare_free(t->offsets);
	pare_free(t->lines);
	memset(t, 0, sizeof *t);
}

static enum pare_code make_room(struct data_texts *t, struct pare_err *err)
{
	size_t want = t->size > 0 ? t->size * 2 : 64, bytes;
	void *p;

	if (!pare_mul_size(want, sizeof *t->offsets, &bytes))
		return pare_err_nomem(err, 0);
	p = pare_realloc(t->offsets, bytes);
	if (p == NULL)
		return pare_err_nomem(err, bytes);
	t->offsets = p;
	p = pare_realloc(t->lines, want * sizeof *t->lines);
	if (p == NULL)
		return pare_err_nomem(err, bytes);
	t->lines = p;
	t->size = want;
	return PARE_OK;
}

enum pare_code data_texts_add(struct data_texts *t, const char *s, size_t n, size_t line, struct pare_err *err)
{
	size_t at = t->buf.len;
	enum pare_code rc = t->n == t->size ? make_room(t, err) : PARE_OK;

	if (rc != PARE_OK)
		return rc;
	if (!pare_buf_add(&t->buf, s, n) || !pare_buf_add(&t->buf, "", 1))
		return pare_buf_status(&t->buf, err);
	t->offsets[t->n] = at;
	t->lines[t->n] = line < UINT32_MAX ? (uint32_t)line : UINT32_MAX;
	t->n++;
	return PARE_OK;
}

const char *data_texts_get(const struct data_texts *t, size_t i)
{
	return t->buf.data + t->offsets[i];
}

bool data_means_nonfinite(const char *s, size_t n)
{
	static const char *const words[] = {"nan", "inf", "infinity"};
	size_t sign = n > 0 && (*s == '-' || *s == '+');

	for (size_t i = 0; i < sizeof words / sizeof words[0]; i++)
		if (strlen(words[i]) == n - sign && strncasecmp(s + sign, words[i], n - sign) == 0)
			return true;
	return false;
}

const char *data_show(const char *s, size_t len, char *out, size_t n)
{
	size_t i;

	for (i = 0; i < len && i + 1 < n; i++)
		out[i] = s[i] >= ' ' && s[i] <= '~' ? s[i] : '?';
	out[i] = '\0';
	if (i < len && n > 4)
		memcpy(out + n - 4, "...", 4);
	return out;
}

const char *data_show_dims(const int64_t *dims, int n_dims, char *out, size_t n)
{
	size_t used = 0;

	out[0] = '\0';
	for (int i = 0; i < n_dims && used < n; i++) {
		int k = snprintf(out + used, n - used, "%s%lld", i == 0 ? "[" : ", ", (long long)dims[i]);

		used += k > 0 ? (size_t)k : 0;
	}
	if (used + 1 < n)
		snprintf(out + used, n - used, n_dims == 0 ? "[]" : "]");
	return out;
}
