/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "base/ahead.h"

#include <fcntl.h>
#include <stdbool.h>

/* How far ahead: some requests of the kernel's, and little beside the memory of
 * a machine that has databases. */
#define AHEAD_BYTES (UINT64_C(4) << 20)

/* The kernel takes no more of one call than the device takes of one request. */
#define STEP_BYTES (UINT64_C(256) << 10)

/* A small read is one request, whether asked for or not. */
#define SMALL_BYTES ((size_t) 64 << 10)

static void ask(int fd, uint64_t from_bytes, uint64_t to_bytes)
{
	for (uint64_t at = from_bytes; at < to_bytes; at += STEP_BYTES)
		if (posix_fadvise(fd, (off_t) at,
			(off_t) (to_bytes - at < STEP_BYTES ? to_bytes - at
							    : STEP_BYTES),
			POSIX_FADV_WILLNEED) != 0)
			return;
}

/* Does it go on where others are? They need not come in order. */
static bool follows(uint64_t off_bytes, uint64_t asked_bytes)
{
	return off_bytes <= asked_bytes &&
	    asked_bytes - off_bytes <= 2 * AHEAD_BYTES;
}

void still_ahead_of(
    struct still_ahead *ahead, int fd, uint64_t off_bytes, size_t len)
{
	uint64_t asked = atomic_load(&ahead->asked_bytes);
	uint64_t end = off_bytes + len;

	if (!follows(off_bytes, asked)) {
		/* Whoever goes on from here is ahead the next time. */
		atomic_store(&ahead->asked_bytes, end);
		if (len > SMALL_BYTES)
			ask(fd, off_bytes, end);
		return;
	}
	/* In large steps, by one of those who come by. */
	if (asked >= end + AHEAD_BYTES / 2 ||
	    !atomic_compare_exchange_strong(
		&ahead->asked_bytes, &asked, end + AHEAD_BYTES))
		return;
	ask(fd, asked, end + AHEAD_BYTES);
}
