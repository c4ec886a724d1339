/* SPDX-License-Identifier: MIT */
/*
 * buf: a growing string of bytes.
 *
 * Failure to grow is sticky: later appends do nothing, `failed` stays true,
 * and the caller checks once at the end. `data` is NUL-terminated whenever it
 * is not NULL (the NUL is not counted in `len`).
 *
 * Threads: one at a time.
 */
#ifndef STILL_BASE_BUF_H
#define STILL_BASE_BUF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct still_buf {
	char *data;      /* owned */
	size_t len;      /* bytes in use */
	size_t capacity; /* bytes allocated */
	bool failed;     /* an append ran out of memory */
};

#define STILL_BUF_INIT         \
	{                      \
		0, 0, 0, false \
	}

void still_buf_add(struct still_buf *buf, const void *data, size_t len);
void still_buf_str(struct still_buf *buf, const char *text);
void still_buf_printf(struct still_buf *buf, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));

/*
 * Append `text` so that it stays one word on one line: as it is when every
 * byte is a letter, a digit or one of  _ . / : + @ % , -  and otherwise between
 * double quotes, with `"` and `\` escaped by a backslash and every byte below
 * 0x20, 0x7f, and every byte that is not part of valid UTF-8 as \xHH.
 */
void still_buf_word(struct still_buf *buf, const char *text);

/* Append `text` so that it stays on one line and is valid UTF-8: the bytes that
 * still_buf_word() escapes are escaped alike, quotes and backslashes stay. */
void still_buf_line(struct still_buf *buf, const char *text);

/* "9 B", "1.5 KiB" ... for people. */
void still_buf_size(struct still_buf *buf, uint64_t bytes);

/* Hand the bytes to the caller, who frees them; the buffer is empty then.
 * NULL when an append failed. */
char *still_buf_take(struct still_buf *buf, size_t *ret_len);

void still_buf_release(struct still_buf *buf);

#endif
