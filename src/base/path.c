/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "base/path.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

size_t still_utf8_char_bytes(const char *text)
{
	const unsigned char *p = (const unsigned char *) text;
	size_t n = p[0] < 0x80 ? 1
	    : p[0] < 0xc2      ? 0
	    : p[0] < 0xe0      ? 2
	    : p[0] < 0xf0      ? 3
	    : p[0] < 0xf5      ? 4
			       : 0;

	/* A NUL is no continuation byte, so this never runs past the end. */
	for (size_t i = 1; i < n; i++)
		if ((p[i] & 0xc0) != 0x80)
			return 0;
	if (n == 3 &&
	    ((p[0] == 0xe0 && p[1] < 0xa0) || (p[0] == 0xed && p[1] > 0x9f)))
		return 0;
	if (n == 4 &&
	    ((p[0] == 0xf0 && p[1] < 0x90) || (p[0] == 0xf4 && p[1] > 0x8f)))
		return 0;
	return n;
}

bool still_utf8_valid(const char *text)
{
	while (*text) {
		size_t n = still_utf8_char_bytes(text);

		if (n == 0)
			return false;
		text += n;
	}
	return true;
}

char *still_path_join(const char *dir, const char *name)
{
	char *joined = NULL;

	if (!*dir)
		return strdup(name);
	if (asprintf(&joined, "%s%s%s", dir,
		still_path_ends(dir, "/") ? "" : "/", name) < 0)
		return NULL;
	return joined;
}

const char *still_path_base(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash ? slash + 1 : path;
}

bool still_path_ends(const char *text, const char *suffix)
{
	size_t n = strlen(text);
	size_t m = strlen(suffix);

	return n >= m && memcmp(text + n - m, suffix, m) == 0;
}

bool still_path_is_plain(const char *path)
{
	for (const char *p = path;;) {
		size_t n = strcspn(p, "/");

		if (n == 0 || (n == 1 && p[0] == '.') ||
		    (n == 2 && p[0] == '.' && p[1] == '.'))
			return false;
		if (!p[n])
			return true;
		p += n + 1;
	}
}

bool still_path_is_in(const char *path, const char *dir)
{
	size_t n = strlen(dir);

	if (strncmp(path, dir, n) != 0)
		return false;
	/* "/" is the one that ends with a slash. */
	return path[n] == '\0' || path[n] == '/' ||
	    (n > 0 && dir[n - 1] == '/');
}

bool still_path_link_stays(const char *path, const char *target)
{
	size_t depth = 0;
	bool down = false;

	for (const char *p = path; *p; p++)
		depth += *p == '/';
	for (const char *part = target;;) {
		size_t n = strcspn(part, "/");

		if (n == 0 || (n == 1 && part[0] == '.'))
			return false;
		if (n == 2 && part[0] == '.' && part[1] == '.') {
			if (down || depth-- == 0)
				return false;
		} else {
			down = true;
		}
		if (!part[n])
			return down;
		part += n + 1;
	}
}
