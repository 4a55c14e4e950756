/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * libkona-sim: the simulator inside a program that kona-cc --sim has built. Without KONA_SIM in the
 * environment, which kona sim sets to the tool's arguments, one to a line, it does nothing.
 *
 * Walk: an access that linked.h does not take out -> its thread's buffer -> when that is full, to
 * the crew (crew.c), whose threads simulate it. So the program's threads are simulated as if they
 * ran in turns, as under Valgrind; and the test of linked.h begins anew with each turn, for others
 * may have been in the caches in between. At the end, which is exit(), a signal that ends the
 * program, or one of linked-end.c, the result file is written.
 *
 * State: the threads, under the lock; signals do not come in while it is held, for their handlers
 * may end the program, and so come here. It is taken before the crew's. Lost: accesses of signal
 * handlers that interrupt the recording itself; what a child does after fork; all, where the
 * program ends by SIGKILL. What can fail is memory, at the start: then there is no result.
 */
#include "kona/linked.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/atomic.h"
#include "crew.h"
#include "linked.h"

enum { ARGUMENTS_MAX = 64 };

struct thread {
	struct thread *next;	  /* Guarded by lock. */
	struct kona_linked *self; /* NULL: ended. Guarded by lock. */
	struct kona_crew_buffer
		*buffer; /* NULL: none. Guarded by lock; its records are the owner's */
	uint32_t number; /* Immutable after begin_thread(). */
};

__thread struct kona_linked kona_linked_self;
static __thread struct thread *mine;

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct kona_hosted hosted; /* The crew's, until it has settled. */
static struct thread *threads;	  /* Guarded by lock. */
static uint32_t thread_count;	  /* Guarded by lock. */
static uint64_t reads, writes;	  /* of threads that have ended. Guarded by lock. */
static uint64_t window, window_end;
static bool private_cores;
static const char *result_path;
static pthread_key_t key;
static uint64_t line_mask; /* Immutable after begin(). */
static pid_t process;	   /* Immutable after begin(). */
static int active;	   /* Atomic: relaxed, a thread that sees it late records in vain. */

static void forget_lines(struct kona_linked *self)
{
	memset(self->read, 0xff, sizeof(self->read));
	memset(self->write, 0xff, sizeof(self->write));
}

static uint64_t refs_locked(void)
{
	uint64_t sum = reads + writes;

	for (const struct thread *t = threads; t; t = t->next)
		if (t->self)
			sum += t->self->reads + t->self->writes;
	return sum;
}

static void lock_out(sigset_t *ret_before)
{
	sigset_t all;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, ret_before);
	pthread_mutex_lock(&lock);
}

static void let_in(const sigset_t *before)
{
	pthread_mutex_unlock(&lock);
	pthread_sigmask(SIG_SETMASK, before, NULL);
}

/* The thread's records so far go to the crew. */
static void give_locked(struct thread *t)
{
	struct kona_crew_buffer *buffer = t->buffer;
	uint64_t refs = refs_locked();

	if (!buffer)
		return;
	/* relaxed: at the end others may still run; what they do now is beyond it */
	buffer->count = (uint32_t)(kona_load_relaxed(&t->self->last) - buffer->record);
	buffer->core = private_cores ? t->number : 0;
	buffer->window_end = refs >= window_end ? refs : 0;
	if (buffer->window_end)
		window_end = refs + window;
	t->buffer = NULL;
	kona_crew_give(buffer);
}

static void end_thread(void *argument)
{
	struct thread *t = argument;
	sigset_t before;

	lock_out(&before);
	if (kona_load_relaxed(&active)) /* relaxed: it is written under the lock */
		give_locked(t);
	reads += t->self->reads;
	writes += t->self->writes;
	/* Other destructors may still come; then all begins anew. */
	memset(t->self, 0, sizeof(*t->self));
	t->self = NULL;
	mine = NULL;
	let_in(&before);
}

/* NULL: no memory; then the thread is not simulated. */
static struct thread *begin_thread_locked(void)
{
	struct thread *t = calloc(1, sizeof(*t));
	struct kona_linked *self = &kona_linked_self;

	if (!t)
		return NULL;
	t->self = self;
	t->number = thread_count++;
	t->next = threads;
	threads = t;
	mine = t;
	self->mask = line_mask;
	if (hosted.config.l1d.bytes && !hosted.bytes)
		self->state |= KONA_LINKED_PLAIN;
	pthread_setspecific(key, t);
	return t;
}

/* Room in the thread's buffer; none where nothing is simulated, or there is no memory. */
static void refill(struct kona_linked *self)
{
	struct kona_crew_buffer *buffer = NULL;
	struct thread *t;
	sigset_t before;

	lock_out(&before);
	t = mine ? mine : begin_thread_locked();
	if (t && kona_load_relaxed(&active)) { /* relaxed: it is written under the lock */
		give_locked(t);
		buffer = t->buffer = kona_crew_take();
	}
	self->last = self->end = NULL;
	if (buffer) {
		buffer->record[0] = UINT64_MAX;
		self->last = buffer->record;
		self->end = buffer->record + KONA_CREW_RECORDS;
	}
	let_in(&before);
	forget_lines(self);
}

/* What the next access to this line need not tell: to the bytes that stores write all are told. */
static void note_line(struct kona_linked *self, uint64_t line, unsigned kind)
{
	uint64_t index = line & self->mask, base = line << KONA_LINKED_LINE_SHIFT;

	if (!hosted.config.l1d.bytes)
		return;
	self->read[index] = base;
	if (kind != KONA_LINKED_READ && !hosted.bytes)
		self->write[index] = base;
	else if (self->write[index] != base)
		self->write[index] = UINT64_MAX;
}

static void add_record(struct kona_linked *self, uint64_t address, uint64_t bytes, unsigned kind)
{
	if (self->last == self->end)
		refill(self);
	if (self->last == self->end)
		return;
	note_line(self, address >> KONA_LINKED_LINE_SHIFT, kind);
	note_line(self, (address + bytes - 1) >> KONA_LINKED_LINE_SHIFT, kind);
	/* relaxed: read by others at the end alone */
	self->last[1] = kona_linked_pack(address, bytes, kind);
	kona_store_relaxed(&self->last, self->last + 1);
}

void kona_linked_record_any(uint64_t address, uint64_t bytes, unsigned kind)
{
	struct kona_linked *self = &kona_linked_self;

	/* relaxed: see there */
	if (!kona_load_relaxed(&active) || self->state & KONA_LINKED_INSIDE)
		return;
	self->state |= KONA_LINKED_INSIDE;
	__atomic_signal_fence(__ATOMIC_SEQ_CST);
	/* Without an L1 the levels below see both. */
	if (kind == KONA_LINKED_MODIFY && !hosted.config.l1d.bytes) {
		add_record(self, address, bytes, KONA_LINKED_READ);
		kind = KONA_LINKED_WRITE;
	}
	add_record(self, address, bytes, kind);
	__atomic_signal_fence(__ATOMIC_SEQ_CST);
	self->state &= ~(uint64_t)KONA_LINKED_INSIDE;
}

void kona_linked_range(const void *start, size_t bytes, int is_write)
{
	uint64_t address = (uint64_t)start, end = address + bytes;

	if (!bytes)
		return;
	kona_linked_count(!is_write, !!is_write);
	while (address < end) {
		uint64_t left = KONA_LINKED_LINE_BYTES - address % KONA_LINKED_LINE_BYTES;

		if (left > end - address)
			left = end - address;
		kona_linked_record(address, left, is_write ? KONA_LINKED_WRITE : KONA_LINKED_READ);
		address += left;
	}
}

/* Whoever comes second finds nothing to do; nor does a child of vfork(), whose memory is ours. */
int kona_linked_finish(const char *end)
{
	struct kona_sim_result result;
	sigset_t before;
	int err, was_active;

	if (!kona_load_relaxed(&active) || getpid() != process) /* relaxed: see there */
		return 0;
	lock_out(&before);
	was_active = kona_load_relaxed(&active); /* relaxed: it is written under the lock */
	for (struct thread *t = threads; was_active && t; t = t->next) {
		if (!t->self)
			continue;
		give_locked(t);
		reads += t->self->reads;
		writes += t->self->writes;
	}
	kona_store_relaxed(&active, 0); /* relaxed: see there */
	let_in(&before);
	if (!was_active)
		return 0;
	kona_crew_settle();
	hosted.end = end;
	hosted.reads = reads;
	hosted.writes = writes;
	err = kona_hosted_finish(&hosted, program_invocation_name, result_path, &result);
	if (err)
		fprintf(stderr, "kona-sim: cannot write %s: %s\n", result_path, strerror(-err));
	else
		kona_sim_result_free(&result);
	return 1;
}

static void at_exit(void)
{
	kona_linked_finish("exit");
}

/* The result so far; the next time the signal does what it did. */
static void on_fatal(int signal_number)
{
	kona_linked_finish("exit");
	raise(signal_number);
}

static void watch_signals(void)
{
	static const int fatal[] = {SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGABRT, SIGINT, SIGTERM};

	for (size_t i = 0; i < KONA_ARRAY_LEN(fatal); i++) {
		struct sigaction before;
		struct sigaction ours = {.sa_handler = on_fatal, .sa_flags = (int)SA_RESETHAND};

		if (!sigaction(fatal[i], NULL, &before) && before.sa_handler == SIG_DFL)
			sigaction(fatal[i], &ours, NULL);
	}
}

static void in_child(void)
{
	active = 0;
}

/* Takes out what is for us, and hands the rest to the engine. */
static int start(char *text)
{
	const char *rest[ARGUMENTS_MAX];
	size_t count = 0;
	char *cursor = NULL;

	for (char *word = strtok_r(text, "\n", &cursor); word;
	     word = strtok_r(NULL, "\n", &cursor)) {
		if (!strncmp(word, "--result=", 9))
			result_path = word + 9;
		else if (!strncmp(word, "--window=", 9))
			window = strtoull(word + 9, NULL, 10);
		else if (!strcmp(word, "--private-cores=yes"))
			private_cores = true;
		else if (count < ARGUMENTS_MAX)
			rest[count++] = word;
	}
	return result_path ? kona_crew_start(&hosted, rest, count) : -EINVAL;
}

__attribute__((constructor)) static void begin(void)
{
	char *arguments = getenv("KONA_SIM");
	int err;

	if (!arguments)
		return;
	arguments = strdup(arguments);
	/* Programs that it executes are not the one that was asked for. */
	unsetenv("KONA_SIM");
	window = 100000000;
	err = arguments ? start(arguments) : -ENOMEM;
	if (!err)
		err = -pthread_key_create(&key, end_thread);
	if (err) {
		fprintf(stderr, "kona-sim: %s\n",
			err == -EINVAL ? "this cannot be simulated without Valgrind"
				       : strerror(-err));
		return;
	}
	window_end = window;
	line_mask = kona_sim_filter(hosted.sim)->data_mask;
	if (line_mask >= KONA_LINKED_SETS)
		line_mask = KONA_LINKED_SETS - 1;
	pthread_atfork(NULL, NULL, in_child);
	process = getpid();
	atexit(at_exit);
	watch_signals();
	kona_store_relaxed(&active, 1); /* relaxed: there is one thread */
}
