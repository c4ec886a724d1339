/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "engines/postgres/identity.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>

#include "base/sys.h"

/* 2 s are the ticks of FAT, the coarsest; on top the longest of the kernel's
 * own, by which the time of a write may be behind. */
#define RACY_NS (2 * STILL_NS_PER_S + 10 * 1000 * 1000)

static int64_t ns_of(const struct timespec *time)
{
	return (int64_t) time->tv_sec * STILL_NS_PER_S + time->tv_nsec;
}

bool still_pg_identity(const struct stat *before, const struct stat *after,
    int64_t look_ns, uint64_t boot, char out[STILL_IDENTITY_MAX_BYTES + 1])
{
	int64_t mtime_ns = ns_of(&before->st_mtim);
	int64_t ctime_ns = ns_of(&before->st_ctim);
	int n;

	if (boot == 0 || mtime_ns > look_ns - RACY_NS ||
	    ctime_ns > look_ns - RACY_NS)
		return false;
	if (before->st_size != after->st_size ||
	    before->st_dev != after->st_dev ||
	    before->st_ino != after->st_ino ||
	    mtime_ns != ns_of(&after->st_mtim) ||
	    ctime_ns != ns_of(&after->st_ctim))
		return false;
	n = snprintf(out, STILL_IDENTITY_MAX_BYTES + 1,
	    "postgres1:%" PRIx64 ":%jx:%jx:%jx:%" PRIx64 ":%" PRIx64, boot,
	    (uintmax_t) before->st_dev, (uintmax_t) before->st_ino,
	    (uintmax_t) before->st_size, (uint64_t) mtime_ns,
	    (uint64_t) ctime_ns);
	assert(n > 0 && n <= STILL_IDENTITY_MAX_BYTES);
	(void) n;
	return true;
}
