/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "ctl/out.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/json.h"
#include "base/sys.h"

/* ---- errors and notes ---------------------------------------------------- */

/* The system's own, where there was one, is the more exact. */
static const char *errno_name(const struct still_error *err)
{
	bool own = err->sys_errno && err->code != STILL_ERR_BUSY;

	return strerrorname_np(
	    own ? err->sys_errno : still_error_errno(err->code));
}

json_t *ctl_error_json(const struct still_error *err)
{
	json_t *object = json_object();
	int rc = 0;

	rc |= json_object_set_new(
	    object, "code", json_string(still_error_word(err->code)));
	rc |= ctl_json_set_text(object, "errno", errno_name(err));
	rc |= still_json_set_text(object, "message", still_error_msg(err));
	rc |= ctl_json_set_text(object, "hint", err->hint);
	if (rc == 0)
		return object;
	json_decref(object);
	return NULL;
}

void ctl_out_error(const struct still_error *err, bool json)
{
	struct still_buf buf = STILL_BUF_INIT;

	still_buf_str(&buf, "stillctl: ");
	still_buf_line(&buf, still_error_msg(err));
	still_buf_str(&buf, "\n");
	if (err->hint) {
		still_buf_line(&buf, err->hint);
		still_buf_str(&buf, "\n");
	}
	fputs(buf.failed ? "stillctl: out of memory\n" : buf.data, stderr);
	still_buf_release(&buf);
	if (json)
		ctl_out_json_line(
		    json_pack("{s:o}", "error", ctl_error_json(err)), NULL);
}

void ctl_out_note(const char *fmt, ...)
{
	struct still_buf buf = STILL_BUF_INIT;
	char *text = NULL;
	va_list ap;

	va_start(ap, fmt);
	if (vasprintf(&text, fmt, ap) < 0)
		text = NULL;
	va_end(ap);
	if (!text)
		return;
	still_buf_str(&buf, "stillctl: ");
	still_buf_line(&buf, text);
	if (!buf.failed)
		fprintf(stderr, "%s\n", buf.data);
	still_buf_release(&buf);
	free(text);
}

/* ---- answers ------------------------------------------------------------- */

static int put(char *text, struct still_error *err)
{
	if (!text)
		return still_error_nomem(err);
	fputs(text, stdout);
	free(text);
	return 0;
}

int ctl_out_json(json_t *value, struct still_error *err)
{
	char *text = value ? still_json_text(value, NULL) : NULL;

	json_decref(value);
	return put(text, err);
}

int ctl_out_json_line(json_t *value, struct still_error *err)
{
	char *text = value ? json_dumps(value, JSON_COMPACT) : NULL;
	int rc;

	json_decref(value);
	/* Lines of other threads stay lines. */
	flockfile(stdout);
	rc = put(text, err);
	if (rc == 0) {
		fputs("\n", stdout);
		fflush(stdout);
	}
	funlockfile(stdout);
	return rc;
}

int ctl_out_buf(struct still_buf *buf, struct still_error *err)
{
	return put(still_buf_take(buf, NULL), err);
}

/* ---- values -------------------------------------------------------------- */

void ctl_buf_time(struct still_buf *buf, int64_t time_ns)
{
	time_t seconds = (time_t) (time_ns / STILL_NS_PER_S);
	char text[32];
	struct tm tm;

	if (time_ns == 0 || !localtime_r(&seconds, &tm)) {
		still_buf_str(buf, "-");
		return;
	}
	strftime(text, sizeof(text), "%Y-%m-%d %H:%M:%S", &tm);
	still_buf_str(buf, text);
}

int ctl_json_set_time(json_t *object, const char *key, int64_t time_ns)
{
	if (time_ns)
		return still_json_set_time(object, key, time_ns);
	return json_object_set_new(object, key, json_null());
}

int ctl_json_set_name(json_t *object, const char *key, const char *name)
{
	if (name)
		return still_json_set_name(object, key, name);
	return json_object_set_new(object, key, json_null());
}

int ctl_json_set_text(json_t *object, const char *key, const char *text)
{
	if (text)
		return still_json_set_text(object, key, text);
	return json_object_set_new(object, key, json_null());
}
