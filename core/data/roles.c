/* What a file is for, told by the words in its name: "train-images-idx3-ubyte.gz", "x_train.npy", the form field
 * "train_x", the NPZ key "X_test". A word is a run of letters and digits; case does not count; the first word that says
 * something wins. Names are only asked for the role: the format is told by the bytes. */
#include "core/data/data_priv.h"

#include <string.h>
#include <strings.h>

static const struct word_row {
	const char *word;
	enum data_group group;
	enum data_part part;
} word_table[] = {
    {"train", DATA_GROUP_TRAIN, DATA_PART_NONE},
    {"training", DATA_GROUP_TRAIN, DATA_PART_NONE},
    {"t10k", DATA_GROUP_TEST, DATA_PART_NONE},
    {"test", DATA_GROUP_TEST, DATA_PART_NONE},
    {"val", DATA_GROUP_VALIDATION, DATA_PART_NONE},
    {"valid", DATA_GROUP_VALIDATION, DATA_PART_NONE},
    {"validation", DATA_GROUP_VALIDATION, DATA_PART_NONE},
    {"images", DATA_GROUP_NONE, DATA_PART_X},
    {"features", DATA_GROUP_NONE, DATA_PART_X},
    {"x", DATA_GROUP_NONE, DATA_PART_X},
    {"labels", DATA_GROUP_NONE, DATA_PART_Y},
    {"targets", DATA_GROUP_NONE, DATA_PART_Y},
    {"y", DATA_GROUP_NONE, DATA_PART_Y},
};

static bool is_word_char(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

static void take_word(const char *s, size_t n, enum data_group *group, enum data_part *part)
{
	for (size_t i = 0; i < sizeof word_table / sizeof word_table[0]; i++) {
		const struct word_row *w = &word_table[i];

		if (strlen(w->word) != n || strncasecmp(w->word, s, n) != 0)
			continue;
		if (*group == DATA_GROUP_NONE)
			*group = w->group;
		if (*part == DATA_PART_NONE)
			*part = w->part;
	}
}

void data_role(const char *name, enum data_group *group, enum data_part *part)
{
	const char *slash = strrchr(name, '/');
	const char *s = slash != NULL ? slash + 1 : name;

	while (*s != '\0') {
		size_t n = 0;

		while (is_word_char(s[n]))
			n++;
		take_word(s, n, group, part);
		s += n > 0 ? n : 1;
	}
}
