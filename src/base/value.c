/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "base/value.h"

#include <ctype.h>
#include <inttypes.h>
#include <stdbool.h>
#include <string.h>

int still_value_number(const char *option, const char *text, uint32_t min,
    uint32_t max, uint32_t *ret, struct still_error *err)
{
	unsigned long long value = 0;
	const char *p = text;

	/* What is too large is out of range, however long it is. */
	for (; isdigit((unsigned char) *p) && value <= UINT32_MAX; p++)
		value = value * 10 + (unsigned) (*p - '0');
	if (p == text || (*p && value <= UINT32_MAX))
		return still_error_set(err, STILL_ERR_INVALID, 0, NULL,
		    "option `%s`: `%s` is not a number", option, text);
	if (value < min || value > max)
		return still_error_set(err, STILL_ERR_INVALID, 0, NULL,
		    "option `%s`: %s is out of range, it takes %u to %u",
		    option, text, min, max);
	*ret = (uint32_t) value;
	return 0;
}

/* By how many bits the unit shifts; -1 when it is none. */
static int unit_bits(const char *unit)
{
	static const char units[] = "KMGT";
	const char *at;

	if (!*unit)
		return 0;
	at = strchr(units, *unit);
	if (!at || (unit[1] && strcmp(unit + 1, "iB") != 0))
		return -1;
	return 10 * (int) (at - units + 1);
}

int still_value_size(const char *option, const char *text, uint64_t min,
    uint64_t max, uint64_t *ret, struct still_error *err)
{
	const char *p = text;
	uint64_t value = 0;
	bool fits = true;
	int bits;

	/* What is too large is out of range, however long it is. */
	for (; isdigit((unsigned char) *p); p++) {
		uint64_t digit = (uint64_t) (*p - '0');

		fits = fits && value <= (UINT64_MAX - digit) / 10;
		value = value * 10 + digit;
	}
	bits = unit_bits(p);
	if (p == text || bits < 0)
		return still_error_set(err, STILL_ERR_INVALID, 0,
		    "Write a number of bytes, or one with K, M, G or T behind "
		    "it: 512M.",
		    "option `%s`: `%s` is not a size", option, text);
	fits = fits && value <= UINT64_MAX >> bits;
	value <<= bits;
	if (!fits || value < min || value > max)
		return still_error_set(err, STILL_ERR_INVALID, 0, NULL,
		    "option `%s`: %s is out of range, it takes %" PRIu64
		    " to %" PRIu64 " bytes",
		    option, text, min, max);
	*ret = value;
	return 0;
}

int still_value_choice(const char *option, const char *words, const char *text,
    uint32_t *ret, struct still_error *err)
{
	const char *word = words;
	size_t len = strlen(text);

	for (uint32_t i = 0;; i++) {
		size_t n = strcspn(word, "|");

		if (n == len && memcmp(word, text, n) == 0) {
			*ret = i;
			return 0;
		}
		if (!word[n])
			return still_error_set(err, STILL_ERR_INVALID, 0, NULL,
			    "option `%s`: `%s` is not one of %s", option, text,
			    words);
		word += n + 1;
	}
}
