/* SPDX-License-Identifier: MIT */
#include "config.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <string.h>

#include "base/error.h"
#include "tests/unit/scratch.h"

static void set(void **state)
{
	struct still_error err = STILL_ERROR_INIT;

	(void) state;
	assert_string_equal(still_error_msg(&err), "no error");
	assert_int_equal(still_error_set(&err, STILL_ERR_BUSY, EBUSY,
			     "Wait %d.", "`%s`: is %d", "a", 1),
	    STILL_ERR_BUSY);
	assert_int_equal(err.code, STILL_ERR_BUSY);
	assert_int_equal(err.sys_errno, EBUSY);
	assert_string_equal(err.msg, "`a`: is 1");
	/* A hint is no format. */
	assert_string_equal(err.hint, "Wait %d.");
	assert_string_equal(still_error_msg(&err), "`a`: is 1");
	/* A second failure leaves nothing of the first. */
	still_error_set(&err, STILL_ERR_IO, 0, NULL, "other");
	assert_int_equal(err.code, STILL_ERR_IO);
	assert_int_equal(err.sys_errno, 0);
	assert_string_equal(err.msg, "other");
	assert_null(err.hint);
	still_error_clear(&err);
	assert_int_equal(err.code, 0);
	assert_null(err.msg);
	still_error_clear(&err);
	still_error_clear(NULL);
}

/* A message that is wrapped in another one. */
static void set_from_itself(void **state)
{
	struct still_error err = STILL_ERROR_INIT;

	(void) state;
	still_error_set(&err, STILL_ERR_IO, 0, "Hint.", "inner");
	still_error_set(
	    &err, STILL_ERR_FAILED, 0, err.hint, "outer: %s", err.msg);
	assert_string_equal(err.msg, "outer: inner");
	assert_string_equal(err.hint, "Hint.");
	still_error_clear(&err);
}

static void nobody_wants_to_know(void **state)
{
	(void) state;
	assert_int_equal(
	    still_error_set(NULL, STILL_ERR_LOST, 0, "h", "m %d", 1),
	    STILL_ERR_LOST);
	assert_int_equal(
	    still_error_sys(NULL, ENOENT, "h", "m"), STILL_ERR_NOTFOUND);
	assert_int_equal(still_error_nomem(NULL), STILL_ERR_NOMEM);
}

static void codes_of_errno(void **state)
{
	static const struct {
		int sys_errno;
		int code;
	} table[] = {
	    {ENOENT, STILL_ERR_NOTFOUND},
	    {ENOTDIR, STILL_ERR_NOTFOUND},
	    {EACCES, STILL_ERR_ACCESS},
	    {EPERM, STILL_ERR_ACCESS},
	    {EINVAL, STILL_ERR_INVALID},
	    {ENAMETOOLONG, STILL_ERR_INVALID},
	    {EBUSY, STILL_ERR_BUSY},
	    {EAGAIN, STILL_ERR_AGAIN},
	    {ENOMEM, STILL_ERR_NOMEM},
	    {EIO, STILL_ERR_IO},
	    {ENOSPC, STILL_ERR_NOSPACE},
	    {EDQUOT, STILL_ERR_NOSPACE},
	};

	(void) state;
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		struct still_error err = STILL_ERROR_INIT;
		char want[128];

		assert_int_equal(still_error_sys(&err, table[i].sys_errno,
				     "Hint.", "`%s`", "x"),
		    table[i].code);
		assert_int_equal(err.code, table[i].code);
		assert_int_equal(err.sys_errno, table[i].sys_errno);
		snprintf(want, sizeof(want), "`x`: %s",
		    strerror(table[i].sys_errno));
		assert_string_equal(err.msg, want);
		assert_string_equal(err.hint, "Hint.");
		still_error_clear(&err);
	}
}

/* Each code has a word of its own, and an errno. */
static void codes(void **state)
{
	(void) state;
	for (int code = STILL_ERR_FAILED; code >= STILL_ERR_STOPPING; code--) {
		assert_true(still_error_errno(code) > 0);
		for (int other = STILL_ERR_FAILED; other > code; other--)
			assert_string_not_equal(
			    still_error_word(code), still_error_word(other));
	}
	assert_int_equal(still_error_errno(STILL_ERR_PROTO), EPROTO);
	assert_int_equal(still_error_errno(STILL_ERR_CORRUPT), EIO);
	assert_int_equal(still_error_errno(STILL_ERR_LOST), EIO);
	assert_int_equal(still_error_errno(STILL_ERR_STOPPING), ESHUTDOWN);
	assert_int_equal(still_error_errno(STILL_ERR_CANCELLED), ESHUTDOWN);
	assert_int_equal(still_error_errno(STILL_ERR_ABSENT), ENXIO);
	assert_int_equal(still_error_errno(STILL_ERR_BASE), ENODATA);
}

static void nomem(void **state)
{
	struct still_error err = STILL_ERROR_INIT;

	(void) state;
	still_error_set(&err, STILL_ERR_IO, 0, "Hint.", "before");
	assert_int_equal(still_error_nomem(&err), STILL_ERR_NOMEM);
	assert_int_equal(err.code, STILL_ERR_NOMEM);
	assert_null(err.msg);
	assert_null(err.hint);
	assert_string_equal(still_error_msg(&err), "out of memory");
}

static void copy(void **state)
{
	struct still_error from = STILL_ERROR_INIT;
	struct still_error to = STILL_ERROR_INIT;

	(void) state;
	still_error_set(&to, STILL_ERR_IO, 0, "Old hint.", "old");
	still_error_set(&from, STILL_ERR_CORRUPT, EIO, NULL, "new");
	still_error_copy(&to, &from);
	assert_int_equal(to.code, STILL_ERR_CORRUPT);
	assert_int_equal(to.sys_errno, EIO);
	assert_string_equal(to.msg, "new");
	assert_ptr_not_equal(to.msg, from.msg);
	assert_null(to.hint);
	still_error_clear(&from);
	assert_string_equal(to.msg, "new");
	still_error_clear(&to);
}

/* They stand in status.json, so each code has its own. */
static void words(void **state)
{
	static const char *const table[] = {"failed", "not-found", "invalid",
	    "busy", "try-again", "no-access", "corrupt", "pin-lost",
	    "unsupported", "io", "no-memory", "cancelled", "stale", "no-space",
	    "no-session", "no-base", "not-running", "stopping"};

	(void) state;
	for (int i = 0; i < (int) (sizeof(table) / sizeof(table[0])); i++)
		assert_string_equal(still_error_word(-1 - i), table[i]);
	assert_string_equal(still_error_word(-1000), "failed");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(set),
	    cmocka_unit_test(set_from_itself),
	    cmocka_unit_test(nobody_wants_to_know),
	    cmocka_unit_test(codes_of_errno),
	    cmocka_unit_test(codes),
	    cmocka_unit_test(nomem),
	    cmocka_unit_test(copy),
	    cmocka_unit_test(words),
	};

	scratch_watchdog();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
