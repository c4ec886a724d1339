/* SPDX-License-Identifier: MIT */
/* What `status.json` of a mount says; its keys are in stillfs-status(5). */
#include "config.h"

#include <stdlib.h>

#include "base/json.h"
#include "base/sys.h"
#include "core/advice.h"
#include "core/words.h"

#define FORMAT 1

static int set_int(json_t *object, const char *key, uint64_t value)
{
	return json_object_set_new(
	    object, key, json_integer((json_int_t) value));
}

static int set_bool(json_t *object, const char *key, bool value)
{
	return json_object_set_new(object, key, json_boolean(value));
}

static int set_word(json_t *object, const char *key, const char *word)
{
	return json_object_set_new(
	    object, key, word ? json_string(word) : json_null());
}

static int set_time_or_null(json_t *object, const char *key, int64_t time_ns)
{
	if (time_ns)
		return still_json_set_time(object, key, time_ns);
	return json_object_set_new(object, key, json_null());
}

static int set_name_or_null(json_t *object, const char *key, const char *name)
{
	if (name)
		return still_json_set_name(object, key, name);
	return json_object_set_new(object, key, json_null());
}

/* `object`, or NULL if something of it is missing for want of memory. */
static json_t *if_whole(json_t *object, int rc)
{
	if (rc == 0)
		return object;
	json_decref(object);
	return NULL;
}

/* Messages name files, and a file's name may be anything. */
static json_t *error_json(
    const char *code, const char *message, const char *hint)
{
	json_t *o = json_pack("{s:s}", "code", code);
	int rc = still_json_set_text(o, "message", message);

	if (hint)
		rc |= still_json_set_text(o, "hint", hint);
	else
		rc |= json_object_set_new(o, "hint", json_null());
	return if_whole(o, rc);
}

/* Where it stands; null for what is in no chain. */
static json_t *chain_json(const char *chain, uint32_t link)
{
	return chain[0]
	    ? json_pack("{s:s, s:I}", "full", chain, "link", (json_int_t) link)
	    : json_null();
}

static int set_chain(
    json_t *o, const char *base, const char *chain, uint32_t link)
{
	return set_word(o, "base", base[0] ? base : NULL) |
	    json_object_set_new(o, "chain", chain_json(chain, link));
}

/* ---- the session --------------------------------------------------------- */

static int set_progress(json_t *o, const struct still_session_status *s)
{
	int rc = 0;

	rc |= set_int(o, "files", s->files);
	rc |= set_int(o, "files_whole", s->files_whole);
	rc |= set_int(o, "files_known", s->files_known);
	rc |= set_int(o, "bytes", s->bytes);
	rc |= set_int(o, "bytes_served", s->bytes_served);
	rc |= set_int(o, "bytes_hashed", s->bytes_hashed);
	rc |= set_bool(o, "sealing", s->sealing);
	rc |= set_bool(o, "sealed", s->sealed);
	rc |= set_bool(o, "seal_served", s->seal_served);
	rc |= set_bool(o, "covered", s->covered);
	rc |= set_bool(o, "committing", s->committing);
	return rc;
}

static int set_held(json_t *o, const struct still_session_status *s)
{
	int rc = 0;

	rc |= set_word(o, "pin", still_pin_word(s->pin));
	rc |= set_int(o, "n_pinned", s->n_pinned);
	rc |= set_int(o, "pin_age_ns", (uint64_t) s->pin_age_ns);
	rc |= set_int(o, "pin_moves", s->pin_moves);
	rc |= set_int(o, "let_by", s->let_by);
	rc |= set_int(o, "log_held_bytes", s->log_held_bytes);
	rc |= set_int(o, "log_kept_bytes", s->log_kept_bytes);
	rc |= set_int(o, "wal_max_bytes", s->wal_max_bytes);
	rc |= set_int(o, "copy_bytes", s->copy_bytes);
	rc |= set_int(o, "copied_bytes", s->copied_bytes);
	rc |= set_int(o, "spool_bytes", s->spool_bytes);
	rc |= set_bool(o, "spool_full", s->spool_full);
	rc |= set_int(o, "pages_compared", s->pages_compared);
	return rc;
}

static json_t *session_json(const struct still_session_status *s)
{
	char outcome[STILL_OUTCOME_TEXT_BYTES];
	json_t *o;
	int rc = 0;

	if (!s)
		return json_null();
	o = json_object();
	still_outcome_text(s, outcome);
	rc |= set_word(o, "id", s->id);
	rc |= set_int(o, "number", s->number);
	rc |= set_word(o, "kind", still_session_kind_word(s->kind));
	rc |= set_chain(o, s->base, s->chain, s->link);
	rc |= set_time_or_null(o, "begun_at", s->begun_at_ns);
	rc |= set_time_or_null(o, "frozen_at", s->frozen_at_ns);
	rc |= set_time_or_null(o, "ended_at", s->ended_at_ns);
	rc |= set_word(o, "outcome", s->outcome ? outcome : NULL);
	rc |= set_word(o, "cut", s->cut);
	rc |= set_int(o, "cut_width_ns", (uint64_t) s->cut_width_ns);
	rc |= set_int(o, "writers_held_ns", (uint64_t) s->writers_held_ns);
	rc |= set_word(o, "freeze", s->freeze);
	rc |= set_int(o, "capture_bytes", s->capture_bytes);
	rc |= set_int(o, "captured_bytes", s->captured_bytes);
	rc |= set_word(o, "verified", s->verified);
	rc |= set_held(o, s);
	rc |= set_progress(o, s);
	rc |= set_int(o, "damaged", s->n_damaged);
	rc |= set_int(o, "unfrozen", s->n_unfrozen);
	rc |= set_bool(o, "forced", s->forced);
	rc |= json_object_set_new(o, "error",
	    s->error.code ? error_json(still_error_word(s->error.code),
				still_error_msg(&s->error), s->error.hint)
			  : json_null());
	return if_whole(o, rc);
}

/* ---- earlier sessions ---------------------------------------------------- */

static json_t *record_json(const struct still_record *r)
{
	json_t *o;
	int rc = 0;

	if (!r)
		return json_null();
	o = json_object();
	rc |= set_word(o, "id", r->id);
	rc |= set_int(o, "number", r->number);
	rc |= set_word(o, "kind", still_session_kind_word(r->kind));
	rc |= set_chain(o, r->base, r->chain, r->link);
	rc |= set_word(o, "outcome", r->outcome_text);
	rc |= set_time_or_null(o, "begun_at", r->begun_at_ns);
	rc |= set_time_or_null(o, "frozen_at", r->frozen_at_ns);
	rc |= set_time_or_null(o, "ended_at", r->ended_at_ns);
	rc |= set_time_or_null(o, "committed_at", r->committed_at_ns);
	rc |= set_int(o, "bytes", r->bytes);
	rc |= set_bool(o, "forced", r->forced);
	rc |= set_bool(o, "truncated", r->truncated);
	rc |= set_word(o, "truncated_range", r->range);
	rc |= set_bool(o, "truncated_elsewhere", r->elsewhere);
	rc |= set_name_or_null(o, "place", r->place);
	return if_whole(o, rc);
}

static json_t *totals_json(const struct still_totals *totals)
{
	json_t *sessions = json_object();
	json_t *o = json_object();
	int rc = 0;

	for (int i = STILL_NO_OUTCOME + 1; i < STILL_OUTCOME_COUNT; i++)
		rc |= set_int(sessions,
		    still_outcome_word((enum still_outcome) i),
		    totals->sessions[i]);
	rc |= set_int(o, "bytes_served", totals->bytes_served);
	rc |= set_int(o, "bytes_verified", totals->bytes_verified);
	rc |= set_int(o, "damages", totals->damages);
	rc |= set_int(o, "pin_moves", totals->pin_moves);
	rc |= set_int(o, "let_by", totals->let_by);
	rc |= json_object_set_new(o, "sessions", sessions);
	return if_whole(o, rc);
}

/* ---- all of it ----------------------------------------------------------- */

struct problems {
	json_t *array;
	int rc;
};

/* A still_problem_fn over struct problems. */
static void add_problem(
    void *arg, const char *code, const char *message, const char *hint)
{
	struct problems *problems = arg;

	problems->rc |= json_array_append_new(
	    problems->array, error_json(code, message, hint));
}

static int set_problems(json_t *root, const struct still_mount_status *m)
{
	struct problems problems = {json_array(), 0};

	still_problems(m, add_problem, &problems);
	return problems.rc |
	    json_object_set_new(root, "problems", problems.array);
}

static int set_next(json_t *root, const struct still_mount_status *m)
{
	struct still_buf next = STILL_BUF_INIT;
	int rc = -1;

	still_advice(m, &next);
	if (!next.failed)
		rc = set_word(root, "next", next.data);
	still_buf_release(&next);
	return rc;
}

static int set_mount(json_t *root, const struct still_mount_status *m)
{
	const struct still_session_status *s = m->session;
	int rc = 0;

	rc |= set_int(root, "format", FORMAT);
	rc |= set_word(root, "program", "stillfs " PACKAGE_VERSION);
	rc |= set_word(
	    root, "state", still_state_word(s ? s->state : STILL_IDLE));
	rc |= still_json_set_name(root, "source", m->instance->source);
	rc |= still_json_set_name(root, "mountpoint", m->mountpoint);
	rc |= set_name_or_null(root, "state_dir", m->state_dir);
	rc |= set_int(root, "pid", (uint64_t) m->pid);
	rc |= still_json_set_time(root, "mounted_at", m->started_at_ns);
	rc |= set_word(root, "engine", m->instance->engine);
	rc |= set_word(root, "engine_version", m->instance->engine_version);
	rc |= set_int(root, "databases",
	    s && s->cut ? s->databases : m->instance->n_databases);
	rc |= set_int(
	    root, "lease_s", (uint64_t) (m->lease_ns / STILL_NS_PER_S));
	rc |= set_int(
	    root, "stall_s", (uint64_t) (m->stall_ns / STILL_NS_PER_S));
	return rc;
}

char *still_status_json(const struct still_mount_status *m, size_t *ret_len)
{
	json_t *root = json_object();
	char *text = NULL;
	int rc = set_mount(root, m);

	rc |= json_object_set_new(root, "session", session_json(m->session));
	rc |= set_int(root, "quiet_ns", (uint64_t) m->quiet_ns);
	rc |= json_object_set_new(root, "last_good", record_json(m->last_good));
	rc |= json_object_set_new(
	    root, "last_committed", record_json(m->last_committed));
	rc |= json_object_set_new(
	    root, "last_incremental", record_json(m->last_incremental));
	rc |= json_object_set_new(root, "totals", totals_json(&m->totals));
	rc |= set_problems(root, m);
	rc |= set_next(root, m);
	if (rc == 0)
		text = still_json_text(root, ret_len);
	json_decref(root);
	return text;
}
