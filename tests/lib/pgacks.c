/* SPDX-License-Identifier: MIT */
/*
 * pgacks: a client that knows what a PostgreSQL server has promised.
 *
 *	pgacks CONNINFO LOG
 *
 * Inserts 1, 2, 3 ... into the table acks(id), a transaction each, until SIGTERM.
 * Each that the server acknowledged is a line of LOG, which is on the disk before
 * the next one is begun:
 *
 *	ID SENT_NS ACKNOWLEDGED_NS
 *
 * The times are of the real-time clock. It goes on where LOG ends.
 */
#include "config.h"

#include <fcntl.h>
#include <inttypes.h>
#include <libpq-fe.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#define NS_PER_S INT64_C(1000000000)

static volatile sig_atomic_t ended;

static void on_term(int number)
{
	(void) number;
	ended = 1;
}

static int64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_REALTIME, &ts);
	return ts.tv_sec * NS_PER_S + ts.tv_nsec;
}

/* 0: none was acknowledged. -1: LOG is not what it should be. */
static int64_t last_of(FILE *log)
{
	int64_t id = 0;
	int64_t next;
	int n;

	while ((n = fscanf(log, "%" SCNd64 " %*d %*d", &next)) == 1)
		id = next;
	return n == EOF ? id : -1;
}

static int insert(PGconn *conn, int64_t id)
{
	char sql[80];
	PGresult *result;
	int good;

	snprintf(sql, sizeof(sql), "INSERT INTO acks VALUES (%" PRId64 ")", id);
	result = PQexec(conn, sql);
	good = PQresultStatus(result) == PGRES_COMMAND_OK;
	if (!good)
		fprintf(stderr, "%" PRId64 ": %s", id, PQerrorMessage(conn));
	PQclear(result);
	return good;
}

static int run(PGconn *conn, FILE *log, int64_t id)
{
	/* Some hundred a second: others want to write too. */
	const struct timespec pause = {0, NS_PER_S / 500};

	while (!ended) {
		int64_t sent = now_ns();

		if (!insert(conn, ++id))
			return 1;
		if (fprintf(log, "%" PRId64 " %" PRId64 " %" PRId64 "\n", id,
			sent, now_ns()) < 0 ||
		    fflush(log) != 0 || fdatasync(fileno(log)) != 0) {
			perror("log");
			return 1;
		}
		nanosleep(&pause, NULL);
	}
	return 0;
}

int main(int argc, char **argv)
{
	const struct sigaction act = {.sa_handler = on_term};
	PGconn *conn;
	FILE *log;
	int64_t id;
	int status = 1;

	if (argc != 3) {
		fprintf(stderr, "usage: pgacks CONNINFO LOG\n");
		return 2;
	}
	sigaction(SIGTERM, &act, NULL);
	log = fopen(argv[2], "a+");
	if (!log) {
		perror(argv[2]);
		return 1;
	}
	id = last_of(log);
	conn = PQconnectdb(argv[1]);
	if (id < 0)
		fprintf(stderr, "%s: is no log\n", argv[2]);
	else if (PQstatus(conn) != CONNECTION_OK)
		fprintf(stderr, "%s", PQerrorMessage(conn));
	else
		status = run(conn, log, id);
	PQfinish(conn);
	fclose(log);
	return status;
}
