/* The report of a job without a data set: counts and bytes, no quality. What it can say of the size that the zeros are worth is what an
 * ideal coder of their places would need, layer by layer, beside the values that are left; a general compressor comes near it on raw floats,
 * whose bits hardly compress. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "core/base/mem.h"
#include "core/job/stored.h"
#include "core/recipe/json_text.h"

#define REPORT_MAX ((size_t)64 << 20)

static void open_key(struct pare_buf *b, const char *key, const char *bracket)
{
	pare_json_key(b, key);
	pare_buf_str(b, bracket);
}

static double share(int64_t n_nonzero, int64_t n)
{
	return n > 0 ? 1 - (double)n_nonzero / (double)n : 0;
}

/* Bytes of the files if zeros were coded by their places: n H(p) bits a tensor, and the other values as they are. */
static double coded_bytes(const struct job_stored *s, size_t file_bytes, const int64_t *nonzero)
{
	double bytes = (double)file_bytes;

	for (int p = 0; p < s->v.n; p++) {
		const struct pare_weight *w = &s->v.weights[p];
		double n = (double)w->info.n_elems, size = pare_dtype_bits(w->dtype) / 8.0, q = (double)nonzero[p] / n;
		double entropy = q > 0 && q < 1 ? -q * log2(q) - (1 - q) * log2(1 - q) : 0;
		double coded = n * entropy / 8 + (double)nonzero[p] * size;

		bytes -= coded < n * size ? n * size - coded : 0;
	}
	return ceil(bytes);
}

/* Where no file was asked for, none has another size. */
static size_t out_bytes(const struct job_stored *s)
{
	return s->r->out_bytes > 0 ? s->r->out_bytes : s->in_bytes;
}

static double compression(const struct job_stored_total *t)
{
	return t->n_weights > 0 ? (double)t->n_weights / (double)(t->n_nonzero_weights > 0 ? t->n_nonzero_weights : 1) : 1;
}

static void write_total(const struct job_stored *s, struct pare_buf *b, const char *key, size_t file_bytes, const int64_t *nonzero)
{
	struct job_stored_total t;

	job_stored_total(s, nonzero, &t);
	open_key(b, key, "{");
	pare_json_key_int(b, "n_params", t.n_params);
	pare_json_key_int(b, "n_nonzero_params", t.n_nonzero_params);
	pare_json_key_int(b, "n_weights", t.n_weights);
	pare_json_key_int(b, "n_nonzero_weights", t.n_nonzero_weights);
	pare_json_key_num(b, "sparsity", share(t.n_nonzero_weights, t.n_weights));
	pare_json_key_int(b, "file_bytes", (int64_t)file_bytes);
	pare_json_key_num(b, "coded_bytes", coded_bytes(s, file_bytes, nonzero));
	pare_buf_str(b, "}");
}

static void write_layer(const struct job_stored *s, struct pare_buf *b, int p)
{
	const struct pare_weight *w = &s->v.weights[p];

	pare_json_sep(b);
	pare_buf_str(b, "{");
	pare_json_key_str(b, "name", w->info.name);
	pare_json_key_str(b, "node", w->info.node_name);
	pare_json_key_str(b, "op", w->op[0] != '\0' ? w->op : NULL);
	pare_json_key_str(b, "type", pare_dtype_name(w->dtype));
	pare_json_key_int(b, "depth", w->depth);
	pare_json_key_str(b, "file", w->file > 0 ? s->r->side[w->file - 1].name : NULL);
	open_key(b, "shape", "[");
	for (int d = 0; d < w->info.n_dims; d++) {
		pare_json_sep(b);
		pare_json_int(b, w->info.dims[d]);
	}
	pare_buf_str(b, "]");
	pare_json_key_bool(b, "prunable", w->info.prunable);
	pare_json_key_bool(b, "guessed", w->guessed);
	pare_json_key_int(b, "weights", (int64_t)w->info.n_elems);
	pare_json_key_int(b, "nonzero_dense", s->n_dense[p]);
	pare_json_key_int(b, "nonzero", s->n_left[p]);
	pare_json_key_num(b, "sparsity", share(s->n_left[p], (int64_t)w->info.n_elems));
	pare_buf_str(b, "}");
}

/* Number i of what a reader must know; NULL past the last. */
static const char *warning(const struct job_stored *s, int i)
{
	static const char guessed[] = "Some tensors count as weights because an operator that pared does not know reads them and they have two dimensions or more "
	    "(\"guessed\" in the table of layers); name those that are not in exclude.";
	static const char unjudged[] = "The model was not run: nothing is known of its accuracy. Give a data set to have it measured.";
	const char *all[3];
	int n = 0;

	all[n++] = unjudged;
	all[n++] = job_zeros_warning;
	if (s->v.n_guessed > 0)
		all[n++] = guessed;
	return i < n ? all[i] : NULL;
}

static void write_report(const struct job_stored *s, struct pare_buf *b)
{
	const struct job_run *r = s->r;
	struct job_stored_total left;

	job_stored_total(s, s->n_left, &left);
	pare_buf_str(b, "{");
	pare_json_key_str(b, "object", "report");
	pare_json_key_str(b, "version", PARE_VERSION);
	pare_json_key_str(b, "recipe", pare_job_recipe_name(r->job));
	pare_json_key_int(b, "seed", (int64_t)r->seed);
	pare_json_key_int(b, "threads", r->threads);
	open_key(b, "data", "null");
	write_total(s, b, "input", s->in_bytes, s->n_dense);
	write_total(s, b, "dense", s->in_bytes, s->n_dense);
	write_total(s, b, "final", out_bytes(s), s->n_left);
	pare_json_key_num(b, "compression", compression(&left));
	open_key(b, "requirement", "null");
	open_key(b, "layers", "[");
	for (int p = 0; p < s->v.n; p++)
		write_layer(s, b, p);
	pare_buf_str(b, "]");
	open_key(b, "warnings", "[");
	for (int i = 0; warning(s, i) != NULL; i++) {
		pare_json_sep(b);
		pare_json_str(b, warning(s, i));
	}
	pare_buf_str(b, "]");
	open_key(b, "timing", "{");
	pare_json_key_num(b, "seconds", (double)(r->finished_ns - r->started_ns) * 1e-9);
	pare_buf_str(b, "}");
	open_key(b, "job", r->w->start.job);
	pare_buf_str(b, "}");
}

/* --- for people */

static void figure(struct job_doc *d, const char *label, double before, double after)
{
	job_doc_cell(d, "%s", label);
	job_doc_cell(d, "%.0f", before);
	job_doc_cell(d, "%.0f", after);
}

static void figures(const struct job_stored *s, struct job_doc *d)
{
	struct job_stored_total dense, left;

	job_stored_total(s, s->n_dense, &dense);
	job_stored_total(s, s->n_left, &left);
	job_doc_text(d, "%.1f times fewer weights: %lld of %lld are left.", compression(&left), (long long)left.n_nonzero_weights, (long long)left.n_weights);
	job_doc_table(d);
	job_doc_column(d, false, "%s", "");
	job_doc_column(d, true, "before");
	job_doc_column(d, true, "after");
	figure(d, "parameters", (double)dense.n_params, (double)left.n_params);
	figure(d, "non-zero parameters", (double)dense.n_nonzero_params, (double)left.n_nonzero_params);
	figure(d, "non-zero weights", (double)dense.n_nonzero_weights, (double)left.n_nonzero_weights);
	figure(d, "files, bytes", (double)s->in_bytes, (double)out_bytes(s));
	figure(d, "with zeros coded by their places, bytes", coded_bytes(s, s->in_bytes, s->n_dense), coded_bytes(s, out_bytes(s), s->n_left));
	job_doc_table_end(d);
}

static void layers(const struct job_stored *s, struct job_doc *d)
{
	job_doc_heading(d, "Layers");
	job_doc_table(d);
	job_doc_column(d, false, "tensor");
	job_doc_column(d, false, "read by");
	job_doc_column(d, false, "type");
	job_doc_column(d, true, "weights");
	job_doc_column(d, true, "left");
	job_doc_column(d, true, "sparsity");
	for (int p = 0; p < s->v.n; p++) {
		const struct pare_weight *w = &s->v.weights[p];

		if (!w->info.prunable)
			continue;
		job_doc_cell(d, "%s", w->info.name);
		job_doc_cell(d, "%s%s", w->op, w->guessed ? " (unknown operator)" : "");
		job_doc_cell(d, "%s", pare_dtype_name(w->dtype));
		job_doc_cell(d, "%lld", (long long)w->info.n_elems);
		job_doc_cell(d, "%lld", (long long)s->n_left[p]);
		job_doc_cell(d, "%.4f", share(s->n_left[p], (int64_t)w->info.n_elems));
	}
	job_doc_table_end(d);
}

static void conditions(const struct job_stored *s, struct job_doc *d)
{
	const char *recipe = pare_job_recipe_name(s->r->job);

	job_doc_heading(d, "Conditions");
	job_doc_item(d, "%d tensors of floating-point numbers in %d file%s, %d of them in subgraphs or functions.", s->v.n, 1 + s->r->n_side, s->r->n_side > 0 ? "s" : "", s->v.n_inner);
	job_doc_item(d, "Recipe %s, seed %llu, pared %s, %.1f s.", recipe != NULL ? recipe : "written out", (unsigned long long)s->r->seed, PARE_VERSION,
	    (double)(s->r->finished_ns - s->r->started_ns) * 1e-9);
	for (int i = 0; warning(s, i) != NULL; i++)
		job_doc_item(d, "%s", warning(s, i));
}

static void write_document(const struct job_stored *s, enum job_doc_kind kind, struct pare_buf *b)
{
	struct job_doc d;

	job_doc_begin(&d, kind, b, "Report");
	figures(s, &d);
	layers(s, &d);
	conditions(s, &d);
	job_doc_end(&d);
}

enum pare_code job_stored_reports(const struct job_stored *s, struct job_answer *a, struct pare_err *err)
{
	struct pare_buf b;
	enum pare_code code;

	pare_buf_init(&b, REPORT_MAX);
	write_report(s, &b);
	pare_buf_str(&b, "\n");
	code = job_put(s->r, a, "report.json", "application/json", &b, err);
	for (const struct job_document *d = job_document_table; d->name != NULL && code == PARE_OK; d++) {
		pare_buf_reset(&b);
		write_document(s, d->kind, &b);
		code = job_put(s->r, a, d->name, d->media_type, &b, err);
	}
	pare_buf_done(&b);
	return code;
}

void job_stored_summary(const struct job_stored *s, struct pare_buf *b)
{
	struct job_stored_total dense, left;

	job_stored_total(s, s->n_dense, &dense);
	job_stored_total(s, s->n_left, &left);
	pare_buf_str(b, "{");
	open_key(b, "summary", "{");
	pare_json_key_int(b, "n_weights", left.n_weights);
	pare_json_key_int(b, "n_weights_dense", dense.n_nonzero_weights);
	pare_json_key_int(b, "n_weights_nonzero", left.n_nonzero_weights);
	pare_json_key_num(b, "sparsity", share(left.n_nonzero_weights, left.n_weights));
	pare_json_key_num(b, "compression", compression(&left));
	pare_json_key_int(b, "onnx_bytes", (int64_t)out_bytes(s));
	pare_json_key_num(b, "seconds", (double)(s->r->finished_ns - s->r->started_ns) * 1e-9);
	pare_buf_str(b, "}}");
}
