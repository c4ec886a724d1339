/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "engines/sqlite/index.h"

#include <stddef.h>
#include <string.h>

static uint32_t load(const volatile uint32_t *index, size_t byte_offset)
{
	return __atomic_load_n(index + byte_offset / 4, __ATOMIC_ACQUIRE);
}

static void copy_header(const volatile uint32_t *index, size_t copy,
    struct sqlite_index_header *ret)
{
	uint32_t words[sizeof(*ret) / 4];

	for (size_t i = 0; i < sizeof(*ret) / 4; i++)
		words[i] = __atomic_load_n(
		    index + copy * sizeof(*ret) / 4 + i, __ATOMIC_RELAXED);
	memcpy(ret, words, sizeof(*ret));
}

/* Writers write copy 1 first, so copy 0 is read first. */
bool sqlite_index_read(
    const volatile uint32_t *index, struct sqlite_index_header *ret)
{
	struct sqlite_index_header second;

	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	copy_header(index, 0, ret);
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	copy_header(index, 1, &second);
	return memcmp(ret, &second, sizeof(second)) == 0 &&
	    sqlite_index_header_valid(ret);
}

uint32_t sqlite_index_backfill(const volatile uint32_t *index)
{
	return load(index, offsetof(struct sqlite_index, backfill));
}

uint32_t sqlite_index_mark(const volatile uint32_t *index, int slot)
{
	return load(index,
	    offsetof(struct sqlite_index, read_mark) + 4 * (size_t) slot);
}

void sqlite_index_set_mark(volatile uint32_t *index, int slot, uint32_t mark)
{
	__atomic_store_n(
	    index + offsetof(struct sqlite_index, read_mark) / 4 + slot, mark,
	    __ATOMIC_SEQ_CST);
}
