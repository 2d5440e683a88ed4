/* What a job may ask for: the catalog, kept by core/recipe. Its JSON is made there and handed through. */
#include <string.h>

#include "api/priv.h"

static enum pare_code reply_owned(struct api_exchange *x, char *text, struct pare_err *err)
{
	(void)pare_buf_str(&x->out, text);
	pare_free(text);
	return api_reply_json(x, 200, err);
}

enum pare_code api_get_methods(struct api_exchange *x, struct pare_err *err)
{
	char *text;
	enum pare_code rc = pare_catalog_json(&text, err);

	return rc == PARE_OK ? reply_owned(x, text, err) : rc;
}

enum pare_code api_get_method(struct api_exchange *x, struct pare_err *err)
{
	char *text;
	enum pare_code rc = pare_catalog_method_json(x->params[0], &text, err);

	return rc == PARE_OK ? reply_owned(x, text, err) : rc;
}
