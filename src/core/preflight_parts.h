/* SPDX-License-Identifier: MIT */
/*
 * preflight_parts: what the files of a preflight share: preflight.c (the trial,
 * and what is found), preflight_judge.c (what the core can tell of it).
 */
#ifndef STILL_CORE_PREFLIGHT_PARTS_H
#define STILL_CORE_PREFLIGHT_PARTS_H

#include <pthread.h>
#include <stdbool.h>
#include <string.h>

#include "core/snapshot.h"
#include "core/instance.h"
#include "core/preflight.h"
struct still_trial {
	const struct still_options *options;
	enum still_pin pin;                /* as it was asked for */
	struct still_preflight *preflight; /* what is filled */
	pthread_mutex_t lock; /* of the findings: an engine may warn from any
				 thread */
	bool no_memory;
};

/* The path of a database, without "data/". */
static inline const char *still_below_data(const char *path)
{
	return strncmp(path, "data/", 5) == 0 ? path + 5 : path;
}

/* `hint` may be NULL; all are copied. What was told is not told again. Any
 * thread. */
void still_trial_find(struct still_trial *trial, enum still_level level,
    int code, const char *object, const char *hint, const char *text);
void still_trial_find_error(struct still_trial *trial, const char *object,
    const struct still_error *what);

/* Of a freeze: its damages, its times, what was not checked. */
void still_trial_judge(
    struct still_trial *trial, const struct still_builder *builder);

/* Where the application can write nothing, whatever a backup would meet. `log_dir`
 * may be NULL. */
void still_trial_judge_volumes(
    struct still_trial *trial, const char *source, const char *log_dir);

/* While it is frozen: how it was done; and whether a whole copy has room. */
void still_trial_judge_way(struct still_trial *trial,
    struct still_instance *instance, const struct still_cut *cut);
void still_trial_judge_room(
    struct still_trial *trial, struct still_instance *instance);

#endif
