/* SPDX-License-Identifier: MIT */
#include "config.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "base/sys.h"
#include "tests/unit/scratch.h"

static void names(void **state)
{
	static const struct {
		const char *name;
		const char *key;
		const char *value;
	} table[] = {
	    {"", "path", ""},
	    {"data/a.db", "path", "data/a.db"},
	    {"b\xc3\xa4r", "path", "b\xc3\xa4r"},
	    {"two\nlines \"q\" \\", "path", "two\nlines \"q\" \\"},
	    {"b\xe4r", "encoded_path", "62e472"},
	    {"\xff\x01\x0a", "encoded_path", "ff010a"},
	    {"\xed\xa0\x80", "encoded_path", "eda080"},
	};

	(void) state;
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		json_t *object = json_object();
		char *back;

		assert_int_equal(
		    still_json_set_name(object, "path", table[i].name), 0);
		/* One of the keys, and not the other. */
		assert_int_equal(json_object_size(object), 1);
		assert_string_equal(
		    json_string_value(json_object_get(object, table[i].key)),
		    table[i].value);
		assert_int_equal(still_json_get_name(object, "path", &back), 0);
		assert_string_equal(back, table[i].name);
		free(back);
		json_decref(object);
	}
	assert_int_equal(still_json_set_name(NULL, "path", "a"), -1);
	assert_int_equal(still_json_set_name(NULL, "path", "\xff"), -1);
}

/* What is no name of ours is none. */
static void no_names(void **state)
{
	static const char *const hex[] = {
	    "6", "6g", "6B", "00", "6200", "62 e", NULL};
	char *name;

	(void) state;
	for (size_t i = 0; hex[i]; i++) {
		json_t *object = json_pack("{s:s}", "encoded_path", hex[i]);

		assert_int_equal(still_json_get_name(object, "path", &name), 0);
		assert_null(name);
		json_decref(object);
	}
	assert_int_equal(still_json_get_name(NULL, "path", &name), 0);
	assert_null(name);
}

static void texts(void **state)
{
	json_t *object = json_object();

	(void) state;
	assert_int_equal(
	    still_json_set_text(object, "a", "`b\xe4r\n`: \"is\" \xc3\xa4"), 0);
	assert_int_equal(still_json_set_text(object, "b", ""), 0);
	assert_string_equal(json_string_value(json_object_get(object, "a")),
	    "`b\\xe4r\\x0a`: \"is\" \xc3\xa4");
	assert_string_equal(
	    json_string_value(json_object_get(object, "b")), "");
	json_decref(object);
	assert_int_equal(still_json_set_text(NULL, "a", "b"), -1);
}

static void times(void **state)
{
	static const struct {
		int64_t time_ns;
		int digits;
		const char *text;
	} table[] = {
	    {0, 0, "1970-01-01T00:00:00Z"},
	    {0, 9, "1970-01-01T00:00:00.000000000Z"},
	    {1, 9, "1970-01-01T00:00:00.000000001Z"},
	    {INT64_C(1700000000123456789), 0, "2023-11-14T22:13:20Z"},
	    {INT64_C(1700000000123456789), 3, "2023-11-14T22:13:20.123Z"},
	    {INT64_C(1700000000123456789), 6, "2023-11-14T22:13:20.123456Z"},
	    {INT64_C(1700000000123456789), 9, "2023-11-14T22:13:20.123456789Z"},
	    /* Cut, not rounded: a time is never in the future. */
	    {INT64_C(1700000000999999999), 3, "2023-11-14T22:13:20.999Z"},
	    {INT64_C(951782400000000000), 0, "2000-02-29T00:00:00Z"},
	    {-1, 9, "1969-12-31T23:59:59.999999999Z"},
	    {-STILL_NS_PER_S, 3, "1969-12-31T23:59:59.000Z"},
	    {INT64_MAX, 9, "2262-04-11T23:47:16.854775807Z"},
	};

	(void) state;
	/* Whatever the place. */
	setenv("TZ", "America/St_Johns", 1);
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		char text[STILL_TIME_TEXT_BYTES];

		still_time_text(table[i].time_ns, table[i].digits, text);
		assert_string_equal(text, table[i].text);
	}
}

static void set_time(void **state)
{
	json_t *object = json_object();

	(void) state;
	assert_int_equal(
	    still_json_set_time(object, "at", INT64_C(1700000000000000001)), 0);
	assert_string_equal(json_string_value(json_object_get(object, "at")),
	    "2023-11-14T22:13:20.000000001Z");
	json_decref(object);
	assert_int_equal(still_json_set_time(NULL, "at", 0), -1);
}

static void text(void **state)
{
	json_t *object = json_pack("{s:i, s:i, s:s}", "z", 1, "a", 2, "m", "x");
	size_t len = 0;
	char *got = still_json_text(object, &len);

	(void) state;
	/* In the order in which it was made. */
	assert_string_equal(
	    got, "{\n  \"z\": 1,\n  \"a\": 2,\n  \"m\": \"x\"\n}\n");
	assert_int_equal(len, strlen(got));
	free(got);
	json_decref(object);
	assert_null(still_json_text(NULL, &len));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(names),
	    cmocka_unit_test(no_names),
	    cmocka_unit_test(texts),
	    cmocka_unit_test(times),
	    cmocka_unit_test(set_time),
	    cmocka_unit_test(text),
	};

	scratch_watchdog();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
