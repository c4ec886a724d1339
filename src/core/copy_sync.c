/* SPDX-License-Identifier: MIT */
/* copy: the second step. Files first, then directories, deepest first: what is
 * in a directory cannot be opened once its mode is that of the source. The
 * topmost stays ours, and closed to others: what is in it is theirs by now. */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "base/sys.h"
#include "core/attributes.h"
#include "core/copy_parts.h"
#include "core/crew.h"

static int dress(int fd, const struct still_entry *entry)
{
	struct timespec time = {.tv_sec = entry->time_s};
	struct timespec times[2] = {time, time};
	int rc = still_attributes_set(fd, entry->uid, entry->gid, entry->mode);

	/* There are file systems that will not have them set. */
	if (rc == 0 && futimens(fd, times) != 0 && errno != EPERM &&
	    errno != EINVAL && errno != EOPNOTSUPP && errno != ENOSYS)
		rc = -errno;
	return rc;
}

int still_copy_settle(
    const struct still_copy *copy, uint32_t index, struct still_error *err)
{
	const struct still_entry *entry = &copy->entries[index];
	int fd = still_copy_open(copy, index,
	    O_RDONLY | (entry->kind == STILL_DIR ? O_DIRECTORY : 0), err);
	int rc;

	if (fd < 0)
		return fd;
	rc = dress(fd, entry);
	if (rc == 0)
		rc = still_sys_fsync(fd);
	/* So that what is read back is what the disk has. */
	if (rc == 0 && entry->kind == STILL_FILE)
		posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
	close(fd);
	return rc < 0 ? still_copy_error(copy, index, -rc, err) : 0;
}

static int settle_file(void *arg, size_t i, struct still_error *err)
{
	struct still_copy *copy = arg;
	int rc;

	if (copy->entries[i].kind != STILL_FILE)
		return 0;
	still_ticker_file(copy->ticker, copy->entries[i].path);
	rc = still_copy_settle(copy, (uint32_t) i, err);
	if (rc == 0)
		still_ticker_count(copy->ticker, 1, 0);
	return rc < 0 ? rc : still_copy_look(copy, err);
}

/* Children come after their parents. */
static int settle_dirs(struct still_copy *copy, struct still_error *err)
{
	int rc = 0;

	for (uint32_t i = copy->n; rc == 0 && i-- > 1;) {
		if (copy->entries[i].kind != STILL_DIR)
			continue;
		rc = still_copy_settle(copy, i, err);
		if (rc == 0)
			rc = still_ticker_check(copy->ticker, err);
	}
	if (rc < 0)
		return rc;
	rc = still_sys_fsync(copy->dirfd);
	return rc < 0 ? still_copy_error(copy, 0, -rc, err) : 0;
}

int still_copy_sync(struct still_copy *copy, struct still_error *err)
{
	int rc;

	still_ticker_phase(copy->ticker, STILL_PHASE_SYNCING, copy->files, 0);
	rc = still_crew_run(
	    copy->ticker, copy->n_threads, copy->n, settle_file, copy, err);
	return rc < 0 ? rc : settle_dirs(copy, err);
}
