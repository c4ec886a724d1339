/* SPDX-License-Identifier: MIT */
/*
 * stillctl check: would a backup succeed? A trial freeze says what the source
 * has to say, and this file's neighbour what the machine lacks. Nothing is
 * recorded, nothing stays.
 */
#include "config.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/json.h"
#include "ctl/environment.h"
#include "ctl/exit.h"
#include "ctl/freeze_options.h"
#include "ctl/out.h"
#include "ctl/table.h"
#include "ctl/verb.h"

#define FORMAT 1

static const struct ctl_option options[] = {
    CTL_OPTION_BARRIER_MAX,
    CTL_OPTION_ENGINE,
    CTL_OPTION_FORCE,
    CTL_OPTION_FREEZE,
    CTL_OPTION_FREEZE_MS,
    CTL_OPTION_SPOOL,
    CTL_OPTION_SPOOL_MAX,
    CTL_OPTION_STALL_MS,
    CTL_OPTION_VERIFY,
    CTL_OPTIONS_END,
};

/* ---- the verdict --------------------------------------------------------- */

struct verdict {
	size_t n_errors;
	size_t n_warnings;
	size_t n_busy;    /* errors that may be none later */
	size_t n_corrupt; /* errors that are damage */
};

static void judge(
    struct verdict *verdict, const struct still_finding *list, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		enum ctl_exit status = ctl_exit_of_error(list[i].code);

		if (list[i].level == STILL_LEVEL_WARNING)
			verdict->n_warnings++;
		if (list[i].level != STILL_LEVEL_ERROR)
			continue;
		verdict->n_errors++;
		verdict->n_busy += status == CTL_EXIT_BUSY;
		verdict->n_corrupt += status == CTL_EXIT_CORRUPT;
	}
}

static enum ctl_exit status_of(const struct verdict *verdict)
{
	if (verdict->n_corrupt > 0)
		return CTL_EXIT_CORRUPT;
	if (verdict->n_errors > verdict->n_busy)
		return CTL_EXIT_FAILED;
	if (verdict->n_errors > 0)
		return CTL_EXIT_BUSY;
	return verdict->n_warnings > 0 ? CTL_EXIT_WARNINGS : CTL_EXIT_DONE;
}

static const char *result_of(const struct verdict *verdict)
{
	if (verdict->n_errors > 0)
		return "a backup would fail, or be none";
	return verdict->n_warnings > 0 ? "a backup would succeed; see the "
					 "warnings"
				       : "a backup would succeed";
}

/* ---- for people ---------------------------------------------------------- */

static void add_finding(
    struct still_buf *buf, const struct still_finding *finding)
{
	still_buf_printf(buf, "%s: ", still_level_word(finding->level));
	/* What an engine says begins with the object by itself. */
	if (finding->object && !strchr(finding->text, '`')) {
		still_buf_str(buf, "`");
		still_buf_line(buf, finding->object);
		still_buf_str(buf, "`: ");
	} else if (finding->object && !strstr(finding->text, finding->object)) {
		still_buf_line(buf, finding->object);
		still_buf_str(buf, ": ");
	}
	still_buf_line(buf, finding->text);
	still_buf_str(buf, "\n");
	if (!finding->hint)
		return;
	still_buf_str(buf, "    ");
	still_buf_line(buf, finding->hint);
	still_buf_str(buf, "\n");
}

static void add_head(
    struct still_buf *buf, const struct still_preflight *preflight)
{
	still_buf_str(buf, "source:    ");
	still_buf_line(buf, preflight->source);
	if (preflight->engine)
		still_buf_printf(buf, " (%s %s)", preflight->engine,
		    preflight->engine_version);
	still_buf_str(buf, "\n");
	if (preflight->freeze_ns)
		still_buf_printf(buf,
		    "freeze:    %.1f ms%s%s; writers were held off for at most "
		    "%.3f ms\n",
		    (double) preflight->freeze_ns / 1e6,
		    preflight->way ? ", by " : "",
		    preflight->way ? preflight->way : "",
		    (double) preflight->writers_held_ns / 1e6);
}

static int add_databases(struct still_buf *buf,
    const struct still_preflight *preflight, struct still_error *err)
{
	static const struct ctl_column columns[] = {
	    {"DATABASE", false},
	    {"SIZE", true},
	    {"LOG", false},
	    {"CHECKED", false},
	};
	struct ctl_table table;
	int rc;

	if (preflight->n_databases == 0)
		return 0;
	ctl_table_init(&table, columns, sizeof(columns) / sizeof(columns[0]));
	for (size_t i = 0; i < preflight->n_databases; i++) {
		const struct still_checked_database *database =
		    &preflight->databases[i];
		struct still_buf size = STILL_BUF_INIT;

		ctl_table_add(&table, database->path);
		still_buf_size(&size, database->size_bytes);
		ctl_table_take(&table, &size);
		ctl_table_add(&table, database->log);
		ctl_table_add(&table,
		    database->frozen ? database->verified : "not frozen");
	}
	still_buf_str(buf, "\n");
	rc = ctl_table_render(&table, buf, err);
	still_buf_str(buf, "\n");
	ctl_table_release(&table);
	return rc;
}

static int print_text(const struct still_preflight *preflight,
    const struct ctl_findings *machine, const struct verdict *verdict,
    struct still_error *err)
{
	struct still_buf buf = STILL_BUF_INIT;
	int rc;

	add_head(&buf, preflight);
	rc = add_databases(&buf, preflight, err);
	for (size_t i = 0; i < preflight->n_findings; i++)
		add_finding(&buf, &preflight->findings[i]);
	for (size_t i = 0; i < machine->n; i++)
		add_finding(&buf, &machine->list[i]);
	still_buf_printf(&buf, "result:    %s\n", result_of(verdict));
	if (rc == 0)
		rc = ctl_out_buf(&buf, err);
	still_buf_release(&buf);
	return rc;
}

/* ---- for programs -------------------------------------------------------- */

static int add_findings_json(
    json_t *array, const struct still_finding *list, size_t n)
{
	int rc = 0;

	for (size_t i = 0; i < n; i++) {
		json_t *o = json_object();

		rc |= ctl_json_set_text(
		    o, "level", still_level_word(list[i].level));
		rc |= ctl_json_set_text(o, "code",
		    list[i].code ? still_error_word(list[i].code) : NULL);
		rc |= ctl_json_set_name(o, "object", list[i].object);
		rc |= ctl_json_set_text(o, "text", list[i].text);
		rc |= ctl_json_set_text(o, "hint", list[i].hint);
		rc |= json_array_append_new(array, o);
	}
	return rc;
}

static json_t *databases_json(const struct still_preflight *preflight)
{
	json_t *array = json_array();
	int rc = 0;

	for (size_t i = 0; i < preflight->n_databases; i++) {
		const struct still_checked_database *database =
		    &preflight->databases[i];
		json_t *o = json_object();

		rc |= ctl_json_set_name(o, "path", database->path);
		rc |= json_object_set_new(o, "size_bytes",
		    json_integer((json_int_t) database->size_bytes));
		rc |= ctl_json_set_text(o, "log", database->log);
		rc |= ctl_json_set_text(o, "verified", database->verified);
		rc |= json_object_set_new(
		    o, "frozen", json_boolean(database->frozen));
		rc |= json_array_append_new(array, o);
	}
	if (rc == 0)
		return array;
	json_decref(array);
	return NULL;
}

static int print_json(const struct still_preflight *preflight,
    const struct ctl_findings *machine, const struct verdict *verdict,
    struct still_error *err)
{
	json_t *findings = json_array();
	json_t *root = json_object();
	int rc = 0;

	rc |= json_object_set_new(root, "format", json_integer(FORMAT));
	rc |= ctl_json_set_text(root, "program", PACKAGE_STRING);
	rc |= ctl_json_set_name(root, "source", preflight->source);
	rc |= ctl_json_set_text(root, "engine", preflight->engine);
	rc |= ctl_json_set_text(
	    root, "engine_version", preflight->engine_version);
	rc |= json_object_set_new(root, "size_bytes",
	    json_integer((json_int_t) preflight->size_bytes));
	rc |= json_object_set_new(
	    root, "freeze_ns", json_integer(preflight->freeze_ns));
	rc |= json_object_set_new(
	    root, "cut_width_ns", json_integer(preflight->cut_width_ns));
	rc |= json_object_set_new(
	    root, "writers_held_ns", json_integer(preflight->writers_held_ns));
	rc |= ctl_json_set_text(root, "freeze", preflight->way);
	rc |= json_object_set_new(root, "copy_bytes",
	    json_integer((json_int_t) preflight->copy_bytes));
	rc |= json_object_set_new(root, "databases", databases_json(preflight));
	rc |= add_findings_json(
	    findings, preflight->findings, preflight->n_findings);
	rc |= add_findings_json(findings, machine->list, machine->n);
	rc |= json_object_set_new(root, "findings", findings);
	rc |= ctl_json_set_text(root, "result", result_of(verdict));
	rc |= json_object_set_new(
	    root, "ok", json_boolean(verdict->n_errors == 0));
	if (rc == 0)
		return ctl_out_json(root, err);
	json_decref(root);
	return still_error_nomem(err);
}

/* ---- all of it ----------------------------------------------------------- */

static int tell(const struct ctl_options *o,
    const struct still_preflight *preflight, const struct ctl_findings *machine,
    struct still_error *err)
{
	struct verdict verdict = {0};
	int rc = 0;

	if (machine->failed)
		return still_error_nomem(err);
	judge(&verdict, preflight->findings, preflight->n_findings);
	judge(&verdict, machine->list, machine->n);
	if (o->json)
		rc = print_json(preflight, machine, &verdict, err);
	else if (!o->quiet)
		rc = print_text(preflight, machine, &verdict, err);
	return rc < 0 ? rc : (int) status_of(&verdict);
}

static int check(const struct ctl_options *o, const struct ctl_target *target,
    struct still_error *err)
{
	struct ctl_findings machine = CTL_FINDINGS_INIT;
	struct still_options wishes = ctl_freeze_wishes(o);
	struct still_preflight preflight;
	/* As it was given, if it is no mount: it may have a scheme. */
	const char *source = target->source ? target->source : o->target;
	int rc;

	ctl_check_fuse(&machine);
	ctl_check_state(o, target, &machine, &wishes.catalog);
	ctl_check_place(target, &machine);
	rc = still_preflight(source, &wishes, &preflight, err);
	if (rc == 0)
		rc = tell(o, &preflight, &machine, err);
	still_preflight_release(&preflight);
	still_catalog_close(wishes.catalog);
	ctl_findings_release(&machine);
	return rc;
}

static int run(const struct ctl_options *o, struct still_error *err)
{
	struct ctl_target target;
	int rc = ctl_target_find(o->target, &target, err);

	rc = rc < 0 ? ctl_target_status(rc) : check(o, &target, err);
	ctl_target_release(&target);
	return rc;
}

const struct ctl_verb ctl_verb_check = {
    .name = "check",
    .summary = "tell before the first backup what would make it fail",
    .help =
	"Try what a backup would do first: freeze SOURCE, and let it go. Tell\n"
	"what is there, and what would make a backup fail. Records nothing.\n",
    .target = CTL_TARGET_SOURCE,
    .usage = "[SOURCE]",
    .max_words = 1,
    .options = options,
    .answers = true,
    .run = run,
};
