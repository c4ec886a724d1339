/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "ctl/truncation.h"

#include <stdio.h>
#include <string.h>

#include "ctl/exit.h"
#include "ctl/out.h"

void ctl_truncation_of(
    const struct still_control *answer, struct still_truncation *ret)
{
	*ret = (struct still_truncation){
	    .bytes = answer->truncated_bytes,
	    .sessions = answer->n_truncated,
	};
	memcpy(ret->range, answer->truncated_range, sizeof(ret->range));
	ret->range[sizeof(ret->range) - 1] = '\0';
	if (answer->truncate_code)
		still_error_set(&ret->error, answer->truncate_code, 0,
		    answer->truncate_hint[0] ? answer->truncate_hint : NULL,
		    "%s", answer->truncate_message);
}

int ctl_truncation_json(
    json_t *line, const struct still_truncation *truncation, bool dry_run)
{
	json_t *object = json_object();
	const struct still_error *error = &truncation->error;
	int rc = 0;

	rc |= ctl_json_set_text(
	    object, "range", truncation->range[0] ? truncation->range : NULL);
	rc |= json_object_set_new(
	    object, "bytes", json_integer((json_int_t) truncation->bytes));
	rc |= json_object_set_new(object, "sessions",
	    json_integer((json_int_t) truncation->sessions));
	rc |= json_object_set_new(object, "dry_run", json_boolean(dry_run));
	rc |= ctl_json_set_text(
	    object, "error", error->code ? still_error_msg(error) : NULL);
	rc |= ctl_json_set_text(object, "hint", error->hint);
	return json_object_set_new(line, "truncation", object) | rc;
}

static void tell_text(const struct still_truncation *truncation, bool dry_run)
{
	struct still_buf buf = STILL_BUF_INIT;
	const char *between = "";

	still_buf_str(&buf, dry_run ? "would release " : "released ");
	if (truncation->range[0]) {
		still_buf_printf(&buf, "logs %s", truncation->range);
		if (truncation->bytes) {
			still_buf_str(&buf, ", ");
			still_buf_size(&buf, truncation->bytes);
		}
		between = "; ";
	}
	if (truncation->sessions)
		still_buf_printf(&buf, "%spage sums of %u session%s", between,
		    (unsigned) truncation->sessions,
		    truncation->sessions == 1 ? "" : "s");
	else if (!truncation->range[0])
		still_buf_str(&buf, "nothing");
	still_buf_str(&buf, "\n");
	ctl_out_buf(&buf, NULL);
	still_buf_release(&buf);
}

int ctl_truncation_tell(const struct ctl_options *o,
    const struct still_truncation *truncation, bool dry_run)
{
	const struct still_error *error = &truncation->error;

	if (error->code) {
		ctl_out_note("%s: nothing was truncated%s%s",
		    still_error_msg(error), error->hint ? "; " : "",
		    error->hint ? error->hint : "");
		return CTL_EXIT_WARNINGS;
	}
	if (!o->json && !o->quiet)
		tell_text(truncation, dry_run);
	return CTL_EXIT_DONE;
}
