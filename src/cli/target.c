/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What to run: finds the file as a shell would, follows "#!" lines, and checks the one that the
 * kernel will load.
 *
 * "#!/usr/bin/env NAME" is resolved here. Else env would be the Kona program, and NAME, which it
 * executes, would run locally.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "base/log.h"
#include "cli/run.h"

enum {
	MOST_INTERPRETERS = 4, /* as the kernel */
	LINE_BYTES = 256,
};

static bool is_runnable(const char *path, int *error)
{
	struct stat st;

	if (stat(path, &st))
		*error = errno;
	else if (!S_ISREG(st.st_mode) || access(path, X_OK))
		*error = EACCES;
	else
		return true;
	return false;
}

/* As execvp(3) does; EACCES wins over ENOENT. */
static int find_program(const char *name, char *path)
{
	const char *folders = getenv("PATH");
	int error, seen = ENOENT;

	if (strchr(name, '/')) {
		snprintf(path, PATH_MAX, "%s", name);
		return is_runnable(path, &seen) ? 0 : -seen;
	}
	if (!folders)
		folders = "/bin:/usr/bin";
	while (name[0]) {
		size_t length = strcspn(folders, ":");

		if ((size_t)snprintf(path, PATH_MAX, "%.*s%s%s", (int)length, folders,
				     length ? "/" : "./", name) < PATH_MAX) {
			if (is_runnable(path, &error))
				return 0;
			if (error == EACCES)
				seen = EACCES;
		}
		if (!folders[length])
			break;
		folders += length + 1;
	}
	return -seen;
}

static int tell_not_found(const char *name, int rc)
{
	if (rc == -ENOENT || rc == -ENOTDIR) {
		kona_error("%s: no such program", name);
		return KONA_EXIT_NOT_FOUND;
	}
	kona_error("%s: cannot be executed: %s", name, strerror(-rc));
	return KONA_EXIT_CANNOT_RUN;
}

/* Splits "#! INTERPRETER ARGUMENT"; the argument is NULL without one. */
static bool split_line(char *line, char **ret_interpreter, char **ret_argument)
{
	char *end = line + strcspn(line, "\n");

	*end = 0;
	while (end > line && (end[-1] == ' ' || end[-1] == '\t'))
		*--end = 0;
	line += 2 + strspn(line + 2, " \t");
	*ret_interpreter = line;
	line += strcspn(line, " \t");
	*ret_argument = NULL;
	if (*line) {
		*line++ = 0;
		line += strspn(line, " \t");
		*ret_argument = line;
	}
	return **ret_interpreter != 0;
}

/* "#!/usr/bin/env NAME": the arguments become NAME SCRIPT ARGUMENTS. */
static int replace_env(struct kona_target *target, const char *name)
{
	size_t count = 0;
	char **made;

	while (target->argv[count])
		count++;
	made = calloc(count + 2, sizeof(*made));
	if (!made)
		return -ENOMEM;
	made[0] = strdup(name);
	made[1] = strdup(target->path);
	if (!made[0] || !made[1]) {
		free(made[0]);
		free(made[1]);
		free(made);
		return -ENOMEM;
	}
	for (size_t i = 1; i < count; i++)
		made[i + 1] = target->argv[i];
	kona_target_free(target);
	target->argv = target->made = made;
	return 0;
}

static bool is_env(const char *interpreter, const char *argument)
{
	const char *name = strrchr(interpreter, '/');

	return name && !strcmp(name, "/env") && argument && argument[0] != '-' &&
	       !strpbrk(argument, "= \t");
}

/*
 * Reads how `path` starts. Returns 0 and an interpreter to look at next, or "" when this is the
 * last; else an exit status.
 */
static int look(struct kona_target *target, const char *path, char *ret_next)
{
	char line[LINE_BYTES + 1] = "", *interpreter, *argument;
	KONA_CLOSE int fd = open(path, O_RDONLY | O_CLOEXEC);
	int rc;

	ret_next[0] = 0;
	/* One may execute what one may not read; then the kernel has the last word. */
	if (fd < 0)
		return 0;
	if (read(fd, line, LINE_BYTES) < 0) {
		kona_error("%s: cannot be read: %s", path, strerror(errno));
		return KONA_EXIT_CANNOT_RUN;
	}
	if (!memcmp(line, "\177ELF", 4))
		return kona_elf_check(path, fd);
	if (line[0] != '#' || line[1] != '!' || !split_line(line, &interpreter, &argument)) {
		/* No "#!": execvp(3) hands it to the shell. */
		snprintf(ret_next, PATH_MAX, "/bin/sh");
		return 0;
	}
	if (path != target->path || !is_env(interpreter, argument)) {
		snprintf(ret_next, PATH_MAX, "%s", interpreter);
		return 0;
	}
	rc = replace_env(target, argument);
	if (rc) {
		kona_error("%s", strerror(-rc));
		return KONA_EXIT_OURS;
	}
	rc = find_program(target->argv[0], target->path);
	return rc ? tell_not_found(target->argv[0], rc) : 1;
}

int kona_target_find(char **argv, struct kona_target *ret_target)
{
	struct kona_target target = {.argv = argv};
	char next[PATH_MAX], current[PATH_MAX];
	int rc = find_program(argv[0], target.path);

	if (rc)
		return tell_not_found(argv[0], rc);
	do
		rc = look(&target, target.path, next);
	while (rc == 1);
	for (int i = 0; !rc && next[0]; i++) {
		int error;

		memcpy(current, next, sizeof(current));
		if (i == MOST_INTERPRETERS || !is_runnable(current, &error)) {
			kona_error("%s: bad interpreter: %s", target.path, current);
			rc = KONA_EXIT_CANNOT_RUN;
		} else {
			rc = look(&target, current, next);
		}
	}
	if (rc) {
		kona_target_free(&target);
		return rc;
	}
	*ret_target = target;
	return 0;
}

void kona_target_free(struct kona_target *target)
{
	if (!target->made)
		return;
	free(target->made[0]);
	free(target->made[1]);
	free(target->made);
	target->made = NULL;
}
