/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "core/snapshot.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "base/path.h"
#include "core/manifest.h"
#include "core/node.h"

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
	int rc = still_builder_add(builder, "", &dir);

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
			rc = still_builder_add(builder, prefix, &dir);
			slash = strrchr(prefix, '/');
			len = slash ? (size_t) (slash - prefix) : 0;
			free(prefix);
		}
	}
	return rc;
}

static int compare_nodes(const void *va, const void *vb)
{
	const struct still_node *a = va;
	const struct still_node *b = vb;
	int rc;

	if (a->depth != b->depth)
		return a->depth < b->depth ? -1 : 1;
	rc = still_node_compare_paths(a->path, b->path);
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
			nodes[i].target = NULL;
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

/* What is shown elsewhere is another file. */
static uint64_t number_of(const char *place, const char *path)
{
	uint64_t seed = place ? still_hash64(place, strlen(place)) : 0;

	return still_hash64_seeded(path, strlen(path), seed) >> 2;
}

static void fill_entry(struct still_entry *entry, struct still_node *node,
    const char *place, int64_t time_s)
{
	uint32_t hidden = node->kind == STILL_LINK ? 0 : 0022;

	*entry = (struct still_entry){
	    .kind = node->kind,
	    .path = node->path,
	    .name = still_path_base(node->path),
	    .mode = node->mode & 0777 & ~hidden,
	    .uid = node->uid,
	    .gid = node->gid,
	    .size_bytes = node->size_bytes,
	    .target = node->target,
	    .time_s = time_s,
	    .ino = number_of(place, node->path),
	    .seal = strcmp(node->path, STILL_SEAL_PATH) == 0,
	    .closing = node->source.kind == STILL_SOURCE_SEAL ||
		node->source.kind == STILL_SOURCE_CLOSING,
	};
	if (entry->closing || closes_the_set(node->path))
		entry->ino |= STILL_INO_CLOSING;
	node->path = NULL;
	node->target = NULL;
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
		if (entries[i].closing)
			entries[parent].listed_last = i;
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
	struct still_snapshot snapshot = {
	    .n = (uint32_t) builder->n_nodes, .closes = builder->closes};

	if (allocate(&snapshot) < 0) {
		still_snapshot_release(&snapshot);
		return still_error_nomem(err);
	}
	for (uint32_t i = 0; i < snapshot.n; i++) {
		struct still_node *node = &builder->nodes[i];

		fill_entry(&snapshot.entries[i], node, builder->place,
		    i == 0 ? dir_time_s : time_s);
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
	rc = still_builder_add(builder, STILL_SEAL_PATH, &file);
	file.size_bytes = manifest_len;
	file.source.kind = STILL_SOURCE_MEMORY;
	file.source.memory = manifest;
	if (rc == 0)
		rc = still_builder_add(builder, STILL_MANIFEST_PATH, &file);
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
		if (snapshot->entries) {
			free((char *) snapshot->entries[i].path);
			free((char *) snapshot->entries[i].target);
		}
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
