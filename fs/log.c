/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "fs/log.h"

#define FUSE_USE_VERSION 312
#include <fuse_log.h>

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <syslog.h>

#include "base/buf.h"
#include "base/json.h"
#include "base/sys.h"

static bool to_stderr = true;
static bool in_foreground;
static enum still_level finest = STILL_LEVEL_INFO;

static const int priorities[STILL_LEVEL_COUNT] = {
    [STILL_LEVEL_ERROR] = LOG_ERR,
    [STILL_LEVEL_WARNING] = LOG_WARNING,
    [STILL_LEVEL_INFO] = LOG_INFO,
    [STILL_LEVEL_DEBUG] = LOG_DEBUG,
};

static void say(enum still_level level, const char *line)
{
	if (to_stderr)
		fprintf(stderr, "stillfs: %s\n", line);
	else
		syslog(priorities[level], "%s", line);
}

/* libfuse's text comes in pieces of lines in the request trace: as it is. */
__attribute__((format(printf, 2, 0))) static void fuse_says(
    enum fuse_log_level level, const char *fmt, va_list ap)
{
	char *text = NULL;

	if (to_stderr) {
		vfprintf(stderr, fmt, ap);
		return;
	}
	if (vasprintf(&text, fmt, ap) < 0)
		return;
	text[strcspn(text, "\n")] = '\0';
	say(level <= FUSE_LOG_ERR ? STILL_LEVEL_ERROR : STILL_LEVEL_INFO, text);
	free(text);
}

void fs_log_open(bool foreground, bool debug)
{
	in_foreground = foreground;
	if (debug)
		finest = STILL_LEVEL_DEBUG;
	openlog("stillfs", LOG_PID, LOG_DAEMON);
	fuse_set_log_func(fuse_says);
}

void fs_log_detach(void)
{
	to_stderr = in_foreground;
}

void fs_log_event(void *arg, enum still_level level, const char *line)
{
	char time[STILL_TIME_TEXT_BYTES];

	(void) arg;
	if (level > finest)
		return;
	/* On a terminal that only starts a daemon, events are noise; what went
	 * wrong is said as an error. */
	if (to_stderr && !in_foreground)
		return;
	if (!to_stderr) {
		say(level, line);
		return;
	}
	still_time_text(still_sys_now_ns(), 6, time);
	fprintf(stderr, "%s %s\n", time, line);
}

static void say_line(const char *text)
{
	struct still_buf line = STILL_BUF_INIT;

	still_buf_line(&line, text);
	if (line.data)
		say(STILL_LEVEL_ERROR, line.data);
	still_buf_release(&line);
}

void fs_log_error(const struct still_error *err)
{
	say_line(still_error_msg(err));
	if (err->hint)
		say_line(err->hint);
}
