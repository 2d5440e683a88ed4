/* Shared by the files of the search step: what it has tried, and states of the net to go back to. */
#ifndef PARE_JOB_SEARCH_PRIV_H
#define PARE_JOB_SEARCH_PRIV_H

#include "core/job/job_priv.h"
#include "core/prune/allocate.h"

/* Weights, mask and cut of a moment. slab is NULL when there is none. */
struct job_state {
	float *slab;
	uint8_t *keep;
	struct pare_cut cut;
	bool any;
};
PARE_MUST_USE enum pare_code job_state_save(const struct job_run *r, struct job_state *out, struct pare_err *err);
void job_state_restore(struct job_run *r, const struct job_state *s);
void job_state_done(struct job_state *s);

/* A requirement's metric on some rows, against the dense model. judged is what is held against the limit. */
struct job_floor {
	double value, drop, low, high, judged; /* low and high: NAN but for the accuracy of classes */
};

/* A model that was tried, or the dense one. */
struct job_point {
	struct job_state state; /* none once it has left the front */
	double sparsity, size;  /* size: by the objective, as a share of the dense model's */
	int64_t n_weights, bytes;
	double macs, loss;
	int epochs, round; /* round: the number of the try */
	struct job_floor validation, judged;
	bool held;
	/* of points that are handed out */
	const char *artifact;
	int64_t file_bytes, file_macs;
	double latency_ms;
};

struct job_search {
	const struct pare_args *args;
	size_t step;
	int objective; /* enum in search.c */
	/* of sensitivities: how a weight is scored, whether a layer costs its multiply-accumulates or its weights, and the validation rows looked at */
	const struct pare_args *criterion;
	bool by_macs;
	uint32_t quick_rows;
	const char *metric;
	double limit;
	bool by_interval, too_few; /* too_few: rows for an interval, so the measured drop decides */
	struct pare_metrics dense;
	double dense_weights, dense_macs, dense_bytes;
	double base_left; /* of what may be pruned, before the search */
	int64_t n_units;  /* structures among which is chosen; 0: single weights */
	int n_points, max_points; /* [0] is the dense model */
	struct job_point *points;
	int chosen;
	int n_epochs; /* of the candidate under way */
	const struct pare_checkpoint *replay; /* tries come from there while it has more; NULL: they are made */
	/* sensitivity: a curve for each tensor that may be pruned */
	int n_layers;
	int stride;  /* layer 0 and every so manieth is measured, and has a curve of its own */
	int *layers; /* tensors of the net */
	struct pare_curve *curves;
	double *wholes;   /* shares of each that are not zero at the start */
	double *by_layer; /* for pare_prune_options, by tensor */
	bool allocates;   /* sizes by layer follow from the curves */
	double loss_ranked, loss_allocated; /* what decided that: means over a few sizes; 0: not compared */
};

/* The metric of m on a split against that of the dense model. */
void job_floor_judge(const struct job_run *r, enum pare_split split, const struct pare_metrics *dense, const struct pare_metrics *m, struct job_floor *out);
/* The loss of the net as it is, on those rows. */
PARE_MUST_USE enum pare_code job_quick_loss(struct job_run *r, const struct job_search *s, double *out, struct pare_err *err);
/* Curves of all layers that o may prune, from the present weights, which are left as they are (sensitivity.c). base: their state. */
PARE_MUST_USE enum pare_code job_sensitivity(struct job_run *r, struct job_search *s, const struct pare_prune_options *o, const struct job_state *base, struct pare_err *err);
/* Layer 0 and every so manieth of that many are measured; the next ones take its curve. */
int job_sensitivity_stride(int n_layers);
/* Whether the curves or one ranking over all weights make the better model of the same size, before any training. */
PARE_MUST_USE enum pare_code job_compare_allocation(struct job_run *r, struct job_search *s, const struct pare_prune_options *o, const struct job_state *base, struct pare_err *err);
/* o to a share of the dense model's size that shall be left. */
PARE_MUST_USE enum pare_code job_set_left(struct job_search *s, struct pare_prune_options *o, double left, struct pare_err *err);
/* Bytes of the file if zeros are left out and a bit for each weight says where they were, tensor by tensor where that is less. */
int64_t job_packed_bytes(struct job_run *r);
void job_search_free(struct job_search *s);
void job_write_curve(struct pare_buf *b, const struct pare_curve *c); /* "left" and "loss_rise" */
/* The size of the net as it is, by the objective and as a share (search.c). */
void job_measure(struct job_run *r, const struct job_search *s, struct job_point *out);
/* Checkpoints of a search (search_keep.c). Begin: puts aside what it starts from; of a search that is resumed, goes back to that. */
PARE_MUST_USE enum pare_code job_search_begin(struct job_run *r, struct pare_err *err);
void job_search_end(struct job_run *r); /* not within a fold */
void job_search_replay(struct job_run *r); /* from here on tries are those of r->resume, if there is one */
/* The next try of s->replay. *out_same: it left no model. */
PARE_MUST_USE enum pare_code job_search_recall(struct job_run *r, struct job_point *p, bool *out_same, struct pare_err *err);
/* Points that no other beats in both size and quality keep their states, at most as many as the step says, evenly spread; keep never goes (front.c). */
void job_front_thin(struct job_search *s, int keep);
/* The smallest that held; if none did, the one that comes nearest to the floor, of equals the smaller. The dense model counts only when
 * it holds. */
int job_choose(const struct job_search *s);
bool job_on_front(const struct job_search *s, int i);

#endif
