/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "core/locked.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "base/path.h"

#define BTRFS_MAGIC 0x9123683e
#define OVERLAYFS_MAGIC 0x794c7630

static bool parse(const char *line, struct still_lock_line *ret)
{
	unsigned long long inode;
	unsigned major_number;
	unsigned minor_number;
	long pid;

	/* What waits for a lock has none: its "->" is no kind. */
	if (sscanf(line, "%*d: %*[A-Z] %*s %*s %ld %x:%x:%llu", &pid,
		&major_number, &minor_number, &inode) != 4)
		return false;
	ret->dev = makedev(major_number, minor_number);
	ret->ino = (ino_t) inode;
	ret->pid = pid > 0 ? (pid_t) pid : -1;
	return true;
}

void still_locked_init(struct still_locked *locked)
{
	FILE *file = fopen("/proc/locks", "re");
	struct still_lock_line next;
	char line[256];

	memset(locked, 0, sizeof(*locked));
	while (file && fgets(line, sizeof(line), file)) {
		struct still_lock_line *grown;

		if (!parse(line, &next))
			continue;
		grown = reallocarray(
		    locked->lines, locked->n + 1, sizeof(*grown));
		if (!grown)
			break;
		locked->lines = grown;
		locked->lines[locked->n++] = next;
	}
	if (file)
		fclose(file);
}

void still_locked_release(struct still_locked *locked)
{
	free(locked->lines);
	memset(locked, 0, sizeof(*locked));
}

/* Does stat(2) tell the device that the list has? */
static bool tells_device(int dirfd)
{
	struct statfs fs;

	return fstatfs(dirfd, &fs) == 0 &&
	    (unsigned long) fs.f_type != BTRFS_MAGIC &&
	    (unsigned long) fs.f_type != OVERLAYFS_MAGIC;
}

static bool is_locked(const struct still_locked *locked, const struct stat *st,
    bool by_device, pid_t *ret_pid)
{
	for (size_t i = 0; i < locked->n; i++) {
		const struct still_lock_line *line = &locked->lines[i];

		if (line->ino != st->st_ino ||
		    (by_device && line->dev != st->st_dev))
			continue;
		*ret_pid = line->pid;
		return true;
	}
	return false;
}

bool still_locked_file(const struct still_locked *locked, int dirfd,
    const char *name, pid_t *ret_pid)
{
	struct stat st;

	return fstatat(dirfd, name, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
	    S_ISREG(st.st_mode) &&
	    is_locked(locked, &st, tells_device(dirfd), ret_pid);
}

/* Takes `dirfd`. `path` is that of the directory, "" for the first. */
static char *below(const struct still_locked *locked, int dirfd,
    const char *path, unsigned depth, pid_t *ret_pid)
{
	DIR *dir = dirfd >= 0 ? fdopendir(dirfd) : NULL;
	bool by_device = dir && tells_device(dirfd);
	char *found = NULL;
	struct dirent *entry;

	if (!dir && dirfd >= 0)
		close(dirfd);
	while (dir && !found && (entry = readdir(dir))) {
		char *name = still_path_join(path, entry->d_name);
		struct stat st;

		if (!name || strcmp(entry->d_name, ".") == 0 ||
		    strcmp(entry->d_name, "..") == 0 ||
		    fstatat(dirfd, entry->d_name, &st, AT_SYMLINK_NOFOLLOW) !=
			0)
			;
		else if (S_ISDIR(st.st_mode) && depth < STILL_LOCKED_DEPTH)
			found = below(locked,
			    openat(dirfd, entry->d_name,
				O_RDONLY | O_DIRECTORY | O_NOFOLLOW |
				    O_CLOEXEC),
			    name, depth + 1, ret_pid);
		else if (S_ISREG(st.st_mode) &&
		    is_locked(locked, &st, by_device, ret_pid))
			found = strdup(name);
		free(name);
	}
	if (dir)
		closedir(dir);
	return found;
}

char *still_locked_below(
    const struct still_locked *locked, int dirfd, pid_t *ret_pid)
{
	if (locked->n == 0)
		return NULL;
	return below(locked,
	    openat(dirfd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC), "", 0,
	    ret_pid);
}
