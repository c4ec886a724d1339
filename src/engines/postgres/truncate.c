/* SPDX-License-Identifier: MIT */
/* truncate: the WAL that the permanent slot keeps is released up to where a
 * session ended; the segment that it ended in stays. */
#include "config.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "engines/postgres/instance.h"
#include "engines/postgres/note.h"
#include "engines/postgres/wal_name.h"

static int not_ours(const struct still_pg_note *note,
    const struct still_base *base, const char *what, struct still_error *err)
{
	return still_error_set(err, STILL_ERR_LOST, 0,
	    "Nothing is left to release. Make a full session: it makes the "
	    "slot anew.",
	    "slot `%s`: %s since session %" PRIu64, note->slot, what,
	    base->number);
}

static int judge(const struct still_pg_instance *instance,
    const struct still_base *base, const struct still_pg_note *note,
    const struct still_pg_slot *slot, struct still_error *err)
{
	char made[STILL_PG_SLOT_MADE_MAX];
	int rc;

	if (slot->state == STILL_PG_SLOT_NONE ||
	    slot->state == STILL_PG_SLOT_FOREIGN)
		return not_ours(note, base, "was dropped", err);
	if (slot->state == STILL_PG_SLOT_LOST)
		return not_ours(note, base, "was lost", err);
	rc = still_pg_slot_made(
	    instance->examined.pgdata, note->slot, made, err);
	if (rc == 0 && strcmp(made, note->slot_made) != 0)
		return not_ours(
		    note, base, "was dropped and created again", err);
	return rc;
}

/* A segment is removed as a whole, when nothing of it is kept. */
static void measure(const struct still_pg_instance *instance,
    const struct still_pg_note *note, const struct still_pg_slot *slot,
    struct still_truncated *ret)
{
	uint32_t bytes = instance->examined.facts.wal_segment_bytes;

	*ret = (struct still_truncated){.bytes = 0};
	if (slot->restart_lsn >= note->stop_lsn)
		return;
	snprintf(ret->range, sizeof(ret->range),
	    STILL_PG_LSN " - " STILL_PG_LSN,
	    STILL_PG_LSN_ARGS(slot->restart_lsn),
	    STILL_PG_LSN_ARGS(note->stop_lsn));
	ret->bytes = (note->stop_lsn / bytes - slot->restart_lsn / bytes) *
	    bytes;
}

static int ask(const struct still_pg_instance *instance,
    struct still_pg_session *session, const struct still_base *base,
    const struct still_pg_note *note, bool dry_run, struct still_truncated *ret,
    struct still_error *err)
{
	struct still_pg_facts facts = {0};
	struct still_pg_slot slot;
	int rc = still_pg_facts_read(session, instance->limit_ns, &facts, err);

	if (rc < 0)
		return rc;
	if (facts.system_identifier != note->system_identifier ||
	    facts.timeline != note->timeline)
		rc = still_error_set(err, STILL_ERR_LOST, 0,
		    "Make a full session of the cluster as it is now.",
		    "server of `%s`: is not on the timeline of session %" PRIu64
		    ", or is another cluster",
		    instance->examined.conn.shown, base->number);
	still_pg_facts_release(&facts);
	if (rc == 0)
		rc = still_pg_slot_look(
		    session, note->slot, instance->limit_ns, &slot, err);
	if (rc == 0)
		rc = judge(instance, base, note, &slot, err);
	if (rc < 0)
		return rc;
	measure(instance, note, &slot, ret);
	if (dry_run || !ret->range[0])
		return 0;
	return still_pg_slot_advance(session, note->slot, note->stop_lsn, err);
}

int still_pg_truncate(const struct still_pg_instance *instance,
    const struct still_base *base, bool dry_run, struct still_truncated *ret,
    struct still_error *err)
{
	struct still_pg_session *session = NULL;
	struct still_pg_note note;
	int rc;

	if (!still_pg_note_parse(base->note, &note))
		return still_error_set(err, STILL_ERR_UNSUPPORTED, 0,
		    "Make a full session with `-o incremental`: from then on "
		    "the server keeps WAL for incremental ones.",
		    "session %" PRIu64
		    ": the server keeps no WAL behind it for anybody",
		    base->number);
	rc = still_pg_connect(instance, NULL, &session, err);
	if (rc < 0)
		return rc;
	rc = ask(instance, session, base, &note, dry_run, ret, err);
	still_pg_session_close(session);
	return rc;
}
