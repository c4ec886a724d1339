/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "tests/lib/sets.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/hash.h"
#include "core/set_chain.h"
#include "still_set.h"
#include "tests/unit/scratch.h"

#define LIST "verify/XXH128SUMS"

/* ---- what there is ------------------------------------------------------- */

static char *slurp(const char *path, size_t *ret_len)
{
	FILE *file = fopen(path, "re");
	char *bytes;
	long len;

	assert_non_null(file);
	assert_int_equal(fseek(file, 0, SEEK_END), 0);
	len = ftell(file);
	rewind(file);
	bytes = calloc(1, (size_t) len + 1);
	assert_non_null(bytes);
	assert_int_equal(fread(bytes, 1, (size_t) len, file), len);
	fclose(file);
	*ret_len = (size_t) len;
	return bytes;
}

/* The list names them as they are, where nothing in them is odd. */
static char **logs_of(const char *set)
{
	size_t len;
	char *list = slurp(scratch_path(set, LIST), &len);
	char **logs = calloc(len / 34 + 2, sizeof(*logs));
	char *rest = list;
	size_t n = 0;

	assert_non_null(logs);
	for (char *line; (line = strsep(&rest, "\n"));)
		if (strlen(line) > 34 && strncmp(line + 34, "logs/", 5) == 0 &&
		    *line != '\\')
			logs[n++] = strdup(line + 34);
	free(list);
	return logs;
}

void sets_open(const char *dir, struct sets *ret)
{
	struct still_error err = STILL_ERROR_INIT;

	memset(ret, 0, sizeof(*ret));
	ret->dir = strdup(dir);
	if (still_set_chain_find(dir, 0, &ret->paths, &ret->n, &err) != 0)
		fail_msg("%s", still_error_msg(&err));
	ret->logs = calloc(ret->n, sizeof(*ret->logs));
	assert_non_null(ret->logs);
	for (size_t i = 0; i < ret->n; i++)
		ret->logs[i] = logs_of(ret->paths[i]);
}

void sets_release(struct sets *sets)
{
	for (size_t i = 0; i < sets->n; i++) {
		for (char **log = sets->logs[i]; *log; log++)
			free(*log);
		free(sets->logs[i]);
	}
	free(sets->logs);
	still_set_chain_free_paths(sets->paths, sets->n);
	free(sets->dir);
	memset(sets, 0, sizeof(*sets));
}

/* ---- restoring ----------------------------------------------------------- */

static int restore(const char *const *paths, size_t n, const char *out,
    struct still_error *err)
{
	const struct still_restore_options options = {
	    .create = true,
	    .links = paths + 1,
	    .n_links = n - 1,
	};
	struct still_restored restored;
	int rc = still_restore(paths[0], out, &options, &restored, err);

	still_restored_release(&restored);
	return rc;
}

void sets_restore(const struct sets *sets, size_t last, const char *out)
{
	struct still_error err = STILL_ERROR_INIT;

	if (restore((const char *const *) sets->paths, last + 1, out, &err) !=
	    0)
		fail_msg("%s", still_error_msg(&err));
}

static void judge(int rc, int code, const char *one, const char *two,
    const char *out, struct still_error *err)
{
	if (rc != code || !strstr(still_error_msg(err), one) ||
	    !strstr(still_error_msg(err), two))
		fail_msg("%d, \"%s\", where it should be %d, and say \"%s\" "
			 "and \"%s\"",
		    rc, still_error_msg(err), code, one, two);
	if (access(out, F_OK) == 0)
		fail_msg("something was restored");
	still_error_clear(err);
}

static void refuses(const char *const *paths, size_t n, const char *out,
    int code, const char *one, const char *two)
{
	struct still_error err = STILL_ERROR_INIT;
	int rc = restore(paths, n, out, &err);

	judge(rc, code, one, two, out, &err);
}

/* ---- the order ----------------------------------------------------------- */

/* "`PATH`: text" */
static const char *says(const char *path, const char *text)
{
	static char words[PATH_MAX + 64];

	snprintf(words, sizeof(words), "`%s`: %s", path, text);
	return words;
}

static const char **copy_of(const struct sets *sets)
{
	const char **paths = calloc(sets->n + 1, sizeof(*paths));

	assert_non_null(paths);
	for (size_t i = 0; i < sets->n; i++)
		paths[i] = sets->paths[i];
	return paths;
}

/* Without the last one it is a chain, too. */
static unsigned without_each(const struct sets *sets, const char *out)
{
	for (size_t i = 0; i + 1 < sets->n; i++) {
		const char **paths = copy_of(sets);

		memmove(
		    paths + i, paths + i + 1, (sets->n - i) * sizeof(*paths));
		refuses(paths, sets->n - 1, out, STILL_ERR_BASE,
		    says(sets->paths[i + 1], "builds on session"),
		    i ? "a link of its chain, which is missing"
		      : "the full set of its chain, which is missing");
		free(paths);
	}
	return (unsigned) sets->n - 1;
}

/* Not by name, but out of the directory of backups. */
static unsigned with_gaps(const struct sets *sets, const char *out)
{
	const struct still_restore_options options = {.create = true};

	for (size_t i = 1; i + 1 < sets->n; i++) {
		struct still_error err = STILL_ERROR_INIT;
		struct still_restored restored;
		int rc;

		assert_int_equal(
		    rename(sets->paths[i], scratch_path(sets->dir, "../away")),
		    0);
		rc = still_restore(sets->dir, out, &options, &restored, &err);
		still_restored_release(&restored);
		assert_int_equal(
		    rename(scratch_path(sets->dir, "../away"), sets->paths[i]),
		    0);
		judge(rc, STILL_ERR_BASE,
		    says(sets->paths[i + 1], "builds on session"),
		    "a link of its chain, which is missing", out, &err);
	}
	return sets->n > 2 ? (unsigned) sets->n - 2 : 0;
}

/* Each with the one before it, and with any. */
static unsigned swap_each(
    const struct sets *sets, uint64_t *random, const char *out)
{
	for (size_t i = 1; i < sets->n; i++)
		for (unsigned any = 0; any < 2; any++) {
			const char **paths = copy_of(sets);
			size_t j = any ? scratch_below(random, i) : i - 1;

			paths[i] = sets->paths[j];
			paths[j] = sets->paths[i];
			refuses(paths, sets->n, out, STILL_ERR_INVALID,
			    says(sets->paths[i], "stands before `"),
			    sets->paths[i - 1]);
			free(paths);
		}
	return 2 * (unsigned) (sets->n - 1);
}

static unsigned repeat_each(
    const struct sets *sets, uint64_t *random, const char *out)
{
	for (size_t i = 0; i < sets->n; i++) {
		const char **paths = copy_of(sets);
		size_t at = i + 1 + scratch_below(random, sets->n - i);

		memmove(paths + at + 1, paths + at,
		    (sets->n - at) * sizeof(*paths));
		paths[at] = sets->paths[i];
		refuses(paths, sets->n + 1, out, STILL_ERR_INVALID,
		    says(sets->paths[i], "is named twice"), "");
		free(paths);
	}
	return (unsigned) sets->n;
}

/* In the place of each, and behind the last. */
static unsigned others_for_each(const struct sets *sets,
    const struct sets *other, uint64_t *random, const char *out)
{
	for (size_t i = 0; i <= sets->n; i++) {
		const char **paths = copy_of(sets);
		const char *named = sets->paths[1];

		paths[i] = other->paths[0];
		if (i > 0)
			named = paths[i] = other->paths[1 +
			    scratch_below(random, other->n - 1)];
		refuses(paths, i < sets->n ? sets->n : sets->n + 1, out,
		    STILL_ERR_BASE, says(named, "is of another chain"), "");
		free(paths);
	}
	return (unsigned) sets->n + 1;
}

void sets_refuse_order(const struct sets *sets, const struct sets *other,
    uint64_t *random, const char *out, struct sets_refused *count)
{
	count->removed += without_each(sets, out);
	count->removed += with_gaps(sets, out);
	count->swapped += swap_each(sets, random, out);
	count->repeated += repeat_each(sets, random, out);
	count->foreign += others_for_each(sets, other, random, out);
}

/* ---- files --------------------------------------------------------------- */

struct changed {
	char *path; /* owned, as is the next */
	char *bytes;
	size_t len;
};

static void change(
    struct changed *ret, const char *path, const void *bytes, size_t len)
{
	ret->path = strdup(path);
	ret->bytes = slurp(path, &ret->len);
	assert_int_equal(scratch_write(path, bytes, len), 0);
}

static void change_back(struct changed *changed)
{
	assert_int_equal(
	    scratch_write(changed->path, changed->bytes, changed->len), 0);
	free(changed->path);
	free(changed->bytes);
}

/* The list, as if the file belonged to it. */
static void change_list(struct changed *ret, const char *set, const char *log,
    const void *bytes, size_t len)
{
	char hex[STILL_HASH128_HEX_CHARS + 1];
	char *list;
	char *line;
	size_t list_len;

	still_hash128_hex(still_hash128(bytes, len), hex);
	list = slurp(scratch_path(set, LIST), &list_len);
	line = strstr(list, log);
	assert_true(line && line - list >= 34);
	memcpy(line - 34, hex, 32);
	change(ret, scratch_path(set, LIST), list, list_len);
	free(list);
}

static void all_refused(
    const struct sets *sets, const char *out, const char *set, const char *file)
{
	refuses((const char *const *) sets->paths, sets->n, out,
	    STILL_ERR_CORRUPT, set, file);
}

static void without_file(
    const struct sets *sets, const char *set, const char *log, const char *out)
{
	char *path = strdup(scratch_path(set, log));

	assert_int_equal(rename(path, scratch_path(sets->dir, "../away")), 0);
	all_refused(sets, out, set, log);
	assert_int_equal(rename(scratch_path(sets->dir, "../away"), path), 0);
	free(path);
}

/* Another log in the place of this one; with `listed`, and a sum that says it is
 * right. Then its database tells, or the log. */
static void another_file(const struct sets *sets, const char *set,
    const char *log, const char *from, bool listed, const char *out)
{
	struct changed file;
	struct changed list;
	size_t len;
	char *bytes = slurp(from, &len);
	char name[PATH_MAX];

	snprintf(name, sizeof(name), "%s", log);
	change(&file, scratch_path(set, log), bytes, len);
	if (listed) {
		change_list(&list, set, log, bytes, len);
		/* "logs/NAME-wal", or "data/NAME" */
		name[strlen(name) - strlen("-wal")] = '\0';
		memmove(name, name + strlen("logs/"),
		    strlen(name + strlen("logs/")) + 1);
	}
	all_refused(sets, out, set, name);
	if (listed)
		change_back(&list);
	change_back(&file);
	free(bytes);
}

static bool is_same_file(const char *a, const char *b)
{
	size_t lens[2];
	char *bytes[2] = {slurp(a, &lens[0]), slurp(b, &lens[1])};
	bool same = lens[0] == lens[1] &&
	    memcmp(bytes[0], bytes[1], lens[0]) == 0;

	free(bytes[0]);
	free(bytes[1]);
	return same;
}

static size_t n_logs(char **logs)
{
	size_t n = 0;

	while (logs[n])
		n++;
	return n;
}

/* Any log of `from` that is another one; false: there is none. */
static bool find_other(const struct sets *from, uint64_t *random,
    const char *log, char ret[PATH_MAX])
{
	size_t first = scratch_below(random, from->n);

	for (size_t i = 0; i < from->n; i++) {
		size_t link = (first + i) % from->n;
		size_t n = n_logs(from->logs[link]);
		size_t any = n ? scratch_below(random, n) : 0;

		for (size_t k = 0; k < n; k++) {
			snprintf(ret, PATH_MAX, "%s/%s", from->paths[link],
			    from->logs[link][(any + k) % n]);
			if (!is_same_file(ret, log))
				return true;
		}
	}
	return false;
}

static unsigned other_for_file(const struct sets *sets, size_t link,
    const char *log, const struct sets *from, uint64_t *random, const char *out)
{
	const char *set = sets->paths[link];
	char path[PATH_MAX];

	if (!find_other(from, random, scratch_path(set, log), path))
		return 0;
	another_file(sets, set, log, path, false, out);
	if (link + 1 < sets->n)
		return 1;
	/* Nothing builds on the last one, that would know its list. */
	another_file(sets, set, log, path, true, out);
	return 2;
}

void sets_refuse_files(const struct sets *sets, const struct sets *other,
    uint64_t *random, const char *out, struct sets_refused *count)
{
	for (size_t i = 1; i < sets->n; i++) {
		size_t n = n_logs(sets->logs[i]);
		const char *log;

		if (n == 0)
			continue;
		log = sets->logs[i][scratch_below(random, n)];
		without_file(sets, sets->paths[i], log, out);
		count->files++;
		count->files += other_for_file(sets, i, log, sets, random, out);
		count->files += other_for_file(
		    sets, i, log, other, random, out);
	}
}
