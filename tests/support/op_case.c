/* One node, built from text, run through the net as users' graphs are. */
#include "tests/support/op_case.h"

#include <check.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/graph/net_priv.h"
#include "tests/support/net_check.h"

#define STEP 0.015625
#define MAX_TYPED 64

static const char *const name_table[OC_MAX_IN] = {"a", "b", "c", "d", "e", "f", "g", "h"};

/* "Pad opset 13 in (2 3, i:1 1) pads=..." */
static const char *label(const struct op_case *c)
{
	static char text[400];

	(void)snprintf(text, sizeof text, "%s opset %d (", c->op, c->opset);
	for (int i = 0; i < OC_MAX_IN && c->in[i] != NULL; i++)
		(void)snprintf(text + strlen(text), sizeof text - strlen(text), "%s%s", i > 0 ? ", " : "", c->in[i]);
	(void)snprintf(text + strlen(text), sizeof text - strlen(text), ") %s", c->attrs != NULL ? c->attrs : "");
	return text;
}

static size_t parse_dims(const char *text, int64_t *dims, int *n_dims)
{
	size_t n = 1;

	for (*n_dims = 0; *text != '\0'; (*n_dims)++) {
		char *end;

		dims[*n_dims] = *text == 'N' ? OC_ROWS : strtoll(text, &end, 10);
		text = *text == 'N' ? text + 1 : end;
		n *= (size_t)dims[*n_dims];
		text += strspn(text, " ");
	}
	return n;
}

static void set_list(struct gb *b, const char *name, const char *list)
{
	bool floating = strchr(list, '.') != NULL;
	float floats[16];
	int64_t ints[16];
	size_t n = 0;
	char *at = (char *)(uintptr_t)list + 1;

	for (; *at != ']' && *at != '\0'; at += *at == ',') {
		ck_assert_uint_lt(n, 16);
		if (floating)
			floats[n++] = strtof(at, &at);
		else
			ints[n++] = strtoll(at, &at, 10);
	}
	if (floating)
		gb_attr_floats(b, name, floats, n);
	else
		gb_attr_ints(b, name, ints, n);
}

static void set_attr(struct gb *b, const char *name, const char *value)
{
	char *end;

	if (*value == '[') {
		set_list(b, name, value);
		return;
	}
	(void)strtod(value, &end);
	if (end == value || *end != '\0')
		gb_attr_string(b, name, value);
	else if (strchr(value, '.') != NULL)
		gb_attr_float(b, name, strtof(value, NULL));
	else
		gb_attr_int(b, name, strtoll(value, NULL, 10));
}

static void set_attrs(struct gb *b, const char *attrs)
{
	char text[256], *save = NULL;

	(void)snprintf(text, sizeof text, "%s", attrs != NULL ? attrs : "");
	for (char *token = strtok_r(text, " ", &save); token != NULL; token = strtok_r(NULL, " ", &save)) {
		char *value = strchr(token, '=');

		ck_assert_ptr_nonnull(value);
		*value = '\0';
		set_attr(b, token, value + 1);
	}
}

static bool is_typed(const char *text)
{
	return text[0] != '\0' && (text[1] == ':' || text[1] == '[');
}

/* A constant that is not float: "i:1 2", "i[2 2]:1 2 3 4", "s:1", "b:1 0", "u:3". */
static void add_typed(struct gb *b, const char *name, const char *text)
{
	char shape[32], *at = strchr(text, ':');
	int64_t v[MAX_TYPED];
	uint8_t bytes[MAX_TYPED];
	size_t n = 0;

	ck_assert_ptr_nonnull(at);
	for (at++; *at != '\0'; at += strspn(at, " ")) {
		ck_assert_uint_lt(n, MAX_TYPED);
		v[n] = strtoll(at, &at, 10);
		bytes[n] = (uint8_t)v[n];
		n++;
	}
	if (text[1] == '[')
		(void)snprintf(shape, sizeof shape, "%.*s", (int)(strchr(text, ']') - text - 2), text + 2);
	else
		(void)snprintf(shape, sizeof shape, "%zu", n);
	if (text[0] == 'b' || text[0] == 'u')
		gb_init_bytes(b, name, shape, text[0] == 'b' ? PARE_DT_BOOL : PARE_DT_UINT8, bytes, n);
	else
		gb_init_i64(b, name, text[0] == 's' ? "" : shape, v);
}

static void fill(enum oc_fill how, size_t n, uint64_t seed, float *out)
{
	nc_fill(out, n, seed);
	for (size_t i = 0; how == DISTINCT && i < n; i++)
		out[i] = 0.1f * (float)(i * 389 % 1021) - 40.0f;
	for (size_t i = 0; how == POSITIVE && i < n; i++)
		out[i] = 1.0f + 0.5f * out[i];
}

struct built {
	struct gb *b;
	float data[OC_MAX_IN][OC_MAX_ELEMS];
	const float *inputs[OC_MAX_IN]; /* of those that are graph inputs */
	int n_inputs;
};

static void add_input(struct built *t, const struct op_case *c, int i)
{
	int64_t dims[PARE_MAX_DIMS];
	size_t n;
	int n_dims;

	if (c->in[i][0] == '-')
		return;
	if (is_typed(c->in[i])) {
		add_typed(t->b, name_table[i], c->in[i]);
		return;
	}
	n = parse_dims(c->in[i], dims, &n_dims);
	ck_assert_uint_le(n, OC_MAX_ELEMS);
	fill(c->fill[i], n, (uint64_t)i + 1, t->data[i]);
	if (c->data[i] != NULL)
		memcpy(t->data[i], c->data[i], n * sizeof(float));
	if (c->in[i][0] == 'N') {
		gb_input(t->b, name_table[i], c->in[i]);
		t->inputs[t->n_inputs++] = t->data[i];
	} else {
		gb_init(t->b, name_table[i], c->in[i], t->data[i]);
	}
}

static void build(const struct op_case *c, struct built *t)
{
	static const char *const out_table[OC_MAX_OUT] = {"y", "y1", "y2", "y3"};
	char in[64] = "", out[32] = "";
	int n_out = c->n_out > 0 ? c->n_out : 1;

	ck_assert_int_le(n_out, OC_MAX_OUT);
	memset(t, 0, sizeof *t);
	t->b = gb_new(c->domain != NULL ? 13 : c->opset);
	for (int i = 0; i < OC_MAX_IN && c->in[i] != NULL; i++) {
		add_input(t, c, i);
		(void)snprintf(in + strlen(in), sizeof in - strlen(in), "%s%s", i > 0 ? " " : "", c->in[i][0] == '-' ? "-" : name_table[i]);
	}
	for (int k = 0; k < n_out; k++)
		(void)snprintf(out + strlen(out), sizeof out - strlen(out), "%s%s", k > 0 ? " " : "", out_table[k]);
	gb_node(t->b, c->op, "node", in, out);
	if (c->domain != NULL) {
		gb_domain(t->b, c->domain);
		gb_import(t->b, c->domain, c->opset);
	}
	set_attrs(t->b, c->attrs);
	for (int k = 0; k < n_out; k++)
		gb_output(t->b, out_table[k]);
}

static void check_shape(const struct pare_net *net, const struct op_case *c)
{
	int64_t want[PARE_MAX_DIMS], got[PARE_MAX_DIMS];
	int n_want, n_got;

	(void)parse_dims(c->out, want, &n_want);
	(void)pare_net_output_shape(net, c->which, &n_got, got);
	ck_assert_msg(n_got == n_want, "%s: %d dimensions", label(c), n_got);
	for (int i = 0; i < n_got; i++)
		ck_assert_msg(got[i] == (i == 0 && c->out[0] == 'N' ? PARE_DIM_UNKNOWN : want[i]), "%s: dimension %d is %lld", label(c), i, (long long)got[i]);
}

static bool near(float got, float want, float tolerance)
{
	return isnan(want) ? isnan(got) : isinf(want) ? got == want : fabsf(got - want) <= tolerance * fmaxf(1, fabsf(want));
}

static enum pare_mode forward_mode(const struct op_case *c)
{
	return c->statistics ? PARE_MODE_ESTIMATE : PARE_MODE_INFER;
}

/* As many shards as rows, and fewer rows than planned. */
static void check_rows(const struct op_case *c, struct built *t, const float *want, size_t n)
{
	struct pare_net *net = nc_net(t->b, OC_ROWS, OC_ROWS, true);
	int n_shards = pare_net_n_shards(net);
	float got[OC_MAX_ELEMS];

	ck_assert_msg(n_shards == (c->rows_meet && !c->statistics ? 1 : OC_ROWS), "%s: %d shards", label(c), n_shards);
	nc_forward(net, t->inputs, OC_ROWS, forward_mode(c), 0);
	(void)nc_output(net, c->which, OC_ROWS, got);
	for (size_t i = 0; i < n; i++)
		ck_assert_msg(near(got[i], want[i], 1e-5f), "%s: shards: element %zu", label(c), i);
	pare_net_free(net);
	net = nc_net(t->b, 1, OC_ROWS, true);
	nc_forward(net, t->inputs, 1, forward_mode(c), 0);
	(void)nc_output(net, c->which, 1, got);
	for (size_t i = 0; i < n / OC_ROWS && !c->rows_meet; i++)
		ck_assert_msg(near(got[i], want[i], 1e-5f), "%s: one row: element %zu", label(c), i);
	pare_net_free(net);
}

void oc_forward(const struct op_case *c)
{
	struct built t;

	build(c, &t);
	for (int training = 0; training < 2; training++) {
		struct pare_net *net = nc_net(t.b, 1, OC_ROWS, training != 0);
		float out[OC_MAX_ELEMS], again[OC_MAX_ELEMS];
		size_t n;

		check_shape(net, c);
		nc_forward(net, t.inputs, OC_ROWS, forward_mode(c), 0);
		n = nc_output(net, c->which, OC_ROWS, out);
		ck_assert_uint_le(n, OC_MAX_ELEMS);
		for (size_t i = 0; c->want != NULL && i < n; i++)
			ck_assert_msg(near(out[i], c->want[i], 2e-6f), "%s: element %zu is %.9g, want %.9g", label(c), i, (double)out[i], (double)c->want[i]);
		nc_forward(net, t.inputs, OC_ROWS, forward_mode(c), 0);
		(void)nc_output(net, c->which, OC_ROWS, again);
		ck_assert_msg(memcmp(out, again, n * sizeof *out) == 0, "%s: another result the second time", label(c));
		pare_net_free(net);
		if (c->out[0] == 'N')
			check_rows(c, &t, out, n);
	}
	gb_free(t.b);
}

/* The first input that has a gradient. */
static const char *first_float(const struct op_case *c)
{
	int i = 0;

	while (c->in[i][0] == '-' || is_typed(c->in[i]))
		i++;
	return name_table[i];
}

/* Backward reads no more of forward's data than the row says: a plain net, in which the rest is spoilt, has the same gradients. */
static void check_reads(const struct op_case *c, struct built *t, struct pare_net *net, enum pare_mode mode)
{
	struct pare_net *plain = nc_plain_net(t->b, 1, OC_ROWS, true);
	size_t n = pare_net_slab_len(net);
	float *got = calloc(n, sizeof *got), *want = calloc(n, sizeof *want);

	ck_assert_uint_eq(pare_net_slab_len(plain), n);
	nc_forward(net, t->inputs, OC_ROWS, mode, 1);
	nc_backward(net, OC_ROWS, want);
	nc_forward(plain, t->inputs, OC_ROWS, mode, 1);
	nc_backward(plain, OC_ROWS, got);
	for (size_t i = 0; i < n; i++)
		ck_assert_msg(near(got[i], want[i], 1e-4f), "%s: gradient %zu is %g, %g where what its row does not name is spoilt", label(c), i, (double)want[i],
		    (double)got[i]);
	free(got);
	free(want);
	pare_net_free(plain);
}

/* The operator alone, and with its input used twice more (its gradient must add to what is there). */
void oc_gradient(const struct op_case *c)
{
	for (int shared = 0; c->gradient > 0 && shared < 2; shared++) {
		struct pare_net *net;
		struct built t;
		double error;

		build(c, &t);
		if (shared != 0) {
			gb_node(t.b, "Tanh", "other", first_float(c), "z");
			gb_output(t.b, "z");
			gb_node(t.b, "Sigmoid", "third", first_float(c), "u");
			gb_output(t.b, "u");
		}
		net = nc_net(t.b, 1, OC_ROWS, true);
		ck_assert_msg(pare_net_n_params(net) > 0, "%s: nothing to differentiate", label(c));
		error = nc_gradient_error(net, t.inputs, OC_ROWS, c->training || c->statistics ? PARE_MODE_TRAIN : PARE_MODE_INFER, STEP);
		check_reads(c, &t, net, c->training || c->statistics ? PARE_MODE_TRAIN : PARE_MODE_INFER);
		ck_assert_msg(error < (shared != 0 ? fmax(c->gradient, CURVED) : c->gradient), "%s (shared %d): gradient off by %g", label(c), shared, error);
		pare_net_free(net);
		gb_free(t.b);
	}
}

static void operand_text(int operand, int axis, char out[16])
{
	if (operand >= PARE_OUT(0))
		(void)snprintf(out, 16, "o.%d", axis);
	else
		(void)snprintf(out, 16, "%d.%d", operand, axis);
}

static void ties_text(const struct pare_ties *t, char *out, size_t size)
{
	static const char *const kinds[] = {"same", "contract", "mix", "spread", "opaque", "part", "blocks"};

	out[0] = '\0';
	for (int i = 0; i < t->n; i++) {
		const struct pare_tie *e = &t->tie[i];
		char a[16], b[16], way[8] = "", blocks[48] = "";
		size_t used = strlen(out);

		operand_text(e->a, e->a_axis, a);
		operand_text(e->b, e->b_axis, b);
		if (e->kind == PARE_TIE_SPREAD)
			(void)snprintf(blocks, sizeof blocks, "*%lld,%lld", (long long)e->outer, (long long)e->inner);
		if (e->kind == PARE_TIE_PART)
			(void)snprintf(blocks, sizeof blocks, "+%lld", (long long)e->offset);
		if (e->kind == PARE_TIE_BLOCKS)
			(void)snprintf(blocks, sizeof blocks, "/%lld,%lld", (long long)e->n, (long long)e->b_inner);
		if (e->way != 0)
			(void)snprintf(way, sizeof way, "%d:", e->way);
		(void)snprintf(out + used, size - used, "%s%s%s %s>%s%s", i > 0 ? " " : "", way, kinds[e->kind], a, b, blocks);
	}
}

/* Calls couple as the net does, on the shapes that it inferred. */
void oc_ties(const struct op_case *c)
{
	struct pare_ties ties;
	struct pare_net *net;
	struct built t;
	char text[1024];

	if (c->ties == NULL)
		return;
	build(c, &t);
	net = nc_net(t.b, 1, OC_ROWS, true);
	if (strcmp(c->ties, "folded") == 0) {
		ck_assert_msg(net->n_nodes == 0, "%s: not folded", label(c));
	} else {
		ck_assert_msg(net->n_nodes > 0, "%s: folded", label(c));
		pare_net_ties(net, &net->nodes[0], &ties);
		ties_text(&ties, text, sizeof text);
		ck_assert_msg(strcmp(text, c->ties) == 0, "%s: ties \"%s\", want \"%s\"", label(c), text, c->ties);
	}
	pare_net_free(net);
	gb_free(t.b);
}

void oc_refused(const struct op_bad_case *c)
{
	const struct pare_net_options opt = {.n_threads = 1, .max_batch = OC_ROWS, .training = true, .seed = 7};
	struct op_case as_case = {.op = c->op, .opset = c->opset > 0 ? c->opset : 13, .domain = c->domain, .attrs = c->attrs, .n_out = c->n_out};
	struct pare_net *net = NULL;
	struct pare_err err = {0};
	enum pare_code code;
	struct built t;

	memcpy(as_case.in, c->in, sizeof as_case.in);
	build(&as_case, &t);
	code = pare_net_new(gb_model(t.b), &opt, &net, &err);
	ck_assert_msg(code == c->code, "%s: code %d: %s", label(&as_case), (int)code, err.message);
	ck_assert_msg(strstr(err.message, c->says) != NULL, "%s: \"%s\" does not say \"%s\"", label(&as_case), err.message, c->says);
	ck_assert_msg(strstr(err.where, "node") != NULL && strstr(err.where, c->op) != NULL, "%s: where is \"%s\"", label(&as_case), err.where);
	gb_free(t.b);
}

struct gb *oc_build(const struct op_case *c)
{
	struct built t;

	build(c, &t);
	return t.b;
}

const char *oc_row_lacks(const struct pare_op *op, const struct op_case_table *tables, size_t n)
{
	bool has_gradient = op->no_gradient != NULL, has_values = false, has_ties = false;

	for (size_t i = 0; i < n; i++)
		for (size_t k = 0; k < tables[i].n; k++) {
			const struct op_case *c = &tables[i].cases[k];

			if (pare_op_find(c->domain != NULL ? c->domain : "", c->op, c->opset) != op)
				continue;
			has_gradient |= c->gradient > 0;
			has_values |= c->want != NULL;
			has_ties |= c->ties != NULL;
		}
	return !has_gradient ? "a gradient case, or a reason why there is none" : !has_values ? "a case with values" : !has_ties ? "a couple case" : "";
}
