/* CSV by RFC 4180: comma, double quotes, CRLF or LF, an optional UTF-8 mark; a file whose first line has no comma has semicolons or tabs between its
 * fields, as spreadsheets write them. One pass over the bytes, one field at a time; nothing is kept of a field but its number or, in the
 * label column, its text.
 *
 * Is the first line a header? It is data when every field is a number, and also when only the last is not (the UCI files:
 * 5.1,3.5,1.4,0.2,Iris-setosa) unless that last field is a usual name for a label column. Without a header the columns
 * are called 1, 2, 3 and so on. Which text is a class is decided later, over all files of the set (labels.c).
 * Several label columns hold numbers, and are an array of their own beside that of the features.
 *
 * Numbers: most are short decimals, and m / 10^e is correctly rounded when m < 2^53 and e <= 22 (Clinger 1990), which is
 * ten times faster than strtod; the rest goes to strtod through pare_parse_double. Features are kept as floats until a number says that these
 * would lose digits before its point; then the whole set is read again, into doubles (open.c). */
#include "core/data/data_priv.h"

#include <math.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "core/base/mem.h"
#include "core/base/num.h"

#define RECORD_MAX ((size_t)16 << 20)

struct reader {
	const char *p, *end, *record;
	size_t line; /* of p */
	char separator;
	char *scratch; /* a quoted field without its doubled quotes */
	size_t scratch_size;
	const char *where;
	struct pare_err *err;
};

struct field {
	const char *s;
	size_t n, line;
	bool quoted, last; /* of its record */
};

struct table {
	struct reader r;
	struct data_texts names;
	size_t labels[DATA_CSV_LABELS], n_labels; /* columns */
	struct data_sink x, y; /* y: of several labels */
	size_t n_rows;
	bool wide; /* features are doubles */
};

static enum pare_code too_long(const struct reader *r)
{
	return pare_err_set(r->err, PARE_E_LIMIT, r->where, "line %zu is longer than %zu bytes", r->line, RECORD_MAX);
}

static size_t room(const struct reader *r)
{
	return RECORD_MAX - (size_t)(r->p - r->record);
}

/* Behind a field: a separator, the end of the line or of the file. */
static enum pare_code end_field(struct reader *r, struct field *f, size_t column)
{
	f->last = true;
	if (r->p == r->end)
		return PARE_OK;
	if (*r->p == r->separator) {
		f->last = false;
		r->p++;
		return PARE_OK;
	}
	if (*r->p != '\n' && *r->p != '\r')
		return pare_err_set(r->err, PARE_E_DATASET, r->where, "line %zu, column %zu: %s", r->line, column,
		    *r->p == '\0' ? "a NUL byte (is this a text file?)" : *r->p == '"' ? "a quote inside an unquoted field" : "text behind the closing quote");
	if (*r->p == '\r' && r->end - r->p > 1 && r->p[1] == '\n')
		r->p++;
	r->p++;
	r->line++;
	return PARE_OK;
}

static enum pare_code unescape(struct reader *r, struct field *f)
{
	size_t n = 0;

	if (r->scratch_size < f->n) {
		char *p = pare_realloc(r->scratch, f->n);

		if (p == NULL)
			return pare_err_nomem(r->err, f->n);
		r->scratch = p;
		r->scratch_size = f->n;
	}
	for (size_t i = 0; i < f->n; i++) {
		r->scratch[n++] = f->s[i];
		if (f->s[i] == '"')
			i++;
	}
	f->s = r->scratch;
	f->n = n;
	return PARE_OK;
}

static enum pare_code quoted_field(struct reader *r, struct field *f, size_t column)
{
	bool doubled = false;

	f->quoted = true;
	f->s = ++r->p;
	for (;; r->p++) {
		if (r->p == r->end)
			return pare_err_set(r->err, PARE_E_DATASET, r->where, "line %zu, column %zu: a quoted field is not closed",
			    f->line, column);
		if ((size_t)(r->p - r->record) > RECORD_MAX)
			return too_long(r);
		if (*r->p == '\0')
			return end_field(r, f, column);
		r->line += *r->p == '\n';
		if (*r->p != '"')
			continue;
		if (r->end - r->p < 2 || r->p[1] != '"')
			break;
		doubled = true;
		r->p++;
	}
	f->n = (size_t)(r->p++ - f->s);
	return doubled ? unescape(r, f) : PARE_OK;
}

static bool stops(const struct reader *r, char c)
{
	return c == r->separator || c == '\n' || c == '\r' || c == '"' || c == '\0';
}

static void plain_field(struct reader *r, struct field *f)
{
	size_t left = (size_t)(r->end - r->p), most = left < room(r) ? left : room(r), n = 0;

	while (n < most && !stops(r, r->p[n]))
		n++;
	f->s = r->p;
	f->n = n;
	r->p += n;
	while (f->n > 0 && (f->s[f->n - 1] == ' ' || f->s[f->n - 1] == '\t'))
		f->n--;
	while (f->n > 0 && (*f->s == ' ' || *f->s == '\t')) {
		f->s++;
		f->n--;
	}
}

static enum pare_code next_field(struct reader *r, struct field *f, size_t column)
{
	enum pare_code rc = PARE_OK;

	if (column == 1)
		r->record = r->p;
	*f = (struct field){.line = r->line};
	if (room(r) == 0)
		return too_long(r);
	if (r->p < r->end && *r->p == '"')
		rc = quoted_field(r, f, column);
	else
		plain_field(r, f);
	if (rc == PARE_OK && r->p < r->end && (size_t)(r->p - r->record) >= RECORD_MAX)
		rc = too_long(r);
	return rc == PARE_OK ? end_field(r, f, column) : rc;
}

/* Of the first line that is not blank. */
static char separator_of(const char *p, const char *end)
{
	bool quoted = false;
	char found = ',';

	while (p < end && (*p == '\n' || *p == '\r'))
		p++;
	if ((size_t)(end - p) > RECORD_MAX)
		end = p + RECORD_MAX;
	for (; p < end && (quoted || (*p != '\n' && *p != '\r')); p++)
		if (*p == '"')
			quoted = !quoted;
		else if (!quoted && *p == ',')
			return ',';
		else if (!quoted && found == ',' && (*p == ';' || *p == '\t'))
			found = *p;
	return found;
}

static bool blank(const struct field *f, size_t column)
{
	return column == 1 && f->last && f->n == 0 && !f->quoted;
}

static bool short_decimal(const char *s, size_t n, double *out)
{
	static const double pow10[] = {1, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15};
	bool negative = n > 0 && *s == '-', point = false;
	size_t digits = 0, after = 0;
	uint64_t m = 0;

	for (size_t i = negative; i < n; i++) {
		unsigned d = (unsigned)(s[i] - '0');

		if (s[i] == '.' && !point) {
			point = true;
			continue;
		}
		if (d > 9 || ++digits > 15)
			return false;
		m = m * 10 + d;
		after += point;
	}
	if (digits == 0)
		return false;
	*out = (double)m / pow10[after];
	if (negative)
		*out = -*out;
	return true;
}

static bool number(const struct field *f, double *out)
{
	return short_decimal(f->s, f->n, out) || pare_parse_double(f->s, f->n, out);
}

static enum pare_code bad_number(const struct table *t, const struct field *f, size_t column, double v)
{
	char name[48], text[48];
	const char *n = data_texts_get(&t->names, column);

	data_show(n, strlen(n), name, sizeof name);
	data_show(f->s, f->n, text, sizeof text);
	if (f->n == 0)
		return pare_err_set(t->r.err, PARE_E_DATASET, t->r.where,
		    "line %zu, column %zu (%s): the field is empty; every feature must be a number", f->line, column + 1, name);
	if (data_means_nonfinite(f->s, f->n) || v != 0)
		return pare_err_set(t->r.err, PARE_E_NONFINITE, t->r.where,
		    "line %zu, column %zu (%s): \"%s\" is not a finite 32-bit number", f->line, column + 1, name, text);
	return pare_err_set(t->r.err, PARE_E_DATASET, t->r.where,
	    "line %zu, column %zu (%s): \"%s\" is not a number; only a single label column may hold text", f->line, column + 1, name, text);
}

/* The first line that is not blank, as column names. */
static enum pare_code first_record(struct table *t)
{
	struct field f;

	for (size_t column = 1;; column++) {
		enum pare_code rc;

		if (column == 1 && t->r.p == t->r.end)
			return pare_err_set(t->r.err, PARE_E_DATASET, t->r.where, "the data set has no rows");
		rc = next_field(&t->r, &f, column);
		if (rc == PARE_OK && blank(&f, column)) {
			column = 0;
			continue;
		}
		if (rc == PARE_OK)
			rc = data_texts_add(&t->names, f.s, f.n, f.line, t->r.err);
		if (rc != PARE_OK || f.last)
			return rc;
	}
}

static const char *const label_names[] = {"label", "class", "target", "species", "y"};
#define N_LABEL_NAMES (sizeof label_names / sizeof label_names[0])

static bool is_label_name(const char *s)
{
	for (size_t i = 0; i < N_LABEL_NAMES; i++)
		if (strcasecmp(label_names[i], s) == 0)
			return true;
	return false;
}

static bool has_header(const struct data_texts *names)
{
	double v;

	for (size_t i = 0; i < names->n; i++) {
		const char *s = data_texts_get(names, i);
		struct field f = {.s = s, .n = strlen(s)};

		if (number(&f, &v) || data_means_nonfinite(f.s, f.n))
			continue;
		return i + 1 < names->n || i == 0 || is_label_name(s);
	}
	return false;
}

static enum pare_code number_columns(struct table *t)
{
	size_t n = t->names.n;
	enum pare_code rc = PARE_OK;
	char text[24];

	data_texts_done(&t->names);
	data_texts_init(&t->names);
	for (size_t i = 1; i <= n && rc == PARE_OK; i++)
		rc = data_texts_add(&t->names, text, (size_t)snprintf(text, sizeof text, "%zu", i), 0, t->r.err);
	return rc;
}

static enum pare_code no_such_column(const struct table *t, const char *label, size_t n_label)
{
	char list[240] = "", name[48], wanted[64];
	size_t used = 0;

	for (size_t i = 0; i < t->names.n && used + sizeof name + 8 < sizeof list; i++) {
		const char *s = data_texts_get(&t->names, i);
		int k = snprintf(list + used, sizeof list - used, "%s%s%s", i > 0 ? ", " : "", data_show(s, strlen(s), name, sizeof name),
		    used + 2 * sizeof name + 10 >= sizeof list && i + 1 < t->names.n ? ", ..." : "");

		used += k > 0 ? (size_t)k : 0;
	}
	return pare_err_set(t->r.err, PARE_E_DATASET, t->r.where, "there is no column \"%s\" for the label; the columns are %s",
	    data_show(label, n_label, wanted, sizeof wanted), list);
}

/* Adds the column of that name, n bytes long. */
static enum pare_code add_label(struct table *t, const char *name, size_t n)
{
	char shown[64];

	for (size_t i = 0; i < t->names.n; i++) {
		const char *s = data_texts_get(&t->names, i);

		if (strlen(s) != n || memcmp(s, name, n) != 0)
			continue;
		for (size_t k = 0; k < t->n_labels; k++)
			if (t->labels[k] == i)
				return pare_err_set(t->r.err, PARE_E_DATASET, t->r.where, "the label column \"%s\" is named twice", data_show(name, n, shown, sizeof shown));
		if (t->n_labels == DATA_CSV_LABELS)
			return pare_err_set(t->r.err, PARE_E_LIMIT, t->r.where, "there are more than %d label columns", DATA_CSV_LABELS);
		t->labels[t->n_labels++] = i;
		return PARE_OK;
	}
	return no_such_column(t, name, n);
}

/* Without a name: a usual one, else the last. */
static void usual_label(struct table *t)
{
	t->n_labels = 1;
	t->labels[0] = t->names.n - 1;
	for (size_t k = 0; k < N_LABEL_NAMES; k++)
		for (size_t i = 0; i < t->names.n; i++)
			if (strcasecmp(label_names[k], data_texts_get(&t->names, i)) == 0) {
				t->labels[0] = i;
				return;
			}
}

static enum pare_code find_labels(struct table *t, const char *label)
{
	enum pare_code rc = PARE_OK;

	if (t->names.n < 2)
		return pare_err_set(t->r.err, PARE_E_DATASET, t->r.where,
		    "there is one column only; features and a label are needed, separated by commas, semicolons or tabs");
	if (label == NULL)
		usual_label(t);
	for (size_t n; label != NULL && rc == PARE_OK; label = label[n] == ',' ? label + n + 1 : NULL) {
		n = strcspn(label, ",");
		rc = add_label(t, label, n);
	}
	if (rc == PARE_OK && t->n_labels == t->names.n)
		return pare_err_set(t->r.err, PARE_E_DATASET, t->r.where, "all %zu columns are labels: no features are left", t->n_labels);
	return rc;
}

bool data_csv_many_labels(const struct pare_data_options *opt)
{
	return opt->label != NULL && strchr(opt->label, ',') != NULL;
}

/* Which of the labels column i is; n_labels: none of them. *out_before: labels in columns before it. */
static size_t label_at(const struct table *t, size_t i, size_t *out_before)
{
	size_t at = t->n_labels;

	*out_before = 0;
	for (size_t k = 0; k < t->n_labels; k++) {
		at = t->labels[k] == i ? k : at;
		*out_before += t->labels[k] < i;
	}
	return at;
}

static enum pare_code make_room(struct table *t, size_t x_bytes, size_t y_bytes)
{
	size_t cap = data_sink_cap(&t->x);
	enum pare_code rc;

	if (t->x.flushed + t->x.len + x_bytes > cap || t->n_rows >= DATA_MAX_ROWS)
		return pare_err_set(t->r.err, PARE_E_LIMIT, t->r.where, "the table takes more than the %zu bytes that decoded data may take", cap);
	rc = data_sink_room(&t->x, x_bytes, 0, t->r.err);
	return rc == PARE_OK && y_bytes > 0 ? data_sink_room(&t->y, y_bytes, 0, t->r.err) : rc;
}

/* Does it lose digits before the point as a float, as seconds since 1970 do? */
static bool needs_double(double v)
{
	return fabs(v) > 16777216.0 && ((double)(float)v < v || (double)(float)v > v);
}

static enum pare_code take_field(struct table *t, const struct field *f, size_t i, void *row, float *y, struct data_texts *labels)
{
	size_t before, at = label_at(t, i, &before);
	double v = 0;

	if (at < t->n_labels && f->n == 0)
		return pare_err_set(t->r.err, PARE_E_DATASET, t->r.where, "line %zu, column %zu: the label is empty",
		    f->line, i + 1);
	if (at < t->n_labels && t->n_labels == 1)
		return data_texts_add(labels, f->s, f->n, f->line, t->r.err);
	if (!number(f, &v) || !isfinite((float)v))
		return bad_number(t, f, i, v);
	if (at < t->n_labels)
		y[at] = (float)v;
	else if (t->wide)
		((double *)row)[i - before] = v;
	else
		((float *)row)[i - before] = (float)v;
	if (at >= t->n_labels && !t->wide && needs_double(v)) {
		t->x.d->needs_wide = true;
		return pare_err_set(t->r.err, PARE_E_DATASET, t->r.where, "line %zu, column %zu: the number has more digits than a 32-bit float", f->line, i + 1);
	}
	return PARE_OK;
}

/* One line into row and labels; *got is false for a blank one. */
static enum pare_code read_record(struct table *t, void *row, float *y, struct data_texts *labels, bool *got)
{
	struct field f;
	size_t n = 0, line = t->r.line;

	*got = true;
	do {
		enum pare_code rc = next_field(&t->r, &f, n + 1);

		if (rc == PARE_OK && blank(&f, n + 1)) {
			*got = false;
			return PARE_OK;
		}
		if (rc == PARE_OK && n < t->names.n && !(f.last && n + 1 < t->names.n))
			rc = take_field(t, &f, n, row, y, labels);
		if (rc != PARE_OK)
			return rc;
		n++;
	} while (!f.last);
	if (n != t->names.n)
		return pare_err_set(t->r.err, PARE_E_DATASET, t->r.where, "line %zu has %zu columns, the first line has %zu", line,
		    n, t->names.n);
	return PARE_OK;
}

static enum pare_code read_rows(struct table *t, struct data_texts *labels)
{
	size_t x_bytes = (t->names.n - t->n_labels) * (t->wide ? sizeof(double) : sizeof(float)), y_bytes = t->n_labels > 1 ? t->n_labels * sizeof(float) : 0;
	enum pare_code rc = PARE_OK;
	bool got;

	while (t->r.p < t->r.end) {
		const char *before = t->r.p;

		if ((rc = make_room(t, x_bytes, y_bytes)) != PARE_OK)
			return rc;
		rc = read_record(t, t->x.p + t->x.len, y_bytes > 0 ? (float *)(void *)(t->y.p + t->y.len) : NULL, labels, &got);
		if (rc != PARE_OK)
			return rc;
		t->x.len += got ? x_bytes : 0;
		t->y.len += got ? y_bytes : 0;
		t->n_rows += got;
		data_touch(t->x.d, (size_t)(t->r.p - before));
	}
	return t->n_rows > 0 ? PARE_OK : pare_err_set(t->r.err, PARE_E_DATASET, t->r.where, "the data set has no rows");
}

static enum pare_code finish(struct table *t, struct data_sink *sink, enum data_part part, const struct data_type *type, size_t width, struct data_source *out)
{
	struct pare_span raw;
	enum pare_code rc = data_sink_finish(sink, &raw, t->r.err);

	if (rc != PARE_OK)
		return rc;
	out->role.part = part;
	out->a = (struct data_array){.type = type, .n_dims = 2, .dims = {(int64_t)t->n_rows, (int64_t)width},
	    .n_elems = t->n_rows * width, .raw = raw,
	    .big_endian = __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__};
	return PARE_OK;
}

enum pare_code data_csv_read(struct pare_dataset *d, const struct pare_data_options *opt, struct pare_span s, struct data_source *out, struct data_source *out_labels, struct pare_err *err)
{
	bool mark = s.len >= 3 && memcmp(s.data, "\xef\xbb\xbf", 3) == 0;
	const char *start = (const char *)s.data + (mark ? 3 : 0);
	struct table t = {.r = {.p = start, .end = (const char *)s.data + s.len, .line = 1, .where = out->label, .err = err}, .x = data_sink_of(d, opt, out->label), .y = data_sink_of(d, opt, out->label), .wide = d->wide_tables};
	enum pare_code rc;

	t.r.separator = separator_of(start, t.r.end);
	data_texts_init(&t.names);
	rc = first_record(&t);
	if (rc == PARE_OK && !has_header(&t.names)) {
		t.r.p = start;
		t.r.line = 1;
		rc = number_columns(&t);
	}
	if (rc == PARE_OK)
		rc = find_labels(&t, opt->label);
	if (rc == PARE_OK)
		rc = read_rows(&t, &out->texts);
	if (rc == PARE_OK)
		rc = finish(&t, &t.x, DATA_PART_X, t.wide ? data_type_double() : data_type_float(), t.names.n - t.n_labels, out);
	if (rc == PARE_OK && out_labels != NULL)
		rc = finish(&t, &t.y, DATA_PART_Y, data_type_float(), t.n_labels, out_labels);
	out->table = out_labels == NULL;
	data_texts_done(&t.names);
	data_sink_done(&t.x);
	data_sink_done(&t.y);
	pare_free(t.r.scratch);
	return rc;
}
