/* SPDX-License-Identifier: MIT */
/*
 * server_facts: what the headers of the installed PostgreSQL server say, as the
 * compiler understands them. In a file of its own, because those headers and
 * ours (and cmocka's) do not go together.
 */
#ifndef TESTS_LIB_SERVER_FACTS_H
#define TESTS_LIB_SERVER_FACTS_H

#include <stddef.h>
#include <stdint.h>

struct server_facts {
	int major;
	uint32_t control_version;
	uint16_t wal_magic;
	uint8_t image_compressed;
	uint8_t image_applied;
	size_t control_bytes;      /* of the struct */
	size_t control_file_bytes; /* of the file */
	size_t system_identifier, version, catalog_version, state, check_point,
	    redo, timeline, min_recovery_point, min_recovery_timeline,
	    max_align, float_format, block_bytes, segment_blocks,
	    wal_block_bytes, wal_segment_bytes, data_checksum_version, crc;
	int last_state; /* the greatest DBState */
	int production; /* DB_IN_PRODUCTION */
};

extern const struct server_facts server_facts;

#endif
