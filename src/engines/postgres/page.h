/* SPDX-License-Identifier: MIT */
/*
 * page: one block of a relation's file, and whether it is whole.
 *
 * A block has 8192 bytes. Servers can be built with others, but the checksum's
 * algorithm, which is the server's own (storage/checksum_impl.h), is compiled
 * for one size; clusters with another are refused (control.h).
 *
 * PAGE HEADER, in the byte order of the machine (storage/bufpage.h):
 *	 0  8  LSN: end of the WAL record of the last change, high half first
 *	 8  2  checksum
 *	10  2  flags
 *	12  2  where free space begins
 *	14  2  where free space ends (pd_upper); 0 in a page that was never used
 *
 * RULES
 * 1. A page of zeros is whole: a relation is extended before it is filled.
 * 2. Any other page in which free space ends at 0 is damaged. The server refuses
 *    it as we do; pg_checksums and pg_basebackup take it for new, and say
 *    nothing.
 * 3. Any other page is whole when its checksum is right, if the cluster has
 *    checksums. The checksum covers the page with its own field taken as zero,
 *    and the number of the block within the relation and fork: of block i of
 *    file n of the relation, n * segment_blocks + i (segment_blocks is 131072
 *    unless the server was built otherwise). So a page in a wrong place fails.
 *
 * A page that fails may be caught in the middle of a write. That is for the
 * caller to judge.
 *
 * Pure functions; any thread, but see still_pg_page_checksum().
 */
#ifndef POSTGRES_PAGE_H
#define POSTGRES_PAGE_H

#include <stdbool.h>
#include <stdint.h>

#define STILL_PG_PAGE_BYTES 8192

/* What addresses of pages must be multiples of. */
#define STILL_PG_PAGE_ALIGN 8

enum still_pg_page_verdict {
	STILL_PG_PAGE_OK,
	STILL_PG_PAGE_ZERO,
	STILL_PG_PAGE_BAD_CHECKSUM,
	STILL_PG_PAGE_BAD_HEADER, /* free space ends at 0, but it is not zero */
};

/* The checksum that the page should have as block `block`. The page is aligned,
 * and not one of rules 1 and 2, which have none. Its own checksum field is zero
 * for a moment, so that no other thread may look at the page; then it is as
 * before. */
uint16_t still_pg_page_checksum(void *page, uint32_t block);

/*
 * Look at one page, aligned and the caller's own as above. `*ret_lsn` is set to
 * its LSN, 0 for a page of zeros; for one that is not whole it says nothing.
 * With `checksums` false rule 3 is left out: OK then means only "not evidently
 * damaged".
 */
enum still_pg_page_verdict still_pg_page_look(
    void *page, uint32_t block, bool checksums, uint64_t *ret_lsn);

/* The ways to compute it, so that tests can compare all of them. */
enum still_pg_page_way {
	STILL_PG_PAGE_PLAIN, /* what any machine of this kind can do */
	STILL_PG_PAGE_AVX2,
	STILL_PG_PAGE_WAYS
};

/* Does this machine have it? */
bool still_pg_page_has(enum still_pg_page_way way);

/* As still_pg_page_checksum(), by a way that this machine has. */
uint16_t still_pg_page_checksum_by(
    enum still_pg_page_way way, void *page, uint32_t block);

#endif
