/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "fs/mountinfo.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sysmacros.h>

#define MOUNTINFO "/proc/self/mountinfo"

/* Space, tab, newline and backslash stand as \ooo. */
static void unescape(char *text)
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
}

/* 36 35 98:0 /root /mountpoint options [optional ...] - fstype source super */
static bool parse(char *line, struct fs_mounted *ret, char **ret_path)
{
	char *fields[6];
	char *save = NULL;
	char *dash = strstr(line, " - ");
	unsigned major_no;
	unsigned minor_no;
	size_t n = 0;

	if (!dash || sscanf(dash + 3, "%63s", ret->fstype) != 1)
		return false;
	*dash = '\0';
	for (char *f = strtok_r(line, " ", &save); f && n < 6;
	     f = strtok_r(NULL, " ", &save))
		fields[n++] = f;
	if (n < 6 || sscanf(fields[2], "%u:%u", &major_no, &minor_no) != 2)
		return false;
	ret->dev = makedev(major_no, minor_no);
	unescape(fields[4]);
	*ret_path = fields[4];
	return true;
}

int fs_mountinfo_at(
    const char *path, struct fs_mounted *ret, struct still_error *err)
{
	FILE *file = fopen(MOUNTINFO, "re");
	struct fs_mounted mount;
	bool found = false;
	char *line = NULL;
	size_t capacity = 0;
	char *where;

	if (!file)
		return still_error_sys(err, errno, NULL, "`" MOUNTINFO "`");
	/* Later lines lie above earlier ones. */
	while (getline(&line, &capacity, file) > 0)
		if (parse(line, &mount, &where) && strcmp(where, path) == 0) {
			*ret = mount;
			found = true;
		}
	free(line);
	fclose(file);
	if (!found)
		return still_error_set(err, STILL_ERR_NOTFOUND, 0, NULL,
		    "`%s`: nothing is mounted there", path);
	return 0;
}

bool fs_mountinfo_has(dev_t dev)
{
	FILE *file = fopen(MOUNTINFO, "re");
	struct fs_mounted mount;
	bool found = false;
	char *line = NULL;
	size_t capacity = 0;
	char *where;

	if (!file)
		return true;
	while (!found && getline(&line, &capacity, file) > 0)
		found = parse(line, &mount, &where) && mount.dev == dev;
	free(line);
	fclose(file);
	return found;
}
