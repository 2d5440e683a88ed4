/* The report of a job without a data set: counts and bytes, no quality. What it can say of the size that the zeros are worth is what an
 * ideal coder of their places would need, layer by layer, beside the values that are left; a general compressor comes near it on raw floats,
 * whose bits hardly compress. */
#include <math.h>
#include <string.h>

#include "core/base/mem.h"
#include "core/job/stored.h"
#include "core/recipe/json_text.h"

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

static void write_total(const struct job_stored *s, struct pare_buf *b, const char *key, size_t file_bytes, const int64_t *nonzero)
{
	struct job_stored_total t;

	job_stored_total(s, nonzero, &t);
	pare_json_key_raw(b, key, "{");
	pare_json_key_int(b, "n_params", t.n_params);
	pare_json_key_int(b, "n_nonzero_params", t.n_nonzero_params);
	pare_json_key_int(b, "n_weights", t.n_weights);
	pare_json_key_int(b, "n_nonzero_weights", t.n_nonzero_weights);
	pare_json_key_num(b, "sparsity", job_share_gone(t.n_nonzero_weights, t.n_weights));
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
	pare_json_key_raw(b, "shape", "[");
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
	pare_json_key_num(b, "sparsity", job_share_gone(s->n_left[p], (int64_t)w->info.n_elems));
	pare_buf_str(b, "}");
}

/* Number i of what a reader must know; NULL past the last. */
static const char *warning(const void *ctx, int i)
{
	const struct job_stored *s = ctx;
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

static void write_figures(const void *ctx, struct pare_buf *b)
{
	const struct job_stored *s = ctx;
	struct job_stored_total left;

	job_stored_total(s, s->n_left, &left);
	pare_json_key_raw(b, "data", "null");
	write_total(s, b, "input", s->in_bytes, s->n_dense);
	write_total(s, b, "dense", s->in_bytes, s->n_dense);
	write_total(s, b, "final", out_bytes(s), s->n_left);
	pare_json_key_num(b, "compression", job_compression(left.n_weights, left.n_nonzero_weights));
	pare_json_key_raw(b, "requirement", "null");
	pare_json_key_raw(b, "layers", "[");
	for (int p = 0; p < s->v.n; p++)
		write_layer(s, b, p);
	pare_buf_str(b, "]");
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
	job_doc_fewer(d, left.n_weights, left.n_nonzero_weights);
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
		job_doc_cell(d, "%.4f", job_share_gone(s->n_left[p], (int64_t)w->info.n_elems));
	}
	job_doc_table_end(d);
}

static enum pare_code document(const void *ctx, struct job_doc *d, struct pare_err *err)
{
	const struct job_stored *s = ctx;

	(void)err;
	figures(s, d);
	layers(s, d);
	job_doc_heading(d, "Conditions");
	job_doc_item(d, "%d tensors of floating-point numbers in %d file%s, %d of them in subgraphs or functions.", s->v.n, 1 + s->r->n_side, s->r->n_side > 0 ? "s" : "", s->v.n_inner);
	return PARE_OK;
}

enum pare_code job_stored_reports(const struct job_stored *s, struct job_answer *a, struct pare_err *err)
{
	return job_put_reports(s->r, a, &(struct job_report){s, write_figures, warning, document}, err);
}

void job_stored_summary(const struct job_stored *s, struct pare_buf *b)
{
	struct job_stored_total dense, left;

	job_stored_total(s, s->n_dense, &dense);
	job_stored_total(s, s->n_left, &left);
	pare_buf_str(b, "{");
	pare_json_key_raw(b, "summary", "{");
	job_write_sizes(s->r, b, &(struct job_sizes){left.n_weights, dense.n_nonzero_weights, left.n_nonzero_weights, out_bytes(s)});
	pare_buf_str(b, "}}");
}
