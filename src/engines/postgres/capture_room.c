/* SPDX-License-Identifier: MIT */
#include "config.h"

#include <inttypes.h>
#include <stdlib.h>
#include <unistd.h>

#include "engines/postgres/capture_parts.h"

/* Room that is asked for at once when that of the list is used up. */
#define ROOM_STEP_BYTES (UINT64_C(64) << 20)

static int still_pg_room_take(
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
int still_pg_room_use(
    struct still_pg_capture *capture, uint64_t bytes, struct still_error *err)
{
	int rc = 0;

	pthread_mutex_lock(&capture->lock);
	if (capture->left_bytes < bytes) {
		uint64_t need = bytes - capture->left_bytes;

		if (need >= ROOM_STEP_BYTES ||
		    still_pg_room_take(capture, ROOM_STEP_BYTES, NULL) < 0)
			rc = still_pg_room_take(capture, need, err);
	}
	if (rc == 0)
		capture->left_bytes -= bytes;
	pthread_mutex_unlock(&capture->lock);
	return rc;
}

void still_pg_room_return(struct still_pg_capture *capture, uint64_t bytes)
{
	pthread_mutex_lock(&capture->lock);
	capture->left_bytes += bytes;
	pthread_mutex_unlock(&capture->lock);
}

void still_pg_room_give(struct still_pg_capture *capture)
{
	const struct still_spool *spool = &capture->request.spool;

	if (capture->left_bytes)
		spool->give(spool->arg, capture->left_bytes);
	capture->taken_bytes -= capture->left_bytes;
	capture->left_bytes = 0;
}

/* ---- before the first file ----------------------------------------------- */

/* What a file system writes down of each step of a clone: XFS some 100 bytes in
 * three trees, btrfs some 300, in blocks that may be half empty. */
#define CLONE_NOTE_BYTES 1024

struct device {
	dev_t dev;
	const struct still_pg_disk *disk; /* NULL: not known */
	uint64_t bytes;      /* of copies, each as much as its blocks */
	uint64_t note_bytes; /* of clones */
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
	if (disk)
		device->disk = disk;
	close(fd);
	free(name);
	return rc;
}

static void add_file(struct device *device, uint64_t size)
{
	device->bytes += (size + STILL_PG_COPY_ALIGN_BYTES - 1) /
	    STILL_PG_COPY_ALIGN_BYTES * STILL_PG_COPY_ALIGN_BYTES;
	device->note_bytes += (size / STILL_PG_CLONE_STEP_BYTES + 1) *
	    CLONE_NOTE_BYTES;
}

/* What each file system of the list's files holds of them. */
static int add_files(struct still_pg_capture *capture,
    const struct still_pg_list *list, struct device **devices,
    size_t *n_devices, struct still_error *err)
{
	int rc = 0;

	for (size_t i = 0;
	     rc == 0 && i < list->n && !still_pg_capture_stopped(capture);
	     i++) {
		const struct still_pg_entry *entry = &list->entries[i];
		uint64_t size = (uint64_t) entry->st.st_size;
		struct device *device;

		if (!S_ISREG(entry->st.st_mode) || size == 0)
			continue;
		device = device_of(devices, n_devices, entry->st.st_dev);
		if (!device)
			return still_error_nomem(err);
		if (!device->disk)
			rc = ask(capture, entry, device, err);
		add_file(device, size);
	}
	return rc;
}

int still_pg_room_count(struct still_pg_capture *capture,
    const struct still_pg_list *list, uint64_t *bytes, struct still_error *err)
{
	struct device *devices = NULL;
	size_t n = 0;
	int rc = add_files(capture, list, &devices, &n, err);

	for (size_t i = 0; rc == 0 && i < n; i++)
		if (devices[i].disk && devices[i].disk->clones)
			rc = still_pg_disks_have(&capture->disks,
			    devices[i].disk, devices[i].note_bytes, err);
		else
			*bytes += devices[i].bytes;
	free(devices);
	return rc;
}

int still_pg_room_ask(
    struct still_pg_capture *capture, uint64_t bytes, struct still_error *err)
{
	if (bytes <= capture->left_bytes)
		return 0;
	return still_pg_room_take(capture, bytes - capture->left_bytes, err);
}

/* ---- while it is served -------------------------------------------------- */

int still_pg_capture_watch(
    const struct still_pg_capture *capture, struct still_error *err)
{
	for (size_t i = 0; i < capture->n_containers; i++) {
		uint64_t free_bytes;

		if (still_pg_container_is_short(
			capture->containers[i], &free_bytes))
			return still_error_set(err, STILL_ERR_LOST, 0,
			    "Make room there; or copy faster, at a time when "
			    "less is written, or with `freeze=copy`.",
			    "data directory `%s`: %" PRIu64
			    " bytes are left on the file system of the clones, "
			    "and they keep what the server overwrites",
			    capture->request.walk->roots[STILL_PG_ROOT_DATA]
				.path,
			    free_bytes);
	}
	return 0;
}
