/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "base/json.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/buf.h"
#include "base/path.h"
#include "base/sys.h"

int still_json_set_name(json_t *object, const char *key, const char *name)
{
	struct still_buf hex = STILL_BUF_INIT;
	struct still_buf long_key = STILL_BUF_INIT;
	int rc = -1;

	if (still_utf8_valid(name))
		return json_object_set_new(object, key, json_string(name));
	still_buf_printf(&long_key, "encoded_%s", key);
	for (const char *p = name; *p; p++)
		still_buf_printf(&hex, "%02x", (unsigned char) *p);
	if (!hex.failed && !long_key.failed)
		rc = json_object_set_new(
		    object, long_key.data, json_string(hex.data));
	still_buf_release(&hex);
	still_buf_release(&long_key);
	return rc;
}

static int digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* An even number of hexadecimal digits, and not the byte that no name has. */
static bool is_encoded(const char *hex)
{
	size_t n = strlen(hex);

	for (size_t i = 0; i < n; i++)
		if (digit(hex[i]) < 0 ||
		    (i % 2 == 1 && hex[i - 1] == '0' && hex[i] == '0'))
			return false;
	return n % 2 == 0;
}

static int decode(const char *hex, char **ret)
{
	size_t n = strlen(hex) / 2;
	char *name = malloc(n + 1);

	if (!name)
		return -1;
	for (size_t i = 0; i < n; i++)
		name[i] =
		    (char) (digit(hex[2 * i]) * 16 + digit(hex[2 * i + 1]));
	name[n] = '\0';
	*ret = name;
	return 0;
}

int still_json_get_name(const json_t *object, const char *key, char **ret)
{
	const char *plain = json_string_value(json_object_get(object, key));
	struct still_buf long_key = STILL_BUF_INIT;
	const char *hex;

	*ret = plain ? strdup(plain) : NULL;
	if (plain)
		return *ret ? 0 : -1;
	still_buf_printf(&long_key, "encoded_%s", key);
	if (long_key.failed)
		return -1;
	hex = json_string_value(json_object_get(object, long_key.data));
	still_buf_release(&long_key);
	return hex && is_encoded(hex) ? decode(hex, ret) : 0;
}

int still_json_set_text(json_t *object, const char *key, const char *text)
{
	struct still_buf line = STILL_BUF_INIT;
	int rc = -1;

	still_buf_line(&line, text);
	if (!line.failed)
		rc = json_object_set_new(
		    object, key, json_string(line.data ? line.data : ""));
	still_buf_release(&line);
	return rc;
}

int still_json_set_time(json_t *object, const char *key, int64_t time_ns)
{
	char text[STILL_TIME_TEXT_BYTES];

	still_time_text(time_ns, 9, text);
	return json_object_set_new(object, key, json_string(text));
}

char *still_json_text(const json_t *value, size_t *ret_len)
{
	char *body = json_dumps(value, JSON_INDENT(2) | JSON_PRESERVE_ORDER);
	struct still_buf buf = STILL_BUF_INIT;

	if (!body)
		return NULL;
	still_buf_str(&buf, body);
	still_buf_str(&buf, "\n");
	free(body);
	return still_buf_take(&buf, ret_len);
}

void still_time_text(
    int64_t time_ns, int digits, char out[STILL_TIME_TEXT_BYTES])
{
	int64_t fraction_ns = time_ns % STILL_NS_PER_S;
	time_t seconds = (time_t) (time_ns / STILL_NS_PER_S);
	struct tm tm;
	size_t n;

	if (fraction_ns < 0) {
		fraction_ns += STILL_NS_PER_S;
		seconds--;
	}
	gmtime_r(&seconds, &tm);
	n = strftime(out, STILL_TIME_TEXT_BYTES, "%Y-%m-%dT%H:%M:%S", &tm);
	if (digits > 0) {
		char fraction[16];

		snprintf(fraction, sizeof(fraction), "%09lld",
		    (long long) fraction_ns);
		out[n++] = '.';
		memcpy(out + n, fraction, (size_t) digits);
		n += (size_t) digits;
	}
	out[n++] = 'Z';
	out[n] = '\0';
}
