/* SPDX-License-Identifier: MIT */
/*
 * Bytes as a backup_label. It has no checksum: what is accepted is written down
 * again from what was understood, and must be the same text, but for the case of
 * digits and zeros before them.
 */
#include "config.h"

#include <ctype.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engines/postgres/label.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static void must(bool it)
{
	if (!it)
		abort();
}

/* The lines, without their newlines; they are 7, and nothing is between them. */
static void cut(char *text, size_t len, char *lines[7])
{
	char *at = text;

	must(memchr(text, '\0', len) == NULL);
	for (int i = 0; i < 7; i++) {
		char *end = memchr(at, '\n', len - (size_t) (at - text));

		must(end != NULL);
		*end = '\0';
		lines[i] = at;
		at = end + 1;
	}
	must(at == text + len);
}

/* `line` is `key` and an LSN; returns what is behind it. */
static const char *lsn_is(const char *line, const char *key, uint64_t lsn)
{
	const char *at = line + strlen(key);
	char *end;

	must(strncmp(line, key, strlen(key)) == 0 && isxdigit(*at));
	must(strtoull(at, &end, 16) == lsn >> 32 && *end == '/');
	must(isxdigit(end[1]));
	must(strtoull(end + 1, &end, 16) == (lsn & UINT32_MAX));
	return end;
}

static void judge(char *text, size_t len, const struct still_pg_label *label)
{
	char *lines[7];
	char name[64];
	char *end;

	cut(text, len, lines);
	snprintf(name, sizeof(name), " (file %s)", label->start_segment);
	must(strcmp(lsn_is(lines[0], "START WAL LOCATION: ", label->start_lsn),
		 name) == 0);
	must(*lsn_is(lines[1],
		 "CHECKPOINT LOCATION: ", label->check_point_lsn) == '\0');
	must(strcmp(lines[2],
		 label->streamed ? "BACKUP METHOD: streamed"
				 : "BACKUP METHOD: pg_start_backup") == 0);
	must(label->from_standby
		? strcmp(lines[3], "BACKUP FROM: standby") == 0
		: strcmp(lines[3], "BACKUP FROM: primary") == 0 ||
		    strcmp(lines[3], "BACKUP FROM: master") == 0);
	must(strncmp(lines[4], "START TIME: ", 12) == 0);
	must(strncmp(lines[5], "LABEL: ", 7) == 0);
	must(strncmp(lines[6], "START TIMELINE: ", 16) == 0 &&
	    isdigit(lines[6][16]));
	must(strtoull(lines[6] + 16, &end, 10) == label->timeline && !*end);
	must(strlen(label->start_segment) == STILL_PG_SEGMENT_NAME_CHARS);
	must(label->timeline > 0);
	name[8 + 7] = '\0';
	must(strtoull(name + 7, &end, 16) == label->timeline && !*end);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct still_error err = STILL_ERROR_INIT;
	struct still_pg_label label;
	char *text = calloc(1, len + (len == 0));

	must(text != NULL);
	if (len > 0)
		memcpy(text, data, len);
	if (still_pg_label_parse(text, len, &label, &err) == 0)
		judge(text, len, &label);
	still_error_clear(&err);
	free(text);
	return 0;
}
