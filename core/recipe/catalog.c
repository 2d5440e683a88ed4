/* The rows. Everything that a job may say stands here and nowhere else: the checker (check.c), the canonical text
 * (canonical.c) and the JSON Schemas (schema.c) walk these tables and know no method by name.
 *
 * Rejected: one JSON Schema file as the source and a validator library. A schema says what is valid but not what is
 * meant (defaults of a nested method, "exactly one of"), its errors name schema keywords instead of what to write, and the
 * daemon would carry a validator that is larger than everything here.
 *
 * Bounds are what the engine can honour, not what is wise: an lr of 50 is allowed, it diverges, and the job says so.
 * A parameter without default that is not required is absent unless given; its doc line says what absence means. */
#include "core/recipe/catalog.h"

#include <string.h>

#include "core/base/cpu.h"
#include "core/recipe/trial.h"

#define MAX_INT 9007199254740992.0 /* 2^53: every integer up to here is exact in a double */

static const char *const normalize_choices[] = {"auto", "none", "unit", "standard", NULL};
const char *const pare_data_tasks[] = {"classify", "regress", "multilabel", "sequence", NULL};
static const char *const metric_choices[] = {"accuracy", "macro_f1", "micro_f1", "mean_iou", "loss", "r2", NULL};
static const char *const stream_choices[] = {"auto", "always", "never", NULL};
static const char *const layout_choices[] = {"auto", "keep", NULL};
static const char *const output_choices[] = {"onnx", "report", "compressed", NULL};
static const char *const type_choices[] = {"mlp", "cnn", NULL};
static const char *const activation_choices[] = {"none", "relu", "sigmoid", "tanh", "softmax", "log_softmax", NULL};
static const char *const channels_choices[] = {"first", "last", NULL};
static const char *const teacher_choices[] = {"input", "dense", "model", NULL};
static const char *const distill_loss_choices[] = {"kl", "mse", NULL};
static const char *const batch_norm_choices[] = {"batch", "frozen", NULL};
static const char *const granularity_choices[] = {"weight", "block", "channel", "head", "layer", NULL};
static const char *const search_granularity_choices[] = {"weight", "channel", "head", "layer", NULL};
static const char *const objective_choices[] = {"weights", "macs", "bytes", "latency", NULL};
static const char *const allocation_choices[] = {"auto", "ranking", "sensitivity", NULL};
static const char *const init_choices[] = {"linear", "density", NULL};
static const char *const convolutions_choices[] = {"channels", "tucker", NULL};
static const char *const factor_scope_choices[] = {"layer", "global", NULL};
static const char *const factor_objective_choices[] = {"macs", "weights", NULL};
static const char *const form_choices[] = {"int8", "float16", "bfloat16", NULL};
static const char *const activations_choices[] = {"static", "dynamic", "none", NULL};
static const char *const range_choices[] = {"minmax", "percentile", "mse", NULL};
static const char *const message_choices[] = {"standard", "cloudevents", NULL};
static const char *const pick_choices[] = {"best", "smallest", NULL};
static const char *const per_choices[] = {"structure", "weights", "macs", NULL};
static const char *const scope_choices[] = {"global", "layer", "erk", "isomorphic", NULL};

#define INTEGER(n, lo, hi, d) .name = (n), .type = PARE_PARAM_INTEGER, .min = (lo), .max = (hi), .doc = (d)
#define NUMBER(n, lo, hi, d) .name = (n), .type = PARE_PARAM_NUMBER, .min = (lo), .max = (hi), .doc = (d)
#define DEFAULT(v) .def = (v), .has_default = true
#define END {.name = NULL}

/* What a job is called and when its turn comes: the service's record of it, not part of the work. Can be changed later. */
#define RECORD \
	{.name = "name", .type = PARE_PARAM_STRING, .beside = true, .doc = "A name for people; it changes nothing"}, \
	{.name = "labels", .type = PARE_PARAM_LABELS, .max_items = 16, .beside = true, .doc = "Names and values to find it by; names of 1 to 63 letters, digits, . _ / and -, which begin with a letter or digit"}, \
	{INTEGER("priority", -1000, 1000, "Jobs of a higher priority start first, those of one priority in the order of their arrival"), DEFAULT(0), .beside = true}

static const struct pare_param job_params[] = {
    {.name = "model", .type = PARE_PARAM_STRING, .required = true, .doc = "The model to compress: its id (mdl_...), name, name:version or name@alias"},
    {.name = "teacher", .type = PARE_PARAM_STRING, .doc = "A second model (an id or a name) that train steps may distill from; absent: none"},
    {.name = "dataset", .type = PARE_PARAM_STRING, .doc = "The labelled data set: its id (dst_...), name or name:version; may be absent where nothing but prune steps by magnitude, random or lamp are asked for, which run on any model"},
    {.name = "recipe", .type = PARE_PARAM_OBJECT, .object = "recipe", .doc = "Name of a built-in recipe, or an object with the list of steps; absent, with require: auto, the smallest model that meets it"},
    {.name = "params", .type = PARE_PARAM_PARAMS, .doc = "Values for the parameters of a named recipe; those left out keep the recipe's defaults"},
    RECORD,
    {INTEGER("seed", 0, MAX_INT, "Names every random stream of the job: splits, shuffling, dropout, random scores")},
    {INTEGER("threads", 1, PARE_THREADS_MAX, "Threads, each on a shard of every batch; part of what makes a result repeatable")},
    {.name = "data", .type = PARE_PARAM_OBJECT, .object = "data", .def_text = "{}", .doc = "How the data set is split and normalised"},
    {.name = "sweep", .type = PARE_PARAM_OBJECT, .object = "sweep", .doc = "Variants of this job that are tried first, each by itself; the best one is then run; absent: none"},
    {.name = "trial", .type = PARE_PARAM_OBJECT, .object = "trial", .doc = "One run of the sweep, as a job of its own, which delivers its figures and nothing else; the server writes it into the jobs that it makes of a sweep; absent: all of them"},
    {.name = "require", .type = PARE_PARAM_OBJECT, .object = "require", .doc = "What the result must hold; the report says whether it does"},
    {.name = "outputs", .type = PARE_PARAM_STRINGS, .choices = output_choices, .def_text = "onnx,report", .doc = "Artifacts to deliver. onnx: model.onnx; report: report.json, .md and .html; compressed: model.packed, the same model.onnx entropy coded (pare-core unpack gives its exact bytes back)"},
    {.name = "limits", .type = PARE_PARAM_OBJECT, .object = "limits", .doc = "What the job may use; absent: the limits of the server"},
    {.name = "register", .type = PARE_PARAM_STRING, .beside = true, .doc = "A name for what comes of it: model.onnx becomes the next version of the model \"name\" when the job succeeds, and \"name@alias\" moves that alias to it; result.model is its id"},
    {.name = "webhook", .type = PARE_PARAM_OBJECT, .object = "webhook", .beside = true, .doc = "A webhook made together with the job, which hears of this job alone and goes with it"},
    END};

static const struct pare_param webhook_params[] = {
    {.name = "url", .type = PARE_PARAM_STRING, .required = true, .doc = "Where its events are posted"},
    {.name = "events", .type = PARE_PARAM_STRINGS, .doc = "Which ones; absent: all that tell of a turn in the job's life, from queued to its end"},
    {.name = "format", .type = PARE_PARAM_ENUM, .choices = message_choices, .def_text = "standard", .doc = "standard: Standard Webhooks; cloudevents: a CloudEvent in JSON"},
    {.name = "secret", .type = PARE_PARAM_STRING, .doc = "What messages are signed with: whsec_ and 24 to 64 bytes in base 64; absent: one is made and told in the answer"},
    END};

static const struct pare_param record_params[] = {RECORD, END};

static const struct pare_param recipe_params[] = {
    {.name = "name", .type = PARE_PARAM_STRING, .doc = "Where the steps come from; a named recipe fills it in"},
    {.name = "steps", .type = PARE_PARAM_STEPS, .required = true, .doc = "The steps in order, each an object with the step's name as its one key"},
    END};

static const struct pare_param data_params[] = {
    {NUMBER("validation", 0, 1, "Share of the training rows held out for every choice that the job makes, stratified by class"), .open_max = true, DEFAULT(0.1)},
    {NUMBER("test", 0, 1, "Share of the rows kept for the final figures; ignored when the files bring test rows of their own"), .open_max = true, DEFAULT(0.2)},
    {INTEGER("split_seed", 0, MAX_INT, "Seed of the split; absent: the job's seed")},
    {.name = "normalize", .type = PARE_PARAM_ENUM, .choices = normalize_choices, .def_text = "auto", .doc = "unit: 8-bit values / 255; standard: (x - mean) / std per feature of the training rows; auto: unit for 8-bit data, else none"},
    {.name = "label", .type = PARE_PARAM_STRING, .doc = "CSV column that holds the label, or several columns of numbers with commas between (labels of 0 and 1, or targets); absent: label, class, target, species or y, else the last column"},
    {.name = "task", .type = PARE_PARAM_ENUM, .choices = pare_data_tasks, .doc = "classify: one class a row; multilabel: columns of 0 and 1; sequence: a class for every position of a sequence or map; regress: numbers; absent: told by shape and values of the labels"},
    {INTEGER("ignore_label", -2147483648.0, 2147483647, "Label of positions of a sequence or map that do not count; negative ones never count")},
    {.name = "inputs", .type = PARE_PARAM_OBJECTS, .object = "input", .max_items = 32, .doc = "Which array each input of the model takes; absent: the one of its name, or the only one"},
    {.name = "targets", .type = PARE_PARAM_OBJECTS, .object = "target", .max_items = 32, .doc = "Which array of labels each output is held against; absent: the one of its name, or the only one with the first output that it fits"},
    {.name = "layout", .type = PARE_PARAM_ENUM, .choices = layout_choices, .def_text = "auto", .doc = "auto: channels of images are moved when only that makes them fit the model's input; keep: never"},
    {.name = "stream", .type = PARE_PARAM_ENUM, .choices = stream_choices, .def_text = "auto", .doc = "always: rows are read from the files as batches need them, ahead and in shuffled blocks, and not kept; never: they may stay in memory, in any order; auto: always for sets of more than 1 GiB"},
    END};

static const struct pare_param input_params[] = {
    {.name = "input", .type = PARE_PARAM_STRING, .required = true, .doc = "Name of an input of the model"},
    {.name = "array", .type = PARE_PARAM_STRING, .required = true, .doc = "Name of an array of the data set, without words for the split"},
    END};
static const struct pare_param target_params[] = {
    {.name = "output", .type = PARE_PARAM_STRING, .required = true, .doc = "Name of an output of the model"},
    {.name = "array", .type = PARE_PARAM_STRING, .required = true, .doc = "Name of an array of the data set, without words for the split"},
    END};
static const struct pare_param output_loss_params[] = {
    {.name = "output", .type = PARE_PARAM_STRING, .required = true, .doc = "Name of an output of the model that has labels"},
    {.name = "loss", .type = PARE_PARAM_METHOD, .of = PARE_KIND_LOSS, .doc = "Absent: that of the step, or of the output's task"},
    {NUMBER("weight", 0, 1e9, "Its share in the loss that is minimised"), DEFAULT(1)},
    END};

static const struct pare_param require_params[] = {
    {.name = "metric", .type = PARE_PARAM_ENUM, .choices = metric_choices, .def_text = "accuracy", .doc = "Metric of the test split that may drop (loss: rise)"},
    {NUMBER("max_drop", 0, 1e9, "Largest acceptable drop from the dense model, in the metric's own unit (0.005 is half a point of accuracy)"), .required = true},
    {NUMBER("confidence", 0, 1, "0.95: the upper end of the 95 % interval of the drop must hold; absent: the measured drop must"), .open_min = true, .open_max = true},
    END};

static const struct pare_param sweep_params[] = {
    {.name = "grid", .type = PARE_PARAM_OBJECTS, .object = "axis", .max_items = 8, .doc = "Fields and their values; every combination is a variant"},
    {.name = "recipes", .type = PARE_PARAM_OBJECTS, .object = "recipe", .max_items = 64, .doc = "Recipes to compare, in the place of the job's: names, {\"name\", \"params\"}, or objects with steps"},
    {INTEGER("folds", 2, 20, "Every variant is judged by so many folds of the training rows; absent: by the validation rows")},
    {INTEGER("seeds", 1, 20, "Every variant is run with so many seeds, the job's and those that follow"), DEFAULT(1)},
    {INTEGER("halving", 2, 8, "Hopeless variants stop early: all run with a share of their epochs, one of so many goes on with so many times as much, until a last few have all of theirs; absent: all run to the end")},
    {.name = "pick", .type = PARE_PARAM_ENUM, .choices = pick_choices, .def_text = "best", .doc = "best: the best mean metric, of equals the lesser loss; smallest: the fewest weights among those whose mean is within require.max_drop of the best"},
    END};
static const struct pare_param trial_params[] = {
    {INTEGER("variant", 0, PARE_SWEEP_MAX - 1, "Which of the variants: the last axis turns fastest, recipes slowest"), .required = true},
    {INTEGER("rung", 0, PARE_SWEEP_RUNGS_MAX - 1, "Of successive halving, from the shortest on"), DEFAULT(0)},
    {INTEGER("repeat", 0, 19, "Which of the seeds; 0 is the job's own"), DEFAULT(0)},
    {INTEGER("fold", 0, 20, "The fold that it is judged by, from 1; 0: none, the validation rows"), DEFAULT(0)},
    END};
static const struct pare_param axis_params[] = {
    {.name = "parameter", .type = PARE_PARAM_STRING, .required = true, .doc = "A parameter of the named recipe, or a JSON pointer into the job, such as /recipe/steps/1/prune/sparsity"},
    {.name = "values", .type = PARE_PARAM_NUMBERS, .min = -1e12, .max = 1e12, .max_items = 64, .group = "list", .doc = "Numbers to try"},
    {.name = "names", .type = PARE_PARAM_STRINGS, .group = "list", .doc = "Names to try, such as criteria"},
    {.name = "at", .type = PARE_PARAM_STRINGS, .doc = "The pointers that parameter stands for; filled in"},
    END};

static const struct pare_param limits_params[] = {
    {INTEGER("max_runtime_seconds", 1, 604800, "CPU and wall time of the engine process")},
    {INTEGER("max_memory_bytes", 67108864.0, 1099511627776.0, "Memory of the engine process; the files of model and data set are mapped and do not count")},
    END};

#define TRAINING(default_epochs) \
	{INTEGER("epochs", 1, 100000, "Passes over the training rows"), DEFAULT(default_epochs)}, \
	{INTEGER("batch_size", 1, 65536, "Rows per update"), DEFAULT(64)}, \
	{.name = "optimizer", .type = PARE_PARAM_METHOD, .of = PARE_KIND_OPTIMIZER, .def_text = "sgd", .doc = "Update rule with its learning rate"}, \
	{.name = "lr_schedule", .type = PARE_PARAM_METHOD, .of = PARE_KIND_LR, .def_text = "constant", .doc = "How the learning rate changes over the run"}, \
	{.name = "loss", .type = PARE_PARAM_METHOD, .of = PARE_KIND_LOSS, .doc = "Of every output that it suits; absent: that of the task (cross_entropy for classes, bce for labels of 0 and 1, mse for numbers)"}, \
	{.name = "losses", .type = PARE_PARAM_OBJECTS, .object = "output_loss", .max_items = 32, .doc = "Losses and weights of single outputs of a model with several; outputs left out keep weight 1"}, \
	{.name = "distill", .type = PARE_PARAM_OBJECT, .object = "distill", .doc = "A teacher whose outputs are learned besides the labels, or instead of labels that are not there; absent: none"}, \
	{.name = "augment", .type = PARE_PARAM_OBJECT, .object = "augment", .doc = "Images are moved and mirrored anew in every epoch; absent: rows as they are"}, \
	{.name = "noise", .type = PARE_PARAM_METHOD, .of = PARE_KIND_NOISE, .doc = "Weights are random while they train, and how much, or how often they are there at all, is trained with them: those that may be anything are zero at the end; absent: none"}, \
	{.name = "rewire", .type = PARE_PARAM_OBJECT, .object = "rewire", .doc = "Pruned weights are exchanged while training: the smallest go, as many grow where the gradient is largest; absent: pruned weights stay zero"}, \
	{NUMBER("warmup", 0, 100000, "Epochs, with fraction, in which the learning rate rises from 0 to where the schedule starts"), DEFAULT(0)}, \
	{.name = "regularizer", .type = PARE_PARAM_METHODS, .of = PARE_KIND_REGULARIZER, .max_items = 8, .doc = "Penalty on the prunable weights, or a list of them; absent: none"}, \
	{NUMBER("clip_norm", 0, 1e9, "The gradient of all parameters together is scaled down to this length when it is longer; absent: no clipping"), .open_min = true}, \
	{NUMBER("clip_value", 0, 1e9, "Every element of the gradient is clipped to this magnitude; absent: no clipping"), .open_min = true}, \
	{NUMBER("clip_weights", 0, 1e9, "After every update weights are clipped to this magnitude; absent: no clipping"), .open_min = true}, \
	{.name = "batch_norm", .type = PARE_PARAM_ENUM, .choices = batch_norm_choices, .def_text = "batch", .doc = "BatchNormalization while training: batch normalises with the statistics of each batch and moves the running ones; frozen takes the running ones and leaves them"}, \
	{.name = "keep_best", .type = PARE_PARAM_BOOL, DEFAULT(0), .doc = "End with the weights of the best validation epoch instead of the last"}, \
	{INTEGER("patience", 0, 100000, "Stop after this many epochs without a better validation loss; 0: never"), DEFAULT(0)}, \
	END

static const struct pare_param train_params[] = {TRAINING(10)};
static const struct pare_param recover_params[] = {TRAINING(1)};

static const struct pare_param prune_params[] = {
    {.name = "criterion", .type = PARE_PARAM_METHOD, .of = PARE_KIND_CRITERION, .def_text = "magnitude", .doc = "Score of a weight; the lowest go"},
    {.name = "granularity", .type = PARE_PARAM_ENUM, .choices = granularity_choices, .def_text = "weight", .doc = "What is removed: weight sets single entries to zero, block sets blocks of outputs x inputs to zero, and the tensors keep their shapes; channel (of convolutions, neurons of linear layers, hidden units) and head take whole structures out of the graph, with all that is coupled to them; layer takes whole branches of residual sums and concatenations out of it"},
    {.name = "scope", .type = PARE_PARAM_ENUM, .choices = scope_choices, .def_text = "global", .doc = "global: one ranking over all layers; layer: the same share of every layer; erk, for single weights with sparsity: large layers lose more, by the sum of their dimensions over the product (Erdos-Renyi kernel); isomorphic, for structures: one ranking for all layers that are coupled alike; branches (granularity layer) have one ranking"},
    {.name = "per", .type = PARE_PARAM_ENUM, .choices = per_choices, .def_text = "structure", .doc = "For structures: scores are compared as they are, or divided by the weights or multiply-accumulates that go with a structure: of two that matter alike, the one that saves more goes"},
    {NUMBER("sparsity", 0, 1, "Share of the prunable weights (or blocks) that is zero afterwards, or of the structures that are gone"), .open_max = true, .group = "amount"},
    {NUMBER("threshold", 0, 1e9, "Weights whose score is below this go"), .group = "amount"},
    {.name = "pattern", .type = PARE_PARAM_STRING, .group = "amount", .doc = "N:M, such as 2:4 or 4:8: of every M consecutive inputs of an output N stay"},
    {.name = "block", .type = PARE_PARAM_INTEGERS, .min = 1, .max = 65536, .max_items = 2, .doc = "Outputs and inputs of a block; required by granularity block"},
    {.name = "schedule", .type = PARE_PARAM_METHOD, .of = PARE_KIND_SCHEDULE, .def_text = "one_shot", .doc = "In how many rounds, and how fast, the amount is reached"},
    {.name = "regrow", .type = PARE_PARAM_BOOL, DEFAULT(0), .doc = "What a round removed trains on in its recovery and may come back; what the last round removes is gone. For single weights, patterns and blocks"},
    {.name = "fade", .type = PARE_PARAM_OBJECT, .object = "fade", .doc = "What a round has chosen is trained away before it goes, with the arguments of recover; absent: it goes at once"},
    {.name = "reconstruct", .type = PARE_PARAM_OBJECT, .object = "reconstruct", .doc = "Refit of the layers after every round, before its figures and its recovery; absent: none"},
    {.name = "reestimate", .type = PARE_PARAM_OBJECT, .object = "reestimate", .doc = "Statistics of batch normalisation are recomputed after every round, before its figures and its recovery; absent: they stay"},
    {INTEGER("rewind", 0, 100000, "After every round all that is left goes back to what it was after so many epochs of the job's first training (or at its end, if it had fewer), and recover trains it again; 0: to the uploaded weights; absent: it stays")},
    {.name = "recover", .type = PARE_PARAM_OBJECT, .object = "recover", .doc = "Training after every round, under the mask; absent: none. Inherits nothing from train steps"},
    {.name = "exclude", .type = PARE_PARAM_STRINGS, .doc = "Initializers or nodes that stay whole: exact names, or a prefix with one trailing *"},
    {INTEGER("round_to", 1, 65536, "For channels and heads: widths are multiples of this, or stay whole; as much goes as whole steps come to without being more than asked. Absent: 1, any width, since what is fast differs between machines")},
    {INTEGER("min_width", 1, MAX_INT, "For channels and heads: no layer gets narrower than this; absent: 1")},
    {.name = "ratios", .type = PARE_PARAM_OBJECTS, .object = "ratio", .max_items = 64, .doc = "For structures: layers with a share of their own in the place of sparsity"},
    END};

static const struct pare_param search_params[] = {
    {.name = "objective", .type = PARE_PARAM_ENUM, .choices = objective_choices, .def_text = "weights", .doc = "What is to be small: weights and macs (multiply-accumulates) count those that are not zero; bytes: of the file with zeros left out and a bit a weight to say where; latency: macs stand for it in the search, and it is measured at the end"},
    {.name = "criterion", .type = PARE_PARAM_METHOD, .of = PARE_KIND_CRITERION, .def_text = "magnitude", .doc = "Score of a weight; the lowest go"},
    {.name = "granularity", .type = PARE_PARAM_ENUM, .choices = search_granularity_choices, .def_text = "weight", .doc = "What is removed: single weights, or whole channels, heads or layers (branches of residual sums and concatenations), one by one where there are few"},
    {.name = "scope", .type = PARE_PARAM_ENUM, .choices = scope_choices, .def_text = "global", .doc = "Of the ranking: over all layers, in every layer the same share, or (isomorphic, for structures) over layers that are coupled alike"},
    {.name = "per", .type = PARE_PARAM_ENUM, .choices = per_choices, .def_text = "structure", .doc = "For structures: scores are compared as they are, or divided by the weights or multiply-accumulates that go with a structure: of two that matter alike, the one that saves more goes"},
    {.name = "allocation", .type = PARE_PARAM_ENUM, .choices = allocation_choices, .def_text = "auto", .doc = "For single weights: sizes of layers follow from the ranking, or from how the loss rises when one layer alone is pruned; auto: whichever has the lesser loss before training"},
    {INTEGER("sensitivity_rows", 1, MAX_INT, "Validation rows by which sensitivities are found"), DEFAULT(1024)},
    {NUMBER("step", 0, 1, "First step: the share that goes of what is left"), .open_min = true, .open_max = true, DEFAULT(0.5)},
    {NUMBER("min_step", 0, 1, "The search ends when its step is below this"), .open_min = true, .open_max = true, DEFAULT(0.05)},
    {INTEGER("tries", 1, 200, "Most models to try"), DEFAULT(24)},
    {INTEGER("beyond", 0, 16, "Models to make past the floor, each a step smaller than the last, for the front"), DEFAULT(2)},
    {INTEGER("front", 2, 16, "Most models to keep of the Pareto front, each an artifact of its own"), DEFAULT(8)},
    {.name = "reconstruct", .type = PARE_PARAM_OBJECT, .object = "reconstruct", .doc = "Refit of the layers of every model that is tried, before its training; absent: none"},
    {.name = "recover", .type = PARE_PARAM_OBJECT, .object = "recover", .doc = "Training of every model that is tried, until it holds the floor or its epochs are over; absent: none. Its learning rate is halved whenever the step is"},
    {.name = "exclude", .type = PARE_PARAM_STRINGS, .doc = "Initializers or nodes that stay whole: exact names, or a prefix with one trailing *"},
    {INTEGER("round_to", 1, 65536, "For channels and heads: widths are multiples of this, or stay whole; absent: 1")},
    {INTEGER("min_width", 1, MAX_INT, "For channels and heads: no layer gets narrower than this; absent: 1")},
    END};

static const struct pare_param ratio_params[] = {
    {.name = "layer", .type = PARE_PARAM_STRING, .required = true, .doc = "An initializer or node of the layer: its exact name, or a prefix with one trailing *"},
    {NUMBER("sparsity", 0, 1, "Share of the layer's structures that is gone afterwards"), .open_max = true, .required = true},
    END};

static const struct pare_param fade_params[] = {
    {INTEGER("epochs", 1, 100000, "Epochs of it in every round"), DEFAULT(1)},
    {NUMBER("lambda", 0, 1e6, "Weight of (1/2) sum w^2 of what is chosen, at the end; it rises from 0, evenly over the steps"), .open_min = true, DEFAULT(10)},
    END};
static const struct pare_param rewire_params[] = {
    {INTEGER("every", 1, MAX_INT, "Updates between two exchanges"), DEFAULT(100)},
    {NUMBER("share", 0, 1, "Share of a layer's weights that the first exchange takes; it falls to 0 along half a cosine"), .open_min = true, .open_max = true, DEFAULT(0.3)},
    {NUMBER("until", 0, 1, "Share of the updates after which nothing is exchanged any more"), .open_min = true, DEFAULT(0.75)},
    END};

#define COMPLEXITY \
	{NUMBER("lambda", 0, 1e6, "Weight of the complexity in the loss, over the number of training rows"), DEFAULT(1)}, \
	{NUMBER("warmup", 0, 100000, "Epochs, with fraction, in which that weight rises from 0"), DEFAULT(5)}
static const struct pare_param variational_params[] = {
    COMPLEXITY,
    {NUMBER("start", -100, 10, "log sigma^2 of every weight at the start"), DEFAULT(-10)},
    {NUMBER("threshold", -8, 8, "Weights go whose log alpha, that of the noise's variance over the weight's square, is above this at the end"), DEFAULT(3)},
    END};
static const struct pare_param l0_params[] = {
    COMPLEXITY,
    {NUMBER("start", 0, 1, "Share of the weights that is there at the start"), .open_min = true, .open_max = true, DEFAULT(0.9)},
    END};

static const struct pare_param reestimate_params[] = {
    {INTEGER("batch_size", 2, 65536, "Rows of which statistics are taken at a time"), DEFAULT(256)},
    {INTEGER("rows", 1, MAX_INT, "Training rows to look at; absent: all")},
    END};
static const struct pare_param evaluate_params[] = {
    {INTEGER("folds", 2, 20, "Run the preceding steps once per fold from the input weights and report mean and range over the held-out folds; absent: the validation rows")},
    END};

static const struct pare_param cluster_params[] = {
    {INTEGER("bits", 1, 11, "2^bits different values in each tensor, zeros not counted"), DEFAULT(5)},
    {INTEGER("conv_bits", 1, 11, "The same for tensors of more than two axes; absent: bits")},
    {.name = "init", .type = PARE_PARAM_ENUM, .choices = init_choices, .def_text = "linear", .doc = "Where the search for centroids starts. linear: evenly between the extremes, which keeps large weights apart; density: evenly over the sorted weights"},
    {INTEGER("iterations", 1, 100000, "Rounds of k-means at most"), DEFAULT(300)},
    {.name = "exclude", .type = PARE_PARAM_STRINGS, .doc = "Initializers or nodes that stay as they are: exact names, or a prefix with one trailing *"},
    END};
static const struct pare_param dead_params[] = {
    {.name = "exclude", .type = PARE_PARAM_STRINGS, .doc = "Initializers or nodes whose layer keeps its width: exact names, or a prefix with one trailing *; absent: none, dead units go from all layers"},
    END};
static const struct pare_param factorize_params[] = {
    {INTEGER("rank", 1, 65536, "Of every layer that gets cheaper by it"), .group = "amount"},
    {NUMBER("energy", 0, 1, "Share of the squares of a weight's singular values that is kept: the rank of each layer follows"), .open_min = true, .group = "amount"},
    {NUMBER("ratio", 0, 1, "Share of a layer's multiplications that is kept, at most: the rank of each layer follows"), .open_min = true, .open_max = true, .group = "amount"},
    {.name = "scope", .type = PARE_PARAM_ENUM, .choices = factor_scope_choices, .def_text = "layer", .doc = "Of energy and ratio. layer: of every layer by itself; global: of all together, and the singular values of all say which layers give how much, so that the product of the shares of their squares that are kept is as large as can be (energy: its geometric mean)"},
    {.name = "objective", .type = PARE_PARAM_ENUM, .choices = factor_objective_choices, .def_text = "macs", .doc = "What scope global saves: multiply-accumulates or weights"},
    {.name = "convolutions", .type = PARE_PARAM_ENUM, .choices = convolutions_choices, .def_text = "channels", .doc = "k x k convolutions: channels: k x k to fewer channels, then 1 x 1; tucker: 1 x 1 to fewer channels, k x k between those, 1 x 1"},
    {.name = "exclude", .type = PARE_PARAM_STRINGS, .doc = "Initializers or nodes that stay as they are: exact names, or a prefix with one trailing *"},
    END};

static const struct pare_param quantize_params[] = {
    {.name = "form", .type = PARE_PARAM_ENUM, .choices = form_choices, .def_text = "int8", .doc = "Of the weights of Gemm, MatMul and Conv: int8, symmetric, zeros stay zero; float16 and bfloat16 halve the file and need nothing else"},
    {.name = "activations", .type = PARE_PARAM_ENUM, .choices = activations_choices, .def_text = "static", .doc = "For int8. static: what the layers multiply is quantized, too, by ranges found on training rows (QDQ, which runtimes run with integer kernels); dynamic: the same by ranges that are found as the model runs, over all rows that come together, for Gemm and MatMul only (no data is looked at; other layers stay in floats); none: only the file gets smaller"},
    {.name = "per_channel", .type = PARE_PARAM_BOOL, DEFAULT(1), .doc = "For int8: a scale for every output channel (opset 13); else one for the tensor"},
    {.name = "reduce_range", .type = PARE_PARAM_BOOL, DEFAULT(0), .doc = "For int8: weights within +-63, for processors without VNNI, whose products of 8 bits saturate"},
    {.name = "range", .type = PARE_PARAM_ENUM, .choices = range_choices, .def_text = "mse", .doc = "Of an activation. minmax: the extremes; percentile: the rest is clipped; mse: the least square of the error"},
    {NUMBER("percentile", 0.5, 1, "Share of the activations that is not clipped"), DEFAULT(0.9999)},
    {INTEGER("rows", 1, MAX_INT, "Training rows on which ranges are found; more than there are: all"), DEFAULT(512)},
    {.name = "exclude", .type = PARE_PARAM_STRINGS, .doc = "Initializers or nodes that stay as they are: exact names, or a prefix with one trailing *"},
    END};

static const struct pare_param gradient_params[] = {
    {INTEGER("rows", 1, MAX_INT, "Training rows whose gradients are looked at before each round; more than there are: all"), DEFAULT(8192)},
    {INTEGER("batch_size", 1, 65536, "Rows whose mean gradient counts as one"), DEFAULT(64)},
    END};

static const struct pare_param hessian_params[] = {
    {INTEGER("rows", 1, MAX_INT, "Training rows of whose loss the curvature is taken, twice for each probe; more than there are: all"), DEFAULT(2048)},
    {INTEGER("probes", 1, 10000, "Random directions that are averaged over"), DEFAULT(8)},
    END};
static const struct pare_param ablation_params[] = {
    {INTEGER("rows", 1, MAX_INT, "Training rows whose loss is looked at, once for every structure; more than there are: all"), DEFAULT(512)},
    END};
static const struct pare_param activation_params[] = {
    {INTEGER("rows", 1, MAX_INT, "Training rows whose activations are looked at before each round; more than there are: all"), DEFAULT(1024)},
    END};
static const struct pare_param mean_params[] = {
    {INTEGER("rows", 1, MAX_INT, "Training rows whose activations are looked at before each round; more than there are: all"), DEFAULT(1024)},
    {.name = "centered", .type = PARE_PARAM_BOOL, DEFAULT(0), .doc = "The root mean square of what differs from the mean: a bias can stand for the mean"},
    {.name = "weighted", .type = PARE_PARAM_BOOL, DEFAULT(1), .doc = "Times the norm of the weights that read the structure, so that it does not matter how a ReLU's scale is divided between what leads in and what leads out"},
    END};
static const struct pare_param entropy_params[] = {
    {INTEGER("rows", 1, MAX_INT, "Training rows whose activations are looked at before each round; more than there are: all"), DEFAULT(1024)},
    {INTEGER("bins", 2, 1024, "Equal bins between the least and the greatest output; 2: on (more than 0, or than the middle where nothing is at or below 0) and off"), DEFAULT(2)},
    {.name = "weighted", .type = PARE_PARAM_BOOL, DEFAULT(1), .doc = "Times the norm of the weights that read the structure, so that it does not matter how a ReLU's scale is divided between what leads in and what leads out"},
    END};
static const struct pare_param wanda_params[] = {
    {INTEGER("rows", 1, MAX_INT, "Training rows whose inputs to the layers are looked at before each round; more than there are: all"), DEFAULT(2048)},
    END};
static const struct pare_param obs_params[] = {
    {INTEGER("rows", 1, MAX_INT, "Training rows whose inputs to the layers are looked at before each round; more than there are: all"), DEFAULT(2048)},
    {NUMBER("damping", 0, 1000, "Added to the diagonal of the second moments, in units of its mean"), .open_min = true, DEFAULT(0.01)},
    END};
static const struct pare_param reconstruct_params[] = {
    {INTEGER("rows", 1, MAX_INT, "Training rows on which the layers' outputs shall stay as they were; more than there are: all"), DEFAULT(8192)},
    {NUMBER("lambda", 0, 1000, "Ridge: weight of |w|^2, in units of the mean square of the layer's inputs"), DEFAULT(0.0001)},
    {INTEGER("iterations", 1, 100000, "Conjugate gradient steps of a layer at most"), DEFAULT(200)},
    {.name = "exclude", .type = PARE_PARAM_STRINGS, .doc = "Initializers or nodes that stay as they are: exact names, or a prefix with one trailing *"},
    END};

static const struct pare_param rounds_params[] = {
    {INTEGER("rounds", 1, 1000, "Pruning rounds"), DEFAULT(8)},
    {NUMBER("start", 0, 1, "Sparsity before the first round"), .open_max = true, DEFAULT(0)},
    END};

static const struct pare_param lr_step_params[] = {
    {INTEGER("every", 1, 100000, "Epochs between two drops"), .required = true},
    {NUMBER("gamma", 0, 1, "Factor at each drop"), .open_min = true, DEFAULT(0.1)},
    END};
static const struct pare_param lr_cosine_params[] = {
    {NUMBER("floor", 0, 1, "Share of the learning rate that is left at the end"), DEFAULT(0)},
    END};

static const struct pare_param lr_exponential_params[] = {
    {NUMBER("gamma", 0, 1, "Factor for each epoch"), .open_min = true, DEFAULT(0.95)},
    END};
static const struct pare_param lr_one_cycle_params[] = {
    {NUMBER("peak", 0, 1, "Share of the steps after which the learning rate is reached"), .open_min = true, .open_max = true, DEFAULT(0.3)},
    {NUMBER("div", 1, 1e9, "What the learning rate is divided by at the start"), DEFAULT(25)},
    {NUMBER("final_div", 1, 1e12, "What it is divided by in addition at the end"), DEFAULT(10000)},
    END};

static const struct pare_param l1_params[] = {
    {NUMBER("lambda", 0, 1e6, "Weight of sum |w| in the objective"), .required = true},
    END};
static const struct pare_param l2_params[] = {
    {NUMBER("lambda", 0, 1e6, "Weight of (1/2) sum w^2 in the objective"), .required = true},
    END};

static const struct pare_param augment_params[] = {
    {INTEGER("crop", 0, 1024, "Pad by so many zeros on every side and cut a window of the old size anywhere"), DEFAULT(0)},
    {INTEGER("shift", 0, 1024, "Move by up to so many pixels along both axes, edge pixels repeated"), DEFAULT(0)},
    {.name = "flip", .type = PARE_PARAM_BOOL, DEFAULT(0), .doc = "Mirror left and right, every other time"},
    {.name = "channels", .type = PARE_PARAM_ENUM, .choices = channels_choices, .def_text = "first", .doc = "Where the model's input has its channels: first [N, C, H, W] or last [N, H, W, C]"},
    END};
static const struct pare_param distill_params[] = {
    {.name = "teacher", .type = PARE_PARAM_ENUM, .choices = teacher_choices, .def_text = "input", .doc = "input: the model as uploaded; dense: as it was before the first pruning (or factorizing; in a fold, trained on that fold alone); model: the job's second model"},
    {NUMBER("temperature", 0, 1000, "Softens the classes of teacher and student (kl)"), .open_min = true, DEFAULT(4)},
    {NUMBER("alpha", 0, 1, "Share of the teacher in the loss; labels have the rest"), DEFAULT(0.5)},
    {.name = "loss", .type = PARE_PARAM_ENUM, .choices = distill_loss_choices, .def_text = "kl", .doc = "At the outputs. kl: divergence of the tempered classes; mse: squares, for outputs that are numbers"},
    {.name = "tensors", .type = PARE_PARAM_OBJECTS, .object = "distill_tensor", .max_items = 32, .doc = "Inner tensors to bring together, by squares; absent: none"},
    END};
static const struct pare_param distill_tensor_params[] = {
    {.name = "student", .type = PARE_PARAM_STRING, .required = true, .doc = "Name of a tensor of the model"},
    {.name = "teacher", .type = PARE_PARAM_STRING, .required = true, .doc = "Name of the teacher's tensor, of the same shape"},
    END};

static const struct pare_param cross_entropy_params[] = {
    {NUMBER("smoothing", 0, 1, "Share of every label that is spread evenly over all classes"), .open_max = true, DEFAULT(0)},
    {.name = "class_weights", .type = PARE_PARAM_NUMBERS, .min = 0, .max = 1e9, .max_items = 65536, .doc = "Weight of each class in its order; those past the end weigh 1; absent: all weigh 1"},
    END};
static const struct pare_param bce_params[] = {
    {NUMBER("smoothing", 0, 1, "Share of every label that is spread evenly over yes and no"), .open_max = true, DEFAULT(0)},
    {.name = "class_weights", .type = PARE_PARAM_NUMBERS, .min = 0, .max = 1e9, .max_items = 65536, .doc = "Weight of each output in its order; those past the end weigh 1; absent: all weigh 1"},
    END};
static const struct pare_param huber_params[] = {
    {NUMBER("delta", 0, 1e9, "Distance from the target where squares become straight"), .open_min = true, DEFAULT(1)},
    END};

static const struct pare_param elastic_net_params[] = {
    {NUMBER("lambda", 0, 1e6, "Weight of the penalty in the objective"), .required = true},
    {NUMBER("l1_ratio", 0, 1, "Share of sum |w|; the rest is (1/2) sum w^2"), DEFAULT(0.5)},
    END};
static const struct pare_param group_lasso_params[] = {
    {NUMBER("lambda", 0, 1e6, "Weight of the sum over groups of sqrt(size) ||w|| in the objective"), .required = true},
    END};
static const struct pare_param decay_params[] = {
    {NUMBER("lambda", 0, 1000, "Share of the weights, times the learning rate, that every step takes away"), .required = true},
    END};

static const struct pare_param sgd_params[] = {
    {NUMBER("lr", 0, 1000, "Learning rate"), .open_min = true, DEFAULT(0.1)},
    {NUMBER("momentum", 0, 1, "Share of the last update that is kept"), .open_max = true, DEFAULT(0)},
    {.name = "nesterov", .type = PARE_PARAM_BOOL, DEFAULT(0), .doc = "Look ahead along the momentum"},
    END};
static const struct pare_param adam_params[] = {
    {NUMBER("lr", 0, 1000, "Learning rate"), .open_min = true, DEFAULT(0.001)},
    {NUMBER("beta1", 0, 1, "Decay of the mean of gradients"), .open_max = true, DEFAULT(0.9)},
    {NUMBER("beta2", 0, 1, "Decay of the mean of squared gradients"), .open_max = true, DEFAULT(0.999)},
    {NUMBER("epsilon", 1e-30, 1, "Added to the denominator"), DEFAULT(1e-8)},
    END};

static const struct pare_param adamw_params[] = {
    {NUMBER("lr", 0, 1000, "Learning rate"), .open_min = true, DEFAULT(0.001)},
    {NUMBER("beta1", 0, 1, "Decay of the mean of gradients"), .open_max = true, DEFAULT(0.9)},
    {NUMBER("beta2", 0, 1, "Decay of the mean of squared gradients"), .open_max = true, DEFAULT(0.999)},
    {NUMBER("epsilon", 1e-30, 1, "Added to the denominator"), DEFAULT(1e-8)},
    {NUMBER("weight_decay", 0, 1000, "Share of the prunable weights, times the learning rate, that every step takes away"), DEFAULT(0.01)},
    END};
static const struct pare_param rmsprop_params[] = {
    {NUMBER("lr", 0, 1000, "Learning rate"), .open_min = true, DEFAULT(0.01)},
    {NUMBER("alpha", 0, 1, "Decay of the mean of squared gradients"), .open_max = true, DEFAULT(0.99)},
    {NUMBER("epsilon", 1e-30, 1, "Added to the denominator"), DEFAULT(1e-8)},
    {NUMBER("momentum", 0, 1, "Share of the last update that is kept"), .open_max = true, DEFAULT(0)},
    END};

static const struct pare_param architecture_params[] = {
    {.name = "type", .type = PARE_PARAM_ENUM, .choices = type_choices, .def_text = "mlp", .doc = "What one calls it; the layers say what it is"},
    {.name = "input", .type = PARE_PARAM_INTEGERS, .min = 1, .max = 16777216, .max_items = 4, .required = true, .doc = "Dimensions of one row, without the batch: [784] or [1, 28, 28]"},
    {.name = "layers", .type = PARE_PARAM_OBJECTS, .object = "layer", .max_items = 64, .required = true, .doc = "The layers in order; the last one gives the outputs"},
    {INTEGER("seed", 0, MAX_INT, "Seed of the initial weights"), DEFAULT(0)},
    END};
static const struct pare_param layer_params[] = {
    {INTEGER("units", 1, 16777216, "Outputs of the layer; with a kernel: channels"), .required = true},
    {INTEGER("kernel", 0, 1024, "Convolution of kernel x kernel, stride 1, over an input of channels, height and width; 0: fully connected"), DEFAULT(0)},
    {INTEGER("pad", 0, 1024, "Zeros around the input of a convolution"), DEFAULT(0)},
    {INTEGER("pool", 0, 1024, "Max pooling over windows of that size and stride, after the activation of a convolution; 0: none"), DEFAULT(0)},
    {.name = "activation", .type = PARE_PARAM_ENUM, .choices = activation_choices, .def_text = "none", .doc = "Applied to the outputs; leave it out after the last layer (the loss takes raw scores)"},
    {NUMBER("dropout", 0, 1, "Share of outputs that is dropped while training"), .open_max = true, DEFAULT(0)},
    END};

const struct pare_method pare_catalog[] = {
    {PARE_KIND_JOB, "job", "One job: a model, a data set, what to do and what to deliver", NULL, job_params},
    {PARE_KIND_STEP, "factorize", "Layers become products of smaller ones by the truncated singular value decomposition of their weights, where that takes fewer multiplications; channels, heads and layers that were pruned before leave the model first, single weights are pruned after it, so that training and pruning work on the factors", "Denton et al. 2014, arXiv:1404.0736; Zhang et al. 2016, arXiv:1505.06798 (convolutions); Kim et al. 2016, arXiv:1511.06530 (Tucker)", factorize_params},
    {PARE_KIND_STEP, "train", "Gradient descent on the training rows; pruned weights stay zero", NULL, train_params},
    {PARE_KIND_STEP, "prune", "Sets the least important weights to zero, at once or in rounds with recovery between them", "Han et al. 2015, arXiv:1506.02626", prune_params},
    {PARE_KIND_STEP, "remove_dead", "Takes channels and neurons out of the graph that pruning of single weights has left without a purpose: those that nothing reads any more, and those that nothing leads into, whose constant output moves into the bias behind them; outputs stay the same", "Han et al. 2015, arXiv:1506.02626 (3.5)", dead_params},
    {PARE_KIND_STEP, "search", "Finds the smallest model that holds the job's requirement on the validation rows, and the Pareto front on the way", "Yang et al. 2018, arXiv:1804.03230 (down to a budget in steps, each recovered); Li et al. 2017, arXiv:1608.08710 (sensitivity)", search_params},
    {PARE_KIND_STEP, "reestimate", "Recomputes the running statistics of batch normalisation for the present weights, by a pass over training rows", "Izmailov et al. 2018, arXiv:1803.05407", reestimate_params},
    {PARE_KIND_STEP, "evaluate", "Records metrics of the present weights on the validation rows, or by k-fold cross-validation", "Stone 1974, J. R. Stat. Soc. B 36", evaluate_params},
    {PARE_KIND_STEP, "reconstruct", "Refits what pruning left of each layer so that its outputs stay as they were: ridge regression by preconditioned conjugate gradients, without labels", "Dong et al. 2017, arXiv:1705.07565; Meng et al. 2024, arXiv:2406.07831", reconstruct_params},
    {PARE_KIND_STEP, "cluster", "Weights of a tensor share a few values, found by k-means; zeros stay zero, and training goes on with the shared values (gradients are summed: use a small learning rate, or adam)", "Han et al. 2016, arXiv:1510.00149", cluster_params},
    {PARE_KIND_STEP, "quantize", "Writes weights with fewer bits, as a stock runtime loads them; the last step of a recipe", "Jacob et al. 2018, arXiv:1712.05877; Nagel et al. 2021, arXiv:2106.08295", quantize_params},
    {PARE_KIND_CRITERION, "magnitude", "Score |w|: small weights go", "Han et al. 2015, arXiv:1506.02626", NULL},
    {PARE_KIND_CRITERION, "random", "Uniformly random scores: the baseline that every method must beat", "Gale et al. 2019, arXiv:1902.09574", NULL},
    {PARE_KIND_CRITERION, "lamp", "Share of the tensor's energy that is left when smaller weights have gone, w^2 / sum u^2 over |u| >= |w|: balances layers without a parameter", "Lee et al. 2021, arXiv:2010.07611", NULL},
    {PARE_KIND_CRITERION, "gradient", "|E g|: weights on which the loss does not pull go", NULL, gradient_params},
    {PARE_KIND_CRITERION, "gradient_abs", "E|g| over batches: weights on which no batch pulls go", NULL, gradient_params},
    {PARE_KIND_CRITERION, "snip", "|w E g|: the first-order change of the loss when the weight goes; made for pruning before training", "Lee et al. 2019, arXiv:1810.02340", gradient_params},
    {PARE_KIND_CRITERION, "taylor", "|w| E|g|: the same, batches do not cancel", "Molchanov et al. 2017, arXiv:1611.06440", gradient_params},
    {PARE_KIND_CRITERION, "movement", "-w E g: weights that training pulls towards zero go", "Sanh et al. 2020, arXiv:2005.07683", gradient_params},
    {PARE_KIND_CRITERION, "movement_sum", "-sum w g over all updates since the job began: weights that training has pulled towards zero go; train, or recover between rounds, before", "Sanh et al. 2020, arXiv:2005.07683", NULL},
    {PARE_KIND_CRITERION, "fisher", "w^2 E[g^2] / 2: optimal brain damage with a diagonal Fisher matrix", "LeCun et al. 1990; Theis et al. 2018, arXiv:1801.05787", gradient_params},
    {PARE_KIND_CRITERION, "l1", "Mean |w| over all weights of a structure, coupled ones included", "Li et al. 2017, arXiv:1608.08710; Fang et al. 2023, arXiv:2301.12900", NULL},
    {PARE_KIND_CRITERION, "l2", "Root mean square over all weights of a structure, coupled ones included", "Li et al. 2017, arXiv:1608.08710; Fang et al. 2023, arXiv:2301.12900", NULL},
    {PARE_KIND_CRITERION, "bn_scale", "|gamma| of the norms that a channel passes through; layers without one stay whole", "Liu et al. 2017, arXiv:1708.06519", NULL},
    {PARE_KIND_CRITERION, "fpgm", "Distance of a structure's weights to those of the others in its layer: what lies in the middle can be replaced", "He et al. 2019, arXiv:1811.00250", NULL},
    {PARE_KIND_CRITERION, "mean_activation", "Mean |a| of a structure's outputs on training rows, or their spread", "Polyak and Wolf 2015, IEEE Access 3; An et al. 2024, arXiv:2312.11983 (spread, weighted)", mean_params},
    {PARE_KIND_CRITERION, "apoz", "How often a structure's outputs are not zero on training rows", "Hu et al. 2016, arXiv:1607.03250", activation_params},
    {PARE_KIND_CRITERION, "entropy", "Entropy of a structure's outputs in bins: what always says the same says nothing", "Luo and Wu 2017, arXiv:1706.05791; Liao et al. 2023, arXiv:2308.06619 (on and off)", entropy_params},
    {PARE_KIND_CRITERION, "hrank", "Mean rank of a channel's feature maps, of those that convolutions read, on training rows; layers without such maps stay whole", "Lin et al. 2020, arXiv:2002.10179", activation_params},
    {PARE_KIND_CRITERION, "ablation", "How much the loss rises without the structure, found out by leaving it out; taylor with granularity channel is the fast form", "Mozer and Smolensky 1989", ablation_params},
    {PARE_KIND_CRITERION, "hessian", "w^2 h / 2 with h on the diagonal of the Hessian, estimated by random probes: optimal brain damage; of structures the sum", "LeCun et al. 1990; Hutchinson 1989; Yu et al. 2022, arXiv:2101.08940", hessian_params},
    {PARE_KIND_CRITERION, "wanda", "|w| times the root mean square of its input", "Sun et al. 2023, arXiv:2306.11695", wanda_params},
    {PARE_KIND_CRITERION, "obs", "w^2 / (2 [H^-1]): what the layer's output loses when the weight goes and the others make up for it; reconstruct lets them", "Hassibi and Stork 1993; Dong et al. 2017, arXiv:1705.07565", obs_params},
    {PARE_KIND_SCHEDULE, "one_shot", "The whole amount in one round", NULL, NULL},
    {PARE_KIND_SCHEDULE, "linear", "Equal steps of sparsity", NULL, rounds_params},
    {PARE_KIND_SCHEDULE, "cubic", "Fast first, slow at the end: s1 + (s0 - s1)(1 - i/n)^3", "Zhu and Gupta 2017, arXiv:1710.01878", rounds_params},
    {PARE_KIND_SCHEDULE, "exponential", "The same share of what is left goes in every round", "Han et al. 2015, arXiv:1506.02626; Frankle and Carbin 2019, arXiv:1803.03635", rounds_params},
    {PARE_KIND_LR, "constant", "The learning rate stays as it is", NULL, NULL},
    {PARE_KIND_LR, "step", "The learning rate is multiplied by gamma every so many epochs", NULL, lr_step_params},
    {PARE_KIND_LR, "cosine", "Half a cosine from the learning rate down to its floor", "Loshchilov and Hutter 2017, arXiv:1608.03983", lr_cosine_params},
    {PARE_KIND_LR, "exponential", "The learning rate is multiplied by gamma over every epoch, a little with each batch", NULL, lr_exponential_params},
    {PARE_KIND_LR, "one_cycle", "Up to the learning rate along half a cosine, then down to almost nothing", "Smith and Topin 2018, arXiv:1708.07120", lr_one_cycle_params},
    {PARE_KIND_REGULARIZER, "l1", "lambda sum |w| by a proximal step (soft threshold), so weights become exactly zero", "Tibshirani 1996; Parikh and Boyd 2014", l1_params},
    {PARE_KIND_REGULARIZER, "l2", "Ridge: (lambda/2) sum w^2 added to the loss", "Hoerl and Kennard 1970", l2_params},
    {PARE_KIND_REGULARIZER, "elastic_net", "lambda sum (l1_ratio |w| + (1 - l1_ratio)/2 w^2), its first part by a proximal step", "Zou and Hastie 2005, J. R. Stat. Soc. B 67", elastic_net_params},
    {PARE_KIND_REGULARIZER, "group_lasso", "Norms of whole output channels (or rows) by a proximal step, so channels become exactly zero", "Yuan and Lin 2006, J. R. Stat. Soc. B 68", group_lasso_params},
    {PARE_KIND_REGULARIZER, "decay", "Decoupled weight decay: every step takes a share of the weights, whatever the optimizer does with gradients", "Loshchilov and Hutter 2019, arXiv:1711.05101", decay_params},
    {PARE_KIND_NOISE, "variational", "Sparse variational dropout: normal noise with a variance of its own for every weight, drawn once a batch", "Molchanov et al. 2017, arXiv:1701.05369", variational_params},
    {PARE_KIND_NOISE, "l0", "Hard concrete gates: every weight is there with a probability of its own, drawn once a batch; lambda counts the weights", "Louizos et al. 2018, arXiv:1712.01312", l0_params},
    {PARE_KIND_OPTIMIZER, "sgd", "Stochastic gradient descent with optional momentum", "Robbins and Monro 1951; Sutskever et al. 2013", sgd_params},
    {PARE_KIND_OPTIMIZER, "adam", "Adam: steps scaled by running moments of the gradient", "Kingma and Ba 2015, arXiv:1412.6980", adam_params},
    {PARE_KIND_OPTIMIZER, "adamw", "Adam with decoupled weight decay", "Loshchilov and Hutter 2019, arXiv:1711.05101", adamw_params},
    {PARE_KIND_OPTIMIZER, "rmsprop", "Steps scaled by a running mean of squared gradients", "Tieleman and Hinton 2012, Coursera lecture 6.5", rmsprop_params},
    {PARE_KIND_LOSS, "cross_entropy", "Negative log-likelihood of the class, or of soft labels", "Szegedy et al. 2016, arXiv:1512.00567 (smoothing)", cross_entropy_params},
    {PARE_KIND_LOSS, "kl", "Kullback-Leibler divergence of the outputs from soft labels", "Kullback and Leibler 1951", NULL},
    {PARE_KIND_LOSS, "bce", "Binary cross entropy of every output by itself, from logits or behind a Sigmoid", NULL, bce_params},
    {PARE_KIND_LOSS, "mse", "Mean squared error, over targets or one-hot classes", NULL, NULL},
    {PARE_KIND_LOSS, "mae", "Mean absolute error, over targets or one-hot classes", NULL, NULL},
    {PARE_KIND_LOSS, "huber", "Squares near the target, straight beyond delta", "Huber 1964, Ann. Math. Stat. 35", huber_params},
    {PARE_KIND_OBJECT, "record", "What a job is called and when its turn comes; can be changed while it waits or runs, and later", NULL, record_params},
    {PARE_KIND_OBJECT, "recipe", "A list of steps", NULL, recipe_params},
    {PARE_KIND_OBJECT, "data", "Splits and normalisation", NULL, data_params},
    {PARE_KIND_OBJECT, "input", "An input of the model and the array that it takes", NULL, input_params},
    {PARE_KIND_OBJECT, "target", "An output of the model and the labels that it is held against", NULL, target_params},
    {PARE_KIND_OBJECT, "output_loss", "Loss and weight of one output", NULL, output_loss_params},
    {PARE_KIND_OBJECT, "require", "The requirement on the result", NULL, require_params},
    {PARE_KIND_OBJECT, "sweep", "Variants of a job: a grid, a comparison of recipes, with folds, seeds and successive halving", "Jamieson and Talwalkar 2016, arXiv:1502.07943 (halving)", sweep_params},
    {PARE_KIND_OBJECT, "trial", "One run of a sweep", NULL, trial_params},
    {PARE_KIND_OBJECT, "axis", "One field of a job and the values to try", NULL, axis_params},
    {PARE_KIND_OBJECT, "webhook", "A webhook of one job", NULL, webhook_params},
    {PARE_KIND_OBJECT, "limits", "Limits of one job", NULL, limits_params},
    {PARE_KIND_OBJECT, "augment", "Random changes of training images", "Krizhevsky et al. 2012", augment_params},
    {PARE_KIND_OBJECT, "distill", "Training towards a teacher's outputs", "Hinton et al. 2015, arXiv:1503.02531", distill_params},
    {PARE_KIND_OBJECT, "distill_tensor", "An inner tensor of the student and one of the teacher", "Romero et al. 2015, arXiv:1412.6550", distill_tensor_params},
    {PARE_KIND_OBJECT, "ratio", "A layer's own share in structured pruning", NULL, ratio_params},
    {PARE_KIND_OBJECT, "reestimate", "New running statistics of batch normalisation", "Li et al. 2020, arXiv:2007.02491", reestimate_params},
    {PARE_KIND_OBJECT, "fade", "A penalty that grows on what is about to be pruned until it is gone", "Wang et al. 2021, arXiv:2012.09243", fade_params},
    {PARE_KIND_OBJECT, "rewire", "Exchange of pruned weights while training, at a constant number", "Evci et al. 2020, arXiv:1911.11134", rewire_params},
    {PARE_KIND_OBJECT, "reconstruct", "Refit of what pruning left of each layer", "Dong et al. 2017, arXiv:1705.07565", reconstruct_params},
    {PARE_KIND_OBJECT, "recover", "Training between pruning rounds", NULL, recover_params},
    {PARE_KIND_OBJECT, "architecture", "A model to be born: POST /v1/models with {\"architecture\": ...}", "He et al. 2015, arXiv:1502.01852; Glorot and Bengio 2010 (initial weights)", architecture_params},
    {PARE_KIND_OBJECT, "layer", "One layer: a convolution with its pool, or a fully connected one", NULL, layer_params},
    {PARE_N_KINDS, NULL, NULL, NULL, NULL}};

/* The criteria that score structures only; all others score weights, and structures by them. */
static const char *const structure_criteria[] = {"l1", "l2", "bn_scale", "fpgm", "mean_activation", "apoz", "entropy", "hrank", "ablation", NULL};

bool pare_catalog_of_structures(const struct pare_method *criterion)
{
	for (size_t i = 0; structure_criteria[i] != NULL; i++)
		if (strcmp(structure_criteria[i], criterion->name) == 0)
			return true;
	return false;
}

/* The criteria that look at nothing but the weights. */
static const char *const lone_criteria[] = {"magnitude", "random", "lamp", NULL};

bool pare_catalog_of_weights_alone(const struct pare_method *criterion)
{
	for (size_t i = 0; lone_criteria[i] != NULL; i++)
		if (strcmp(lone_criteria[i], criterion->name) == 0)
			return true;
	return false;
}

static const char *const kind_names[PARE_N_KINDS] = {
    [PARE_KIND_JOB] = "job",
    [PARE_KIND_STEP] = "step",
    [PARE_KIND_CRITERION] = "criterion",
    [PARE_KIND_SCHEDULE] = "schedule",
    [PARE_KIND_LR] = "lr_schedule",
    [PARE_KIND_REGULARIZER] = "regularizer",
    [PARE_KIND_NOISE] = "noise",
    [PARE_KIND_OPTIMIZER] = "optimizer",
    [PARE_KIND_LOSS] = "loss",
    [PARE_KIND_OBJECT] = "object",
};

const char *pare_kind_name(enum pare_method_kind kind)
{
	return (unsigned)kind < PARE_N_KINDS ? kind_names[kind] : "unknown";
}

const struct pare_method *pare_catalog_find(enum pare_method_kind kind, const char *name)
{
	for (const struct pare_method *m = pare_catalog; m->name != NULL; m++)
		if (m->kind == kind && strcmp(m->name, name) == 0)
			return m;
	return NULL;
}
