/* SPDX-License-Identifier: MIT */
/*
 * engine: the contract between stillfs and one kind of database.
 *
 * The life of an instance, in the order of the calls:
 *
 *	match      does this source belong to you?
 *	examine    what stands in the way? (only when somebody asks for all)
 *	attach     resolve it, look at it, refuse what cannot be backed up
 *	describe   what is there
 *	  freeze   fix one moment; hand every file of it to the builder
 *	  read     bytes of that moment, any order, many threads
 *	  keep     once a second: is the moment still protected?
 *	  thaw     let everything go
 *	  freeze ... thaw, as often as wanted
 *	detach
 *
 * Between attach and freeze, and after thaw, an engine holds nothing of the
 * databases: no connection, no lock, no descriptor of their files. Between freeze and thaw the
 * bytes, sizes and attributes of every object handed to the builder are
 * constant; an engine that can no longer promise this says STILL_ERR_LOST from
 * `keep` and from every later `read`.
 *
 * An engine never writes into the instance (but for `assist`), never waits for
 * ever, never prints and never exits. It may have threads of its own between
 * freeze and thaw. check_set and apply need no instance.
 *
 * Threads: match, attach, describe, freeze, thaw and detach of one instance
 * are called by one thread at a time; `thaw` may come from
 * another thread than `freeze`. `read` and `keep` come from any number of
 * threads at once, never beside `freeze` or `thaw`.
 */
#ifndef STILL_ENGINES_ENGINE_H
#define STILL_ENGINES_ENGINE_H

#include <assert.h>
#include <jansson.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/error.h"

struct still_engine;

/* What every engine's instance begins with. */
struct still_engine_instance {
	const struct still_engine *engine; /* set by attach, then constant */
};

/* How much a freeze looks at what it froze. */
enum still_check {
	STILL_CHECK_BASIC, /* what costs no pass over the data */
	STILL_CHECK_QUICK, /* that its structure holds together */
	STILL_CHECK_FULL   /* whatever the engine can check */
};

/* What becomes of what a freeze holds in the instance (its pin). */
enum still_pin_policy {
	STILL_PIN_AUTO,   /* moved on, and let go once the image is copied */
	STILL_PIN_GOVERN, /* moved on, for as long as the snapshot lives */
	STILL_PIN_HOLD    /* left where it is */
};

/* How a moment is had where it must be captured. */
enum still_freeze_way {
	STILL_FREEZE_AUTO,  /* the best that can be had */
	STILL_FREEZE_CLONE, /* blocks are shared, none are copied; or it fails */
	STILL_FREEZE_COPY
};

struct still_attach_options {
	/* Take sources that are refused for where they lie (network and FUSE
	 * file systems) or how they are linked. */
	bool force;
	/* How long a freeze may try before it fails with STILL_ERR_BUSY. */
	int64_t freeze_limit_ns;
	/* For how long writers may be held off, where a moment can only be
	 * had by copying. */
	int64_t stall_limit_ns;
	/* How many databases one moment may span. */
	uint32_t databases_max;
	enum still_check check;
	enum still_pin_policy pin;
	enum still_freeze_way way;
	/* How old a pin may become before it is moved on, where its age alone
	 * does harm. */
	int64_t pin_limit_ns;
	/* How many bytes the logs of all databases may grow by, together, for
	 * the sake of one snapshot. Beyond, it is given up. 0: no limit. */
	uint64_t log_limit_bytes;
	/* The engine may write into the instance what its application would
	 * write: its own checkpoints. */
	bool assist;
	/* Incremental sessions will be asked for: what they need may be kept in
	 * the instance from a full session's freeze on. */
	bool incremental;
};

struct still_database_info {
	const char *path;         /* relative to the source, as in data/ */
	uint64_t size_bytes;      /* of its main file, as last looked at */
	uint32_t page_size_bytes; /* 0 when not known before the freeze */
	const char *log;          /* "wal", "rollback" ... static */
};

/* All pointers are borrowed from the instance and valid until its next freeze
 * or detach. */
struct still_description {
	const char *source;         /* resolved, absolute */
	const char *engine_version; /* of the engine's own library or server */
	uint32_t dir_mode;          /* permission bits for directories that have
				       no counterpart in the source */
	uid_t uid;                  /* owner of what has no counterpart */
	gid_t gid;
	const struct still_database_info *databases;
	size_t n_databases;
	/* Where its log is written, absolute; NULL: beside the databases, and
	 * these on the file system of the source. */
	const char *log_dir;
};

/* How an engine tells of something that is no failure of the call at hand,
 * such as a read that was right only the second time. Any thread. */
struct still_observer {
	void (*warn)(
	    void *arg, const char *event, const char *object, const char *text);
	/* How far a freeze is that takes its time. NULL: nobody asks. */
	void (*progress)(void *arg, uint64_t done_bytes, uint64_t total_bytes);
	void *arg;
};

/*
 * Where an engine puts what it must copy: files without a name, whose room is
 * asked for before it is used. What was taken is given back by the engine, at
 * thaw at the latest; it closes its descriptors itself. `what` is what messages
 * call the copy. Any thread.
 */
struct still_spool {
	/* An open, empty file, with blocks for `bytes`; these are taken.
	 * NOSPACE, before anything is written, when there are not so many. */
	int (*open)(void *arg, const char *what, uint64_t bytes, int *ret_fd,
	    struct still_error *err);
	/* May `bytes` more be written? NOSPACE: no more than `spool_max` is
	 * taken in all, and the disk is not filled up. The blocks are not
	 * there yet. */
	int (*take)(void *arg, const char *what, uint64_t bytes,
	    struct still_error *err);
	void (*give)(void *arg, uint64_t bytes);
	void *arg;
};

/* ---- what a session builds on -------------------------------------------- */

/* The XXH3-64 of each page of a file as it was in a session, page 1 first. The
 * last page may be shorter than the others. Constant; valid as long as its base. */
struct still_page_sums {
	const uint64_t *sums;
	uint64_t n;
	uint32_t page_bytes;
};

/*
 * The last session that was committed and is no copy: what an incremental one
 * adds to, and what a full one can be compared with. Made by the core.
 */
struct still_base {
	const char *session; /* its id */
	uint64_t number;
	/* What the engine noted then (still_builder_note()); borrowed. NULL:
	 * nothing. Nobody but the engine wrote it, and it is as durable as the
	 * catalog; a later version of the engine may read what an earlier one
	 * noted. */
	const json_t *note;
	/* The sums of the pages of `path` (in that set: "data/app.db") as of
	 * then. NOTFOUND: there are none; CORRUPT, IO, NOMEM. May read all of
	 * them; asked again, it gives the same ones. One thread at a time. */
	int (*page_sums)(void *arg, const char *path,
	    struct still_page_sums *ret, struct still_error *err);
	void *arg;
};

struct still_freeze_request {
	/* All valid until thaw. */

	/* NULL: there is none, or nobody remembers any. */
	const struct still_base *base;
	/* Hand over only what was added since `base`, which is there: logs
	 * under logs/, whole under data/ what is not in it. BASE: that cannot
	 * be had, and a full session can; UNSUPPORTED: the instance keeps no
	 * logs that could be had (circular logging). */
	bool incremental;

	/* A copy: nothing will ever build on it, and what is kept in the
	 * instance for those that build on others is neither made nor moved. */
	bool apart;

	/* Nothing will be read, and it is thawed at once: what is copied only
	 * to be read may be left out, when there is room for it. */
	bool trial;

	/* Raised by another thread when the freeze is no longer wanted; the
	 * engine looks at it wherever it may wait and then fails with
	 * STILL_ERR_CANCELLED. Raised later, the thaw is near: what an engine
	 * does in the background for a long life of the snapshot may stop. */
	const atomic_bool *cancel;
	struct still_observer observer;
	struct still_spool spool;
};

/*
 * What freeze fills, implemented by the core. Paths are relative to backup/
 * ("data/app.db"), without "." or "..", and copied. Missing parent directories
 * are made with the attributes of the description.
 */
struct still_builder;

#define STILL_IDENTITY_MAX_BYTES 256

struct still_file_spec {
	const char *path;
	uint64_t size_bytes;
	uint32_t mode; /* permission bits of the source; the core removes the
			  write bits of group and others */
	uid_t uid;
	gid_t gid;
	/* Whatever changes when the content may have: two freezes that hand a
	 * path over with the same identity hand over the same bytes. Text, at
	 * most STILL_IDENTITY_MAX_BYTES, copied. NULL: never the same. */
	const char *identity;
	/* Not 0: the sums of its pages are wanted by a later session that builds
	 * on this one (struct still_base). The core makes them of what is
	 * read. */
	uint32_t page_bytes;
	void *object; /* handed back to read; owned by the engine, valid until
			 thaw */
};

/* STILL_ERR_INVALID for a path with a newline, which no checksum list can
 * name. A file that is handed over twice fails the session when the freeze is
 * done; of a directory the first attributes count. */
int still_builder_file(struct still_builder *builder,
    const struct still_file_spec *spec, struct still_error *err);
/* A file that is made of all others: its size is known, and its bytes are when
 * every other one was read (see still_close_fn). It has no identity. */
int still_builder_closing(struct still_builder *builder,
    const struct still_file_spec *spec, struct still_error *err);
int still_builder_dir(struct still_builder *builder, const char *path,
    uint32_t mode, uid_t uid, gid_t gid, struct still_error *err);

/* A symbolic link. `target` is copied; it is relative to the link's directory and
 * leads to something in the snapshot: INVALID where it leads out of it. */
int still_builder_link(struct still_builder *builder, const char *path,
    const char *target, uid_t uid, gid_t gid, struct still_error *err);

/*
 * Add one element to `databases` of backup.json. The reference to `description`
 * is stolen, also on failure; NULL is "out of memory". The core itself looks at
 * `path` (as still_json_set_name() puts it), `size_bytes`, `frozen` and
 * `verified` (the snapshot's, where one is left out), and `log`, an object with
 * the `mode` and whatever tells its range, in plain values.
 */
int still_builder_database(struct still_builder *builder, json_t *description,
    struct still_error *err);

/* What the engine wants to know of this session when a later one builds on it.
 * At most once; the reference is stolen, also on failure; NULL is "out of
 * memory". */
int still_builder_note(
    struct still_builder *builder, json_t *note, struct still_error *err);

/*
 * INCREMENTAL: room for the sums of the pages of `path` ("data/app.db"), which is
 * in the base, or was, and is not handed over whole. The engine fills all of
 * `*ret_sums` before freeze returns; they are the core's. NOMEM, NOSPACE, IO.
 */
int still_builder_page_sums(struct still_builder *builder, const char *path,
    uint32_t page_bytes, uint64_t n_pages, uint64_t **ret_sums,
    struct still_error *err);

/* INCREMENTAL: `path` ("data/app.db") is in the base, and in the instance no
 * more. */
int still_builder_dropped(
    struct still_builder *builder, const char *path, struct still_error *err);

/* How the databases' moments relate. */
struct still_cut {
	const char *words; /* "one commit", "one moment"; static */
	int64_t first_ns;  /* the moment lies between these two */
	int64_t last_ns;
	int64_t held_ns; /* how long writers can have been held off */
	bool pinned;     /* something of the instance is held until thaw */
	/* How the moment was captured: "clone", "copy"; static. NULL where
	 * there is one way only. */
	const char *way;
	/* Why it was not a better one; borrowed until thaw. NULL: it is what
	 * was asked for, or nothing to speak of. */
	const char *why;
};

/* Required. */
void still_builder_cut(
    struct still_builder *builder, const struct still_cut *cut);

/* Say which checks every byte of the snapshot has passed or will pass before
 * it is served ("header+logs"). Static. Required. */
void still_builder_verified(struct still_builder *builder, const char *words);

/* Report damage that the freeze itself found in `object`: the session is doomed
 * from its first moment, what is not damaged stays readable. NOMEM. */
int still_builder_damage(struct still_builder *builder, const char *object,
    const struct still_error *what, struct still_error *err);

/* Report that the database `object`, which was handed over as a file, is not
 * frozen, and why: every read of it will fail with IO. The session is doomed,
 * the others stay readable. NOMEM. */
int still_builder_unfrozen(struct still_builder *builder, const char *object,
    const struct still_error *why, struct still_error *err);

/* Does `source` look like one of this engine's? May look at the file system;
 * a source that does not exist is matched by its form. Never fails. */
typedef bool still_match_fn(const char *source);

enum still_obstacle {
	STILL_OBSTACLE_ERROR,  /* attach or a freeze would fail */
	STILL_OBSTACLE_WARNING /* they would not, and somebody should know */
};

/* `object` is what it is about ("role `backup`"), `text` begins with it, `hint`
 * may be NULL; all are the callee's to copy. `code` is an enum still_err_code. */
typedef void still_tell_fn(void *arg, enum still_obstacle level, int code,
    const char *object, const char *text, const char *hint);

/*
 * Optional. Tell everything that keeps `source` from being backed up, at once,
 * where attach fails with the first. What attach and a trial freeze tell anyway
 * can be left to them. Fails with NOMEM only. Blocks as attach does; holds
 * nothing afterwards.
 */
typedef int still_examine_fn(const char *source,
    const struct still_attach_options *options, still_tell_fn *tell, void *arg,
    struct still_error *err);

/*
 * Resolve and examine `source`. Refusals, each with its own message:
 * NOTFOUND (no such source, or nothing to back up in it), ACCESS, UNSUPPORTED
 * (engine cannot freeze it), INVALID (a name that cannot be served). On
 * success `*ret` belongs to the caller, who ends it with detach. Reads the
 * disk; holds nothing afterwards.
 */
typedef int still_attach_fn(const char *source,
    const struct still_attach_options *options,
    struct still_engine_instance **ret, struct still_error *err);

typedef void still_describe_fn(
    struct still_engine_instance *instance, struct still_description *ret);

/*
 * Fix the moment and fill the builder. On failure nothing is held and the
 * builder is thrown away. BUSY and AGAIN are refusals that may pass; others
 * name what to mend. May block up to freeze_limit_ns, plus the disk.
 */
typedef int still_freeze_fn(struct still_engine_instance *instance,
    const struct still_freeze_request *request, struct still_builder *builder,
    struct still_error *err);

/*
 * Fill `data` with `len` verified bytes of `object` from `off_bytes`; the
 * range lies inside the file. 0, or CORRUPT (message names the page or log
 * frame), LOST, IO, NOMEM; then `data` is undefined. Blocks on the disk only.
 */
typedef int still_read_fn(struct still_engine_instance *instance, void *object,
    uint64_t off_bytes, void *data, size_t len, struct still_error *err);

/* A file of the snapshot, every byte of it verified and digested. */
struct still_closed_file {
	const char *path; /* relative to backup/ */
	uint64_t size_bytes;
	int64_t time_s;  /* as it is shown */
	uint32_t crc32c; /* base/crc32c.h, ended */
};

/*
 * Optional; for who hands over closing files. Fill `data` with all bytes of the
 * closing file `object`. `files` are all others but the core's seal and other
 * closing ones, sorted as a snapshot is. 0, NOMEM, LOST, CORRUPT. Does not
 * block.
 */
typedef int still_close_fn(struct still_engine_instance *instance, void *object,
    const struct still_closed_file *files, size_t n, char *data,
    struct still_error *err);

/* What an instance bears for the sake of the moment, and what is done about it;
 * over all databases. */
struct still_held {
	uint32_t n_pinned;   /* databases of which something is held */
	int64_t pin_ns;      /* the age of the oldest pin; 0: nothing is held */
	uint64_t log_bytes;  /* of logs that cannot be reused meanwhile */
	uint64_t n_moves;    /* how often a pin was moved on */
	uint64_t n_let_by;   /* checkpointers of the application that waited
				for a pin, and that it was moved away from */
	uint64_t copy_bytes; /* of all that is to be copied, so that nothing is
				held any more; 0: nothing is */
	uint64_t copied_bytes; /* of these */
	bool spool_full;       /* there is no room to complete a copy */
	uint64_t n_compared;   /* pages that were compared with what they were
				  in the base, since they cannot have changed */
	uint64_t kept_bytes;   /* of logs for incremental sessions to come: they
				  stay when this one is over; 0: of none */
};

/* 0 while the moment is protected; STILL_ERR_LOST from then on when it is not.
 * `*ret_held` is set when it is. LOST also when the logs grew beyond
 * log_limit_bytes; nothing is held then any more. Does not block. */
typedef int still_keep_fn(struct still_engine_instance *instance,
    struct still_held *ret_held, struct still_error *err);

/* Release everything that the freeze took. Cannot fail; accepts an instance
 * that is not frozen. */
typedef void still_thaw_fn(struct still_engine_instance *instance);

/* A set's databases, to be checked by the engine's own means. */
struct still_check_request {
	int set_fd;               /* the set's directory */
	const char *const *paths; /* relative to it, as freeze gave them */
	size_t n;
	/* Which of them is begun; and what became of it, exactly one of three:
	 * sound, damaged, or (what its application brings along is not here)
	 * not to be checked. Texts begin with the object. */
	void (*begin)(void *arg, const char *path);
	void (*sound)(void *arg, const char *path);
	void (*damaged)(void *arg, const char *path, const char *text);
	void (*unchecked)(void *arg, const char *path, const char *text);
	void *arg;
};

/*
 * Optional. Check databases as they lie in a set, as deeply as the engine can.
 * What they hold is not to be trusted: it is called in a process of its own,
 * which may read below the set's directory and nothing else, write nowhere, and
 * is killed when it takes too much (core/sandbox.h). Fails with NOMEM, IO.
 */
typedef int still_check_set_fn(
    const struct still_check_request *request, struct still_error *err);

/* One link of a chain, and what has become of the links before it. */
struct still_apply_request {
	int root_fd; /* what is to become the databases: everything is there
			under its path in the set ("data/app.db"), as of the
			link before. Ours alone; nothing has it open */
	int set_fd;  /* the incremental set's directory; each file of it that
			its sums name was compared with them */
	const char *set;           /* its path, for messages */
	const json_t *description; /* its backup.json, of the known format */
	const atomic_bool *cancel;
};

/*
 * Optional; for who can freeze incrementally. Make of the databases below root_fd
 * what they were when the set was frozen: apply its logs, drop what it drops.
 * Files of the set under data/ and tablespaces/ are put in place by the core
 * before that, over what has their name. Prove the result as far as the set says
 * what it is. Files that are changed or made are synced by the core. CORRUPT (the
 * set is damaged, or does not belong to what is there), IO, NOSPACE, NOMEM,
 * CANCELLED. What is not to be trusted is the set.
 */
typedef int still_apply_fn(
    const struct still_apply_request *request, struct still_error *err);

/* What a truncation released, or would. */
struct still_truncated {
	char range[128]; /* in the engine's words: "0/3000000 - 0/9000028"; "":
			    nothing */
	uint64_t bytes;  /* 0: not known */
};

/*
 * Optional; for who keeps logs for incremental sessions. Release what no session
 * from `base` on needs, oldest first: `base` is the newest one that is committed
 * and on record. With `dry_run` only tell; `base` may be about to be committed
 * then, and the instance frozen, with `read` and `keep` at work. Else it is not
 * frozen. UNSUPPORTED: it keeps none. LOST, IO, ACCESS.
 */
typedef int still_truncate_fn(struct still_engine_instance *instance,
    const struct still_base *base, bool dry_run, struct still_truncated *ret,
    struct still_error *err);

/* Free the instance. It is thawed first. Accepts NULL. */
typedef void still_detach_fn(struct still_engine_instance *instance);

struct still_engine {
	const char *name; /* as in -o engine= and backup.json */
	still_match_fn *match;
	still_attach_fn *attach;
	still_describe_fn *describe;
	still_freeze_fn *freeze;
	still_read_fn *read;
	still_keep_fn *keep;
	still_thaw_fn *thaw;
	still_detach_fn *detach;
	still_check_set_fn *check_set; /* NULL: it has no means */
	still_close_fn *close;         /* NULL: it has no closing files */
	still_examine_fn *examine;     /* NULL: attach tells all there is */
	still_apply_fn *apply;         /* NULL: nothing is incremental */
	still_truncate_fn *truncate;   /* NULL: it keeps nothing */
};

/* The engine for `source`, or NULL. With `name` (may be NULL) only the engine
 * of that name is asked. The table is static. */
const struct still_engine *still_engine_find(
    const char *name, const char *source);

/* The engine of that name, or NULL. */
const struct still_engine *still_engine_named(const char *name);

/* The names of the engines built in, a NULL behind the last. Static. */
const char *const *still_engine_names(void);

/* The core calls an engine through these only. */

static inline int still_engine_attach(const struct still_engine *engine,
    const char *source, const struct still_attach_options *options,
    struct still_engine_instance **ret, struct still_error *err)
{
	int rc = engine->attach(source, options, ret, err);

	assert(rc < 0 || (*ret && (*ret)->engine == engine));
	return rc;
}

static inline void still_engine_describe(
    struct still_engine_instance *instance, struct still_description *ret)
{
	instance->engine->describe(instance, ret);
	assert(ret->source && ret->engine_version);
}

static inline int still_engine_freeze(struct still_engine_instance *instance,
    const struct still_freeze_request *request, struct still_builder *builder,
    struct still_error *err)
{
	assert(request->cancel && request->observer.warn);
	return instance->engine->freeze(instance, request, builder, err);
}

static inline int still_engine_read(struct still_engine_instance *instance,
    void *object, uint64_t off_bytes, void *data, size_t len,
    struct still_error *err)
{
	int rc;

	assert(len > 0);
	rc = instance->engine->read(
	    instance, object, off_bytes, data, len, err);
	assert(rc <= 0);
	return rc;
}

static inline int still_engine_close(struct still_engine_instance *instance,
    void *object, const struct still_closed_file *files, size_t n, char *data,
    struct still_error *err)
{
	assert(instance->engine->close);
	return instance->engine->close(instance, object, files, n, data, err);
}

static inline int still_engine_keep(struct still_engine_instance *instance,
    struct still_held *ret_held, struct still_error *err)
{
	return instance->engine->keep(instance, ret_held, err);
}

static inline void still_engine_thaw(struct still_engine_instance *instance)
{
	instance->engine->thaw(instance);
}

static inline void still_engine_detach(struct still_engine_instance *instance)
{
	if (instance)
		instance->engine->detach(instance);
}

#endif
