/* SPDX-License-Identifier: BSD-3-Clause */
#include "error.h"

#include <stdarg.h>
#include <stdio.h>

#include "haven_assert.h"

static const struct {
	const char *name;
	const char *sentence;
	enum haven_error_class class;
} errors[] = {
	[HAVEN_OK] = {"OK", "no error", HAVEN_CLASS_NONE},
	[HAVEN_EINVAL] = {"EINVAL", "an argument is out of range", HAVEN_CLASS_INPUT},
	[HAVEN_ENOMEM] = {"ENOMEM", "memory or descriptors ran out", HAVEN_CLASS_GIVE_UP},
	[HAVEN_ENOENT] = {"ENOENT", "no such object", HAVEN_CLASS_INPUT},
	[HAVEN_EEXIST] = {"EEXIST", "the name is registered already", HAVEN_CLASS_INPUT},
	[HAVEN_EFULL] = {"EFULL", "no free place is left", HAVEN_CLASS_RETRY},
	[HAVEN_EAGAIN] = {"EAGAIN", "not now, retry after the next poll", HAVEN_CLASS_RETRY},
	[HAVEN_EROLE] = {"EROLE", "not primary of this instance, or the lease has ended",
			 HAVEN_CLASS_RETRY},
	[HAVEN_EVERSION] = {"EVERSION", "layout or protocol versions differ", HAVEN_CLASS_GIVE_UP},
	[HAVEN_ESIZE] = {"ESIZE", "wrong size of a segment or message", HAVEN_CLASS_INPUT},
	[HAVEN_ECORRUPT] = {"ECORRUPT", "the content of a segment contradicts itself",
			    HAVEN_CLASS_REATTACH},
	[HAVEN_ENODE] = {"ENODE", "the node is not running or went away", HAVEN_CLASS_REATTACH},
	[HAVEN_EPERM] = {"EPERM", "peer credentials do not allow this", HAVEN_CLASS_INPUT},
	[HAVEN_ETIMEDOUT] = {"ETIMEDOUT", "the wanted state did not come in time",
			     HAVEN_CLASS_RETRY},
	[HAVEN_EREFUSED] = {"EREFUSED", "the node refused", HAVEN_CLASS_INPUT},
	[HAVEN_ESYS] = {"ESYS", "a system call failed", HAVEN_CLASS_GIVE_UP},
	[HAVEN_ESTALE] = {"ESTALE", "the handle or epoch belongs to an earlier life",
			  HAVEN_CLASS_REATTACH},
	[HAVEN_ECONFIG] = {"ECONFIG", "the configuration is invalid", HAVEN_CLASS_INPUT},
};
HAVEN_STATIC_ASSERT(HAVEN_ARRAY_LEN(errors) == HAVEN_ERROR_COUNT, "a sentence for every error");

static unsigned error_index(int error)
{
	unsigned n = error < 0 ? 0u - (unsigned)error : (unsigned)error;

	return n < HAVEN_ERROR_COUNT ? n : HAVEN_ESYS;
}

const char *error_sentence(int error)
{
	return errors[error_index(error)].sentence;
}

const char *error_name(int error)
{
	return errors[error_index(error)].name;
}

enum haven_error_class error_class(int error)
{
	return errors[error_index(error)].class;
}

int error_set(struct error_text *e, int error, const char *format, ...)
{
	if (e) {
		va_list args;

		va_start(args, format);
		vsnprintf(e->text, sizeof(e->text), format, args);
		va_end(args);
	}
	return error < 0 ? error : -error;
}
