/* SPDX-License-Identifier: MIT */
/*
 * stillctl umount: unmount, wait for the daemon, and tell what became of it.
 *
 * umount(8) returns before the daemon has ended its session. So the daemon is
 * asked for its process first, which is then waited for: by then its session is
 * written down. Of the sessions that this mount had, the last one of which
 * somebody has read a byte is the one that was meant; an indexer that came by
 * later must not hide it.
 */
#include "config.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/sys.h"
#include "ctl/channel.h"
#include "ctl/detach.h"
#include "ctl/exit.h"
#include "ctl/mounted.h"
#include "ctl/out.h"
#include "ctl/record.h"
#include "ctl/verb.h"

#define PATIENCE_MS 5000

static const struct ctl_option options[] = {
    {"lazy", 'l', CTL_FLAG, CTL_AT(lazy), 0, 0, NULL,
	"also if it is busy; what is open fails"},
    CTL_OPTIONS_END,
};

/* ---- the daemon ---------------------------------------------------------- */

struct daemon {
	struct still_control answer;
	int pidfd;             /* -1: unknown */
	int64_t mounted_at_ns; /* 0: unknown */
	int64_t asked_at_ns;
};

static int ask_daemon(const struct ctl_target *target, struct daemon *ret,
    struct still_error *err)
{
	struct ctl_channel channel;
	int rc = ctl_channel_open(target->mountpoint, &channel, err);

	if (rc < 0)
		return rc;
	ret->asked_at_ns = still_sys_now_ns();
	rc = ctl_channel_ask(&channel, STILL_CONTROL_QUERY, &ret->answer, err);
	if (rc == 0) {
		ret->pidfd = (int) syscall(SYS_pidfd_open, ret->answer.pid, 0);
		/* Its number was not another's when it still answers. */
		rc = ctl_channel_ask(
		    &channel, STILL_CONTROL_QUERY, &ret->answer, err);
	}
	ctl_channel_close(&channel);
	ret->mounted_at_ns = ctl_mounted_at_ns(target->mountpoint);
	return rc;
}

/* Its session may take what it takes: a file that is being read is waited for,
 * and disks are slow. */
static void wait_for_end(const struct ctl_options *o, struct daemon *daemon)
{
	struct pollfd fd = {.fd = daemon->pidfd, .events = POLLIN};
	int n;

	if (daemon->pidfd < 0)
		return;
	do
		n = poll(&fd, 1, PATIENCE_MS);
	while (n < 0 && errno == EINTR);
	if (n == 0 && !o->quiet)
		ctl_out_note("waiting for the daemon (process %d) to end its "
			     "session",
		    (int) daemon->answer.pid);
	while (n == 0 || (n < 0 && errno == EINTR))
		n = poll(&fd, 1, -1);
}

/* ---- the outcome --------------------------------------------------------- */

/* Since when a session counts as one of this mount's. Of a dead mount only the
 * last one is looked at, because nobody can say when it was mounted. */
static int64_t begin_of_mount(
    const struct daemon *daemon, const struct still_record *records, size_t n)
{
	int64_t since_ns = daemon->mounted_at_ns ? daemon->mounted_at_ns
						 : daemon->asked_at_ns;

	if (!daemon->asked_at_ns)
		return n > 0 ? records[0].begun_at_ns : 0;
	/* A clock may have been set back meanwhile. */
	for (size_t i = 0; i < n; i++)
		if (strcmp(records[i].id, daemon->answer.session) == 0 &&
		    records[i].begun_at_ns < since_ns)
			since_ns = records[i].begun_at_ns;
	return since_ns;
}

/* Newest first. NULL: of this mount, none was read. Where nothing has changed,
 * there may be nothing to read, and it is committed all the same. What a daemon
 * that crashed has served, nobody has written down. */
static const struct still_record *last_read(
    const struct still_record *records, size_t n, int64_t since_ns)
{
	for (size_t i = 0; i < n && records[i].begun_at_ns >= since_ns; i++)
		if (records[i].bytes_served > 0 ||
		    records[i].outcome == STILL_COMMITTED ||
		    records[i].outcome == STILL_ABORTED_CRASH)
			return &records[i];
	return NULL;
}

static int print_outcome(const struct ctl_options *o, const char *session,
    const char *outcome, struct still_error *err)
{
	if (o->json)
		return ctl_out_json_line(
		    json_pack("{s:s, s:s?, s:s?}", "event", "done", "session",
			session, "outcome", outcome),
		    err);
	if (!o->quiet && session)
		printf("%s %s\n", session, outcome);
	else if (!o->quiet)
		printf("no session\n");
	return 0;
}

static int tell_outcome(const struct ctl_options *o,
    const struct still_record *records, size_t n, int64_t since_ns,
    struct still_error *err)
{
	const struct still_record *read = last_read(records, n, since_ns);
	int rc;

	rc = print_outcome(o, read ? read->id : NULL,
	    read ? ctl_record_outcome(read) : NULL, err);
	if (rc < 0)
		return rc;
	if (read && read->state != STILL_ENDED) {
		ctl_out_note("the daemon has not ended yet");
		return CTL_EXIT_WARNINGS;
	}
	if (read)
		return (int) ctl_exit_of_outcome(read->outcome);
	/* Nobody has read a byte, because there was none to be had? */
	if (n == 0 || records[0].begun_at_ns < since_ns ||
	    !ctl_record_is_wrong(&records[0]))
		return CTL_EXIT_DONE;
	ctl_out_note("nothing was read; the session %s ended %s", records[0].id,
	    records[0].outcome_text);
	return CTL_EXIT_WARNINGS;
}

static int find_outcome(const struct ctl_options *o,
    const struct ctl_target *target, const struct daemon *daemon,
    struct still_error *err)
{
	struct still_record_filter filter = {.place = target->mountpoint};
	const char *dir = daemon->answer.state_dir;
	struct still_catalog *catalog = NULL;
	struct still_record *records = NULL;
	size_t n = 0;
	int rc;

	if (o->state || !dir[0])
		dir = o->state ? o->state : target->state_dir;
	rc = still_catalog_open(dir, false, &catalog, err);
	if (rc == 0)
		rc = still_catalog_list(catalog, &filter, &records, &n, err);
	if (rc < 0) {
		ctl_out_note("`%s` is unmounted; how its session ended cannot "
			     "be told",
		    target->mountpoint);
		rc = CTL_EXIT_WARNINGS;
	} else {
		rc = tell_outcome(
		    o, records, n, begin_of_mount(daemon, records, n), err);
	}
	still_records_free(records, n);
	still_catalog_close(catalog);
	return rc;
}

/* ---- all of it ----------------------------------------------------------- */

static int run_on(const struct ctl_options *o, const struct ctl_target *target,
    struct still_error *err)
{
	struct daemon daemon = {.pidfd = -1};
	int rc = target->dead ? 0 : ask_daemon(target, &daemon, err);

	/* It may die while it is asked: then it is dead, and goes as such. */
	if (rc == STILL_ERR_LOST) {
		still_error_clear(err);
		rc = 0;
	}
	if (rc == 0)
		rc = ctl_detach(
		    target->mountpoint, o->lazy || target->dead, err);
	if (rc == 0) {
		wait_for_end(o, &daemon);
		rc = find_outcome(o, target, &daemon, err);
	}
	if (daemon.pidfd >= 0)
		close(daemon.pidfd);
	return rc;
}

static int run(const struct ctl_options *o, struct still_error *err)
{
	struct ctl_target target;
	int rc = ctl_target_find(o->target, &target, err);

	if (rc < 0)
		rc = ctl_target_status(rc);
	else if (!target.dead)
		rc = ctl_target_require_mount(&target, err);
	if (rc == 0)
		rc = run_on(o, &target, err);
	ctl_target_release(&target);
	return rc;
}

const struct ctl_verb ctl_verb_umount = {
    .name = "umount",
    .summary = "unmount, and tell how the session ended",
    .help =
	"Unmount, wait until the daemon has ended, and tell the outcome of the\n"
	"last session that was read or committed.\n",
    .target = CTL_TARGET_MOUNT,
    .usage = "[TARGET]",
    .max_words = 1,
    .options = options,
    .run = run,
};
