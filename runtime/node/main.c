/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * havend: one Haven node as a program of its own.
 */
#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

#include "haven_node.h"

enum exit_code { EXIT_FINE = 0, EXIT_OTHER = 1, EXIT_USAGE = 2, EXIT_CONFIG = 7 };

static struct haven_node *running;

static const char usage[] =
	"usage: havend --config FILE --node NAME [options]\n"
	"       havend --check FILE [--node NAME] [--force]\n"
	"\n"
	"  --config FILE      cluster configuration, the same on every node\n"
	"  --node NAME        which of its nodes this is\n"
	"  --check FILE       check a configuration and this host, then exit\n"
	"  --poll MODE        polite (yield the CPU when idle) or busy; default: as configured\n"
	"  --force            start although this host stalls longer than the lease allows\n"
	"  --ready-fd N       write a line to descriptor N once the node polls\n"
	"  --version, --help\n"
	"\n"
	"SIGHUP: read the file again; poll and timers.stuck change at once\n"
	"exit: 0 fine, 1 could not run, 2 wrong usage, 7 configuration refused\n";

struct arguments {
	struct haven_node_options options;
	const char *check;
	int ready_fd;
};

static void print_report(void *context, enum haven_node_report kind, const char *sentence)
{
	(void)context;
	switch (kind) {
	case HAVEN_NODE_ERROR:
		fprintf(stderr, "havend: error: %s\n", sentence);
		break;
	case HAVEN_NODE_WARNING:
		fprintf(stderr, "havend: warning: %s\n", sentence);
		break;
	case HAVEN_NODE_NOTICE:
		fprintf(stderr, "havend: %s\n", sentence);
		break;
	case HAVEN_NODE_FINDING:
		fprintf(stderr, "%s\n", sentence);
		break;
	}
}

static void on_signal(int number)
{
	(void)number;
	if (running)
		haven_node_stop(running);
}

static int usage_error(const char *what, const char *value)
{
	fprintf(stderr, "havend: error: %s%s%s\n%s", what, value ? " " : "", value ? value : "",
		usage);
	return EXIT_USAGE;
}

static int parse_fd(const char *text, int *out)
{
	char *end;
	long value;

	errno = 0;
	value = strtol(text, &end, 10);
	if (errno || end == text || *end || value < 0 || value > 1 << 20)
		return usage_error("--ready-fd wants a descriptor's number, not", text);
	*out = (int)value;
	return -1;
}

static int parse_poll(const char *text, enum haven_node_poll_mode *out)
{
	if (strcmp(text, "polite") == 0)
		*out = HAVEN_NODE_POLL_POLITE;
	else if (strcmp(text, "busy") == 0)
		*out = HAVEN_NODE_POLL_BUSY;
	else
		return usage_error("--poll wants polite or busy, not", text);
	return -1;
}

/* An exit code, or -1 to go on. */
static int parse(int argc, char **argv, struct arguments *a)
{
	static const struct option options[] = {
		{"config", required_argument, NULL, 'c'},
		{"node", required_argument, NULL, 'n'},
		{"check", required_argument, NULL, 'k'},
		{"poll", required_argument, NULL, 'p'},
		{"force", no_argument, NULL, 'f'},
		{"ready-fd", required_argument, NULL, 'r'},
		{"version", no_argument, NULL, 'V'},
		{"help", no_argument, NULL, 'h'},
		{0},
	};
	int c, code = -1;

	while (code < 0 && (c = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (c == 'c')
			a->options.config_file = optarg;
		else if (c == 'n')
			a->options.node = optarg;
		else if (c == 'k')
			a->check = optarg;
		else if (c == 'f')
			a->options.force = true;
		else if (c == 'p')
			code = parse_poll(optarg, &a->options.poll);
		else if (c == 'r')
			code = parse_fd(optarg, &a->ready_fd);
		else if (c == 'V')
			code = printf("havend " HAVEN_VERSION "\n") > 0 ? EXIT_FINE : EXIT_OTHER;
		else if (c == 'h')
			code = fputs(usage, stdout) >= 0 ? EXIT_FINE : EXIT_OTHER;
		else
			code = usage_error("unknown option or missing value", NULL);
	}
	if (code >= 0)
		return code;
	if (optind < argc)
		return usage_error("unexpected argument", argv[optind]);
	if (!a->check && (!a->options.config_file || !a->options.node))
		return usage_error("--config and --node are needed, or --check", NULL);
	return -1;
}

static int check(struct arguments *a)
{
	a->options.config_file = a->check;
	if (haven_node_check(&a->options) != 0)
		return EXIT_CONFIG;
	printf("%s: valid\n", a->check);
	return EXIT_FINE;
}

static void on_hangup(int number)
{
	(void)number;
	if (running)
		haven_node_reload(running);
}

static void install_signals(void)
{
	struct sigaction stop = {.sa_handler = on_signal}, ignore = {.sa_handler = SIG_IGN};
	struct sigaction reload = {.sa_handler = on_hangup};

	sigaction(SIGTERM, &stop, NULL);
	sigaction(SIGINT, &stop, NULL);
	sigaction(SIGHUP, &reload, NULL);
	sigaction(SIGPIPE, &ignore, NULL);
}

/* Two descriptors for each application: as many as this process may have. */
static void take_descriptors(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < limit.rlim_max) {
		limit.rlim_cur = limit.rlim_max;
		setrlimit(RLIMIT_NOFILE, &limit);
	}
}

static int serve(struct arguments *a)
{
	struct haven_node *n;
	int err = haven_node_open(&n, &a->options);

	if (err)
		return err == -HAVEN_ECONFIG ? EXIT_CONFIG : EXIT_OTHER;
	running = n;
	install_signals();
	take_descriptors();
	/* Nothing started from here can gain rights that this process does not have. */
	prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
	err = haven_node_eal_start(n);
	if (!err)
		err = haven_node_start(n);
	if (!err) {
		haven_node_poll(n);
		if (a->ready_fd >= 0 && dprintf(a->ready_fd, "ready %s\n", a->options.node) < 0)
			print_report(NULL, HAVEN_NODE_WARNING,
				     "cannot write to the ready descriptor");
		haven_node_run(n);
	}
	running = NULL;
	haven_node_close(n);
	return err ? EXIT_OTHER : EXIT_FINE;
}

int main(int argc, char **argv)
{
	struct arguments a = {.options = {.report = print_report}, .ready_fd = -1};
	int code = parse(argc, argv, &a);

	if (code >= 0)
		return code;
	return a.check ? check(&a) : serve(&a);
}
