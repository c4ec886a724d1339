/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "fs/readers.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/sys.h"

void fs_readers_init(struct fs_readers *readers)
{
	memset(readers, 0, sizeof(*readers));
	pthread_mutex_init(&readers->lock, NULL);
}

/* A small file of /proc as text; false when there is none. */
static bool read_proc(pid_t pid, const char *name, char *text, size_t size)
{
	char path[64];
	ssize_t n;
	int fd;

	snprintf(path, sizeof(path), "/proc/%d/%s", (int) pid, name);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return false;
	n = read(fd, text, size - 1);
	close(fd);
	if (n <= 0)
		return false;
	text[n] = '\0';
	return true;
}

/* Field 22 of /proc/PID/stat, see proc(5); the name in field 2 may hold
 * anything, so fields are counted from its last parenthesis. */
static uint64_t start_of(pid_t process)
{
	char text[1024];
	const char *at;

	if (!read_proc(process, "stat", text, sizeof(text)))
		return 0;
	at = strrchr(text, ')');
	for (int field = 2; at && field < 22; field++)
		at = strchr(at + 1, ' ');
	return at ? strtoull(at, NULL, 10) : 0;
}

/* Requests carry the thread; people, tools and we mean the process. */
static pid_t process_of(pid_t thread)
{
	char text[1024];
	const char *at;

	if (!read_proc(thread, "status", text, sizeof(text)))
		return thread;
	at = strstr(text, "\nTgid:");
	return at ? (pid_t) atoi(at + 6) : thread;
}

/* Under the lock. */
static struct fs_reader *find(
    struct fs_readers *readers, pid_t process, uint64_t start_ticks)
{
	for (size_t i = 0; i < FS_READERS_MAX; i++)
		if (readers->readers[i].process == process &&
		    readers->readers[i].start_ticks == start_ticks)
			return &readers->readers[i];
	return NULL;
}

/* Under the lock. */
static struct fs_reader_thread *place_of(
    struct fs_readers *readers, pid_t thread)
{
	return &readers->threads[(unsigned) thread % FS_READER_THREADS];
}

/* Has it joined `epoch` just now? */
static bool is_fresh(struct fs_readers *readers, pid_t thread, uint32_t epoch)
{
	const struct fs_reader_thread *seen = place_of(readers, thread);
	int64_t now_ns = still_sys_monotonic_ns();
	bool fresh;

	pthread_mutex_lock(&readers->lock);
	fresh = seen->thread == thread && seen->epoch == epoch &&
	    now_ns - seen->seen_at_ns < FS_READER_FRESH_NS;
	pthread_mutex_unlock(&readers->lock);
	return fresh;
}

void fs_readers_join(struct fs_readers *readers, pid_t thread, uint32_t epoch)
{
	struct fs_reader *reader;
	int64_t now_ns;
	uint64_t start_ticks;
	pid_t process;

	if (thread <= 0 || is_fresh(readers, thread, epoch))
		return;
	now_ns = still_sys_monotonic_ns();
	process = process_of(thread);
	start_ticks = start_of(process);
	pthread_mutex_lock(&readers->lock);
	reader = find(readers, process, start_ticks);
	if (!reader) {
		reader = &readers->readers[readers->next];
		readers->next = (readers->next + 1) % FS_READERS_MAX;
	}
	*reader = (struct fs_reader){process, start_ticks, epoch};
	*place_of(readers, thread) = (struct fs_reader_thread){
	    thread, epoch, now_ns};
	pthread_mutex_unlock(&readers->lock);
}

/* Under the lock: could it be one? Most callers are nobody's reader, and need
 * no look at /proc. */
static bool any_before(const struct fs_readers *readers, uint32_t epoch)
{
	for (size_t i = 0; i < FS_READERS_MAX; i++)
		if (readers->readers[i].process &&
		    readers->readers[i].epoch < epoch)
			return true;
	return false;
}

bool fs_readers_is_late(
    struct fs_readers *readers, pid_t thread, uint32_t epoch)
{
	struct fs_reader *reader;
	bool late;
	uint64_t start_ticks;
	pid_t process;

	if (thread <= 0 || is_fresh(readers, thread, epoch))
		return false;
	pthread_mutex_lock(&readers->lock);
	late = any_before(readers, epoch);
	pthread_mutex_unlock(&readers->lock);
	if (!late)
		return false;
	process = process_of(thread);
	start_ticks = start_of(process);
	pthread_mutex_lock(&readers->lock);
	reader = find(readers, process, start_ticks);
	late = reader && reader->epoch < epoch;
	pthread_mutex_unlock(&readers->lock);
	return late;
}

void fs_readers_forget(struct fs_readers *readers, pid_t thread, uint32_t epoch)
{
	struct fs_reader *reader;
	uint64_t start_ticks;
	pid_t process;

	if (thread <= 0)
		return;
	process = process_of(thread);
	start_ticks = start_of(process);
	pthread_mutex_lock(&readers->lock);
	reader = find(readers, process, start_ticks);
	if (reader && reader->epoch < epoch)
		reader->process = 0;
	pthread_mutex_unlock(&readers->lock);
}
