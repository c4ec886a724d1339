/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "base/buf.h"

#include <ctype.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/path.h"

static bool grow(struct still_buf *buf, size_t more)
{
	size_t want = buf->len + more + 1;
	size_t capacity = buf->capacity ? buf->capacity : 128;
	char *data;

	if (buf->failed)
		return false;
	if (want <= buf->capacity)
		return true;
	while (capacity < want)
		capacity *= 2;
	data = realloc(buf->data, capacity);
	if (!data) {
		buf->failed = true;
		return false;
	}
	buf->data = data;
	buf->capacity = capacity;
	return true;
}

void still_buf_add(struct still_buf *buf, const void *data, size_t len)
{
	if (!grow(buf, len))
		return;
	if (len)
		memcpy(buf->data + buf->len, data, len);
	buf->len += len;
	buf->data[buf->len] = '\0';
}

void still_buf_str(struct still_buf *buf, const char *text)
{
	still_buf_add(buf, text, strlen(text));
}

void still_buf_printf(struct still_buf *buf, const char *fmt, ...)
{
	char *text = NULL;
	va_list ap;
	int len;

	va_start(ap, fmt);
	len = vasprintf(&text, fmt, ap);
	va_end(ap);
	if (len < 0) {
		buf->failed = true;
		return;
	}
	still_buf_add(buf, text, (size_t) len);
	free(text);
}

static bool is_plain(const char *text)
{
	if (!*text)
		return false;
	for (; *text; text++)
		if (!isascii((unsigned char) *text) ||
		    (!isalnum((unsigned char) *text) &&
			!strchr("_./:+@%,-", *text)))
			return false;
	return true;
}

static void add_escaped(
    struct still_buf *buf, const char *text, const char *with_backslash)
{
	const unsigned char *p = (const unsigned char *) text;

	while (*p) {
		size_t n = still_utf8_char_bytes((const char *) p);

		if (n == 0 || *p < 0x20 || *p == 0x7f) {
			still_buf_printf(buf, "\\x%02x", *p);
			n = 1;
		} else {
			if (strchr(with_backslash, *p))
				still_buf_str(buf, "\\");
			still_buf_add(buf, p, n);
		}
		p += n;
	}
}

void still_buf_word(struct still_buf *buf, const char *text)
{
	if (is_plain(text)) {
		still_buf_str(buf, text);
		return;
	}
	still_buf_str(buf, "\"");
	add_escaped(buf, text, "\"\\");
	still_buf_str(buf, "\"");
}

void still_buf_line(struct still_buf *buf, const char *text)
{
	add_escaped(buf, text, "");
}

void still_buf_size(struct still_buf *buf, uint64_t bytes)
{
	static const char *const units[] = {
	    "B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
	double value = (double) bytes;
	size_t i = 0;

	/* What would be printed as 1024.0 is 1.0 of the next unit. */
	while (value >= (i ? 1023.95 : 1024) &&
	    i + 1 < sizeof(units) / sizeof(units[0])) {
		value /= 1024;
		i++;
	}
	still_buf_printf(buf, i ? "%.1f %s" : "%.0f %s", value, units[i]);
}

char *still_buf_take(struct still_buf *buf, size_t *ret_len)
{
	char *data;

	/* An empty buffer is still a string. */
	if (!buf->failed)
		still_buf_add(buf, "", 0);
	if (buf->failed) {
		still_buf_release(buf);
		return NULL;
	}
	data = buf->data;
	if (ret_len)
		*ret_len = buf->len;
	memset(buf, 0, sizeof(*buf));
	return data;
}

void still_buf_release(struct still_buf *buf)
{
	free(buf->data);
	memset(buf, 0, sizeof(*buf));
}
