/* Distillation: a student learns what a teacher says of the same rows, at its outputs and, if asked, inside (Hinton et al. 2015,
 * arXiv:1503.02531; Romero et al. 2015, arXiv:1412.6550). The teacher is a net that does not train; it runs beside the student,
 * shard by shard on the same threads. Data need no labels for that. */
#ifndef PARE_TRAIN_DISTILL_H
#define PARE_TRAIN_DISTILL_H

#include <stdbool.h>

#include "core/base/err.h"
#include "core/eval/fit.h"
#include "core/graph/net.h"

struct pare_distill_pair {
	const char *student, *teacher; /* names of values that pare_model_watch made outputs of each net */
};

struct pare_distill_options {
	double temperature;
	double alpha; /* share of the teacher in the loss; labels have the rest */
	bool mse;     /* at the outputs: squares instead of the Kullback-Leibler divergence of the tempered softmax */
	const struct pare_distill_pair *tensors; /* compared by squares */
	int n_tensors;
};

#define PARE_DISTILL_TERMS 64

enum pare_distill_kind { PARE_DISTILL_KL, PARE_DISTILL_BCE, PARE_DISTILL_MSE };

struct pare_distill_term {
	enum pare_distill_kind kind;
	int student, teacher;          /* outputs of the nets */
	enum pare_output_kind student_kind, teacher_kind;
	int64_t width, positions;      /* of a row */
	bool turned;                   /* a row is [width, positions], not [positions, width] */
	bool labelled;                 /* labels have written the output's gradient already */
};

struct pare_distill {
	struct pare_net *teacher;
	double temperature, alpha; /* alpha is 1 without labels */
	int inputs[PARE_DATA_FIELDS]; /* by input of the teacher: the student's that it takes */
	int n_terms;
	struct pare_distill_term terms[PARE_DISTILL_TERMS];
};

/* Pairs inputs by name, or in their order, and outputs likewise. The teacher was made with the threads and the batch of the student.
 * PARE_E_SHAPE for inputs, outputs or tensors that do not fit (both shapes in the message), PARE_E_INVALID for names that do not exist,
 * outputs that kl does not suit, or nets that cannot run side by side. */
PARE_MUST_USE enum pare_code pare_distill_make(const struct pare_net *student, struct pare_net *teacher, const struct pare_fit *fit,
    const struct pare_distill_options *opt, struct pare_distill *out, struct pare_err *err);
/* On a thread of the student's team, after its forward pass and the losses of labels: runs the teacher on the same count rows and adds
 * to the student's output gradients, scale being alpha / batch size. Returns the loss of the rows, summed. scratch: pare_distill_scratch floats. */
double pare_distill_shard(const struct pare_distill *d, struct pare_net *student, int shard, int64_t count, int64_t first_row, double scale, float *scratch);
size_t pare_distill_scratch(const struct pare_distill *d);

#endif
