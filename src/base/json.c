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

/* NULL where `hex` is not an even number of hexadecimal digits, or names the
 * byte that no name has. */
static char *decode(const char *hex)
{
	static const char digits[] = "0123456789abcdef";
	size_t n = strlen(hex);
	char *name = n % 2 ? NULL : malloc(n / 2 + 1);

	for (size_t i = 0; name && i < n; i += 2) {
		const char *high = strchr(digits, hex[i]);
		const char *low = strchr(digits, hex[i + 1]);

		if (!high || !low || (high == digits && low == digits)) {
			free(name);
			return NULL;
		}
		name[i / 2] = (char) ((high - digits) * 16 + (low - digits));
	}
	if (name)
		name[n / 2] = '\0';
	return name;
}

char *still_json_get_name(const json_t *object, const char *key)
{
	const char *plain = json_string_value(json_object_get(object, key));
	struct still_buf long_key = STILL_BUF_INIT;
	const char *hex = NULL;

	if (plain)
		return strdup(plain);
	still_buf_printf(&long_key, "encoded_%s", key);
	if (!long_key.failed)
		hex = json_string_value(json_object_get(object, long_key.data));
	still_buf_release(&long_key);
	return hex ? decode(hex) : NULL;
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
