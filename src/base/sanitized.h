/* SPDX-License-Identifier: MIT */
/*
 * sanitized: is this built with AddressSanitizer or ThreadSanitizer? They take
 * terabytes of address space, and their locks are not ready for fork().
 */
#ifndef STILL_BASE_SANITIZED_H
#define STILL_BASE_SANITIZED_H

#include <stdbool.h>

#define STILL_SANITIZED false
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#	undef STILL_SANITIZED
#	define STILL_SANITIZED true
#elif defined(__has_feature)
#	if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#		undef STILL_SANITIZED
#		define STILL_SANITIZED true
#	endif
#endif

#endif
