/* SPDX-License-Identifier: MIT */
/* freeze_options: what the verbs that freeze something themselves can be asked
 * of it, for their tables (options.h), and for the library. */
#ifndef CTL_FREEZE_OPTIONS_H
#define CTL_FREEZE_OPTIONS_H

#include "ctl/options.h"
#include "still.h"

#define CTL_FREEZE_MS_MAX (10 * 60 * 1000)

#define CTL_OPTION_BARRIER_MAX                                                 \
	{                                                                      \
		"barrier-max", 0, CTL_NUMBER, CTL_AT(barrier_max), 1, 1000000, \
		    "N", "refuse more than N databases (4000)"                 \
	}
#define CTL_OPTION_ENGINE                                            \
	{                                                            \
		"engine", 0, CTL_TEXT, CTL_AT(engine), 0, 0, "NAME", \
		    "use only the engine of this name"               \
	}
#define CTL_OPTION_FORCE                                             \
	{                                                            \
		"force", 0, CTL_FLAG, CTL_AT(force), 0, 0, NULL,     \
		    "take network and FUSE file systems, hard links" \
	}
#define CTL_OPTION_FREEZE                                       \
	{                                                       \
		"freeze", 0, CTL_CHOICE, CTL_AT(freeze), 0, 0,  \
		    "auto|clone|copy",                          \
		    "how files are captured that change (auto)" \
	}
#define CTL_OPTION_FREEZE_MS                                      \
	{                                                         \
		"freeze-ms", 0, CTL_NUMBER, CTL_AT(freeze_ms), 1, \
		    CTL_FREEZE_MS_MAX, "N",                       \
		    "give the freeze up after N ms (10000)"       \
	}
#define CTL_OPTION_SPOOL                                         \
	{                                                        \
		"spool", 0, CTL_DIR, CTL_AT(spool), 0, 0, "DIR", \
		    "where private copies lie meanwhile"         \
	}
#define CTL_OPTION_SPOOL_MAX                                          \
	{                                                             \
		"spool-max", 0, CTL_SIZE, CTL_AT(spool_max_bytes), 1, \
		    INT64_MAX, "SIZE", "let them take SIZE at most"   \
	}
#define CTL_OPTION_STALL_MS                                     \
	{                                                       \
		"stall-ms", 0, CTL_NUMBER, CTL_AT(stall_ms), 1, \
		    CTL_FREEZE_MS_MAX, "N",                     \
		    "hold writers off for N ms at most (500)"   \
	}
#define CTL_OPTION_VERIFY                                                     \
	{                                                                     \
		"verify", 0, CTL_CHOICE, CTL_AT(verify), 0, 0,                \
		    "basic|quick|full", "what else the freeze checks (basic)" \
	}

/* Without a catalog. Texts are borrowed. */
static inline struct still_options ctl_freeze_wishes(
    const struct ctl_options *o)
{
	return (struct still_options){
	    .engine = o->engine,
	    .force = o->force,
	    .freeze_ms = o->freeze_ms,
	    .stall_ms = o->stall_ms,
	    .barrier_max = o->barrier_max,
	    .spool = o->spool,
	    .spool_max_bytes = o->spool_max_bytes,
	    .verify = (enum still_verify) o->verify,
	    .freeze = (enum still_way) o->freeze,
	    .pin = STILL_PIN_MODE_AUTO,
	    .pin_ms = STILL_PIN_MS_DEFAULT,
	    .wal_max_bytes = STILL_WAL_MAX_BYTES_DEFAULT,
	};
}

#endif
