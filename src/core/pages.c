/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "core/pages.h"

#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/hash.h"
#include "base/rmtree.h"
#include "base/sys.h"
#include "core/statedir.h"
#include "core/store.h"

#define DIR_NAME "pages"
#define MAGIC "stillpg1"
#define FILES_MODE 0600

struct header {
	char magic[8];
	uint32_t page_bytes;
	uint32_t zero;
	uint64_t n;
	uint64_t sum;
	struct still_hash128 path;
	uint8_t zeros[16];
};

_Static_assert(sizeof(struct header) == 64, "as in pages.h");

static const char hint[] =
    "Make room in the state directory, or name another one with `state=`.";

static int failed(const struct still_catalog *catalog, int sys_errno,
    const char *what, struct still_error *err)
{
	return still_error_sys(err, sys_errno, hint,
	    "page sums in `%s/" DIR_NAME "`: %s", catalog->dir, what);
}

/* ---- directories --------------------------------------------------------- */

/* pages/, or what is in it; with `create` made. A descriptor or -errno. */
static int enter(int dirfd, const char *name, bool create)
{
	int rc = create ? still_sys_mkdir(dirfd, name, 0700) : 0;

	if (rc < 0 && rc != -EEXIST)
		return rc;
	return still_sys_open_beneath(
	    dirfd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
}

/* The directory of session `id`, likewise. */
static int enter_session(
    const struct still_catalog *catalog, const char *id, bool create)
{
	int dirfd = enter(catalog->dirfd, DIR_NAME, create);
	int fd;

	if (dirfd < 0)
		return dirfd;
	fd = enter(dirfd, id, create);
	close(dirfd);
	return fd;
}

/* ---- new ones ------------------------------------------------------------ */

/* Where blocks are copied when they are written again, a page that was written
 * back once could find no room. Only one file system has that switch. */
static void stay_in_place(int fd)
{
	int flags = 0;

	if (ioctl(fd, FS_IOC_GETFLAGS, &flags) != 0)
		return;
	flags |= FS_NOCOW_FL;
	ioctl(fd, FS_IOC_SETFLAGS, &flags);
}

/* A file system that cannot promise blocks is made to give them. */
static int take_blocks(int fd, uint64_t bytes)
{
	static const char zeros[65536];
	int rc = still_sys_allocate(fd, bytes);

	if (rc != -EOPNOTSUPP)
		return rc;
	rc = 0;
	for (uint64_t at = 0; rc == 0 && at < bytes; at += sizeof(zeros)) {
		uint64_t left = bytes - at;

		rc = still_sys_pwrite(fd, zeros,
		    left < sizeof(zeros) ? (size_t) left : sizeof(zeros), at);
	}
	return rc;
}

static int open_new(struct still_catalog *catalog, uint64_t bytes, int *ret_fd,
    struct still_error *err)
{
	int dirfd = enter(catalog->dirfd, DIR_NAME, true);
	int fd;
	int rc;

	if (dirfd < 0)
		return failed(catalog, -dirfd, "the directory", err);
	fd = openat(dirfd, ".", O_TMPFILE | O_RDWR | O_CLOEXEC, FILES_MODE);
	rc = fd < 0 ? -errno : 0;
	close(dirfd);
	if (rc == -EOPNOTSUPP || rc == -EISDIR)
		return still_error_set(err, STILL_ERR_UNSUPPORTED, -rc,
		    "Name another directory with `state=`.",
		    "page sums in `%s/" DIR_NAME "`: its file system has no "
		    "files without a name",
		    catalog->dir);
	if (rc < 0)
		return failed(catalog, -rc, "a new file", err);
	stay_in_place(fd);
	rc = take_blocks(fd, bytes);
	if (rc < 0) {
		close(fd);
		return failed(catalog, -rc, "room for a new file", err);
	}
	*ret_fd = fd;
	return 0;
}

/* Nobody remembers them: they live in memory. */
static void *map_new(int fd, size_t bytes)
{
	return mmap(NULL, bytes, PROT_READ | PROT_WRITE,
	    fd < 0 ? MAP_PRIVATE | MAP_ANONYMOUS : MAP_SHARED, fd, 0);
}

int still_pages_new(struct still_catalog *catalog, uint32_t page_bytes,
    uint64_t n, struct still_pages *ret, struct still_error *err)
{
	struct still_pages pages = STILL_PAGES_INIT;
	uint64_t bytes = sizeof(struct header) + n * sizeof(uint64_t);
	int rc = 0;

	if (n > (SIZE_MAX - sizeof(struct header)) / sizeof(uint64_t))
		return still_error_nomem(err);
	if (catalog)
		rc = open_new(catalog, bytes, &pages.fd, err);
	if (rc < 0)
		return rc;
	pages.map = map_new(pages.fd, (size_t) bytes);
	if (pages.map == MAP_FAILED) {
		pages.map = NULL;
		still_pages_release(&pages);
		return still_error_nomem(err);
	}
	pages.map_bytes = (size_t) bytes;
	pages.page_bytes = page_bytes;
	pages.n = n;
	pages.sums = (uint64_t *) ((char *) pages.map + sizeof(struct header));
	*ret = pages;
	return 0;
}

/* ---- kept ---------------------------------------------------------------- */

struct name {
	struct still_hash128 hash;
	char hex[STILL_HASH128_HEX_CHARS + 1];
};

static struct name name_of(const char *path)
{
	struct name name = {.hash = still_hash128(path, strlen(path))};

	still_hash128_hex(name.hash, name.hex);
	return name;
}

/* In the file they are little-endian. */
static void turn(struct still_pages *pages)
{
	if (htole16(1) == 1)
		return;
	for (uint64_t i = 0; i < pages->n; i++)
		pages->sums[i] = le64toh(pages->sums[i]);
}

static uint64_t sum_of(const struct still_pages *pages)
{
	return still_hash64_seeded(pages->sums,
	    (size_t) pages->n * sizeof(uint64_t), pages->page_bytes);
}

/* They are little-endian already, as what the sum is over. */
static void fill_header(struct still_pages *pages, const struct name *name)
{
	struct header *header = pages->map;

	*header = (struct header){
	    .page_bytes = htole32(pages->page_bytes),
	    .n = htole64(pages->n),
	    .sum = htole64(sum_of(pages)),
	    .path = name->hash,
	};
	memcpy(header->magic, MAGIC, sizeof(header->magic));
}

static int give_name(int fd, int dirfd, const char *name)
{
	char self[40];

	snprintf(self, sizeof(self), "/proc/self/fd/%d", fd);
	if (unlinkat(dirfd, name, 0) != 0 && errno != ENOENT)
		return -errno;
	if (linkat(AT_FDCWD, self, dirfd, name, AT_SYMLINK_FOLLOW) != 0)
		return -errno;
	return 0;
}

int still_pages_keep(struct still_catalog *catalog, struct still_pages *pages,
    const char *id, const char *path, struct still_error *err)
{
	struct name name = name_of(path);
	int dirfd;
	int rc;

	turn(pages);
	fill_header(pages, &name);
	rc = still_sys_fsync(pages->fd);
	if (rc == 0) {
		dirfd = enter_session(catalog, id, true);
		rc = dirfd < 0 ? dirfd : give_name(pages->fd, dirfd, name.hex);
		if (dirfd >= 0)
			close(dirfd);
	}
	turn(pages);
	return rc < 0 ? failed(catalog, -rc, path, err) : 0;
}

int still_pages_sync(
    struct still_catalog *catalog, const char *id, struct still_error *err)
{
	int dirfd = enter(catalog->dirfd, DIR_NAME, false);
	int fd;
	int rc;

	if (dirfd == -ENOENT)
		return 0;
	if (dirfd < 0)
		return failed(catalog, -dirfd, "the directory", err);
	fd = enter(dirfd, id, false);
	rc = fd == -ENOENT ? 0 : fd < 0 ? fd : still_sys_fsync(fd);
	if (fd >= 0)
		close(fd);
	if (rc == 0)
		rc = still_sys_fsync(dirfd);
	if (rc == 0)
		rc = still_sys_fsync(catalog->dirfd);
	close(dirfd);
	return rc < 0 ? failed(catalog, -rc, id, err) : 0;
}

/* ---- those of an earlier session ----------------------------------------- */

static int damaged(const struct still_catalog *catalog, const char *id,
    const char *path, struct still_error *err)
{
	return still_error_set(err, STILL_ERR_CORRUPT, 0,
	    "Look into the system's log for errors of the disk. A full backup "
	    "makes new ones.",
	    "page sums of `%s` in `%s/" DIR_NAME "/%s`: are damaged", path,
	    catalog->dir, id);
}

/* Is it what still_pages_keep() wrote? */
static bool is_whole(struct still_pages *pages, const struct name *name)
{
	static const uint8_t nothing[sizeof(((struct header *) 0)->zeros)];
	const struct header *header = pages->map;
	uint64_t n;

	if (pages->map_bytes < sizeof(*header) ||
	    memcmp(header->magic, MAGIC, sizeof(header->magic)) != 0 ||
	    memcmp(&header->path, &name->hash, sizeof(name->hash)) != 0 ||
	    header->zero != 0 ||
	    memcmp(header->zeros, nothing, sizeof(nothing)) != 0)
		return false;
	n = le64toh(header->n);
	if (n != (pages->map_bytes - sizeof(*header)) / sizeof(uint64_t) ||
	    pages->map_bytes != sizeof(*header) + n * sizeof(uint64_t))
		return false;
	pages->n = n;
	pages->page_bytes = le32toh(header->page_bytes);
	pages->sums = (uint64_t *) ((char *) pages->map + sizeof(*header));
	if (pages->page_bytes == 0 || sum_of(pages) != le64toh(header->sum))
		return false;
	turn(pages);
	return true;
}

static int map_old(struct still_catalog *catalog, int fd, const char *id,
    const char *path, struct still_pages *ret, struct still_error *err)
{
	struct name name = name_of(path);
	struct stat st;
	int rc = still_sys_fstat(fd, &st);

	if (rc < 0)
		return failed(catalog, -rc, path, err);
	if (st.st_size < (off_t) sizeof(struct header))
		return damaged(catalog, id, path, err);
	ret->map_bytes = (size_t) st.st_size;
	ret->map = mmap(
	    NULL, ret->map_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
	if (ret->map == MAP_FAILED) {
		ret->map = NULL;
		return still_error_nomem(err);
	}
	return is_whole(ret, &name) ? 0 : damaged(catalog, id, path, err);
}

int still_pages_open(struct still_catalog *catalog, const char *id,
    const char *path, struct still_pages *ret, struct still_error *err)
{
	struct still_pages pages = STILL_PAGES_INIT;
	struct name name = name_of(path);
	int dirfd = enter_session(catalog, id, false);
	int fd = dirfd;
	int rc;

	if (dirfd >= 0) {
		fd = still_sys_open_beneath(
		    dirfd, name.hex, O_RDONLY | O_NOFOLLOW);
		close(dirfd);
	}
	if (fd == -ENOENT)
		return still_error_set(err, STILL_ERR_NOTFOUND, 0, NULL,
		    "page sums of `%s`: session %s kept none", path, id);
	if (fd < 0)
		return failed(catalog, -fd, path, err);
	rc = map_old(catalog, fd, id, path, &pages, err);
	close(fd);
	if (rc < 0)
		still_pages_release(&pages);
	else
		*ret = pages;
	return rc;
}

/* ---- the end ------------------------------------------------------------- */

/* That what is not needed stays decides nothing. */
static int look_in(const struct still_catalog *catalog)
{
	int fd = openat(catalog->dirfd, DIR_NAME,
	    O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

	return fd < 0 ? -errno : fd;
}

void still_pages_forget(struct still_catalog *catalog, const char *id)
{
	int dirfd = look_in(catalog);

	if (dirfd < 0)
		return;
	still_rmtree(dirfd, id);
	close(dirfd);
}

int still_pages_each(struct still_catalog *catalog,
    int (*look)(void *arg, const char *id, struct still_error *err), void *arg,
    struct still_error *err)
{
	int dirfd = look_in(catalog);
	const char *name;
	DIR *dir = NULL;
	int rc;

	if (dirfd == -ENOENT)
		return 0;
	rc = dirfd < 0 ? dirfd : still_sys_opendir(dirfd, &dir);
	if (dirfd >= 0)
		close(dirfd);
	if (rc < 0)
		return failed(catalog, -rc, "the directory", err);
	while ((rc = still_sys_readdir(dir, &name)) > 0) {
		rc = look(arg, name, err);
		if (rc < 0) {
			closedir(dir);
			return rc;
		}
	}
	closedir(dir);
	return rc < 0 ? failed(catalog, -rc, "the directory", err) : 0;
}

void still_pages_release(struct still_pages *pages)
{
	if (pages->map)
		munmap(pages->map, pages->map_bytes);
	if (pages->fd >= 0)
		close(pages->fd);
	*pages = (struct still_pages) STILL_PAGES_INIT;
}
