/* SPDX-License-Identifier: MIT */
/* instance: what the parts of the engine share of one source. */
#ifndef SQLITE_INSTANCE_H
#define SQLITE_INSTANCE_H

#include <stdatomic.h>
#include <stddef.h>

#include "engines/engine.h"
#include "engines/sqlite/discover.h"
#include "engines/sqlite/governor.h"
#include "engines/sqlite/image.h"
#include "engines/sqlite/note.h"
#include "engines/sqlite/source.h"

struct sqlite_instance {
	struct still_engine_instance base;
	struct still_attach_options options;
	struct sqlite_source source;
	struct sqlite_listing listing;     /* as of attach or the last freeze */
	struct still_database_info *infos; /* one per listing.found */

	struct sqlite_image *images; /* NULL while not frozen */
	size_t n_images;
	struct still_spool spool; /* while frozen, as the next */
	struct still_observer observer;
	struct sqlite_governor *governor;
	struct sqlite_note noted; /* of the base; empty without one */
	atomic_bool lost;         /* raised by keep, lowered by freeze */
};

#endif
