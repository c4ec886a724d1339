/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "engines/postgres/refusal.h"

#include <string.h>

static bool is_state(const char *p)
{
	for (int i = 0; i < 5; i++)
		if (!(p[i] >= '0' && p[i] <= '9') &&
		    !(p[i] >= 'A' && p[i] <= 'Z'))
			return false;
	return p[5] == ':' && p[6] == ' ';
}

/* The words behind the last `SEVERITY:  SQLSTATE: `; several addresses give
 * several messages. */
static const char *find_words(const char *message, char state[6])
{
	const char *words = NULL;

	state[0] = '\0';
	for (const char *p = message; (p = strstr(p, ":  ")) != NULL; p += 3) {
		if (!is_state(p + 3))
			continue;
		memcpy(state, p + 3, 5);
		state[5] = '\0';
		words = p + 3 + 7;
	}
	return words;
}

void still_pg_refusal_reason(
    const char *message, char text[STILL_PG_REASON_MAX], char state[6])
{
	const char *words = find_words(message, state);
	size_t n = 0;

	/* Of the server's words the first line is enough; libpq's own hints
	 * ("Is the server running locally ...") come in a second. */
	words = words ? words : message;
	for (; *words && *words != '\n' && n < STILL_PG_REASON_MAX - 1; words++)
		text[n++] = (unsigned char) *words < ' ' || *words == 0x7f
		    ? ' '
		    : *words;
	text[n] = '\0';
}

static int not_let_in(const char *text, const struct still_pg_conn *conn,
    const char *shown, struct still_error *err)
{
	const char *hint;

	if (conn->uid != (uid_t) -1)
		hint = "Root connects as the owner of the cluster, by `peer`: "
		       "allow that in pg_hba.conf (`local all all peer`), or "
		       "name a role that may connect: `postgresql://ROLE@"
		       "localhost/`, its password in a `passfile`.";
	else
		hint = "Name a role that may connect (user=), allow it in "
		       "pg_hba.conf, and put a password, if it needs one, "
		       "into a file named by `passfile`.";
	return still_error_set(
	    err, STILL_ERR_ACCESS, 0, hint, "server of `%s`: %s", shown, text);
}

int still_pg_refusal_connect(const char *message, bool no_password,
    const struct still_pg_conn *conn, const char *shown, char state[6],
    struct still_error *err)
{
	char text[STILL_PG_REASON_MAX];

	still_pg_refusal_reason(message, text, state);
	if (no_password)
		return not_let_in(
		    "wants a password, and there is none", conn, shown, err);
	if (!*state)
		return still_error_set(err, STILL_ERR_ABSENT, 0,
		    "Start the server, or name the socket directory and the "
		    "port where it listens.",
		    "server of `%s`: cannot be reached: %s", shown, text);
	if (strcmp(state, "3D000") == 0)
		return still_error_set(err, STILL_ERR_NOTFOUND, 0,
		    "Name a database that exists (dbname=); any will do.",
		    "server of `%s`: %s", shown, text);
	/* Class 57: starting or stopping; class 53: no more connections. */
	if (strncmp(state, "57", 2) == 0 || strncmp(state, "53", 2) == 0)
		return still_error_set(err, STILL_ERR_AGAIN, 0,
		    "Try again when it accepts connections.",
		    "server of `%s`: %s", shown, text);
	if (strncmp(state, "28", 2) == 0 || strcmp(state, "42501") == 0)
		return not_let_in(text, conn, shown, err);
	return still_error_set(err, STILL_ERR_FAILED, 0,
	    "See the server's log.", "server of `%s`: %s (%s)", shown, text,
	    state);
}

int still_pg_refusal_statement(const char *state, const char *text,
    const char *doing, const char *shown, struct still_error *err)
{
	int code = STILL_ERR_FAILED;
	const char *hint = "See the server's log.";

	if (strcmp(state, "42501") == 0) {
		code = STILL_ERR_ACCESS;
		hint = "`stillctl check` lists what the role must be granted.";
	} else if (strncmp(state, "57P", 3) == 0) {
		/* The backend ends with these words. */
		code = STILL_ERR_LOST;
		hint = "The server itself ends what the connection had begun, "
		       "the backup and its slot: nothing is left there to "
		       "clean up. Try again when it is up.";
	} else if (strcmp(state, "57014") == 0) {
		code = STILL_ERR_AGAIN;
		hint = "Somebody cancelled the statement in the server (see "
		       "its log); try again.";
	} else if (strncmp(state, "53", 2) == 0) {
		code = STILL_ERR_AGAIN;
		hint = "The server has no more of something; see its log and "
		       "try again.";
	}
	return still_error_set(err, code, 0, hint,
	    "server of `%s`: %s, trying to %s", shown, text, doing);
}

int still_pg_refuse_pooler(const char *shown, struct still_error *err)
{
	return still_error_set(err, STILL_ERR_UNSUPPORTED, 0,
	    "A backup needs one session of its own: name the server's own port "
	    "or socket directory instead of the pooler's.",
	    "server of `%s`: answers through a connection pooler", shown);
}
