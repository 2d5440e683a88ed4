/* A job without a data set: its state, and what its report is made of (stored.c, stored_report.c). */
#ifndef PARE_JOB_STORED_H
#define PARE_JOB_STORED_H

#include "core/job/job_priv.h"
#include "core/prune/stored.h"

struct job_stored {
	struct job_run *r;
	struct pare_inventory v;
	struct pare_stored stored;
	size_t in_bytes; /* of all files that came; r->out_bytes: of those that left, 0 if none was asked for */
	int64_t *n_dense, *n_left; /* by tensor: values that are not zero, as uploaded and at the end */
};

struct job_stored_total {
	int64_t n_params, n_nonzero_params, n_weights, n_nonzero_weights;
};
void job_stored_total(const struct job_stored *s, const int64_t *nonzero, struct job_stored_total *out);

/* report.json, report.md, report.html, and the summary that the result carries. */
PARE_MUST_USE enum pare_code job_stored_reports(const struct job_stored *s, struct job_answer *a, struct pare_err *err);
void job_stored_summary(const struct job_stored *s, struct pare_buf *b);

#endif
