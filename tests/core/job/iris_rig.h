/* A program whose tests all run jobs on one model, born from ARCH (define it first), and Iris: fixture and run. */
#ifndef TESTS_CORE_JOB_IRIS_RIG_H
#define TESTS_CORE_JOB_IRIS_RIG_H

#include "tests/core/job/job_support.h"

static struct rig r;
static char *model;
static size_t model_n;

static void setup(void)
{
	model = rig_build(ARCH, &model_n);
	rig_init(&r);
}

static void teardown(void)
{
	rig_done(&r);
	free(model);
}

static enum pare_code run(const char *job)
{
	rig_forget(&r);
	r.start.kind = "run";
	r.start.job = job;
	rig_input(&r, "model", "m", model, model_n);
	rig_file(&r, "data", "tests/data/iris.csv");
	return rig_go(&r);
}

#endif
