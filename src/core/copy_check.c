/* SPDX-License-Identifier: MIT */
/* copy: the third step. What was written is read back and compared with the
 * list, which was written with it, and which is compared first with what the
 * origin gave. Then the topmost directory is opened to those it is for. */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/sys.h"
#include "core/copy_parts.h"
#include "core/crew.h"
#include "core/set_parts.h"

#define PIECE_BYTES ((size_t) 1024 * 1024)

struct check {
	struct still_copy *copy;
	char *text;              /* owned; the list */
	struct still_set list;   /* nothing but what it says */
	struct still_error flaw; /* the first of it */
};

static int wrong(const struct still_copy *copy, uint32_t index,
    const char *what, struct still_error *err)
{
	return still_error_set(err, STILL_ERR_CORRUPT, 0,
	    "The disk, its driver or the memory changed it. Check them; the "
	    "last set is as it was.",
	    "`%s/%s`: %s", copy->path, copy->entries[index].path, what);
}

/* ---- a file -------------------------------------------------------------- */

/* Another thread's failure is the one that is told. */
static int go_on(const struct still_copy *copy, struct still_error *err)
{
	if (!still_ticker_stopped(copy->ticker))
		return 0;
	return still_error_set(
	    err, STILL_ERR_CANCELLED, 0, NULL, "the check was stopped");
}

/* Its bytes go to `data`, where that is not NULL. */
static int sum_file(struct still_copy *copy, uint32_t index, char *data,
    struct still_hash128 *ret, struct still_error *err)
{
	uint64_t size = copy->entries[index].size_bytes;
	struct still_hash_state *state = still_hash_new();
	char *piece = malloc(PIECE_BYTES);
	int rc = state && piece ? 0 : still_error_nomem(err);
	int fd = -1;
	struct stat st;

	if (rc == 0)
		fd = still_copy_open(copy, index, O_RDONLY, err);
	if (rc == 0 && fd < 0)
		rc = fd;
	if (rc == 0 && fstat(fd, &st) != 0)
		rc = still_copy_error(copy, index, errno, err);
	if (rc == 0 && (uint64_t) st.st_size != size)
		rc = wrong(copy, index, "does not have its size", err);
	for (uint64_t off = 0; rc == 0 && off < size;) {
		ssize_t n = still_sys_pread(fd, piece, PIECE_BYTES, off);

		if (n <= 0) {
			rc = n < 0
			    ? still_copy_error(copy, index, (int) -n, err)
			    : wrong(copy, index, "ends before its size", err);
			break;
		}
		still_hash_update(state, piece, (size_t) n);
		if (data && off + (uint64_t) n <= size)
			memcpy(data + off, piece, (size_t) n);
		off += (uint64_t) n;
		still_ticker_count(copy->ticker, 0, (uint64_t) n);
		rc = still_copy_look(copy, err);
		if (rc == 0)
			rc = go_on(copy, err);
	}
	if (rc == 0)
		*ret = still_hash_digest(state);
	if (fd >= 0)
		close(fd);
	still_hash_free(state);
	free(piece);
	return rc;
}

/* ---- the list ------------------------------------------------------------ */

/* The first flaw is told. */
static void note_flaw(
    void *arg, const char *path, const struct still_error *what)
{
	struct check *check = arg;

	(void) path;
	if (!check->flaw.code)
		still_error_copy(&check->flaw, what);
}

/* Every file but the list itself has one line, and no other line is there. */
static int parse(
    struct check *check, uint32_t seal, size_t len, struct still_error *err)
{
	struct still_set_judge judge = {note_flaw, check, 0};
	int rc = still_set_parse_list(
	    &check->list, &judge, check->text, len, err);

	if (rc < 0)
		return rc;
	if (!check->list.listed)
		return wrong(
		    check->copy, seal, still_error_msg(&check->flaw), err);
	if (check->list.n_files != check->copy->files - 1)
		return wrong(check->copy, seal,
		    "is no list with a line for each file", err);
	return 0;
}

static int load_list(
    struct check *check, uint32_t seal, struct still_error *err)
{
	struct still_copy *copy = check->copy;
	size_t len = (size_t) copy->entries[seal].size_bytes;
	struct still_hash128 sum;
	int rc;

	check->text = malloc(len + 1);
	if (!check->text)
		return still_error_nomem(err);
	check->text[len] = '\0';
	still_ticker_file(copy->ticker, copy->entries[seal].path);
	rc = sum_file(copy, seal, check->text, &sum, err);
	if (rc == 0 && memcmp(&sum, &copy->seal_sum, sizeof(sum)) != 0)
		rc = wrong(copy, seal, "is not what was written", err);
	if (rc == 0)
		rc = parse(check, seal, len, err);
	if (rc == 0)
		still_ticker_count(copy->ticker, 1, 0);
	return rc;
}

/* ---- all of it ----------------------------------------------------------- */

static int compare(struct check *check, uint32_t index, struct still_error *err)
{
	struct still_copy *copy = check->copy;
	const struct still_set_file *line = still_set_find(
	    &check->list, copy->entries[index].path);
	struct still_hash128 sum;
	int rc;

	if (!line)
		return wrong(copy, index, "is not in the list of sums", err);
	rc = sum_file(copy, index, NULL, &sum, err);
	if (rc < 0)
		return rc;
	if (memcmp(&sum, &line->sum, sizeof(sum)) == 0)
		return 0;
	return wrong(
	    copy, index, "what was read back is not what was written", err);
}

static int check_link(
    struct still_copy *copy, uint32_t index, struct still_error *err)
{
	const struct still_entry *entry = &copy->entries[index];
	char target[PATH_MAX];
	ssize_t n = readlinkat(
	    copy->dirfd, entry->path, target, sizeof(target));

	if (n < 0 && errno != EINVAL)
		return still_copy_error(copy, index, errno, err);
	if (n >= 0 && (size_t) n == strlen(entry->target) &&
	    memcmp(target, entry->target, (size_t) n) == 0)
		return 0;
	return wrong(copy, index, "is not the link that was made", err);
}

static int check_file(void *arg, size_t i, struct still_error *err)
{
	struct check *check = arg;
	struct still_copy *copy = check->copy;
	int rc;

	if (copy->entries[i].kind == STILL_LINK)
		return check_link(copy, (uint32_t) i, err);
	if (copy->entries[i].kind != STILL_FILE || copy->entries[i].seal)
		return 0;
	still_ticker_file(copy->ticker, copy->entries[i].path);
	rc = compare(check, (uint32_t) i, err);
	if (rc == 0)
		still_ticker_count(copy->ticker, 1, 0);
	return rc;
}

int still_copy_check(struct still_copy *copy, struct still_error *err)
{
	struct check check = {.copy = copy, .list = {.dirfd = -1}};
	uint32_t seal = 0;
	int rc;

	while (!copy->entries[seal].seal)
		seal++;
	still_ticker_phase(
	    copy->ticker, STILL_PHASE_VERIFYING, copy->files, copy->bytes);
	rc = load_list(&check, seal, err);
	if (rc == 0)
		rc = still_crew_run(copy->ticker, copy->n_threads, copy->n,
		    check_file, &check, err);
	if (rc == 0)
		rc = still_copy_settle(copy, 0, err);
	still_set_release(&check.list);
	still_error_clear(&check.flaw);
	free(check.text);
	return rc;
}
