/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "ctl/help.h"

#include "ctl/exit.h"

static void exits(FILE *out)
{
	fputs("\nExit status:", out);
	for (int i = 0; i < CTL_EXIT_COUNT; i++)
		fprintf(out, "%s%s%d %s", i ? "," : "",
		    i == CTL_EXIT_BUSY ? "\n             " : " ", i,
		    ctl_exit_word(i));
	fputs(".\n", out);
}

void ctl_help(FILE *out)
{
	fputs("usage: stillctl VERB [options] [TARGET]\n"
	      "       stillctl --help | --version\n\n"
	      "Control backups by stillfs. TARGET is a mountpoint or a source; "
	      "it is not needed\nwhere only one is configured.\n\nverbs:\n",
	    out);
	for (const struct ctl_verb *const *v = ctl_verbs; *v; v++)
		fprintf(out, "  %-8s %s\n", (*v)->name, (*v)->summary);
	fputs("\n`stillctl VERB --help` lists the options of a verb.\n", out);
	exits(out);
	fputs("See stillctl(1).\n", out);
}

static void table(const struct ctl_option *options, FILE *out)
{
	for (; options->name; options++) {
		char left[48];
		char letter[8] = "   ";

		if (options->letter)
			snprintf(
			    letter, sizeof(letter), "-%c,", options->letter);
		snprintf(left, sizeof(left), "%s --%s%s%s", letter,
		    options->name, options->value ? "=" : "",
		    options->value ? options->value : "");
		fprintf(out, "  %-30s %s\n", left, options->help);
	}
}

void ctl_help_verb(const struct ctl_verb *verb, FILE *out)
{
	fprintf(out, "usage: stillctl %s [options] %s\n\n%s\noptions:\n",
	    verb->name, verb->usage, verb->help);
	table(verb->options, out);
	table(ctl_options_common, out);
	exits(out);
	fprintf(out, "See stillctl-%s(1).\n", verb->name);
}
