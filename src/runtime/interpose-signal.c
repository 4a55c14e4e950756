/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Signal handlers of the program (interpose -> hazard). A handler runs guards on the thread that it
 * interrupts, so that thread's hazard slots are saved around it. And a signal that arrives in a
 * miss waits for its end: the handler might want the very page that the thread is bringing in.
 *
 * How it waits: the wrapper sends the signal once more, to its own thread, and returns with all
 * signals blocked; the end of the miss lets them in.
 *
 * State: the program's handlers. A handler is stored before the kernel is told of it, and never
 * taken away, so a signal finds either the old or the new one. What can fail: sigaction()'s
 * reasons.
 */
#include <dlfcn.h>
#include <errno.h>
#include <signal.h>
#include <sys/syscall.h>
#include <ucontext.h>
#include <unistd.h>

#include "base/atomic.h"
#include "base/compiler.h"
#include "runtime/fatal.h"
#include "runtime/hazard.h"
#include "runtime/process.h"

typedef int sigaction_function(int signal, const struct sigaction *action, struct sigaction *old);
typedef void handler_function(int signal, siginfo_t *info, void *context);

static sigaction_function *real; /* libc's. Immutable after start */

static struct {
	handler_function *handler;  /* Atomic, edge SI-1 */
	struct sigaction installed; /* what the kernel has. Edge SI-1, written before the handler */
	int asked_flags;	    /* what the program wants them to be. Edge SI-1 */
} programs[NSIG];

/* Before the program's constructors, and before the first thread. */
__attribute__((constructor(101))) static void find_real(void)
{
	real = (sigaction_function *)(uintptr_t)dlsym(RTLD_NEXT, "sigaction");
	if (!real)
		kona_fatal("signal handlers cannot be watched");
}

/* --- what the kernel calls ---------------------------------------------------------------------*/

/* A handler without SA_SIGINFO ignores the last two. */
static void run_handler(int signal, siginfo_t *info, void *context)
{
	/* SI-1: acquire, pairs with the release in remember(). */
	kona_load_acquire (&programs[signal].handler)(signal, info, context);
}

static void defer(struct kona_hazard *hazard, int signal, siginfo_t *info, ucontext_t *context)
{
	if (!hazard->deferred)
		hazard->unblocked = context->uc_sigmask;
	hazard->deferred = true;
	sigfillset(&context->uc_sigmask);
	if (programs[signal].installed.sa_flags & SA_RESETHAND) /* it has been reset just now */
		real(signal, &programs[signal].installed, NULL);
	syscall(SYS_rt_tgsigqueueinfo, getpid(), gettid(), signal, info);
}

static bool is_synchronous(int signal, const siginfo_t *info)
{
	return info->si_code > 0 && (signal == SIGSEGV || signal == SIGBUS || signal == SIGFPE ||
				     signal == SIGILL || signal == SIGTRAP);
}

static bool on_alternate_stack(const ucontext_t *context, const void *frame)
{
	return (uintptr_t)frame - (uintptr_t)context->uc_stack.ss_sp < context->uc_stack.ss_size;
}

static void wrapper(int signal, siginfo_t *info, void *context)
{
	struct kona_hazard *hazard = kona_hazard_self();
	const void *frame = __builtin_frame_address(0);

	if (!hazard) {
		run_handler(signal, info, context);
		return;
	}
	/* relaxed: the thread's own */
	if (kona_load_relaxed(&hazard->missing) && !is_synchronous(signal, info)) {
		int saved = errno;

		defer(hazard, signal, info, context);
		errno = saved;
		return;
	}
	kona_hazard_save(hazard, (uintptr_t)frame, on_alternate_stack(context, frame));
	run_handler(signal, info, context);
	kona_hazard_restore(hazard);
}

/* --- what the program calls --------------------------------------------------------------------*/

static bool is_function(const struct sigaction *action)
{
	return action->sa_handler != SIG_DFL && action->sa_handler != SIG_IGN;
}

static void remember(int signal, const struct sigaction *action)
{
	struct sigaction *installed = &programs[signal].installed;

	*installed = *action;
	installed->sa_sigaction = wrapper;
	installed->sa_flags |= SA_SIGINFO;
	programs[signal].asked_flags = action->sa_flags;
	/* SI-1: release, pairs with the acquire in run_handler(). */
	kona_store_release(&programs[signal].handler, action->sa_sigaction);
}

KONA_PUBLIC int sigaction(int signal, const struct sigaction *action, struct sigaction *old)
{
	handler_function *handler;
	struct sigaction seen;
	int rc, flags;

	/* The constructors of a program's libraries may come before ours. */
	if (!real)
		find_real();
	if (signal <= 0 || signal >= NSIG || !kona_process_space())
		return real(signal, action, old);
	handler = kona_load_acquire(&programs[signal].handler); /* SI-1 */
	flags = programs[signal].asked_flags;
	if (action && is_function(action)) {
		remember(signal, action);
		action = &programs[signal].installed;
	}
	rc = real(signal, action, &seen);
	if (rc || !old)
		return rc;
	*old = seen;
	if (seen.sa_sigaction == wrapper) {
		old->sa_sigaction = handler;
		old->sa_flags = flags;
	}
	return 0;
}

/* What siginterrupt() told signal(). Not guarded: nor is libc's. */
static sigset_t interrupting;

static sighandler_t install(int signal, sighandler_t handler, int flags)
{
	struct sigaction action = {.sa_handler = handler, .sa_flags = flags}, old;

	if (!(flags & SA_NODEFER))
		sigaddset(&action.sa_mask, signal);
	return sigaction(signal, &action, &old) ? SIG_ERR : old.sa_handler;
}

KONA_PUBLIC sighandler_t signal(int number, sighandler_t handler)
{
	return install(number, handler, sigismember(&interrupting, number) == 1 ? 0 : SA_RESTART);
}

/* Its names in other standards; the header declares the first of them to none that are in use. */
sighandler_t bsd_signal(int number, sighandler_t handler);

KONA_PUBLIC sighandler_t bsd_signal(int number, sighandler_t handler)
{
	return signal(number, handler);
}

KONA_PUBLIC sighandler_t ssignal(int number, sighandler_t handler)
{
	return signal(number, handler);
}

KONA_PUBLIC sighandler_t sysv_signal(int number, sighandler_t handler)
{
	return install(number, handler, (int)(SA_RESETHAND | SA_NODEFER));
}

/* What signal() is called in programs that ask for ISO C alone. */
KONA_PUBLIC sighandler_t __sysv_signal(int number, sighandler_t handler)
{
	return sysv_signal(number, handler);
}

KONA_PUBLIC int siginterrupt(int number, int interrupts)
{
	struct sigaction action;

	if (sigaction(number, NULL, &action))
		return -1;
	if (interrupts) {
		sigaddset(&interrupting, number);
		action.sa_flags &= ~SA_RESTART;
	} else {
		sigdelset(&interrupting, number);
		action.sa_flags |= SA_RESTART;
	}
	return sigaction(number, &action, NULL);
}

KONA_PUBLIC sighandler_t sigset(int number, sighandler_t handler)
{
	struct sigaction action = {.sa_handler = handler}, old;
	sigset_t one, before;
	int holds = handler == SIG_HOLD;

	sigemptyset(&one);
	if (sigaddset(&one, number) || sigaction(number, holds ? NULL : &action, &old) ||
	    sigprocmask(holds ? SIG_BLOCK : SIG_UNBLOCK, &one, &before))
		return SIG_ERR;
	return sigismember(&before, number) ? SIG_HOLD : old.sa_handler;
}
