/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "engines/postgres/relation_pages.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engines/postgres/layout.h"
#include "engines/postgres/page.h"
#include "engines/postgres/wal_name.h"

#define HINT                                                              \
	"The disk or the memory has damaged it. Check the live database " \
	"(pg_amcheck, pg_checksums), and keep the last good backup."

/* OIDs that never change (pg_tablespace.dat). */
#define DEFAULT_SPACE 1663
#define GLOBAL_SPACE 1664

#define DATA STILL_PG_DATA
#define SPACES STILL_PG_SPACES

struct still_pg_locator still_pg_locate(
    const char *path, const struct still_pg_relation *relation)
{
	struct still_pg_locator where = {
	    .relation = relation->relfilenode, .fork = relation->fork};

	if (strncmp(path, SPACES, strlen(SPACES)) == 0) {
		where.tablespace = (uint32_t) strtoul(
		    path + strlen(SPACES), NULL, 10);
		path = strchr(path + strlen(SPACES), '/');
		path = path ? strchr(path + 1, '/') : NULL;
		where.database = path ? (uint32_t) strtoul(path + 1, NULL, 10)
				      : 0;
	} else if (strncmp(path, DATA "base/", 10) == 0) {
		where.tablespace = DEFAULT_SPACE;
		where.database = (uint32_t) strtoul(path + 10, NULL, 10);
	} else {
		where.tablespace = GLOBAL_SPACE;
	}
	return where;
}

__attribute__((format(printf, 4, 5))) static int bad(struct still_error *err,
    const char *path, uint32_t block, const char *fmt, ...)
{
	char text[160];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	return still_error_set(err, STILL_ERR_CORRUPT, 0, HINT,
	    "`%s`: block %" PRIu32 ": %s", still_pg_known_as(path), block,
	    text);
}

static int check_page(const struct still_pg_proof *proof, const char *path,
    const struct still_pg_locator *where, uint32_t block, void *page,
    struct still_error *err)
{
	enum still_pg_page_verdict verdict;
	uint64_t lsn;

	verdict = still_pg_page_look(page, block, proof->checksums, &lsn);
	if (verdict == STILL_PG_PAGE_ZERO ||
	    (verdict == STILL_PG_PAGE_OK && lsn <= proof->stop_lsn) ||
	    still_pg_covered_has(proof->covered, where, block))
		return 0;
	switch (verdict) {
	case STILL_PG_PAGE_OK:
		return bad(err, path, block,
		    "its LSN " STILL_PG_LSN
		    " is behind the end of the backup, " STILL_PG_LSN,
		    STILL_PG_LSN_ARGS(lsn), STILL_PG_LSN_ARGS(proof->stop_lsn));
	case STILL_PG_PAGE_BAD_HEADER:
		return bad(err, path, block,
		    "its header is that of an empty page, and it is not empty");
	default:
		return bad(err, path, block,
		    "its checksum is wrong, and the WAL does not replace it");
	}
}

int still_pg_check_pages(const struct still_pg_proof *proof, const char *path,
    const struct still_pg_locator *where, uint32_t block, void *data,
    size_t len, struct still_error *err)
{
	char *page = data;
	int rc = 0;

	for (; rc == 0 && len >= STILL_PG_PAGE_BYTES; block++) {
		rc = check_page(proof, path, where, block, page, err);
		page += STILL_PG_PAGE_BYTES;
		len -= STILL_PG_PAGE_BYTES;
	}
	if (rc < 0 || len == 0 ||
	    still_pg_covered_has(proof->covered, where, block))
		return rc;
	return bad(err, path, block, "the file ends in the middle of it");
}
