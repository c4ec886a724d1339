/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "base/mounts.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "base/path.h"

#define TABLE "/proc/self/mountinfo"

/* One line of the table, and what it says; the strings are parts of it. */
struct mount {
	FILE *table;
	char *line; /* owned */
	size_t capacity;
	int id;
	const char *device; /* "MAJOR:MINOR" */
	dev_t dev;          /* the same */
	const char *root;   /* what of the file system is mounted */
	const char *point;  /* where */
	char fstype[64];
	bool read_only; /* the file system, not only here */
};

/* Space, tab, newline and backslash stand as \ooo. */
static char *unescape(char *text)
{
	char *to = text;

	for (const char *p = text; *p; p++) {
		if (p[0] == '\\' && p[1] >= '0' && p[1] <= '3' && p[2] >= '0' &&
		    p[2] <= '7' && p[3] >= '0' && p[3] <= '7') {
			*to++ = (char) ((p[1] - '0') * 64 + (p[2] - '0') * 8 +
			    (p[3] - '0'));
			p += 3;
		} else {
			*to++ = *p;
		}
	}
	*to = '\0';
	return text;
}

/* The options of a file system begin with "ro" or "rw". */
static bool is_read_only(const char *fields)
{
	const char *super = strrchr(fields, ' ');

	return super && strncmp(super, " ro", 3) == 0 &&
	    (super[3] == ',' || super[3] == '\n' || super[3] == '\0');
}

/* 36 35 98:0 /root /point options [optional ...] - fstype source super */
static bool parse(struct mount *mount)
{
	char *dash = strstr(mount->line, " - ");
	char *fields[5];
	char *save = NULL;
	unsigned major_no;
	unsigned minor_no;
	size_t n = 0;

	if (!dash || sscanf(dash + 3, "%63s", mount->fstype) != 1)
		return false;
	mount->read_only = is_read_only(dash + 3);
	*dash = '\0';
	for (char *f = strtok_r(mount->line, " ", &save); f && n < 5;
	     f = strtok_r(NULL, " ", &save))
		fields[n++] = f;
	if (n < 5 || sscanf(fields[2], "%u:%u", &major_no, &minor_no) != 2)
		return false;
	mount->id = atoi(fields[0]);
	mount->device = fields[2];
	mount->dev = makedev(major_no, minor_no);
	mount->root = unescape(fields[3]);
	mount->point = unescape(fields[4]);
	return true;
}

static bool next(struct mount *mount)
{
	while (mount->table &&
	    getline(&mount->line, &mount->capacity, mount->table) > 0)
		if (parse(mount))
			return true;
	return false;
}

static struct mount table_open(void)
{
	return (struct mount){.table = fopen(TABLE, "re")};
}

static void table_close(struct mount *mount)
{
	if (mount->table)
		fclose(mount->table);
	free(mount->line);
}

/* ---- what is mounted ----------------------------------------------------- */

int still_mounts_at(
    const char *path, struct still_mounted *ret, struct still_error *err)
{
	struct mount mount = table_open();
	bool found = false;

	if (!mount.table)
		return still_error_sys(err, errno, NULL, "`" TABLE "`");
	/* Later lines lie above earlier ones. */
	while (next(&mount))
		if (strcmp(mount.point, path) == 0) {
			ret->dev = mount.dev;
			memcpy(ret->fstype, mount.fstype, sizeof(ret->fstype));
			found = true;
		}
	table_close(&mount);
	if (!found)
		return still_error_set(err, STILL_ERR_NOTFOUND, 0, NULL,
		    "`%s`: nothing is mounted there", path);
	return 0;
}

int still_mounts_have(dev_t dev, const char *fstype)
{
	struct mount mount = table_open();
	bool found = false;

	if (!mount.table)
		return -1;
	while (!found && next(&mount))
		found = mount.dev == dev &&
		    (!fstype || strcmp(mount.fstype, fstype) == 0);
	table_close(&mount);
	return found;
}

/* ---- below --------------------------------------------------------------- */

/* The path of what is open; false when it has none. */
static bool path_of(int fd, char ret[PATH_MAX])
{
	char link[64];
	ssize_t len;

	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	len = readlink(link, ret, PATH_MAX - 1);
	if (len <= 0 || ret[0] != '/')
		return false;
	ret[len] = '\0';
	return true;
}

bool still_mounts_below(int fd)
{
	struct mount mount;
	char path[PATH_MAX];
	bool found = false;

	if (!path_of(fd, path))
		return false;
	mount = table_open();
	while (!found && next(&mount))
		found = strcmp(mount.point, path) != 0 &&
		    still_path_is_in(mount.point, path);
	table_close(&mount);
	return found;
}

/* ---- by another path ----------------------------------------------------- */

/* What a directory is of its file system, wherever that is mounted. */
struct place {
	char device[32];
	char path[PATH_MAX]; /* from the file system's root */
};

/* What follows `dir` in `path`, which lies in it: "" or "/...". */
static const char *rest_of(const char *path, const char *dir)
{
	return strcmp(dir, "/") == 0 ? path : path + strlen(dir);
}

/* `dir` and what follows it; false when that is too long. */
static bool append(const char *dir, const char *rest, char ret[PATH_MAX])
{
	int len = snprintf(
	    ret, PATH_MAX, "%s%s", strcmp(dir, "/") == 0 ? "" : dir, rest);

	if (len == 0)
		snprintf(ret, PATH_MAX, "/");
	return len < PATH_MAX;
}

/* The line of the mount that `path` lies in. The table is the caller's to close,
 * found or not. */
static bool around(const char *path, struct mount *ret)
{
	struct statx stx;
	bool found = false;

	*ret = (struct mount){0};
	if (statx(AT_FDCWD, path, AT_NO_AUTOMOUNT | AT_STATX_DONT_SYNC,
		STATX_MNT_ID, &stx) != 0 ||
	    !(stx.stx_mask & STATX_MNT_ID))
		return false;
	*ret = table_open();
	while (!found && next(ret))
		found = (uint64_t) ret->id == stx.stx_mnt_id;
	return found;
}

int still_mounts_around(const char *path, char **ret_point, bool *ret_read_only,
    struct still_error *err)
{
	struct mount mount;
	int rc = 0;

	*ret_point = NULL;
	if (!around(path, &mount)) {
		rc = still_error_set(err, STILL_ERR_NOTFOUND, 0, NULL,
		    "`%s`: nothing tells where it is mounted", path);
	} else {
		*ret_point = strdup(mount.point);
		*ret_read_only = mount.read_only;
		if (!*ret_point)
			rc = still_error_nomem(err);
	}
	table_close(&mount);
	return rc;
}

static bool place_of(const char *path, struct place *ret)
{
	struct mount mount;
	bool found = around(path, &mount);

	if (found)
		found = still_path_is_in(path, mount.point) &&
		    append(mount.root, rest_of(path, mount.point), ret->path) &&
		    snprintf(ret->device, sizeof(ret->device), "%s",
			mount.device) < (int) sizeof(ret->device);
	table_close(&mount);
	return found;
}

/* The table says where to look; only what is found there proves it. Some file
 * systems (NFS) say "/" of every part that is mounted, and one mount may hide
 * another. */
static bool is_same(const char *one, const char *other)
{
	struct stat a;
	struct stat b;

	return stat(one, &a) == 0 && stat(other, &b) == 0 &&
	    a.st_dev == b.st_dev && a.st_ino == b.st_ino;
}

/* Is `path`, which is `place`, what `part` of the same file system shows at its
 * place below `dir`? */
static bool shows(const char *dir, const char *part, const char *path,
    const struct place *place)
{
	char alias[PATH_MAX];

	return still_path_is_in(place->path, part) &&
	    append(dir, rest_of(place->path, part), alias) &&
	    is_same(alias, path);
}

bool still_mounts_is_in(const char *path, const char *dir)
{
	struct place inner;
	struct place outer;
	struct mount mount;
	bool found;

	if (still_path_is_in(path, dir))
		return true;
	if (!place_of(path, &inner) || !place_of(dir, &outer))
		return false;
	found = strcmp(inner.device, outer.device) == 0 &&
	    shows(dir, outer.path, path, &inner);
	mount = table_open();
	while (!found && next(&mount))
		found = still_path_is_in(mount.point, dir) &&
		    strcmp(inner.device, mount.device) == 0 &&
		    shows(mount.point, mount.root, path, &inner);
	table_close(&mount);
	return found;
}
