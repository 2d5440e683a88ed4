/* Open addressing over FNV-1a. A file whose names collide on purpose makes its own job slow, which a job's time limit ends; reading, which
 * everybody's uploads go through, has an index that cannot be slowed down (core/onnx/names.c). */
#include "core/graph/names.h"

#include <string.h>

#define MIN_SLOTS 64

struct pare_span pare_text_span(const char *text)
{
	return (struct pare_span){(const uint8_t *)text, strlen(text)};
}

static struct pare_name *slot_of(struct pare_name *slots, size_t n_slots, struct pare_span text)
{
	uint64_t h = 0xcbf29ce484222325u;
	size_t i;

	for (size_t k = 0; k < text.len; k++)
		h = (h ^ text.data[k]) * 0x100000001b3u;
	for (i = (size_t)(h ^ h >> 32) & (n_slots - 1); slots[i].text.data != NULL; i = (i + 1) & (n_slots - 1))
		if (slots[i].text.len == text.len && memcmp(slots[i].text.data, text.data, text.len) == 0)
			break;
	return &slots[i];
}

static bool resize(struct pare_names *names, size_t n_slots)
{
	struct pare_name *slots = pare_calloc(n_slots, sizeof *slots);

	if (slots == NULL)
		return false;
	for (size_t i = 0; i < names->n_slots; i++)
		if (names->slots[i].text.data != NULL)
			*slot_of(slots, n_slots, names->slots[i].text) = names->slots[i];
	pare_free(names->slots);
	names->slots = slots;
	names->n_slots = n_slots;
	return true;
}

struct pare_name *pare_names_get(const struct pare_names *names, struct pare_span text)
{
	struct pare_name *s = names->n_slots > 0 && text.data != NULL ? slot_of(names->slots, names->n_slots, text) : NULL;

	return s != NULL && s->text.data != NULL ? s : NULL;
}

struct pare_name *pare_names_put(struct pare_names *names, struct pare_span text)
{
	struct pare_name *s;

	if (2 * (names->n + 1) > names->n_slots && !resize(names, names->n_slots > 0 ? 2 * names->n_slots : MIN_SLOTS))
		return NULL;
	s = slot_of(names->slots, names->n_slots, text);
	if (s->text.data != NULL)
		return s;
	*s = (struct pare_name){.text = text, .value = -1, .node = -1};
	names->n++;
	return s;
}

enum pare_code pare_names_init(struct pare_names *names, const struct pare_graph *g, struct pare_err *err)
{
	size_t n_slots = MIN_SLOTS;

	*names = (struct pare_names){.n = 0};
	while (n_slots < 2 * ((size_t)g->n_values + 1))
		n_slots *= 2;
	if (!resize(names, n_slots))
		return pare_err_nomem(err, n_slots * sizeof *names->slots);
	for (int32_t v = 0; v < g->n_values; v++) {
		struct pare_name *s = pare_names_put(names, pare_text_span(g->values[v].name));

		if (s == NULL)
			return pare_err_nomem(err, 0);
		s->value = s->value < 0 ? v : s->value;
	}
	return PARE_OK;
}

void pare_names_done(struct pare_names *names)
{
	pare_free(names->slots);
	*names = (struct pare_names){.n = 0};
}

int32_t pare_names_value(const struct pare_names *names, struct pare_span text)
{
	const struct pare_name *s = pare_names_get(names, text);

	return s != NULL ? s->value : -1;
}
