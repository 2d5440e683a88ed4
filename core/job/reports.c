/* What the reports of all jobs have in common, whether data were run through the model or it was only read: whose report it is, the frame of its files, sizes, warnings
 * and times. What stands between is the callers'. */

#include "core/job/job_priv.h"
#include "core/recipe/json_text.h"

#define REPORT_MAX ((size_t)64 << 20)

const char job_zeros_warning[] =
    "Zeros alone make neither the file smaller nor a stock runtime faster: ONNX Runtime and others store and multiply them like any "
    "number. The gain is in compressed storage and transfer, and in runtimes that skip zeros.";

static const struct {
	enum job_doc_kind kind;
	const char *name, *media_type;
} document_table[] = {{JOB_DOC_MARKDOWN, "report.md", "text/markdown; charset=utf-8"}, {JOB_DOC_HTML, "report.html", "text/html; charset=utf-8"}};

double job_share_gone(int64_t n_left, int64_t n)
{
	return n > 0 ? 1 - (double)n_left / (double)n : 0;
}

double job_compression(int64_t n_weights, int64_t n_left)
{
	return n_weights > 0 ? (double)n_weights / (double)(n_left > 0 ? n_left : 1) : 1;
}

static double seconds(const struct job_run *r)
{
	return (double)(r->finished_ns - r->started_ns) * 1e-9;
}

void job_write_sizes(const struct job_run *r, struct pare_buf *b, const struct job_sizes *s)
{
	pare_json_key_int(b, "n_weights", s->n_weights);
	pare_json_key_int(b, "n_weights_dense", s->n_dense);
	pare_json_key_int(b, "n_weights_nonzero", s->n_left);
	pare_json_key_num(b, "sparsity", job_share_gone(s->n_left, s->n_weights));
	pare_json_key_num(b, "compression", job_compression(s->n_weights, s->n_left));
	pare_json_key_int(b, "onnx_bytes", (int64_t)s->bytes);
	pare_json_key_num(b, "seconds", seconds(r));
}

void job_doc_fewer(struct job_doc *d, int64_t n_weights, int64_t n_left)
{
	job_doc_text(d, "%.1f times fewer weights: %lld of %lld are left.", job_compression(n_weights, n_left), (long long)n_left, (long long)n_weights);
}

static void write_report(const struct job_run *r, const struct job_report *report, struct pare_buf *b)
{
	pare_buf_str(b, "{");
	pare_json_key_str(b, "object", "report");
	pare_json_key_str(b, "version", PARE_VERSION);
	pare_json_key_str(b, "recipe", pare_job_recipe_name(r->job));
	pare_json_key_int(b, "seed", (int64_t)r->seed);
	pare_json_key_int(b, "threads", r->threads);
	report->figures(report->ctx, b);
	pare_json_key_raw(b, "warnings", "[");
	for (int i = 0; report->warning(report->ctx, i) != NULL; i++) {
		pare_json_sep(b);
		pare_json_str(b, report->warning(report->ctx, i));
	}
	pare_buf_str(b, "]");
	pare_json_key_raw(b, "timing", "{");
	pare_json_key_num(b, "seconds", seconds(r));
	pare_buf_str(b, "}");
	pare_json_key_raw(b, "job", r->w->start.job);
	pare_buf_str(b, "}\n");
}

static enum pare_code write_document(const struct job_run *r, const struct job_report *report, enum job_doc_kind kind, struct pare_buf *b, struct pare_err *err)
{
	const char *recipe = pare_job_recipe_name(r->job);
	struct job_doc d;
	enum pare_code code;

	job_doc_begin(&d, kind, b, "Report");
	code = report->document(report->ctx, &d, err);
	job_doc_item(&d, "Recipe %s, seed %llu, %d thread%s, pared %s, %.1f s.", recipe != NULL ? recipe : "written out", (unsigned long long)r->seed, r->threads,
	    r->threads == 1 ? "" : "s", PARE_VERSION, seconds(r));
	for (int i = 0; report->warning(report->ctx, i) != NULL; i++)
		job_doc_item(&d, "%s", report->warning(report->ctx, i));
	job_doc_end(&d);
	return code;
}

enum pare_code job_put_reports(struct job_run *r, struct job_answer *a, const struct job_report *report, struct pare_err *err)
{
	struct pare_buf b;
	enum pare_code code;

	if (!job_wants(r, "report"))
		return PARE_OK;
	pare_buf_init(&b, REPORT_MAX);
	write_report(r, report, &b);
	code = job_put(r, a, "report.json", "application/json", &b, err);
	for (size_t i = 0; i < sizeof document_table / sizeof document_table[0] && code == PARE_OK; i++) {
		pare_buf_reset(&b);
		code = write_document(r, report, document_table[i].kind, &b, err);
		if (code == PARE_OK)
			code = job_put(r, a, document_table[i].name, document_table[i].media_type, &b, err);
	}
	pare_buf_done(&b);
	return code == PARE_OK ? job_put_provenance(r, a, err) : code;
}
