/* SPDX-License-Identifier: MIT */
/*
 * Bytes as a backup_manifest, as they are and with a right checksum of their
 * own; in one piece and in several, which must come to the same. What is
 * accepted has the SHA-256 that its last line says, as it is computed here; its
 * paths lie inside, in order, none twice, and each is found.
 */
#include "config.h"

#include <openssl/evp.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engines/postgres/manifest_read.h"

#define SUM_BYTES 32
#define SUM_KEY "\"Manifest-Checksum\": \""

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static void must(bool it)
{
	if (!it)
		abort();
}

static void sum_of(const char *text, size_t len, char hex[2 * SUM_BYTES + 1])
{
	unsigned char sum[SUM_BYTES];

	must(EVP_Digest(text, len, sum, NULL, EVP_sha256(), NULL) == 1);
	for (size_t i = 0; i < sizeof(sum); i++)
		snprintf(hex + 2 * i, 3, "%02x", sum[i]);
}

/* ---- what was accepted --------------------------------------------------- */

static void judge_text(const char *text, size_t len)
{
	char wanted[sizeof(SUM_KEY) + 2 * SUM_BYTES + 8] = SUM_KEY;
	size_t last = strlen(SUM_KEY) + 2 * SUM_BYTES + 3;

	must(len > last);
	sum_of(text, len - last, wanted + strlen(SUM_KEY));
	strcat(wanted, "\"}\n");
	must(memcmp(text + len - last, wanted, last) == 0);
}

static void judge_path(const char *path)
{
	char padded[STILL_PG_MANIFEST_LINE_MAX + 3];

	must(*path);
	must(snprintf(padded, sizeof(padded), "/%s/", path) <
	    (int) sizeof(padded));
	must(!strstr(padded, "//") && !strstr(padded, "/./") &&
	    !strstr(padded, "/../"));
}

static void judge(const struct still_pg_manifest_text *got)
{
	must(got->head.version == 1 || got->head.version == 2);
	must(got->head.timeline > 0);
	must(got->head.start_lsn <= got->head.end_lsn);
	for (size_t i = 0; i < got->n; i++) {
		const char *path = still_pg_manifest_path(
		    got, &got->entries[i]);

		judge_path(path);
		must(got->entries[i].size_bytes <= INT64_MAX);
		must(still_pg_manifest_find(got, path) == &got->entries[i]);
		must(i == 0 ||
		    strcmp(still_pg_manifest_path(got, &got->entries[i - 1]),
			path) < 0);
	}
}

static void judge_same(const struct still_pg_manifest_text *one,
    const struct still_pg_manifest_text *two)
{
	must(one->n == two->n && one->head.version == two->head.version &&
	    one->head.system_identifier == two->head.system_identifier &&
	    one->head.timeline == two->head.timeline &&
	    one->head.start_lsn == two->head.start_lsn &&
	    one->head.end_lsn == two->head.end_lsn);
	for (size_t i = 0; i < one->n; i++)
		must(one->entries[i].crc32c == two->entries[i].crc32c &&
		    one->entries[i].size_bytes == two->entries[i].size_bytes);
}

/* ---- reading ------------------------------------------------------------- */

static int read_in(const char *text, size_t len, size_t piece,
    struct still_pg_manifest_text *ret)
{
	struct still_pg_manifest_reader *reader;
	struct still_error err = STILL_ERROR_INIT;
	int rc = still_pg_manifest_reader_new(&reader, &err);

	must(rc == 0);
	for (size_t at = 0; rc == 0 && at < len; at += piece)
		rc = still_pg_manifest_reader_feed(reader, text + at,
		    len - at < piece ? len - at : piece, &err);
	if (rc == 0)
		rc = still_pg_manifest_reader_end(reader, ret, &err);
	still_pg_manifest_reader_free(reader);
	still_error_clear(&err);
	return rc;
}

static void parse(const char *text, size_t len)
{
	struct still_pg_manifest_text one = {0};
	struct still_pg_manifest_text two = {0};
	int rc = read_in(text, len, len ? len : 1, &one);

	must(read_in(text, len, 1 + len / 7, &two) == rc);
	if (rc == 0) {
		judge_text(text, len);
		judge(&one);
		judge_same(&one, &two);
	}
	still_pg_manifest_text_release(&one);
	still_pg_manifest_text_release(&two);
}

/* All but what begins as the last line does, and a last line. */
static void parse_sealed(const char *text, size_t len)
{
	const char *last = memmem(text, len, SUM_KEY, strlen(SUM_KEY));
	size_t head = last ? (size_t) (last - text) : len;
	char *sealed = malloc(head + sizeof(SUM_KEY) + 2 * SUM_BYTES + 8);
	char *end = sealed + head;

	must(sealed != NULL);
	memcpy(sealed, text, head);
	end += sprintf(end, "%s", SUM_KEY);
	sum_of(sealed, head, end);
	end += 2 * SUM_BYTES;
	end += sprintf(end, "\"}\n");
	parse(sealed, (size_t) (end - sealed));
	free(sealed);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	const char *text = len > 0 ? (const char *) data : "";

	parse(text, len);
	parse_sealed(text, len);
	return 0;
}
