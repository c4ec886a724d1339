/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "ctl/target.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/buf.h"
#include "base/connstr.h"
#include "ctl/exit.h"
#include "ctl/options.h"

void ctl_target_release(struct ctl_target *target)
{
	free(target->source);
	free(target->mountpoint);
	free(target->state_dir);
	free(target->path);
	*target = (struct ctl_target){0};
}

const char *ctl_target_name(const struct ctl_target *target)
{
	if (target->mountpoint)
		return target->mountpoint;
	return target->source ? target->source : target->path;
}

int ctl_target_status(int rc)
{
	return rc == STILL_ERR_INVALID ? CTL_EXIT_USAGE : rc;
}

/* Of a mount; its root has no answer of its own that would be needed. */
static bool is_dead(const char *mountpoint)
{
	struct stat st;

	return stat(mountpoint, &st) != 0 &&
	    (errno == ENOTCONN || errno == ECONNABORTED);
}

static int take(const struct ctl_place *place, struct ctl_target *ret,
    struct still_error *err)
{
	/* In a line of fstab; what is mounted has none. */
	if (still_connstr_holds_secret(place->source))
		return still_connstr_refuse_secret(err);
	ret->source = strdup(place->source);
	ret->mountpoint = strdup(place->mountpoint);
	ret->state_dir = place->state_dir ? strdup(place->state_dir) : NULL;
	ret->mounted = place->mounted;
	ret->dead = place->mounted && is_dead(place->mountpoint);
	if (!ret->source || !ret->mountpoint ||
	    !ret->state_dir != !place->state_dir)
		return still_error_nomem(err);
	return 0;
}

/* ---- several ------------------------------------------------------------- */

typedef bool choose_fn(const struct ctl_place *place, const char *path);

static bool is_any(const struct ctl_place *place, const char *path)
{
	(void) place;
	(void) path;
	return true;
}

static bool has_mountpoint(const struct ctl_place *place, const char *path)
{
	return strcmp(place->mountpoint, path) == 0;
}

static bool has_source(const struct ctl_place *place, const char *path)
{
	return strcmp(place->source, path) == 0 ||
	    (place->alias && strcmp(place->alias, path) == 0);
}

static bool has_mounted_source(const struct ctl_place *place, const char *path)
{
	return place->mounted && has_source(place, path);
}

static int several(const struct ctl_places *places, choose_fn *choose,
    const char *path, struct still_error *err)
{
	struct still_buf list = STILL_BUF_INIT;
	int rc;

	for (size_t i = 0; i < places->n; i++)
		if (choose(&places->list[i], path))
			still_buf_printf(&list, "%s%s", list.len ? ", " : "",
			    places->list[i].mountpoint);
	if (list.failed)
		rc = still_error_nomem(err);
	else
		rc = still_error_set(err, STILL_ERR_INVALID, 0, NULL,
		    "several %s; name one: %s", path ? "mounts" : "instances",
		    list.data);
	still_buf_release(&list);
	return rc;
}

/* The only place that `choose` likes. `*ret_found` tells whether there is one;
 * `path` NULL: none is named. */
static int only(const struct ctl_places *places, choose_fn *choose,
    const char *path, struct ctl_target *ret, bool *ret_found,
    struct still_error *err)
{
	const struct ctl_place *found = NULL;

	for (size_t i = 0; i < places->n; i++) {
		if (!choose(&places->list[i], path))
			continue;
		if (found)
			return several(places, choose, path, err);
		found = &places->list[i];
	}
	*ret_found = found != NULL;
	return found ? take(found, ret, err) : 0;
}

/* ---- which --------------------------------------------------------------- */

static int find_named(const struct ctl_places *places, char *path,
    struct ctl_target *ret, struct still_error *err)
{
	static choose_fn *const orders[] = {
	    has_mountpoint, has_mounted_source, has_source};
	bool found = false;
	int rc = 0;

	for (size_t i = 0;
	     rc == 0 && !found && i < sizeof(orders) / sizeof(orders[0]); i++)
		rc = only(places, orders[i], path, ret, &found, err);
	if (rc == 0 && !found) {
		ret->path = strdup(path);
		if (!ret->path)
			rc = still_error_nomem(err);
	}
	return rc;
}

int ctl_target_find_in(const struct ctl_places *places, const char *name,
    struct ctl_target *ret, struct still_error *err)
{
	bool found = false;
	char *path;
	int rc;

	*ret = (struct ctl_target){0};
	if (name) {
		path = ctl_path_resolve(name);
		rc = path ? find_named(places, path, ret, err)
			  : still_error_nomem(err);
		free(path);
		return rc;
	}
	rc = only(places, is_any, NULL, ret, &found, err);
	if (rc == 0 && !found)
		rc = still_error_set(err, STILL_ERR_NOTFOUND, 0,
		    "Name a source or a mountpoint, or add a line of type "
		    "fuse.stillfs to /etc/fstab.",
		    "no instance: no stillfs is mounted, and none is "
		    "configured");
	return rc;
}

int ctl_target_find(
    const char *name, struct ctl_target *ret, struct still_error *err)
{
	struct ctl_places places;
	int rc = ctl_places_here(&places, err);

	*ret = (struct ctl_target){0};
	if (rc == 0)
		rc = ctl_target_find_in(&places, name, ret, err);
	ctl_places_release(&places);
	return rc;
}

int ctl_target_require_mount(
    const struct ctl_target *target, struct still_error *err)
{
	if (target->dead)
		return still_error_set(err, STILL_ERR_LOST, 0,
		    "Its session is over. Clear it away with `stillctl "
		    "umount`, or mount there again.",
		    "`%s`: the daemon of this mount has died",
		    target->mountpoint);
	if (target->mounted)
		return 0;
	if (target->path)
		return still_error_set(err, STILL_ERR_NOTFOUND, 0,
		    "Mount it first: stillfs SOURCE MOUNTPOINT.",
		    "`%s`: no mount of stillfs, nor the source of one",
		    target->path);
	return still_error_set(err, STILL_ERR_NOTFOUND, 0,
	    "Mount it first; fstab has a line for it.", "`%s`: is not mounted",
	    target->mountpoint);
}

int ctl_target_run(const struct ctl_options *o, ctl_target_fn *mounted,
    ctl_target_fn *other, struct still_error *err)
{
	struct ctl_target target;
	int rc = ctl_target_find(o->target, &target, err);

	if (rc < 0)
		rc = ctl_target_status(rc);
	else if (target.mounted && !target.dead)
		rc = mounted(o, &target, err);
	else if (other)
		rc = other(o, &target, err);
	else
		rc = ctl_target_require_mount(&target, err);
	ctl_target_release(&target);
	return rc;
}
