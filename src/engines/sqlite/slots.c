/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "engines/sqlite/slots.h"

#include <string.h>

#include "engines/sqlite/index.h"

static bool lock(const struct sqlite_slots *slots, int which, int flags)
{
	return slots->file->pMethods->xShmLock(
		   slots->file, which, 1, SQLITE_SHM_LOCK | flags) == SQLITE_OK;
}

static void unlock(const struct sqlite_slots *slots, int which, int flags)
{
	slots->file->pMethods->xShmLock(
	    slots->file, which, 1, SQLITE_SHM_UNLOCK | flags);
}

bool sqlite_slots_header_is(
    const struct sqlite_slots *slots, const struct sqlite_index_header *header)
{
	struct sqlite_index_header now;

	return sqlite_index_read(slots->index, &now) &&
	    memcmp(&now, header, sizeof(now)) == 0;
}

bool sqlite_slots_take(const struct sqlite_slots *slots, int slot,
    uint32_t mark, const struct sqlite_index_header *header)
{
	if (!lock(slots, SQLITE_LOCK_READ(slot), SQLITE_SHM_SHARED))
		return false;
	if ((slot == 0 || sqlite_index_mark(slots->index, slot) == mark) &&
	    sqlite_slots_header_is(slots, header))
		return true;
	sqlite_slots_let_go(slots, slot);
	return false;
}

void sqlite_slots_let_go(const struct sqlite_slots *slots, int slot)
{
	unlock(slots, SQLITE_LOCK_READ(slot), SQLITE_SHM_SHARED);
}

bool sqlite_slots_set_mark(
    const struct sqlite_slots *slots, int slot, uint32_t mark)
{
	if (!lock(slots, SQLITE_LOCK_READ(slot), SQLITE_SHM_EXCLUSIVE))
		return false;
	sqlite_index_set_mark(slots->index, slot, mark);
	unlock(slots, SQLITE_LOCK_READ(slot), SQLITE_SHM_EXCLUSIVE);
	return true;
}

bool sqlite_slots_hold_writers(const struct sqlite_slots *slots)
{
	return lock(slots, SQLITE_LOCK_WRITE, SQLITE_SHM_SHARED);
}

void sqlite_slots_let_writers_go(const struct sqlite_slots *slots)
{
	unlock(slots, SQLITE_LOCK_WRITE, SQLITE_SHM_SHARED);
}
