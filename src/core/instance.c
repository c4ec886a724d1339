/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "core/instance.h"

#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/connstr.h"
#include "core/catalog.h"

const char *still_version(void)
{
	return PACKAGE_VERSION;
}

int still_instance_set_place(
    struct still_instance *instance, const char *place, struct still_error *err)
{
	free(instance->place);
	instance->place = strdup(place);
	return instance->place ? 0 : still_error_nomem(err);
}

/* What else is described changes with a freeze. */
static int note_volumes(
    struct still_instance *instance, struct still_error *err)
{
	struct still_description description;

	still_engine_describe(instance->engine, &description);
	instance->source = description.source;
	if (!description.log_dir)
		return 0;
	instance->log_dir = strdup(description.log_dir);
	return instance->log_dir ? 0 : still_error_nomem(err);
}

/* A catalog below the source would be backed up, and locked, as one of its
 * databases. */
static int check_catalog(
    const struct still_instance *instance, struct still_error *err)
{
	struct still_description description;

	if (!instance->catalog)
		return 0;
	still_engine_describe(instance->engine, &description);
	return still_catalog_check_source(
	    instance->catalog, description.source, err);
}

struct still_attach_options still_attach_options_of(
    const struct still_options *options)
{
	static const enum still_check checks[] = {
	    [STILL_VERIFY_BASIC] = STILL_CHECK_BASIC,
	    [STILL_VERIFY_QUICK] = STILL_CHECK_QUICK,
	    [STILL_VERIFY_FULL] = STILL_CHECK_FULL,
	};
	static const enum still_pin_policy pins[] = {
	    [STILL_PIN_MODE_AUTO] = STILL_PIN_AUTO,
	    [STILL_PIN_MODE_GOVERN] = STILL_PIN_GOVERN,
	    [STILL_PIN_MODE_HOLD] = STILL_PIN_HOLD,
	};
	static const enum still_freeze_way ways[] = {
	    [STILL_WAY_AUTO] = STILL_FREEZE_AUTO,
	    [STILL_WAY_CLONE] = STILL_FREEZE_CLONE,
	    [STILL_WAY_COPY] = STILL_FREEZE_COPY,
	};

	return (struct still_attach_options){
	    .force = options->force,
	    .freeze_limit_ns = (int64_t) options->freeze_ms * 1000000,
	    .stall_limit_ns = (int64_t) options->stall_ms * 1000000,
	    .databases_max = options->barrier_max,
	    .check = checks[options->verify],
	    .pin = pins[options->pin],
	    .way = ways[options->freeze],
	    .pin_limit_ns = (int64_t) options->pin_ms * 1000000,
	    .log_limit_bytes = options->wal_max_bytes,
	    .assist = options->assist,
	    .incremental = options->incremental,
	};
}

int still_instance_attach_engine(const struct still_engine *engine,
    const char *source, const struct still_options *options,
    struct still_instance **ret, struct still_error *err)
{
	struct still_attach_options attach = still_attach_options_of(options);
	struct still_instance *instance = calloc(1, sizeof(*instance));
	int rc;

	if (!instance)
		return still_error_nomem(err);
	instance->catalog = options->catalog;
	instance->pin = options->pin;
	instance->wal_max_bytes = options->wal_max_bytes;
	rc = still_spool_init(&instance->spool, options->spool, err);
	instance->spool.max_bytes = options->spool_max_bytes;
	if (rc == 0)
		rc = still_engine_attach(
		    engine, source, &attach, &instance->engine, err);
	if (rc == 0)
		rc = note_volumes(instance, err);
	if (rc == 0)
		rc = check_catalog(instance, err);
	if (rc < 0) {
		still_instance_detach(instance);
		return rc;
	}
	*ret = instance;
	return 0;
}

/* Of a connection string nothing is repeated: who has misspelled a keyword may
 * have put a secret behind it. */
static void refuse_kind(const char *source, struct still_error *err)
{
	bool is_path = !still_connstr_is(source) && !strstr(source, "://");

	still_error_set(err, STILL_ERR_INVALID, 0,
	    is_path ? "Name a database, or a directory with databases."
		    : "Name a database or a directory; for PostgreSQL a "
		      "`postgresql://` URI, or keywords of libpq as in "
		      "`service=NAME`.",
	    "source%s%s%s: no engine knows this kind of source",
	    is_path ? " `" : "", is_path ? source : "", is_path ? "`" : "");
}

static int no_engine(const char *source, const struct still_options *options,
    struct still_error *err)
{
	const char *const *names = still_engine_names();
	struct still_buf list = STILL_BUF_INIT;
	bool known = !options->engine;

	for (; *names; names++) {
		still_buf_printf(&list, "%s%s", list.len ? ", " : "", *names);
		known |= options->engine &&
		    strcmp(*names, options->engine) == 0;
	}
	if (known)
		refuse_kind(source, err);
	else
		still_error_set(err, STILL_ERR_INVALID, 0,
		    "Leave the option out, or use one that was built in.",
		    "engine `%s`: is not one of: %s", options->engine,
		    list.data ? list.data : "");
	still_buf_release(&list);
	return STILL_ERR_INVALID;
}

int still_instance_engine(const char *source,
    const struct still_options *options, const struct still_engine **ret,
    struct still_error *err)
{
	const struct still_engine *engine;

	if (still_connstr_holds_secret(source))
		return still_connstr_refuse_secret(err);
	engine = still_engine_find(options->engine, source);
	/* The one that was asked for says best what it would know. */
	if (!engine && options->engine && !still_connstr_is(source))
		engine = still_engine_named(options->engine);
	*ret = engine;
	return engine ? 0 : no_engine(source, options, err);
}

int still_instance_attach(const char *source,
    const struct still_options *options, struct still_instance **ret,
    struct still_error *err)
{
	const struct still_engine *engine;
	int rc = still_instance_engine(source, options, &engine, err);

	return rc < 0
	    ? rc
	    : still_instance_attach_engine(engine, source, options, ret, err);
}

void still_instance_detach(struct still_instance *instance)
{
	if (!instance)
		return;
	still_engine_detach(instance->engine);
	still_spool_release(&instance->spool);
	free(instance->place);
	free(instance->log_dir);
	free(instance);
}

void still_instance_describe(
    struct still_instance *instance, struct still_instance_info *ret)
{
	struct still_description description;

	still_engine_describe(instance->engine, &description);
	*ret = (struct still_instance_info){
	    .source = description.source,
	    .engine = instance->engine->engine->name,
	    .engine_version = description.engine_version,
	    .n_databases = description.n_databases,
	    .dir_mode = description.dir_mode,
	    .uid = description.uid,
	    .gid = description.gid,
	};
}
