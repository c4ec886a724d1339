/* SPDX-License-Identifier: MIT */
#include "config.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "tests/unit/scratch.h"

static void appends(void **state)
{
	struct still_buf buf = STILL_BUF_INIT;

	(void) state;
	still_buf_str(&buf, "a");
	still_buf_add(&buf, "b\0c", 3);
	still_buf_printf(&buf, "%s%d", "d", 42);
	still_buf_add(&buf, NULL, 0);
	assert_int_equal(buf.len, 7);
	assert_memory_equal(buf.data, "ab\0cd42", 8);
	assert_false(buf.failed);
	still_buf_release(&buf);
	assert_null(buf.data);
	assert_int_equal(buf.len, 0);
	still_buf_release(&buf);
}

static void grows(void **state)
{
	struct still_buf buf = STILL_BUF_INIT;
	char *model = malloc(300000);
	size_t len = 0;

	(void) state;
	assert_non_null(model);
	for (size_t i = 0; i < 700; i++) {
		char piece[700];

		memset(piece, (int) ('a' + i % 26), i);
		memcpy(model + len, piece, i);
		len += i;
		still_buf_add(&buf, piece, i);
		/* A C string at any time. */
		assert_int_equal(buf.data[buf.len], '\0');
	}
	assert_int_equal(buf.len, len);
	assert_memory_equal(buf.data, model, len);
	still_buf_release(&buf);
	free(model);
}

static void longer_than_its_first_room(void **state)
{
	struct still_buf buf = STILL_BUF_INIT;
	char text[5000];

	(void) state;
	memset(text, 'x', sizeof(text));
	text[sizeof(text) - 1] = '\0';
	still_buf_printf(&buf, "<%s>", text);
	assert_int_equal(buf.len, sizeof(text) - 1 + 2);
	assert_int_equal(buf.data[buf.len - 1], '>');
	still_buf_release(&buf);
}

static void taken(void **state)
{
	struct still_buf buf = STILL_BUF_INIT;
	size_t len = 99;
	char *text;

	(void) state;
	still_buf_str(&buf, "text");
	text = still_buf_take(&buf, &len);
	assert_string_equal(text, "text");
	assert_int_equal(len, 4);
	free(text);
	/* It is empty now, and an empty one is a string too. */
	text = still_buf_take(&buf, &len);
	assert_string_equal(text, "");
	assert_int_equal(len, 0);
	free(text);
	still_buf_str(&buf, "again");
	text = still_buf_take(&buf, NULL);
	assert_string_equal(text, "again");
	free(text);
}

static void failure_is_sticky(void **state)
{
	struct still_buf buf = STILL_BUF_INIT;
	size_t len = 99;

	(void) state;
	still_buf_str(&buf, "before");
	buf.failed = true;
	still_buf_str(&buf, "after");
	still_buf_printf(&buf, "%d", 1);
	still_buf_word(&buf, "a b");
	assert_string_equal(buf.data, "before");
	assert_null(still_buf_take(&buf, &len));
	assert_int_equal(len, 99);
	assert_null(buf.data);
	assert_false(buf.failed);
}

/* ---- words --------------------------------------------------------------- */

static void words(void **state)
{
	static const struct {
		const char *text;
		const char *word;
	} table[] = {
	    {"plain", "plain"},
	    {"aZ09_./:+@%,-", "aZ09_./:+@%,-"},
	    {"", "\"\""},
	    {"a b", "\"a b\""},
	    {"a=b", "\"a=b\""},
	    {"say \"hi\"", "\"say \\\"hi\\\"\""},
	    {"back\\slash", "\"back\\\\slash\""},
	    {"two\nlines", "\"two\\x0alines\""},
	    {"\t\r", "\"\\x09\\x0d\""},
	    {"\x1b[1m", "\"\\x1b[1m\""},
	    {"\x7f", "\"\\x7f\""},
	    {"b\xc3\xa4r", "\"b\xc3\xa4r\""},
	    {"b\xe4r", "\"b\\xe4r\""},
	    {"\xc3", "\"\\xc3\""},
	    {"\xc3(", "\"\\xc3(\""},
	    {"\xe2\x82\xac", "\"\xe2\x82\xac\""},
	    {"\xe2\x82", "\"\\xe2\\x82\""},
	    {"\xf0\x9f\x98\x80", "\"\xf0\x9f\x98\x80\""},
	    {"\xed\xa0\x80", "\"\\xed\\xa0\\x80\""}, /* a surrogate */
	    {"\xc0\xaf", "\"\\xc0\\xaf\""},          /* an overlong '/' */
	    {"`tick'", "\"`tick'\""},
	    {"$x", "\"$x\""},
	};

	(void) state;
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		struct still_buf buf = STILL_BUF_INIT;

		still_buf_word(&buf, table[i].text);
		assert_string_equal(buf.data, table[i].word);
		still_buf_release(&buf);
	}
}

/* The same for a text that is the rest of its line. */
static void lines(void **state)
{
	static const struct {
		const char *text;
		const char *line;
	} table[] = {
	    {"", ""},
	    {"plain words", "plain words"},
	    {"say \"hi\" \\ bye", "say \"hi\" \\ bye"},
	    {"two\nlines\r\t", "two\\x0alines\\x0d\\x09"},
	    {"\x1b[1m\x7f", "\\x1b[1m\\x7f"},
	    {"b\xc3\xa4r b\xe4r", "b\xc3\xa4r b\\xe4r"},
	};

	(void) state;
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		struct still_buf buf = STILL_BUF_INIT;

		still_buf_str(&buf, "<");
		still_buf_line(&buf, table[i].text);
		assert_string_equal(buf.data + 1, table[i].line);
		still_buf_release(&buf);
	}
}

static unsigned hex_digit(char c)
{
	return (unsigned) (c <= '9' ? c - '0' : c - 'a' + 10);
}

/* What a reader of the log does. */
static void unword(const char *word, char *out)
{
	if (*word != '"') {
		strcpy(out, word);
		return;
	}
	for (word++; *word != '"'; word++) {
		if (*word != '\\') {
			*out++ = *word;
		} else if (word[1] == 'x') {
			*out++ = (char) (hex_digit(word[2]) << 4 |
			    hex_digit(word[3]));
			word += 3;
		} else {
			*out++ = *++word;
		}
	}
	assert_int_equal(word[1], '\0');
	*out = '\0';
}

static void words_lose_nothing(void **state)
{
	uint64_t random = scratch_seed();

	(void) state;
	for (int round = 0; round < 5000; round++) {
		struct still_buf buf = STILL_BUF_INIT;
		size_t len = (size_t) scratch_below(&random, 20);
		char text[32] = "";
		char back[32];

		for (size_t i = 0; i < len; i++)
			text[i] = (char) (1 + scratch_below(&random, 255));
		still_buf_word(&buf, text);
		for (size_t i = 0; i < buf.len; i++) {
			unsigned char c = (unsigned char) buf.data[i];

			assert_true(c >= 0x20 && c != 0x7f);
		}
		if (buf.data[0] != '"')
			assert_null(strpbrk(buf.data, " \"\\="));
		unword(buf.data, back);
		assert_string_equal(back, text);
		still_buf_release(&buf);
	}
}

static void assert_size(uint64_t bytes, const char *expected)
{
	struct still_buf buf = STILL_BUF_INIT;

	still_buf_size(&buf, bytes);
	assert_string_equal(buf.data, expected);
	still_buf_release(&buf);
}

static void sizes(void **state)
{
	(void) state;
	assert_size(0, "0 B");
	assert_size(1023, "1023 B");
	assert_size(1024, "1.0 KiB");
	assert_size(1536, "1.5 KiB");
	assert_size(UINT64_C(1) << 20, "1.0 MiB");
	/* Not 1024.0 KiB. */
	assert_size((UINT64_C(1) << 20) - 1, "1.0 MiB");
	assert_size(UINT64_C(1) << 40, "1.0 TiB");
	assert_size(UINT64_MAX, "16.0 EiB");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(sizes),
	    cmocka_unit_test(appends),
	    cmocka_unit_test(grows),
	    cmocka_unit_test(longer_than_its_first_room),
	    cmocka_unit_test(taken),
	    cmocka_unit_test(failure_is_sticky),
	    cmocka_unit_test(words),
	    cmocka_unit_test(lines),
	    cmocka_unit_test(words_lose_nothing),
	};

	scratch_watchdog();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
