/* SPDX-License-Identifier: MIT */
/*
 * power: what a power failure may leave of a directory.
 *
 * A trace is all that was done to the files of one directory, in its order.
 * When the power fails before operation n:
 *
 *  1. What was written to a file before its last sync is there. Of every later
 *     write, each sector of 512 bytes is there or not, each for itself; a later
 *     truncation has happened or not. Where a file has grown and its bytes are
 *     not there, it holds zeros, or anything.
 *  2. Names are where they were at the last sync of the directory. Of every
 *     later creation and removal, each has happened or not. The sync of a file
 *     says nothing of its name.
 *  3. Nothing else: a write disturbs no byte outside of it, and what was synced
 *     stays.
 */
#ifndef TESTS_LIB_POWER_H
#define TESTS_LIB_POWER_H

#include <stddef.h>
#include <stdint.h>

enum power_kind {
	POWER_CREATE, /* `name` begins to be file `ino` */
	POWER_DELETE, /* `name` is no more */
	POWER_WRITE,
	POWER_TRUNCATE, /* to `off_bytes` */
	POWER_SYNC,
	POWER_SYNC_DIR,
	POWER_BEGIN, /* step `step` is asked for */
	POWER_ANSWER /* and answered: it must not be lost any more */
};

#define POWER_NAME_BYTES 32

struct power_op {
	enum power_kind kind;
	char name[POWER_NAME_BYTES];
	uint32_t ino;
	uint64_t off_bytes;
	uint8_t *data; /* owned */
	size_t len;
	int step;
};

struct power_trace {
	struct power_op *ops; /* owned */
	size_t n;
	size_t n_before; /* those that made what was there before */
	uint32_t n_inos;
};

void power_release(struct power_trace *trace);

/* Add one; `data` is copied. */
void power_add(struct power_trace *trace, const struct power_op *op);

/* What is in `dir` already, as of a long time ago. */
void power_add_dir(struct power_trace *trace, const char *dir);

/* The last step that was answered, and asked for, before operation n; -1: none
 * was. */
int power_answered(const struct power_trace *trace, size_t n);
int power_begun(const struct power_trace *trace, size_t n);

/* One of the states that `dir` (empty) may be in after the power failed before
 * operation n. `random` is advanced. */
void power_fail(const struct power_trace *trace, size_t n, uint64_t *random,
    const char *dir);

#endif
