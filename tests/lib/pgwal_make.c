/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "tests/lib/pgwal_make.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

/* Bit by bit, so that two implementations of the CRC meet in the tests. */
static uint32_t crc_add(uint32_t crc, const uint8_t *p, size_t len)
{
	while (len-- > 0) {
		crc ^= *p++;
		for (int bit = 0; bit < 8; bit++)
			crc = crc >> 1 ^ (crc & 1 ? UINT32_C(0x82f63b78) : 0);
	}
	return crc;
}

static void put_crc(uint8_t *record, uint32_t total_bytes)
{
	uint32_t crc = UINT32_C(0xffffffff);

	crc = crc_add(crc, record + 24, total_bytes - 24);
	crc = ~crc_add(crc, record, 20);
	memcpy(record + 20, &crc, 4);
}

/* ---- bodies -------------------------------------------------------------- */

void pgwal_body_add(struct pgwal_body *body, const void *data, size_t len)
{
	assert(body->len + len <= sizeof(body->bytes));
	memcpy(body->bytes + body->len, data, len);
	body->len += len;
}

void pgwal_body_block(
    struct pgwal_body *body, unsigned major, const struct pgwal_block *block)
{
	uint8_t compressed = major < 15 ? 0x02 : 0x1c;

	pgwal_body_add(body, &block->id, 1);
	pgwal_body_add(body, &block->flags, 1);
	pgwal_body_add(body, &block->data_bytes, 2);
	body->n_payload += block->data_bytes;
	if (block->flags & 0x10) {
		pgwal_body_add(body, &block->image_bytes, 2);
		pgwal_body_add(body, &block->hole_offset, 2);
		pgwal_body_add(body, &block->image_info, 1);
		if (block->image_info & 0x01 && block->image_info & compressed)
			pgwal_body_add(body, &block->hole_bytes, 2);
		body->n_payload += block->image_bytes;
	}
	if (!(block->flags & 0x80)) {
		pgwal_body_add(body, &block->tablespace, 4);
		pgwal_body_add(body, &block->database, 4);
		pgwal_body_add(body, &block->relation, 4);
	}
	pgwal_body_add(body, &block->block, 4);
}

void pgwal_body_data(struct pgwal_body *body, uint32_t len)
{
	uint8_t short_head[2] = {255, (uint8_t) len};
	uint8_t id = 254;

	if (len < 256) {
		pgwal_body_add(body, short_head, 2);
	} else {
		pgwal_body_add(body, &id, 1);
		pgwal_body_add(body, &len, 4);
	}
	body->n_payload += len;
}

/* ---- pages --------------------------------------------------------------- */

uint8_t *pgwal_make_at(const struct pgwal_make *make, uint64_t lsn)
{
	uint64_t first = make->first_segment * make->format.segment_bytes;

	assert(lsn >= first &&
	    lsn < first + make->n_segments * make->format.segment_bytes);
	return make->bytes + (lsn - first);
}

static uint32_t put_head(
    struct pgwal_make *make, uint64_t lsn, uint16_t flags, uint32_t rest_bytes)
{
	const struct still_pg_wal_format *format = &make->format;
	bool begins = lsn % format->segment_bytes == 0;
	uint8_t *p = pgwal_make_at(make, lsn);

	flags = (uint16_t) (flags | (begins ? 2 : 0));
	memset(p, 0, begins ? 40 : 24);
	memcpy(p, &format->page_magic, 2);
	memcpy(p + 2, &flags, 2);
	memcpy(p + 4, &format->timeline, 4);
	memcpy(p + 8, &lsn, 8);
	memcpy(p + 16, &rest_bytes, 4);
	if (begins) {
		memcpy(p + 24, &format->system_identifier, 8);
		memcpy(p + 32, &format->segment_bytes, 4);
		memcpy(p + 36, &format->page_bytes, 4);
	}
	return begins ? 40 : 24;
}

/* Put a record where `at` is, with what pages it needs. */
static uint64_t put(
    struct pgwal_make *make, const uint8_t *record, uint32_t len)
{
	uint32_t page_bytes = make->format.page_bytes;
	uint32_t done = 0;
	uint64_t lsn;

	if (make->at % page_bytes == 0)
		make->at += put_head(make, make->at, 0, 0);
	lsn = make->at;
	while (done < len) {
		uint32_t n = page_bytes - (uint32_t) (make->at % page_bytes);

		if (make->at % page_bytes == 0) {
			uint32_t head = put_head(make, make->at, 1, len - done);

			make->at += head;
			n -= head;
		}
		if (n > len - done)
			n = len - done;
		memcpy(pgwal_make_at(make, make->at), record + done, n);
		done += n;
		make->at += n;
	}
	make->at = (make->at + 7) / 8 * 8;
	return lsn;
}

void pgwal_make_init(struct pgwal_make *make, unsigned major,
    uint32_t page_bytes, size_t n_segments, uint64_t lsn)
{
	static const uint16_t magics[] = {
	    0xd106, 0xd10d, 0xd110, 0xd113, 0xd116};
	uint64_t off = lsn % page_bytes;

	memset(make, 0, sizeof(*make));
	make->format = (struct still_pg_wal_format){
	    .major = major,
	    .page_magic = magics[major - 13],
	    .page_bytes = page_bytes,
	    .segment_bytes = PGWAL_SEGMENT_BYTES,
	    .block_bytes = 8192,
	    .timeline = 3,
	    .system_identifier = PGWAL_SYSTEM,
	};
	make->first_segment = lsn / PGWAL_SEGMENT_BYTES;
	make->n_segments = n_segments;
	/* Most of it is never touched. */
	make->bytes = mmap(NULL, n_segments * PGWAL_SEGMENT_BYTES,
	    PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	make->segment_lens = calloc(n_segments, sizeof(size_t));
	assert(make->bytes != MAP_FAILED && make->segment_lens);
	for (size_t i = 0; i < n_segments; i++)
		make->segment_lens[i] = PGWAL_SEGMENT_BYTES;
	make->missing_segment = SIZE_MAX;
	make->previous = lsn - 64;
	make->at = lsn;
	if (off != 0)
		put_head(make, lsn - off, 0, 0);
	else
		make->at += put_head(make, lsn, 0, 0);
	make->start = make->at;
}

void pgwal_make_release(struct pgwal_make *make)
{
	munmap(make->bytes, make->n_segments * PGWAL_SEGMENT_BYTES);
	free(make->segment_lens);
}

/* ---- records ------------------------------------------------------------- */

uint64_t pgwal_make_record(struct pgwal_make *make, uint8_t rmgr, uint8_t info,
    const struct pgwal_body *body)
{
	size_t body_len = body ? body->len + body->n_payload : 0;
	uint32_t total = (uint32_t) (24 + body_len);
	uint8_t *record = calloc(1, total);
	uint32_t transaction = 700;
	uint64_t lsn;

	assert(record);
	memcpy(record, &total, 4);
	memcpy(record + 4, &transaction, 4);
	memcpy(record + 8, &make->previous, 8);
	record[16] = info;
	record[17] = rmgr;
	if (body) {
		memcpy(record + 24, body->bytes, body->len);
		/* No byte of it looks like the end of the WAL. */
		for (size_t i = 24 + body->len; i < total; i++)
			record[i] = (uint8_t) (1 + (i * 7 + total) % 255);
	}
	put_crc(record, total);
	lsn = put(make, record, total);
	make->previous = lsn;
	free(record);
	return lsn;
}

uint64_t pgwal_make_plain(struct pgwal_make *make, uint32_t total_bytes)
{
	struct pgwal_body body = {.len = 0};

	assert(total_bytes == 24 || total_bytes > 26);
	/* Lengths 282 to 284 need the long form of the header. */
	if (total_bytes == 24)
		return pgwal_make_record(make, 10, 0x80, NULL);
	if (total_bytes < 26 + 256) {
		pgwal_body_data(&body, total_bytes - 26);
	} else {
		uint32_t len = total_bytes - 29;
		uint8_t id = 254;

		pgwal_body_add(&body, &id, 1);
		pgwal_body_add(&body, &len, 4);
		body.n_payload = len;
	}
	return pgwal_make_record(make, 10, 0x80, &body);
}

uint64_t pgwal_make_switch(struct pgwal_make *make)
{
	uint64_t lsn = pgwal_make_record(make, 0, 0x40, NULL);
	uint32_t page_bytes = make->format.page_bytes;

	/* The server fills what is left with pages that have headers only. */
	make->at += -make->at % page_bytes;
	for (; make->at % PGWAL_SEGMENT_BYTES != 0; make->at += page_bytes)
		put_head(make, make->at, 0, 0);
	return lsn;
}

void pgwal_make_cut(struct pgwal_make *make, uint64_t record_lsn,
    uint64_t previous, uint64_t page_lsn, uint64_t named)
{
	struct pgwal_body body = {.len = 0};
	uint8_t data[18] = {255, 16};
	uint64_t end = (make->at + make->format.page_bytes - 1) /
	    make->format.page_bytes * make->format.page_bytes;

	assert(record_lsn < page_lsn && page_lsn < make->at);
	for (uint64_t lsn = page_lsn; lsn < end; lsn++)
		*pgwal_make_at(make, lsn) = 0;
	make->at = page_lsn + put_head(make, page_lsn, 8, 0);
	make->previous = previous;
	memcpy(data + 2, &named, 8);
	pgwal_body_add(&body, data, sizeof(data));
	pgwal_make_record(make, 0, 0xd0, &body);
}

void pgwal_make_crc(struct pgwal_make *make, uint64_t lsn)
{
	uint8_t *record = pgwal_make_at(make, lsn);
	uint32_t total;

	memcpy(&total, record, 4);
	put_crc(record, total);
}

ssize_t pgwal_make_read(void *arg, uint64_t segment, uint32_t off_bytes,
    void *data, size_t len, struct still_error *err)
{
	const struct pgwal_make *make = arg;
	size_t i = segment - make->first_segment;
	size_t have;

	(void) err;
	if (segment < make->first_segment || i >= make->n_segments ||
	    i == make->missing_segment)
		return STILL_ERR_NOTFOUND;
	have = make->segment_lens[i];
	if (off_bytes >= have)
		return 0;
	if (len > have - off_bytes)
		len = have - off_bytes;
	memcpy(data, make->bytes + i * PGWAL_SEGMENT_BYTES + off_bytes, len);
	return (ssize_t) len;
}
