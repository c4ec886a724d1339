/* SPDX-License-Identifier: MIT */
/*
 * number: a number that one process publishes in a file for others, shell
 * scripts too: 20 digits and a newline, always written in one piece.
 */
#ifndef TESTS_LIB_NUMBER_H
#define TESTS_LIB_NUMBER_H

#include <stdbool.h>
#include <stdint.h>

/* A descriptor for number_publish(), or -1. The file is made when missing. */
int number_open(const char *dir, const char *name);

bool number_publish(int fd, uint64_t n);

/* 0 for a number that nobody has published yet; false for a missing file. */
bool number_read(const char *dir, const char *name, long long *ret);

#endif
