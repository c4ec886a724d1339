/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "engines/postgres/wal_name.h"

#include <stddef.h>
#include <stdio.h>
#include <string.h>

#define PART_CHARS 8
#define SEGMENT_MIN_BYTES (UINT64_C(1) << 20)
#define SEGMENT_MAX_BYTES (UINT64_C(1) << 30)

bool still_pg_wal_segment_bytes_valid(uint64_t bytes)
{
	return bytes >= SEGMENT_MIN_BYTES && bytes <= SEGMENT_MAX_BYTES &&
	    (bytes & (bytes - 1)) == 0;
}

/* How many segments 4 GiB hold. */
static uint32_t per_log(uint32_t segment_bytes)
{
	return (uint32_t) ((UINT64_C(1) << 32) / segment_bytes);
}

void still_pg_wal_name(const struct still_pg_wal_segment *segment,
    uint32_t segment_bytes, char ret_name[STILL_PG_WAL_NAME_CHARS + 1])
{
	uint32_t n = per_log(segment_bytes);

	snprintf(ret_name, STILL_PG_WAL_NAME_CHARS + 1,
	    "%08" PRIX32 "%08" PRIX32 "%08" PRIX32, segment->timeline,
	    (uint32_t) (segment->number / n), (uint32_t) (segment->number % n));
}

/* One to eight hexadecimal digits; uppercase ones only, unless `any_case`.
 * How many there were; 0 when there are none, or more. */
static size_t parse_hex(const char *text, bool any_case, uint32_t *ret)
{
	static const char digits[] = "0123456789ABCDEF";
	uint32_t value = 0;
	size_t n;

	for (n = 0; text[n]; n++) {
		char c = text[n];
		const char *at;

		if (any_case && c >= 'a' && c <= 'f')
			c = (char) (c - 'a' + 'A');
		at = strchr(digits, c);
		if (!at)
			break;
		if (n == PART_CHARS)
			return 0;
		value = value << 4 | (uint32_t) (at - digits);
	}
	*ret = value;
	return n;
}

bool still_pg_wal_name_parse(
    const char *name, uint32_t segment_bytes, struct still_pg_wal_segment *ret)
{
	uint32_t n = per_log(segment_bytes);
	uint32_t parts[3];

	if (strlen(name) != STILL_PG_WAL_NAME_CHARS)
		return false;
	for (size_t i = 0; i < 3; i++) {
		char part[PART_CHARS + 1] = "";

		memcpy(part, name + i * PART_CHARS, PART_CHARS);
		if (parse_hex(part, false, &parts[i]) != PART_CHARS)
			return false;
	}
	if (parts[0] == 0 || parts[2] >= n)
		return false;
	ret->timeline = parts[0];
	ret->number = (uint64_t) parts[1] * n + parts[2];
	return true;
}

bool still_pg_lsn_parse(const char *text, uint64_t *ret_lsn)
{
	uint32_t high;
	uint32_t low;
	size_t n = parse_hex(text, true, &high);

	if (n == 0 || text[n] != '/')
		return false;
	text += n + 1;
	n = parse_hex(text, true, &low);
	if (n == 0 || text[n] != '\0')
		return false;
	*ret_lsn = (uint64_t) high << 32 | low;
	return true;
}
