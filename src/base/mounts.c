/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "base/mounts.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/path.h"

/* One line of the table, and what it says; the strings are parts of it. */
struct mount {
	FILE *table;
	char *line; /* owned */
	size_t capacity;
	int id;
	const char *device; /* "MAJOR:MINOR" */
	const char *root;   /* what of the file system is mounted */
	const char *point;  /* where */
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

/* 36 35 98:0 /root /point options [optional ...] - fstype device super */
static bool parse(struct mount *mount)
{
	char *fields[5];
	char *save = NULL;
	size_t n = 0;

	for (char *f = strtok_r(mount->line, " ", &save); f && n < 5;
	     f = strtok_r(NULL, " ", &save))
		fields[n++] = f;
	if (n < 5)
		return false;
	mount->id = atoi(fields[0]);
	mount->device = fields[2];
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
	return (struct mount){.table = fopen("/proc/self/mountinfo", "re")};
}

static void table_close(struct mount *mount)
{
	if (mount->table)
		fclose(mount->table);
	free(mount->line);
}

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
