/* SPDX-License-Identifier: MIT */
/* CRC - the reflected cyclic checks that states and servers use, eight bytes at a time. Its tables are in the caller's memory (16 KiB). */
#ifndef JOBTREE_CRC_H
#define JOBTREE_CRC_H

#include <stddef.h>
#include <stdint.h>

enum jti_crc_kind { JTI_CRC32, JTI_CRC32C, JTI_CRC64NVME };

struct jti_crc {
	uint64_t table[8][256];
	uint64_t value, mask;
};

void jti_crc_init(struct jti_crc *c, enum jti_crc_kind kind);
void jti_crc_add(struct jti_crc *c, const void *data, size_t len);
uint64_t jti_crc_value(const struct jti_crc *c);

#endif
