/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "engines/postgres/manifest_read.h"

#include <inttypes.h>
#include <jansson.h>
#include <openssl/evp.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "engines/postgres/wal_name.h"

#define SHA256_BYTES 32
#define CAPACITY_MIN 1024

/* What the next line is. */
enum expected {
	AT_VERSION,
	AT_IDENTIFIER,
	AT_FILES,
	AT_FILE_FIRST,
	AT_FILE_NEXT,
	AT_FILES_END,
	AT_RANGES,
	AT_RANGE,
	AT_RANGE_END,
	AT_CHECKSUM,
	AT_NOTHING
};

struct still_pg_manifest_reader {
	struct still_pg_manifest_text text;
	size_t capacity;
	struct still_buf paths;
	struct still_buf line; /* that is not whole yet */
	enum expected expected;
	uint64_t number; /* of the line at hand */
	EVP_MD_CTX *sha;
};

static int corrupt(const struct still_pg_manifest_reader *reader,
    const char *what, struct still_error *err)
{
	return still_error_set(err, STILL_ERR_CORRUPT, 0, NULL,
	    "`backup_manifest`: line %" PRIu64 ": %s", reader->number, what);
}

/* ---- numbers ------------------------------------------------------------- */

static int digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* `n` bytes from twice as many lowercase digits, and nothing behind them. */
static bool take_hex(const char *text, void *data, size_t n)
{
	uint8_t *bytes = data;

	for (size_t i = 0; i < n; i++) {
		int high = digit(text[2 * i]);
		int low = high < 0 ? -1 : digit(text[2 * i + 1]);

		if (low < 0)
			return false;
		bytes[i] = (uint8_t) (high * 16 + low);
	}
	return text[2 * n] == '\0';
}

/* Digits, and then `end` and nothing else. */
static bool take_number(const char *text, const char *end, uint64_t *ret)
{
	uint64_t value = 0;
	const char *p = text;

	for (; digit(*p) >= 0 && digit(*p) < 10; p++)
		if (__builtin_mul_overflow(value, 10, &value) ||
		    __builtin_add_overflow(value, (uint64_t) digit(*p), &value))
			return false;
	if (p == text || strcmp(p, end) != 0)
		return false;
	*ret = value;
	return true;
}

/* What stands behind `begin`; NULL: it does not begin so. */
static const char *after(const char *line, const char *begin)
{
	size_t n = strlen(begin);

	return strncmp(line, begin, n) == 0 ? line + n : NULL;
}

/* ---- files --------------------------------------------------------------- */

static bool is_plain(const char *path)
{
	for (;;) {
		size_t n = strcspn(path, "/");

		if (n == 0 || (n == 1 && path[0] == '.') ||
		    (n == 2 && memcmp(path, "..", 2) == 0))
			return false;
		if (!path[n])
			return true;
		path += n + 1;
	}
}

/* Add its path to the others, with a NUL. */
static bool take_path(
    struct still_pg_manifest_reader *reader, const json_t *object)
{
	const char *path = json_string_value(json_object_get(object, "Path"));
	const char *encoded = json_string_value(
	    json_object_get(object, "Encoded-Path"));
	struct still_buf *paths = &reader->paths;
	size_t at = paths->len;

	if (path && !encoded) {
		still_buf_add(paths, path, strlen(path) + 1);
	} else if (encoded && !path) {
		char bytes[STILL_PG_MANIFEST_LINE_MAX / 2 + 1];
		size_t n = strlen(encoded) / 2;

		if (!take_hex(encoded, bytes, n) || memchr(bytes, '\0', n))
			return false;
		bytes[n] = '\0';
		still_buf_add(paths, bytes, n + 1);
	} else {
		return false;
	}
	return paths->failed || is_plain(paths->data + at);
}

static int take_checksum(struct still_pg_manifest_reader *reader,
    const json_t *object, uint32_t *ret, struct still_error *err)
{
	const char *algorithm = json_string_value(
	    json_object_get(object, "Checksum-Algorithm"));
	const char *sum = json_string_value(
	    json_object_get(object, "Checksum"));

	if (algorithm && strcmp(algorithm, "CRC32C") != 0)
		return still_error_set(err, STILL_ERR_UNSUPPORTED, 0,
		    "pg_verifybackup knows more checksums.",
		    "`backup_manifest`: has another checksum than CRC32C");
	if (!algorithm || !sum || !take_hex(sum, ret, sizeof(*ret)))
		return corrupt(reader, "has no valid checksum", err);
	return 0;
}

static struct still_pg_manifest_entry *add_entry(
    struct still_pg_manifest_reader *reader)
{
	struct still_pg_manifest_text *text = &reader->text;

	if (text->n == reader->capacity) {
		size_t capacity = reader->capacity ? 2 * reader->capacity
						   : CAPACITY_MIN;
		void *entries = realloc(
		    text->entries, capacity * sizeof(text->entries[0]));

		if (!entries)
			return NULL;
		text->entries = entries;
		reader->capacity = capacity;
	}
	return &text->entries[text->n];
}

static int take_file(struct still_pg_manifest_reader *reader,
    const json_t *object, struct still_error *err)
{
	const json_t *size = json_object_get(object, "Size");
	struct still_pg_manifest_entry *entry = add_entry(reader);
	size_t at = reader->paths.len;
	int rc;

	if (!entry)
		return still_error_nomem(err);
	if (!take_path(reader, object))
		return corrupt(reader, "has no valid path", err);
	if (reader->paths.failed)
		return still_error_nomem(err);
	if (!json_is_integer(size) || json_integer_value(size) < 0)
		return corrupt(reader, "has no valid size", err);
	*entry = (struct still_pg_manifest_entry){
	    .path_at = at, .size_bytes = (uint64_t) json_integer_value(size)};
	rc = take_checksum(reader, object, &entry->crc32c, err);
	reader->text.n += rc == 0;
	return rc;
}

/* The last line of them has no comma. */
static int file_line(struct still_pg_manifest_reader *reader, char *line,
    size_t len, struct still_error *err)
{
	json_error_t why;
	json_t *object;
	int rc;

	reader->expected = AT_FILE_NEXT;
	if (len > 0 && line[len - 1] == ',')
		len--;
	else
		reader->expected = AT_FILES_END;
	object = json_loadb(line, len, JSON_REJECT_DUPLICATES, &why);
	if (!object)
		return json_error_code(&why) == json_error_out_of_memory
		    ? still_error_nomem(err)
		    : corrupt(reader, "is no line of a file", err);
	rc = take_file(reader, object, err);
	json_decref(object);
	return rc;
}

/* ---- WAL ----------------------------------------------------------------- */

static bool lsn_of(const json_t *object, const char *key, uint64_t *ret)
{
	const char *text = json_string_value(json_object_get(object, key));

	return text && still_pg_lsn_parse(text, ret);
}

static int range_line(struct still_pg_manifest_reader *reader, char *line,
    size_t len, struct still_error *err)
{
	struct still_pg_manifest_head *head = &reader->text.head;
	json_error_t why;
	json_t *object = json_loadb(line, len, JSON_REJECT_DUPLICATES, &why);
	json_int_t timeline;
	bool valid;

	if (!object && json_error_code(&why) == json_error_out_of_memory)
		return still_error_nomem(err);
	timeline = json_integer_value(json_object_get(object, "Timeline"));
	valid = timeline > 0 && timeline <= UINT32_MAX &&
	    lsn_of(object, "Start-LSN", &head->start_lsn) &&
	    lsn_of(object, "End-LSN", &head->end_lsn) &&
	    head->start_lsn <= head->end_lsn;
	json_decref(object);
	if (!valid)
		return corrupt(reader, "is no range of WAL", err);
	head->timeline = (uint32_t) timeline;
	reader->expected = AT_RANGE_END;
	return 0;
}

/* ---- the other lines ----------------------------------------------------- */

static int version_line(struct still_pg_manifest_reader *reader,
    const char *line, struct still_error *err)
{
	const char *number = after(
	    line, "{ \"PostgreSQL-Backup-Manifest-Version\": ");
	uint64_t version;

	if (!number || !take_number(number, ",", &version))
		return corrupt(reader, "is not that of its version", err);
	if (version < 1 || version > 2)
		return still_error_set(err, STILL_ERR_UNSUPPORTED, 0, NULL,
		    "`backup_manifest`: has version %" PRIu64
		    ", which is not known",
		    version);
	reader->text.head.version = (int) version;
	reader->expected = version == 1 ? AT_FILES : AT_IDENTIFIER;
	return 0;
}

static int identifier_line(struct still_pg_manifest_reader *reader,
    const char *line, struct still_error *err)
{
	const char *number = after(line, "\"System-Identifier\": ");

	if (!number ||
	    !take_number(number, ",", &reader->text.head.system_identifier))
		return corrupt(reader, "has no system identifier", err);
	reader->expected = AT_FILES;
	return 0;
}

static int fixed_line(struct still_pg_manifest_reader *reader, const char *line,
    const char *wanted, enum expected next, struct still_error *err)
{
	if (strcmp(line, wanted) != 0)
		return corrupt(reader, "is another one than belongs here", err);
	reader->expected = next;
	return 0;
}

static int checksum_line(struct still_pg_manifest_reader *reader,
    const char *line, struct still_error *err)
{
	const char *hex = after(line, "\"Manifest-Checksum\": \"");
	uint8_t sum[SHA256_BYTES];
	char said[2 * SHA256_BYTES + 1];
	uint8_t told[SHA256_BYTES];

	if (EVP_DigestFinal_ex(reader->sha, sum, NULL) != 1)
		return still_error_set(err, STILL_ERR_FAILED, 0, NULL,
		    "`backup_manifest`: SHA-256 failed");
	if (!hex || strlen(hex) != 2 * SHA256_BYTES + 2 ||
	    strcmp(hex + 2 * SHA256_BYTES, "\"}") != 0)
		return corrupt(reader, "has no valid checksum", err);
	memcpy(said, hex, 2 * SHA256_BYTES);
	said[2 * SHA256_BYTES] = '\0';
	if (!take_hex(said, told, sizeof(told)))
		return corrupt(reader, "has no valid checksum", err);
	if (memcmp(sum, told, sizeof(sum)) != 0)
		return still_error_set(err, STILL_ERR_CORRUPT, 0, NULL,
		    "`backup_manifest`: its checksum does not match its "
		    "content");
	reader->expected = AT_NOTHING;
	return 0;
}

/* A line, with a NUL in the place of its newline. */
static int judge_line(struct still_pg_manifest_reader *reader, char *line,
    size_t len, struct still_error *err)
{
	switch (reader->expected) {
	case AT_VERSION:
		return version_line(reader, line, err);
	case AT_IDENTIFIER:
		return identifier_line(reader, line, err);
	case AT_FILES:
		return fixed_line(
		    reader, line, "\"Files\": [", AT_FILE_FIRST, err);
	case AT_FILE_FIRST:
	case AT_FILE_NEXT:
		return file_line(reader, line, len, err);
	case AT_FILES_END:
		return fixed_line(reader, line, "],", AT_RANGES, err);
	case AT_RANGES:
		return fixed_line(
		    reader, line, "\"WAL-Ranges\": [", AT_RANGE, err);
	case AT_RANGE:
		return range_line(reader, line, len, err);
	case AT_RANGE_END:
		return fixed_line(reader, line, "],", AT_CHECKSUM, err);
	case AT_CHECKSUM:
		return checksum_line(reader, line, err);
	case AT_NOTHING:
	default:
		return corrupt(reader, "is behind the last one", err);
	}
}

/* ---- pieces -------------------------------------------------------------- */

static int whole_line(
    struct still_pg_manifest_reader *reader, struct still_error *err)
{
	struct still_buf *line = &reader->line;
	size_t len = line->len - 1;
	int rc;

	reader->number++;
	if (reader->expected != AT_CHECKSUM &&
	    EVP_DigestUpdate(reader->sha, line->data, line->len) != 1)
		return still_error_set(err, STILL_ERR_FAILED, 0, NULL,
		    "`backup_manifest`: SHA-256 failed");
	line->data[len] = '\0';
	if (memchr(line->data, '\0', len))
		return corrupt(reader, "is no text", err);
	rc = judge_line(reader, line->data, len, err);
	line->len = 0;
	return rc;
}

int still_pg_manifest_reader_feed(struct still_pg_manifest_reader *reader,
    const void *data, size_t len, struct still_error *err)
{
	struct still_buf *line = &reader->line;
	const char *p = data;

	while (len > 0) {
		const char *end = memchr(p, '\n', len);
		size_t n = end ? (size_t) (end - p) + 1 : len;
		int rc = 0;

		if (n > STILL_PG_MANIFEST_LINE_MAX - line->len) {
			reader->number++;
			return corrupt(reader, "is too long", err);
		}
		still_buf_add(line, p, n);
		if (line->failed)
			return still_error_nomem(err);
		if (end)
			rc = whole_line(reader, err);
		if (rc < 0)
			return rc;
		p += n;
		len -= n;
	}
	return 0;
}

static int compare_entries(const void *a, const void *b, void *paths)
{
	const struct still_pg_manifest_entry *one = a;
	const struct still_pg_manifest_entry *two = b;
	const char *all = paths;

	return strcmp(all + one->path_at, all + two->path_at);
}

int still_pg_manifest_reader_end(struct still_pg_manifest_reader *reader,
    struct still_pg_manifest_text *ret, struct still_error *err)
{
	struct still_pg_manifest_text *text = &reader->text;

	if (reader->expected != AT_NOTHING || reader->line.len > 0)
		return still_error_set(err, STILL_ERR_CORRUPT, 0, NULL,
		    "`backup_manifest`: is cut behind line %" PRIu64,
		    reader->number);
	text->paths = still_buf_take(&reader->paths, NULL);
	if (!text->paths)
		return still_error_nomem(err);
	qsort_r(text->entries, text->n, sizeof(text->entries[0]),
	    compare_entries, text->paths);
	for (size_t i = 1; i < text->n; i++)
		if (compare_entries(&text->entries[i - 1], &text->entries[i],
			text->paths) == 0)
			return still_error_set(err, STILL_ERR_CORRUPT, 0, NULL,
			    "`backup_manifest`: names `%s` twice",
			    still_pg_manifest_path(text, &text->entries[i]));
	*ret = *text;
	memset(text, 0, sizeof(*text));
	return 0;
}

/* ---- objects ------------------------------------------------------------- */

int still_pg_manifest_reader_new(
    struct still_pg_manifest_reader **ret, struct still_error *err)
{
	struct still_pg_manifest_reader *reader = calloc(1, sizeof(*reader));

	if (!reader)
		return still_error_nomem(err);
	reader->sha = EVP_MD_CTX_new();
	if (!reader->sha) {
		free(reader);
		return still_error_nomem(err);
	}
	if (EVP_DigestInit_ex(reader->sha, EVP_sha256(), NULL) != 1) {
		still_pg_manifest_reader_free(reader);
		return still_error_set(err, STILL_ERR_FAILED, 0, NULL,
		    "`backup_manifest`: there is no SHA-256");
	}
	*ret = reader;
	return 0;
}

void still_pg_manifest_reader_free(struct still_pg_manifest_reader *reader)
{
	if (!reader)
		return;
	EVP_MD_CTX_free(reader->sha);
	still_pg_manifest_text_release(&reader->text);
	still_buf_release(&reader->paths);
	still_buf_release(&reader->line);
	free(reader);
}

void still_pg_manifest_text_release(struct still_pg_manifest_text *text)
{
	free(text->entries);
	free(text->paths);
	memset(text, 0, sizeof(*text));
}

struct still_pg_manifest_entry *still_pg_manifest_find(
    const struct still_pg_manifest_text *text, const char *path)
{
	size_t from = 0;
	size_t to = text->n;

	while (from < to) {
		size_t middle = from + (to - from) / 2;
		struct still_pg_manifest_entry *entry = &text->entries[middle];
		int order = strcmp(path, still_pg_manifest_path(text, entry));

		if (order == 0)
			return entry;
		if (order < 0)
			to = middle;
		else
			from = middle + 1;
	}
	return NULL;
}
