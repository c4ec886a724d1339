/* SPDX-License-Identifier: MIT */
/*
 * verb: what stillctl can be asked to do. Each verb is one file with one of
 * these; the list of all is in verb.c.
 */
#ifndef CTL_VERB_H
#define CTL_VERB_H

#include "ctl/options.h"
#include "still.h"

enum ctl_target_kind {
	CTL_TARGET_MOUNT,  /* a mountpoint, or a source that is mounted */
	CTL_TARGET_KNOWN,  /* the same, or what the catalog knows */
	CTL_TARGET_SOURCE, /* a source, mounted or not */
	CTL_TARGET_DEST,   /* any of these, and a directory behind it */
	CTL_TARGET_DIR     /* directories */
};

/*
 * Do it. Returns an enum ctl_exit, or a negative enum still_err_code, which
 * becomes one. Where `err` is set the caller tells it, whatever is returned.
 */
typedef int ctl_run_fn(
    const struct ctl_options *options, struct still_error *err);

struct ctl_verb {
	const char *name;    /* NULL ends a list */
	const char *summary; /* for lists: lowercase, no full stop */
	const char *help;    /* whole sentences, lines of at most 80 */
	enum ctl_target_kind target;
	const char *usage;  /* of the words that are no options: "[TARGET]" */
	unsigned min_words; /* of these */
	unsigned max_words; /* at most CTL_WORDS_MAX */
	const struct ctl_option *options;
	/* What it prints is its result: not to get it out is a failure. Others
	 * only tell what they did. */
	bool answers;
	ctl_run_fn *run;
};

extern const struct ctl_verb ctl_verb_abort;
extern const struct ctl_verb ctl_verb_backup;
extern const struct ctl_verb ctl_verb_begin;
extern const struct ctl_verb ctl_verb_check;
extern const struct ctl_verb ctl_verb_commit;
extern const struct ctl_verb ctl_verb_list;
extern const struct ctl_verb ctl_verb_restore;
extern const struct ctl_verb ctl_verb_status;
extern const struct ctl_verb ctl_verb_truncate;
extern const struct ctl_verb ctl_verb_umount;
extern const struct ctl_verb ctl_verb_verify;

/* All, in the order in which people meet them; NULL behind the last. */
extern const struct ctl_verb *const ctl_verbs[];

/* NULL: there is none of that name. */
const struct ctl_verb *ctl_verb_find(const char *name);

/* Run stillctl; `argv` as main has it. Returns the exit status. */
int ctl_main(const char *const *argv);

#endif
