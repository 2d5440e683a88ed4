/* The two renderings. Markdown is the kind that GitHub and every terminal show: pipes are escaped in cells, and control
 * characters (a newline in a tensor's name) become spaces, so a name cannot end a table. The page carries its style sheet
 * and follows the reader's light or dark setting; it has no script, so it can be served under a policy that allows none. */
#include "core/job/doc.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define TEXT_MAX ((size_t)16384)

static const char style[] =
    ":root{color-scheme:light dark;--ink:#1d2430;--soft:#5c6773;--line:#d5dae1;--back:#fff;--c0:#2563a8;--c1:#c2571a;--c2:#2e7d4f;--c3:#8a3fa0}"
    "@media(prefers-color-scheme:dark){:root{--ink:#e6e9ee;--soft:#9aa5b1;--line:#3a424d;--back:#14181e;--c0:#6fb1f0;--c1:#f0a06a;--c2:#72c795;--c3:#cf9be0}}"
    "body{font:15px/1.5 system-ui,sans-serif;color:var(--ink);background:var(--back);max-width:60rem;margin:2rem auto;padding:0 1rem}"
    "h1{font-size:1.6rem}h2{font-size:1.15rem;margin-top:2rem}"
    "table{border-collapse:collapse;margin:.8rem 0;display:block;overflow-x:auto}th,td{padding:.15rem .7rem;border-bottom:1px solid var(--line);text-align:left;"
    "font-variant-numeric:tabular-nums;white-space:nowrap}th{color:var(--soft);font-weight:600}.r{text-align:right}"
    ".good,.bad{padding:.5rem .8rem;border-left:4px solid var(--c2)}.bad{border-color:var(--c1)}"
    "figure{margin:1rem 0}figcaption{color:var(--soft)}svg{width:100%;height:auto;max-width:44rem}"
    "svg text{font:11px system-ui,sans-serif;fill:var(--soft)}.axis{stroke:var(--line);fill:none}"
    ".s0{stroke:var(--c0)}.s1{stroke:var(--c1)}.s2{stroke:var(--c2)}.s3{stroke:var(--c3)}.curve{fill:none;stroke-width:1.6}"
    ".dot{fill:var(--back);stroke-width:1.6}.bar{fill:var(--c0);stroke:none}";

void job_doc_escape(struct pare_buf *b, const char *s)
{
	for (; *s != '\0'; s++) {
		if (*s == '<')
			pare_buf_str(b, "&lt;");
		else if (*s == '>')
			pare_buf_str(b, "&gt;");
		else if (*s == '&')
			pare_buf_str(b, "&amp;");
		else if (*s == '"')
			pare_buf_str(b, "&quot;");
		else
			pare_buf_add(b, (unsigned char)*s < ' ' || *s == 0x7f ? " " : s, 1);
	}
}

static void escape_markdown(struct pare_buf *b, const char *s)
{
	for (; *s != '\0'; s++) {
		if (strchr("|<`\\", *s) != NULL)
			pare_buf_str(b, "\\");
		pare_buf_add(b, (unsigned char)*s < ' ' || *s == 0x7f ? " " : s, 1);
	}
}

static void put_text(struct job_doc *d, const char *fmt, va_list ap)
{
	char text[TEXT_MAX];

	(void)vsnprintf(text, sizeof text, fmt, ap);
	if (d->kind == JOB_DOC_HTML)
		job_doc_escape(d->b, text);
	else
		escape_markdown(d->b, text);
}

static void end_list(struct job_doc *d)
{
	if (d->in_list)
		pare_buf_str(d->b, d->kind == JOB_DOC_HTML ? "</ul>\n" : "\n");
	d->in_list = false;
}

void job_doc_begin(struct job_doc *d, enum job_doc_kind kind, struct pare_buf *b, const char *title)
{
	*d = (struct job_doc){.kind = kind, .b = b};
	if (kind == JOB_DOC_MARKDOWN) {
		pare_buf_printf(b, "# %s\n\n", title);
		return;
	}
	pare_buf_str(b, "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" content=\"width=device-width\"><title>");
	job_doc_escape(b, title);
	pare_buf_str(b, "</title><style>");
	pare_buf_str(b, style);
	pare_buf_str(b, "</style></head><body>\n<h1>");
	job_doc_escape(b, title);
	pare_buf_str(b, "</h1>\n");
}

void job_doc_end(struct job_doc *d)
{
	end_list(d);
	if (d->kind == JOB_DOC_HTML)
		pare_buf_str(d->b, "</body></html>\n");
}

void job_doc_heading(struct job_doc *d, const char *text)
{
	end_list(d);
	if (d->kind == JOB_DOC_MARKDOWN) {
		pare_buf_printf(d->b, "## %s\n\n", text);
		return;
	}
	pare_buf_str(d->b, "<h2>");
	job_doc_escape(d->b, text);
	pare_buf_str(d->b, "</h2>\n");
}

void job_doc_text(struct job_doc *d, const char *fmt, ...)
{
	va_list ap;

	end_list(d);
	pare_buf_str(d->b, d->kind == JOB_DOC_HTML ? "<p>" : "");
	va_start(ap, fmt);
	put_text(d, fmt, ap);
	va_end(ap);
	pare_buf_str(d->b, d->kind == JOB_DOC_HTML ? "</p>\n" : "\n\n");
}

void job_doc_verdict(struct job_doc *d, bool good, const char *fmt, ...)
{
	va_list ap;

	end_list(d);
	if (d->kind == JOB_DOC_HTML)
		pare_buf_printf(d->b, "<p class=\"%s\"><strong>", good ? "good" : "bad");
	else
		pare_buf_str(d->b, "**");
	va_start(ap, fmt);
	put_text(d, fmt, ap);
	va_end(ap);
	pare_buf_str(d->b, d->kind == JOB_DOC_HTML ? "</strong></p>\n" : "**\n\n");
}

void job_doc_item(struct job_doc *d, const char *fmt, ...)
{
	va_list ap;

	if (!d->in_list && d->kind == JOB_DOC_HTML)
		pare_buf_str(d->b, "<ul>\n");
	d->in_list = true;
	pare_buf_str(d->b, d->kind == JOB_DOC_HTML ? "<li>" : "- ");
	va_start(ap, fmt);
	put_text(d, fmt, ap);
	va_end(ap);
	pare_buf_str(d->b, d->kind == JOB_DOC_HTML ? "</li>\n" : "\n");
}

void job_doc_table(struct job_doc *d)
{
	end_list(d);
	d->n_columns = 0;
	d->column = -1;
	pare_buf_str(d->b, d->kind == JOB_DOC_HTML ? "<table><thead><tr>" : "|");
}

void job_doc_column(struct job_doc *d, bool right, const char *fmt, ...)
{
	va_list ap;

	if (d->n_columns == JOB_DOC_COLUMNS)
		return;
	d->right[d->n_columns++] = right;
	pare_buf_str(d->b, d->kind == JOB_DOC_MARKDOWN ? " " : right ? "<th class=\"r\">" : "<th>");
	va_start(ap, fmt);
	put_text(d, fmt, ap);
	va_end(ap);
	pare_buf_str(d->b, d->kind == JOB_DOC_HTML ? "</th>" : " |");
}

static void begin_rows(struct job_doc *d)
{
	d->column = 0;
	if (d->kind == JOB_DOC_HTML) {
		pare_buf_str(d->b, "</tr></thead><tbody>\n");
		return;
	}
	pare_buf_str(d->b, "\n|");
	for (int i = 0; i < d->n_columns; i++)
		pare_buf_str(d->b, d->right[i] ? " ---: |" : " --- |");
	pare_buf_str(d->b, "\n");
}

void job_doc_cell(struct job_doc *d, const char *fmt, ...)
{
	bool html = d->kind == JOB_DOC_HTML;
	va_list ap;

	if (d->column < 0)
		begin_rows(d);
	if (d->column == 0)
		pare_buf_str(d->b, html ? "<tr>" : "|");
	pare_buf_str(d->b, !html ? " " : d->right[d->column] ? "<td class=\"r\">" : "<td>");
	va_start(ap, fmt);
	put_text(d, fmt, ap);
	va_end(ap);
	pare_buf_str(d->b, html ? "</td>" : " |");
	if (++d->column == d->n_columns) {
		d->column = 0;
		pare_buf_str(d->b, html ? "</tr>\n" : "\n");
	}
}

void job_doc_table_end(struct job_doc *d)
{
	if (d->column < 0)
		begin_rows(d);
	pare_buf_str(d->b, d->kind == JOB_DOC_HTML ? "</tbody></table>\n" : "\n");
}
