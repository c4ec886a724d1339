/* SPDX-License-Identifier: MIT */
/*
 * still_set: what libstill does with sets, beside still.h.
 *
 * A set is a session's files, wherever they lie now:
 *
 *	backup.json         what was frozen (stillfs-backup.json(5))
 *	data/               the databases under their paths in the source
 *	verify/XXH128SUMS   a line for each of these files; closes the set
 *
 *	backup    make one, from a live instance or from a mount
 *	verify    is one whole, is each byte of it what it was, does its engine
 *	          find it sound
 *	restore   make databases of it again
 *
 * Each is one call that blocks until it is done, and that can be cancelled by a
 * flag of the caller's. None prints, none leaves anything half done.
 */
#ifndef STILL_SET_H
#define STILL_SET_H

#include "still.h"

/* ---- progress ------------------------------------------------------------ */

enum still_phase {
	STILL_PHASE_FREEZING,  /* bytes where files are captured */
	STILL_PHASE_COPYING,   /* out of the snapshot, or out of a set */
	STILL_PHASE_SYNCING,   /* no bytes are counted */
	STILL_PHASE_VERIFYING, /* what is stored, against its sums */
	STILL_PHASE_CHECKING,  /* what is stored, by the engine's own means */
	STILL_PHASE_APPLYING,  /* what incremental sets add; files are theirs */
	STILL_PHASE_COUNT
};

/* "freezing", "copying", "syncing", "verifying", "checking", "applying".
 * Static. */
const char *still_phase_word(enum still_phase phase);

/* How far a call is. Counts begin anew with each phase. */
struct still_progress {
	enum still_phase phase;
	const char *path; /* of the file that was begun last, in the set; ""
			     where there is none; valid for the call */
	uint64_t files;
	uint64_t files_done;
	uint64_t bytes; /* 0: not counted */
	uint64_t bytes_done;
	int64_t phase_ns; /* since the phase began */
};

/*
 * Called a few times a second and at least once for each phase, from a thread of
 * its own, one call at a time. It can fail nothing and hold up nothing: what it
 * is told is what is so when it gets to it. Only the end of the whole waits for
 * a call that is under way.
 */
typedef void still_progress_fn(
    void *arg, const struct still_progress *progress);

/* What each of the calls below can be told. */
struct still_task {
	const atomic_bool *cancel; /* raised: give up, CANCELLED; NULL: never */
	still_progress_fn *progress; /* NULL: nobody asks */
	void *progress_arg;
	unsigned n_threads; /* that read and write; 0: as many as are of use */
};

/* ---- backup -------------------------------------------------------------- */

/*
 * Where the bytes of a backup come from: a session of this process, or one of a
 * mount. Calls in this order: begin; session, entries, read and check, from any
 * thread; then commit, or abort, once. If begin fails nothing else is called.
 */
struct still_origin {
	/* Freeze. Blocks; `cancel` (never NULL) is raised when nobody waits for
	 * it any more. */
	int (*begin)(
	    void *arg, const atomic_bool *cancel, struct still_error *err);
	/* How far a begin under way is, as for STILL_PHASE_FREEZING; 0, 0: not
	 * known. NULL: it never is. Any thread; does not block. */
	void (*captured)(
	    void *arg, uint64_t *ret_done_bytes, uint64_t *ret_bytes);
	/* The id of the session that was begun. Borrowed. */
	const char *(*session)(void *arg);
	/* As still_session_entries(). */
	const struct still_entry *(*entries)(void *arg, uint32_t *ret_n);
	/* As still_session_read(), but that the seal is there when it is asked
	 * for, which may take a pass over what nobody read. */
	ssize_t (*read)(void *arg, uint32_t index, uint64_t off_bytes,
	    void *data, size_t len, struct still_error *err);
	/* Asked about each second: LOST when nothing more can be had. */
	int (*check)(void *arg, struct still_error *err);
	/* "I have it." On failure it is not, and the session is over. */
	int (*commit)(void *arg, struct still_error *err);
	/* "I do not." Accepts a session that is over. */
	void (*abort)(void *arg);
	void *arg;
};

struct still_backup_options {
	struct still_task task;
	bool incremental;   /* the origin's session is */
	bool create;        /* DEST, where it is missing; not its parents */
	const char *source; /* resolved: DEST must not lie in it, nor it in
			       DEST, nor a set of another; NULL: not known */
};

struct still_backup {
	char *set; /* owned; the path of the set, resolved; NULL: none */
	char session[STILL_SESSION_ID_BYTES];
	uint64_t files;
	uint64_t bytes;
	int64_t freeze_ns;
	int64_t copy_ns;
	int64_t verify_ns; /* and sync */
	/* The set stands in DEST, and is whole. What failed after that is told
	 * as an error, and does not undo it. */
	bool stored;
	bool committed; /* and its session is */
};

/*
 * Copy a session into `dest`, read back and verify what was stored, make it
 * durable, put it in the place of the last one (DEST/full), and commit. The last
 * one goes when all that is done, with the incremental sets that build on it. An
 * incremental one is added to them (DEST/incremental/NUMBER), and whatever else
 * would build on the same base goes. On failure `dest` has nothing new, the last
 * sets are whole and where they were, and the session is aborted.
 *
 * `dest` is a directory with nothing in it but what this function left there, of
 * the same source; what one that was killed left is cleared away. Errors:
 * NOTFOUND, INVALID (a place that will not do; sys_errno ENOTEMPTY: there is
 * something else in it, as a set of another source), BUSY (another backup writes
 * to it), ACCESS, NOSPACE, IO, CORRUPT (the live database, or what was read
 * back), LOST, CANCELLED, and those of the origin. `ret` is released with
 * still_backup_release() in every case.
 */
int still_backup(const char *dest, const struct still_origin *origin,
    const struct still_backup_options *options, struct still_backup *ret,
    struct still_error *err);
void still_backup_release(struct still_backup *backup);

/* An origin that is a session of `instance`; begun as `kind`, and committed as
 * `commit` says (copied; NULL: none of that). It and `events` outlive it. NULL
 * without memory. */
struct still_own_session;
struct still_own_session *still_own_session_new(struct still_instance *instance,
    struct still_events *events, enum still_session_kind kind,
    const struct still_commit_options *commit, struct still_origin *ret_origin);
/* The session's outcome and id, when it is over. */
void still_own_session_status(
    struct still_own_session *own, struct still_session_status *ret);
void still_own_session_free(struct still_own_session *own);

/* ---- verify -------------------------------------------------------------- */

/* Something that is wrong with a set. */
struct still_flaw {
	int code;   /* CORRUPT, or why it could not be looked at: ACCESS, IO */
	char *path; /* owned; in the set; NULL: the set itself */
	char *text; /* owned; begins with the object; lowercase, no full stop */
};

#define STILL_FLAWS_MAX 1000

struct still_verify_options {
	struct still_task task;
	bool quick; /* without the engine's check */
};

/* What a set says of itself, as far as it could be read, and what is wrong. */
struct still_verified {
	char *path;    /* owned; of the set, or of the directory of several */
	uint32_t sets; /* a full one and its incremental ones; mostly 1 */
	/* What follows is of the last set. */
	char *session; /* owned, as are the next three; NULL: not known */
	char *kind;
	char *engine;
	char *source;
	char *base; /* owned; the session that it builds on; NULL: none */
	uint64_t base_number;
	int64_t frozen_at_ns; /* 0: not known */
	uint32_t databases;
	/* Of all sets. */
	uint64_t files;             /* that their lists name */
	uint64_t bytes;             /* of files that were read */
	uint32_t databases_checked; /* by the engine, and found sound */
	/* How the engine's check was kept from doing harm, such as
	 * "landlock+seccomp+limits". Static; NULL: there was none. */
	const char *sandbox;
	struct still_flaw *flaws; /* owned; in the order of paths */
	size_t n_flaws;           /* at most STILL_FLAWS_MAX */
	uint64_t flaws_total;
	/* What could not be checked, though nothing is known to be wrong. */
	struct still_flaw *warnings; /* owned */
	size_t n_warnings;
};

/*
 * Look at all of the set in directory `path`; where that is a directory of backups
 * (still_backup()), at its full set and all incremental ones, and whether they
 * are one chain. 0 when that was done, whatever was
 * found: a set with flaws is no backup. NOTFOUND: there is no such directory, or
 * nothing in it says that it is a set. Changes nothing. `ret` is released with
 * still_verified_release() in every case.
 */
int still_verify_set(const char *path,
    const struct still_verify_options *options, struct still_verified *ret,
    struct still_error *err);
void still_verified_release(struct still_verified *verified);

/* ---- restore ------------------------------------------------------------- */

struct still_restore_options {
	struct still_task task;
	const char *database; /* only this one, by its path in the source, with
				 or without `data/`; NULL: all */
	bool create;          /* `dest`, where it is missing, or the directory
				 of the one database; not its parents */
	/* Incremental sets to be applied, in their order. */
	const char *const *links;
	size_t n_links;
	/* Where none are named, and the set is the directory of a backup: the
	 * number of the last one of those in it. 0: all. */
	uint64_t upto;
};

struct still_restored {
	char *dest;    /* owned; resolved: a directory, or the one database */
	char *session; /* owned; of the last set */
	size_t links;  /* incremental sets that were applied */
	uint64_t files;
	uint64_t bytes;
	int64_t copy_ns;
};

/*
 * Turn a set into databases in directory `dest`, or one database into the file
 * `dest` (or, where that is a directory, into one in it). `dest` becomes what the
 * set has in data/; where the set has more than that, it gets all of the set's
 * directories. Incremental sets are applied to that before it has its name, one
 * after the other; of a directory of backups all that are in it. Each byte is
 * compared with the set's sums while it is copied; all is durable before anything has
 * the name under which an application would open it.
 *
 * Refused is a place that is not empty, and for one database a place where it, or
 * a log or a journal of one (-wal, -shm, -journal), is already: INVALID, with
 * sys_errno ENOTEMPTY or EEXIST; BUSY where a process has it locked. A set that
 * is not whole: CORRUPT; for one database only what is wrong with that, with the
 * list or with the description counts. BASE: a set of the chain is missing, of
 * another chain, or not what the next one builds on; INVALID: one is named twice,
 * or out of its turn; UNSUPPORTED: its engine is not here, or applies nothing.
 * NOTFOUND, ACCESS, NOSPACE, IO, NOMEM, CANCELLED. On failure `dest` is what it
 * was; who is killed leaves what core/place.h says. `ret` is released in every
 * case.
 */
int still_restore(const char *set, const char *dest,
    const struct still_restore_options *options, struct still_restored *ret,
    struct still_error *err);
void still_restored_release(struct still_restored *restored);

#endif
