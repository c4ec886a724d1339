/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "engines/postgres/check.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/sys.h"
#include "engines/postgres/check_parts.h"
#include "engines/postgres/layout.h"
#include "engines/postgres/link.h"

#define CLUSTER STILL_PG_CLUSTER

/* ---- files of the set ---------------------------------------------------- */

int still_pg_check_open(const struct still_pg_checking *checking,
    const char *path, int *ret_fd, struct stat *ret_st, struct still_error *err)
{
	const char *name = still_pg_known_as(path);
	int fd = still_sys_open_plain(checking->set_fd, path);
	int rc;

	if (fd == -ENOENT)
		return still_error_set(
		    err, STILL_ERR_CORRUPT, 0, NULL, "`%s`: is missing", name);
	if (fd == -ELOOP || fd == -ENOTDIR || fd == -ENXIO)
		return still_error_set(
		    err, STILL_ERR_CORRUPT, 0, NULL, "`%s`: is no file", name);
	if (fd < 0)
		return still_error_sys(err, -fd, NULL, "`%s`", name);
	rc = still_sys_fstat(fd, ret_st);
	if (rc < 0)
		rc = still_error_sys(err, -rc, NULL, "`%s`", name);
	else if (!S_ISREG(ret_st->st_mode))
		rc = still_error_set(
		    err, STILL_ERR_CORRUPT, 0, NULL, "`%s`: is no file", name);
	if (rc < 0) {
		close(fd);
		return rc;
	}
	*ret_fd = fd;
	return 0;
}

int still_pg_check_read(int fd, const char *path, void *data, size_t len,
    uint64_t off_bytes, struct still_error *err)
{
	ssize_t n = still_sys_pread(fd, data, len, off_bytes);

	if (n < 0)
		return still_error_sys(
		    err, (int) -n, NULL, "`%s`", still_pg_known_as(path));
	if ((size_t) n < len)
		return still_error_set(err, STILL_ERR_IO, 0,
		    "Let nobody write to the set while it is checked.",
		    "`%s`: became shorter while it was checked",
		    still_pg_known_as(path));
	return 0;
}

/* ---- the verdict --------------------------------------------------------- */

/* An incremental set has WAL and nothing else. */
static int look_at_link(const struct still_pg_checking *checking,
    const json_t *description, struct still_error *err)
{
	struct still_pg_replay replay;
	struct still_pg_link link;
	int rc = still_pg_link_parse(description, &link, err);

	if (rc < 0 || still_pg_link_count(&link) == 0)
		return rc;
	return still_pg_link_walk(&link, checking->set_fd, STILL_PG_LOGS,
	    link.start_lsn, link.stop_lsn, NULL, &replay, err);
}

static int look(struct still_pg_checking *checking, struct still_error *err)
{
	json_t *description;
	int rc = still_pg_check_description(checking, &description, err);

	if (rc < 0)
		return rc;
	checking->is_link = still_pg_link_is(description);
	if (checking->is_link)
		rc = look_at_link(checking, description, err);
	json_decref(description);
	if (rc < 0 || checking->is_link)
		return rc;
	rc = still_pg_check_head(checking, err);
	if (rc == 0)
		rc = still_pg_check_wal(checking, err);
	return rc == 0 ? still_pg_check_files(checking, err) : rc;
}

static int say(const struct still_check_request *request,
    void (*tell)(void *arg, const char *path, const char *text),
    const char *text, struct still_error *err)
{
	struct still_buf line = STILL_BUF_INIT;

	still_buf_printf(&line, "`" CLUSTER "`: %s", text);
	if (line.failed)
		return still_error_nomem(err);
	tell(request->arg, CLUSTER, line.data);
	still_buf_release(&line);
	return 0;
}

static int compare_texts(const void *a, const void *b)
{
	const struct still_pg_finding *one = a;
	const struct still_pg_finding *two = b;

	return strcmp(one->text, two->text);
}

static int say_findings(const struct still_check_request *request,
    struct still_pg_checking *checking, struct still_error *err)
{
	struct still_pg_findings *findings = &checking->findings;
	struct still_buf text = STILL_BUF_INIT;
	uint64_t more = checking->n_more;
	int rc;

	qsort(findings->items, findings->n, sizeof(findings->items[0]),
	    compare_texts);
	for (size_t i = 0; i < findings->n && i < STILL_PG_CHECK_TOLD; i++)
		still_buf_printf(
		    &text, "%s%s", i > 0 ? "; " : "", findings->items[i].text);
	if (findings->n > STILL_PG_CHECK_TOLD)
		more += findings->n - STILL_PG_CHECK_TOLD;
	if (more > 0)
		still_buf_printf(&text, "; and %" PRIu64 " more", more);
	rc = text.failed || findings->nomem
	    ? still_error_nomem(err)
	    : say(request, request->damaged, text.data, err);
	still_buf_release(&text);
	return rc;
}

static int judge(const struct still_check_request *request,
    struct still_pg_checking *checking, int rc, struct still_error *what,
    struct still_error *err)
{
	if (rc == STILL_ERR_CORRUPT)
		return say(
		    request, request->damaged, still_error_msg(what), err);
	if (rc == STILL_ERR_UNSUPPORTED)
		return say(
		    request, request->unchecked, still_error_msg(what), err);
	if (rc < 0) {
		still_error_copy(err, what);
		return rc;
	}
	if (checking->findings.n > 0 || checking->findings.nomem)
		return say_findings(request, checking, err);
	if (!checking->is_link && checking->control.data_checksum_version == 0)
		return say(request, request->unchecked,
		    "its pages have no checksums (data_checksums is off): only "
		    "the WAL and the sums were checked",
		    err);
	request->sound(request->arg, CLUSTER);
	return 0;
}

static int check(
    const struct still_check_request *request, struct still_error *err)
{
	struct still_pg_checking checking = {.set_fd = request->set_fd};
	struct still_error what = STILL_ERROR_INIT;
	int rc = look(&checking, &what);

	rc = judge(request, &checking, rc, &what, err);
	still_error_clear(&what);
	still_pg_findings_release(&checking.findings);
	still_pg_covered_free(checking.covered);
	still_pg_manifest_text_release(&checking.manifest);
	return rc;
}

int still_pg_check_set(
    const struct still_check_request *request, struct still_error *err)
{
	for (size_t i = 0; i < request->n; i++) {
		const char *path = request->paths[i];
		int rc;

		request->begin(request->arg, path);
		if (strcmp(path, CLUSTER) != 0)
			return still_error_set(err, STILL_ERR_INVALID, 0, NULL,
			    "a cluster lies in `" CLUSTER
			    "`, and nowhere else");
		rc = check(request, err);
		if (rc < 0)
			return rc;
	}
	return 0;
}
