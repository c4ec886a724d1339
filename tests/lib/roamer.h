/* SPDX-License-Identifier: MIT */
/*
 * roamer: an application with several databases, which does what it likes to
 * them and waits for nobody: it grows and shrinks them, changes their schema,
 * vacuums, checkpoints in every mode. Another process, since SQLite's locks belong
 * to one: the test program itself, started anew, whose main() gives its arguments
 * to roamer_main() first.
 *
 * Each transaction adds the next number to the table `s` of its database; the
 * last one that was begun, and the last one that was acknowledged, can be read at
 * any time. So a state of the database holds the numbers from 1 on without a
 * gap, up to one between what was acknowledged before it and begun after it.
 *
 * What it is asked for it does between two steps, and answers. Whatever goes wrong
 * fails the test, or ends the process with a message.
 */
#ifndef TESTS_LIB_ROAMER_H
#define TESTS_LIB_ROAMER_H

#include <stdbool.h>
#include <stdint.h>

#define ROAMER_DATABASES 6

/* Below its directory, which has `sub` and `sub/deep`. One is no UTF-8. */
extern const char *const roamer_names[ROAMER_DATABASES];

struct roamer;

/* -1 when the program was not started as one; else what main() returns. */
int roamer_main(int argc, char **argv);

/* Start one in `dir`, with the databases that are there. */
struct roamer *roamer_start(const char *dir, uint64_t seed);

/* Have database `i`, or have it no more. */
void roamer_create(struct roamer *roamer, unsigned i);
void roamer_drop(struct roamer *roamer, unsigned i);

/* Give it pages of another size. */
void roamer_turn(struct roamer *roamer, unsigned i);

/* Leave it as it is, or go on. A step under way is still done. */
void roamer_rest(struct roamer *roamer, unsigned i, bool rest);

bool roamer_has(const struct roamer *roamer, unsigned i);
uint64_t roamer_begun(const struct roamer *roamer, unsigned i);
uint64_t roamer_acked(const struct roamer *roamer, unsigned i);

/* Steps so far, of all databases. */
uint64_t roamer_steps(const struct roamer *roamer);

/* SIGKILL, wherever it stands, and another one in its place. */
void roamer_kill(struct roamer *roamer);

/* End it. Its files stay. Accepts NULL. */
void roamer_stop(struct roamer *roamer);

#endif
