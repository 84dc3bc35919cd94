/* SPDX-License-Identifier: BSD-3-Clause */
/* The keys two_voters and fence, and the rules about the program that is named there. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "config.h"
#include "fault.h"

#define HEAD "cluster: demo\nkey_file: demo.key\n"
#define A "  - {name: a, run_dir: /tmp/x/a, ports: [net_null0]}\n"
#define B "  - {name: b, run_dir: /tmp/x/b, ports: [net_null0]}\n"
#define W "  - {name: w, run_dir: /tmp/x/w, ports: [net_null0], witness: true}\n"
#define GROUPS "groups:\n  - {name: nat, instances: [nat0], nodes: [a, b]}\n"
#define TWO HEAD "nodes:\n" A B GROUPS
#define THREE HEAD "nodes:\n" A B W GROUPS
#define COMMAND "fence: {command: [/bin/true]}\n"

FAULT(uid_t, 12345, geteuid, (void), ())

static char folder[] = "/tmp/haven-test-fence-XXXXXX", file[64], program[64];

static void make(void)
{
	cr_assert(mkdtemp(folder));
	snprintf(file, sizeof(file), "%s/cluster.yaml", folder);
	snprintf(program, sizeof(program), "%s/fence", folder);
}

static void clear(void)
{
	unlink(file);
	unlink(program);
	rmdir(folder);
}

TestSuite(config_fence, .init = make, .fini = clear);

static struct config *load(const char *text, int expected)
{
	struct config *c;
	FILE *f = fopen(file, "w");

	cr_assert(f && fputs(text, f) >= 0 && fclose(f) == 0);
	cr_assert_eq(config_load(&c, file), expected, "%s: %s", text,
		     c->n_findings ? c->finding[0].reason : "no finding");
	return c;
}

/** True when one of the findings says this. */
static bool says(const struct config *c, const char *reason, const char *remedy)
{
	for (unsigned i = 0; i < c->n_findings; i++) {
		if (strstr(c->finding[i].reason, reason) && strstr(c->finding[i].remedy, remedy))
			return true;
	}
	return false;
}

static void refused(const char *text, const char *reason, const char *remedy)
{
	struct config *c = load(text, -HAVEN_ECONFIG);

	cr_assert(says(c, reason, remedy), "wanted '%s' (%s) for:\n%slast finding: %s", reason,
		  remedy, text, c->finding[c->n_findings - 1].reason);
	config_free(c);
}

Test(config_fence, a_command_with_its_arguments_and_times_is_taken_with_a_warning)
{
	struct config *c =
		load(TWO "two_voters: fence\n"
			 "fence: {command: [/bin/true, --port, \"7\"], timeout: 20s, delay: 3s}\n",
		     0);

	cr_expect_eq(c->two_voters, CONFIG_FENCE);
	cr_assert_eq(c->fence.n_arguments, 3);
	cr_expect_str_eq(c->fence.argument[0], "/bin/true");
	cr_expect_str_eq(c->fence.argument[2], "7");
	cr_expect_eq(c->fence.timeout_ns, 20000000000);
	cr_expect_eq(c->fence.delay_ns, 3000000000);
	cr_expect_eq(c->warnings, 1);
	cr_expect(says(c, "lets both go on", "witness"));
	config_check_fence(c);
	cr_expect_eq(c->errors, 0, "%s", c->finding[c->n_findings - 1].reason);
	config_free(c);
}

Test(config_fence, the_delay_is_the_timeout_unless_it_is_given)
{
	struct config *c = load(TWO "two_voters: fence\n" COMMAND, 0);

	cr_expect_eq(c->fence.timeout_ns, 10000000000);
	cr_expect_eq(c->fence.delay_ns, 10000000000);
	config_free(c);
	c = load(TWO "two_voters: fence\nfence: {command: [/bin/true], delay: 0}\n", 0);
	cr_expect_eq(c->fence.delay_ns, 0);
	config_free(c);
	c = load(TWO "two_voters: fence\nfence: {command: [/bin/true], delay: 0s}\n", 0);
	cr_expect_eq(c->fence.delay_ns, 0);
	config_free(c);
}

Test(config_fence, what_does_not_fit_together_is_refused)
{
	refused(TWO "two_voters: maybe\n", "two_voters cannot be 'maybe'", "fence");
	refused(TWO "two_voters: maybe\n", "two voters cannot tell", "two_voters: fence");
	refused(TWO "two_voters: fence\n", "needs the key 'fence'", "command:");
	refused(TWO "two_voters: operator\n" COMMAND, "with two_voters: fence alone", "remove");
	refused(THREE COMMAND, "with two_voters: fence alone", "remove 'fence'");
	refused(THREE "two_voters: fence\n" COMMAND, "two_voters: fence is for exactly two voters",
		"remove 'two_voters'");
	refused(THREE "two_voters: operator\n", "two_voters: operator is for exactly", "remove");
}

Test(config_fence, what_is_wrong_in_the_section_is_told)
{
	refused(TWO "two_voters: fence\nfence: {timeout: 5s}\n", "'command' is missing",
		"command:");
	refused(TWO "two_voters: fence\nfence: {command: []}\n", "names no program", "command:");
	refused(TWO "two_voters: fence\nfence: {command: [fence-peer]}\n",
		"'fence-peer' is not an absolute path", "absolute");
	refused(TWO "two_voters: fence\nfence: {command: /bin/true}\n", "must be a list", "list");
	refused(TWO "two_voters: fence\nfence: {command: [/bin/true, []]}\n",
		"must be a single value", "");
	refused(TWO "two_voters: fence\nfence: {command: [/bin/true], timeout: 0s}\n",
		"timeout '0s' is not a duration", "");
	refused(TWO "two_voters: fence\nfence: {command: [/bin/true], delay: [1s]}\n",
		"delay must be a single value", "");
	refused(TWO "two_voters: fence\nfence: {command: [/bin/a, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, "
		    "11, 12, 13, 14, 15, 16]}\n",
		"too many arguments of fence.command", "");
}

/** What the check of this host says of the program as it is now. */
static void host_says(const char *reason, const char *remedy)
{
	char text[1024];
	struct config *c;
	unsigned before;

	snprintf(text, sizeof(text), TWO "two_voters: fence\nfence: {command: [%s]}\n", program);
	c = load(text, 0);
	before = c->n_findings;
	config_check_fence(c);
	if (reason)
		cr_assert(c->errors == 1 && says(c, reason, remedy), "wanted %s", reason);
	else
		cr_assert_eq(c->n_findings, before, "%s", c->finding[before].reason);
	config_free(c);
}

Test(config_fence, the_program_must_be_there_and_in_nobody_elses_hands)
{
	FILE *f;

	host_says("No such file", "install it");
	f = fopen(program, "w");
	cr_assert(f && fclose(f) == 0);
	cr_assert_eq(chmod(program, 0644), 0);
	host_says("is not a program", "chmod 0755");
	cr_assert_eq(chmod(program, 0775), 0);
	host_says("can be written by others", "chmod go-w");
	cr_assert_eq(chmod(program, 0757), 0);
	host_says("can be written by others", "chmod go-w");
	cr_assert_eq(chmod(program, 0755), 0);
	host_says(NULL, NULL);
	if (geteuid() == 0) {
		cr_assert_eq(chown(program, 12345, (gid_t)-1), 0);
		host_says("belongs to user 12345", "chown root");
		fault_arm(1, 1, 0);
		host_says(NULL, NULL);
		cr_assert(fault_disarm(), "it is the node's user that is looked at");
	}
	cr_assert(unlink(program) == 0 && mkdir(program, 0755) == 0);
	host_says("is not a program", "");
	rmdir(program);
}

Test(config_fence, without_a_command_there_is_nothing_to_check)
{
	struct config *c = load(THREE, 0);

	config_check_fence(c);
	cr_expect_eq(c->errors, 0);
	config_free(c);
}
