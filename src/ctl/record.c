/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "ctl/record.h"

#include <stdio.h>
#include <string.h>

#include "ctl/channel.h"
#include "ctl/out.h"

const char *ctl_record_outcome(const struct still_record *record)
{
	return record->state == STILL_ENDED ? record->outcome_text
					    : still_state_word(record->state);
}

bool ctl_record_is_wrong(const struct still_record *record)
{
	switch (record->outcome) {
	case STILL_NO_OUTCOME:
	case STILL_COPIED:
	case STILL_COMMITTED:
	case STILL_ABORTED_UNREAD:
	case STILL_ABORTED_CALLER:
		return false;
	default:
		return true;
	}
}

static int set_integer(json_t *object, const char *key, uint64_t value)
{
	return json_object_set_new(
	    object, key, json_integer((json_int_t) value));
}

static int set_names(json_t *object, const struct still_record *record)
{
	int rc = 0;

	rc |= ctl_json_set_text(object, "id", record->id);
	rc |= set_integer(object, "number", record->number);
	rc |= ctl_json_set_text(
	    object, "kind", still_session_kind_word(record->kind));
	rc |= ctl_json_set_name(object, "source", record->source);
	rc |= ctl_json_set_text(object, "engine", record->engine);
	rc |= ctl_json_set_name(object, "place", record->place);
	rc |= ctl_json_set_text(
	    object, "state", still_state_word(record->state));
	rc |= ctl_json_set_text(object, "outcome",
	    record->state == STILL_ENDED ? record->outcome_text : NULL);
	return rc;
}

static int set_rest(json_t *object, const struct still_record *record)
{
	int rc = 0;

	rc |= ctl_json_set_time(object, "begun_at", record->begun_at_ns);
	rc |= ctl_json_set_time(object, "frozen_at", record->frozen_at_ns);
	rc |= ctl_json_set_time(object, "ended_at", record->ended_at_ns);
	rc |= ctl_json_set_time(
	    object, "committed_at", record->committed_at_ns);
	rc |= set_integer(object, "databases", record->databases);
	rc |= set_integer(object, "files", record->files);
	rc |= set_integer(object, "files_whole", record->files_whole);
	rc |= set_integer(object, "files_known", record->files_known);
	rc |= set_integer(object, "bytes", record->bytes);
	rc |= set_integer(object, "bytes_served", record->bytes_served);
	rc |= set_integer(object, "damaged", record->n_damaged);
	rc |= ctl_json_set_text(
	    object, "base", record->base[0] ? record->base : NULL);
	rc |= ctl_json_set_text(
	    object, "chain", record->chain[0] ? record->chain : NULL);
	rc |= set_integer(object, "link", record->link);
	rc |= json_object_set_new(
	    object, "forced", json_boolean(record->forced));
	rc |= json_object_set_new(
	    object, "truncated", json_boolean(record->truncated));
	rc |= ctl_json_set_text(object, "truncated_range", record->range);
	rc |= json_object_set_new(
	    object, "truncated_elsewhere", json_boolean(record->elsewhere));
	rc |= ctl_json_set_text(object, "verified", record->verified);
	rc |= ctl_json_set_text(object, "error", record->error);
	rc |= ctl_json_set_text(object, "hint", record->hint);
	return rc;
}

json_t *ctl_record_json(const struct still_record *record)
{
	json_t *object = json_object();

	if (object && set_names(object, record) == 0 &&
	    set_rest(object, record) == 0)
		return object;
	json_decref(object);
	return NULL;
}

/* The mount's own state directory, "" where it does not tell. */
static void ask_mount(const struct ctl_target *target, struct still_control *io)
{
	struct ctl_channel channel;

	io->state_dir[0] = '\0';
	if (!target->mounted || target->dead ||
	    ctl_channel_open(target->mountpoint, &channel, NULL) < 0)
		return;
	io->job = 0;
	io->flags = 0;
	if (ctl_channel_ask(&channel, STILL_CONTROL_QUERY, io, NULL) < 0)
		io->state_dir[0] = '\0';
	ctl_channel_close(&channel);
}

int ctl_catalog_open(const struct ctl_options *options,
    const struct ctl_target *target, struct still_catalog **ret,
    struct still_error *err)
{
	const char *dir = options->state;
	struct still_control io;

	if (!dir) {
		ask_mount(target, &io);
		dir = io.state_dir[0] ? io.state_dir : target->state_dir;
	}
	return still_catalog_open(dir, false, ret, err);
}

static void set_truncation(
    const struct still_record *record, struct still_control *answer)
{
	if (record->truncated) {
		snprintf(answer->truncated_range,
		    sizeof(answer->truncated_range), "%s",
		    record->range ? record->range : "");
		return;
	}
	answer->truncate_code = STILL_ERR_LOST;
	strcpy(answer->truncate_message,
	    "the daemon has ended, and no truncation is on record");
	strcpy(answer->truncate_hint, "Run `stillctl truncate`.");
}

void ctl_record_settle(
    const struct ctl_options *options, struct still_control *answer)
{
	struct still_record_filter filter = {.id = answer->session};
	const char *dir = options->state ? options->state : answer->state_dir;
	struct still_catalog *catalog = NULL;
	struct still_record *records = NULL;
	size_t n = 0;

	if (answer->outcome != STILL_NO_OUTCOME || !answer->session[0] ||
	    still_catalog_open(*dir ? dir : NULL, false, &catalog, NULL) < 0)
		return;
	still_catalog_list(catalog, &filter, &records, &n, NULL);
	if (n == 1 && records[0].state == STILL_ENDED) {
		answer->state = STILL_ENDED;
		answer->outcome = (int32_t) records[0].outcome;
		memcpy(answer->outcome_text, records[0].outcome_text,
		    sizeof(answer->outcome_text));
		set_truncation(&records[0], answer);
	}
	still_records_free(records, n);
	still_catalog_close(catalog);
}

int ctl_records_of(struct still_catalog *catalog,
    const struct ctl_target *target, struct still_record_filter filter,
    struct still_record **ret, size_t *ret_n, struct still_error *err)
{
	int rc;

	filter.source = target->source ? target->source : target->path;
	rc = still_catalog_list(catalog, &filter, ret, ret_n, err);
	if (rc < 0 || *ret_n > 0 || target->source)
		return rc;
	filter.source = NULL;
	filter.place = target->path;
	return still_catalog_list(catalog, &filter, ret, ret_n, err);
}
