/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Timers for this host: watches how long a poll loop here is kept from looking, adds what running
 * nodes have seen of their paths, and proposes timers for a wanted rate of false alarms.
 */
#include <inttypes.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "clock.h"
#include "command.h"
#include "haven_assert.h"
#include "output.h"
#include "tune.h"

#define FLOOR_NS 10000u
#define GAPS_MAX (1u << 20)
#define SECONDS_DEFAULT 10
#define SECONDS_MAX 86400

struct tune_run {
	struct context *context;
	uint64_t seconds;
	int cpu; /**< -1: wherever it runs */
	bool polite;
	double wanted;
	uint64_t *gap_ns;
	struct tune_gaps gaps;
};

static const uint64_t limits[] = {20000,    50000,     100000,   200000,   500000,
				  1000000,  2000000,   5000000,  10000000, 20000000,
				  50000000, 100000000, 200000000};

/* ---- measuring --------------------------------------------------------------------------------
 */

static void watch(struct tune_run *r)
{
	uint64_t start = clock_now_ns(), until = start + r->seconds * NSEC_PER_SEC, last = start;
	size_t n = 0;

	while (last < until) {
		uint64_t now = clock_now_ns();

		if (now - last > FLOOR_NS && n < GAPS_MAX)
			r->gap_ns[n++] = now - last;
		last = now;
		/* What others then take is theirs by right, and a gap all the same. */
		if (r->polite)
			sched_yield();
	}
	tune_sort(r->gap_ns, n);
	r->gaps = (struct tune_gaps){r->gap_ns, n, FLOOR_NS, last - start};
}

static int bind_cpu(struct tune_run *r)
{
	cpu_set_t set;

	if (r->cpu < 0)
		return EXIT_GOOD;
	CPU_ZERO(&set);
	CPU_SET((unsigned)r->cpu, &set);
	if (sched_setaffinity(0, sizeof(set), &set) == 0)
		return EXIT_GOOD;
	return output_fail(&r->context->out, EXIT_REFUSED, "choose one that this process may use",
			   "cannot run on CPU %d", r->cpu);
}

/* ---- telling ----------------------------------------------------------------------------------
 */

static json_t *curve_json(const struct tune_run *r)
{
	json_t *list = json_array();

	for (unsigned i = 0; i < HAVEN_ARRAY_LEN(limits); i++) {
		struct tune_point p = tune_at(&r->gaps, limits[i]);
		json_t *o = json_object();

		put_count(o, "gap_ns", limits[i]);
		json_object_set_new(o, "per_hour", json_real(p.per_hour));
		json_object_set_new(o, "at_most_per_hour", json_real(p.at_most));
		put_yes(o, "extrapolated", p.extrapolated);
		json_array_append_new(list, o);
	}
	return list;
}

static void duration_text(uint64_t ns, char *out, size_t size)
{
	if (ns % NSEC_PER_MSEC == 0)
		snprintf(out, size, "%" PRIu64 "ms", (uint64_t)(ns / NSEC_PER_MSEC));
	else
		snprintf(out, size, "%gus", (double)ns / 1e3);
}

static void timers_text(const struct tune_timers *t, char *out, size_t size)
{
	const uint64_t value[] = {t->interval_ns, t->suspect_ns, t->lease_ns, t->guard_ns,
				  t->stall_ns};
	static const char *const name[] = {"interval", "suspect", "lease", "guard", "stall"};
	int n = snprintf(out, size, "timers: {");

	for (unsigned i = 0; i < HAVEN_ARRAY_LEN(value); i++) {
		char text[32];

		duration_text(value[i], text, sizeof(text));
		n += snprintf(out + n, size - (size_t)n, "%s%s: %s", i ? ", " : "", name[i], text);
	}
	snprintf(out + n, size - (size_t)n, "}");
}

static void rate_text(double per_hour, char *out, size_t size)
{
	static const struct {
		double hours;
		const char *name;
	} span[] = {{1, "hour"}, {24, "day"}, {24 * 365, "year"}};

	for (unsigned i = 0; i < HAVEN_ARRAY_LEN(span); i++) {
		double n = per_hour * span[i].hours;

		if (n >= 1 || (i == 2 && n >= 0.1)) {
			snprintf(out, size, n < 10 ? "%.1f per %s" : "%.0f per %s", n,
				 span[i].name);
			return;
		}
	}
	snprintf(out, size, "none expected");
}

static void print_curve(const struct tune_run *r)
{
	char gap[32], rate[32], bound[32];

	printf("%-12s %-20s %-24s\n", "GAP LONGER", "EXPECTED", "AT MOST (95 %, SEEN)");
	for (unsigned i = 0; i < HAVEN_ARRAY_LEN(limits); i++) {
		struct tune_point p = tune_at(&r->gaps, limits[i]);

		duration_text(limits[i], gap, sizeof(gap));
		rate_text(p.per_hour, rate, sizeof(rate));
		rate_text(p.at_most, bound, sizeof(bound));
		printf("%-12s %-20s %-20s%s\n", gap, rate, bound,
		       p.extrapolated ? " continued" : "");
	}
}

static void print_all(const struct tune_run *r, const struct tune_timers *t)
{
	char text[160], rate[32], longest[32];

	format_duration(r->gaps.n ? r->gaps.gap_ns[0] : 0, longest, sizeof(longest));
	printf("watched a %s loop%s for %" PRIu64 " s: %zu gaps over 10 us, the longest %s\n\n",
	       r->polite ? "polite" : "busy", r->cpu >= 0 ? " on one CPU" : "", r->seconds,
	       r->gaps.n, longest);
	print_curve(r);
	timers_text(t, text, sizeof(text));
	rate_text(t->per_hour, rate, sizeof(rate));
	printf("\n%s\n", text);
	printf("# wrong suspicions: %s%s\n", rate,
	       t->extrapolated ? ", by the continued tail: watch longer to know" : "");
}

/* ---- picture ----------------------------------------------------------------------------------
 */

static int plot(const struct tune_run *r, const char *file)
{
	FILE *to = popen("gnuplot", "w");

	if (!to)
		return output_fail(&r->context->out, EXIT_REFUSED, "install gnuplot",
				   "cannot start gnuplot");
	fprintf(to,
		"set terminal pngcairo size 900,560\nset output '%s'\nset logscale xy\n"
		"set xlabel 'gap longer than (us)'\nset ylabel 'times an hour'\nset grid\n"
		"set key top right\nplot '-' using 1:2 with linespoints title 'expected', "
		"'-' using 1:2 with lines dashtype 2 title 'at most (95%%, seen)'\n",
		file);
	for (unsigned pass = 0; pass < 2; pass++) {
		for (unsigned i = 0; i < HAVEN_ARRAY_LEN(limits); i++) {
			struct tune_point p = tune_at(&r->gaps, limits[i]);
			double y = pass ? p.at_most : p.per_hour;

			if (y > 1e-6)
				fprintf(to, "%g %g\n", (double)limits[i] / 1e3, y);
		}
		fputs("e\n", to);
	}
	if (pclose(to) != 0)
		return output_fail(&r->context->out, EXIT_REFUSED,
				   "check the path, and that gnuplot is installed",
				   "gnuplot made no picture %s", file);
	return EXIT_GOOD;
}

/* ---- the command ------------------------------------------------------------------------------
 */

static int options_take(struct tune_run *r)
{
	struct context *c = r->context;
	const char *rate = option_text(c, "false-alarms", "1"), *file = option_text(c, "plot", "");
	uint64_t cpu;
	char *end;

	if (!option_number(c, "seconds", SECONDS_DEFAULT, &r->seconds) ||
	    !option_number(c, "cpu", UINT64_MAX, &cpu))
		return EXIT_USAGE;
	r->cpu = cpu < CPU_SETSIZE ? (int)cpu : -1;
	r->polite = !option_given(c, "busy");
	r->wanted = strtod(rate, &end);
	if (end == rate || *end || !(r->wanted > 0))
		return output_fail(&c->out, EXIT_USAGE, "a number of suspicions per hour: 1, 0.01",
				   "--false-alarms: \"%s\" is no rate", rate);
	if (r->seconds == 0 || r->seconds > SECONDS_MAX || (option_given(c, "cpu") && r->cpu < 0))
		return output_fail(&c->out, EXIT_USAGE, "seconds from 1 to 86400, a CPU's number",
				   "--seconds or --cpu is out of range");
	if (strchr(file, '\''))
		return output_fail(&c->out, EXIT_USAGE, NULL, "--plot: no quotes in the name");
	return EXIT_GOOD;
}

static int tune_run(struct context *c)
{
	struct tune_run r = {.context = c};
	struct tune_timers t;
	char text[160];
	json_t *data;
	int code = options_take(&r);

	if (!code)
		code = bind_cpu(&r);
	if (code)
		return code;
	r.gap_ns = calloc(GAPS_MAX, sizeof(*r.gap_ns));
	if (!r.gap_ns)
		return output_fail(&c->out, EXIT_REFUSED, NULL, "memory ran out");
	watch(&r);
	t = tune_propose(&r.gaps, r.wanted, 0);
	if (c->out.json) {
		data = json_object();
		put_count(data, "watched_ns", r.gaps.watched_ns);
		put_count(data, "gaps", r.gaps.n);
		put_count(data, "longest_ns", r.gaps.n ? r.gaps.gap_ns[0] : 0);
		put_yes(data, "polite", r.polite);
		json_object_set_new(data, "curve", curve_json(&r));
		timers_text(&t, text, sizeof(text));
		put_text(data, "timers", text);
		json_object_set_new(data, "false_alarms_per_hour", json_real(t.per_hour));
		put_yes(data, "extrapolated", t.extrapolated);
		output_json("tune/1", data);
	} else if (!c->quiet) {
		print_all(&r, &t);
	}
	if (option_given(c, "plot"))
		code = plot(&r, option_text(c, "plot", ""));
	free(r.gap_ns);
	return code;
}

static const struct option_spec tune_options[] = {
	{"seconds", 0, "N", "how long to watch (default 10; an hour tells about an hour)"},
	{"cpu", 0, "N", "watch on this CPU, where a node is to poll"},
	{"busy", 0, NULL, "as poll: busy does it, without yielding (default: polite)"},
	{"false-alarms", 0, "RATE",
	 "wrong suspicions of a peer per hour that are wanted (default 1)"},
	{"plot", 0, "FILE", "write the curve as a PNG picture (needs gnuplot)"},
	{0},
};

const struct command command_tune = {
	.name = "tune",
	.arguments = "",
	.summary = "propose timers for this host",
	.details =
		"Watch how long a poll loop on this host is kept from looking, show how often gaps "
		"of each length are to be expected, and propose timers for a wanted rate of false "
		"alarms. What was never seen is continued as a power law through the longest gaps, "
		"and marked. Run it on each host of a cluster, with the load that is usual there, "
		"and take the longest timers.",
	.options = tune_options,
	.run = tune_run,
};
