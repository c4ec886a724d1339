/* SPDX-License-Identifier: MIT */
#include "tests/lib/number.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static int open_as(const char *dir, const char *name, int flags)
{
	char path[4096];

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	return open(path, flags | O_CLOEXEC, 0644);
}

int number_open(const char *dir, const char *name)
{
	return open_as(dir, name, O_RDWR | O_CREAT);
}

bool number_publish(int fd, uint64_t n)
{
	char text[24];
	int len = snprintf(
	    text, sizeof(text), "%020llu\n", (unsigned long long) n);

	return pwrite(fd, text, (size_t) len, 0) == len;
}

bool number_read(const char *dir, const char *name, long long *ret)
{
	char text[24] = "";
	int fd = open_as(dir, name, O_RDONLY);
	bool ok = fd >= 0 && read(fd, text, sizeof(text) - 1) >= 0;

	if (fd >= 0)
		close(fd);
	if (ok)
		*ret = strtoll(text, NULL, 10);
	return ok;
}
