/* SPDX-License-Identifier: MIT */
/*
 * incremental: what a freeze does with the session before it.
 *
 * A full session with a base compares pages that cannot have changed (rot.h). An
 * incremental one gives each database that the base has a link (link.h), and
 * serves the others whole; refuses, with STILL_ERR_BASE, a base that noted
 * nothing, and what cannot be told as a step from the base: a database where there
 * was a directory, or the other way round.
 *
 * Threads: the freeze's.
 */
#ifndef SQLITE_INCREMENTAL_H
#define SQLITE_INCREMENTAL_H

#include "engines/sqlite/instance.h"

/* First of all: read what the base noted. BASE, NOMEM. */
int sqlite_incremental_begin(struct sqlite_instance *instance,
    const struct still_freeze_request *request, struct still_error *err);

/* The images are settled, their facts are taken, and no pin moves yet: arm
 * them, or give them links. BASE, NOMEM, IO, CANCELLED. */
int sqlite_incremental_prepare(struct sqlite_instance *instance,
    const struct still_freeze_request *request, struct still_error *err);

/* Incremental, and the governor is at work: make the links, and let go what has
 * one. What is damaged or cannot be read loses it. LOST, NOSPACE, IO, NOMEM,
 * CANCELLED. Reads what may have changed. */
int sqlite_incremental_make(struct sqlite_instance *instance,
    const struct still_freeze_request *request, struct still_builder *builder,
    struct still_error *err);

/* Incremental: tell what the base has and the source has no more; databases
 * first, then directories, each before the one that it is in. */
int sqlite_incremental_dropped(const struct sqlite_instance *instance,
    struct still_builder *builder, struct still_error *err);

#endif
