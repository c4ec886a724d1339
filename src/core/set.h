/* SPDX-License-Identifier: MIT */
/*
 * set: a set as it lies in a directory: its list of sums, and its description.
 * Nothing that it says is believed before it was looked at.
 *
 * THE LIST, verify/XXH128SUMS, is text. Each line is the XXH128 of a file as 32
 * lowercase hexadecimal digits, two spaces, the file's path relative to the set,
 * and a newline; the last line too. Paths are bytes. None has an empty part, "."
 * or "..", none begins with "/", none stands there twice, and none is that of
 * the list itself. backup.json is in it, and at least one other file but where the
 * set is incremental and nothing was added. Lines stand
 * in the order in which stillfs wrote them, which nothing depends on.
 *
 * THE DESCRIPTION is backup.json, stillfs-backup.json(5): `format` is 1, and
 * every key that is looked at has the type that is documented.
 *
 * A set that has a `base` is incremental: of each database that has the key
 * `increment` it holds only what was added to it, below logs/ (set_chain.h).
 *
 * THE FILES are reached from the set's directory through no symbolic link
 * (still_sys_open_beneath()), and are regular files. How many links they have
 * does not matter: tools that keep several sets share files between them. There
 * are no links but those that the description has, and of directories with
 * nothing in them at least those.
 *
 * THE DIRECTORY may also be one that sets are stored in (still_backup()): where
 * it is none itself, and has one called `full`, that one is meant.
 *
 * Threads: opened by one, then constant.
 */
#ifndef STILL_CORE_SET_H
#define STILL_CORE_SET_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/stat.h>

#include "base/error.h"
#include "base/hash.h"

#define STILL_SET_LIST "verify/XXH128SUMS"
#define STILL_SET_DESCRIPTION "backup.json"
#define STILL_SET_STORED "full" /* in the directory of a backup */
#define STILL_SET_LIST_MAX_BYTES (UINT64_C(1) << 30)
#define STILL_SET_JSON_MAX_BYTES (UINT64_C(1) << 28)

struct still_set_file {
	char *path; /* owned; relative to the set */
	struct still_hash128 sum;
};

struct still_set_database {
	const char
	    *path; /* borrowed from `files`' owner; relative to the set */
	uint64_t size_bytes;
	bool frozen;
	/* It is not in the set: only what was added to it since the base. */
	bool incremental;
	char *increment; /* owned; that, a file or a directory of the set; NULL:
			    nothing was */
	bool increment_sized;
	uint64_t increment_bytes; /* of that file, if `increment_sized` */
};

struct still_set_link {
	char *path;   /* owned; relative to the set */
	char *target; /* owned; leads to something in the set */
};

/* What is said about a part that is wrong: code CORRUPT (or ACCESS, IO, and
 * UNSUPPORTED of a description with a later format), `path` in the set. The text
 * begins with the object. */
typedef void still_set_flaw_fn(
    void *arg, const char *path, const struct still_error *what);

struct still_set {
	int dirfd;
	char *path; /* owned; resolved */

	struct still_set_file *files; /* owned; sorted by path, as bytes */
	size_t n_files;
	bool listed; /* the list is there, and without a flaw */
	bool summed; /* it could be read, and the next is set */
	struct still_hash128 list_sum; /* of its text: what a set that builds on
					  this one knows it by */

	json_t *json;  /* owned; backup.json; NULL: not to be had */
	char *session; /* owned; likewise, as are the next three */
	char *kind;
	char *engine;
	char *source;
	uint64_t number; /* of its session; 0: not said */
	char *base;      /* owned; the session that it builds on; NULL: none */
	uint64_t base_number;
	struct still_hash128 base_sum; /* of the base's list */
	char *chain;   /* owned; the full set's session; NULL: not said */
	uint64_t link; /* how many sets lie between, itself counted; 0: full */
	int64_t frozen_at_ns;
	uint64_t data_files;
	uint64_t data_bytes;
	struct still_set_database *databases; /* owned; sorted by path */
	char **database_paths;                /* owned */
	size_t n_databases;
	struct still_set_link *links; /* owned */
	size_t n_links;
	char **empty_dirs; /* owned; paths */
	size_t n_empty_dirs;
	bool described; /* backup.json is there, and without a flaw */
};

/*
 * Open the set in directory `path` and read its list and its description. What
 * is wrong with either is told to `flaw`, and the rest is read on as far as it
 * can be. NOTFOUND, INVALID, ACCESS: no directory; NOTFOUND: neither a list nor
 * a description is there, so it is no set. Release it in every case.
 */
int still_set_open(const char *path, still_set_flaw_fn *flaw, void *arg,
    struct still_set *ret, struct still_error *err);
void still_set_release(struct still_set *set);

/*
 * Read no more of the set in directory `name` of `dirfd` than its description,
 * and that only as far as it tells whose it is: `engine` and `source`. Whatever
 * else may be wrong with the set is not looked at. INVALID: that cannot be told,
 * so it may be anybody's; ACCESS, IO: it cannot be read. Release it in every
 * case.
 */
int still_set_identify(int dirfd, const char *name, struct still_set *ret,
    struct still_error *err);

/* The listed file of that path, or NULL. */
const struct still_set_file *still_set_find(
    const struct still_set *set, const char *path);

/* The described database of that path (in the set), or NULL. */
const struct still_set_database *still_set_database(
    const struct still_set *set, const char *path);

/*
 * Open a regular file of the set for reading; `*ret_fd` belongs to the caller.
 * What is no regular file is not opened at all: to open a device does something
 * to it. CORRUPT (missing, a link, no file), ACCESS, IO, with a message for a
 * flaw. Any thread.
 */
int still_set_open_file(const struct still_set *set, const char *path,
    int *ret_fd, struct stat *ret_st, struct still_error *err);

/*
 * Compare what is in the directory with the list and the description: missing
 * files, extra ones (a log or a journal beside a database is told as such),
 * links, things that are neither file nor directory, sizes and counts. Reads no
 * content. An empty directory too many is nothing. 0 when that was done.
 */
int still_set_compare(const struct still_set *set, still_set_flaw_fn *flaw,
    void *arg, uint64_t *ret_bytes, struct still_error *err);

#endif
