/* SPDX-License-Identifier: MIT */
/* builder: what an engine's freeze hands over. */
#include "config.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "base/json.h"
#include "base/path.h"
#include "core/node.h"

int still_node_compare_paths(const char *a, const char *b)
{
	while (*a && *a == *b) {
		a++;
		b++;
	}
	if (*a == *b)
		return 0;
	if (!*a || !*b)
		return *a ? 1 : -1;
	if (*a == '/' || *b == '/')
		return *a == '/' ? -1 : 1;
	return (unsigned char) *a < (unsigned char) *b ? -1 : 1;
}

int still_builder_init(struct still_builder *builder, uint32_t dir_mode,
    uid_t uid, gid_t gid, struct still_error *err)
{
	memset(builder, 0, sizeof(*builder));
	builder->databases = json_array();
	builder->dropped = json_array();
	if (!builder->databases || !builder->dropped) {
		still_builder_release(builder);
		return still_error_nomem(err);
	}
	builder->dir_mode = dir_mode;
	builder->uid = uid;
	builder->gid = gid;
	return 0;
}

void still_builder_release(struct still_builder *builder)
{
	for (size_t i = 0; i < builder->n_nodes; i++) {
		free(builder->nodes[i].path);
		free(builder->nodes[i].identity);
		free(builder->nodes[i].target);
		free(builder->nodes[i].source.memory);
	}
	free(builder->nodes);
	for (size_t i = 0; i < builder->n_damages; i++) {
		free(builder->damages[i].object);
		still_error_clear(&builder->damages[i].what);
	}
	free(builder->damages);
	still_summed_free(builder->summed, builder->n_summed);
	json_decref(builder->databases);
	json_decref(builder->dropped);
	json_decref(builder->note);
	memset(builder, 0, sizeof(*builder));
}

static bool path_is_valid(const char *path)
{
	const char *part = path;

	for (;;) {
		size_t n = strcspn(part, "/");

		if (n == 0 || (n == 1 && part[0] == '.') ||
		    (n == 2 && part[0] == '.' && part[1] == '.'))
			return false;
		if (!part[n])
			return true;
		part += n + 1;
	}
}

static uint32_t depth_of(const char *path)
{
	uint32_t depth = *path ? 1 : 0;

	for (; *path; path++)
		depth += *path == '/';
	return depth;
}

int still_builder_add(struct still_builder *builder, const char *path,
    const struct still_node *node)
{
	size_t n = builder->n_nodes;
	struct still_node *grown = builder->nodes;
	char *copy;

	if ((n & (n - 1)) == 0) {
		grown = realloc(grown, (n ? 2 * n : 1) * sizeof(*grown));
		if (!grown)
			return STILL_ERR_NOMEM;
		builder->nodes = grown;
	}
	copy = strdup(path);
	if (!copy)
		return STILL_ERR_NOMEM;
	grown[n] = *node;
	grown[n].path = copy;
	grown[n].depth = depth_of(copy);
	builder->n_nodes++;
	return 0;
}

static int check_path(const char *path, struct still_error *err)
{
	if (strchr(path, '\n'))
		return still_error_set(err, STILL_ERR_INVALID, 0,
		    "xxhsum's lists cannot hold such a name; rename it.",
		    "`%s`: the name has a newline in it", path);
	if (!path_is_valid(path))
		return still_error_set(err, STILL_ERR_INVALID, 0, NULL,
		    "`%s`: is no path inside a snapshot", path);
	return 0;
}

static int add_file(struct still_builder *builder,
    const struct still_file_spec *spec, enum still_source_kind source,
    struct still_error *err)
{
	struct still_node node = {
	    .kind = STILL_FILE,
	    .size_bytes = spec->size_bytes,
	    .mode = spec->mode,
	    .uid = spec->uid,
	    .gid = spec->gid,
	    .source = {source, NULL, spec->object, spec->page_bytes},
	};
	int rc = check_path(spec->path, err);

	if (rc < 0)
		return rc;
	assert(!spec->identity ||
	    strlen(spec->identity) <= STILL_IDENTITY_MAX_BYTES);
	if (spec->identity) {
		node.identity = strdup(spec->identity);
		if (!node.identity)
			return still_error_nomem(err);
	}
	if (still_builder_add(builder, spec->path, &node) < 0) {
		free(node.identity);
		return still_error_nomem(err);
	}
	builder->n_files++;
	builder->n_bytes += spec->size_bytes;
	return 0;
}

int still_builder_file(struct still_builder *builder,
    const struct still_file_spec *spec, struct still_error *err)
{
	return add_file(builder, spec, STILL_SOURCE_ENGINE, err);
}

int still_builder_closing(struct still_builder *builder,
    const struct still_file_spec *spec, struct still_error *err)
{
	assert(!spec->identity);
	builder->closes = true;
	return add_file(builder, spec, STILL_SOURCE_CLOSING, err);
}

int still_builder_dir(struct still_builder *builder, const char *path,
    uint32_t mode, uid_t uid, gid_t gid, struct still_error *err)
{
	struct still_node node = {
	    .kind = STILL_DIR, .mode = mode, .uid = uid, .gid = gid};
	int rc = check_path(path, err);

	if (rc < 0)
		return rc;
	return still_builder_add(builder, path, &node) < 0
	    ? still_error_nomem(err)
	    : 0;
}

int still_builder_link(struct still_builder *builder, const char *path,
    const char *target, uid_t uid, gid_t gid, struct still_error *err)
{
	struct still_node node = {
	    .kind = STILL_LINK,
	    .mode = 0777,
	    .uid = uid,
	    .gid = gid,
	    .size_bytes = strlen(target),
	};
	int rc = check_path(path, err);

	if (rc < 0)
		return rc;
	if (!still_path_link_stays(path, target))
		return still_error_set(err, STILL_ERR_INVALID, 0, NULL,
		    "`%s`: is a link that leads out of the snapshot", path);
	node.target = strdup(target);
	if (!node.target)
		return still_error_nomem(err);
	if (asprintf(&node.identity, "link:%016" PRIx64,
		still_hash64(target, strlen(target))) < 0)
		node.identity = NULL;
	if (node.identity && still_builder_add(builder, path, &node) == 0)
		return 0;
	free(node.identity);
	free(node.target);
	return still_error_nomem(err);
}

int still_builder_database(
    struct still_builder *builder, json_t *description, struct still_error *err)
{
	/* The array steals the reference, NULL included, on failure too. */
	if (json_array_append_new(builder->databases, description) < 0)
		return still_error_nomem(err);
	return 0;
}

/* ---- for later sessions -------------------------------------------------- */

int still_builder_note(
    struct still_builder *builder, json_t *note, struct still_error *err)
{
	assert(!builder->note);
	if (!note)
		return still_error_nomem(err);
	builder->note = note;
	return 0;
}

int still_builder_page_sums(struct still_builder *builder, const char *path,
    uint32_t page_bytes, uint64_t n_pages, uint64_t **ret_sums,
    struct still_error *err)
{
	size_t n = builder->n_summed;
	struct still_summed *grown = builder->summed;
	struct still_summed new = {.pages = STILL_PAGES_INIT};
	int rc;

	assert(page_bytes > 0);
	if ((n & (n - 1)) == 0) {
		grown = realloc(grown, (n ? 2 * n : 1) * sizeof(*grown));
		if (!grown)
			return still_error_nomem(err);
		builder->summed = grown;
	}
	rc = still_pages_new(
	    builder->catalog, page_bytes, n_pages, &new.pages, err);
	if (rc < 0)
		return rc;
	new.path = strdup(path);
	if (!new.path) {
		still_pages_release(&new.pages);
		return still_error_nomem(err);
	}
	grown[n] = new;
	builder->n_summed++;
	*ret_sums = new.pages.sums;
	return 0;
}

struct still_summed *still_builder_take_summed(
    struct still_builder *builder, size_t *ret_n)
{
	struct still_summed *summed = builder->summed;

	*ret_n = builder->n_summed;
	builder->summed = NULL;
	builder->n_summed = 0;
	return summed;
}

void still_summed_free(struct still_summed *summed, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		free(summed[i].path);
		still_pages_release(&summed[i].pages);
	}
	free(summed);
}

int still_builder_dropped(
    struct still_builder *builder, const char *path, struct still_error *err)
{
	json_t *dropped = json_object();
	int rc = still_json_set_name(dropped, "path", path);

	/* The array steals the reference, NULL included, on failure too. */
	return json_array_append_new(builder->dropped, dropped) < 0 || rc < 0
	    ? still_error_nomem(err)
	    : 0;
}

/* -------------------------------------------------------------------------- */

void still_builder_cut(
    struct still_builder *builder, const struct still_cut *cut)
{
	builder->cut = *cut;
}

void still_builder_verified(struct still_builder *builder, const char *words)
{
	builder->verified = words;
}

static int add_damage(struct still_builder *builder, const char *object,
    const struct still_error *what, bool unfrozen, struct still_error *err)
{
	size_t n = builder->n_damages;
	struct still_damage *grown = realloc(
	    builder->damages, (n + 1) * sizeof(*grown));

	if (!grown)
		return still_error_nomem(err);
	builder->damages = grown;
	grown[n] = (struct still_damage){.unfrozen = unfrozen};
	grown[n].object = strdup(object);
	if (!grown[n].object)
		return still_error_nomem(err);
	still_error_copy(&grown[n].what, what);
	builder->n_damages++;
	return 0;
}

int still_builder_damage(struct still_builder *builder, const char *object,
    const struct still_error *what, struct still_error *err)
{
	return add_damage(builder, object, what, false, err);
}

int still_builder_unfrozen(struct still_builder *builder, const char *object,
    const struct still_error *why, struct still_error *err)
{
	return add_damage(builder, object, why, true, err);
}

/* ---- its shape ----------------------------------------------------------- */

static int compare_shapes(const void *va, const void *vb)
{
	const struct still_node *const *a = va;
	const struct still_node *const *b = vb;

	return still_node_compare_paths((*a)->path, (*b)->path);
}

/* Something in it, or the same once more. */
static bool goes_on(const char *dir, const char *path)
{
	size_t n = strlen(dir);

	return strncmp(path, dir, n) == 0 && (!path[n] || path[n] == '/');
}

static int describe_link(json_t *links, const struct still_node *node)
{
	json_t *link = json_object();
	int rc = still_json_set_name(link, "path", node->path) |
	    still_json_set_name(link, "target", node->target);

	/* The array steals the reference, also on failure. */
	return json_array_append_new(links, link) | rc;
}

static int describe_dir(json_t *dirs, const struct still_node *node)
{
	json_t *dir = json_object();
	int rc = still_json_set_name(dir, "path", node->path);

	return json_array_append_new(dirs, dir) | rc;
}

/* Sorted, a directory stands before what is in it. */
static int describe(const struct still_builder *builder,
    const struct still_node **sorted, json_t *links, json_t *dirs)
{
	size_t n = builder->n_nodes;
	int rc = links && dirs ? 0 : -1;

	for (size_t i = 0; i < n; i++)
		sorted[i] = &builder->nodes[i];
	qsort(sorted, n, sizeof(sorted[0]), compare_shapes);
	for (size_t i = 0; rc == 0 && i < n; i++)
		if (sorted[i]->kind == STILL_LINK)
			rc = describe_link(links, sorted[i]);
		else if (sorted[i]->kind == STILL_DIR &&
		    (i + 1 == n ||
			!goes_on(sorted[i]->path, sorted[i + 1]->path)))
			rc = describe_dir(dirs, sorted[i]);
	return rc;
}

int still_builder_describe(const struct still_builder *builder, json_t *root)
{
	const struct still_node **sorted = calloc(
	    builder->n_nodes + 1, sizeof(sorted[0]));
	json_t *links = json_array();
	json_t *dirs = json_array();
	int rc = sorted ? describe(builder, sorted, links, dirs) : -1;

	if (rc == 0 && json_array_size(links) > 0)
		rc = json_object_set(root, "links", links);
	if (rc == 0 && json_array_size(dirs) > 0)
		rc = json_object_set(root, "empty_directories", dirs);
	json_decref(links);
	json_decref(dirs);
	free(sorted);
	return rc;
}
