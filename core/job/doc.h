/* A report for people, written once and rendered twice: as Markdown that reads well unrendered, and as one HTML page that
 * needs nothing else (no script, no font, no request). Content is a sequence of headings, paragraphs, list items, tables and
 * pictures; pictures are SVG and stand in the page only.
 *
 * Every text is data: names come from uploaded models and files, so both renderings escape what they are given. */
#ifndef PARE_JOB_DOC_H
#define PARE_JOB_DOC_H

#include <stdbool.h>

#include "core/base/buf.h"
#include "core/base/err.h"

enum job_doc_kind { JOB_DOC_MARKDOWN, JOB_DOC_HTML };

#define JOB_DOC_COLUMNS 64
struct job_doc {
	enum job_doc_kind kind;
	struct pare_buf *b;
	int n_columns, column; /* of the table under way; cells fill rows from left to right */
	bool right[JOB_DOC_COLUMNS];
	bool in_list;
};

void job_doc_begin(struct job_doc *d, enum job_doc_kind kind, struct pare_buf *b, const char *title);
void job_doc_end(struct job_doc *d);
void job_doc_heading(struct job_doc *d, const char *text);
void job_doc_text(struct job_doc *d, const char *fmt, ...) PARE_PRINTF(2, 3);
/* A sentence that decides something; good or bad. */
void job_doc_verdict(struct job_doc *d, bool good, const char *fmt, ...) PARE_PRINTF(3, 4);
void job_doc_item(struct job_doc *d, const char *fmt, ...) PARE_PRINTF(2, 3);
/* Columns one by one (at most JOB_DOC_COLUMNS), then cells; a row ends by itself. */
void job_doc_table(struct job_doc *d);
void job_doc_column(struct job_doc *d, bool right, const char *fmt, ...) PARE_PRINTF(3, 4);
void job_doc_cell(struct job_doc *d, const char *fmt, ...) PARE_PRINTF(2, 3);
void job_doc_table_end(struct job_doc *d);

/* One curve, or dots. Points whose x or y is not finite are left out. */
struct job_series {
	const char *label;
	const double *x, *y;
	int n;
	bool dots;
};
#define JOB_PLOT_SERIES 4
struct job_plot {
	const char *title, *x_label, *y_label;
	struct job_series series[JOB_PLOT_SERIES];
	int n_series;
};
/* Nothing is drawn of a plot without points. */
void job_doc_plot(struct job_doc *d, const struct job_plot *p);

/* Shares in [0, 1] as horizontal bars, one per label. */
struct job_bars {
	const char *title;
	int n;
	const char *const *labels;
	const double *shares;
};
void job_doc_bars(struct job_doc *d, const struct job_bars *bars);

/* Shared by doc.c and plot.c: text with <, >, & and quotes as entities and control characters as spaces. */
void job_doc_escape(struct pare_buf *b, const char *s);

#endif
