/* SPDX-License-Identifier: MIT */
/*
 * tree: which number means what.
 *
 * TWO KINDS OF NUMBERS. A node id is what the kernel calls an entry by; it must
 * never mean two things, because caches and open directories outlive sessions.
 * An inode number is what people and tools see in st_ino; it must be the same
 * tomorrow, because tools compare it. So:
 *
 *	node 1               the mount's root
 *	nodes 2, 3, ...      the live files in the root: status, events ...
 *	node epoch<<32 | i   entry i of the epoch's session; entry 0 is backup/
 *	node epoch<<32 | FS_INDEX_LINKS   incremental/
 *	node epoch<<32 | FS_INDEX_LINK    incremental/NUMBER, entry 0 of a
 *	                                  session that is incremental
 *
 * An epoch is one session that could be seen, counted from 1 for each mount;
 * while none serves, backup/ belongs to the epoch to come, so that to look at
 * it begins nothing. So does incremental/: which of the two the session to come
 * will be in is open, and therefore neither is ever the other's entry 0. A node
 * of another epoch than the present one is stale;
 * epoch 0 is that of nobody. Inode numbers are hashes of paths (struct still_entry).
 *
 * Entries are constant, so the kernel need not be asked twice: long timeouts,
 * no bookkeeping of its forgets. Live files and backup/ itself have none.
 *
 * Pure functions; any thread.
 */
#ifndef FS_TREE_H
#define FS_TREE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/stat.h>

#include "still.h"

enum fs_node {
	FS_NODE_ROOT = 1,
	FS_NODE_LIVE_FIRST = 2,
};

/* Files of the root that tell of the present; rendered when opened. */
enum fs_live {
	FS_LIVE_STATUS,
	FS_LIVE_STATUS_JSON,
	FS_LIVE_METRICS,
	FS_LIVE_EVENTS,
	FS_LIVE_COUNT
};

#define FS_BACKUP "backup"
#define FS_LINKS "incremental"

#define FS_INDEX_BACKUP 0
#define FS_INDEX_LINK (UINT32_MAX - 1)
#define FS_INDEX_LINKS UINT32_MAX

/* What the directory of an incremental session is called, by its number: six
 * digits or more. */
#define FS_LINK_NAME_BYTES 24
void fs_link_name(uint64_t number, char ret[FS_LINK_NAME_BYTES]);

/* "status" ... Static. */
const char *fs_live_name(enum fs_live live);

static inline uint64_t fs_node_of(uint32_t epoch, uint32_t index)
{
	return (uint64_t) epoch << 32 | index;
}

static inline bool fs_node_is_entry(uint64_t node)
{
	return node >> 32 != 0;
}

static inline uint32_t fs_node_epoch(uint64_t node)
{
	return (uint32_t) (node >> 32);
}

static inline uint32_t fs_node_index(uint64_t node)
{
	return (uint32_t) node;
}

/* backup/ or incremental/, in whose session `node` lies or will lie. */
static inline bool fs_node_is_top(uint64_t node)
{
	return fs_node_index(node) == FS_INDEX_BACKUP ||
	    fs_node_index(node) == FS_INDEX_LINKS;
}

static inline bool fs_node_is_live(uint64_t node)
{
	return node >= FS_NODE_LIVE_FIRST &&
	    node < FS_NODE_LIVE_FIRST + FS_LIVE_COUNT;
}

/* How long the kernel may remember what a session shows, in seconds. */
#define FS_TIMEOUT_SESSION 86400.0

/* With the option direct_io, files of this size and more are read past the page
 * cache, in requests of it. Smaller ones cost less through the cache, which
 * knows where they end, and can be mapped. */
#define FS_DIRECT_BYTES (1024 * 1024)

/* Is this file read past the page cache? The seal always is, because it may be
 * withdrawn at any time. */
static inline bool fs_entry_is_direct(
    const struct still_entry *entry, bool direct_io)
{
	return entry->seal ||
	    (direct_io && entry->kind == STILL_FILE &&
		entry->size_bytes >= FS_DIRECT_BYTES);
}

/* Attributes, whole. `time_s`: when the mount was made. `links`: there is an
 * incremental/ in it. */
void fs_stat_root(const struct still_instance_info *info, int64_t time_s,
    bool links, struct stat *ret);
void fs_stat_live(const struct still_instance_info *info, enum fs_live live,
    int64_t time_s, struct stat *ret);
/* backup/ before its session exists. */
void fs_stat_backup(
    const struct still_instance_info *info, int64_t time_s, struct stat *ret);
/* incremental/, before its session exists and while it does. */
void fs_stat_links(
    const struct still_instance_info *info, int64_t time_s, struct stat *ret);
void fs_stat_entry(
    const struct still_entry *entry, bool direct_io, struct stat *ret);

#endif
