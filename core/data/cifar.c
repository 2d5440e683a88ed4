/* CIFAR's binary version: records without a header, each a label byte (CIFAR-10), or a coarse and a fine one (CIFAR-100), and
 * 3072 bytes of an image, channels first. Nothing tells the format but that the length fits and that every record begins with labels that
 * are possible, which is asked of all records: text or noise of that very length does not pass. The arrays are used in place, with
 * the records' length as the distance of rows.
 *
 * Source: https://www.cs.toronto.edu/~kriz/cifar.html, "Binary version". */
#include "core/data/data_priv.h"

#define IMAGE ((size_t)3072)

static const struct version {
	size_t n_labels;
	uint8_t n_classes[2];
	const char *names[2];
} version_table[] = {
    {1, {10, 0}, {"labels", NULL}},
    {2, {20, 100}, {"coarse", "fine"}},
};

static bool fits(const struct version *v, struct pare_span s)
{
	size_t record = v->n_labels + IMAGE;

	if (s.len == 0 || s.len % record != 0)
		return false;
	for (size_t at = 0; at < s.len; at += record)
		for (size_t i = 0; i < v->n_labels; i++)
			if (s.data[at + i] >= v->n_classes[i])
				return false;
	return true;
}

static const struct version *version_of(struct pare_span s)
{
	for (size_t i = 0; i < sizeof version_table / sizeof version_table[0]; i++)
		if (fits(&version_table[i], s))
			return &version_table[i];
	return NULL;
}

bool data_is_cifar(struct pare_span s)
{
	return version_of(s) != NULL;
}

int data_cifar_read(struct pare_span s, struct data_array arrays[DATA_CIFAR_MAX], const char *names[DATA_CIFAR_MAX])
{
	const struct version *v = version_of(s);
	size_t record = v->n_labels + IMAGE, n = s.len / record;
	const struct data_array all = {.type = data_type_uint8(), .n_dims = 1, .dims = {(int64_t)n}, .n_elems = n, .stride = record};

	arrays[0] = all;
	arrays[0].n_dims = 4;
	arrays[0].dims[1] = 3;
	arrays[0].dims[2] = arrays[0].dims[3] = 32;
	arrays[0].n_elems = n * IMAGE;
	arrays[0].raw = (struct pare_span){s.data + v->n_labels, s.len - v->n_labels};
	names[0] = "images";
	for (size_t i = 0; i < v->n_labels && i < DATA_CIFAR_MAX - 1; i++) {
		arrays[1 + i] = all;
		arrays[1 + i].raw = (struct pare_span){s.data + i, s.len - i};
		names[1 + i] = v->names[i];
	}
	return 1 + (int)v->n_labels;
}
