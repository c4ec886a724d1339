/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "ctl/task.h"

#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "base/json.h"
#include "base/sys.h"
#include "ctl/bar.h"
#include "ctl/out.h"
#include "ctl/table.h"

#define BAR_COLUMNS 20
#define COLUMNS_DEFAULT 80

static atomic_bool interrupted;
static struct sigaction before[2];
static const int caught[2] = {SIGINT, SIGTERM};

/* ---- the interrupt ------------------------------------------------------- */

static void on_signal(int number)
{
	(void) number;
	atomic_store(&interrupted, true);
}

/* What is ignored stays so: nohup(1), and jobs in the background. */
static void catch_signals(void)
{
	struct sigaction action = {
	    .sa_handler = on_signal,
	    .sa_flags = (int) SA_RESETHAND | SA_RESTART,
	};

	sigemptyset(&action.sa_mask);
	atomic_store(&interrupted, false);
	for (size_t i = 0; i < 2; i++) {
		sigaction(caught[i], NULL, &before[i]);
		if (before[i].sa_handler != SIG_IGN)
			sigaction(caught[i], &action, NULL);
	}
	/* A reader of ours that goes must not end us in the middle. */
	signal(SIGPIPE, SIG_IGN);
}

bool ctl_task_interrupted(void)
{
	return atomic_load(&interrupted);
}

/* ---- the line ------------------------------------------------------------ */

static void add_counts(
    struct still_buf *buf, const struct still_progress *progress)
{
	double seconds = (double) progress->phase_ns / STILL_NS_PER_S;
	double rate = seconds > 0 ? (double) progress->bytes_done / seconds : 0;
	int64_t left_s;

	ctl_bar_add(buf, progress->bytes_done, progress->bytes, BAR_COLUMNS);
	if (rate < 1)
		return;
	still_buf_str(buf, "  ");
	still_buf_size(buf, (uint64_t) rate);
	left_s = progress->bytes > progress->bytes_done
	    ? (int64_t) ((double) (progress->bytes - progress->bytes_done) /
		  rate)
	    : 0;
	still_buf_printf(
	    buf, "/s  %" PRId64 ":%02d left", left_s / 60, (int) (left_s % 60));
}

/* The end of a path says more than its begin. */
static void add_path(struct still_buf *buf, const char *path, size_t columns)
{
	struct still_buf line = STILL_BUF_INIT;
	const char *text;

	still_buf_line(&line, path);
	if (line.failed || columns < 8 || !path[0]) {
		still_buf_release(&line);
		return;
	}
	text = line.data;
	while (ctl_text_width(text) > columns) {
		text++;
		/* Not in the middle of a character. */
		while (((unsigned char) *text & 0xc0) == 0x80)
			text++;
	}
	still_buf_str(buf, "  ");
	still_buf_str(buf, text);
	still_buf_release(&line);
}

void ctl_task_bar(struct still_buf *buf, const struct still_progress *progress,
    size_t columns)
{
	size_t width;

	still_buf_printf(buf, "%-9s  ", still_phase_word(progress->phase));
	if (progress->bytes > 0)
		add_counts(buf, progress);
	else
		still_buf_printf(
		    buf, "%" PRId64 " s", progress->phase_ns / STILL_NS_PER_S);
	if (buf->failed)
		return;
	width = ctl_text_width(buf->data);
	if (columns > width + 3)
		add_path(buf, progress->path, columns - width - 3);
}

static size_t columns_of(int fd)
{
	struct winsize size;

	if (ioctl(fd, TIOCGWINSZ, &size) != 0 || size.ws_col == 0)
		return COLUMNS_DEFAULT;
	return size.ws_col;
}

static void draw(struct ctl_task *task, const struct still_progress *progress)
{
	struct still_buf buf = STILL_BUF_INIT;

	ctl_task_bar(&buf, progress, columns_of(STDERR_FILENO));
	/* To the begin of the line; what is left of the last one goes. */
	if (!buf.failed)
		fprintf(stderr, "\r%s\033[K", buf.data);
	task->drawn = true;
	still_buf_release(&buf);
}

/* ---- for programs -------------------------------------------------------- */

bool ctl_task_has_room(void)
{
	struct pollfd poller = {.fd = STDOUT_FILENO, .events = POLLOUT};

	return poll(&poller, 1, 0) == 1 && (poller.revents & POLLOUT);
}

static bool is_told(
    const struct ctl_task *task, const struct still_progress *progress)
{
	return progress->phase == task->last.phase &&
	    progress->bytes_done == task->last.bytes_done &&
	    progress->files_done == task->last.files_done &&
	    progress->files == task->last.files &&
	    progress->bytes == task->last.bytes;
}

static void tell_line(
    struct ctl_task *task, const struct still_progress *progress)
{
	json_t *line;
	int rc = 0;

	if (is_told(task, progress) || !ctl_task_has_room())
		return;
	task->last = *progress;
	task->last.path = NULL;
	line = json_pack("{s:s, s:s, s:I, s:I, s:I, s:I}", "event", "progress",
	    "phase", still_phase_word(progress->phase), "files",
	    (json_int_t) progress->files, "files_done",
	    (json_int_t) progress->files_done, "bytes",
	    (json_int_t) progress->bytes, "bytes_done",
	    (json_int_t) progress->bytes_done);
	if (line && progress->path[0])
		rc = still_json_set_name(line, "path", progress->path);
	if (rc == 0)
		ctl_out_json_line(line, NULL);
	else
		json_decref(line);
}

static void show(void *arg, const struct still_progress *progress)
{
	struct ctl_task *task = arg;

	if (task->options->json)
		tell_line(task, progress);
	else if (!task->options->quiet && isatty(STDERR_FILENO))
		draw(task, progress);
}

/* ---- begin and end ------------------------------------------------------- */

void ctl_task_begin(struct ctl_task *task, const struct ctl_options *options)
{
	memset(task, 0, sizeof(*task));
	task->options = options;
	task->last.phase = STILL_PHASE_COUNT;
	task->task.cancel = &interrupted;
	task->task.progress = show;
	task->task.progress_arg = task;
	catch_signals();
}

void ctl_task_end(struct ctl_task *task)
{
	if (task->drawn)
		fputs("\r\033[K", stderr);
	task->drawn = false;
	for (size_t i = 0; i < 2; i++)
		sigaction(caught[i], &before[i], NULL);
}
