/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "engines/postgres/label.h"

#include <string.h>

/* What is left to be read. Nothing here looks beyond `left`. */
struct cursor {
	const char *at;
	size_t left;
};

static bool skip_text(struct cursor *c, const char *text)
{
	size_t len = strlen(text);

	if (c->left < len || memcmp(c->at, text, len) != 0)
		return false;
	c->at += len;
	c->left -= len;
	return true;
}

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	return -1;
}

/* From one digit to `max`, in base 10 or 16; the value fits into 32 bits. */
static bool take_number(struct cursor *c, int base, size_t max, uint32_t *ret)
{
	uint64_t value = 0;
	size_t n = 0;

	while (n < max && n < c->left) {
		int digit = hex_digit(c->at[n]);

		if (digit < 0 || digit >= base)
			break;
		value = value * (unsigned) base + (unsigned) digit;
		n++;
	}
	if (n == 0 || value > UINT32_MAX)
		return false;
	c->at += n;
	c->left -= n;
	*ret = (uint32_t) value;
	return true;
}

static bool take_lsn(struct cursor *c, uint64_t *ret)
{
	uint32_t high, low;

	if (!take_number(c, 16, 8, &high) || !skip_text(c, "/") ||
	    !take_number(c, 16, 8, &low))
		return false;
	*ret = (uint64_t) high << 32 | low;
	return true;
}

static bool take_segment(
    struct cursor *c, char ret[STILL_PG_SEGMENT_NAME_CHARS + 1])
{
	if (c->left < STILL_PG_SEGMENT_NAME_CHARS)
		return false;
	for (size_t i = 0; i < STILL_PG_SEGMENT_NAME_CHARS; i++)
		if (hex_digit(c->at[i]) < 0)
			return false;
	memcpy(ret, c->at, STILL_PG_SEGMENT_NAME_CHARS);
	ret[STILL_PG_SEGMENT_NAME_CHARS] = '\0';
	c->at += STILL_PG_SEGMENT_NAME_CHARS;
	c->left -= STILL_PG_SEGMENT_NAME_CHARS;
	return true;
}

/* To the end of the line, which is left to be read. */
static bool skip_words(struct cursor *c)
{
	const char *end = memchr(c->at, '\n', c->left);
	size_t n = end ? (size_t) (end - c->at) : c->left;

	if (memchr(c->at, '\0', n))
		return false;
	c->at += n;
	c->left -= n;
	return true;
}

typedef bool line_fn(struct cursor *c, struct still_pg_label *label);

static bool start_location(struct cursor *c, struct still_pg_label *label)
{
	return take_lsn(c, &label->start_lsn) && skip_text(c, " (file ") &&
	    take_segment(c, label->start_segment) && skip_text(c, ")");
}

static bool check_point(struct cursor *c, struct still_pg_label *label)
{
	return take_lsn(c, &label->check_point_lsn);
}

static bool method(struct cursor *c, struct still_pg_label *label)
{
	label->streamed = skip_text(c, "streamed");
	return label->streamed || skip_text(c, "pg_start_backup");
}

static bool from(struct cursor *c, struct still_pg_label *label)
{
	label->from_standby = skip_text(c, "standby");
	/* 13 has the older word. */
	return label->from_standby || skip_text(c, "primary") ||
	    skip_text(c, "master");
}

static bool words(struct cursor *c, struct still_pg_label *label)
{
	(void) label;
	return skip_words(c);
}

static bool timeline(struct cursor *c, struct still_pg_label *label)
{
	struct cursor name = {label->start_segment, 8};
	uint32_t named = 0;

	return take_number(c, 10, 10, &label->timeline) &&
	    take_number(&name, 16, 8, &named) && named == label->timeline &&
	    named > 0;
}

static const struct {
	const char *key;
	line_fn *take;
} lines[] = {
    {"START WAL LOCATION", start_location},
    {"CHECKPOINT LOCATION", check_point},
    {"BACKUP METHOD", method},
    {"BACKUP FROM", from},
    {"START TIME", words},
    {"LABEL", words},
    {"START TIMELINE", timeline},
};

#define N_LINES (sizeof(lines) / sizeof(lines[0]))

static int bad(struct still_error *err, const char *key)
{
	return still_error_set(err, STILL_ERR_CORRUPT, 0, NULL,
	    "`backup_label`: there is no valid line `%s`", key);
}

int still_pg_label_parse(const char *text, size_t len,
    struct still_pg_label *ret, struct still_error *err)
{
	struct still_pg_label label = {0};
	struct cursor c = {text, len};

	for (size_t i = 0; i < N_LINES; i++)
		if (!skip_text(&c, lines[i].key) || !skip_text(&c, ": ") ||
		    !lines[i].take(&c, &label) || !skip_text(&c, "\n"))
			return bad(err, lines[i].key);
	if (skip_text(&c, "INCREMENTAL FROM LSN: "))
		return still_error_set(err, STILL_ERR_UNSUPPORTED, 0, NULL,
		    "`backup_label`: is of an incremental backup");
	if (c.left > 0)
		return still_error_set(err, STILL_ERR_CORRUPT, 0, NULL,
		    "`backup_label`: goes on behind its last line");
	*ret = label;
	return 0;
}
