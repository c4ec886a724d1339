/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "engines/sqlite/source.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "base/sys.h"

/* SQLite needs shared memory and POSIX locks that work between processes. */
static const char *unsuitable_fs(long type)
{
	static const struct {
		unsigned long magic;
		const char *name;
	} table[] = {
	    {NFS_SUPER_MAGIC, "NFS"},
	    {SMB_SUPER_MAGIC, "SMB"},
	    {0xff534d42, "CIFS"},
	    {0xfe534d42, "SMB2"},
	    {FUSE_SUPER_MAGIC, "FUSE"},
	    {V9FS_MAGIC, "9P"},
	    {CEPH_SUPER_MAGIC, "Ceph"},
	    {AFS_SUPER_MAGIC, "AFS"},
	    {0x6b414653, "AFS"},
	    {CODA_SUPER_MAGIC, "Coda"},
	    {0x01161970, "GFS2"},
	    {OCFS2_SUPER_MAGIC, "OCFS2"},
	    {0x0bd00bd0, "Lustre"},
	    {0x47504653, "GPFS"},
	};

	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++)
		if (table[i].magic == ((unsigned long) type & 0xffffffff))
			return table[i].name;
	return NULL;
}

static int check_fs(
    const struct sqlite_source *source, bool force, struct still_error *err)
{
	struct statfs fs;
	const char *name;

	/* Of the file itself: it may be mounted from elsewhere. */
	if (statfs(source->path, &fs) != 0)
		return still_error_sys(
		    err, errno, NULL, "source `%s`", source->path);
	name = unsuitable_fs((long) fs.f_type);
	if (!name || force)
		return 0;
	return still_error_set(err, STILL_ERR_UNSUPPORTED, 0,
	    "SQLite's locks and shared memory cannot be relied on there; run "
	    "stillfs on the machine that owns the disk, or say `-o force` if "
	    "every process that opens the databases runs on this one.",
	    "source `%s`: lies on a network or FUSE file system (%s)",
	    source->path, name);
}

static int open_root(struct sqlite_source *source, struct still_error *err)
{
	const char *readable = "The user who runs stillfs must be able to read "
			       "the source and to list its directory.";

	if (stat(source->path, &source->st) != 0)
		return still_error_sys(
		    err, errno, readable, "source `%s`", source->path);
	source->is_file = S_ISREG(source->st.st_mode);
	if (!source->is_file && !S_ISDIR(source->st.st_mode))
		return still_error_set(err, STILL_ERR_INVALID, 0,
		    "Name a SQLite database, or a directory with databases.",
		    "source `%s`: is neither a file nor a directory",
		    source->path);
	source->root = strdup(source->path);
	if (!source->root)
		return still_error_nomem(err);
	if (source->is_file) {
		char *slash = strrchr(source->root, '/');

		slash[slash == source->root] = '\0';
	}
	source->root_fd = still_sys_open_beneath(
	    AT_FDCWD, source->root, O_RDONLY | O_DIRECTORY);
	if (source->root_fd < 0)
		return still_error_sys(err, -source->root_fd, readable,
		    "source `%s`", source->path);
	if (fstat(source->root_fd, &source->root_st) != 0)
		return still_error_sys(
		    err, errno, NULL, "source `%s`", source->path);
	return 0;
}

int sqlite_source_open(const char *name, bool force, struct sqlite_source *ret,
    struct still_error *err)
{
	struct sqlite_source source = SQLITE_SOURCE_INIT;
	int rc;

	if (strncmp(name, "sqlite:", 7) == 0)
		name += 7;
	source.path = realpath(name, NULL);
	if (!source.path) {
		int sys_errno = errno;

		return still_error_sys(err, sys_errno,
		    sys_errno == ENOENT
			? "Check the spelling; the source is a SQLite "
			  "database or a directory that holds some."
			: NULL,
		    "source `%s`", name);
	}
	rc = open_root(&source, err);
	if (rc == 0)
		rc = check_fs(&source, force, err);
	if (rc < 0) {
		sqlite_source_close(&source);
		return rc;
	}
	*ret = source;
	return 0;
}

void sqlite_source_close(struct sqlite_source *source)
{
	if (source->root_fd >= 0)
		close(source->root_fd);
	free(source->path);
	free(source->root);
	*source = (struct sqlite_source) SQLITE_SOURCE_INIT;
}
