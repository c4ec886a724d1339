/* SPDX-License-Identifier: MIT */
/* check_files: each file of a cluster in a set, and none too many (check.h). */
#include "config.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/crc32c.h"
#include "base/path.h"
#include "base/sys.h"
#include "engines/postgres/check_parts.h"
#include "engines/postgres/layout.h"
#include "engines/postgres/page.h"
#include "engines/postgres/relation_pages.h"

#define PIECE_BYTES ((size_t) 1 << 20) /* whole pages */
#define FINDINGS_MAX 1000

/* Of a set where each file is wrong there are too many to keep. Clears `what`. */
static void find(struct still_pg_checking *checking, struct still_error *what)
{
	if (checking->findings.n < FINDINGS_MAX) {
		still_pg_findings_take(&checking->findings, what);
		return;
	}
	checking->n_more++;
	still_error_clear(what);
}

__attribute__((format(printf, 3, 4))) static void found(
    struct still_pg_checking *checking, const char *path, const char *fmt, ...)
{
	struct still_error what = STILL_ERROR_INIT;
	char text[PATH_MAX + 64];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	still_error_set(&what, STILL_ERR_CORRUPT, 0, NULL, "`%s`: %s",
	    still_pg_known_as(path), text);
	find(checking, &what);
}

/* ---- a file that the manifest lists --------------------------------------- */

struct file {
	const struct still_pg_checking *checking;
	const struct still_pg_manifest_entry *entry;
	char path[PATH_MAX]; /* in the set */
	int fd;
	bool pages; /* a relation's */
	struct still_pg_relation relation;
	char *piece; /* borrowed */
};

static int check_piece(
    const struct file *file, uint64_t at, size_t len, struct still_error *err)
{
	const struct still_pg_checking *checking = file->checking;
	const struct still_pg_control *control = &checking->control;
	struct still_pg_locator where;
	struct still_pg_proof proof = {
	    .covered = checking->covered,
	    .stop_lsn = checking->manifest.head.end_lsn,
	    .checksums = control->data_checksum_version != 0,
	};
	uint32_t block;

	if (!file->pages)
		return 0;
	where = still_pg_locate(file->path, &file->relation);
	block = file->relation.segment * control->segment_blocks +
	    (uint32_t) (at / STILL_PG_PAGE_BYTES);
	return still_pg_check_pages(
	    &proof, file->path, &where, block, file->piece, len, err);
}

static int check_content(const struct file *file, struct still_error *err)
{
	uint64_t size = file->entry->size_bytes;
	uint32_t crc = STILL_CRC32C_INIT;
	size_t len;
	int rc = 0;

	posix_fadvise(file->fd, 0, 0, POSIX_FADV_SEQUENTIAL);
	for (uint64_t at = 0; rc == 0 && at < size; at += len) {
		len = size - at < PIECE_BYTES ? (size_t) (size - at)
					      : PIECE_BYTES;
		rc = still_pg_check_read(
		    file->fd, file->path, file->piece, len, at, err);
		if (rc < 0)
			return rc;
		crc = still_crc32c(crc, file->piece, len);
		rc = check_piece(file, at, len, err);
	}
	if (rc == 0 && still_crc32c_end(crc) != file->entry->crc32c)
		rc = still_error_set(err, STILL_ERR_CORRUPT, 0, NULL,
		    "`%s`: its content is not what backup_manifest says",
		    still_pg_known_as(file->path));
	return rc;
}

static int check_listed(
    struct file *file, const char *name, struct still_error *err)
{
	enum still_pg_top top;
	const char *rel;
	struct stat st;
	int rc;

	if (!still_pg_from_manifest(name, file->path))
		return still_error_set(err, STILL_ERR_CORRUPT, 0, NULL,
		    "`%s`: lies too deep to be looked at", name);
	rc = still_pg_check_open(
	    file->checking, file->path, &file->fd, &st, err);
	if (rc < 0)
		return rc;
	rel = still_pg_below_top(file->path, &top);
	file->pages = rel &&
	    still_pg_exclude(top, rel, S_IFREG, &file->relation) ==
		STILL_PG_RELATION;
	if ((uint64_t) st.st_size != file->entry->size_bytes)
		rc = still_error_set(err, STILL_ERR_CORRUPT, 0, NULL,
		    "`%s`: has %" PRIu64 " bytes, and backup_manifest says "
		    "%" PRIu64,
		    still_pg_known_as(file->path), (uint64_t) st.st_size,
		    file->entry->size_bytes);
	else
		rc = check_content(file, err);
	close(file->fd);
	return rc;
}

static int check_all_listed(
    struct still_pg_checking *checking, char *piece, struct still_error *err)
{
	for (size_t i = 0; i < checking->manifest.n; i++) {
		struct file file = {
		    .checking = checking,
		    .entry = &checking->manifest.entries[i],
		    .piece = piece,
		};
		struct still_error what = STILL_ERROR_INIT;
		int rc = check_listed(&file,
		    still_pg_manifest_path(&checking->manifest, file.entry),
		    &what);

		if (rc == STILL_ERR_CORRUPT) {
			find(checking, &what);
			continue;
		}
		if (rc < 0) {
			still_error_copy(err, &what);
			still_error_clear(&what);
			return rc;
		}
	}
	return 0;
}

/* ---- what else is there --------------------------------------------------- */

struct tree {
	struct still_pg_checking *checking;
	char **dirs; /* owned; to be read yet */
	size_t n;
	size_t capacity;
};

/* Takes `dir`, which may be NULL. */
static int push(struct tree *tree, char *dir, struct still_error *err)
{
	if (dir && tree->n == tree->capacity) {
		size_t capacity = tree->capacity ? 2 * tree->capacity : 16;
		void *dirs = realloc(
		    tree->dirs, capacity * sizeof(tree->dirs[0]));

		if (dirs) {
			tree->dirs = dirs;
			tree->capacity = capacity;
		}
	}
	if (!dir || tree->n == tree->capacity) {
		free(dir);
		return still_error_nomem(err);
	}
	tree->dirs[tree->n++] = dir;
	return 0;
}

/* A directory in tablespaces/: there is a link to it. Where that leads is looked
 * at when it is met. */
static void judge_space(struct tree *tree, const char *name)
{
	char path[PATH_MAX];
	struct stat st;

	if (snprintf(path, sizeof(path), STILL_PG_DATA STILL_PG_LINKS "%s",
		name) >= (int) sizeof(path))
		return;
	if (fstatat(tree->checking->set_fd, path, &st, AT_SYMLINK_NOFOLLOW) !=
		0 ||
	    !S_ISLNK(st.st_mode))
		found(tree->checking, path,
		    "is no symbolic link: it was one to `" STILL_PG_LINK_BEGIN
		    "%s`",
		    name);
}

static void judge_link(
    struct tree *tree, int dirfd, const char *path, const char *name)
{
	static const char links[] = STILL_PG_DATA STILL_PG_LINKS;
	char wanted[PATH_MAX];
	char target[PATH_MAX];
	ssize_t n;

	if (strncmp(path, links, strlen(links)) != 0 ||
	    strcmp(path + strlen(links), name) != 0) {
		found(tree->checking, path, "is a symbolic link, and no file");
		return;
	}
	snprintf(wanted, sizeof(wanted), STILL_PG_LINK_BEGIN "%s", name);
	n = readlinkat(dirfd, name, target, sizeof(target));
	if (n != (ssize_t) strlen(wanted) ||
	    memcmp(target, wanted, (size_t) n) != 0)
		found(tree->checking, path, "leads to another place than `%s`",
		    wanted);
	else if (faccessat(tree->checking->set_fd, wanted + strlen("../../"),
		     F_OK, 0) != 0)
		found(tree->checking, path, "leads to nothing");
}

static void judge_file(struct tree *tree, const char *path)
{
	char buffer[PATH_MAX];
	const char *name = still_pg_to_manifest(path, buffer);

	if (name && !still_pg_manifest_find(&tree->checking->manifest, name))
		found(tree->checking, path, "is not in backup_manifest");
}

/* A name in the directory `dir`; takes `path`, which may be NULL. */
static int judge_entry(struct tree *tree, const char *dir, int dirfd,
    const char *name, char *path, struct still_error *err)
{
	struct stat st;
	int rc = 0;

	if (!path)
		return still_error_nomem(err);
	if (fstatat(dirfd, name, &st, AT_SYMLINK_NOFOLLOW) != 0) {
		rc = still_error_sys(err, errno, NULL, "`%s`", path);
	} else if (S_ISDIR(st.st_mode)) {
		if (strcmp(dir, "tablespaces") == 0)
			judge_space(tree, name);
		return push(tree, path, err);
	} else if (S_ISREG(st.st_mode)) {
		judge_file(tree, path);
	} else if (S_ISLNK(st.st_mode)) {
		judge_link(tree, dirfd, path, name);
	} else {
		found(tree->checking, path, "is no file");
	}
	free(path);
	return rc;
}

static int read_dir(struct tree *tree, const char *dir, struct still_error *err)
{
	int fd = still_sys_open_plain(tree->checking->set_fd, dir);
	DIR *stream = fd >= 0 ? fdopendir(fd) : NULL;
	const char *name;
	int next = 0;
	int rc = 0;

	if (!stream) {
		int error = fd < 0 ? -fd : errno;

		if (fd >= 0)
			close(fd);
		/* A cluster may have no tablespaces. */
		return error == ENOENT && strcmp(dir, "tablespaces") == 0
		    ? 0
		    : still_error_sys(err, error, NULL, "`%s`", dir);
	}
	while (rc == 0 && (next = still_sys_readdir(stream, &name)) > 0)
		rc = judge_entry(tree, dir, dirfd(stream), name,
		    still_path_join(dir, name), err);
	if (rc == 0 && next < 0)
		rc = still_error_sys(err, -next, NULL, "`%s`", dir);
	closedir(stream);
	return rc;
}

static int check_tree(
    struct still_pg_checking *checking, struct still_error *err)
{
	struct tree tree = {.checking = checking};
	int rc = push(&tree, strdup("data"), err);

	if (rc == 0)
		rc = push(&tree, strdup("tablespaces"), err);
	while (rc == 0 && tree.n > 0) {
		char *dir = tree.dirs[--tree.n];

		rc = read_dir(&tree, dir, err);
		free(dir);
	}
	while (tree.n > 0)
		free(tree.dirs[--tree.n]);
	free(tree.dirs);
	return rc;
}

/* ---- all of it ----------------------------------------------------------- */

int still_pg_check_files(
    struct still_pg_checking *checking, struct still_error *err)
{
	char *piece = aligned_alloc(STILL_PG_PAGE_BYTES, PIECE_BYTES);
	int rc;

	if (!piece)
		return still_error_nomem(err);
	rc = check_all_listed(checking, piece, err);
	free(piece);
	return rc == 0 ? check_tree(checking, err) : rc;
}
