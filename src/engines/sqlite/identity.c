/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "engines/sqlite/identity.h"

#include <assert.h>
#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/hash.h"
#include "base/sys.h"

static int64_t ns_of(const struct timespec *time)
{
	return (int64_t) time->tv_sec * STILL_NS_PER_S + time->tv_nsec;
}

void sqlite_identity_write(
    const struct sqlite_facts *facts, char out[SQLITE_IDENTITY_BYTES])
{
	const struct stat *st = &facts->st;
	char racy[32] = "";
	uint64_t salts;
	int n;

	memcpy(&salts, facts->salts, sizeof(salts));
	if (!sqlite_facts_are_settled(facts))
		snprintf(racy, sizeof(racy), ":at-%" PRIx64,
		    (uint64_t) facts->frozen_at_ns);
	n = snprintf(out, SQLITE_IDENTITY_BYTES,
	    "sqlite1:%" PRIx64 ":%jx:%jx:%jx:%" PRIx64 ":%" PRIx64
	    ":%x:%x:%x:%d:%" PRIx64 ":%x:%x%08x%s",
	    facts->boot, (uintmax_t) st->st_dev, (uintmax_t) st->st_ino,
	    (uintmax_t) st->st_size, (uint64_t) ns_of(&st->st_mtim),
	    (uint64_t) ns_of(&st->st_ctim), facts->page_size_bytes,
	    facts->n_pages, facts->change_counter, facts->page_checksums, salts,
	    facts->max_frame, facts->frame_checksum.s0,
	    facts->frame_checksum.s1, racy);
	assert(n > 0 && n < SQLITE_IDENTITY_BYTES);
	(void) n;
}

/* ---- of an image --------------------------------------------------------- */

static pthread_once_t boot_once = PTHREAD_ONCE_INIT;
static uint64_t boot; /* 0: not known */

static void read_boot(void)
{
	char name[64];
	int fd = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);
	ssize_t n;

	if (fd < 0)
		return;
	n = read(fd, name, sizeof(name));
	close(fd);
	if (n > 0)
		boot = still_hash64(name, (size_t) n);
}

bool sqlite_identity_facts(
    const struct sqlite_image *image, struct sqlite_facts *ret)
{
	const struct sqlite_index_header *index = &image->pin.header;

	if (image->refusal.code || image->damage.code)
		return false;
	*ret = (struct sqlite_facts){
	    .frozen_at_ns = image->frozen_at_ns,
	    .page_size_bytes = image->page_size_bytes,
	    .n_pages = image->n_pages,
	    .change_counter = image->header.change_counter,
	    .page_checksums = image->page_checksums,
	    .rollback = image->private.fd >= 0,
	};
	if (ret->rollback) {
		ret->st = image->private.source_st;
	} else {
		ret->max_frame = index->max_frame;
		ret->backfill = image->pin.backfill;
		ret->frame_checksum = index->frame_checksum;
		memcpy(ret->salts, index->salts, sizeof(ret->salts));
		if (still_sys_fstat(sqlite_file_fd(image->pin.db), &ret->st) <
		    0)
			return false;
	}
	pthread_once(&boot_once, read_boot);
	ret->boot = boot;
	ret->settled = sqlite_facts_are_settled(ret);
	return true;
}

bool sqlite_identity_of(
    const struct sqlite_image *image, char out[SQLITE_IDENTITY_BYTES])
{
	struct sqlite_facts facts;

	if (!sqlite_identity_facts(image, &facts) || !facts.boot)
		return false;
	sqlite_identity_write(&facts, out);
	return true;
}
