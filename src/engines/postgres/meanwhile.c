/* SPDX-License-Identifier: MIT */
/*
 * meanwhile: what was made while the files were captured, as the WAL tells it.
 *
 * A tablespace is not among the files, and replay would make it at its absolute
 * place, which is that of the live one: the freeze fails, and the next is right.
 *
 * An unlogged relation is known by its init fork, which an index gets when it
 * is built, and a table a moment after its file. Where that fork is missing from
 * the list the others are captured as if they were of any relation. Replay makes
 * the fork; at its end the server copies it to where the relation lies, and does
 * not start where there is a file already. So the others are left out, as they
 * are for every unlogged relation.
 */
#include "config.h"

#include <stdlib.h>
#include <string.h>

#include "engines/postgres/instance.h"
#include "engines/postgres/relation_pages.h"

/* That its init fork is there: its first block stands for all of it. */
static int add_unlogged(struct still_pg_frozen *frozen,
    const struct still_pg_locator *where, struct still_error *err)
{
	return where->fork == STILL_PG_FORK_INIT
	    ? still_pg_covered_add(frozen->unlogged, where, 0, err)
	    : 0;
}

/* A file is made; before minor versions of 2023 init forks of indexes are made
 * by their first page alone. */
static int look_for_unlogged(struct still_pg_frozen *frozen,
    const struct still_pg_wal_record *record, struct still_error *err)
{
	struct still_pg_locator where;
	int rc = 0;

	/* Both begin with tablespace, database, relation, fork. */
	if (still_pg_wal_record_is(
		record, STILL_PG_RM_STORAGE, STILL_PG_STORAGE_CREATE) &&
	    record->data && record->data_bytes >= sizeof(where)) {
		memcpy(&where, record->data, sizeof(where));
		rc = add_unlogged(frozen, &where, err);
	}
	for (uint32_t i = 0; rc == 0 && i < record->n_blocks; i++)
		rc = add_unlogged(frozen, &record->blocks[i].where, err);
	return rc;
}

int still_pg_meanwhile_refuse(struct still_error *err)
{
	return still_error_set(err, STILL_ERR_AGAIN, 0, "Begin again.",
	    "the cluster: a tablespace was made while its files were captured");
}

int still_pg_meanwhile_record(void *arg,
    const struct still_pg_wal_record *record, struct still_error *err)
{
	struct still_pg_frozen *frozen = arg;
	int rc;

	if (still_pg_wal_record_is(
		record, STILL_PG_RM_TABLESPACE, STILL_PG_TABLESPACE_CREATE))
		return still_pg_meanwhile_refuse(err);
	still_pg_replay_see(&frozen->replay, record);
	rc = look_for_unlogged(frozen, record, err);
	return rc < 0 ? rc
		      : still_pg_covered_record(frozen->covered, record, err);
}

static bool is_unlogged(
    const struct still_pg_frozen *frozen, const struct still_pg_entry *entry)
{
	struct still_pg_locator where;

	if (entry->rule != STILL_PG_RELATION ||
	    entry->relation.fork == STILL_PG_FORK_INIT)
		return false;
	where = still_pg_locate(entry->path, &entry->relation);
	where.fork = STILL_PG_FORK_INIT;
	return still_pg_covered_has(frozen->unlogged, &where, 0);
}

void still_pg_meanwhile_leave_out(struct still_pg_frozen *frozen)
{
	struct still_pg_captures *files = &frozen->files;
	size_t n = 0;

	for (size_t i = 0; i < files->n; i++)
		if (is_unlogged(frozen, files->files[i].entry)) {
			files->bytes -= files->files[i].extent.size_bytes;
			free(files->files[i].identity);
		} else {
			files->files[n++] = files->files[i];
		}
	files->n = n;
}
