/* SPDX-License-Identifier: MIT */
/* The tree that a builder makes: its order, its numbers, its refusals. */
#include "config.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "core/manifest.h"
#include "core/snapshot.h"
#include "tests/unit/scratch.h"

#define CLOSING_BIT (UINT64_C(1) << 62)

static void begin(struct still_builder *builder)
{
	assert_int_equal(still_builder_init(builder, 0775, 100, 200, NULL), 0);
}

static void add_file(struct still_builder *builder, const char *path)
{
	struct still_file_spec spec = {
	    .path = path,
	    .size_bytes = strlen(path),
	    .mode = 0666,
	    .uid = 1,
	    .gid = 2,
	    .object = (void *) path,
	};

	assert_int_equal(still_builder_file(builder, &spec, NULL), 0);
}

static int finish(struct still_builder *builder, struct still_snapshot *ret,
    struct still_error *err)
{
	return still_builder_finish(
	    builder, strdup("{}\n"), 3, 1111, 2222, ret, err);
}

/* A snapshot of these files; a NULL behind the last. */
static void build(struct still_snapshot *ret, const char *const *files)
{
	struct still_builder builder;

	begin(&builder);
	for (; *files; files++)
		add_file(&builder, *files);
	assert_int_equal(finish(&builder, ret, NULL), 0);
	still_builder_release(&builder);
}

/* What must be true of every snapshot. */
static void check_tree(const struct still_snapshot *snapshot)
{
	const struct still_entry *entries = snapshot->entries;
	uint32_t n_children = 1; /* entry 0 is the child of nobody */

	assert_string_equal(entries[0].path, "");
	assert_string_equal(entries[0].name, "");
	assert_int_equal(entries[0].kind, STILL_DIR);
	assert_string_equal(entries[snapshot->seal].path, STILL_SEAL_PATH);
	for (uint32_t i = 0; i < snapshot->n; i++) {
		const struct still_entry *e = &entries[i];
		uint32_t end = e->first_child + e->n_children;
		uint32_t n_subdirs = 0;

		assert_int_equal(e->seal, i == snapshot->seal);
		assert_int_equal(e->mode & ~0755u, 0);
		assert_int_equal(e->ino >> 63, 0);
		n_children += e->n_children;
		if (e->kind == STILL_FILE)
			assert_int_equal(e->n_children, 0);
		else
			assert_int_equal(e->size_bytes, 0);
		/* Children stand behind their parent, together, sorted. */
		if (e->n_children)
			assert_true(e->first_child > i && end <= snapshot->n);
		for (uint32_t c = e->first_child; c < end; c++) {
			char path[256];

			assert_int_equal(entries[c].parent, i);
			snprintf(path, sizeof(path), "%s%s%s", e->path,
			    *e->path ? "/" : "", entries[c].name);
			assert_string_equal(entries[c].path, path);
			assert_null(strchr(entries[c].name, '/'));
			n_subdirs += entries[c].kind == STILL_DIR;
			if (c > e->first_child)
				assert_true(strcmp(entries[c - 1].name,
						entries[c].name) < 0);
			assert_int_equal(
			    still_snapshot_find(snapshot, i, entries[c].name),
			    c);
		}
		assert_int_equal(e->n_subdirs, n_subdirs);
	}
	assert_int_equal(n_children, snapshot->n);
}

static const struct still_entry *at(
    const struct still_snapshot *snapshot, const char *path)
{
	for (uint32_t i = 0; i < snapshot->n; i++)
		if (strcmp(snapshot->entries[i].path, path) == 0)
			return &snapshot->entries[i];
	fail_msg("no entry `%s`", path);
	return NULL;
}

/* ---- order --------------------------------------------------------------- */

static void assert_paths(
    const struct still_snapshot *snapshot, const char *const *paths)
{
	uint32_t i = 0;

	for (; paths[i]; i++) {
		assert_true(i < snapshot->n);
		assert_string_equal(snapshot->entries[i].path, paths[i]);
	}
	assert_int_equal(i, snapshot->n);
}

static void nothing_but_the_frame(void **state)
{
	static const char *const files[] = {NULL};
	static const char *const paths[] = {
	    "", "backup.json", "verify", "verify/XXH128SUMS", NULL};
	struct still_snapshot snapshot;

	(void) state;
	build(&snapshot, files);
	check_tree(&snapshot);
	assert_paths(&snapshot, paths);
	still_snapshot_release(&snapshot);
}

static void breadth_first(void **state)
{
	static const char *const files[] = {"data/b/x.db", "data/z.db",
	    "data/a/deep/y.db", "data/a/x.db", NULL};
	static const char *const paths[] = {"", "backup.json", "data", "verify",
	    "data/a", "data/b", "data/z.db", "verify/XXH128SUMS", "data/a/deep",
	    "data/a/x.db", "data/b/x.db", "data/a/deep/y.db", NULL};
	struct still_snapshot snapshot;

	(void) state;
	build(&snapshot, files);
	check_tree(&snapshot);
	assert_paths(&snapshot, paths);
	still_snapshot_release(&snapshot);
}

/* '/' sorts below every byte, or "a-b/x" would come between a's children. */
static void slash_is_lowest(void **state)
{
	static const char *const files[] = {"data/a-b/x", "data/a/y",
	    "data/a b/x", "data/a/x", "data/a\x01/x", "data/a\xff/x",
	    "data/ab/x", NULL};
	static const char *const paths[] = {"", "backup.json", "data", "verify",
	    "data/a", "data/a\x01", "data/a b", "data/a-b", "data/ab",
	    "data/a\xff", "verify/XXH128SUMS", "data/a/x", "data/a/y",
	    "data/a\x01/x", "data/a b/x", "data/a-b/x", "data/ab/x",
	    "data/a\xff/x", NULL};
	struct still_snapshot snapshot;

	(void) state;
	build(&snapshot, files);
	check_tree(&snapshot);
	assert_paths(&snapshot, paths);
	still_snapshot_release(&snapshot);
}

/* Whatever tree, in whatever order it is handed over. */
static void random_trees(void **state)
{
	static const char *const parts[] = {
	    "a", "b", "a-", "a.db", "A", "aa", "\xff", "\x01", "z z", "0"};
	uint64_t random = scratch_seed();

	(void) state;
	for (int round = 0; round < 100; round++) {
		struct still_builder builder;
		struct still_snapshot snapshot;
		uint64_t n = scratch_below(&random, 60);
		uint32_t n_files = 2;

		begin(&builder);
		for (uint64_t i = 0; i < n; i++) {
			char path[128] = "data";
			uint64_t depth = scratch_below(&random, 4);

			for (uint64_t d = 0; d < depth; d++) {
				strcat(path, "/");
				strcat(path, parts[scratch_below(&random, 10)]);
			}
			/* No directory has a number for its name. */
			snprintf(path + strlen(path), 16, "/%u",
			    (unsigned) i + 1000);
			add_file(&builder, path);
			n_files++;
		}
		assert_int_equal(finish(&builder, &snapshot, NULL), 0);
		still_builder_release(&builder);
		check_tree(&snapshot);
		for (uint32_t i = 0; i < snapshot.n; i++)
			n_files -= snapshot.entries[i].kind == STILL_FILE;
		assert_int_equal(n_files, 0);
		still_snapshot_release(&snapshot);
	}
}

static void find(void **state)
{
	static const char *const files[] = {
	    "data/a/x", "data/b", "data/c", NULL};
	struct still_snapshot snapshot;
	uint32_t data;

	(void) state;
	build(&snapshot, files);
	data = still_snapshot_find(&snapshot, 0, "data");
	assert_string_equal(snapshot.entries[data].path, "data");
	assert_int_equal(still_snapshot_find(&snapshot, 0, ""), 0);
	assert_int_equal(still_snapshot_find(&snapshot, 0, "dat"), 0);
	assert_int_equal(still_snapshot_find(&snapshot, 0, "dataa"), 0);
	assert_int_equal(still_snapshot_find(&snapshot, 0, "data/b"), 0);
	assert_int_equal(still_snapshot_find(&snapshot, data, "0"), 0);
	assert_int_equal(still_snapshot_find(&snapshot, data, "bb"), 0);
	assert_int_equal(still_snapshot_find(&snapshot, data, "d"), 0);
	/* A file has no children. */
	assert_int_equal(still_snapshot_find(&snapshot,
			     still_snapshot_find(&snapshot, data, "b"), "x"),
	    0);
	still_snapshot_release(&snapshot);
}

/* ---- attributes ---------------------------------------------------------- */

static void attributes(void **state)
{
	struct still_builder builder;
	struct still_snapshot snapshot;
	const struct still_entry *e;

	(void) state;
	begin(&builder);
	add_file(&builder, "data/sub/a.db");
	add_file(&builder, "data/b.db");
	assert_int_equal(
	    still_builder_dir(&builder, "data/sub", 07777, 3, 4, NULL), 0);
	assert_int_equal(finish(&builder, &snapshot, NULL), 0);
	still_builder_release(&builder);
	check_tree(&snapshot);

	/* What the engine says, without write bits of others. */
	e = at(&snapshot, "data/sub/a.db");
	assert_int_equal(e->kind, STILL_FILE);
	assert_int_equal(e->mode, 0644);
	assert_int_equal(e->uid, 1);
	assert_int_equal(e->gid, 2);
	assert_int_equal(e->size_bytes, strlen("data/sub/a.db"));
	assert_int_equal(e->time_s, 1111);
	e = at(&snapshot, "data/sub");
	assert_int_equal(e->kind, STILL_DIR);
	assert_int_equal(e->mode, 0755);
	assert_int_equal(e->uid, 3);
	assert_int_equal(e->gid, 4);
	/* What nobody handed over, as the builder was told. */
	e = at(&snapshot, "data");
	assert_int_equal(e->mode, 0755);
	assert_int_equal(e->uid, 100);
	assert_int_equal(e->gid, 200);
	assert_int_equal(e->time_s, 1111);
	e = at(&snapshot, "backup.json");
	assert_int_equal(e->mode, 0644);
	assert_int_equal(e->uid, 100);
	assert_int_equal(e->size_bytes, 3);
	e = at(&snapshot, "");
	assert_int_equal(e->time_s, 2222);
	still_snapshot_release(&snapshot);
}

static void links(void **state)
{
	struct still_error err = STILL_ERROR_INIT;
	struct still_builder builder;
	struct still_snapshot snapshot;
	const struct still_entry *entry;
	char *identities[2];
	uint32_t at;

	(void) state;
	for (int i = 0; i < 2; i++) {
		begin(&builder);
		add_file(&builder, "spaces/7/a");
		assert_int_equal(
		    still_builder_link(&builder, "data/links/7",
			i ? "../../spaces/8" : "../../spaces/7", 3, 4, NULL),
		    0);
		assert_int_equal(finish(&builder, &snapshot, NULL), 0);
		still_builder_release(&builder);
		at = still_snapshot_find(&snapshot, 0, "data");
		at = still_snapshot_find(&snapshot, at, "links");
		at = still_snapshot_find(&snapshot, at, "7");
		entry = &snapshot.entries[at];
		assert_int_equal(entry->kind, STILL_LINK);
		assert_int_equal(entry->mode, 0777);
		assert_int_equal(entry->uid, 3);
		assert_int_equal(entry->gid, 4);
		assert_int_equal(entry->size_bytes, 14);
		assert_string_equal(
		    entry->target, i ? "../../spaces/8" : "../../spaces/7");
		identities[i] = strdup(snapshot.identities[at]);
		still_snapshot_release(&snapshot);
	}
	/* Another target is another link. */
	assert_string_not_equal(identities[0], identities[1]);
	free(identities[0]);
	free(identities[1]);
	begin(&builder);
	assert_int_equal(
	    still_builder_link(&builder, "data/l", "../../b", 3, 4, &err),
	    STILL_ERR_INVALID);
	assert_string_equal(still_error_msg(&err),
	    "`data/l`: is a link that leads out of the snapshot");
	still_error_clear(&err);
	still_builder_release(&builder);
}

/* What no list of sums can name. */
static void shape(void **state)
{
	static const char *const dirs[] = {"data/x/empty", "data/x", "data/y",
	    "data/y", "data/z", "data/z-not-in-z", "data"};
	struct still_builder builder;
	json_t *root = json_object();
	char *text;

	(void) state;
	begin(&builder);
	add_file(&builder, "data/z/f");
	assert_int_equal(still_builder_describe(&builder, root), 0);
	assert_int_equal(json_object_size(root), 0);
	for (size_t i = 0; i < sizeof(dirs) / sizeof(dirs[0]); i++)
		assert_int_equal(
		    still_builder_dir(&builder, dirs[i], 0700, 1, 2, NULL), 0);
	assert_int_equal(
	    still_builder_link(&builder, "data/l", "x", 1, 2, NULL), 0);
	assert_int_equal(still_builder_describe(&builder, root), 0);
	text = json_dumps(root, JSON_COMPACT | JSON_SORT_KEYS);
	assert_string_equal(text,
	    "{\"empty_directories\":[{\"path\":\"data/x/empty\"},"
	    "{\"path\":\"data/y\"},{\"path\":\"data/z-not-in-z\"}],"
	    "\"links\":[{\"path\":\"data/l\",\"target\":\"x\"}]}");
	free(text);
	json_decref(root);
	still_builder_release(&builder);
}

static void sources(void **state)
{
	static const char *const files[] = {"data/a", "data/b", NULL};
	struct still_snapshot snapshot;

	(void) state;
	build(&snapshot, files);
	for (uint32_t i = 0; i < snapshot.n; i++) {
		const struct still_source *source = &snapshot.sources[i];
		const char *path = snapshot.entries[i].path;

		if (snapshot.entries[i].kind == STILL_DIR) {
			assert_int_equal(source->kind, STILL_SOURCE_NONE);
		} else if (strcmp(path, "backup.json") == 0) {
			assert_int_equal(source->kind, STILL_SOURCE_MEMORY);
			assert_memory_equal(source->memory, "{}\n", 3);
		} else if (i == snapshot.seal) {
			assert_int_equal(source->kind, STILL_SOURCE_SEAL);
		} else {
			assert_int_equal(source->kind, STILL_SOURCE_ENGINE);
			assert_string_equal(source->object, path);
		}
	}
	still_snapshot_release(&snapshot);
}

static void inode_numbers(void **state)
{
	static const char *const files[] = {"data/a", "data/verify",
	    "verify-not", "verify/engine", "data/verify-not/XXH128SUMS", NULL};
	struct still_snapshot snapshot;
	struct still_snapshot other;

	(void) state;
	build(&snapshot, files);
	for (uint32_t i = 0; i < snapshot.n; i++) {
		const struct still_entry *e = &snapshot.entries[i];
		bool closes = strcmp(e->path, "verify") == 0 ||
		    strncmp(e->path, "verify/", 7) == 0;

		assert_int_equal(!!(e->ino & CLOSING_BIT), closes);
		assert_true((e->ino & (CLOSING_BIT - 1)) ==
		    still_hash64(e->path, strlen(e->path)) >> 2);
		for (uint32_t j = 0; j < snapshot.n; j++)
			if (j != i)
				assert_true(snapshot.entries[j].ino != e->ino);
	}
	/* The same tomorrow. */
	build(&other, files + 1);
	assert_true(at(&snapshot, "data/verify")->ino ==
	    at(&other, "data/verify")->ino);
	still_snapshot_release(&other);
	still_snapshot_release(&snapshot);
}

/* What an incremental session shows is nowhere else. */
static void another_place(void **state)
{
	static const char *const places[] = {
	    NULL, "incremental/000001/", "incremental/000002/"};
	struct still_snapshot snapshots[3];

	(void) state;
	for (int i = 0; i < 3; i++) {
		struct still_builder builder;

		begin(&builder);
		builder.place = places[i];
		add_file(&builder, "data/a");
		assert_int_equal(finish(&builder, &snapshots[i], NULL), 0);
		still_builder_release(&builder);
	}
	for (uint32_t k = 0; k < snapshots[0].n; k++)
		for (int i = 0; i < 3; i++) {
			const struct still_entry *a = &snapshots[i].entries[k];
			const struct still_entry *b =
			    &snapshots[(i + 1) % 3].entries[k];

			assert_string_equal(a->path, b->path);
			assert_true(a->ino != b->ino);
			assert_true(
			    (a->ino & CLOSING_BIT) == (b->ino & CLOSING_BIT));
		}
	for (int i = 0; i < 3; i++)
		still_snapshot_release(&snapshots[i]);
}

/* What an engine leaves for later sessions. */
static void for_later(void **state)
{
	struct still_builder builder;
	struct still_summed *summed;
	uint64_t *sums[5];
	char *text;
	size_t n;

	(void) state;
	begin(&builder);
	assert_null(builder.note);
	assert_int_equal(
	    still_builder_note(&builder, json_pack("{s:i}", "a", 1), NULL), 0);
	assert_int_equal(
	    json_integer_value(json_object_get(builder.note, "a")), 1);
	assert_int_equal(still_builder_dropped(&builder, "data/b", NULL), 0);
	assert_int_equal(still_builder_dropped(&builder, "data/\xff", NULL), 0);
	text = json_dumps(builder.dropped, JSON_COMPACT);
	assert_string_equal(text,
	    "[{\"path\":\"data/b\"},{\"encoded_path\":\"646174612fff\"}]");
	free(text);
	for (unsigned i = 0; i < 5; i++) {
		char path[] = "data/0";

		path[5] = (char) ('0' + i);
		assert_int_equal(still_builder_page_sums(
				     &builder, path, 512, i, &sums[i], NULL),
		    0);
		for (unsigned k = 0; k < i; k++)
			sums[i][k] = k;
	}
	summed = still_builder_take_summed(&builder, &n);
	still_builder_release(&builder);
	assert_int_equal(n, 5);
	for (unsigned i = 0; i < 5; i++) {
		assert_int_equal(summed[i].path[5], '0' + i);
		assert_int_equal(summed[i].pages.n, i);
		assert_int_equal(summed[i].pages.page_bytes, 512);
		assert_ptr_equal(summed[i].pages.sums, sums[i]);
		for (unsigned k = 0; k < i; k++)
			assert_int_equal(sums[i][k], k);
	}
	still_summed_free(summed, n);
	/* And some that nobody takes. */
	begin(&builder);
	assert_int_equal(
	    still_builder_page_sums(&builder, "data/a", 512, 3, &sums[0], NULL),
	    0);
	assert_int_equal(
	    still_builder_note(&builder, NULL, NULL), STILL_ERR_NOMEM);
	still_builder_release(&builder);
}

static void seal_size(void **state)
{
	static const char *const files[] = {
	    "data/a", "data/sub/b.db", "data/with blank", "data/b\xe4r", NULL};
	struct still_snapshot snapshot;
	struct still_hash128 *digests;
	char want[1024];
	char *text;

	(void) state;
	build(&snapshot, files);
	digests = calloc(snapshot.n, sizeof(*digests));
	assert_non_null(digests);
	for (uint32_t i = 0; i < snapshot.n; i++)
		memset(digests[i].bytes, (int) i, sizeof(digests[i].bytes));
	text = still_sums_text(&snapshot, digests);
	assert_non_null(text);
	assert_int_equal(
	    snapshot.entries[snapshot.seal].size_bytes, strlen(text));
	assert_int_equal(still_sums_bytes(&snapshot), strlen(text));
	/* One line for each file but itself, in the order of the entries. */
	want[0] = '\0';
	for (uint32_t i = 0; i < snapshot.n; i++) {
		if (snapshot.entries[i].kind == STILL_DIR || i == snapshot.seal)
			continue;
		for (int k = 0; k < 16; k++)
			sprintf(want + strlen(want), "%02x", i);
		sprintf(
		    want + strlen(want), "  %s\n", snapshot.entries[i].path);
	}
	assert_string_equal(text, want);
	free(text);
	free(digests);
	still_snapshot_release(&snapshot);
}

/* ---- identities ---------------------------------------------------------- */

static const char *identity_of(
    const struct still_snapshot *snapshot, const char *path)
{
	return snapshot->identities[at(snapshot, path) - snapshot->entries];
}

/* Those of the engine are copied; the core's own files have none. */
static void identities_of_files(void **state)
{
	char longest[STILL_IDENTITY_MAX_BYTES + 1];
	struct still_file_spec spec = {
	    .path = "data/long", .identity = longest};
	struct still_snapshot snapshot;
	struct still_builder builder;

	(void) state;
	memset(longest, 'x', sizeof(longest) - 1);
	longest[sizeof(longest) - 1] = '\0';
	begin(&builder);
	assert_int_equal(still_builder_file(&builder, &spec, NULL), 0);
	spec.path = "data/none";
	spec.identity = NULL;
	assert_int_equal(still_builder_file(&builder, &spec, NULL), 0);
	spec.path = "data/a/deep";
	spec.identity = "deep one";
	assert_int_equal(still_builder_file(&builder, &spec, NULL), 0);
	/* A directory that the engine hands over itself has one too. */
	assert_int_equal(
	    still_builder_dir(&builder, "data/a", 0700, 3, 4, NULL), 0);
	memset(longest, 'y', 10);
	assert_int_equal(finish(&builder, &snapshot, NULL), 0);
	still_builder_release(&builder);
	memset(longest, 'x', 10);
	assert_string_equal(identity_of(&snapshot, "data/long"), longest);
	assert_null(identity_of(&snapshot, "data/none"));
	assert_string_equal(identity_of(&snapshot, "data/a/deep"), "deep one");
	assert_null(identity_of(&snapshot, "backup.json"));
	assert_null(identity_of(&snapshot, STILL_SEAL_PATH));
	for (uint32_t i = 0; i < snapshot.n; i++) {
		assert_false(snapshot.known[i]);
		if (snapshot.entries[i].kind != STILL_DIR)
			continue;
		assert_non_null(snapshot.identities[i]);
		assert_true(
		    strlen(snapshot.identities[i]) <= STILL_IDENTITY_MAX_BYTES);
	}
	still_snapshot_release(&snapshot);
}

/* Names and what they are; nothing else. */
static void identities_of_dirs(void **state)
{
	static const char *const base[] = {
	    "data/d/a", "data/d/b", "data/e/x", NULL};
	static const struct {
		const char *files[6];
		const char *other; /* the one directory that changes, or NULL */
	} table[] = {
	    {{"data/d/a", "data/d/b", "data/e/x", NULL}, NULL},
	    {{"data/e/x", "data/d/b", "data/d/a", NULL}, NULL},
	    {{"data/d/a", "data/d/b", "data/d/c", "data/e/x", NULL}, "data/d"},
	    {{"data/d/a", "data/e/x", NULL}, "data/d"},
	    {{"data/d/a", "data/d/bb", "data/e/x", NULL}, "data/d"},
	    {{"data/d/ab", "data/e/x", NULL}, "data/d"},
	    /* A directory where a file was. */
	    {{"data/d/a", "data/d/b/c", "data/e/x", NULL}, "data/d"},
	    {{"data/d/a", "data/d/b", "data/e/y", NULL}, "data/e"},
	    {{"data/d/a", "data/d/b", "data/e/x", "data/new/x", NULL}, "data"},
	    {{"data/d/a", "data/d/b", "data/e/x", "top", NULL}, ""},
	};
	static const char *const dirs[] = {
	    "", "data", "data/d", "data/e", "verify"};
	struct still_snapshot before;

	(void) state;
	build(&before, base);
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		struct still_snapshot now;

		build(&now, table[i].files);
		for (size_t d = 0; d < sizeof(dirs) / sizeof(dirs[0]); d++) {
			bool other = table[i].other &&
			    strcmp(table[i].other, dirs[d]) == 0;

			assert_int_equal(strcmp(identity_of(&before, dirs[d]),
					     identity_of(&now, dirs[d])) != 0,
			    other);
		}
		still_snapshot_release(&now);
	}
	still_snapshot_release(&before);
}

static void content_is_no_name(void **state)
{
	struct still_snapshot snapshots[2];

	(void) state;
	for (size_t i = 0; i < 2; i++) {
		struct still_file_spec spec = {
		    .path = "data/a",
		    .size_bytes = i,
		    .mode = i ? 0600 : 0644,
		    .identity = i ? "one" : "another",
		};
		struct still_builder builder;

		begin(&builder);
		assert_int_equal(still_builder_file(&builder, &spec, NULL), 0);
		assert_int_equal(finish(&builder, &snapshots[i], NULL), 0);
		still_builder_release(&builder);
	}
	assert_string_equal(identity_of(&snapshots[0], "data"),
	    identity_of(&snapshots[1], "data"));
	assert_string_equal(
	    identity_of(&snapshots[0], ""), identity_of(&snapshots[1], ""));
	still_snapshot_release(&snapshots[0]);
	still_snapshot_release(&snapshots[1]);
}

/* ---- refusals ------------------------------------------------------------ */

static void bad_paths(void **state)
{
	static const struct {
		const char *path;
		const char *message;
	} table[] = {
	    {"", "is no path inside a snapshot"},
	    {".", "is no path inside a snapshot"},
	    {"..", "is no path inside a snapshot"},
	    {"/", "is no path inside a snapshot"},
	    {"/data/a", "is no path inside a snapshot"},
	    {"data/", "is no path inside a snapshot"},
	    {"data//a", "is no path inside a snapshot"},
	    {"data/./a", "is no path inside a snapshot"},
	    {"data/../a", "is no path inside a snapshot"},
	    {"data/..", "is no path inside a snapshot"},
	    {"data/a\nb", "the name has a newline in it"},
	    {"data\n/a", "the name has a newline in it"},
	};
	struct still_error err = STILL_ERROR_INIT;
	struct still_builder builder;

	(void) state;
	begin(&builder);
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		struct still_file_spec spec = {.path = table[i].path};

		assert_int_equal(still_builder_file(&builder, &spec, &err),
		    STILL_ERR_INVALID);
		assert_non_null(
		    strstr(still_error_msg(&err), table[i].message));
		assert_int_equal(
		    still_builder_dir(&builder, table[i].path, 0, 0, 0, &err),
		    STILL_ERR_INVALID);
		assert_non_null(
		    strstr(still_error_msg(&err), table[i].message));
	}
	assert_int_equal(builder.n_nodes, 0);
	assert_int_equal(builder.n_files, 0);
	/* Names that only look odd. */
	add_file(&builder, "...");
	add_file(&builder, "data/.hidden");
	add_file(&builder, "data/a..b");
	add_file(&builder, "data/ ");
	assert_int_equal(builder.n_files, 4);
	still_error_clear(&err);
	still_builder_release(&builder);
}

static void doubles(void **state)
{
	static const char *const table[][3] = {
	    {"data/a", "data/a", "data/a"},
	    {"data/a", "data/a/b", "data/a"}, /* a file and a directory */
	    {"data/a/b", "data/a", "data/a"},
	    {"backup.json", "data/a", "backup.json"},
	    {"verify/XXH128SUMS", "data/a", "verify/XXH128SUMS"},
	    {"verify", "data/a", "verify"},
	    {"data", "data/a", "data"},
	};

	(void) state;
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		struct still_error err = STILL_ERROR_INIT;
		struct still_builder builder;
		struct still_snapshot snapshot;
		char message[64];

		begin(&builder);
		add_file(&builder, "data/other");
		add_file(&builder, table[i][0]);
		add_file(&builder, "data/z/other");
		add_file(&builder, table[i][1]);
		assert_int_equal(
		    finish(&builder, &snapshot, &err), STILL_ERR_INVALID);
		snprintf(message, sizeof(message),
		    "`%s`: stands twice in a snapshot", table[i][2]);
		assert_string_equal(still_error_msg(&err), message);
		still_error_clear(&err);
		still_builder_release(&builder);
	}
}

/* ---- the rest of what a freeze says -------------------------------------- */

static void totals_and_words(void **state)
{
	struct still_builder builder;

	(void) state;
	begin(&builder);
	add_file(&builder, "data/a");
	add_file(&builder, "data/bcd");
	assert_int_equal(builder.n_files, 2);
	assert_int_equal(builder.n_bytes, 6 + 8);
	still_builder_cut(&builder,
	    &(struct still_cut){"one moment", 10, 30, 50, true, "copy", NULL});
	still_builder_verified(&builder, "header");
	assert_string_equal(builder.cut.words, "one moment");
	assert_int_equal(builder.cut.first_ns, 10);
	assert_int_equal(builder.cut.last_ns, 30);
	assert_string_equal(builder.verified, "header");
	assert_int_equal(
	    still_builder_database(&builder, json_pack("{s:i}", "a", 1), NULL),
	    0);
	assert_int_equal(json_array_size(builder.databases), 1);
	/* NULL is what json_pack() says without memory. */
	assert_int_equal(
	    still_builder_database(&builder, NULL, NULL), STILL_ERR_NOMEM);
	still_builder_release(&builder);
}

static void damages(void **state)
{
	struct still_error what = STILL_ERROR_INIT;
	struct still_builder builder;
	char object[] = "data/a";

	(void) state;
	begin(&builder);
	still_error_set(&what, STILL_ERR_CORRUPT, 0, "Hint.", "page 1");
	assert_int_equal(
	    still_builder_damage(&builder, object, &what, NULL), 0);
	still_error_set(&what, STILL_ERR_CORRUPT, 0, NULL, "page 2");
	object[5] = 'b';
	assert_int_equal(
	    still_builder_damage(&builder, object, &what, NULL), 0);
	still_error_clear(&what);
	/* Both are copies. */
	assert_int_equal(builder.n_damages, 2);
	assert_string_equal(builder.damages[0].object, "data/a");
	assert_string_equal(builder.damages[0].what.msg, "page 1");
	assert_string_equal(builder.damages[0].what.hint, "Hint.");
	assert_string_equal(builder.damages[1].object, "data/b");
	assert_string_equal(builder.damages[1].what.msg, "page 2");
	still_builder_release(&builder);
}

static void manifest(void **state)
{
	struct still_instance_info info = {
	    .source = "/b\xe4r", .engine = "fake", .engine_version = "1.0"};
	struct still_builder builder;
	struct still_manifest m = {.session_id = "id",
	    .kind = "full",
	    .instance = &info,
	    .begun_at_ns = 1,
	    .frozen_at_ns = INT64_C(1000000001),
	    .builder = &builder};
	size_t len = 0;
	json_t *root;
	char *text;

	(void) state;
	begin(&builder);
	add_file(&builder, "data/a");
	still_builder_cut(&builder,
	    &(struct still_cut){"one moment", 10, 30, 50, true, "copy", NULL});
	still_builder_verified(&builder, "header");
	still_builder_database(&builder, json_pack("{s:i}", "a", 1), NULL);
	text = still_manifest_text(&m, &len);
	assert_non_null(text);
	assert_int_equal(len, strlen(text));
	root = json_loads(text, JSON_REJECT_DUPLICATES, NULL);
	assert_non_null(root);
	assert_int_equal(
	    json_integer_value(json_object_get(root, "format")), 1);
	assert_string_equal(
	    json_string_value(json_object_get(root, "session")), "id");
	assert_true(json_is_null(json_object_get(root, "base")));
	assert_null(json_object_get(root, "source"));
	assert_string_equal(
	    json_string_value(json_object_get(root, "encoded_source")),
	    "2f62e472");
	assert_string_equal(
	    json_string_value(json_object_get(root, "frozen_at")),
	    "1970-01-01T00:00:01.000000001Z");
	assert_int_equal(
	    json_integer_value(json_object_get(root, "cut_width_ns")), 20);
	assert_string_equal(
	    json_string_value(json_object_get(root, "freeze")), "copy");
	assert_int_equal(
	    json_integer_value(json_object_get(root, "data_files")), 1);
	assert_int_equal(
	    json_integer_value(json_object_get(root, "data_bytes")), 6);
	assert_string_equal(
	    json_string_value(json_object_get(root, "checksums")),
	    STILL_SEAL_PATH);
	assert_int_equal(
	    json_array_size(json_object_get(root, "databases")), 1);
	json_decref(root);
	free(text);
	still_builder_release(&builder);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(nothing_but_the_frame),
	    cmocka_unit_test(breadth_first),
	    cmocka_unit_test(slash_is_lowest),
	    cmocka_unit_test(random_trees),
	    cmocka_unit_test(find),
	    cmocka_unit_test(attributes),
	    cmocka_unit_test(links),
	    cmocka_unit_test(shape),
	    cmocka_unit_test(sources),
	    cmocka_unit_test(inode_numbers),
	    cmocka_unit_test(another_place),
	    cmocka_unit_test(for_later),
	    cmocka_unit_test(seal_size),
	    cmocka_unit_test(identities_of_files),
	    cmocka_unit_test(identities_of_dirs),
	    cmocka_unit_test(content_is_no_name),
	    cmocka_unit_test(bad_paths),
	    cmocka_unit_test(doubles),
	    cmocka_unit_test(totals_and_words),
	    cmocka_unit_test(damages),
	    cmocka_unit_test(manifest),
	};

	scratch_watchdog();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
