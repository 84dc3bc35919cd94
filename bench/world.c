/* SPDX-License-Identifier: BSD-3-Clause */
#include "world.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "clock.h"
#include "haven.h"

#define TURNS_CPU 1u
/** Turns of its loop after which a node has started. */
#define POLLS_STARTED 1000u

static const char *const names[WORLD_NODES] = {"a", "b", "w"};

static int told(const char *what)
{
	fprintf(stderr, "haven-bench: %s\n", what);
	return 1;
}

void world_run_dir(const struct world *w, unsigned node, char *out, size_t size)
{
	snprintf(out, size, "%s/%s", w->dir, names[node]);
}

/* ---- files ------------------------------------------------------------------------------------
 */

static int write_file(const struct world *w, const char *name, const char *text, mode_t mode)
{
	char path[128];
	int fd, good;

	snprintf(path, sizeof(path), "%s/%s", w->dir, name);
	fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode);
	if (fd < 0)
		return told("cannot write the configuration");
	good = write(fd, text, strlen(text)) == (ssize_t)strlen(text);
	close(fd);
	return good ? 0 : told("cannot write the configuration");
}

/* Each pair has a memif link of its own, its lower node the server: two ports per node. */
static int port_text(const struct world *w, unsigned node, unsigned number, char *out, size_t size)
{
	static const struct {
		unsigned id;
		bool server;
	} port[WORLD_NODES][2] = {
		{{0, true}, {1, true}}, {{0, false}, {2, true}}, {{1, false}, {2, false}}};

	return snprintf(out, size,
			"\"net_memif%u,role=%s,id=%u,socket=%s/memif%u,socket-abstract=no,"
			"bsize=2048,rsize=10\"",
			number, port[node][number].server ? "server" : "client",
			port[node][number].id, w->dir, port[node][number].id);
}

/** Where a node and its application run, or start before they take turns. */
static unsigned cpu_of(const struct world *w, unsigned node)
{
	return !w->options.turns && node == WORLD_B ? 1 : 0;
}

static int write_configuration(const struct world *w)
{
	char text[4096];
	int n = snprintf(text, sizeof(text),
			 "cluster: bench\nkey_file: key\ntimers: {%s}\npoll: polite\nnodes:\n",
			 w->options.timers);

	for (unsigned i = 0; i < WORLD_NODES; i++) {
		char first[160], second[160];

		port_text(w, i, 0, first, sizeof(first));
		port_text(w, i, 1, second, sizeof(second));
		n += snprintf(text + n, sizeof(text) - (size_t)n,
			      "  - name: %s\n    run_dir: %s\n    %s: true\n    cpu: %u\n"
			      "    ports: [%s, %s]\n",
			      names[i], names[i], i == WORLD_W ? "witness" : "voter", cpu_of(w, i),
			      first, second);
	}
	snprintf(text + n, sizeof(text) - (size_t)n,
		 "groups:\n  - {name: work, redundancy: 2N, standby: hot, instances: [work], "
		 "nodes: [a, b]}\n");
	return write_file(w, "cluster.yaml", text, 0644) ||
	       write_file(w, "key",
			  "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff\n",
			  0400);
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *walk)
{
	(void)st;
	(void)type;
	(void)walk;
	return remove(path);
}

/* ---- processes --------------------------------------------------------------------------------
 */

/** Give a process (0: this one) this core, and real-time priority or the usual one. */
static bool place(pid_t pid, unsigned cpu, bool realtime)
{
	const struct sched_param priority = {.sched_priority = realtime ? 1 : 0};
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	return sched_setaffinity(pid, sizeof(set), &set) == 0 &&
	       sched_setscheduler(pid, realtime ? SCHED_FIFO : SCHED_OTHER, &priority) == 0;
}

static int start_node(struct world *w, unsigned node)
{
	char program[600], file[128], log[128];
	pid_t pid;

	snprintf(program, sizeof(program), "%s/havend", w->programs);
	snprintf(file, sizeof(file), "%s/cluster.yaml", w->dir);
	snprintf(log, sizeof(log), "%s/%s.log", w->dir, names[node]);
	pid = fork();
	if (pid == 0) {
		int fd = open(log, O_WRONLY | O_CREAT | O_APPEND, 0644);

		prctl(PR_SET_PDEATHSIG, SIGKILL);
		dup2(fd, STDOUT_FILENO);
		dup2(fd, STDERR_FILENO);
		execl(program, "havend", "--force", "--config", file, "--node", names[node], NULL);
		_exit(127);
	}
	w->node[node] = pid;
	return pid < 0 ? told("cannot start a node") : 0;
}

void world_app_look(struct world_app_line *line, struct haven_worker *worker, unsigned change)
{
	if (change & HAVEN_CHANGE_ROLE)
		store_relaxed(&line->opened_ns, 0);
	if (!line->opened_ns && haven_gate(worker, 0)) {
		store_relaxed(&line->opened_epoch, haven_epoch(worker, 0));
		store_release(&line->opened_ns, clock_now_ns());
	}
}

/* An application that does nothing but keep its role: attach, one table, poll, look at the gate. */
static void app_serve(struct haven *h, struct world *w, unsigned node)
{
	struct world_app_line *line = &w->line[node];
	const struct haven_component_config config = {.name = "work"};
	const struct haven_table_config shape = {"state", 8, 8, 64, 1, 64};
	struct haven_component *c;
	struct haven_worker *worker;
	struct haven_table *t;

	if (haven_component_register(h, &config, &c) || haven_table_create(c, 0, &shape, &t) ||
	    haven_component_ready(c) || haven_worker_begin(c, &worker))
		return;
	if (w->options.turns)
		place(0, TURNS_CPU, true);
	store_release(&line->ready, 1);
	for (;;) {
		unsigned change = haven_poll(worker);

		if (change & HAVEN_CHANGE_NODE)
			return;
		world_app_look(line, worker, change);
		sched_yield();
	}
}

static int start_app(struct world *w, unsigned node)
{
	struct world_app_line *line = &w->line[node];
	char run_dir[96];
	pid_t pid;

	memset(line, 0, sizeof(*line));
	world_run_dir(w, node, run_dir, sizeof(run_dir));
	pid = fork();
	if (pid == 0) {
		struct haven *h;

		prctl(PR_SET_PDEATHSIG, SIGKILL);
		place(0, cpu_of(w, node), false);
		for (int i = 0; i < 200 && haven_attach(&h, run_dir) != 0; i++)
			usleep(20000);
		if (h)
			(w->options.serve ? w->options.serve : app_serve)(h, w, node);
		_exit(1);
	}
	w->app[node] = pid;
	return pid < 0 ? told("cannot start an application") : 0;
}

static void end(pid_t *pid)
{
	if (*pid <= 0)
		return;
	kill(*pid, SIGKILL);
	waitpid(*pid, NULL, 0);
	*pid = 0;
}

/** The loop of a node takes turns with the others; its other threads (DPDK's and the control
 *  thread) must not wait behind it on that core, for they may hold what it needs. */
static bool take_turns(const struct world *w, unsigned node)
{
	char path[64];
	struct dirent *e;
	DIR *tasks;

	snprintf(path, sizeof(path), "/proc/%d/task", (int)w->node[node]);
	tasks = opendir(path);
	while (tasks && (e = readdir(tasks)) != NULL) {
		pid_t thread = (pid_t)atoi(e->d_name);

		if (thread > 0 && thread != w->node[node])
			place(thread, 0, false);
	}
	if (tasks)
		closedir(tasks);
	return tasks && place(w->node[node], TURNS_CPU, true);
}

/* ---- starting --------------------------------------------------------------------------------
 */

/** What a node said last, to explain why it is not there. */
static int told_log(const struct world *w, unsigned node, const char *what)
{
	char path[128], text[1024];
	FILE *log;
	size_t n;

	snprintf(path, sizeof(path), "%s/%s.log", w->dir, names[node]);
	log = fopen(path, "r");
	n = log ? fread(text, 1, sizeof(text) - 1, log) : 0;
	text[n] = '\0';
	if (log)
		fclose(log);
	fprintf(stderr, "haven-bench: %s; node %s says: %s\n", what, names[node], text);
	return 1;
}

/** A memif client starts only beside its server, so nodes start one after the other. */
static int wait_serving(struct world *w, unsigned node)
{
	static struct registry_status s;
	uint64_t until = clock_now_ns() + WORLD_WAIT_NS;

	while (!world_registry_fresh(w, node)) {
		if (waitpid(w->node[node], NULL, WNOHANG) != 0 || clock_now_ns() > until)
			return told_log(w, node, "a node does not start");
		usleep(1000);
	}
	while (!world_status(w, node, &s) || s.polls < POLLS_STARTED) {
		if (waitpid(w->node[node], NULL, WNOHANG) != 0 || clock_now_ns() > until)
			return told_log(w, node, "a node does not poll");
		usleep(1000);
	}
	if (w->options.turns && !take_turns(w, node))
		return told("no real-time priority is to be had: run as root, on two cores");
	return 0;
}

/* ---- faults -----------------------------------------------------------------------------------
 */

uint64_t world_strike(struct world *w, unsigned node, bool app_only, int number)
{
	uint64_t at;

	/* A process that ends takes milliseconds of its core to give its memory back: not of the
	 * core on which the others take turns. */
	if (w->options.turns && number == SIGKILL) {
		place(w->app[node], 0, false);
		if (!app_only)
			place(w->node[node], 0, false);
	}
	at = clock_now_ns();
	kill(w->app[node], number);
	if (!app_only)
		kill(w->node[node], number);
	return at;
}

void world_continue(struct world *w, unsigned node)
{
	kill(w->node[node], SIGCONT);
	kill(w->app[node], SIGCONT);
}

int world_mend(struct world *w, unsigned node, bool app_only)
{
	end(&w->app[node]);
	if (!app_only) {
		end(&w->node[node]);
		if (start_node(w, node) || wait_serving(w, node))
			return 1;
	}
	return start_app(w, node);
}

/* ---- all --------------------------------------------------------------------------------------
 */

static int programs_find(struct world *w)
{
	ssize_t n = readlink("/proc/self/exe", w->programs, sizeof(w->programs) - 32);
	char *slash;

	if (n <= 0)
		return told("cannot find the own program");
	w->programs[n] = '\0';
	slash = strrchr(w->programs, '/');
	*slash = '\0';
	/* Installed beside havend's folder, or in a build folder. */
	strcpy(slash, "/../sbin");
	if (access(w->programs, F_OK) != 0)
		strcpy(slash, "/../runtime");
	return 0;
}

int world_open(struct world *w, const struct world_options *options)
{
	const char *base = getenv("TMPDIR");

	memset(w, 0, sizeof(*w));
	w->options = *options;
	/* On the other core this program, and what it starts, would starve behind those who take
	 * turns, and in the end be given their time. */
	if (options->turns && !place(0, 0, false))
		return told("this program cannot be bound to a core");
	for (unsigned i = 0; i < WORLD_NODES; i++)
		w->registry[i].fd = -1;
	w->line = mmap(NULL, WORLD_APPS * sizeof(*w->line), PROT_READ | PROT_WRITE,
		       MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	snprintf(w->dir, sizeof(w->dir), "%.30s/haven-bench-XXXXXX", base ? base : "/tmp");
	if (w->line == MAP_FAILED || !mkdtemp(w->dir) || programs_find(w) || write_configuration(w))
		return told("cannot prepare the cluster");
	for (unsigned i = 0; i < WORLD_NODES; i++) {
		if (start_node(w, i) || wait_serving(w, i))
			return 1;
	}
	for (unsigned i = 0; i < WORLD_APPS; i++) {
		if (start_app(w, i))
			return 1;
	}
	return world_whole(w) < 0;
}

void world_close(struct world *w)
{
	for (unsigned i = 0; i < WORLD_APPS; i++)
		end(&w->app[i]);
	for (unsigned i = 0; i < WORLD_NODES; i++) {
		end(&w->node[i]);
		registry_close(&w->registry[i]);
	}
	if (w->dir[0])
		nftw(w->dir, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}
