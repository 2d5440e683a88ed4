/* What no single row can say: rules between fields. Each one stands beside the field that a user would change. They run
 * only when every field is right by itself, so they read checked arguments. Rules that need the data set or the model
 * (is there a validation split? does the loss fit the task?) are the engine's, before its first step. */
#include <stdio.h>
#include <string.h>

#include "core/recipe/recipe_priv.h"

static void require_rules(struct recipe_check *c, const struct pare_args *require)
{
	double confidence;

	if (require == NULL || !pare_args_has(require, "confidence"))
		return;
	confidence = pare_args_num(require, "confidence");
	if (strcmp(pare_args_str(require, "metric"), "accuracy") != 0)
		recipe_issue_at(c, "confidence", "unsupported", "an interval is computed for the drop of accuracy only");
	else if (confidence < 0.95 || confidence > 0.95)
		recipe_issue_at(c, "confidence", "unsupported", "only 0.95 is supported; got %.12g", confidence);
}

/* "N:M" with 1 <= N <= M <= 64. */
static bool is_pattern(const char *text)
{
	int n = 0, m = 0, used = 0;

	return sscanf(text, "%2d:%2d%n", &n, &m, &used) == 2 && text[used] == '\0' && text[0] != ' ' && n >= 1 && n <= m && m <= 64;
}

/* What says how much and what says of what must fit. */
static void unit_rules(struct recipe_check *c, const struct pare_args *prune)
{
	bool block = strcmp(pare_args_str(prune, "granularity"), "block") == 0;

	if (pare_args_has(prune, "pattern") && !is_pattern(pare_args_str(prune, "pattern")))
		recipe_issue_at(c, "pattern", "out_of_range", "must be N:M with 1 <= N <= M <= 64, such as 2:4; got \"%.40s\"", pare_args_str(prune, "pattern"));
	if (pare_args_has(prune, "pattern") && block)
		recipe_issue_at(c, "pattern", "unsupported", "a pattern is of single weights; leave it out or leave out granularity block");
	if (block && pare_args_get(prune, "block")->n != 2)
		recipe_issue_at(c, "block", "missing", "granularity block needs the block's outputs and inputs, such as [4, 4]");
	if (!block && pare_args_has(prune, "block"))
		recipe_issue_at(c, "block", "unsupported", "is for granularity block");
}

static bool of_structures(const struct pare_args *prune)
{
	const char *granularity = pare_args_str(prune, "granularity");

	return strcmp(granularity, "channel") == 0 || strcmp(granularity, "head") == 0 || strcmp(granularity, "layer") == 0;
}

/* What only whole structures have, and what they do not have. */
static void structure_rules(struct recipe_check *c, const struct pare_args *prune)
{
	static const char *const only[] = {"round_to", "min_width", "ratios"};
	bool search = strcmp(prune->method->name, "search") == 0, structures = of_structures(prune);
	const char *granularity = pare_args_str(prune, "granularity");
	const struct pare_method *criterion = pare_args_obj(prune, "criterion")->method;

	if (!search && structures && pare_args_has(prune, "pattern"))
		recipe_issue_at(c, "pattern", "unsupported", "a pattern is of single weights; give sparsity or threshold with granularity %s", granularity);
	if (!structures && pare_catalog_of_structures(criterion))
		recipe_issue_at(c, "criterion", "unsupported", "%s scores structures; with granularity %s use one for weights, or set granularity to channel or head", criterion->name, granularity);
	if (!structures && strcmp(pare_args_str(prune, "scope"), "isomorphic") == 0)
		recipe_issue_at(c, "scope", "unsupported", "isomorphic is for granularity channel and head");
	if (!structures && strcmp(pare_args_str(prune, "per"), "structure") != 0)
		recipe_issue_at(c, "per", "unsupported", "is for granularity channel, head and layer");
	if (!search && pare_args_has(prune, "threshold") && strcmp(pare_args_str(prune, "per"), "structure") != 0)
		recipe_issue_at(c, "per", "unsupported", "a threshold is of scores as they are; give sparsity");
	if (!search && structures && pare_args_bool(prune, "regrow"))
		recipe_issue_at(c, "regrow", "unsupported", "is for single weights, patterns and blocks; a %s that went is gone", granularity);
	for (size_t i = 0; i < sizeof only / sizeof only[0] - search && (!structures || strcmp(granularity, "layer") == 0); i++)
		if (pare_args_has(prune, only[i]))
			recipe_issue_at(c, only[i], "unsupported", "is for granularity channel and head");
}

/* What says how large layers lose their share, and what trains away or back, must fit the rest of the step. */
static void round_rules(struct recipe_check *c, const struct pare_args *prune)
{
	bool recovers = pare_args_obj(prune, "recover") != NULL, single = strcmp(pare_args_str(prune, "granularity"), "weight") == 0 && pare_args_has(prune, "sparsity");

	if (strcmp(pare_args_str(prune, "scope"), "erk") == 0 && !single)
		recipe_issue_at(c, "scope", "unsupported", "erk divides a sparsity of single weights among layers; give sparsity and granularity weight, or another scope");
	if (pare_args_has(prune, "fade") && !recovers)
		recipe_issue_at(c, "fade", "missing", "trains with the arguments of recover, and there are none");
	if (!pare_args_has(prune, "rewind"))
		return;
	if (!recovers && strcmp(pare_args_obj(prune, "schedule")->method->name, "one_shot") != 0)
		recipe_issue_at(c, "rewind", "missing", "weights that went back must be trained before the next round can rank them; give recover");
	if (pare_args_has(prune, "reconstruct"))
		recipe_issue_at(c, "rewind", "unsupported", "what reconstruct refits would be overwritten; leave out one of them");
	if (pare_args_bool(prune, "regrow"))
		recipe_issue_at(c, "rewind", "unsupported", "is for what is left; with regrow nothing is gone until the last round");
}

static void prune_rules(struct recipe_check *c, const struct pare_args *prune)
{
	const struct pare_args *schedule = pare_args_obj(prune, "schedule");
	double end = pare_args_has(prune, "sparsity") ? pare_args_num(prune, "sparsity") : 1;

	unit_rules(c, prune);
	round_rules(c, prune);
	structure_rules(c, prune);
	if (pare_args_has(prune, "threshold") && strcmp(pare_args_obj(prune, "criterion")->method->name, "random") == 0)
		recipe_issue_at(c, "threshold", "unsupported", "random scores have no threshold; give sparsity");
	if (strcmp(schedule->method->name, "one_shot") != 0 && pare_args_num(schedule, "start") > end) {
		size_t mark = recipe_push(c, "schedule");

		recipe_issue_at(c, "start", "out_of_range", "must be at most the sparsity to be reached, %.12g; got %.12g", end, pare_args_num(schedule, "start"));
		recipe_pop(c, mark);
	}
}

/* t: arguments of training, or NULL. */
static void training_rules(struct recipe_check *c, const struct pare_args *t, bool has_teacher)
{
	const struct pare_args *distill = t != NULL ? pare_args_obj(t, "distill") : NULL;
	size_t mark;

	if (distill == NULL || has_teacher || strcmp(pare_args_str(distill, "teacher"), "model") != 0)
		return;
	mark = recipe_push(c, "distill");
	recipe_issue_at(c, "teacher", "missing", "the job names no second model: set its field teacher");
	recipe_pop(c, mark);
}

static bool is_named(const struct pare_args *step, const char *name)
{
	return strcmp(step->method->name, name) == 0;
}

static bool trains(const struct pare_args *step)
{
	return is_named(step, "train") || ((is_named(step, "prune") || is_named(step, "search")) && pare_args_obj(step, "recover") != NULL);
}

/* What a prune step takes from training before it: step i of steps. */
static void past_rules(struct recipe_check *c, const struct pare_arg *steps, size_t i)
{
	const struct pare_args *prune = steps->list[i];
	int64_t rewind = pare_args_has(prune, "rewind") ? pare_args_int(prune, "rewind") : 0;
	bool recovers = pare_args_obj(prune, "recover") != NULL && (pare_args_has(prune, "fade") || !is_named(pare_args_obj(prune, "schedule"), "one_shot"));
	size_t first = 0;

	while (first < i && !trains(steps->list[first]))
		first++;
	if (first == i && !recovers && is_named(pare_args_obj(prune, "criterion"), "movement_sum"))
		recipe_issue_at(c, "criterion", "missing", "movement_sum is gathered while training, and nothing trains before; add a train step, or use movement");
	if (rewind > 0 && (first == i || !is_named(steps->list[first], "train")))
		recipe_issue_at(c, "rewind", "missing", "counts epochs of the job's first training, which must be a train step before this step; give 0 to go back to the uploaded weights");
	for (size_t k = 0; k < i && rewind > 0; k++)
		if (is_named(steps->list[k], "prune") && pare_args_has(steps->list[k], "rewind") && pare_args_int(steps->list[k], "rewind") > 0 &&
		    pare_args_int(steps->list[k], "rewind") != rewind)
			recipe_issue_at(c, "rewind", "unsupported", "a job keeps the weights of one epoch; an earlier step goes back to epoch %lld", (long long)pare_args_int(steps->list[k], "rewind"));
}

/* The last factorize step before a step, which begins a net of which nothing is pruned; 0 if there is none. */
static size_t last_factorized(const struct pare_arg *steps, size_t before)
{
	size_t k = before;

	while (k > 0 && !is_named(steps->list[k - 1], "factorize"))
		k--;
	return k > 0 ? k - 1 : 0;
}

/* What may change places: single weights that are pruned freely, by step i or, if it trains, one before. t: its arguments of training. */
static void rewire_rules(struct recipe_check *c, const struct pare_arg *steps, size_t i, const struct pare_args *t)
{
	size_t end = i + is_named(steps->list[i], "prune");
	bool pruned = false;

	if (t == NULL || !pare_args_has(t, "rewire"))
		return;
	for (size_t k = last_factorized(steps, end); k < end; k++) {
		const struct pare_args *s = steps->list[k];

		if (!is_named(s, "prune"))
			continue;
		pruned = true;
		if (strcmp(pare_args_str(s, "granularity"), "weight") != 0 || pare_args_has(s, "pattern")) {
			recipe_issue_at(c, "rewire", "unsupported", "single weights change places, which would undo the %s of step %zu", pare_args_has(s, "pattern") ? "pattern" : pare_args_str(s, "granularity"), k);
			return;
		}
	}
	if (is_named(steps->list[i], "search"))
		recipe_issue_at(c, "rewire", "unsupported", "a search trains the weights that it has chosen; use a prune step");
	else if (!pruned)
		recipe_issue_at(c, "rewire", "missing", "exchanges pruned weights, and nothing prunes before; add a prune step");
	if (pare_args_bool(t, "keep_best"))
		recipe_issue_at(c, "keep_best", "unsupported", "weights of an earlier epoch do not fit the places that rewire has given since; train once more without rewire");
	if (is_named(steps->list[i], "prune") && pare_args_bool(steps->list[i], "regrow"))
		recipe_issue_at(c, "rewire", "unsupported", "with regrow nothing is masked while a round recovers; leave out one of them");
}

/* At the end of training under noise weights are gone, so it is a way of pruning and stands by itself. */
static void noise_rules(struct recipe_check *c, const struct pare_args *step, const struct pare_args *t)
{
	if (t == NULL || !pare_args_has(t, "noise"))
		return;
	if (!is_named(step, "train"))
		recipe_issue_at(c, "noise", "unsupported", "removes weights by itself at the end of a training run: give it to a train step");
	if (pare_args_bool(t, "keep_best"))
		recipe_issue_at(c, "keep_best", "unsupported", "weights of an earlier epoch do not fit what noise has found out since; train once more without noise");
	if (pare_args_has(t, "rewire"))
		recipe_issue_at(c, "rewire", "unsupported", "weights that change places have no noise of their own; leave out one of them");
}

static void search_rules(struct recipe_check *c, const struct pare_args *search, bool has_require)
{
	structure_rules(c, search);
	if (strcmp(pare_args_str(search, "scope"), "erk") == 0)
		recipe_issue_at(c, "scope", "unsupported", "a search divides among layers by allocation; leave out scope");
	if (strcmp(pare_args_obj(search, "criterion")->method->name, "movement_sum") == 0)
		recipe_issue_at(c, "criterion", "unsupported", "a search goes back and forth between models, and movement_sum belongs to one training; use movement");
	if (!has_require)
		recipe_issue(c, "missing", "a search needs a floor to hold: set the job's field require, such as {\"max_drop\": 0.005}");
	if (pare_args_num(search, "min_step") > pare_args_num(search, "step"))
		recipe_issue_at(c, "min_step", "out_of_range", "must be at most step, %.12g; got %.12g", pare_args_num(search, "step"), pare_args_num(search, "min_step"));
}

static bool is_factorized(const struct pare_arg *steps, size_t before)
{
	for (size_t k = 0; k < before; k++)
		if (is_named(steps->list[k], "factorize"))
			return true;
	return false;
}

/* Why factors cannot be made of what a step leaves; NULL: they can. Structures leave the net before, and what does not prune leaves whole matrices. */
static const char *unlike_factors(const struct pare_args *step)
{
	static const char *const kept = "whose zeros or shared values factors do not keep: factorize before it";

	if (is_named(step, "search"))
		return "whose front is of models that would not be factorized: factorize in a job after it";
	if (is_named(step, "cluster") || (is_named(step, "train") && pare_args_has(step, "noise")) || (is_named(step, "prune") && !of_structures(step)))
		return kept;
	return NULL;
}

static const char *what_it_is(const struct pare_args *step)
{
	if (is_named(step, "train"))
		return "training under noise";
	return is_named(step, "prune") ? "pruning of single weights" : step->method->name;
}

/* Factors are made of a net of whole matrices, and what comes after them does not go back behind them. */
static void factor_rules(struct recipe_check *c, const struct pare_arg *steps, size_t i)
{
	const struct pare_args *s = steps->list[i];
	bool later = is_factorized(steps, i) && !is_named(steps->list[0], "factorize");

	if (later && is_named(s, "evaluate") && pare_args_has(s, "folds"))
		recipe_issue_at(c, "folds", "unsupported", "folds run all steps before them from the uploaded model, on one net: evaluate before factorize, or give the sweep folds");
	if (later && is_named(s, "prune") && pare_args_has(s, "rewind"))
		recipe_issue_at(c, "rewind", "unsupported", "goes back to weights of the net before it was factorized");
	if (!is_named(s, "factorize"))
		return;
	if (pare_args_has(s, "rank") && strcmp(pare_args_str(s, "scope"), "global") == 0)
		recipe_issue_at(c, "scope", "unsupported", "a rank is of every layer; give ratio or energy, which all layers can share");
	for (size_t k = 0; k < i; k++) {
		const struct pare_args *b = steps->list[k];
		const char *why = unlike_factors(b);

		if (is_named(b, "factorize"))
			recipe_issue(c, "unsupported", "a recipe factorizes once");
		else if (why != NULL)
			recipe_issue(c, "unsupported", "comes after %s (step %zu), %s", what_it_is(b), k + 1, why);
		if (is_named(b, "factorize") || why != NULL)
			return;
	}
}

static void step_rules(struct recipe_check *c, const struct pare_arg *steps, bool has_teacher, bool has_require)
{
	int n_searches = 0;
	bool clustered = false;

	for (size_t i = 0; i < steps->n; i++) {
		const struct pare_args *s = steps->list[i];
		bool train = strcmp(s->method->name, "train") == 0, prune = strcmp(s->method->name, "prune") == 0, search = strcmp(s->method->name, "search") == 0;
		size_t mark = recipe_push_index(c, i);

		(void)recipe_push(c, s->method->name);
		if (prune) {
			prune_rules(c, s);
			past_rules(c, steps, i);
		}
		if (search)
			search_rules(c, s, has_require);
		clustered |= strcmp(s->method->name, "cluster") == 0;
		if (clustered && (strcmp(s->method->name, "reconstruct") == 0 || (prune && pare_args_has(s, "reconstruct"))))
			recipe_issue(c, "unsupported", "weights that share values cannot be refitted one by one: reconstruct before cluster");
		if (strcmp(s->method->name, "quantize") == 0 && i + 1 < steps->n)
			recipe_issue(c, "unsupported", "must be the last step: what comes after it would go on with the float weights");
		factor_rules(c, steps, i);
		if (search && is_factorized(steps, i))
			recipe_issue(c, "unsupported", "a search holds its floor against the model that it begins with, which would be the factorized one; factorize in a job before");
		if (search && n_searches++ > 0)
			recipe_issue(c, "unsupported", "a recipe has one search at most");
		if (n_searches > 0 && strcmp(s->method->name, "evaluate") == 0 && pare_args_has(s, "folds"))
			recipe_issue_at(c, "folds", "unsupported", "a search chooses by validation rows, which judge the folds; evaluate folds before it, or without it");
		if (prune || search)
			(void)recipe_push(c, "recover");
		if (prune || search || train)
			training_rules(c, train ? s : pare_args_obj(s, "recover"), has_teacher);
		if (prune || search || train)
			rewire_rules(c, steps, i, train ? s : pare_args_obj(s, "recover"));
		if (prune || search || train)
			noise_rules(c, s, train ? s : pare_args_obj(s, "recover"));
		recipe_pop(c, mark);
	}
}

/* Why a step needs a data set; NULL: it does not. */
static const char *need_of_data(const struct pare_args *step)
{
	const char *granularity;

	if (strcmp(step->method->name, "prune") != 0)
		return "is such a step";
	granularity = pare_args_str(step, "granularity");
	if (strcmp(granularity, "weight") != 0 && strcmp(granularity, "block") != 0)
		return "removes structures, which is proved on rows";
	if (!pare_catalog_of_weights_alone(pare_args_obj(step, "criterion")->method))
		return "has a criterion that looks at data";
	if (pare_args_has(step, "recover") || pare_args_bool(step, "regrow"))
		return "trains";
	if (pare_args_has(step, "rewind") || pare_args_has(step, "reestimate"))
		return "goes back in training, or looks at statistics";
	return pare_args_has(step, "reconstruct") ? "refits layers to their inputs" : NULL;
}

/* Without a data set there is pruning by what weights are alone, and nothing that is measured. */
static void data_rules(struct recipe_check *c, const struct pare_args *job)
{
	static const char *const measured[] = {"require", "teacher", "sweep"};
	const struct pare_arg *steps = pare_args_get(pare_args_obj(job, "recipe"), "steps");

	if (pare_args_has(job, "dataset"))
		return;
	for (size_t i = 0; i < steps->n; i++) {
		const char *why = need_of_data(steps->list[i]);

		if (why == NULL)
			continue;
		recipe_issue_at(c, "dataset", "missing", "is required: step %zu, %s, %s", i + 1, steps->list[i]->method->name, why);
		return;
	}
	for (size_t i = 0; i < sizeof measured / sizeof measured[0]; i++)
		if (pare_args_has(job, measured[i]))
			recipe_issue_at(c, measured[i], "unsupported", "needs a data set: without one nothing is run and nothing is measured");
	for (size_t i = 0; i < pare_args_get(job, "outputs")->n; i++)
		if (strcmp(pare_args_get(job, "outputs")->strings[i], "compressed") == 0)
			recipe_issue_at(c, "outputs", "unsupported", "compressed needs a data set: without one the model is never held in memory as a whole; pack what comes out");
}

void recipe_check_rules(struct recipe_check *c, const struct pare_args *job)
{
	size_t mark;

	if (!pare_args_has(job, "recipe")) {
		recipe_issue_at(c, "recipe", "missing", "is required: the name of a recipe or an object with steps; or set require, and the smallest model that meets it is searched for");
		return;
	}
	mark = recipe_push(c, "require");
	require_rules(c, pare_args_obj(job, "require"));
	recipe_pop(c, mark);
	data_rules(c, job);
	if (pare_args_get(job, "outputs")->n == 0)
		recipe_issue_at(c, "outputs", "out_of_range", "must name at least one output");
	mark = recipe_push(c, "recipe");
	(void)recipe_push(c, "steps");
	step_rules(c, pare_args_get(pare_args_obj(job, "recipe"), "steps"), pare_args_has(job, "teacher"), pare_args_get(job, "require")->given);
	recipe_pop(c, mark);
}
