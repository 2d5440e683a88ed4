/* What an upload is. A model that only uses operators we cannot run is still a model (weights can be pruned without
 * running it), so "executable" is an answer and not an error; a file that is not a valid model is an error. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/mem.h"
#include "core/graph/graph_priv.h"
#include "core/graph/names.h"
#include "core/graph/net_view.h"
#include "core/job/job_priv.h"
#include "core/onnx/onnx.h"
#include "core/recipe/json_text.h"

/* Bytes of lists, together less than a message has. */
#define SHORT_LIST ((size_t)256 << 10)
#define LONG_LIST ((size_t)3 << 20)

/* Names of tensor types as the Open Inference Protocol spells them. */
static const char *oip_type(int dtype)
{
	static const char *const names[] = {
	    [PARE_DT_FLOAT] = "FP32", [PARE_DT_UINT8] = "UINT8", [PARE_DT_INT8] = "INT8", [PARE_DT_UINT16] = "UINT16", [PARE_DT_INT16] = "INT16",
	    [PARE_DT_INT32] = "INT32", [PARE_DT_INT64] = "INT64", [PARE_DT_STRING] = "BYTES", [PARE_DT_BOOL] = "BOOL", [PARE_DT_FLOAT16] = "FP16",
	    [PARE_DT_DOUBLE] = "FP64", [PARE_DT_UINT32] = "UINT32", [PARE_DT_UINT64] = "UINT64", [PARE_DT_BFLOAT16] = "BF16"};
	const char *name = dtype > 0 && (size_t)dtype < sizeof names / sizeof names[0] ? names[dtype] : NULL;

	return name != NULL ? name : "UNKNOWN";
}

static void write_shape(struct pare_buf *b, const char *key, int n_dims, const int64_t *dims)
{
	pare_json_key(b, key);
	if (n_dims < 0) {
		pare_buf_str(b, "null");
		return;
	}
	pare_buf_str(b, "[");
	for (int i = 0; i < n_dims; i++) {
		pare_json_sep(b);
		pare_json_int(b, dims[i]);
	}
	pare_buf_str(b, "]");
}

static void write_values(struct pare_buf *b, struct job_list *list, const char *key, const struct pare_graph *g, const int32_t *values, int32_t n)
{
	job_list_begin(list, b, key, SHORT_LIST);
	for (int32_t i = 0; i < n; i++) {
		const struct pare_value *v = &g->values[values[i]];
		struct pare_buf *e = job_list_entry(list);

		pare_buf_str(e, "{");
		pare_json_key_str(e, "name", v->name);
		pare_json_key_str(e, "datatype", oip_type(v->dtype));
		write_shape(e, "shape", v->n_dims, v->dims);
		pare_buf_str(e, "}");
		job_list_add(list);
	}
	job_list_end(list);
}

static int by_text(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static enum pare_code write_operators(struct pare_buf *b, struct job_list *list, const struct pare_graph *g, struct pare_err *err)
{
	const char **ops = pare_calloc((size_t)g->n_nodes + 1, sizeof *ops);

	if (ops == NULL)
		return pare_err_nomem(err, 0);
	for (int32_t i = 0; i < g->n_nodes; i++)
		ops[i] = g->nodes[i].op_type;
	qsort(ops, (size_t)g->n_nodes, sizeof *ops, by_text);
	job_list_begin(list, b, "operators", SHORT_LIST);
	for (int32_t i = 0, first = 0; i < g->n_nodes; i++) {
		struct pare_buf *e;

		if (i + 1 < g->n_nodes && strcmp(ops[i], ops[i + 1]) == 0)
			continue;
		e = job_list_entry(list);
		pare_buf_str(e, "{");
		pare_json_key_str(e, "op", ops[i]);
		pare_json_key_int(e, "count", i + 1 - first);
		pare_buf_str(e, "}");
		job_list_add(list);
		first = i + 1;
	}
	pare_free(ops);
	job_list_end(list);
	return PARE_OK;
}

static const struct pare_param_info *param_of(const struct pare_names *names, const struct pare_net *net, const struct pare_weight *w)
{
	int32_t v = net != NULL && w->depth == 0 ? pare_names_value(names, pare_text_span(w->info.name)) : -1;
	int param = v >= 0 ? pare_net_param_of(net, v) : -1;

	return param >= 0 ? pare_net_param(net, param) : NULL;
}

/* The node that reads it, as other messages name it: by its name, else by operator and number. */
static void node_label(const struct pare_graph *g, const struct pare_param_info *p, const struct pare_weight *w, char *out, size_t n)
{
	if (p != NULL && p->node >= 0)
		pare_node_label(g, p->node, out, n);
	else
		(void)snprintf(out, n, "%s", w->info.node_name[0] != '\0' ? w->info.node_name : w->op);
}

static bool is_prunable(const struct pare_param_info *p, const struct pare_weight *w)
{
	return p != NULL ? p->prunable : w->info.prunable;
}

static void write_layer(struct pare_buf *b, const struct pare_model *m, const struct pare_names *names, const struct pare_net *net, const struct pare_weight *w)
{
	const struct pare_param_info *p = param_of(names, net, w);
	char label[128] = "";

	node_label(&m->graph, p, w, label, sizeof label);
	pare_buf_str(b, "{");
	pare_json_key_str(b, "name", w->info.name);
	pare_json_key_str(b, "node", label[0] != '\0' ? label : NULL);
	pare_json_key_str(b, "op", w->op[0] != '\0' ? w->op : NULL);
	pare_json_key_str(b, "datatype", oip_type(w->dtype));
	write_shape(b, "shape", w->info.n_dims, w->info.dims);
	pare_json_key_int(b, "params", (int64_t)w->info.n_elems);
	pare_json_key_int(b, "nonzero", (int64_t)pare_weight_nonzero(w, 0, w->info.n_elems, NULL));
	pare_json_key_bool(b, "prunable", is_prunable(p, w));
	pare_json_key_num(b, "macs", p == NULL || m->n_rows > 0 ? NAN : p->prunable ? (double)pare_net_node_macs(net, p->node) : 0);
	pare_json_key_int(b, "depth", w->depth);
	pare_buf_str(b, "}");
}

/* Where there are too many, what can be pruned comes first. */
static enum pare_code write_layers(struct pare_buf *b, struct job_list *list, const struct pare_model *m, const struct pare_inventory *v, const struct pare_net *net, struct pare_err *err)
{
	struct pare_names names;
	enum pare_code code = pare_names_init(&names, &m->graph, err);

	job_list_begin(list, b, "layers", LONG_LIST);
	for (int i = 0; i < v->n && code == PARE_OK; i++) {
		write_layer(job_list_entry(list), m, &names, net, &v->weights[i]);
		job_list_add(list);
	}
	if (job_list_again(list))
		for (int i = 0; i < 2 * v->n && code == PARE_OK; i++) {
			const struct pare_weight *w = &v->weights[i % v->n];

			if (is_prunable(param_of(&names, net, w), w) != (i < v->n))
				continue;
			write_layer(job_list_entry(list), m, &names, net, w);
			job_list_add(list);
		}
	pare_names_done(&names);
	job_list_end(list);
	return code;
}

static void write_counts(struct pare_buf *b, const struct pare_inventory *v)
{
	int64_t nonzero = 0;

	for (int i = 0; i < v->n; i++)
		nonzero += (int64_t)pare_weight_nonzero(&v->weights[i], 0, v->weights[i].info.n_elems, NULL);
	pare_json_key_int(b, "n_params", v->n_params);
	pare_json_key_int(b, "n_nonzero", nonzero);
	pare_json_key_int(b, "n_weights", v->n_weights);
}

static enum pare_code write_model(struct pare_buf *b, size_t file_bytes, const struct pare_model *m, const struct pare_inventory *v, const struct pare_net *net,
    const struct pare_err *why, struct pare_err *err)
{
	struct job_list lists[4] = {{.key = NULL}};
	char producer[PARE_NAME_SHOWN];
	enum pare_code code;

	pare_buf_str(b, "{");
	pare_json_key_str(b, "kind", "model");
	pare_json_key_str(b, "format", "onnx");
	pare_json_key_int(b, "file_bytes", (int64_t)file_bytes);
	pare_json_key_int(b, "ir_version", m->ir_version);
	pare_json_key_int(b, "opset", pare_model_opset(m, ""));
	pare_json_key_str(b, "producer", pare_name_shown(m->producer_name, producer));
	write_values(b, &lists[0], "inputs", &m->graph, m->graph.inputs, m->graph.n_inputs);
	write_values(b, &lists[1], "outputs", &m->graph, m->graph.outputs, m->graph.n_outputs);
	write_counts(b, v);
	pare_json_key_num(b, "macs", net != NULL && m->n_rows == 0 ? (double)pare_net_macs(net) : NAN); /* of open sizes nobody knows */
	pare_json_key_bool(b, "executable", net != NULL);
	if (net == NULL) {
		pare_json_key(b, "reason");
		pare_buf_str(b, "{");
		pare_json_key_str(b, "code", pare_code_string(why->code));
		pare_json_key_str(b, "message", why->message);
		pare_json_key_str(b, "where", why->where);
		pare_buf_str(b, "}");
	}
	code = write_operators(b, &lists[2], &m->graph, err);
	if (code == PARE_OK)
		code = write_layers(b, &lists[3], m, v, net, err);
	job_write_left_out(b, lists, 4);
	pare_buf_str(b, "}");
	return code;
}

/* Reasons for which a valid model cannot be run; anything else is a failure of its own. */
static bool may_be_inexecutable(enum pare_code code)
{
	return code == PARE_E_UNSUPPORTED_OP || code == PARE_E_UNSUPPORTED || code == PARE_E_SHAPE || code == PARE_E_LIMIT;
}

/* Inputs with open sizes take those of a job's data. Whether the graph can be run at all does not hang on which they are, but for few graphs:
 * it can if it can for one of these. */
static enum pare_code plan(struct pare_model *m, struct pare_net **out, struct pare_err *why)
{
	static const int64_t size_table[] = {64, 224, 16};
	const struct pare_net_options opt = {.n_threads = 1, .max_batch = 1, .training = false};
	enum pare_code code = pare_net_new(m, &opt, out, why);

	for (size_t i = 0; i < sizeof size_table / sizeof size_table[0] && code != PARE_OK && may_be_inexecutable(code) && pare_model_open_rows(m, size_table[i], why); i++)
		code = pare_net_new(m, &opt, out, why);
	return code;
}

enum pare_code job_describe_model(struct pare_buf *b, struct pare_span file, const struct pare_side_file *side, int n_side, struct pare_err *err)
{
	struct pare_model *m = NULL;
	struct pare_net *net = NULL;
	struct pare_inventory v = {.n = 0};
	struct pare_err why;
	struct pare_buf own;
	size_t n_bytes = file.len;
	enum pare_code code = pare_onnx_open(file, side, n_side, &own, &m, err);

	for (int i = 0; i < n_side; i++)
		n_bytes += side[i].bytes.len;
	if (code == PARE_OK)
		code = pare_onnx_inventory(m, side, n_side, &v, err);
	if (code == PARE_OK) {
		code = plan(m, &net, &why);
		if (code != PARE_OK && !may_be_inexecutable(code))
			*err = why;
		else
			code = write_model(b, n_bytes, m, &v, net, &why, err);
	}
	pare_inventory_done(&v);
	pare_net_free(net);
	pare_model_free(m);
	pare_buf_done(&own);
	return code;
}

enum pare_code job_inspect_model(struct job_worker *w, struct job_answer *a, struct pare_err *err)
{
	struct pare_side_file side[PARE_MAX_INPUTS];
	struct pare_span file;
	int n_side = 0;
	enum pare_code code = job_model_files(w, "model", &file, side, &n_side, err);

	return code == PARE_OK ? job_describe_model(&a->result, file, side, n_side, err) : code;
}

static void write_field(struct pare_buf *b, const struct pare_data_field *f)
{
	pare_json_key_str(b, "name", f->name);
	write_shape(b, "shape", f->n_dims, f->dims);
	pare_json_key_str(b, "datatype", oip_type(f->dtype));
}

/* Classes take at most so many bytes; those that are left out are counted in all. */
static void write_labels(struct pare_buf *b, const struct pare_data_field *f, size_t most, struct job_list *all)
{
	struct job_list list;

	pare_json_key_str(b, "task", f != NULL ? pare_task_names[f->task] : NULL);
	pare_json_key_int(b, "n_classes", f != NULL ? f->n_classes : 0);
	pare_json_key_int(b, "n_targets", f != NULL ? (int64_t)f->n_targets : 0);
	pare_json_key_int(b, "n_ignored", f != NULL ? f->n_ignored : 0);
	job_list_begin(&list, b, "classes", most);
	for (int i = 0; f != NULL && i < f->n_classes; i++) {
		struct pare_buf *e = job_list_entry(&list);

		pare_buf_str(e, "{");
		pare_json_key_str(e, "name", f->class_names[i]);
		pare_json_key_int(e, "rows", f->class_counts[i]);
		pare_buf_str(e, "}");
		job_list_add(&list);
	}
	job_list_end(&list);
	all->n_left_out += list.n_left_out;
}

/* What stands outside "inputs" and "targets" is of the first of each: most sets have no more. */
static void write_dataset(struct pare_buf *b, const struct pare_data_info *info)
{
	static const char *const splits[] = {"train", "validation", "test"};
	struct job_list classes = {.key = "classes"}, first = {.key = NULL}; /* the first's are told of twice */
	size_t most = LONG_LIST / (size_t)(info->n_y + 1);

	pare_buf_str(b, "{");
	pare_json_key_str(b, "kind", "dataset");
	pare_json_key_str(b, "format", info->format);
	pare_json_key_int(b, "n_rows", info->n_rows);
	pare_json_key(b, "given_splits");
	pare_buf_str(b, "{");
	for (int s = 0; s < PARE_N_SPLITS; s++)
		pare_json_key_int(b, splits[s], info->n_given[s]);
	pare_buf_str(b, "}");
	write_shape(b, "shape", info->x[0].n_dims, info->x[0].dims);
	pare_json_key_str(b, "datatype", oip_type(info->x[0].dtype));
	write_labels(b, info->n_y > 0 ? &info->y[0] : NULL, most, &first);
	pare_json_key(b, "inputs");
	pare_buf_str(b, "[");
	for (int i = 0; i < info->n_x; i++) {
		pare_json_sep(b);
		pare_buf_str(b, "{");
		write_field(b, &info->x[i]);
		pare_buf_str(b, "}");
	}
	pare_buf_str(b, "]");
	pare_json_key(b, "targets");
	pare_buf_str(b, "[");
	for (int i = 0; i < info->n_y; i++) {
		pare_json_sep(b);
		pare_buf_str(b, "{");
		write_field(b, &info->y[i]);
		write_labels(b, &info->y[i], most, &classes);
		pare_buf_str(b, "}");
	}
	pare_buf_str(b, "]");
	job_write_left_out(b, &classes, 1);
	pare_buf_str(b, "}");
}

enum pare_code job_inspect_dataset(struct job_worker *w, struct job_answer *a, struct pare_err *err)
{
	const struct pare_args *args;
	struct pare_dataset *d = NULL;
	struct pare_job *options = NULL;
	const char *text = w->start.options != NULL ? w->start.options : "{}";
	enum pare_code code = pare_object_parse("data", text, strlen(text), &options, NULL, err);

	if (code == PARE_OK) {
		args = pare_job_args(options);
		code = job_open_data(w, args, &d, err);
	}
	if (code == PARE_OK)
		write_dataset(&a->result, pare_data_info(d));
	pare_data_free(d);
	pare_job_free(options);
	return code;
}
