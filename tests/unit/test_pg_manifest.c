/* SPDX-License-Identifier: MIT */
/* The text of backup_manifest; tests/engine/pg_formats.sh compares it with the
 * server's and shows it to pg_verifybackup. */
#include "config.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "engines/postgres/manifest.h"
#include "tests/unit/scratch.h"

struct taken {
	struct still_buf text;
	int calls;
	int fail_at; /* 0: never */
};

static int take(
    void *arg, const char *text, size_t len, struct still_error *err)
{
	struct taken *taken = arg;

	if (++taken->calls == taken->fail_at)
		return still_error_set(
		    err, STILL_ERR_NOSPACE, 0, NULL, "`disk`: is full");
	still_buf_add(&taken->text, text, len);
	return 0;
}

static const struct still_pg_manifest_file files[] = {
    {"PG_VERSION", 3, 1795280400, 0x05024464},
    {"base/1/\"q\\u\t\n\b\f\r\v\x1f\x7f", 0, 0, 0},
    {"base/1/gr\xc3\xbc\xc3\x9f", UINT64_C(5000000000), -1, 0xffffffff},
    {"base/1/\xff\x0a name", 8192, INT64_MAX, 0x12345678},
};

#define N_FILES (sizeof(files) / sizeof(files[0]))

static const struct still_pg_manifest_head head = {
    .version = 1,
    .system_identifier = UINT64_C(18446744073709551615),
    .timeline = 4000000000,
    .start_lsn = UINT64_C(0xa02000028),
    .end_lsn = UINT64_C(0xffffffff00000001),
};

/* All of it, up to the first failure. */
static int make(int version, size_t n, still_pg_manifest_sink_fn *sink,
    struct taken *taken, uint64_t *ret_size, struct still_error *err)
{
	struct still_pg_manifest_head h = head;
	struct still_pg_manifest *manifest = NULL;
	int rc;

	h.version = version;
	rc = still_pg_manifest_new(&h, sink, taken, &manifest, err);
	for (size_t i = 0; rc == 0 && i < n; i++)
		rc = still_pg_manifest_file(manifest, &files[i], err);
	if (rc == 0)
		rc = still_pg_manifest_end(manifest, err);
	if (rc == 0)
		*ret_size = still_pg_manifest_size(manifest);
	still_pg_manifest_free(manifest);
	return rc;
}

#define FILES_TEXT                                                            \
	"\"Files\": [\n"                                                      \
	"{ \"Path\": \"PG_VERSION\", \"Size\": 3, "                           \
	"\"Last-Modified\": \"2026-11-21 17:00:00 GMT\", "                    \
	"\"Checksum-Algorithm\": \"CRC32C\", \"Checksum\": \"64440205\" },\n" \
	"{ \"Path\": \"base/1/\\\"q\\\\u\\t\\n\\b\\f\\r\\u000b\\u001f\x7f\"," \
	" \"Size\": 0, \"Last-Modified\": \"1970-01-01 00:00:00 GMT\", "      \
	"\"Checksum-Algorithm\": \"CRC32C\", \"Checksum\": \"00000000\" },\n" \
	"{ \"Path\": \"base/1/gr\xc3\xbc\xc3\x9f\", \"Size\": 5000000000, "   \
	"\"Last-Modified\": \"1969-12-31 23:59:59 GMT\", "                    \
	"\"Checksum-Algorithm\": \"CRC32C\", \"Checksum\": \"ffffffff\" },\n" \
	"{ \"Encoded-Path\": \"626173652f312fff0a206e616d65\", "              \
	"\"Size\": 8192, \"Last-Modified\": \"1970-01-01 00:00:00 GMT\", "    \
	"\"Checksum-Algorithm\": \"CRC32C\", \"Checksum\": \"78563412\" }\n"  \
	"],\n\"WAL-Ranges\": [\n"                                             \
	"{ \"Timeline\": 4000000000, \"Start-LSN\": \"A/2000028\", "          \
	"\"End-LSN\": \"FFFFFFFF/1\" }\n],\n"

/* The sums are not ours. */
static const char *const want[3] = {
    NULL,
    "{ \"PostgreSQL-Backup-Manifest-Version\": 1,\n" FILES_TEXT
    "\"Manifest-Checksum\": \""
    "12c2bdf5d8cd50022ed8c518c1ce8df4"
    "1fd318e87943f930a0db8e75e3b2f9fa"
    "\"}\n",
    "{ \"PostgreSQL-Backup-Manifest-Version\": 2,\n"
    "\"System-Identifier\": 18446744073709551615,\n" FILES_TEXT
    "\"Manifest-Checksum\": \""
    "94621df7ceebc0a8cb9f8dc8d1e82ba7"
    "795d007f89547f9ba9ca686608e5adc7"
    "\"}\n",
};

static void text(void **state)
{
	(void) state;
	for (int version = 1; version <= 2; version++) {
		struct taken taken = {STILL_BUF_INIT, 0, 0};
		struct still_error err = STILL_ERROR_INIT;
		uint64_t size, counted;

		assert_int_equal(
		    make(version, N_FILES, take, &taken, &size, &err), 0);
		assert_string_equal(taken.text.data, want[version]);
		assert_int_equal(size, strlen(want[version]));
		assert_int_equal(
		    make(version, N_FILES, NULL, NULL, &counted, &err), 0);
		assert_int_equal(counted, size);
		still_buf_release(&taken.text);
	}
}

/* JSON says so too, and gives the names back. */
static void is_json(void **state)
{
	struct taken taken = {STILL_BUF_INIT, 0, 0};
	struct still_error err = STILL_ERROR_INIT;
	json_t *root, *list;
	uint64_t size;

	(void) state;
	assert_int_equal(make(1, N_FILES, take, &taken, &size, &err), 0);
	root = json_loads(taken.text.data, 0, NULL);
	assert_non_null(root);
	list = json_object_get(root, "Files");
	assert_int_equal(json_array_size(list), N_FILES);
	for (size_t i = 0; i + 1 < N_FILES; i++)
		assert_string_equal(json_string_value(json_object_get(
					json_array_get(list, i), "Path")),
		    files[i].path);
	json_decref(root);
	still_buf_release(&taken.text);
}

static void no_files(void **state)
{
	struct taken taken = {STILL_BUF_INIT, 0, 0};
	struct still_error err = STILL_ERROR_INIT;
	uint64_t size;

	(void) state;
	assert_int_equal(make(1, 0, take, &taken, &size, &err), 0);
	assert_non_null(strstr(taken.text.data, "\"Files\": [\n],\n"));
	still_buf_release(&taken.text);
}

static void versions(void **state)
{
	struct still_error err = STILL_ERROR_INIT;
	uint64_t size;

	(void) state;
	for (int version = -1; version < 5; version++) {
		if (version == 1 || version == 2)
			continue;
		assert_int_equal(make(version, 1, NULL, NULL, &size, &err),
		    STILL_ERR_INVALID);
		still_error_clear(&err);
	}
}

/* A sink that fails ends it, at each of its calls. */
static void failing_sink(void **state)
{
	struct still_error err = STILL_ERROR_INIT;
	uint64_t size;
	int n = 1;

	(void) state;
	for (;; n++) {
		struct taken taken = {STILL_BUF_INIT, 0, n};
		int rc = make(2, N_FILES, take, &taken, &size, &err);

		still_buf_release(&taken.text);
		if (rc == 0)
			break;
		assert_int_equal(rc, STILL_ERR_NOSPACE);
		assert_string_equal(still_error_msg(&err), "`disk`: is full");
		still_error_clear(&err);
	}
	assert_int_equal(n, 1 + N_FILES + 2 + 1);
}

static void failure_stays(void **state)
{
	struct taken taken = {STILL_BUF_INIT, 0, 2};
	struct still_error err = STILL_ERROR_INIT;
	struct still_pg_manifest *manifest;

	(void) state;
	assert_int_equal(
	    still_pg_manifest_new(&head, take, &taken, &manifest, &err), 0);
	for (int i = 0; i < 2; i++) {
		assert_int_equal(
		    still_pg_manifest_file(manifest, &files[0], &err),
		    STILL_ERR_NOSPACE);
		still_error_clear(&err);
	}
	assert_int_equal(
	    still_pg_manifest_end(manifest, &err), STILL_ERR_NOSPACE);
	assert_int_equal(taken.calls, 2);
	still_error_clear(&err);
	still_pg_manifest_free(manifest);
	still_pg_manifest_free(NULL);
	still_buf_release(&taken.text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(text),
	    cmocka_unit_test(is_json),
	    cmocka_unit_test(no_files),
	    cmocka_unit_test(versions),
	    cmocka_unit_test(failing_sink),
	    cmocka_unit_test(failure_stays),
	};

	scratch_watchdog();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
