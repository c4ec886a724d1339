/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "base/connstr.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

bool still_connstr_is_uri(const char *source)
{
	return strncmp(source, "postgresql://", 13) == 0 ||
	    strncmp(source, "postgres://", 11) == 0;
}

static bool is_path(const char *source)
{
	return *source == '/' || *source == '.' || access(source, F_OK) == 0;
}

/* A word and `=` behind it. */
static bool begins_with_keyword(const char *text)
{
	size_t len;

	text += strspn(text, " \t\n");
	len = strspn(text, "abcdefghijklmnopqrstuvwxyz_");
	return len > 0 && text[len + strspn(text + len, " \t\n")] == '=';
}

bool still_connstr_is(const char *source)
{
	return still_connstr_is_uri(source) ||
	    (begins_with_keyword(source) && !is_path(source));
}

/* ---- secrets ------------------------------------------------------------- */

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

/* Behind "scheme://" of whatever scheme; of ours also with a slash too few or
 * too many. NULL: it is no URI. */
static const char *behind_scheme(const char *source)
{
	const char *rest = strstr(source, "://");

	if (!rest && strncasecmp(source, "postgres", 8) == 0)
		rest = strchr(source, ':');
	return rest ? rest + 1 + strspn(rest + 1, "/") : NULL;
}

/* user:password@ */
static bool has_userinfo(const char *source)
{
	const char *rest = behind_scheme(source);
	const char *at;
	size_t len;

	if (!rest)
		return false;
	len = strcspn(rest, ":");
	at = strrchr(rest, '@');
	/* Of an IPv6 address the colons stand between brackets. An `@` in the
	 * query part belongs to nobody, unless there was a `?` in a password:
	 * a raw `@` there is taken for that. */
	return at && rest[len] == ':' && rest + len < at;
}

bool still_connstr_holds_secret(const char *source)
{
	char *text;
	bool holds;

	if (is_path(source))
		return false;
	text = decoded(source);
	if (!text)
		return true;
	holds = has_word(source) || has_word(text) || has_userinfo(source);
	free(text);
	return holds;
}

int still_connstr_refuse_secret(struct still_error *err)
{
	return still_error_set(err, STILL_ERR_INVALID, 0,
	    "Everybody who lists processes or mounts would read it: put it "
	    "into a file of mode 0600 and say `passfile=FILE`, or into a "
	    "service file and say `service=NAME`, or let the server know you "
	    "by `peer` authentication, without any password. A raw `@` behind "
	    "a colon is taken for a password's; write it as %40.",
	    "source: there is a password or another secret in it");
}
