/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "engines/postgres/manifest.h"

#include <assert.h>
#include <openssl/evp.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/buf.h"
#include "base/path.h"

#define SHA256_BYTES 32

struct still_pg_manifest {
	struct still_pg_manifest_head head;
	still_pg_manifest_sink_fn *sink; /* NULL: the size is all */
	void *arg;
	EVP_MD_CTX *sha;      /* NULL without a sink */
	struct still_buf buf; /* one piece of text, while it is made */
	uint64_t size_bytes;
	bool any_file;
	bool ended;
	int failed; /* what every call returns from now on */
};

/* The server writes lowercase. */
static void add_hex(struct still_buf *buf, const void *data, size_t len)
{
	static const char digits[] = "0123456789abcdef";
	const uint8_t *bytes = data;

	for (size_t i = 0; i < len; i++) {
		char pair[2] = {digits[bytes[i] >> 4], digits[bytes[i] & 15]};

		still_buf_add(buf, pair, sizeof(pair));
	}
}

/* As escape_json() in the server's json.c. */
static void add_escaped(struct still_buf *buf, const char *text)
{
	static const char letters[] = "btnvfr"; /* of 0x08 and what follows */

	for (const char *p = text; *p; p++) {
		uint8_t c = (uint8_t) *p;

		if (c == '"' || c == '\\')
			still_buf_printf(buf, "\\%c", c);
		else if (c >= '\b' && c <= '\r' && c != '\v')
			still_buf_printf(buf, "\\%c", letters[c - '\b']);
		else if (c < 0x20)
			still_buf_printf(buf, "\\u%04x", c);
		else
			still_buf_add(buf, p, 1);
	}
}

static void add_path(struct still_buf *buf, const char *path)
{
	if (still_utf8_valid(path)) {
		still_buf_str(buf, "{ \"Path\": \"");
		add_escaped(buf, path);
	} else {
		still_buf_str(buf, "{ \"Encoded-Path\": \"");
		add_hex(buf, path, strlen(path));
	}
	still_buf_str(buf, "\", ");
}

/* Only people read it; what is no time is shown as the first one. */
static void add_time(struct still_buf *buf, int64_t time_s)
{
	time_t t = (time_t) time_s;
	struct tm tm;
	char text[64];

	if (!gmtime_r(&t, &tm) ||
	    strftime(text, sizeof(text), "%Y-%m-%d %H:%M:%S", &tm) == 0)
		strcpy(text, "1970-01-01 00:00:00");
	still_buf_printf(buf, "\"Last-Modified\": \"%s GMT\"", text);
}

/* Hand over what is in the buffer. `summed`: it counts for the checksum. */
static int flush(
    struct still_pg_manifest *manifest, bool summed, struct still_error *err)
{
	struct still_buf *buf = &manifest->buf;
	int rc = 0;

	if (buf->failed)
		rc = still_error_nomem(err);
	else if (summed && manifest->sha &&
	    EVP_DigestUpdate(manifest->sha, buf->data, buf->len) != 1)
		rc = still_error_set(err, STILL_ERR_FAILED, 0, NULL,
		    "`backup_manifest`: SHA-256 failed");
	else if (manifest->sink)
		rc = manifest->sink(manifest->arg, buf->data, buf->len, err);
	if (rc < 0) {
		manifest->failed = rc;
		return rc;
	}
	manifest->size_bytes += buf->len;
	buf->len = 0;
	return 0;
}

static int failed_before(
    const struct still_pg_manifest *manifest, struct still_error *err)
{
	return still_error_set(err, manifest->failed, 0, NULL,
	    "`backup_manifest`: an earlier part of it failed");
}

static int begin(struct still_pg_manifest *manifest, struct still_error *err)
{
	const struct still_pg_manifest_head *head = &manifest->head;
	struct still_buf *buf = &manifest->buf;

	if (manifest->sink) {
		manifest->sha = EVP_MD_CTX_new();
		if (!manifest->sha)
			return still_error_nomem(err);
		if (EVP_DigestInit_ex(manifest->sha, EVP_sha256(), NULL) != 1)
			return still_error_set(err, STILL_ERR_FAILED, 0, NULL,
			    "`backup_manifest`: there is no SHA-256");
	}
	still_buf_printf(buf, "{ \"PostgreSQL-Backup-Manifest-Version\": %d,\n",
	    head->version);
	if (head->version >= 2)
		still_buf_printf(buf, "\"System-Identifier\": %llu,\n",
		    (unsigned long long) head->system_identifier);
	still_buf_str(buf, "\"Files\": [");
	return flush(manifest, true, err);
}

int still_pg_manifest_new(const struct still_pg_manifest_head *head,
    still_pg_manifest_sink_fn *sink, void *arg, struct still_pg_manifest **ret,
    struct still_error *err)
{
	struct still_pg_manifest *manifest;
	int rc;

	if (head->version < 1 || head->version > 2)
		return still_error_set(err, STILL_ERR_INVALID, 0, NULL,
		    "`backup_manifest`: there is no version %d", head->version);
	manifest = calloc(1, sizeof(*manifest));
	if (!manifest)
		return still_error_nomem(err);
	manifest->head = *head;
	manifest->sink = sink;
	manifest->arg = arg;
	rc = begin(manifest, err);
	if (rc < 0) {
		still_pg_manifest_free(manifest);
		return rc;
	}
	*ret = manifest;
	return 0;
}

int still_pg_manifest_file(struct still_pg_manifest *manifest,
    const struct still_pg_manifest_file *file, struct still_error *err)
{
	struct still_buf *buf = &manifest->buf;

	assert(!manifest->ended);
	if (manifest->failed < 0)
		return failed_before(manifest, err);
	still_buf_str(buf, manifest->any_file ? ",\n" : "\n");
	manifest->any_file = true;
	add_path(buf, file->path);
	still_buf_printf(
	    buf, "\"Size\": %llu, ", (unsigned long long) file->size_bytes);
	add_time(buf, file->mtime_s);
	still_buf_str(
	    buf, ", \"Checksum-Algorithm\": \"CRC32C\", \"Checksum\": \"");
	add_hex(buf, &file->crc32c, sizeof(file->crc32c));
	still_buf_str(buf, "\" }");
	return flush(manifest, true, err);
}

static void add_lsn(struct still_buf *buf, const char *key, uint64_t lsn)
{
	still_buf_printf(buf, ", \"%s\": \"%X/%X\"", key,
	    (unsigned) (lsn >> 32), (unsigned) lsn);
}

int still_pg_manifest_end(
    struct still_pg_manifest *manifest, struct still_error *err)
{
	struct still_buf *buf = &manifest->buf;
	uint8_t sum[SHA256_BYTES] = {0};
	int rc;

	assert(!manifest->ended);
	if (manifest->failed < 0)
		return failed_before(manifest, err);
	still_buf_printf(buf, "\n],\n\"WAL-Ranges\": [\n{ \"Timeline\": %lu",
	    (unsigned long) manifest->head.timeline);
	add_lsn(buf, "Start-LSN", manifest->head.start_lsn);
	add_lsn(buf, "End-LSN", manifest->head.end_lsn);
	still_buf_str(buf, " }\n],\n");
	rc = flush(manifest, true, err);
	if (rc < 0)
		return rc;
	if (manifest->sha &&
	    EVP_DigestFinal_ex(manifest->sha, sum, NULL) != 1) {
		manifest->failed = STILL_ERR_FAILED;
		return still_error_set(err, STILL_ERR_FAILED, 0, NULL,
		    "`backup_manifest`: SHA-256 failed");
	}
	manifest->ended = true;
	still_buf_str(buf, "\"Manifest-Checksum\": \"");
	add_hex(buf, sum, sizeof(sum));
	still_buf_str(buf, "\"}\n");
	return flush(manifest, false, err);
}

uint64_t still_pg_manifest_size(const struct still_pg_manifest *manifest)
{
	return manifest->size_bytes;
}

void still_pg_manifest_free(struct still_pg_manifest *manifest)
{
	if (!manifest)
		return;
	EVP_MD_CTX_free(manifest->sha);
	still_buf_release(&manifest->buf);
	free(manifest);
}
