/* SPDX-License-Identifier: MIT */
/*
 * Bytes as global/pg_control, in three ways: as they are; with zeros up to the
 * size of the file; and so, with a right CRC. What is accepted has that CRC, as
 * it is computed here, and values that can be; protecting it changes the place
 * of the checkpoint and the CRC, and nothing else.
 */
#include "config.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "engines/postgres/control.h"

#define LEN STILL_PG_CONTROL_BYTES
#define CHECK_POINT_AT 32 /* of all versions that we know */
#define CRC_AT 288

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static void must(bool it)
{
	if (!it)
		abort();
}

/* Bit by bit, as the definition has it. */
static uint32_t crc_of(const uint8_t *data)
{
	uint32_t crc = UINT32_MAX;

	for (size_t i = 0; i < CRC_AT; i++) {
		crc ^= data[i];
		for (int bit = 0; bit < 8; bit++)
			crc = crc >> 1 ^ (crc & 1 ? 0x82f63b78 : 0);
	}
	return ~crc;
}

static bool is_power(uint32_t value, uint32_t min, uint32_t max)
{
	return value >= min && value <= max && (value & (value - 1)) == 0;
}

static void judge(const struct still_pg_control *control)
{
	must(control->version == 1300 || control->version == 1700);
	must((unsigned) control->state < STILL_PG_STATE_COUNT);
	must(control->block_bytes == 8192);
	must(control->segment_blocks > 0);
	must(is_power(control->wal_block_bytes, 1 << 10, 1 << 16));
	must(is_power(control->wal_segment_bytes, 1 << 20, 1 << 30));
}

static void judge_protected(const uint8_t *data)
{
	struct still_error err = STILL_ERROR_INIT;
	struct still_pg_control control;
	uint8_t copy[LEN];

	memcpy(copy, data, LEN);
	must(still_pg_control_protect(copy, LEN, &err) == 0);
	must(still_pg_control_parse(copy, LEN, &control, &err) == 0);
	must(control.check_point_lsn == STILL_PG_CONTROL_NOWHERE);
	memcpy(copy + CHECK_POINT_AT, data + CHECK_POINT_AT, 8);
	memcpy(copy + CRC_AT, data + CRC_AT, 4);
	must(memcmp(copy, data, LEN) == 0);
}

static void parse(const uint8_t *data, size_t len)
{
	struct still_error err = STILL_ERROR_INIT;
	struct still_pg_control control;
	uint32_t crc;

	if (still_pg_control_parse(data, len, &control, &err) == 0) {
		must(len == LEN);
		memcpy(&crc, data + CRC_AT, sizeof(crc));
		must(crc == crc_of(data));
		judge(&control);
		judge_protected(data);
	}
	still_error_clear(&err);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	uint8_t whole[LEN] = {0};
	uint32_t crc;

	parse(data, len);
	if (len > 0)
		memcpy(whole, data, len < LEN ? len : LEN);
	parse(whole, LEN);
	crc = crc_of(whole);
	memcpy(whole + CRC_AT, &crc, sizeof(crc));
	parse(whole, LEN);
	return 0;
}
