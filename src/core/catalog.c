/* SPDX-License-Identifier: MIT */
/* catalog: opening it, and the life of a session. Who has an instance is in
 * claim.c, what is known of files in stamp.c, what was in records.c, a commit
 * afterwards in commit.c. */
#include "config.h"

#include "core/catalog.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/path.h"
#include "base/sys.h"
#include "core/lineage.h"
#include "core/holder.h"
#include "core/stamp.h"
#include "core/statedir.h"
#include "core/store.h"

#define LOCKS_NAME "locks"

/* How many sessions of an instance are remembered. */
#define SESSIONS_MAX 1000

/* ---- open ---------------------------------------------------------------- */

static int open_locks(
    struct still_catalog *catalog, bool create, struct still_error *err)
{
	if (create && mkdirat(catalog->dirfd, LOCKS_NAME, 0700) != 0 &&
	    errno != EEXIST)
		return still_statedir_failed(
		    errno, "directory of locks in", catalog->dir, err);
	catalog->locks_fd = openat(catalog->dirfd, LOCKS_NAME,
	    O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (catalog->locks_fd < 0 && (create || errno != ENOENT))
		return still_statedir_failed(
		    errno, "directory of locks in", catalog->dir, err);
	return 0;
}

int still_catalog_open(const char *dir, bool create, struct still_catalog **ret,
    struct still_error *err)
{
	struct still_catalog *catalog = calloc(1, sizeof(*catalog));
	int rc;

	if (!catalog)
		return still_error_nomem(err);
	catalog->dirfd = -1;
	catalog->locks_fd = -1;
	pthread_mutex_init(&catalog->lock, NULL);
	rc = still_statedir_open(
	    dir, create, &catalog->dir, &catalog->dirfd, err);
	if (rc == 0)
		rc = open_locks(catalog, create, err);
	if (rc == 0)
		rc = still_store_open(catalog, create, err);
	if (rc < 0) {
		still_catalog_close(catalog);
		return rc;
	}
	*ret = catalog;
	return 0;
}

void still_catalog_close(struct still_catalog *catalog)
{
	if (!catalog)
		return;
	still_store_close(catalog);
	if (catalog->locks_fd >= 0)
		close(catalog->locks_fd);
	if (catalog->dirfd >= 0)
		close(catalog->dirfd);
	pthread_mutex_destroy(&catalog->lock);
	free(catalog->dir);
	free(catalog);
}

char *still_catalog_default_dir(void)
{
	return still_statedir_default(NULL);
}

const char *still_catalog_dir(const struct still_catalog *catalog)
{
	return catalog->dir;
}

static int check_apart(
    const char *dir, const char *source, struct still_error *err)
{
	bool within = still_path_is_in(source, dir);

	if (!within && !still_path_is_in(dir, source))
		return 0;
	return still_error_set(err, STILL_ERR_INVALID, 0,
	    "Name another state directory with `state=`.",
	    "source `%s`: %s the state directory `%s`", source,
	    within ? "lies in" : "holds", dir);
}

int still_catalog_check_source(const struct still_catalog *catalog,
    const char *source, struct still_error *err)
{
	return check_apart(catalog->dir, source, err);
}

int still_catalog_check_dir(
    const char *dir, const char *source, struct still_error *err)
{
	char *resolved = NULL;
	int rc = still_statedir_resolve(dir, &resolved, err);

	if (rc == 0)
		rc = check_apart(resolved, source, err);
	free(resolved);
	return rc;
}

/* ---- a session ----------------------------------------------------------- */

static int insert_session(struct still_catalog *catalog,
    const struct still_lock *lock, const struct still_catalog_begin *begin,
    int64_t *ret_number, struct still_error *err)
{
	const struct still_link *base = begin->base;
	int rc = still_store_number(catalog, ret_number, err,
	    "SELECT 1+coalesce(max(number),0) FROM session WHERE instance=?1",
	    "i", lock->instance_id);

	if (rc < 0)
		return rc;
	return still_store_run(catalog, err,
	    "INSERT INTO session(id,instance,number,kind,place,state,"
	    "begun_at_ns,base,chain,link)"
	    " VALUES(?1,?2,?3,?4,?5,'preparing',?6,?7,?8,?9)",
	    "tiitbitti", begin->id, lock->instance_id, *ret_number,
	    still_session_kind_word(begin->kind), begin->place,
	    begin->begun_at_ns, base ? base->id : NULL,
	    base                            ? base->chain
		: begin->kind == STILL_FULL ? begin->id
					    : NULL,
	    base ? (int64_t) base->link + 1 : INT64_C(0));
}

/* The last good one and the last committed one are never forgotten, nor is the
 * chain that goes on. */
static int forget_sessions(struct still_catalog *catalog, int64_t instance_id,
    int64_t number, struct still_error *err)
{
	return still_store_run(catalog, err,
	    "DELETE FROM session WHERE seq IN"
	    " (SELECT seq FROM session WHERE instance=?1 AND number<=?4"
	    " EXCEPT SELECT max(seq) FROM session"
	    "  WHERE instance=?1 AND outcome IN (?2,?3)"
	    " EXCEPT SELECT max(seq) FROM session"
	    "  WHERE instance=?1 AND outcome=?2"
	    " EXCEPT SELECT seq FROM session"
	    "  WHERE instance=?1 AND outcome=?2 AND chain="
	    "   (SELECT chain FROM session WHERE instance=?1 AND outcome=?2"
	    "    AND kind<>'copy' ORDER BY seq DESC LIMIT 1))",
	    "iiii", instance_id, (int64_t) STILL_COMMITTED,
	    (int64_t) STILL_COPIED, number - SESSIONS_MAX);
}

int still_catalog_begin(struct still_catalog *catalog,
    const struct still_lock *lock, const struct still_catalog_begin *begin,
    uint64_t *ret_number, struct still_error *err)
{
	int64_t number = 0;
	int rc = still_store_begin(catalog, true, err);

	if (rc < 0)
		return rc;
	rc = insert_session(catalog, lock, begin, &number, err);
	if (rc == 0)
		rc = forget_sessions(catalog, lock->instance_id, number, err);
	rc = still_store_finish(catalog, rc, err);
	if (rc == 0)
		*ret_number = (uint64_t) number;
	return rc;
}

/* What decides whether a session may end so. */
struct ending {
	int64_t instance_id;
	bool ended;
	bool sealed;
	int64_t outcome;
};

int still_catalog_no_session(
    struct still_catalog *catalog, const char *id, struct still_error *err)
{
	return still_error_set(err, STILL_ERR_NOTFOUND, 0, NULL,
	    "session `%s`: is not in the catalog `%s`", id, catalog->file);
}

static int find_ending(struct still_catalog *catalog, const char *id,
    struct ending *ret, struct still_error *err)
{
	sqlite3_stmt *stmt;
	int rc = still_store_prepare(catalog,
	    "SELECT instance, state='ended', sealed, outcome FROM session"
	    " WHERE id=?1",
	    &stmt, err);

	if (rc < 0)
		return rc;
	sqlite3_bind_text(stmt, 1, id, -1, SQLITE_STATIC);
	rc = still_store_step(catalog, stmt, err);
	if (rc > 0)
		*ret = (struct ending){
		    .instance_id = sqlite3_column_int64(stmt, 0),
		    .ended = sqlite3_column_int(stmt, 1),
		    .sealed = sqlite3_column_int(stmt, 2),
		    .outcome = sqlite3_column_int64(stmt, 3),
		};
	sqlite3_finalize(stmt);
	if (rc == 0)
		return still_catalog_no_session(catalog, id, err);
	return rc < 0 ? rc : 0;
}

static int write_end(struct still_catalog *catalog,
    const struct still_session_status *s, struct still_error *err)
{
	bool committed = s->outcome == STILL_COMMITTED;
	char text[STILL_OUTCOME_TEXT_BYTES];

	still_outcome_text(s, text);
	return still_store_run(catalog, err,
	    "UPDATE session SET state='ended', outcome=?2, outcome_text=?3,"
	    " ended_at_ns=?4, committed_at_ns=?5, files_whole=?6,"
	    " files_known=?7, bytes_served=?8, n_damaged=?9, error=?10,"
	    " hint=?11, forced=?12, truncated=?13 WHERE id=?1",
	    "titiiiiiibbii", s->id, (int64_t) s->outcome, text, s->ended_at_ns,
	    committed ? s->ended_at_ns : INT64_C(0), (int64_t) s->files_whole,
	    (int64_t) s->files_known, (int64_t) s->bytes_served,
	    (int64_t) s->n_damaged,
	    s->error.code ? still_error_msg(&s->error) : NULL, s->error.hint,
	    (int64_t) s->forced,
	    s->elsewhere ? (int64_t) STILL_STORE_TRUNCATED_ELSEWHERE
			 : INT64_C(0));
}

/* Asked again, because the answer to the first time was lost: the same. */
static int end_again(const struct ending *ending,
    const struct still_session_status *status, struct still_error *err)
{
	if (ending->outcome == (int64_t) status->outcome)
		return 0;
	return still_error_set(err, STILL_ERR_PROTO, 0, NULL,
	    "session `%s`: has ended already, with another outcome",
	    status->id);
}

int still_catalog_end(struct still_catalog *catalog,
    const struct still_session_status *status, struct still_error *err)
{
	struct ending ending = {0};
	int rc = still_store_begin(catalog, true, err);

	if (rc < 0)
		return rc;
	rc = find_ending(catalog, status->id, &ending, err);
	if (rc < 0)
		return still_store_finish(catalog, rc, err);
	if (ending.ended)
		return still_store_finish(
		    catalog, end_again(&ending, status, err), err);
	/* Nobody can have all of it who could not have the seal; and who
	 * forces it says that he knows. */
	if (still_outcome_is_good(status->outcome) && !ending.sealed &&
	    !(status->forced && status->outcome == STILL_COMMITTED))
		rc = still_error_set(err, STILL_ERR_PROTO, 0, NULL,
		    "session `%s`: cannot be %s before it is sealed",
		    status->id,
		    status->outcome == STILL_COMMITTED ? "committed"
						       : "copied");
	if (rc == 0)
		rc = write_end(catalog, status, err);
	if (rc == 0)
		rc = still_stamp_forget(catalog, ending.instance_id, err);
	return still_store_finish(catalog, rc, err);
}

int still_catalog_truncated(struct still_catalog *catalog, const char *id,
    const char *range, struct still_error *err)
{
	int rc = still_store_begin(catalog, true, err);

	if (rc < 0)
		return rc;
	/* What a second truncation finds, the first has left. */
	rc = still_store_run(catalog, err,
	    "UPDATE session SET truncated=truncated|?2,"
	    " truncated_range=coalesce(?3,truncated_range)"
	    " WHERE id=?1 AND outcome=?4",
	    "tibi", id, (int64_t) STILL_STORE_TRUNCATED, range,
	    (int64_t) STILL_COMMITTED);
	return still_store_finish(catalog, rc, err);
}
