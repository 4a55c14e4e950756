/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * errno values differ between architectures, their names do not.
 */
#include "wire/errno-names.h"

#include <errno.h>
#include <string.h>

#include "base/compiler.h"

static const struct {
	const char *name;
	int value;
} names[] = {
	{"EINVAL", EINVAL},	{"ENOSPC", ENOSPC}, {"EDQUOT", EDQUOT}, {"ENOENT", ENOENT},
	{"EEXIST", EEXIST},	{"ESTALE", ESTALE}, {"EIO", EIO},	{"EHOSTDOWN", EHOSTDOWN},
	{"EPROTO", EPROTO},	{"EAGAIN", EAGAIN}, {"EPERM", EPERM},	{"EBUSY", EBUSY},
	{"EMSGSIZE", EMSGSIZE}, {"ENOMEM", ENOMEM},
};

const char *kona_errno_name(int error)
{
	for (size_t i = 0; i < KONA_ARRAY_LEN(names); i++)
		if (names[i].value == -error)
			return names[i].name;
	return "EIO";
}

int kona_errno_value(const char *name)
{
	for (size_t i = 0; i < KONA_ARRAY_LEN(names); i++)
		if (!strcmp(names[i].name, name))
			return -names[i].value;
	return -EPROTO;
}
