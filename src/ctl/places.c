/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "ctl/places.h"

#include <ctype.h>
#include <errno.h>
#include <libmount.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/connstr.h"
#include "base/path.h"
#include "control.h"

/* ---- paths --------------------------------------------------------------- */

/* realpath(3) stumbles over a dead mount, and over what is not there. */
static char *resolve_parent(const char *path)
{
	char *copy = strdup(path);
	char *full = NULL;
	char *parent;
	char *slash;

	if (!copy)
		return NULL;
	while ((slash = strrchr(copy, '/')) && slash > copy && !slash[1])
		*slash = '\0';
	slash = strrchr(copy, '/');
	if (slash)
		*slash = '\0';
	parent = realpath(!slash ? "." : *copy ? copy : "/", NULL);
	if (parent)
		full = still_path_join(parent, slash ? slash + 1 : copy);
	free(parent);
	free(copy);
	return full;
}

static const char *without_scheme(const char *path)
{
	const char *p = path;

	while (isalnum((unsigned char) *p) || *p == '+' || *p == '-')
		p++;
	return *p == ':' && p > path ? p + 1 : path;
}

char *ctl_path_resolve(const char *path)
{
	const char *bare = without_scheme(path);
	char *full;

	/* A secret must be known as one by whoever is given it. */
	if (still_connstr_is(path) || still_connstr_holds_secret(path))
		return strdup(path);
	full = realpath(path, NULL);

	if (!full && bare != path)
		full = realpath(bare, NULL);
	if (!full)
		full = resolve_parent(bare);
	return full ? full : strdup(bare);
}

/* ---- tables -------------------------------------------------------------- */

static int skip_line(struct libmnt_table *table, const char *name, int line)
{
	(void) table;
	(void) name;
	(void) line;
	return 1;
}

static int read_table(
    const char *path, struct libmnt_table **ret, struct still_error *err)
{
	struct libmnt_table *table = mnt_new_table();
	int rc;

	if (!table)
		return still_error_nomem(err);
	mnt_table_set_parser_errcb(table, skip_line);
	rc = mnt_table_parse_file(table, path);
	if (rc < 0) {
		mnt_unref_table(table);
		return still_error_sys(err, -rc, NULL, "`%s`", path);
	}
	*ret = table;
	return 0;
}

static void clear(struct ctl_place *place)
{
	free(place->source);
	free(place->alias);
	free(place->mountpoint);
	free(place->state_dir);
}

void ctl_places_release(struct ctl_places *places)
{
	for (size_t i = 0; i < places->n; i++)
		clear(&places->list[i]);
	free(places->list);
	*places = (struct ctl_places) CTL_PLACES_INIT;
}

/* Takes what `place` owns. */
static int add(
    struct ctl_places *places, struct ctl_place *place, struct still_error *err)
{
	struct ctl_place *list = NULL;

	if (place->source && place->mountpoint)
		list = realloc(places->list, (places->n + 1) * sizeof(*list));
	if (!list) {
		clear(place);
		return still_error_nomem(err);
	}
	places->list = list;
	list[places->n++] = *place;
	return 0;
}

/* What is mounted later at the same place covers what was. */
static void uncover(struct ctl_places *places, const char *mountpoint)
{
	for (size_t i = places->n; i-- > 0;)
		if (strcmp(places->list[i].mountpoint, mountpoint) == 0) {
			clear(&places->list[i]);
			memmove(&places->list[i], &places->list[i + 1],
			    (--places->n - i) * sizeof(places->list[0]));
		}
}

static int add_mount(
    struct ctl_places *places, struct libmnt_fs *fs, struct still_error *err)
{
	const char *type = mnt_fs_get_fstype(fs);
	const char *source = mnt_fs_get_source(fs);
	const char *target = mnt_fs_get_target(fs);
	struct ctl_place place = {.mounted = true};

	if (!target)
		return 0;
	uncover(places, target);
	if (!type || strcmp(type, STILL_FSTYPE) != 0)
		return 0;
	place.source = strdup(source ? source : "");
	place.mountpoint = strdup(target);
	return add(places, &place, err);
}

static bool is_stillfs(const char *type)
{
	return type &&
	    (strcmp(type, STILL_FSTYPE) == 0 || strcmp(type, "stillfs") == 0);
}

/* The place that the line is about, or NULL. */
static struct ctl_place *same_place(
    struct ctl_places *places, const struct ctl_place *line)
{
	for (size_t i = 0; i < places->n; i++)
		if (strcmp(places->list[i].mountpoint, line->mountpoint) == 0 ||
		    strcmp(places->list[i].source, line->source) == 0)
			return &places->list[i];
	return NULL;
}

static int add_line(
    struct ctl_places *places, struct libmnt_fs *fs, struct still_error *err)
{
	struct ctl_place line = {.configured = true};
	struct ctl_place *same;
	char *state = NULL;
	size_t len = 0;

	if (!is_stillfs(mnt_fs_get_fstype(fs)) || !mnt_fs_get_source(fs) ||
	    !mnt_fs_get_target(fs))
		return 0;
	line.source = ctl_path_resolve(mnt_fs_get_source(fs));
	line.mountpoint = ctl_path_resolve(mnt_fs_get_target(fs));
	if (mnt_fs_get_option(fs, "state", &state, &len) == 0 && len > 0)
		line.state_dir = strndup(state, len);
	same = line.source && line.mountpoint ? same_place(places, &line)
					      : NULL;
	if (!same)
		return add(places, &line, err);
	same->configured = true;
	if (!same->alias && still_connstr_is(line.source)) {
		same->alias = line.source;
		line.source = NULL;
	}
	if (!same->state_dir) {
		same->state_dir = line.state_dir;
		line.state_dir = NULL;
	}
	clear(&line);
	return 0;
}

typedef int add_fn(
    struct ctl_places *places, struct libmnt_fs *fs, struct still_error *err);

static int read_all(const char *path, add_fn *add_one,
    struct ctl_places *places, struct still_error *err)
{
	struct libmnt_iter *iter = mnt_new_iter(MNT_ITER_FORWARD);
	struct libmnt_table *table = NULL;
	struct libmnt_fs *fs;
	int rc = iter ? read_table(path, &table, err) : still_error_nomem(err);

	while (rc == 0 && mnt_table_next_fs(table, iter, &fs) == 0)
		rc = add_one(places, fs, err);
	mnt_unref_table(table);
	mnt_free_iter(iter);
	return rc;
}

int ctl_places_read(const char *mountinfo, const char *fstab,
    struct ctl_places *ret, struct still_error *err)
{
	int rc;

	*ret = (struct ctl_places) CTL_PLACES_INIT;
	rc = read_all(mountinfo, add_mount, ret, err);
	if (rc == 0 && access(fstab, F_OK) == 0)
		rc = read_all(fstab, add_line, ret, err);
	return rc;
}

int ctl_places_here(struct ctl_places *ret, struct still_error *err)
{
	const char *fstab = getenv("STILLCTL_FSTAB");

	return ctl_places_read(
	    CTL_MOUNTINFO, fstab && *fstab ? fstab : CTL_FSTAB, ret, err);
}
