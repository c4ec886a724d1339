/* SPDX-License-Identifier: MIT */
/*
 * stillctl verify: is this set a backup? Every byte of it is read, and every
 * database checked, wherever it was copied to and by what.
 */
#include "config.h"

#include <inttypes.h>
#include <stdio.h>

#include "base/json.h"
#include "ctl/exit.h"
#include "ctl/out.h"
#include "ctl/task.h"
#include "ctl/verb.h"

#define FORMAT 1

static const struct ctl_option options[] = {
    {"quick", 0, CTL_FLAG, CTL_AT(quick), 0, 0, NULL,
	"leave out the check by the engine"},
    CTL_OPTIONS_END,
};

/* ---- the verdict --------------------------------------------------------- */

static enum ctl_exit status_of(const struct still_verified *verified)
{
	if (verified->flaws_total > 0)
		return CTL_EXIT_CORRUPT;
	return verified->n_warnings > 0 ? CTL_EXIT_WARNINGS : CTL_EXIT_DONE;
}

static const char *result_of(const struct still_verified *verified)
{
	bool several = verified->sets > 1;

	switch (status_of(verified)) {
	case CTL_EXIT_DONE:
		return several ? "the sets are whole, and one chain"
		    : verified->base
		    ? "the set is whole; it is worth nothing without its base"
		    : "the set is whole";
	case CTL_EXIT_WARNINGS:
		return several
		    ? "the sets are whole, and one chain; not all of it could "
		      "be checked"
		    : "the set is whole; not all of it could be checked";
	default:
		return several ? "the chain is damaged: it is no backup"
			       : "the set is damaged: it is no backup";
	}
}

/* ---- for people ---------------------------------------------------------- */

static void add_line(struct still_buf *buf, const char *head, const char *text)
{
	if (!text)
		return;
	still_buf_printf(buf, "%-11s", head);
	still_buf_line(buf, text);
	still_buf_str(buf, "\n");
}

static void add_flaws(struct still_buf *buf, const char *head,
    const struct still_flaw *list, size_t n)
{
	for (size_t i = 0; i < n; i++)
		add_line(buf, head, list[i].text);
}

static void add_databases(struct still_buf *buf, const struct ctl_options *o,
    const struct still_verified *verified)
{
	still_buf_printf(buf, "databases: %" PRIu32, verified->databases);
	if (o->quick)
		still_buf_str(buf, ", not checked");
	else
		still_buf_printf(buf, ", %" PRIu32 " checked and sound",
		    verified->databases_checked);
	if (verified->sandbox)
		still_buf_printf(buf, " (%s)", verified->sandbox);
	still_buf_str(buf, "\n");
}

static void add_head(struct still_buf *buf, const struct ctl_options *o,
    const struct still_verified *verified)
{
	add_line(buf, "set:", verified->path);
	if (verified->sets > 1)
		still_buf_printf(buf,
		    "sets:      %" PRIu32
		    ", a full one and what builds on it\n",
		    verified->sets);
	add_line(buf, "source:", verified->source);
	if (verified->session)
		add_line(buf, "session:", verified->session);
	if (verified->base && verified->sets == 1)
		still_buf_printf(buf, "builds on: %s, number %" PRIu64 "\n",
		    verified->base, verified->base_number);
	if (verified->frozen_at_ns) {
		still_buf_str(buf, "frozen at: ");
		ctl_buf_time(buf, verified->frozen_at_ns);
		still_buf_str(buf, "\n");
	}
	still_buf_printf(buf, "files:     %" PRIu64 ", ", verified->files);
	still_buf_size(buf, verified->bytes);
	still_buf_str(buf, " read\n");
	add_databases(buf, o, verified);
}

static int print_text(const struct ctl_options *o,
    const struct still_verified *verified, struct still_error *err)
{
	struct still_buf buf = STILL_BUF_INIT;
	int rc;

	add_head(&buf, o, verified);
	add_flaws(&buf, "damaged:", verified->flaws, verified->n_flaws);
	if (verified->flaws_total > verified->n_flaws)
		still_buf_printf(&buf, "%-11s%" PRIu64 " more\n",
		    "damaged:", verified->flaws_total - verified->n_flaws);
	add_flaws(&buf, "warning:", verified->warnings, verified->n_warnings);
	add_line(&buf, "result:", result_of(verified));
	rc = ctl_out_buf(&buf, err);
	still_buf_release(&buf);
	return rc;
}

/* With --quiet: what is an error all the same. */
static void complain(const struct still_verified *verified)
{
	for (size_t i = 0; i < verified->n_warnings; i++)
		ctl_out_note("%s", verified->warnings[i].text);
	for (size_t i = 0; i < verified->n_flaws; i++)
		ctl_out_note("%s", verified->flaws[i].text);
	if (verified->flaws_total > 0)
		ctl_out_note("`%s`: %s", verified->path, result_of(verified));
}

/* ---- for programs -------------------------------------------------------- */

static json_t *flaws_json(const struct still_flaw *list, size_t n)
{
	json_t *array = json_array();
	int rc = 0;

	for (size_t i = 0; i < n; i++) {
		json_t *o = json_object();

		rc |= ctl_json_set_text(
		    o, "code", still_error_word(list[i].code));
		rc |= ctl_json_set_name(o, "path", list[i].path);
		rc |= ctl_json_set_text(o, "text", list[i].text);
		rc |= json_array_append_new(array, o);
	}
	if (rc == 0)
		return array;
	json_decref(array);
	return NULL;
}

static int set_count(json_t *object, const char *key, uint64_t value)
{
	return json_object_set_new(
	    object, key, json_integer((json_int_t) value));
}

static int fill_json(json_t *root, const struct ctl_options *o,
    const struct still_verified *verified)
{
	int rc = 0;

	rc |= ctl_json_set_text(root, "event", "done");
	rc |= set_count(root, "format", FORMAT);
	rc |= ctl_json_set_text(root, "program", PACKAGE_STRING);
	rc |= ctl_json_set_name(root, "set", verified->path);
	rc |= ctl_json_set_name(root, "source", verified->source);
	rc |= ctl_json_set_text(root, "session", verified->session);
	rc |= ctl_json_set_text(root, "kind", verified->kind);
	rc |= set_count(root, "sets", verified->sets);
	rc |= ctl_json_set_text(root, "base", verified->base);
	rc |= ctl_json_set_text(root, "engine", verified->engine);
	rc |= ctl_json_set_time(root, "frozen_at", verified->frozen_at_ns);
	rc |= set_count(root, "files", verified->files);
	rc |= set_count(root, "bytes", verified->bytes);
	rc |= set_count(root, "databases", verified->databases);
	rc |= set_count(root, "databases_checked", verified->databases_checked);
	rc |= json_object_set_new(root, "quick", json_boolean(o->quick));
	rc |= ctl_json_set_text(root, "sandbox", verified->sandbox);
	rc |= json_object_set_new(
	    root, "flaws", flaws_json(verified->flaws, verified->n_flaws));
	rc |= set_count(root, "flaws_total", verified->flaws_total);
	rc |= json_object_set_new(root, "warnings",
	    flaws_json(verified->warnings, verified->n_warnings));
	rc |= ctl_json_set_text(root, "result", result_of(verified));
	rc |= json_object_set_new(
	    root, "ok", json_boolean(verified->flaws_total == 0));
	return rc;
}

static int print_json(const struct ctl_options *o,
    const struct still_verified *verified, struct still_error *err)
{
	json_t *root = json_object();

	if (fill_json(root, o, verified) == 0)
		return ctl_out_json_line(root, err);
	json_decref(root);
	return still_error_nomem(err);
}

/* ---- all of it ----------------------------------------------------------- */

static int tell(const struct ctl_options *o,
    const struct still_verified *verified, struct still_error *err)
{
	int rc = 0;

	if (o->json)
		rc = print_json(o, verified, err);
	else if (o->quiet)
		complain(verified);
	else
		rc = print_text(o, verified, err);
	return rc < 0 ? rc : (int) status_of(verified);
}

static int run(const struct ctl_options *o, struct still_error *err)
{
	struct still_verify_options wishes = {.quick = o->quick};
	struct still_verified verified;
	struct ctl_task task;
	int rc;

	ctl_task_begin(&task, o);
	wishes.task = task.task;
	rc = still_verify_set(o->target, &wishes, &verified, err);
	ctl_task_end(&task);
	if (rc == 0)
		rc = tell(o, &verified, err);
	still_verified_release(&verified);
	return rc == STILL_ERR_CANCELLED ? CTL_EXIT_ABORTED : rc;
}

const struct ctl_verb ctl_verb_verify = {
    .name = "verify",
    .summary = "prove that a set is whole, wherever it was copied to",
    .help =
	"Read all of SET, a directory that was copied out of a mount or that\n"
	"`stillctl backup` wrote to: compare it with its checksums and with what\n"
	"it says of itself, and let the engine check each database. Needs no\n"
	"mount, and changes nothing. Of a directory of backups all sets are read,\n"
	"and each must build on the one before.\n",
    .target = CTL_TARGET_DIR,
    .usage = "SET",
    .min_words = 1,
    .max_words = 1,
    .options = options,
    .answers = true,
    .run = run,
};
