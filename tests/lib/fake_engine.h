/* SPDX-License-Identifier: MIT */
/*
 * fake_engine: an engine without databases, that does as a test tells it.
 *
 * Its files are a function of (seed, number, offset), so a test knows every
 * byte without storing one, and a file may be of any size. What goes wrong, and
 * when, stands in the one `struct still_fake`; there is one instance at a time.
 *
 * Its increments are files in logs/ with all of a database that has changed; the
 * seeds and sizes of all of them are its note.
 *
 * To be attached with still_instance_attach_engine(), as "fake:" and any text;
 * "fake:missing" is a source that does not exist.
 */
#ifndef TESTS_LIB_FAKE_ENGINE_H
#define TESTS_LIB_FAKE_ENGINE_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "engines/engine.h"

#define STILL_FAKE_DATABASES_MAX 32

/* A place where the engine stands still as long as the gate is closed. */
struct still_fake_gate {
	pthread_mutex_t lock;
	pthread_cond_t changed;
	bool closed;
	unsigned n_waiting;
};

void still_fake_gate_close(struct still_fake_gate *gate);
void still_fake_gate_open(struct still_fake_gate *gate);
/* Blocks until somebody waits at the gate. */
void still_fake_gate_await(struct still_fake_gate *gate);

/* Reads of database `number` (-1: none) that touch [from, to) fail so. */
struct still_fake_fault {
	int number;
	uint64_t from_bytes;
	uint64_t to_bytes;
	int code;
	int sys_errno;
};

struct still_fake {
	/* Set by the test while no call is under way. */
	size_t n_databases;
	uint64_t size_bytes[STILL_FAKE_DATABASES_MAX];
	uint64_t seed; /* of the content; taken by a freeze */
	/* NULL: made of seed, number and size, so that it is another one when
	 * the content is. */
	const char *identity[STILL_FAKE_DATABASES_MAX];
	bool no_identity[STILL_FAKE_DATABASES_MAX]; /* it has none */
	int attach_code;       /* what attach fails with, or 0 */
	int freeze_code;       /* likewise */
	int damaged_at_freeze; /* the database that is reported, or -1 */
	int unfrozen; /* the one that is listed but not frozen, or -1 */
	const char *extra_path; /* one more (empty) file, or NULL */
	bool unpinned;          /* a freeze holds nothing */
	/* One more link, `data/link` to the directory `sub`, one empty
	 * directory, `data/empty`, and one closing file, `data/closing`, with a
	 * line "CRC SIZE PATH" for each other file, in hexadecimal. */
	bool shaped;
	int close_code;         /* what the closing file fails with, or 0 */
	struct still_held held; /* what keep tells */
	struct still_fake_fault fault;
	int64_t cut_first_ns;
	int64_t cut_last_ns;
	int64_t cut_held_ns;
	int64_t freeze_ns;          /* how long a freeze takes at least */
	const char *verified;       /* "nothing" */
	const char *warning;        /* what a freeze warns of, or NULL */
	const char *warning_object; /* or NULL: the source */
	const char *way;            /* of a capture, or NULL; as is the next */
	const char *why;
	uint64_t spool_bytes;    /* what a freeze takes of it */
	uint64_t captured_bytes; /* what it tells at its gate: of */
	uint64_t capture_bytes;  /* these; 0: nothing */
	/* What examine tells, each an error or a warning of "part `N`"; it ends
	 * with a NULL text. */
	struct {
		bool warning;
		const char *text;
	} obstacles[4];
	int examine_code; /* what it fails with, or 0 */
	uint64_t own_seed[STILL_FAKE_DATABASES_MAX]; /* added to `seed` */
	bool heedless;       /* it asks nothing of its base */
	uint32_t page_bytes; /* of what it hands over; 4096; 0: no sums */
	int truncate_code;   /* what it fails with, or 0 */

	/* Set by the test at any time. */
	struct still_fake_gate freeze_gate; /* opened by a cancel, too */
	struct still_fake_gate read_gate;
	atomic_bool lost;

	struct still_attach_options options; /* what attach got last */
	/* The base of the last freeze or truncation; "": there was none. */
	char base[64];
	bool incremental; /* so was the last freeze */
	/* Of the base's files, as far as the engine looked: those whose sums are
	 * what they were, those of which there are none, and others. */
	unsigned n_sums_right;
	unsigned n_sums_missing;
	unsigned n_sums_wrong;
	bool dry_run; /* so was the last truncation */

	/* How often each operation was called. */
	atomic_uint n_examine;
	atomic_uint n_attach;
	atomic_uint n_freeze;
	atomic_uint n_close;
	atomic_uint n_read;
	atomic_uint n_keep;
	atomic_uint n_thaw;
	atomic_uint n_detach;
	atomic_uint n_truncate;
};

extern struct still_fake still_fake;
extern const struct still_engine still_engine_fake;

/* Likewise, but nothing of it is incremental, and it keeps nothing. */
extern const struct still_engine still_engine_fake_plain;

/* Three databases, nothing wrong, all counters 0. */
void still_fake_reset(void);

/* "data/000.db", "data/sub/001.db" ... in one static buffer. */
const char *still_fake_path(size_t number);

/* What database `number` holds under `seed`. */
void still_fake_content(
    uint64_t seed, size_t number, uint64_t off_bytes, void *data, size_t len);

#endif
