/* SPDX-License-Identifier: MIT */
/* copy: what is written; copy_sync.c and copy_check.c make sure of it. */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/path.h"
#include "base/sys.h"
#include "core/attributes.h"
#include "core/copy_parts.h"
#include "core/crew.h"

/* A digest waits for a gap of this size, and no larger one. */
#define FLIGHT_BYTES ((size_t) 4 * 1024 * 1024)
#define PIECE_MAX_BYTES ((size_t) 1024 * 1024)
#define PIECE_UNIT_BYTES ((size_t) 64 * 1024)
#define THREADS_MAX_OF_USE 8

/* ---- entries ------------------------------------------------------------- */

/* They become names below the directory. */
static bool is_sane(const struct still_copy *copy, uint32_t i)
{
	const struct still_entry *e = &copy->entries[i];

	if (i == 0)
		return e->kind == STILL_DIR && !*e->path;
	if (e->parent >= i || copy->entries[e->parent].kind != STILL_DIR)
		return false;
	if ((e->kind == STILL_LINK) != !!e->target ||
	    (e->target && !still_path_link_stays(e->path, e->target)))
		return false;
	return still_path_is_plain(e->path);
}

int still_copy_init(struct still_copy *copy, struct still_error *err)
{
	uint32_t n_seals = 0;

	copy->files = copy->bytes = 0;
	atomic_init(&copy->looked_ns, still_sys_monotonic_ns());
	for (uint32_t i = 0; i < copy->n; i++) {
		if (!is_sane(copy, i))
			return still_error_set(err, STILL_ERR_INVALID, 0, NULL,
			    "`%s`: cannot be an entry of a set",
			    copy->entries[i].path);
		if (copy->entries[i].kind != STILL_FILE)
			continue;
		copy->files++;
		copy->bytes += copy->entries[i].size_bytes;
		n_seals += copy->entries[i].seal;
	}
	if (n_seals == 1)
		return 0;
	return still_error_set(err, STILL_ERR_INVALID, 0, NULL,
	    "the snapshot: has %u lists of sums", n_seals);
}

/* ---- what all three steps need ------------------------------------------- */

int still_copy_error(const struct still_copy *copy, uint32_t index,
    int sys_errno, struct still_error *err)
{
	const char *hint = NULL;

	if (sys_errno == ENOSPC || sys_errno == EDQUOT)
		hint = "Make room there. The last set is as it was.";
	else if (sys_errno == EROFS)
		hint = "Mount it for writing, or choose another directory.";
	return still_error_sys(err, sys_errno, hint, "`%s%s%s`", copy->path,
	    *copy->entries[index].path ? "/" : "", copy->entries[index].path);
}

int still_copy_look(struct still_copy *copy, struct still_error *err)
{
	int_fast64_t last = atomic_load(&copy->looked_ns);
	int_fast64_t now = still_sys_monotonic_ns();

	if (now - last < STILL_NS_PER_S ||
	    !atomic_compare_exchange_strong(&copy->looked_ns, &last, now))
		return 0;
	return copy->origin->check(copy->origin->arg, err);
}

int still_copy_open(const struct still_copy *copy, uint32_t index, int flags,
    struct still_error *err)
{
	const struct still_entry *entry = &copy->entries[index];
	mode_t type = entry->kind == STILL_DIR ? S_IFDIR : S_IFREG;
	int fd = still_sys_create_beneath(copy->dirfd,
	    *entry->path ? entry->path : ".",
	    flags | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY,
	    flags & O_CREAT ? S_IRUSR | S_IWUSR : 0);
	struct stat st;
	int rc;

	if (fd < 0)
		return still_copy_error(copy, index, -fd, err);
	rc = still_sys_fstat(fd, &st);
	if (rc == 0 && (st.st_mode & S_IFMT) == type)
		return fd;
	close(fd);
	if (rc < 0)
		return still_copy_error(copy, index, -rc, err);
	return still_error_set(err, STILL_ERR_CORRUPT, 0,
	    "Let nobody write there while a backup is made.",
	    "`%s/%s`: is not what was written", copy->path, entry->path);
}

/* ---- the queue ----------------------------------------------------------- */

struct piece {
	uint32_t index;
	uint64_t off_bytes;
	size_t len;
};

struct queue {
	struct still_copy *copy;
	size_t piece_bytes;
	pthread_mutex_t lock; /* of what follows */
	uint32_t index;       /* of the file that is handed out */
	uint64_t off_bytes;   /* up to here it was */
	uint64_t *missing;    /* owned; per entry, bytes that are not written */
};

/* False: there is none left. An empty file is one empty piece. */
static bool take(struct queue *queue, struct piece *ret)
{
	const struct still_copy *copy = queue->copy;
	const struct still_entry *e;
	uint64_t left;

	pthread_mutex_lock(&queue->lock);
	while (queue->index < copy->n &&
	    (copy->entries[queue->index].kind != STILL_FILE ||
		copy->entries[queue->index].closing))
		queue->index++;
	if (queue->index == copy->n) {
		pthread_mutex_unlock(&queue->lock);
		return false;
	}
	e = &copy->entries[queue->index];
	left = e->size_bytes - queue->off_bytes;
	ret->index = queue->index;
	ret->off_bytes = queue->off_bytes;
	ret->len = left < queue->piece_bytes ? (size_t) left
					     : queue->piece_bytes;
	queue->off_bytes += ret->len;
	if (queue->off_bytes == e->size_bytes) {
		queue->index++;
		queue->off_bytes = 0;
	}
	pthread_mutex_unlock(&queue->lock);
	return true;
}

/* Is it the file's last one that was missing? */
static bool settle(struct queue *queue, const struct piece *piece)
{
	bool last;

	pthread_mutex_lock(&queue->lock);
	queue->missing[piece->index] -= piece->len;
	last = queue->missing[piece->index] == 0;
	pthread_mutex_unlock(&queue->lock);
	return last;
}

/* ---- a piece ------------------------------------------------------------- */

/* All of it, or an error: a file that ends early is none. */
static int read_piece(const struct still_copy *copy, const struct piece *piece,
    void *data, struct still_error *err)
{
	ssize_t n;

	if (piece->len == 0)
		return 0;
	n = copy->origin->read(copy->origin->arg, piece->index,
	    piece->off_bytes, data, piece->len, err);
	if (n < 0)
		return (int) n;
	if ((size_t) n == piece->len)
		return 0;
	return still_error_set(err, STILL_ERR_CORRUPT, 0, NULL,
	    "`%s`: ends before its size", copy->entries[piece->index].path);
}

/* The disk gets to work at once: otherwise all of it would wait for the sync. */
static int write_piece(const struct still_copy *copy, const struct piece *piece,
    const void *data, struct still_error *err)
{
	int fd = still_copy_open(copy, piece->index, O_WRONLY | O_CREAT, err);
	int rc;

	if (fd < 0)
		return fd;
	rc = still_sys_pwrite(fd, data, piece->len, piece->off_bytes);
	if (rc == 0 && piece->len == PIECE_MAX_BYTES)
		sync_file_range(fd, (off_t) piece->off_bytes,
		    (off_t) piece->len, SYNC_FILE_RANGE_WRITE);
	if (close(fd) != 0 && rc == 0)
		rc = -errno;
	return rc < 0 ? still_copy_error(copy, piece->index, -rc, err) : 0;
}

static int copy_piece(struct queue *queue, const struct piece *piece,
    void *data, struct still_error *err)
{
	struct still_copy *copy = queue->copy;
	int rc;

	if (piece->off_bytes == 0)
		still_ticker_file(
		    copy->ticker, copy->entries[piece->index].path);
	rc = read_piece(copy, piece, data, err);
	if (rc == 0)
		rc = write_piece(copy, piece, data, err);
	if (rc < 0)
		return rc;
	still_ticker_count(copy->ticker, settle(queue, piece), piece->len);
	return still_copy_look(copy, err);
}

/* The queue knows which is the next. */
static int copy_next(void *arg, size_t i, struct still_error *err)
{
	struct queue *queue = arg;
	struct piece piece;
	void *data;
	int rc;

	(void) i;
	if (!take(queue, &piece))
		return 0;
	data = malloc(piece.len ? piece.len : 1);
	if (!data)
		return still_error_nomem(err);
	rc = copy_piece(queue, &piece, data, err);
	free(data);
	return rc;
}

/* ---- all of it ----------------------------------------------------------- */

static int make_dirs(const struct still_copy *copy, struct still_error *err)
{
	for (uint32_t i = 1; i < copy->n; i++) {
		int rc;

		if (copy->entries[i].kind != STILL_DIR)
			continue;
		rc = still_sys_mkdir(
		    copy->dirfd, copy->entries[i].path, S_IRWXU);
		if (rc < 0)
			return still_copy_error(copy, i, -rc, err);
	}
	return 0;
}

/* They are followed by nobody here, and dressed when they are made: a link has
 * no mode, and its directory's sync is what makes it durable. */
static int make_links(const struct still_copy *copy, struct still_error *err)
{
	for (uint32_t i = 1; i < copy->n; i++) {
		int rc;

		if (copy->entries[i].kind != STILL_LINK)
			continue;
		rc = still_sys_symlink(copy->entries[i].target, copy->dirfd,
		    copy->entries[i].path);
		if (rc == 0)
			rc = still_attributes_set_link(
			    copy->dirfd, &copy->entries[i]);
		if (rc < 0)
			return still_copy_error(copy, i, -rc, err);
	}
	return 0;
}

/* More than processors: some wait for a disk while others compute. */
static unsigned threads_of(const struct still_copy *copy)
{
	long n = copy->n_threads ? (long) copy->n_threads
				 : sysconf(_SC_NPROCESSORS_ONLN) + 1;
	long max = copy->n_threads ? STILL_CREW_MAX : THREADS_MAX_OF_USE;

	return (unsigned) (n < 1 ? 1 : n > max ? max : n);
}

static size_t piece_bytes_of(unsigned n_threads)
{
	size_t bytes = n_threads > 1 ? FLIGHT_BYTES / (n_threads - 1)
				     : PIECE_MAX_BYTES;

	bytes -= bytes % PIECE_UNIT_BYTES;
	return bytes < PIECE_MAX_BYTES ? bytes : PIECE_MAX_BYTES;
}

/* What is missing of each file; returns the number of pieces of all. */
static size_t fill_queue(struct queue *queue)
{
	const struct still_copy *copy = queue->copy;
	size_t n = 0;

	for (uint32_t i = 0; i < copy->n; i++) {
		uint64_t size = copy->entries[i].size_bytes;

		if (copy->entries[i].kind != STILL_FILE ||
		    copy->entries[i].closing)
			continue;
		queue->missing[i] = size;
		n += size ? (size_t) ((size - 1) / queue->piece_bytes) + 1 : 1;
	}
	return n;
}

static int copy_files(struct still_copy *copy, struct still_error *err)
{
	unsigned n_threads = threads_of(copy);
	struct queue queue = {
	    .copy = copy,
	    .piece_bytes = piece_bytes_of(n_threads),
	    .missing = calloc(copy->n, sizeof(*queue.missing)),
	};
	int rc;

	if (!queue.missing)
		return still_error_nomem(err);
	pthread_mutex_init(&queue.lock, NULL);
	rc = still_crew_run(copy->ticker, n_threads, fill_queue(&queue),
	    copy_next, &queue, err);
	pthread_mutex_destroy(&queue.lock);
	free(queue.missing);
	return rc;
}

static uint32_t find_seal(const struct still_copy *copy)
{
	uint32_t i = 0;

	while (!copy->entries[i].seal)
		i++;
	return i;
}

/* When all else is written: they are made of all else. `state` may be NULL. */
static int copy_closing(struct still_copy *copy, uint32_t index, void *data,
    struct still_hash_state *state, struct still_error *err)
{
	struct piece piece = {.index = index};
	uint64_t size = copy->entries[index].size_bytes;

	still_ticker_file(copy->ticker, copy->entries[index].path);
	do {
		int rc = still_ticker_check(copy->ticker, err);

		piece.len = size - piece.off_bytes < PIECE_MAX_BYTES
		    ? (size_t) (size - piece.off_bytes)
		    : PIECE_MAX_BYTES;
		if (rc == 0)
			rc = read_piece(copy, &piece, data, err);
		if (rc == 0)
			rc = write_piece(copy, &piece, data, err);
		if (rc < 0)
			return rc;
		if (state)
			still_hash_update(state, data, piece.len);
		still_ticker_count(copy->ticker, 0, piece.len);
		piece.off_bytes += piece.len;
	} while (piece.off_bytes < size);
	still_ticker_count(copy->ticker, 1, 0);
	return 0;
}

/* The seal last. */
static int copy_closings(struct still_copy *copy, struct still_error *err)
{
	struct still_hash_state *state = still_hash_new();
	void *data = malloc(PIECE_MAX_BYTES);
	int rc = state && data ? 0 : still_error_nomem(err);

	for (uint32_t i = 0; rc == 0 && i < copy->n; i++)
		if (copy->entries[i].closing && !copy->entries[i].seal)
			rc = copy_closing(copy, i, data, NULL, err);
	if (rc == 0)
		rc = copy_closing(copy, find_seal(copy), data, state, err);
	if (rc == 0)
		copy->seal_sum = still_hash_digest(state);
	still_hash_free(state);
	free(data);
	return rc;
}

int still_copy_write(struct still_copy *copy, struct still_error *err)
{
	int rc;

	still_ticker_phase(
	    copy->ticker, STILL_PHASE_COPYING, copy->files, copy->bytes);
	rc = make_dirs(copy, err);
	if (rc == 0)
		rc = make_links(copy, err);
	if (rc == 0)
		rc = copy_files(copy, err);
	return rc < 0 ? rc : copy_closings(copy, err);
}
