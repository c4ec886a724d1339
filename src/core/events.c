/* SPDX-License-Identifier: MIT */
/* The event log: a bounded ring of lines, and a sink for each as it comes. */
#include "config.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/json.h"
#include "base/sys.h"
#include "still.h"

/* Two for each file of a set, and some. */
#define LINES_MAX 16384

struct still_events {
	pthread_mutex_t lock;
	still_event_sink_fn *sink;
	void *arg;
	char *lines[LINES_MAX]; /* owned; a ring */
	size_t first;
	size_t n;
	uint64_t n_dropped;
};

const char *still_level_word(enum still_level level)
{
	static const char *const words[STILL_LEVEL_COUNT] = {
	    [STILL_LEVEL_ERROR] = "error",
	    [STILL_LEVEL_WARNING] = "warning",
	    [STILL_LEVEL_INFO] = "info",
	    [STILL_LEVEL_DEBUG] = "debug",
	};

	return words[level];
}

struct still_number still_number(uint64_t value)
{
	struct still_number number;

	snprintf(number.text, sizeof(number.text), "%" PRIu64, value);
	return number;
}

struct still_events *still_events_new(still_event_sink_fn *sink, void *arg)
{
	struct still_events *events = calloc(1, sizeof(*events));

	if (!events)
		return NULL;
	pthread_mutex_init(&events->lock, NULL);
	events->sink = sink;
	events->arg = arg;
	return events;
}

void still_events_free(struct still_events *events)
{
	if (!events)
		return;
	for (size_t i = 0; i < events->n; i++)
		free(events->lines[(events->first + i) % LINES_MAX]);
	pthread_mutex_destroy(&events->lock);
	free(events);
}

static void keep_line(struct still_events *events, char *line)
{
	if (events->n == LINES_MAX) {
		free(events->lines[events->first]);
		events->first = (events->first + 1) % LINES_MAX;
		events->n--;
		events->n_dropped++;
	}
	events->lines[(events->first + events->n++) % LINES_MAX] = line;
}

void still_events_add(
    struct still_events *events, enum still_level level, const char *name, ...)
{
	struct still_buf line = STILL_BUF_INIT;
	char time[STILL_TIME_TEXT_BYTES];
	const char *key;
	size_t time_len;
	char *text;
	va_list ap;

	still_time_text(still_sys_now_ns(), 6, time);
	still_buf_printf(&line, "%s ", time);
	time_len = line.len;
	still_buf_printf(&line, "%s %s", still_level_word(level), name);
	va_start(ap, name);
	while ((key = va_arg(ap, const char *))) {
		const char *value = va_arg(ap, const char *);

		if (!value)
			continue;
		still_buf_printf(&line, " %s=", key);
		still_buf_word(&line, value);
	}
	va_end(ap);
	text = still_buf_take(&line, NULL);
	if (!text)
		return;
	if (events->sink)
		events->sink(events->arg, level, text + time_len);
	pthread_mutex_lock(&events->lock);
	keep_line(events, text);
	pthread_mutex_unlock(&events->lock);
}

char *still_events_text(struct still_events *events, size_t *ret_len)
{
	struct still_buf text = STILL_BUF_INIT;

	pthread_mutex_lock(&events->lock);
	if (events->n_dropped)
		still_buf_printf(&text, "# %" PRIu64 " older events dropped\n",
		    events->n_dropped);
	for (size_t i = 0; i < events->n; i++)
		still_buf_printf(&text, "%s\n",
		    events->lines[(events->first + i) % LINES_MAX]);
	pthread_mutex_unlock(&events->lock);
	return still_buf_take(&text, ret_len);
}
