/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Our versions of C library functions, for guarded programs (cc/library.h): each has the type, the
 * meaning and the context of the function after which it is called. kona-opt puts their names into
 * calls; they are declared here for the compiler that checks their definitions.
 */
#ifndef KONA_CC_FUNCTIONS_H
#define KONA_CC_FUNCTIONS_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#define KONA_CC_FUNCTION(name) extern __typeof__(name) kona_cc_##name;
#include "cc/library.h"
#undef KONA_CC_FUNCTION

/* What kona_cc_enrol() and kona_cc_elsewhere() do (cc/guards.h). */
int kona_cc_enrolled(void *record);
uintptr_t kona_cc_translate(const void *p, unsigned long access);

#endif
