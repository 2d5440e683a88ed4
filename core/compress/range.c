/* The interval is [low, low + range) with range kept above 2^24, so that a probability of 16 bits always leaves both halves
 * something. low may carry into bytes that were already made; the last one and a run of 0xff behind it wait (cache, n_cached)
 * until it is known whether a carry comes.
 *
 * A probability moves by 1/4 of its error at first and by 1/128 in the end: small tensors have no time to learn slowly, and large ones
 * lose by jumping. It never gets nearer to 0 or 1 than the last step lets it, so no bit is impossible. */
#include "core/compress/range.h"

#define TOP ((uint32_t)1 << 24)
#define SHIFT_MAX 7

void pare_prob_reset(struct pare_prob *p, size_t n)
{
	for (size_t i = 0; i < n; i++)
		p[i] = (struct pare_prob){.zero = 32768};
}

static void learn(struct pare_prob *p, unsigned bit)
{
	int shift = 2;

	while (shift < SHIFT_MAX && p->n >= 1u << shift)
		shift++;
	if (p->n < 1u << SHIFT_MAX)
		p->n++;
	if (bit != 0)
		p->zero = (uint16_t)(p->zero - (p->zero >> shift));
	else
		p->zero = (uint16_t)(p->zero + ((65536u - p->zero) >> shift));
}

/* Between 1 and 65535. */
static uint32_t share(const struct pare_prob *p)
{
	return p->zero < 1 ? 1 : p->zero;
}

static void put_byte(struct pare_coder *c, uint8_t byte)
{
	(void)pare_buf_add(c->out, &byte, 1);
}

static void shift_low(struct pare_coder *c)
{
	if (c->low < 0xff000000u || c->low > UINT32_MAX) {
		uint8_t carry = (uint8_t)(c->low >> 32);

		for (uint8_t byte = c->cache; c->n_cached > 0; c->n_cached--, byte = 0xff)
			put_byte(c, (uint8_t)(byte + carry));
		c->cache = (uint8_t)(c->low >> 24);
	}
	c->n_cached++;
	c->low = (c->low & 0x00ffffffu) << 8;
}

static uint8_t take_byte(struct pare_coder *c)
{
	if (c->p < c->end)
		return *c->p++;
	c->overrun++;
	return 0;
}

void pare_encoder_init(struct pare_coder *c, struct pare_buf *out)
{
	*c = (struct pare_coder){.out = out, .range = UINT32_MAX, .n_cached = 1};
}

void pare_decoder_init(struct pare_coder *c, const uint8_t *p, size_t n)
{
	*c = (struct pare_coder){.p = p, .end = p + n, .range = UINT32_MAX};
	for (int i = 0; i < 5; i++) /* the first is always 0: nothing carries into it */
		c->code = c->code << 8 | take_byte(c);
}

unsigned pare_coder_bit(struct pare_coder *c, struct pare_prob *p, unsigned bit)
{
	uint32_t bound = (c->range >> 16) * share(p);

	if (c->out == NULL)
		bit = c->code >= bound;
	if (bit == 0) {
		c->range = bound;
	} else {
		c->low += bound;
		c->code -= bound;
		c->range -= bound;
	}
	learn(p, bit);
	while (c->range < TOP) {
		c->range <<= 8;
		if (c->out != NULL)
			shift_low(c);
		else
			c->code = c->code << 8 | take_byte(c);
	}
	return bit;
}

uint32_t pare_coder_tree(struct pare_coder *c, struct pare_prob *p, int n, uint32_t v)
{
	uint32_t node = 1;

	for (int i = n - 1; i >= 0; i--)
		node = node << 1 | pare_coder_bit(c, &p[node], v >> i & 1);
	return node - ((uint32_t)1 << n);
}

void pare_encoder_finish(struct pare_coder *c)
{
	for (int i = 0; i < 5; i++)
		shift_low(c);
}
