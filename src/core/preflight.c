/* SPDX-License-Identifier: MIT */
/*
 * What a backup of a source would meet, found out by beginning one: the same
 * attach and the same freeze, without a session around them. So nothing is said
 * here that was not tried, and what the engine knows to say, it says itself.
 */
#include "config.h"

#include "core/preflight.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/connstr.h"
#include "base/json.h"
#include "base/sys.h"
#include "core/catalog.h"
#include "core/preflight_parts.h"
#include "core/snapshot.h"

/* What others are told who come meanwhile, instead of a session's name. */
#define HOLDER_ID "check"

/* ---- findings ------------------------------------------------------------ */

static void clear_finding(struct still_finding *finding)
{
	free(finding->object);
	free(finding->text);
	free(finding->hint);
}

static bool same_text(const char *a, const char *b)
{
	return a && b && strcmp(a, b) == 0;
}

/* An engine that was asked for all may tell the same when it freezes. Under the
 * lock. */
static bool is_told(const struct still_preflight *preflight,
    const struct still_finding *finding)
{
	for (size_t i = 0; i < preflight->n_findings; i++) {
		const struct still_finding *told = &preflight->findings[i];

		if (told->level == finding->level &&
		    same_text(told->object, finding->object) &&
		    same_text(told->text, finding->text))
			return true;
	}
	return false;
}

/* Behind all that are as bad. Under the lock. */
static int insert(
    struct still_preflight *preflight, const struct still_finding *finding)
{
	size_t n = preflight->n_findings;
	struct still_finding *grown = realloc(
	    preflight->findings, (n + 1) * sizeof(*grown));

	if (!grown)
		return STILL_ERR_NOMEM;
	preflight->findings = grown;
	for (; n > 0 && grown[n - 1].level > finding->level; n--)
		grown[n] = grown[n - 1];
	grown[n] = *finding;
	preflight->n_findings++;
	return 0;
}

/* `hint` may be NULL. Without memory `no_memory` says so later. */
void still_trial_find(struct still_trial *trial, enum still_level level,
    int code, const char *object, const char *hint, const char *text)
{
	struct still_finding finding = {
	    .level = level,
	    .code = code,
	    .object = strdup(object),
	    .text = strdup(text),
	    .hint = hint ? strdup(hint) : NULL,
	};
	bool whole = finding.object && finding.text && (finding.hint || !hint);

	pthread_mutex_lock(&trial->lock);
	if (whole && is_told(trial->preflight, &finding)) {
		clear_finding(&finding);
	} else if (!whole || insert(trial->preflight, &finding) < 0) {
		trial->no_memory = true;
		clear_finding(&finding);
	}
	pthread_mutex_unlock(&trial->lock);
}

void still_trial_find_error(struct still_trial *trial, const char *object,
    const struct still_error *what)
{
	still_trial_find(trial, STILL_LEVEL_ERROR, what->code, object,
	    what->hint, still_error_msg(what));
}

static void observe(
    void *arg, const char *event, const char *object, const char *text)
{
	(void) event;
	still_trial_find(arg, STILL_LEVEL_WARNING, 0, object, NULL, text);
}

/* A still_tell_fn. */
static void tell(void *arg, enum still_obstacle level, int code,
    const char *object, const char *text, const char *hint)
{
	bool is_error = level == STILL_OBSTACLE_ERROR;

	still_trial_find(arg,
	    is_error ? STILL_LEVEL_ERROR : STILL_LEVEL_WARNING,
	    is_error ? code : 0, object, hint, text);
}

/* ---- databases ----------------------------------------------------------- */

static char *copy_or_null(const char *text, bool *ret_failed)
{
	char *copy = text ? strdup(text) : NULL;

	*ret_failed |= text && !copy;
	return copy;
}

/* One element of `databases` of backup.json. */
static int list_one(struct still_checked_database *ret, const json_t *from,
    const char *verified)
{
	const json_t *log = json_object_get(from, "log");
	const json_t *words = json_object_get(from, "verified");
	char *path;
	bool failed = still_json_get_name(from, "path", &path) < 0 || !path;

	ret->frozen = !json_is_false(json_object_get(from, "frozen"));
	ret->size_bytes = (uint64_t) json_integer_value(
	    json_object_get(from, "size_bytes"));
	ret->log = copy_or_null(
	    json_string_value(json_object_get(log, "mode")), &failed);
	if (ret->frozen)
		ret->verified = copy_or_null(
		    words ? json_string_value(words) : verified, &failed);
	if (path)
		ret->path = copy_or_null(still_below_data(path), &failed);
	free(path);
	return failed ? STILL_ERR_NOMEM : 0;
}

/* What the freeze saw. */
static int list_frozen(
    struct still_preflight *preflight, const struct still_builder *builder)
{
	size_t n = json_array_size(builder->databases);
	int rc = 0;

	preflight->databases = calloc(n + 1, sizeof(*preflight->databases));
	if (!preflight->databases)
		return STILL_ERR_NOMEM;
	for (size_t i = 0; rc == 0 && i < n; i++) {
		struct still_checked_database *database =
		    &preflight->databases[i];

		preflight->n_databases = i + 1;
		rc = list_one(database, json_array_get(builder->databases, i),
		    builder->verified);
		if (database->frozen)
			preflight->size_bytes += database->size_bytes;
	}
	return rc;
}

/* What was seen before a freeze that failed. */
static int list_described(
    struct still_preflight *preflight, const struct still_description *from)
{
	bool failed = false;

	preflight->databases = calloc(
	    from->n_databases + 1, sizeof(*preflight->databases));
	if (!preflight->databases)
		return STILL_ERR_NOMEM;
	for (size_t i = 0; i < from->n_databases; i++)
		preflight->databases[i] = (struct still_checked_database){
		    .path = copy_or_null(from->databases[i].path, &failed),
		    .size_bytes = from->databases[i].size_bytes,
		    .log = copy_or_null(from->databases[i].log, &failed),
		};
	preflight->n_databases = from->n_databases;
	return failed ? STILL_ERR_NOMEM : 0;
}

/* ---- the trial ----------------------------------------------------------- */

static int freeze(struct still_trial *trial, struct still_instance *instance,
    struct still_builder *builder, struct still_error *err)
{
	static const atomic_bool never;
	struct still_freeze_request request = {
	    .trial = true,
	    .cancel = &never,
	    .observer = {.warn = observe, .arg = trial},
	    .spool = still_spool_of(&instance->spool),
	};
	struct still_preflight *preflight = trial->preflight;
	int64_t start_ns = still_sys_monotonic_ns();
	int rc = still_engine_freeze(instance->engine, &request, builder, err);

	preflight->freeze_ns = still_sys_monotonic_ns() - start_ns;
	if (rc < 0)
		return rc;
	still_trial_judge_way(trial, instance, &builder->cut);
	still_engine_thaw(instance->engine);
	preflight->cut_width_ns = builder->cut.last_ns - builder->cut.first_ns;
	preflight->writers_held_ns = builder->cut.held_ns;
	return 0;
}

static int try_freeze(struct still_trial *trial,
    struct still_instance *instance, struct still_error *err)
{
	struct still_preflight *preflight = trial->preflight;
	struct still_error why = STILL_ERROR_INIT;
	struct still_description seen;
	struct still_builder builder;
	int rc;

	still_engine_describe(instance->engine, &seen);
	rc = still_builder_init(
	    &builder, seen.dir_mode, seen.uid, seen.gid, err);
	if (rc < 0)
		return rc;
	rc = freeze(trial, instance, &builder, &why);
	if (rc == 0) {
		rc = list_frozen(preflight, &builder);
		if (rc == 0)
			still_trial_judge(trial, &builder);
		if (rc == 0 && builder.cut.pinned &&
		    trial->pin == STILL_PIN_MODE_AUTO)
			still_trial_judge_room(trial, instance);
	} else if (rc != STILL_ERR_NOMEM) {
		still_trial_find_error(trial, preflight->source, &why);
		/* The freeze has looked for databases anew. */
		still_engine_describe(instance->engine, &seen);
		rc = list_described(preflight, &seen);
	}
	still_builder_release(&builder);
	still_error_clear(&why);
	return rc == 0 ? 0 : still_error_nomem(err);
}

/* A session that has the instance is not disturbed, nor one begun meanwhile. */
static int try_alone(struct still_trial *trial, struct still_instance *instance,
    struct still_error *err)
{
	const struct still_preflight *preflight = trial->preflight;
	struct still_catalog *catalog = trial->options->catalog;
	struct still_lock lock = STILL_LOCK_INIT;
	struct still_error why = STILL_ERROR_INIT;
	int rc = 0;

	if (catalog &&
	    still_catalog_check_source(catalog, preflight->source, &why) < 0) {
		still_trial_find_error(trial, preflight->source, &why);
		still_error_clear(&why);
		return 0;
	}
	if (catalog)
		rc = still_catalog_lock(catalog, preflight->engine,
		    preflight->source, HOLDER_ID, NULL, &lock, err);
	if (rc == 0)
		rc = try_freeze(trial, instance, err);
	still_catalog_unlock(&lock);
	return rc;
}

static int note_instance(struct still_preflight *preflight,
    struct still_instance *instance, struct still_error *err)
{
	struct still_instance_info info;
	bool failed = false;

	still_instance_describe(instance, &info);
	free(preflight->source);
	preflight->source = copy_or_null(info.source, &failed);
	preflight->engine = copy_or_null(info.engine, &failed);
	preflight->engine_version = copy_or_null(info.engine_version, &failed);
	return failed ? still_error_nomem(err) : 0;
}

/* All that stands in the way, where the engine can tell it; attach would stop at
 * the first. */
static int examine(struct still_trial *trial, const struct still_engine *engine,
    struct still_error *err)
{
	struct still_attach_options options = still_attach_options_of(
	    trial->options);

	if (!engine->examine)
		return 0;
	return engine->examine(
	    trial->preflight->source, &options, tell, trial, err);
}

static bool has_errors(const struct still_preflight *preflight)
{
	return preflight->n_findings > 0 &&
	    preflight->findings[0].level == STILL_LEVEL_ERROR;
}

static int look(struct still_trial *trial, const struct still_engine *engine,
    struct still_error *err)
{
	struct still_preflight *preflight = trial->preflight;
	struct still_instance *instance = NULL;
	struct still_error why = STILL_ERROR_INIT;
	int rc = 0;

	if (!engine)
		rc = still_instance_engine(
		    preflight->source, trial->options, &engine, &why);
	if (rc == 0)
		rc = examine(trial, engine, &why);
	if (rc == 0 && has_errors(preflight))
		return 0;
	if (rc == 0)
		rc = still_instance_attach_engine(
		    engine, preflight->source, trial->options, &instance, &why);
	if (rc < 0) {
		if (rc == STILL_ERR_NOMEM)
			still_error_nomem(err);
		else
			still_trial_find_error(trial, preflight->source, &why);
		still_error_clear(&why);
		/* It may be why. */
		still_trial_judge_volumes(trial, preflight->source, NULL);
		return rc == STILL_ERR_NOMEM ? rc : 0;
	}
	rc = note_instance(preflight, instance, err);
	still_trial_judge_volumes(trial, preflight->source, instance->log_dir);
	if (rc == 0)
		rc = try_alone(trial, instance, err);
	still_instance_detach(instance);
	return rc;
}

int still_preflight_engine(const struct still_engine *engine,
    const char *source, const struct still_options *options,
    struct still_preflight *ret, struct still_error *err)
{
	/* What a trial freezes is let go at once: nothing is worth a copy. */
	struct still_options own = *options;
	struct still_trial trial = {
	    .options = &own,
	    .pin = options->pin,
	    .preflight = ret,
	};
	int rc;

	own.pin = STILL_PIN_MODE_HOLD;
	memset(ret, 0, sizeof(*ret));
	ret->source = strdup(source);
	if (!ret->source)
		return still_error_nomem(err);
	pthread_mutex_init(&trial.lock, NULL);
	rc = look(&trial, engine, err);
	pthread_mutex_destroy(&trial.lock);
	return rc == 0 && trial.no_memory ? still_error_nomem(err) : rc;
}

int still_preflight(const char *source, const struct still_options *options,
    struct still_preflight *ret, struct still_error *err)
{
	/* What is found is told with the name of the source. */
	if (still_connstr_holds_secret(source)) {
		memset(ret, 0, sizeof(*ret));
		return still_connstr_refuse_secret(err);
	}
	return still_preflight_engine(NULL, source, options, ret, err);
}

void still_preflight_release(struct still_preflight *preflight)
{
	for (size_t i = 0; i < preflight->n_databases; i++) {
		free(preflight->databases[i].path);
		free(preflight->databases[i].log);
		free(preflight->databases[i].verified);
	}
	free(preflight->databases);
	for (size_t i = 0; i < preflight->n_findings; i++)
		clear_finding(&preflight->findings[i]);
	free(preflight->findings);
	free(preflight->source);
	free(preflight->engine);
	free(preflight->engine_version);
	memset(preflight, 0, sizeof(*preflight));
}
