/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "tests/engine/moment.h"

#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "base/sys.h"
#include "engines/sqlite/cut.h"

#define LIMIT_NS (20 * STILL_NS_PER_S)
#define RETRY_NS 5000000

static const char *const names[MOMENT_DATABASES_MAX] = {"a.db", "b.db", "c.db"};

void moment_die(const char *what, const char *why)
{
	fflush(stdout);
	fprintf(stderr, "%s: %s\n", what, why);
	exit(EXIT_SETUP);
}

static void warn(
    void *arg, const char *event, const char *object, const char *text)
{
	(void) arg;
	fprintf(stderr, "event %s %s: %s\n", event, object, text);
}

/* ---- the cut ------------------------------------------------------------- */

static int open_all(struct moment *moment, struct still_error *err)
{
	int rc = 0;

	for (size_t i = 0; rc == 0 && i < moment->n; i++) {
		struct sqlite_image_request request = {
		    .pin =
			{
			    .root_fd = moment->root_fd,
			    .root = moment->dir,
			    .rel = names[i],
			    .cancel = &moment->cancel,
			    .limit_ns = LIMIT_NS,
			},
		    .observer = moment->observer,
		    .spool = &moment->spool,
		};

		moment->n_open = i + 1;
		rc = sqlite_image_open(&moment->images[i],
		    &(struct stat){.st_size = 0}, &request, err);
		moment->images[i].lost = &moment->lost;
	}
	return rc;
}

static int cut(struct moment *moment, struct still_error *err)
{
	struct sqlite_cut_request request = {
	    &moment->cancel, LIMIT_NS, LIMIT_NS};
	struct sqlite_cut ignored;
	int rc = sqlite_cut_take(
	    moment->images, moment->n, &request, &ignored, err);

	for (size_t i = 0; rc == 0 && i < moment->n; i++) {
		const struct still_error *refusal = &moment->images[i].refusal;

		if (refusal->code) {
			still_error_copy(err, refusal);
			rc = refusal->code;
		}
	}
	return rc;
}

static void settle(struct moment *moment)
{
	struct still_error err = STILL_ERROR_INIT;

	for (size_t i = 0; i < moment->n; i++) {
		struct sqlite_image *image = &moment->images[i];

		if (sqlite_image_settle(image, &moment->cancel, &err) < 0)
			moment_die("settle", still_error_msg(&err));
		if (image->damage.code)
			moment_die("settle", still_error_msg(&image->damage));
	}
}

static void release_images(struct moment *moment)
{
	for (; moment->n_open > 0; moment->n_open--)
		sqlite_image_release(&moment->images[moment->n_open - 1]);
	if (sqlite_files_open_count() != 0)
		moment_die("release", "a file of a database is still open");
}

void moment_take(struct moment *moment, const char *dir, size_t n)
{
	int64_t end_ns = still_sys_monotonic_ns() + LIMIT_NS;
	struct still_error err = STILL_ERROR_INIT;
	int rc;

	memset(moment, 0, sizeof(*moment));
	sqlite_handle_init();
	moment->dir = dir;
	moment->n = n;
	moment->root_fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (moment->root_fd < 0)
		moment_die(dir, "cannot be opened");
	moment->spool_dir.path = (char *) dir;
	moment->spool = still_spool_of(&moment->spool_dir);
	moment->observer = (struct still_observer){.warn = warn, .arg = NULL};
	for (;;) {
		rc = open_all(moment, &err);
		if (rc == 0)
			rc = cut(moment, &err);
		moment->n_tries++;
		if (rc == 0)
			break;
		if ((!sqlite_image_refusable(&err) &&
			rc != STILL_ERR_NOTFOUND) ||
		    still_sys_monotonic_ns() > end_ns)
			moment_die("freeze", still_error_msg(&err));
		release_images(moment);
		still_error_clear(&err);
		still_sys_sleep_ns(RETRY_NS);
	}
	settle(moment);
}

/* ---- its life ------------------------------------------------------------ */

void moment_govern(
    struct moment *moment, const struct still_attach_options *options)
{
	struct sqlite_governor_request request = {
	    .images = moment->images,
	    .n_images = moment->n,
	    .root_fd = moment->root_fd,
	    .options = options,
	    .observer = &moment->observer,
	    .lost = &moment->lost,
	};
	struct still_error err = STILL_ERROR_INIT;

	if (sqlite_governor_start(&request, &moment->governor, &err) < 0)
		moment_die("governor", still_error_msg(&err));
}

struct still_held moment_held(struct moment *moment)
{
	struct still_error err = STILL_ERROR_INIT;
	struct still_held held = {0};

	if (sqlite_governor_keep(moment->governor, &held, &err) < 0)
		moment_die("keep", still_error_msg(&err));
	return held;
}

void moment_stop(struct moment *moment)
{
	sqlite_governor_stop(moment->governor);
	moment->governor = NULL;
}

void moment_release(struct moment *moment)
{
	release_images(moment);
	for (size_t i = 0; i < moment->n; i++)
		if (moment_locks(moment, i))
			moment_die(names[i], "a lock of ours is left");
	if (atomic_load(&moment->spool_dir.used_bytes) != 0)
		moment_die("spool", "not all of it was given back");
	close(moment->root_fd);
}

/* ---- locks --------------------------------------------------------------- */

/* In a -shm file; one byte each. */
#define SLOT_FIRST_BYTE 123
#define SLOT_LAST_BYTE 127

/* A line is "1: POSIX ADVISORY READ 4711 fe:00:1234 123 124", or ends in EOF. Is
 * it a lock of this process on that file? */
static bool is_ours(const char *line, const struct stat *st,
    unsigned long *ret_from, unsigned long *ret_to)
{
	unsigned long inode;
	unsigned int major;
	unsigned int minor;
	int pid;
	int n_read = sscanf(line, "%*s POSIX %*s %*s %d %x:%x:%lu %lu %lu",
	    &pid, &major, &minor, &inode, ret_from, ret_to);

	if (n_read == 5)
		*ret_to = ULONG_MAX;
	return n_read >= 5 && pid == getpid() && inode == st->st_ino &&
	    makedev(major, minor) == st->st_dev;
}

/* Has it any? And which of the slots: bit 0 is the first. The table is read in
 * parts, and others change it meanwhile: a line may come twice. */
static bool look_at_locks(const struct stat *st, unsigned *ret_slots)
{
	FILE *file = fopen("/proc/locks", "re");
	unsigned long from;
	unsigned long to;
	bool any = false;
	char line[256];

	*ret_slots = 0;
	if (!file)
		moment_die("/proc/locks", "cannot be read");
	while (fgets(line, sizeof(line), file)) {
		if (!is_ours(line, st, &from, &to))
			continue;
		any = true;
		for (unsigned i = SLOT_FIRST_BYTE; i <= SLOT_LAST_BYTE; i++)
			if (from <= i && i <= to)
				*ret_slots |= 1U << (i - SLOT_FIRST_BYTE);
	}
	fclose(file);
	return any;
}

static bool stat_of(
    const struct moment *moment, size_t i, const char *suffix, struct stat *ret)
{
	char name[32];

	snprintf(name, sizeof(name), "%s%s", names[i], suffix);
	return fstatat(moment->root_fd, name, ret, 0) == 0;
}

bool moment_locks(const struct moment *moment, size_t i)
{
	struct stat st;
	unsigned slots;

	return (stat_of(moment, i, "", &st) && look_at_locks(&st, &slots)) ||
	    (stat_of(moment, i, "-shm", &st) && look_at_locks(&st, &slots));
}

unsigned moment_slots(const struct moment *moment, size_t i)
{
	struct stat st;
	unsigned slots;

	if (!stat_of(moment, i, "-shm", &st))
		return 0;
	look_at_locks(&st, &slots);
	return (unsigned) __builtin_popcount(slots);
}
