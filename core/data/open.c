/* From files to a data set: unpack (gzip), tell the format by the first bytes, decode into sources, join the sources of
 * each split into a block, check, number the labels.
 *
 * Rows are numbered block by block: without a role, train, validation, test. Features stay in the bytes of the file where
 * order and byte order allow. Everything that is allocated for good is charged against max_bytes and hangs on one list,
 * so that there is one way to free a half-built set and one place where a bomb stops. */
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

static enum pare_code add_source(struct opening *o, const char *file, const char *member, struct data_source **out)
{
	struct data_source *s = &o->sources[o->n];
	char f[96], m[96];

	if (o->n == DATA_MAX_SOURCES)
		return pare_err_set(o->err, PARE_E_LIMIT, NULL, "a data set has at most %d files or arrays", DATA_MAX_SOURCES);
	data_show(file, strlen(file), f, sizeof f);
	if (member != NULL)
		snprintf(s->label, sizeof s->label, "%s: %s", f, data_show(member, strlen(member), m, sizeof m));
	else
		snprintf(s->label, sizeof s->label, "%s", f);
	if (member != NULL)
		data_role(member, &s->group, &s->part);
	data_role(file, &s->group, &s->part);
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
		src->part = DATA_PART_Y;
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
	struct data_source *src = NULL;
	enum pare_code rc = add_source(o, file, NULL, &src);

	return rc == PARE_OK ? data_csv_read(o->d, s, o->opt->label, src, o->err) : rc;
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
		rc = data_zip_extract(o->d, e, src->label, &s, o->err);
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
    {"csv", looks_like_text, load_csv},
};
#define N_FORMATS (sizeof format_table / sizeof format_table[0])

static enum pare_code unknown_format(struct pare_span s, const char *where, struct pare_err *err)
{
	char hex[16] = "";

	for (size_t i = 0; i < 4 && i < s.len; i++)
		snprintf(hex + strlen(hex), sizeof hex - strlen(hex), "%s%02x", i > 0 ? " " : "", s.data[i]);
	return pare_err_set(err, PARE_E_DATASET, where, "this is no IDX, NPY, NPZ or CSV file, plain or gzipped (it begins with %s)", hex);
}

static enum pare_code unpack(struct opening *o, const char *where, struct pare_span *s)
{
	uint8_t *p;
	size_t n;
	enum pare_code rc;

	if (!data_is_gzip(*s))
		return PARE_OK;
	rc = data_gunzip(*s, o->d->bytes_left, where, &p, &n, o->err);
	if (rc != PARE_OK)
		return rc;
	*s = (struct pare_span){p, n};
	o->d->bytes_left -= n;
	return data_own_take(o->d, p, o->err);
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

/* Where no word says it: one number a row is a label, more are features. */
static void guess_part(struct data_source *s)
{
	if (s->part == DATA_PART_NONE)
		s->part = s->a.n_dims == 1 ? DATA_PART_Y : DATA_PART_X;
}

static const char *const group_names[] = {"", "train", "validation", "test"};

static enum pare_code place(struct opening *o, struct data_source *s)
{
	struct data_block *b = &o->d->blocks[s->group];
	const struct data_source **slot = s->part == DATA_PART_X ? &b->sx : &b->sy;

	if (s->a.n_dims == 0)
		return pare_err_set(o->err, PARE_E_DATASET, s->label, "a single number is no array of rows");
	if (*slot != NULL)
		return pare_err_set(o->err, PARE_E_DATASET, s->label,
		    "this and \"%s\" both hold %s%s%s: name the files train_x, train_y, test_x, test_y", (*slot)->label,
		    s->part == DATA_PART_X ? "features" : "labels", s->group != DATA_GROUP_NONE ? " of split " : "", group_names[s->group]);
	*slot = s;
	return PARE_OK;
}

static enum pare_code check_pair(const struct data_block *b, struct pare_err *err)
{
	const struct data_source *x = b->sx, *y = b->sy;

	if (x == NULL)
		return pare_err_set(err, PARE_E_DATASET, y->label,
		    "there are labels but no features for them (a file named with %s%s\"images\" or \"x\")", group_names[y->group],
		    y->group ? " and " : "");
	if (!x->table && y == NULL)
		return pare_err_set(err, PARE_E_DATASET, x->label,
		    "there are features but no labels for them (a file named with %s%s\"labels\" or \"y\")", group_names[x->group],
		    x->group ? " and " : "");
	if (!x->table && x->a.dims[0] != y->a.dims[0])
		return pare_err_set(err, PARE_E_DATASET, x->label, "there are %lld rows here but %lld labels in \"%s\"",
		    (long long)x->a.dims[0], (long long)y->a.dims[0], y->label);
	if (x->a.dims[0] == 0)
		return pare_err_set(err, PARE_E_DATASET, x->label, "the data set has no rows");
	if (x->a.n_elems == 0)
		return pare_err_set(err, PARE_E_DATASET, x->label, "the rows have no features");
	return PARE_OK;
}

static void set_row_shape(struct pare_dataset *d, const struct data_array *a)
{
	d->type = a->type;
	d->info.dtype = a->type->dtype;
	d->info.row_elems = a->n_elems / (size_t)a->dims[0];
	d->row_bytes = d->info.row_elems * a->type->size;
	d->info.n_dims = a->n_dims > 1 ? a->n_dims - 1 : 1;
	d->info.dims[0] = 1;
	for (int i = 1; i < a->n_dims; i++)
		d->info.dims[i - 1] = a->dims[i];
}

static enum pare_code check_row_shape(const struct pare_dataset *d, const struct data_source *s, struct pare_err *err)
{
	struct pare_dataset other = {.type = NULL};
	char mine[160], theirs[160];

	set_row_shape(&other, &s->a);
	if (other.info.n_dims != d->info.n_dims ||
	    memcmp(other.info.dims, d->info.dims, (size_t)d->info.n_dims * sizeof d->info.dims[0]) != 0)
		return pare_err_set(err, PARE_E_DATASET, s->label, "a row has shape %s here and %s in another split",
		    data_show_dims(other.info.dims, other.info.n_dims, mine, sizeof mine),
		    data_show_dims(d->info.dims, d->info.n_dims, theirs, sizeof theirs));
	if (other.type != d->type)
		return pare_err_set(err, PARE_E_DATASET, s->label, "the features are of type %s here and %s in another split",
		    other.type->npy, d->type->npy);
	return PARE_OK;
}

static enum pare_code join(struct opening *o)
{
	static const int split_of_group[] = {-1, PARE_SPLIT_TRAIN, PARE_SPLIT_VALIDATION, PARE_SPLIT_TEST};
	struct pare_dataset *d = o->d;
	size_t n = 0;

	for (int g = 0; g < DATA_N_GROUPS; g++) {
		struct data_block *b = &d->blocks[g];
		enum pare_code rc;

		b->first_row = n;
		if (b->sx == NULL && b->sy == NULL)
			continue;
		if ((rc = check_pair(b, o->err)) != PARE_OK)
			return rc;
		if (d->type == NULL)
			set_row_shape(d, &b->sx->a);
		if ((rc = check_row_shape(d, b->sx, o->err)) != PARE_OK || (rc = data_array_prepare(d, b->sx, &b->x, o->err)) != PARE_OK)
			return rc;
		b->n_rows = (size_t)b->sx->a.dims[0];
		if (!pare_add_size(n, b->n_rows, &n) || n > DATA_MAX_ROWS)
			return pare_err_set(o->err, PARE_E_LIMIT, b->sx->label, "a data set has at most %zu rows", DATA_MAX_ROWS);
		if (split_of_group[g] >= 0)
			d->info.n_given[split_of_group[g]] = (int64_t)b->n_rows;
	}
	d->info.n_rows = (int64_t)n;
	return PARE_OK;
}

static enum pare_code open_all(struct opening *o, const struct pare_data_file *files, int n_files)
{
	enum pare_code rc = PARE_OK;

	for (int i = 0; i < n_files && rc == PARE_OK; i++)
		rc = load_file(o, &files[i]);
	if (rc == PARE_OK && o->n == 0)
		rc = pare_err_set(o->err, PARE_E_DATASET, NULL, "the data set has no rows: it has no files or arrays");
	for (size_t i = 0; i < o->n && rc == PARE_OK; i++) {
		guess_part(&o->sources[i]);
		rc = place(o, &o->sources[i]);
	}
	if (rc == PARE_OK)
		rc = join(o);
	if (rc == PARE_OK)
		rc = data_labels_resolve(o->d, o->opt, o->err);
	if (rc == PARE_OK)
		rc = data_split_given(o->d, o->err);
	if (rc == PARE_OK)
		rc = pare_data_normalize(o->d, PARE_NORM_AUTO, o->err);
	return rc;
}

enum pare_code pare_data_open(const struct pare_data_file *files, int n_files, const struct pare_data_options *opt,
    struct pare_dataset **out, struct pare_err *err)
{
	static const struct pare_data_options defaults = {.label = NULL};
	struct opening o = {.opt = opt != NULL ? opt : &defaults, .err = err};
	enum pare_code rc;

	o.d = pare_calloc(1, sizeof *o.d);
	o.sources = pare_calloc(DATA_MAX_SOURCES, sizeof *o.sources);
	if (o.d == NULL || o.sources == NULL) {
		rc = pare_err_nomem(err, DATA_MAX_SOURCES * sizeof *o.sources);
	} else {
		o.d->bytes_left = o.opt->max_bytes != 0 ? o.opt->max_bytes : DEFAULT_MAX_BYTES;
		rc = open_all(&o, files, n_files);
	}
	for (size_t i = 0; i < o.n; i++)
		data_texts_done(&o.sources[i].texts);
	pare_free(o.sources);
	if (rc != PARE_OK) {
		pare_data_free(o.d);
		return rc;
	}
	for (int g = 0; g < DATA_N_GROUPS; g++)
		o.d->blocks[g].sx = o.d->blocks[g].sy = NULL;
	*out = o.d;
	return PARE_OK;
}

void pare_data_free(struct pare_dataset *d)
{
	if (d == NULL)
		return;
	for (size_t i = 0; i < d->n_owned; i++)
		pare_free(d->owned[i]);
	pare_free(d->owned);
	pare_free(d->rows);
	pare_free(d->split_of);
	pare_free(d->mean);
	pare_free(d->std);
	pare_free(d->inv_std);
	pare_free(d);
}

const struct pare_data_info *pare_data_info(const struct pare_dataset *d)
{
	return &d->info;
}
