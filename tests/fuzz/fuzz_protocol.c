/* layer: recipe */
/* Lines between daemon and engine, in both directions. What is read can be written again and reads the same. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/mem.h"
#include "core/recipe/protocol.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static enum pare_code write_again(struct pare_buf *b, const struct pare_msg *m)
{
	switch (m->type) {
	case PARE_MSG_EVENT: return pare_msg_write_event(b, m->event, m->data, NULL);
	case PARE_MSG_OPEN: return pare_msg_write_open(b, m->name, m->media_type, NULL);
	case PARE_MSG_RESULT: return pare_msg_write_result(b, m->data, m->artifacts, m->n_artifacts, NULL);
	case PARE_MSG_ERROR: return pare_msg_write_error(b, &m->error, NULL);
	case PARE_MSG_FD: return pare_msg_write_fd(b, m->name, NULL);
	case PARE_MSG_TRIALS: return pare_msg_write_trials(b, m->trials, m->n_trials, m->n_known, m->n_all, NULL);
	}
	abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct pare_msg_start start;
	struct pare_msg m, again;
	struct pare_buf b;

	pare_buf_init(&b, 2 * PARE_LINE_MAX);
	if (pare_msg_read_start((const char *)data, size, &start, NULL) == PARE_OK) {
		if (pare_msg_write_start(&b, &start, NULL) != PARE_OK)
			abort();
		pare_msg_start_done(&start);
	} else if (pare_msg_read((const char *)data, size, &m, NULL) == PARE_OK) {
		if (write_again(&b, &m) != PARE_OK || pare_msg_read(b.data, b.len - 1, &again, NULL) != PARE_OK || again.type != m.type)
			abort();
		pare_msg_done(&again);
		pare_msg_done(&m);
	}
	pare_buf_done(&b);
	return 0;
}
