/* SPDX-License-Identifier: MIT */
/*
 * instance: an engine's instance behind the public handle. Its functions are in
 * still.h; tests attach an engine of their own.
 */
#ifndef STILL_CORE_INSTANCE_H
#define STILL_CORE_INSTANCE_H

#include "core/spool.h"
#include "engines/engine.h"
#include "still.h"

struct still_instance {
	struct still_engine_instance *engine; /* owned */
	struct still_spool_dir spool;
	enum still_pin pin;
	uint64_t wal_max_bytes;        /* 0: no limit */
	struct still_catalog *catalog; /* borrowed; NULL: none */
	char *place;                   /* owned; or NULL */
	/* As of attach, so that any thread may ask: */
	const char *source; /* borrowed from the engine */
	char *log_dir;      /* owned; NULL: beside the databases */
};

/* The engine for `source`. INVALID: there is none, or the source holds a
 * secret. The table is static. */
int still_instance_engine(const char *source,
    const struct still_options *options, const struct still_engine **ret,
    struct still_error *err);

/* What an engine is told of the wishes. */
struct still_attach_options still_attach_options_of(
    const struct still_options *options);

/* As still_instance_attach(), with the engine given. */
int still_instance_attach_engine(const struct still_engine *engine,
    const char *source, const struct still_options *options,
    struct still_instance **ret, struct still_error *err);

#endif
