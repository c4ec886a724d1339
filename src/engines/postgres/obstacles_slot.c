/* SPDX-License-Identifier: MIT */
/* obstacles_slot: what of replication slots, and of that of incremental sessions,
 * is in the way, or should be known. */
#include "config.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "engines/postgres/obstacles.h"
#include "engines/postgres/wal_name.h"

#define TRUNCATE_HINT                                                          \
	"Commit with `--truncate`, or run `stillctl truncate`: that releases " \
	"what no session needs."

/* A freeze makes one for some seconds, or uses the permanent one. */
static bool needs_a_slot(
    const struct still_pg_facts *facts, enum still_pg_want want)
{
	return want == STILL_PG_WANT_FULL || want == STILL_PG_WANT_COPY ||
	    (want == STILL_PG_WANT_CHAIN &&
		facts->slot.state == STILL_PG_SLOT_NONE);
}

void still_pg_obstacles_of_slots(const struct still_pg_facts *facts,
    enum still_pg_want want, const char *object,
    struct still_pg_findings *findings)
{
	if (!needs_a_slot(facts, want))
		return;
	if (facts->max_slots == 0)
		still_pg_findings_add(findings, STILL_PG_ERROR,
		    STILL_ERR_UNSUPPORTED, object,
		    "Set `max_replication_slots` to 1 or more in "
		    "postgresql.conf and restart the server; a freeze needs "
		    "one for some seconds.",
		    "has no replication slots: max_replication_slots is 0");
	else if (facts->n_slots >= facts->max_slots)
		still_pg_findings_add(findings, STILL_PG_ERROR, STILL_ERR_AGAIN,
		    object,
		    "Raise `max_replication_slots` and restart the server, or "
		    "drop a slot that nobody uses (see pg_replication_slots).",
		    "has no free replication slot: all %" PRIu32 " are taken",
		    facts->max_slots);
}

static void look_at_leftover(const struct still_pg_slot *slot,
    const char *object, struct still_pg_findings *findings)
{
	char hint[256];

	snprintf(hint, sizeof(hint),
	    "Ask for them with `-o incremental`; or run as a superuser: "
	    "`SELECT pg_drop_replication_slot('%s');`.",
	    slot->name);
	still_pg_findings_add(findings, STILL_PG_WARNING, STILL_ERR_NOSPACE,
	    object, hint,
	    "keeps %" PRIu64
	    " bytes of WAL for incremental sessions, which nobody asks for",
	    still_pg_slot_held_bytes(slot));
}

void still_pg_obstacles_of_slot(const struct still_pg_slot *slot,
    enum still_pg_want want, struct still_pg_findings *findings)
{
	bool ours = slot->state != STILL_PG_SLOT_NONE &&
	    slot->state != STILL_PG_SLOT_FOREIGN;
	char *object = still_pg_findings_object(findings, "slot", slot->name);

	if (!object || want == STILL_PG_WANT_COPY) {
		free(object);
		return;
	}
	if (want == STILL_PG_WANT_FULL) {
		if (ours)
			look_at_leftover(slot, object, findings);
	} else if (slot->state == STILL_PG_SLOT_FOREIGN) {
		still_pg_findings_add(findings, STILL_PG_ERROR,
		    STILL_ERR_INVALID, object,
		    "Drop it, or rename what uses it: incremental sessions "
		    "need the name.",
		    "is no permanent physical one, and so not ours");
	} else if (slot->state == STILL_PG_SLOT_LOST) {
		still_pg_findings_add(findings, STILL_PG_WARNING,
		    STILL_ERR_BASE, object,
		    "Raise `max_slot_wal_keep_size`, and make a full session: "
		    "it makes the slot anew.",
		    "is lost: more WAL was written than max_slot_wal_keep_size "
		    "lets it keep");
	} else if (slot->state == STILL_PG_SLOT_UNRESERVED) {
		still_pg_findings_add(findings, STILL_PG_WARNING,
		    STILL_ERR_BASE, object,
		    "Raise `max_slot_wal_keep_size` and reload the server now, "
		    "or make a full session.",
		    "is lost at the next checkpoint: more WAL was written than "
		    "max_slot_wal_keep_size lets it keep");
	}
	free(object);
}

void still_pg_obstacles_tell_slot(
    const struct still_pg_slot *slot, struct still_pg_findings *findings)
{
	char *object = still_pg_findings_object(findings, "slot", slot->name);
	uint64_t held = still_pg_slot_held_bytes(slot);

	if (!object)
		return;
	if (slot->limit_bytes < 0)
		still_pg_findings_add(findings, STILL_PG_WARNING,
		    STILL_ERR_NOSPACE, object,
		    TRUNCATE_HINT " `max_slot_wal_keep_size` would limit it.",
		    "keeps %" PRIu64 " bytes of WAL, from " STILL_PG_LSN
		    " on, and nothing limits that",
		    held, STILL_PG_LSN_ARGS(slot->restart_lsn));
	else
		still_pg_findings_add(findings, STILL_PG_WARNING,
		    STILL_ERR_NOSPACE, object, TRUNCATE_HINT,
		    "keeps %" PRIu64 " bytes of WAL, from " STILL_PG_LSN
		    " on, and is lost when %" PRIu64
		    " more are written (max_slot_wal_keep_size)",
		    held, STILL_PG_LSN_ARGS(slot->restart_lsn),
		    slot->safe_bytes);
	free(object);
}
