/* SPDX-License-Identifier: MIT */
/*
 * meetings: the files of all freezes of a test, by which it is seen that whoever
 * has an identity that was met has the bytes that were met.
 */
#ifndef TESTS_ENGINE_MEETINGS_H
#define TESTS_ENGINE_MEETINGS_H

#include "tests/engine/context.h"

/* A file that was met. */
struct met {
	uint64_t path;
	uint64_t digest;                             /* of path and bytes */
	uint64_t hash;                               /* of the identity */
	char identity[STILL_IDENTITY_MAX_BYTES + 1]; /* "": it had none */
};

/* All of them, one freeze behind the other. */
struct meetings {
	struct met *met; /* owned */
	size_t n;
	size_t before; /* where the last freeze begins */
};

struct meeting {
	size_t n_files;
	size_t n_same;         /* have an identity that was met */
	size_t n_changed;      /* have other bytes than in the last freeze, or
			     were not there */
	size_t n_changed_same; /* of these, have an identity that was met */
};

/* Freeze, compare with all that was met before, and thaw. */
struct meeting meet(struct context *c, struct meetings *meetings);

#endif
