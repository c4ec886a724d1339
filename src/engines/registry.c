/* SPDX-License-Identifier: MIT */
/* The only place outside an engine's folder that names engines. */
#include "config.h"

#include <string.h>

#include "engines/engine.h"

#ifdef WITH_POSTGRES
extern const struct still_engine still_engine_postgres;
#endif
#ifdef WITH_SQLITE
extern const struct still_engine still_engine_sqlite;
#endif

/* The first that knows a source has it: SQLite's takes any directory. */
static const struct still_engine *const engines[] = {
#ifdef WITH_POSTGRES
    &still_engine_postgres,
#endif
#ifdef WITH_SQLITE
    &still_engine_sqlite,
#endif
    NULL,
};

static const char *const names[] = {
#ifdef WITH_SQLITE
    "sqlite",
#endif
#ifdef WITH_POSTGRES
    "postgres",
#endif
    NULL,
};

const struct still_engine *still_engine_find(
    const char *name, const char *source)
{
	for (size_t i = 0; engines[i]; i++) {
		if (name && strcmp(name, engines[i]->name) != 0)
			continue;
		if (engines[i]->match(source))
			return engines[i];
	}
	return NULL;
}

const struct still_engine *still_engine_named(const char *name)
{
	for (size_t i = 0; engines[i]; i++)
		if (strcmp(name, engines[i]->name) == 0)
			return engines[i];
	return NULL;
}

const char *const *still_engine_names(void)
{
	return names;
}
