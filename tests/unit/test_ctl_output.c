/* SPDX-License-Identifier: MIT */
/* What stillctl prints: tables, sizes, times, bars, scripts for shells. */
#include "config.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <locale.h>
#include <time.h>

#include "base/sys.h"
#include "ctl/complete.h"
#include "ctl/job.h"
#include "ctl/mounted.h"
#include "ctl/out.h"
#include "ctl/table.h"
#include "ctl/verb.h"
#include "tests/unit/scratch.h"

/* ---- tables -------------------------------------------------------------- */

static const struct ctl_column columns[] = {
    {"NAME", false},
    {"N", true},
    {"LAST", false},
};

static void assert_table(const char *const *cells, const char *expected)
{
	struct still_error err = STILL_ERROR_INIT;
	struct still_buf out = STILL_BUF_INIT;
	struct ctl_table table;

	ctl_table_init(&table, columns, 3);
	for (; *cells; cells++)
		ctl_table_add(&table, strcmp(*cells, "NULL") ? *cells : NULL);
	assert_int_equal(ctl_table_render(&table, &out, &err), 0);
	assert_string_equal(out.data, expected);
	ctl_table_release(&table);
	still_buf_release(&out);
}

#define CELLS(...)                \
	(const char *const[])     \
	{                         \
		__VA_ARGS__, NULL \
	}

static void aligned(void **state)
{
	(void) state;
	assert_table(CELLS("a", "1", "x", "longer name", "12345", "y z"),
	    "NAME             N  LAST\n"
	    "a                1  x\n"
	    "longer name  12345  y z\n");
	assert_table(CELLS("a", "NULL", "NULL"),
	    "NAME  N  LAST\n"
	    "a     -  -\n");
}

static void only_a_head(void **state)
{
	(void) state;
	assert_table((const char *const[]){NULL}, "NAME  N  LAST\n");
}

/* Umlauts are one column wide, ideographs two, combining marks none. */
static void wide_letters(void **state)
{
	(void) state;
	assert_table(
	    CELLS("\xc3\xa4\xc3\xb6", "1", "x", "\xe6\x97\xa5\xe6\x9c\xac", "2",
		"y", "e\xcc\x81zz", "3", "z"),
	    "NAME  N  LAST\n"
	    "\xc3\xa4\xc3\xb6    1  x\n"
	    "\xe6\x97\xa5\xe6\x9c\xac  2  y\n"
	    "e\xcc\x81zz   3  z\n");
	assert_int_equal(ctl_text_width("\xf0\x9f\x97\x84"), 1);
	assert_int_equal(ctl_text_width(""), 0);
}

/* Nothing in a name moves a cursor or ends a line. */
static void control_bytes(void **state)
{
	(void) state;
	assert_table(CELLS("a\033[2Jb\nc", "1", "\xff\x7f"),
	    "NAME            N  LAST\n"
	    "a\\x1b[2Jb\\x0ac  1  \\xff\\x7f\n");
}

/* ---- values -------------------------------------------------------------- */

static void times(void **state)
{
	static const int64_t time_ns = INT64_C(1795305600123456789);
	struct still_buf buf = STILL_BUF_INIT;

	(void) state;
	setenv("TZ", "UTC", 1);
	tzset();
	ctl_buf_time(&buf, time_ns);
	assert_string_equal(buf.data, "2026-11-22 00:00:00");
	still_buf_release(&buf);
	setenv("TZ", "XXX-3", 1);
	tzset();
	ctl_buf_time(&buf, time_ns);
	assert_string_equal(buf.data, "2026-11-22 03:00:00");
	still_buf_release(&buf);
	ctl_buf_time(&buf, 0);
	assert_string_equal(buf.data, "-");
	still_buf_release(&buf);
	/* Read in UTC, wherever we are. */
	assert_true(
	    ctl_time_parse("2026-11-22T00:00:00.123456789Z") == time_ns);
	assert_true(ctl_time_parse("2026-11-22T00:00:00Z") ==
	    INT64_C(1795305600) * STILL_NS_PER_S);
	assert_true(ctl_time_parse("2026-11-22T00:00:00.5Z") ==
	    INT64_C(1795305600500000000));
	assert_true(ctl_time_parse("2026-11-22T00:00:00") == 0);
	assert_true(ctl_time_parse("2026-11-22T00:00:00.1234567891Z") == 0);
	assert_true(ctl_time_parse("yesterday") == 0);
	assert_true(ctl_time_parse("") == 0);
}

static void assert_bar(
    bool counts, uint64_t verified, uint64_t bytes, const char *expected)
{
	const struct ctl_job job = {
	    .doing = "verifying", .counts_bytes = counts};
	struct still_control answer = {
	    .bytes = bytes, .bytes_verified = verified};
	struct still_buf buf = STILL_BUF_INIT;

	ctl_job_bar(&buf, &job, &answer, 61 * STILL_NS_PER_S + 5);
	assert_string_equal(buf.data, expected);
	still_buf_release(&buf);
}

static void bars(void **state)
{
	(void) state;
	assert_bar(false, 0, 0, "verifying  61 s");
	assert_bar(true, 0, 0, "verifying  61 s");
	assert_bar(true, 0, 4096,
	    "verifying  [........................]   0%  0 B of 4.0 KiB");
	assert_bar(true, 2048, 4096,
	    "verifying  [############............]  50%  2.0 KiB of 4.0 KiB");
	assert_bar(true, 4096, 4096,
	    "verifying  [########################] 100%  4.0 KiB of 4.0 KiB");
	assert_bar(true, 5000, 4096,
	    "verifying  [########################] 100%  4.9 KiB of 4.0 KiB");
}

/* A freeze that captures. */
static void freeze_bar(void **state)
{
	static const struct ctl_job job = {.doing = "freezing"};
	struct still_control answer = {
	    .bytes = 1, .capture_bytes = 4096, .captured_bytes = 1024};
	struct still_buf buf = STILL_BUF_INIT;

	(void) state;
	ctl_job_bar(&buf, &job, &answer, 0);
	assert_string_equal(buf.data,
	    "freezing  [######..................]  25%  1.0 KiB of 4.0 KiB");
	still_buf_release(&buf);
}

static void errors_in_json(void **state)
{
	struct still_error err = STILL_ERROR_INIT;
	json_t *object;

	(void) state;
	still_error_set(&err, STILL_ERR_BUSY, 0, "Wait.", "`a\xff\n`: is busy");
	object = ctl_error_json(&err);
	assert_string_equal(
	    json_string_value(json_object_get(object, "code")), "busy");
	assert_string_equal(
	    json_string_value(json_object_get(object, "message")),
	    "`a\\xff\\x0a`: is busy");
	assert_string_equal(
	    json_string_value(json_object_get(object, "hint")), "Wait.");
	json_decref(object);
	still_error_clear(&err);
	still_error_set(&err, STILL_ERR_IO, 0, NULL, "x");
	object = ctl_error_json(&err);
	assert_true(json_is_null(json_object_get(object, "hint")));
	json_decref(object);
	still_error_clear(&err);
}

/* ---- scripts ------------------------------------------------------------- */

static char *script_for(const char *shell)
{
	struct still_buf buf = STILL_BUF_INIT;
	FILE *file = tmpfile();
	char line[4096];

	assert_non_null(file);
	assert_true(ctl_complete(shell, file));
	rewind(file);
	while (fgets(line, sizeof(line), file))
		still_buf_str(&buf, line);
	fclose(file);
	return still_buf_take(&buf, NULL);
}

static void assert_has_verb(const char *text, const struct ctl_verb *verb)
{
	const char *part;
	char word[64];

	snprintf(word, sizeof(word), "\t%s) ", verb->name);
	part = strstr(text, word);
	assert_non_null(part);
	for (const struct ctl_option *o = verb->options; o->name; o++) {
		snprintf(word, sizeof(word), "--%s", o->name);
		assert_non_null(strstr(part, word));
	}
}

/* Each verb and each option is in both; what they do is tried in the shells. */
static void scripts_have_everything(void **state)
{
	static const char *const shells[] = {"bash", "zsh"};

	(void) state;
	for (size_t i = 0; i < 2; i++) {
		char *text = script_for(shells[i]);

		for (const struct ctl_verb *const *v = ctl_verbs; *v; v++)
			assert_has_verb(text, *v);
		free(text);
	}
	assert_false(ctl_complete("fish", stdout));
	assert_false(ctl_complete("", stdout));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(aligned),
	    cmocka_unit_test(only_a_head),
	    cmocka_unit_test(wide_letters),
	    cmocka_unit_test(control_bytes),
	    cmocka_unit_test(times),
	    cmocka_unit_test(bars),
	    cmocka_unit_test(freeze_bar),
	    cmocka_unit_test(errors_in_json),
	    cmocka_unit_test(scripts_have_everything),
	};

	scratch_watchdog();
	setlocale(LC_CTYPE, "C.UTF-8");
	return cmocka_run_group_tests(tests, NULL, NULL);
}
