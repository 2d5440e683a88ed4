/* How a net and a data set fit together: which x field each input takes, which y field each trained output is held against,
 * by which loss and with what weight. Made once, by names and shapes; training and evaluation only follow it. */
#ifndef PARE_EVAL_FIT_H
#define PARE_EVAL_FIT_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "core/base/err.h"
#include "core/data/data.h"
#include "core/eval/eval.h"
#include "core/eval/loss.h"
#include "core/graph/net.h"

struct pare_fit_input {
	int x;
	enum pare_data_layout layout;
	bool integer; /* token numbers, flags: never normalised */
};

struct pare_fit_output {
	int output, y; /* of the net, of the data set */
	const char *name;
	enum pare_task task; /* of the field; but one output for two classes is MULTILABEL, as are maps of one channel */
	struct pare_objective loss;
	double weight;
	enum pare_output_kind kind;
	int64_t width;     /* numbers at a position: classes, or labels, or targets */
	int64_t positions; /* a row: 1 but for SEQUENCE */
	bool turned;       /* a row is [width, positions], not [positions, width] */
};

struct pare_fit {
	int n_inputs, n_outputs; /* outputs: those that have a y field; 0 for data without labels */
	struct pare_fit_input inputs[PARE_DATA_FIELDS];
	struct pare_fit_output outputs[PARE_DATA_FIELDS];
	uint32_t most_rows; /* pare_eval looks at no more rows than this, evenly spread over the split; 0: at all */
	const atomic_bool *cancel; /* looked at by pare_eval now and then; true ends it with PARE_E_CANCELED. NULL: never */
};

/* What the user says; all of it may be left out. */
struct pare_fit_pair { /* a name of the model and one of an array */
	const char *model, *array;
};
struct pare_fit_options {
	const struct pare_fit_pair *inputs, *outputs;
	int n_inputs, n_outputs;
	bool keep_layout; /* never move channels */
};

/* Sizes that the model's inputs leave open besides the batch become those of the data's rows, for all nets made of it from now on. Arrays are
 * found as below; opt is that of pare_fit_make. PARE_E_SHAPE when a row does not tell (both shapes in the message). */
PARE_MUST_USE enum pare_code pare_fit_open_sizes(struct pare_model *m, const struct pare_dataset *d, const struct pare_fit_options *opt, struct pare_err *err);
/* Inputs and outputs are found by these pairs, then by equal names; what is the only one of its kind needs no name. An output
 * that is trained is of floats and fits the labels in shape. Losses are those of the tasks, weights 1. PARE_E_SHAPE when rows
 * do not fit an input or output (both shapes in the message), PARE_E_LABEL when classes exceed outputs (the class and the width in
 * the message), PARE_E_INVALID for names that do not exist or are missing. opt may be NULL. */
PARE_MUST_USE enum pare_code pare_fit_make(const struct pare_net *net, const struct pare_dataset *d, const struct pare_fit_options *opt,
    struct pare_fit *out, struct pare_err *err);
/* The loss of one output (NULL: of every output that it suits, of which there must be one) and its weight. PARE_E_INVALID when it
 * does not suit the task, or there is no such output. */
PARE_MUST_USE enum pare_code pare_fit_set_loss(struct pare_fit *fit, const char *output, const struct pare_objective *loss, double weight, struct pare_err *err);
/* Normalises and lays out the fields of all inputs. After every split: STANDARD depends on it. */
PARE_MUST_USE enum pare_code pare_fit_apply(const struct pare_fit *fit, struct pare_dataset *d, enum pare_normalize how, struct pare_err *err);

/* Do the labels come as classes (pare_data_classes, width and positions as above) or as targets? */
static inline bool pare_fit_by_class(const struct pare_fit_output *o)
{
	return o->task == PARE_TASK_CLASSIFY || o->task == PARE_TASK_SEQUENCE;
}
/* Loss of count rows, summed over labelled positions, and its gradient times scale when grad is not NULL: zero at positions
 * without a label. scratch: pare_fit_scratch floats. */
double pare_fit_loss(const struct pare_fit_output *o, const float *out, int64_t count, const int32_t *classes, const float *targets,
    float scale, float *grad, float *scratch);
size_t pare_fit_scratch(const struct pare_fit_output *o);

#endif
