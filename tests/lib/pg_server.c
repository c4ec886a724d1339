/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "tests/lib/pg_server.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <libpq-fe.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "tests/unit/scratch.h"

#define POLL_NS 5000000
#define START_TRIES 6000

/* ---- the machine --------------------------------------------------------- */

/* Where the server's programs are: PG_BINDIR, or what pg_config says. */
static const char *bindir(void)
{
	static char dir[PATH_MAX];
	const char *given = getenv("PG_BINDIR");
	FILE *out;

	if (given)
		return given;
	if (dir[0])
		return dir;
	out = popen("pg_config --bindir 2>/dev/null", "re");
	if (out) {
		if (!fgets(dir, sizeof(dir), out))
			dir[0] = '\0';
		pclose(out);
	}
	dir[strcspn(dir, "\n")] = '\0';
	return dir;
}

static struct passwd *postgres(void)
{
	return getpwnam("postgres");
}

const char *pg_server_lacks(void)
{
	if (geteuid() != 0)
		return "needs root";
	if (access(scratch_path(bindir(), "postgres"), X_OK) != 0)
		return "no PostgreSQL server";
	return postgres() ? NULL : "no user postgres";
}

void pg_server_own(const char *path)
{
	struct passwd *user = postgres();

	assert_non_null(user);
	assert_int_equal(chown(path, user->pw_uid, user->pw_gid), 0);
}

/* ---- programs ------------------------------------------------------------ */

/* In the child. Nothing of the test's own reaches the server, which another may
 * outlive: no descriptor (all are closed at exec), no directory, no pipe. */
static void become(const struct passwd *user, pid_t parent, int log)
{
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);

	if (dup2(null, STDIN_FILENO) < 0 || dup2(log, STDOUT_FILENO) < 0 ||
	    dup2(log, STDERR_FILENO) < 0 || chdir("/") != 0 ||
	    setgroups(1, &user->pw_gid) != 0 ||
	    setresgid(user->pw_gid, user->pw_gid, user->pw_gid) != 0 ||
	    setresuid(user->pw_uid, user->pw_uid, user->pw_uid) != 0)
		_exit(127);
	/* Who changes its user is told no more: this comes last. */
	if (prctl(PR_SET_PDEATHSIG, SIGQUIT) != 0 || getppid() != parent)
		_exit(127);
}

/* argv[0] is the name of one of the server's programs, which finds the others
 * by its place. */
static pid_t start(const char *dir, char *argv[])
{
	const struct passwd *user = postgres();
	const char *program = scratch_path(bindir(), argv[0]);
	pid_t parent = getpid();
	pid_t pid;
	int log;

	assert_non_null(user);
	log = open(scratch_path(dir, "log"),
	    O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
	assert_true(log >= 0);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		become(user, parent, log);
		argv[0] = (char *) program;
		execv(program, argv);
		_exit(127);
	}
	close(log);
	return pid;
}

static void print_log(const char *dir)
{
	FILE *log = fopen(scratch_path(dir, "log"), "re");
	char line[1024];

	while (log && fgets(line, sizeof(line), log))
		print_message("%s", line);
	if (log)
		fclose(log);
}

void pg_server_run(const char *dir, char *argv[])
{
	pid_t pid = start(dir, argv);
	int status = -1;

	assert_int_equal(waitpid(pid, &status, 0), pid);
	if (status != 0) {
		print_log(dir);
		fail_msg("%s: status %d", argv[0], status);
	}
}

/* ---- a cluster ----------------------------------------------------------- */

/* Small, and a crash of the machine is not what is tested. Nothing is done that
 * nobody has asked for. */
static const char conf[] = "listen_addresses = ''\n"
			   "shared_buffers = 4MB\n"
			   "fsync = off\n"
			   "autovacuum = off\n"
			   "max_connections = 20\n"
			   "log_line_prefix = '%m [%p] %q%a '\n";

static void configure(const char *dir)
{
	int fd = open(scratch_path(dir, "data/postgresql.conf"),
	    O_WRONLY | O_APPEND | O_CLOEXEC);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, conf, sizeof(conf) - 1), sizeof(conf) - 1);
	close(fd);
}

void pg_server_init(const char *dir, bool checksums)
{
	char data[PATH_MAX];
	char *argv[] = {(char[]){"initdb"}, (char[]){"-N"}, (char[]){"-A"},
	    (char[]){"trust"}, (char[]){"-U"}, (char[]){"postgres"},
	    (char[]){"-E"}, (char[]){"UTF8"}, (char[]){"--locale=C"},
	    (char[]){"--wal-segsize=1"}, (char[]){"-D"}, data,
	    checksums ? (char[]){"-k"} : NULL, NULL};

	snprintf(data, sizeof(data), "%s", scratch_path(dir, "data"));
	assert_int_equal(chmod(dir, 0755), 0);
	assert_int_equal(mkdir(data, 0700), 0);
	pg_server_own(data);
	pg_server_run(dir, argv);
	configure(dir);
}

/* ---- a server ------------------------------------------------------------ */

const char *pg_server_conninfo(const char *dir)
{
	static char text[2][PATH_MAX + 128];
	static unsigned next;
	char *out = text[next++ % 2];

	snprintf(out, sizeof(text[0]),
	    "host='%s/sock' port=5432 user=postgres dbname=postgres "
	    "application_name=contract",
	    dir);
	return out;
}

static bool answers(const char *dir)
{
	PGconn *conn = PQconnectdb(pg_server_conninfo(dir));
	bool yes = PQstatus(conn) == CONNECTION_OK;

	PQfinish(conn);
	return yes;
}

static void give_up(struct pg_server *server, const char *why)
{
	print_log(server->dir);
	fail_msg("%s: %s", server->dir, why);
}

void pg_server_start(
    struct pg_server *server, const char *data, const char *dir)
{
	const struct timespec pause = {0, POLL_NS};
	char sock[PATH_MAX];
	char *argv[] = {(char[]){"postgres"}, (char[]){"-D"}, (char *) data,
	    (char[]){"-k"}, sock, (char[]){"-p"}, (char[]){"5432"}, NULL};

	snprintf(server->dir, sizeof(server->dir), "%s", dir);
	snprintf(sock, sizeof(sock), "%s", scratch_path(dir, "sock"));
	assert_true(strlen(sock) < 90); /* of 108 that a socket's name has */
	assert_int_equal(chmod(dir, 0755), 0);
	assert_true(mkdir(sock, 0755) == 0 || errno == EEXIST);
	pg_server_own(sock);
	server->pid = start(dir, argv);
	for (int i = 0; !answers(dir); i++) {
		if (waitpid(server->pid, NULL, WNOHANG) != 0) {
			server->pid = 0;
			give_up(server, "the server does not start");
		}
		if (i == START_TRIES)
			give_up(server, "the server does not answer");
		nanosleep(&pause, NULL);
	}
}

void pg_server_stop(struct pg_server *server, int sig)
{
	if (server->pid <= 0)
		return;
	kill(server->pid, sig);
	waitpid(server->pid, NULL, 0);
	server->pid = 0;
}

void pg_server_sql(
    const char *dir, const char *statements, char *out, size_t out_len)
{
	PGconn *conn = PQconnectdb(pg_server_conninfo(dir));
	PGresult *result;
	ExecStatusType status;

	if (PQstatus(conn) != CONNECTION_OK)
		fail_msg("%s: %s", dir, PQerrorMessage(conn));
	result = PQexec(conn, statements);
	status = PQresultStatus(result);
	if (status != PGRES_COMMAND_OK && status != PGRES_TUPLES_OK)
		fail_msg("%s: %s", statements, PQerrorMessage(conn));
	snprintf(out, out_len, "%s",
	    PQntuples(result) > 0 && PQnfields(result) > 0
		? PQgetvalue(result, 0, 0)
		: "");
	PQclear(result);
	PQfinish(conn);
}
