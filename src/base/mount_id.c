/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "base/mount_id.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

/* include/uapi/linux/stat.h, include/uapi/linux/mount.h and the system call
 * tables of Linux 6.8; the C library's headers may be older. The number is the
 * same on every architecture but Alpha. */
#define MNT_ID_UNIQUE 0x4000u
#ifdef SYS_statmount
#	define NR_STATMOUNT SYS_statmount
#elif !defined(__alpha__)
#	define NR_STATMOUNT 457
#endif

struct request {
	uint32_t size; /* of this */
	uint32_t spare;
	uint64_t mnt_id;
	uint64_t param; /* what is wanted: STATMOUNT_* */
};
#define STATMOUNT_SB_BASIC 1u

/* struct statmount without the strings that may follow it. */
#define ANSWER_BYTES 512

uint64_t still_mount_id_at(const char *path)
{
	struct statx stx;

	/* A kernel that does not know the flag might ask the file system, and
	 * wait for it. */
	if (statx(AT_FDCWD, "/proc/self/mountinfo", 0, MNT_ID_UNIQUE, &stx) !=
		0 ||
	    !(stx.stx_mask & MNT_ID_UNIQUE) ||
	    statx(AT_FDCWD, path, AT_NO_AUTOMOUNT | AT_STATX_DONT_SYNC,
		MNT_ID_UNIQUE, &stx) != 0 ||
	    !(stx.stx_mask & MNT_ID_UNIQUE))
		return 0;
	return stx.stx_mnt_id;
}

int still_mount_id_is_there(uint64_t id)
{
#ifdef NR_STATMOUNT
	struct request request = {
	    .size = sizeof(request),
	    .mnt_id = id,
	    .param = STATMOUNT_SB_BASIC,
	};
	_Alignas(uint64_t) char answer[ANSWER_BYTES];

	if (syscall(NR_STATMOUNT, &request, answer, sizeof(answer), 0) == 0)
		return 1;
	return errno == ENOENT ? 0 : -1;
#else
	(void) id;
	return -1;
#endif
}
