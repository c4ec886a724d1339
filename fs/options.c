/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "fs/options.h"

#define FUSE_USE_VERSION 312
#include <fuse_opt.h>

#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/connstr.h"
#include "base/value.h"
#include "still.h"

#define THREADS_DEFAULT_MAX 4
#define THREADS_MAX 64
#define FREEZE_MS_MAX (10 * 60 * 1000)
#define LEASE_S_DEFAULT 600
#define STALL_S_DEFAULT (6 * 60 * 60)
#define QUIET_S_MAX (366 * 24 * 60 * 60)
#define PIN_MS_MAX (60 * 1000)
/* What a JSON number can tell. */
#define SIZE_MAX_BYTES INT64_MAX

enum kind {
	FLAG,
	NUMBER,
	SIZE,
	STRING,
	CHOICE
};

struct option {
	const char *name;
	enum kind kind;
	size_t offset; /* in struct fs_options */
	uint64_t min;
	uint64_t max;
	const char *value; /* how --help calls it; the words of a CHOICE */
	const char *help;
};

#define AT(field) offsetof(struct fs_options, field)

static const struct option table[] = {
    {"allow_other", FLAG, AT(allow_other), 0, 0, NULL,
	"let other users in, as far as the source's modes do"},
    {"assist", FLAG, AT(assist), 0, 0, NULL,
	"checkpoint for the application; this writes to its files"},
    {"barrier_max", NUMBER, AT(barrier_max), 1, 1000000, "N",
	"refuse a source of more than N databases (4000)"},
    {"direct_io", FLAG, AT(direct_io), 0, 0, NULL,
	"read big files past the page cache: cheaper, but no mmap"},
    {"engine", STRING, AT(engine), 0, 0, "NAME",
	"let only the engine of this name look at SOURCE"},
    {"force", FLAG, AT(force), 0, 0, NULL,
	"accept network and FUSE file systems, and hard links"},
    {"freeze", CHOICE, AT(freeze), 0, 0, "auto|clone|copy",
	"how files are captured that change (auto)"},
    {"freeze_ms", NUMBER, AT(freeze_ms), 1, FREEZE_MS_MAX, "N",
	"give up a freeze that finds no moment in N ms (10000)"},
    {"incremental", FLAG, AT(incremental), 0, 0, NULL,
	"show incremental/, and keep what it needs"},
    {"lease", NUMBER, AT(lease_s), 1, QUIET_S_MAX, "SECONDS",
	"end a session that has been quiet for so long (600)"},
    {"noexec", FLAG, AT(noexec), 0, 0, NULL,
	"as for every mount: nothing in it can be executed"},
    {"nonempty", FLAG, AT(nonempty), 0, 0, NULL,
	"mount over a directory that is not empty"},
    {"pin", CHOICE, AT(pin), 0, 0, "auto|govern|hold",
	"what becomes of the hold on the databases (auto)"},
    {"pin_ms", NUMBER, AT(pin_ms), 1, PIN_MS_MAX, "N",
	"move a pin on that is older than N ms (500)"},
    {"spool", STRING, AT(spool), 0, 0, "DIR",
	"where private copies lie while a session lasts"},
    {"spool_max", SIZE, AT(spool_max_bytes), 1, SIZE_MAX_BYTES, "SIZE",
	"let them take SIZE at most (the disk, but for a tenth)"},
    {"stall", NUMBER, AT(stall_s), 1, QUIET_S_MAX, "SECONDS",
	"the same for one that is partly read (21600)"},
    {"stall_ms", NUMBER, AT(stall_ms), 1, 10 * 60 * 1000, "N",
	"hold writers off for N ms at most, to copy (500)"},
    {"state", STRING, AT(state), 0, 0, "DIR",
	"where sessions are remembered (/var/lib/stillfs)"},
    {"threads", NUMBER, AT(threads), 1, THREADS_MAX, "N",
	"serve at most N requests at once (the cores, up to 4)"},
    {"verify", CHOICE, AT(verify), 0, 0, "basic|quick|full",
	"what a freeze checks beyond logs and headers (basic)"},
    {"wal_max", SIZE, AT(wal_max_bytes), 0, SIZE_MAX_BYTES, "SIZE",
	"give a session up whose logs grow by more (1G); 0: never"},
};
#define N_OPTIONS (sizeof(table) / sizeof(table[0]))

/* What has no value and one letter. */
static const struct {
	const char *letter;
	const char *name; /* NULL: the letter only */
	size_t offset;
	const char *help;
} switches[] = {
    {"-f", "--foreground", AT(foreground),
	"stay in the foreground, log to stderr"},
    {"-d", "--debug", AT(debug), "as -f, with a trace of every request"},
    {"-V", "--version", AT(version), "print the version and exit"},
    {"-h", "--help", AT(help), "print this help and exit"},
};
#define N_SWITCHES (sizeof(switches) / sizeof(switches[0]))

/* mount(8), mount.fuse3(8) and fstab(5) speak to others with these. */
static const char *const ignored[] = {"ro", "rw", "defaults", "auto", "noauto",
    "user", "nouser", "users", "owner", "group", "nofail", "_netdev", "dev",
    "nodev", "suid", "nosuid", "exec", "atime", "noatime", "relatime",
    "norelatime", "strictatime", "diratime", "nodiratime", "lazytime",
    "nolazytime", "sync", "async", "dirsync", "default_permissions"};

static bool is_ignored(const char *word)
{
	if (strncmp(word, "x-", 2) == 0 || strncmp(word, "X-", 2) == 0 ||
	    strncmp(word, "comment=", 8) == 0)
		return true;
	for (size_t i = 0; i < sizeof(ignored) / sizeof(ignored[0]); i++)
		if (strcmp(word, ignored[i]) == 0)
			return true;
	return false;
}

struct parse {
	struct fs_options *options;
	struct still_error *err;
	unsigned n_positional;
};

static const struct option *find_option(const char *name, size_t len)
{
	for (size_t i = 0; i < N_OPTIONS; i++)
		if (strlen(table[i].name) == len &&
		    memcmp(table[i].name, name, len) == 0)
			return &table[i];
	return NULL;
}

static int set_option(
    struct parse *parse, const struct option *option, const char *value)
{
	char *field = (char *) parse->options + option->offset;

	if (option->kind == FLAG) {
		if (value)
			return still_error_set(parse->err, STILL_ERR_INVALID, 0,
			    NULL, "option `%s`: takes no value", option->name);
		*(bool *) field = true;
		return 0;
	}
	if (!value || !*value)
		return still_error_set(parse->err, STILL_ERR_INVALID, 0, NULL,
		    "option `%s`: needs a value", option->name);
	if (option->kind == NUMBER)
		return still_value_number(option->name, value,
		    (uint32_t) option->min, (uint32_t) option->max,
		    (uint32_t *) field, parse->err);
	if (option->kind == SIZE)
		return still_value_size(option->name, value, option->min,
		    option->max, (uint64_t *) field, parse->err);
	if (option->kind == CHOICE)
		return still_value_choice(option->name, option->value, value,
		    (uint32_t *) field, parse->err);
	free(*(char **) field);
	*(char **) field = strdup(value);
	return *(char **) field ? 0 : still_error_nomem(parse->err);
}

static int positional(struct parse *parse, const char *arg)
{
	char **field = parse->n_positional == 0 ? &parse->options->source
						: &parse->options->mountpoint;

	if (still_connstr_holds_secret(arg))
		return still_connstr_refuse_secret(parse->err);
	if (parse->n_positional++ >= 2)
		return still_error_set(parse->err, STILL_ERR_INVALID, 0,
		    "The usage is: stillfs SOURCE MOUNTPOINT [options].",
		    "`%s`: one argument too many", arg);
	*field = strdup(arg);
	return *field ? 0 : still_error_nomem(parse->err);
}

static int named(struct parse *parse, const char *arg)
{
	const char *word = arg;
	const struct option *option;
	size_t len;

	for (size_t i = 0; i < N_SWITCHES; i++)
		if (strcmp(arg, switches[i].letter) == 0 ||
		    strcmp(arg, switches[i].name) == 0) {
			*(bool *) ((char *) parse->options +
			    switches[i].offset) = true;
			return 0;
		}
	if (strncmp(arg, "--", 2) == 0)
		word += 2;
	else if (is_ignored(arg))
		return 0;
	len = strcspn(word, "=");
	/* Who asks for a password here would find it in /proc and fstab. */
	if (len == 8 && strncasecmp(word, "password", 8) == 0)
		return still_error_set(parse->err, STILL_ERR_INVALID, 0,
		    "Options can be read by every user of this machine.",
		    "option `password`: stillfs takes no secrets in options");
	option = find_option(word, len);
	if (!option)
		return still_error_set(parse->err, STILL_ERR_INVALID, 0,
		    "`stillfs --help` lists the options.",
		    "unknown option `%.*s`", (int) (len ? len : strlen(arg)),
		    len ? word : arg);
	return set_option(parse, option, word[len] ? word + len + 1 : NULL);
}

static int process(
    void *data, const char *arg, int key, struct fuse_args *outargs)
{
	struct parse *parse = data;
	int rc;

	(void) outargs;
	/* What follows "--" comes as it is; the word itself comes too. */
	if (strcmp(arg, "--") == 0)
		return 0;
	rc = key == FUSE_OPT_KEY_NONOPT ? positional(parse, arg)
					: named(parse, arg);
	return rc < 0 ? -1 : 0;
}

/* More threads than cores only take each other's turns; a few serve a cold
 * disk and several readers as well as many. */
static uint32_t default_threads(void)
{
	long cores = sysconf(_SC_NPROCESSORS_ONLN);

	if (cores < 1)
		return 1;
	return cores < THREADS_DEFAULT_MAX ? (uint32_t) cores
					   : THREADS_DEFAULT_MAX;
}

int fs_options_parse(
    int argc, char **argv, struct fs_options *ret, struct still_error *err)
{
	static const struct fuse_opt none[] = {FUSE_OPT_END};
	struct fuse_args args = FUSE_ARGS_INIT(argc, argv);
	struct parse parse = {ret, err, 0};
	int rc;

	*ret = (struct fs_options){
	    .freeze_ms = STILL_FREEZE_MS_DEFAULT,
	    .stall_ms = STILL_STALL_MS_DEFAULT,
	    .barrier_max = STILL_BARRIER_MAX_DEFAULT,
	    .verify = STILL_VERIFY_BASIC,
	    .pin = STILL_PIN_MODE_AUTO,
	    .pin_ms = STILL_PIN_MS_DEFAULT,
	    .wal_max_bytes = STILL_WAL_MAX_BYTES_DEFAULT,
	    .threads = default_threads(),
	    .lease_s = LEASE_S_DEFAULT,
	    .stall_s = STALL_S_DEFAULT,
	};
	/* libfuse's own parser cuts "-o a,b\,c" as mount.fuse3 writes it. */
	rc = fuse_opt_parse(&args, &parse, none, process);
	fuse_opt_free_args(&args);
	if (rc != 0)
		return err->code ? err->code
				 : still_error_set(err, STILL_ERR_INVALID, 0,
				       NULL, "option `-o`: needs a value");
	if (ret->debug)
		ret->foreground = true;
	if (ret->help || ret->version)
		return 0;
	if (parse.n_positional < 2)
		return still_error_set(err, STILL_ERR_INVALID, 0,
		    "The usage is: stillfs SOURCE MOUNTPOINT [options].",
		    parse.n_positional == 0 ? "no source given"
					    : "no mountpoint given");
	return 0;
}

void fs_options_release(struct fs_options *options)
{
	free(options->source);
	free(options->mountpoint);
	free(options->engine);
	free(options->spool);
	free(options->state);
	memset(options, 0, sizeof(*options));
}

void fs_options_usage(FILE *out)
{
	fprintf(out,
	    "usage: stillfs SOURCE MOUNTPOINT [options]\n\n"
	    "Mount a consistent, verified snapshot of live databases. SOURCE "
	    "is a database,\na directory with databases, a PGDATA or a "
	    "postgresql:// URI; copy\nMOUNTPOINT/backup with any tool, then "
	    "unmount.\n\n");
	for (size_t i = 0; i < N_SWITCHES; i++)
		fprintf(out, "  %s, %-20s %s\n", switches[i].letter,
		    switches[i].name, switches[i].help);
	fprintf(out, "\noptions, as -o NAME[=VALUE] or --NAME[=VALUE]:\n");
	for (size_t i = 0; i < N_OPTIONS; i++) {
		char left[40];

		snprintf(left, sizeof(left), "%s%s%s", table[i].name,
		    table[i].value ? "=" : "",
		    table[i].value ? table[i].value : "");
		fprintf(out, "  %-24s %s\n", left, table[i].help);
	}
	fprintf(out,
	    "\nExit status: 0 mounted, 1 failed, 2 usage. "
	    "See stillfs(1).\n");
}
