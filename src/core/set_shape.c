/* SPDX-License-Identifier: MIT */
/*
 * set_shape: what a set has that no list of sums can name: symbolic links, and
 * directories with nothing in them. Both stand in the description, which the list
 * covers.
 *
 * A link is compared as text and never followed; that it leads to something in
 * the set is looked at when the description is read.
 */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/json.h"
#include "base/path.h"
#include "core/set_parts.h"

#define TELL(judge, ...)                                                  \
	still_set_tell((judge), STILL_SET_DESCRIPTION, STILL_ERR_CORRUPT, \
	    "`" STILL_SET_DESCRIPTION "`: " __VA_ARGS__)

/* ---- what is described --------------------------------------------------- */

/* NULL when there is none: then it is told. 0 or NOMEM. */
static int take_path(const json_t *object, struct still_set_judge *judge,
    const char *key, size_t number, char **ret)
{
	if (still_json_get_name(object, "path", ret) < 0)
		return STILL_ERR_NOMEM;
	if (*ret && still_path_is_plain(*ret))
		return 0;
	TELL(judge, "`%s` %zu: `path` is no path in a set", key, number);
	free(*ret);
	*ret = NULL;
	return 0;
}

static int add_link(struct still_set *set, struct still_set_judge *judge,
    const json_t *object, size_t number)
{
	struct still_set_link link = {0};
	int rc = take_path(object, judge, "links", number, &link.path);

	if (rc < 0 || !link.path)
		return rc;
	if (still_json_get_name(object, "target", &link.target) < 0) {
		free(link.path);
		return STILL_ERR_NOMEM;
	}
	if (link.target && still_path_link_stays(link.path, link.target)) {
		set->links[set->n_links++] = link;
		return 0;
	}
	TELL(judge, "link `%s`: `target` leads to nothing in the set",
	    link.path);
	free(link.path);
	free(link.target);
	return 0;
}

static int add_dir(struct still_set *set, struct still_set_judge *judge,
    const json_t *object, size_t number)
{
	char *path = NULL;
	int rc = take_path(object, judge, "empty_directories", number, &path);

	if (rc == 0 && path)
		set->empty_dirs[set->n_empty_dirs++] = path;
	return rc;
}

/* The array, or NULL where there is none. Anything else is told. */
static const json_t *array_of(
    const json_t *json, struct still_set_judge *judge, const char *key)
{
	const json_t *array = json_object_get(json, key);

	if (!array || json_is_array(array))
		return array;
	TELL(judge, "`%s` is not an array", key);
	return NULL;
}

static int compare_links(const void *a, const void *b)
{
	return strcmp(((const struct still_set_link *) a)->path,
	    ((const struct still_set_link *) b)->path);
}

int still_set_parse_shape(struct still_set *set, struct still_set_judge *judge)
{
	const json_t *links = array_of(set->json, judge, "links");
	const json_t *dirs = array_of(set->json, judge, "empty_directories");
	int rc = 0;

	set->links = calloc(json_array_size(links) + 1, sizeof(set->links[0]));
	set->empty_dirs = calloc(
	    json_array_size(dirs) + 1, sizeof(set->empty_dirs[0]));
	if (!set->links || !set->empty_dirs)
		return STILL_ERR_NOMEM;
	for (size_t i = 0; rc == 0 && i < json_array_size(links); i++)
		rc = add_link(set, judge, json_array_get(links, i), i + 1);
	qsort(set->links, set->n_links, sizeof(set->links[0]), compare_links);
	for (size_t i = 0; rc == 0 && i < json_array_size(dirs); i++)
		rc = add_dir(set, judge, json_array_get(dirs, i), i + 1);
	return rc;
}

void still_set_release_shape(struct still_set *set)
{
	for (size_t i = 0; i < set->n_links; i++) {
		free(set->links[i].path);
		free(set->links[i].target);
	}
	free(set->links);
	for (size_t i = 0; i < set->n_empty_dirs; i++)
		free(set->empty_dirs[i]);
	free(set->empty_dirs);
}

bool still_set_has_link(const struct still_set *set, const char *path)
{
	struct still_set_link link = {.path = (char *) path};

	return set->n_links > 0 &&
	    bsearch(
		&link, set->links, set->n_links, sizeof(link), compare_links);
}

/* ---- what is there ------------------------------------------------------- */

static void judge_link(const struct still_set *set,
    struct still_set_judge *judge, const struct still_set_link *link)
{
	char target[PATH_MAX];
	ssize_t n = readlinkat(
	    set->dirfd, link->path, target, sizeof(target) - 1);

	if (n < 0 && errno == ENOENT)
		still_set_tell(judge, link->path, STILL_ERR_CORRUPT,
		    "`%s`: is missing: it is a symbolic link to `%s`",
		    link->path, link->target);
	else if (n < 0 && errno == EINVAL)
		still_set_tell(judge, link->path, STILL_ERR_CORRUPT,
		    "`%s`: is no symbolic link: it was one to `%s`", link->path,
		    link->target);
	else if (n < 0)
		still_set_tell(judge, link->path, STILL_ERR_IO, "`%s`: %s",
		    link->path, strerror(errno));
	else if ((size_t) n != strlen(link->target) ||
	    memcmp(target, link->target, (size_t) n) != 0)
		still_set_tell(judge, link->path, STILL_ERR_CORRUPT,
		    "`%s`: leads to another place than `%s`", link->path,
		    link->target);
}

static void judge_dir(const struct still_set *set,
    struct still_set_judge *judge, const char *path)
{
	struct stat st;

	if (fstatat(set->dirfd, path, &st, AT_SYMLINK_NOFOLLOW) == 0) {
		if (S_ISDIR(st.st_mode))
			return;
		still_set_tell(judge, path, STILL_ERR_CORRUPT,
		    "`%s`: is no directory: it was an empty one", path);
	} else if (errno == ENOENT) {
		still_set_tell(judge, path, STILL_ERR_CORRUPT,
		    "`%s`: is missing: it is an empty directory", path);
	} else {
		still_set_tell(judge, path, STILL_ERR_IO, "`%s`: %s", path,
		    strerror(errno));
	}
}

void still_set_judge_shape(
    const struct still_set *set, struct still_set_judge *judge)
{
	for (size_t i = 0; i < set->n_links; i++)
		judge_link(set, judge, &set->links[i]);
	for (size_t i = 0; i < set->n_empty_dirs; i++)
		judge_dir(set, judge, set->empty_dirs[i]);
}
