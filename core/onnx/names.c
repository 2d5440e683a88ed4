/* From names to indices, in n log n for every input. A hash table would do for honest files; for others, thousands of names
 * with one hash would make it quadratic, and a keyed hash needs randomness that the engine has no source of. So the
 * definitions are sorted by (hash, name, order) with a bottom-up merge sort (libc's qsort allocates memory of its own):
 * equal names stand side by side, which finds duplicates, and a look-up is a binary search whose comparisons are nearly
 * always of two integers. Equal hashes cost comparisons of names, and all names together are no longer than the file. */
#include <string.h>

#include "core/onnx/read_priv.h"

static uint32_t hash_name(const uint8_t *p, size_t n)
{
	uint32_t h = 2166136261u; /* FNV-1a */

	for (size_t i = 0; i < n; i++)
		h = (h ^ p[i]) * 16777619u;
	return h;
}

static int compare(const struct pare_onnx_def *defs, struct pare_onnx_key a, struct pare_onnx_key b)
{
	if (a.hash != b.hash)
		return a.hash < b.hash ? -1 : 1;
	return strcmp(defs[a.def].name, defs[b.def].name);
}

static void merge(const struct pare_onnx_def *defs, const struct pare_onnx_key *from, struct pare_onnx_key *to, size_t begin, size_t mid,
    size_t end)
{
	size_t a = begin, b = mid;

	for (size_t i = begin; i < end; i++) {
		bool take_a = a < mid && (b == end || compare(defs, from[a], from[b]) <= 0);

		to[i] = take_a ? from[a++] : from[b++];
	}
}

static bool sort_keys(struct pare_onnx_reader *r)
{
	struct pare_onnx_names *names = &r->names;
	size_t n = (size_t)names->n;
	struct pare_onnx_key *from = pare_onnx_take(r, &r->scratch, n, sizeof *from);
	struct pare_onnx_key *to = pare_onnx_take(r, &r->scratch, n, sizeof *to);

	if (from == NULL || to == NULL)
		return false;
	for (size_t i = 0; i < n; i++) {
		const char *name = names->defs[i].name;

		from[i] = (struct pare_onnx_key){hash_name((const uint8_t *)name, strlen(name)), (int32_t)i};
	}
	for (size_t width = 1; width < n; width *= 2) {
		struct pare_onnx_key *swap = from;

		for (size_t begin = 0; begin < n; begin += 2 * width) {
			size_t mid = begin + width < n ? begin + width : n;
			size_t end = mid + width < n ? mid + width : n;

			merge(names->defs, from, to, begin, mid, end);
		}
		from = to;
		to = swap;
	}
	names->keys = from;
	return true;
}

/* Two definitions are one value only if the first is a graph input and the second the initializer that is its default.
 * Inputs are listed first, so no third one can follow that joins too. */
static bool may_join(const struct pare_onnx_def *a, const struct pare_onnx_def *b)
{
	return a->is_input && b->is_init;
}

enum pare_code pare_onnx_names_index(struct pare_onnx_reader *r, int32_t *out_n_values)
{
	struct pare_onnx_names *names = &r->names;
	int32_t n_values = 0;

	if (!sort_keys(r))
		return r->err->code;
	for (int32_t i = 0; i < names->n; i++)
		names->defs[i].value = -1;
	for (int32_t i = 0; i + 1 < names->n; i++) {
		const struct pare_onnx_def *a = &names->defs[names->keys[i].def];
		struct pare_onnx_def *b = &names->defs[names->keys[i + 1].def];

		if (compare(names->defs, names->keys[i], names->keys[i + 1]) != 0)
			continue;
		if (!may_join(a, b))
			return pare_onnx_bad(r, "value", a->name, "the name is defined more than once; every input, initializer and node output needs its own");
		b->value = names->keys[i].def; /* the sort is stable, so a is the earlier one */
	}
	for (int32_t i = 0; i < names->n; i++) {
		struct pare_onnx_def *d = &names->defs[i];

		d->value = d->value < 0 ? n_values++ : names->defs[d->value].value;
	}
	*out_n_values = n_values;
	return PARE_OK;
}

int32_t pare_onnx_names_find(const struct pare_onnx_names *names, struct pare_span name)
{
	uint32_t hash = hash_name(name.data, name.len);
	int32_t low = 0, high = names->n;

	while (low < high) {
		int32_t mid = low + (high - low) / 2;
		struct pare_onnx_key k = names->keys[mid];
		const struct pare_onnx_def *d = &names->defs[k.def];
		int order = k.hash != hash ? (k.hash < hash ? -1 : 1) : strncmp(d->name, (const char *)name.data, name.len);

		if (order == 0 && d->name[name.len] != '\0')
			order = 1;
		if (order == 0)
			return d->value;
		if (order < 0)
			low = mid + 1;
		else
			high = mid;
	}
	return -1;
}
