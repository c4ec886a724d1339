/* SPDX-License-Identifier: MIT */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/sys.h"
#include "engines/postgres/capture_parts.h"
#include "engines/postgres/identity.h"

/* Smaller files are read through the page cache: many of them are there. */
#define DIRECT_MIN_BYTES (UINT64_C(1) << 20)

/* Where one container ends and another begins: below the 16 TiB that a file of
 * ext4 may have. */
#define CONTAINER_MAX_BYTES (UINT64_C(4) << 40)

/* For how long the size of a relation may be none of pages, 255 ms in all, and of
 * how many files we wait for that. */
#define SIZE_TRIES 8
#define SIZE_PAUSE_NS (1000 * 1000)
#define ODD_MAX 16

#define PROGRESS_NS (100 * 1000 * 1000)

static void tell(struct still_pg_capture *capture, uint64_t more)
{
	const struct still_pg_capture_request *request = &capture->request;
	struct still_pg_run *run = &capture->run;
	int64_t now_ns = still_sys_monotonic_ns();

	pthread_mutex_lock(&capture->lock);
	run->done_bytes += more;
	/* Files grow, and then there is more than there was to do. */
	if (run->done_bytes > run->list->bytes)
		run->done_bytes = run->list->bytes;
	if (request->progress && now_ns - capture->told_ns > PROGRESS_NS) {
		capture->told_ns = now_ns;
		request->progress(
		    request->arg, run->done_bytes, run->list->bytes);
	}
	pthread_mutex_unlock(&capture->lock);
}

static bool tick(void *arg, uint64_t bytes)
{
	struct still_pg_worker *worker = arg;

	tell(worker->capture, bytes);
	return !still_pg_capture_stopped(worker->capture);
}

static bool whole(void *arg, const struct still_pg_relation *relation,
    uint32_t block, const void *page)
{
	const struct still_pg_capture_request *request =
	    &((struct still_pg_worker *) arg)->capture->request;

	return request->whole(request->arg, relation, block, page);
}

static int keep_container(
    struct still_pg_capture *capture, struct still_pg_container *container)
{
	struct still_pg_container **grown;

	pthread_mutex_lock(&capture->lock);
	grown = realloc(capture->containers,
	    (capture->n_containers + 1) * sizeof(*capture->containers));
	if (grown) {
		capture->containers = grown;
		grown[capture->n_containers++] = container;
	}
	pthread_mutex_unlock(&capture->lock);
	return grown ? 0 : STILL_ERR_NOMEM;
}

static struct still_pg_slot *slot_of(
    struct still_pg_worker *worker, const struct still_pg_disk *disk)
{
	struct still_pg_slot *grown;

	for (size_t i = 0; i < worker->n_slots; i++)
		if (worker->slots[i].disk == disk)
			return &worker->slots[i];
	grown = realloc(
	    worker->slots, (worker->n_slots + 1) * sizeof(*worker->slots));
	if (!grown)
		return NULL;
	worker->slots = grown;
	grown += worker->n_slots++;
	*grown = (struct still_pg_slot){.disk = disk};
	return grown;
}

static int container_for(struct still_pg_worker *worker,
    const struct still_pg_disk *disk, uint64_t size_bytes,
    struct still_pg_container **ret, struct still_error *err)
{
	struct still_pg_capture *capture = worker->capture;
	struct still_pg_slot *slot = slot_of(worker, disk);
	int rc = 0;

	if (!slot)
		return still_error_nomem(err);
	if (!slot->container ||
	    still_pg_container_end(slot->container, size_bytes) >
		CONTAINER_MAX_BYTES) {
		rc = still_pg_disks_open(
		    &capture->disks, disk, &slot->container, err);
		if (rc == 0 && keep_container(capture, slot->container) < 0) {
			still_pg_container_free(slot->container);
			slot->container = NULL;
			rc = still_error_nomem(err);
		}
	}
	*ret = slot->container;
	return rc;
}

static struct still_pg_capturing how(
    struct still_pg_worker *worker, const struct still_pg_entry *entry)
{
	bool is_relation = entry->rule == STILL_PG_RELATION;

	return (struct still_pg_capturing){
	    .tick = tick,
	    .whole = worker->capture->request.whole ? whole : NULL,
	    .arg = worker,
	    .relation = is_relation ? &entry->relation : NULL,
	    .buffer = worker->buffer,
	};
}

/* A file that is being captured. */
struct job {
	struct still_pg_worker *worker;
	const struct still_pg_entry *entry;
	char *name; /* owned */
	int fd;
	uint64_t size_bytes;
	struct still_pg_extent *extent;
};

static int failed(
    const struct job *job, int rc, const char *doing, struct still_error *err)
{
	if (rc == -ECANCELED)
		return still_error_set(
		    err, STILL_ERR_CANCELLED, 0, NULL, "capture: stopped");
	return still_error_sys(err, -rc,
	    rc == -ENOSPC || rc == -EDQUOT
		? "Make room there, or name another directory with `spool=`."
		: NULL,
	    "`%s`: %s", job->name, doing);
}

static int copy_file(const struct job *job, struct still_error *err)
{
	const struct still_pg_capturing capturing = how(
	    job->worker, job->entry);
	struct still_pg_capture *capture = job->worker->capture;
	struct still_pg_container *container;
	uint64_t room = (job->size_bytes + STILL_PG_COPY_ALIGN_BYTES - 1) /
	    STILL_PG_COPY_ALIGN_BYTES * STILL_PG_COPY_ALIGN_BYTES;
	int rc = container_for(
	    job->worker, NULL, job->size_bytes, &container, err);

	if (rc == 0)
		rc = still_pg_room_use(capture, room, err);
	if (rc < 0)
		return rc;
	if (capture->request.trial && !capture->run.all) {
		*job->extent = (struct still_pg_extent){
		    .size_bytes = job->size_bytes};
		return 0;
	}
	rc = still_pg_container_copy(
	    container, job->fd, job->size_bytes, &capturing, job->extent);
	if (rc == 0)
		return 0;
	still_pg_room_return(capture, room);
	return failed(job, rc, "copying it", err);
}

/* 1: it cannot be cloned, and may be copied. */
static int clone_file(const struct job *job, const struct still_pg_disk *disk,
    struct still_error *err)
{
	const struct still_pg_capturing capturing = how(
	    job->worker, job->entry);
	enum still_pg_way way = job->worker->capture->request.way;
	struct still_pg_container *container;
	int rc = container_for(
	    job->worker, disk, job->size_bytes, &container, err);

	if (rc < 0)
		return rc;
	rc = still_pg_container_clone(
	    container, job->fd, job->size_bytes, &capturing, job->extent);
	if (rc != -EINVAL && rc != -EOPNOTSUPP && rc != -EXDEV &&
	    rc != -ENOTTY && rc != -ETXTBSY)
		return rc == 0 ? 0 : failed(job, rc, "cloning it", err);
	if (way == STILL_PG_WAY_AUTO)
		return 1;
	return still_error_set(err, STILL_ERR_UNSUPPORTED, -rc,
	    "Say `freeze=auto`, so that what cannot be cloned is copied.",
	    "`%s`: this file cannot be cloned: %s", job->name, strerror(-rc));
}

static int capture_bytes(
    const struct job *job, const struct stat *st, struct still_error *err)
{
	struct still_pg_capture *capture = job->worker->capture;
	const struct still_pg_disk *disk = NULL;
	int rc;

	if (job->size_bytes == 0)
		return 0;
	rc = still_pg_disks_find(
	    &capture->disks, job->fd, st, job->name, &disk, err);
	if (rc < 0)
		return rc;
	if (disk && disk->clones) {
		rc = clone_file(job, disk, err);
		if (rc <= 0)
			return rc;
	}
	return copy_file(job, err);
}

/* The size of a relation is seen in the middle of a page while one is appended:
 * it is that of the pages a moment later. */
static int look(const struct job *job, struct stat *ret_st)
{
	int64_t pause_ns = SIZE_PAUSE_NS;
	int rc = still_sys_fstat(job->fd, ret_st);

	if (rc < 0 || job->entry->rule != STILL_PG_RELATION ||
	    (uint64_t) ret_st->st_size % STILL_PG_CAPTURE_PAGE_BYTES == 0 ||
	    atomic_fetch_add(&job->worker->capture->n_odd, 1) >= ODD_MAX)
		return rc;
	for (int i = 0; i < SIZE_TRIES && rc == 0 &&
	     (uint64_t) ret_st->st_size % STILL_PG_CAPTURE_PAGE_BYTES;
	     i++) {
		still_sys_sleep_ns(pause_ns);
		pause_ns *= 2;
		rc = still_sys_fstat(job->fd, ret_st);
	}
	return rc;
}

/*
 * How much of the file is a part of a page that a disk left behind which was full
 * once. The server appends zeros (mdextend), and fills them later; what it could not
 * append whole it does not look at, and writes over when the relation grows. Where
 * something else stands there, that was a page: it is captured as it is.
 */
static uint64_t left_over(const struct job *job)
{
	static const uint8_t zeros[STILL_PG_CAPTURE_PAGE_BYTES];
	uint8_t part[STILL_PG_CAPTURE_PAGE_BYTES];
	size_t len = (size_t) (job->size_bytes % sizeof(part));
	int flags = fcntl(job->fd, F_GETFL);
	ssize_t n;

	if (len == 0)
		return 0;
	/* Past the page cache go whole blocks only. */
	if (flags >= 0 && (flags & O_DIRECT))
		(void) fcntl(job->fd, F_SETFL, flags & ~O_DIRECT);
	n = still_sys_pread(job->fd, part, len, job->size_bytes - len);
	if (flags >= 0 && (flags & O_DIRECT))
		(void) fcntl(job->fd, F_SETFL, flags);
	return n == (ssize_t) len && memcmp(part, zeros, len) == 0 ? len : 0;
}

/* Open, capture, and look whether it is still the same. */
static int capture_open(
    struct job *job, struct still_pg_captured *file, struct still_error *err)
{
	struct still_pg_capture *capture = job->worker->capture;
	char identity[STILL_IDENTITY_MAX_BYTES + 1];
	int64_t look_ns;
	struct stat after;
	int rc;

	look_ns = still_sys_now_ns();
	rc = look(job, &file->st);
	if (rc < 0)
		return failed(job, rc, "looking at it", err);
	job->size_bytes = (uint64_t) file->st.st_size;
	if (job->entry->rule == STILL_PG_RELATION)
		job->size_bytes -= left_over(job);
	job->extent = &file->extent;
	rc = capture_bytes(job, &file->st, err);
	if (rc < 0)
		return rc;
	rc = still_sys_fstat(job->fd, &after);
	if (rc < 0)
		return failed(job, rc, "looking at it", err);
	file->entry = job->entry;
	if (file->extent.size_bytes != job->size_bytes ||
	    !still_pg_identity(
		&file->st, &after, look_ns, capture->boot, identity))
		return 0;
	file->identity = strdup(identity);
	return file->identity ? 0 : still_error_nomem(err);
}

static int open_entry(
    const struct still_pg_capture *capture, const struct still_pg_entry *entry)
{
	const struct still_pg_walk *walk = capture->request.walk;
	struct stat st;
	int fd;

	if ((uint64_t) entry->st.st_size >= DIRECT_MIN_BYTES) {
		/* A clone reads nothing, and does not mind. */
		fd = still_pg_entry_open(walk, entry, O_DIRECT, &st);
		if (fd != -EINVAL)
			return fd;
	}
	return still_pg_entry_open(walk, entry, 0, &st);
}

int still_pg_capture_file(struct still_pg_worker *worker,
    const struct still_pg_entry *entry, struct still_pg_captured *file,
    struct still_error *err)
{
	struct still_pg_capture *capture = worker->capture;
	struct job job = {.worker = worker, .entry = entry};
	int rc;

	job.fd = open_entry(capture, entry);
	if (job.fd == -ENOENT && !capture->run.all)
		return 0;
	job.name = still_pg_entry_name(capture->request.walk, entry);
	if (!job.name)
		rc = still_error_nomem(err);
	else if (job.fd < 0)
		rc = still_error_sys(err, -job.fd, NULL, "`%s`", job.name);
	else
		rc = capture_open(&job, file, err);
	if (job.fd >= 0)
		close(job.fd);
	free(job.name);
	return rc;
}
