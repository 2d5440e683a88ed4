/* Webhooks in the store: where an owner wants to be called, and the outbox.
 *
 * A delivery is one event for one endpoint. It is written in the transaction of the event that causes it, so either both are there or neither, and it stays
 * pending until a receiver has taken it or its attempts are used up: whatever kills the process in between, it is sent again (at least once). The
 * log of attempts is part of the delivery. Same rules as store.h for threads, views and errors. */
#ifndef STORAGE_HOOK_H
#define STORAGE_HOOK_H

#include "storage/store.h"

enum store_hook_format { STORE_HOOK_STANDARD, STORE_HOOK_CLOUDEVENTS, STORE_N_HOOK_FORMATS };
const char *store_hook_format_name(enum store_hook_format f); /* "standard", "cloudevents" */

#define STORE_HOOK_KEY_MAX 33
struct store_hook {
	char id[PARE_ID_MAX]; /* "whk_" */
	char owner[STORE_OWNER_MAX];
	char job[PARE_ID_MAX]; /* hears of this job only and goes with it; "": of everything that is the owner's */
	char key[STORE_HOOK_KEY_MAX]; /* the API key that made it, or last said what it hears or where: it hears what that may read. "": no key, or one from before this was noted */
	const char *url, *description;
	const char *events; /* types, one space before and behind each: " job.failed job.succeeded " */
	enum store_hook_format format;
	bool enabled;
	const char *disabled_why; /* "" while enabled */
	const char *secret;       /* as the receiver has it: "whsec_…" */
	const char *old_secret;   /* signs, too, until old_until_ms; "" without one */
	int64_t old_until_ms;
	int64_t revision, created_ms, updated_ms;
	struct store_idempotency *once; /* of store_hook_put only; NULL: none */
	void *memory;
};
void store_hook_done(struct store_hook *h);
void store_hook_list_done(struct store_hook *list, int n);

/* Makes id, owner, revision and times, written into h. With a job: PARE_E_NOT_FOUND when there is none; of one that has ended the last event is put into the outbox. PARE_E_LIMIT: STORE_MAX_HOOKS
 * are there of that job, or of none. */
#define STORE_MAX_HOOKS 100
PARE_MUST_USE enum pare_code store_hook_put(struct store_view v, struct store_hook *h, struct pare_err *err);
PARE_MUST_USE enum pare_code store_hook_get(struct store_view v, const char *id, struct store_hook *out, struct pare_err *err);
PARE_MUST_USE enum pare_code store_hook_list(struct store_view v, const struct store_page *page, struct store_hook **out, int *out_n, bool *out_more, struct pare_err *err);
/* Writes what may change (all but id, owner, job, created_ms) of an endpoint that was read before, if it is still at that revision (else PARE_E_CONFLICT), and sets
 * revision and updated_ms in h. One that is disabled by it fails its pending deliveries. */
PARE_MUST_USE enum pare_code store_hook_update(struct store_view v, struct store_hook *h, struct pare_err *err);
PARE_MUST_USE enum pare_code store_hook_delete(struct store_view v, const char *id, struct pare_err *err); /* with its deliveries */

enum store_delivery_status { STORE_PENDING, STORE_DELIVERED, STORE_UNDELIVERED, STORE_N_DELIVERY_STATUS };
const char *store_delivery_status_name(enum store_delivery_status st); /* "pending", "succeeded", "failed" */
struct store_delivery {
	char id[PARE_ID_MAX]; /* "dlv_" */
	char hook[PARE_ID_MAX];
	char event[64]; /* the same for every endpoint and attempt: "job_01J…-7" */
	char subject[PARE_ID_MAX];
	const char *type;
	int64_t seq, cursor, at_ms; /* of the event */
	const char *level, *data;   /* JSON of the event */
	enum store_delivery_status status;
	int n_attempts; /* ever */
	int n_tries;    /* of the present round: a redelivery begins a new one */
	int64_t created_ms, next_ms, finished_ms; /* next_ms: when it is due; 0 unless pending. finished_ms: 0 while pending */
	const char *attempts; /* the last STORE_MAX_ATTEMPTS as JSON objects, a line each */
	void *memory;
};
#define STORE_MAX_ATTEMPTS 20
void store_delivery_done(struct store_delivery *d);
void store_delivery_list_done(struct store_delivery *list, int n);
/* PARE_E_NOT_FOUND: no such endpoint, or delivery of it. */
PARE_MUST_USE enum pare_code store_delivery_list(struct store_view v, const char *hook, const struct store_page *page, struct store_delivery **out, int *out_n, bool *out_more, struct pare_err *err);
/* Puts an event "webhook.test" that nobody else hears of into the outbox; replayed, out is the delivery of the first one. PARE_E_CONFLICT: the endpoint is disabled. */
PARE_MUST_USE enum pare_code store_hook_test(struct store_view v, const char *hook, struct store_idempotency *once, struct store_delivery *out, struct pare_err *err);
/* Due now, whatever its status, with all its attempts ahead. PARE_E_CONFLICT: the endpoint is disabled. */
PARE_MUST_USE enum pare_code store_delivery_again(struct store_view v, const char *hook, const char *id, struct store_delivery *out, struct pare_err *err);

/* --- the sender's side */
struct store_due {
	struct store_delivery d;
	struct store_hook h;
};
/* Grows with every delivery that is made due, before the verb that does so returns: while it stays, looking for more is in vain. */
uint64_t store_n_due(struct store *s);
/* Endpoints (ids), and owners, who have enough under way: at most STORE_MAX_BUSY of each. */
#define STORE_MAX_BUSY 64
struct store_busy {
	const char *hooks[STORE_MAX_BUSY], *owners[STORE_MAX_BUSY];
	int n_hooks, n_owners;
	int per_hook; /* no more of one endpoint than so many; 0: no such bound */
};
/* Pending deliveries that are due now, the longest due first, but none of the busy: what these have waiting costs nothing. *out_next_ms: when the next one after now is due, 0 without one. limit 1 to 200. */
PARE_MUST_USE enum pare_code store_delivery_due(struct store *s, const struct store_busy *busy, int limit, struct store_due **out, int *out_n, int64_t *out_next_ms, struct pare_err *err);
void store_due_list_done(struct store_due *list, int n);

struct store_attempt {
	int64_t due_ms; /* next_ms of the delivery that was sent */
	int64_t at_ms, duration_ms;
	int http_status;      /* 0: no answer */
	const char *error;    /* NULL: none */
	const char *response; /* the first bytes of the body, any bytes that are text; NULL: none */
	enum store_delivery_status status; /* of the delivery now */
	int64_t next_ms;      /* PENDING: when to try again */
	const char *disable;  /* not NULL: the endpoint is disabled for this reason, and everything else that is pending for it fails, too */
};
/* Notes an attempt. One whose delivery or endpoint has gone meanwhile is forgotten (PARE_OK). If the delivery was asked for again meanwhile, which its next_ms tells, the attempt
 * goes into the log and changes nothing else but what it disables: it stays due. */
PARE_MUST_USE enum pare_code store_delivery_tried(struct store *s, const char *id, const struct store_attempt *a, struct pare_err *err);
/* Forgets deliveries that ended before that time. */
PARE_MUST_USE enum pare_code store_delivery_purge(struct store *s, int64_t before_ms, int *out_n, struct pare_err *err);

#endif
