/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * libkona-sim: the simulator inside a program that kona-cc --sim has built. Without KONA_SIM in the
 * environment, which kona sim sets to the tool's arguments, one to a line, it does nothing.
 *
 * Walk: an access that linked.h does not take out -> its thread's buffer -> when that is full, all
 * of it through the engine, under one lock. So threads are simulated as if they ran in turns, as
 * under Valgrind; and the test of linked.h begins anew with each turn, for others may have been in
 * the caches in between. At the end, which is exit() or a signal that ends the program, the result
 * file is written.
 *
 * State: the threads and the engine, under the lock. Lost: accesses of signal handlers that
 * interrupt the recording itself; what a child does after fork; all, where the program ends by
 * _exit(2) or SIGKILL, or replaces itself. What can fail is memory, at the start: then there is no
 * result.
 */
#include "kona/linked.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

#include "base/atomic.h"
#include "hosted.h"

enum { RECORDS = 8192, ARGUMENTS_MAX = 64 };

struct thread {
	struct thread *next;	  /* Guarded by lock. */
	struct kona_linked *self; /* NULL: ended. Guarded by lock. */
	uint32_t number;	  /* Immutable after begin_thread(). */
	uint32_t used;		  /* Its owner's; read by others at the end. */
	bool inside;		  /* Its owner's: a signal handler must not record now. */
	uint64_t record[RECORDS]; /* address << 8 | bytes << 1 | writes */
};

__thread struct kona_linked kona_linked_self;
static __thread struct thread *mine;

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct kona_hosted hosted; /* Guarded by lock. */
static struct thread *threads;	  /* Guarded by lock. */
static uint32_t thread_count;	  /* Guarded by lock. */
static uint64_t reads, writes;	  /* of threads that have ended. Guarded by lock. */
static uint64_t window, window_end;
static bool private_cores;
static const char *result_path;
static pthread_key_t key;
static int active; /* Atomic: relaxed, a thread that sees it late records in vain. */

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

static void simulate_locked(struct thread *t, uint32_t used)
{
	if (private_cores && kona_sim_switch_core(hosted.sim, t->number))
		return;
	for (uint32_t i = 0; i < used; i++) {
		uint64_t record = t->record[i];

		kona_hosted_access(&hosted, record >> 8, record >> 1 & 127,
				   record & 1 ? KONA_SIM_WRITE : KONA_SIM_READ);
	}
	if (hosted.pattern && refs_locked() >= window_end) {
		kona_hosted_end_window(&hosted);
		window_end = refs_locked() + window;
	}
}

static void empty(struct thread *t)
{
	pthread_mutex_lock(&lock);
	/* relaxed: a figure */
	if (kona_load_relaxed(&active))
		simulate_locked(t, t->used);
	kona_store_relaxed(&t->used, 0); /* relaxed: read by others under the lock alone */
	pthread_mutex_unlock(&lock);
	forget_lines(&kona_linked_self);
}

static void end_thread(void *argument)
{
	struct thread *t = argument;

	empty(t);
	pthread_mutex_lock(&lock);
	reads += t->self->reads;
	writes += t->self->writes;
	t->self = NULL;
	pthread_mutex_unlock(&lock);
	mine = NULL;
}

/* NULL: no memory; then the thread is not simulated. */
static struct thread *begin_thread(void)
{
	struct thread *t =
		mmap(NULL, sizeof(*t), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (t == MAP_FAILED)
		return NULL;
	t->self = &kona_linked_self;
	mine = t;
	t->inside = true;
	pthread_mutex_lock(&lock);
	t->number = thread_count++;
	t->next = threads;
	threads = t;
	kona_linked_self.mask = kona_sim_filter(hosted.sim)->data_mask;
	pthread_mutex_unlock(&lock);
	if (kona_linked_self.mask >= KONA_LINKED_SETS)
		kona_linked_self.mask = KONA_LINKED_SETS - 1;
	forget_lines(&kona_linked_self);
	pthread_setspecific(key, t);
	t->inside = false;
	return t;
}

/* What the next access to this line need not tell. With distinct bytes asked for, stores must. */
static void note_line(uint64_t line, int is_write)
{
	struct kona_linked *self = &kona_linked_self;
	uint64_t index = line & self->mask, base = line << KONA_LINKED_LINE_SHIFT;

	if (!hosted.config.l1d.bytes)
		return;
	self->read[index] = base;
	if (is_write && !hosted.bytes)
		self->write[index] = base;
	else if (self->write[index] != base)
		self->write[index] = UINT64_MAX;
}

void kona_linked_record(uint64_t address, uint64_t bytes, int is_write)
{
	struct thread *t = mine;
	uint64_t first = address >> KONA_LINKED_LINE_SHIFT;
	uint64_t last = (address + bytes - 1) >> KONA_LINKED_LINE_SHIFT;

	if (!kona_load_relaxed(&active)) /* relaxed: see there */
		return;
	if (!t)
		t = begin_thread();
	if (!t || t->inside)
		return;
	t->inside = true;
	t->record[t->used] = address << 8 | bytes << 1 | (uint64_t)is_write;
	kona_store_relaxed(&t->used, t->used + 1); /* relaxed: read by others at the end alone */
	note_line(first, is_write);
	if (last != first)
		note_line(last, is_write);
	if (t->used == RECORDS)
		empty(t);
	t->inside = false;
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
		kona_linked_record(address, left, is_write);
		address += left;
	}
}

/* Once; whoever comes second finds nothing to do. */
static void finish(void)
{
	struct kona_sim_result result;
	int err;

	if (!kona_load_relaxed(&active)) /* relaxed: one thread is here, or another is done */
		return;
	pthread_mutex_lock(&lock);
	for (struct thread *t = threads; t; t = t->next) {
		if (!t->self)
			continue;
		/* relaxed: others may still run; what they do now is beyond the end */
		simulate_locked(t, kona_load_relaxed(&t->used));
		reads += t->self->reads;
		writes += t->self->writes;
	}
	kona_store_relaxed(&active, 0); /* relaxed: see there */
	pthread_mutex_unlock(&lock);
	hosted.reads = reads;
	hosted.writes = writes;
	err = kona_hosted_finish(&hosted, program_invocation_name, result_path, &result);
	if (err)
		fprintf(stderr, "kona-sim: cannot write %s: %s\n", result_path, strerror(-err));
	else
		kona_sim_result_free(&result);
}

/* The result so far; the next time the signal does what it did. */
static void on_fatal(int signal_number)
{
	finish();
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
	return result_path ? kona_hosted_start(&hosted, rest, count) : -EINVAL;
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
	pthread_atfork(NULL, NULL, in_child);
	atexit(finish);
	watch_signals();
	kona_store_relaxed(&active, 1); /* relaxed: there is one thread */
}
