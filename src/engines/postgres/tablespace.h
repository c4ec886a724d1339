/* SPDX-License-Identifier: MIT */
/*
 * tablespace: one that the server lists, but for pg_default and pg_global.
 */
#ifndef POSTGRES_TABLESPACE_H
#define POSTGRES_TABLESPACE_H

#include <stdint.h>

struct still_pg_tablespace {
	uint32_t oid;
	/* As pg_tablespace_location(oid) says: absolute, or "pg_tblspc/OID"
	 * where it lies in PGDATA itself (allow_in_place_tablespaces). */
	const char *location;
};

#endif
