/* SPDX-License-Identifier: MIT */
/*
 * pg_server: real PostgreSQL servers for test programs.
 *
 * They run as user postgres, which root alone can make them do, listen on a
 * socket in a directory of their own and nowhere else, and end with the program
 * that started them, however it ends: the kernel tells them (PR_SET_PDEATHSIG).
 *
 * What cannot be done ends the test (cmocka); what the server said is printed
 * then. One thread.
 */
#ifndef TESTS_LIB_PG_SERVER_H
#define TESTS_LIB_PG_SERVER_H

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

struct pg_server {
	char dir[PATH_MAX]; /* the socket and the log are here */
	pid_t pid;          /* 0: it does not run */
};

/* Why there can be none on this machine, or NULL. Static. */
const char *pg_server_lacks(void);

/* Make `dir`/data and all that the server needs in `dir`, which is there.
 * Not started. */
void pg_server_init(const char *dir, bool checksums);

/* Give what is new in `path` to user postgres. */
void pg_server_own(const char *path);

/* Start one over `data`, whose socket and log lie in `dir`; it answers when
 * this returns. */
void pg_server_start(
    struct pg_server *server, const char *data, const char *dir);

/* With SIGINT it shuts down, with SIGQUIT it crashes. Accepts one that does not
 * run. */
void pg_server_stop(struct pg_server *server, int sig);

/* Run a program of the server's as user postgres. */
void pg_server_run(const char *dir, char *argv[]);

/* A connection string, in one of a few static buffers. */
const char *pg_server_conninfo(const char *dir);

/* Run `statements`; the first column of the last row stands in `out`. */
void pg_server_sql(
    const char *dir, const char *statements, char *out, size_t out_len);

#endif
