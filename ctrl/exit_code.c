/* SPDX-License-Identifier: BSD-3-Clause */
#include "exit_code.h"

#include <stddef.h>

#include "haven_types.h"

const struct exit_entry exit_table[] = {
	{EXIT_GOOD, "good", "done; or the verdict of status is good"},
	{EXIT_REFUSED, "refused", "the node or a check refused, or something failed"},
	{EXIT_USAGE, "usage", "wrong command line"},
	{EXIT_NOT_RUNNING, "not-running", "no node in the run directory, or it does not answer"},
	{EXIT_NO_OBJECT, "no-such-object", "no such node, instance, component or checkpoint"},
	{EXIT_PERMISSION, "permission", "not allowed to read the registry or to command the node"},
	{EXIT_TIMEOUT, "timeout", "the wanted state did not come in time"},
	{EXIT_CONFIG, "configuration", "configuration invalid"},
	{EXIT_VERSION, "version", "registry or socket of another version"},
	{EXIT_DEGRADED, "degraded", "verdict: served, but redundancy is not whole"},
	{EXIT_CRITICAL, "critical", "verdict: an instance has no primary"},
	{EXIT_UNKNOWN, "unknown", "verdict: only the last state of a dead or hung node is known"},
	{EXIT_GOOD, NULL, NULL},
};

const char *exit_name(enum exit_code code)
{
	for (const struct exit_entry *e = exit_table; e->name; e++)
		if (e->code == code)
			return e->name;
	return "unknown";
}

enum exit_code exit_of_error(int error)
{
	switch ((enum haven_error)(error < 0 ? -error : error)) {
	case HAVEN_OK:
		return EXIT_GOOD;
	case HAVEN_EINVAL:
		return EXIT_USAGE;
	case HAVEN_ENODE:
	case HAVEN_ESTALE:
		return EXIT_NOT_RUNNING;
	case HAVEN_ENOENT:
		return EXIT_NO_OBJECT;
	case HAVEN_EPERM:
		return EXIT_PERMISSION;
	case HAVEN_ETIMEDOUT:
		return EXIT_TIMEOUT;
	case HAVEN_ECONFIG:
		return EXIT_CONFIG;
	case HAVEN_EVERSION:
		return EXIT_VERSION;
	case HAVEN_ENOMEM:
	case HAVEN_EEXIST:
	case HAVEN_EFULL:
	case HAVEN_EAGAIN:
	case HAVEN_EROLE:
	case HAVEN_ESIZE:
	case HAVEN_ECORRUPT:
	case HAVEN_EREFUSED:
	case HAVEN_ESYS:
	case HAVEN_ERROR_COUNT:
		break;
	}
	return EXIT_REFUSED;
}
