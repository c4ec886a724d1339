/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "fs/mount.h"

#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/mount_id.h"
#include "base/mounts.h"
#include "fs/mountpoint.h"
#include "fs/ops.h"

#define READ_AHEAD_KIB "1024"

void fs_mount_widen(const struct fs_mount_point *mount)
{
	char path[80];
	int fd;

	snprintf(path, sizeof(path), "/sys/class/bdi/%u:%u/read_ahead_kb",
	    major(mount->dev), minor(mount->dev));
	fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd < 0)
		return;
	/* Whether it helped or not, what is read is the same. */
	(void) !write(fd, READ_AHEAD_KIB, strlen(READ_AHEAD_KIB));
	close(fd);
}

/* The kernel still talks to us: then the device number is ours alone. */
bool fs_mount_connected(const struct fs_mount_point *mount)
{
	struct pollfd fd = {.fd = fuse_session_fd(mount->fuse)};

	return fd.fd >= 0 && poll(&fd, 1, 0) >= 0 && !(fd.revents & POLLERR);
}

/*
 * Not while the kernel knows our mount: then its device number is ours alone. Where
 * it cannot tell, the mount itself is asked, for ours, without a connection, is
 * dead; but then it may be the next one that is asked, and is held meanwhile, and
 * its answer may take long.
 */
static bool is_replaced(const struct fs_mount_point *mount)
{
	int there = mount->id ? still_mount_id_is_there(mount->id) : -1;

	if (there >= 0)
		return there == 0;
	return !fs_mount_connected(mount) &&
	    !fs_mountpoint_is_dead(mount->path);
}

/* Is our own mount on top of its place? A lazy umount may have made room for
 * somebody else's; and once the connection is gone, the next mount may get our
 * device number. */
bool fs_mount_is_ours(const struct fs_mount_point *mount)
{
	struct still_mounted there;

	return mount->dev && !atomic_load(&mount->gone) &&
	    still_mounts_at(mount->path, &there, NULL) == 0 &&
	    there.dev == mount->dev && !is_replaced(mount);
}

void fs_mount_settle(struct fs_mount_point *mount)
{
	struct still_mounted there;

	if (!fs_mount_connected(mount) &&
	    (still_mounts_at(mount->path, &there, NULL) < 0 ||
		there.dev != mount->dev))
		atomic_store(&mount->gone, true);
}

/* In the kernel's directory of connections, where that is mounted: it works for
 * any user, and when our mount has no place any more. */
static bool abort_connection(const struct fs_mount_point *mount)
{
	char path[80];
	bool done;
	int fd;

	snprintf(path, sizeof(path), "/sys/fs/fuse/connections/%u/abort",
	    minor(mount->dev));
	fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd < 0)
		return false;
	done = write(fd, "1", 1) == 1;
	close(fd);
	return done;
}

void fs_mount_abort(const struct fs_mount_point *mount)
{
	if (!mount->dev || !fs_mount_connected(mount) ||
	    abort_connection(mount) || !fs_mount_is_ours(mount))
		return;
	umount2(mount->path, MNT_FORCE | MNT_DETACH | UMOUNT_NOFOLLOW);
}

/* libfuse leaves a mount alone whose connection is gone, and only tidies up;
 * after umount -f that is not enough. */
void fs_mount_end(const struct fs_mount_point *mount)
{
	/* Once: it gives the descriptor up, and frees a name. */
	if (fuse_session_fd(mount->fuse) >= 0 &&
	    (fs_mount_is_ours(mount) || !fs_mount_connected(mount)))
		fuse_session_unmount(mount->fuse);
	if (fs_mount_is_ours(mount))
		fs_mountpoint_detach(mount->path);
}

/* In an option list, commas and backslashes need a backslash. */
static void add_escaped(struct still_buf *buf, const char *text)
{
	for (; *text; text++) {
		if (*text == ',' || *text == '\\')
			still_buf_str(buf, "\\");
		still_buf_add(buf, text, 1);
	}
}

int fs_mount_begin(struct fs_mount_point *mount, struct fs_state *state,
    const struct fs_options *options, struct still_error *err)
{
	struct fuse_args args = FUSE_ARGS_INIT(0, NULL);
	struct still_buf list = STILL_BUF_INIT;
	struct still_mounted there;
	int rc = 0;

	if (options->allow_other)
		still_buf_str(&list, "allow_other,");
	if (options->noexec)
		still_buf_str(&list, "noexec,");
	still_buf_str(&list,
	    "ro,nosuid,nodev,default_permissions,"
	    "subtype=stillfs,fsname=");
	add_escaped(&list, state->info.source);
	if (list.failed || fuse_opt_add_arg(&args, "stillfs") != 0 ||
	    fuse_opt_add_arg(&args, "-o") != 0 ||
	    fuse_opt_add_arg(&args, list.data) != 0 ||
	    (options->debug && fuse_opt_add_arg(&args, "-d") != 0)) {
		rc = still_error_nomem(err);
	} else {
		mount->fuse = fuse_session_new(
		    &args, &fs_ops, sizeof(fs_ops), state);
		if (!mount->fuse ||
		    fuse_session_mount(mount->fuse, mount->path) != 0)
			rc = still_error_set(err, STILL_ERR_FAILED, 0,
			    "Is the fuse3 package installed, and may this user "
			    "mount there?",
			    "mountpoint `%s`: the mount failed", mount->path);
	}
	fuse_opt_free_args(&args);
	still_buf_release(&list);
	if (rc < 0)
		return rc;
	rc = still_mounts_at(mount->path, &there, err);
	mount->id = still_mount_id_at(mount->path);
	if (rc == 0)
		mount->dev = there.dev;
	else
		fuse_session_unmount(mount->fuse);
	return rc;
}
