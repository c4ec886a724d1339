/* SPDX-License-Identifier: MIT */
/*
 * out: what stillctl says. Answers go to stdout, errors and what passes by to
 * stderr. Names are bytes; whatever goes to a terminal is on one line and valid
 * UTF-8.
 */
#ifndef CTL_OUT_H
#define CTL_OUT_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/error.h"

/* "stillctl: MESSAGE", and the hint on the next line. With `json` also an
 * object {"error": {"code", "message", "hint"}} on a line of stdout. */
void ctl_out_error(const struct still_error *err, bool json);

/* A line of stderr that is no error: "stillctl: TEXT". */
void ctl_out_note(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/* Print a document. Takes `value`, which may be NULL: without memory. */
int ctl_out_json(json_t *value, struct still_error *err);

/* Print one line of a stream of objects, at once. The same. */
int ctl_out_json_line(json_t *value, struct still_error *err);

/* {"code", "message", "hint"}; NULL without memory. */
json_t *ctl_error_json(const struct still_error *err);

/* Print and release. NOMEM when `buf` has failed. */
int ctl_out_buf(struct still_buf *buf, struct still_error *err);

/* "2026-11-21 08:15:00" in local time; "-" for 0. */
void ctl_buf_time(struct still_buf *buf, int64_t time_ns);

/* Set `key` to a time as in all our documents, or to null for 0. 0 or -1. */
int ctl_json_set_time(json_t *object, const char *key, int64_t time_ns);

/* As still_json_set_name() and still_json_set_text(), null for NULL. */
int ctl_json_set_name(json_t *object, const char *key, const char *name);
int ctl_json_set_text(json_t *object, const char *key, const char *text);

#endif
