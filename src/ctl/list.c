/* SPDX-License-Identifier: MIT */
/* stillctl list: the sessions that the catalog knows. */
#include "config.h"

#include <inttypes.h>
#include <string.h>

#include "ctl/exit.h"
#include "ctl/out.h"
#include "ctl/record.h"
#include "ctl/table.h"
#include "ctl/verb.h"

static const struct ctl_option options[] = {
    {"all", 'a', CTL_FLAG, CTL_AT(all), 0, 0, NULL,
	"of all sources that the catalog knows"},
    {"good", 'g', CTL_FLAG, CTL_AT(good), 0, 0, NULL,
	"only sessions that are COMMITTED or COPIED"},
    {"limit", 'n', CTL_NUMBER, CTL_AT(limit), 1, 1000000000, "N",
	"only the newest N"},
    CTL_OPTIONS_END,
};

static int print_json(
    const struct still_record *records, size_t n, struct still_error *err)
{
	json_t *array = json_array();

	for (size_t i = 0; array && i < n; i++)
		if (json_array_append_new(
			array, ctl_record_json(&records[i])) != 0) {
			json_decref(array);
			array = NULL;
		}
	return ctl_out_json(array, err);
}

static bool has_several_sources(const struct still_record *records, size_t n)
{
	for (size_t i = 1; i < n; i++)
		if (strcmp(records[i].source, records[0].source) != 0)
			return true;
	return false;
}

/* The number of the full session, and how far this one is from it: "12+3". The
 * full one may be too old to be listed. */
static void add_chain(struct ctl_table *table,
    const struct still_record *records, size_t n,
    const struct still_record *record)
{
	const struct still_record *full = NULL;

	for (size_t i = 0; !full && i < n; i++)
		if (strcmp(records[i].id, record->chain) == 0)
			full = &records[i];
	if (!record->chain[0])
		ctl_table_add(table, "-");
	else if (full)
		ctl_table_printf(
		    table, "%" PRIu64 "+%" PRIu32, full->number, record->link);
	else
		ctl_table_printf(table, "?+%" PRIu32, record->link);
}

static void add_row(struct ctl_table *table, const struct still_record *records,
    size_t n, const struct still_record *record)
{
	struct still_buf buf = STILL_BUF_INIT;

	ctl_table_printf(table, "%" PRIu64, record->number);
	ctl_table_add(table, record->id);
	ctl_table_add(table, still_session_kind_word(record->kind));
	add_chain(table, records, n, record);
	ctl_buf_time(&buf, record->begun_at_ns);
	ctl_table_take(table, &buf);
	still_buf_size(&buf, record->bytes);
	ctl_table_take(table, &buf);
	ctl_table_printf(table, "%" PRIu32, record->files);
	ctl_table_printf(table, "%s%s", ctl_record_outcome(record),
	    record->forced ? ", forced" : "");
}

static int print_table(
    const struct still_record *records, size_t n, struct still_error *err)
{
	static const struct ctl_column columns[] = {
	    {"NUMBER", true},
	    {"SESSION", false},
	    {"KIND", false},
	    {"CHAIN", false},
	    {"BEGUN", false},
	    {"SIZE", true},
	    {"FILES", true},
	    {"OUTCOME", false},
	    {"SOURCE", false},
	};
	size_t n_columns = sizeof(columns) / sizeof(columns[0]);
	bool several = has_several_sources(records, n);
	struct still_buf text = STILL_BUF_INIT;
	struct ctl_table table;
	int rc;

	ctl_table_init(&table, columns, several ? n_columns : n_columns - 1);
	for (size_t i = 0; i < n; i++) {
		add_row(&table, records, n, &records[i]);
		if (several)
			ctl_table_add(&table, records[i].source);
	}
	rc = ctl_table_render(&table, &text, err);
	ctl_table_release(&table);
	if (rc == 0)
		rc = ctl_out_buf(&text, err);
	still_buf_release(&text);
	return rc;
}

/* Nothing is named and nothing configured, or a catalog and nothing in it: then
 * all is meant. */
static int find_target(const struct ctl_options *o, struct ctl_target *ret,
    bool *ret_all, struct still_error *err)
{
	int rc;

	*ret = (struct ctl_target){0};
	*ret_all = (o->all || o->state) && !o->target;
	if (*ret_all)
		return 0;
	rc = ctl_target_find(o->target, ret, err);
	if (rc == STILL_ERR_NOTFOUND && !o->target) {
		still_error_clear(err);
		*ret_all = true;
		rc = 0;
	}
	return rc;
}

static int list(const struct ctl_options *o, const struct ctl_target *target,
    bool all, struct still_error *err)
{
	struct still_record_filter filter = {
	    .good = o->good,
	    .limit = o->limit,
	};
	struct still_catalog *catalog = NULL;
	struct still_record *records = NULL;
	size_t n = 0;
	int rc = ctl_catalog_open(o, target, &catalog, err);

	if (rc < 0)
		return rc;
	rc = all ? still_catalog_list(catalog, &filter, &records, &n, err)
		 : ctl_records_of(catalog, target, filter, &records, &n, err);
	if (rc == 0 && n == 0 && target->path)
		rc = still_error_set(err, STILL_ERR_NOTFOUND, 0,
		    "`stillctl list --all` lists the sessions of all sources.",
		    "`%s`: no session of it is known", target->path);
	if (rc == 0 && o->json)
		rc = print_json(records, n, err);
	else if (rc == 0 && !o->quiet)
		rc = print_table(records, n, err);
	still_records_free(records, n);
	still_catalog_close(catalog);
	return rc;
}

static int run(const struct ctl_options *o, struct still_error *err)
{
	struct ctl_target target;
	bool all;
	int rc;

	if (o->all && o->target) {
		still_error_set(err, STILL_ERR_INVALID, 0, NULL,
		    "option `--all`: does not go with a target");
		return CTL_EXIT_USAGE;
	}
	rc = find_target(o, &target, &all, err);
	rc = rc < 0 ? ctl_target_status(rc) : list(o, &target, all, err);
	ctl_target_release(&target);
	return rc;
}

const struct ctl_verb ctl_verb_list = {
    .name = "list",
    .summary = "list the sessions of the past",
    .help = "List the sessions that the catalog knows, newest first.\n",
    .target = CTL_TARGET_KNOWN,
    .usage = "[TARGET]",
    .max_words = 1,
    .options = options,
    .answers = true,
    .run = run,
};
