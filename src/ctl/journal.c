/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "ctl/journal.h"

#include <syslog.h>

#include "base/json.h"
#include "ctl/out.h"
#include "ctl/task.h"

static const int priorities[STILL_LEVEL_COUNT] = {
    [STILL_LEVEL_ERROR] = LOG_ERR,
    [STILL_LEVEL_WARNING] = LOG_WARNING,
    [STILL_LEVEL_INFO] = LOG_INFO,
    [STILL_LEVEL_DEBUG] = LOG_DEBUG,
};

static void tell(void *arg, enum still_level level, const char *line)
{
	const struct ctl_options *options = arg;
	json_t *object;

	if (level > STILL_LEVEL_INFO)
		return;
	syslog(priorities[level], "%s", line);
	if (!options->json || !ctl_task_has_room())
		return;
	object = json_pack(
	    "{s:s, s:s}", "event", "log", "level", still_level_word(level));
	if (object && still_json_set_text(object, "line", line) == 0)
		ctl_out_json_line(object, NULL);
	else
		json_decref(object);
}

struct still_events *ctl_journal_new(const struct ctl_options *options)
{
	openlog("stillfs", LOG_PID, LOG_DAEMON);
	return still_events_new(tell, (void *) options);
}
