/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "core/holder.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/sys.h"

/* More than a place can be long. */
#define TEXT_MAX_BYTES 8192

static int first_byte(int fd, int how, short type, struct flock *ret)
{
	*ret = (struct flock){
	    .l_type = type, .l_whence = SEEK_SET, .l_start = 0, .l_len = 1};
	return fcntl(fd, how, ret);
}

static int write_text(int fd, const char *id, const char *place)
{
	char *text = NULL;
	int len = asprintf(&text, "pid %ld %s%s%s\n", (long) getpid(), id,
	    place ? " " : "", place ? place : "");
	int rc;

	if (len < 0)
		return -ENOMEM;
	rc = still_sys_pwrite(fd, text, (size_t) len, 0);
	if (rc == 0 && ftruncate(fd, len) != 0)
		rc = -errno;
	free(text);
	return rc;
}

int still_holder_take(int dirfd, const char *name, const char *id,
    const char *place, int *ret_fd, struct still_error *err)
{
	struct flock lock;
	int fd = openat(
	    dirfd, name, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
	int rc;

	if (fd < 0)
		return still_error_sys(err, errno, NULL, "lock `%s`", name);
	if (first_byte(fd, F_OFD_SETLK, F_WRLCK, &lock) != 0) {
		rc = errno == EAGAIN || errno == EACCES
		    ? still_error_set(err, STILL_ERR_BUSY, EBUSY, NULL,
			  "lock `%s`: somebody has it", name)
		    : still_error_sys(err, errno, NULL, "lock `%s`", name);
		close(fd);
		return rc;
	}
	rc = write_text(fd, id, place);
	if (rc < 0) {
		still_holder_release(fd);
		return still_error_sys(err, -rc, NULL, "lock `%s`", name);
	}
	*ret_fd = fd;
	return 0;
}

void still_holder_release(int fd)
{
	struct flock lock;

	/* A text that stays is one of a dead holder: harmless. */
	if (ftruncate(fd, 0) != 0)
		errno = 0;
	/* A child that was forked shares the lock: closing is not enough. */
	first_byte(fd, F_OFD_SETLK, F_UNLCK, &lock);
	close(fd);
}

static void parse(char *text, struct still_holder *ret)
{
	char *pid = text + strlen("pid ");
	char *id;
	char *place;

	memset(ret, 0, sizeof(*ret));
	if (strncmp(text, "pid ", strlen("pid ")) != 0)
		return;
	ret->pid = (pid_t) strtol(pid, &id, 10);
	if (*id++ != ' ')
		return;
	place = id + strcspn(id, " ");
	if (*place)
		*place++ = '\0';
	snprintf(ret->id, sizeof(ret->id), "%s", id);
	if (*place)
		ret->place = strdup(place);
}

static void read_text(int fd, struct still_holder *ret)
{
	char text[TEXT_MAX_BYTES];
	ssize_t n = still_sys_pread(fd, text, sizeof(text) - 1, 0);

	memset(ret, 0, sizeof(*ret));
	/* Without its newline it is not whole. */
	if (n < 1 || text[n - 1] != '\n')
		return;
	text[n - 1] = '\0';
	parse(text, ret);
}

int still_holder_look(int dirfd, const char *name, struct still_holder *ret,
    struct still_error *err)
{
	struct flock lock;
	int fd = openat(dirfd, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	int rc;

	if (fd < 0 && errno == ENOENT)
		return 0;
	if (fd < 0)
		return still_error_sys(err, errno, NULL, "lock `%s`", name);
	if (first_byte(fd, F_OFD_GETLK, F_WRLCK, &lock) != 0)
		rc = still_error_sys(err, errno, NULL, "lock `%s`", name);
	else
		rc = lock.l_type != F_UNLCK;
	if (rc == 1 && ret)
		read_text(fd, ret);
	close(fd);
	return rc;
}

void still_holder_clear(struct still_holder *holder)
{
	free(holder->place);
	memset(holder, 0, sizeof(*holder));
}

int still_holder_busy(const struct still_holder *holder, const char *source,
    const char *wanted, struct still_error *err)
{
	bool same = strcmp(source, wanted) == 0;
	char pid[32] = "";

	if (holder->pid)
		snprintf(
		    pid, sizeof(pid), " (process %ld)", (long) holder->pid);
	return still_error_set(err, STILL_ERR_BUSY, EBUSY,
	    "Wait until that session has ended, or end it.",
	    "source `%s`: %s%s%shas a session%s%s%s%s", wanted,
	    same ? "" : "shares databases with `", same ? "" : source,
	    same ? "" : "`, which ", holder->place ? " at `" : "",
	    holder->place ? holder->place : "", holder->place ? "`" : "", pid);
}
