/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "core/volumes.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>

#include "base/buf.h"
#include "base/mounts.h"
#include "core/instance.h"

/* With less than this nobody commits much; some file systems never say 0. */
#define FULL_BYTES (UINT64_C(1) << 20)

static bool is_known(const struct still_volumes *volumes, const char *point)
{
	for (size_t i = 0; i < volumes->n; i++)
		if (strcmp(volumes->list[i].point, point) == 0)
			return true;
	return false;
}

/* Without memory there is none: nobody who asks would have any either. */
static void add(struct still_volumes *volumes, char *point, const char *code,
    const char *hint, struct still_buf *message)
{
	if (!message->failed && !is_known(volumes, point)) {
		volumes->list[volumes->n++] = (struct still_volume){
		    .code = code,
		    .point = point,
		    .message = still_buf_take(message, NULL),
		    .hint = hint,
		};
		point = NULL;
	}
	still_buf_release(message);
	free(point);
}

/* `point` becomes that of the volume. */
static void add_read_only(
    struct still_volumes *volumes, char *point, const char *path)
{
	struct still_buf message = STILL_BUF_INIT;

	still_buf_printf(&message,
	    "file system `%s`: is read-only, so nobody can write to `%s`",
	    point, path);
	add(volumes, point, "volume-read-only",
	    "If it is not meant to be, see the kernel's log: a file system "
	    "that meets an error is made read-only. Mend it, and mount it "
	    "anew.",
	    &message);
}

static void add_full(struct still_volumes *volumes, char *point,
    const char *path, uint64_t free_bytes, bool no_inode)
{
	struct still_buf message = STILL_BUF_INIT;

	still_buf_printf(&message, "file system `%s`: is full, ", point);
	if (no_inode) {
		still_buf_str(&message, "no inode is free");
	} else {
		still_buf_size(&message, free_bytes);
		still_buf_str(&message, " are free");
	}
	still_buf_printf(
	    &message, "; what is to be written to `%s` can fail", path);
	add(volumes, point, "volume-full",
	    "Make room there; until then the application cannot commit. Logs "
	    "that are kept for incremental sessions are released by `stillctl "
	    "truncate`.",
	    &message);
}

static void look(struct still_volumes *volumes, const char *path)
{
	char *point = NULL;
	bool read_only = false;
	struct statvfs vfs;
	uint64_t free_bytes;
	bool no_inode;

	if (statvfs(path, &vfs) != 0 ||
	    still_mounts_around(path, &point, &read_only, NULL) < 0)
		return;
	free_bytes = (uint64_t) vfs.f_bavail * vfs.f_frsize;
	no_inode = vfs.f_files > 0 && vfs.f_favail == 0;
	if (read_only)
		add_read_only(volumes, point, path);
	else if (free_bytes < FULL_BYTES || no_inode)
		add_full(
		    volumes, point, path, free_bytes, free_bytes >= FULL_BYTES);
	else
		free(point);
}

void still_volumes_look(
    const char *source, const char *log_dir, struct still_volumes *ret)
{
	*ret = (struct still_volumes){0};
	if (source[0] == '/')
		look(ret, source);
	if (log_dir)
		look(ret, log_dir);
}

void still_instance_volumes(
    const struct still_instance *instance, struct still_volumes *ret)
{
	still_volumes_look(instance->source, instance->log_dir, ret);
}

void still_volumes_release(struct still_volumes *volumes)
{
	for (size_t i = 0; i < volumes->n; i++) {
		free(volumes->list[i].point);
		free(volumes->list[i].message);
	}
	*volumes = (struct still_volumes){0};
}
