/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "engines/sqlite/discover.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/path.h"
#include "base/sys.h"
#include "engines/sqlite/files.h"
#include "engines/sqlite/names.h"

struct walk {
	const struct sqlite_source *source;
	bool force;
	struct sqlite_listing *listing;
	struct still_error *err;
};

/* What a database is read with. */
static const char *const sidecars[] = {"-wal", "-shm"};

static int check_sidecars(
    const struct walk *walk, const char *rel, struct still_error *err)
{
	int rc = 0;

	for (size_t i = 0; i < 2 && rc == 0; i++) {
		char *full = malloc(strlen(rel) + strlen(sidecars[i]) + 1);

		if (!full)
			return still_error_nomem(err);
		stpcpy(stpcpy(full, rel), sidecars[i]);
		if (faccessat(walk->source->root_fd, full, R_OK, AT_EACCESS) !=
			0 &&
		    errno != ENOENT)
			rc = still_error_sys(err, errno,
			    "The user who runs stillfs must be able to read "
			    "the database and its -wal and -shm files.",
			    "`%s`", full);
		free(full);
	}
	return rc;
}

/* What keeps it from being frozen and can be seen without a lock. The freeze
 * decides again. */
static int examine(const struct walk *walk, const char *rel, ssize_t n,
    const uint8_t *header, struct sqlite_found *found, struct still_error *err)
{
	const char *wrong;

	/* Of nothing: SQLite takes an empty file for an empty database. */
	if (n > 0 &&
	    (n < SQLITE_HEADER_BYTES || !sqlite_header_has_magic(header)))
		return still_error_set(err, STILL_ERR_UNSUPPORTED, 0,
		    "If it is an encrypted database, back it up with the tool "
		    "of its maker; if it is something else, name another "
		    "source; if it was a database, its first page is damaged.",
		    "`%s`: is no SQLite database that can be read", rel);
	if (n > 0) {
		wrong = sqlite_header_parse(header, &found->header);
		if (wrong)
			return still_error_set(err, STILL_ERR_CORRUPT, 0,
			    "Check it with `PRAGMA integrity_check`.",
			    "page 1 of `%s`: %s", rel, wrong);
	}
	if (found->st.st_nlink > 1 && !walk->force)
		return still_error_set(err, STILL_ERR_UNSUPPORTED, 0,
		    "Opened by its other name it would have another -wal; "
		    "remove the other link, or say `-o force` if only this "
		    "name is ever opened.",
		    "database `%s`: has %llu hard links", rel,
		    (unsigned long long) found->st.st_nlink);
	return check_sidecars(walk, rel, err);
}

static int add_found(
    struct sqlite_listing *listing, const struct sqlite_found *found)
{
	size_t n = listing->n_found;
	struct sqlite_found *grown = listing->found;

	if ((n & (n - 1)) == 0) {
		grown = realloc(grown, (n ? 2 * n : 1) * sizeof(*grown));
		if (!grown)
			return STILL_ERR_NOMEM;
		listing->found = grown;
	}
	grown[listing->n_found++] = *found;
	return 0;
}

static int add_dir(
    struct sqlite_listing *listing, const char *rel, const struct stat *st)
{
	size_t n = listing->n_dirs;
	struct sqlite_found_dir *grown = listing->dirs;

	if ((n & (n - 1)) == 0) {
		grown = realloc(grown, (n ? 2 * n : 1) * sizeof(*grown));
		if (!grown)
			return STILL_ERR_NOMEM;
		listing->dirs = grown;
	}
	grown[n].rel = strdup(rel);
	grown[n].st = *st;
	if (!grown[n].rel)
		return STILL_ERR_NOMEM;
	listing->n_dirs++;
	return 0;
}

/* Takes the obstacle of `found` over. */
static int keep_found(
    const struct walk *walk, const char *rel, struct sqlite_found *found)
{
	if (strchr(rel, '\n')) {
		still_error_clear(&found->obstacle);
		return still_error_set(walk->err, STILL_ERR_INVALID, 0,
		    "xxhsum's lists cannot hold such a name; rename it.",
		    "database `%s`: the name has a newline in it", rel);
	}
	found->rel = strdup(rel);
	if (found->rel && add_found(walk->listing, found) == 0)
		return 0;
	still_error_clear(&found->obstacle);
	free(found->rel);
	return still_error_nomem(walk->err);
}

/* One that cannot be opened is a database by its name, or nobody knows. */
static int unreadable(
    const struct walk *walk, const char *rel, bool certain, int rc)
{
	struct sqlite_found found = {0};

	if (rc != STILL_ERR_ACCESS)
		return rc;
	still_error_set(&found.obstacle, rc, EACCES,
	    "What cannot be read cannot be backed up; run stillfs as a user "
	    "who may, or name the databases' own directory.",
	    "`%s`: Permission denied", rel);
	if (certain &&
	    fstatat(walk->source->root_fd, rel, &found.st,
		AT_SYMLINK_NOFOLLOW) == 0) {
		still_error_clear(walk->err);
		return keep_found(walk, rel, &found);
	}
	still_error_copy(walk->err, &found.obstacle);
	still_error_clear(&found.obstacle);
	return rc;
}

/* Look at one regular file; `certain`: it is a database by its name. */
static int visit_file(const struct walk *walk, const char *rel, bool certain)
{
	uint8_t header[SQLITE_HEADER_BYTES] = {0};
	struct sqlite_found found = {0};
	struct sqlite_file *file = NULL;
	ssize_t n;
	int rc;

	rc = sqlite_file_open(
	    walk->source->root_fd, rel, &file, &found.st, walk->err);
	if (rc < 0)
		return unreadable(walk, rel, certain, rc);
	n = still_sys_pread(sqlite_file_fd(file), header, sizeof(header), 0);
	sqlite_file_close(file);
	if (!certain && n >= 0 && (n < 16 || !sqlite_header_has_magic(header)))
		return 0;
	if (n < 0)
		still_error_sys(&found.obstacle, (int) -n,
		    "The disk of the live database failed; see the kernel log.",
		    "`%s`", rel);
	else
		rc = examine(walk, rel, n, header, &found, &found.obstacle);
	if (rc == STILL_ERR_NOMEM) {
		still_error_clear(&found.obstacle);
		return still_error_nomem(walk->err);
	}
	return keep_found(walk, rel, &found);
}

static int visit_dir(const struct walk *walk, const char *rel);

static int visit(const struct walk *walk, const struct sqlite_names *names,
    const char *dir_rel, const char *name)
{
	char *rel = still_path_join(dir_rel, name);
	struct stat st;
	int rc = 0;

	if (!rel)
		return still_error_nomem(walk->err);
	if (fstatat(walk->source->root_fd, rel, &st, AT_SYMLINK_NOFOLLOW) !=
	    0) {
		/* Gone since it was listed: temporary files are. */
		if (errno != ENOENT)
			rc = still_error_sys(
			    walk->err, errno, NULL, "`%s`", rel);
	} else if (S_ISDIR(st.st_mode)) {
		if (st.st_dev == walk->source->root_st.st_dev)
			rc = visit_dir(walk, rel);
	} else if (S_ISREG(st.st_mode) &&
	    st.st_dev == walk->source->root_st.st_dev) {
		/* No sidecar begins with SQLite's magic; a database may have
		 * the name of one. */
		rc = visit_file(walk, rel,
		    !sqlite_names_is_sidecar(names, name) &&
			sqlite_names_has_sidecar(names, name));
		/* Its database will say that a sidecar cannot be read. */
		if (rc == STILL_ERR_NOTFOUND ||
		    (rc == STILL_ERR_ACCESS &&
			sqlite_names_is_sidecar(names, name))) {
			still_error_clear(walk->err);
			rc = 0;
		}
	}
	free(rel);
	return rc;
}

static int visit_dir(const struct walk *walk, const char *rel)
{
	struct sqlite_names names = {0};
	size_t n_dirs = walk->listing->n_dirs;
	size_t n_found = walk->listing->n_found;
	struct stat st;
	int fd;
	int rc;

	fd = still_sys_open_beneath(
	    walk->source->root_fd, *rel ? rel : ".", O_RDONLY | O_DIRECTORY);
	if (fd == -ENOENT && *rel)
		return 0;
	if (fd < 0)
		return still_error_sys(walk->err, -fd,
		    "What cannot be read cannot be backed up; run stillfs as "
		    "a user who may, or name the databases' own directory.",
		    "directory `%s`", *rel ? rel : walk->source->path);
	if (fstat(fd, &st) != 0) {
		rc = still_error_sys(
		    walk->err, errno, NULL, "directory `%s`", rel);
		close(fd);
		return rc;
	}
	if (*rel && add_dir(walk->listing, rel, &st) < 0) {
		close(fd);
		return still_error_nomem(walk->err);
	}
	rc = sqlite_names_read(fd, rel, &names, walk->err);
	for (size_t i = 0; rc == 0 && i < names.n; i++)
		rc = visit(walk, &names, rel, names.name[i]);
	sqlite_names_release(&names);
	/* A directory that leads to no database is not part of a snapshot. */
	if (rc == 0 && walk->listing->n_found == n_found)
		while (walk->listing->n_dirs > n_dirs)
			free(walk->listing->dirs[--walk->listing->n_dirs].rel);
	return rc;
}

static int compare_found(const void *a, const void *b)
{
	return strcmp(((const struct sqlite_found *) a)->rel,
	    ((const struct sqlite_found *) b)->rel);
}

static int compare_inodes(const void *a, const void *b)
{
	const struct sqlite_found *x = *(const struct sqlite_found *const *) a;
	const struct sqlite_found *y = *(const struct sqlite_found *const *) b;

	if (x->st.st_dev != y->st.st_dev)
		return x->st.st_dev < y->st.st_dev ? -1 : 1;
	return x->st.st_ino < y->st.st_ino ? -1 : x->st.st_ino > y->st.st_ino;
}

static bool has_found(const struct sqlite_listing *listing, const char *rel)
{
	const struct sqlite_found key = {.rel = (char *) rel};

	return listing->n_found > 0 &&
	    bsearch(&key, listing->found, listing->n_found,
		sizeof(*listing->found), compare_found);
}

/* A database that is still there but looks like none any more has lost its
 * header, and must not be left out for it. `listing` is sorted. */
static int add_known(
    const struct walk *walk, const struct sqlite_listing *known)
{
	struct sqlite_listing *listing = walk->listing;
	struct sqlite_listing missing = {0};
	const struct walk look = {
	    walk->source, walk->force, &missing, walk->err};
	int rc = 0;

	for (size_t i = 0; rc == 0 && i < known->n_found; i++) {
		const char *rel = known->found[i].rel;

		if (has_found(listing, rel))
			continue;
		rc = visit_file(&look, rel, true);
		if (rc == STILL_ERR_NOTFOUND || rc == STILL_ERR_INVALID) {
			still_error_clear(walk->err);
			rc = 0;
		}
	}
	for (size_t i = 0; rc == 0 && i < missing.n_found; i++) {
		rc = add_found(listing, &missing.found[i]);
		if (rc == 0)
			missing.found[i] = (struct sqlite_found){0};
		else
			still_error_nomem(walk->err);
	}
	sqlite_listing_release(&missing);
	return rc;
}

static void mark_double(
    struct sqlite_found *found, const struct sqlite_found *other)
{
	if (!found->obstacle.code)
		still_error_set(&found->obstacle, STILL_ERR_UNSUPPORTED, 0,
		    "One database must have one name; remove one.",
		    "databases `%s` and `%s`: are the same file", found->rel,
		    other->rel);
}

/* Hard links and bind mounts: SQLite would give two names one wal-index. No
 * force helps here. */
static int refuse_doubles(
    struct sqlite_listing *listing, struct still_error *err)
{
	struct sqlite_found **order = calloc(listing->n_found, sizeof(*order));

	if (!order)
		return still_error_nomem(err);
	for (size_t i = 0; i < listing->n_found; i++)
		order[i] = &listing->found[i];
	qsort(order, listing->n_found, sizeof(*order), compare_inodes);
	for (size_t i = 1; i < listing->n_found; i++)
		if (compare_inodes(&order[i - 1], &order[i]) == 0) {
			mark_double(order[i - 1], order[i]);
			mark_double(order[i], order[i - 1]);
		}
	free(order);
	return 0;
}

/* What is left when no database of the source can be frozen. */
static int refuse_all(
    const struct sqlite_listing *listing, struct still_error *err)
{
	for (size_t i = 0; i < listing->n_found; i++)
		if (!listing->found[i].obstacle.code)
			return 0;
	if (err)
		still_error_copy(err, &listing->found[0].obstacle);
	return listing->found[0].obstacle.code;
}

static void sort(struct sqlite_listing *listing)
{
	if (listing->n_found)
		qsort(listing->found, listing->n_found, sizeof(*listing->found),
		    compare_found);
}

int sqlite_source_list(const struct sqlite_source *source, bool force,
    const struct sqlite_listing *known, struct sqlite_listing *ret,
    struct still_error *err)
{
	struct sqlite_listing listing = {0};
	struct walk walk = {source, force, &listing, err};
	int rc;

	if (source->is_file)
		rc = visit_file(&walk, still_path_base(source->path), true);
	else
		rc = visit_dir(&walk, "");
	sort(&listing);
	if (rc == 0 && known)
		rc = add_known(&walk, known);
	if (rc == 0 && listing.n_found == 0)
		rc = still_error_set(err, STILL_ERR_NOTFOUND, 0,
		    "A database is a file with SQLite's header, or with a -wal "
		    "beside it; links are not followed and other file systems "
		    "not entered.",
		    "source `%s`: no database in it", source->path);
	if (rc == 0)
		rc = refuse_doubles(&listing, err);
	if (rc == 0)
		rc = refuse_all(&listing, err);
	if (rc < 0) {
		sqlite_listing_release(&listing);
		return rc;
	}
	sort(&listing);
	*ret = listing;
	return 0;
}

void sqlite_listing_release(struct sqlite_listing *listing)
{
	for (size_t i = 0; i < listing->n_found; i++) {
		free(listing->found[i].rel);
		still_error_clear(&listing->found[i].obstacle);
	}
	for (size_t i = 0; i < listing->n_dirs; i++)
		free(listing->dirs[i].rel);
	free(listing->found);
	free(listing->dirs);
	*listing = (struct sqlite_listing){0};
}
