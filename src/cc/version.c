/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What compiled code wants to find in the library (guards.c): a symbol whose name changes with what
 * the two have agreed on. So objects and shared libraries that another version of kona-cc compiled
 * are refused by the linker, or at their start by the dynamic linker, who print the name. No code,
 * no state.
 */
#include "cc/version.h"

#include "base/compiler.h"

KONA_PUBLIC const char KONA_CC_VERSION = 0;
