/* SPDX-License-Identifier: MIT */
/* set_list: verify/XXH128SUMS, as set.h specifies it. */
#include "config.h"

#include <stdlib.h>
#include <string.h>

#include "base/path.h"
#include "core/set_parts.h"

/* Two spaces are between the digits and the path. */
#define PATH_AT (STILL_HASH128_HEX_CHARS + 2)
/* After so many lines that are none, it is no list. */
#define BAD_LINES_MAX 10

struct list {
	struct still_set *set;
	struct still_set_judge *judge;
	size_t capacity;
	uint64_t line;
};

#define TELL(judge, ...)                                           \
	still_set_tell((judge), STILL_SET_LIST, STILL_ERR_CORRUPT, \
	    "`" STILL_SET_LIST "`: " __VA_ARGS__)

/* ---- a line -------------------------------------------------------------- */

static int digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

bool still_set_parse_sum(const char *text, struct still_hash128 *ret)
{
	for (size_t i = 0; i < sizeof(ret->bytes); i++) {
		int high = digit(text[2 * i]);
		int low = digit(text[2 * i + 1]);

		if (high < 0 || low < 0)
			return false;
		ret->bytes[i] = (uint8_t) (high * 16 + low);
	}
	return true;
}

static int add(struct list *list, const char *path, size_t len,
    const struct still_hash128 *sum)
{
	struct still_set *set = list->set;

	if (set->n_files == list->capacity) {
		size_t capacity = list->capacity ? 2 * list->capacity : 64;
		void *files = realloc(
		    set->files, capacity * sizeof(set->files[0]));

		if (!files)
			return STILL_ERR_NOMEM;
		set->files = files;
		list->capacity = capacity;
	}
	set->files[set->n_files].path = strndup(path, len);
	set->files[set->n_files].sum = *sum;
	if (!set->files[set->n_files].path)
		return STILL_ERR_NOMEM;
	set->n_files++;
	return 0;
}

/* Without its newline. */
static int parse_line(struct list *list, const char *line, size_t len)
{
	unsigned long long number = (unsigned long long) list->line;
	struct still_hash128 sum;
	const char *path = line + PATH_AT;
	int rc;

	if (len <= PATH_AT || memchr(line, '\0', len) ||
	    !still_set_parse_sum(line, &sum) || path[-2] != ' ' ||
	    path[-1] != ' ') {
		TELL(list->judge,
		    "line %llu: is not 32 lowercase hexadecimal digits, two "
		    "spaces and a path",
		    number);
		return 0;
	}
	rc = add(list, path, len - PATH_AT, &sum);
	if (rc < 0)
		return rc;
	path = list->set->files[list->set->n_files - 1].path;
	if (!still_path_is_plain(path))
		TELL(list->judge, "line %llu: `%s` is no path in a set", number,
		    path);
	else if (strcmp(path, STILL_SET_LIST) == 0)
		TELL(list->judge, "line %llu: names the list itself", number);
	else
		return 0;
	free(list->set->files[--list->set->n_files].path);
	return 0;
}

/* ---- the whole ----------------------------------------------------------- */

static int compare_files(const void *a, const void *b)
{
	return strcmp(((const struct still_set_file *) a)->path,
	    ((const struct still_set_file *) b)->path);
}

static void sort(struct still_set *set, struct still_set_judge *judge)
{
	size_t n = 0;

	if (set->n_files == 0)
		return;
	qsort(set->files, set->n_files, sizeof(set->files[0]), compare_files);
	for (size_t i = 0; i < set->n_files; i++) {
		if (n > 0 &&
		    compare_files(&set->files[n - 1], &set->files[i]) == 0) {
			TELL(judge, "names `%s` twice", set->files[i].path);
			free(set->files[i].path);
		} else {
			set->files[n++] = set->files[i];
		}
	}
	set->n_files = n;
}

static void forget(struct still_set *set)
{
	for (size_t i = 0; i < set->n_files; i++)
		free(set->files[i].path);
	set->n_files = 0;
}

static void judge_whole(struct still_set *set, struct still_set_judge *judge)
{
	if (still_set_find(set, STILL_SET_DESCRIPTION))
		return;
	if (still_set_find(set, STILL_SET_DESCRIPTION "\r")) {
		/* A name may end so; that of backup.json does not. */
		TELL(judge,
		    "its lines end with a carriage return: a program for texts "
		    "has changed it");
		forget(set);
	} else {
		TELL(judge, "does not name " STILL_SET_DESCRIPTION);
	}
}

int still_set_parse_list(struct still_set *set, struct still_set_judge *judge,
    const char *text, size_t len, struct still_error *err)
{
	struct list list = {set, judge, 0, 0};
	uint64_t before = judge->n_flaws;
	const char *end = text + len;

	if (len == 0) {
		TELL(judge, "is empty");
		return 0;
	}
	while (text < end) {
		const char *newline = memchr(text, '\n', (size_t) (end - text));

		list.line++;
		if (!newline) {
			TELL(judge, "line %llu: is cut",
			    (unsigned long long) list.line);
			break;
		}
		if (parse_line(&list, text, (size_t) (newline - text)) < 0)
			return still_error_nomem(err);
		if (judge->n_flaws - before >= BAD_LINES_MAX)
			break;
		text = newline + 1;
	}
	sort(set, judge);
	if (judge->n_flaws == before)
		judge_whole(set, judge);
	set->listed = judge->n_flaws == before;
	return 0;
}
