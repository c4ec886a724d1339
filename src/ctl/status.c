/* SPDX-License-Identifier: MIT */
/*
 * stillctl status: is a backup running, when was the last good one, is anything
 * wrong, what is to be done.
 *
 * A mount answers itself, by its files `status` and `status.json`; they are
 * printed as they are. Of what is not mounted the catalog tells. Neither begins
 * a session: backup/ is not looked at.
 */
#include "config.h"

#include <inttypes.h>
#include <stdio.h>

#include "ctl/exit.h"
#include "ctl/mounted.h"
#include "ctl/out.h"
#include "ctl/record.h"
#include "ctl/verb.h"

#define FORMAT 1

static const struct ctl_option options[] = {
    CTL_OPTIONS_END,
};

/* ---- a mount ------------------------------------------------------------- */

/* No session of this mount yet: how did the last one of another end? */
static bool was_wrong(
    const struct ctl_options *o, const struct ctl_target *target)
{
	struct still_record_filter last = {.limit = 1};
	struct still_catalog *catalog = NULL;
	struct still_record *records = NULL;
	bool wrong = false;
	size_t n = 0;

	if (ctl_catalog_open(o, target, &catalog, NULL) < 0)
		return false;
	ctl_records_of(catalog, target, last, &records, &n, NULL);
	wrong = n == 1 && ctl_record_is_wrong(&records[0]);
	if (wrong && !o->quiet)
		ctl_out_note("the last session before this mount, %s, ended %s",
		    records[0].id, records[0].outcome_text);
	still_records_free(records, n);
	still_catalog_close(catalog);
	return wrong;
}

static bool is_wrong(const struct ctl_options *o,
    const struct ctl_target *target, const char *json)
{
	json_t *root = json_loads(json, 0, NULL);
	bool wrong = json_array_size(json_object_get(root, "problems")) > 0;

	if (!root)
		wrong = true;
	else if (!wrong && json_is_null(json_object_get(root, "session")))
		wrong = was_wrong(o, target);
	json_decref(root);
	return wrong;
}

static int tell_mount(const struct ctl_options *o,
    const struct ctl_target *target, struct still_error *err)
{
	struct still_buf text = STILL_BUF_INIT;
	struct still_buf json = STILL_BUF_INIT;
	int rc = ctl_mounted_read(
	    target->mountpoint, "status.json", &json, err);

	if (rc == 0 && !o->json && !o->quiet)
		rc = ctl_mounted_read(target->mountpoint, "status", &text, err);
	if (rc == 0 && o->json)
		fwrite(json.data, 1, json.len, stdout);
	else if (rc == 0 && !o->quiet)
		fwrite(text.data, 1, text.len, stdout);
	if (rc == 0 && is_wrong(o, target, json.data))
		rc = CTL_EXIT_WARNINGS;
	still_buf_release(&text);
	still_buf_release(&json);
	return rc;
}

/* ---- what is not mounted ------------------------------------------------- */

struct past {
	struct still_record *last; /* owned, as are the others; NULL: none */
	struct still_record *good;
	struct still_record *committed;
	size_t n_last, n_good, n_committed;
};

static void release_past(struct past *past)
{
	still_records_free(past->last, past->n_last);
	still_records_free(past->good, past->n_good);
	still_records_free(past->committed, past->n_committed);
}

static int find_past(const struct ctl_options *o,
    const struct ctl_target *target, struct past *ret, struct still_error *err)
{
	struct still_record_filter last = {.limit = 1};
	struct still_record_filter good = {.limit = 1, .good = true};
	struct still_record_filter committed = {.limit = 1, .committed = true};
	struct still_catalog *catalog = NULL;
	int rc = ctl_catalog_open(o, target, &catalog, err);

	/* Nothing was ever begun. */
	if (rc == STILL_ERR_NOTFOUND && !o->state) {
		still_error_clear(err);
		return 0;
	}
	if (rc < 0)
		return rc;
	rc = ctl_records_of(
	    catalog, target, last, &ret->last, &ret->n_last, err);
	if (rc == 0)
		rc = ctl_records_of(
		    catalog, target, good, &ret->good, &ret->n_good, err);
	if (rc == 0)
		rc = ctl_records_of(catalog, target, committed, &ret->committed,
		    &ret->n_committed, err);
	still_catalog_close(catalog);
	return rc;
}

static const char *advice(
    const struct ctl_target *target, const struct past *past)
{
	const struct still_record *last = past->last;

	if (target->dead)
		return "clear it away with `stillctl umount`, or mount there "
		       "again";
	if (last && last->state != STILL_ENDED)
		return "nothing: a session of this source is running";
	if (last && last->outcome == STILL_COPIED)
		return "everything was served; if your tool reported success, "
		       "`stillctl commit` before the next session begins";
	if (last && ctl_record_is_wrong(last))
		return "mend what the error names, mount it, and copy backup/ "
		       "again: the last session is no backup";
	return "mount it, and copy backup/ with any tool";
}

static void add_line(struct still_buf *buf, const char *key, const char *text)
{
	still_buf_printf(buf, "%-11s", key);
	still_buf_line(buf, text);
	still_buf_str(buf, "\n");
}

static void add_record(
    struct still_buf *buf, const char *key, const struct still_record *record)
{
	still_buf_printf(buf, "%-11s", key);
	if (record) {
		still_buf_printf(buf, "%s, number %" PRIu64 ", %s, begun ",
		    record->id, record->number,
		    still_session_kind_word(record->kind));
		ctl_buf_time(buf, record->begun_at_ns);
		still_buf_str(buf, ", ");
		still_buf_size(buf, record->bytes);
		still_buf_printf(buf, ", %s\n", ctl_record_outcome(record));
	} else {
		still_buf_str(buf, "none yet\n");
	}
}

static int print_past(const struct ctl_target *target, const struct past *past,
    const char *state, struct still_error *err)
{
	const struct still_record *last = past->last;
	struct still_buf buf = STILL_BUF_INIT;
	int rc;

	add_line(&buf, "state:", state);
	add_line(&buf, "source:",
	    target->source ? target->source
		: last     ? last->source
			   : target->path);
	add_record(&buf, "session:", last);
	add_record(&buf, "last good:", past->good);
	add_record(&buf, "committed:", past->committed);
	add_line(&buf, "error:", last && last->error ? last->error : "none");
	if (last && last->hint)
		add_line(&buf, "hint:", last->hint);
	add_line(&buf, "next:", advice(target, past));
	rc = ctl_out_buf(&buf, err);
	still_buf_release(&buf);
	return rc;
}

static json_t *record_or_null(const struct still_record *record)
{
	return record ? ctl_record_json(record) : json_null();
}

static json_t *problems(const struct past *past)
{
	json_t *array = json_array();
	json_t *problem;
	int rc = 0;

	if (!past->last || !ctl_record_is_wrong(past->last))
		return array;
	problem = json_object();
	rc |= ctl_json_set_text(problem, "code", "aborted");
	rc |= ctl_json_set_text(problem, "message",
	    past->last->error ? past->last->error : past->last->outcome_text);
	rc |= ctl_json_set_text(problem, "hint", past->last->hint);
	rc |= json_array_append_new(array, problem);
	if (rc == 0)
		return array;
	json_decref(array);
	return NULL;
}

static int print_past_json(const struct ctl_target *target,
    const struct past *past, const char *state, struct still_error *err)
{
	const struct still_record *last = past->last;
	json_t *root = json_object();
	int rc = 0;

	rc |= json_object_set_new(root, "format", json_integer(FORMAT));
	rc |= ctl_json_set_text(root, "program", PACKAGE_STRING);
	rc |= ctl_json_set_text(root, "state", state);
	rc |= ctl_json_set_name(root, "source",
	    target->source ? target->source
		: last     ? last->source
			   : target->path);
	rc |= ctl_json_set_name(root, "mountpoint",
	    target->mountpoint ? target->mountpoint
		: last         ? last->place
			       : NULL);
	rc |= json_object_set_new(root, "session", record_or_null(last));
	rc |= json_object_set_new(
	    root, "last_good", record_or_null(past->good));
	rc |= json_object_set_new(
	    root, "last_committed", record_or_null(past->committed));
	rc |= json_object_set_new(root, "problems", problems(past));
	rc |= ctl_json_set_text(root, "next", advice(target, past));
	if (rc == 0)
		return ctl_out_json(root, err);
	json_decref(root);
	return still_error_nomem(err);
}

static int tell_past(const struct ctl_options *o,
    const struct ctl_target *target, struct still_error *err)
{
	const char *state = target->dead ? "dead: its daemon has died"
					 : "not mounted";
	struct past past = {0};
	int rc = find_past(o, target, &past, err);

	if (rc == 0 && target->path && !past.last)
		rc = still_error_set(err, STILL_ERR_NOTFOUND, 0,
		    "Mount it first: stillfs SOURCE MOUNTPOINT.",
		    "`%s`: not mounted, and no session of it is known",
		    target->path);
	if (rc == 0 && o->json)
		rc = print_past_json(
		    target, &past, target->dead ? "dead" : "not mounted", err);
	else if (rc == 0 && !o->quiet)
		rc = print_past(target, &past, state, err);
	if (rc == 0 &&
	    (target->dead || (past.last && ctl_record_is_wrong(past.last))))
		rc = CTL_EXIT_WARNINGS;
	release_past(&past);
	return rc;
}

static int run(const struct ctl_options *o, struct still_error *err)
{
	return ctl_target_run(o, tell_mount, tell_past, err);
}

const struct ctl_verb ctl_verb_status = {
    .name = "status",
    .summary = "tell what is going on, and what is to be done",
    .help =
	"Tell whether a backup is running, when the last good one was, whether\n"
	"anything is wrong, and what is to be done. Begins nothing.\n",
    .target = CTL_TARGET_KNOWN,
    .usage = "[TARGET]",
    .max_words = 1,
    .options = options,
    .answers = true,
    .run = run,
};
