/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "fs/mountpoint.h"

#include <dirent.h>
#include <errno.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/mounts.h"
#include "base/path.h"
#include "base/sys.h"
#include "control.h"

extern char **environ;

static bool is_dead(int sys_errno)
{
	return sys_errno == ENOTCONN || sys_errno == ECONNABORTED;
}

bool fs_mountpoint_is_dead(const char *path)
{
	struct stat st;

	return stat(path, &st) != 0 && is_dead(errno);
}

int fs_mountpoint_detach(const char *path)
{
	/* posix_spawn(3) promises not to write to them. */
	const char *argv[] = {"fusermount3", "-u", "-z", "-q", path, NULL};
	pid_t pid;
	int status;

	if (umount2(path, MNT_DETACH | UMOUNT_NOFOLLOW) == 0)
		return 0;
	if (posix_spawnp(
		&pid, argv[0], NULL, NULL, (char *const *) argv, environ) != 0)
		return -1;
	if (waitpid(pid, &status, 0) != pid)
		return -1;
	return WIFEXITED(status) && WEXITSTATUS(status) == 0 ? 0 : -1;
}

/* realpath(3) may stumble over the dead mount itself. */
static char *resolve(const char *mountpoint)
{
	char *path = realpath(mountpoint, NULL);
	char *copy;
	char *slash;

	if (path || !is_dead(errno))
		return path;
	copy = strdup(mountpoint);
	if (!copy)
		return NULL;
	while ((slash = strrchr(copy, '/')) && slash > copy && !slash[1])
		*slash = '\0';
	slash = strrchr(copy, '/');
	if (slash)
		*slash = '\0';
	path = realpath(!slash ? "." : *copy ? copy : "/", NULL);
	if (path) {
		char *full = still_path_join(path, slash ? slash + 1 : copy);

		free(path);
		path = full;
	}
	free(copy);
	return path;
}

/* Whatever is mounted at `path`: gone, harmless, or a refusal. */
static int clear_the_way(const char *path, struct still_error *err)
{
	for (;;) {
		struct still_mounted mount;
		bool ours;
		bool dead;

		if (still_mounts_at(path, &mount, NULL) < 0)
			return 0;
		ours = strcmp(mount.fstype, STILL_FSTYPE) == 0;
		dead = fs_mountpoint_is_dead(path);
		if (ours && !dead)
			return still_error_set(err, STILL_ERR_BUSY, 0,
			    "Unmount it first, or choose another mountpoint.",
			    "mountpoint `%s`: a stillfs is mounted there "
			    "already",
			    path);
		if (!ours && dead)
			return still_error_set(err, STILL_ERR_BUSY, 0,
			    "Detach it with `umount -l`, if nobody needs it.",
			    "mountpoint `%s`: a dead mount (%s) is in the way",
			    path, mount.fstype);
		if (!ours)
			return 0;
		if (fs_mountpoint_detach(path) < 0)
			return still_error_set(err, STILL_ERR_BUSY, 0,
			    "Detach it with `umount -l`.",
			    "mountpoint `%s`: a dead stillfs is in the way and "
			    "cannot be detached",
			    path);
	}
}

/* Is `dir` one of `path` and the directories above it? */
static bool among_ancestors(const struct stat *dir, const char *path)
{
	char *walk = strdup(path);
	bool found = false;

	while (walk && !found) {
		struct stat st;
		char *slash;

		found = stat(*walk ? walk : "/", &st) == 0 &&
		    st.st_ino == dir->st_ino && st.st_dev == dir->st_dev;
		if (!*walk)
			break;
		slash = strrchr(walk, '/');
		*(slash ? slash : walk) = '\0';
	}
	free(walk);
	return found;
}

/* `what` is "source" or "state directory". */
static int check_overlap(const char *path, const struct stat *st,
    const char *what, const char *other, struct still_error *err)
{
	const char *hint = "Choose a directory that has nothing to do with the "
			   "source, such as one below /mnt.";
	struct stat other_st;

	if (stat(other, &other_st) != 0)
		return still_error_sys(
		    err, errno, NULL, "%s `%s`", what, other);
	if (other_st.st_ino == st->st_ino && other_st.st_dev == st->st_dev)
		return still_error_set(err, STILL_ERR_INVALID, 0, hint,
		    "mountpoint `%s`: is the %s", path, what);
	if (among_ancestors(&other_st, path))
		return still_error_set(err, STILL_ERR_INVALID, 0, hint,
		    "mountpoint `%s`: lies in the %s `%s`", path, what, other);
	if (among_ancestors(st, other))
		return still_error_set(err, STILL_ERR_INVALID, 0, hint,
		    "mountpoint `%s`: lies above the %s `%s`", path, what,
		    other);
	return 0;
}

static int check_empty(const char *path, struct still_error *err)
{
	DIR *dir = opendir(path);
	const char *name;
	int found;

	if (!dir)
		return still_error_sys(
		    err, errno, NULL, "mountpoint `%s`", path);
	found = still_sys_readdir(dir, &name);
	closedir(dir);
	if (found < 0)
		return still_error_sys(
		    err, -found, NULL, "mountpoint `%s`", path);
	if (found == 0)
		return 0;
	return still_error_set(err, STILL_ERR_INVALID, 0,
	    "Its files would be hidden; choose an empty directory, or say "
	    "`-o nonempty`.",
	    "mountpoint `%s`: is not empty", path);
}

int fs_mountpoint_prepare(const char *mountpoint, const char *source,
    const char *state_dir, bool nonempty, char **ret, struct still_error *err)
{
	char *path = resolve(mountpoint);
	struct stat st;
	int rc;

	if (!path)
		return still_error_sys(err, errno, "Make the directory first.",
		    "mountpoint `%s`", mountpoint);
	rc = clear_the_way(path, err);
	if (rc == 0 && stat(path, &st) != 0)
		rc = still_error_sys(err, errno, NULL, "mountpoint `%s`", path);
	if (rc == 0 && !S_ISDIR(st.st_mode))
		rc = still_error_set(err, STILL_ERR_INVALID, 0,
		    "Make a directory for it.",
		    "mountpoint `%s`: is not a directory", path);
	if (rc == 0)
		rc = check_overlap(path, &st, "source", source, err);
	if (rc == 0)
		rc = check_overlap(
		    path, &st, "state directory", state_dir, err);
	if (rc == 0 && !nonempty)
		rc = check_empty(path, err);
	if (rc < 0) {
		free(path);
		return rc;
	}
	*ret = path;
	return 0;
}
