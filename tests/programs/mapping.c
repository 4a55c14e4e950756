/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The mmap family as mmap(2), munmap(2), mremap(2), mprotect(2) and madvise(2) tell it. Every
 * section prints what it saw; a run with Kona must print the same as one without. One argument: the
 * section, or none for all.
 */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "checks.h"

static const int rw = PROT_READ | PROT_WRITE;
static const int private = MAP_PRIVATE | MAP_ANONYMOUS;
static const size_t size = 24 * MIB;

static sigjmp_buf back;
static volatile sig_atomic_t got, expected;

static void on_signal(int number)
{
	if (!expected) {
		static const char words[] = "a signal where none was due\n";

		if (write(STDERR_FILENO, words, sizeof(words) - 1) < 0)
			_exit(97);
		_exit(98);
	}
	got = number;
	siglongjmp(back, 1);
}

/* The signal that the access raises; 0: none. */
static int access_raises(volatile char *at, int write)
{
	got = 0;
	expected = 1;
	if (!sigsetjmp(back, 1)) {
		char c = *at;

		if (write)
			*at = c;
	}
	expected = 0;
	return got;
}

static char *map(size_t bytes, int protection)
{
	char *memory = mmap(NULL, bytes, protection, private, -1, 0);

	CHECK(memory != MAP_FAILED);
	return memory;
}

/* Something large elsewhere, so that what was written before leaves local memory. */
static void push_out(void)
{
	char *other = map(size, rw);

	fill_pages(other, size, 77);
	CHECK(!wrong_pages(other, size, 77));
	CHECK(!munmap(other, size));
}

static const char *error_of(int failed)
{
	return failed ? strerrorname_np(errno) : "0";
}

static void say_wrong(const char *what, const char *memory, size_t first, size_t pages,
		      uint64_t seed)
{
	/* The words depend on the page's number in its range, so whole ranges are compared. */
	size_t wrong = 0;
	const uint64_t *words = (const uint64_t *)(const void *)memory;

	for (size_t page = first; page < first + pages; page++)
		for (size_t i = 0; i < 4; i++)
			if (words[page * 512 + i * 128 + page % 128] !=
			    word_at(seed, page * 4 + i)) {
				wrong++;
				break;
			}
	printf("  %s: %zu of %zu pages wrong\n", what, wrong, pages);
}

static void unmap(void)
{
	char *memory = map(size, rw);
	size_t pages = size / PAGE, third = pages / 3;

	fill_pages(memory, size, 1);
	push_out();
	printf("  middle: %s\n", error_of(munmap(memory + third * PAGE, third * PAGE)));
	say_wrong("before", memory, 0, third, 1);
	say_wrong("behind", memory, 2 * third, pages - 2 * third, 1);
	printf("  access raises %d, %d\n", access_raises(memory + third * PAGE, 0),
	       access_raises(memory + 2 * third * PAGE - 1, 1));
	printf("  again: %s\n", error_of(munmap(memory + third * PAGE, third * PAGE)));
	printf("  one page of one and a half: %s\n", error_of(munmap(memory, PAGE + PAGE / 2)));
	printf("  access raises %d, %d, %d\n", access_raises(memory, 0),
	       access_raises(memory + PAGE, 0), access_raises(memory + 2 * PAGE, 1));
	printf("  unaligned: %s\n", error_of(munmap(memory + 3 * PAGE + 1, PAGE)));
	printf("  nothing: %s\n", error_of(munmap(memory + 3 * PAGE, 0)));
	printf("  over the hole: %s\n", error_of(munmap(memory, size)));
	printf("  access raises %d, %d\n", access_raises(memory + 4 * PAGE, 0),
	       access_raises(memory + size - 1, 0));
}

static void hole(void)
{
	char *memory = map(size, rw), *again;

	fill_pages(memory, size, 2);
	CHECK(!munmap(memory + 4 * MIB, 4 * MIB));
	again = mmap(memory + 4 * MIB, 4 * MIB, rw, private | MAP_FIXED, -1, 0);
	printf("  fixed into a hole: %s\n", error_of(again == MAP_FAILED));
	if (again != MAP_FAILED)
		printf("  %zu pages not zero, access raises %d\n", nonzero_pages(again, 4 * MIB),
		       access_raises(again, 1));
	CHECK(!munmap(memory + 8 * MIB, 4 * MIB));
	again = mmap(memory + 8 * MIB, 4 * MIB, rw, private | MAP_FIXED_NOREPLACE, -1, 0);
	printf("  not replacing, into a hole: %s\n", error_of(again == MAP_FAILED));
	again = mmap(memory + 12 * MIB, MIB, rw, private | MAP_FIXED_NOREPLACE, -1, 0);
	printf("  not replacing, over a mapping: %s\n", error_of(again == MAP_FAILED));
	say_wrong("behind", memory, 12 * MIB / PAGE, 12 * MIB / PAGE, 2);
	CHECK(!munmap(memory, size));
}

/* What remains of the old place after a move. */
static void resize(void)
{
	char *memory = map(size, rw), *moved, *target;

	fill_pages(memory, size, 3);
	push_out();
	moved = mremap(memory, size, size / 2, 0);
	printf("  shrink: %s, in place %d\n", error_of(moved == MAP_FAILED), moved == memory);
	printf("  behind it raises %d\n", access_raises(memory + size / 2, 0));
	say_wrong("kept", moved, 0, size / 2 / PAGE, 3);
	moved = mremap(memory, size / 2, 2 * size, MREMAP_MAYMOVE);
	printf("  grow: %s\n", error_of(moved == MAP_FAILED));
	say_wrong("kept", moved, 0, size / 2 / PAGE, 3);
	printf("  %zu new pages not zero\n", nonzero_pages(moved + size / 2, 2 * size - size / 2));
	fill_pages(moved, 2 * size, 4);
	target = map(2 * size, rw);
	fill_pages(target, 2 * size, 5);
	memory = mremap(moved, 2 * size, 2 * size, MREMAP_MAYMOVE | MREMAP_FIXED, target);
	printf("  to a fixed place: %s, there %d\n", error_of(memory == MAP_FAILED),
	       memory == target);
	printf("  the old place raises %d\n", access_raises(moved, 0));
	say_wrong("moved", memory, 0, 2 * size / PAGE, 4);
	printf("  onto itself: %s\n",
	       error_of(mremap(memory, size, size, MREMAP_MAYMOVE | MREMAP_FIXED, memory + MIB) ==
			MAP_FAILED));
	say_wrong("untouched", memory, 0, 2 * size / PAGE, 4);
	printf("  without MAYMOVE: %s\n",
	       error_of(mremap(memory, size, size, MREMAP_FIXED, moved) == MAP_FAILED));
	printf("  unaligned: %s\n",
	       error_of(mremap(memory + 1, PAGE, 2 * PAGE, MREMAP_MAYMOVE) == MAP_FAILED));
	printf("  to nothing: %s\n",
	       error_of(mremap(memory, PAGE, 0, MREMAP_MAYMOVE) == MAP_FAILED));
	moved = mremap(memory, PAGE + 1, PAGE + 2, MREMAP_MAYMOVE);
	printf("  odd sizes: %s, in place %d\n", error_of(moved == MAP_FAILED), moved == memory);
	CHECK(!munmap(memory, 2 * size));
}

/* A part of a mapping, moved out of it; the rest stays. */
static void carve(void)
{
	char *memory = map(size, rw), *target = map(4 * MIB, PROT_NONE), *moved;

	fill_pages(memory, size, 6);
	push_out();
	moved = mremap(memory + 8 * MIB, 4 * MIB, 4 * MIB, MREMAP_MAYMOVE | MREMAP_FIXED, target);
	printf("  %s\n", error_of(moved == MAP_FAILED));
	say_wrong("before", memory, 0, 8 * MIB / PAGE, 6);
	say_wrong("behind", memory, 12 * MIB / PAGE, 12 * MIB / PAGE, 6);
	printf("  the moved part is the same: %d\n",
	       *(uint64_t *)(void *)(moved + (8 * MIB / PAGE) % 128 * 8) ==
		       word_at(6, 8 * MIB / PAGE * 4));
	printf("  the gap raises %d\n", access_raises(memory + 8 * MIB, 0));
	CHECK(!munmap(moved, 4 * MIB));
	CHECK(!munmap(memory, size));
}

/* A moved mapping keeps its protection. */
static void resize_protected(void)
{
	char *memory = map(size, rw), *moved;

	fill_pages(memory, size, 7);
	push_out();
	CHECK(!mprotect(memory, size, PROT_READ));
	moved = mremap(memory, size, 2 * size, MREMAP_MAYMOVE);
	printf("  read-only: %s\n", error_of(moved == MAP_FAILED));
	say_wrong("kept", moved, 0, size / PAGE, 7);
	printf("  a store raises %d, to the new part %d\n", access_raises(moved, 1),
	       access_raises(moved + size, 1));
	CHECK(!mprotect(moved, 2 * size, PROT_NONE));
	memory = mremap(moved, 2 * size, 3 * size, MREMAP_MAYMOVE);
	printf("  closed: %s\n", error_of(memory == MAP_FAILED));
	printf("  a load raises %d, %d\n", access_raises(memory, 0),
	       access_raises(memory + 2 * size, 0));
	moved = map(3 * size, rw);
	moved = mremap(memory, 3 * size, 3 * size, MREMAP_MAYMOVE | MREMAP_FIXED, moved);
	printf("  closed, to a fixed place: %s, a load raises %d\n", error_of(moved == MAP_FAILED),
	       access_raises(moved, 0));
	CHECK(!mprotect(moved, 3 * size, rw));
	say_wrong("kept", moved, 0, size / PAGE, 7);
	CHECK(!munmap(moved, 3 * size));
}

static void protect(void)
{
	char *memory = map(size, rw);
	size_t half = size / 2;

	fill_pages(memory, size, 8);
	push_out();
	CHECK(!mprotect(memory, half, PROT_NONE));
	printf("  none: %d %d, other half %d\n", access_raises(memory, 0),
	       access_raises(memory + half - 1, 1), access_raises(memory + half, 1));
	push_out();
	CHECK(!mprotect(memory, half, PROT_READ));
	printf("  read: %d %d\n", access_raises(memory, 0), access_raises(memory + PAGE, 1));
	say_wrong("contents", memory, 0, size / PAGE, 8);
	push_out();
	CHECK(!mprotect(memory, half, rw));
	printf("  all: %d\n", access_raises(memory, 1));
	say_wrong("contents", memory, 0, size / PAGE, 8);
	for (size_t page = 0; page < size / PAGE; page += 2)
		CHECK(!mprotect(memory + page * PAGE, PAGE, PROT_READ));
	push_out();
	printf("  every other page: %d %d\n", access_raises(memory, 1),
	       access_raises(memory + PAGE, 1));
	say_wrong("contents", memory, 0, size / PAGE, 8);
	CHECK(!mprotect(memory, size, rw));
	fill_pages(memory, size, 9);
	push_out();
	say_wrong("contents", memory, 0, size / PAGE, 9);
	printf("  nothing: %s\n", error_of(mprotect(memory, 0, PROT_READ)));
	printf("  unaligned: %s\n", error_of(mprotect(memory + 1, PAGE, PROT_READ)));
	printf("  nonsense: %s\n", error_of(mprotect(memory, PAGE, 0x40)));
	CHECK(!munmap(memory + half, PAGE));
	printf("  over a hole: %s\n", error_of(mprotect(memory + half - PAGE, 3 * PAGE, rw)));
	printf("  the hole raises %d\n", access_raises(memory + half, 0));
	CHECK(!munmap(memory, size));
}

static void advise(void)
{
	static const int harmless[] = {MADV_NORMAL,   MADV_RANDOM,   MADV_SEQUENTIAL,
				       MADV_WILLNEED, MADV_HUGEPAGE, MADV_NOHUGEPAGE,
				       MADV_COLD,     MADV_PAGEOUT,  MADV_POPULATE_READ,
				       MADV_DONTDUMP, MADV_DODUMP,   MADV_POPULATE_WRITE};
	char *memory = map(size, rw);

	fill_pages(memory, size, 10);
	for (size_t i = 0; i < sizeof(harmless) / sizeof(harmless[0]); i++) {
		printf("  advice %d: %s\n", harmless[i],
		       error_of(madvise(memory, 4 * MIB, harmless[i])));
		CHECK(!wrong_pages(memory, size, 10));
	}
	printf("  dropped: %s\n", error_of(madvise(memory + 4 * MIB, 4 * MIB, MADV_DONTNEED)));
	printf("  %zu pages not zero\n", nonzero_pages(memory + 4 * MIB, 4 * MIB));
	push_out();
	printf("  later %zu\n", nonzero_pages(memory + 4 * MIB, 4 * MIB));
	say_wrong("before", memory, 0, 4 * MIB / PAGE, 10);
	say_wrong("behind", memory, 8 * MIB / PAGE, 16 * MIB / PAGE, 10);
	for (size_t page = 0; page < size / PAGE; page += 3)
		CHECK(!madvise(memory + page * PAGE, 1, MADV_DONTNEED));
	push_out();
	printf("  every third: %zu pages not zero\n", nonzero_pages(memory, size));
	fill_pages(memory, size, 11);
	CHECK(!madvise(memory, size, MADV_FREE));
	fill_pages(memory, size / 2, 12);
	push_out();
	say_wrong("written after MADV_FREE", memory, 0, size / 2 / PAGE, 12);
	printf("  unaligned: %s\n", error_of(madvise(memory + 1, PAGE, MADV_DONTNEED)));
	printf("  unknown: %s\n", error_of(madvise(memory, PAGE, 12345)));
	CHECK(!munmap(memory, size));
}

static void fixed(void)
{
	char path[] = "/tmp/kona-mapping-XXXXXX", *memory = map(size, rw), *over;
	int fd = mkstemp(path);

	CHECK(fd >= 0 && !unlink(path) && !ftruncate(fd, MIB));
	fill_pages(memory, MIB, 13);
	CHECK(pwrite(fd, memory, MIB, 0) == (ssize_t)MIB);
	fill_pages(memory, size, 14);
	push_out();
	over = mmap(memory + 4 * MIB, MIB, rw, private | MAP_FIXED, -1, 0);
	printf("  anonymous: %d, %zu pages not zero\n", over == memory + 4 * MIB,
	       nonzero_pages(over, MIB));
	over = mmap(memory + 8 * MIB, MIB, PROT_READ, MAP_PRIVATE | MAP_FIXED, fd, 0);
	printf("  file: %d, %zu pages wrong, a store raises %d\n", over == memory + 8 * MIB,
	       wrong_pages(over, MIB, 13), access_raises(over, 1));
	over = mmap(memory + 12 * MIB, MIB, rw, MAP_SHARED | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
	printf("  shared: %d, %zu pages not zero\n", over == memory + 12 * MIB,
	       nonzero_pages(over, MIB));
	fill_pages(over, MIB, 15);
	push_out();
	say_wrong("before", memory, 0, 4 * MIB / PAGE, 14);
	say_wrong("between", memory, 9 * MIB / PAGE, 3 * MIB / PAGE, 14);
	say_wrong("behind", memory, 13 * MIB / PAGE, 11 * MIB / PAGE, 14);
	printf("  shared holds: %zu wrong\n", wrong_pages(over, MIB, 15));
	/* Anonymous memory again where the file was, then all of it at once. */
	over = mmap(memory + 8 * MIB, MIB, rw, private | MAP_FIXED, -1, 0);
	printf("  anonymous over the file: %s\n", error_of(over == MAP_FAILED));
	printf("  %zu pages not zero, a store raises %d\n", nonzero_pages(over, MIB),
	       access_raises(over, 1));
	fill_pages(over, MIB, 16);
	push_out();
	printf("  holds: %zu wrong\n", wrong_pages(over, MIB, 16));
	over = mmap(memory, size, rw, private | MAP_FIXED, -1, 0);
	printf("  over all of it: %s, %zu pages not zero\n", error_of(over == MAP_FAILED),
	       nonzero_pages(over, size));
	fill_pages(over, size, 17);
	push_out();
	say_wrong("holds", over, 0, size / PAGE, 17);
	CHECK(!munmap(memory, size));
	printf("  gone: %d\n", access_raises(memory + 8 * MIB, 0));
	close(fd);
}

/* A reservation, committed and given up piece by piece, as garbage collectors do. */
static void reserve(void)
{
	size_t whole = 1024 * MIB, piece = 4 * MIB;
	char *memory = map(whole, PROT_NONE), *over;

	printf("  closed: %d\n", access_raises(memory + whole / 2, 0));
	for (size_t at = 0; at < whole; at += 128 * MIB) {
		CHECK(!mprotect(memory + at, piece, rw));
		CHECK(!nonzero_pages(memory + at, piece));
		fill_pages(memory + at, piece, at);
		over = mmap(memory + at + piece, piece, rw, private | MAP_FIXED, -1, 0);
		CHECK(over == memory + at + piece && !nonzero_pages(over, piece));
		fill_pages(over, piece, at + 1);
	}
	for (size_t at = 0; at < whole; at += 128 * MIB) {
		CHECK(!wrong_pages(memory + at, piece, at));
		CHECK(!wrong_pages(memory + at + piece, piece, at + 1));
		CHECK(access_raises(memory + at + 2 * piece, 0) == SIGSEGV);
	}
	over = mmap(memory, piece, PROT_NONE, private | MAP_FIXED | MAP_NORESERVE, -1, 0);
	printf("  given up: %s, raises %d\n", error_of(over == MAP_FAILED),
	       access_raises(memory, 0));
	CHECK(!mprotect(memory, piece, rw));
	printf("  taken again: %zu pages not zero\n", nonzero_pages(memory, piece));
	CHECK(!munmap(memory, whole));
	/* The usual way to get an alignment: too much, then the ends go. */
	for (int i = 0; i < 20; i++) {
		memory = map(16 * MIB, rw);
		over = (char *)(((uintptr_t)memory + 8 * MIB - 1) & ~(8 * MIB - 1));
		if (over > memory)
			CHECK(!munmap(memory, (size_t)(over - memory)));
		if (over + 8 * MIB < memory + 16 * MIB)
			CHECK(!munmap(over + 8 * MIB,
				      (size_t)(memory + 16 * MIB - over - 8 * MIB)));
		CHECK(!nonzero_pages(over, 8 * MIB));
		fill_pages(over, 8 * MIB, (uint64_t)i);
		CHECK(!wrong_pages(over, 8 * MIB, (uint64_t)i));
		CHECK(!munmap(over, 8 * MIB));
	}
	printf("  aligned\n");
}

static void refusals(void)
{
	char *memory = map(MIB, rw);

	push_out();
	printf("  no size: %s\n", error_of(mmap(NULL, 0, rw, private, -1, 0) == MAP_FAILED));
	printf("  too much: %s\n",
	       error_of(mmap(NULL, SIZE_MAX / 2, rw, private, -1, 0) == MAP_FAILED));
	printf("  all there is: %s\n",
	       error_of(mmap(NULL, SIZE_MAX - 4095, rw, private, -1, 0) == MAP_FAILED));
	printf("  neither private nor shared: %s\n",
	       error_of(mmap(NULL, MIB, rw, MAP_ANONYMOUS, -1, 0) == MAP_FAILED));
	printf("  odd offset: %s\n", error_of(mmap(NULL, MIB, rw, private, -1, 1) == MAP_FAILED));
	printf("  fixed and odd: %s\n",
	       error_of(mmap(memory + 1, PAGE, rw, private | MAP_FIXED, -1, 0) == MAP_FAILED));
	printf("  no file: %s\n", error_of(mmap(NULL, MIB, rw, MAP_PRIVATE, -1, 0) == MAP_FAILED));
	printf("  fixed, no file: %s\n",
	       error_of(mmap(memory, PAGE, rw, MAP_PRIVATE | MAP_FIXED, -1, 0) == MAP_FAILED));
	printf("  sync: %s\n", error_of(msync(memory, MIB, MS_SYNC)));
	CHECK(!munmap(memory, MIB));
}

/* Other ways into the memory: the kernel reads and writes it for us, or for another process. */
static void others(void)
{
	char *memory = map(size, rw), *copy = malloc(size);
	struct iovec here = {copy, size}, there = {memory, size};

	fill_pages(memory, size, 20);
	push_out();
	printf("  process_vm_readv: %d, ",
	       process_vm_readv(getpid(), &here, 1, &there, 1, 0) == (ssize_t)size);
	printf("%zu wrong\n", wrong_pages(copy, size, 20));
	fill_pages(copy, size, 21);
	printf("  process_vm_writev: %d, ",
	       process_vm_writev(getpid(), &here, 1, &there, 1, 0) == (ssize_t)size);
	printf("%zu wrong\n", wrong_pages(memory, size, 21));
	free(copy);
	CHECK(!munmap(memory, size));
}

int main(int argc, char **argv)
{
	static const struct section sections[] = {{"unmap", unmap},
						  {"hole", hole},
						  {"resize", resize},
						  {"carve", carve},
						  {"resize-protected", resize_protected},
						  {"protect", protect},
						  {"advise", advise},
						  {"fixed", fixed},
						  {"reserve", reserve},
						  {"refusals", refusals},
						  {"others", others}};
	struct sigaction action = {.sa_handler = on_signal};

	sigaction(SIGSEGV, &action, NULL);
	sigaction(SIGBUS, &action, NULL);
	RUN_SECTIONS(sections, argc > 1 ? argv[1] : NULL);
	return 0;
}
