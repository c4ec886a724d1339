/* SPDX-License-Identifier: MIT */
/*
 * crc32c: CRC-32C (Castagnoli: the polynomial 0x1EDC6F41, reflected), as
 * iSCSI, ext4 and PostgreSQL compute it.
 *
 * The running value is the plain state of the register. It begins as
 * STILL_CRC32C_INIT and is inverted at the end; both are the caller's to do:
 *
 *	uint32_t crc = STILL_CRC32C_INIT;
 *
 *	crc = still_crc32c(crc, first, first_len);
 *	crc = still_crc32c(crc, second, second_len);
 *	crc = still_crc32c_end(crc);
 *
 * which is what PostgreSQL's INIT_CRC32C, COMP_CRC32C and FIN_CRC32C do. The
 * CRC of "123456789" is 0xe3069283.
 *
 * Threads: any. Does not block.
 */
#ifndef STILL_BASE_CRC32C_H
#define STILL_BASE_CRC32C_H

#include <stddef.h>
#include <stdint.h>

#define STILL_CRC32C_INIT UINT32_C(0xffffffff)

/* Continue `crc` over `len` bytes. */
uint32_t still_crc32c(uint32_t crc, const void *data, size_t len);

static inline uint32_t still_crc32c_end(uint32_t crc)
{
	return crc ^ UINT32_C(0xffffffff);
}

#endif
