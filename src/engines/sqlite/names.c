/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "engines/sqlite/names.h"

#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/path.h"

static const char *const sidecars[] = {"-wal", "-shm", "-journal"};
#define N_SIDECARS (sizeof(sidecars) / sizeof(sidecars[0]))

static int compare_names(const void *a, const void *b)
{
	return strcmp(*(char *const *) a, *(char *const *) b);
}

static bool names_has(const struct sqlite_names *names, const char *name)
{
	return names->n &&
	    bsearch(&name, names->name, names->n, sizeof(*names->name),
		compare_names);
}

void sqlite_names_release(struct sqlite_names *names)
{
	for (size_t i = 0; i < names->n; i++)
		free(names->name[i]);
	free(names->name);
}

static int names_add(struct sqlite_names *names, const char *name)
{
	if (names->n == names->capacity) {
		size_t capacity = names->capacity ? 2 * names->capacity : 64;
		char **grown = realloc(names->name, capacity * sizeof(*grown));

		if (!grown)
			return STILL_ERR_NOMEM;
		names->name = grown;
		names->capacity = capacity;
	}
	names->name[names->n] = strdup(name);
	if (!names->name[names->n])
		return STILL_ERR_NOMEM;
	names->n++;
	return 0;
}

int sqlite_names_read(int fd, const char *rel, struct sqlite_names *names,
    struct still_error *err)
{
	DIR *dir = fdopendir(fd);
	struct dirent *entry;
	int rc = 0;

	if (!dir) {
		rc = still_error_sys(err, errno, NULL, "directory `%s`", rel);
		close(fd);
		return rc;
	}
	while (rc == 0) {
		errno = 0;
		entry = readdir(dir);
		if (!entry)
			break;
		if (strcmp(entry->d_name, ".") != 0 &&
		    strcmp(entry->d_name, "..") != 0)
			rc = names_add(names, entry->d_name);
	}
	if (rc < 0)
		still_error_nomem(err);
	else if (errno)
		rc = still_error_sys(err, errno, NULL, "directory `%s`", rel);
	closedir(dir);
	if (names->n)
		qsort(
		    names->name, names->n, sizeof(*names->name), compare_names);
	return rc;
}

bool sqlite_names_is_sidecar(const struct sqlite_names *names, const char *name)
{
	for (size_t i = 0; i < N_SIDECARS; i++) {
		char *base;
		bool found;

		if (!still_path_ends(name, sidecars[i]))
			continue;
		base = strndup(name, strlen(name) - strlen(sidecars[i]));
		found = base && *base && names_has(names, base);
		free(base);
		if (found)
			return true;
	}
	return false;
}

bool sqlite_names_has_sidecar(
    const struct sqlite_names *names, const char *name)
{
	for (size_t i = 0; i < N_SIDECARS; i++) {
		char *full = malloc(strlen(name) + strlen(sidecars[i]) + 1);
		bool found;

		if (!full)
			return true; /* looking closer does no harm */
		stpcpy(stpcpy(full, name), sidecars[i]);
		found = names_has(names, full);
		free(full);
		if (found)
			return true;
	}
	return false;
}
