/* SPDX-License-Identifier: MIT */
/*
 * note: what is remembered of a session for the one that builds on it, as JSON:
 *
 *	system_identifier  text: it has 64 bits
 *	timeline
 *	stop_lsn           where its WAL ends
 *	last_lsn           the last record of the segment in which that is
 *	slot               the permanent slot that keeps the WAL behind it
 *	slot_made          what tells that slot from a later one (slot.h)
 *
 * Pure functions; any thread.
 */
#ifndef POSTGRES_NOTE_H
#define POSTGRES_NOTE_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "engines/postgres/slot.h"

struct still_pg_note {
	uint64_t system_identifier;
	uint32_t timeline;
	uint64_t stop_lsn;
	uint64_t last_lsn;
	char slot[STILL_PG_SLOT_MAX];
	char slot_made[STILL_PG_SLOT_MADE_MAX];
};

/* The caller's; NULL without memory. */
json_t *still_pg_note_json(const struct still_pg_note *note);

/* False: it is no such note (NULL is none). */
bool still_pg_note_parse(const json_t *json, struct still_pg_note *ret);

/* A number of 64 bits as text, all of it. */
bool still_pg_text_u64(const char *text, uint64_t *ret);

#endif
