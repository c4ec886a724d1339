/* SPDX-License-Identifier: MIT */
#include "tests/lib/churn.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

struct churn_counts *churn_counts_map(const char *dir)
{
	struct churn_counts *counts = NULL;
	char path[4096];
	int fd;

	snprintf(path, sizeof(path), "%s/%s", dir, CHURN_COUNTS);
	fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0644);
	if (fd < 0)
		return NULL;
	if (ftruncate(fd, sizeof(*counts)) == 0)
		counts = mmap(NULL, sizeof(*counts), PROT_READ | PROT_WRITE,
		    MAP_SHARED, fd, 0);
	close(fd);
	return counts == MAP_FAILED ? NULL : counts;
}
