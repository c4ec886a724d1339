/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "fs/tree.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/hash.h"

#define BLOCK_BYTES 4096

const char *fs_live_name(enum fs_live live)
{
	static const char *const names[FS_LIVE_COUNT] = {
	    [FS_LIVE_STATUS] = "status",
	    [FS_LIVE_STATUS_JSON] = "status.json",
	    [FS_LIVE_METRICS] = "metrics",
	    [FS_LIVE_EVENTS] = "events",
	};

	return names[live];
}

void fs_link_name(uint64_t number, char ret[FS_LINK_NAME_BYTES])
{
	snprintf(ret, FS_LINK_NAME_BYTES, "%06" PRIu64, number);
}

/* As for entries, so that one rule makes all inode numbers of a mount. A
 * leading slash keeps root files apart from paths below backup/. */
static uint64_t ino_of(const char *path)
{
	return still_hash64(path, strlen(path)) >> 2;
}

static void set_times(struct stat *st, int64_t time_s)
{
	st->st_mtim.tv_sec = time_s;
	st->st_ctim.tv_sec = time_s;
	st->st_atim.tv_sec = time_s;
}

static void stat_dir(const struct still_instance_info *info, int64_t time_s,
    uint32_t n_subdirs, struct stat *ret)
{
	memset(ret, 0, sizeof(*ret));
	ret->st_mode = S_IFDIR | (info->dir_mode & 0755);
	ret->st_nlink = 2 + n_subdirs;
	ret->st_uid = info->uid;
	ret->st_gid = info->gid;
	ret->st_blksize = BLOCK_BYTES;
	set_times(ret, time_s);
}

void fs_stat_root(const struct still_instance_info *info, int64_t time_s,
    bool links, struct stat *ret)
{
	stat_dir(info, time_s, links ? 2 : 1, ret);
	ret->st_ino = FS_NODE_ROOT;
}

void fs_stat_backup(
    const struct still_instance_info *info, int64_t time_s, struct stat *ret)
{
	/* data and verify: there in every session. */
	stat_dir(info, time_s, 2, ret);
	ret->st_ino = ino_of("");
}

void fs_stat_links(
    const struct still_instance_info *info, int64_t time_s, struct stat *ret)
{
	/* The one session that can be in it, as soon as somebody looks. */
	stat_dir(info, time_s, 1, ret);
	ret->st_ino = ino_of("/" FS_LINKS);
}

void fs_stat_live(const struct still_instance_info *info, enum fs_live live,
    int64_t time_s, struct stat *ret)
{
	char path[32] = "/";

	strncat(path, fs_live_name(live), sizeof(path) - 2);
	memset(ret, 0, sizeof(*ret));
	ret->st_ino = ino_of(path);
	ret->st_mode = S_IFREG | (info->dir_mode & 0444);
	ret->st_nlink = 1;
	ret->st_uid = info->uid;
	ret->st_gid = info->gid;
	ret->st_blksize = BLOCK_BYTES;
	set_times(ret, time_s);
}

void fs_stat_entry(
    const struct still_entry *entry, bool direct_io, struct stat *ret)
{
	static const mode_t types[] = {
	    [STILL_DIR] = S_IFDIR,
	    [STILL_FILE] = S_IFREG,
	    [STILL_LINK] = S_IFLNK,
	};
	bool dir = entry->kind == STILL_DIR;
	bool big = entry->size_bytes >= FS_DIRECT_BYTES;

	memset(ret, 0, sizeof(*ret));
	ret->st_ino = entry->ino;
	ret->st_mode = types[entry->kind] | entry->mode;
	ret->st_nlink = dir ? 2 + entry->n_subdirs : 1;
	ret->st_uid = entry->uid;
	ret->st_gid = entry->gid;
	ret->st_size = (off_t) entry->size_bytes;
	ret->st_blocks = (blkcnt_t) ((entry->size_bytes + 511) / 512);
	/* What cp and others make their buffers of. */
	ret->st_blksize = big && fs_entry_is_direct(entry, direct_io)
	    ? FS_DIRECT_BYTES
	    : BLOCK_BYTES;
	set_times(ret, entry->time_s);
}
