/* SPDX-License-Identifier: MIT */
/*
 * Bytes as the increment of a SQLite database, as one lies in a set that anybody
 * may have changed. Where the first byte is even, all salts and checksums are
 * made right, for a change would not come further than to them. What is accepted
 * must be what the format says, down to the last byte.
 */
#include "config.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/sys.h"
#include "engines/sqlite/checksum.h"
#include "engines/sqlite/increment.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static void must(bool it)
{
	if (!it)
		abort();
}

static void put_be32(uint8_t *at, uint32_t value)
{
	for (int i = 0; i < 4; i++)
		at[i] = (uint8_t) (value >> (24 - 8 * i));
}

static uint32_t get_be32(const uint8_t *at)
{
	return (uint32_t) at[0] << 24 | (uint32_t) at[1] << 16 |
	    (uint32_t) at[2] << 8 | at[3];
}

static void put_sum(uint8_t *at, struct sqlite_checksum sum)
{
	put_be32(at, sum.s0);
	put_be32(at + 4, sum.s1);
}

/* As far as there are whole frames. */
static void repair(uint8_t *log, size_t len)
{
	struct sqlite_checksum sum = {0, 0};
	uint32_t size = get_be32(log + 8);
	bool big = log[3] & 1;

	sum = sqlite_checksum_add(sum, big, log, 24);
	put_sum(log + 24, sum);
	if (size < 8 || size % 8 != 0 || size > len)
		return;
	for (size_t at = 32; at + 24 + size <= len; at += 24 + size) {
		memcpy(log + at + 8, log + 16, 8);
		sum = sqlite_checksum_add(sum, big, log + at, 8);
		sum = sqlite_checksum_add(sum, big, log + at + 24, size);
		put_sum(log + at + 16, sum);
	}
}

struct seen {
	uint32_t last;
	uint32_t n;
};

static int see(
    void *arg, uint32_t page, const uint8_t *data, struct still_error *err)
{
	struct seen *seen = arg;

	(void) err;
	must(page > seen->last);
	must(data != NULL);
	seen->last = page;
	seen->n++;
	return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct still_error err = STILL_ERROR_INIT;
	struct sqlite_increment_target target;
	struct seen seen = {0, 0};
	size_t n = len > 0 ? len - 1 : 0;
	uint8_t *log = malloc(n + 1);
	int fd = memfd_create("increment", MFD_CLOEXEC);
	int rc;

	must(log && fd >= 0);
	if (n > 0)
		memcpy(log, data + 1, n);
	if (n >= 32 && data[0] % 2 == 0)
		repair(log, n);
	must(still_sys_pwrite(fd, log, n, 0) == 0);
	rc = sqlite_increment_walk(
	    fd, "increment", NULL, see, &seen, &target, &err);
	if (rc == 0) {
		must(n == 32 + seen.n * (24 + (size_t) target.page_size_bytes));
		must(seen.n > 0 && seen.last <= target.n_pages);
	} else {
		must(err.code == STILL_ERR_CORRUPT);
		must(still_error_msg(&err)[0] != '\0');
	}
	still_error_clear(&err);
	close(fd);
	free(log);
	return 0;
}
