/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "ctl/table.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <wchar.h>

#define GAP "  "

void ctl_table_init(
    struct ctl_table *table, const struct ctl_column *columns, size_t n_columns)
{
	*table = (struct ctl_table){columns, n_columns, NULL, 0, false};
}

void ctl_table_release(struct ctl_table *table)
{
	for (size_t i = 0; i < table->n_cells; i++)
		free(table->cells[i]);
	free(table->cells);
	ctl_table_init(table, table->columns, table->n_columns);
}

/* Takes `buf`, which is fit to be shown. */
static void add(struct ctl_table *table, struct still_buf *buf)
{
	char **cells = realloc(
	    table->cells, (table->n_cells + 1) * sizeof(*cells));
	char *cell = still_buf_take(buf, NULL);

	if (cells)
		table->cells = cells;
	if (!cells || !cell) {
		free(cell);
		table->failed = true;
		return;
	}
	cells[table->n_cells++] = cell;
}

void ctl_table_add(struct ctl_table *table, const char *text)
{
	struct still_buf buf = STILL_BUF_INIT;

	still_buf_line(&buf, text ? text : "-");
	add(table, &buf);
	still_buf_release(&buf);
}

void ctl_table_printf(struct ctl_table *table, const char *fmt, ...)
{
	char *text = NULL;
	va_list ap;

	va_start(ap, fmt);
	if (vasprintf(&text, fmt, ap) < 0)
		text = NULL;
	va_end(ap);
	if (text)
		ctl_table_add(table, text);
	else
		table->failed = true;
	free(text);
}

void ctl_table_take(struct ctl_table *table, struct still_buf *buf)
{
	char *text = still_buf_take(buf, NULL);

	if (text)
		ctl_table_add(table, text);
	else
		table->failed = true;
	free(text);
}

size_t ctl_text_width(const char *text)
{
	size_t left = strlen(text);
	size_t width = 0;
	mbstate_t state;

	memset(&state, 0, sizeof(state));
	while (left > 0) {
		wchar_t c;
		size_t n = mbrtowc(&c, text, left, &state);
		int columns;

		if (n == 0 || n > left)
			return width + left;
		columns = wcwidth(c);
		width += columns < 0 ? 1 : (size_t) columns;
		text += n;
		left -= n;
	}
	return width;
}

/* Row 0 is the head. */
static const char *cell_at(
    const struct ctl_table *table, size_t row, size_t column)
{
	if (row == 0)
		return table->columns[column].head;
	return table->cells[(row - 1) * table->n_columns + column];
}

static void pad(struct still_buf *out, size_t n)
{
	while (n-- > 0)
		still_buf_str(out, " ");
}

int ctl_table_render(const struct ctl_table *table, struct still_buf *out,
    struct still_error *err)
{
	size_t n_rows = 1 + table->n_cells / table->n_columns;
	size_t *widths = calloc(table->n_columns, sizeof(*widths));

	if (!widths || table->failed) {
		free(widths);
		return still_error_nomem(err);
	}
	for (size_t r = 0; r < n_rows; r++)
		for (size_t c = 0; c < table->n_columns; c++) {
			size_t width = ctl_text_width(cell_at(table, r, c));

			if (width > widths[c])
				widths[c] = width;
		}
	for (size_t r = 0; r < n_rows; r++) {
		for (size_t c = 0; c < table->n_columns; c++) {
			const char *cell = cell_at(table, r, c);
			size_t space = widths[c] - ctl_text_width(cell);
			bool right = table->columns[c].right;
			bool last = c + 1 == table->n_columns;

			pad(out, right ? space : 0);
			still_buf_str(out, cell);
			pad(out, right || last ? 0 : space);
			still_buf_str(out, last ? "\n" : GAP);
		}
	}
	free(widths);
	return 0;
}
