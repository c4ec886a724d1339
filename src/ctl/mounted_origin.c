/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "ctl/mounted_origin.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <jansson.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/path.h"
#include "base/sys.h"
#include "ctl/channel.h"
#include "ctl/job.h"
#include "ctl/mounted.h"
#include "ctl/record.h"

#define COMMIT_POLL_NS (STILL_NS_PER_S / 100)
#define COMMIT_PATIENCE_NS (5 * STILL_NS_PER_S)
#define SEAL_PATH "verify/XXH128SUMS"

struct ctl_mounted_origin {
	const char *mountpoint;            /* borrowed */
	const struct ctl_options *options; /* borrowed */
	struct ctl_channel channel;
	atomic_uint_fast64_t captured_bytes; /* as last told, by begin */
	atomic_uint_fast64_t capture_bytes;
	int dirfd;    /* of the session's directory; -1: not open */
	char dir[32]; /* its path in the mount: "backup" */
	char session[STILL_SESSION_ID_BYTES];
	char state_dir[4096];        /* as the daemon told it at begin */
	struct still_entry *entries; /* owned, with their paths */
	uint32_t n;
	uint32_t capacity;
};

/* ---- jobs of the daemon -------------------------------------------------- */

/* Until it is done. A raised `cancel` (or NULL) has it given up, once. */
static int follow(struct ctl_mounted_origin *mounted, const atomic_bool *cancel,
    struct still_control *io, struct still_error *err)
{
	uint64_t job = io->job;
	bool told = false;

	for (unsigned n = 0;; n++) {
		struct still_control abort = {0};
		int rc;

		if (cancel && atomic_load(cancel) && !told) {
			told = true;
			ctl_channel_ask(&mounted->channel, STILL_CONTROL_ABORT,
			    &abort, NULL);
		}
		rc = ctl_job_poll(&mounted->channel, job, io, err);
		atomic_store(&mounted->captured_bytes, io->captured_bytes);
		atomic_store(&mounted->capture_bytes, io->capture_bytes);
		if (rc == 0 && told)
			rc = still_error_set(err, STILL_ERR_CANCELLED, 0, NULL,
			    "session `%s`: was given up", io->session);
		if (rc <= 0)
			return rc;
		ctl_job_rest(n);
	}
}

static int run_job(struct ctl_mounted_origin *mounted, unsigned long request,
    uint32_t flags, const atomic_bool *cancel, struct still_control *io,
    struct still_error *err)
{
	int rc;

	*io = (struct still_control){.flags = flags};
	memcpy(io->session, mounted->session, sizeof(io->session));
	rc = ctl_channel_ask(&mounted->channel, request, io, err);
	return rc < 0 ? rc : follow(mounted, cancel, io, err);
}

/* ---- the entries --------------------------------------------------------- */

static int fail(const struct ctl_mounted_origin *mounted, const char *path,
    int sys_errno, struct still_error *err)
{
	return still_error_sys(err, sys_errno, NULL, "`%s/%s%s%s`",
	    mounted->mountpoint, mounted->dir, *path ? "/" : "", path);
}

/* Takes `path`, and `target`, which may be NULL. */
static int add(struct ctl_mounted_origin *mounted, char *path, char *target,
    uint32_t parent, const struct stat *st, struct still_error *err)
{
	struct still_entry *entry;

	if (path && mounted->n == mounted->capacity) {
		uint32_t capacity = mounted->capacity * 2 + 64;
		struct still_entry *entries = realloc(
		    mounted->entries, capacity * sizeof(*entries));

		if (entries) {
			mounted->entries = entries;
			mounted->capacity = capacity;
		}
	}
	if (!path || mounted->n == mounted->capacity) {
		free(path);
		free(target);
		return still_error_nomem(err);
	}
	entry = &mounted->entries[mounted->n++];
	*entry = (struct still_entry){
	    .kind = S_ISDIR(st->st_mode) ? STILL_DIR
		: S_ISLNK(st->st_mode)   ? STILL_LINK
					 : STILL_FILE,
	    .path = path,
	    .target = target,
	    .name = still_path_base(path),
	    .parent = parent,
	    .mode = st->st_mode & 07777,
	    .uid = st->st_uid,
	    .gid = st->st_gid,
	    .size_bytes = S_ISREG(st->st_mode) ? (uint64_t) st->st_size : 0,
	    .time_s = st->st_mtim.tv_sec,
	    .ino = st->st_ino,
	    .closing = S_ISREG(st->st_mode) && (st->st_ino & STILL_INO_CLOSING),
	    .seal = strcmp(path, SEAL_PATH) == 0,
	};
	return 0;
}

static int read_link(const struct ctl_mounted_origin *mounted, int fd,
    const char *name, const char *path, char **ret, struct still_error *err)
{
	char target[PATH_MAX];
	ssize_t n = readlinkat(fd, name, target, sizeof(target) - 1);

	if (n < 0)
		return fail(mounted, path, errno, err);
	*ret = strndup(target, (size_t) n);
	return *ret ? 0 : still_error_nomem(err);
}

static int add_child(struct ctl_mounted_origin *mounted, uint32_t parent,
    int fd, const char *name, struct still_error *err)
{
	char *path = still_path_join(mounted->entries[parent].path, name);
	char *target = NULL;
	struct stat st;
	int rc = 0;

	if (!path)
		return still_error_nomem(err);
	if (fstatat(fd, name, &st, AT_SYMLINK_NOFOLLOW) != 0)
		rc = fail(mounted, path, errno, err);
	else if (S_ISLNK(st.st_mode))
		rc = read_link(mounted, fd, name, path, &target, err);
	else if (!S_ISDIR(st.st_mode) && !S_ISREG(st.st_mode))
		rc = still_error_set(err, STILL_ERR_INVALID, 0, NULL,
		    "`%s/%s/%s`: neither a file nor a directory",
		    mounted->mountpoint, mounted->dir, path);
	if (rc == 0)
		return add(mounted, path, target, parent, &st, err);
	free(path);
	return rc;
}

static bool is_dots(const char *name)
{
	return strcmp(name, ".") == 0 || strcmp(name, "..") == 0;
}

/* The topmost one is not opened a second time: if its session is over meanwhile,
 * that would begin another. */
static int open_dir(const struct ctl_mounted_origin *mounted, uint32_t index)
{
	int fd = index == 0
	    ? fcntl(mounted->dirfd, F_DUPFD_CLOEXEC, 0)
	    : still_sys_open_beneath(mounted->dirfd,
		  mounted->entries[index].path, O_RDONLY | O_DIRECTORY);

	return index == 0 && fd < 0 ? -errno : fd;
}

static int add_children(
    struct ctl_mounted_origin *mounted, uint32_t index, struct still_error *err)
{
	int fd = open_dir(mounted, index);
	DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;
	struct dirent *entry;
	int rc = 0;

	if (!dir) {
		rc = fail(mounted, mounted->entries[index].path,
		    fd < 0 ? -fd : errno, err);
		if (fd >= 0)
			close(fd);
		return rc;
	}
	mounted->entries[index].first_child = mounted->n;
	while (rc == 0 && (errno = 0, entry = readdir(dir)))
		if (!is_dots(entry->d_name))
			rc = add_child(
			    mounted, index, dirfd(dir), entry->d_name, err);
	if (rc == 0 && errno)
		rc = fail(mounted, mounted->entries[index].path, errno, err);
	mounted->entries[index].n_children = mounted->n -
	    mounted->entries[index].first_child;
	closedir(dir);
	return rc;
}

/* Breadth first: so the children of a directory stand together. */
static int walk(struct ctl_mounted_origin *mounted, const atomic_bool *cancel,
    struct still_error *err)
{
	struct stat st;
	int rc;

	mounted->dirfd = openat(mounted->channel.fd, mounted->dir,
	    O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (mounted->dirfd < 0 || fstat(mounted->dirfd, &st) != 0)
		return fail(mounted, "", errno, err);
	rc = add(mounted, strdup(""), NULL, 0, &st, err);
	for (uint32_t i = 0; rc == 0 && i < mounted->n; i++) {
		if (mounted->entries[i].kind == STILL_DIR)
			rc = add_children(mounted, i, err);
		if (rc == 0 && atomic_load(cancel))
			rc = still_error_set(err, STILL_ERR_CANCELLED, 0, NULL,
			    "session `%s`: was given up", mounted->session);
	}
	return rc;
}

/* ---- why a read failed --------------------------------------------------- */

static int code_of_word(const char *word)
{
	for (int code = STILL_ERR_FAILED; code >= STILL_ERR_BASE; code--)
		if (strcmp(still_error_word(code), word) == 0)
			return code;
	return STILL_ERR_IO;
}

/* True when the session has an error that says more than EIO does. */
static bool take_status(const struct ctl_mounted_origin *mounted,
    const json_t *status, struct still_error *err)
{
	const json_t *session = json_object_get(status, "session");
	const json_t *error = json_object_get(session, "error");
	const char *id = json_string_value(json_object_get(session, "id"));
	const char *text = json_string_value(json_object_get(error, "message"));
	const char *word = json_string_value(json_object_get(error, "code"));

	if (!id || strcmp(id, mounted->session) != 0 || !text || !word)
		return false;
	still_error_set(err, code_of_word(word), EIO,
	    json_string_value(json_object_get(error, "hint")), "%s", text);
	return true;
}

static bool take_error(
    const struct ctl_mounted_origin *mounted, struct still_error *ret)
{
	struct still_buf buf = STILL_BUF_INIT;
	json_t *status = NULL;
	bool told;

	if (ctl_mounted_read(mounted->mountpoint, "status.json", &buf, NULL) ==
		0 &&
	    !buf.failed)
		status = json_loadb(buf.data, buf.len, 0, NULL);
	told = status && take_status(mounted, status, ret);
	json_decref(status);
	still_buf_release(&buf);
	return told;
}

/* One that was served whole can be committed after its end. */
static int mounted_check(void *arg, struct still_error *err)
{
	struct ctl_mounted_origin *mounted = arg;
	struct still_control io = {0};
	int rc = ctl_channel_ask(
	    &mounted->channel, STILL_CONTROL_QUERY, &io, err);

	if (rc < 0)
		return rc;
	if (strcmp(io.session, mounted->session) == 0 &&
	    (io.state != STILL_ENDED || io.outcome == STILL_COPIED))
		return 0;
	return still_error_set(err, STILL_ERR_LOST, 0,
	    "`stillctl list` tells how it ended.",
	    "session `%s`: has ended%s%s", mounted->session,
	    *io.outcome_text ? ": " : "", io.outcome_text);
}

/* EIO may be damage, or that the session is over. */
static int read_failed(struct ctl_mounted_origin *mounted, const char *path,
    int sys_errno, struct still_error *err)
{
	struct still_error own = STILL_ERROR_INIT;
	int rc;

	if (!take_error(mounted, &own) && mounted_check(mounted, &own) == 0)
		fail(mounted, path, sys_errno, &own);
	rc = own.code;
	if (err)
		still_error_copy(err, &own);
	still_error_clear(&own);
	return rc;
}

/* ---- the origin ---------------------------------------------------------- */

static void mounted_abort(void *arg)
{
	struct ctl_mounted_origin *mounted = arg;
	struct still_control io;

	run_job(mounted, STILL_CONTROL_ABORT, 0, NULL, &io, NULL);
}

static int mounted_begin(
    void *arg, const atomic_bool *cancel, struct still_error *err)
{
	struct ctl_mounted_origin *mounted = arg;
	struct still_control io;
	const struct ctl_options *o = mounted->options;
	int rc = run_job(mounted, STILL_CONTROL_BEGIN,
	    o->incremental ? STILL_CONTROL_INCREMENTAL
		: o->copy  ? STILL_CONTROL_COPY
			   : 0,
	    cancel, &io, err);

	if (rc < 0)
		return rc;
	if (o->incremental)
		snprintf(mounted->dir, sizeof(mounted->dir),
		    "incremental/%06" PRIu64, io.number);
	memcpy(mounted->session, io.session, sizeof(mounted->session));
	memcpy(mounted->state_dir, io.state_dir, sizeof(mounted->state_dir));
	rc = walk(mounted, cancel, err);
	if (rc < 0)
		mounted_abort(mounted);
	return rc;
}

static void mounted_captured(
    void *arg, uint64_t *ret_done_bytes, uint64_t *ret_bytes)
{
	struct ctl_mounted_origin *mounted = arg;

	*ret_done_bytes = atomic_load(&mounted->captured_bytes);
	*ret_bytes = atomic_load(&mounted->capture_bytes);
}

static const char *mounted_session(void *arg)
{
	struct ctl_mounted_origin *mounted = arg;

	return mounted->session;
}

static const struct still_entry *mounted_entries(void *arg, uint32_t *ret_n)
{
	struct ctl_mounted_origin *mounted = arg;

	*ret_n = mounted->n;
	return mounted->entries;
}

static ssize_t mounted_read(void *arg, uint32_t index, uint64_t off_bytes,
    void *data, size_t len, struct still_error *err)
{
	struct ctl_mounted_origin *mounted = arg;
	const char *path = mounted->entries[index].path;
	int fd = still_sys_open_beneath(mounted->dirfd, path, O_RDONLY);
	ssize_t n;

	if (fd < 0)
		return read_failed(mounted, path, -fd, err);
	n = still_sys_pread(fd, data, len, off_bytes);
	close(fd);
	return n < 0 ? read_failed(mounted, path, (int) -n, err) : n;
}

/* What a mount keeps for incremental sessions goes when it is not needed any
 * more; one that keeps nothing has no such directory. */
static bool truncates(const struct ctl_mounted_origin *mounted)
{
	struct stat st;

	return !mounted->options->no_truncate && !mounted->options->copy &&
	    fstatat(mounted->channel.fd, "incremental", &st,
		AT_SYMLINK_NOFOLLOW) == 0;
}

/* The daemon does one thing at a time. What somebody else has asked for, such
 * as a session of his own, which he cannot have now, is soon done; and a whole
 * copy is not given up for it. */
static int ask_commit(struct ctl_mounted_origin *mounted,
    struct still_control *io, struct still_error *err)
{
	int64_t until_ns = still_sys_monotonic_ns() + COMMIT_PATIENCE_NS;

	for (;;) {
		int rc = run_job(mounted, STILL_CONTROL_COMMIT,
		    truncates(mounted) ? STILL_CONTROL_TRUNCATE : 0, NULL, io,
		    err);

		if (rc != STILL_ERR_BUSY ||
		    still_sys_monotonic_ns() >= until_ns)
			return rc;
		still_error_clear(err);
		still_sys_sleep_ns(COMMIT_POLL_NS);
	}
}

static int mounted_commit(void *arg, struct still_error *err)
{
	struct ctl_mounted_origin *mounted = arg;
	struct still_control io;
	int rc = ask_commit(mounted, &io, err);

	if (rc == 0)
		return 0;
	/* Its daemon has gone meanwhile? What it has written down is true. */
	if (rc == STILL_ERR_LOST) {
		memcpy(io.session, mounted->session, sizeof(io.session));
		memcpy(io.state_dir, mounted->state_dir, sizeof(io.state_dir));
		io.outcome = STILL_NO_OUTCOME;
		ctl_record_settle(mounted->options, &io);
		if (io.outcome == STILL_COMMITTED) {
			still_error_clear(err);
			return 0;
		}
	}
	mounted_abort(mounted);
	return rc;
}

/* ---- the whole of it ----------------------------------------------------- */

int ctl_mounted_origin_new(const char *mountpoint,
    const struct ctl_options *options, struct ctl_mounted_origin **ret,
    struct still_origin *ret_origin, struct still_error *err)
{
	struct ctl_mounted_origin *mounted = calloc(1, sizeof(*mounted));
	int rc;

	if (!mounted)
		return still_error_nomem(err);
	mounted->mountpoint = mountpoint;
	mounted->options = options;
	mounted->dirfd = -1;
	strcpy(mounted->dir, "backup");
	rc = ctl_channel_open(mountpoint, &mounted->channel, err);
	if (rc < 0) {
		free(mounted);
		return rc;
	}
	*ret_origin = (struct still_origin){
	    .begin = mounted_begin,
	    .captured = mounted_captured,
	    .session = mounted_session,
	    .entries = mounted_entries,
	    .read = mounted_read,
	    .check = mounted_check,
	    .commit = mounted_commit,
	    .abort = mounted_abort,
	    .arg = mounted,
	};
	*ret = mounted;
	return 0;
}

void ctl_mounted_origin_free(struct ctl_mounted_origin *mounted)
{
	if (!mounted)
		return;
	for (uint32_t i = 0; i < mounted->n; i++) {
		free((void *) mounted->entries[i].path);
		free((void *) mounted->entries[i].target);
	}
	free(mounted->entries);
	if (mounted->dirfd >= 0)
		close(mounted->dirfd);
	ctl_channel_close(&mounted->channel);
	free(mounted);
}
