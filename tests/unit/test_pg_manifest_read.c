/* SPDX-License-Identifier: MIT */
/* backup_manifest, read again: what manifest.c writes, and all that it does not. */
#include "config.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "engines/postgres/manifest_read.h"
#include "tests/unit/scratch.h"

static const struct still_pg_manifest_file files[] = {
    {"base/1/\"q\\u\t\n\b\f\r\v\x1f\x7f", 0, 0, 0},
    {"PG_VERSION", 3, 1795280400, 0x05024464},
    {"base/1/gr\xc3\xbc\xc3\x9f", UINT64_C(5000000000), -1, 0xffffffff},
    {"base/1/\xff\x0a name", 8192, INT64_MAX, 0x12345678},
};

#define N_FILES (sizeof(files) / sizeof(files[0]))

static int take(
    void *arg, const char *text, size_t len, struct still_error *err)
{
	(void) err;
	still_buf_add(arg, text, len);
	return 0;
}

/* As the server would write it; the caller frees it. */
static char *make(int version, size_t *ret_len)
{
	struct still_pg_manifest_head head = {
	    .version = version,
	    .system_identifier = UINT64_C(18446744073709551615),
	    .timeline = 4000000000,
	    .start_lsn = UINT64_C(0xa02000028),
	    .end_lsn = UINT64_C(0xffffffff00000001),
	};
	struct still_buf text = STILL_BUF_INIT;
	struct still_pg_manifest *manifest;
	struct still_error err = STILL_ERROR_INIT;

	assert_int_equal(
	    still_pg_manifest_new(&head, take, &text, &manifest, &err), 0);
	for (size_t i = 0; i < N_FILES; i++)
		assert_int_equal(
		    still_pg_manifest_file(manifest, &files[i], &err), 0);
	assert_int_equal(still_pg_manifest_end(manifest, &err), 0);
	still_pg_manifest_free(manifest);
	return still_buf_take(&text, ret_len);
}

/* In pieces of so many bytes. */
static int parse(const char *text, size_t len, size_t piece,
    struct still_pg_manifest_text *ret, struct still_error *err)
{
	struct still_pg_manifest_reader *reader;
	size_t at = 0;
	int rc = still_pg_manifest_reader_new(&reader, err);

	assert_int_equal(rc, 0);
	while (rc == 0 && at < len) {
		size_t n = len - at < piece ? len - at : piece;
		char *own = malloc(n);

		assert_non_null(own);
		memcpy(own, text + at, n);
		rc = still_pg_manifest_reader_feed(reader, own, n, err);
		free(own);
		at += n;
	}
	if (rc == 0)
		rc = still_pg_manifest_reader_end(reader, ret, err);
	still_pg_manifest_reader_free(reader);
	return rc;
}

static void whole(void **state)
{
	static const size_t pieces[] = {1, 7, 100, 100000};
	struct still_error err = STILL_ERROR_INIT;

	(void) state;
	for (size_t i = 0; i < 8; i++) {
		int version = 1 + (int) (i % 2);
		struct still_pg_manifest_text got;
		size_t len;
		char *text = make(version, &len);

		assert_int_equal(
		    parse(text, len, pieces[i / 2], &got, &err), 0);
		free(text);
		assert_int_equal(got.head.version, version);
		assert_true(got.head.system_identifier ==
		    (version == 2 ? UINT64_MAX : 0));
		assert_int_equal(got.head.timeline, 4000000000);
		assert_true(got.head.start_lsn == UINT64_C(0xa02000028));
		assert_true(got.head.end_lsn == UINT64_C(0xffffffff00000001));
		assert_int_equal(got.n, N_FILES);
		for (size_t j = 0; j < N_FILES; j++) {
			struct still_pg_manifest_entry *entry =
			    still_pg_manifest_find(&got, files[j].path);

			assert_non_null(entry);
			assert_string_equal(
			    still_pg_manifest_path(&got, entry), files[j].path);
			assert_true(entry->size_bytes == files[j].size_bytes);
			assert_int_equal(entry->crc32c, files[j].crc32c);
		}
		assert_null(still_pg_manifest_find(&got, "base/1"));
		assert_null(still_pg_manifest_find(&got, ""));
		assert_null(still_pg_manifest_find(&got, "z"));
		for (size_t j = 1; j < got.n; j++)
			assert_true(strcmp(still_pg_manifest_path(
					       &got, &got.entries[j - 1]),
					still_pg_manifest_path(
					    &got, &got.entries[j])) < 0);
		still_pg_manifest_text_release(&got);
	}
}

static void truncated(void **state)
{
	struct still_pg_manifest_text got;
	size_t len;
	char *text = make(2, &len);

	(void) state;
	for (size_t n = 0; n < len; n++) {
		struct still_error err = STILL_ERROR_INIT;

		assert_int_equal(
		    parse(text, n, 100000, &got, &err), STILL_ERR_CORRUPT);
		still_error_clear(&err);
	}
	free(text);
}

/* The SHA-256 covers all lines but its own, and of that nothing is optional. */
static void flipped(void **state)
{
	struct still_pg_manifest_text got;
	size_t len;
	char *text = make(1, &len);

	(void) state;
	for (size_t i = 0; i < 8 * len; i++) {
		struct still_error err = STILL_ERROR_INIT;
		int rc;

		text[i / 8] ^= (char) (1 << i % 8);
		rc = parse(text, len, 100000, &got, &err);
		assert_true(
		    rc == STILL_ERR_CORRUPT || rc == STILL_ERR_UNSUPPORTED);
		still_error_clear(&err);
		text[i / 8] ^= (char) (1 << i % 8);
	}
	free(text);
}

/* The checksum of a manifest that was edited is made right again. */
static void reseal(struct still_buf *text)
{
	char *last = strstr(text->data, "\"Manifest-Checksum\": \"");
	unsigned char sum[32];

	if (!last)
		return;
	assert_int_equal(EVP_Digest(text->data, (size_t) (last - text->data),
			     sum, NULL, EVP_sha256(), NULL),
	    1);
	last += strlen("\"Manifest-Checksum\": \"");
	for (size_t i = 0; i < sizeof(sum); i++) {
		char hex[3];

		snprintf(hex, sizeof(hex), "%02x", sum[i]);
		memcpy(last + 2 * i, hex, 2);
	}
}

#define PG_VERSION_LINE                                                     \
	"{ \"Path\": \"PG_VERSION\", \"Size\": 3, \"Last-Modified\": "      \
	"\"2026-11-21 17:00:00 GMT\", \"Checksum-Algorithm\": \"CRC32C\", " \
	"\"Checksum\": \"64440205\" }"
#define NO_PATH "line 4: has no valid path"
#define NO_FILE "line 4: is no line of a file"
#define NO_RANGE "line 9: is no range of WAL"

/* What is changed (its first occurrence), and what is said of it. */
static const struct {
	const char *from, *to, *says;
} edits[] = {
    {"Manifest-Version\": 1", "Manifest-Version\": 3",
	"has version 3, which is not known"},
    {"Manifest-Version\": 1", "Manifest-Version\": 2",
	"line 2: has no system identifier"},
    {"Manifest-Version\": 1", "Manifest-Version\": 1 ",
	"line 1: is not that of its version"},
    {"Manifest-Version\": 1", "Manifest-Version\": 18446744073709551617",
	"line 1: is not that of its version"},
    {"{ \"Postgre", "{\"Postgre", "line 1: is not that of its version"},
    {"\"Files\": [", "\"Files\":[", "line 2: is another one than belongs here"},
    {"{ \"Path\": \"PG_VERSION", "{ \"Path\": \"../etc", NO_PATH},
    {"\"PG_VERSION\"", "\"/etc/passwd\"", NO_PATH},
    {"\"PG_VERSION\"", "\"base//1\"", NO_PATH},
    {"\"PG_VERSION\"", "\"base/./1\"", NO_PATH},
    {"\"PG_VERSION\"", "\"base/..\"", NO_PATH},
    {"\"PG_VERSION\"", "\"base/\"", NO_PATH},
    {"\"PG_VERSION\"", "\"\"", NO_PATH},
    {"\"PG_VERSION\"", "7", NO_PATH},
    {"\"PG_VERSION\"", "\"a\\u0000b\"", NO_FILE},
    {"\"PG_VERSION\"", "\"\xff\"", NO_FILE},
    {"\"Path\": \"PG_VERSION\"", "\"Name\": \"PG_VERSION\"", NO_PATH},
    {"\"Path\": \"PG_VERSION\"", "\"Encoded-Path\": \"6\"", NO_PATH},
    {"\"Path\": \"PG_VERSION\"", "\"Encoded-Path\": \"6100\"", NO_PATH},
    {"\"Path\": \"PG_VERSION\"", "\"Encoded-Path\": \"2e2e\"", NO_PATH},
    {"\"Path\": \"PG_VERSION\"", "\"Encoded-Path\": \"6G\"", NO_PATH},
    {"\"Path\": \"PG_VERSION\"", "\"Path\": \"a\", \"Encoded-Path\": \"61\"",
	NO_PATH},
    {"\"Path\": \"PG_VERSION\"", "\"Path\": \"a\", \"Path\": \"b\"", NO_FILE},
    {PG_VERSION_LINE, PG_VERSION_LINE ",\n" PG_VERSION_LINE,
	"names `PG_VERSION` twice"},
    {PG_VERSION_LINE ",", PG_VERSION_LINE,
	"line 5: is another one than belongs here"},
    {PG_VERSION_LINE ",", PG_VERSION_LINE ",,", NO_FILE},
    {PG_VERSION_LINE, "[]", NO_PATH},
    {PG_VERSION_LINE, "", NO_FILE},
    {PG_VERSION_LINE, PG_VERSION_LINE " {}", NO_FILE},
    {"\"Size\": 3", "\"Size\": -3", "line 4: has no valid size"},
    {"\"Size\": 3", "\"Size\": 3.5", "line 4: has no valid size"},
    {"\"Size\": 3", "\"Size\": \"3\"", "line 4: has no valid size"},
    {"\"Size\": 3", "\"Size\": 9999999999999999999", NO_FILE},
    {"\"64440205\"", "\"6444020\"", "line 4: has no valid checksum"},
    {"\"64440205\"", "\"644402055\"", "line 4: has no valid checksum"},
    {"\"64440205\"", "\"6444020F\"", "line 4: has no valid checksum"},
    {"\"64440205\"", "64440205", "line 4: has no valid checksum"},
    {"CRC32C\", \"Checksum\": \"64440205", "SHA256\", \"Checksum\": \"64440205",
	"has another checksum than CRC32C"},
    {"\"WAL-Ranges\": [", "],", "line 8: is another one than belongs here"},
    {"\"Timeline\": 4000000000", "\"Timeline\": 0", NO_RANGE},
    {"\"Timeline\": 4000000000", "\"Timeline\": 4294967296", NO_RANGE},
    {"\"Timeline\": 4000000000", "\"Timeline\": \"1\"", NO_RANGE},
    {"A/2000028", "A2000028", NO_RANGE},
    {"A/2000028", "FFFFFFFF/2", NO_RANGE},
    {"\"Start-LSN\"", "\"Start\"", NO_RANGE},
    {"FFFFFFFF/1\" }", "FFFFFFFF/1\" },\n{}", "line 9: is no range of WAL"},
    {"\"Manifest-Checksum\": \"", "\"Manifest-Checksum\":  \"",
	"line 11: has no valid checksum"},
    {"\"}\n", "\"}\n\n", "line 12: is behind the last one"},
    {"\"}\n", "0\"}\n", "line 11: has no valid checksum"},
    {"\"}\n", "\"}\nx", "is cut behind line 11"},
};

static void edited(void **state)
{
	size_t len;
	char *good = make(1, &len);

	(void) state;
	for (size_t i = 0; i < sizeof(edits) / sizeof(edits[0]); i++) {
		const char *at = strstr(good, edits[i].from);
		struct still_pg_manifest_text got;
		struct still_error err = STILL_ERROR_INIT;
		struct still_buf text = STILL_BUF_INIT;
		int rc;

		assert_non_null(at);
		still_buf_add(&text, good, (size_t) (at - good));
		still_buf_str(&text, edits[i].to);
		still_buf_str(&text, at + strlen(edits[i].from));
		reseal(&text);
		rc = parse(text.data, text.len, 100, &got, &err);
		if (rc != STILL_ERR_CORRUPT && rc != STILL_ERR_UNSUPPORTED)
			fail_msg("%s: %d", edits[i].to, rc);
		if (strcmp(
			still_error_msg(&err) + strlen("`backup_manifest`: "),
			edits[i].says) != 0)
			fail_msg("%s: %s", edits[i].to, still_error_msg(&err));
		still_error_clear(&err);
		still_buf_release(&text);
	}
	free(good);
}

static void unsealed(void **state)
{
	struct still_pg_manifest_text got;
	struct still_error err = STILL_ERROR_INIT;
	size_t len;
	char *text = make(1, &len);

	(void) state;
	*strstr(text, "64440205") = '7';
	assert_int_equal(parse(text, len, 100, &got, &err), STILL_ERR_CORRUPT);
	assert_string_equal(still_error_msg(&err),
	    "`backup_manifest`: its checksum does not match its content");
	still_error_clear(&err);
	free(text);
}

/* A line without an end, and bytes that are no text. */
static void endless(void **state)
{
	struct still_pg_manifest_text got;
	struct still_error err = STILL_ERROR_INIT;
	size_t len = 4 * STILL_PG_MANIFEST_LINE_MAX;
	char *text = malloc(len);

	(void) state;
	assert_non_null(text);
	memset(text, 'x', len);
	assert_int_equal(parse(text, len, 1000, &got, &err), STILL_ERR_CORRUPT);
	assert_string_equal(
	    still_error_msg(&err), "`backup_manifest`: line 1: is too long");
	still_error_clear(&err);
	memcpy(text, "],\0\n", 4);
	assert_int_equal(parse(text, 4, 1000, &got, &err), STILL_ERR_CORRUPT);
	assert_string_equal(
	    still_error_msg(&err), "`backup_manifest`: line 1: is no text");
	still_error_clear(&err);
	free(text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(whole),
	    cmocka_unit_test(truncated),
	    cmocka_unit_test(flipped),
	    cmocka_unit_test(edited),
	    cmocka_unit_test(unsealed),
	    cmocka_unit_test(endless),
	};

	scratch_watchdog();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
