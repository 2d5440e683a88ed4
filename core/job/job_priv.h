/* Shared within core/job: the worker's state and the state of one running job. */
#ifndef PARE_JOB_JOB_PRIV_H
#define PARE_JOB_JOB_PRIV_H

#include "core/compress/factorize.h"
#include "core/compress/quantize.h"
#include "core/data/data.h"
#include "core/eval/eval.h"
#include "core/eval/fit.h"
#include "core/graph/net.h"
#include "core/graph/weights.h"
#include "core/job/checkpoint.h"
#include "core/job/doc.h"
#include "core/job/job.h"
#include "core/job/link.h"
#include "core/onnx/onnx.h"
#include "core/job/sandbox.h"
#include "core/job/list.h"
#include "core/prune/groups.h"
#include "core/prune/prune.h"
#include "core/recipe/recipe.h"
#include "core/train/train.h"

struct job_worker {
	struct pare_link link;
	struct pare_msg_start start;
	char sandbox[PARE_SANDBOX_TEXT_MAX];
	struct pare_span spans[PARE_MAX_INPUTS]; /* the inputs, mapped */
	int n_spills; /* files asked for, to hold decoded data */
};

/* Set by SIGTERM and SIGINT. */
const atomic_bool *job_cancel_flag(void);
/* SIGUSR1: is the state to be kept at the next place where it can be, however long ago it was kept? done: it has been. */
bool job_keep_requested(bool done);
/* PARE_E_CANCELED after such a signal, or when the peer is gone. */
PARE_MUST_USE enum pare_code job_check_canceled(const struct job_worker *w, struct pare_err *err);
/* The model of a role ("model", "teacher"), without what stands beside it; PARE_E_INVALID when there is none or more than one. */
PARE_MUST_USE enum pare_code job_model_input(const struct job_worker *w, const char *role, struct pare_span *out, struct pare_err *err);
/* The files of a model: the one that is called *.onnx if there are several, and those beside it (side has room for PARE_MAX_INPUTS). */
PARE_MUST_USE enum pare_code job_model_files(const struct job_worker *w, const char *role, struct pare_span *out, struct pare_side_file *side, int *n_side, struct pare_err *err);
/* Opens the data set of all inputs of role "data" as the catalog's object "data" says (data.c). */
PARE_MUST_USE enum pare_code job_open_data(struct job_worker *w, const struct pare_args *data, struct pare_dataset **out, struct pare_err *err);

/* One per message kind: fill *result with the result's JSON object and name the artifacts written. */
#define JOB_MAX_ARTIFACTS PARE_MAX_ARTIFACTS
struct job_answer {
	struct pare_buf result;
	const char *artifacts[JOB_MAX_ARTIFACTS];
	int n_artifacts;
	struct pare_trial *trials; /* not NULL: no result; the job needs these runs of its sweep first (pare_free) */
	int n_trials, n_known, n_all;
};
PARE_MUST_USE enum pare_code job_run(struct job_worker *w, struct job_answer *a, struct pare_err *err);
PARE_MUST_USE enum pare_code job_inspect_model(struct job_worker *w, struct job_answer *a, struct pare_err *err);
PARE_MUST_USE enum pare_code job_inspect_dataset(struct job_worker *w, struct job_answer *a, struct pare_err *err);
PARE_MUST_USE enum pare_code job_sample_dataset(struct job_worker *w, struct job_answer *a, struct pare_err *err);
PARE_MUST_USE enum pare_code job_analyze(struct job_worker *w, struct job_answer *a, struct pare_err *err);
PARE_MUST_USE enum pare_code job_build(struct job_worker *w, struct job_answer *a, struct pare_err *err);
PARE_MUST_USE enum pare_code job_pack(struct job_worker *w, struct job_answer *a, struct pare_err *err);
PARE_MUST_USE enum pare_code job_capabilities(struct job_worker *w, struct job_answer *a, struct pare_err *err);
PARE_MUST_USE enum pare_code job_unpack(struct job_worker *w, struct job_answer *a, struct pare_err *err);
/* Appends the packed form of a model's file (core/compress/pack.h). */
PARE_MUST_USE enum pare_code job_pack_file(struct pare_span file, struct pare_buf *out, struct pare_err *err);
/* What inspect-model says of a model and the files beside it, as one JSON object. */
PARE_MUST_USE enum pare_code job_describe_model(struct pare_buf *b, struct pare_span file, const struct pare_side_file *side, int n_side, struct pare_err *err);

/* Can the files beside the model leave with it? */
struct job_run;
PARE_MUST_USE enum pare_code job_check_side(const struct job_run *r, struct pare_err *err);
/* A job without a data set (stored.c), from where r's job is parsed. */
PARE_MUST_USE enum pare_code job_run_stored(struct job_run *r, struct job_answer *a, struct pare_err *err);

/* --- a running job */

/* What an evaluate step or a pruning round found on the validation rows. */
struct job_record {
	size_t step;
	int round;    /* 0: not of a pruning round */
	int folds;    /* > 0: mean and range over the held-out folds */
	double sparsity;
	double accuracy, loss; /* accuracy: pare_metrics_headline; means when folds > 0 */
	double low, high;      /* range of accuracy over the folds */
};

/* What every epoch, round and evaluation said of the validation rows, for the pictures of the report. When it is full every
 * second point goes and from then on only every second one is taken, so any run fits and looks the same. */
#define JOB_HISTORY 2048
struct job_history {
	int n, stride, skipped;
	double done; /* epochs trained so far */
	double epochs[JOB_HISTORY], train_loss[JOB_HISTORY], loss[JOB_HISTORY], accuracy[JOB_HISTORY], sparsity[JOB_HISTORY];
};

/* One state of the weights, judged. */
struct job_verdict {
	struct pare_metrics validation, judged;
	bool has_validation;
	int64_t n_params, n_nonzero_params, n_weights, n_nonzero_weights, macs;
	double macs_nonzero; /* multiply-accumulates that do not multiply by zero */
	double latency_ms;   /* median of one row through the engine */
};

/* What is said of the structures of a net (structures_report.c): how many there were and are left, and what cannot change. Names are the model's. */
struct job_group {
	const char *name, *granularity;
	int64_t units, units_left, width, width_left;
};
struct job_pin {
	const char *name, *why;
	int axis;
	int64_t width;
};
struct job_outline {
	struct pare_arena arena;
	struct job_group *groups;
	struct job_pin *pins;
	int n_groups, n_pins;
};

/* The model without the structures that were removed, and how near it comes to the masked one (structures.c). */
struct job_shrunk {
	struct pare_buf file;
	struct pare_model *model;
	struct pare_net *net; /* NULL: nothing was removed */
	struct job_outline outline;
	int64_t rows; /* none: there is no such model */
	double difference, scale, tolerance;
};

/* The model with weights of fewer bits, and what that changed (quantize.c). */
struct job_quantized {
	struct pare_buf base, file; /* the float model, unless it was shrunk; the one that leaves */
	struct pare_model *float_model, *model;
	struct pare_net *net; /* NULL: nothing was quantized */
	struct pare_quant_layer *layers;
	const char **names;   /* by layer: of the weight */
	double *errors;       /* by layer */
	int n;
	size_t float_bytes;
	bool full_range; /* products of whole bytes, which some processors saturate */
	int64_t rows;
	double difference, scale, float_metric;
};

/* The model of which the job's, with layers of two factors, was made (factorize.c). */
struct job_factored {
	struct pare_model *source; /* NULL: no such step, or not yet */
	struct pare_net *net;      /* of it, while it is judged */
	struct pare_buf file;      /* what the job's model stands over */
	struct pare_factor *layers;
	int n;
	/* of a step that is not the first; else NULL: the net that it was */
	struct pare_model *uploaded;     /* its model: what runs of a sweep begin with */
	float *input, *dense, *trained;  /* its slabs: as uploaded, before its first unit was removed (NULL: none was), and as it was when it was factorized */
	size_t len;
	uint8_t *gone;                   /* its cut then, or NULL */
	size_t n_slices;
	struct job_shrunk shrunk;        /* what source stands over; of the rest, what the report says of what was removed */
	int64_t n_params, n_nonzero_params;
};

struct job_search;
struct job_sweep;

/* What cross-validation goes back to, and the figures of its folds so far. */
struct job_outer {
	uint8_t *keep; /* of the mask; NULL until a step has folds */
	bool any;
	int stage;
	struct pare_cut cut;
	struct job_record rec;
};

/* What training leaves behind for pruning steps after it. */
struct job_past {
	float *early; /* the weights after the epochs of the first training that a step rewinds to; NULL: none does */
	bool has_early;
	float *moved; /* -sum w g over all updates; NULL: no criterion asks */
};

/* A training run that takes chosen weights away (a prune step's fade). */
struct job_fade {
	struct pare_fade what; /* marks NULL: it is none */
	int epochs;
};

struct job_run {
	struct job_worker *w;
	struct pare_job *own_job; /* as it came */
	struct pare_job *job;     /* that runs: the same, or a variant of its sweep */
	struct job_sweep *sweep;  /* NULL: it has none */
	struct pare_model *model;
	struct pare_net *net;
	struct pare_dataset *data;
	struct pare_mask mask;
	struct pare_structures *structures[PARE_N_GRANULARITIES]; /* by granularity; NULL until a step asks for them */
	struct pare_cut cut;
	struct job_shrunk shrunk;
	struct job_quantized quantized;
	struct job_factored factored;
	int64_t max_batch;
	struct pare_span file;
	struct pare_side_file side[PARE_MAX_INPUTS]; /* external data of the model, as far as it still refers to them */
	int n_side;
	size_t in_bytes; /* of all that came: the file and those */
	struct pare_model *teacher_model; /* the job's second model, or NULL */
	struct pare_net *teacher;         /* of the present training run, or NULL */
	struct pare_buf own, teacher_own; /* what the models stand over, if not the files (pare_onnx_open) */
	float *input, *dense, *final; /* copies of the slab: as uploaded, before the first pruning, at the end */
	float *fold_dense;            /* the same as dense, of the fold under way; NULL until a fold prunes */
	bool has_fold_dense;
	float *kept;                  /* while folds run: what to go back to, as is outer */
	struct job_outer outer;
	struct job_past past[2];      /* of the job; of the fold under way */
	struct job_fade fade;
	float *stat;                  /* what criteria want to know of the data; NULL until one does */
	bool has_dense;
	struct pare_fit fit;
	uint64_t seed;
	int threads;
	size_t step;
	int trial, fold, folds, round, rounds; /* 0: not in one */
	struct job_search *search;      /* NULL before a search step */
	/* While a search runs: what ends a training run early, and what its learning rate is multiplied by; NULL and 0: nothing. */
	bool (*enough)(struct job_run *r, const struct pare_metrics *validation);
	double lr_factor;
	size_t inner;                   /* the step that a fold is at */
	double from;                    /* the share that the present pruning step began with */
	uint8_t *before;                /* the mask that it regrows to; NULL: none */
	int stage;                      /* training runs so far: names the shuffles */
	double units_before, units_step, units_total; /* of work, an epoch is 1: before the present step, within it, of all */
	struct pare_checkpoint whose, came; /* what tells a checkpoint of this job from others; the one it came with */
	bool has_came, in_sweep; /* it has a state to go on from; the sweep is under way */
	const struct pare_checkpoint *resume; /* the place still to be reached; NULL: there */
	size_t first_step;
	int64_t keep_at_ns; /* no checkpoint before */
	int64_t started_ns, progress_ns, metrics_ns, finished_ns;
	double steps_per_second; /* of training, while an epoch is under way; else 0 */
	int n_phases, n_records, max_records;
	struct job_record *records;
	struct job_history history;
	struct job_verdict verdict_input, verdict_dense, verdict_final;
	struct pare_paired paired;
	enum pare_split judged; /* the split that the figures are of: test, or what there is */
	int64_t n_params, n_nonzero_params; /* of the model, with the weights that it came with */
	struct {
		char *job, *inputs;
		struct pare_onnx_entry entries[4]; /* the last one ends them */
	} origin; /* what the metadata of the model that leaves say of its making (provenance.c) */
	size_t out_bytes, packed_bytes; /* of model.onnx; of model.packed, 0 if nobody asked for it */
};

/* Provenance (provenance.c): found out when the job is parsed; put into a model's file; told beside it. */
PARE_MUST_USE enum pare_code job_know_origin(struct job_run *r, struct pare_err *err);
void job_origin_done(struct job_run *r);
PARE_MUST_USE enum pare_code job_stamp(const struct job_run *r, struct pare_buf *file, struct pare_err *err);
PARE_MUST_USE enum pare_code job_put_provenance(struct job_run *r, struct job_answer *a, struct pare_err *err);
/* Tells of the phase and parses the job. */
PARE_MUST_USE enum pare_code job_begin(struct job_run *r, struct pare_err *err);
/* The beginning and the end of a job (run.c): everything that can be found out before the first step; w, started_ns and units_total are set, the rest is
 * zero. job_run_done belongs to it even after an error. */
PARE_MUST_USE enum pare_code job_prepare(struct job_run *r, struct pare_err *err);
void job_run_done(struct job_run *r);
/* Steps (steps.c): a row per name of the catalog. */
struct job_step {
	const char *name;
	double (*units)(const struct job_run *r, size_t step); /* of work */
	enum pare_code (*run)(struct job_run *r, const struct pare_args *args, struct pare_err *err);
};
extern const struct job_step job_step_table[]; /* ends with name NULL */
const struct job_step *job_step_find(const char *name);
/* The arguments of training that a step holds: its own, or those of its recover; NULL: none. */
const struct pare_args *job_training(const struct pare_args *step);
/* Runs step i of the job with its phase events. */
PARE_MUST_USE enum pare_code job_run_step(struct job_run *r, size_t i, struct pare_err *err);
/* One training run with the arguments of a train step or of recover (train.c). */
PARE_MUST_USE enum pare_code job_train(struct job_run *r, const struct pare_args *args, struct pare_err *err);
/* Brings the job's net and data set together (data.c). */
PARE_MUST_USE enum pare_code job_fit(struct job_run *r, struct pare_err *err);
/* Gives sizes that the model leaves open those of the data's rows. Whoever reads a model for a net of this job does this, or reads it so. */
PARE_MUST_USE enum pare_code job_open_sizes(const struct job_run *r, struct pare_model *m, struct pare_err *err);
PARE_MUST_USE enum pare_code job_read_model(const struct job_run *r, const struct pare_buf *file, struct pare_model **out, struct pare_err *err);
/* Of the files beside the model, which what is changed of them moves out of. */
size_t job_side_bytes(const struct job_run *r);
/* No model that a job writes is longer; false: that is no number. */
bool job_written_cap(const struct job_run *r, size_t *out);
/* Makes the inner tensors that training steps distill outputs of the models in memory, before nets are made; reads the second model (distill.c). */
PARE_MUST_USE enum pare_code job_watch(struct job_run *r, struct pare_err *err);
/* What a train step or recover says of its teacher: *out_given, and then *out. Both live until the next call. */
PARE_MUST_USE enum pare_code job_distill(struct job_run *r, const struct pare_args *train, const struct pare_fit *fit, struct pare_distill *out, bool *out_given,
    struct pare_err *err);
/* The same before anything runs, without the teacher's weights. */
PARE_MUST_USE enum pare_code job_check_distill(struct job_run *r, const struct pare_args *train, const struct pare_fit *fit, struct pare_err *err);
void job_distill_done(struct job_run *r);
/* What a train step or recover says of augmentation; false: nothing. */
bool job_augment(const struct pare_args *train, struct pare_augment *out);
/* A loss of the catalog with its parameters. */
struct pare_objective job_objective(const struct pare_args *loss);
/* The job's fit with the losses of a train step or of recover. */
PARE_MUST_USE enum pare_code job_fit_losses(const struct job_run *r, const struct pare_args *train, struct pare_fit *out, struct pare_err *err);
/* A number that not every method of a kind has. */
double job_num_or(const struct pare_args *a, const char *name, double absent);
/* Not more rows than the job's nets have room for (run.c). */
int job_batch(const struct job_run *r, int rows);
/* The reconstruct step (reconstruct.c). */
#define JOB_CALIBRATION_BATCH 64
double job_reconstruct_units(const struct job_run *r, size_t step);
/* Without record and figures. */
PARE_MUST_USE enum pare_code job_refit(struct job_run *r, const struct pare_args *args, struct pare_err *err);
PARE_MUST_USE enum pare_code job_reconstruct(struct job_run *r, const struct pare_args *args, struct pare_err *err);
/* Splits and normalises by the job's data arguments; fold 0: the plain split, else fold - 1 of folds is the validation split. */
PARE_MUST_USE enum pare_code job_split(struct job_run *r, struct pare_err *err);
/* The prune step (prune.c). */
#define JOB_FORWARD_UNITS 0.4 /* a pass over the training rows without gradients */
#define JOB_ROUND_UNITS 0.2 /* what scoring and evaluating costs, in epochs */
double job_prune_units(const struct job_run *r, size_t step);
PARE_MUST_USE enum pare_code job_keep_dense(struct job_run *r, struct pare_err *err);
/* Amount of round i of n: a share rises from where the weights already are (present; or from start), a threshold from 0; a pattern loses one
 * weight of M after the other. */
double job_prune_start(const struct pare_args *args, double present);
void job_prune_amount(struct pare_prune_options *o, const struct pare_args *args, double from, int i, int n);
void job_prune_unit(struct pare_prune_options *o, const struct pare_args *args);
uint64_t job_prune_seed(const struct job_run *r); /* of the present round */
/* What a prune or search step says of how to choose, without an amount. */
PARE_MUST_USE enum pare_code job_prune_options(const struct pare_args *args, struct pare_prune_options *o, struct pare_err *err);
/* What the criterion wants to know of the data, into o. */
PARE_MUST_USE enum pare_code job_look_at_data(struct job_run *r, const struct pare_args *criterion, struct pare_prune_options *o, struct pare_err *err);
/* Weights or structures go until the amount in o is reached; what stays is refitted if the step says so. */
PARE_MUST_USE enum pare_code job_remove(struct job_run *r, const struct pare_args *args, struct pare_prune_options *o, struct pare_err *err);
PARE_MUST_USE enum pare_code job_prune(struct job_run *r, const struct pare_args *args, struct pare_err *err);
/* What later steps want training to leave behind (past.c). */
PARE_MUST_USE enum pare_code job_past_new(struct job_run *r, struct pare_err *err); /* reserves what the recipe asks for and is not there yet */
void job_past_done(struct job_run *r);
void job_past_forget(struct job_run *r); /* of the fold under way */
struct job_past *job_past(struct job_run *r);
/* After an epoch (1-based) of a training run that began as r->stage. */
void job_past_epoch(struct job_run *r, int epoch);
/* All that is left becomes what the step rewinds to. */
void job_rewind(struct job_run *r, const struct pare_args *prune);
/* Running statistics of the present weights, by a step's or an object's arguments. */
PARE_MUST_USE enum pare_code job_reestimate(struct job_run *r, const struct pare_args *args, struct pare_err *err);
int job_n_rounds(const struct pare_args *prune);
/* All that a prune step removes in one round, without refit and recovery. */
PARE_MUST_USE enum pare_code job_prune_at_once(struct job_run *r, const struct pare_args *args, struct pare_err *err);
/* Structured pruning (structures.c). The check comes before all steps and makes the rest possible. */
#define JOB_MAX_RATIOS 64
extern const char *const job_granularity_names[]; /* by enum pare_granularity */
bool job_is_structural(const struct pare_args *prune);
PARE_MUST_USE enum pare_code job_check_structures(struct job_run *r, const struct pare_args *prune, struct pare_err *err);
double job_structures_share(const struct job_run *r, const struct pare_args *prune, int64_t *out_units); /* of the units that are gone */
PARE_MUST_USE enum pare_code job_structures_round(struct job_run *r, const struct pare_args *prune, const struct pare_prune_options *round, struct pare_err *err);
/* Makes r->shrunk of the net's present weights if anything was cut: PARE_E_PROOF when it does not compute the same on rows of that split. */
PARE_MUST_USE enum pare_code job_shrink(struct job_run *r, enum pare_split rows, struct pare_err *err);
void job_shrunk_done(struct job_shrunk *s);
/* The remove_dead step (dead.c); the check makes it possible. */
double job_dead_units(const struct job_run *r, size_t step);
PARE_MUST_USE enum pare_code job_check_dead(struct job_run *r, struct pare_err *err);
PARE_MUST_USE enum pare_code job_remove_dead(struct job_run *r, const struct pare_args *args, struct pare_err *err);
/* n rows (at most the net's shard) through shard 0, and how long an output then is. */
void job_forward(struct job_run *r, struct pare_net *net, const uint32_t *rows, uint32_t n);
size_t job_output_len(const struct pare_net *net, int i, int64_t rows);
/* The cluster step (cluster.c). What shares values before the present step; *out is pare_sharing_done when *out_any. */
double job_cluster_units(const struct job_run *r, size_t step);
PARE_MUST_USE enum pare_code job_cluster(struct job_run *r, const struct pare_args *args, struct pare_err *err);
PARE_MUST_USE enum pare_code job_share(struct job_run *r, struct pare_sharing *out, bool *out_any, struct pare_err *err);
bool job_shares(const struct job_run *r); /* does any step? */
void job_write_sharing(const struct job_run *r, struct pare_buf *b);
/* The factorize step (factorize.c). As the first one its work is done before nets are made, and the step itself is a look at what came of it. */
double job_factorize_units(const struct job_run *r, size_t step);
PARE_MUST_USE enum pare_code job_factorize(struct job_run *r, const struct pare_args *args, struct pare_err *err);
/* r->model becomes the factorized one, if the recipe says so. */
PARE_MUST_USE enum pare_code job_factorize_model(struct job_run *r, struct pare_err *err);
/* Can the model be factorized, as far as can be told without its trained weights? */
PARE_MUST_USE enum pare_code job_check_factorize(const struct job_run *r, const struct pare_args *args, struct pare_err *err);
/* A factorize step that is not the first: was it before that step? The job's net, as it is trained and cut, becomes the factorized one, and after an error is
 * what it was; and it becomes the uploaded one again, if it is not. */
bool job_factorized_later(const struct job_run *r, size_t step);
PARE_MUST_USE enum pare_code job_factorize_again(struct job_run *r, struct pare_err *err);
PARE_MUST_USE enum pare_code job_unfactorize(struct job_run *r, struct pare_err *err);
/* All that belongs to the net is made anew, of r->model, with no weight masked (run.c). */
PARE_MUST_USE enum pare_code job_take_model(struct job_run *r, struct pare_err *err);
/* The figures of the uploaded model are those of r->factored.source. */
PARE_MUST_USE enum pare_code job_judge_source(struct job_run *r, struct pare_err *err);
void job_factored_done(struct job_factored *f);
/* The net that was there before: its model, and its weights, as they were uploaded or as what the result is compared with (NULL: as the model has them). */
struct pare_model *job_factored_model(const struct job_factored *f);
const float *job_factored_slab(const struct job_factored *f, bool dense);
void job_write_factors(const struct job_run *r, struct pare_buf *b);
void job_factors_document(const struct job_run *r, struct job_doc *d);
/* The quantize step (quantize.c): a check before all steps, the step, and, when the float model stands, r->quantized; nothing without such a step. */
double job_quantize_units(const struct job_run *r, size_t step);
PARE_MUST_USE enum pare_code job_check_quantize(struct job_run *r, const struct pare_args *args, struct pare_err *err);
PARE_MUST_USE enum pare_code job_quantize(struct job_run *r, const struct pare_args *args, struct pare_err *err);
PARE_MUST_USE enum pare_code job_write_quantized(struct job_run *r, struct pare_err *err);
void job_quantized_done(struct job_quantized *q);
void job_write_quantization(const struct job_run *r, struct pare_buf *b);
void job_structures_done(struct job_run *r);
/* What is said of them (structures_report.c). To be followed by done, also after an error. */
PARE_MUST_USE enum pare_code job_outline_new(const struct job_run *r, struct job_outline *out, struct pare_err *err); /* of the net as it is cut now */
void job_outline_done(struct job_outline *o);
void job_write_outline(const struct job_outline *o, struct pare_buf *b, size_t most, struct job_list lists[2]); /* "groups" and "pinned", each of at most so many bytes */
void job_write_structures(const struct job_run *r, struct pare_buf *b);
void job_structures_document(const struct job_run *r, struct job_doc *d);
int64_t job_dim_final(const struct job_run *r, const struct pare_param_info *p, int axis); /* of the model that leaves */
/* The job's sweep (sweep.c, sweep_report.c). Open makes the variants, each a job; what is to be right before anything runs is to be right for all. */
PARE_MUST_USE enum pare_code job_sweep_open(struct job_run *r, struct pare_err *err);
int job_n_variants(const struct job_run *r); /* 1 without a sweep */
void job_take_variant(struct job_run *r, int i); /* r->job */
double job_sweep_units(struct job_run *r);
/* Tries them; the best is then r->job, and the run is as it began. Or a has the answer, and that is all (job_sweep_ends): the job is one run of its sweep, or
 * needs runs that others make. */
PARE_MUST_USE enum pare_code job_sweep(struct job_run *r, struct job_answer *a, struct pare_err *err);
bool job_sweep_ends(const struct job_run *r);
/* The runs of the sweep in a checkpoint: c->trials is pare_free's, NULL when there are none; and back. */
PARE_MUST_USE enum pare_code job_sweep_describe(const struct job_run *r, struct pare_checkpoint *c, struct pare_err *err);
void job_trial_describe(const struct job_run *r, struct pare_checkpoint *c); /* which run is under way */
PARE_MUST_USE enum pare_code job_sweep_take(struct job_run *r, const struct pare_checkpoint *c, struct pare_err *err);
void job_write_sweep(const struct job_run *r, struct pare_buf *b);
PARE_MUST_USE enum pare_code job_sweep_document(const struct job_run *r, struct job_doc *d, struct pare_err *err);
void job_sweep_free(struct job_sweep *s);
/* The search step (search.c, sensitivity.c, front.c). */
int job_n_tries(const struct pare_args *search);
double job_search_units(const struct job_run *r, size_t step);
PARE_MUST_USE enum pare_code job_search(struct job_run *r, const struct pare_args *args, struct pare_err *err);
/* After every choice: figures of the points on the judged rows, and a file of each. The run is left as it was. */
PARE_MUST_USE enum pare_code job_put_front(struct job_run *r, struct job_answer *a, struct pare_err *err);
void job_write_search(const struct job_run *r, struct pare_buf *b);
PARE_MUST_USE enum pare_code job_search_document(const struct job_run *r, struct job_doc *d, struct pare_err *err);
/* Figures of the validation rows; NAN without such rows. */
PARE_MUST_USE enum pare_code job_validate(struct job_run *r, double *loss, double *accuracy, struct pare_err *err);
void job_record_add(struct job_run *r, const struct job_record *rec);
/* Figures of the validation rows, recorded and told as an evaluation of the step. */
PARE_MUST_USE enum pare_code job_evaluate_now(struct job_run *r, struct pare_err *err);
uint32_t job_n_rows(const struct job_run *r, enum pare_split split);
double job_sparsity(const struct job_run *r);
int job_n_records(const struct job_run *r); /* that the steps will make */

/* Checkpoints (resume.c). */
/* Hands the present state out, if one is wanted and it is time; t: within a training run. A failure to write is told and is none. */
PARE_MUST_USE enum pare_code job_keep(struct job_run *r, const struct pare_train_state *t, bool step_done, struct pare_err *err);
/* After preparation: reads the checkpoint that came with the job, if one did and it is this job's; if it is not, tells so. What it knows of a sweep is
 * the sweep's then. */
PARE_MUST_USE enum pare_code job_resume_open(struct job_run *r, struct pare_err *err);
/* Then, and after the sweep: takes its state, if it fits. */
PARE_MUST_USE enum pare_code job_resume(struct job_run *r, bool *out_resumed, struct pare_err *err);
/* In a fold of r->resume: what to go back to. */
PARE_MUST_USE enum pare_code job_resume_fold(struct job_run *r, struct pare_err *err);
/* The training run to go on with, if r->resume stands in one. There is nothing to resume afterwards. */
bool job_resume_training(struct job_run *r, struct pare_train_state *out);

/* The same of a search: goes back to what it started from. */
PARE_MUST_USE enum pare_code job_resume_search(struct job_run *r, struct pare_err *err);
/* What a search adds to a checkpoint (search_keep.c). */
struct job_search_copies {
	double *points;
	float *states;
	uint8_t *masks, *cuts;
};
bool job_search_under_way(const struct job_run *r); /* with tries made, and not in a fold */
bool job_search_fits(const struct pare_checkpoint *c, const struct pare_args *search);
/* To be followed by done, also after an error. */
PARE_MUST_USE enum pare_code job_search_describe(const struct job_run *r, struct pare_checkpoint *c, struct job_search_copies *m, struct pare_err *err);
void job_search_copies_done(struct job_search_copies *m);

/* Events (events.c). */
/* Ends the JSON object in b, sends it and releases b. PARE_E_CANCELED when nobody listens. */
PARE_MUST_USE enum pare_code job_send_event(struct job_run *r, const char *event, struct pare_buf *b, struct pare_err *err);
struct job_epoch {
	const char *kind; /* "epoch", "round", "evaluation" */
	const struct pare_train_report *train; /* NULL unless of an epoch */
	double loss, accuracy, sparsity;
};
/* Remembers it for the report and tells it, unless an epoch that is not a run's last follows its predecessor too closely. */
PARE_MUST_USE enum pare_code job_metrics(struct job_run *r, const struct job_epoch *e, struct pare_err *err);
PARE_MUST_USE enum pare_code job_phase(struct job_run *r, const char *phase, struct pare_err *err);
/* units: of work done within the present step. force: also within 100 ms of the last one. */
PARE_MUST_USE enum pare_code job_progress(struct job_run *r, double units, int epoch, int epochs, bool force, struct pare_err *err);

/* Judging and reporting (judge.c, report.c, report_doc.c). */
/* pare_eval of the job's fit; NaN for every figure when the data have no labels. */
PARE_MUST_USE enum pare_code job_eval(struct job_run *r, enum pare_split split, struct pare_metrics *out, struct pare_err *err);
/* The split that figures are of: test rows, or what there is. */
void job_choose_judged(struct job_run *r);
PARE_MUST_USE enum pare_code job_judge(struct job_run *r, struct pare_err *err);
PARE_MUST_USE enum pare_code job_judge_net(struct job_run *r, struct pare_net *net, struct job_verdict *v, struct pare_err *err); /* as it is */
void job_verdict_done(struct job_verdict *v);
int64_t job_count_nonzero(const float *w, size_t n);
enum job_met { JOB_NOT_ASKED, JOB_MET, JOB_MISSED };
struct job_requirement {
	enum job_met met;
	const char *metric;
	double before, after, drop, limit, judged; /* judged: the drop, or the upper end of its interval */
	bool by_interval;
};
void job_requirement(const struct job_run *r, struct job_requirement *out);
double job_metric(const struct pare_metrics *m, const char *name);
double job_metric_drop(const char *name, double before, double after); /* what is worse counts up */
/* Counts weights and multiply-accumulates of a net as it is. */
void job_count(struct pare_net *net, struct job_verdict *v);
double job_latency(struct job_run *r, struct pare_net *net); /* median of one row, ms */
PARE_MUST_USE enum pare_code job_eval_net(struct job_run *r, struct pare_net *net, enum pare_split split, struct pare_metrics *out, struct pare_err *err);
/* Artifacts (run.c): whether the job asks for it; one more of them. name is kept. */
bool job_wants(const struct job_run *r, const char *what);
PARE_MUST_USE enum pare_code job_put(struct job_run *r, struct job_answer *a, const char *name, const char *media_type, const struct pare_buf *b, struct pare_err *err);
/* The file of the uploaded model with the net's present weights. b is not initialised yet. */
PARE_MUST_USE enum pare_code job_write_model(struct job_run *r, struct pare_buf *b, struct pare_err *err);
const char *job_split_name(enum pare_split split);
/* The reports of a job that has run on data, all of them; the summary that its result carries. */
PARE_MUST_USE enum pare_code job_write_reports(struct job_run *r, struct job_answer *a, struct pare_err *err);
void job_write_summary(const struct job_run *r, struct pare_buf *b);
/* Its parts that job_report below calls document and warning. */
PARE_MUST_USE enum pare_code job_write_document(const void *run, struct job_doc *d, struct pare_err *err);
const char *job_warning(const void *run, int i);

/* What reports of all kinds of jobs have in common (reports.c). */
struct job_report {
	const void *ctx;
	void (*figures)(const void *ctx, struct pare_buf *b); /* members of report.json, after those that say whose it is */
	const char *(*warning)(const void *ctx, int i);       /* number i of what a reader must know; NULL past the last */
	enum pare_code (*document)(const void *ctx, struct job_doc *d, struct pare_err *err); /* for people; its last section takes items on how it was made, and the warnings */
};
/* report.json, report.md, report.html and what is told of their making; nothing if the job wants no report. */
PARE_MUST_USE enum pare_code job_put_reports(struct job_run *r, struct job_answer *a, const struct job_report *report, struct pare_err *err);
struct job_sizes {
	int64_t n_weights, n_dense, n_left; /* n_dense, n_left: not zero, before and after */
	size_t bytes;
};
void job_write_sizes(const struct job_run *r, struct pare_buf *b, const struct job_sizes *s); /* members of a summary, and how long it took */
void job_doc_fewer(struct job_doc *d, int64_t n_weights, int64_t n_left);
double job_share_gone(int64_t n_left, int64_t n);             /* 0 of nothing */
double job_compression(int64_t n_weights, int64_t n_left);    /* weights over those that are left, of which one at least is counted */
extern const char job_zeros_warning[];

#endif
