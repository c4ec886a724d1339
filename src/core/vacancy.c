/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "core/vacancy.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/path.h"
#include "base/sys.h"
#include "core/locked.h"
#include "core/stage.h"

static const struct {
	const char *suffix;
	const char *what;
} beside[] = {
    {"-wal", "the log of another database"},
    {"-shm", "the index of another database's log"},
    {"-journal", "the journal of another database"},
};

#define N_BESIDE (sizeof(beside) / sizeof(beside[0]))

bool still_vacancy_is_normal(const char *name)
{
	return strcmp(name, "lost+found") == 0;
}

bool still_vacancy_is_log(const char *name)
{
	for (size_t i = 0; i < N_BESIDE; i++)
		if (still_path_ends(name, beside[i].suffix))
			return true;
	return false;
}

static int alive(
    const char *dir, const char *name, pid_t pid, struct still_error *err)
{
	char who[48] = "a process";

	if (pid > 0)
		snprintf(who, sizeof(who), "process %ld", (long) pid);
	return still_error_set(err, STILL_ERR_BUSY, EBUSY,
	    "Stop the application, move its databases away, and restore again.",
	    "`%s/%s`: is in use: %s has it locked", dir, name, who);
}

/* ---- a directory --------------------------------------------------------- */

/* The first entry in the order of bytes that should not be there; owned by the
 * caller. `*ret_stage`: is there a stage? 0 or -errno. */
static int first_entry(int dirfd, char **ret_name, bool *ret_stage)
{
	DIR *dir = NULL;
	char *first = NULL;
	const char *name;
	int rc = still_sys_opendir(dirfd, &dir);

	*ret_stage = false;
	if (rc < 0)
		return rc;
	while ((rc = still_sys_readdir(dir, &name)) > 0) {
		if (strcmp(name, STILL_VACANCY_STAGE) == 0)
			*ret_stage = true;
		else if (!still_vacancy_is_normal(name) &&
		    (!first || strcmp(name, first) < 0)) {
			free(first);
			first = strdup(name);
			/* Without a name it would be taken for empty. */
			if (!first) {
				rc = -ENOMEM;
				break;
			}
		}
	}
	closedir(dir);
	if (rc < 0)
		free(first);
	else
		*ret_name = first;
	return rc;
}

static int not_empty(
    const char *path, const char *name, bool stage, struct still_error *err)
{
	if (stage)
		return still_error_set(err, STILL_ERR_INVALID, ENOTEMPTY,
		    "Remove all that is in it, and restore again.",
		    "`%s`: is not empty: a restore was killed while it gave "
		    "the databases their names, and `%s` is there",
		    path, name);
	if (still_vacancy_is_log(name))
		return still_error_set(err, STILL_ERR_INVALID, ENOTEMPTY,
		    "Move it away: beside a database of that name it would be "
		    "replayed into it.",
		    "`%s`: is not empty: `%s` is there, which belongs to "
		    "another database",
		    path, name);
	return still_error_set(err, STILL_ERR_INVALID, ENOTEMPTY,
	    "Restore into an empty directory, or move away what is there, with "
	    "each -wal, -shm and -journal.",
	    "`%s`: is not empty: `%s` is there", path, name);
}

int still_vacancy_of_dir(
    int dirfd, const char *path, bool own, struct still_error *err)
{
	struct still_locked locked;
	char *first = NULL;
	char *used;
	bool stage;
	pid_t pid;
	int rc = first_entry(dirfd, &first, &stage);

	if (rc < 0)
		return still_error_sys(err, -rc, NULL, "`%s`", path);
	if (own)
		stage = false;
	if (stage && still_stage_is_taken(dirfd, STILL_VACANCY_STAGE)) {
		free(first);
		return still_error_set(err, STILL_ERR_BUSY, EWOULDBLOCK,
		    "Wait until it has ended.",
		    "`%s`: another restore to this place is under way", path);
	}
	if (!first)
		return 0;
	still_locked_init(&locked);
	used = still_locked_below(&locked, dirfd, &pid);
	still_locked_release(&locked);
	rc = used ? alive(path, used, pid, err)
		  : not_empty(path, first, stage, err);
	free(used);
	free(first);
	return rc;
}

/* ---- a file -------------------------------------------------------------- */

static bool exists(int dirfd, const char *name)
{
	struct stat st;

	return fstatat(dirfd, name, &st, AT_SYMLINK_NOFOLLOW) == 0;
}

static int check_name(int dirfd, const char *path, const char *name,
    const char *what, struct still_error *err)
{
	struct still_locked locked;
	bool used;
	pid_t pid;

	if (!exists(dirfd, name))
		return 0;
	still_locked_init(&locked);
	used = still_locked_file(&locked, dirfd, name, &pid);
	still_locked_release(&locked);
	if (used)
		return alive(path, name, pid, err);
	if (!what)
		return still_error_set(err, STILL_ERR_INVALID, EEXIST,
		    "Move it away, with its -wal, -shm and -journal, or "
		    "restore to another name.",
		    "`%s/%s`: is there already", path, name);
	return still_error_set(err, STILL_ERR_INVALID, EEXIST,
	    "Move it away: it would be replayed into the database that is "
	    "restored.",
	    "`%s/%s`: is there already, %s", path, name, what);
}

/* Would `name` be the log of a database that is there? */
static int check_base(
    int dirfd, const char *path, const char *name, struct still_error *err)
{
	for (size_t i = 0; i < N_BESIDE; i++) {
		size_t len = strlen(beside[i].suffix);
		char *base;
		bool there;

		if (!still_path_ends(name, beside[i].suffix))
			continue;
		base = strndup(name, strlen(name) - len);
		if (!base)
			return still_error_nomem(err);
		there = exists(dirfd, base);
		free(base);
		if (there)
			return still_error_set(err, STILL_ERR_INVALID, EEXIST,
			    "Restore to another name.",
			    "`%s/%s`: would be taken for the %s of the "
			    "database beside it",
			    path, name, beside[i].suffix);
	}
	return 0;
}

/* What is alive is told before what merely lies there. */
int still_vacancy_of_file(
    int dirfd, const char *path, const char *name, struct still_error *err)
{
	struct still_error one = STILL_ERROR_INIT;
	int rc = check_name(dirfd, path, name, NULL, err);

	for (size_t i = 0; rc != STILL_ERR_BUSY && i < N_BESIDE; i++) {
		char *log = NULL;
		int got;

		if (asprintf(&log, "%s%s", name, beside[i].suffix) < 0)
			return still_error_nomem(err);
		got = check_name(dirfd, path, log, beside[i].what, &one);
		if (got < 0 && (rc == 0 || got == STILL_ERR_BUSY)) {
			still_error_copy(err, &one);
			rc = got;
		}
		still_error_clear(&one);
		free(log);
	}
	return rc < 0 ? rc : check_base(dirfd, path, name, err);
}
