/* From files to a data set: unpack (gzip), tell the format by the first bytes, decode into sources, join the sources to
 * fields, check, number the labels.
 *
 * Features stay in the bytes of the file where the order of the values allows. Everything that is allocated for good is charged
 * against max_bytes and hangs on one list, so that there is one way to free a half-built set and one place where a bomb
 * stops. */
#include <stdio.h>
#include <string.h>

#include "core/base/mem.h"
#include "core/base/num.h"
#include "core/data/data_priv.h"

#define DEFAULT_MAX_BYTES ((size_t)4 << 30)
#define SNIFF_BYTES 512

struct opening {
	struct pare_dataset *d;
	const struct pare_data_options *opt;
	struct data_source *sources; /* DATA_MAX_SOURCES */
	size_t n;
	struct pare_err *err;
};

enum pare_code data_charge(struct pare_dataset *d, size_t n_bytes, const char *where, struct pare_err *err)
{
	if (n_bytes > d->bytes_left)
		return pare_err_set(err, PARE_E_LIMIT, where,
		    "the decoded data take more than the limit: %zu bytes more are needed, %zu are left", n_bytes, d->bytes_left);
	d->bytes_left -= n_bytes;
	return PARE_OK;
}

enum pare_code data_own_take(struct pare_dataset *d, void *p, struct pare_err *err)
{
	if (d->n_owned == d->owned_size) {
		size_t want = d->owned_size > 0 ? d->owned_size * 2 : 16;
		void **list = pare_realloc(d->owned, want * sizeof *list);

		if (list == NULL) {
			pare_free(p);
			return pare_err_nomem(err, want * sizeof *list);
		}
		d->owned = list;
		d->owned_size = want;
	}
	d->owned[d->n_owned++] = p;
	return PARE_OK;
}

enum pare_code data_own_alloc(struct pare_dataset *d, size_t n, size_t size, const char *where, void *out, struct pare_err *err)
{
	size_t bytes;
	void *p;
	enum pare_code rc;

	if (!pare_mul_size(n, size, &bytes))
		return pare_err_nomem(err, 0);
	rc = data_charge(d, bytes, where, err);
	if (rc != PARE_OK)
		return rc;
	p = pare_alloc(bytes);
	if (p == NULL)
		return pare_err_nomem(err, bytes);
	rc = data_own_take(d, p, err);
	if (rc == PARE_OK)
		memcpy(out, &p, sizeof p);
	return rc;
}

/* A name that the user writes out whole is a name, whatever words are in it (y_val is no validation split then). */
static bool is_given(const struct pare_data_options *opt, const char *name)
{
	for (int i = 0; i < opt->n_roles; i++)
		if (strcmp(opt->roles[i].array, name) == 0)
			return true;
	return false;
}

static enum pare_code add_source(struct opening *o, const char *file, const char *member, struct data_source **out)
{
	struct data_source *s = &o->sources[o->n];
	const char *slash = strrchr(file, '/');
	struct data_role of_file;
	char f[96], m[96];

	if (o->n == DATA_MAX_SOURCES)
		return pare_err_set(o->err, PARE_E_LIMIT, NULL, "a data set has at most %d files or arrays", DATA_MAX_SOURCES);
	data_show(file, strlen(file), f, sizeof f);
	if (member != NULL)
		snprintf(s->label, sizeof s->label, "%s: %s", f, data_show(member, strlen(member), m, sizeof m));
	else
		snprintf(s->label, sizeof s->label, "%s", f);
	data_role_read(slash != NULL ? slash + 1 : file, &of_file);
	s->role = of_file;
	if (member != NULL && is_given(o->opt, member)) {
		data_role_plain(member, &s->role);
		data_role_complete(&s->role, &of_file);
	} else if (member != NULL) {
		data_role_read(member, &s->role);
		data_role_complete(&s->role, &of_file);
	}
	data_texts_init(&s->texts);
	o->n++;
	*out = s;
	return PARE_OK;
}

static enum pare_code load_idx(struct opening *o, const char *file, struct pare_span s)
{
	struct data_source *src = NULL;
	enum pare_code rc = add_source(o, file, NULL, &src);

	if (rc == PARE_OK)
		rc = data_idx_read(s, src->label, &src->a, o->err);
	if (rc == PARE_OK && src->a.n_dims == 1)
		src->role.part = DATA_PART_Y;
	return rc;
}

/* The files follow each other as they come, whatever their names. */
static enum pare_code load_cifar(struct opening *o, const char *file, struct pare_span s)
{
	struct data_array arrays[DATA_CIFAR_MAX];
	const char *names[DATA_CIFAR_MAX];
	int n = data_cifar_read(s, arrays, names), piece = (int)o->n;
	enum pare_code rc = PARE_OK;

	for (int i = 0; i < n && rc == PARE_OK; i++) {
		struct data_source *src = NULL;

		rc = add_source(o, file, names[i], &src);
		if (rc != PARE_OK)
			break;
		src->a = arrays[i];
		src->role.part = i == 0 ? DATA_PART_X : DATA_PART_Y;
		src->role.piece = piece;
	}
	return rc;
}

static enum pare_code load_npy(struct opening *o, const char *file, struct pare_span s)
{
	struct data_source *src = NULL;
	enum pare_code rc = add_source(o, file, NULL, &src);

	return rc == PARE_OK ? data_npy_read(s, src->label, &src->a, o->err) : rc;
}

static enum pare_code load_csv(struct opening *o, const char *file, struct pare_span s)
{
	struct data_source *x = NULL, *y = NULL;
	bool many = data_csv_many_labels(o->opt);
	enum pare_code rc = add_source(o, file, many ? "x" : NULL, &x);

	if (rc == PARE_OK && many)
		rc = add_source(o, file, "y", &y);
	return rc == PARE_OK ? data_csv_read(o->d, o->opt, s, x, y, o->err) : rc;
}

static enum pare_code load_member(struct opening *o, const char *file, const struct data_zip_entry *e)
{
	struct data_source *src = NULL;
	struct pare_span s;
	char name[96];
	size_t n = e->name_len;
	enum pare_code rc;

	if (n < 5 || memcmp(e->name + n - 4, ".npy", 4) != 0)
		return pare_err_set(o->err, PARE_E_DATASET, file,
		    "the archive holds \"%s\", which is no .npy array: write it with numpy.savez",
		    data_show(e->name, n, name, sizeof name));
	data_show(e->name, n - 4, name, sizeof name);
	rc = add_source(o, file, name, &src);
	if (rc == PARE_OK)
		rc = data_zip_extract(o->d, o->opt, e, src->label, &s, o->err);
	if (rc != PARE_OK)
		return rc;
	if (!data_is_npy(s))
		return pare_err_set(o->err, PARE_E_DATASET, src->label, "this member does not begin like an NPY array");
	return data_npy_read(s, src->label, &src->a, o->err);
}

static enum pare_code load_npz(struct opening *o, const char *file, struct pare_span s)
{
	struct data_zip_entry *list;
	char label[96];
	size_t n;
	enum pare_code rc;

	rc = data_zip_list(s, data_show(file, strlen(file), label, sizeof label), &list, &n, o->err);
	if (rc != PARE_OK)
		return rc;
	for (size_t i = 0; i < n && rc == PARE_OK; i++)
		rc = load_member(o, file, &list[i]);
	pare_free(list);
	return rc;
}

static bool looks_like_text(struct pare_span s)
{
	for (size_t i = 0; i < s.len && i < SNIFF_BYTES; i++)
		if ((s.data[i] < ' ' && s.data[i] != '\t' && s.data[i] != '\n' && s.data[i] != '\r') || s.data[i] == 0x7f)
			return false;
	return true;
}

static const struct format_row {
	const char *name;
	bool (*is)(struct pare_span s);
	enum pare_code (*load)(struct opening *o, const char *file, struct pare_span s);
} format_table[] = {
    {"idx", data_is_idx, load_idx},
    {"npy", data_is_npy, load_npy},
    {"npz", data_is_zip, load_npz},
    {"cifar", data_is_cifar, load_cifar},
    {"csv", looks_like_text, load_csv},
};
#define N_FORMATS (sizeof format_table / sizeof format_table[0])

const char *pare_data_format_at(size_t i)
{
	return i < N_FORMATS ? format_table[i].name : NULL;
}

static enum pare_code unknown_format(struct pare_span s, const char *where, struct pare_err *err)
{
	char hex[16] = "";

	for (size_t i = 0; i < 4 && i < s.len; i++)
		snprintf(hex + strlen(hex), sizeof hex - strlen(hex), "%s%02x", i > 0 ? " " : "", s.data[i]);
	return pare_err_set(err, PARE_E_DATASET, where, "this is no IDX, NPY, NPZ, CIFAR or CSV file, plain or gzipped (it begins with %s)", hex);
}

static enum pare_code unpack(struct opening *o, const char *where, struct pare_span *s)
{
	struct data_sink sink = data_sink_of(o->d, o->opt, where);
	enum pare_code rc;

	if (!data_is_gzip(*s))
		return PARE_OK;
	rc = data_gunzip(*s, &sink, o->err);
	if (rc == PARE_OK)
		rc = data_sink_finish(&sink, s, o->err);
	data_sink_done(&sink);
	return rc;
}

static enum pare_code load_file(struct opening *o, const struct pare_data_file *f)
{
	struct pare_span s = f->bytes;
	const struct format_row *row = NULL;
	char where[96];
	enum pare_code rc;

	data_show(f->name, strlen(f->name), where, sizeof where);
	rc = unpack(o, where, &s);
	if (rc != PARE_OK)
		return rc;
	if (s.len == 0)
		return pare_err_set(o->err, PARE_E_DATASET, where, "the data set has no rows: the file is empty");
	for (size_t i = 0; i < N_FORMATS && row == NULL; i++)
		row = format_table[i].is(s) ? &format_table[i] : NULL;
	if (row == NULL)
		return unknown_format(s, where, o->err);
	if (o->d->info.format != NULL && strcmp(o->d->info.format, row->name) != 0)
		return pare_err_set(o->err, PARE_E_DATASET, where,
		    "this file is %s, another of the set is %s: one data set has one format", row->name, o->d->info.format);
	o->d->info.format = row->name;
	return row->load(o, f->name, s);
}

static enum pare_code open_all(struct opening *o, const struct pare_data_file *files, int n_files)
{
	struct pare_dataset *d = o->d;
	enum pare_code rc = PARE_OK;

	for (int i = 0; i < n_files && o->opt->mapped && rc == PARE_OK; i++)
		rc = data_pages_add(d, files[i].bytes, false, o->err);
	d->streams = data_pages_stream(d, o->opt->stream);
	for (int i = 0; i < n_files && rc == PARE_OK; i++)
		rc = load_file(o, &files[i]);
	d->streams = data_pages_stream(d, o->opt->stream); /* what was spilled counts, too */
	if (rc == PARE_OK)
		rc = data_pages_watch(d, o->err);
	if (rc == PARE_OK && o->n == 0)
		rc = pare_err_set(o->err, PARE_E_DATASET, NULL, "the data set has no rows: it has no files or arrays");
	if (rc == PARE_OK)
		rc = data_fields_join(d, o->sources, o->n, o->opt, o->err);
	for (int i = 0; i < d->info.n_y && rc == PARE_OK; i++)
		rc = data_labels_resolve(d, &d->y[i], o->opt, o->err);
	if (rc == PARE_OK)
		rc = data_split_given(d, o->err);
	for (int i = 0; i < d->info.n_x && rc == PARE_OK; i++)
		rc = pare_data_normalize(d, i, PARE_NORM_AUTO, o->err);
	return rc;
}

static void forget_sources(struct data_field *f, int n)
{
	for (int i = 0; i < n; i++)
		for (size_t k = 0; k < f[i].n_chunks; k++)
			f[i].chunks[k].src = NULL;
}

/* *needs_wide: it failed because floats do not hold what is in a table. */
static enum pare_code open_once(const struct pare_data_file *files, int n_files, const struct pare_data_options *opt, bool wide, struct pare_dataset **out,
    bool *needs_wide, struct pare_err *err)
{
	static const struct pare_data_options defaults = {.label = NULL};
	struct opening o = {.opt = opt != NULL ? opt : &defaults, .err = err};
	enum pare_code rc;

	o.d = pare_calloc(1, sizeof *o.d);
	o.sources = pare_calloc(DATA_MAX_SOURCES, sizeof *o.sources);
	if (o.d != NULL)
		o.d->pages.touched = pare_calloc(1, sizeof *o.d->pages.touched);
	if (o.d == NULL || o.sources == NULL || o.d->pages.touched == NULL) {
		rc = pare_err_nomem(err, DATA_MAX_SOURCES * sizeof *o.sources);
	} else {
		o.d->bytes_left = o.opt->max_bytes != 0 ? o.opt->max_bytes : DEFAULT_MAX_BYTES;
		o.d->wide_tables = wide;
		rc = open_all(&o, files, n_files);
		*needs_wide = o.d->needs_wide;
	}
	for (size_t i = 0; i < o.n; i++)
		data_texts_done(&o.sources[i].texts);
	pare_free(o.sources);
	if (rc != PARE_OK) {
		pare_data_free(o.d);
		return rc;
	}
	forget_sources(o.d->x, o.d->info.n_x);
	forget_sources(o.d->y, o.d->info.n_y);
	*out = o.d;
	return PARE_OK;
}

/* Tables are floats, unless a number says that they must not be: all of a set have one type. */
enum pare_code pare_data_open(const struct pare_data_file *files, int n_files, const struct pare_data_options *opt,
    struct pare_dataset **out, struct pare_err *err)
{
	bool needs_wide = false;
	enum pare_code rc = open_once(files, n_files, opt, false, out, &needs_wide, err);

	return rc != PARE_OK && needs_wide ? open_once(files, n_files, opt, true, out, &needs_wide, err) : rc;
}

void pare_data_free(struct pare_dataset *d)
{
	if (d == NULL)
		return;
	for (size_t i = 0; i < d->n_owned; i++)
		pare_free(d->owned[i]);
	data_pages_done(d);
	pare_free(d->pages.touched);
	pare_free(d->pages.areas);
	pare_free(d->owned);
	pare_free(d->rows);
	pare_free(d->split_of);
	for (int i = 0; i < d->info.n_x; i++) {
		pare_free(d->x[i].mean);
		pare_free(d->x[i].std);
		pare_free(d->x[i].shift);
		pare_free(d->x[i].inv_std);
	}
	pare_free(d);
}

const struct pare_data_info *pare_data_info(const struct pare_dataset *d)
{
	return &d->info;
}
