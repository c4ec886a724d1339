/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "engines/sqlite/guard.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "base/sys.h"

int sqlite_sidecar_stat(
    int root_fd, const char *rel, const char *suffix, struct stat *ret)
{
	char path[4096 + 8];

	if (strlen(rel) > 4096)
		return -ENAMETOOLONG;
	stpcpy(stpcpy(path, rel), suffix);
	return fstatat(root_fd, path, ret, AT_SYMLINK_NOFOLLOW) == 0 ? 0
								     : -errno;
}

/* Who opens an idle database in WAL mode makes the sidecars, and they are his.
 */
static int check_idle(const struct sqlite_target *target,
    const struct sqlite_file *db, int root_fd, struct still_error *err)
{
	uint8_t modes[2] = {0, 0};
	struct stat st;

	if (geteuid() == 0 || geteuid() == target->st.st_uid)
		return 0;
	if (still_sys_pread(sqlite_file_fd(db), modes, 2, 18) != 2 ||
	    modes[1] != 2)
		return 0;
	if (sqlite_sidecar_stat(root_fd, target->rel, "-wal", &st) == 0 &&
	    sqlite_sidecar_stat(root_fd, target->rel, "-shm", &st) == 0)
		return 0;
	return still_error_set(err, STILL_ERR_ACCESS, EACCES,
	    "Opening it would leave -wal and -shm files that its owner cannot "
	    "write; run stillfs as its owner or as root, or while an "
	    "application has it open.",
	    "database `%s`: nobody has it open, and it belongs to another user",
	    target->rel);
}

/* SQLite would wait for ever for somebody to write into a pipe. */
static int check_sidecars(
    const struct sqlite_target *target, int root_fd, struct still_error *err)
{
	static const char *const suffixes[] = {"-wal", "-shm", "-journal"};
	struct stat st;

	for (size_t i = 0; i < sizeof(suffixes) / sizeof(suffixes[0]); i++)
		if (sqlite_sidecar_stat(
			root_fd, target->rel, suffixes[i], &st) == 0 &&
		    !S_ISREG(st.st_mode))
			return still_error_set(err, STILL_ERR_UNSUPPORTED, 0,
			    "SQLite keeps files there, and nothing else; "
			    "remove it.",
			    "`%s%s`: not a regular file", target->rel,
			    suffixes[i]);
	return 0;
}

int sqlite_guard_check(const struct sqlite_target *target,
    const struct sqlite_file *db, int root_fd, struct still_error *err)
{
	const sqlite3_vfs *vfs = sqlite3_vfs_find("unix");
	struct stat st;
	int rc;

	/* SQLite finds the wal-index of an inode by the first name it was
	 * opened with, so two names would share the wrong one. */
	if (sqlite_file_shared(db))
		return still_error_set(err, STILL_ERR_UNSUPPORTED, 0,
		    "One database must have one name; remove the other link.",
		    "database `%s`: is the same file as another one",
		    target->rel);
	/* SQLite removes the log of an empty database. */
	if (target->st.st_size == 0 &&
	    sqlite_sidecar_stat(root_fd, target->rel, "-wal", &st) == 0)
		return still_error_set(err, STILL_ERR_AGAIN, 0,
		    "Let its application open it once, or remove the -wal "
		    "file if it is a stray.",
		    "database `%s`: is empty, but has a -wal beside it",
		    target->rel);
	if (vfs &&
	    strlen(target->path) + sizeof("-journal") >
		(size_t) vfs->mxPathname)
		return still_error_set(err, STILL_ERR_UNSUPPORTED, 0,
		    "Use a shorter way to it, such as a bind mount.",
		    "database `%s`: its path is longer than SQLite can open "
		    "(%d bytes)",
		    target->rel, vfs->mxPathname);
	rc = check_sidecars(target, root_fd, err);
	return rc < 0 ? rc : check_idle(target, db, root_fd, err);
}
