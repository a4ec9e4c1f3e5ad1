/* SPDX-License-Identifier: MIT */
/* CRC by eight tables ("slicing by 8", Kounavis and Berry 2005); one code for 32 and 64 bits, as a reflected sum keeps to its low bits. */
#include "crc.h"

static const struct { uint64_t poly, mask; } kinds[] = {
	[JTI_CRC32] = { 0xedb88320u, UINT32_MAX },
	[JTI_CRC32C] = { 0x82f63b78u, UINT32_MAX },
	[JTI_CRC64NVME] = { 0x9a6c9329ac4bc9b5u, UINT64_MAX },
};

static uint64_t entry(uint64_t v, uint64_t poly)
{
	for (int bit = 0; bit < 8; bit++)
		v = v & 1 ? v >> 1 ^ poly : v >> 1;
	return v;
}

void jti_crc_init(struct jti_crc *c, enum jti_crc_kind kind)
{
	c->mask = c->value = kinds[kind].mask;
	for (unsigned i = 0; i < 256; i++)
		c->table[0][i] = entry(i, kinds[kind].poly);
	for (unsigned i = 0; i < 256; i++)
		for (int slice = 1; slice < 8; slice++)
			c->table[slice][i] = c->table[slice - 1][i] >> 8 ^ c->table[0][c->table[slice - 1][i] & 0xff];
}

static uint64_t little_endian(const unsigned char *p)
{
	uint64_t v = 0;

	for (int i = 7; i >= 0; i--)
		v = v << 8 | p[i];
	return v;
}

void jti_crc_add(struct jti_crc *c, const void *data, size_t len)
{
	const unsigned char *p = data;
	uint64_t v = c->value;

	for (; len >= 8; p += 8, len -= 8) {
		v ^= little_endian(p);
		v = c->table[7][v & 0xff] ^ c->table[6][v >> 8 & 0xff] ^ c->table[5][v >> 16 & 0xff] ^ c->table[4][v >> 24 & 0xff] ^
		    c->table[3][v >> 32 & 0xff] ^ c->table[2][v >> 40 & 0xff] ^ c->table[1][v >> 48 & 0xff] ^ c->table[0][v >> 56];
	}
	for (; len > 0; p++, len--)
		v = v >> 8 ^ c->table[0][(v ^ *p) & 0xff];
	c->value = v;
}

uint64_t jti_crc_value(const struct jti_crc *c)
{
	return c->value ^ c->mask;
}
