/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "core/stage.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mounts.h"
#include "base/rmtree.h"
#include "base/sys.h"
#include "core/trust.h"

#define TRIES 20
#define OPEN_DIR (O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)

/* What is in it goes. 0 or -errno; -EBUSY, and all is there, when something is
 * mounted in it. */
static int empty(int dirfd)
{
	DIR *dir = NULL;
	const char *name;
	int rc;
	int next;

	if (still_mounts_below(dirfd))
		return -EBUSY;
	rc = still_sys_opendir(dirfd, &dir);
	if (rc < 0)
		return rc;
	while ((next = still_sys_readdir(dir, &name)) > 0) {
		int one = still_rmtree(dirfd, name);

		if (rc == 0)
			rc = one;
	}
	closedir(dir);
	return rc < 0 ? rc : next;
}

/* ---- whose it is --------------------------------------------------------- */

/* Does the name stand for the directory that `fd` is? */
static bool is_named(int base_fd, const char *name, int fd)
{
	struct stat open;
	struct stat named;

	return fstat(fd, &open) == 0 &&
	    fstatat(base_fd, name, &named, AT_SYMLINK_NOFOLLOW) == 0 &&
	    open.st_dev == named.st_dev && open.st_ino == named.st_ino;
}

bool still_stage_is_taken(int base_fd, const char *name)
{
	int fd = openat(base_fd, name, OPEN_DIR);
	bool taken;

	if (fd < 0)
		return false;
	taken = flock(fd, LOCK_SH | LOCK_NB) != 0 && errno == EWOULDBLOCK;
	close(fd);
	return taken;
}

static int busy(
    const struct still_stage *stage, const char *where, struct still_error *err)
{
	return still_error_set(err, STILL_ERR_BUSY, EWOULDBLOCK,
	    "Wait until it has ended.",
	    "`%s/%s`: another restore to this place is under way", where,
	    stage->name);
}

/* Take the one that is there, which we may just have made: 0, -EAGAIN when it has
 * gone meanwhile, or another -errno. */
static int take(struct still_stage *stage, bool made)
{
	struct stat st;
	int fd = still_sys_enter(stage->base_fd, stage->name);
	int rc = 0;

	if (fd < 0)
		return fd == -ENOENT ? -EAGAIN : fd;
	if (flock(fd, LOCK_EX | LOCK_NB) != 0 || fstat(fd, &st) != 0)
		rc = -errno;
	else if (!is_named(stage->base_fd, stage->name, fd))
		rc = -EAGAIN;
	else if (!made && !still_trusts_name(stage->base_fd, stage->name))
		rc = -EEXIST;
	else if (st.st_uid != geteuid() &&
	    (geteuid() != 0 || fchown(fd, 0, 0) != 0))
		rc = -EEXIST;
	else if (fchmod(fd, 0700) != 0)
		rc = -errno;
	if (rc == 0) {
		stage->fd = fd;
		stage->own = true;
	} else {
		close(fd);
	}
	return rc;
}

static int begin(
    struct still_stage *stage, const char *where, struct still_error *err)
{
	bool taken = false;
	int rc = -EAGAIN;

	for (int i = 0; i < TRIES && rc == -EAGAIN && !taken; i++) {
		bool made;

		rc = still_sys_mkdir(stage->base_fd, stage->name, 0700);
		if (rc < 0 && rc != -EEXIST)
			return still_error_sys(
			    err, -rc, NULL, "`%s/%s`", where, stage->name);
		made = rc == 0;
		rc = take(stage, made);
		if (rc < 0 && rc != -EAGAIN && made)
			unlinkat(stage->base_fd, stage->name, AT_REMOVEDIR);
		/* EAGAIN is EWOULDBLOCK. */
		taken = rc == -EAGAIN &&
		    still_stage_is_taken(stage->base_fd, stage->name);
	}
	if (rc == -EAGAIN)
		return busy(stage, where, err);
	if (rc == -EEXIST || rc == -ENOTDIR || rc == -ELOOP || rc == -EXDEV)
		return still_error_set(err, STILL_ERR_INVALID, -rc,
		    "Look what it is, move it away, and restore again.",
		    "`%s/%s`: is not ours, and has the name in which a "
		    "restore works",
		    where, stage->name);
	if (rc < 0)
		return still_error_sys(
		    err, -rc, NULL, "`%s/%s`", where, stage->name);
	rc = empty(stage->fd);
	if (rc == -EBUSY)
		return still_error_set(err, STILL_ERR_BUSY, EBUSY,
		    "It is what a restore that was killed left; unmount what "
		    "is in it.",
		    "`%s/%s`: something is mounted in it", where, stage->name);
	if (rc < 0)
		return still_error_sys(err, -rc,
		    "Remove it, and restore again.", "`%s/%s`", where,
		    stage->name);
	return 0;
}

int still_stage_begin(struct still_stage *stage, int base_fd, const char *name,
    const char *where, struct still_error *err)
{
	int rc;

	*stage = (struct still_stage) STILL_STAGE_INIT;
	stage->base_fd = base_fd;
	snprintf(stage->name, sizeof(stage->name), "%s", name);
	rc = begin(stage, where, err);
	if (rc < 0)
		still_stage_end(stage);
	return rc;
}

void still_stage_end(struct still_stage *stage)
{
	if (stage->fd < 0)
		return;
	if (stage->own) {
		fchmod(stage->fd, 0700);
		if (unlinkat(stage->base_fd, stage->name, AT_REMOVEDIR) != 0) {
			empty(stage->fd);
			unlinkat(stage->base_fd, stage->name, AT_REMOVEDIR);
		}
	}
	close(stage->fd);
	stage->fd = -1;
	stage->own = false;
}
