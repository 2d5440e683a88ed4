/* Einsum: a product of tensors whose axes carry labels, summed over every label that the output does not have.
 *
 *   y[out] = sum over the other labels of prod_k x_k[labels of k]
 *   dx_k[labels of k] = sum over the labels that k does not have of dy[out] prod_{j != k} x_j
 *
 * The gradient is an einsum itself, with dy in the place of x_k, so there is one procedure: operands are pointers with a
 * stride per label (0 where a label is missing or the axis is 1 long and repeats; the sum of both for a label that stands
 * twice, which is a diagonal). Two operands are one batched matrix product: their labels fall into batch (in both and
 * wanted), rows (first only), columns (second only) and inner (in both, not wanted); what only one of them has and
 * nobody wants is summed while it is packed. An operand that already lies as BLAS wants it is not packed. More operands
 * are taken two at a time, from the left; a single one is a strided move. Rejected: searching for the best order, which
 * pays from four operands on, and exporters write two. */
#include <string.h>

#include "core/ops/kernels/gemm.h"
#include "core/ops/ops_priv.h"
#include "core/ops/strided.h"

#define MAX_OPERANDS 8
#define MAX_LABELS 32 /* one bit each */
#define N_LETTERS 52

/* The labels of one operand, by axis. */
struct term {
	int n;
	int label[PARE_MAX_DIMS];
};

struct einsum_args {
	struct pare_span equation;
	int n_labels;
	struct term in[MAX_OPERANDS], out;
	bool batch[MAX_LABELS];
};

/* The equation as it is read. Letters get numbers in order of appearance; the axes of an ellipsis are labels of their own,
 * counted from the right. */
struct reader {
	const struct pare_infer *c;
	struct einsum_args *a;
	int number[N_LETTERS], count[N_LETTERS];
	int ellipsis[PARE_MAX_DIMS], n_ellipsis;
};

static enum pare_code bad_equation(const struct reader *r, const char *why, struct pare_err *err)
{
	return pare_err_set(err, PARE_E_MODEL, r->c->where, "attribute \"equation\" cannot be read: %s", why);
}

static int letter(char c)
{
	return c >= 'A' && c <= 'Z' ? c - 'A' : c >= 'a' && c <= 'z' ? 26 + c - 'a' : -1;
}

static int new_label(struct reader *r)
{
	return r->a->n_labels < MAX_LABELS ? r->a->n_labels++ : -1;
}

static int label_of(struct reader *r, int l)
{
	if (r->number[l] < 0)
		r->number[l] = new_label(r);
	r->count[l]++;
	return r->number[l];
}

/* The label of axis i, from the right, of an ellipsis. */
static int ellipsis_label(struct reader *r, int i)
{
	while (r->n_ellipsis <= i) {
		r->ellipsis[r->n_ellipsis] = new_label(r);
		r->n_ellipsis++;
	}
	return r->ellipsis[i];
}

static bool append(struct term *t, int label)
{
	if (t->n == PARE_MAX_DIMS || label < 0)
		return false;
	t->label[t->n++] = label;
	return true;
}

/* One term, text[0, n), of an operand of n_dims axes; n_dims -1: the output, whose ellipsis is all that were seen. */
static enum pare_code read_term(struct reader *r, const char *text, size_t n, int n_dims, struct term *t, struct pare_err *err)
{
	int letters = 0, dots = 0, hidden;

	for (size_t i = 0; i < n; i++) {
		letters += letter(text[i]) >= 0;
		dots += text[i] == '.';
		if (letter(text[i]) < 0 && text[i] != '.' && text[i] != ' ')
			return bad_equation(r, "a term consists of letters and an ellipsis", err);
	}
	hidden = n_dims >= 0 ? n_dims - letters : r->n_ellipsis;
	if ((dots != 0 && dots != 3) || (dots == 0 && n_dims >= 0 && hidden != 0) || hidden < 0)
		return bad_equation(r, "a term does not have as many labels as its input has dimensions", err);
	for (size_t i = 0; i < n; i++) {
		if (letter(text[i]) >= 0 && !append(t, label_of(r, letter(text[i]))))
			return bad_equation(r, "too many labels", err);
		if (text[i] != '.')
			continue;
		if (n - i < 3 || text[i + 1] != '.' || text[i + 2] != '.')
			return bad_equation(r, "an ellipsis is three points", err);
		for (int k = hidden - 1; k >= 0; k--)
			if (!append(t, ellipsis_label(r, k)))
				return bad_equation(r, "too many labels", err);
		i += 2;
	}
	return PARE_OK;
}

/* Without "->": the axes of the ellipsis, then the letters that stand once, in the order of the alphabet. */
static enum pare_code implicit_output(struct reader *r, struct pare_err *err)
{
	for (int k = r->n_ellipsis - 1; k >= 0; k--)
		if (!append(&r->a->out, r->ellipsis[k]))
			return bad_equation(r, "too many labels", err);
	for (int l = 0; l < N_LETTERS; l++)
		if (r->count[l] == 1 && !append(&r->a->out, r->number[l]))
			return bad_equation(r, "too many labels", err);
	return PARE_OK;
}

static enum pare_code read_inputs(struct reader *r, const char *text, size_t n, struct pare_err *err)
{
	size_t at = 0;

	for (int k = 0; k < r->c->n_in; k++) {
		size_t end = at;
		enum pare_code code;

		while (end < n && text[end] != ',')
			end++;
		if (at > n)
			return bad_equation(r, "it has fewer terms than the node has inputs", err);
		code = read_term(r, text + at, end - at, r->c->in[k].n_dims, &r->a->in[k], err);
		if (code != PARE_OK)
			return code;
		at = end + 1;
	}
	return at > n ? PARE_OK : bad_equation(r, "it has more terms than the node has inputs", err);
}

static enum pare_code read_equation(struct reader *r, struct pare_err *err)
{
	const char *text = (const char *)r->a->equation.data;
	size_t n = r->a->equation.len, inputs = 0;
	unsigned seen = 0;
	enum pare_code code;

	for (int l = 0; l < N_LETTERS; l++)
		r->number[l] = -1;
	while (inputs < n && !(text[inputs] == '-' && inputs + 1 < n && text[inputs + 1] == '>'))
		inputs++;
	code = read_inputs(r, text, inputs, err);
	if (code != PARE_OK)
		return code;
	if (inputs == n)
		return implicit_output(r, err);
	code = read_term(r, text + inputs + 2, n - inputs - 2, -1, &r->a->out, err);
	for (int i = 0; i < r->a->out.n && code == PARE_OK; i++) {
		if (seen & PARE_BIT(r->a->out.label[i]))
			return bad_equation(r, "the output has a label twice", err);
		seen |= PARE_BIT(r->a->out.label[i]);
	}
	return code;
}

/* How long each label is: all axes that carry it agree, or are 1 and repeat. -1 for one that no input has. */
static enum pare_code label_lengths(const struct pare_infer *c, int64_t *len, struct pare_err *err)
{
	struct einsum_args *a = c->args;

	for (int k = 0; k < c->n_in; k++)
		for (int i = 0; i < a->in[k].n; i++) {
			int l = a->in[k].label[i];
			int64_t d = c->in[k].dims[i];
			bool batch = (c->in[k].batch & PARE_BIT(i)) != 0;

			if (len[l] < 0 || (len[l] == 1 && !a->batch[l])) {
				len[l] = d;
				a->batch[l] = batch;
			} else if (!(d == 1 && !batch) && (d != len[l] || batch != a->batch[l])) {
				return pare_err_set(err, PARE_E_SHAPE, c->where, "axis %d of input %d is %lld long, another with its label %lld", i, k, (long long)d,
				    (long long)len[l]);
			}
		}
	return PARE_OK;
}

/* With more than two operands a product in between can be larger than any of them: at most that many elements per row. */
#define MAX_BETWEEN 268435456.0

static enum pare_code check_products(const struct pare_infer *c, const int64_t *len, struct pare_err *err)
{
	const struct einsum_args *a = c->args;
	double n = 1;

	for (int l = 0; l < a->n_labels; l++)
		n *= len[l] > 0 ? (double)len[l] : 1;
	if (n > MAX_BETWEEN)
		return pare_err_set(err, PARE_E_LIMIT, c->where, "the product of %d inputs runs over %g combinations of labels; at most %g are supported", c->n_in,
		    n, MAX_BETWEEN);
	return PARE_OK;
}

static enum pare_code einsum_infer(const struct pare_infer *c, struct pare_err *err)
{
	struct einsum_args *a = c->args;
	struct reader r = {.c = c, .a = a};
	int64_t len[MAX_LABELS];
	enum pare_code code;

	for (int l = 0; l < MAX_LABELS; l++)
		len[l] = -1;
	for (int k = 0; k < c->n_in; k++)
		if (!pare_infer_has(c, k))
			return pare_err_set(err, PARE_E_MODEL, c->where, "input %d is left out", k);
	code = read_equation(&r, err);
	if (code == PARE_OK)
		code = label_lengths(c, len, err);
	for (int i = 0; i < a->out.n && code == PARE_OK; i++) {
		int l = a->out.label[i];
		unsigned carried = 0;

		for (int k = 0; k < c->n_in; k++)
			for (int j = 0; j < a->in[k].n; j++)
				carried |= a->in[k].label[j] == l;
		if (carried == 0)
			return bad_equation(&r, "the output has a label that no input has", err);
		c->out[0].dims[i] = len[l];
		c->out[0].batch |= a->batch[l] ? PARE_BIT(i) : 0;
	}
	c->out[0].n_dims = a->out.n;
	return code == PARE_OK && c->n_in > 2 ? check_products(c, len, err) : code;
}

/* An operand at run time. labels: those along which it moves. */
struct operand {
	const float *data;
	unsigned labels;
	int64_t stride[MAX_LABELS];
};

static struct operand operand(const struct term *t, const struct pare_shape *s, const int64_t *len, const float *data)
{
	struct operand o = {.data = data};
	int64_t stride[PARE_MAX_DIMS];

	pare_strides(s, stride);
	for (int i = 0; i < t->n; i++)
		if (s->dims[i] == len[t->label[i]]) {
			o.labels |= PARE_BIT(t->label[i]);
			o.stride[t->label[i]] += stride[i];
		}
	return o;
}

static void run_lengths(const struct pare_run *r, int64_t *len)
{
	const struct einsum_args *a = r->args;

	for (int l = 0; l < MAX_LABELS; l++)
		len[l] = 1;
	for (int k = 0; k < r->n_in; k++)
		for (int i = 0; i < a->in[k].n; i++)
			if (r->in_shape[k]->dims[i] != 1)
				len[a->in[k].label[i]] = r->in_shape[k]->dims[i];
}

static size_t product(unsigned labels, const int64_t *len)
{
	size_t n = 1;

	for (int l = 0; l < MAX_LABELS; l++)
		n *= labels & PARE_BIT(l) ? (size_t)len[l] : 1;
	return n;
}

/* Row-major strides of groups of labels, one group after the other. */
static void dense(const unsigned *group, int n_groups, const int64_t *len, struct operand *o)
{
	int64_t step = 1;

	for (int g = n_groups - 1; g >= 0; g--)
		for (int l = MAX_LABELS - 1; l >= 0; l--)
			if (group[g] & PARE_BIT(l)) {
				o->stride[l] = step;
				o->labels |= PARE_BIT(l);
				step *= len[l];
			}
}

/* to[its labels] += from, summed over the labels that it does not have and repeated along those that from does not. */
static void move(const struct operand *from, const struct operand *to, const int64_t *len, float *data)
{
	unsigned labels = from->labels | to->labels;
	struct pare_move m = {0};

	for (int l = 0; l < MAX_LABELS; l++)
		if (labels & PARE_BIT(l))
			pare_move_axis(&m, len[l], from->labels & PARE_BIT(l) ? from->stride[l] : 0, to->labels & PARE_BIT(l) ? to->stride[l] : 0);
	pare_move_run(&m, from->data, data, true);
}

/* Does o lie as the groups say, with nothing left over? Axes of one element have no stride to speak of. */
static bool lies(const struct operand *o, const unsigned *group, int n_groups, const int64_t *len)
{
	struct operand want = {0};

	dense(group, n_groups, len, &want);
	for (int l = 0; l < MAX_LABELS; l++)
		if (len[l] > 1 && ((o->labels ^ want.labels) & PARE_BIT(l) || (o->labels & PARE_BIT(l) && o->stride[l] != want.stride[l])))
			return false;
	return true;
}

/* o as [batch, first, second], packed into memory unless it lies so or turned; *turned says which. */
static const float *pack(const struct operand *o, const unsigned group[3], const int64_t *len, float *memory, bool *turned)
{
	const unsigned other[3] = {group[0], group[2], group[1]};
	struct operand to = {0};

	*turned = false;
	if (lies(o, group, 3, len))
		return o->data;
	*turned = lies(o, other, 3, len);
	if (*turned)
		return o->data;
	dense(group, 3, len, &to);
	memset(memory, 0, product(to.labels, len) * sizeof *memory);
	move(o, &to, len, memory);
	return memory;
}

/* Memory for one procedure: two packed operands, and results in turn. */
struct work {
	float *memory;
	size_t packed[2], result; /* lengths */
};

struct groups {
	unsigned batch, rows, columns, inner;
};

static struct groups groups(const struct operand *a, const struct operand *b, unsigned wanted)
{
	return (struct groups){.batch = a->labels & b->labels & wanted, .rows = a->labels & ~b->labels & wanted,
	    .columns = b->labels & ~a->labels & wanted, .inner = a->labels & b->labels & ~wanted};
}

/* a times b, with the labels that are wanted, into result number `turn`. */
static struct operand multiply(const struct operand *a, const struct operand *b, unsigned wanted, const int64_t *len, const struct work *w, int turn)
{
	struct groups g = groups(a, b, wanted);
	const unsigned in_a[3] = {g.batch, g.rows, g.inner}, in_b[3] = {g.batch, g.inner, g.columns}, in_y[3] = {g.batch, g.rows, g.columns};
	size_t n_batch = product(g.batch, len), m = product(g.rows, len), n = product(g.columns, len), k = product(g.inner, len);
	float *result = w->memory + w->packed[0] + w->packed[1] + (size_t)turn * w->result;
	struct operand y = {.data = result};
	bool turn_a, turn_b;
	const float *pa = pack(a, in_a, len, w->memory, &turn_a), *pb = pack(b, in_b, len, w->memory + w->packed[0], &turn_b);

	dense(in_y, 3, len, &y);
	for (size_t i = 0; i < n_batch; i++)
		pare_gemm(turn_a, turn_b, (int64_t)m, (int64_t)n, (int64_t)k, 1.0f, pa + i * m * k, pb + i * k * n, 0.0f, result + i * m * n);
	return y;
}

/* The labels that operands from `next` on, or the output, still need. */
static unsigned needed(const struct operand *ops, int n, int next, unsigned out)
{
	for (int i = next; i < n; i++)
		out |= ops[i].labels;
	return out;
}

/* to += the einsum of n operands. */
static void contract(const struct operand *ops, int n, const struct operand *to, const int64_t *len, const struct work *w, float *data)
{
	struct operand y = ops[0];

	for (int i = 1; i < n; i++)
		y = multiply(&y, &ops[i], needed(ops, n, i + 1, to->labels), len, w, i % 2);
	move(&y, to, len, data);
}

static size_t larger(size_t a, size_t b)
{
	return a > b ? a : b;
}

/* What contract needs of the same operands. */
static void measure(const struct operand *ops, int n, unsigned out, const int64_t *len, struct work *w)
{
	unsigned labels = ops[0].labels;

	for (int i = 1; i < n; i++) {
		const struct operand a = {.labels = labels};
		struct groups g = groups(&a, &ops[i], needed(ops, n, i + 1, out));

		w->packed[0] = larger(w->packed[0], product(g.batch | g.rows | g.inner, len));
		w->packed[1] = larger(w->packed[1], product(g.batch | g.inner | g.columns, len));
		labels = g.batch | g.rows | g.columns;
		w->result = larger(w->result, product(labels, len));
	}
}

/* All operands, the k-th replaced by dy where k >= 0; that is what x_k's gradient is made of. */
static void operands(const struct pare_run *r, int k, const int64_t *len, struct operand ops[MAX_OPERANDS], struct operand *out)
{
	const struct einsum_args *a = r->args;

	for (int i = 0; i < r->n_in; i++)
		ops[i] = operand(&a->in[i], r->in_shape[i], len, r->in != NULL ? r->in[i] : NULL);
	*out = operand(&a->out, r->out_shape[0], len, k >= 0 && r->grad_out != NULL ? r->grad_out[0] : NULL);
	if (k >= 0) {
		struct operand swap = ops[k];

		ops[k] = *out;
		*out = swap;
	}
}

static void measure_all(const struct pare_run *r, const int64_t *len, struct work *w)
{
	struct operand ops[MAX_OPERANDS], out;

	*w = (struct work){.memory = r->scratch};
	for (int k = -1; k < r->n_in; k++) {
		operands(r, k, len, ops, &out);
		measure(ops, r->n_in, out.labels, len, w);
	}
}

static size_t einsum_scratch(const struct pare_run *r)
{
	int64_t len[MAX_LABELS];
	struct work w;

	run_lengths(r, len);
	measure_all(r, len, &w);
	return w.packed[0] + w.packed[1] + 2 * w.result;
}

static void einsum_forward(const struct pare_run *r)
{
	struct operand ops[MAX_OPERANDS], out;
	int64_t len[MAX_LABELS];
	struct work w;

	run_lengths(r, len);
	measure_all(r, len, &w);
	operands(r, -1, len, ops, &out);
	memset(r->out[0], 0, pare_shape_elems(r->out_shape[0]) * sizeof(float));
	contract(ops, r->n_in, &out, len, &w, r->out[0]);
}

static void einsum_backward(const struct pare_run *r)
{
	struct operand ops[MAX_OPERANDS], out;
	int64_t len[MAX_LABELS];
	struct work w;

	run_lengths(r, len);
	measure_all(r, len, &w);
	for (int k = 0; k < r->n_in; k++) {
		if (r->grad_in[k] == NULL)
			continue;
		operands(r, k, len, ops, &out);
		if (!r->accumulate[k])
			memset(r->grad_in[k], 0, pare_shape_elems(r->in_shape[k]) * sizeof(float));
		contract(ops, r->n_in, &out, len, &w, r->grad_in[k]);
	}
}

/* The first axis of s that carries a label of that length, and how many do; axes of 1 that repeat do not. */
static int axis_of(const struct term *t, const struct pare_shape *s, int label, int64_t len, int *count)
{
	int axis = -1;

	*count = 0;
	for (int i = 0; i < t->n; i++)
		if (t->label[i] == label && (s->dims[i] == len || (s->batch & PARE_BIT(i)))) {
			axis = axis < 0 ? i : axis;
			++*count;
		}
	return axis;
}

static int64_t longest(const struct pare_node_view *v, int label)
{
	const struct einsum_args *a = v->args;
	int64_t len = 1;

	for (int k = 0; k < v->n_in; k++)
		for (int i = 0; v->in[k] != NULL && i < a->in[k].n; i++)
			if (a->in[k].label[i] == label && v->in[k]->dims[i] != 1)
				len = v->in[k]->dims[i];
	return len;
}

/* A label of the output ties all axes that carry it; one that is summed ties two inputs, as the inner axis of a product. */
static void couple_label(const struct pare_node_view *v, int label, struct pare_ties *t)
{
	const struct einsum_args *a = v->args;
	int64_t len = longest(v, label);
	int axis[MAX_OPERANDS], n_carry = 0, first = -1, last = -1, count, out = axis_of(&a->out, v->out[0], label, len, &count);
	bool twice = false;

	for (int k = 0; k < v->n_in; k++) {
		axis[k] = axis_of(&a->in[k], v->in[k], label, len, &count);
		twice |= count > 1;
		n_carry += axis[k] >= 0;
		first = first < 0 && axis[k] >= 0 ? k : first;
		last = axis[k] >= 0 ? k : last;
	}
	if (out < 0 && n_carry == 2 && !twice) {
		pare_tie_add(t, (struct pare_tie){.kind = PARE_TIE_CONTRACT, .a = first, .a_axis = axis[first], .b = last, .b_axis = axis[last]});
		return;
	}
	for (int k = 0; k < v->n_in; k++)
		for (int i = axis[k]; i >= 0 && i < a->in[k].n; i++)
			if (a->in[k].label[i] == label)
				pare_tie_add(t, (struct pare_tie){.kind = out >= 0 && !twice ? PARE_TIE_SAME : PARE_TIE_OPAQUE, .a = k, .a_axis = i,
				    .b = out >= 0 ? PARE_OUT(0) : k, .b_axis = out >= 0 ? out : i});
}

static void einsum_couple(const struct pare_node_view *v, struct pare_ties *t)
{
	const struct einsum_args *a = v->args;

	for (int l = 0; l < a->n_labels; l++)
		couple_label(v, l, t);
}

static int64_t einsum_macs(const struct pare_node_view *v)
{
	const struct einsum_args *a = v->args;
	int64_t n = 1;

	for (int l = 0; l < a->n_labels; l++)
		n *= longest(v, l);
	return v->n_in > 1 ? n : 0;
}

static const struct pare_arg_spec einsum_arg_table[] = {
    {.name = "equation", .kind = PARE_ARG_STRING, .offset = offsetof(struct einsum_args, equation), .required = true},
    {.name = NULL},
};

const struct pare_op pare_op_einsum_table[] = {
    {.domain = "", .name = "Einsum", .since = 12, .until = PARE_OPSET_MAX, .min_in = 1, .max_in = MAX_OPERANDS, .min_out = 1, .max_out = 1,
     .args_size = sizeof(struct einsum_args), .args = einsum_arg_table, .weight_in = ~0u, .grad_uses_in = ~0u, .infer = einsum_infer,
     .scratch = einsum_scratch, .forward = einsum_forward, .backward = einsum_backward, .couple = einsum_couple, .macs = einsum_macs},
    {.name = NULL},
};
