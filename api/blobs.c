/* /v1/blobs/sha256:…: are bytes here already, so that a client need not send them again? Asked of the caller's own rows, never of the blob store: whether
 * somebody else has uploaded something is nobody's business. And only of rows that the caller's key opens: a digest is no scope. */
#include <string.h>

#include "api/priv.h"

const char *api_blob_digest(const char *s)
{
	static const char prefix[] = "sha256:";

	if (strncmp(s, prefix, sizeof prefix - 1) != 0 || !store_hex_check(s + sizeof prefix - 1, STORE_SHA256_HEX - 1))
		return NULL;
	return s + sizeof prefix - 1;
}

/* Uploads are seen by those who may make something of them. */
enum pare_code api_blob_known(const struct api_exchange *x, const char *sha256, bool *out, struct pare_err *err)
{
	unsigned int places = api_caller_may(&x->caller, API_ASSETS_WRITE) ? STORE_IN_UPLOADS : 0;

	if (api_caller_may(&x->caller, API_MODELS_READ))
		places |= 1u << STORE_MODEL;
	if (api_caller_may(&x->caller, API_DATASETS_READ))
		places |= 1u << STORE_DATASET;
	return store_blob_known(x->view, sha256, places, out, err);
}

enum pare_code api_get_blob(struct api_exchange *x, struct pare_err *err)
{
	const char *sha256 = api_blob_digest(x->params[0]);
	bool known = false;
	enum pare_code rc = sha256 != NULL ? api_blob_known(x, sha256, &known, err) : PARE_OK;

	if (rc == PARE_OK && !known)
		return pare_err_set(err, PARE_E_NOT_FOUND, NULL, "no model, data set or upload that your key opens has the bytes \"%.72s\"", x->params[0]);
	return rc == PARE_OK ? api_reply_blob(x, sha256, "application/octet-stream", NULL, err) : rc;
}
