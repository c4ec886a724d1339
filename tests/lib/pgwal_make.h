/* SPDX-License-Identifier: MIT */
/*
 * pgwal_make: WAL made in memory, as src/engines/postgres/wal_page.h and
 * wal_record.h tell of it; written apart from the code that reads it.
 */
#ifndef TESTS_LIB_PGWAL_MAKE_H
#define TESTS_LIB_PGWAL_MAKE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "engines/postgres/wal_walk.h"

#define PGWAL_SEGMENT_BYTES (1024 * 1024)
#define PGWAL_SYSTEM UINT64_C(7000000000000000001)

/* The body of a record: its headers, then `n_payload` bytes. */
struct pgwal_body {
	uint8_t bytes[2048];
	size_t len;
	size_t n_payload;
};

/* What pgwal_body_block() may be told. */
struct pgwal_block {
	uint8_t id;
	uint8_t flags; /* with the fork */
	uint32_t tablespace, database, relation;
	uint32_t block;
	uint16_t data_bytes;
	/* Where flags say 0x10. */
	uint16_t image_bytes, hole_offset, hole_bytes;
	uint8_t image_info;
};

void pgwal_body_add(struct pgwal_body *body, const void *data, size_t len);
void pgwal_body_block(
    struct pgwal_body *body, unsigned major, const struct pgwal_block *block);
void pgwal_body_data(struct pgwal_body *body, uint32_t len);

struct pgwal_make {
	struct still_pg_wal_format format;
	uint64_t first_segment;
	size_t n_segments;
	uint8_t *bytes;         /* of all segments, in their order */
	size_t *segment_lens;   /* how much of each there is */
	size_t missing_segment; /* counted from 0; SIZE_MAX: none */
	uint64_t at;            /* where the last record ends */
	uint64_t previous;
	uint64_t start; /* where the first record begins */
};

/* Begins at `lsn`, or behind the header of the page that begins there. */
void pgwal_make_init(struct pgwal_make *make, unsigned major,
    uint32_t page_bytes, size_t n_segments, uint64_t lsn);
void pgwal_make_release(struct pgwal_make *make);

/* The bytes at `lsn`. */
uint8_t *pgwal_make_at(const struct pgwal_make *make, uint64_t lsn);

/* Append a record; returns its LSN. */
uint64_t pgwal_make_record(struct pgwal_make *make, uint8_t rmgr, uint8_t info,
    const struct pgwal_body *body);

/* A record of `total_bytes` with nothing but main data. */
uint64_t pgwal_make_plain(struct pgwal_make *make, uint32_t total_bytes);

/* Switch to the next segment. */
uint64_t pgwal_make_switch(struct pgwal_make *make);

/* As after a crash that left the record, the last one, only on its first
 * pages: what it has from the page at `page_lsn` on is gone, and a record
 * that names `named` begins there. */
void pgwal_make_cut(struct pgwal_make *make, uint64_t record_lsn,
    uint64_t previous, uint64_t page_lsn, uint64_t named);

/* Put the right CRC into the record at `lsn`, which lies in one page. */
void pgwal_make_crc(struct pgwal_make *make, uint64_t lsn);

/* A still_pg_wal_read_fn; `arg` is the pgwal_make. */
ssize_t pgwal_make_read(void *arg, uint64_t segment, uint32_t off_bytes,
    void *data, size_t len, struct still_error *err);

#endif
