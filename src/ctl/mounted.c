/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "ctl/mounted.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "base/path.h"
#include "base/sys.h"

/* The size is 0, so it is read until it ends. */
static int read_all(int fd, struct still_buf *ret)
{
	char data[4096];
	ssize_t n;

	do {
		n = read(fd, data, sizeof(data));
		if (n > 0)
			still_buf_add(ret, data, (size_t) n);
	} while (n > 0 || (n < 0 && errno == EINTR));
	return n < 0 ? -errno : 0;
}

int ctl_mounted_read(const char *mountpoint, const char *name,
    struct still_buf *ret, struct still_error *err)
{
	char *path = still_path_join(mountpoint, name);
	int fd = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
	int rc;

	if (!path)
		return still_error_nomem(err);
	rc = fd < 0 ? -errno : read_all(fd, ret);
	if (rc < 0)
		rc = still_error_sys(err, -rc, NULL, "`%s`", path);
	else if (ret->failed || ret->len == 0)
		rc = still_error_set(
		    err, STILL_ERR_IO, 0, NULL, "`%s`: has no content", path);
	if (fd >= 0)
		close(fd);
	free(path);
	return rc;
}

int64_t ctl_time_parse(const char *text)
{
	struct tm tm = {0};
	const char *p = strptime(text, "%Y-%m-%dT%H:%M:%S", &tm);
	int64_t unit_ns = STILL_NS_PER_S;
	int64_t time_ns;

	if (!p)
		return 0;
	time_ns = (int64_t) timegm(&tm) * STILL_NS_PER_S;
	if (*p == '.')
		for (p++; isdigit((unsigned char) *p) && unit_ns > 1; p++) {
			unit_ns /= 10;
			time_ns += (*p - '0') * unit_ns;
		}
	return *p == 'Z' && !p[1] ? time_ns : 0;
}

int64_t ctl_mounted_at_ns(const char *mountpoint)
{
	struct still_buf buf = STILL_BUF_INIT;
	const char *text = NULL;
	json_t *root = NULL;
	int64_t time_ns = 0;

	if (ctl_mounted_read(mountpoint, "status.json", &buf, NULL) == 0)
		root = json_loads(buf.data, 0, NULL);
	text = json_string_value(json_object_get(root, "mounted_at"));
	if (text)
		time_ns = ctl_time_parse(text);
	json_decref(root);
	still_buf_release(&buf);
	return time_ns;
}
