/* SPDX-License-Identifier: MIT */
/*
 * json: what jansson lacks for our documents.
 *
 * JSON text is Unicode and file names are bytes. A name that is valid UTF-8
 * stands under its key; any other stands under "encoded_" + key, as the
 * hexadecimal digits of its bytes, and the plain key is absent.
 */
#ifndef STILL_BASE_JSON_H
#define STILL_BASE_JSON_H

#include <jansson.h>
#include <stddef.h>
#include <stdint.h>

/* Set `key` (or "encoded_" key) of `object` to the bytes of `name`. Returns 0,
 * or -1 without memory. */
int still_json_set_name(json_t *object, const char *key, const char *name);

/* The bytes that still_json_set_name() put there; NULL where there is no such
 * name. The caller frees them. 0, or -1 without memory. */
int still_json_get_name(const json_t *object, const char *key, char **ret);

/* Set `key` to a text for people, with what is not valid UTF-8 or would break
 * the line escaped as \xHH. 0 or -1. */
int still_json_set_text(json_t *object, const char *key, const char *text);

/* Set `key` to an RFC 3339 time in UTC with nanoseconds. 0 or -1. */
int still_json_set_time(json_t *object, const char *key, int64_t time_ns);

/* Render with two spaces of indent, keys in the order of insertion, and a
 * newline at the end. The caller frees it; NULL without memory. */
char *still_json_text(const json_t *value, size_t *ret_len);

/* "2026-11-21T01:02:03.123456789Z" for a time in nanoseconds since 1970.
 * `digits` of the fraction are written: 0, 3, 6 or 9. */
#define STILL_TIME_TEXT_BYTES 40
void still_time_text(
    int64_t time_ns, int digits, char out[STILL_TIME_TEXT_BYTES]);

#endif
