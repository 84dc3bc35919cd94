/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The helper for mbufs, with real mbufs and real ports that take everything or nothing. The node is
 * a fake one; each mbuf is accounted for by its pool.
 */
#include "client_app.h"

#include <ftw.h>
#include <rte_eal.h>

#include "haven_dpdk.h"

#define MBUFS 255u
#define RING 16u

static struct rte_mempool *pool;
static char dir[] = "/tmp/haven-dpdk-XXXXXX"; /* DPDK leaves its files here */
static uint16_t takes_all, takes_none;

static void port_start(uint16_t port)
{
	const struct rte_eth_conf conf = {.rxmode = {.mtu = 1500}};

	cr_assert_eq(rte_eth_dev_configure(port, 1, 1, &conf), 0);
	cr_assert_eq(rte_eth_rx_queue_setup(port, 0, 64, SOCKET_ID_ANY, NULL, pool), 0);
	cr_assert_eq(rte_eth_tx_queue_setup(port, 0, 64, SOCKET_ID_ANY, NULL), 0);
	cr_assert_eq(rte_eth_dev_start(port), 0);
}

static void dpdk_start(void)
{
	const char *const fixed[] = {
		"test", "--no-huge",      "--no-pci",         "-m",
		"32",   "--no-telemetry", "--vdev=net_null0", "--log-level=critical"};
	static char text[10][160];
	char *argv[10];

	cr_assert_not_null(mkdtemp(dir));
	for (unsigned i = 0; i < 8; i++)
		snprintf(text[i], sizeof(text[i]), "%s", fixed[i]);
	/* A port that is connected to nobody takes nothing. */
	snprintf(text[8], sizeof(text[8]),
		 "--vdev=net_memif0,role=server,socket-abstract=no,socket=%s/nobody", dir);
	snprintf(text[9], sizeof(text[9]), "--file-prefix=haven-dpdk-%d", (int)getpid());
	for (unsigned i = 0; i < 10; i++)
		argv[i] = text[i];
	setenv("RUNTIME_DIRECTORY", dir, 1);
	setenv("XDG_RUNTIME_DIR", dir, 1);
	cr_assert_geq(rte_eal_init(10, argv), 0);
	pool = rte_pktmbuf_pool_create("held", MBUFS, 0, 0, RTE_MBUF_DEFAULT_BUF_SIZE,
				       SOCKET_ID_ANY);
	cr_assert_not_null(pool);
	cr_assert_eq(rte_eth_dev_get_port_by_name("net_null0", &takes_all), 0);
	cr_assert_eq(rte_eth_dev_get_port_by_name("net_memif0", &takes_none), 0);
	port_start(takes_all);
	port_start(takes_none);
}

static int one_removed(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st;
	(void)type;
	(void)ftw;
	return remove(path);
}

static void finish(struct app *a)
{
	rte_eth_dev_stop(takes_all);
	rte_eth_dev_close(takes_all);
	rte_eth_dev_stop(takes_none);
	rte_eth_dev_close(takes_none);
	rte_mempool_free(pool);
	rte_eal_cleanup();
	cr_expect_eq(nftw(dir, one_removed, 8, FTW_DEPTH | FTW_PHYS), 0);
	end(a);
}

static void start(struct app *a, enum haven_hold_overflow overflow)
{
	fake_start(&node);
	dpdk_start();
	app_start(a);
	fake_role(&node, 0, HAVEN_PRIMARY, 9);
	haven_poll(a->w);
	cr_assert_eq(haven_hold_create(a->w, RING, overflow), 0);
}

/* The burst depends on a record of its own. Returns how many were taken. */
static unsigned hold(struct app *a, struct rte_mbuf **m, unsigned n, struct haven_dpdk_counts *c)
{
	cr_assert_eq(rte_pktmbuf_alloc_bulk(pool, m, n), 0);
	cr_assert_eq(haven_put(a->w, a->t, "key00001", "value001"), 0);
	return haven_dpdk_hold(a->w, a->t, haven_commit(a->w, a->t), m, n, c);
}

static void acknowledge(struct app *a)
{
	store_release(&fake_lane(&node, 0, 0)->acked_seq, haven_commit(a->w, a->t));
}

static unsigned alive(void)
{
	return rte_mempool_in_use_count(pool);
}

Test(client_dpdk, mbufs_leave_when_they_are_acknowledged_and_the_gate_is_open, .timeout = 60)
{
	struct haven_dpdk_counts c = {0};
	struct rte_mbuf *m[RING + 3];
	struct app a;

	start(&a, HAVEN_HOLD_REFUSE);
	cr_expect_eq(hold(&a, m, RING + 3, &c), RING, "the ring is full: the rest is the caller's");
	rte_pktmbuf_free_bulk(m + RING, 3);
	cr_expect_eq(haven_dpdk_release(a.w, 0, takes_all, 0, &c), 0);
	cr_expect_eq(alive(), RING);
	acknowledge(&a);
	cr_expect_eq(haven_dpdk_release(a.w, 0, takes_all, 0, &c), RING);
	cr_expect_eq(c.sent, RING);
	cr_expect_eq(alive(), 0);
	cr_expect_eq(c.evicted + c.dropped + c.shut + c.full, 0);
	cr_expect_eq(hold(&a, m, 5, &c), 5);
	acknowledge(&a);
	store_release(&fake_gate(&node, 0)->valid_until_ns, 1);
	cr_expect_eq(haven_dpdk_release(a.w, 0, takes_all, 0, &c), 0);
	cr_expect_eq(c.shut, 5);
	cr_expect_eq(alive(), 0);
	finish(&a);
}

Test(client_dpdk, what_cannot_leave_is_freed_and_counted, .timeout = 60)
{
	struct haven_dpdk_counts c = {0};
	struct rte_mbuf *m[RING];
	struct app a;

	start(&a, HAVEN_HOLD_DROP_OLDEST);
	cr_expect_eq(hold(&a, m, RING, &c), RING);
	cr_expect_eq(hold(&a, m, 3, &c), 3);
	cr_expect_eq(c.evicted, 3);
	cr_expect_eq(alive(), RING);
	acknowledge(&a);
	cr_expect_eq(haven_dpdk_release(a.w, 0, takes_none, 0, &c), 0);
	cr_expect_eq(c.full, RING);
	cr_expect_eq(alive(), 0);
	cr_expect_eq(hold(&a, m, 4, &c), 4);
	fake_role(&node, 0, HAVEN_SECONDARY, 10);
	haven_poll(a.w);
	cr_expect_eq(haven_dpdk_release(a.w, 0, takes_all, 0, &c), 0);
	cr_expect_eq(c.dropped, 4);
	cr_expect_eq(c.sent + c.shut, 0);
	cr_expect_eq(alive(), 0);
	finish(&a);
}

Test(client_dpdk, everything_held_can_be_freed, .timeout = 60)
{
	struct haven_dpdk_counts c = {0};
	struct rte_mbuf *m[RING];
	struct app a;

	start(&a, HAVEN_HOLD_WAIT);
	cr_expect_eq(hold(&a, m, RING, &c), RING);
	cr_expect_eq(haven_dpdk_drain(a.w), RING);
	cr_expect_eq(haven_dpdk_drain(a.w), 0);
	cr_expect_eq(alive(), 0);
	finish(&a);
}
