/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "engines/postgres/capture.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/hash.h"
#include "base/sys.h"
#include "engines/postgres/identity.h"

#define THREADS 2

/* Smaller files are read through the page cache: many of them are there. */
#define DIRECT_MIN_BYTES (UINT64_C(1) << 20)

/* Room that is asked for at once when that of the list is used up. */
#define ROOM_STEP_BYTES (UINT64_C(64) << 20)

/* Where one container ends and another begins: below the 16 TiB that a file of
 * ext4 may have. */
#define CONTAINER_MAX_BYTES (UINT64_C(4) << 40)

/* For how long the size of a relation may be none of pages, 255 ms in all, and of
 * how many files we wait for that. */
#define SIZE_TRIES 8
#define SIZE_PAUSE_NS (1000 * 1000)
#define ODD_MAX 16

#define PROGRESS_NS (100 * 1000 * 1000)

/* A worker's container for one disk, or for copies (NULL). */
struct slot {
	const struct still_pg_disk *disk;
	struct still_pg_container *container; /* borrowed */
};

struct worker {
	struct still_pg_capture *capture;
	void *buffer; /* owned */
	struct slot *slots;
	size_t n_slots;
};

/* One call of run. */
struct run {
	const struct still_pg_list *list;
	bool all;
	/* One for each entry; `entry` is NULL where nothing was captured. Each
	 * belongs to the thread that took its index. */
	struct still_pg_captured *files;
	atomic_size_t next;
	uint64_t done_bytes; /* under the lock */
};

struct still_pg_capture {
	struct still_pg_capture_request request;
	struct still_pg_disks disks;
	uint64_t boot; /* a digest of its name; 0: not known */
	struct worker workers[STILL_PG_THREADS_MAX];
	struct run run;
	atomic_bool stop;  /* one failed */
	atomic_uint n_odd; /* relations that end within a page */

	pthread_mutex_t lock;                   /* of what follows */
	struct still_pg_container **containers; /* owned */
	size_t n_containers;
	uint64_t taken_bytes; /* of the spool's room */
	uint64_t left_bytes;  /* of these */
	int64_t told_ns;      /* when progress was told */
	int rc;               /* the first failure */
	struct still_error err;
};

/* ---- room ---------------------------------------------------------------- */

static int take(
    struct still_pg_capture *capture, uint64_t bytes, struct still_error *err)
{
	const struct still_spool *spool = &capture->request.spool;
	const char *what =
	    capture->request.walk->roots[STILL_PG_ROOT_DATA].path;
	int rc = spool->take(spool->arg, what, bytes, err);

	if (rc == 0) {
		capture->taken_bytes += bytes;
		capture->left_bytes += bytes;
	}
	return rc;
}

/* `bytes` are about to be written. */
static int use_room(
    struct still_pg_capture *capture, uint64_t bytes, struct still_error *err)
{
	int rc = 0;

	pthread_mutex_lock(&capture->lock);
	if (capture->left_bytes < bytes) {
		uint64_t need = bytes - capture->left_bytes;

		if (need >= ROOM_STEP_BYTES ||
		    take(capture, ROOM_STEP_BYTES, NULL) < 0)
			rc = take(capture, need, err);
	}
	if (rc == 0)
		capture->left_bytes -= bytes;
	pthread_mutex_unlock(&capture->lock);
	return rc;
}

static void return_room(struct still_pg_capture *capture, uint64_t bytes)
{
	pthread_mutex_lock(&capture->lock);
	capture->left_bytes += bytes;
	pthread_mutex_unlock(&capture->lock);
}

static void give_left(struct still_pg_capture *capture)
{
	const struct still_spool *spool = &capture->request.spool;

	if (capture->left_bytes)
		spool->give(spool->arg, capture->left_bytes);
	capture->taken_bytes -= capture->left_bytes;
	capture->left_bytes = 0;
}

/* ---- one file ------------------------------------------------------------ */

static bool stopped(const struct still_pg_capture *capture)
{
	return atomic_load(&capture->stop) ||
	    (capture->request.cancel && atomic_load(capture->request.cancel));
}

static void tell(struct still_pg_capture *capture, uint64_t more)
{
	const struct still_pg_capture_request *request = &capture->request;
	struct run *run = &capture->run;
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
	struct worker *worker = arg;

	tell(worker->capture, bytes);
	return !stopped(worker->capture);
}

static bool whole(void *arg, const struct still_pg_relation *relation,
    uint32_t block, const void *page)
{
	const struct still_pg_capture_request *request =
	    &((struct worker *) arg)->capture->request;

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

static struct slot *slot_of(
    struct worker *worker, const struct still_pg_disk *disk)
{
	struct slot *grown;

	for (size_t i = 0; i < worker->n_slots; i++)
		if (worker->slots[i].disk == disk)
			return &worker->slots[i];
	grown = realloc(
	    worker->slots, (worker->n_slots + 1) * sizeof(*worker->slots));
	if (!grown)
		return NULL;
	worker->slots = grown;
	grown += worker->n_slots++;
	*grown = (struct slot){.disk = disk};
	return grown;
}

static int container_for(struct worker *worker,
    const struct still_pg_disk *disk, uint64_t size_bytes,
    struct still_pg_container **ret, struct still_error *err)
{
	struct still_pg_capture *capture = worker->capture;
	struct slot *slot = slot_of(worker, disk);
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
    struct worker *worker, const struct still_pg_entry *entry)
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
	struct worker *worker;
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
		rc = use_room(capture, room, err);
	if (rc < 0)
		return rc;
	rc = still_pg_container_copy(
	    container, job->fd, job->size_bytes, &capturing, job->extent);
	if (rc == 0)
		return 0;
	return_room(capture, room);
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
 * it is that of the pages a moment later. Where it stays so, because a disk was
 * full once, it is captured as it is. */
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

static int capture_file(struct worker *worker,
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

/* ---- the threads --------------------------------------------------------- */

static void fail(
    struct still_pg_capture *capture, int rc, const struct still_error *err)
{
	pthread_mutex_lock(&capture->lock);
	if (capture->rc == 0) {
		capture->rc = rc;
		still_error_copy(&capture->err, err);
	}
	pthread_mutex_unlock(&capture->lock);
	atomic_store(&capture->stop, true);
}

static void *work(void *arg)
{
	struct worker *worker = arg;
	struct still_pg_capture *capture = worker->capture;
	struct run *run = &capture->run;

	while (!stopped(capture)) {
		struct still_error err = STILL_ERROR_INIT;
		size_t i = atomic_fetch_add(&run->next, 1);
		int rc;

		if (i >= run->list->n)
			break;
		if (!S_ISREG(run->list->entries[i].st.st_mode))
			continue;
		rc = capture_file(
		    worker, &run->list->entries[i], &run->files[i], &err);
		if (rc < 0)
			fail(capture, rc, &err);
		still_error_clear(&err);
	}
	return NULL;
}

static void run_threads(struct still_pg_capture *capture)
{
	pthread_t threads[STILL_PG_THREADS_MAX];
	unsigned n = 1;

	while (n < capture->request.n_threads && n < capture->run.list->n &&
	    still_sys_thread_start(&threads[n], work, &capture->workers[n]) ==
		0)
		n++;
	work(&capture->workers[0]);
	while (n > 1)
		pthread_join(threads[--n], NULL);
}

/* ---- before the first file ----------------------------------------------- */

struct device {
	dev_t dev;
	bool known;
	bool clones;
	uint64_t bytes; /* of copies, each as much as its blocks */
};

static struct device *device_of(struct device **devices, size_t *n, dev_t dev)
{
	struct device *grown;

	for (size_t i = 0; i < *n; i++)
		if ((*devices)[i].dev == dev)
			return &(*devices)[i];
	grown = realloc(*devices, (*n + 1) * sizeof(*grown));
	if (!grown)
		return NULL;
	*devices = grown;
	grown += (*n)++;
	*grown = (struct device){.dev = dev};
	return grown;
}

/* Are files of the device of this one cloned? It may have vanished, and another
 * is asked then. */
static int ask(struct still_pg_capture *capture,
    const struct still_pg_entry *entry, struct device *device,
    struct still_error *err)
{
	const struct still_pg_walk *walk = capture->request.walk;
	const struct still_pg_disk *disk = NULL;
	struct stat st;
	char *name;
	int fd = still_pg_entry_open(walk, entry, 0, &st);
	int rc = 0;

	/* Whatever is wrong with it will be told when it is captured. */
	if (fd < 0)
		return 0;
	name = still_pg_entry_name(walk, entry);
	if (!name)
		rc = still_error_nomem(err);
	else if (st.st_size > 0 && st.st_dev == device->dev)
		rc = still_pg_disks_find(
		    &capture->disks, fd, &st, name, &disk, err);
	if (disk) {
		device->known = true;
		device->clones = disk->clones;
	}
	close(fd);
	free(name);
	return rc;
}

/* The room for what will be copied. */
static int ask_for_room(struct still_pg_capture *capture,
    const struct still_pg_list *list, struct still_error *err)
{
	struct device *devices = NULL;
	size_t n_devices = 0;
	uint64_t bytes = 0;
	int rc = 0;

	for (size_t i = 0; rc == 0 && i < list->n && !stopped(capture); i++) {
		const struct still_pg_entry *entry = &list->entries[i];
		uint64_t size = (uint64_t) entry->st.st_size;
		struct device *device;

		if (!S_ISREG(entry->st.st_mode) || size == 0)
			continue;
		device = device_of(&devices, &n_devices, entry->st.st_dev);
		if (!device)
			rc = still_error_nomem(err);
		else if (!device->known)
			rc = ask(capture, entry, device, err);
		if (rc == 0)
			device->bytes +=
			    (size + STILL_PG_COPY_ALIGN_BYTES - 1) /
			    STILL_PG_COPY_ALIGN_BYTES *
			    STILL_PG_COPY_ALIGN_BYTES;
	}
	for (size_t i = 0; i < n_devices; i++)
		if (!devices[i].clones)
			bytes += devices[i].bytes;
	free(devices);
	if (rc == 0 && bytes > capture->left_bytes)
		rc = take(capture, bytes - capture->left_bytes, err);
	return rc;
}

/* ---- runs ---------------------------------------------------------------- */

static int result(struct still_pg_capture *capture, struct still_error *err)
{
	if (capture->request.cancel && atomic_load(capture->request.cancel))
		return still_error_set(
		    err, STILL_ERR_CANCELLED, 0, NULL, "capture: stopped");
	if (capture->rc < 0 && err)
		still_error_copy(err, &capture->err);
	return capture->rc;
}

/* The files that were captured, without gaps. */
static void collect(struct run *run, struct still_pg_captures *ret)
{
	size_t n = 0;

	*ret = (struct still_pg_captures){.files = run->files};
	for (size_t i = 0; i < run->list->n; i++)
		if (run->files[i].entry) {
			ret->bytes += run->files[i].extent.size_bytes;
			run->files[n++] = run->files[i];
		}
	ret->n = n;
}

int still_pg_capture_run(struct still_pg_capture *capture,
    const struct still_pg_list *list, bool all, struct still_pg_captures *ret,
    struct still_error *err)
{
	struct run *run = &capture->run;
	struct still_pg_captures captures;
	int rc;

	*run = (struct run){.list = list, .all = all};
	run->files = calloc(list->n ? list->n : 1, sizeof(*run->files));
	if (!run->files)
		return still_error_nomem(err);
	atomic_store(&capture->stop, false);
	still_error_clear(&capture->err);
	capture->rc = 0;
	rc = ask_for_room(capture, list, err);
	if (rc == 0) {
		run_threads(capture);
		rc = result(capture, err);
	}
	give_left(capture);
	collect(run, &captures);
	if (rc < 0) {
		still_pg_captures_release(&captures);
		return rc;
	}
	if (capture->request.progress)
		capture->request.progress(
		    capture->request.arg, list->bytes, list->bytes);
	*ret = captures;
	return 0;
}

void still_pg_captures_release(struct still_pg_captures *captures)
{
	for (size_t i = 0; i < captures->n; i++)
		free(captures->files[i].identity);
	free(captures->files);
	*captures = (struct still_pg_captures){0};
}

const char *still_pg_capture_way(
    struct still_pg_capture *capture, const char **ret_reason)
{
	bool clones;
	bool copies;

	still_pg_disks_tell(&capture->disks, &clones, &copies, ret_reason);
	if (capture->taken_bytes)
		copies = true;
	return clones && copies ? "clone+copy" : clones ? "clone" : "copy";
}

uint64_t still_pg_capture_copied_bytes(const struct still_pg_capture *capture)
{
	return capture->taken_bytes;
}

/* ---- its life ------------------------------------------------------------ */

static uint64_t read_boot(void)
{
	char name[64];
	int fd = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);
	ssize_t n;

	if (fd < 0)
		return 0;
	n = read(fd, name, sizeof(name));
	close(fd);
	return n > 0 ? still_hash64(name, (size_t) n) : 0;
}

int still_pg_capture_new(const struct still_pg_capture_request *request,
    struct still_pg_capture **ret, struct still_error *err)
{
	struct still_pg_capture *capture = calloc(1, sizeof(*capture));
	unsigned n = request->n_threads ? request->n_threads : THREADS;

	if (!capture)
		return still_error_nomem(err);
	if (n > STILL_PG_THREADS_MAX)
		n = STILL_PG_THREADS_MAX;
	capture->request = *request;
	capture->request.n_threads = n;
	capture->boot = read_boot();
	pthread_mutex_init(&capture->lock, NULL);
	still_pg_disks_init(
	    &capture->disks, request->walk, request->way, &request->spool);
	for (unsigned i = 0; i < n; i++) {
		struct worker *worker = &capture->workers[i];

		worker->capture = capture;
		if (posix_memalign(&worker->buffer, STILL_PG_COPY_ALIGN_BYTES,
			STILL_PG_COPY_PIECE_BYTES) != 0) {
			worker->buffer = NULL;
			still_pg_capture_free(capture);
			return still_error_nomem(err);
		}
	}
	*ret = capture;
	return 0;
}

void still_pg_capture_free(struct still_pg_capture *capture)
{
	const struct still_spool *spool;

	if (!capture)
		return;
	spool = &capture->request.spool;
	for (size_t i = 0; i < capture->n_containers; i++)
		still_pg_container_free(capture->containers[i]);
	free(capture->containers);
	if (capture->taken_bytes)
		spool->give(spool->arg, capture->taken_bytes);
	for (unsigned i = 0; i < STILL_PG_THREADS_MAX; i++) {
		free(capture->workers[i].buffer);
		free(capture->workers[i].slots);
	}
	still_pg_disks_release(&capture->disks);
	still_error_clear(&capture->err);
	pthread_mutex_destroy(&capture->lock);
	free(capture);
}
