/* An entry is written into a buffer of its own first: whether it fits is known when it is whole. One that does not may be followed by one that does, so a single endless name
 * does not hide the rest. */
#include "core/job/list.h"

#include "core/recipe/json_text.h"

void job_list_begin(struct job_list *l, struct pare_buf *b, const char *key, size_t most)
{
	*l = (struct job_list){.b = b, .key = key, .most = most};
	pare_buf_init(&l->entry, most);
	pare_json_key_raw(b, key, "[");
	l->start = b->len;
}

struct pare_buf *job_list_entry(struct job_list *l)
{
	pare_buf_reset(&l->entry);
	return &l->entry;
}

void job_list_add(struct job_list *l)
{
	l->b->failed |= l->entry.failed && !l->entry.full; /* no memory */
	if (l->entry.failed || l->b->len - l->start + 1 + l->entry.len > l->most) {
		l->n_left_out++;
		return;
	}
	pare_json_sep(l->b);
	pare_buf_add(l->b, l->entry.data, l->entry.len);
}

bool job_list_again(struct job_list *l)
{
	if (l->n_left_out == 0 || l->b->failed)
		return false;
	l->n_left_out = 0;
	l->b->len = l->start;
	l->b->data[l->start] = '\0';
	return true;
}

void job_list_end(struct job_list *l)
{
	pare_buf_str(l->b, "]");
	pare_buf_done(&l->entry);
}

void job_write_left_out(struct pare_buf *b, const struct job_list *lists, size_t n)
{
	int64_t all = 0;

	for (size_t i = 0; i < n; i++)
		all += lists[i].n_left_out;
	if (all == 0)
		return;
	pare_json_key_raw(b, "left_out", "{");
	for (size_t i = 0; i < n; i++)
		if (lists[i].n_left_out > 0)
			pare_json_key_int(b, lists[i].key, lists[i].n_left_out);
	pare_buf_str(b, "}");
}
