/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "core/snapshot.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "base/path.h"
#include "core/manifest.h"

struct still_node {
	enum still_kind kind;
	bool implied; /* a parent that nobody handed over */
	char *path;   /* owned until it moves to the entry */
	uint32_t depth;
	uint64_t size_bytes;
	uint32_t mode;
	uid_t uid;
	gid_t gid;
	char *identity;             /* likewise; or NULL */
	struct still_source source; /* likewise */
};

/* ---- the builder --------------------------------------------------------- */

int still_builder_init(struct still_builder *builder, uint32_t dir_mode,
    uid_t uid, gid_t gid, struct still_error *err)
{
	memset(builder, 0, sizeof(*builder));
	builder->databases = json_array();
	if (!builder->databases)
		return still_error_nomem(err);
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
		free(builder->nodes[i].source.memory);
	}
	free(builder->nodes);
	for (size_t i = 0; i < builder->n_damages; i++) {
		free(builder->damages[i].object);
		still_error_clear(&builder->damages[i].what);
	}
	free(builder->damages);
	json_decref(builder->databases);
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

/* Takes node->source.memory and node->identity over on success. */
static int add_node(struct still_builder *builder, const char *path,
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

int still_builder_file(struct still_builder *builder,
    const struct still_file_spec *spec, struct still_error *err)
{
	struct still_node node = {
	    .kind = STILL_FILE,
	    .size_bytes = spec->size_bytes,
	    .mode = spec->mode,
	    .uid = spec->uid,
	    .gid = spec->gid,
	    .source = {.kind = STILL_SOURCE_ENGINE, .object = spec->object},
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
	if (add_node(builder, spec->path, &node) < 0) {
		free(node.identity);
		return still_error_nomem(err);
	}
	builder->n_files++;
	builder->n_bytes += spec->size_bytes;
	return 0;
}

int still_builder_dir(struct still_builder *builder, const char *path,
    uint32_t mode, uid_t uid, gid_t gid, struct still_error *err)
{
	struct still_node node = {
	    .kind = STILL_DIR, .mode = mode, .uid = uid, .gid = gid};
	int rc = check_path(path, err);

	if (rc < 0)
		return rc;
	return add_node(builder, path, &node) < 0 ? still_error_nomem(err) : 0;
}

int still_builder_database(
    struct still_builder *builder, json_t *description, struct still_error *err)
{
	/* The array steals the reference, NULL included, on failure too. */
	if (json_array_append_new(builder->databases, description) < 0)
		return still_error_nomem(err);
	return 0;
}

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

/* ---- from nodes to entries ----------------------------------------------- */

/* Every directory on the way to a node, "" included. */
static int add_parents(struct still_builder *builder)
{
	struct still_node dir = {
	    .kind = STILL_DIR,
	    .implied = true,
	    .mode = builder->dir_mode,
	    .uid = builder->uid,
	    .gid = builder->gid,
	};
	size_t n = builder->n_nodes;
	const char *last = "";
	size_t last_len = 0;
	int rc = add_node(builder, "", &dir);

	for (size_t i = 0; rc == 0 && i < n; i++) {
		const char *path = builder->nodes[i].path;
		const char *slash = strrchr(path, '/');
		size_t len = slash ? (size_t) (slash - path) : 0;

		/* Neighbours mostly share their directory. */
		if (len == last_len && memcmp(path, last, len) == 0)
			continue;
		last = path;
		last_len = len;
		for (; rc == 0 && len > 0;) {
			char *prefix = strndup(path, len);

			if (!prefix)
				return STILL_ERR_NOMEM;
			rc = add_node(builder, prefix, &dir);
			slash = strrchr(prefix, '/');
			len = slash ? (size_t) (slash - prefix) : 0;
			free(prefix);
		}
	}
	return rc;
}

/* As strcmp, but '/' is lower than any byte. */
static int compare_paths(const char *a, const char *b)
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

static int compare_nodes(const void *va, const void *vb)
{
	const struct still_node *a = va;
	const struct still_node *b = vb;
	int rc;

	if (a->depth != b->depth)
		return a->depth < b->depth ? -1 : 1;
	rc = compare_paths(a->path, b->path);
	/* Of equal ones, what the engine handed over comes first. */
	return rc ? rc : a->implied - b->implied;
}

static int drop_doubles(struct still_builder *builder, struct still_error *err)
{
	struct still_node *nodes = builder->nodes;
	size_t kept = 0;

	for (size_t i = 0; i < builder->n_nodes; i++) {
		if (kept && strcmp(nodes[kept - 1].path, nodes[i].path) == 0) {
			if (nodes[kept - 1].kind != STILL_DIR ||
			    nodes[i].kind != STILL_DIR)
				return still_error_set(err, STILL_ERR_INVALID,
				    0, NULL, "`%s`: stands twice in a snapshot",
				    nodes[i].path);
			free(nodes[i].path);
			nodes[i].path = NULL;
			continue;
		}
		if (kept != i) {
			nodes[kept] = nodes[i];
			nodes[i].path = NULL;
			nodes[i].identity = NULL;
			nodes[i].source.memory = NULL;
		}
		kept++;
	}
	builder->n_nodes = kept;
	return 0;
}

static bool closes_the_set(const char *path)
{
	return strcmp(path, "verify") == 0 || strncmp(path, "verify/", 7) == 0;
}

static void fill_entry(
    struct still_entry *entry, struct still_node *node, int64_t time_s)
{
	uint32_t others_write = 0022;

	*entry = (struct still_entry){
	    .kind = node->kind,
	    .path = node->path,
	    .name = still_path_base(node->path),
	    .mode = node->mode & 0777 & ~others_write,
	    .uid = node->uid,
	    .gid = node->gid,
	    .size_bytes = node->size_bytes,
	    .time_s = time_s,
	    .ino = still_hash64(node->path, strlen(node->path)) >> 2,
	    .seal = strcmp(node->path, STILL_SEAL_PATH) == 0,
	};
	if (closes_the_set(node->path))
		entry->ino |= UINT64_C(1) << 62;
	node->path = NULL;
}

static bool is_child(
    const struct still_entry *parent, const struct still_entry *entry)
{
	size_t n = strlen(parent->path);

	if (n == 0)
		return entry->name == entry->path;
	return strncmp(entry->path, parent->path, n) == 0 &&
	    entry->path + n + 1 == entry->name;
}

/* Breadth first, so parents advance as their children do. */
static void link_entries(struct still_snapshot *snapshot)
{
	struct still_entry *entries = snapshot->entries;
	uint32_t parent = 0;

	for (uint32_t i = 1; i < snapshot->n; i++) {
		while (!is_child(&entries[parent], &entries[i]))
			parent++;
		entries[i].parent = parent;
		if (entries[parent].n_children++ == 0)
			entries[parent].first_child = i;
		entries[parent].n_subdirs += entries[i].kind == STILL_DIR;
	}
}

/* A directory shows names, and what they are. Children come behind their
 * parents, so each is added to its own. */
static int identify_dirs(struct still_snapshot *snapshot)
{
	for (uint32_t i = 0; i < snapshot->n; i++) {
		const struct still_entry *dir = &snapshot->entries[i];
		uint64_t hash = dir->n_children;

		if (dir->kind != STILL_DIR)
			continue;
		for (uint32_t j = 0; j < dir->n_children; j++) {
			const struct still_entry *child =
			    &snapshot->entries[dir->first_child + j];

			hash = still_hash64_seeded(child->name,
			    strlen(child->name), hash + child->kind);
		}
		if (asprintf(&snapshot->identities[i], "names:%016" PRIx64,
			hash) < 0) {
			snapshot->identities[i] = NULL;
			return STILL_ERR_NOMEM;
		}
	}
	return 0;
}

static int allocate(struct still_snapshot *snapshot)
{
	uint32_t n = snapshot->n;

	snapshot->entries = calloc(n, sizeof(*snapshot->entries));
	snapshot->sources = calloc(n, sizeof(*snapshot->sources));
	snapshot->identities = calloc(n, sizeof(*snapshot->identities));
	snapshot->known = calloc(n, sizeof(*snapshot->known));
	snapshot->known_digests = calloc(n, sizeof(*snapshot->known_digests));
	return snapshot->entries && snapshot->sources && snapshot->identities &&
		snapshot->known && snapshot->known_digests
	    ? 0
	    : STILL_ERR_NOMEM;
}

static int make_entries(struct still_builder *builder, int64_t time_s,
    int64_t dir_time_s, struct still_snapshot *ret, struct still_error *err)
{
	struct still_snapshot snapshot = {.n = (uint32_t) builder->n_nodes};

	if (allocate(&snapshot) < 0) {
		still_snapshot_release(&snapshot);
		return still_error_nomem(err);
	}
	for (uint32_t i = 0; i < snapshot.n; i++) {
		struct still_node *node = &builder->nodes[i];

		fill_entry(
		    &snapshot.entries[i], node, i == 0 ? dir_time_s : time_s);
		snapshot.sources[i] = node->source;
		node->source.memory = NULL;
		snapshot.identities[i] = node->identity;
		node->identity = NULL;
		if (snapshot.entries[i].seal)
			snapshot.seal = i;
	}
	link_entries(&snapshot);
	if (identify_dirs(&snapshot) < 0) {
		still_snapshot_release(&snapshot);
		return still_error_nomem(err);
	}
	snapshot.entries[snapshot.seal].size_bytes = still_sums_bytes(
	    &snapshot);
	*ret = snapshot;
	return 0;
}

int still_builder_finish(struct still_builder *builder, char *manifest,
    size_t manifest_len, int64_t time_s, int64_t dir_time_s,
    struct still_snapshot *ret, struct still_error *err)
{
	struct still_node file = {
	    .kind = STILL_FILE,
	    .mode = builder->dir_mode & 0666,
	    .uid = builder->uid,
	    .gid = builder->gid,
	};
	int rc;

	file.source.kind = STILL_SOURCE_SEAL;
	rc = add_node(builder, STILL_SEAL_PATH, &file);
	file.size_bytes = manifest_len;
	file.source.kind = STILL_SOURCE_MEMORY;
	file.source.memory = manifest;
	if (rc == 0)
		rc = add_node(builder, STILL_MANIFEST_PATH, &file);
	if (rc < 0) {
		free(manifest);
		return still_error_nomem(err);
	}
	if (add_parents(builder) < 0)
		return still_error_nomem(err);
	qsort(builder->nodes, builder->n_nodes, sizeof(*builder->nodes),
	    compare_nodes);
	rc = drop_doubles(builder, err);
	if (rc == 0)
		rc = make_entries(builder, time_s, dir_time_s, ret, err);
	return rc;
}

uint32_t still_snapshot_find(
    const struct still_snapshot *snapshot, uint32_t parent, const char *name)
{
	const struct still_entry *dir = &snapshot->entries[parent];
	uint32_t low = dir->first_child;
	uint32_t high = low + dir->n_children;

	while (low < high) {
		uint32_t mid = low + (high - low) / 2;
		int rc = strcmp(snapshot->entries[mid].name, name);

		if (rc == 0)
			return mid;
		if (rc < 0)
			low = mid + 1;
		else
			high = mid;
	}
	return 0;
}

void still_snapshot_release(struct still_snapshot *snapshot)
{
	for (uint32_t i = 0; i < snapshot->n; i++) {
		if (snapshot->entries)
			free((char *) snapshot->entries[i].path);
		if (snapshot->sources)
			free(snapshot->sources[i].memory);
		if (snapshot->identities)
			free(snapshot->identities[i]);
	}
	free(snapshot->entries);
	free(snapshot->sources);
	free(snapshot->identities);
	free(snapshot->known);
	free(snapshot->known_digests);
	memset(snapshot, 0, sizeof(*snapshot));
}
