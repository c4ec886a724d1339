/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "engines/postgres/exclude.h"

#include <string.h>
#include <sys/stat.h>

/* Digits of the longest relfilenode, as the server's parsers have it. */
#define OID_DIGITS 10

struct rule {
	const char *name;
	bool prefix;
};

static const struct rule out_names[] = {
    {"pgsql_tmp", true},
    {"pg_internal.init", true},
    {"postgresql.auto.conf.tmp", false},
    {"current_logfiles.tmp", false},
    {"backup_label", false},
    {"tablespace_map", false},
    {"backup_manifest", false},
    {"postmaster.pid", false},
    {"postmaster.opts", false},
    {".DS_Store", false},
};

static const char *const emptied[] = {
    "pg_stat_tmp",
    "pg_replslot",
    "pg_dynshmem",
    "pg_notify",
    "pg_serial",
    "pg_snapshots",
    "pg_subtrans",
};

/* Without what is in these there is no cluster. */
static const char *const vital[] = {
    "PG_VERSION",
    "base",
    "global",
    "pg_commit_ts",
    "pg_logical",
    "pg_multixact",
    "pg_stat",
    "pg_tblspc",
    "pg_twophase",
    "pg_xact",
};

#define N(array) (sizeof(array) / sizeof((array)[0]))

static const char *base_of(const char *rel)
{
	const char *slash = strrchr(rel, '/');

	return slash ? slash + 1 : rel;
}

static bool is_out(const char *name)
{
	for (size_t i = 0; i < N(out_names); i++) {
		const struct rule *rule = &out_names[i];

		if (rule->prefix
			? strncmp(name, rule->name, strlen(rule->name)) == 0
			: strcmp(name, rule->name) == 0)
			return true;
	}
	return false;
}

static bool is_emptied(enum still_pg_top top, const char *rel)
{
	const char *name = base_of(rel);

	for (size_t i = 0; i < N(emptied); i++)
		if (strcmp(name, emptied[i]) == 0)
			return true;
	return top == STILL_PG_TOP_DATA && strcmp(rel, "pg_wal") == 0;
}

/* Is `rel` one of those that a cluster cannot do without, or below it? */
static bool is_vital(enum still_pg_top top, const char *rel)
{
	if (top == STILL_PG_TOP_SPACE)
		return true;
	for (size_t i = 0; i < N(vital); i++) {
		size_t len = strlen(vital[i]);

		if (strncmp(rel, vital[i], len) == 0 &&
		    (rel[len] == '\0' || rel[len] == '/'))
			return true;
	}
	return false;
}

/* ---- names of relations -------------------------------------------------- */

static size_t digits_at(const char *p)
{
	return strspn(p, "0123456789");
}

/* A number as the server writes it, from 1 to `max`; 0: none. */
static size_t number_at(const char *p, uint64_t max, uint32_t *ret)
{
	size_t n = digits_at(p);
	uint64_t value = 0;

	if (n == 0 || n > OID_DIGITS || p[0] == '0')
		return 0;
	for (size_t i = 0; i < n; i++)
		value = 10 * value + (uint64_t) (p[i] - '0');
	if (value > max)
		return 0;
	*ret = (uint32_t) value;
	return n;
}

/* "_fsm", "_vm" or "_init"; their length, or 0. */
static size_t fork_at(const char *p, enum still_pg_fork *ret)
{
	static const struct {
		const char *text;
		enum still_pg_fork fork;
	} forks[] = {
	    {"_fsm", STILL_PG_FORK_FSM},
	    {"_vm", STILL_PG_FORK_VM},
	    {"_init", STILL_PG_FORK_INIT},
	};

	for (size_t i = 0; i < N(forks); i++) {
		size_t len = strlen(forks[i].text);

		if (strncmp(p, forks[i].text, len) == 0) {
			*ret = forks[i].fork;
			return len;
		}
	}
	return 0;
}

/* What may follow a number in the server's eyes: a fork and a segment, and then
 * the end. */
static bool lax_end(const char *p, enum still_pg_fork *ret)
{
	*ret = STILL_PG_FORK_MAIN;
	p += fork_at(p, ret);
	if (*p == '.' && digits_at(p + 1) > 0)
		p += 1 + digits_at(p + 1);
	return *p == '\0';
}

/* As looks_like_temp_rel_name() of the server. */
static bool is_temporary(const char *name)
{
	enum still_pg_fork fork;
	const char *p = name;

	if (*p++ != 't' || digits_at(p) == 0)
		return false;
	p += digits_at(p);
	if (*p++ != '_' || digits_at(p) == 0)
		return false;
	return lax_end(p + digits_at(p), &fork);
}

bool still_pg_relation_parse(const char *name, struct still_pg_relation *ret)
{
	struct still_pg_relation relation = {.fork = STILL_PG_FORK_MAIN};
	const char *p = name;
	size_t n;

	if (*p == 't') {
		n = digits_at(++p);
		if (n == 0 || p[n] != '_')
			return false;
		p += n + 1;
		relation.temporary = true;
	}
	n = number_at(p, UINT32_MAX, &relation.relfilenode);
	if (n == 0)
		return false;
	p += n;
	p += fork_at(p, &relation.fork);
	if (*p == '.') {
		n = number_at(p + 1, UINT32_MAX, &relation.segment);
		if (n == 0)
			return false;
		p += 1 + n;
	}
	if (*p)
		return false;
	*ret = relation;
	return true;
}

bool still_pg_unlogged_init(
    const char *name, char out[STILL_PG_INIT_NAME_BYTES])
{
	size_t n = digits_at(name);
	enum still_pg_fork fork;

	if (n == 0 || n > OID_DIGITS || !lax_end(name + n, &fork) ||
	    fork == STILL_PG_FORK_INIT)
		return false;
	memcpy(out, name, n);
	memcpy(out + n, "_init", sizeof("_init"));
	return true;
}

/* ---- the rule ------------------------------------------------------------ */

bool still_pg_is_database_dir(enum still_pg_top top, const char *rel)
{
	const char *slash = strchr(rel, '/');
	size_t n;

	if (!slash)
		return false;
	if (top == STILL_PG_TOP_DATA
		? slash - rel != 4 || memcmp(rel, "base", 4) != 0
		: strncmp(rel, "PG_", 3) != 0)
		return false;
	n = digits_at(slash + 1);
	return n > 0 && slash[1 + n] == '\0';
}

/* Of the directory that `rel` lies in. */
static bool in_database_dir(enum still_pg_top top, const char *rel)
{
	char dir[512];
	size_t len = (size_t) (base_of(rel) - rel);

	/* "base/" or "PG_..." with some digits behind is shorter. */
	if (len < 2 || len > sizeof(dir))
		return false;
	memcpy(dir, rel, len - 1);
	dir[len - 1] = '\0';
	return still_pg_is_database_dir(top, dir);
}

static enum still_pg_rule link_rule(enum still_pg_top top, const char *rel)
{
	if (top == STILL_PG_TOP_DATA && strncmp(rel, "pg_tblspc/", 10) == 0 &&
	    !strchr(rel + 10, '/'))
		return STILL_PG_SKIP;
	return is_vital(top, rel) ? STILL_PG_REFUSE : STILL_PG_SKIP;
}

static enum still_pg_rule file_rule(
    enum still_pg_top top, const char *rel, struct still_pg_relation *ret)
{
	bool in_database = in_database_dir(top, rel);
	const char *name = base_of(rel);
	bool in_global = top == STILL_PG_TOP_DATA && name - rel == 7 &&
	    memcmp(rel, "global/", 7) == 0;
	struct still_pg_relation relation;

	if (in_global && strcmp(name, "pg_control") == 0)
		return STILL_PG_CONTROL;
	if (in_database && is_temporary(name))
		return STILL_PG_OUT;
	if ((in_database || in_global) &&
	    still_pg_relation_parse(name, &relation) && !relation.temporary) {
		*ret = relation;
		return STILL_PG_RELATION;
	}
	return STILL_PG_IN;
}

enum still_pg_rule still_pg_exclude(enum still_pg_top top, const char *rel,
    mode_t mode, struct still_pg_relation *ret)
{
	if (is_out(base_of(rel)))
		return STILL_PG_OUT;
	if ((S_ISDIR(mode) || S_ISLNK(mode)) && is_emptied(top, rel))
		return STILL_PG_EMPTY_DIR;
	if (S_ISREG(mode))
		return file_rule(top, rel, ret);
	if (S_ISDIR(mode))
		return in_database_dir(top, rel) && is_temporary(base_of(rel))
		    ? STILL_PG_OUT
		    : STILL_PG_IN;
	if (S_ISLNK(mode))
		return link_rule(top, rel);
	return STILL_PG_SKIP;
}
