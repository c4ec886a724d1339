/* SPDX-License-Identifier: MIT */
/*
 * ahead: have a disk read what is going to be wanted next.
 *
 * The kernel does so, too, but as far only as the device says (128 KiB, often),
 * and for one reader of an open file: several threads that share one look like
 * many who jump. Then each request waits for the disk, and a disk that could have
 * been read at full speed is read at a third of it.
 *
 * Reads that follow one another, whoever makes them, have some MiB asked for
 * before they are wanted; others only what they read themselves. Of what is in
 * the page cache nothing is read again.
 *
 * Threads: any.
 */
#ifndef STILL_BASE_AHEAD_H
#define STILL_BASE_AHEAD_H

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

/* Of one open file. */
struct still_ahead {
	/* Up to here all was asked for, by those who read one behind the
	 * other. */
	atomic_uint_fast64_t asked_bytes;
};

/* [off, off + len) of `fd` is going to be read, right now. Does not wait for the
 * disk, and cannot fail. */
void still_ahead_of(
    struct still_ahead *ahead, int fd, uint64_t off_bytes, size_t len);

#endif
