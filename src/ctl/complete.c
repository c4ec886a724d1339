/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "ctl/complete.h"

#include <string.h>

#include "ctl/verb.h"

/* What the tables say stands in single quotes, and has none. */

static bool takes_value(const struct ctl_option *option)
{
	return option->kind != CTL_FLAG;
}

static void each_option(const struct ctl_verb *verb, FILE *out,
    void tell(const struct ctl_option *option, FILE *out))
{
	for (const struct ctl_option *o = verb->options; o->name; o++)
		tell(o, out);
	for (const struct ctl_option *o = ctl_options_common; o->name; o++)
		tell(o, out);
}

/* ---- bash ---------------------------------------------------------------- */

static void bash_name(const struct ctl_option *option, FILE *out)
{
	fprintf(out, " --%s", option->name);
}

static void bash_value(const struct ctl_option *option, FILE *out)
{
	if (!takes_value(option))
		return;
	fprintf(out, "\t\t*:--%s) ", option->name);
	if (option->kind == CTL_DIR)
		fputs("_stillctl_files -d", out);
	else if (option->kind == CTL_CHOICE) {
		fputs("_stillctl_words", out);
		for (const char *p = option->value; *p;) {
			size_t n = strcspn(p, "|");

			fprintf(out, " %.*s", (int) n, p);
			p += n + (p[n] ? 1 : 0);
		}
	} else
		fputs(":", out);
	fputs("; return ;;\n", out);
}

static const char bash_head[] =
    "# bash completion for stillctl; made from its tables of options.\n"
    "\n"
    "# The words among the arguments that begin with $cur.\n"
    "_stillctl_words() {\n"
    "\tlocal word\n"
    "\tfor word; do\n"
    "\t\t[[ $word == \"$cur\"* ]] && COMPREPLY+=(\"$word\")\n"
    "\tdone\n"
    "}\n"
    "\n"
    "# _stillctl_files -d|-f: names; bash quotes them.\n"
    "_stillctl_files() {\n"
    "\tlocal name\n"
    "\tcompopt -o filenames 2>/dev/null\n"
    "\twhile IFS= read -r name; do\n"
    "\t\tCOMPREPLY+=(\"$name\")\n"
    "\tdone < <(compgen \"$1\" -- \"$cur\")\n"
    "}\n"
    "\n"
    "# The mountpoints of stillfs, or else directories. Space, tab, newline and\n"
    "# backslash stand as octal numbers in the mount table.\n"
    "_stillctl_mounts() {\n"
    "\tlocal where rest\n"
    "\tcompopt -o filenames 2>/dev/null\n"
    "\twhile read -r _ _ _ _ where rest; do\n"
    "\t\t[[ $rest == *' - fuse.stillfs '* ]] || continue\n"
    "\t\tprintf -v where %b \"${where//\\\\/\\\\0}\"\n"
    "\t\t[[ $where == \"$cur\"* ]] && COMPREPLY+=(\"$where\")\n"
    "\tdone </proc/self/mountinfo\n"
    "\t[ ${#COMPREPLY[@]} -gt 0 ] || _stillctl_files -d\n"
    "}\n"
    "\n"
    "_stillctl() {\n"
    "\tlocal cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD-1]}\n"
    "\tlocal verb=${COMP_WORDS[1]-}\n"
    "\tCOMPREPLY=()\n"
    "\t# bash makes three words of --name=value.\n"
    "\tif [[ $cur == = ]]; then\n"
    "\t\tcur=\n"
    "\telif [[ $prev == = && $COMP_CWORD -gt 2 ]]; then\n"
    "\t\tprev=${COMP_WORDS[COMP_CWORD-2]}\n"
    "\tfi\n"
    "\tif [ \"$COMP_CWORD\" = 1 ]; then\n"
    "\t\t_stillctl_words";

/* By enum ctl_target_kind. */
static const char *const bash_words[] = {
    [CTL_TARGET_MOUNT] = "_stillctl_mounts",
    [CTL_TARGET_KNOWN] = "_stillctl_mounts",
    [CTL_TARGET_SOURCE] = "_stillctl_files -f",
    [CTL_TARGET_DEST] = "_stillctl_files -f",
    [CTL_TARGET_DIR] = "_stillctl_files -d",
};

static void bash(FILE *out)
{
	fputs(bash_head, out);
	for (const struct ctl_verb *const *v = ctl_verbs; *v; v++)
		fprintf(out, " %s", (*v)->name);
	fputs(" --help --version\n\t\treturn\n\tfi\n"
	      "\tcase $verb:$prev in\n",
	    out);
	for (const struct ctl_option *o = ctl_options_common; o->name; o++)
		bash_value(o, out);
	for (const struct ctl_verb *const *v = ctl_verbs; *v; v++)
		for (const struct ctl_option *o = (*v)->options; o->name; o++)
			bash_value(o, out);
	fputs("\tesac\n\tif [[ $cur == -* ]]; then\n\t\tcase $verb in\n", out);
	for (const struct ctl_verb *const *v = ctl_verbs; *v; v++) {
		fprintf(out, "\t\t%s) _stillctl_words", (*v)->name);
		each_option(*v, out, bash_name);
		fputs(" ;;\n", out);
	}
	fputs("\t\tesac\n\t\treturn\n\tfi\n\tcase $verb in\n", out);
	for (const struct ctl_verb *const *v = ctl_verbs; *v; v++) {
		fprintf(out, "\t%s) ", (*v)->name);
		fputs(bash_words[(*v)->target], out);
		fputs(" ;;\n", out);
	}
	fputs("\tesac\n}\n\ncomplete -F _stillctl stillctl\n", out);
}

/* ---- zsh ----------------------------------------------------------------- */

/* Inside '...[HERE]...' of _arguments. */
static void zsh_text(const char *text, FILE *out)
{
	for (; *text; text++) {
		if (strchr("[]:\\", *text))
			fputc('\\', out);
		fputc(*text, out);
	}
}

static void zsh_value(const struct ctl_option *option, FILE *out)
{
	if (option->kind == CTL_CHOICE) {
		fprintf(out, ":%s:(", option->name);
		for (const char *p = option->value; *p; p++)
			fputc(*p == '|' ? ' ' : *p, out);
		fputs(")", out);
	} else {
		fprintf(out, ":%s:%s", option->value,
		    option->kind == CTL_DIR ? "_files -/" : "");
	}
}

static void zsh_option(const struct ctl_option *option, FILE *out)
{
	fputs(" \\\n\t\t\t", out);
	if (option->letter)
		fprintf(out, "'(-%c --%s)'{-%c,--%s%s}'", option->letter,
		    option->name, option->letter, option->name,
		    takes_value(option) ? "=" : "");
	else
		fprintf(out, "'--%s%s", option->name,
		    takes_value(option) ? "=" : "");
	fputs("[", out);
	zsh_text(option->help, out);
	fputs("]", out);
	if (takes_value(option))
		zsh_value(option, out);
	fputs("'", out);
}

static const char zsh_head[] =
    "#compdef stillctl\n"
    "# zsh completion for stillctl; made from its tables of options.\n"
    "\n"
    "# The mountpoints of stillfs; space, tab, newline and backslash stand as\n"
    "# octal numbers in the mount table.\n"
    "_stillctl_mounts() {\n"
    "\tlocal line\n"
    "\tlocal -a fields mounts\n"
    "\tfor line in \"${(@f)$(</proc/self/mountinfo)}\"; do\n"
    "\t\t[[ $line == *' - fuse.stillfs '* ]] || continue\n"
    "\t\tfields=(${(s: :)line})\n"
    "\t\tmounts+=(\"$(printf %b ${fields[5]//\\\\/\\\\0})\")\n"
    "\tdone\n"
    "\t_alternative \"mounts:mount of stillfs:compadd -f -a mounts\" \\\n"
    "\t\t'dirs:directory:_files -/'\n"
    "}\n"
    "\n"
    "_stillctl() {\n"
    "\tlocal curcontext=$curcontext state line ret=1\n"
    "\tlocal -a verbs\n"
    "\t_arguments -C '(- *)'{-h,--help}'[print help and exit]' \\\n"
    "\t\t'(- *)'{-V,--version}'[print the version and exit]' \\\n"
    "\t\t'1:verb:->verb' '*::argument:->rest' && ret=0\n"
    "\tcase $state in\n"
    "\tverb)\n"
    "\t\tverbs=(";

static const char *const zsh_words[] = {
    [CTL_TARGET_MOUNT] = "_stillctl_mounts",
    [CTL_TARGET_KNOWN] = "_stillctl_mounts",
    [CTL_TARGET_SOURCE] = "_files",
    [CTL_TARGET_DEST] = "_files",
    [CTL_TARGET_DIR] = "_files -/",
};

static void zsh(FILE *out)
{
	fputs(zsh_head, out);
	for (const struct ctl_verb *const *v = ctl_verbs; *v; v++) {
		fprintf(out, "\n\t\t\t'%s:", (*v)->name);
		zsh_text((*v)->summary, out);
		fputs("'", out);
	}
	fputs(")\n\t\t_describe -t verbs verb verbs && ret=0\n\t\t;;\n"
	      "\trest)\n\t\tcase $words[1] in\n",
	    out);
	for (const struct ctl_verb *const *v = ctl_verbs; *v; v++) {
		fprintf(out, "\t\t%s) _arguments -s", (*v)->name);
		each_option(*v, out, zsh_option);
		if ((*v)->max_words == CTL_WORDS_MAX)
			fputs(" \\\n\t\t\t'*:directory:_files -/'", out);
		for (unsigned i = 1;
		     i <= (*v)->max_words && (*v)->max_words < CTL_WORDS_MAX;
		     i++)
			fprintf(out, " \\\n\t\t\t'%u:%s:%s'", i,
			    i == 1 ? "target" : "directory",
			    i == 1 ? zsh_words[(*v)->target] : "_files -/");
		fputs(" && ret=0 ;;\n", out);
	}
	fputs("\t\tesac\n\t\t;;\n\tesac\n\treturn ret\n}\n\n"
	      "_stillctl \"$@\"\n",
	    out);
}

bool ctl_complete(const char *shell, FILE *out)
{
	if (strcmp(shell, "bash") == 0)
		bash(out);
	else if (strcmp(shell, "zsh") == 0)
		zsh(out);
	else
		return false;
	return true;
}
