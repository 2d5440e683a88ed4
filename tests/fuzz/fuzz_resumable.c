/* layer: api */
/* Lines "Name: value" of a head, read as that of a resumable upload. */
#include <stdlib.h>
#include <string.h>

#include "api/resumable_head.h"
#include "api/text.h"

#define MAX_LINES 16

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size);

static void check(const struct api_resumable_head *h)
{
	if (h->length < -1 || h->offset < -1 || (h->length >= 0 && h->length_later))
		abort();
	if (strlen(h->filename) >= sizeof h->filename || !api_plain_text(h->filename))
		abort();
	if ((h->checksum != NULL) != (h->n_digest == 20 || h->n_digest == 32))
		abort();
	if (h->complete && h->dialect == API_PLAIN)
		abort();
}

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size)
{
	struct api_header headers[MAX_LINES];
	struct api_resumable_head head;
	struct pare_err err = {.code = PARE_OK};
	char *text = malloc(size + 1), *line, *rest = NULL;
	size_t n = 0;

	if (text == NULL)
		return 0;
	memcpy(text, data, size);
	text[size] = '\0';
	for (line = strtok_r(text, "\n", &rest); line != NULL && n < MAX_LINES; line = strtok_r(NULL, "\n", &rest)) {
		char *colon = strstr(line, ": ");

		if (colon == NULL)
			continue;
		*colon = '\0';
		headers[n++] = (struct api_header){line, colon + 2};
	}
	if (api_resumable_head_read(headers, n, &head, &err) == PARE_OK)
		check(&head);
	else if (err.message[0] == '\0')
		abort();
	free(text);
	return 0;
}
