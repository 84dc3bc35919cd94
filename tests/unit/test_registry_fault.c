/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Making and opening a registry when the system refuses: each call into the C library fails once
 * with each of several errors. A refusal is told with a sentence and leaves nothing behind.
 */
#include <criterion/criterion.h>
#include <dirent.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/vfs.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "clock.h"
#include "fault.h"
#include "registry.h"
#include "step.h"

FAULT(int, -1, openat64, (int dir, const char *name, int flags, mode_t mode),
      (dir, name, flags, mode))
FAULT(int, -1, open64, (const char *name, int flags, mode_t mode), (name, flags, mode))
FAULT(int, -1, dup, (int fd), (fd))
FAULT(int, -1, symlinkat, (const char *to, int dir, const char *name), (to, dir, name))
FAULT(int, -1, fstatvfs64, (int fd, struct statvfs *fs), (fd, fs))
FAULT(int, -1, fchmod, (int fd, mode_t mode), (fd, mode))
FAULT(int, -1, ftruncate64, (int fd, off_t bytes), (fd, bytes))
FAULT(int, -1, unlinkat, (int dir, const char *name, int flags), (dir, name, flags))
FAULT(int, -1, renameat, (int from, const char *old, int to, const char *name),
      (from, old, to, name))

/* A wish for large pages may fail: nothing depends on it, so it is no call that refuses. */
int __real_madvise(void *at, size_t n, int advice);
int __wrap_madvise(void *at, size_t n, int advice);
int __wrap_madvise(void *at, size_t n, int advice)
{
	if (advice != MADV_HUGEPAGE && fault_now()) {
		errno = fault_errno;
		return -1;
	}
	return __real_madvise(at, n, advice);
}

static void *mapped; /* the registry */

void *__real_mmap64(void *at, size_t n, int prot, int flags, int fd, off_t from);
void *__wrap_mmap64(void *at, size_t n, int prot, int flags, int fd, off_t from);
void *__wrap_mmap64(void *at, size_t n, int prot, int flags, int fd, off_t from)
{
	if (fault_now()) {
		errno = fault_errno;
		return MAP_FAILED;
	}
	at = __real_mmap64(at, n, prot, flags, fd, from);
	if (fd >= 0)
		mapped = at;
	return at;
}

static bool guard_after_look; /* the file cannot be written after the look at its pages */

long __real_syscall(long number, long a, long b, long c, long d, long e, long f);
long __wrap_syscall(long number, long a, long b, long c, long d, long e, long f);
long __wrap_syscall(long number, long a, long b, long c, long d, long e, long f)
{
	long result = __real_syscall(number, a, b, c, d, e, f);

	if (guard_after_look)
		cr_assert_eq(mprotect(mapped, 4096, PROT_READ), 0);
	guard_after_look = false;
	return result;
}

FAULT(void *, NULL, calloc, (size_t n, size_t bytes), (n, bytes))

static void (*allocate_hook)(void); /* runs once, before the new file is allocated */
static unsigned other_device;       /* the fstat() call that sees another device, 0: none */

int __real_posix_fallocate64(int fd, off_t from, off_t bytes);
int __wrap_posix_fallocate64(int fd, off_t from, off_t bytes);
int __wrap_posix_fallocate64(int fd, off_t from, off_t bytes)
{
	if (allocate_hook)
		allocate_hook();
	allocate_hook = NULL;
	return fault_now() ? fault_errno : __real_posix_fallocate64(fd, from, bytes);
}

/** What a directory says of its file system: 2 MiB pages, or pages of another size; 0: the truth.
 */
static uint64_t lie_pages;

int __real_fstatfs64(int fd, struct statfs *fs);
int __wrap_fstatfs64(int fd, struct statfs *fs);
int __wrap_fstatfs64(int fd, struct statfs *fs)
{
	int status = fault_now() ? -1 : __real_fstatfs64(fd, fs);

	if (lie_pages) {
		fs->f_type = HUGETLBFS_MAGIC;
		fs->f_bsize = (__typeof__(fs->f_bsize))lie_pages;
	}
	return status;
}

int __real_fstat64(int fd, struct stat *st);
int __wrap_fstat64(int fd, struct stat *st);
int __wrap_fstat64(int fd, struct stat *st)
{
	int status;

	if (fault_now()) {
		errno = fault_errno;
		return -1;
	}
	status = __real_fstat64(fd, st);
	if (other_device && --other_device == 0)
		st->st_dev++;
	return status;
}

static int64_t wall_seconds = -1; /* -1: as it is */

int __real_clock_gettime(clockid_t id, struct timespec *ts);
int __wrap_clock_gettime(clockid_t id, struct timespec *ts);
int __wrap_clock_gettime(clockid_t id, struct timespec *ts)
{
	int status = __real_clock_gettime(id, ts);

	if (id == CLOCK_REALTIME && wall_seconds >= 0)
		*ts = (struct timespec){.tv_sec = (time_t)wall_seconds};
	return status;
}

static char run_dir[] = "/tmp/haven-fault-XXXXXX";
static char file[64];
static struct registry node;
static struct error_text error;
static const struct registry_config config = {.cluster = "demo",
					      .node = "a",
					      .release = "1.0",
					      .incarnation = 42,
					      .shape = {.components = 16,
							.spare = 16,
							.gates = 16,
							.lanes = 16,
							.clients = 1,
							.events = 16,
							.changes = 16,
							.counters_bytes = 4096}};

static void setup(void)
{
	cr_assert_not_null(mkdtemp(run_dir));
	snprintf(file, sizeof(file), "%s/%s", run_dir, REGISTRY_FILE);
}

static void teardown(void)
{
	char aside[80];

	/* What was to be taken away while that was made to fail. */
	snprintf(aside, sizeof(aside), "%s.new", file);
	unlink(aside);
	unlink(file);
	cr_assert_eq(rmdir(run_dir), 0, "something is left in %s", run_dir);
}

TestSuite(registry_fault, .init = setup, .fini = teardown);

static unsigned descriptors(void)
{
	DIR *d = opendir("/proc/self/fd");
	unsigned n = 0;

	while (readdir(d))
		n++;
	closedir(d);
	return n;
}

static unsigned files(void)
{
	DIR *d = opendir(run_dir);
	unsigned n = 0;
	struct dirent *e;

	while ((e = readdir(d)))
		n += e->d_name[0] != '.';
	closedir(d);
	return n;
}

/** What a refusal must be. */
static void refused(int status, int e, unsigned at)
{
	cr_assert_lt(status, 0, "call %u, errno %d", at, e);
	cr_assert_neq(error.text[0], 0, "call %u, errno %d: no sentence", at, e);
	cr_assert_null(node.base);
	cr_assert_eq(node.fd, -1);
}

/** Which calls of registry_create() give the file its size and its pages. */
#define SIZE_CALL 7
#define ALLOCATE_CALL 9

static const int errors[] = {ENOENT, ENOTDIR, EACCES, EPERM, EROFS,
			     ENOSPC, ENOMEM,  EDQUOT, EIO,   EEXIST};

Test(registry_fault, every_failing_call_refuses_the_new_registry_and_leaves_nothing)
{
	unsigned before = descriptors(), refusals = 0;

	for (unsigned i = 0; i < HAVEN_ARRAY_LEN(errors); i++) {
		for (unsigned at = 1;; at++) {
			int status;

			error.text[0] = 0;
			fault_arm(at, 1, errors[i]);
			status = registry_create(&node, run_dir, &config, &error);
			if (!fault_disarm()) {
				cr_assert_eq(status, 0);
				cr_assert_geq(at, 10, "so few calls cannot be");
				registry_destroy(&node);
				unlink(file);
				break;
			}
			if (status == 0) { /* no start time; nothing to remove */
				cr_assert(at == 1 ? node.header->pid_start_ticks == 0
						  : errors[i] == ENOENT);
				registry_destroy(&node);
				unlink(file);
				continue;
			}
			refused(status, errors[i], at);
			refusals++;
			cr_assert_eq(files(), 0, "call %u, errno %d left a file", at, errors[i]);
			cr_assert_eq(descriptors(), before, "call %u left a descriptor", at);
		}
	}
	cr_assert_geq(refusals, 90);
}

/** Arm so that the call number `at` fails and see what error the caller is told. */
static int told(unsigned at, int e)
{
	int status;

	fault_arm(at, 1, e);
	status = registry_create(&node, run_dir, &config, &error);
	cr_assert(fault_disarm());
	return status;
}

Test(registry_fault, the_error_names_the_kind_of_trouble)
{
	cr_assert_eq(told(2, ENOENT), -HAVEN_ENOENT);
	cr_assert_eq(told(2, ENOTDIR), -HAVEN_ENOENT);
	cr_assert_eq(told(2, EACCES), -HAVEN_EPERM);
	cr_assert_eq(told(3, EPERM), -HAVEN_EPERM);
	cr_assert_eq(told(4, EROFS), -HAVEN_EPERM);
	cr_assert_eq(told(4, EDQUOT), -HAVEN_ENOMEM);
	cr_assert_eq(told(4, EMFILE), -HAVEN_ESYS);
	cr_assert_not_null(strstr(error.text, run_dir), "%s", error.text);
}

Test(registry_fault, an_allocation_that_signals_interrupt_goes_on)
{
	for (unsigned at = SIZE_CALL; at <= ALLOCATE_CALL; at += ALLOCATE_CALL - SIZE_CALL) {
		fault_arm(at, 3, EINTR);
		cr_assert_eq(registry_create(&node, run_dir, &config, &error), 0, "%s", error.text);
		cr_assert(fault_disarm());
		registry_destroy(&node);
		fault_arm(at, 100000, EINTR);
		cr_assert_eq(registry_create(&node, run_dir, &config, &error), -HAVEN_ESYS);
		fault_disarm();
	}
	refused(-1, EINTR, ALLOCATE_CALL);
}

/* ---- others in the way ----------------------------------------------------------------------- */

/** Someone puts another file in the place of the new one before it is opened for reading. */
static void swap_file(void)
{
	char aside[80];

	snprintf(aside, sizeof(aside), "%s.new", file);
	cr_assert_eq(unlink(aside), 0);
	close(open(aside, O_CREAT | O_RDWR, 0600));
}

Test(registry_fault, a_file_put_in_the_place_of_the_new_one_is_not_taken)
{
	allocate_hook = swap_file;
	refused(registry_create(&node, run_dir, &config, &error), 0, 0);
	cr_assert_not_null(strstr(error.text, strerror(EEXIST)), "%s", error.text);
}

Test(registry_fault, a_file_of_another_device_is_not_taken)
{
	other_device = 2;
	refused(registry_create(&node, run_dir, &config, &error), 0, 0);
	cr_assert_not_null(strstr(error.text, strerror(EEXIST)), "%s", error.text);
}

static void scribble(void)
{
	((struct registry_header *)mapped)->magic = 5;
}

/** The header is about to be written: from here on an instruction at a time. */
static void first_write(int signal, siginfo_t *info, void *context)
{
	(void)signal;
	(void)info;
	if (mprotect(mapped, 4096, PROT_READ | PROT_WRITE) != 0)
		abort();
#if defined(__x86_64__)
	((ucontext_t *)context)->uc_mcontext.gregs[REG_EFL] |= STEP_FLAG;
#else
	(void)context;
#endif
}

Test(registry_fault, a_header_that_somebody_changes_meanwhile_is_refused)
{
	struct sigaction action = {.sa_sigaction = first_write, .sa_flags = SA_SIGINFO};
	unsigned refusals = 0;

	if (!step_possible())
		cr_skip_test("no single step here");
	cr_assert_eq(sigaction(SIGSEGV, &action, NULL), 0);
	for (unsigned at = 1; at <= 200; at++) {
		int status;

		step_at = at;
		step_count = 0;
		step_act = scribble;
		step_arm();
		guard_after_look = true;
		status = registry_create(&node, run_dir, &config, &error);
		step_flag(false);
		cr_assert(status == 0 || status == -HAVEN_ECORRUPT, "instruction %u", at);
		refusals += status != 0;
		if (status == 0)
			registry_destroy(&node);
	}
	cr_assert_gt(refusals, 0, "no instruction lies in between");
}

/* ---- generations ----------------------------------------------------------------------------- */

static uint64_t generation_at(int64_t seconds, uint64_t floor)
{
	struct registry_config c = config;
	uint64_t generation;

	c.generation_floor = floor;
	wall_seconds = seconds;
	cr_assert_eq(registry_create(&node, run_dir, &c, &error), 0, "%s", error.text);
	wall_seconds = -1;
	generation = node.header->generation;
	registry_destroy(&node);
	return generation;
}

Test(registry_fault, generations_start_above_clock_and_floor_whatever_the_clock_says)
{
	cr_assert_eq(generation_at(0, 0), 0, "before 2020 the clock says nothing");
	cr_assert_eq(generation_at(1577836800 + 5, 0), 5000);
	cr_assert_eq(generation_at(1577836800 + 5, 9000), 9000);
	cr_assert_eq(generation_at(1577836800 + 5, 4000), 5000);
	/* 500 years ahead: half of the range is kept */
	cr_assert_eq(generation_at(18000000000, 0), REGISTRY_GENERATION_MAX / 2);
}

Test(registry_fault, names_may_be_missing_and_each_is_checked)
{
	struct registry_config c = config;
	const char *too_long = "a-name-that-is-much-longer-than-a-name-may-be";

	c.cluster = c.node = c.release = NULL;
	cr_assert_eq(registry_create(&node, run_dir, &c, &error), 0);
	registry_destroy(&node);
	c.cluster = too_long;
	cr_assert_eq(registry_create(&node, run_dir, &c, &error), -HAVEN_EINVAL);
	c.cluster = NULL;
	c.release = too_long;
	cr_assert_eq(registry_create(&node, run_dir, &c, &error), -HAVEN_EINVAL);
	registry_destroy(&node); /* of what was never made: nothing */
}

static int shaped(struct registry_shape shape, const char *field)
{
	struct registry_config c = config;
	int status;

	c.shape = shape;
	status = registry_create(&node, run_dir, &c, &error);
	if (status)
		cr_assert_not_null(strstr(error.text, field), "%s", error.text);
	else
		registry_destroy(&node);
	return status;
}

Test(registry_fault, a_shape_out_of_range_is_refused_by_field)
{
	const uint32_t max = UINT32_MAX;

	cr_assert_eq(shaped((struct registry_shape){.components = max}, "components"),
		     -HAVEN_EINVAL);
	cr_assert_eq(shaped((struct registry_shape){.gates = max}, "gates"), -HAVEN_EINVAL);
	cr_assert_eq(shaped((struct registry_shape){.events = 3}, "events"), -HAVEN_EINVAL);
	cr_assert_eq(shaped((struct registry_shape){.changes = 6}, "changes"), -HAVEN_EINVAL);
	cr_assert_eq(shaped((struct registry_shape){.counters_bytes = 65}, "counters_bytes"),
		     -HAVEN_EINVAL);
	cr_assert_eq(shaped((struct registry_shape){.components = 1}, ""), 0, "%s", error.text);
}

/* ---- 2 MiB pages ------------------------------------------------------------------------------
 */

/** A registry "on 2 MiB pages" in a directory that only says that it has them. */
static struct registry_config huge_config(const char *dir)
{
	struct registry_config c = config;

	c.pages.kind = PAGES_HUGE;
	c.huge_dir = dir;
	lie_pages = PAGES_HUGE_BYTES;
	return c;
}

static void drop_huge(void)
{
	char path[64];

	registry_destroy(&node);
	snprintf(path, sizeof(path), "%s/haven-demo-a-registry", run_dir);
	cr_assert_eq(unlink(path), 0);
	cr_assert_eq(unlink(file), 0);
}

Test(registry_fault, every_failing_call_refuses_the_registry_on_large_pages, .timeout = 60)
{
	struct registry_config c = huge_config(run_dir);
	unsigned before = descriptors(), refusals = 0;

	for (unsigned i = 0; i < HAVEN_ARRAY_LEN(errors); i++) {
		for (unsigned at = 1;; at++) {
			int status;

			error.text[0] = 0;
			fault_arm(at, 1, errors[i]);
			status = registry_create(&node, run_dir, &c, &error);
			if (!fault_disarm()) {
				cr_assert_eq(status, 0, "%s", error.text);
				drop_huge();
				break;
			}
			if (status == 0) {
				drop_huge();
				continue;
			}
			refused(status, errors[i], at);
			refusals++;
			cr_assert_eq(files(), 0, "call %u, errno %d left a file", at, errors[i]);
			cr_assert_eq(descriptors(), before, "call %u left a descriptor", at);
		}
	}
	cr_assert_geq(refusals, 100);
}

Test(registry_fault, a_directory_without_2_mib_pages_or_a_name_that_is_no_file_is_refused)
{
	struct registry_config c = huge_config(run_dir);

	lie_pages = 4096;
	cr_assert_eq(registry_create(&node, run_dir, &c, &error), -HAVEN_EINVAL);
	lie_pages = 0;
	cr_assert_eq(registry_create(&node, run_dir, &c, &error), -HAVEN_EINVAL);
	cr_assert_not_null(strstr(error.text, "mount"), "%s", error.text);
	c.node = "a/b";
	cr_assert_eq(registry_create(&node, run_dir, &c, &error), -HAVEN_EINVAL);
	c = huge_config("/tmp/haven-none");
	cr_assert_eq(registry_create(&node, run_dir, &c, &error), -HAVEN_ENOENT);
	cr_assert_eq(files(), 0);
}

Test(registry_fault, a_link_half_made_by_a_node_that_died_gives_way)
{
	struct registry_config c = huge_config(run_dir);
	char fresh[80];

	snprintf(fresh, sizeof(fresh), "%s.new", file);
	cr_assert_eq(symlink("/tmp/haven-none", fresh), 0);
	cr_assert_eq(registry_create(&node, run_dir, &c, &error), 0, "%s", error.text);
	cr_assert_eq(files(), 2, "the link and what it leads to");
	drop_huge();
}

Test(registry_fault, a_link_that_somebody_else_made_gives_way_and_its_target_stays)
{
	char target[80];

	snprintf(target, sizeof(target), "%s/target", run_dir);
	close(open(target, O_CREAT | O_RDWR, 0600));
	cr_assert_eq(symlink(target, file), 0);
	cr_assert_eq(registry_create(&node, run_dir, &config, &error), 0, "%s", error.text);
	registry_destroy(&node);
	cr_assert_eq(unlink(file), 0);
	/* One that looks like ours and leads nowhere. */
	cr_assert_eq(symlink("/tmp/haven-none/haven-x-registry", file), 0);
	cr_assert_eq(registry_create(&node, run_dir, &config, &error), 0, "%s", error.text);
	registry_destroy(&node);
	cr_assert_eq(access(target, F_OK), 0);
	unlink(target);
}

Test(registry_fault, a_full_file_system_that_cannot_say_how_full_is_told_all_the_same)
{
	unsigned told = 0;

	for (unsigned at = 1; at < 30; at++) {
		fault_arm(at, 2, ENOSPC);
		if (registry_create(&node, run_dir, &config, &error) == 0) {
			registry_destroy(&node);
			unlink(file);
		}
		fault_disarm();
		told += strstr(error.text, " 0.0 MiB are free") != NULL;
	}
	cr_assert_gt(told, 0);
}

Test(registry_fault, discarding_what_was_never_made_is_harmless)
{
	node = (struct registry){.fd = -1};
	registry_discard(&node);
	cr_assert_eq(node.fd, -1);
}

/* ---- opening --------------------------------------------------------------------------------- */

static void make(void)
{
	struct registry made;

	cr_assert_eq(registry_create(&made, run_dir, &config, &error), 0);
	registry_destroy(&made);
}

Test(registry_fault, every_failing_call_refuses_to_open_and_leaves_nothing)
{
	unsigned before;

	make();
	before = descriptors();
	for (unsigned i = 0; i < HAVEN_ARRAY_LEN(errors); i++) {
		for (unsigned at = 1;; at++) {
			int status;

			error.text[0] = 0;
			fault_arm(at, 1, errors[i]);
			status = registry_open(&node, run_dir, &error);
			if (!fault_disarm()) {
				cr_assert_eq(status, 0, "%s", error.text);
				cr_assert_geq(at, 5);
				registry_close(&node);
				registry_close(&node); /* twice is harmless */
				break;
			}
			/* A directory that cannot be looked at is taken for a file. */
			refused(status, errors[i], at);
			cr_assert_eq(descriptors(), before, "call %u left a descriptor", at);
		}
	}
}

Test(registry_fault, every_failing_call_refuses_to_open_what_is_linked)
{
	struct registry_config c = huge_config(run_dir);

	cr_assert_eq(registry_create(&node, run_dir, &c, &error), 0, "%s", error.text);
	for (unsigned at = 1;; at++) {
		struct registry other;
		int status;

		fault_arm(at, 1, EIO);
		status = registry_open(&other, run_dir, &error);
		if (!fault_disarm()) {
			cr_assert_eq(status, 0, "%s", error.text);
			registry_close(&other);
			cr_assert_geq(at, 6);
			break;
		}
		cr_assert_lt(status, 0, "call %u", at);
	}
	drop_huge();
}

Test(registry_fault, a_registry_one_may_not_read_is_told_as_that)
{
	int status;
	pid_t pid;

	make();
	cr_assert_eq(chmod(run_dir, 0755), 0);
	cr_assert_eq(chmod(file, 0600), 0);
	if (geteuid() != 0)
		cr_skip_test("only root can become somebody else");
	pid = fork();
	if (pid == 0) {
		if (setuid(65534) != 0)
			_exit(2);
		_exit(registry_open(&node, run_dir, &error) == -HAVEN_EPERM ? 0 : 1);
	}
	cr_assert_eq(waitpid(pid, &status, 0), pid);
	cr_assert_eq(status, 0);
}

/* ---- no room --------------------------------------------------------------------------------- */

Test(registry_fault, a_full_file_system_is_told_and_the_old_registry_stays)
{
	struct registry_config large = config;
	struct registry other;

	if (mount("none", run_dir, "tmpfs", 0, "size=512k") != 0)
		cr_skip_test("no right to mount a small tmpfs: %s", strerror(errno));
	make();
	large.shape.components = 100000;
	error.text[0] = 0;
	cr_expect_eq(registry_create(&node, run_dir, &large, &error), -HAVEN_ENOMEM);
	cr_expect_not_null(strstr(error.text, "no room for a registry"), "%s", error.text);
	cr_expect_eq(files(), 1, "the half-made file is gone");
	cr_expect_eq(registry_open(&other, run_dir, &error), 0, "%s", error.text);
	cr_expect_eq(other.header->incarnation, 42);
	registry_close(&other);
	cr_assert_eq(umount2(run_dir, MNT_DETACH), 0);
}
