/* SPDX-License-Identifier: MIT */
#include "config.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "base/path.h"
#include "tests/unit/scratch.h"

/* ---- UTF-8 --------------------------------------------------------------- */

static void utf8_table(void **state)
{
	static const struct {
		const char *text;
		bool valid;
	} table[] = {
	    {"", true},
	    {"plain", true},
	    {"\x01\x7f", true},
	    {"\xc3\xa4", true},
	    {"\xe2\x82\xac", true},
	    {"\xf0\x9f\x98\x80", true},
	    {"\xc2\x80", true},         /* U+0080, the first of two bytes */
	    {"\xdf\xbf", true},         /* U+07FF */
	    {"\xe0\xa0\x80", true},     /* U+0800 */
	    {"\xed\x9f\xbf", true},     /* U+D7FF */
	    {"\xee\x80\x80", true},     /* U+E000 */
	    {"\xef\xbf\xbf", true},     /* U+FFFF */
	    {"\xf0\x90\x80\x80", true}, /* U+10000 */
	    {"\xf4\x8f\xbf\xbf", true}, /* U+10FFFF */
	    {"\x80", false},
	    {"a\xbf", false},
	    {"\xc0\x80", false}, /* overlong */
	    {"\xc1\xbf", false},
	    {"\xe0\x9f\xbf", false},
	    {"\xf0\x8f\xbf\xbf", false},
	    {"\xed\xa0\x80", false}, /* surrogates */
	    {"\xed\xbf\xbf", false},
	    {"\xf4\x90\x80\x80", false}, /* above U+10FFFF */
	    {"\xf5\x80\x80\x80", false},
	    {"\xfe", false},
	    {"\xff", false},
	    {"\xc3", false}, /* cut off */
	    {"\xe2\x82", false},
	    {"\xf0\x9f\x98", false},
	    {"\xc3(", false},
	    {"\xe2(\xa1", false},
	    {"\xf0\x9f\x98z", false},
	    {"good \xc3\xa4 and \xe4", false},
	};

	(void) state;
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++)
		if (still_utf8_valid(table[i].text) != table[i].valid)
			fail_msg("line %zu of the table", i);
}

/* Each character there is: encoded here, and measured there. */
static void utf8_every_character(void **state)
{
	(void) state;
	for (uint32_t c = 1; c <= 0x10ffff; c++) {
		bool surrogate = c >= 0xd800 && c <= 0xdfff;
		char p[5] = {0};
		size_t n = c < 0x80 ? 1 : c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;

		if (n == 1)
			p[0] = (char) c;
		for (size_t i = n; n > 1 && i-- > 0;)
			p[i] = i
			    ? (char) (0x80 | (c >> 6 * (n - 1 - i) & 0x3f))
			    : (char) ((0xf00 >> n & 0xff) | c >> 6 * (n - 1));
		if (still_utf8_char_bytes(p) != (surrogate ? 0 : n))
			fail_msg("U+%04X", c);
	}
}

/* And no more than these: all pairs and triples of bytes hold as many valid
 * strings as can be counted by hand. */
static void utf8_no_other_character(void **state)
{
	size_t pairs = 0;
	size_t triples = 0;
	size_t quads = 0;

	(void) state;
	for (unsigned a = 0x80; a < 0x100; a++)
		for (unsigned b = 1; b < 0x100; b++) {
			char p[5] = {(char) a, (char) b};

			pairs += still_utf8_char_bytes(p) == 2;
			for (unsigned c = 1; c < 0x100; c++) {
				p[2] = (char) c;
				triples += still_utf8_char_bytes(p) == 3;
			}
			p[2] = p[3] = (char) 0x80;
			quads += still_utf8_char_bytes(p) == 4;
		}
	assert_int_equal(pairs, 0x800 - 0x80);
	assert_int_equal(triples, 0x10000 - 0x800 - 0x800);
	/* One of 4096 with these last two bytes. */
	assert_int_equal(quads, (0x110000 - 0x10000) / 4096);
}

/* ---- paths --------------------------------------------------------------- */

static void join(void **state)
{
	static const struct {
		const char *dir;
		const char *name;
		const char *joined;
	} table[] = {
	    {"", "a", "a"},
	    {"", "", ""},
	    {"a", "b", "a/b"},
	    {"a/b", "c/d", "a/b/c/d"},
	    {"/", "a", "/a"},
	    {"a/", "b", "a/b"},
	    {"\xff", "\n", "\xff/\n"},
	};

	(void) state;
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		char *joined = still_path_join(table[i].dir, table[i].name);

		assert_string_equal(joined, table[i].joined);
		free(joined);
	}
}

static void base(void **state)
{
	const char *path = "a/b/c";

	(void) state;
	assert_ptr_equal(still_path_base(path), path + 4);
	assert_string_equal(still_path_base("c"), "c");
	assert_string_equal(still_path_base("/c"), "c");
	assert_string_equal(still_path_base("a/"), "");
	assert_string_equal(still_path_base(""), "");
}

static void ends(void **state)
{
	(void) state;
	assert_true(still_path_ends("a.db-wal", "-wal"));
	assert_true(still_path_ends("-wal", "-wal"));
	assert_true(still_path_ends("a", ""));
	assert_false(still_path_ends("wal", "-wal"));
	assert_false(still_path_ends("a-wal.db", "-wal"));
	assert_false(still_path_ends("", "-wal"));
}

static void is_in(void **state)
{
	(void) state;
	assert_true(still_path_is_in("/a", "/a"));
	assert_true(still_path_is_in("/a/b", "/a"));
	assert_true(still_path_is_in("/a/b/c", "/a"));
	assert_true(still_path_is_in("/a", "/"));
	assert_true(still_path_is_in("/", "/"));
	assert_false(still_path_is_in("/ab", "/a"));
	assert_false(still_path_is_in("/a", "/a/b"));
	assert_false(still_path_is_in("/", "/a"));
}

static void is_plain(void **state)
{
	static const char *const plain[] = {
	    "a", "a/b", ".a", "..a", "a../b.", "...", "a/.../b"};
	static const char *const others[] = {"", "/", "/a", "a/", "a//b", ".",
	    "..", "./a", "../a", "a/.", "a/..", "a/./b", "a/../b"};

	(void) state;
	for (size_t i = 0; i < sizeof(plain) / sizeof(plain[0]); i++)
		assert_true(still_path_is_plain(plain[i]));
	for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++)
		assert_false(still_path_is_plain(others[i]));
}

static void link_stays(void **state)
{
	(void) state;
	assert_true(still_path_link_stays("data/pg/1", "../../spaces/1"));
	assert_true(still_path_link_stays("a", "b"));
	assert_true(still_path_link_stays("a", "b/..c/...d"));
	assert_true(still_path_link_stays("a/b/c", "../x"));
	assert_false(still_path_link_stays("a", "../b"));
	assert_false(still_path_link_stays("a/b", "../../c"));
	assert_false(still_path_link_stays("a/b", "/c"));
	assert_false(still_path_link_stays("a/b", "c//d"));
	assert_false(still_path_link_stays("a/b", "c/"));
	assert_false(still_path_link_stays("a/b", "./c"));
	assert_false(still_path_link_stays("a/b", "c/../d"));
	assert_false(still_path_link_stays("a/b", ".."));
	assert_false(still_path_link_stays("a/b", ""));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(utf8_table),
	    cmocka_unit_test(utf8_every_character),
	    cmocka_unit_test(utf8_no_other_character),
	    cmocka_unit_test(join),
	    cmocka_unit_test(base),
	    cmocka_unit_test(ends),
	    cmocka_unit_test(is_in),
	    cmocka_unit_test(is_plain),
	    cmocka_unit_test(link_stays),
	};

	scratch_watchdog();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
