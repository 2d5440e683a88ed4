/* Names, versions, aliases. One place reads references, so that "name:3" means the same in a path, in a job and in an alias. A reference is split at its last
 * ':' or '@', which no name may hold; names from before that was so are found as ids only. */
#include "storage/registry.h"

#include <string.h>

#include "core/base/num.h"
#include "storage/store_priv.h"

static bool looks_like_id(const char *s)
{
	return pare_id_check(s, "mdl") || pare_id_check(s, "dst") || pare_id_check(s, "rcp");
}

bool store_name_ok(const char *name)
{
	size_t n = strlen(name);

	if (n == 0 || n >= STORE_NAME_MAX || strpbrk(name, "/\\:@") != NULL || strcmp(name, ".") == 0 || strcmp(name, "..") == 0 || looks_like_id(name))
		return false;
	return name[0] != ' ' && name[n - 1] != ' ' && store_text_ok(name);
}

bool store_alias_ok(const char *alias)
{
	static const char chars[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-.";
	size_t n = strlen(alias);

	return n > 0 && n < STORE_ALIAS_MAX && alias[0] != '.' && strspn(alias, chars) == n && strspn(alias, "0123456789") < n;
}

struct reference {
	char name[STORE_NAME_MAX];
	int64_t version; /* 0: the newest */
	const char *alias; /* NULL: none */
};

/* False: nothing can be called that. */
static bool read_reference(const char *s, struct reference *out)
{
	const char *mark = strpbrk(s, ":@");
	size_t n = mark != NULL ? (size_t)(mark - s) : strlen(s);

	memset(out, 0, sizeof *out);
	if (n == 0 || n >= sizeof out->name)
		return false;
	memcpy(out->name, s, n);
	if (mark != NULL && (*mark == ':' || strspn(mark + 1, "0123456789") == strlen(mark + 1)))
		return pare_parse_i64(mark + 1, strlen(mark + 1), 1, INT64_MAX, &out->version);
	out->alias = mark != NULL ? mark + 1 : NULL;
	return out->alias == NULL || store_alias_ok(out->alias);
}

enum pare_code store_register_check(const char *as, struct pare_err *err)
{
	struct reference r;

	if (read_reference(as, &r) && r.version == 0 && store_name_ok(r.name))
		return PARE_OK;
	return pare_err_set(err, PARE_E_INVALID, "/register", "\"%.80s\" is neither a name nor name@alias: " STORE_NAME_RULE, as);
}

enum pare_code store_register(struct store_view v, struct store_tx *tx, const char *as, struct store_asset *a, struct pare_err *err)
{
	const char *given = a->name;
	struct reference r;
	enum pare_code code;

	code = store_register_check(as, err);
	(void)read_reference(as, &r);
	a->name = r.name;
	if (code == PARE_OK)
		code = store_asset_insert(v, tx, a, err);
	a->name = given;
	if (code == PARE_OK && r.alias != NULL)
		code = v.store->ops->alias_put(tx, v.owner, a->kind, r.name, r.alias, a->id, err);
	return code;
}

enum pare_code store_asset_resolve(struct store_view v, enum store_asset_kind kind, const char *reference, char out_id[PARE_ID_MAX], struct pare_err *err)
{
	const struct store_ops *ops = v.store->ops;
	struct reference r;
	struct store_tx *tx;
	char id[PARE_ID_MAX] = "";
	enum pare_code code;

	if (pare_id_check(reference, store_asset_prefix(kind))) {
		memcpy(out_id, reference, strlen(reference) + 1);
		return PARE_OK;
	}
	code = read_reference(reference, &r) ? ops->begin(v.store, false, &tx, err) : PARE_E_NOT_FOUND;
	if (code == PARE_OK) {
		code = r.alias != NULL ? ops->alias_load(tx, v.owner, kind, r.name, r.alias, id, err) : ops->asset_named(tx, v.owner, kind, r.name, r.version, id, err);
		code = ops->end(tx, code, err);
	}
	if (code == PARE_E_NOT_FOUND || (code == PARE_OK && id[0] == '\0'))
		return pare_err_set(err, PARE_E_NOT_FOUND, NULL, "there is no %s \"%.80s\"", store_asset_noun(kind), reference);
	if (code == PARE_OK)
		memcpy(out_id, id, sizeof id);
	return code;
}

/* --- aliases */
static enum pare_code check_expected(const char *name, const char *alias, const char *now, const char *expected, struct pare_err *err)
{
	if (expected == NULL || strcmp(now, expected) == 0)
		return PARE_OK;
	if (now[0] == '\0')
		return pare_err_set(err, PARE_E_PRECONDITION, NULL, "%.80s@%.64s does not exist", name, alias);
	return pare_err_set(err, PARE_E_PRECONDITION, NULL, "%.80s@%.64s means %s now", name, alias, now);
}

static enum pare_code put(struct store_view v, struct store_tx *tx, enum store_asset_kind kind, const char *name, const char *alias, const char *id, const char *expected, bool *out_made, struct pare_err *err)
{
	const struct store_ops *ops = v.store->ops;
	struct store_asset a = {.memory = NULL};
	char now[PARE_ID_MAX] = "";
	enum pare_code code = ops->asset_load(tx, v.owner, kind, id, &a, err);

	if (code == PARE_OK && strcmp(a.name, name) != 0)
		code = pare_err_set(err, PARE_E_INVALID, NULL, "%s %s is a version of \"%.80s\", not of \"%.80s\"", store_asset_noun(kind), id, a.name, name);
	store_asset_done(&a);
	if (code == PARE_OK)
		code = ops->alias_load(tx, v.owner, kind, name, alias, now, err);
	if (code == PARE_OK)
		code = check_expected(name, alias, now, expected, err);
	*out_made = now[0] == '\0';
	return code == PARE_OK ? ops->alias_put(tx, v.owner, kind, name, alias, id, err) : code;
}

enum pare_code store_alias_put(struct store_view v, enum store_asset_kind kind, const char *name, const char *alias, const char *id, const char *expected, bool *out_made, struct pare_err *err)
{
	struct store_tx *tx;
	enum pare_code code;

	if (!store_alias_ok(alias))
		return pare_err_set(err, PARE_E_INVALID, NULL, "an alias is 1 to %d letters, digits, dots, hyphens and underscores, without a dot in front", STORE_ALIAS_MAX - 1);
	code = v.store->ops->begin(v.store, true, &tx, err);
	if (code != PARE_OK)
		return code;
	return v.store->ops->end(tx, put(v, tx, kind, name, alias, id, expected, out_made, err), err);
}

static enum pare_code remove_alias(struct store_view v, struct store_tx *tx, enum store_asset_kind kind, const char *name, const char *alias, const char *expected, struct pare_err *err)
{
	char now[PARE_ID_MAX] = "";
	enum pare_code code = v.store->ops->alias_load(tx, v.owner, kind, name, alias, now, err);

	if (code == PARE_OK && now[0] == '\0')
		return pare_err_set(err, PARE_E_NOT_FOUND, NULL, "there is no alias \"%.64s\" of %s \"%.80s\"", alias, store_asset_noun(kind), name);
	if (code == PARE_OK)
		code = check_expected(name, alias, now, expected, err);
	return code == PARE_OK ? v.store->ops->alias_remove(tx, v.owner, kind, name, alias, err) : code;
}

enum pare_code store_alias_delete(struct store_view v, enum store_asset_kind kind, const char *name, const char *alias, const char *expected, struct pare_err *err)
{
	struct store_tx *tx;
	enum pare_code code = v.store->ops->begin(v.store, true, &tx, err);

	if (code != PARE_OK)
		return code;
	return v.store->ops->end(tx, remove_alias(v, tx, kind, name, alias, expected, err), err);
}

/* --- changes */
static enum pare_code rename_asset(struct store_view v, struct store_tx *tx, struct store_asset *a, const char *name, struct pare_err *err)
{
	if (name == NULL || strcmp(name, a->name) == 0)
		return PARE_OK;
	if (!store_name_ok(name))
		return store_name_refused(err);
	if (a->aliases[0] != '\0')
		return pare_err_set(err, PARE_E_CONFLICT, NULL, "%s %s is %.80s@%.64s: move or delete that alias first", store_asset_noun(a->kind), a->id, a->name, a->aliases);
	a->name = name;
	return v.store->ops->asset_number(tx, v.owner, a->kind, name, &a->version, err);
}

static enum pare_code change(struct store_view v, struct store_tx *tx, enum store_asset_kind kind, const char *id, const struct store_asset_change *c, int64_t revision, struct pare_err *err)
{
	struct store_asset a = {.memory = NULL}, row;
	enum pare_code code = v.store->ops->asset_load(tx, v.owner, kind, id, &a, err);

	row = a;
	if (code == PARE_OK && a.revision != revision)
		code = pare_err_set(err, PARE_E_PRECONDITION, NULL, "%s %s has changed since it was read", store_asset_noun(kind), id);
	if (code == PARE_OK)
		code = rename_asset(v, tx, &row, c->name, err);
	if (code == PARE_OK) {
		row.labels = c->labels != NULL ? c->labels : row.labels;
		row.description = c->description != NULL ? c->description : row.description;
		row.revision++;
		code = v.store->ops->asset_update(tx, &row, err);
	}
	store_asset_done(&a);
	return code;
}

enum pare_code store_asset_change(struct store_view v, enum store_asset_kind kind, const char *id, const struct store_asset_change *c, int64_t revision, struct pare_err *err)
{
	struct store_tx *tx;
	enum pare_code code = v.store->ops->begin(v.store, true, &tx, err);

	if (code != PARE_OK)
		return code;
	return v.store->ops->end(tx, change(v, tx, kind, id, c, revision, err), err);
}
