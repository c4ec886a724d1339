/* SPDX-License-Identifier: MIT */
/*
 * stillctl restore: a set becomes databases again. Needs no mount, and no
 * catalog.
 */
#include "config.h"

#include <stdio.h>

#include "base/json.h"
#include "ctl/exit.h"
#include "ctl/out.h"
#include "ctl/task.h"
#include "ctl/verb.h"

#define THREADS_MAX 32

static const struct ctl_option options[] = {
    {"create", 0, CTL_FLAG, CTL_AT(create), 0, 0, NULL,
	"make DEST, if only its last part is missing"},
    {"database", 0, CTL_TEXT, CTL_AT(database), 0, 0, "NAME",
	"only this one; DEST: a file, or its directory"},
    {"threads", 0, CTL_NUMBER, CTL_AT(threads), 1, THREADS_MAX, "N",
	"copy N files at a time (4)"},
    {"upto", 0, CTL_NUMBER, CTL_AT(upto), 1, UINT32_MAX, "NUMBER",
	"of a directory of backups, no later link"},
    CTL_OPTIONS_END,
};

static int tell_json(
    const struct still_restored *restored, struct still_error *err)
{
	json_t *line = json_pack("{s:s, s:s, s:I, s:I, s:I, s:I}", "event",
	    "done", "session", restored->session, "incremental_sets",
	    (json_int_t) restored->links, "files", (json_int_t) restored->files,
	    "bytes", (json_int_t) restored->bytes, "copy_ns",
	    (json_int_t) restored->copy_ns);

	if (!line || still_json_set_name(line, "dest", restored->dest) != 0) {
		json_decref(line);
		return still_error_nomem(err);
	}
	return ctl_out_json_line(line, err);
}

static int tell_text(
    const struct still_restored *restored, struct still_error *err)
{
	struct still_buf buf = STILL_BUF_INIT;

	still_buf_printf(&buf, "restored %s to ", restored->session);
	still_buf_line(&buf, restored->dest);
	still_buf_printf(&buf, ": %llu file%s, ",
	    (unsigned long long) restored->files,
	    restored->files == 1 ? "" : "s");
	still_buf_size(&buf, restored->bytes);
	if (restored->links)
		still_buf_printf(&buf, ", of it %llu incremental set%s",
		    (unsigned long long) restored->links,
		    restored->links == 1 ? "" : "s");
	still_buf_str(&buf, ", verified\n");
	return ctl_out_buf(&buf, err);
}

static int run(const struct ctl_options *o, struct still_error *err)
{
	struct still_restore_options wishes = {
	    .database = o->database,
	    .create = o->create,
	    .links = &o->words[1],
	    .n_links = o->n_words - 2,
	    .upto = o->upto,
	};
	struct still_restored restored;
	struct ctl_task task;
	int rc;

	if (o->upto && wishes.n_links > 0) {
		still_error_set(err, STILL_ERR_INVALID, 0, NULL,
		    "option `--upto`: does not go with incremental sets that "
		    "are named");
		return CTL_EXIT_USAGE;
	}
	ctl_task_begin(&task, o);
	wishes.task = task.task;
	wishes.task.n_threads = o->threads;
	rc = still_restore(
	    o->words[0], o->words[o->n_words - 1], &wishes, &restored, err);
	ctl_task_end(&task);
	/* Whoever cannot be told has his databases nevertheless. */
	if (rc == 0 && o->json)
		tell_json(&restored, NULL);
	else if (rc == 0 && !o->quiet)
		tell_text(&restored, NULL);
	still_restored_release(&restored);
	return rc == STILL_ERR_CANCELLED ? CTL_EXIT_ABORTED : rc;
}

const struct ctl_verb ctl_verb_restore = {
    .name = "restore",
    .summary = "make databases of a set again",
    .help =
	"Copy the databases of SET into DEST, an empty directory, or one of them\n"
	"to a file. Each byte is compared with the set's sums. All is on the disk\n"
	"before any database has its name; on failure DEST is what it was.\n"
	"Incremental sets are applied to SET, in their order; of a directory that\n"
	"`stillctl backup` wrote to, all that are in it.\n",
    .target = CTL_TARGET_DIR,
    .usage = "SET [INCREMENTAL...] DEST",
    .min_words = 2,
    .max_words = CTL_WORDS_MAX,
    .options = options,
    .run = run,
};
