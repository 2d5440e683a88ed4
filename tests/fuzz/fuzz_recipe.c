/* layer: recipe */
/* Job texts. Whatever is accepted has a canonical text that is accepted too and is its own canonical text; whatever is
 * refused says why. The same bytes are tried as an architecture. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/mem.h"
#include "core/recipe/recipe.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static char *canonical(const char *text, size_t len)
{
	struct pare_job *job = NULL;
	struct pare_issues issues;
	struct pare_err err;
	char *out = NULL;
	enum pare_code code = pare_job_parse(text, len, &job, &issues, &err);

	if (code == PARE_E_INVALID && (issues.n < 1 || issues.list[0].detail[0] == '\0'))
		abort();
	if (code == PARE_OK && pare_job_canonical(job, 1, 1, &out, &err) != PARE_OK)
		abort();
	pare_job_free(job);
	return out;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct pare_job *arch = NULL;
	char *once = canonical((const char *)data, size), *twice = NULL;

	if (once != NULL) {
		twice = canonical(once, strlen(once));
		if (twice == NULL || strcmp(once, twice) != 0)
			abort();
	}
	pare_free(once);
	pare_free(twice);
	if (pare_object_parse("architecture", (const char *)data, size, &arch, NULL, NULL) == PARE_OK)
		pare_job_free(arch);
	return 0;
}
