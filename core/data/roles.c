/* What a file or an array is for, told by the words in its name: "train-images-idx3-ubyte.gz", "x_train.npy", the form field
 * "train_x", the NPZ keys "X_test" and "input_ids_part3". A word is a run of letters and digits; case does not count; the first
 * word that says something wins. Names are only asked for the role: the format is told by the bytes.
 *
 * What is left of the name when the words for split and piece (and those of the IDX files' fixed names) are taken out tells
 * one input of a model from another, so it must come out the same for the training and the test file: "x_image_train" and
 * "test/x_image" both are "x_image". Without the words for the part, too, it is "image". */
#include "core/data/data_priv.h"

#include <string.h>
#include <strings.h>

#include "core/base/num.h"

enum word_kind { WORD_OTHER, WORD_GROUP, WORD_PART, WORD_NOISE };

static const struct word_row {
	const char *word;
	enum word_kind kind;
	int value;
} word_table[] = {
    {"train", WORD_GROUP, DATA_GROUP_TRAIN},
    {"training", WORD_GROUP, DATA_GROUP_TRAIN},
    {"t10k", WORD_GROUP, DATA_GROUP_TEST},
    {"test", WORD_GROUP, DATA_GROUP_TEST},
    {"val", WORD_GROUP, DATA_GROUP_VALIDATION},
    {"valid", WORD_GROUP, DATA_GROUP_VALIDATION},
    {"validation", WORD_GROUP, DATA_GROUP_VALIDATION},
    {"images", WORD_PART, DATA_PART_X},
    {"features", WORD_PART, DATA_PART_X},
    {"x", WORD_PART, DATA_PART_X},
    {"labels", WORD_PART, DATA_PART_Y},
    {"targets", WORD_PART, DATA_PART_Y},
    {"y", WORD_PART, DATA_PART_Y},
    {"idx1", WORD_NOISE, 0},
    {"idx2", WORD_NOISE, 0},
    {"idx3", WORD_NOISE, 0},
    {"idx4", WORD_NOISE, 0},
    {"ubyte", WORD_NOISE, 0},
};

static bool is_word_char(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

static const struct word_row *find_word(const char *s, size_t n)
{
	for (size_t i = 0; i < sizeof word_table / sizeof word_table[0]; i++)
		if (strlen(word_table[i].word) == n && strncasecmp(word_table[i].word, s, n) == 0)
			return &word_table[i];
	return NULL;
}

/* "part7", "part00012" */
static bool take_piece(const char *s, size_t n, struct data_role *r)
{
	int64_t piece;

	if (n < 5 || strncasecmp(s, "part", 4) != 0 || !pare_parse_i64(s + 4, n - 4, 0, 1000000, &piece))
		return false;
	r->piece = (int)piece;
	return true;
}

/* A word with the separators before it, which the first word does without. */
static void append(char out[DATA_NAME_MAX], const char *separators, const char *s, size_t n)
{
	size_t len = strlen(out), gap = len > 0 ? (size_t)(s - separators) : 0;

	if (n + gap >= DATA_NAME_MAX - len)
		return;
	memcpy(out + len, s - gap, n + gap);
	out[len + n + gap] = '\0';
}

static void take_word(struct data_role *r, const char *separators, const char *s, size_t n)
{
	const struct word_row *w = find_word(s, n);
	enum word_kind kind = w != NULL ? w->kind : WORD_OTHER;

	if (take_piece(s, n, r))
		return;
	if (kind == WORD_GROUP && r->group == DATA_GROUP_NONE)
		r->group = (enum data_group)w->value;
	if (kind == WORD_PART && r->part == DATA_PART_NONE)
		r->part = (enum data_part)w->value;
	if (kind == WORD_OTHER || kind == WORD_PART)
		append(r->name, separators, s, n);
	if (kind == WORD_OTHER)
		append(r->bare, separators, s, n);
}

static size_t without_extension(const char *s)
{
	static const char *const extensions[] = {".gz", ".npy", ".npz", ".csv", ".bin"};
	size_t n = strlen(s);

	for (size_t i = 0; i < sizeof extensions / sizeof extensions[0]; i++) {
		size_t k = strlen(extensions[i]);

		if (n > k && strncasecmp(s + n - k, extensions[i], k) == 0)
			n -= k;
	}
	return n;
}

void data_role_read(const char *name, struct data_role *out)
{
	const char *end = name + without_extension(name), *separators = name;

	*out = (struct data_role){.piece = -1};
	for (const char *s = name; s < end;) {
		size_t n = 0;

		while (s + n < end && is_word_char(s[n]))
			n++;
		if (n > 0) {
			take_word(out, separators, s, n);
			separators = s + n;
		}
		s += n > 0 ? n : 1;
	}
}

void data_role_plain(const char *name, struct data_role *out)
{
	*out = (struct data_role){.piece = -1};
	append(out->name, name, name, strlen(name));
	append(out->bare, name, name, strlen(name));
}

void data_role_complete(struct data_role *member, const struct data_role *file)
{
	if (member->group == DATA_GROUP_NONE)
		member->group = file->group;
	if (member->part == DATA_PART_NONE)
		member->part = file->part;
	if (member->piece < 0)
		member->piece = file->piece;
}
