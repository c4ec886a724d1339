/* SPDX-License-Identifier: MIT */
/*
 * table: columns for people. Cells are given row by row, from left to right;
 * each column gets as wide as its widest cell, measured as a terminal shows it.
 */
#ifndef CTL_TABLE_H
#define CTL_TABLE_H

#include <stdbool.h>
#include <stddef.h>

#include "base/buf.h"
#include "base/error.h"

struct ctl_column {
	const char *head;
	bool right; /* numbers stand at the right */
};

struct ctl_table {
	const struct ctl_column *columns; /* borrowed */
	size_t n_columns;
	char **cells; /* owned, each owned */
	size_t n_cells;
	bool failed; /* without memory */
};

void ctl_table_init(struct ctl_table *table, const struct ctl_column *columns,
    size_t n_columns);
void ctl_table_release(struct ctl_table *table);

/* The next cell, any bytes; NULL gives "-". */
void ctl_table_add(struct ctl_table *table, const char *text);
void ctl_table_printf(struct ctl_table *table, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));

/* What was built for it; `buf` is empty then. */
void ctl_table_take(struct ctl_table *table, struct still_buf *buf);

/* Append all of it. No spaces stand at the end of a line. */
int ctl_table_render(const struct ctl_table *table, struct still_buf *out,
    struct still_error *err);

/* Columns of a terminal that `text` (valid UTF-8 without control characters)
 * takes, as LC_CTYPE knows them. */
size_t ctl_text_width(const char *text);

#endif
