/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "ctl/verb.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/buf.h"
#include "base/connstr.h"
#include "ctl/complete.h"
#include "ctl/exit.h"
#include "ctl/help.h"
#include "ctl/out.h"

const struct ctl_verb *const ctl_verbs[] = {
    &ctl_verb_check,
    &ctl_verb_backup,
    &ctl_verb_status,
    &ctl_verb_begin,
    &ctl_verb_commit,
    &ctl_verb_abort,
    &ctl_verb_truncate,
    &ctl_verb_umount,
    &ctl_verb_list,
    &ctl_verb_verify,
    &ctl_verb_restore,
    NULL,
};

const struct ctl_verb *ctl_verb_find(const char *name)
{
	for (const struct ctl_verb *const *v = ctl_verbs; *v; v++)
		if (strcmp((*v)->name, name) == 0)
			return *v;
	return NULL;
}

/* What was asked for must have been written. */
static int check_stdout(struct still_error *err)
{
	if (fflush(stdout) == 0 && !ferror(stdout))
		return 0;
	return still_error_sys(err, errno, NULL, "standard output");
}

static int run(const struct ctl_verb *verb, const char *const *words,
    bool *ret_json, struct still_error *err)
{
	struct ctl_options options;
	int rc = ctl_options_parse(
	    verb->options, verb->max_words, words, &options, err);

	*ret_json = options.json;
	if (rc < 0)
		return CTL_EXIT_USAGE;
	if (options.help) {
		ctl_help_verb(verb, stdout);
		return check_stdout(err);
	}
	if (options.n_words < verb->min_words) {
		still_error_set(err, STILL_ERR_INVALID, 0, NULL,
		    "an argument is missing: stillctl %s %s", verb->name,
		    verb->usage);
		return CTL_EXIT_USAGE;
	}
	rc = verb->run(&options, err);
	if (verb->answers && rc >= 0 && !err->code)
		if (check_stdout(err) < 0)
			return STILL_ERR_IO;
	return rc;
}

static int unknown_verb(const char *name, struct still_error *err)
{
	struct still_buf list = STILL_BUF_INIT;

	still_buf_str(&list, "The verbs are:");
	for (const struct ctl_verb *const *v = ctl_verbs; *v; v++)
		still_buf_printf(
		    &list, "%s %s", v == ctl_verbs ? "" : ",", (*v)->name);
	still_buf_str(&list, ".");
	if (name && still_connstr_holds_secret(name))
		still_connstr_refuse_secret(err);
	else if (!name)
		still_error_set(
		    err, STILL_ERR_INVALID, 0, list.data, "no verb given");
	else if (name[0] == '-')
		still_error_set(err, STILL_ERR_INVALID, 0,
		    "Options stand behind the verb.", "unknown option `%.*s`",
		    (int) strcspn(name, "="), name);
	else
		still_error_set(err, STILL_ERR_INVALID, 0, list.data,
		    "unknown verb `%s`", name);
	still_buf_release(&list);
	return CTL_EXIT_USAGE;
}

/* What is no verb. -1: nor is it this. */
static int run_switch(const char *const *argv, struct still_error *err)
{
	const char *word = argv[1];

	if (!word)
		return -1;
	if (strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0)
		ctl_help(stdout);
	else if (strcmp(word, "--version") == 0 || strcmp(word, "-V") == 0)
		printf("stillctl %s\n", still_version());
	/* For the build, which makes the scripts of it. */
	else if (strcmp(word, "completion") == 0 && argv[2] && !argv[3] &&
	    ctl_complete(argv[2], stdout))
		;
	else
		return -1;
	return check_stdout(err) < 0 ? CTL_EXIT_FAILED : CTL_EXIT_DONE;
}

int ctl_main(const char *const *argv)
{
	struct still_error err = STILL_ERROR_INIT;
	const struct ctl_verb *verb = argv[1] ? ctl_verb_find(argv[1]) : NULL;
	bool json = false;
	int status;

	if (verb) {
		status = run(verb, argv + 2, &json, &err);
	} else {
		status = run_switch(argv, &err);
		if (status < 0)
			status = unknown_verb(argv[1], &err);
	}
	if (status < 0)
		status = (int) ctl_exit_of_error(status);
	if (err.code)
		ctl_out_error(&err, json);
	still_error_clear(&err);
	fflush(stdout);
	return status;
}
