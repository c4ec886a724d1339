/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "engines/postgres/layout.h"

#include <stdio.h>
#include <string.h>

#include "base/path.h"

/* What stands behind `begin`; NULL: it does not begin so. */
static const char *after(const char *text, const char *begin)
{
	size_t n = strlen(begin);

	return strncmp(text, begin, n) == 0 ? text + n : NULL;
}

static bool join(char out[PATH_MAX], const char *begin, const char *rest)
{
	return snprintf(out, PATH_MAX, "%s%s", begin, rest) < PATH_MAX;
}

const char *still_pg_to_manifest(const char *path, char out[PATH_MAX])
{
	const char *rest = after(path, STILL_PG_SPACES);

	if (rest)
		return join(out, STILL_PG_LINKS, rest) ? out : NULL;
	rest = after(path, STILL_PG_DATA);
	if (!rest || still_path_is_in(rest, "pg_wal") ||
	    strcmp(rest, "backup_manifest") == 0)
		return NULL;
	return rest;
}

bool still_pg_from_manifest(const char *name, char out[PATH_MAX])
{
	const char *rest = after(name, STILL_PG_LINKS);

	return rest ? join(out, STILL_PG_SPACES, rest)
		    : join(out, STILL_PG_DATA, name);
}

const char *still_pg_below_top(const char *path, enum still_pg_top *ret_top)
{
	const char *rest = after(path, STILL_PG_DATA);

	*ret_top = STILL_PG_TOP_DATA;
	if (rest)
		return rest;
	rest = after(path, STILL_PG_SPACES);
	rest = rest ? strchr(rest, '/') : NULL;
	*ret_top = STILL_PG_TOP_SPACE;
	return rest ? rest + 1 : NULL;
}

const char *still_pg_known_as(const char *path)
{
	const char *rest = after(path, STILL_PG_DATA);

	return rest ? rest : path;
}
