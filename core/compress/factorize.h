/* Layers as products of smaller ones: a weight w ~ left right of rank r, by the truncated singular value decomposition.
 *
 *   MatMul, Gemm   x w + b becomes (x left) right + b
 *   Conv           k x k from c to n channels becomes k x k from c to r channels, with the strides and pads that were, and 1 x 1 from r to n:
 *                  the weight as a matrix of n x (c k k)
 *   Conv, Tucker   1 x 1 from c to q channels, k x k from q to r, 1 x 1 from r to n: the k x k of the form above is split once more, along its inputs
 *
 * In two factors a layer of m n multiplications at every position becomes one of r (m + n), so a rank is only taken where that is less; all other layers
 * stay as they are. The second factor keeps the node, the name of the weight and the bias; the first is a node in front of it.
 *
 * Source: Denton et al. 2014, arXiv:1404.0736; Zhang et al. 2016, arXiv:1505.06798 (convolutions by output channels);
 * Kim et al. 2016, arXiv:1511.06530 (Tucker-2); Vannieuwenhoven et al. 2012 (one mode after the other). */
#ifndef PARE_COMPRESS_FACTORIZE_H
#define PARE_COMPRESS_FACTORIZE_H

#include <stdatomic.h>

#include "core/graph/graph.h"
#include "core/graph/rewrite.h"
#include "core/prune/prune.h"

enum pare_factor_by {
	PARE_FACTOR_RANK,   /* amount: the rank, or that of the matrix if it is less */
	PARE_FACTOR_ENERGY, /* the share of the squares of the singular values that is kept */
	PARE_FACTOR_RATIO   /* the share of the multiplications that is kept; the rank is rounded down, to no less than 1 */
};

struct pare_factorize_options {
	enum pare_factor_by by;
	double amount;
	bool global;  /* amount (energy or ratio) is of all layers together, and singular values divide it among them */
	bool by_macs; /* then: ratio is of multiplications, not of weights; positions of the layers are set */
	bool tucker; /* convolutions with a window of more than one element, in three factors; energy and ratio are of all three, rank is of both */
	struct pare_prune_options names; /* exclude, n_exclude: initializers or nodes that stay as they are */
	const atomic_bool *cancel;       /* NULL: never */
};

/* A layer and its matrix; names live as long as the model. */
struct pare_factor {
	int32_t node, weight;  /* of the graph */
	bool conv, transposed; /* transposed: the weight stands as outputs x inputs */
	int64_t rows, cols;    /* of the matrix, as the weight stands */
	int64_t rank;          /* 0: not factorized, as no rank that was asked for makes it cheaper */
	int64_t inputs;        /* of a convolution in three factors: q; else 0 */
	double energy;         /* share of the squares that is kept */
	double positions;      /* set by the caller for by_macs: how often a row multiplies with the whole matrix */
	double share;          /* of scope global: of the layer's cost that it may keep; 1: it stays whole */
};

/* The layers that could be factorized: their weight is a float initializer that nothing else reads. *out is pare_free'd by the caller; may be none. */
PARE_MUST_USE enum pare_code pare_factorize_find(const struct pare_model *m, const struct pare_factorize_options *opt, struct pare_factor **out, int *out_n,
    struct pare_err *err);
/* What can be told of any weights that the model may get and of any structures that it may lose: PARE_E_INVALID when no layer can get cheaper. */
PARE_MUST_USE enum pare_code pare_factorize_check(const struct pare_model *m, const struct pare_factorize_options *opt, struct pare_err *err);
/* Decides the ranks and gives the changed graph; *out is pare_rewrite_done by the caller in any case. PARE_E_INVALID when no layer gets cheaper,
 * PARE_E_NONFINITE names a weight with NaN or infinity, PARE_E_CANCELED. */
PARE_MUST_USE enum pare_code pare_factorize(const struct pare_model *m, const struct pare_factorize_options *opt, struct pare_factor *layers, int n,
    struct pare_rewrite *out, struct pare_err *err);

#endif
