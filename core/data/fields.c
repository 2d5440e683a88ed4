/* From sources to fields. Which sources are one field is told by their names: in a set with one array of features in each
 * split (x_train and test-images, say) the names do not matter; with several, those of the same name are the same field, and
 * every split must bring all of them. Pieces of one array are put together by their numbers.
 *
 * Rows are numbered split after split: without a role, train, validation, test. */
#include <stdlib.h>
#include <string.h>

#include "core/base/mem.h"
#include "core/base/num.h"
#include "core/data/data_priv.h"

struct joining {
	struct pare_dataset *d;
	struct data_source *sources;
	size_t n;
	struct pare_err *err;
};

static const char *const group_names[] = {"", "train", "validation", "test"};

static bool has_part(const struct data_source *s, enum data_part part)
{
	return s->role.part == part || (s->table && part == DATA_PART_Y);
}

/* What the user says; else what a word says; else: one number a row is a label, more are features. */
static enum pare_code set_part(struct joining *j, struct data_source *s, const struct pare_data_options *opt)
{
	if (s->a.n_dims == 0)
		return pare_err_set(j->err, PARE_E_DATASET, s->label, "a single number is no array of rows");
	if (s->table)
		return PARE_OK;
	if (s->role.part == DATA_PART_NONE)
		s->role.part = s->a.n_dims == 1 ? DATA_PART_Y : DATA_PART_X;
	for (int i = 0; i < opt->n_roles; i++)
		if (strcmp(opt->roles[i].array, s->role.name) == 0 || strcmp(opt->roles[i].array, s->role.bare) == 0)
			s->role.part = opt->roles[i].is_y ? DATA_PART_Y : DATA_PART_X;
	return PARE_OK;
}

/* One name in each split. */
static bool names_do_not_matter(const struct joining *j, enum data_part part)
{
	const char *names[DATA_N_GROUPS] = {NULL};

	for (size_t i = 0; i < j->n; i++) {
		const struct data_source *s = &j->sources[i];

		if (!has_part(s, part))
			continue;
		if (names[s->role.group] != NULL && strcmp(names[s->role.group], s->role.name) != 0)
			return false;
		names[s->role.group] = s->role.name;
	}
	return true;
}

static const char *kind_of(enum data_part part)
{
	return part == DATA_PART_X ? "features" : "labels";
}

static int by_place(const void *a, const void *b)
{
	const struct data_source *x = ((const struct data_chunk *)a)->src, *y = ((const struct data_chunk *)b)->src;

	if (x->role.group != y->role.group)
		return x->role.group < y->role.group ? -1 : 1;
	return (x->role.piece > y->role.piece) - (x->role.piece < y->role.piece);
}

/* A place of its own in the field for every source. */
static enum pare_code check_places(struct joining *j, const struct data_field *f, enum data_part part)
{
	for (size_t i = 1; i < f->n_chunks; i++) {
		const struct data_source *a = f->chunks[i - 1].src, *b = f->chunks[i].src;

		if (a->role.group == b->role.group && a->role.piece == b->role.piece)
			return pare_err_set(j->err, PARE_E_DATASET, b->label,
			    "this and \"%s\" both hold %s%s%s%s%s: name the files train_x, train_y, test_x, test_y, the inputs of a model after them, and pieces part1, part2", a->label,
			    kind_of(part), f->info->name[0] != '\0' ? " " : "", f->info->name, a->role.group != DATA_GROUP_NONE ? " of split " : "", group_names[a->role.group]);
	}
	return PARE_OK;
}

/* All sources of the part with that name, or of any name, are one field. */
static enum pare_code add_field(struct joining *j, enum data_part part, const struct data_source *first, bool any_name)
{
	struct pare_dataset *d = j->d;
	int *n = part == DATA_PART_X ? &d->info.n_x : &d->info.n_y;
	struct data_field *f;
	enum pare_code rc;

	if (*n == PARE_DATA_FIELDS)
		return pare_err_set(j->err, PARE_E_LIMIT, first->label, "a data set has at most %d arrays of %s in a split", PARE_DATA_FIELDS, kind_of(part));
	f = part == DATA_PART_X ? &d->x[*n] : &d->y[*n];
	f->info = part == DATA_PART_X ? &d->x_info[*n] : &d->y_info[*n];
	++*n;
	if (!first->table) {
		memcpy(f->name, first->role.name, sizeof f->name);
		memcpy(f->bare, first->role.bare, sizeof f->bare);
	}
	f->info->name = f->name;
	rc = data_own_alloc(d, j->n, sizeof *f->chunks, NULL, &f->chunks, j->err);
	if (rc != PARE_OK)
		return rc;
	for (size_t i = 0; i < j->n; i++)
		if (has_part(&j->sources[i], part) && (any_name || strcmp(j->sources[i].role.name, first->role.name) == 0))
			f->chunks[f->n_chunks++] = (struct data_chunk){.src = &j->sources[i]};
	qsort(f->chunks, f->n_chunks, sizeof *f->chunks, by_place);
	return check_places(j, f, part);
}

static enum pare_code find_fields(struct joining *j, enum data_part part)
{
	bool any_name = names_do_not_matter(j, part);
	enum pare_code rc = PARE_OK;

	for (size_t i = 0; i < j->n && rc == PARE_OK; i++) {
		bool seen = false;

		for (size_t k = 0; k < i; k++)
			seen |= has_part(&j->sources[k], part) && (any_name || strcmp(j->sources[k].role.name, j->sources[i].role.name) == 0);
		if (has_part(&j->sources[i], part) && !seen)
			rc = add_field(j, part, &j->sources[i], any_name);
	}
	return rc;
}

static void set_row_shape(struct pare_data_field *info, const struct data_array *a)
{
	info->dtype = a->type->dtype;
	info->row_elems = 1;
	info->n_dims = a->n_dims > 1 ? a->n_dims - 1 : 1;
	info->dims[0] = 1;
	for (int i = 1; i < a->n_dims; i++) {
		info->dims[i - 1] = a->dims[i];
		info->row_elems *= (size_t)a->dims[i]; /* of an array whose elements were counted; or one of no rows, which is refused */
	}
}

/* A y field may be [n] in one file and [n, 1] in another. */
static enum pare_code check_row_shape(const struct data_field *f, const struct data_source *s, struct pare_err *err)
{
	struct pare_data_field other = {.name = NULL};
	const char *kind = kind_of(s->role.part);
	char mine[160], theirs[160];

	set_row_shape(&other, &s->a);
	if (other.n_dims != f->info->n_dims || memcmp(other.dims, f->info->dims, (size_t)other.n_dims * sizeof other.dims[0]) != 0)
		return pare_err_set(err, PARE_E_DATASET, s->label, s->role.part == DATA_PART_X ? "a row has shape %s here and %s in another split" :
		    "there are labels of shape %s a row here and of %s in another file of the set", data_show_dims(other.dims, other.n_dims, mine, sizeof mine),
		    data_show_dims(f->info->dims, f->info->n_dims, theirs, sizeof theirs));
	if (s->a.type != f->type)
		return pare_err_set(err, PARE_E_DATASET, s->label, "the %s are of type %s here and %s in another file of the set", kind, s->a.type->npy,
		    f->type->npy);
	return PARE_OK;
}

static enum pare_code check_source(const struct data_source *s, struct pare_err *err)
{
	if (s->a.dims[0] == 0)
		return pare_err_set(err, PARE_E_DATASET, s->label, "the data set has no rows");
	if (s->a.n_elems == 0)
		return pare_err_set(err, PARE_E_DATASET, s->label, s->role.part == DATA_PART_X ? "the rows have no features" : "the rows have no labels");
	return PARE_OK;
}

/* The chunks of an array: where their values are, of one shape and type. */
static enum pare_code prepare_field(struct joining *j, struct data_field *f, enum data_part part)
{
	enum pare_code rc = PARE_OK;

	for (size_t i = 0; i < f->n_chunks && rc == PARE_OK; i++) {
		struct data_chunk *c = &f->chunks[i];
		const struct data_source *s = c->src;

		if (s->table != f->chunks[0].src->table)
			return pare_err_set(j->err, PARE_E_DATASET, s->label, "tables and arrays do not make one data set");
		f->texts = s->table && part == DATA_PART_Y;
		rc = check_source(s, j->err);
		if (rc != PARE_OK || f->texts) {
			c->n_rows = (size_t)s->a.dims[0];
			f->info->row_elems = 1;
			f->info->n_dims = 1;
			f->info->dims[0] = 1;
			continue;
		}
		if (f->type == NULL) {
			f->type = s->a.type;
			set_row_shape(f->info, &s->a);
			f->row_bytes = f->info->row_elems * f->type->size;
		}
		rc = check_row_shape(f, s, j->err);
		if (rc == PARE_OK)
			rc = data_chunk_prepare(j->d, c, j->err);
		if (rc == PARE_OK && part == DATA_PART_X)
			rc = data_chunk_finite(j->d, c, f->type, f->info->row_elems, j->err);
	}
	return rc;
}

static const struct data_source *source_in(const struct data_field *f, enum data_group group, size_t *n_rows)
{
	const struct data_source *first = NULL;

	*n_rows = 0;
	for (size_t i = 0; i < f->n_chunks; i++)
		if (f->chunks[i].src->role.group == group) {
			first = first != NULL ? first : f->chunks[i].src;
			*n_rows += f->chunks[i].n_rows;
		}
	return first;
}

/* Field f against x field 0, which counts the rows. */
static enum pare_code check_group(struct joining *j, const struct data_field *f, bool is_x, enum data_group group)
{
	size_t n_x, n;
	const struct data_source *x = source_in(&j->d->x[0], group, &n_x), *s = source_in(f, group, &n);

	if (x == NULL && s == NULL)
		return PARE_OK;
	if (x == NULL && !is_x)
		return pare_err_set(j->err, PARE_E_DATASET, s->label, "there are labels but no features for them (a file named with %s%s\"images\" or \"x\")",
		    group_names[group], group ? " and " : "");
	if (s == NULL && !is_x)
		return pare_err_set(j->err, PARE_E_DATASET, x->label, "there are features but no labels for them (a file named with %s%s\"labels\" or \"y\")",
		    group_names[group], group ? " and " : "");
	if (x == NULL || s == NULL)
		return pare_err_set(j->err, PARE_E_DATASET, x == NULL ? s->label : x->label, "there is an array \"%s\" here but no \"%s\" for the same rows",
		    x == NULL ? f->name : j->d->x[0].name, x == NULL ? j->d->x[0].name : f->name);
	if (n != n_x)
		return pare_err_set(j->err, PARE_E_DATASET, x->label, "there are %zu rows here but %zu %s in \"%s\"", n_x, n, is_x ? "rows" : "labels", s->label);
	return PARE_OK;
}

static enum pare_code check_groups(struct joining *j, const struct data_field *f, bool is_x)
{
	enum pare_code rc = PARE_OK;

	for (int g = 0; g < DATA_N_GROUPS && rc == PARE_OK; g++)
		rc = check_group(j, f, is_x, (enum data_group)g);
	return rc;
}

static enum pare_code count_rows(struct joining *j)
{
	static const int split_of_group[] = {-1, PARE_SPLIT_TRAIN, PARE_SPLIT_VALIDATION, PARE_SPLIT_TEST};
	struct pare_dataset *d = j->d;
	size_t n = 0;

	for (int g = 0; g < DATA_N_GROUPS; g++) {
		const struct data_source *s = source_in(&d->x[0], (enum data_group)g, &d->n_group[g]);

		if (!pare_add_size(n, d->n_group[g], &n) || n > DATA_MAX_ROWS)
			return pare_err_set(j->err, PARE_E_LIMIT, s->label, "a data set has at most %zu rows", DATA_MAX_ROWS);
		if (split_of_group[g] >= 0)
			d->info.n_given[split_of_group[g]] = (int64_t)d->n_group[g];
	}
	d->info.n_rows = (int64_t)n;
	return PARE_OK;
}

static void number_rows(struct data_field *f)
{
	size_t n = 0;

	for (size_t i = 0; i < f->n_chunks; i++) {
		f->chunks[i].first_row = n;
		n += f->chunks[i].n_rows;
	}
}

enum pare_code data_fields_join(struct pare_dataset *d, struct data_source *sources, size_t n, const struct pare_data_options *opt,
    struct pare_err *err)
{
	struct joining j = {.d = d, .sources = sources, .n = n, .err = err};
	enum pare_code rc = PARE_OK;

	d->info.x = d->x_info;
	d->info.y = d->y_info;
	for (size_t i = 0; i < n && rc == PARE_OK; i++)
		rc = set_part(&j, &sources[i], opt);
	if (rc == PARE_OK)
		rc = find_fields(&j, DATA_PART_X);
	if (rc == PARE_OK)
		rc = find_fields(&j, DATA_PART_Y);
	if (rc == PARE_OK && d->info.n_x == 0)
		rc = pare_err_set(err, PARE_E_DATASET, sources[0].label, "there are labels but no features for them (a file named with \"images\" or \"x\")");
	for (int i = 0; i < d->info.n_x && rc == PARE_OK; i++)
		rc = prepare_field(&j, &d->x[i], DATA_PART_X);
	for (int i = 0; i < d->info.n_y && rc == PARE_OK; i++)
		rc = prepare_field(&j, &d->y[i], DATA_PART_Y);
	for (int i = 1; i < d->info.n_x && rc == PARE_OK; i++)
		rc = check_groups(&j, &d->x[i], true);
	for (int i = 0; i < d->info.n_y && rc == PARE_OK; i++)
		rc = check_groups(&j, &d->y[i], false);
	if (rc == PARE_OK)
		rc = count_rows(&j);
	for (int i = 0; i < d->info.n_x; i++)
		number_rows(&d->x[i]);
	for (int i = 0; i < d->info.n_y; i++)
		number_rows(&d->y[i]);
	return rc;
}

static int find(const struct data_field *fields, int n, const char *name)
{
	int bare = -1;

	for (int i = 0; i < n; i++) {
		if (strcmp(fields[i].name, name) == 0)
			return i;
		if (strcmp(fields[i].bare, name) == 0)
			bare = i;
	}
	return bare;
}

int pare_data_find_x(const struct pare_dataset *d, const char *name)
{
	return find(d->x, d->info.n_x, name);
}

int pare_data_find_y(const struct pare_dataset *d, const char *name)
{
	return find(d->y, d->info.n_y, name);
}
