/* SPDX-License-Identifier: MIT */
/* enter: a connection to the server of an instance, and whether it is still the
 * one that was attached to and permits what is wanted. */
#include "config.h"

#include <string.h>

#include "engines/postgres/findings.h"
#include "engines/postgres/instance.h"

static void warn_of(const struct still_observer *observer,
    const struct still_pg_findings *findings)
{
	for (size_t i = 0; i < findings->n; i++)
		if (findings->items[i].level == STILL_PG_WARNING)
			observer->warn(observer->arg, "server-warning",
			    findings->items[i].object, findings->items[i].text);
}

static int judge(const struct still_pg_instance *instance,
    const struct still_freeze_request *request,
    const struct still_pg_facts *facts, struct still_error *err)
{
	struct still_pg_findings findings = {0};
	enum still_pg_want want = request->incremental ? STILL_PG_WANT_INCREMENT
	    : !instance->chain                         ? STILL_PG_WANT_FULL
	    : request->apart                           ? STILL_PG_WANT_COPY
						       : STILL_PG_WANT_CHAIN;
	int rc;

	still_pg_obstacles_of_facts(
	    facts, want, instance->examined.conn.shown, &findings);
	rc = still_pg_findings_judge(&findings, err);
	if (rc == 0)
		warn_of(&request->observer, &findings);
	still_pg_findings_release(&findings);
	return rc;
}

/* Is it still the one that was attached to? */
static int compare(const struct still_pg_instance *instance,
    const struct still_pg_facts *now, struct still_error *err)
{
	const struct still_pg_facts *then = &instance->examined.facts;

	if (now->system_identifier == then->system_identifier &&
	    now->major == then->major && now->data_directory &&
	    then->data_directory &&
	    strcmp(now->data_directory, then->data_directory) == 0)
		return 0;
	return still_error_set(err, STILL_ERR_AGAIN, 0, "Mount it again.",
	    "server of `%s`: is another one than at the beginning",
	    instance->examined.conn.shown);
}

/* Where the server of a PGDATA listens stands in its postmaster.pid, which each
 * start writes anew; and a server that is stopped is best told of by it. */
int still_pg_connect(const struct still_pg_instance *instance,
    const atomic_bool *cancel, struct still_pg_session **ret,
    struct still_error *err)
{
	const struct still_pg_conn *then = &instance->examined.conn;
	struct still_pg_conn now;
	int rc;

	if (then->form != STILL_PG_FORM_DATA)
		return still_pg_session_open(
		    then, cancel, instance->limit_ns, ret, err);
	rc = still_pg_conn_resolve(then->pgdata, &now, err);
	if (rc < 0)
		return rc;
	rc = still_pg_session_open(&now, cancel, instance->limit_ns, ret, err);
	still_pg_conn_release(&now);
	return rc;
}

int still_pg_enter(const struct still_pg_instance *instance,
    const struct still_freeze_request *request, struct still_pg_frozen *frozen,
    struct still_pg_session **ret, struct still_error *err)
{
	struct still_pg_facts *facts = &frozen->facts;
	int rc = still_pg_connect(instance, request->cancel, ret, err);

	if (rc == 0)
		rc = still_pg_facts_read(*ret, instance->limit_ns, facts, err);
	if (rc == 0)
		rc = judge(instance, request, facts, err);
	if (rc == 0)
		rc = compare(instance, facts, err);
	if (rc < 0)
		return rc;
	frozen->version = still_pg_version(facts->major);
	if (!frozen->version)
		return still_error_set(err, STILL_ERR_UNSUPPORTED, 0, NULL,
		    "server of `%s`: version %d is not known",
		    instance->examined.conn.shown, facts->major);
	frozen->verifies_pages = facts->data_checksums;
	return 0;
}
