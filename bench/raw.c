/* SPDX-License-Identifier: BSD-3-Clause */
#include "raw.h"

#include <rte_ethdev.h>
#include <rte_mbuf.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "atomic.h"
#include "bench.h"
#include "clock.h"
#include "eal.h"
#include "port.h"

#define BUFFERS 8191u
#define TRIP_BYTES 64u
#define START_NS (10 * NSEC_PER_SEC)
#define MEMORY_MB 64u

struct raw_end {
	struct rte_mempool *pool;
	struct port port;
	uint64_t until_ns; /**< nobody goes on after this, whatever happens */
};

static int complain(const struct error_text *error)
{
	fprintf(stderr, "haven-bench: raw port: %s\n", error->text);
	return 1;
}

static int end_open(struct raw_end *e, struct raw_result *out, const char *dir, unsigned cpu)
{
	const struct port_ends ends = {.n = 2};
	const struct eal_options options = {.runtime_dir = dir,
					    .prefix = cpu ? "client" : "server",
					    .cpu = (int)cpu,
					    .memory_mb = MEMORY_MB};
	struct error_text error;
	char spec[PORT_SPEC_MAX];

	snprintf(spec, sizeof(spec),
		 "net_memif0,role=%s,id=0,socket=%s/memif,socket-abstract=no,bsize=2048,rsize=10",
		 cpu ? "client" : "server", dir);
	if (eal_start(&options, &error))
		return complain(&error);
	while (cpu && !load_acquire(&out->listening) && clock_now_ns() < e->until_ns)
		usleep(1000);
	e->pool = port_pool_create("raw", BUFFERS, &error);
	if (!e->pool || port_open(&e->port, spec, e->pool, &ends, &error))
		return complain(&error);
	store_release(&out->listening, 1);
	while (!port_link_ask(&e->port)) {
		if (clock_now_ns() > e->until_ns) {
			fputs("haven-bench: raw port: the other end does not come\n", stderr);
			return 1;
		}
		usleep(1000);
	}
	return 0;
}

/* Sends back what is short, swallows what is long. */
static int serve(struct raw_end *e, struct raw_result *out)
{
	struct rte_mbuf *m[PORT_BURST];

	while (clock_now_ns() < e->until_ns) {
		uint16_t n = rte_eth_rx_burst(e->port.id, 0, m, PORT_BURST);

		for (uint16_t i = 0; i < n; i++) {
			if (m[i]->pkt_len <= TRIP_BYTES &&
			    rte_eth_tx_burst(e->port.id, 0, &m[i], 1) == 1)
				continue;
			store_release(&out->arrived, out->arrived + 1);
			rte_pktmbuf_free(m[i]);
		}
	}
	return 0;
}

static struct rte_mbuf *frame_of(struct raw_end *e, uint16_t bytes)
{
	struct rte_mbuf *m = rte_pktmbuf_alloc(e->pool);
	char *data = m ? rte_pktmbuf_append(m, bytes) : NULL;

	if (data)
		memset(data, 0, bytes);
	return m;
}

static void trips(struct raw_end *e, struct raw_result *out)
{
	while (out->trips < RAW_TRIPS && clock_now_ns() < e->until_ns) {
		struct rte_mbuf *m = frame_of(e, TRIP_BYTES), *back;
		uint64_t begin = clock_now_ns();

		if (!m || rte_eth_tx_burst(e->port.id, 0, &m, 1) != 1) {
			rte_pktmbuf_free(m);
			continue;
		}
		while (rte_eth_rx_burst(e->port.id, 0, &back, 1) != 1) {
			if (clock_now_ns() > e->until_ns)
				return;
		}
		out->trip_ns[out->trips++] = clock_now_ns() - begin;
		rte_pktmbuf_free(back);
	}
}

/* Writes each frame anew, as a sender of records must. */
static void stream(struct raw_end *e, struct raw_result *out, uint64_t duration_ns)
{
	uint64_t from = clock_now_ns(), until = from + duration_ns;
	uint64_t first = load_acquire(&out->arrived);
	struct rte_mbuf *m[PORT_BURST];

	while (clock_now_ns() < until) {
		uint16_t n = 0, sent = 0;

		while (n < PORT_BURST && (m[n] = frame_of(e, RAW_FRAME_BYTES)))
			n++;
		while (sent < n && clock_now_ns() < until)
			sent += rte_eth_tx_burst(e->port.id, 0, &m[sent], n - sent);
		for (; sent < n; sent++)
			rte_pktmbuf_free(m[sent]);
	}
	out->ns = clock_now_ns() - from;
	out->frames = load_acquire(&out->arrived) - first;
}

static pid_t end_start(struct raw_result *out, const char *dir, unsigned cpu, uint64_t duration_ns)
{
	pid_t pid = fork();

	if (pid == 0) {
		static struct raw_end e;

		prctl(PR_SET_PDEATHSIG, SIGKILL);
		bench_pin(cpu);
		e.until_ns = clock_now_ns() + START_NS + 2 * duration_ns;
		if (end_open(&e, out, dir, cpu))
			_exit(1);
		if (cpu) {
			trips(&e, out);
			stream(&e, out, duration_ns);
		} else {
			serve(&e, out);
		}
		_exit(0);
	}
	return pid;
}

int raw_measure(struct raw_result *out, uint64_t duration_ns)
{
	char dir[64];
	int status = 0, code = bench_scratch_make(dir, sizeof(dir));
	pid_t server, client;

	if (code)
		return code;
	memset(out, 0, sizeof(*out));
	fflush(NULL);
	server = end_start(out, dir, 0, duration_ns);
	client = end_start(out, dir, 1, duration_ns);
	if (client > 0 && waitpid(client, &status, 0) == client)
		code = !WIFEXITED(status) || WEXITSTATUS(status) || out->trips == 0;
	else
		code = 1;
	if (server > 0) {
		kill(server, SIGKILL);
		waitpid(server, NULL, 0);
	}
	bench_scratch_remove(dir);
	if (code)
		fputs("haven-bench: the raw port could not be measured\n", stderr);
	return code;
}
