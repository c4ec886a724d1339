/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "engines/postgres/postmaster.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/sys.h"

#define LINES 8
/* Three paths and a few numbers. */
#define FILE_MAX_BYTES (4 * STILL_PG_PATH_MAX)

/* A number of at most nine digits that fills the line. */
static bool number(const char *line, size_t len, unsigned *ret)
{
	unsigned value = 0;

	if (len < 1 || len > 9)
		return false;
	for (size_t i = 0; i < len; i++) {
		if (line[i] < '0' || line[i] > '9')
			return false;
		value = value * 10 + (unsigned) (line[i] - '0');
	}
	*ret = value;
	return true;
}

static bool path(const char *line, size_t len, char ret[STILL_PG_PATH_MAX])
{
	if (len >= STILL_PG_PATH_MAX || memchr(line, '\0', len))
		return false;
	memcpy(ret, line, len);
	ret[len] = '\0';
	return true;
}

static enum still_pg_phase phase(const char *line, size_t len)
{
	if (len >= 5 && memcmp(line, "ready", 5) == 0)
		return STILL_PG_READY;
	if (len >= 7 && memcmp(line, "standby", 7) == 0)
		return STILL_PG_STANDBY;
	if (len >= 8 && memcmp(line, "stopping", 8) == 0)
		return STILL_PG_STOPPING;
	return STILL_PG_STARTING;
}

bool still_pg_postmaster_parse(
    const char *text, size_t len, struct still_pg_postmaster *ret)
{
	const char *line[LINES];
	size_t line_len[LINES] = {0};
	const char *end = text + len;
	unsigned n = 0;
	unsigned pid;

	for (; n < LINES && text < end; n++) {
		const char *stop = memchr(text, '\n', (size_t) (end - text));

		/* What has no end yet is not there yet. */
		if (!stop)
			break;
		line[n] = text;
		line_len[n] = (size_t) (stop - text);
		text = stop + 1;
	}
	memset(ret, 0, sizeof(*ret));
	if (n < 4)
		return false;
	ret->single = line_len[0] > 0 && line[0][0] == '-';
	if (!number(line[0] + ret->single, line_len[0] - ret->single, &pid) ||
	    pid == 0 || !number(line[3], line_len[3], &ret->port) ||
	    ret->port > 65535)
		return false;
	ret->pid = (pid_t) pid;
	ret->phase = n > 7 ? phase(line[7], line_len[7]) : STILL_PG_STARTING;
	return (n <= 4 || path(line[4], line_len[4], ret->socket_dir)) &&
	    (n <= 5 || path(line[5], line_len[5], ret->address));
}

/* A server stays in its data directory, by whatever name it is reached. Where
 * /proc does not tell (another user's process), any of that number counts. */
static bool serves(
    const struct still_pg_postmaster *postmaster, const char *pgdata)
{
	char link[32];
	struct stat cwd;
	struct stat data;

	if (kill(postmaster->pid, 0) != 0 && errno == ESRCH)
		return false;
	snprintf(link, sizeof(link), "/proc/%d/cwd", (int) postmaster->pid);
	if (stat(link, &cwd) != 0)
		return errno != ENOENT;
	return stat(pgdata, &data) == 0 && data.st_dev == cwd.st_dev &&
	    data.st_ino == cwd.st_ino;
}

static int refuse(const struct still_pg_postmaster *postmaster,
    const char *pgdata, struct still_error *err)
{
	if (!serves(postmaster, pgdata))
		return still_error_set(err, STILL_ERR_ABSENT, 0,
		    "Start the server, on this machine and outside of any "
		    "container; its postmaster.pid is left over from a crash, "
		    "or belongs to a server elsewhere.",
		    "cluster `%s`: is not running: process %d of its "
		    "postmaster.pid is no server of it",
		    pgdata, (int) postmaster->pid);
	if (postmaster->single)
		return still_error_set(err, STILL_ERR_UNSUPPORTED, 0,
		    "End it and start the server as usual.",
		    "cluster `%s`: is used by a single-user server (process "
		    "%d)",
		    pgdata, (int) postmaster->pid);
	if (postmaster->phase == STILL_PG_STARTING)
		return still_error_set(err, STILL_ERR_AGAIN, 0,
		    "Try again when it accepts connections.",
		    "cluster `%s`: is starting up", pgdata);
	if (postmaster->phase == STILL_PG_STOPPING)
		return still_error_set(err, STILL_ERR_STOPPING, 0,
		    "Start it again, then try again.",
		    "cluster `%s`: is shutting down", pgdata);
	return 0;
}

/* The bytes of the file, or -errno. */
static ssize_t read_file(const char *pgdata, char text[FILE_MAX_BYTES])
{
	ssize_t n;
	int dir;
	int fd;

	dir = still_sys_open_beneath(AT_FDCWD, pgdata, O_RDONLY | O_DIRECTORY);
	if (dir < 0)
		return dir;
	fd = still_sys_open_beneath(
	    dir, "postmaster.pid", O_RDONLY | O_NONBLOCK);
	close(dir);
	if (fd < 0)
		return fd;
	n = still_sys_pread(fd, text, FILE_MAX_BYTES, 0);
	close(fd);
	return n;
}

int still_pg_postmaster_find(const char *pgdata,
    struct still_pg_postmaster *ret, struct still_error *err)
{
	char text[FILE_MAX_BYTES];
	ssize_t n = read_file(pgdata, text);

	if (n == -ENOENT)
		return still_error_set(err, STILL_ERR_ABSENT, 0,
		    "Start the server; what is stopped needs no snapshot and "
		    "can be copied by any tool.",
		    "cluster `%s`: is not running: it has no postmaster.pid",
		    pgdata);
	if (n < 0)
		return still_error_sys(err, (int) -n,
		    "Run stillfs as root or as the owner of the cluster.",
		    "`%s/postmaster.pid`", pgdata);
	if (!still_pg_postmaster_parse(text, (size_t) n, ret))
		return still_error_set(err,
		    n == 0 ? STILL_ERR_AGAIN : STILL_ERR_CORRUPT, 0,
		    "If no server runs on it, start it; it writes the file "
		    "anew.",
		    "`%s/postmaster.pid`: cannot be understood", pgdata);
	return refuse(ret, pgdata, err);
}
