/* SPDX-License-Identifier: MIT */
/*
 * set_base: what a set says of the one that it builds on, in its description:
 *
 *	"number": 42,
 *	"base": {"session": ID, "number": 41, "xxh128": HEX},
 *	"chain": {"full": ID, "link": 2},
 *	"dropped": [{"path": PATH}, ...]
 *
 * HEX is the XXH128 of the base's list. A full set has a null for a base, and is
 * link 0 of its own chain; a copy is in none, which is a null, too. One that an
 * older stillfs has made says only the null.
 */
#include "config.h"

#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "base/path.h"
#include "core/set_parts.h"

#define INCREMENTAL "incremental"

#define TELL(judge, ...)                                                  \
	still_set_tell((judge), STILL_SET_DESCRIPTION, STILL_ERR_CORRUPT, \
	    "`" STILL_SET_DESCRIPTION "`: " __VA_ARGS__)

/* What is no such number is told. */
static uint64_t number_of(const json_t *object, struct still_set_judge *judge,
    const char *what, const char *key)
{
	const json_t *value = json_object_get(object, key);

	if (json_is_integer(value) && json_integer_value(value) >= 0)
		return (uint64_t) json_integer_value(value);
	TELL(judge, "`%s%s` is not a count", what, key);
	return 0;
}

/* NULL is told, or is no memory: then there is a text. */
static char *text_of(const json_t *object, struct still_set_judge *judge,
    const char *what, const char *key)
{
	const char *text = json_string_value(json_object_get(object, key));

	if (!text)
		TELL(judge, "`%s%s` is not a text", what, key);
	return text ? strdup(text) : NULL;
}

static void take_sum(
    struct still_set *set, struct still_set_judge *judge, const json_t *base)
{
	const char *hex = json_string_value(json_object_get(base, "xxh128"));
	size_t len = hex ? strlen(hex) : 0;

	if (len == STILL_HASH128_HEX_CHARS &&
	    still_set_parse_sum(hex, &set->base_sum))
		return;
	TELL(judge, "`base.xxh128` is not the XXH128 of a file");
}

static int take_base(
    struct still_set *set, struct still_set_judge *judge, const json_t *base)
{
	if (!json_is_object(base)) {
		TELL(judge, "`base` is neither null nor an object");
		return 0;
	}
	set->base_number = number_of(base, judge, "base.", "number");
	take_sum(set, judge, base);
	set->base = text_of(base, judge, "base.", "session");
	return set->base || !json_is_string(json_object_get(base, "session"))
	    ? 0
	    : STILL_ERR_NOMEM;
}

static int take_chain(
    struct still_set *set, struct still_set_judge *judge, const json_t *chain)
{
	if (!json_is_object(chain)) {
		TELL(judge, "`chain` is not an object");
		return 0;
	}
	set->link = number_of(chain, judge, "chain.", "link");
	set->chain = text_of(chain, judge, "chain.", "full");
	return set->chain || !json_is_string(json_object_get(chain, "full"))
	    ? 0
	    : STILL_ERR_NOMEM;
}

/* What the base has, and this one has no more. */
static int judge_dropped(
    const struct still_set *set, struct still_set_judge *judge)
{
	const json_t *list = json_object_get(set->json, "dropped");

	if (!json_is_array(list))
		TELL(judge, "`dropped` is not an array");
	for (size_t i = 0; i < json_array_size(list); i++) {
		char *path = NULL;

		if (still_json_get_name(
			json_array_get(list, i), "path", &path) < 0)
			return STILL_ERR_NOMEM;
		if (!path || !still_path_is_plain(path))
			TELL(judge, "dropped %zu: `path` is no path in a set",
			    i + 1);
		free(path);
	}
	return 0;
}

/* Do the keys agree? */
static void judge_kind(struct still_set *set, struct still_set_judge *judge)
{
	bool incremental = set->kind && strcmp(set->kind, INCREMENTAL) == 0;

	if (incremental != (set->base != NULL))
		TELL(judge, "`kind` is `%s`, and it builds on %s",
		    set->kind ? set->kind : "",
		    set->base ? "another" : "nothing");
	else if (incremental != (set->link > 0))
		TELL(judge, "`chain.link` is not that of a set of its kind");
	else if (!incremental && set->chain && set->session &&
	    strcmp(set->chain, set->session) != 0)
		TELL(judge, "`chain.full` is not its own session");
}

int still_set_parse_base(struct still_set *set, struct still_set_judge *judge)
{
	const json_t *base = json_object_get(set->json, "base");
	const json_t *chain = json_object_get(set->json, "chain");
	const json_t *number = json_object_get(set->json, "number");
	uint64_t before = judge->n_flaws;
	bool has_base = base && !json_is_null(base);
	int rc = 0;

	if (has_base || (number && !json_is_null(number)))
		set->number = number_of(set->json, judge, "", "number");
	if (has_base)
		rc = take_base(set, judge, base);
	if (rc == 0 && has_base)
		rc = judge_dropped(set, judge);
	if (rc == 0 && (has_base || (chain && !json_is_null(chain))))
		rc = take_chain(set, judge, chain);
	if (rc == 0 && judge->n_flaws == before)
		judge_kind(set, judge);
	return rc;
}

int still_set_take_increment(const json_t *database, const char *path,
    struct still_set_judge *judge, bool *ret_there, char **ret)
{
	const json_t *value = json_object_get(database, "increment");

	*ret = NULL;
	*ret_there = value || json_object_get(database, "encoded_increment");
	if (!*ret_there || json_is_null(value))
		return 0;
	if (still_json_get_name(database, "increment", ret) < 0)
		return STILL_ERR_NOMEM;
	if (*ret && still_path_is_plain(*ret))
		return 0;
	TELL(judge, "database `%s`: `increment` is no path in a set", path);
	free(*ret);
	*ret = NULL;
	return 0;
}
