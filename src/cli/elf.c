/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Can libkona be preloaded into this executable? The dynamic linker must be there, of our C library
 * and machine, and it must not be told to distrust the environment.
 */
#include <elf.h>
#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>

#include "base/log.h"
#include "cli/run.h"

enum {
	MOST_HEADERS = 128,
#if defined(__x86_64__)
	OUR_MACHINE = EM_X86_64,
#elif defined(__aarch64__)
	OUR_MACHINE = EM_AARCH64,
#else
#error "add the machine"
#endif
};

static int refuse(const char *path, const char *why)
{
	kona_error("%s: %s", path, why);
	return KONA_EXIT_OURS;
}

static int check_rights(const char *path, int fd)
{
	struct stat st;

	if (fstat(fd, &st))
		return refuse(path, strerror(errno));
	if (st.st_mode & S_ISUID)
		return refuse(path, "is a setuid program: it ignores preloaded libraries, so its "
				    "memory cannot be remote");
	if (st.st_mode & S_ISGID && st.st_mode & S_IXGRP)
		return refuse(path, "is a setgid program: it ignores preloaded libraries, so its "
				    "memory cannot be remote");
	if (fgetxattr(fd, "security.capability", NULL, 0) > 0)
		return refuse(path, "has file capabilities: it ignores preloaded libraries, so its "
				    "memory cannot be remote");
	return 0;
}

/* Reads the interpreter's name; "" without one. */
static int read_interpreter(int fd, const Elf64_Ehdr *header, char *name, size_t name_bytes)
{
	Elf64_Phdr segments[MOST_HEADERS];
	size_t count = header->e_phnum;

	name[0] = 0;
	if (count > MOST_HEADERS || header->e_phentsize != sizeof(*segments))
		return -ENOEXEC;
	if (pread(fd, segments, count * sizeof(*segments), (off_t)header->e_phoff) !=
	    (ssize_t)(count * sizeof(*segments)))
		return -ENOEXEC;
	for (size_t i = 0; i < count; i++) {
		if (segments[i].p_type != PT_INTERP)
			continue;
		if (!segments[i].p_filesz || segments[i].p_filesz > name_bytes ||
		    pread(fd, name, segments[i].p_filesz, (off_t)segments[i].p_offset) !=
			    (ssize_t)segments[i].p_filesz)
			return -ENOEXEC;
		name[segments[i].p_filesz - 1] = 0;
	}
	return 0;
}

int kona_elf_check(const char *path, int fd)
{
	char interpreter[256];
	const char *base;
	Elf64_Ehdr header;
	int status = check_rights(path, fd);

	if (status)
		return status;
	if (pread(fd, &header, sizeof(header), 0) != (ssize_t)sizeof(header))
		return refuse(path, "is no executable: its ELF header is cut short");
	if (header.e_ident[EI_CLASS] != ELFCLASS64)
		return refuse(path, "is a 32-bit program: only 64-bit ones can have remote memory");
	if (header.e_machine != OUR_MACHINE)
		return refuse(path, "is a program for another machine");
	if (read_interpreter(fd, &header, interpreter, sizeof(interpreter)))
		return refuse(path, "is no executable: its program headers make no sense");
	if (!interpreter[0])
		return refuse(path, "is statically linked: libkona cannot be preloaded into it");
	base = strrchr(interpreter, '/');
	if (strncmp(base ? base + 1 : interpreter, "ld-linux", 8) != 0)
		return refuse(path, "is linked with another C library than glibc");
	return 0;
}
