/* Models and data sets as the files about them share them. */
#ifndef API_ASSETS_H
#define API_ASSETS_H

#include "api/priv.h"
#include "storage/registry.h"

/* What a reference means (an id, name, name:version, name@alias). PARE_E_NOT_FOUND is worded. */
PARE_MUST_USE enum pare_code api_asset_find(struct api_exchange *x, enum store_asset_kind kind, const char *reference, struct store_asset *out, struct pare_err *err);
/* How a data set was said to be read when it was uploaded, in the arena; NULL: nothing was said. */
PARE_MUST_USE enum pare_code api_asset_options(struct api_exchange *x, const struct store_asset *a, const char **out_label, const char **out_task, struct pare_err *err);
/* Appends its JSON to x->out. */
void api_asset_write(struct api_exchange *x, const char *key, const struct store_asset *a);

#endif
