/* SPDX-License-Identifier: MIT */
/* stillctl's command line: what is parsed, and that --help tells all of it. */
#include "config.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "ctl/exit.h"
#include "ctl/help.h"
#include "ctl/options.h"
#include "ctl/verb.h"
#include "tests/unit/scratch.h"

#define WORDS(...)                \
	(const char *const[])     \
	{                         \
		__VA_ARGS__, NULL \
	}

static const char *const no_words[] = {NULL};

static const struct ctl_option *table_of(const char *verb)
{
	return ctl_verb_find(verb)->options;
}

static void good(
    const char *verb, const char *const *words, struct ctl_options *ret)
{
	struct still_error err = STILL_ERROR_INIT;

	if (ctl_options_parse(table_of(verb), 1, words, ret, &err) != 0)
		fail_msg("%s", still_error_msg(&err));
}

static void refused(
    const char *verb, const char *const *words, const char *message)
{
	struct still_error err = STILL_ERROR_INIT;
	struct ctl_options options;

	assert_int_equal(
	    ctl_options_parse(table_of(verb), 1, words, &options, &err),
	    STILL_ERR_INVALID);
	assert_string_equal(still_error_msg(&err), message);
	still_error_clear(&err);
}

/* ---- parsing ------------------------------------------------------------- */

static void nothing_said(void **state)
{
	struct ctl_options o;

	(void) state;
	good("check", no_words, &o);
	assert_false(o.help || o.json || o.quiet || o.copy || o.lazy || o.all ||
	    o.good || o.force);
	assert_null(o.state);
	assert_null(o.engine);
	assert_null(o.spool);
	assert_true(o.spool_max_bytes == 0);
	assert_null(o.target);
	assert_int_equal(o.limit, 0);
	assert_int_equal(o.freeze_ms, STILL_FREEZE_MS_DEFAULT);
	assert_int_equal(o.stall_ms, STILL_STALL_MS_DEFAULT);
	assert_int_equal(o.barrier_max, STILL_BARRIER_MAX_DEFAULT);
	assert_int_equal(o.verify, STILL_VERIFY_BASIC);
}

static void flags_and_letters(void **state)
{
	struct ctl_options o;

	(void) state;
	good("list", WORDS("-aqg", "--json"), &o);
	assert_true(o.all && o.quiet && o.good && o.json);
	good("list", WORDS("-qn5", "TARGET"), &o);
	assert_true(o.quiet);
	assert_int_equal(o.limit, 5);
	assert_string_equal(o.target, "TARGET");
	good("list", WORDS("-n", "7"), &o);
	assert_int_equal(o.limit, 7);
	good("begin", WORDS("TARGET", "-c"), &o);
	assert_true(o.copy);
	good("umount", WORDS("--lazy"), &o);
	assert_true(o.lazy);
	good("status", WORDS("-h"), &o);
	assert_true(o.help);
}

static void values(void **state)
{
	struct ctl_options o;

	(void) state;
	good("check",
	    WORDS("--state=/s", "--spool", "/p", "--engine=a=b",
		"--spool-max=3G", "--verify=full", "--freeze-ms=1",
		"--stall-ms", "600000", "--barrier-max=1000000", "--force",
		"SRC"),
	    &o);
	assert_string_equal(o.state, "/s");
	assert_string_equal(o.spool, "/p");
	assert_true(o.spool_max_bytes == UINT64_C(3) << 30);
	assert_string_equal(o.engine, "a=b");
	assert_int_equal(o.verify, STILL_VERIFY_FULL);
	assert_int_equal(o.freeze_ms, 1);
	assert_int_equal(o.stall_ms, 600000);
	assert_int_equal(o.barrier_max, 1000000);
	assert_true(o.force);
	assert_string_equal(o.target, "SRC");
	/* The last one counts; a value may look like an option. */
	good("check", WORDS("--engine=a", "--engine", "--force"), &o);
	assert_string_equal(o.engine, "--force");
	assert_false(o.force);
}

static void behind_two_dashes(void **state)
{
	struct ctl_options o;

	(void) state;
	good("status", WORDS("--", "--json"), &o);
	assert_string_equal(o.target, "--json");
	assert_false(o.json);
	good("status", WORDS("-"), &o);
	assert_string_equal(o.target, "-");
}

static void refusals(void **state)
{
	(void) state;
	refused("status", WORDS("--nonsense"), "unknown option `--nonsense`");
	refused("status", WORDS("-x"), "unknown option `-x`");
	refused("status", WORDS("-qx"), "unknown option `-x`");
	/* Of another verb, or of none. */
	refused("begin", WORDS("--truncate"), "unknown option `--truncate`");
	refused("begin", WORDS("--snapshot"), "unknown option `--snapshot`");
	/* Of another verb. */
	refused("begin", WORDS("--lazy"), "unknown option `--lazy`");
	/* Nothing is abbreviated, nor may it go on. */
	refused("status", WORDS("--js"), "unknown option `--js`");
	refused("status", WORDS("--jsonx"), "unknown option `--jsonx`");
	refused("status", WORDS("--=x"), "unknown option `--`");
	/* What was typed behind it stays unsaid. */
	refused("status", WORDS("--password=geheim"),
	    "unknown option `--password`");
	refused(
	    "status", WORDS("--json=yes"), "option `--json`: takes no value");
	refused("status", WORDS("--state"), "option `--state`: needs a value");
	refused("status", WORDS("--state="), "option `--state`: needs a value");
	refused("list", WORDS("-n"), "option `--limit`: needs a value");
	refused("list", WORDS("--limit=x"),
	    "option `--limit`: `x` is not a number");
	refused("list", WORDS("--limit=-1"),
	    "option `--limit`: `-1` is not a number");
	refused("list", WORDS("--limit=1x"),
	    "option `--limit`: `1x` is not a number");
	refused("list", WORDS("--limit=0"),
	    "option `--limit`: 0 is out of range, it takes 1 to 1000000000");
	/* It would fit if it were cut to 32 bits. */
	refused("list", WORDS("--limit=4294967297"),
	    "option `--limit`: 4294967297 is out of range, it takes 1 to "
	    "1000000000");
	refused("check", WORDS("--spool-max=1X"),
	    "option `--spool-max`: `1X` is not a size");
	refused("check", WORDS("--spool-max", "0"),
	    "option `--spool-max`: 0 is out of range, it takes 1 to "
	    "9223372036854775807 bytes");
	refused("check", WORDS("--verify=all"),
	    "option `--verify`: `all` is not one of basic|quick|full");
	refused("status", WORDS("A", "B"), "`B`: one argument too many");
	refused(
	    "status", WORDS(""), "``: names neither a mountpoint nor a source");
}

static void no_target(void **state)
{
	struct still_error err = STILL_ERROR_INIT;
	struct ctl_options o;

	(void) state;
	assert_int_equal(
	    ctl_options_parse(table_of("list"), 0, WORDS("A"), &o, &err),
	    STILL_ERR_INVALID);
	assert_string_equal(
	    still_error_msg(&err), "`A`: one argument too many");
	still_error_clear(&err);
}

static void two_words(void **state)
{
	struct still_error err = STILL_ERROR_INIT;
	struct ctl_options o;

	(void) state;
	assert_int_equal(ctl_options_parse(table_of("list"), 2,
			     WORDS("A", "--json", "-"), &o, &err),
	    0);
	assert_int_equal(o.n_words, 2);
	assert_string_equal(o.target, "A");
	assert_string_equal(o.words[0], "A");
	assert_string_equal(o.words[1], "-");
	assert_int_equal(ctl_options_parse(table_of("list"), 2,
			     WORDS("A", "B", "C"), &o, &err),
	    STILL_ERR_INVALID);
	assert_string_equal(
	    still_error_msg(&err), "`C`: one argument too many");
	still_error_clear(&err);
}

/* The error before --json is told in JSON too, unless it is a name. */
static void json_wherever_it_is(void **state)
{
	struct still_error err = STILL_ERROR_INIT;
	struct ctl_options o;

	(void) state;
	assert_int_equal(ctl_options_parse(table_of("list"), 1,
			     WORDS("--nonsense", "--json"), &o, &err),
	    STILL_ERR_INVALID);
	assert_true(o.json);
	assert_int_equal(ctl_options_parse(table_of("list"), 1,
			     WORDS("--nonsense", "--", "--json"), &o, &err),
	    STILL_ERR_INVALID);
	assert_false(o.json);
	still_error_clear(&err);
}

/* ---- the tables ---------------------------------------------------------- */

typedef void each_fn(
    const struct ctl_verb *verb, const struct ctl_option *option, void *arg);

static void each(each_fn *look, void *arg)
{
	for (const struct ctl_verb *const *v = ctl_verbs; *v; v++) {
		for (const struct ctl_option *o = (*v)->options; o->name; o++)
			look(*v, o, arg);
		for (const struct ctl_option *o = ctl_options_common; o->name;
		     o++)
			look(*v, o, arg);
	}
}

/* Of each name and letter there is one in a verb; and what scripts are made of
 * holds no quote. */
static void is_sane(
    const struct ctl_verb *verb, const struct ctl_option *option, void *arg)
{
	unsigned same = 0;
	unsigned letters = 0;

	(void) arg;
	for (int own = 0; own < 2; own++)
		for (const struct ctl_option *o = own ? verb->options
						      : ctl_options_common;
		     o->name; o++) {
			same += strcmp(o->name, option->name) == 0;
			letters += option->letter &&
			    o->letter == option->letter;
		}
	assert_int_equal(same, 1);
	assert_true(letters == (option->letter ? 1 : 0));
	assert_null(strpbrk(option->help, "'\""));
	assert_int_equal(strspn(option->name, "abcdefghijklmnopqrstuvwxyz-"),
	    strlen(option->name));
	assert_int_equal(!option->value, option->kind == CTL_FLAG);
	if (option->kind == CTL_NUMBER || option->kind == CTL_SIZE)
		assert_true(option->max > option->min);
}

static void tables_are_sane(void **state)
{
	(void) state;
	each(is_sane, NULL);
	for (const struct ctl_verb *const *v = ctl_verbs; *v; v++) {
		assert_ptr_equal(ctl_verb_find((*v)->name), *v);
		assert_null(strpbrk((*v)->summary, "'\""));
		assert_non_null((*v)->run);
		assert_int_equal((*v)->options == NULL, 0);
	}
	assert_null(ctl_verb_find("back"));
	assert_null(ctl_verb_find(""));
}

static char *help_of(const struct ctl_verb *verb)
{
	char *text = NULL;
	size_t len = 0;
	FILE *out = open_memstream(&text, &len);

	assert_non_null(out);
	if (verb)
		ctl_help_verb(verb, out);
	else
		ctl_help(out);
	fclose(out);
	return text;
}

static void is_in_help(
    const struct ctl_verb *verb, const struct ctl_option *option, void *arg)
{
	char *text = help_of(verb);
	char form[64];
	char *found;

	(void) arg;
	snprintf(form, sizeof(form), "%s --%s%s%s ",
	    option->letter ? "," : "   ", option->name,
	    option->value ? "=" : "", option->value ? option->value : "");
	found = strstr(text, form);
	if (!found || !strstr(found, option->help))
		fail_msg("stillctl %s --help lacks \"%s\"", verb->name, form);
	free(text);
}

static void is_narrow(char *text)
{
	for (char *line = strtok(text, "\n"); line; line = strtok(NULL, "\n"))
		if (strlen(line) > 80)
			fail_msg("wider than a terminal: %s", line);
}

static void help_is_whole(void **state)
{
	char *text = help_of(NULL);

	(void) state;
	each(is_in_help, NULL);
	for (const struct ctl_verb *const *v = ctl_verbs; *v; v++) {
		char line[128];
		char *own = help_of(*v);

		snprintf(line, sizeof(line), "\n  %-8s %s\n", (*v)->name,
		    (*v)->summary);
		assert_non_null(strstr(text, line));
		is_narrow(own);
		free(own);
	}
	assert_non_null(strstr(text, "6 aborted"));
	is_narrow(text);
	free(text);
}

/* ---- exit codes ---------------------------------------------------------- */

/* Scripts rely on the numbers. */
static void exit_codes(void **state)
{
	static const struct {
		int code;
		int status;
	} errors[] = {
	    {0, 0},
	    {STILL_ERR_FAILED, 1},
	    {STILL_ERR_NOTFOUND, 1},
	    {STILL_ERR_INVALID, 1},
	    {STILL_ERR_BUSY, 4},
	    {STILL_ERR_AGAIN, 4},
	    {STILL_ERR_ACCESS, 1},
	    {STILL_ERR_CORRUPT, 5},
	    {STILL_ERR_LOST, 1},
	    {STILL_ERR_PROTO, 1},
	};
	static const struct {
		enum still_outcome outcome;
		int status;
	} outcomes[STILL_OUTCOME_COUNT] = {
	    {STILL_NO_OUTCOME, 1},
	    {STILL_COPIED, 0},
	    {STILL_ABORTED_UNREAD, 6},
	    {STILL_ABORTED_PARTIAL, 6},
	    {STILL_ABORTED_CORRUPT, 5},
	    {STILL_ABORTED_INCOMPLETE, 6},
	    {STILL_ABORTED_LOST, 6},
	    {STILL_ABORTED_FORCED, 6},
	    {STILL_ABORTED_FREEZE, 6},
	    {STILL_COMMITTED, 0},
	    {STILL_ABORTED_CALLER, 6},
	    {STILL_ABORTED_CRASH, 6},
	    {STILL_ABORTED_UNRECORDED, 6},
	};

	(void) state;
	for (size_t i = 0; i < sizeof(errors) / sizeof(errors[0]); i++)
		assert_int_equal(
		    ctl_exit_of_error(errors[i].code), errors[i].status);
	for (size_t i = 0; i < STILL_OUTCOME_COUNT; i++) {
		assert_int_equal(outcomes[i].outcome, i);
		assert_int_equal(ctl_exit_of_outcome(outcomes[i].outcome),
		    outcomes[i].status);
	}
	assert_string_equal(ctl_exit_word(CTL_EXIT_BUSY), "busy");
	assert_string_equal(
	    ctl_exit_word(CTL_EXIT_CORRUPT), "verification failed");
}

/* A commit that fails has ended the session, or has not. */
static void exit_of_jobs(void **state)
{
	(void) state;
	assert_int_equal(ctl_exit_of_job(0, STILL_ENDED, STILL_COMMITTED), 0);
	assert_int_equal(ctl_exit_of_job(STILL_ERR_CORRUPT, STILL_ENDED,
			     STILL_ABORTED_CORRUPT),
	    5);
	assert_int_equal(
	    ctl_exit_of_job(STILL_ERR_LOST, STILL_ENDED, STILL_ABORTED_LOST),
	    6);
	assert_int_equal(ctl_exit_of_job(STILL_ERR_CANCELLED, STILL_ENDED,
			     STILL_ABORTED_CALLER),
	    6);
	assert_int_equal(
	    ctl_exit_of_job(STILL_ERR_LOST, STILL_ENDED, STILL_ABORTED_CORRUPT),
	    5);
	assert_int_equal(
	    ctl_exit_of_job(STILL_ERR_IO, STILL_SERVING, STILL_NO_OUTCOME), 1);
	assert_int_equal(
	    ctl_exit_of_job(STILL_ERR_BUSY, STILL_ENDED, STILL_ABORTED_CALLER),
	    4);
	/* No session: how an older one ended is not the question. */
	assert_int_equal(ctl_exit_of_job(STILL_ERR_PROTO, STILL_ENDED,
			     STILL_ABORTED_PARTIAL),
	    1);
	assert_int_equal(
	    ctl_exit_of_job(STILL_ERR_IO, STILL_ENDED, STILL_COPIED), 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(nothing_said),
	    cmocka_unit_test(flags_and_letters),
	    cmocka_unit_test(values),
	    cmocka_unit_test(behind_two_dashes),
	    cmocka_unit_test(refusals),
	    cmocka_unit_test(no_target),
	    cmocka_unit_test(two_words),
	    cmocka_unit_test(json_wherever_it_is),
	    cmocka_unit_test(tables_are_sane),
	    cmocka_unit_test(help_is_whole),
	    cmocka_unit_test(exit_codes),
	    cmocka_unit_test(exit_of_jobs),
	};

	scratch_watchdog();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
