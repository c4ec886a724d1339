/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "engines/sqlite/note.h"

#include <stdlib.h>
#include <string.h>

#include "base/json.h"

#define NOTE_VERSION 1

/* ---- making one ---------------------------------------------------------- */

static const struct sqlite_facts *facts_of(const struct sqlite_image *image)
{
	return image->has_facts && !image->damage.code && !image->refusal.code
	    ? &image->facts
	    : NULL;
}

json_t *sqlite_note_make(const struct sqlite_image *images, size_t n,
    const struct sqlite_found_dir *dirs, size_t n_dirs)
{
	json_t *databases = json_array();
	json_t *directories = json_array();
	int rc = databases && directories ? 0 : -1;

	/* An array steals the reference, and refuses NULL. */
	for (size_t i = 0; rc == 0 && i < n; i++)
		rc = json_array_append_new(databases,
		    sqlite_facts_note(images[i].rel, facts_of(&images[i])));
	for (size_t i = 0; rc == 0 && i < n_dirs; i++)
		rc = json_array_append_new(
		    directories, sqlite_facts_note(dirs[i].rel, NULL));
	if (rc == 0)
		return json_pack("{s:i, s:o, s:o}", "version", NOTE_VERSION,
		    "databases", databases, "directories", directories);
	json_decref(databases);
	json_decref(directories);
	return NULL;
}

/* ---- reading one --------------------------------------------------------- */

static int compare(const void *a, const void *b)
{
	const struct sqlite_noted *x = a;
	const struct sqlite_noted *y = b;

	return strcmp(x->rel, y->rel);
}

static void free_list(struct sqlite_noted *list, size_t n)
{
	for (size_t i = 0; i < n; i++)
		free(list[i].rel);
	free(list);
}

/* 0, NOTFOUND for what has no name, NOMEM. */
static int read_list(
    const json_t *array, struct sqlite_noted **ret, size_t *ret_n)
{
	size_t n = json_array_size(array);
	struct sqlite_noted *list = calloc(n + 1, sizeof(*list));
	int rc = list ? 0 : STILL_ERR_NOMEM;

	if (rc == 0 && !json_is_array(array))
		rc = STILL_ERR_NOTFOUND;
	for (size_t i = 0; rc == 0 && i < n; i++) {
		const json_t *one = json_array_get(array, i);

		if (still_json_get_name(one, "path", &list[i].rel) < 0)
			rc = STILL_ERR_NOMEM;
		else if (!list[i].rel)
			rc = STILL_ERR_NOTFOUND;
		list[i].has_facts = sqlite_facts_read(one, &list[i].facts);
	}
	if (rc < 0) {
		free_list(list, list ? n : 0);
		return rc;
	}
	qsort(list, n, sizeof(*list), compare);
	*ret = list;
	*ret_n = n;
	return 0;
}

int sqlite_note_read(
    const json_t *note, struct sqlite_note *ret, struct still_error *err)
{
	struct sqlite_note read = {0};
	int rc = STILL_ERR_NOTFOUND;

	if (json_integer_value(json_object_get(note, "version")) ==
	    NOTE_VERSION)
		rc = read_list(json_object_get(note, "databases"),
		    &read.databases, &read.n);
	if (rc == 0)
		rc = read_list(json_object_get(note, "directories"), &read.dirs,
		    &read.n_dirs);
	if (rc == 0) {
		*ret = read;
		return 0;
	}
	sqlite_note_release(&read);
	return rc == STILL_ERR_NOMEM
	    ? still_error_nomem(err)
	    : still_error_set(err, rc, 0, NULL,
		  "the base's session noted nothing that can be read");
}

const struct sqlite_noted *sqlite_note_find(
    const struct sqlite_note *note, const char *rel)
{
	const struct sqlite_noted key = {.rel = (char *) rel};

	return note->n
	    ? bsearch(&key, note->databases, note->n, sizeof(key), compare)
	    : NULL;
}

void sqlite_note_release(struct sqlite_note *note)
{
	free_list(note->databases, note->n);
	free_list(note->dirs, note->n_dirs);
	memset(note, 0, sizeof(*note));
}
