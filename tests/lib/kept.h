/* SPDX-License-Identifier: MIT */
/*
 * kept: a session of an engine, read whole, with all that a later one needs to
 * build on it; without the core, which does the same with files.
 *
 * Whatever goes wrong fails the test, but for what a freeze or a read says.
 */
#ifndef TESTS_LIB_KEPT_H
#define TESTS_LIB_KEPT_H

#include <stdatomic.h>
#include <stdbool.h>

#include "core/catalog.h"
#include "core/snapshot.h"
#include "core/spool.h"
#include "engines/engine.h"

/* A file of the session. */
struct kept_file {
	char *path;     /* owned */
	uint8_t *bytes; /* owned; zeros where it could not be read */
	size_t size;
	uint32_t page_bytes; /* 0: nobody wants sums of them */
	/* Of the parts (a page, or 4 KiB) that could not be read. */
	size_t n_bad;
	uint64_t first_bad; /* from 0 */
	char why[256];      /* the first */
};

struct kept {
	struct kept_file *files; /* owned */
	size_t n_files;
	struct still_summed
	    *summed; /* owned; of all that the base had, or has */
	size_t n_summed;
	json_t *description;    /* owned; backup.json, as far as engines go */
	json_t *note;           /* owned */
	size_t n_damages;       /* told by the freeze */
	uint64_t n_compared;    /* pages, with those of the base */
	struct still_base base; /* this one, for the next */
};

struct kept_request {
	struct still_engine_instance *instance;
	const struct kept *base; /* NULL: none */
	bool incremental;
	struct still_spool_dir *spool;
	struct still_catalog *catalog;  /* where sums lie */
	struct still_observer observer; /* may be without `progress` */
	/* Called between the freeze and the first read. NULL: nobody is. */
	void (*frozen)(void *arg);
	void *arg;
};

/* Freeze, read, thaw. What a freeze that fails returns; nothing is kept then. */
int kept_take(const struct kept_request *request, struct kept *ret,
    struct still_error *err);

/* The file at `path`, or NULL. */
const struct kept_file *kept_find(const struct kept *kept, const char *path);

/* Write all files below the directory `path`, over what has their names. */
void kept_write(const struct kept *kept, const char *path);

/* Accepts a zeroed one. */
void kept_release(struct kept *kept);

#endif
