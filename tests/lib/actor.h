/* SPDX-License-Identifier: MIT */
/*
 * actor: what the processes of a load have in common: chance, pauses,
 * connections, and statements that may meet a lock.
 *
 * Whatever is not part of the game ends the process with a message.
 */
#ifndef TESTS_LIB_ACTOR_H
#define TESTS_LIB_ACTOR_H

#include <sqlite3.h>
#include <stdbool.h>
#include <stdint.h>

extern uint64_t actor_seed;

/* 0 .. n-1, from actor_seed. */
uint32_t actor_rnd(uint32_t n);

void actor_pause_ms(long ms);

/* Pause for a while that grows with the time since `start_ns`, so that others
 * have their turn however slow the machine is. */
void actor_breathe(int64_t start_ns);
int64_t actor_now_ns(void);

/* `db` (may be NULL, then errno) says why. */
void actor_die(sqlite3 *db, const char *what) __attribute__((noreturn));

/* True when done; false when somebody held a lock: then nothing is done, and no
 * transaction is open. */
bool actor_run(sqlite3 *db, const char *sql);

/* The one number that `sql` asks for; false as above. */
bool actor_ask(sqlite3 *db, const char *sql, uint64_t *ret);

/* `synchronous` as in the pragma of that name. */
sqlite3 *actor_open(
    const char *dir, const char *name, int busy_ms, const char *synchronous);

#endif
