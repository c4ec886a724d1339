/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "ctl/job.h"

#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/sys.h"
#include "ctl/bar.h"
#include "ctl/out.h"

/* Most jobs are done in a moment; those that are not take long. */
#define FIRST_POLL_NS (50 * INT64_C(1000000))
#define POLL_NS (250 * INT64_C(1000000))
#define FIRST_POLLS 20

#define BAR_COLUMNS 24

static volatile sig_atomic_t interrupted;

static void on_signal(int number)
{
	interrupted = number;
}

static const int caught[] = {SIGINT, SIGTERM};
#define N_CAUGHT (sizeof(caught) / sizeof(caught[0]))

/* What is ignored stays so: nohup(1), and jobs in the background. */
static void catch_signals(struct sigaction old[N_CAUGHT])
{
	struct sigaction action = {.sa_handler = on_signal};

	sigemptyset(&action.sa_mask);
	interrupted = 0;
	for (size_t i = 0; i < N_CAUGHT; i++) {
		sigaction(caught[i], NULL, &old[i]);
		if (old[i].sa_handler != SIG_IGN)
			sigaction(caught[i], &action, NULL);
	}
}

static void release_signals(const struct sigaction old[N_CAUGHT])
{
	for (size_t i = 0; i < N_CAUGHT; i++)
		sigaction(caught[i], &old[i], NULL);
}

/* ---- progress ------------------------------------------------------------ */

struct progress {
	const struct ctl_job *job;
	const struct ctl_options *options;
	int64_t begun_ns;
	bool drawn; /* a line of the terminal is ours */
	bool told;
	uint64_t bytes_verified; /* as told last, as is the next */
	uint64_t captured_bytes;
};

void ctl_job_bar(struct still_buf *buf, const struct ctl_job *job,
    const struct still_control *answer, int64_t elapsed_ns)
{
	uint64_t bytes = job->counts_bytes ? answer->bytes
					   : answer->capture_bytes;
	uint64_t done = job->counts_bytes ? answer->bytes_verified
					  : answer->captured_bytes;

	still_buf_printf(buf, "%s  ", job->doing);
	if (bytes == 0) {
		still_buf_printf(
		    buf, "%" PRId64 " s", elapsed_ns / STILL_NS_PER_S);
		return;
	}
	ctl_bar_add(buf, done, bytes, BAR_COLUMNS);
}

static void draw(struct progress *progress, const struct still_control *answer)
{
	struct still_buf buf = STILL_BUF_INIT;

	ctl_job_bar(&buf, progress->job, answer,
	    still_sys_monotonic_ns() - progress->begun_ns);
	/* To the begin of the line; what is left of the last one goes. */
	if (!buf.failed)
		fprintf(stderr, "\r%s\033[K", buf.data);
	progress->drawn = true;
	still_buf_release(&buf);
}

static void wipe(struct progress *progress)
{
	if (progress->drawn)
		fputs("\r\033[K", stderr);
	progress->drawn = false;
}

static void tell_line(
    struct progress *progress, const struct still_control *answer)
{
	json_t *line;

	if (progress->told &&
	    progress->bytes_verified == answer->bytes_verified &&
	    progress->captured_bytes == answer->captured_bytes)
		return;
	progress->told = true;
	progress->bytes_verified = answer->bytes_verified;
	progress->captured_bytes = answer->captured_bytes;
	line = json_pack("{s:s, s:s, s:s, s:I, s:I}", "event", "progress",
	    "session", answer->session, "doing", progress->job->doing, "bytes",
	    (json_int_t) answer->bytes, "bytes_verified",
	    (json_int_t) answer->bytes_verified);
	if (line && !progress->job->counts_bytes && answer->capture_bytes &&
	    (json_object_set_new(line, "capture_bytes",
		 json_integer((json_int_t) answer->capture_bytes)) != 0 ||
		json_object_set_new(line, "captured_bytes",
		    json_integer((json_int_t) answer->captured_bytes)) != 0)) {
		json_decref(line);
		line = NULL;
	}
	ctl_out_json_line(line, NULL);
}

static void show(struct progress *progress, const struct still_control *answer)
{
	if (progress->options->json)
		tell_line(progress, answer);
	else if (!progress->options->quiet && isatty(STDERR_FILENO))
		draw(progress, answer);
}

/* ---- the job ------------------------------------------------------------- */

static void leave_if_interrupted(
    struct progress *progress, const struct sigaction old[N_CAUGHT])
{
	int number = interrupted;

	if (!number)
		return;
	wipe(progress);
	ctl_out_note("%s", progress->job->goes_on);
	release_signals(old);
	raise(number);
}

int ctl_job_poll(const struct ctl_channel *channel, uint64_t job,
    struct still_control *io, struct still_error *err)
{
	int rc;

	io->job = job;
	io->flags = 0;
	rc = ctl_channel_ask(channel, STILL_CONTROL_QUERY, io, err);
	if (rc < 0 || io->job_state == STILL_JOB_DONE)
		return rc;
	if (io->job_state == STILL_JOB_RUNNING)
		return 1;
	/* Another job has taken its place. */
	return still_error_set(err, STILL_ERR_CANCELLED, 0,
	    "`stillctl status` tells what became of it.",
	    "`%s`: another request has ended this one", channel->mountpoint);
}

void ctl_job_rest(unsigned n)
{
	still_sys_sleep_ns(n < FIRST_POLLS ? FIRST_POLL_NS : POLL_NS);
}

static int follow(const struct ctl_channel *channel, struct progress *progress,
    const struct sigaction old[N_CAUGHT], struct still_control *io,
    struct still_error *err)
{
	uint64_t job = io->job;

	for (unsigned n = 0;; n++) {
		int rc;

		leave_if_interrupted(progress, old);
		rc = ctl_job_poll(channel, job, io, err);
		if (rc <= 0)
			return rc;
		show(progress, io);
		ctl_job_rest(n);
	}
}

int ctl_job_run(const struct ctl_channel *channel, const struct ctl_job *job,
    const struct ctl_options *options, struct still_control *ret,
    struct still_error *err)
{
	struct progress progress = {
	    .job = job,
	    .options = options,
	    .begun_ns = still_sys_monotonic_ns(),
	};
	struct sigaction old[N_CAUGHT];
	int rc;

	/* A reader of ours that goes must not end us before we know. */
	signal(SIGPIPE, SIG_IGN);
	catch_signals(old);
	ret->flags = job->flags;
	ret->job = 0;
	snprintf(ret->session, sizeof(ret->session), "%s",
	    options->session ? options->session : "");
	rc = ctl_channel_ask(channel, job->request, ret, err);
	if (rc == 0)
		rc = follow(channel, &progress, old, ret, err);
	wipe(&progress);
	release_signals(old);
	return rc;
}

int ctl_job_tell(const struct still_control *answer, struct still_error *err)
{
	json_t *outcome = answer->outcome ? json_string(answer->outcome_text)
					  : json_null();

	return ctl_out_json_line(
	    json_pack("{s:s, s:s, s:s, s:o, s:I, s:I, s:I, s:I, s:I}", "event",
		"done", "session", answer->session, "state",
		still_state_word((enum still_state) answer->state), "outcome",
		outcome, "bytes", (json_int_t) answer->bytes, "bytes_served",
		(json_int_t) answer->bytes_served, "bytes_verified",
		(json_int_t) answer->bytes_verified, "files",
		(json_int_t) answer->files, "files_whole",
		(json_int_t) answer->files_whole),
	    err);
}
