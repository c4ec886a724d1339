/* SPDX-License-Identifier: MIT */
/*
 * frozen: one real database, frozen by itself as the SQLite engine does it, for
 * tests of what comes after the cut. Needs app.h.
 */
#ifndef TESTS_LIB_FROZEN_H
#define TESTS_LIB_FROZEN_H

#include "core/spool.h"
#include "engines/sqlite/image.h"

struct frozen {
	const char *dir;
	int root_fd;
	struct still_spool_dir spool;
	struct still_spool spool_ops;
	atomic_bool cancel;
	atomic_bool lost;
	struct sqlite_image image;
	/* What the observer was told: how often, and the last one. */
	unsigned n_warnings;
	char event[32];
	char text[256];
};

/* Ended by frozen_close(). `dir` is borrowed. */
void frozen_open(struct frozen *frozen, const char *dir);
void frozen_close(struct frozen *frozen);

/* Freeze `name` in that directory, and end what was frozen before. The test
 * fails where the freeze does; damage is in the image. */
void frozen_take(struct frozen *frozen, const char *name);

/* All of it as it is read now; the caller frees it. */
uint8_t *frozen_copy(struct frozen *frozen);

/* Read whole, and in parts, it is `want`. */
void frozen_is(struct frozen *frozen, const uint8_t *want);

/* End it. */
void frozen_release(struct frozen *frozen);

#endif
