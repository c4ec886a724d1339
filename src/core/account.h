/* SPDX-License-Identifier: MIT */
/*
 * account: what a session's event log says of single files: which were begun,
 * which are whole, which were left in the middle, and which part of its log
 * belongs to each database. Names and keys: stillfs-events(5).
 *
 * Of one file each event is told once, and in this order; so whoever tells them
 * holds the file's lock (struct still_tracked).
 */
#ifndef STILL_CORE_ACCOUNT_H
#define STILL_CORE_ACCOUNT_H

#include <jansson.h>
#include <stdint.h>

#include "core/session.h"

/* At the freeze: of each of `databases` (as in backup.json) that has a log. */
void still_account_logs(struct still_session *session, const json_t *databases);

/* The first bytes of a file were handed out; the last that were missing were.
 * Under the file's lock. */
void still_account_begin(struct still_session *session, uint32_t index);
void still_account_whole(struct still_session *session, uint32_t index);

/* At the end, when nobody reads any more: of each file that was begun and is
 * not whole. */
void still_account_short(struct still_session *session);

#endif
