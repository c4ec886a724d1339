/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "engines/postgres/findings.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void finding_release(struct still_pg_finding *finding)
{
	free(finding->object);
	free(finding->text);
	free(finding->hint);
}

/* The strings of `finding` are stolen. */
static void append(struct still_pg_findings *findings,
    struct still_pg_finding finding, bool whole)
{
	size_t n = findings->n;
	struct still_pg_finding *grown = NULL;

	if (whole)
		grown = realloc(findings->items, (n + 1) * sizeof(*grown));
	if (!grown) {
		findings->nomem = true;
		finding_release(&finding);
		return;
	}
	findings->items = grown;
	grown[findings->n++] = finding;
}

void still_pg_findings_add(struct still_pg_findings *findings,
    enum still_pg_level level, int code, const char *object, const char *hint,
    const char *fmt, ...)
{
	struct still_pg_finding it = {.level = level, .code = code};
	char *words = NULL;
	va_list ap;

	va_start(ap, fmt);
	if (vasprintf(&words, fmt, ap) < 0)
		words = NULL;
	va_end(ap);
	if (!words || asprintf(&it.text, "%s: %s", object, words) < 0)
		it.text = NULL;
	free(words);
	it.object = strdup(object);
	it.hint = hint ? strdup(hint) : NULL;
	append(findings, it, it.text && it.object && !it.hint == !hint);
}

/* What stands before the first colon that is not between ticks. */
static char *object_of(const char *text)
{
	bool in_ticks = false;
	size_t n = 0;

	for (; text[n] && (in_ticks || strncmp(text + n, ": ", 2) != 0); n++)
		in_ticks ^= text[n] == '`';
	return strndup(text, n);
}

void still_pg_findings_take(
    struct still_pg_findings *findings, struct still_error *what)
{
	struct still_pg_finding it = {
	    .level = STILL_PG_ERROR,
	    .code = what->code,
	    .object = what->msg ? object_of(what->msg) : NULL,
	    .text = what->msg,
	    .hint = what->hint,
	};

	what->msg = NULL;
	what->hint = NULL;
	still_error_clear(what);
	append(findings, it, it.text && it.object);
}

int still_pg_findings_judge(
    const struct still_pg_findings *findings, struct still_error *err)
{
	for (size_t i = 0; i < findings->n; i++) {
		const struct still_pg_finding *it = &findings->items[i];

		if (it->level == STILL_PG_ERROR)
			return still_error_set(
			    err, it->code, 0, it->hint, "%s", it->text);
	}
	return findings->nomem ? still_error_nomem(err) : 0;
}

void still_pg_findings_release(struct still_pg_findings *findings)
{
	for (size_t i = 0; i < findings->n; i++)
		finding_release(&findings->items[i]);
	free(findings->items);
	*findings = (struct still_pg_findings){0};
}

char *still_pg_findings_object(
    struct still_pg_findings *findings, const char *what, const char *name)
{
	char *object;

	if (asprintf(&object, "%s `%s`", what, name) < 0)
		object = NULL;
	findings->nomem |= !object;
	return object;
}
