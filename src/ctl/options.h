/* SPDX-License-Identifier: MIT */
/*
 * options: the options of stillctl. Each verb has a table of its own; from the
 * table are made the parser, --help and the completion of both shells.
 *
 *	stillctl VERB [--name[=VALUE]] [--name VALUE] [-x] [TARGET]
 *
 * A name is never abbreviated: what is short for one option today may be short
 * for two tomorrow, in somebody's script.
 */
#ifndef CTL_OPTIONS_H
#define CTL_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

#define CTL_WORDS_MAX 1024

/* What all verbs together can be asked. Texts are borrowed from argv. */
struct ctl_options {
	bool help;
	bool json;
	bool quiet;
	const char *state; /* NULL: the mount's, or the default one */
	bool copy;
	bool create;
	bool atomic; /* says what is so anyway */
	bool incremental;
	bool chain; /* incremental ones will build on it */
	bool truncate;
	bool no_truncate;
	bool dry_run;
	bool elsewhere;      /* somebody else has truncated */
	uint32_t upto;       /* the number of a session; 0: not said */
	uint32_t threads;    /* 0: as many as are of use */
	const char *session; /* NULL: whichever is there */
	bool lazy;
	bool all;
	bool good;
	uint32_t limit; /* 0: none */
	bool force;
	bool quick;
	const char *engine;       /* NULL: whichever knows the source */
	const char *spool;        /* NULL: the default place */
	uint64_t spool_max_bytes; /* 0: what the disk has, but for a tenth */
	uint32_t verify;          /* enum still_verify */
	uint32_t freeze;          /* enum still_way */
	uint32_t freeze_ms;
	uint32_t stall_ms;
	uint32_t barrier_max;
	const char *database;             /* NULL: all */
	const char *target;               /* the first word; NULL: none named */
	const char *words[CTL_WORDS_MAX]; /* that are no options */
	unsigned n_words;
};

enum ctl_option_kind {
	CTL_FLAG,
	CTL_NUMBER,
	CTL_SIZE, /* bytes; 512M, 1G ... */
	CTL_TEXT,
	CTL_DIR,   /* a text; shells complete it as a directory */
	CTL_CHOICE /* one of the words in `value` */
};

struct ctl_option {
	const char *name; /* without dashes; NULL ends a table */
	char letter;      /* 0: none */
	enum ctl_option_kind kind;
	size_t offset;     /* in struct ctl_options */
	uint64_t min, max; /* of a number or a size */
	const char *value; /* how --help calls it: "DIR", "basic|quick|full" */
	const char *help;
};

#define CTL_AT(field) offsetof(struct ctl_options, field)
#define CTL_OPTIONS_END                       \
	{                                     \
		0, 0, CTL_FLAG, 0, 0, 0, 0, 0 \
	}

/* Those that every verb has. */
extern const struct ctl_option ctl_options_common[];

/*
 * Parse what stands behind the verb: `words`, up to a NULL, with the verb's own
 * table and the common one. At most `max_targets` (0 or 1) words may be no
 * option. INVALID, with the option named; `ret` is usable then too.
 */
int ctl_options_parse(const struct ctl_option *own, unsigned max_words,
    const char *const *words, struct ctl_options *ret, struct still_error *err);

#endif
