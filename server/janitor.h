/* What has to be done now and then beside everything else, on a thread of its own: removing bytes that no row names (at the start, for what a crash left
 * between a blob and its row, and once a day), uploads that nobody has come back for, what is older than it is to be kept, and what the api keeps in memory for a while (api_housekeep). */
#ifndef SERVER_JANITOR_H
#define SERVER_JANITOR_H

#include "api/api.h"
#include "core/base/err.h"
#include "storage/blob.h"
#include "storage/store.h"
#include "storage/upkeep.h"

struct srv_janitor;
struct srv_janitor_options {
	struct store *store;
	struct blob_store *blobs;
	struct api *api;
	struct store_retention retention;
	int64_t upload_ms; /* how long an upload stays that nobody continues */
};
PARE_MUST_USE enum pare_code srv_janitor_start(const struct srv_janitor_options *opt, struct srv_janitor **out, struct pare_err *err);
/* Ends the thread, which takes no longer than one removal or one transaction, and does the work of one last round; before api_free. NULL is fine. */
void srv_janitor_stop(struct srv_janitor *j);

#endif
