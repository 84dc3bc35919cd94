/* SPDX-License-Identifier: BSD-3-Clause */
#include "step.h"

#include <dlfcn.h>
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <link.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/stat.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

#include "atomic.h"

#if !defined(__x86_64__)
#error "the kill harness knows the instructions of x86-64 only"
#endif

#define SYSCALL_BYTES 0x050fu /* 0f 05 */
#define INT3 0xccul

void step_begin(void)
{
	/* Only now: while it prepared the state, signals and traps were the child's own. */
	if (ptrace(PTRACE_TRACEME, 0, NULL, NULL) != 0)
		_exit(125);
	__asm__ volatile("int3");
}

__attribute__((noinline)) void step_end(const uint32_t *free_running)
{
	if (!load_seq(free_running))
		__asm__ volatile("int3");
}

static uintptr_t peek_rip(pid_t child)
{
	return (uintptr_t)ptrace(PTRACE_PEEKUSER, child, offsetof(struct user, regs.rip), NULL);
}

static pid_t wait_for(pid_t child, int *status, int options)
{
	pid_t got;

	do {
		got = waitpid(child, status, options);
	} while (got < 0 && errno == EINTR);
	return got;
}

static bool trapped(pid_t child)
{
	int status;

	return wait_for(child, &status, 0) == child && WIFSTOPPED(status) &&
	       WSTOPSIG(status) == SIGTRAP;
}

bool step_await(pid_t child, uintptr_t *at)
{
	if (!trapped(child))
		return false;
	ptrace(PTRACE_SETOPTIONS, child, NULL, (void *)PTRACE_O_EXITKILL);
	*at = peek_rip(child);
	return true;
}

int step_one(pid_t child, uintptr_t *at)
{
	if (ptrace(PTRACE_SINGLESTEP, child, NULL, NULL) != 0 || !trapped(child))
		return -1;
	*at = peek_rip(child);
	return *at == (uintptr_t)step_end ? 0 : 1;
}

static void poke_byte(pid_t child, uintptr_t at, uint8_t byte)
{
	uintptr_t word = at & ~(uintptr_t)7;
	unsigned shift = (unsigned)(at - word) * 8;
	uint64_t value;

	errno = 0;
	value = (uint64_t)ptrace(PTRACE_PEEKTEXT, child, word, NULL);
	value = (value & ~(0xfful << shift)) | (uint64_t)byte << shift;
	ptrace(PTRACE_POKETEXT, child, word, value);
}

static void set_rip(pid_t child, uintptr_t at)
{
	ptrace(PTRACE_POKEUSER, child, offsetof(struct user, regs.rip), at);
}

/** Run to the next arrival at `at`, from elsewhere. */
static bool run_to(pid_t child, uintptr_t at, uint8_t original)
{
	uintptr_t rip;

	poke_byte(child, at, INT3);
	if (ptrace(PTRACE_CONT, child, NULL, NULL) != 0 || !trapped(child))
		return false;
	rip = peek_rip(child);
	poke_byte(child, at, original);
	if (rip != at + 1)
		return false; /* the trap in step_end() */
	set_rip(child, at);
	return true;
}

bool step_to(pid_t child, const struct step_place *place)
{
	/* The tracer's own text is the child's. */
	uint8_t original = *(const uint8_t *)place->at;
	uintptr_t rip = peek_rip(child);
	uint32_t hits = rip == place->at; /* where it stands counts */

	while (place->step && hits < place->hit) {
		/* A repeated string instruction stays where it is. */
		if (rip == place->at) {
			if (step_one(child, &rip) != 1)
				return false;
		} else if (run_to(child, place->at, original)) {
			rip = place->at;
		} else {
			return false;
		}
		hits += rip == place->at;
	}
	return true;
}

bool step_finish(pid_t child, int *status)
{
	if (ptrace(PTRACE_CONT, child, NULL, NULL) != 0 || !trapped(child))
		return false;
	ptrace(PTRACE_DETACH, child, NULL, NULL);
	return wait_for(child, status, 0) == child;
}

bool step_leave_stopped(pid_t child)
{
	int status;

	if (ptrace(PTRACE_DETACH, child, NULL, (void *)SIGSTOP) != 0)
		return false;
	return wait_for(child, &status, WUNTRACED) == child && WIFSTOPPED(status);
}

bool step_is_syscall(uintptr_t at)
{
	uint16_t opcode;

	memcpy(&opcode, (const void *)at, sizeof(opcode));
	return opcode == SYSCALL_BYTES;
}

/* ---- symbols --------------------------------------------------------------------------------- */

static struct {
	const uint8_t *file;
	size_t bytes;
	uintptr_t base;
} program;

static int find_base(struct dl_phdr_info *info, size_t size, void *base)
{
	(void)size;
	*(uintptr_t *)base = info->dlpi_addr;
	return 1; /* the first one is the program itself */
}

static bool program_map(void)
{
	int fd = program.file ? -1 : open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
	struct stat st;

	if (program.file)
		return true;
	if (fd < 0 || fstat(fd, &st) != 0)
		return false;
	program.bytes = (size_t)st.st_size;
	program.file = mmap(NULL, program.bytes, PROT_READ, MAP_PRIVATE, fd, 0);
	close(fd);
	dl_iterate_phdr(find_base, &program.base);
	return program.file != MAP_FAILED;
}

/** Function of the program itself (static ones, too), NULL: none. */
static const char *own_symbol(uintptr_t at, uintptr_t *offset)
{
	const Elf64_Ehdr *e = (const void *)program.file;
	const Elf64_Shdr *s = (const void *)(program.file + e->e_shoff);

	for (unsigned i = 0; i < e->e_shnum; i++) {
		const Elf64_Sym *sym = (const void *)(program.file + s[i].sh_offset);
		const char *names;

		if (s[i].sh_type != SHT_SYMTAB)
			continue;
		names = (const char *)(program.file + s[s[i].sh_link].sh_offset);
		for (size_t k = 0; k < s[i].sh_size / sizeof(*sym); k++) {
			*offset = at - program.base - sym[k].st_value;
			if (ELF64_ST_TYPE(sym[k].st_info) == STT_FUNC && *offset < sym[k].st_size)
				return names + sym[k].st_name;
		}
	}
	return NULL;
}

void step_symbol(uintptr_t at, char *out, size_t size)
{
	const char *name = program_map() ? own_symbol(at, &(uintptr_t){0}) : NULL;
	uintptr_t offset = 0;
	Dl_info info;

	if (name) {
		own_symbol(at, &offset);
		snprintf(out, size, "%s+0x%zx (haven-crash+0x%zx)", name, (size_t)offset,
			 (size_t)(at - program.base));
	} else if (dladdr((void *)at, &info) && info.dli_fname) {
		snprintf(out, size, "%s+0x%zx (%s+0x%zx)", info.dli_sname ? info.dli_sname : "?",
			 (size_t)(at -
				  (uintptr_t)(info.dli_sname ? info.dli_saddr : info.dli_fbase)),
			 info.dli_fname, (size_t)(at - (uintptr_t)info.dli_fbase));
	} else {
		snprintf(out, size, "0x%zx", (size_t)at);
	}
}
