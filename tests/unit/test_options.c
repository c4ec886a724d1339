/* SPDX-License-Identifier: MIT */
/* The command line. */
#include "config.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "fs/options.h"
#include "still.h"
#include "tests/unit/scratch.h"

#define ARGS_MAX 12

/* Parse "stillfs" and these words; a NULL behind the last. The words are
 * copied, because main's argv may be written to. */
static int parse_words(
    const char *const *words, struct fs_options *ret, struct still_error *err)
{
	char *argv[ARGS_MAX + 2] = {strdup("stillfs")};
	int argc = 1;
	int rc;

	for (; words[argc - 1]; argc++) {
		assert_true(argc <= ARGS_MAX);
		argv[argc] = strdup(words[argc - 1]);
	}
	rc = fs_options_parse(argc, argv, ret, err);
	for (int i = 0; i < argc; i++)
		free(argv[i]);
	return rc;
}

#define WORDS(...)                \
	(const char *const[])     \
	{                         \
		__VA_ARGS__, NULL \
	}

static void parse_good(const char *const *words, struct fs_options *ret)
{
	struct still_error err = STILL_ERROR_INIT;

	if (parse_words(words, ret, &err) != 0)
		fail_msg("%s", still_error_msg(&err));
	assert_int_equal(err.code, 0);
}

static void refused(const char *const *words, const char *message)
{
	struct still_error err = STILL_ERROR_INIT;
	struct fs_options options;

	assert_int_equal(parse_words(words, &options, &err), STILL_ERR_INVALID);
	assert_int_equal(err.code, STILL_ERR_INVALID);
	if (!strstr(still_error_msg(&err), message))
		fail_msg("\"%s\" does not say \"%s\"", still_error_msg(&err),
		    message);
	still_error_clear(&err);
	fs_options_release(&options);
}

/* ---- what is asked for --------------------------------------------------- */

static void plain(void **state)
{
	struct fs_options options;
	long cores;

	(void) state;
	parse_good(WORDS("SRC", "MNT"), &options);
	assert_string_equal(options.source, "SRC");
	assert_string_equal(options.mountpoint, "MNT");
	assert_null(options.engine);
	assert_false(options.foreground || options.debug || options.help ||
	    options.version || options.force || options.nonempty ||
	    options.allow_other || options.noexec || options.direct_io);
	assert_int_equal(options.freeze_ms, STILL_FREEZE_MS_DEFAULT);
	assert_null(options.state);
	assert_int_equal(options.pin, STILL_PIN_MODE_AUTO);
	assert_int_equal(options.pin_ms, 500);
	assert_false(options.assist);
	assert_true(options.wal_max_bytes == UINT64_C(1) << 30);
	assert_true(options.spool_max_bytes == 0);
	assert_int_equal(options.lease_s, 600);
	assert_int_equal(options.stall_s, 6 * 60 * 60);
	cores = sysconf(_SC_NPROCESSORS_ONLN);
	assert_true(cores >= 1);
	assert_int_equal(options.threads, cores < 4 ? cores : 4);
	fs_options_release(&options);
	/* A release leaves nothing to release. */
	assert_null(options.source);
	fs_options_release(&options);
}

static void flags(void **state)
{
	static const struct {
		const char *name;
		size_t offset;
	} table[] = {
	    {"allow_other", offsetof(struct fs_options, allow_other)},
	    {"assist", offsetof(struct fs_options, assist)},
	    {"direct_io", offsetof(struct fs_options, direct_io)},
	    {"force", offsetof(struct fs_options, force)},
	    {"incremental", offsetof(struct fs_options, incremental)},
	    {"noexec", offsetof(struct fs_options, noexec)},
	    {"nonempty", offsetof(struct fs_options, nonempty)},
	};

	(void) state;
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		const char *name = table[i].name;
		char dashed[32];
		char valued[32];
		char joined[32];
		const char *const *forms[] = {
		    WORDS("SRC", "MNT", "-o", name),
		    WORDS("SRC", "MNT", joined),
		    WORDS("SRC", "MNT", dashed),
		    WORDS(dashed, "SRC", "MNT"),
		    WORDS("SRC", dashed, "MNT"),
		    WORDS("SRC", "MNT", "-o", "rw", "-o", name),
		};

		snprintf(dashed, sizeof(dashed), "--%s", name);
		snprintf(joined, sizeof(joined), "-o%s", name);
		for (size_t k = 0; k < sizeof(forms) / sizeof(forms[0]); k++) {
			struct fs_options options;

			parse_good(forms[k], &options);
			for (size_t o = 0; o < sizeof(table) / sizeof(table[0]);
			     o++)
				assert_int_equal(*(bool *) ((char *) &options +
						     table[o].offset),
				    o == i);
			assert_string_equal(options.source, "SRC");
			assert_string_equal(options.mountpoint, "MNT");
			fs_options_release(&options);
		}
		snprintf(valued, sizeof(valued), "%s=yes", name);
		refused(WORDS("SRC", "MNT", "-o", valued), "takes no value");
		refused(WORDS("SRC", "MNT", "-o", valued), name);
		snprintf(valued, sizeof(valued), "--%s=", name);
		refused(WORDS("SRC", "MNT", valued), "takes no value");
	}
}

static void numbers(void **state)
{
	static const struct {
		const char *name;
		size_t offset;
		uint32_t max;
	} table[] = {
	    {"freeze_ms", offsetof(struct fs_options, freeze_ms), 600000},
	    {"lease", offsetof(struct fs_options, lease_s), 31622400},
	    {"pin_ms", offsetof(struct fs_options, pin_ms), 60000},
	    {"stall", offsetof(struct fs_options, stall_s), 31622400},
	    {"threads", offsetof(struct fs_options, threads), 64},
	};
	static const char *const junk[] = {"x", "1x", "-1", "+1", " 1", "1 ",
	    "0x10", "1.5", "1e3", "\xd9\xa1"};

	(void) state;
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		const uint32_t values[] = {1, 7, table[i].max};
		char arg[64];
		char range[64];

		for (size_t k = 0; k < 6; k++) {
			struct fs_options options;

			snprintf(arg, sizeof(arg), "%s%s=%u",
			    k < 3 ? "-o" : "--", table[i].name, values[k % 3]);
			parse_good(WORDS("SRC", "MNT", arg), &options);
			assert_int_equal(
			    *(uint32_t *) ((char *) &options + table[i].offset),
			    values[k % 3]);
			fs_options_release(&options);
		}
		for (size_t k = 0; k < sizeof(junk) / sizeof(junk[0]); k++) {
			snprintf(arg, sizeof(arg), "--%s=%s", table[i].name,
			    junk[k]);
			refused(WORDS("SRC", "MNT", arg), "is not a number");
			refused(WORDS("SRC", "MNT", arg), table[i].name);
		}
		snprintf(range, sizeof(range),
		    "option `%s`: 0 is out of range, it takes 1 to %u",
		    table[i].name, table[i].max);
		snprintf(arg, sizeof(arg), "--%s=0", table[i].name);
		refused(WORDS("SRC", "MNT", arg), range);
		snprintf(arg, sizeof(arg), "--%s=%u", table[i].name,
		    table[i].max + 1);
		refused(WORDS("SRC", "MNT", arg), "out of range");
		/* These would fit if they were cut to 32 or 64 bits. */
		snprintf(arg, sizeof(arg), "--%s=4294967297", table[i].name);
		refused(WORDS("SRC", "MNT", arg), "out of range");
		snprintf(arg, sizeof(arg), "--%s=18446744073709551617",
		    table[i].name);
		refused(WORDS("SRC", "MNT", arg), "out of range");
		snprintf(arg, sizeof(arg), "-o%s", table[i].name);
		refused(WORDS("SRC", "MNT", arg), "needs a value");
		snprintf(arg, sizeof(arg), "--%s=", table[i].name);
		refused(WORDS("SRC", "MNT", arg), "needs a value");
	}
}

static void sizes(void **state)
{
	static const struct {
		const char *name;
		size_t offset;
		const char *below; /* of the range; NULL: 0 is in it */
	} table[] = {
	    {"spool_max", offsetof(struct fs_options, spool_max_bytes),
		"option `spool_max`: 0 is out of range, it takes 1 to "
		"9223372036854775807 bytes"},
	    {"wal_max", offsetof(struct fs_options, wal_max_bytes), NULL},
	};

	(void) state;
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		struct fs_options options;
		char arg[64];
		char said[96];

		snprintf(arg, sizeof(arg), "-o%s=7,force", table[i].name);
		parse_good(WORDS("SRC", "MNT", arg), &options);
		assert_true(
		    *(uint64_t *) ((char *) &options + table[i].offset) == 7);
		fs_options_release(&options);
		snprintf(arg, sizeof(arg), "--%s=8388607T", table[i].name);
		parse_good(WORDS("SRC", "MNT", arg), &options);
		assert_true(*(uint64_t *) ((char *) &options +
				table[i].offset) == UINT64_C(8388607) << 40);
		fs_options_release(&options);
		snprintf(arg, sizeof(arg), "--%s=8388608T", table[i].name);
		refused(WORDS("SRC", "MNT", arg), "is out of range");
		snprintf(arg, sizeof(arg), "--%s=1k", table[i].name);
		snprintf(said, sizeof(said), "option `%s`: `1k` is not a size",
		    table[i].name);
		refused(WORDS("SRC", "MNT", arg), said);
		snprintf(arg, sizeof(arg), "-o%s", table[i].name);
		refused(WORDS("SRC", "MNT", arg), "needs a value");
		snprintf(arg, sizeof(arg), "--%s=0", table[i].name);
		if (table[i].below) {
			refused(WORDS("SRC", "MNT", arg), table[i].below);
			continue;
		}
		parse_good(WORDS("SRC", "MNT", arg), &options);
		assert_true(
		    *(uint64_t *) ((char *) &options + table[i].offset) == 0);
		fs_options_release(&options);
	}
}

static void pins(void **state)
{
	static const char *const words[] = {
	    [STILL_PIN_MODE_AUTO] = "auto",
	    [STILL_PIN_MODE_GOVERN] = "govern",
	    [STILL_PIN_MODE_HOLD] = "hold",
	};

	(void) state;
	for (uint32_t i = 0; i < 3; i++) {
		struct fs_options options;
		char arg[32];

		snprintf(arg, sizeof(arg), "--pin=%s", words[i]);
		parse_good(WORDS("SRC", "MNT", arg), &options);
		assert_int_equal(options.pin, i);
		fs_options_release(&options);
	}
	refused(WORDS("SRC", "MNT", "--pin=held"),
	    "option `pin`: `held` is not one of auto|govern|hold");
}

static void ways(void **state)
{
	static const char *const words[] = {
	    [STILL_WAY_AUTO] = "auto",
	    [STILL_WAY_CLONE] = "clone",
	    [STILL_WAY_COPY] = "copy",
	};

	(void) state;
	for (uint32_t i = 0; i < 3; i++) {
		struct fs_options options;
		char arg[32];

		snprintf(arg, sizeof(arg), "--freeze=%s", words[i]);
		parse_good(WORDS("SRC", "MNT", arg), &options);
		assert_int_equal(options.freeze, i);
		fs_options_release(&options);
	}
	refused(WORDS("SRC", "MNT", "--freeze=clones"),
	    "option `freeze`: `clones` is not one of auto|clone|copy");
}

static void engine(void **state)
{
	struct fs_options options;

	(void) state;
	parse_good(WORDS("SRC", "MNT", "-o", "engine=sqlite"), &options);
	assert_string_equal(options.engine, "sqlite");
	fs_options_release(&options);
	/* The last one counts, and the first is not lost in memory. */
	parse_good(WORDS("SRC", "MNT", "--engine=one", "-oengine=two=three"),
	    &options);
	assert_string_equal(options.engine, "two=three");
	fs_options_release(&options);
	refused(WORDS("SRC", "MNT", "-o", "engine"), "`engine`: needs a value");
	refused(WORDS("SRC", "MNT", "--engine="), "`engine`: needs a value");
}

static void several_in_one_word(void **state)
{
	struct fs_options options;

	(void) state;
	parse_good(
	    WORDS("-oforce,threads=9,engine=sqlite,nonempty", "SRC", "MNT"),
	    &options);
	assert_true(options.force && options.nonempty);
	assert_int_equal(options.threads, 9);
	assert_string_equal(options.engine, "sqlite");
	fs_options_release(&options);
}

/* As mount.fuse3 writes a comma that belongs to a value. */
static void escaped_comma(void **state)
{
	struct fs_options options;

	(void) state;
	parse_good(WORDS("SRC", "MNT", "-o", "engine=a\\,b,force"), &options);
	assert_string_equal(options.engine, "a,b");
	assert_true(options.force);
	fs_options_release(&options);
	parse_good(WORDS("SRC", "MNT", "-o", "engine=a\\\\b"), &options);
	assert_string_equal(options.engine, "a\\b");
	fs_options_release(&options);
	/* Nothing is cut, and nothing unescaped, in the long form. */
	parse_good(WORDS("SRC", "MNT", "--engine=a\\,b,force"), &options);
	assert_string_equal(options.engine, "a\\,b,force");
	assert_false(options.force);
	fs_options_release(&options);
}

static void switches(void **state)
{
	static const struct {
		const char *form;
		size_t offset;
	} table[] = {
	    {"-f", offsetof(struct fs_options, foreground)},
	    {"--foreground", offsetof(struct fs_options, foreground)},
	    {"-d", offsetof(struct fs_options, debug)},
	    {"--debug", offsetof(struct fs_options, debug)},
	    {"-h", offsetof(struct fs_options, help)},
	    {"--help", offsetof(struct fs_options, help)},
	    {"-V", offsetof(struct fs_options, version)},
	    {"--version", offsetof(struct fs_options, version)},
	};

	(void) state;
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		struct fs_options options;

		parse_good(WORDS("SRC", "MNT", table[i].form), &options);
		assert_true(*(bool *) ((char *) &options + table[i].offset));
		/* A trace goes to stderr. */
		assert_int_equal(options.foreground,
		    strchr("fd", table[i].form[1]) ||
			strchr(
			    "fd", table[i].form[2] ? table[i].form[2] : 'x'));
		fs_options_release(&options);
	}
}

/* Who asks for help needs no source. */
static void help_needs_nothing(void **state)
{
	struct fs_options options;

	(void) state;
	parse_good(WORDS("--help"), &options);
	assert_true(options.help);
	fs_options_release(&options);
	parse_good(WORDS("-V"), &options);
	assert_true(options.version);
	fs_options_release(&options);
	refused(WORDS("--help", "--nonsense"), "unknown option `nonsense`");
}

static void words_of_mount(void **state)
{
	static const char *const words[] = {"ro", "rw", "defaults", "auto",
	    "noauto", "user", "nouser", "users", "owner", "group", "nofail",
	    "_netdev", "dev", "nodev", "suid", "nosuid", "exec", "atime",
	    "noatime", "relatime", "norelatime", "strictatime", "diratime",
	    "nodiratime", "lazytime", "nolazytime", "sync", "async", "dirsync",
	    "default_permissions", "x-systemd.automount",
	    "x-systemd.requires=network.target", "X-mount.mkdir", "x-gvfs-show",
	    "comment=anything"};

	(void) state;
	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
		struct fs_options options;
		struct fs_options none;

		parse_good(WORDS("SRC", "MNT", "-o", words[i]), &options);
		parse_good(WORDS("SRC", "MNT"), &none);
		assert_int_equal(options.noexec, none.noexec);
		assert_int_equal(options.allow_other, none.allow_other);
		assert_int_equal(options.threads, none.threads);
		fs_options_release(&options);
		fs_options_release(&none);
	}
	/* They are mount(8)'s, so they have no long form. */
	refused(WORDS("SRC", "MNT", "--rw"), "unknown option `rw`");
}

static void after_two_dashes(void **state)
{
	struct fs_options options;

	(void) state;
	parse_good(WORDS("-o", "force", "--", "-SRC", "-MNT"), &options);
	assert_string_equal(options.source, "-SRC");
	assert_string_equal(options.mountpoint, "-MNT");
	fs_options_release(&options);
}

/* ---- refusals ------------------------------------------------------------ */

static void unknown(void **state)
{
	(void) state;
	refused(
	    WORDS("SRC", "MNT", "-o", "nonsense"), "unknown option `nonsense`");
	refused(WORDS("SRC", "MNT", "--nonsense"), "unknown option `nonsense`");
	refused(WORDS("SRC", "MNT", "-o", "nonsense=5"),
	    "unknown option `nonsense`");
	refused(WORDS("SRC", "MNT", "-o", "force,nonsense,threads=3"),
	    "unknown option `nonsense`");
	refused(WORDS("SRC", "MNT", "-x"), "unknown option `-x`");
	refused(WORDS("SRC", "MNT", "-o", "forc"), "unknown option `forc`");
	refused(WORDS("SRC", "MNT", "-o", "forced"), "unknown option `forced`");
	refused(WORDS("SRC", "MNT", "-o", "=5"), "unknown option");
}

static void missing(void **state)
{
	(void) state;
	refused(WORDS("-f"), "no source given");
	refused(WORDS("SRC"), "no mountpoint given");
	refused(WORDS("-o", "force", "SRC"), "no mountpoint given");
	refused(WORDS("SRC", "MNT", "MORE"), "`MORE`: one argument too many");
	refused(WORDS("SRC", "MNT", "-o"), "option `-o`: needs a value");
}

static void no_secrets(void **state)
{
	static const char *const words[] = {
	    "password=secret", "password", "PASSWORD=secret", "Password="};

	(void) state;
	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
		struct still_error err = STILL_ERROR_INIT;
		struct fs_options options;

		assert_int_equal(
		    parse_words(
			WORDS("SRC", "MNT", "-o", words[i]), &options, &err),
		    STILL_ERR_INVALID);
		assert_non_null(strstr(still_error_msg(&err),
		    "stillfs takes no secrets in options"));
		/* Nor is it shown to whoever reads the log. */
		assert_null(strstr(still_error_msg(&err), "=secret"));
		still_error_clear(&err);
		fs_options_release(&options);
	}
	refused(WORDS("SRC", "MNT", "--password=secret"), "no secrets");
}

/* ---- help ---------------------------------------------------------------- */

static void help_lists_everything(void **state)
{
	static const char *const words[] = {"-f, --foreground", "-d, --debug",
	    "-V, --version", "-h, --help", "allow_other", "assist",
	    "barrier_max=N", "direct_io", "engine=NAME", "force",
	    "freeze=auto|clone|copy", "freeze_ms=N", "noexec", "nonempty",
	    "pin=auto|govern|hold", "pin_ms=N", "spool=DIR", "spool_max=SIZE",
	    "stall_ms=N", "threads=N", "verify=basic|quick|full",
	    "wal_max=SIZE"};
	char *text = NULL;
	size_t len = 0;
	FILE *out = open_memstream(&text, &len);
	char number[16];

	(void) state;
	assert_non_null(out);
	fs_options_usage(out);
	fclose(out);
	assert_int_equal(
	    strncmp(text, "usage: stillfs SOURCE MOUNTPOINT", 32), 0);
	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
		char line[64];

		/* At the beginning of a line, with something behind it. */
		snprintf(line, sizeof(line), "\n  %s ", words[i]);
		assert_non_null(strstr(text, line));
	}
	/* The texts repeat a default that the code knows elsewhere. */
	snprintf(number, sizeof(number), "(%u)", STILL_FREEZE_MS_DEFAULT);
	assert_non_null(strstr(text, number));
	free(text);
}

/* What --help names is what is parsed: each option of its list is known. */
static void help_lists_nothing_else(void **state)
{
	char *text = NULL;
	size_t len = 0;
	FILE *out = open_memstream(&text, &len);
	unsigned n = 0;
	char *line;

	(void) state;
	assert_non_null(out);
	fs_options_usage(out);
	fclose(out);
	line = strstr(text, "options, as -o");
	assert_non_null(line);
	while ((line = strstr(line, "\n  "))) {
		size_t name = strspn(line, "\n ");
		size_t n_chars = strcspn(line + name, "= ");
		bool valued = line[name + n_chars] == '=';
		struct still_error err = STILL_ERROR_INIT;
		struct fs_options options;
		const char *value;
		size_t n_value;
		char arg[64];

		/* A number, or the first of the words to choose from. */
		value = line + name + n_chars;
		n_value = strcspn(value, "| ");
		if (!valued || !memchr(value, '|', strcspn(value, " "))) {
			value = "=1";
			n_value = valued ? 2 : 0;
		}
		snprintf(arg, sizeof(arg), "--%.*s%.*s", (int) n_chars,
		    line + name, (int) n_value, value);
		parse_words(WORDS("SRC", "MNT", arg), &options, &err);
		assert_string_equal(still_error_msg(&err), "no error");
		fs_options_release(&options);
		line += name;
		n++;
	}
	assert_int_equal(n, 22);
	free(text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(plain),
	    cmocka_unit_test(flags),
	    cmocka_unit_test(numbers),
	    cmocka_unit_test(sizes),
	    cmocka_unit_test(pins),
	    cmocka_unit_test(ways),
	    cmocka_unit_test(engine),
	    cmocka_unit_test(several_in_one_word),
	    cmocka_unit_test(escaped_comma),
	    cmocka_unit_test(switches),
	    cmocka_unit_test(help_needs_nothing),
	    cmocka_unit_test(words_of_mount),
	    cmocka_unit_test(after_two_dashes),
	    cmocka_unit_test(unknown),
	    cmocka_unit_test(missing),
	    cmocka_unit_test(no_secrets),
	    cmocka_unit_test(help_lists_everything),
	    cmocka_unit_test(help_lists_nothing_else),
	};

	scratch_watchdog();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
