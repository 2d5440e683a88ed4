/* What a step does to weights besides the optimizer: shrink towards zero, clip. Each works on w[0..n) in place. */
#ifndef PARE_TRAIN_REGULARIZE_H
#define PARE_TRAIN_REGULARIZE_H

#include <stddef.h>

/* g += l2 * w: the gradient of (l2 / 2) sum w^2. */
void pare_add_decay(size_t n, float l2, const float *w, float *g);
/* w = sign(w) max(|w| - t, 0), t >= 0: the proximal operator of t * sum |w|. Never gives -0; NaN stays NaN. */
void pare_soft_threshold(size_t n, float t, float *w);
/* w = min(max(w, -bound), bound), bound > 0; NaN stays NaN. */
void pare_clip(size_t n, float bound, float *w);

#endif
