/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "engines/postgres/conn.h"

#include <assert.h>
#include <ctype.h>
#include <errno.h>
#include <libpq-fe.h>
#include <pwd.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/connstr.h"
#include "base/path.h"
#include "engines/postgres/postmaster.h"

#define NO_UID ((uid_t) -1)

static bool is_file(const char *dir, const char *name)
{
	char *path = still_path_join(dir, name);
	struct stat st;
	bool is;

	is = path && stat(path, &st) == 0 && S_ISREG(st.st_mode);
	free(path);
	return is;
}

/* The keyword of libpq that `text` begins with, and `=` behind it. */
static bool begins_with_keyword(const char *text)
{
	PQconninfoOption *options = PQconninfoParse("", NULL);
	size_t len;
	bool is = false;

	if (!options)
		return false;
	text += strspn(text, " \t\n");
	len = strcspn(text, "= \t\n");
	if (text[len + strspn(text + len, " \t\n")] == '=')
		for (size_t i = 0; options[i].keyword && !is; i++)
			is = strlen(options[i].keyword) == len &&
			    strncmp(options[i].keyword, text, len) == 0;
	PQconninfoFree(options);
	return is;
}

enum still_pg_form still_pg_form(const char *source)
{
	struct stat st;

	if (still_connstr_is_uri(source))
		return STILL_PG_FORM_URI;
	if (stat(source, &st) == 0)
		return is_file(source, "PG_VERSION") &&
			is_file(source, "global/pg_control")
		    ? STILL_PG_FORM_DATA
		    : STILL_PG_FORM_NONE;
	return begins_with_keyword(source) ? STILL_PG_FORM_CONNINFO
					   : STILL_PG_FORM_NONE;
}

const char *still_pg_conn_get(
    const struct still_pg_conn *conn, const char *keyword)
{
	for (size_t i = 0; i < conn->n; i++)
		if (strcmp(conn->keyword[i], keyword) == 0)
			return conn->value[i];
	return NULL;
}

int still_pg_conn_set(
    struct still_pg_conn *conn, const char *keyword, const char *value)
{
	char *copy = strdup(value);
	size_t i = 0;

	if (!copy)
		return STILL_ERR_NOMEM;
	while (i < conn->n && strcmp(conn->keyword[i], keyword) != 0)
		i++;
	/* libpq has some forty keywords. */
	assert(i < STILL_PG_PARAMS_MAX);
	free(conn->value[i]);
	conn->keyword[i] = keyword;
	conn->value[i] = copy;
	if (i == conn->n)
		conn->n++;
	return 0;
}

void still_pg_conn_release(struct still_pg_conn *conn)
{
	for (size_t i = 0; i < conn->n; i++)
		free(conn->value[i]);
	free(conn->shown);
	free(conn->pgdata);
	memset(conn, 0, sizeof(*conn));
	conn->uid = NO_UID;
}

/* The name of a user, which the caller frees; NULL: it has none. */
static char *user_name(uid_t uid)
{
	char text[4096];
	struct passwd entry;
	struct passwd *found = NULL;

	if (getpwuid_r(uid, &entry, text, sizeof(text), &found) != 0 || !found)
		return NULL;
	return strdup(found->pw_name);
}

/* Root connects as the owner of what it connects to, unless another role is
 * asked for. A number without a name (a container's) is asked for as the role
 * that initdb makes in most. */
static int become(
    struct still_pg_conn *conn, uid_t owner, struct still_error *err)
{
	const char *asked = still_pg_conn_get(conn, "user");
	char *name;
	int rc = 0;

	if (geteuid() != 0 || owner == 0)
		return 0;
	name = user_name(owner);
	if (!asked)
		rc = still_pg_conn_set(conn, "user", name ? name : "postgres");
	if (rc == 0 && (!asked || (name && strcmp(asked, name) == 0)))
		conn->uid = owner;
	free(name);
	return rc < 0 ? still_error_nomem(err) : 0;
}

/* ---- a PGDATA ------------------------------------------------------------ */

static int set_address(struct still_pg_conn *conn,
    const struct still_pg_postmaster *postmaster, struct still_error *err)
{
	const char *host = postmaster->socket_dir;
	char port[16];

	if (!*host)
		host = strcmp(postmaster->address, "*") == 0 ||
			strcmp(postmaster->address, "0.0.0.0") == 0 ||
			strcmp(postmaster->address, "::") == 0
		    ? "localhost"
		    : postmaster->address;
	if (!*host)
		return still_error_set(err, STILL_ERR_UNSUPPORTED, 0,
		    "Set `unix_socket_directories` in postgresql.conf and "
		    "restart the server.",
		    "cluster `%s`: its server listens nowhere", conn->pgdata);
	snprintf(port, sizeof(port), "%u", postmaster->port);
	conn->any_database = true;
	if (still_pg_conn_set(conn, "host", host) < 0 ||
	    still_pg_conn_set(conn, "port", port) < 0 ||
	    still_pg_conn_set(conn, "dbname", "postgres") < 0)
		return still_error_nomem(err);
	return 0;
}

static int resolve_data(
    const char *source, struct still_pg_conn *conn, struct still_error *err)
{
	struct still_pg_postmaster postmaster;
	struct stat st;
	int rc;

	conn->pgdata = realpath(source, NULL);
	if (!conn->pgdata || stat(conn->pgdata, &st) != 0)
		return still_error_sys(err, errno, NULL, "source `%s`", source);
	conn->shown = strdup(conn->pgdata);
	if (!conn->shown)
		return still_error_nomem(err);
	rc = still_pg_postmaster_find(conn->pgdata, &postmaster, err);
	if (rc == 0)
		rc = set_address(conn, &postmaster, err);
	return rc < 0 ? rc : become(conn, st.st_uid, err);
}

/* ---- connection strings -------------------------------------------------- */

/* In the form that libpq reads again: 'it\'s'. */
static void add_shown(
    struct still_buf *buf, const char *keyword, const char *value)
{
	bool quoted = !*value || strpbrk(value, " \t\n\r\f\v'\\");

	still_buf_printf(buf, "%s%s=", buf->len ? " " : "", keyword);
	if (!quoted) {
		still_buf_str(buf, value);
		return;
	}
	still_buf_str(buf, "'");
	for (; *value; value++) {
		if (*value == '\'' || *value == '\\')
			still_buf_str(buf, "\\");
		still_buf_add(buf, value, 1);
	}
	still_buf_str(buf, "'");
}

/* Nothing but where it is and who we are: whatever else there is may be worth
 * hiding one day. */
static char *make_shown(const struct still_pg_conn *conn)
{
	static const char *const plain[] = {
	    "service", "host", "hostaddr", "port", "dbname", "user"};
	struct still_buf buf = STILL_BUF_INIT;
	char *shown;

	still_buf_str(&buf, "");
	for (size_t i = 0; i < sizeof(plain) / sizeof(plain[0]); i++) {
		const char *value = still_pg_conn_get(conn, plain[i]);

		if (value)
			add_shown(&buf, plain[i], value);
	}
	shown = still_buf_take(&buf, NULL);
	if (shown && !*shown) {
		free(shown);
		shown = strdup("postgresql://");
	}
	return shown;
}

/* The keywords of libpq outlive every list of them. */
static const char *static_keyword(const char *keyword)
{
	static const char *const table[] = {"service", "user", "passfile",
	    "channel_binding", "connect_timeout", "dbname", "host", "hostaddr",
	    "port", "client_encoding", "options", "application_name",
	    "fallback_application_name", "keepalives", "keepalives_idle",
	    "keepalives_interval", "keepalives_count", "tcp_user_timeout",
	    "sslmode", "sslnegotiation", "sslcompression", "sslcert", "sslkey",
	    "sslcertmode", "sslrootcert", "sslcrl", "sslcrldir", "sslsni",
	    "requirepeer", "require_auth", "min_protocol_version",
	    "max_protocol_version", "ssl_min_protocol_version",
	    "ssl_max_protocol_version", "gssencmode", "krbsrvname", "gsslib",
	    "gssdelegation", "replication", "target_session_attrs",
	    "load_balance_hosts", "servicefile"};

	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++)
		if (strcmp(table[i], keyword) == 0)
			return table[i];
	return NULL;
}

/* Newer secrets of libpq are marked by their names only. */
static bool is_secret(const PQconninfoOption *option)
{
	return option->dispchar[0] == '*' ||
	    strstr(option->keyword, "password") ||
	    strstr(option->keyword, "secret") ||
	    strstr(option->keyword, "scram_");
}

static int take_options(struct still_pg_conn *conn,
    const PQconninfoOption *option, struct still_error *err)
{
	for (; option->keyword; option++) {
		const char *keyword;

		if (!option->val || !*option->val)
			continue;
		if (is_secret(option))
			return still_connstr_refuse_secret(err);
		keyword = static_keyword(option->keyword);
		if (!keyword)
			return still_error_set(err, STILL_ERR_UNSUPPORTED, 0,
			    "Leave it out, or set it in a service file.",
			    "source: keyword `%s` is not one that stillfs "
			    "knows",
			    option->keyword);
		if (still_pg_conn_set(conn, keyword, option->val) < 0)
			return still_error_nomem(err);
	}
	return 0;
}

static int parse(
    const char *source, struct still_pg_conn *conn, struct still_error *err)
{
	PQconninfoOption *options;
	char *text = NULL;
	int rc;

	options = PQconninfoParse(source, &text);
	/* What libpq complains of may be a part of a password. */
	PQfreemem(text);
	if (!options)
		return still_error_set(err, STILL_ERR_INVALID, 0,
		    "Write `postgresql://user@host:port/database` with every "
		    "odd character as %XX, or `host=... port=... user=...` "
		    "with odd values between single quotes; the keywords are "
		    "those of libpq.",
		    "source: is no connection string that libpq understands");
	rc = take_options(conn, options, err);
	PQconninfoFree(options);
	return rc;
}

/* What libpq would take, and we must not. */
static int check_options(
    const struct still_pg_conn *conn, struct still_error *err)
{
	const char *dbname = still_pg_conn_get(conn, "dbname");

	if (still_pg_conn_get(conn, "replication"))
		return still_error_set(err, STILL_ERR_INVALID, 0,
		    "Leave `replication` out: stillfs needs an ordinary "
		    "connection.",
		    "source: asks for a replication connection");
	if (dbname && (still_connstr_is_uri(dbname) || strchr(dbname, '=')))
		return still_error_set(err, STILL_ERR_INVALID, 0,
		    "Name any database of the cluster, or none.",
		    "source: the name of the database is a connection string "
		    "itself");
	return 0;
}

/* The socket that libpq will take: of the directory named, or of those that
 * distributions and the project itself have built into libpq. */
static bool find_socket(const struct still_pg_conn *conn, uid_t *ret_owner)
{
	const char *host = still_pg_conn_get(conn, "host");
	const char *port = still_pg_conn_get(conn, "port");
	const char *dirs[] = {"/var/run/postgresql", "/tmp"};
	size_t n = 2;

	host = host ? host : getenv("PGHOST");
	port = port ? port : getenv("PGPORT");
	if (still_pg_conn_get(conn, "hostaddr") || getenv("PGHOSTADDR"))
		return false;
	if (host && *host) {
		if (*host != '/' || strchr(host, ','))
			return false;
		dirs[0] = host;
		n = 1;
	}
	for (size_t i = 0; i < n; i++) {
		char path[108];
		struct stat st;
		int len;

		len = snprintf(path, sizeof(path), "%s/.s.PGSQL.%s", dirs[i],
		    port && *port ? port : "5432");
		if (len > 0 && (size_t) len < sizeof(path) &&
		    stat(path, &st) == 0 && S_ISSOCK(st.st_mode)) {
			*ret_owner = st.st_uid;
			return true;
		}
	}
	return false;
}

static int fill_in(struct still_pg_conn *conn, struct still_error *err)
{
	bool service = still_pg_conn_get(conn, "service") ||
	    getenv("PGSERVICE");
	uid_t owner;
	int rc = 0;

	if (!service && !still_pg_conn_get(conn, "user") && !getenv("PGUSER") &&
	    find_socket(conn, &owner))
		rc = become(conn, owner, err);
	if (rc < 0)
		return rc;
	if (!service && !still_pg_conn_get(conn, "dbname") &&
	    !getenv("PGDATABASE")) {
		conn->any_database = true;
		if (still_pg_conn_set(conn, "dbname", "postgres") < 0)
			return still_error_nomem(err);
	}
	return 0;
}

static int resolve_string(
    const char *source, struct still_pg_conn *conn, struct still_error *err)
{
	int rc;

	if (still_connstr_holds_secret(source))
		return still_connstr_refuse_secret(err);
	rc = parse(source, conn, err);
	if (rc == 0)
		rc = check_options(conn, err);
	if (rc < 0)
		return rc;
	conn->shown = make_shown(conn);
	if (!conn->shown)
		return still_error_nomem(err);
	return fill_in(conn, err);
}

static int refuse_form(const char *source, struct still_error *err)
{
	bool is_path = !still_connstr_is(source) &&
	    !still_connstr_holds_secret(source) && !strstr(source, "://");

	return still_error_set(err, STILL_ERR_NOTFOUND, 0,
	    "Name the data directory of a PostgreSQL cluster (it holds "
	    "PG_VERSION and global/pg_control), or "
	    "`postgresql://user@host:port/database`.",
	    "source%s%s%s: is neither a PGDATA nor a connection string",
	    is_path ? " `" : "", is_path ? source : "", is_path ? "`" : "");
}

int still_pg_conn_resolve(
    const char *source, struct still_pg_conn *ret, struct still_error *err)
{
	struct still_pg_conn conn = {.uid = NO_UID};
	int rc;

	conn.form = still_pg_form(source);
	if (conn.form == STILL_PG_FORM_NONE)
		return refuse_form(source, err);
	if (conn.form == STILL_PG_FORM_DATA)
		rc = resolve_data(source, &conn, err);
	else
		rc = resolve_string(source, &conn, err);
	if (rc == 0 && !still_pg_conn_get(&conn, "application_name") &&
	    still_pg_conn_set(&conn, "application_name", "stillfs") < 0)
		rc = still_error_nomem(err);
	/* Paths and names come as the bytes that they are. */
	if (rc == 0 &&
	    still_pg_conn_set(&conn, "client_encoding", "SQL_ASCII") < 0)
		rc = still_error_nomem(err);
	if (rc < 0) {
		still_pg_conn_release(&conn);
		return rc;
	}
	*ret = conn;
	return 0;
}
