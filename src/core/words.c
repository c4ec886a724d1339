/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "core/words.h"

#include <stdio.h>

const char *still_state_word(enum still_state state)
{
	static const char *const words[STILL_STATE_COUNT] = {
	    [STILL_IDLE] = "idle",
	    [STILL_PREPARING] = "preparing",
	    [STILL_SERVING] = "serving",
	    [STILL_ENDED] = "ended",
	};

	return words[state];
}

const char *still_pin_word(enum still_pin pin)
{
	static const char *const words[] = {
	    [STILL_PIN_MODE_AUTO] = "auto",
	    [STILL_PIN_MODE_GOVERN] = "govern",
	    [STILL_PIN_MODE_HOLD] = "hold",
	};

	return words[pin];
}

const char *still_session_kind_word(enum still_session_kind kind)
{
	static const char *const words[STILL_SESSION_KIND_COUNT] = {
	    [STILL_FULL] = "full",
	    [STILL_COPY] = "copy",
	    [STILL_INCREMENTAL] = "incremental",
	};

	return words[kind];
}

bool still_outcome_is_good(enum still_outcome outcome)
{
	return outcome == STILL_COMMITTED || outcome == STILL_COPIED;
}

const char *still_outcome_word(enum still_outcome outcome)
{
	static const char *const words[STILL_OUTCOME_COUNT] = {
	    [STILL_NO_OUTCOME] = "none",
	    [STILL_COPIED] = "COPIED",
	    [STILL_ABORTED_UNREAD] = "ABORTED(unread)",
	    [STILL_ABORTED_PARTIAL] = "ABORTED(partial)",
	    [STILL_ABORTED_CORRUPT] = "ABORTED(corrupt)",
	    [STILL_ABORTED_INCOMPLETE] = "ABORTED(incomplete)",
	    [STILL_ABORTED_LOST] = "ABORTED(pin lost)",
	    [STILL_ABORTED_FORCED] = "ABORTED(forced)",
	    [STILL_ABORTED_FREEZE] = "ABORTED(not frozen)",
	    [STILL_COMMITTED] = "COMMITTED",
	    [STILL_ABORTED_CALLER] = "ABORTED(by caller)",
	    [STILL_ABORTED_CRASH] = "ABORTED(crash)",
	    [STILL_ABORTED_UNRECORDED] = "ABORTED(not recorded)",
	};

	return words[outcome];
}

void still_outcome_text(const struct still_session_status *status,
    char out[STILL_OUTCOME_TEXT_BYTES])
{
	if (status->outcome == STILL_ABORTED_PARTIAL)
		snprintf(out, STILL_OUTCOME_TEXT_BYTES,
		    "ABORTED(partial: %u of %u files)", status->files_whole,
		    status->files);
	else
		snprintf(out, STILL_OUTCOME_TEXT_BYTES, "%s",
		    still_outcome_word(status->outcome));
}
