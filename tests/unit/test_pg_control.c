/* SPDX-License-Identifier: MIT */
/* pg_control and the table of versions, against the header of the installed
 * server; tests/engine/pg_formats.sh has the real files. */
#include "config.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "base/crc32c.h"
#include "engines/postgres/control.h"
#include "engines/postgres/versions.h"
#include "tests/lib/server_facts.h"
#include "tests/unit/scratch.h"

#define LEN ((size_t) STILL_PG_CONTROL_BYTES)

static const struct server_facts *const f = &server_facts;

static void put4(uint8_t *p, uint32_t value)
{
	memcpy(p, &value, sizeof(value));
}

static void put8(uint8_t *p, uint64_t value)
{
	memcpy(p, &value, sizeof(value));
}

static void set_crc(uint8_t *file)
{
	put4(file + f->crc,
	    still_crc32c_end(still_crc32c(STILL_CRC32C_INIT, file, f->crc)));
}

/* A file as the server's header lays it out. */
static void make(uint8_t *file)
{
	const double number = 1234567.0;

	memset(file, 0, LEN);
	put8(file + f->system_identifier, UINT64_C(0x66dd001122334455));
	put4(file + f->version, f->control_version);
	put4(file + f->catalog_version, 202209061);
	put4(file + f->state, (uint32_t) f->production);
	put8(file + f->check_point, UINT64_C(0x0000000302000060));
	put8(file + f->redo, UINT64_C(0x0000000302000028));
	put4(file + f->timeline, 7);
	put8(file + f->min_recovery_point, UINT64_C(0x0000000203040506));
	put4(file + f->min_recovery_timeline, 6);
	put4(file + f->max_align, 8);
	memcpy(file + f->float_format, &number, sizeof(number));
	put4(file + f->block_bytes, 8192);
	put4(file + f->segment_blocks, 131072);
	put4(file + f->wal_block_bytes, 8192);
	put4(file + f->wal_segment_bytes, 16 << 20);
	put4(file + f->data_checksum_version, 1);
	set_crc(file);
}

/* Fails with this code; the result is left alone, and the text names both. */
static void assert_refused(
    const uint8_t *file, size_t len, int code, const char *text)
{
	struct still_pg_control got, before;
	struct still_error err = STILL_ERROR_INIT;

	memset(&got, 0xa5, sizeof(got));
	before = got;
	assert_int_equal(still_pg_control_parse(file, len, &got, &err), code);
	assert_memory_equal(&got, &before, sizeof(got));
	assert_non_null(strstr(still_error_msg(&err), "`global/pg_control`"));
	if (!strstr(still_error_msg(&err), text))
		fail_msg("%s: %s", text, still_error_msg(&err));
	still_error_clear(&err);
}

/* ---- the table ----------------------------------------------------------- */

static void table_is_the_servers(void **state)
{
	const struct still_pg_version *v = still_pg_version(f->major);
	const struct still_pg_control_layout *at = still_pg_control_layout(
	    f->control_version);

	(void) state;
	if (!v)
		skip();
	assert_ptr_equal(&still_pg_version(v->major)->control, &v->control);
	assert_int_equal(v->control_version, f->control_version);
	assert_int_equal(v->wal_magic, f->wal_magic);
	assert_int_equal(v->image_compressed, f->image_compressed);
	assert_int_equal(v->image_applied, f->image_applied);
	assert_non_null(at);
	assert_int_equal(STILL_PG_CONTROL_BYTES, f->control_file_bytes);
	assert_int_equal(STILL_PG_CONTROL_VERSION_AT, f->version);
	assert_int_equal(STILL_PG_CONTROL_CATALOG_AT, f->catalog_version);
	assert_int_equal(at->system_identifier, f->system_identifier);
	assert_int_equal(at->state, f->state);
	assert_int_equal(at->check_point, f->check_point);
	assert_int_equal(at->redo, f->redo);
	assert_int_equal(at->timeline, f->timeline);
	assert_int_equal(at->min_recovery_point, f->min_recovery_point);
	assert_int_equal(at->min_recovery_timeline, f->min_recovery_timeline);
	assert_int_equal(at->max_align, f->max_align);
	assert_int_equal(at->float_format, f->float_format);
	assert_int_equal(at->block_bytes, f->block_bytes);
	assert_int_equal(at->segment_blocks, f->segment_blocks);
	assert_int_equal(at->wal_block_bytes, f->wal_block_bytes);
	assert_int_equal(at->wal_segment_bytes, f->wal_segment_bytes);
	assert_int_equal(at->data_checksum_version, f->data_checksum_version);
	assert_int_equal(at->crc, f->crc);
	assert_int_equal(STILL_PG_STATE_COUNT, f->last_state + 1);
	assert_int_equal(STILL_PG_PRODUCTION, f->production);
}

static void table_is_sound(void **state)
{
	uint16_t magic = 0;

	(void) state;
	for (int major = 0; major < 100; major++) {
		const struct still_pg_version *v = still_pg_version(major);

		assert_int_equal(v != NULL,
		    major >= STILL_PG_MAJOR_MIN && major <= STILL_PG_MAJOR_MAX);
		if (!v)
			continue;
		assert_int_equal(v->major, major);
		assert_true(v->wal_magic > magic);
		magic = v->wal_magic;
		assert_int_equal(v->manifest_version, major >= 17 ? 2 : 1);
		assert_non_null(strstr(v->start_sql,
		    major >= 15 ? "pg_backup_start($1, true)"
				: "pg_start_backup($1, true, false)"));
		assert_non_null(strstr(v->stop_sql,
		    major >= 15 ? "pg_backup_stop(false)"
				: "pg_stop_backup(false, false)"));
		assert_string_equal(v->start_function,
		    major >= 15 ? "pg_backup_start(text, boolean)"
				: "pg_start_backup(text, boolean, boolean)");
		assert_string_equal(v->stop_function,
		    major >= 15 ? "pg_backup_stop(boolean)"
				: "pg_stop_backup(boolean, boolean)");
		assert_int_equal(
		    v->image_compressed, major >= 15 ? 0x1c : 0x02);
		assert_int_equal(v->image_applied, major >= 15 ? 0x02 : 0x04);
		assert_int_equal(v->has_top_transaction, major >= 14);
		assert_non_null(still_pg_control_layout(v->control_version));
	}
	assert_null(still_pg_control_layout(1201));
	assert_null(still_pg_control_layout(1800));
}

/* ---- parse --------------------------------------------------------------- */

static void whole(void **state)
{
	uint8_t *file = malloc(LEN);
	struct still_pg_control got;
	struct still_error err = STILL_ERROR_INIT;

	(void) state;
	make(file);
	assert_int_equal(still_pg_control_parse(file, LEN, &got, &err), 0);
	assert_true(got.system_identifier == UINT64_C(0x66dd001122334455));
	assert_int_equal(got.version, f->control_version);
	assert_int_equal(got.catalog_version, 202209061);
	assert_int_equal(got.state, STILL_PG_PRODUCTION);
	assert_true(got.check_point_lsn == UINT64_C(0x302000060));
	assert_true(got.redo_lsn == UINT64_C(0x302000028));
	assert_int_equal(got.timeline, 7);
	assert_true(got.min_recovery_lsn == UINT64_C(0x203040506));
	assert_int_equal(got.min_recovery_timeline, 6);
	assert_int_equal(got.block_bytes, 8192);
	assert_int_equal(got.segment_blocks, 131072);
	assert_int_equal(got.wal_block_bytes, 8192);
	assert_int_equal(got.wal_segment_bytes, 16 << 20);
	assert_int_equal(got.data_checksum_version, 1);
	free(file);
}

/* Each length in a buffer of just that length. */
static void any_other_length(void **state)
{
	uint8_t *file = malloc(LEN + 1);

	(void) state;
	make(file);
	file[LEN] = 0;
	for (size_t len = 0; len < LEN; len++) {
		uint8_t *part = malloc(len + (len == 0));

		memcpy(part, file, len);
		assert_refused(part, len, STILL_ERR_CORRUPT, "has not 8192");
		free(part);
	}
	assert_refused(file, LEN + 1, STILL_ERR_CORRUPT, "has not 8192");
	free(file);
}

/* The CRC sees every bit of what it covers. What lies behind it is nobody's. */
static void any_flipped_bit(void **state)
{
	uint8_t *file = malloc(LEN);
	struct still_pg_control got;
	struct still_error err = STILL_ERROR_INIT;

	(void) state;
	make(file);
	for (size_t bit = 0; bit < LEN * 8; bit++) {
		int rc;

		file[bit / 8] ^= (uint8_t) (1 << bit % 8);
		rc = still_pg_control_parse(file, LEN, &got, &err);
		if (bit / 8 >= f->crc + 4)
			assert_int_equal(rc, 0);
		else if (bit / 8 >= f->version && bit / 8 < f->version + 4)
			assert_true(rc == STILL_ERR_UNSUPPORTED ||
			    rc == STILL_ERR_CORRUPT);
		else
			assert_int_equal(rc, STILL_ERR_CORRUPT);
		still_error_clear(&err);
		file[bit / 8] ^= (uint8_t) (1 << bit % 8);
	}
	free(file);
}

/* Values that a good CRC does not make possible. */
static void values(void **state)
{
	const struct {
		size_t at;
		uint32_t value;
		int code;
		const char *text;
	} rows[] = {
	    {f->version, 1201, STILL_ERR_UNSUPPORTED, "version 1201"},
	    {f->version, 1800, STILL_ERR_UNSUPPORTED, "version 1800"},
	    {f->version, 0, STILL_ERR_UNSUPPORTED, "version 0"},
	    {f->version, 0x14050000, STILL_ERR_UNSUPPORTED,
		"another byte order (version 1300)"},
	    {f->max_align, 4, STILL_ERR_UNSUPPORTED, "other numbers"},
	    {f->float_format, 1, STILL_ERR_UNSUPPORTED, "other numbers"},
	    {f->block_bytes, 4096, STILL_ERR_UNSUPPORTED, "4096 bytes"},
	    {f->block_bytes, 32768, STILL_ERR_UNSUPPORTED, "32768 bytes"},
	    {f->segment_blocks, 0, STILL_ERR_CORRUPT, "relations"},
	    {f->wal_block_bytes, 0, STILL_ERR_CORRUPT, "WAL blocks"},
	    {f->wal_block_bytes, 8191, STILL_ERR_CORRUPT, "WAL blocks"},
	    {f->wal_block_bytes, 131072, STILL_ERR_CORRUPT, "WAL blocks"},
	    {f->wal_segment_bytes, 0, STILL_ERR_CORRUPT, "WAL segments"},
	    {f->wal_segment_bytes, 1 << 19, STILL_ERR_CORRUPT, "WAL segments"},
	    {f->wal_segment_bytes, 3 << 20, STILL_ERR_CORRUPT, "WAL segments"},
	    {f->wal_segment_bytes, UINT32_C(1) << 31, STILL_ERR_CORRUPT,
		"WAL segments"},
	    {f->state, (uint32_t) f->last_state + 1, STILL_ERR_CORRUPT,
		"no state 7"},
	    {f->state, UINT32_MAX, STILL_ERR_CORRUPT, "no state"},
	};
	uint8_t *file = malloc(LEN);

	(void) state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		make(file);
		put4(file + rows[i].at, rows[i].value);
		set_crc(file);
		assert_refused(file, LEN, rows[i].code, rows[i].text);
	}
	free(file);
}

/* ---- protect ------------------------------------------------------------- */

/* The checkpoint and the CRC, and not one byte more. */
static void protected(void **state)
{
	uint8_t *file = malloc(LEN);
	uint8_t *before = malloc(LEN);
	struct still_pg_control old, new;
	struct still_error err = STILL_ERROR_INIT;

	(void) state;
	make(file);
	memcpy(before, file, LEN);
	assert_int_equal(still_pg_control_parse(file, LEN, &old, &err), 0);
	assert_int_equal(still_pg_control_protect(file, LEN, &err), 0);
	assert_int_equal(still_pg_control_parse(file, LEN, &new, &err), 0);
	assert_true(new.check_point_lsn == STILL_PG_CONTROL_NOWHERE);
	assert_int_equal(new.state, old.state);
	assert_true(new.min_recovery_lsn == old.min_recovery_lsn);
	for (size_t i = 0; i < LEN; i++)
		if (file[i] != before[i])
			assert_true(
			    (i >= f->check_point && i < f->check_point + 8) ||
			    (i >= f->crc && i < f->crc + 4));
	memcpy(before, file, LEN);
	assert_int_equal(still_pg_control_protect(file, LEN, &err), 0);
	assert_memory_equal(file, before, LEN);
	free(before);
	free(file);
}

/* A bad one is not made good by a new CRC. */
static void damage_is_not_protected(void **state)
{
	uint8_t *file = malloc(LEN);
	uint8_t *before = malloc(LEN);
	struct still_error err = STILL_ERROR_INIT;

	(void) state;
	make(file);
	file[f->redo] ^= 1;
	memcpy(before, file, LEN);
	assert_int_equal(
	    still_pg_control_protect(file, LEN, &err), STILL_ERR_CORRUPT);
	assert_memory_equal(file, before, LEN);
	still_error_clear(&err);
	assert_int_equal(
	    still_pg_control_protect(file, 512, &err), STILL_ERR_CORRUPT);
	assert_memory_equal(file, before, LEN);
	still_error_clear(&err);
	free(before);
	free(file);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(table_is_the_servers),
	    cmocka_unit_test(table_is_sound),
	    cmocka_unit_test(whole),
	    cmocka_unit_test(any_other_length),
	    cmocka_unit_test(any_flipped_bit),
	    cmocka_unit_test(values),
	    cmocka_unit_test(protected),
	    cmocka_unit_test(damage_is_not_protected),
	};

	scratch_watchdog();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
