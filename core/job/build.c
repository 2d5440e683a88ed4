/* A model born here. The description is checked by the catalog like a job (its rows are "architecture" and "layer"), the
 * file is written by core/onnx/arch.c, and what is answered comes from reading that file back like any upload. */
#include <string.h>

#include "core/base/mem.h"
#include "core/graph/arch.h"
#include "core/job/job_priv.h"

#define MODEL_MAX ((size_t)1 << 30)

static enum pare_activation activation_of(const char *name)
{
	static const char *const names[] = {[PARE_ACT_NONE] = "none", [PARE_ACT_RELU] = "relu", [PARE_ACT_SIGMOID] = "sigmoid",
	    [PARE_ACT_TANH] = "tanh", [PARE_ACT_SOFTMAX] = "softmax", [PARE_ACT_LOG_SOFTMAX] = "log_softmax"};
	size_t i = 0;

	while (i + 1 < sizeof names / sizeof names[0] && strcmp(names[i], name) != 0)
		i++;
	return (enum pare_activation)i;
}

static enum pare_code build(const struct pare_args *a, struct pare_buf *out, struct pare_err *err)
{
	const struct pare_arg *input = pare_args_get(a, "input"), *layers = pare_args_get(a, "layers");
	struct pare_arch arch = {.n_input_dims = (int)input->n, .n_layers = (int)layers->n, .seed = (uint64_t)pare_args_int(a, "seed")};
	struct pare_arch_layer *list = pare_calloc(layers->n, sizeof *list);
	enum pare_code code;

	if (list == NULL)
		return pare_err_nomem(err, 0);
	for (size_t i = 0; i < input->n; i++)
		arch.input_dims[i] = (int64_t)input->nums[i];
	for (size_t i = 0; i < layers->n; i++) {
		list[i].units = pare_args_int(layers->list[i], "units");
		list[i].kernel = pare_args_int(layers->list[i], "kernel");
		list[i].pad = pare_args_int(layers->list[i], "pad");
		list[i].pool = pare_args_int(layers->list[i], "pool");
		list[i].activation = activation_of(pare_args_str(layers->list[i], "activation"));
		list[i].dropout = (float)pare_args_num(layers->list[i], "dropout");
	}
	arch.layers = list;
	code = pare_arch_build(&arch, out, err);
	pare_free(list);
	return code;
}

enum pare_code job_build(struct job_worker *w, struct job_answer *a, struct pare_err *err)
{
	const char *text = w->start.architecture;
	struct pare_job *arch = NULL;
	struct pare_buf model;
	enum pare_code code = pare_object_parse("architecture", text, strlen(text), &arch, NULL, err);

	pare_buf_init(&model, MODEL_MAX);
	if (code == PARE_OK)
		code = build(pare_job_args(arch), &model, err);
	if (code == PARE_OK)
		code = job_describe_model(&a->result, (struct pare_span){(const uint8_t *)model.data, model.len}, NULL, 0, err);
	if (code == PARE_OK)
		code = pare_link_output(&w->link, "model.onnx", "application/onnx", model.data, model.len, err);
	if (code == PARE_OK)
		a->artifacts[a->n_artifacts++] = "model.onnx";
	pare_buf_done(&model);
	pare_job_free(arch);
	return code;
}
