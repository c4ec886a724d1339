/* SPDX-License-Identifier: MIT */
/*
 * node: an entry of a snapshot while that is built; between builder.c, which
 * takes them from the engine, and snapshot.c, which sorts and numbers them.
 */
#ifndef STILL_CORE_NODE_H
#define STILL_CORE_NODE_H

#include "core/snapshot.h"

struct still_node {
	enum still_kind kind;
	bool implied; /* a parent that nobody handed over */
	char *path;   /* owned until it moves to the entry */
	uint32_t depth;
	uint64_t size_bytes;
	uint32_t mode;
	uid_t uid;
	gid_t gid;
	char *identity;             /* likewise; or NULL */
	char *target;               /* likewise; of a link */
	struct still_source source; /* likewise */
};

/* Takes node->source.memory, identity and target over on success. NOMEM. */
int still_builder_add(struct still_builder *builder, const char *path,
    const struct still_node *node);

/* As strcmp, but '/' is lower than any byte. */
int still_node_compare_paths(const char *a, const char *b);

#endif
