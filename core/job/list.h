/* Lists in what the engine answers. How long one is, an uploaded file says, by the number of its tensors and the length of their names; how long an answer may be, the daemon,
 * which reads it (PARE_LINE_MAX). So each list has its share of bytes, and entries that do not fit are left out and counted. */
#ifndef PARE_JOB_LIST_H
#define PARE_JOB_LIST_H

#include "core/base/buf.h"

struct job_list {
	struct pare_buf *b, entry;
	const char *key;
	size_t start, most;
	int64_t n_left_out;
};

/* Opens "key":[ in b, whose errors stick. The list takes at most so many bytes. */
void job_list_begin(struct job_list *l, struct pare_buf *b, const char *key, size_t most);
/* An empty buffer for the next entry, and that entry into the list. */
struct pare_buf *job_list_entry(struct job_list *l);
void job_list_add(struct job_list *l);
/* If anything was left out, the list is empty again, so that what matters most can come first. */
bool job_list_again(struct job_list *l);
void job_list_end(struct job_list *l);
/* "left_out":{"layers":3} of those that have ended; nothing if they are whole. */
void job_write_left_out(struct pare_buf *b, const struct job_list *lists, size_t n);

#endif
