/* SPDX-License-Identifier: MIT */
#include "config.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <ctype.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "still.h"
#include "tests/unit/scratch.h"

/* As the log says of itself: this many lines are kept. */
#define LINES_MAX 16384

struct seen {
	pthread_mutex_t lock;
	unsigned n;
	enum still_level level; /* of the last */
	char line[512];         /* likewise */
};

static void see(void *arg, enum still_level level, const char *line)
{
	struct seen *seen = arg;

	pthread_mutex_lock(&seen->lock);
	seen->n++;
	seen->level = level;
	snprintf(seen->line, sizeof(seen->line), "%s", line);
	pthread_mutex_unlock(&seen->lock);
}

static void words(void **state)
{
	static const char *const table[STILL_LEVEL_COUNT] = {
	    "error", "warning", "info", "debug"};

	(void) state;
	for (int i = 0; i < STILL_LEVEL_COUNT; i++)
		assert_string_equal(
		    still_level_word((enum still_level) i), table[i]);
}

static void numbers(void **state)
{
	(void) state;
	assert_string_equal(still_number(0).text, "0");
	assert_string_equal(
	    still_number(UINT64_MAX).text, "18446744073709551615");
}

static void nothing_yet(void **state)
{
	struct still_events *events = still_events_new(NULL, NULL);
	size_t len = 99;
	char *text = still_events_text(events, &len);

	(void) state;
	assert_string_equal(text, "");
	assert_int_equal(len, 0);
	free(text);
	still_events_free(events);
	still_events_free(NULL);
}

/* "2026-11-21T01:02:03.123456Z " */
static void assert_time(const char *line)
{
	static const char form[] = "dddd-dd-ddTdd:dd:dd.ddddddZ ";

	for (size_t i = 0; form[i]; i++)
		if (form[i] == 'd')
			assert_true(isdigit((unsigned char) line[i]));
		else
			assert_int_equal(line[i], form[i]);
}

static void one_line(void **state)
{
	struct still_events *events = still_events_new(NULL, NULL);
	size_t len;
	char *text;

	(void) state;
	still_events_add(events, STILL_LEVEL_WARNING, "it-rained", "where",
	    "here", "absent", NULL, "how", "cats & \"dogs\"\n", "raw", "b\xe4r",
	    "empty", "", NULL);
	text = still_events_text(events, &len);
	assert_int_equal(len, strlen(text));
	assert_time(text);
	assert_string_equal(strchr(text, ' '),
	    " warning it-rained where=here how=\"cats & \\\"dogs\\\"\\x0a\" "
	    "raw=\"b\\xe4r\" empty=\"\"\n");
	free(text);
	still_events_free(events);
}

static void no_pairs(void **state)
{
	struct still_events *events = still_events_new(NULL, NULL);
	char *text;

	(void) state;
	still_events_add(events, STILL_LEVEL_DEBUG, "first", NULL);
	still_events_add(events, STILL_LEVEL_ERROR, "second", NULL);
	text = still_events_text(events, NULL);
	assert_string_equal(strchr(strchr(text, '\n'), ' '), " error second\n");
	assert_non_null(strstr(text, " debug first\n"));
	free(text);
	still_events_free(events);
}

static void sink(void **state)
{
	struct seen seen = {.lock = PTHREAD_MUTEX_INITIALIZER};
	struct still_events *events = still_events_new(see, &seen);

	(void) state;
	still_events_add(
	    events, STILL_LEVEL_INFO, "session-end", "outcome", "a b", NULL);
	assert_int_equal(seen.n, 1);
	assert_int_equal(seen.level, STILL_LEVEL_INFO);
	/* Without the time, which syslog has itself, and without newline. */
	assert_string_equal(seen.line, "info session-end outcome=\"a b\"");
	still_events_free(events);
}

static void ring(void **state)
{
	static const unsigned dropped[] = {0, 1, LINES_MAX, 3 * LINES_MAX + 5};
	struct seen seen = {.lock = PTHREAD_MUTEX_INITIALIZER};

	(void) state;
	for (size_t k = 0; k < sizeof(dropped) / sizeof(dropped[0]); k++) {
		struct still_events *events = still_events_new(see, &seen);
		unsigned n = LINES_MAX + dropped[k];
		unsigned next = dropped[k];
		char *save = NULL;
		char *line;
		char *text;

		seen.n = 0;
		for (unsigned i = 0; i < n; i++)
			still_events_add(events, STILL_LEVEL_INFO, "e", "i",
			    still_number(i).text, NULL);
		/* The sink hears of all. */
		assert_int_equal(seen.n, n);
		text = still_events_text(events, NULL);
		line = strtok_r(text, "\n", &save);
		if (dropped[k]) {
			char want[64];

			snprintf(want, sizeof(want),
			    "# %u older events dropped", dropped[k]);
			assert_string_equal(line, want);
			line = strtok_r(NULL, "\n", &save);
		}
		/* The last ones, oldest first. */
		for (; line; line = strtok_r(NULL, "\n", &save)) {
			char want[64];

			snprintf(want, sizeof(want), " info e i=%u", next++);
			assert_string_equal(strchr(line, ' '), want);
		}
		assert_int_equal(next, n);
		free(text);
		still_events_free(events);
	}
}

static void *add_many(void *arg)
{
	struct still_events *events = arg;

	for (int i = 0; i < 500; i++) {
		still_events_add(
		    events, STILL_LEVEL_INFO, "e", "key", "value", NULL);
		if (i % 100 == 0)
			free(still_events_text(events, NULL));
	}
	return NULL;
}

static void threads(void **state)
{
	struct seen seen = {.lock = PTHREAD_MUTEX_INITIALIZER};
	struct still_events *events = still_events_new(see, &seen);
	pthread_t thread[4];
	unsigned n = 0;
	char *text;

	(void) state;
	for (int i = 0; i < 4; i++)
		assert_int_equal(
		    pthread_create(&thread[i], NULL, add_many, events), 0);
	for (int i = 0; i < 4; i++)
		pthread_join(thread[i], NULL);
	text = still_events_text(events, NULL);
	for (const char *p = text; (p = strchr(p, '\n')); p++)
		n++;
	assert_int_equal(n, 2000);
	assert_int_equal(seen.n, 2000);
	free(text);
	still_events_free(events);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(words),
	    cmocka_unit_test(numbers),
	    cmocka_unit_test(nothing_yet),
	    cmocka_unit_test(one_line),
	    cmocka_unit_test(no_pairs),
	    cmocka_unit_test(sink),
	    cmocka_unit_test(ring),
	    cmocka_unit_test(threads),
	};

	scratch_watchdog();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
