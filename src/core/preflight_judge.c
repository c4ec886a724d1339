/* SPDX-License-Identifier: MIT */
/* preflight_judge: what the core itself can tell of a trial. */
#include "config.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/buf.h"
#include "core/preflight_parts.h"
#include "core/volumes.h"

#define NS_PER_MS 1000000

static void judge_times(struct still_trial *trial)
{
	const struct still_preflight *preflight = trial->preflight;
	const struct still_options *options = trial->options;
	int64_t held_ms = preflight->writers_held_ns / NS_PER_MS;
	int64_t freeze_ms = preflight->freeze_ns / NS_PER_MS;
	char text[160];

	if (held_ms > options->stall_ms / 2) {
		snprintf(text, sizeof(text),
		    "its writers were held off for %" PRId64
		    " ms, and `stall_ms` allows %" PRIu32,
		    held_ms, options->stall_ms);
		still_trial_find(trial, STILL_LEVEL_WARNING, 0,
		    preflight->source,
		    "A backup is refused when copies would hold writers off "
		    "for longer; raise `stall_ms` before that.",
		    text);
	}
	/* Files that are captured take what they take. */
	if (!preflight->way && freeze_ms > options->freeze_ms / 2) {
		snprintf(text, sizeof(text), "its freeze took %" PRId64 " ms",
		    freeze_ms);
		still_trial_find(trial, STILL_LEVEL_WARNING, 0,
		    preflight->source,
		    "Nothing can be read before the freeze is over; copies, "
		    "checks (`verify`) and busy writers make it long.",
		    text);
	}
}

/* Of what no page proves itself, only the engine's headers and logs are
 * checked. Said once, as it is true of most. */
static void judge_checks(struct still_trial *trial)
{
	const struct still_preflight *preflight = trial->preflight;
	size_t n_frozen = 0;
	size_t n = 0;
	char text[160];

	for (size_t i = 0; i < preflight->n_databases; i++) {
		const char *verified = preflight->databases[i].verified;

		n_frozen += preflight->databases[i].frozen;
		n += verified && strncmp(verified, "header", 6) == 0;
	}
	if (n == 0)
		return;
	snprintf(text, sizeof(text),
	    "no page checksums in %zu of %zu databases: damage inside a page "
	    "goes unnoticed when the disk does not report it",
	    n, n_frozen);
	still_trial_find(trial, STILL_LEVEL_INFO, 0, preflight->source,
	    "`verify=quick` looks at the structure of each database when it is "
	    "frozen.",
	    text);
}

/* While it is frozen: it is the engine that knows why. */
void still_trial_judge_way(struct still_trial *trial,
    struct still_instance *instance, const struct still_cut *cut)
{
	struct still_preflight *preflight = trial->preflight;
	struct still_buf text = STILL_BUF_INIT;

	if (!cut->way)
		return;
	preflight->way = cut->way;
	preflight->copy_bytes = atomic_load(&instance->spool.used_bytes);
	still_buf_printf(&text, "a freeze is by %s: ", cut->way);
	if (preflight->copy_bytes > 0) {
		still_buf_size(&text, preflight->copy_bytes);
		still_buf_str(
		    &text, " of the spool for as long as a session lasts");
	} else {
		still_buf_str(&text, "nothing is copied");
	}
	if (cut->why)
		still_buf_printf(&text, "; %s", cut->why);
	if (text.failed)
		trial->no_memory = true;
	else
		still_trial_find(trial, STILL_LEVEL_INFO, 0, preflight->source,
		    cut->why ? "With the source and a `spool` on the same XFS "
			       "or btrfs, blocks are shared instead."
			     : NULL,
		    text.data);
	still_buf_release(&text);
}

/* A whole copy is what lets go of the databases. */
void still_trial_judge_room(
    struct still_trial *trial, struct still_instance *instance)
{
	const struct still_preflight *preflight = trial->preflight;
	struct still_spool spool = still_spool_of(&instance->spool);
	struct still_error why = STILL_ERROR_INIT;
	char text[400];

	if (spool.take(spool.arg, preflight->source, preflight->size_bytes,
		&why) == 0) {
		spool.give(spool.arg, preflight->size_bytes);
		return;
	}
	snprintf(text, sizeof(text),
	    "the databases stay pinned until the end of a session, and a log "
	    "that is only checkpointed PASSIVE grows meanwhile: %s",
	    still_error_msg(&why));
	still_trial_find(
	    trial, STILL_LEVEL_WARNING, 0, preflight->source, why.hint, text);
	still_error_clear(&why);
}

void still_trial_judge_volumes(
    struct still_trial *trial, const char *source, const char *log_dir)
{
	struct still_volumes volumes;

	still_volumes_look(source, log_dir, &volumes);
	for (size_t i = 0; i < volumes.n; i++)
		still_trial_find(trial, STILL_LEVEL_WARNING, 0,
		    volumes.list[i].point, volumes.list[i].hint,
		    volumes.list[i].message);
	still_volumes_release(&volumes);
}

void still_trial_judge(
    struct still_trial *trial, const struct still_builder *builder)
{
	for (size_t i = 0; i < builder->n_damages; i++)
		still_trial_find_error(trial,
		    still_below_data(builder->damages[i].object),
		    &builder->damages[i].what);
	judge_times(trial);
	judge_checks(trial);
}
