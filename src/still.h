/* SPDX-License-Identifier: MIT */
/*
 * still: what libstill offers to the programs around it.
 *
 *	catalog    what is remembered of sessions, durable
 *	instance   the live databases behind a source
 *	volumes    where its application can write nothing
 *	preflight  what would make a backup of it fail
 *	session    one backup of an instance: begin, read, seal, end
 *	entry      one file or directory of what a session shows
 *	events     the log of what happened
 *	status     the same for people and programs that ask
 *
 * The library neither prints nor exits. Every function that fails fills a
 * `struct still_error` (base/error.h), which may be NULL where the detail is not
 * wanted, except for still_session_begin(), which tells it to the event log.
 * Blocking is said where it happens.
 */
#ifndef STILL_H
#define STILL_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/error.h"

/* ---- events ------------------------------------------------------------ */

enum still_level {
	STILL_LEVEL_ERROR,
	STILL_LEVEL_WARNING,
	STILL_LEVEL_INFO,
	STILL_LEVEL_DEBUG, /* of a single file, though nothing is wrong with it */
	STILL_LEVEL_COUNT
};

/* "error", "warning" ... Static. */
const char *still_level_word(enum still_level level);

/*
 * The last events of a mount, oldest first, one line each:
 *
 *	TIME LEVEL NAME key=value key=value ...
 *
 * The log keeps a bounded number of lines; how many were dropped is its first
 * line then. Format and names: stillfs-events(5).
 */
struct still_events;

/* Called for each event, `line` without its time and newline. Any thread. */
typedef void still_event_sink_fn(
    void *arg, enum still_level level, const char *line);

/* NULL without memory. `sink` may be NULL. */
struct still_events *still_events_new(still_event_sink_fn *sink, void *arg);
void still_events_free(struct still_events *events);

/*
 * Add one event. The arguments behind `name` are pairs (const char *key, const
 * char *value), closed by NULL; values are escaped. A NULL value leaves its
 * pair out. Without memory the event goes to nobody. Any thread.
 */
void still_events_add(struct still_events *events, enum still_level level,
    const char *name, ...) __attribute__((sentinel));

/* The whole log as text. The caller frees it; NULL without memory. */
char *still_events_text(struct still_events *events, size_t *ret_len);

/* A number for still_events_add(). */
struct still_number {
	char text[24];
};
struct still_number still_number(uint64_t value);

/* ---- catalog ----------------------------------------------------------- */

/*
 * The state directory: a store of all sessions (`catalog.db`), and the locks
 * that let one session at a time have an instance (core/catalog.h). Any thread;
 * every call may block on the disk, and for up to a second on other processes.
 */
struct still_catalog;

/*
 * Open the state directory `dir`; NULL is the default one: /var/lib/stillfs for
 * root, $XDG_STATE_HOME/stillfs or ~/.local/state/stillfs for others. With
 * `create` it is made when it is missing, for us alone; without, NOTFOUND.
 * ACCESS or INVALID when others could read or write it, CORRUPT when the store
 * is damaged, UNSUPPORTED when a newer stillfs wrote it. On success `*ret`
 * belongs to the caller.
 */
int still_catalog_open(const char *dir, bool create, struct still_catalog **ret,
    struct still_error *err);

/* INVALID when the resolved path `source` and the state directory `dir` (NULL:
 * the default one) lie in one another, whether `dir` is there yet or not: asked
 * before it is made, so that nothing is made in a source. */
int still_catalog_check_dir(
    const char *dir, const char *source, struct still_error *err);

/* No session over it may be alive. Accepts NULL. */
void still_catalog_close(struct still_catalog *catalog);

/* The default state directory, which need not exist. NULL without memory, or
 * where there is no home. The caller frees it. */
char *still_catalog_default_dir(void);

/* The resolved path of the state directory; borrowed, constant. */
const char *still_catalog_dir(const struct still_catalog *catalog);

/* ---- instance ---------------------------------------------------------- */

struct still_instance;

/* What a freeze looks at, beyond what is checked always. */
enum still_verify {
	STILL_VERIFY_BASIC,
	STILL_VERIFY_QUICK, /* the structure of each database */
	STILL_VERIFY_FULL   /* all that the engine can check */
};

/* What becomes of what a freeze holds in the instance. */
enum still_pin {
	STILL_PIN_MODE_AUTO, /* moved on, and let go when a copy is complete */
	STILL_PIN_MODE_GOVERN, /* moved on; nothing is copied but what must be */
	STILL_PIN_MODE_HOLD    /* left where it is until the end */
};

/* "auto", "govern", "hold". Static. */
const char *still_pin_word(enum still_pin pin);

/* How a moment is had that must be captured file by file. */
enum still_way {
	STILL_WAY_AUTO,  /* clones where the file system can share blocks */
	STILL_WAY_CLONE, /* or nothing */
	STILL_WAY_COPY
};

struct still_options {
	const char
	    *engine; /* only this one; NULL: whichever knows the source */
	bool force;  /* take sources in places that are refused */
	uint32_t freeze_ms;   /* how long a moment is looked for */
	uint32_t stall_ms;    /* how long writers may be held off for copies */
	uint32_t barrier_max; /* how many databases one moment may span */
	const char *spool;    /* where copies lie; NULL: the default place */
	uint64_t spool_max_bytes; /* what copies may take in all; 0: what the
				     disk has, but for its last tenth */
	enum still_verify verify;
	enum still_way freeze;
	enum still_pin pin;
	uint32_t pin_ms;        /* how old a pin may become */
	uint64_t wal_max_bytes; /* how much the logs may grow for a session */
	bool assist; /* checkpoint for the application, which writes to its
			files */
	/* Incremental sessions will be asked for: what they need may be kept in
	 * the instance from a full session on. */
	bool incremental;
	/* Remembers the sessions, and lets one at a time have the instance.
	 * Borrowed, outlives the instance. NULL: nothing is remembered, nobody
	 * kept out. Refused when the source and it lie in one another. */
	struct still_catalog *catalog;
};

#define STILL_FREEZE_MS_DEFAULT 10000
#define STILL_STALL_MS_DEFAULT 500
#define STILL_BARRIER_MAX_DEFAULT 4000
#define STILL_PIN_MS_DEFAULT 500
#define STILL_WAL_MAX_BYTES_DEFAULT (UINT64_C(1) << 30)

/* Resolve and examine a source. Holds nothing in it afterwards. Reads the disk.
 * On success `*ret` belongs to the caller. */
int still_instance_attach(const char *source,
    const struct still_options *options, struct still_instance **ret,
    struct still_error *err);

/* No session of it may be alive. Accepts NULL. */
void still_instance_detach(struct still_instance *instance);

/* Where its sessions are shown from now on, for the catalog and for others'
 * messages: the mountpoint. Copied. Before the first session. */
int still_instance_set_place(struct still_instance *instance, const char *place,
    struct still_error *err);

struct still_instance_info {
	const char *source; /* resolved, absolute; borrowed, constant */
	const char *engine;
	const char *engine_version;
	size_t n_databases; /* as of attach */
	uint32_t dir_mode;  /* of directories that the source does not have */
	uid_t uid;
	gid_t gid;
};

void still_instance_describe(
    struct still_instance *instance, struct still_instance_info *ret);

/* ---- volumes ----------------------------------------------------------- */

/* A file system of an instance to which its application can write nothing. */
struct still_volume {
	const char *code; /* "volume-full", "volume-read-only"; static */
	char *point;      /* owned: where it is mounted */
	char *message;    /* owned */
	const char *hint; /* static */
};

#define STILL_VOLUMES_MAX 2

struct still_volumes {
	struct still_volume list[STILL_VOLUMES_MAX];
	size_t n;
};

/* Those of the source and its log that are full or read-only now. Where that
 * cannot be found out there is none. Asks the file systems, and may block on
 * them. Any thread. Release `ret` in every case. */
void still_instance_volumes(
    const struct still_instance *instance, struct still_volumes *ret);
void still_volumes_release(struct still_volumes *volumes);

/* ---- preflight --------------------------------------------------------- */

struct still_finding {
	enum still_level level; /* ERROR: a backup would fail or be refused */
	int code;               /* ERROR: the enum still_err_code with which */
	char *object;           /* owned: a database, a directory ... */
	char *text;             /* owned; lowercase, no full stop */
	char *hint;             /* owned; NULL where there is no advice */
};

struct still_checked_database {
	char *path; /* owned; relative to the source */
	uint64_t size_bytes;
	char *log;      /* owned; "wal", "rollback" ... NULL: not known */
	char *verified; /* owned; what is checked of it; NULL: not frozen */
	bool frozen;
};

/* What a trial freeze found. */
struct still_preflight {
	char *source; /* owned, as are the next two; as given, where it
			 could not be attached to */
	char *engine; /* NULL, as is the next: likewise */
	char *engine_version;
	struct still_checked_database *databases; /* owned */
	size_t n_databases;
	struct still_finding *findings; /* owned; worst first */
	size_t n_findings;
	uint64_t size_bytes; /* of all databases that could be frozen */
	int64_t freeze_ns;   /* how long it took */
	int64_t cut_width_ns;
	int64_t writers_held_ns;
	const char *way;     /* "clone", "copy" ... static; NULL: there is one
				only */
	uint64_t copy_bytes; /* of the spool, that the freeze took */
};

/*
 * Attach to `source`, freeze it and let it go, and tell what stands in the way
 * of a backup. 0 when that could be found out, whatever it is: what would make
 * a backup fail is a finding. BUSY when a session has the instance (where
 * `options` have a catalog); others only when nothing could be looked at.
 * Records nothing. Blocks as a freeze does. Release `ret` in every case.
 */
int still_preflight(const char *source, const struct still_options *options,
    struct still_preflight *ret, struct still_error *err);
void still_preflight_release(struct still_preflight *preflight);

/* ---- entries ----------------------------------------------------------- */

enum still_kind {
	STILL_DIR,
	STILL_FILE,
	STILL_LINK /* a symbolic one, to another entry of the snapshot */
};

/*
 * One file, directory or link. Entry 0 is backup/ itself. The children of a directory
 * are the entries [first_child, first_child + n_children), sorted by name as
 * bytes. Everything is constant from the freeze until the session is freed.
 */
struct still_entry {
	enum still_kind kind;
	const char *path; /* relative to backup/; "" for entry 0 */
	const char *name; /* last part of path */
	uint32_t parent;
	uint32_t first_child;
	uint32_t n_children;
	uint32_t n_subdirs;
	uint32_t mode; /* permission bits only */
	uid_t uid;
	gid_t gid;
	uint64_t size_bytes; /* of a link: of its target */
	const char *target;  /* of a link, relative to its directory; NULL */
	int64_t time_s;      /* modification and change time */
	uint64_t ino; /* XXH3-64 of the path, two bits shortened; bit 62 is
			   set for what closes a set, so that tools that sort by
			   inode number read it last; bit 63 is never set */
	bool closing; /* its bytes are made of all others: it is not there
			   before still_session_seal() */
	bool seal;    /* verify/XXH128SUMS; closes all */
	uint32_t listed_last; /* of a directory: a child that closes a set and
				 is best listed behind the others; 0: none */
};

#define STILL_INO_CLOSING (UINT64_C(1) << 62)

/* ---- session ----------------------------------------------------------- */

enum still_state {
	STILL_IDLE,      /* nothing is held */
	STILL_PREPARING, /* the freeze is under way */
	STILL_SERVING,   /* the snapshot can be read */
	STILL_ENDED,     /* it has an outcome */
	STILL_STATE_COUNT
};

/* "idle", "preparing", "serving", "ended". Static. */
const char *still_state_word(enum still_state state);

enum still_session_kind {
	STILL_FULL,
	STILL_COPY, /* likewise, but nothing is ever built on it */
	/* What was added since its base: the last session that was committed
	 * and is no copy. A full session and those that build on it, one on the
	 * other, are a chain. */
	STILL_INCREMENTAL,
	STILL_SESSION_KIND_COUNT
};

/* "full", "copy", "incremental". Static. */
const char *still_session_kind_word(enum still_session_kind kind);

/* Numbers of an outcome stand in the catalog: they never change. */
enum still_outcome {
	STILL_NO_OUTCOME,
	STILL_COPIED,             /* all of it was served, and the seal */
	STILL_ABORTED_UNREAD,     /* nothing was served */
	STILL_ABORTED_PARTIAL,    /* something was */
	STILL_ABORTED_CORRUPT,    /* damage was found */
	STILL_ABORTED_INCOMPLETE, /* a database could not be frozen */
	STILL_ABORTED_LOST,       /* the moment could not be kept */
	STILL_ABORTED_FORCED,     /* the mount was taken away by force */
	STILL_ABORTED_FREEZE,     /* the moment could not be fixed */
	STILL_COMMITTED,          /* the client says that it has it */
	STILL_ABORTED_CALLER,     /* the client says that it does not */
	STILL_ABORTED_CRASH,      /* its process died */
	STILL_ABORTED_UNRECORDED, /* the catalog could not take its end */
	STILL_OUTCOME_COUNT
};

/* COMMITTED or COPIED: somebody has, or may have, all of it. */
bool still_outcome_is_good(enum still_outcome outcome);

/*
 * One backup. Its life is IDLE -> PREPARING -> SERVING -> ENDED; each function
 * says from which thread, and in which state, it may be called. Each step is
 * durable in the catalog before it takes effect; a session that is found there
 * unfinished, while nobody has its instance, is ABORTED(crash).
 *
 * Coverage: a file is whole when every byte of it was handed out by
 * still_session_read(). A file is known when its identity is the one that it
 * had in the last session that ended COMMITTED or COPIED: a tool that compares
 * times need not read it again. The session is COPIED when the seal is whole
 * and every other non-empty file whole or known; bytes that were read ahead by
 * a kernel count like any other, so COPIED means served, not stored.
 */
struct still_session;

/* `instance` and `events` outlive the session. NULL without memory. */
struct still_session *still_session_new(
    struct still_instance *instance, struct still_events *events);

/* Ended first if it is not. Accepts NULL. */
void still_session_free(struct still_session *session);

/*
 * IDLE -> SERVING: freeze. `dir_time_s` becomes the time of entry 0. Every
 * other entry keeps the time that it had in the last session that showed it
 * with the same identity; any other gets the second of the freeze, or the next
 * one after its last time. On failure the session is ENDED, its outcome
 * ABORTED(not frozen). BUSY when another session has the instance; that one is
 * undisturbed. INCREMENTAL: BASE when there is nothing to build on and a full
 * session is needed first, UNSUPPORTED when the instance or its engine keeps
 * no logs that could be had; where that is known before the freeze, no session
 * has begun in the catalog. Files of an incremental session have the time of
 * the freeze, and are never known: its place in a mount is its alone. One
 * thread, once. Blocks for as long as the freeze takes.
 */
int still_session_begin(struct still_session *session,
    enum still_session_kind kind, int64_t dir_time_s, struct still_error *err);

/* Ask begin and seal to give up. Any thread, any state. */
void still_session_cancel(struct still_session *session);

/* SERVING: the entries, constant until the session is freed. */
const struct still_entry *still_session_entries(
    const struct still_session *session, uint32_t *ret_n);

/* SERVING: the child of directory `parent` called `name`, or 0 (which is the
 * child of nobody) when there is none. */
uint32_t still_session_find(
    const struct still_session *session, uint32_t parent, const char *name);

/*
 * SERVING, any thread. Read up to `len` bytes of file `index`. Returns the
 * number of bytes, fewer than `len` only at the end of the file, or a negative
 * code: CORRUPT dooms the session; LOST for every read from then on; STALE when
 * the session is over; AGAIN for a closing file when it is not made yet: call
 * still_session_seal(). Blocks on the disk only.
 */
ssize_t still_session_read(struct still_session *session, uint32_t index,
    uint64_t off_bytes, void *data, size_t len, struct still_error *err);

/* SERVING: has the seal been made (or can it never be)? Any thread. */
bool still_session_sealed(struct still_session *session);

/*
 * SERVING, one thread at a time: read whatever no reader has read yet, so that
 * every file has its digest, and make the closing files. CORRUPT when the
 * session is doomed. Blocks for a pass over the unread rest.
 */
int still_session_seal(struct still_session *session, struct still_error *err);

/* SERVING, any thread: is the snapshot still protected? To be called each
 * second. LOST dooms every later read. */
int still_session_keep(struct still_session *session, struct still_error *err);

/* How a session comes to its end, short of a commit. */
enum still_end {
	STILL_END_DONE,   /* the outcome is by coverage */
	STILL_END_FORCED, /* the readers were cut off */
	STILL_END_ABORT,  /* the client gives it up */
	STILL_END_QUIET   /* as DONE, and there is no hurry */
};

/*
 * Let the snapshot go and settle the outcome. Any thread but not beside begin;
 * makes seal and commit give up, and waits for them and for readers inside
 * still_session_read(). Returns the outcome; a second call returns the same. A
 * QUIET one that would be COPIED serves on, without an outcome, while another
 * process keeps the catalog from taking its end: to be asked for again.
 */
enum still_outcome still_session_end(
    struct still_session *session, enum still_end how);

/* How a session is committed. All false: that, and nothing else. */
struct still_commit_options {
	bool truncate;  /* then release the logs that no committed session
			  needs (still_truncate()) */
	bool dry_run;   /* of `truncate`: only tell what it would release;
			  nothing is committed */
	bool elsewhere; /* say on record that somebody else has truncated */
	bool force;     /* though damage was found, but not when the moment was
			   lost, or a database is missing */
};

/* What a truncation released, or would. Cleared by the caller. */
struct still_truncation {
	char range[128]; /* of the logs, in the engine's words; "": nothing */
	uint64_t bytes;  /* 0: not known */
	uint32_t
	    sessions; /* whose page sums went, which stillfs itself keeps */
	/* Why nothing was released though the commit that asked for it stands;
	 * code 0: it was. */
	struct still_error error;
};
void still_truncation_clear(struct still_truncation *truncation);

/*
 * The client has it. SERVING: verify whatever was not read yet (as
 * still_session_seal()), record COMMITTED, let the snapshot go. ENDED as COPIED:
 * record COMMITTED, as still_catalog_commit(). ENDED as lost: LOST, with the
 * reason. Otherwise PROTO. On failure of a
 * serving session: CORRUPT and LOST have ended it, with that outcome; after
 * CANCELLED it is to be ended; after others (the catalog could not be written)
 * it serves on, and commit may be called again. One thread, not beside end.
 *
 * `options` NULL: none of them. `ret` (may be NULL) is filled when 0 is
 * returned. A truncation comes after the commit is durable and does not undo
 * it; one that fails is told in ret->error and in the event log. A commit that
 * fails truncates nothing, nor does one of a damaged session. INVALID: options
 * that contradict one another.
 */
int still_session_commit(struct still_session *session,
    const struct still_commit_options *options, struct still_truncation *ret,
    struct still_error *err);

/*
 * Release of `source` what no session from the last committed one on needs,
 * oldest first, and remember it with that one; with `dry_run` only tell.
 * `options` as for still_instance_attach(), with a catalog. BASE: no session is
 * committed, or the last one is damaged. BUSY: a session has the instance. `ret`
 * is set on success.
 */
int still_truncate(const char *source, const struct still_options *options,
    bool dry_run, struct still_truncation *ret, struct still_error *err);

/* Begin time and a random tail. */
#define STILL_SESSION_ID_BYTES 40

/* What a session can tell of itself at one moment. */
struct still_session_status {
	enum still_state state;
	enum still_outcome outcome;
	enum still_session_kind kind;
	char id[STILL_SESSION_ID_BYTES];
	uint64_t number; /* of this instance's, from 1; 0: no catalog */
	char base[STILL_SESSION_ID_BYTES];  /* INCREMENTAL: what it builds on */
	char chain[STILL_SESSION_ID_BYTES]; /* the full session of its chain;
					       "": it is in none */
	uint32_t link;        /* how far from that; 0: it is that */
	bool forced;          /* committed though damage was found */
	bool elsewhere;       /* somebody else truncates, says its client */
	int64_t begun_at_ns;  /* CLOCK_REALTIME; 0 before begin */
	int64_t frozen_at_ns; /* 0 before the freeze succeeded */
	int64_t ended_at_ns;  /* 0 before the end */
	/* What the instance bears for the session's sake, as of the last
	 * still_session_keep(). Before the first, whether anything is held. */
	enum still_pin pin;
	uint32_t n_pinned;       /* databases of which something is held */
	int64_t pin_age_ns;      /* of the oldest pin; 0: nothing is held */
	uint64_t log_held_bytes; /* of logs that cannot be reused meanwhile */
	uint64_t log_kept_bytes; /* of logs for incremental sessions to come,
				    which stay when this one is over */
	uint64_t wal_max_bytes;  /* with how much more it is given up; 0: no
				    limit */
	uint64_t pin_moves;      /* how often a pin was moved on */
	uint64_t let_by;         /* checkpointers that it was moved away from */
	uint64_t copy_bytes;     /* to be copied, so that nothing is held; 0:
				    nothing is copied */
	uint64_t copied_bytes;   /* of these */
	bool spool_full;         /* no room to complete the copy */
	uint64_t pages_compared; /* with the base's, as they cannot have
				    changed since */
	uint64_t spool_bytes;    /* that private copies take, as of now */
	const char *cut;         /* static; NULL before the freeze */
	int64_t cut_width_ns;
	int64_t writers_held_ns; /* at most, by the freeze */
	/* How its files were captured: "clone", "copy" ... static; NULL before
	 * the freeze, and where there is one way only. */
	const char *freeze;
	uint64_t capture_bytes;  /* that a freeze captures; 0: none does */
	uint64_t captured_bytes; /* of these */
	const char *verified;    /* static; NULL before the freeze */
	uint32_t databases;      /* in the snapshot */
	uint32_t files;          /* non-empty ones, the seal among them */
	uint32_t files_whole;    /* served whole */
	uint32_t files_known;    /* not whole, but known */
	bool covered;            /* if it ended now, it would be COPIED */
	bool lost;               /* nothing more can be had of it */
	bool committing;         /* a commit's pass is under way */
	uint64_t bytes;
	uint64_t bytes_served; /* each byte once */
	uint64_t bytes_hashed; /* digested so far */
	bool sealing;          /* a pass for the seal is under way */
	bool sealed;
	bool seal_served;
	uint32_t n_damaged;       /* damages reported */
	uint32_t n_unfrozen;      /* databases that are listed, and no more */
	struct still_error error; /* the first of damage, loss, failed freeze;
				     owned by this copy */
};

void still_session_status(
    struct still_session *session, struct still_session_status *ret);
void still_session_status_clear(struct still_session_status *status);

/* "COPIED", "ABORTED(partial: 3 of 7 files)" ... */
#define STILL_OUTCOME_TEXT_BYTES 64
void still_outcome_text(const struct still_session_status *status,
    char out[STILL_OUTCOME_TEXT_BYTES]);

/* ---- records ----------------------------------------------------------- */

/* A session as the catalog knows it. */
struct still_record {
	char id[STILL_SESSION_ID_BYTES];
	uint64_t number;
	enum still_session_kind kind;
	char *source; /* owned, as are engine, place, error and hint */
	char *engine;
	char *place; /* or NULL */
	/* PREPARING and SERVING: its process is alive. */
	enum still_state state;
	enum still_outcome outcome;
	char outcome_text[STILL_OUTCOME_TEXT_BYTES];
	int64_t begun_at_ns;
	int64_t frozen_at_ns;
	int64_t ended_at_ns;     /* 0: not over, or nobody knows (crash) */
	int64_t committed_at_ns; /* 0: it is not */
	uint32_t databases;
	uint32_t files;
	uint32_t files_whole;
	uint32_t files_known;
	uint64_t bytes;
	uint64_t bytes_served;
	uint32_t n_damaged;
	char *verified; /* owned; NULL: never frozen */
	char *error;    /* NULL: none */
	char *hint;
	char base[STILL_SESSION_ID_BYTES];  /* what it builds on; "": nothing */
	char chain[STILL_SESSION_ID_BYTES]; /* the full session of its chain;
					       "": it is in none */
	uint32_t link;  /* how far from that; 0: it is that */
	bool forced;    /* committed though damage was found */
	bool truncated; /* for its sake; and what: */
	char *range;    /* owned; NULL: nothing, or not truncated */
	bool elsewhere; /* somebody else has truncated, said its client */
};

struct still_record_filter {
	const char *source; /* resolved; NULL: all */
	const char *place;  /* NULL: all */
	const char *id;     /* NULL: all */
	bool good;          /* only COMMITTED and COPIED */
	bool committed;     /* only COMMITTED */
	bool incremental;   /* only incremental ones */
	const char *chain;  /* only of this full session's chain; NULL: all */
	size_t limit;       /* 0: all */
};

/* Newest first. A session whose process died is told as ABORTED(crash), also
 * before anybody has written that down. On success `*ret` belongs to the
 * caller; it is NULL when there are none. */
int still_catalog_list(struct still_catalog *catalog,
    const struct still_record_filter *filter, struct still_record **ret,
    size_t *ret_n, struct still_error *err);
void still_records_free(struct still_record *records, size_t n);

/* COPIED -> COMMITTED, as long as no later session of the instance has begun.
 * A session that is COMMITTED already: 0, and nothing else is done. PROTO: it has
 * another outcome, or a later one has begun. NOTFOUND. BUSY: a session has the
 * instance. `options` and `ret` as for still_session_commit(); to truncate, it
 * attaches to the source as it is on record, for that moment. */
int still_catalog_commit(struct still_catalog *catalog, const char *id,
    const struct still_commit_options *options, struct still_truncation *ret,
    struct still_error *err);

/* ---- status ------------------------------------------------------------ */

/* Since the mount. */
struct still_totals {
	uint64_t bytes_served;
	uint64_t bytes_verified;
	uint64_t damages;
	uint64_t pin_moves;
	uint64_t let_by;
	uint64_t sessions[STILL_OUTCOME_COUNT]; /* ended, by outcome */
};

struct still_mount_status {
	const char *mountpoint;
	const char *state_dir;
	int64_t started_at_ns;
	pid_t pid;
	const struct still_instance_info *instance;
	const struct still_volumes *volumes;        /* NULL: none */
	const struct still_session_status *session; /* the present or last one
						       of this mount; NULL: none
						       yet */
	/* Of the instance, in whatever mount; NULL: none yet. */
	const struct still_record *last_committed;
	const struct still_record *last_good;        /* COMMITTED or COPIED */
	const struct still_record *last_incremental; /* COMMITTED */
	struct still_totals totals; /* the present session included */
	int64_t quiet_ns;           /* since the last request for the session */
	int64_t lease_ns;           /* after which quiet time it ends */
	int64_t stall_ns;           /* the same, while it is partly served */
};

/* For people, and for programs (stillfs-status(5)). The caller frees the text;
 * NULL without memory. */
char *still_status_text(
    const struct still_mount_status *status, size_t *ret_len);
char *still_status_json(
    const struct still_mount_status *status, size_t *ret_len);

/* For Prometheus (stillfs-metrics(5)), likewise. */
char *still_metrics_text(
    const struct still_mount_status *status, size_t *ret_len);

/* The version of this library. */
const char *still_version(void);

#endif
