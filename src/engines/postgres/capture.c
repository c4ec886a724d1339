/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "engines/postgres/capture.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/hash.h"
#include "base/sys.h"
#include "engines/postgres/capture_parts.h"

#define THREADS 2

bool still_pg_capture_stopped(const struct still_pg_capture *capture)
{
	return atomic_load(&capture->stop) ||
	    (capture->request.cancel && atomic_load(capture->request.cancel));
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
	struct still_pg_worker *worker = arg;
	struct still_pg_capture *capture = worker->capture;
	struct still_pg_run *run = &capture->run;

	while (!still_pg_capture_stopped(capture)) {
		struct still_error err = STILL_ERROR_INIT;
		size_t i = atomic_fetch_add(&run->next, 1);
		int rc;

		if (i >= run->list->n)
			break;
		if (!S_ISREG(run->list->entries[i].st.st_mode))
			continue;
		rc = still_pg_capture_file(
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
static void collect(struct still_pg_run *run, struct still_pg_captures *ret)
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
	struct still_pg_run *run = &capture->run;
	struct still_pg_captures captures;
	uint64_t bytes = 0;
	int rc;

	*run = (struct still_pg_run){.list = list, .all = all};
	run->files = calloc(list->n ? list->n : 1, sizeof(*run->files));
	if (!run->files)
		return still_error_nomem(err);
	atomic_store(&capture->stop, false);
	still_error_clear(&capture->err);
	capture->rc = 0;
	rc = still_pg_room_count(capture, list, &bytes, err);
	if (rc == 0)
		rc = still_pg_room_ask(capture, bytes, err);
	if (rc == 0) {
		run_threads(capture);
		rc = result(capture, err);
	}
	still_pg_room_give(capture);
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

int still_pg_capture_foresee(struct still_pg_capture *capture,
    const struct still_pg_list *list, const struct still_pg_list *wal,
    struct still_error *err)
{
	uint64_t bytes = 0;
	int rc = still_pg_room_count(capture, list, &bytes, err);

	if (rc == 0)
		rc = still_pg_room_count(capture, wal, &bytes, err);
	if (rc == 0)
		rc = still_pg_room_ask(capture, bytes, err);
	still_pg_room_give(capture);
	return rc == 0 ? result(capture, err) : rc;
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
		struct still_pg_worker *worker = &capture->workers[i];

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
