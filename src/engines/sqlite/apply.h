/* SPDX-License-Identifier: MIT */
/*
 * apply: one incremental set put into the databases of the session before it.
 *
 * Of backup.json (stillfs-backup.json(5)) this is read, and none of it is
 * trusted:
 *
 *	databases[]  with the key `increment`: the database at `path` is what it was
 *	             before (null), or that with the pages of the file which is
 *	             named. `page_size_bytes`, `pages` and `pages_xxh128` say what it
 *	             is then.
 *	dropped[]    what goes: databases, and directories, if they are empty then
 *
 * RULES
 *  1. Paths lead below data/ and, for increments, below logs/; no symbolic link is
 *     followed in either tree, and nothing above them is reached.
 *  2. Beside a database there is no -wal, -shm or -journal: SQLite would replay
 *     what is there, or roll it back.
 *  3. An increment is read twice: proven to its end (increment.h), then written.
 *     What is damaged changes nothing.
 *  4. Its page size is that of the file it is written to, and the end that its
 *     commit names is the one in backup.json. The file is cut or made longer to
 *     that.
 *  5. Whatever became of it, each database that has the key is read, whole, and
 *     the XXH128 of the sums of its pages is `pages_xxh128`. So an increment that
 *     belongs to another base is found, and a database that nothing changed and
 *     that is another one.
 *
 * What is dropped goes first; a name that is not there is no failure: what is to
 * be gone is gone.
 *
 * Threads: one for each tree.
 */
#ifndef SQLITE_APPLY_H
#define SQLITE_APPLY_H

#include "engines/engine.h"

/* As still_apply_fn. */
int sqlite_apply(
    const struct still_apply_request *request, struct still_error *err);

#endif
