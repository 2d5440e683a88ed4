/* layer: api */
/* First two bytes: the size of the content; then the header's value, read as Range, tag list, Accept and file name. */
#include <stdlib.h>
#include <string.h>

#include "core/base/nearest.h"
#include "api/range.h"
#include "api/text.h"

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size);

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size)
{
	static const char *const offers[] = {"application/json", "text/event-stream", NULL};
	int64_t n_bytes, first = -1, n = -1;
	char name[API_FILENAME_MAX], *text;

	if (size < 2)
		return 0;
	n_bytes = data[0] * 256 + data[1];
	text = malloc(size - 1);
	if (text == NULL)
		return 0;
	memcpy(text, data + 2, size - 2);
	text[size - 2] = '\0';
	if (api_range_parse(text, n_bytes, &first, &n) == API_RANGE_PART)
		if (first < 0 || n <= 0 || first + n > n_bytes)
			abort();
	(void)api_etag_in(text, "\"a\"", true);
	(void)api_if_range(text, "\"a\"");
	if (api_negotiate(text, offers) > 1)
		abort();
	api_safe_filename(text, name);
	if (name[0] == '\0' || name[0] == '.' || strpbrk(name, "/\\\r\n\" ") != NULL)
		abort();
	(void)pare_nearest_of(text, offers);
	(void)api_utf8_valid(text, strlen(text));
	free(text);
	return 0;
}
