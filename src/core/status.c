/* SPDX-License-Identifier: MIT */
/* What `status` and `status.json` of a mount say; keys in stillfs-status(5). */
#include "config.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/buf.h"
#include "base/json.h"
#include "base/sys.h"
#include "still.h"

#define FORMAT 1

const char *still_state_word(enum still_state state)
{
	static const char *const words[STILL_STATE_COUNT] = {
	    [STILL_IDLE] = "idle",
	    [STILL_PREPARING] = "preparing",
	    [STILL_SERVING] = "serving",
	    [STILL_ENDED] = "ended",
	};

	return words[state];
}

const char *still_session_kind_word(enum still_session_kind kind)
{
	static const char *const words[STILL_SESSION_KIND_COUNT] = {
	    [STILL_FULL] = "full",
	    [STILL_COPY] = "copy",
	};

	return words[kind];
}

bool still_outcome_is_good(enum still_outcome outcome)
{
	return outcome == STILL_COMMITTED || outcome == STILL_COPIED;
}

void still_outcome_text(const struct still_session_status *status,
    char out[STILL_OUTCOME_TEXT_BYTES])
{
	static const char *const words[STILL_OUTCOME_COUNT] = {
	    [STILL_NO_OUTCOME] = "none",
	    [STILL_COPIED] = "COPIED",
	    [STILL_ABORTED_UNREAD] = "ABORTED(unread)",
	    [STILL_ABORTED_CORRUPT] = "ABORTED(corrupt)",
	    [STILL_ABORTED_INCOMPLETE] = "ABORTED(incomplete)",
	    [STILL_ABORTED_LOST] = "ABORTED(pin lost)",
	    [STILL_ABORTED_FORCED] = "ABORTED(forced)",
	    [STILL_ABORTED_FREEZE] = "ABORTED(not frozen)",
	    [STILL_COMMITTED] = "COMMITTED",
	    [STILL_ABORTED_CALLER] = "ABORTED(by caller)",
	    [STILL_ABORTED_CRASH] = "ABORTED(crash)",
	    [STILL_ABORTED_UNRECORDED] = "ABORTED(not recorded)",
	};

	if (status->outcome == STILL_ABORTED_PARTIAL)
		snprintf(out, STILL_OUTCOME_TEXT_BYTES,
		    "ABORTED(partial: %u of %u files)", status->files_whole,
		    status->files);
	else
		snprintf(out, STILL_OUTCOME_TEXT_BYTES, "%s",
		    words[status->outcome]);
}

static bool is_whole(const struct still_session_status *s)
{
	return s->seal_served && s->files_whole == s->files;
}

/* Can this session still become a copy? */
static bool is_spoilt(const struct still_session_status *s)
{
	return s->error.code == STILL_ERR_CORRUPT ||
	    s->error.code == STILL_ERR_LOST || s->n_unfrozen > 0;
}

/* What a person does next. */
static const char *advice(const struct still_session_status *s)
{
	if (!s || s->state == STILL_IDLE)
		return "copy backup/ with any tool; the first look into it "
		       "freezes a snapshot";
	switch (s->state) {
	case STILL_PREPARING:
		return "wait: the snapshot is being frozen";
	case STILL_ENDED:
		return "mend what the error names, then look into backup/ "
		       "again";
	default:
		break;
	}
	if (s->error.code == STILL_ERR_LOST)
		return "unmount, and begin a new session; this copy is no "
		       "backup";
	if (s->error.code == STILL_ERR_CORRUPT)
		return "check the live database; this session cannot become "
		       "a backup; unmount when done";
	if (s->n_unfrozen > 0)
		return "mend what the error names, unmount, and begin a new "
		       "session; this one lacks a database, and cannot become "
		       "a backup";
	if (is_whole(s))
		return "everything was served; make sure that your tool "
		       "reported success, then unmount";
	return "copy what is left of backup/, verify/ last, then unmount";
}

/* Of the snapshot, once there is one; otherwise as of the mount. */
static size_t n_databases(const struct still_mount_status *m)
{
	return m->session && m->session->cut ? m->session->databases
					     : m->instance->n_databases;
}

static void size_text(struct still_buf *buf, uint64_t bytes)
{
	static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB"};
	double value = (double) bytes;
	size_t i = 0;

	while (value >= 1024 && i + 1 < sizeof(units) / sizeof(units[0])) {
		value /= 1024;
		i++;
	}
	still_buf_printf(buf, i ? "%.1f %s" : "%.0f %s", value, units[i]);
}

static void progress_text(
    struct still_buf *buf, const struct still_session_status *s)
{
	still_buf_printf(buf, "progress:  %u of %u files served whole, ",
	    s->files_whole, s->files);
	size_text(buf, s->bytes_served);
	still_buf_str(buf, " of ");
	size_text(buf, s->bytes);
	still_buf_str(buf, "\nseal:      ");
	if (s->sealing) {
		still_buf_str(buf, "being made, ");
		size_text(buf, s->bytes_hashed);
		still_buf_str(buf, " checked\n");
	} else {
		still_buf_str(buf,
		    s->seal_served && s->sealed ? "served\n"
			: s->sealed             ? "ready\n"
			: is_spoilt(s)          ? "refused\n"
						: "not yet asked for\n");
	}
}

static void session_text(
    struct still_buf *buf, const struct still_session_status *s)
{
	char outcome[STILL_OUTCOME_TEXT_BYTES];
	char time[STILL_TIME_TEXT_BYTES];

	still_buf_printf(buf, "session:   %s, full\n", s->id);
	if (s->frozen_at_ns) {
		still_time_text(s->frozen_at_ns, 3, time);
		still_buf_printf(buf, "frozen:    %s, verified %s\n", time,
		    s->verified ? s->verified : "-");
	}
	if (s->cut)
		still_buf_printf(buf,
		    "cut:       %s, %.3f ms wide; writers were held off for at "
		    "most %.3f ms\n",
		    s->cut, (double) s->cut_width_ns / 1e6,
		    (double) s->writers_held_ns / 1e6);
	if (s->n_unfrozen)
		still_buf_printf(buf,
		    "missing:   %u of %u databases could not be frozen; they "
		    "are listed, and reading them fails\n",
		    s->n_unfrozen, s->databases);
	if (s->pin_age_ns)
		still_buf_printf(buf,
		    "pin:       held for %" PRId64 " s; the application's log "
		    "grows until the session ends\n",
		    s->pin_age_ns / STILL_NS_PER_S);
	if (s->state == STILL_SERVING)
		progress_text(buf, s);
	if (s->state == STILL_ENDED) {
		still_outcome_text(s, outcome);
		still_buf_printf(buf, "outcome:   %s\n", outcome);
	}
}

char *still_status_text(const struct still_mount_status *m, size_t *ret_len)
{
	const struct still_session_status *s = m->session;
	struct still_buf buf = STILL_BUF_INIT;

	still_buf_printf(&buf, "state:     %s\n",
	    still_state_word(s ? s->state : STILL_IDLE));
	still_buf_str(&buf, "source:    ");
	still_buf_word(&buf, m->instance->source);
	still_buf_printf(&buf, " (%s %s, %zu database%s)\n",
	    m->instance->engine, m->instance->engine_version, n_databases(m),
	    n_databases(m) == 1 ? "" : "s");
	if (s)
		session_text(&buf, s);
	still_buf_str(&buf, "error:     ");
	still_buf_line(
	    &buf, s && s->error.code ? still_error_msg(&s->error) : "none");
	still_buf_str(&buf, "\n");
	if (s && s->error.hint)
		still_buf_printf(&buf, "hint:      %s\n", s->error.hint);
	still_buf_printf(&buf, "next:      %s\n", advice(s));
	return still_buf_take(&buf, ret_len);
}

/* Messages name files, and a file's name may be anything. */
static json_t *error_json(const struct still_error *error)
{
	json_t *o;
	int rc;

	if (!error->code)
		return json_null();
	o = json_pack("{s:s}", "code", still_error_word(error->code));
	rc = still_json_set_text(o, "message", still_error_msg(error));
	if (error->hint)
		rc |= still_json_set_text(o, "hint", error->hint);
	else
		rc |= json_object_set_new(o, "hint", json_null());
	if (rc == 0)
		return o;
	json_decref(o);
	return NULL;
}

static int set_time_or_null(json_t *object, const char *key, int64_t time_ns)
{
	if (time_ns)
		return still_json_set_time(object, key, time_ns);
	return json_object_set_new(object, key, json_null());
}

static json_t *session_json(const struct still_session_status *s)
{
	char outcome[STILL_OUTCOME_TEXT_BYTES];
	json_t *o;
	int rc = 0;

	if (!s)
		return json_null();
	still_outcome_text(s, outcome);
	o = json_pack("{s:s, s:s}", "id", s->id, "kind", "full");
	rc |= set_time_or_null(o, "begun_at", s->begun_at_ns);
	rc |= set_time_or_null(o, "frozen_at", s->frozen_at_ns);
	rc |= json_object_set_new(
	    o, "outcome", s->outcome ? json_string(outcome) : json_null());
	rc |= json_object_set_new(
	    o, "cut", s->cut ? json_string(s->cut) : json_null());
	rc |= json_object_set_new(
	    o, "cut_width_ns", json_integer(s->cut_width_ns));
	rc |= json_object_set_new(
	    o, "writers_held_ns", json_integer(s->writers_held_ns));
	rc |= json_object_set_new(o, "verified",
	    s->verified ? json_string(s->verified) : json_null());
	rc |= json_object_set_new(o, "pin_age_ns", json_integer(s->pin_age_ns));
	rc |= json_object_set_new(o, "files", json_integer(s->files));
	rc |= json_object_set_new(
	    o, "files_whole", json_integer(s->files_whole));
	rc |= json_object_set_new(
	    o, "bytes", json_integer((json_int_t) s->bytes));
	rc |= json_object_set_new(
	    o, "bytes_served", json_integer((json_int_t) s->bytes_served));
	rc |= json_object_set_new(
	    o, "bytes_hashed", json_integer((json_int_t) s->bytes_hashed));
	rc |= json_object_set_new(o, "sealing", json_boolean(s->sealing));
	rc |= json_object_set_new(o, "sealed", json_boolean(s->sealed));
	rc |= json_object_set_new(
	    o, "seal_served", json_boolean(s->seal_served));
	rc |= json_object_set_new(o, "damaged", json_integer(s->n_damaged));
	rc |= json_object_set_new(o, "unfrozen", json_integer(s->n_unfrozen));
	rc |= json_object_set_new(o, "error", error_json(&s->error));
	if (rc == 0)
		return o;
	json_decref(o);
	return NULL;
}

static int fill(json_t *root, const struct still_mount_status *m)
{
	const struct still_session_status *s = m->session;
	int rc = 0;

	rc |= json_object_set_new(root, "format", json_integer(FORMAT));
	rc |= json_object_set_new(
	    root, "program", json_string("stillfs " PACKAGE_VERSION));
	rc |= json_object_set_new(root, "state",
	    json_string(still_state_word(s ? s->state : STILL_IDLE)));
	rc |= still_json_set_name(root, "source", m->instance->source);
	rc |= still_json_set_name(root, "mountpoint", m->mountpoint);
	rc |= json_object_set_new(root, "pid", json_integer(m->pid));
	rc |= still_json_set_time(root, "mounted_at", m->started_at_ns);
	rc |= json_object_set_new(
	    root, "engine", json_string(m->instance->engine));
	rc |= json_object_set_new(
	    root, "engine_version", json_string(m->instance->engine_version));
	rc |= json_object_set_new(
	    root, "databases", json_integer((json_int_t) n_databases(m)));
	rc |= json_object_set_new(root, "session", session_json(s));
	rc |= json_object_set_new(root, "next", json_string(advice(s)));
	return rc;
}

char *still_status_json(const struct still_mount_status *m, size_t *ret_len)
{
	json_t *root = json_object();
	char *text = NULL;

	if (root && fill(root, m) == 0)
		text = still_json_text(root, ret_len);
	json_decref(root);
	return text;
}
