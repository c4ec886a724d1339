/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "ctl/options.h"

#include <stdio.h>
#include <string.h>

#include "base/connstr.h"
#include "base/value.h"
#include "still.h"

const struct ctl_option ctl_options_common[] = {
    {"help", 'h', CTL_FLAG, CTL_AT(help), 0, 0, NULL,
	"print this help and exit"},
    {"json", 0, CTL_FLAG, CTL_AT(json), 0, 0, NULL, "answer in JSON"},
    {"quiet", 'q', CTL_FLAG, CTL_AT(quiet), 0, 0, NULL,
	"print nothing but errors"},
    {"state", 0, CTL_DIR, CTL_AT(state), 0, 0, "DIR",
	"the state directory (that of the mount)"},
    CTL_OPTIONS_END,
};

/* The longest option, with its dashes. */
#define CTL_OPTION_CHARS 40

struct parse {
	const struct ctl_option *own;
	struct ctl_options *options;
	struct still_error *err;
	const char *const *words; /* the next one */
	unsigned max_words;
};

/* `value`: behind the name, NULL where there is none. */
static int set_option(
    struct parse *parse, const struct ctl_option *option, const char *value)
{
	char *field = (char *) parse->options + option->offset;
	char name[CTL_OPTION_CHARS];

	snprintf(name, sizeof(name), "--%s", option->name);
	if (option->kind == CTL_FLAG) {
		if (value)
			return still_error_set(parse->err, STILL_ERR_INVALID, 0,
			    NULL, "option `--%s`: takes no value",
			    option->name);
		*(bool *) field = true;
		return 0;
	}
	/* The value may be the next word. */
	if (!value && *parse->words)
		value = *parse->words++;
	if (!value || !*value)
		return still_error_set(parse->err, STILL_ERR_INVALID, 0, NULL,
		    "option `--%s`: needs a value", option->name);
	if (option->kind == CTL_NUMBER)
		return still_value_number(name, value, (uint32_t) option->min,
		    (uint32_t) option->max, (uint32_t *) field, parse->err);
	if (option->kind == CTL_SIZE)
		return still_value_size(name, value, option->min, option->max,
		    (uint64_t *) field, parse->err);
	if (option->kind == CTL_CHOICE)
		return still_value_choice(
		    name, option->value, value, (uint32_t *) field, parse->err);
	*(const char **) field = value;
	return 0;
}

/* ---- words --------------------------------------------------------------- */

static const struct ctl_option *find_in(
    const struct ctl_option *table, const char *name, size_t len, char letter)
{
	for (; table->name; table++)
		if (name ? strlen(table->name) == len &&
			    memcmp(table->name, name, len) == 0
			 : table->letter && table->letter == letter)
			return table;
	return NULL;
}

static const struct ctl_option *find(
    const struct parse *parse, const char *name, size_t len, char letter)
{
	const struct ctl_option *option = find_in(
	    parse->own, name, len, letter);

	return option ? option : find_in(ctl_options_common, name, len, letter);
}

static int unknown(struct parse *parse, const char *word, size_t len)
{
	return still_error_set(parse->err, STILL_ERR_INVALID, 0,
	    "The verb's `--help` lists its options.", "unknown option `%.*s`",
	    (int) len, word);
}

static int long_word(struct parse *parse, const char *word)
{
	const char *name = word + 2;
	size_t len = strcspn(name, "=");
	const struct ctl_option *option = find(parse, name, len, 0);

	/* Without what may stand behind it: it could be a secret. */
	if (!option)
		return unknown(parse, word, len + 2);
	return set_option(parse, option, name[len] ? name + len + 1 : NULL);
}

/* "-xyz": several without a value, or one with it. */
static int short_word(struct parse *parse, const char *word)
{
	int rc = 0;

	for (const char *p = word + 1; rc == 0 && *p; p++) {
		const struct ctl_option *option = find(parse, NULL, 0, *p);
		char name[3] = {'-', *p, '\0'};

		if (!option)
			return unknown(parse, name, 2);
		if (option->kind != CTL_FLAG)
			return set_option(parse, option, p[1] ? p + 1 : NULL);
		rc = set_option(parse, option, NULL);
	}
	return rc;
}

static int target_word(struct parse *parse, const char *word)
{
	if (still_connstr_holds_secret(word))
		return still_connstr_refuse_secret(parse->err);
	if (parse->options->n_words == parse->max_words)
		return still_error_set(parse->err, STILL_ERR_INVALID, 0, NULL,
		    "`%s`: one argument too many", word);
	if (!*word)
		return still_error_set(parse->err, STILL_ERR_INVALID, 0, NULL,
		    "``: names neither a mountpoint nor a source");
	parse->options->words[parse->options->n_words++] = word;
	parse->options->target = parse->options->words[0];
	return 0;
}

/* Whoever reads the answer wants the error in JSON too, wherever it is. */
static bool wants_json(const char *const *words)
{
	for (; *words && strcmp(*words, "--") != 0; words++)
		if (strcmp(*words, "--json") == 0)
			return true;
	return false;
}

int ctl_options_parse(const struct ctl_option *own, unsigned max_words,
    const char *const *words, struct ctl_options *ret, struct still_error *err)
{
	struct parse parse = {own, ret, err, words, max_words};
	bool only_targets = false;
	int rc = 0;

	*ret = (struct ctl_options){
	    .json = wants_json(words),
	    .verify = STILL_VERIFY_BASIC,
	    .freeze = STILL_WAY_AUTO,
	    .freeze_ms = STILL_FREEZE_MS_DEFAULT,
	    .stall_ms = STILL_STALL_MS_DEFAULT,
	    .barrier_max = STILL_BARRIER_MAX_DEFAULT,
	};
	while (rc == 0 && *parse.words) {
		const char *word = *parse.words++;

		if (only_targets || word[0] != '-' || !word[1])
			rc = target_word(&parse, word);
		else if (strcmp(word, "--") == 0)
			only_targets = true;
		else if (word[1] == '-')
			rc = long_word(&parse, word);
		else
			rc = short_word(&parse, word);
	}
	return rc;
}
