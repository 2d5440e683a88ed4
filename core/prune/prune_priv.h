/* Shared by the files of core/prune. */
#ifndef PARE_PRUNE_PRUNE_PRIV_H
#define PARE_PRUNE_PRUNE_PRIV_H

#include <string.h>

#include "core/prune/prune.h"

#define PARE_SAMPLE_RUN ((size_t)32) /* scores at the beginning of each block that are its sample */

/* Selection by counting, fed in pieces: twice the same scores, in any cut and order. See select.c. Zero-initialise. */
#define PARE_RADIX_BUCKETS 65536u
struct pare_radix {
	uint64_t count[PARE_RADIX_BUCKETS];
	size_t k, rank; /* asked for; left within the bucket */
	uint32_t high;
};
void pare_radix_first(struct pare_radix *r, const float *scores, size_t n);
/* Between the passes: rank k (0-based, less than the number of scores fed) is the one that is wanted. */
void pare_radix_turn(struct pare_radix *r, size_t k);
void pare_radix_second(struct pare_radix *r, const float *scores, size_t n);
/* The score of rank k, and how many of all scores are less than it. */
float pare_radix_value(struct pare_radix *r, size_t *out_below);

/* The same in one pass, where a sample tells nearly what the score is: those that may be it are set aside, the others only counted.
 * Zero-initialise. */
struct pare_bracket {
	float lo, hi;
	size_t n_below, n_in, room; /* less than lo; from lo to hi, which stand in `in` unless they are more than there is room for */
	float *in;
};
/* From n scores of n_all, one as likely as another, for rank k of all. False: they do not tell, or there is no memory. */
bool pare_bracket_set(struct pare_bracket *b, const float *sample, size_t n, size_t k, size_t n_all);
/* Another one with the same bounds, for some of the scores; false: no memory. And what it has found, into the one for all. */
bool pare_bracket_part(const struct pare_bracket *b, struct pare_bracket *out);
void pare_bracket_join(struct pare_bracket *b, const struct pare_bracket *part);
/* Of n floats those bits are the scores: all of them, or all but the sign. */
#define PARE_SCORE_ALL 0xffffffffu
#define PARE_SCORE_SIZE 0x7fffffffu
void pare_bracket_add(struct pare_bracket *b, const float *x, uint32_t bits, size_t n);
static inline float pare_score_of(float x, uint32_t bits)
{
	uint32_t u;

	memcpy(&u, &x, sizeof u);
	u &= bits;
	memcpy(&x, &u, sizeof x);
	return x;
}
/* As pare_radix_value for rank k, once all have been added; false: it is another one. */
bool pare_bracket_value(const struct pare_bracket *b, size_t k, float *out, size_t *out_below);
void pare_bracket_done(struct pare_bracket *b);

/* One call of pare_prune, or what a thread does of it. */
struct pare_round {
	struct pare_tensors *t;
	const struct pare_prune_options *opt;
	struct pare_radix *radix;
	struct pare_bracket bracket;
	float *scores;   /* by place (offset), where the criterion has score_tensor */
	size_t from, to; /* blocks that begin there, counted in the weights of the group */
	size_t n_masked; /* of the group, before this round */
	bool unchecked;  /* that weights are finite is seen while they are ranked */
	bool nonfinite;  /* one is not, */
	struct pare_err *err; /* which is to be told */
	float limit;     /* below it goes, */
	size_t n_ties;   /* and so many that equal it */
};

/* The largest target of tensors [first, end), in elements. */
size_t pare_prune_largest(const struct pare_round *r, int first, int end);
/* Scores of n weights of tensor p from first on (a block, see PARE_SCORE_BLOCK), -INFINITY where masked. */
void pare_prune_scores(const struct pare_round *r, int p, size_t first, size_t n, float *score);
/* The least float that is not less than x: score < x for a double x, and score < pare_prune_ceil(x), mean the same. */
float pare_prune_ceil(double x);
/* pattern.c: a round by units other than single weights, over tensors [first, end). */
PARE_MUST_USE enum pare_code pare_prune_pattern(struct pare_round *r, int first, int end, struct pare_err *err);
PARE_MUST_USE enum pare_code pare_prune_blocks(struct pare_round *r, int first, int end, struct pare_err *err);

#endif
