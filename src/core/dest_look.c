/* SPDX-License-Identifier: MIT */
/* dest: what is in the directory when it is opened. */
#include "config.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/rmtree.h"
#include "base/sys.h"
#include "core/dest_parts.h"
#include "core/set.h"
#include "core/snapshot.h"
#include "core/trust.h"

#define ID_CHARS 25 /* 20261121T010203Z-0123abcd */

/* Only what we would have called so: the rest is somebody else's. */
bool still_dest_is_id(const char *text)
{
	static const char form[] = "ddddddddTddddddZ-xxxxxxxx";

	for (size_t i = 0; i < ID_CHARS; i++) {
		unsigned char c = (unsigned char) text[i];

		if (form[i] == 'd' ? !isdigit(c)
			: form[i] == 'x'
			? !isdigit(c) && !(c >= 'a' && c <= 'f')
			: c != (unsigned char) form[i])
			return false;
	}
	return text[ID_CHARS] == '\0';
}

static bool has_prefix(const char *name, const char *prefix)
{
	size_t len = strlen(prefix);

	return strncmp(name, prefix, len) == 0 && still_dest_is_id(name + len);
}

static bool is_dir(int dirfd, const char *name)
{
	struct stat st;

	return fstatat(dirfd, name, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
	    S_ISDIR(st.st_mode);
}

static bool is_set(int dirfd, const char *name)
{
	char path[STILL_DEST_NAME_BYTES + sizeof(STILL_MANIFEST_PATH)];
	struct stat st;

	if (!is_dir(dirfd, name))
		return false;
	snprintf(path, sizeof(path), "%s/" STILL_MANIFEST_PATH, name);
	return fstatat(dirfd, path, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
	    S_ISREG(st.st_mode);
}

static bool is_leftover(int dirfd, const char *name)
{
	return (has_prefix(name, STILL_DEST_NEW_PREFIX) ||
		   has_prefix(name, STILL_DEST_OLD_PREFIX) ||
		   has_prefix(name, STILL_DEST_LINKS_PREFIX)) &&
	    is_dir(dirfd, name);
}

int still_dest_for_each(struct still_dest *dest, const char *sub,
    still_dest_visit_fn *visit, void *arg, struct still_error *err)
{
	DIR *dir = NULL;
	const char *name;
	int next = 0;
	int fd = *sub
	    ? still_sys_open_beneath(dest->dirfd, sub, O_RDONLY | O_DIRECTORY)
	    : dest->dirfd;
	int rc = fd < 0 ? fd : still_sys_opendir(fd, &dir);

	if (fd >= 0 && fd != dest->dirfd)
		close(fd);
	if (rc < 0)
		return still_error_sys(err, -rc, NULL, "`%s%s%s`", dest->path,
		    *sub ? "/" : "", sub);
	while (rc == 0 && (next = still_sys_readdir(dir, &name)) > 0)
		rc = visit(dest, name, arg, err);
	closedir(dir);
	if (next < 0)
		rc = still_error_sys(err, -next, NULL, "`%s%s%s`", dest->path,
		    *sub ? "/" : "", sub);
	return rc;
}

struct contents {
	char foreign[NAME_MAX + 1];      /* the first, as bytes; "": none */
	char old[STILL_DEST_NAME_BYTES]; /* the last `.old-ID` with a set */
	char doubtful[STILL_DEST_NAME_BYTES]; /* a leftover; "": none */
};

static int look(struct still_dest *dest, const char *name, void *arg,
    struct still_error *err)
{
	struct contents *contents = arg;

	(void) err;
	if (strcmp(name, "lost+found") == 0)
		return 0;
	if (strcmp(name, STILL_SET_CHAIN_LINKS) == 0 &&
	    is_dir(dest->dirfd, name)) {
		dest->had_links = true;
		return 0;
	}
	if (strcmp(name, STILL_DEST_FULL) == 0 && is_set(dest->dirfd, name)) {
		dest->had_full = true;
		return 0;
	}
	if (is_leftover(dest->dirfd, name)) {
		if (has_prefix(name, STILL_DEST_OLD_PREFIX) &&
		    is_set(dest->dirfd, name) &&
		    strcmp(name, contents->old) > 0)
			snprintf(
			    contents->old, sizeof(contents->old), "%s", name);
		if (!still_trusts_name(dest->dirfd, name))
			snprintf(contents->doubtful, sizeof(contents->doubtful),
			    "%s", name);
		return 0;
	}
	if (!contents->foreign[0] || strcmp(name, contents->foreign) < 0)
		snprintf(
		    contents->foreign, sizeof(contents->foreign), "%s", name);
	return 0;
}

static int not_ours(const struct still_dest *dest, const char *name,
    const struct still_error *why, struct still_error *err)
{
	return still_error_set(err, STILL_ERR_INVALID, ENOTEMPTY,
	    "Look what it is, and move it away, or choose another directory.",
	    "`%s/%s`: is not known to be a set: %s", dest->path, name,
	    still_error_msg(why));
}

/* Is `name` the last set of this source? It goes when another takes its place:
 * so it must say itself whose it is. One that is damaged may go as any other. */
int still_dest_judge(const struct still_dest *dest, const char *name,
    const char *source, struct still_error *err)
{
	struct still_error own = STILL_ERROR_INIT;
	struct still_set set;
	int rc = still_set_identify(dest->dirfd, name, &set, &own);

	if (rc == STILL_ERR_INVALID)
		rc = not_ours(dest, name, &own, err);
	else if (rc < 0)
		rc = still_error_set(err, own.code, own.sys_errno, own.hint,
		    "`%s/%s`: %s", dest->path, name, still_error_msg(&own));
	else if (source && strcmp(set.source, source) != 0)
		rc = still_error_set(err, STILL_ERR_INVALID, ENOTEMPTY,
		    "Choose another directory for this source, or move the set "
		    "away.",
		    "`%s/%s`: is a set of another source: `%s`", dest->path,
		    name, set.source);
	still_set_release(&set);
	still_error_clear(&own);
	return rc;
}

static int remove_leftover(struct still_dest *dest, const char *name, void *arg,
    struct still_error *err)
{
	int rc;

	(void) arg;
	if (!is_leftover(dest->dirfd, name))
		return 0;
	rc = still_rmtree(dest->dirfd, name);
	if (rc == -EBUSY)
		return still_error_set(err, STILL_ERR_BUSY, EBUSY,
		    "It is what a backup left; unmount what is in it.",
		    "`%s/%s`: something is mounted in it", dest->path, name);
	if (rc < 0)
		return still_error_sys(err, -rc,
		    "It is what a backup that was killed left; remove it.",
		    "`%s/%s`", dest->path, name);
	return 0;
}

int still_dest_look_through(
    struct still_dest *dest, const char *source, struct still_error *err)
{
	struct contents contents = {{0}, {0}, {0}};
	int sys_errno;
	int rc = still_dest_for_each(dest, "", look, &contents, err);

	if (rc < 0)
		return rc;
	if (contents.foreign[0])
		return still_error_set(err, STILL_ERR_INVALID, ENOTEMPTY,
		    "Choose a directory that is empty, or that holds backups "
		    "of stillfs and nothing else.",
		    "`%s`: there is something else in it: `%s`", dest->path,
		    contents.foreign);
	if (contents.doubtful[0])
		return still_error_set(err, STILL_ERR_INVALID, EPERM,
		    "Look what it is. What a backup that was killed left may "
		    "be removed; where there is no `full`, a set of that name "
		    "is the last one, and can be renamed to it.",
		    "`%s/%s`: may have got its name from another user, who "
		    "may write to that directory",
		    dest->path, contents.doubtful);
	if (dest->had_full || contents.old[0])
		rc = still_dest_judge(dest,
		    dest->had_full ? STILL_DEST_FULL : contents.old, source,
		    err);
	if (rc == 0 && !dest->had_full && contents.old[0]) {
		rc = still_dest_rename(
		    dest, contents.old, STILL_DEST_FULL, 0, &sys_errno, err);
		dest->had_full = rc == 0;
	}
	if (rc == 0)
		rc = still_dest_look_at_links(dest, source, err);
	if (rc == 0)
		rc = still_dest_recover_links(dest, err);
	return rc < 0
	    ? rc
	    : still_dest_for_each(dest, "", remove_leftover, NULL, err);
}
