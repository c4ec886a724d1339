/* SPDX-License-Identifier: MIT */
/*
 * findings: a list of what stands in the way, or is to be minded.
 *
 * Texts are as in base/error.h: they begin with their object, and the hint is
 * whole sentences. Out of memory is remembered and told at the end.
 *
 * Threads: one at a time.
 */
#ifndef POSTGRES_FINDINGS_H
#define POSTGRES_FINDINGS_H

#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"

enum still_pg_level {
	STILL_PG_ERROR,  /* nothing can be frozen */
	STILL_PG_WARNING /* it can, and somebody should know */
};

struct still_pg_finding {
	enum still_pg_level level;
	int code;     /* enum still_err_code */
	char *object; /* owned; "role `backup`", "server of `X`" ... */
	char *text;   /* owned; begins with the object */
	char *hint;   /* owned; NULL: none */
};

struct still_pg_findings {
	struct still_pg_finding *items; /* owned; as they were found */
	size_t n;
	bool nomem; /* some are missing */
};

/* The text is "OBJECT: " and the format. `hint` may be NULL. */
void still_pg_findings_add(struct still_pg_findings *findings,
    enum still_pg_level level, int code, const char *object, const char *hint,
    const char *fmt, ...) __attribute__((format(printf, 6, 7)));

/* An error that something failed with; `what` is cleared. */
void still_pg_findings_take(
    struct still_pg_findings *findings, struct still_error *what);

/* 0, or the code of the first error among them, with its text and hint in
 * `err`; NOMEM when the list is not complete. */
int still_pg_findings_judge(
    const struct still_pg_findings *findings, struct still_error *err);

void still_pg_findings_release(struct still_pg_findings *findings);

/* An object for them, "server of `X`", which the caller frees; NULL is remembered. */
char *still_pg_findings_object(
    struct still_pg_findings *findings, const char *what, const char *name);

#endif
