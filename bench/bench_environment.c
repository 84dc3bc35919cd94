/* SPDX-License-Identifier: BSD-3-Clause */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>

#include "bench.h"

/* Value of the first line of `file` that begins with `key` ("" : the first line). */
static void read_value(const char *file, const char *key, char *out, size_t size)
{
	FILE *f = fopen(file, "re");
	char line[512];

	snprintf(out, size, "unknown");
	while (f && fgets(line, sizeof(line), f)) {
		const char *at = line;

		if (strncmp(line, key, strlen(key)))
			continue;
		if (*key && (at = strchr(line, ':')))
			at += 1 + strspn(at + 1, " \t");
		if (at)
			snprintf(out, size, "%.*s", (int)strcspn(at, "\n"), at);
		break;
	}
	if (f)
		fclose(f);
}

json_t *bench_environment(void)
{
	char cpu[256], governor[64], clock[64], when[64];
	time_t now = time(NULL);
	json_t *o = json_object();
	struct utsname kernel;
	struct tm utc;
	double load[3] = {0};

	read_value("/proc/cpuinfo", "model name", cpu, sizeof(cpu));
	read_value("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor", "", governor,
		   sizeof(governor));
	read_value("/sys/devices/system/clocksource/clocksource0/current_clocksource", "", clock,
		   sizeof(clock));
	uname(&kernel);
	gmtime_r(&now, &utc);
	strftime(when, sizeof(when), "%Y-%m-%dT%H:%M:%SZ", &utc);
	getloadavg(load, 3);
	json_object_set_new(o, "at", json_string(when));
	json_object_set_new(o, "cpu", json_string(cpu));
	json_object_set_new(o, "cpus", json_integer(sysconf(_SC_NPROCESSORS_ONLN)));
	json_object_set_new(o, "governor", json_string(governor));
	json_object_set_new(o, "clock_source", json_string(clock));
	json_object_set_new(o, "kernel", json_string(kernel.release));
	json_object_set_new(o, "machine", json_string(kernel.machine));
	json_object_set_new(o, "compiler", json_string(__VERSION__));
	json_object_set_new(o, "optimized",
			    json_boolean(
#ifdef __OPTIMIZE__
				    1
#else
				    0
#endif
				    ));
	json_object_set_new(o, "version", json_string(HAVEN_VERSION));
	json_object_set_new(o, "revision", json_string(BENCH_REVISION));
	json_object_set_new(o, "load_1min", json_real(load[0]));
	return o;
}
