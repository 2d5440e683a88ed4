/* See rng.h. The purpose string is folded in by FNV-1a 64; splitmix64 then spreads it, as the generator's authors advise
 * for filling the state. */
#include "core/base/rng.h"

#include <math.h>

static uint64_t splitmix(uint64_t *x)
{
	uint64_t z = (*x += 0x9e3779b97f4a7c15u);

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
	return z ^ (z >> 31);
}

void pare_rng_init(struct pare_rng *r, uint64_t seed, const char *purpose, uint64_t index)
{
	uint64_t x = 0xcbf29ce484222325u;

	for (; *purpose != '\0'; purpose++)
		x = (x ^ (uint64_t)(unsigned char)*purpose) * 0x100000001b3u;
	x ^= splitmix(&seed);
	x += splitmix(&index);
	for (int i = 0; i < 4; i++)
		r->s[i] = splitmix(&x);
}

static uint64_t rotl(uint64_t x, int k)
{
	return (x << k) | (x >> (64 - k));
}

uint64_t pare_rng_u64(struct pare_rng *r)
{
	uint64_t *s = r->s;
	uint64_t result = rotl(s[1] * 5, 7) * 9;
	uint64_t t = s[1] << 17;

	s[2] ^= s[0];
	s[3] ^= s[1];
	s[1] ^= s[2];
	s[0] ^= s[3];
	s[2] ^= t;
	s[3] = rotl(s[3], 45);
	return result;
}

uint64_t pare_rng_below(struct pare_rng *r, uint64_t n)
{
	__extension__ typedef unsigned __int128 u128;
	u128 m = (u128)pare_rng_u64(r) * n;

	if ((uint64_t)m < n) {
		uint64_t floor = (0 - n) % n;

		while ((uint64_t)m < floor)
			m = (u128)pare_rng_u64(r) * n;
	}
	return (uint64_t)(m >> 64);
}

float pare_rng_uniform(struct pare_rng *r)
{
	return (float)(pare_rng_u64(r) >> 40) * 0x1p-24f;
}

double pare_rng_normal(struct pare_rng *r)
{
	double u = ((double)(pare_rng_u64(r) >> 11) + 1.0) * 0x1p-53; /* (0, 1]: log is finite */
	double v = (double)(pare_rng_u64(r) >> 11) * 0x1p-53;

	return sqrt(-2.0 * log(u)) * cos(6.283185307179586 * v);
}

void pare_rng_shuffle(struct pare_rng *r, uint32_t *idx, uint32_t n)
{
	for (uint32_t i = n; i > 1; i--) {
		uint32_t j = (uint32_t)pare_rng_below(r, i);
		uint32_t t = idx[i - 1];

		idx[i - 1] = idx[j];
		idx[j] = t;
	}
}
