/* layer: api */
/* A request head, one "name:value" per line: what passes has one framing at most, and a length that was written in digits. */
#include <stdlib.h>
#include <string.h>

#include "api/guard.h"
#include "api/text.h"

#define MAX_LINES 128

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size);

static int count(const struct api_head *h, const char *name)
{
	int n = 0;

	for (size_t i = 0; i < h->n_headers; i++)
		n += api_same_nocase(h->headers[i].name, name);
	return n;
}

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size)
{
	struct api_header list[MAX_LINES];
	struct api_head head = {.method = "POST", .target = "/v1/jobs", .version = "HTTP/1.1", .headers = list, .peer = ""};
	struct api_framing f;
	char *text = malloc(size + 1), *line;

	if (text == NULL)
		return 0;
	memcpy(text, data, size);
	text[size] = '\0';
	for (line = text; *line != '\0' && head.n_headers < MAX_LINES;) {
		char *end = line + strcspn(line, "\n"), *colon = memchr(line, ':', (size_t)(end - line));
		char *next = *end != '\0' ? end + 1 : end;

		*end = '\0';
		if (colon != NULL)
			*colon = '\0';
		list[head.n_headers++] = (struct api_header){line, colon != NULL ? colon + 1 : ""};
		line = next;
	}
	if (api_guard_check(&head, &f, NULL) == PARE_OK)
		if ((f.has_length && f.chunked) || f.length < 0 || count(&head, "Host") != 1 || count(&head, "Content-Length") != f.has_length ||
		    count(&head, "Transfer-Encoding") != f.chunked)
			abort();
	free(text);
	return 0;
}
