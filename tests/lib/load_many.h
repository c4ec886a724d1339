/* SPDX-License-Identifier: MIT */
/*
 * load_many: an application with three databases that belong together.
 *
 * DIR/a.db and DIR/c.db are in WAL mode, DIR/b.db has a rollback journal. Each
 * is a ledger of its own (ledger.h) with a writer of its own, who publishes his
 * sequence in DIR/a.begun, DIR/a.acked and so on. Over all three go joint
 * transactions, whose writers attach them in different orders. One of them
 *	- moves money from one database to another: the sum over all three is
 *	  constant, that of one is not;
 *	- writes its number, published in DIR/joint.begun and DIR/joint.acked,
 *	  into `joint` and `step` of each.
 * So the step of one moment is the same in all three, and so is the joint
 * sequence, which has no gap.
 *
 * Joint writers are never killed: where a process dies in the middle of a
 * commit over several files in WAL mode, SQLite does not promise that it is
 * done in all of them or in none. A killed writer of b.db alone may leave a
 * hot journal, until somebody of the application comes by.
 */
#ifndef TESTS_LIB_LOAD_MANY_H
#define TESTS_LIB_LOAD_MANY_H

int load_many_init(const char *dir, const char *page_size);

/* Until stdin ends. An even actor_seed runs with synchronous=OFF, an odd one
 * with FULL. An exit status. */
int load_many_storm(const char *dir);

#endif
