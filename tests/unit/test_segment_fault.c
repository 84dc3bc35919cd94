/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Sealed memory files when the system refuses: each call fails once with each of several errors.
 */
#include <criterion/criterion.h>
#include <dirent.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "fault.h"
#include "haven_assert.h"
#include "segment.h"

#define BYTES 8192u

FAULT(int, -1, memfd_create, (const char *name, unsigned flags), (name, flags))
FAULT(int, -1, ftruncate64, (int fd, off_t bytes), (fd, bytes))
FAULT(int, -1, fcntl64, (int fd, int command, long argument), (fd, command, argument))
FAULT(int, -1, fstat64, (int fd, struct stat *st), (fd, st))
FAULT(int, -1, fstatfs64, (int fd, struct statfs *fs), (fd, fs))
FAULT(void *, MAP_FAILED, mmap64, (void *at, size_t n, int prot, int flags, int fd, off_t from),
      (at, n, prot, flags, fd, from))
FAULT_RETURNED(posix_fallocate64, (int fd, off_t from, off_t bytes), (fd, from, bytes))

static const int errors[] = {ENOMEM, ENOSPC, EMFILE, EPERM, EIO};
static struct error_text error;
static void *base;
static int fd;

static unsigned descriptors(void)
{
	DIR *d = opendir("/proc/self/fd");
	unsigned n = 0;

	while (readdir(d))
		n++;
	closedir(d);
	return n;
}

static int make(void)
{
	fd = -1;
	base = NULL;
	error.text[0] = 0;
	return segment_make("test", BYTES, &fd, &base, &error);
}

Test(segment_fault, every_failing_call_refuses_and_leaves_nothing)
{
	unsigned before = descriptors();

	for (unsigned i = 0; i < HAVEN_ARRAY_LEN(errors); i++) {
		unsigned at = 1;
		int status;

		while (fault_arm(at, 1, errors[i]), status = make(), fault_disarm()) {
			cr_assert(status == -HAVEN_ENOMEM || status == -HAVEN_ESYS);
			cr_assert_neq(error.text[0], 0);
			cr_assert_eq(fd, -1);
			cr_assert_eq(descriptors(), before, "call %u left a descriptor", at);
			at++;
		}
		cr_assert_eq(status, 0);
		cr_assert_geq(at, 5);
		segment_unmap(base, BYTES);
		close(fd);
	}
	segment_unmap(NULL, BYTES); /* what was never mapped */
}

Test(segment_fault, an_allocation_that_signals_interrupt_goes_on)
{
	fault_arm(4, 5, EINTR);
	cr_assert_eq(make(), 0, "%s", error.text);
	cr_assert(fault_disarm());
	segment_unmap(base, BYTES);
	close(fd);
	fault_arm(4, 100000, EINTR);
	cr_assert_eq(make(), -HAVEN_ENOMEM);
	fault_disarm();
}

Test(segment_fault, a_received_descriptor_is_refused_when_nothing_can_be_learnt_of_it)
{
	void *mapped = NULL;

	cr_assert_eq(make(), 0);
	for (unsigned at = 1; at <= 4; at++) {
		fault_arm(at, 1, EIO);
		cr_assert_eq(segment_map(fd, BYTES, false, "it", &mapped, &error),
			     at < 4 ? -HAVEN_EINVAL : -HAVEN_ESYS);
		cr_assert(fault_disarm());
		cr_assert_null(mapped);
	}
	fault_arm(4, 1, ENOMEM);
	cr_assert_eq(segment_map(fd, BYTES, false, "it", &mapped, &error), -HAVEN_ENOMEM);
	fault_disarm();
	cr_assert_eq(segment_map(fd, BYTES, false, "it", &mapped, &error), 0);
	segment_unmap(mapped, BYTES);
	segment_unmap(base, BYTES);
	close(fd);
}

Test(segment_fault, a_file_on_disk_or_on_another_kind_of_file_system_is_refused)
{
	void *mapped = NULL;
	int huge = memfd_create("huge", MFD_CLOEXEC | MFD_ALLOW_SEALING | MFD_HUGETLB);

	cr_assert_eq(segment_map(-1, BYTES, false, "it", &mapped, &error), -HAVEN_EINVAL);
	if (huge < 0)
		cr_skip_test("no huge pages here");
	cr_assert_eq(segment_map(huge, BYTES, false, "it", &mapped, &error), -HAVEN_EINVAL);
	close(huge);
}
