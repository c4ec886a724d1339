/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "engines/postgres/secret.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

bool still_pg_is_uri(const char *source)
{
	return strncmp(source, "postgresql://", 13) == 0 ||
	    strncmp(source, "postgres://", 11) == 0;
}

static int hex(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c |= 0x20;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Every %XX as its byte (a NUL as a blank); the rest as it is. */
static char *decoded(const char *text)
{
	char *copy = malloc(strlen(text) + 1);
	char *to = copy;

	if (!copy)
		return NULL;
	while (*text) {
		int high = *text == '%' ? hex(text[1]) : -1;
		int low = high >= 0 ? hex(text[2]) : -1;

		if (low < 0) {
			*to++ = *text++;
			continue;
		}
		*to++ = (char) (high || low ? high << 4 | low : ' ');
		text += 3;
	}
	*to = '\0';
	return copy;
}

/* "password" and `=` somewhere. */
static bool has_word(const char *text)
{
	for (; *text; text++) {
		if (strncasecmp(text, "password", 8) != 0)
			continue;
		if (text[8 + strspn(text + 8, " \t\r\n\f\v")] == '=')
			return true;
	}
	return false;
}

/* user:password@ */
static bool has_userinfo(const char *source)
{
	const char *rest = strstr(source, "://") + 3;
	size_t len = strcspn(rest, ":");
	const char *at = strrchr(rest, '@');

	/* Of an IPv6 address the colons stand between brackets. An `@` in the
	 * query part belongs to nobody, unless there was a `?` in a password:
	 * a raw `@` there is taken for that. */
	return at && rest[len] == ':' && rest + len < at;
}

bool still_pg_holds_secret(const char *source)
{
	char *text = decoded(source);
	bool holds;

	if (!text)
		return true;
	holds = has_word(source) || has_word(text) ||
	    (still_pg_is_uri(source) && has_userinfo(source));
	free(text);
	return holds;
}

bool still_pg_is_secret(const char *keyword, const char *dispchar)
{
	/* Newer secrets of libpq are marked by their names only. */
	return (dispchar && *dispchar == '*') || strstr(keyword, "password") ||
	    strstr(keyword, "secret") || strstr(keyword, "scram_");
}

int still_pg_refuse_secret(struct still_error *err)
{
	return still_error_set(err, STILL_ERR_INVALID, 0,
	    "Everybody who lists processes or mounts would read it: put it "
	    "into a file of mode 0600 and say `passfile=FILE`, or into a "
	    "service file and say `service=NAME`, or let the server know you "
	    "by `peer` authentication, without any password. A raw `@` behind "
	    "a colon is taken for a password's; write it as %40.",
	    "source: there is a password or another secret in it");
}
