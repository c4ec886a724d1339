/* SPDX-License-Identifier: MIT */
/*
 * path: names as bytes. A name is any bytes but NUL and '/', usually UTF-8.
 * Pure functions, no I/O; safe from any thread.
 */
#ifndef STILL_BASE_PATH_H
#define STILL_BASE_PATH_H

#include <stdbool.h>
#include <stddef.h>

/* Bytes of the UTF-8 character at `p` (1-4), or 0 where the bytes are no valid
 * UTF-8 (overlong forms, surrogates and values above U+10FFFF are not). `p` is
 * NUL-terminated and not at its NUL. */
size_t still_utf8_char_bytes(const char *p);

/* Is the whole string valid UTF-8? */
bool still_utf8_valid(const char *text);

/* "a" + "b" -> "a/b"; an empty `dir` gives a copy of `name`. NULL without
 * memory. The caller frees it. */
char *still_path_join(const char *dir, const char *name);

/* The part after the last '/', borrowed from `path`. */
const char *still_path_base(const char *path);

/* Does `text` end with `suffix`? */
bool still_path_ends(const char *text, const char *suffix);

/* Is it relative, without an empty part, "." and ".."? So it names something below
 * the directory that it is relative to, if no link is followed. */
bool still_path_is_plain(const char *path);

/* Is `path` the same as `dir`, or something below it? Both resolved. */
bool still_path_is_in(const char *path, const char *dir);

/* Does a symbolic link at `path`, which is relative to a directory, lead to
 * something below that directory? `target` counts as text: no empty part, not
 * absolute, and ".." only at its begin, fewer than `path` has directories. */
bool still_path_link_stays(const char *path, const char *target);

#endif
