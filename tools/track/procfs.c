/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Reading /proc. It is read while a target is stopped, so the parsers are plain loops over one
 * buffer. Stateless; a process can vanish at any line, which is -ESRCH.
 */
#include "procfs.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

/* Reads a whole file into *text, growing it, and ends it with a zero byte. */
static int read_all(const char *path, char **text, size_t *room, size_t *ret_bytes)
{
	KONA_CLOSE int fd = open(path, O_RDONLY | O_CLOEXEC);
	size_t used = 0;

	if (fd < 0)
		return errno == ENOENT ? -ESRCH : -errno;
	for (;;) {
		ssize_t n;

		if (*room - used < 32768) {
			size_t more = *room ? *room * 2 : 65536;
			char *bigger = realloc(*text, more);

			if (!bigger)
				return -ENOMEM;
			*text = bigger;
			*room = more;
		}
		n = read(fd, *text + used, *room - used - 1);
		if (n < 0)
			return -errno;
		if (!n)
			break;
		used += (size_t)n;
	}
	(*text)[used] = '\0';
	*ret_bytes = used;
	return 0;
}

static uint64_t parse_hex(char **cursor)
{
	uint64_t value = 0;
	char *c = *cursor;

	for (;; c++) {
		if (*c >= '0' && *c <= '9')
			value = value << 4 | (uint64_t)(*c - '0');
		else if (*c >= 'a' && *c <= 'f')
			value = value << 4 | (uint64_t)(*c - 'a' + 10);
		else
			break;
	}
	*cursor = c;
	return value;
}

/* "start-end perms offset dev inode   name"; returns whether the mapping is wanted. */
static bool parse_mapping(char *line, struct kona_mapping *ret_mapping)
{
	struct kona_mapping m;
	char *c = line;
	bool is_private;

	m.start = parse_hex(&c);
	c++;
	m.end = parse_hex(&c);
	m.readable = c[1] == 'r';
	m.writable = c[2] == 'w';
	is_private = c[4] == 'p';
	c += 6;
	m.offset = parse_hex(&c);
	c += strcspn(c + 1, " ") + 2;
	m.inode = strtoull(c, &c, 10);
	c += strspn(c, " ");
	m.name = c;
	*ret_mapping = m;
	return is_private && strncmp(c, "[v", 2) != 0;
}

int kona_mappings_read(pid_t pid, struct kona_mappings *list)
{
	char path[64];
	size_t bytes;
	char *line;
	int err;

	snprintf(path, sizeof(path), "/proc/%d/maps", pid);
	err = read_all(path, &list->text, &list->text_room, &bytes);
	if (err)
		return err;
	if (!bytes)
		return -ESRCH;
	list->count = 0;
	for (line = list->text; *line;) {
		char *end = strchrnul(line, '\n');
		char *next = *end ? end + 1 : end;

		*end = '\0';
		if (list->count == list->room) {
			size_t more = list->room ? list->room * 2 : 64;
			void *bigger = realloc(list->v, more * sizeof(*list->v));

			if (!bigger)
				return -ENOMEM;
			list->v = bigger;
			list->room = more;
		}
		if (parse_mapping(line, &list->v[list->count]))
			list->count++;
		line = next;
	}
	return 0;
}

void kona_mappings_free(struct kona_mappings *list)
{
	free(list->v);
	free(list->text);
	*list = (struct kona_mappings){0};
}

int kona_ids_add(struct kona_ids *ids, pid_t id)
{
	if (ids->count == ids->room) {
		size_t more = ids->room ? ids->room * 2 : 64;
		void *bigger = realloc(ids->v, more * sizeof(*ids->v));

		if (!bigger)
			return -ENOMEM;
		ids->v = bigger;
		ids->room = more;
	}
	ids->v[ids->count++] = id;
	return 0;
}

void kona_ids_free(struct kona_ids *ids)
{
	free(ids->v);
	*ids = (struct kona_ids){0};
}

int kona_threads_read(pid_t pid, struct kona_ids *ret_ids)
{
	struct dirent *entry;
	char path[64];
	DIR *dir;
	int err = 0;

	snprintf(path, sizeof(path), "/proc/%d/task", pid);
	dir = opendir(path);
	if (!dir)
		return errno == ENOENT ? -ESRCH : -errno;
	ret_ids->count = 0;
	while (!err && (entry = readdir(dir)))
		if (entry->d_name[0] != '.')
			err = kona_ids_add(ret_ids, atoi(entry->d_name));
	closedir(dir);
	return err;
}

size_t kona_threads_count(pid_t pid)
{
	char path[64];
	struct stat st;

	snprintf(path, sizeof(path), "/proc/%d/task", pid);
	/* Each task is a folder in it, and so a link. */
	return stat(path, &st) || st.st_nlink < 2 ? 0 : st.st_nlink - 2;
}

int kona_children_read(pid_t pid, struct kona_ids *ret_ids)
{
	struct kona_ids threads = {0};
	char *text = NULL;
	size_t room = 0;
	int err = kona_threads_read(pid, &threads);

	ret_ids->count = 0;
	for (size_t i = 0; !err && i < threads.count; i++) {
		char path[80];
		char *c;
		size_t bytes;

		snprintf(path, sizeof(path), "/proc/%d/task/%d/children", pid, threads.v[i]);
		err = read_all(path, &text, &room, &bytes);
		if (err == -ESRCH) { /* that thread has ended */
			err = 0;
			continue;
		}
		for (c = text; !err && *c; c += strspn(c, " "))
			err = kona_ids_add(ret_ids, (pid_t)strtol(c, &c, 10));
	}
	free(text);
	kona_ids_free(&threads);
	return err;
}

/* Reads the head of a small file; an empty string when it is gone. */
static void read_head(const char *path, char *text, size_t text_bytes)
{
	KONA_CLOSE int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? 0 : read(fd, text, text_bytes - 1);

	text[n < 0 ? 0 : n] = '\0';
}

char kona_thread_state(pid_t pid, pid_t tid)
{
	char path[80], text[512];
	char *end;

	snprintf(path, sizeof(path), "/proc/%d/task/%d/stat", pid, tid);
	read_head(path, text, sizeof(text));
	end = strrchr(text, ')'); /* the name before it may hold anything */
	return end && end[1] ? end[2] : '\0';
}

long kona_status_number(pid_t pid, const char *field)
{
	char path[64], text[4096];
	char *found;

	snprintf(path, sizeof(path), "/proc/%d/status", pid);
	read_head(path, text, sizeof(text));
	found = strstr(text, field);
	return found ? strtol(found + strlen(field), NULL, 10) : -1;
}

bool kona_memory_held(pid_t pid)
{
	struct kona_ids threads = {0};
	bool held = false;

	if (kona_threads_read(pid, &threads))
		return false;
	for (size_t i = 0; !held && i < threads.count; i++)
		held = kona_status_number(threads.v[i], "VmSize:") >= 0;
	kona_ids_free(&threads);
	return held;
}

void kona_process_name(pid_t pid, char *name, size_t name_bytes)
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/%d/comm", pid);
	read_head(path, name, name_bytes);
	name[strcspn(name, "\n")] = '\0';
}

bool kona_same_executable(pid_t pid, pid_t other)
{
	struct stat a, b;
	char path[64];

	snprintf(path, sizeof(path), "/proc/%d/exe", pid);
	if (stat(path, &a))
		return true;
	snprintf(path, sizeof(path), "/proc/%d/exe", other);
	if (stat(path, &b))
		return true;
	return a.st_dev == b.st_dev && a.st_ino == b.st_ino;
}
