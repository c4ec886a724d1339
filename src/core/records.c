/* SPDX-License-Identifier: MIT */
/*
 * records: what programs may ask of the catalog.
 *
 * A row that is not ENDED tells of a session that is alive, or of one whose
 * process died. The holder of its lock records the end before it lets go. So
 * the row is read, then the lock is looked at, and where that is free the row is
 * read again: if it still has no end then, nobody is left to write one.
 */
#include "config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/claim.h"
#include "core/store.h"

static const char select_sql[] =
    "SELECT s.id, number, kind, source, engine, place, state, outcome,"
    " outcome_text, begun_at_ns, frozen_at_ns, ended_at_ns, committed_at_ns,"
    " databases, files, files_whole, files_known, bytes, bytes_served,"
    " n_damaged, verified, error, hint, base, chain, link, forced, truncated,"
    " truncated_range"
    " FROM session s JOIN instance i ON s.instance=i.id"
    " WHERE (?1 IS NULL OR source=?1) AND (?2 IS NULL OR place=?2)"
    " AND (?3 IS NULL OR s.id=?3) AND (NOT ?4 OR outcome IN (?6,?7))"
    " AND (NOT ?5 OR outcome=?6) AND (NOT ?9 OR kind='incremental')"
    " AND (?10 IS NULL OR chain=?10) ORDER BY seq DESC LIMIT ?8";

struct rows {
	struct still_record *all; /* owned */
	size_t n;
};

/* ---- from rows to records ------------------------------------------------ */

static void release_record(struct still_record *record)
{
	free(record->source);
	free(record->engine);
	free(record->place);
	free(record->verified);
	free(record->error);
	free(record->hint);
	free(record->range);
	memset(record, 0, sizeof(*record));
}

void still_records_free(struct still_record *records, size_t n)
{
	for (size_t i = 0; i < n; i++)
		release_record(&records[i]);
	free(records);
}

static bool read_words(sqlite3_stmt *stmt, struct still_record *r)
{
	const char *kind = (const char *) sqlite3_column_text(stmt, 2);
	const char *state = (const char *) sqlite3_column_text(stmt, 6);
	int64_t outcome = sqlite3_column_int64(stmt, 7);

	while (r->kind < STILL_SESSION_KIND_COUNT &&
	    strcmp(still_session_kind_word(r->kind), kind ? kind : "") != 0)
		r->kind++;
	while (r->state < STILL_STATE_COUNT &&
	    strcmp(still_state_word(r->state), state ? state : "") != 0)
		r->state++;
	r->outcome = (enum still_outcome) outcome;
	return r->kind < STILL_SESSION_KIND_COUNT &&
	    r->state < STILL_STATE_COUNT && outcome >= 0 &&
	    outcome < STILL_OUTCOME_COUNT;
}

static void read_numbers(sqlite3_stmt *stmt, struct still_record *r)
{
	r->number = (uint64_t) sqlite3_column_int64(stmt, 1);
	r->begun_at_ns = sqlite3_column_int64(stmt, 9);
	r->frozen_at_ns = sqlite3_column_int64(stmt, 10);
	r->ended_at_ns = sqlite3_column_int64(stmt, 11);
	r->committed_at_ns = sqlite3_column_int64(stmt, 12);
	r->databases = (uint32_t) sqlite3_column_int64(stmt, 13);
	r->files = (uint32_t) sqlite3_column_int64(stmt, 14);
	r->files_whole = (uint32_t) sqlite3_column_int64(stmt, 15);
	r->files_known = (uint32_t) sqlite3_column_int64(stmt, 16);
	r->bytes = (uint64_t) sqlite3_column_int64(stmt, 17);
	r->bytes_served = (uint64_t) sqlite3_column_int64(stmt, 18);
	r->n_damaged = (uint32_t) sqlite3_column_int64(stmt, 19);
	r->link = (uint32_t) sqlite3_column_int64(stmt, 25);
	r->forced = sqlite3_column_int64(stmt, 26) != 0;
	r->truncated = sqlite3_column_int64(stmt, 27) & STILL_STORE_TRUNCATED;
	r->elsewhere = sqlite3_column_int64(stmt, 27) &
	    STILL_STORE_TRUNCATED_ELSEWHERE;
}

static void read_text(sqlite3_stmt *stmt, int i, char *out, size_t len)
{
	const char *text = (const char *) sqlite3_column_text(stmt, i);

	snprintf(out, len, "%s", text ? text : "");
}

static int read_row(struct still_catalog *catalog, sqlite3_stmt *stmt,
    struct still_record *r, struct still_error *err)
{
	memset(r, 0, sizeof(*r));
	if (!read_words(stmt, r))
		return still_store_damaged(
		    catalog, "a session is in no known state", err);
	read_numbers(stmt, r);
	read_text(stmt, 0, r->id, sizeof(r->id));
	read_text(stmt, 8, r->outcome_text, sizeof(r->outcome_text));
	read_text(stmt, 23, r->base, sizeof(r->base));
	read_text(stmt, 24, r->chain, sizeof(r->chain));
	if (!still_store_column(stmt, 3, &r->source) ||
	    !still_store_column(stmt, 4, &r->engine) ||
	    !still_store_column(stmt, 5, &r->place) ||
	    !still_store_column(stmt, 20, &r->verified) ||
	    !still_store_column(stmt, 21, &r->error) ||
	    !still_store_column(stmt, 22, &r->hint) ||
	    !still_store_column(stmt, 28, &r->range)) {
		release_record(r);
		return still_error_nomem(err);
	}
	return 0;
}

static int add_row(struct still_catalog *catalog, sqlite3_stmt *stmt,
    struct rows *rows, struct still_error *err)
{
	size_t n = rows->n;
	int rc;

	if ((n & (n - 1)) == 0) {
		struct still_record *grown = realloc(
		    rows->all, (n ? 2 * n : 1) * sizeof(*grown));

		if (!grown)
			return still_error_nomem(err);
		rows->all = grown;
	}
	rc = read_row(catalog, stmt, &rows->all[n], err);
	if (rc == 0)
		rows->n++;
	return rc;
}

static int select_rows(struct still_catalog *catalog,
    const struct still_record_filter *filter, struct rows *ret,
    struct still_error *err)
{
	sqlite3_stmt *stmt;
	int rc = still_store_prepare(catalog, select_sql, &stmt, err);

	if (rc < 0)
		return rc;
	still_store_bind_bytes(stmt, 1, filter->source);
	still_store_bind_bytes(stmt, 2, filter->place);
	sqlite3_bind_text(stmt, 3, filter->id, -1, SQLITE_STATIC);
	sqlite3_bind_int(stmt, 4, filter->good);
	sqlite3_bind_int(stmt, 5, filter->committed);
	sqlite3_bind_int(stmt, 6, STILL_COMMITTED);
	sqlite3_bind_int(stmt, 7, STILL_COPIED);
	sqlite3_bind_int64(
	    stmt, 8, filter->limit ? (int64_t) filter->limit : INT64_C(-1));
	sqlite3_bind_int(stmt, 9, filter->incremental);
	sqlite3_bind_text(stmt, 10, filter->chain, -1, SQLITE_STATIC);
	while ((rc = still_store_step(catalog, stmt, err)) > 0) {
		rc = add_row(catalog, stmt, ret, err);
		if (rc < 0)
			break;
	}
	sqlite3_finalize(stmt);
	return rc;
}

/* In a transaction of its own, which is over when the locks are looked at. */
static int load(struct still_catalog *catalog,
    const struct still_record_filter *filter, struct rows *ret,
    struct still_error *err)
{
	int rc = still_store_begin(catalog, false, err);

	if (rc < 0)
		return rc;
	rc = select_rows(catalog, filter, ret, err);
	return still_store_finish(catalog, rc, err);
}

/* ---- listing ------------------------------------------------------------- */

static void tell_crashed(struct still_record *record)
{
	struct still_session_status crashed = {.outcome = STILL_ABORTED_CRASH};

	record->state = STILL_ENDED;
	record->outcome = crashed.outcome;
	still_outcome_text(&crashed, record->outcome_text);
}

/* Is the process of this unfinished session alive, and if not: had it come to
 * its end after all? */
static int look_again(struct still_catalog *catalog,
    struct still_record *record, struct still_error *err)
{
	struct still_record_filter filter = {.id = record->id};
	struct rows again = {0};
	int rc = still_claim_is_alive(
	    catalog, record->engine, record->source, record->id, err);

	if (rc != 0)
		return rc < 0 ? rc : 0;
	rc = load(catalog, &filter, &again, err);
	if (rc == 0 && again.n == 1) {
		struct still_record old = *record;

		*record = again.all[0];
		again.all[0] = old;
	}
	still_records_free(again.all, again.n);
	if (rc == 0 && record->state != STILL_ENDED)
		tell_crashed(record);
	return rc;
}

int still_catalog_list(struct still_catalog *catalog,
    const struct still_record_filter *filter, struct still_record **ret,
    size_t *ret_n, struct still_error *err)
{
	struct rows rows = {0};
	int rc = load(catalog, filter, &rows, err);

	for (size_t i = 0; rc == 0 && i < rows.n; i++)
		if (rows.all[i].state != STILL_ENDED)
			rc = look_again(catalog, &rows.all[i], err);
	if (rc < 0) {
		still_records_free(rows.all, rows.n);
		return rc;
	}
	*ret = rows.all;
	*ret_n = rows.n;
	return 0;
}
