/* SPDX-License-Identifier: MIT */
/*
 * readers: which processes took part in which session.
 *
 * A reader that goes by path, such as cp -r, does not notice that its session
 * has ended and another has begun: the same path leads into the new one, and
 * its copy would be of two moments. The kernel does not help: a lookup that was
 * answered ESTALE is repeated, without the reader's knowledge. So a process that
 * took part in an ended session is kept out of later ones until it opens
 * backup/ itself, as everybody does who begins anew.
 *
 * It is told by its process id and start time. A tool that starts a process for
 * each file cannot be recognised.
 *
 * Only so many processes are remembered, those of the last sessions.
 *
 * Threads: any. May read /proc for a process that is not known yet.
 */
#ifndef FS_READERS_H
#define FS_READERS_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#define FS_READERS_MAX 1024

struct fs_reader {
	pid_t process; /* 0: a free place */
	uint64_t start_ticks;
	uint32_t epoch; /* the last that it took part in */
};

/*
 * Threads whose process was seen just now to take part, so that not every
 * request asks /proc. Their numbers are used again, but not so soon.
 */
#define FS_READER_THREADS 1024
#define FS_READER_FRESH_NS INT64_C(100000000)

struct fs_reader_thread {
	pid_t thread;
	uint32_t epoch;     /* in this one */
	int64_t seen_at_ns; /* CLOCK_MONOTONIC */
};

struct fs_readers {
	pthread_mutex_t lock;
	struct fs_reader readers[FS_READERS_MAX];
	size_t next; /* the place that is taken next: the oldest */
	struct fs_reader_thread threads[FS_READER_THREADS];
};

void fs_readers_init(struct fs_readers *readers);

/* The process of `thread` takes part in `epoch`. 0 as thread: unknown. */
void fs_readers_join(struct fs_readers *readers, pid_t thread, uint32_t epoch);

/* Did the process of `thread` take part in a session before `epoch`, and not in
 * that one? */
bool fs_readers_is_late(
    struct fs_readers *readers, pid_t thread, uint32_t epoch);

/* It begins anew in `epoch`, if it has not yet: it is nobody's reader any more. */
void fs_readers_forget(
    struct fs_readers *readers, pid_t thread, uint32_t epoch);

#endif
