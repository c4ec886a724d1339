/* SPDX-License-Identifier: MIT */
/*
 * options: the command line of stillfs, and its only table of options, from
 * which parsing, range checks and --help are made.
 *
 *	stillfs SOURCE MOUNTPOINT [-o name[=value],...] [--name[=value]] ...
 *
 * Each option may be given in either form. Words that mount(8) and fstab leave
 * in the list (noauto, user, x-systemd.*, rw ...) are accepted and mean nothing.
 */
#ifndef FS_OPTIONS_H
#define FS_OPTIONS_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "base/error.h"

struct fs_options {
	char *source;     /* owned; as given */
	char *mountpoint; /* owned; as given */
	char *engine;     /* owned; NULL: whichever knows the source */
	bool foreground;
	bool debug; /* libfuse's request trace; implies foreground */
	bool help;
	bool version;
	bool force;
	bool nonempty;
	bool allow_other;
	bool noexec;
	char *spool;              /* owned; NULL: the default place */
	uint64_t spool_max_bytes; /* 0: what the disk has, but for a tenth */
	bool direct_io;
	uint32_t freeze_ms;
	uint32_t stall_ms;
	uint32_t barrier_max;
	uint32_t verify; /* enum still_verify */
	uint32_t freeze; /* enum still_way */
	uint32_t pin;    /* enum still_pin */
	uint32_t pin_ms;
	uint64_t wal_max_bytes; /* 0: no limit */
	bool assist;
	bool incremental;
	char *state; /* owned; NULL: the default place */
	uint32_t lease_s;
	uint32_t stall_s;
	uint32_t threads;
};

/* Parse. Errors are STILL_ERR_INVALID and name the option. With `help` or
 * `version` nothing else is required. Release `ret` in every case. */
int fs_options_parse(
    int argc, char **argv, struct fs_options *ret, struct still_error *err);
void fs_options_release(struct fs_options *options);

/* --help */
void fs_options_usage(FILE *out);

#endif
