/* SPDX-License-Identifier: BSD-2-Clause */
/* A library that installs a signal handler before anybody asks it to: see early-handler.c. */
#include <signal.h>

#include "early-handler.h"

static volatile sig_atomic_t caught;

static void on_signal(int number)
{
	caught = number;
}

__attribute__((constructor)) static void install(void)
{
	struct sigaction action = {.sa_handler = on_signal};

	if (sigaction(SIGUSR1, &action, NULL))
		caught = -1;
}

int early_caught(void)
{
	return caught;
}
