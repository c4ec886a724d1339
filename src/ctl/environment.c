/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "ctl/environment.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/path.h"
#include "ctl/record.h"

#define DEV_FUSE "/dev/fuse"
#define FUSE_CONF "/etc/fuse.conf"

/* ---- findings ------------------------------------------------------------ */

static void clear(struct still_finding *finding)
{
	free(finding->object);
	free(finding->text);
	free(finding->hint);
}

void ctl_findings_release(struct ctl_findings *findings)
{
	for (size_t i = 0; i < findings->n; i++)
		clear(&findings->list[i]);
	free(findings->list);
	*findings = (struct ctl_findings) CTL_FINDINGS_INIT;
}

void ctl_findings_add(struct ctl_findings *findings, enum still_level level,
    int code, const char *object, const char *hint, const char *fmt, ...)
{
	struct still_finding finding = {
	    .level = level,
	    .code = code,
	    .object = strdup(object),
	    .hint = hint ? strdup(hint) : NULL,
	};
	struct still_finding *list = realloc(
	    findings->list, (findings->n + 1) * sizeof(*list));
	va_list ap;

	va_start(ap, fmt);
	if (vasprintf(&finding.text, fmt, ap) < 0)
		finding.text = NULL;
	va_end(ap);
	if (list)
		findings->list = list;
	if (!list || !finding.object || !finding.text ||
	    (hint && !finding.hint)) {
		clear(&finding);
		findings->failed = true;
		return;
	}
	list[findings->n++] = finding;
}

/* ---- FUSE ---------------------------------------------------------------- */

static bool in_path(const char *program)
{
	const char *path = getenv("PATH");
	char *copy = strdup(path ? path : "/usr/bin:/bin");
	char *save = NULL;
	bool found = false;

	for (char *dir = copy ? strtok_r(copy, ":", &save) : NULL;
	     dir && !found; dir = strtok_r(NULL, ":", &save)) {
		char *full = still_path_join(dir, program);

		found = full && access(full, X_OK) == 0;
		free(full);
	}
	free(copy);
	return found;
}

static bool has_line(const char *path, const char *line)
{
	FILE *file = fopen(path, "re");
	size_t capacity = 0;
	bool found = false;
	char *text = NULL;

	while (file && !found && getline(&text, &capacity, file) > 0) {
		text[strcspn(text, " \t#\n")] = '\0';
		found = strcmp(text, line) == 0;
	}
	free(text);
	if (file)
		fclose(file);
	return found;
}

static void check_user(struct ctl_findings *ret)
{
	if (!in_path("fusermount3"))
		ctl_findings_add(ret, STILL_LEVEL_ERROR, STILL_ERR_NOTFOUND,
		    "fusermount3", "Install the package fuse3.",
		    "is not installed, and only root can mount without it");
	if (!has_line(FUSE_CONF, "user_allow_other"))
		ctl_findings_add(ret, STILL_LEVEL_INFO, 0, FUSE_CONF,
		    "Root can add that line, if others shall read the mount.",
		    "has no `user_allow_other`: this user cannot mount with "
		    "`allow_other`");
}

void ctl_check_fuse(struct ctl_findings *ret)
{
	struct stat st;

	if (stat(DEV_FUSE, &st) != 0 || !S_ISCHR(st.st_mode))
		ctl_findings_add(ret, STILL_LEVEL_ERROR, STILL_ERR_NOTFOUND,
		    DEV_FUSE,
		    "Load the module with `modprobe fuse`; a container must "
		    "be given the device.",
		    "does not exist");
	else if (access(DEV_FUSE, R_OK | W_OK) != 0)
		ctl_findings_add(ret, STILL_LEVEL_ERROR, STILL_ERR_ACCESS,
		    DEV_FUSE, "Its mode should be 0666.", "%s",
		    strerror(errno));
	if (geteuid() != 0)
		check_user(ret);
}

/* ---- the state directory ------------------------------------------------- */

/* What is missing would have to be made in the first directory above that is
 * there. */
static bool can_be_made(const char *dir)
{
	char *path = strdup(dir);
	bool can = false;
	char *slash;

	while (path && access(path, F_OK) != 0 && errno == ENOENT &&
	    (slash = strrchr(path, '/')))
		slash[slash == path ? 1 : 0] = '\0';
	can = path && access(path, W_OK | X_OK) == 0;
	free(path);
	return can;
}

static void check_missing(const char *dir, struct ctl_findings *ret)
{
	if (!dir)
		ctl_findings_add(ret, STILL_LEVEL_ERROR, STILL_ERR_NOTFOUND,
		    "state directory",
		    "Set HOME, or name a directory with `state=`.",
		    "this user has no home directory to keep it in");
	else if (!can_be_made(dir))
		ctl_findings_add(ret, STILL_LEVEL_ERROR, STILL_ERR_ACCESS, dir,
		    "Make it, for the user who mounts, with mode 700; or name "
		    "another one with `state=`.",
		    "the state directory does not exist, and cannot be made");
	else
		ctl_findings_add(ret, STILL_LEVEL_INFO, 0, dir, NULL,
		    "the state directory does not exist yet; the first mount "
		    "makes it");
}

void ctl_check_state(const struct ctl_options *options,
    const struct ctl_target *target, struct ctl_findings *ret_findings,
    struct still_catalog **ret)
{
	struct still_error err = STILL_ERROR_INIT;
	char *fallback = still_catalog_default_dir();
	const char *dir = options->state ? options->state
	    : target->state_dir          ? target->state_dir
					 : fallback;
	int rc = ctl_catalog_open(options, target, ret, &err);

	if (rc < 0)
		*ret = NULL;
	if (rc == STILL_ERR_NOTFOUND || (rc < 0 && !dir))
		check_missing(dir, ret_findings);
	else if (rc < 0)
		ctl_findings_add(ret_findings, STILL_LEVEL_ERROR, rc, dir,
		    err.hint, "%s", still_error_msg(&err));
	still_error_clear(&err);
	free(fallback);
}

/* ---- the mountpoint ------------------------------------------------------ */

void ctl_check_place(const struct ctl_target *target, struct ctl_findings *ret)
{
	if (!target->mountpoint)
		ctl_findings_add(ret, STILL_LEVEL_INFO, 0, target->path,
		    "stillfs(1) has a line for /etc/fstab.",
		    "neither mounted nor configured in /etc/fstab");
	else if (target->dead)
		ctl_findings_add(ret, STILL_LEVEL_WARNING, 0,
		    target->mountpoint,
		    "Clear it away with `stillctl umount`, or mount there "
		    "again.",
		    "is mounted, but its daemon has died");
	else if (!target->mounted && access(target->mountpoint, F_OK) != 0)
		ctl_findings_add(ret, STILL_LEVEL_WARNING, 0,
		    target->mountpoint, "Make it with `mkdir`.",
		    "the mountpoint in /etc/fstab does not exist");
}
