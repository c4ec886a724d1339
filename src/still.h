/* SPDX-License-Identifier: MIT */
/*
 * still: what libstill offers to the programs around it.
 *
 *	instance   the live databases behind a source
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
	STILL_LEVEL_DEBUG,
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

/* ---- instance ---------------------------------------------------------- */

struct still_instance;

/* What a freeze looks at, beyond what is checked always. */
enum still_verify {
	STILL_VERIFY_BASIC,
	STILL_VERIFY_QUICK, /* the structure of each database */
	STILL_VERIFY_FULL   /* all that the engine can check */
};

struct still_options {
	const char
	    *engine; /* only this one; NULL: whichever knows the source */
	bool force;  /* take sources in places that are refused */
	uint32_t freeze_ms;   /* how long a moment is looked for */
	uint32_t stall_ms;    /* how long writers may be held off for copies */
	uint32_t barrier_max; /* how many databases one moment may span */
	const char *spool;    /* where copies lie; NULL: the default place */
	enum still_verify verify;
};

#define STILL_FREEZE_MS_DEFAULT 10000
#define STILL_STALL_MS_DEFAULT 500
#define STILL_BARRIER_MAX_DEFAULT 4000

/* Resolve and examine a source. Holds nothing in it afterwards. Reads the disk.
 * On success `*ret` belongs to the caller. */
int still_instance_attach(const char *source,
    const struct still_options *options, struct still_instance **ret,
    struct still_error *err);

/* No session of it may be alive. Accepts NULL. */
void still_instance_detach(struct still_instance *instance);

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

/* ---- entries ----------------------------------------------------------- */

enum still_kind {
	STILL_DIR,
	STILL_FILE
};

/*
 * One file or directory. Entry 0 is backup/ itself. The children of a directory
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
	uint64_t size_bytes;
	int64_t time_s; /* modification and change time */
	uint64_t ino;   /* XXH3-64 of the path, two bits shortened; bit 62 is
			   set for what closes a set, so that tools that sort by
			   inode number read it last; bit 63 is never set */
	bool seal;      /* verify/XXH128SUMS */
};

/* ---- session ----------------------------------------------------------- */

enum still_state {
	STILL_IDLE,      /* nothing is held */
	STILL_PREPARING, /* the freeze is under way */
	STILL_SERVING,   /* the snapshot can be read */
	STILL_ENDED,     /* it has an outcome */
	STILL_STATE_COUNT
};

enum still_outcome {
	STILL_NO_OUTCOME,
	STILL_COPIED,          /* every byte of it was served, and the seal */
	STILL_ABORTED_UNREAD,  /* nothing was served */
	STILL_ABORTED_PARTIAL, /* something was */
	STILL_ABORTED_CORRUPT, /* damage was found */
	STILL_ABORTED_INCOMPLETE, /* a database could not be frozen */
	STILL_ABORTED_LOST,       /* the moment could not be kept */
	STILL_ABORTED_FORCED,     /* the mount was taken away by force */
	STILL_ABORTED_FREEZE,     /* the moment could not be fixed */
	STILL_OUTCOME_COUNT
};

/*
 * One backup. Its life is IDLE -> PREPARING -> SERVING -> ENDED; each function
 * says from which thread, and in which state, it may be called.
 *
 * Coverage: a file is whole when every byte of it was handed out by
 * still_session_read(). The session is COPIED when all non-empty files are
 * whole, the seal among them; bytes that were read ahead by a kernel count like
 * any other, so COPIED means served, not stored.
 */
struct still_session;

/* `instance` and `events` outlive the session. NULL without memory. */
struct still_session *still_session_new(
    struct still_instance *instance, struct still_events *events);

/* Ended first if it is not. Accepts NULL. */
void still_session_free(struct still_session *session);

/*
 * IDLE -> SERVING: freeze. `dir_time_s` becomes the time of entry 0. On failure
 * the session is ENDED, its outcome ABORTED(not frozen). One thread, once.
 * Blocks for as long as the freeze takes, and then until the second in which it
 * fell is over: files carry that second as their time, whole, and so no later
 * session of the same files carries it too.
 */
int still_session_begin(
    struct still_session *session, int64_t dir_time_s, struct still_error *err);

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
 * the session is over; AGAIN for the seal when it is not made yet: call
 * still_session_seal(). Blocks on the disk only.
 */
ssize_t still_session_read(struct still_session *session, uint32_t index,
    uint64_t off_bytes, void *data, size_t len, struct still_error *err);

/* SERVING: has the seal been made (or can it never be)? Any thread. */
bool still_session_sealed(struct still_session *session);

/*
 * SERVING, one thread at a time: read whatever no reader has read yet, so that
 * every file has its digest, and make verify/XXH128SUMS. CORRUPT when the
 * session is doomed. Blocks for a pass over the unread rest.
 */
int still_session_seal(struct still_session *session, struct still_error *err);

/* SERVING, any thread: is the snapshot still protected? To be called each
 * second. LOST dooms every later read. */
int still_session_keep(struct still_session *session, struct still_error *err);

/*
 * Let the snapshot go and settle the outcome. `forced`: the readers were cut
 * off. Waits for readers inside still_session_read(), not for begin or seal,
 * which the caller must have joined. Returns the outcome; a second call returns
 * the same.
 */
enum still_outcome still_session_end(
    struct still_session *session, bool forced);

/* What a session can tell of itself at one moment. */
struct still_session_status {
	enum still_state state;
	enum still_outcome outcome;
	char id[40];          /* begin time and a random tail */
	int64_t begun_at_ns;  /* CLOCK_REALTIME; 0 before begin */
	int64_t frozen_at_ns; /* 0 before the freeze succeeded */
	int64_t pin_age_ns;   /* how long the instance has been held; 0: not */
	const char *cut;      /* static; NULL before the freeze */
	int64_t cut_width_ns;
	int64_t writers_held_ns; /* at most, by the freeze */
	const char *verified;    /* static; NULL before the freeze */
	uint32_t databases;      /* in the snapshot */
	uint32_t files;          /* non-empty ones, the seal among them */
	uint32_t files_whole;    /* served whole */
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

/* ---- status ------------------------------------------------------------ */

struct still_mount_status {
	const char *mountpoint;
	int64_t started_at_ns;
	pid_t pid;
	const struct still_instance_info *instance;
	const struct still_session_status *session; /* NULL: none yet */
};

/* For people, and for programs (stillfs-status(5)). The caller frees the text;
 * NULL without memory. */
char *still_status_text(
    const struct still_mount_status *status, size_t *ret_len);
char *still_status_json(
    const struct still_mount_status *status, size_t *ret_len);

/* The version of this library. */
const char *still_version(void);

#endif
