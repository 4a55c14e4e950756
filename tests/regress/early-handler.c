/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Catches: a library of the program calls sigaction() in its constructor, before libkona's have
 * run; it crashed. The handler must be there, and must be called.
 */
#include <signal.h>

#include "early-handler.h"

int main(void)
{
	raise(SIGUSR1);
	return early_caught() != SIGUSR1;
}
