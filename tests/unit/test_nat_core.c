/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The whole translator but for its ports, on a checkpoint made of an array: the test plays the node
 * (role, gate, acknowledgements), the hosts and the wire.
 */
#include <criterion/criterion.h>
#include <stdlib.h>

#include "clock.h"
#include "nat.h"
#include "nat_frames.h"

#define IN_IP 0x0a000001u
#define OUT_IP 0xc0000201u
#define HOST 0x0a000002u
#define SERVER 0xc0000202u
#define T0 (1000 * NSEC_PER_SEC)
#define UDP 17
#define TCP 6
#define ICMP 1

static const uint8_t host_mac[6] = {2, 0, 0, 0, 0, 0xaa};
static const uint8_t server_mac[6] = {2, 0, 0, 0, 0, 0xbb};

/* ---- a node ------------------------------------------------------------------------------------
 */

#define STORE 4096u

struct haven_table {
	uint32_t capacity, count, key_bytes, value_bytes;
	bool full_lane;
	uint64_t committed, next, acked;
	struct {
		bool used;
		uint8_t key[16], value[16];
	} entry[STORE];
};

#define RING 4096u

struct haven_worker {
	enum haven_role role;
	uint64_t epoch;
	bool open;
};

/* Of whichever worker has attached. */
static struct ring {
	struct {
		void *packet;
		const struct haven_table *table;
		uint64_t seq;
		bool lost;
	} held[RING];
	unsigned head, tail;
} ring;

static int entry_find(const struct haven_table *t, const void *key)
{
	for (unsigned i = 0; i < STORE; i++)
		if (t->entry[i].used && memcmp(t->entry[i].key, key, t->key_bytes) == 0)
			return (int)i;
	return -1;
}

enum haven_role haven_role(const struct haven_worker *w, unsigned instance)
{
	(void)instance;
	return w->role;
}

uint64_t haven_epoch(const struct haven_worker *w, unsigned instance)
{
	(void)instance;
	return w->epoch;
}

bool haven_gate(const struct haven_worker *w, unsigned instance)
{
	(void)instance;
	return w->role == HAVEN_PRIMARY && w->open;
}

unsigned haven_worker_lane(const struct haven_worker *w)
{
	(void)w;
	return 0;
}

int haven_put(struct haven_worker *w, struct haven_table *t, const void *key, const void *value)
{
	int i = entry_find(t, key);

	if (w->role != HAVEN_PRIMARY)
		return -HAVEN_EROLE;
	if (t->full_lane || (i < 0 && t->count == t->capacity))
		return -HAVEN_EFULL;
	if (i < 0) {
		for (i = 0; t->entry[i].used; i++)
			;
		t->entry[i].used = true;
		t->count++;
	}
	memcpy(t->entry[i].key, key, t->key_bytes);
	memcpy(t->entry[i].value, value, t->value_bytes);
	t->next++;
	return 0;
}

int haven_delete(struct haven_worker *w, struct haven_table *t, const void *key)
{
	int i = entry_find(t, key);

	if (w->role != HAVEN_PRIMARY)
		return -HAVEN_EROLE;
	if (i < 0)
		return -HAVEN_ENOENT;
	t->entry[i].used = false;
	t->count--;
	t->next++;
	return 0;
}

int haven_get(struct haven_worker *w, struct haven_table *t, const void *key, void *value)
{
	int i = entry_find(t, key);

	(void)w;
	if (i < 0)
		return -HAVEN_ENOENT;
	memcpy(value, t->entry[i].value, t->value_bytes);
	return 0;
}

uint64_t haven_commit(struct haven_worker *w, struct haven_table *t)
{
	(void)w;
	return t->committed = t->next;
}

uint64_t haven_acked(const struct haven_worker *w, const struct haven_table *t)
{
	(void)w;
	return t->acked;
}

int haven_hold_create(struct haven_worker *w, uint32_t packets, enum haven_hold_overflow overflow)
{
	(void)w;
	cr_assert(packets == RING && overflow == HAVEN_HOLD_REFUSE);
	return 0;
}

int haven_hold(struct haven_worker *w, struct haven_table *t, uint64_t seq, void *packet,
	       void **evicted)
{
	(void)evicted;
	if (w->role != HAVEN_PRIMARY)
		return -HAVEN_EROLE;
	cr_assert_leq(seq, t->committed, "nobody would ever acknowledge it");
	cr_assert_lt(ring.tail - ring.head, RING);
	ring.held[ring.tail % RING].packet = packet;
	ring.held[ring.tail % RING].table = t;
	ring.held[ring.tail % RING].lost = false;
	ring.held[ring.tail++ % RING].seq = seq;
	return 0;
}

unsigned haven_release(struct haven_worker *w, void **out, void **dropped, unsigned max,
		       unsigned *n_dropped)
{
	unsigned n = 0;

	(void)w;
	for (*n_dropped = 0; ring.head != ring.tail && n + *n_dropped < max; ring.head++) {
		unsigned at = ring.head % RING;

		if (ring.held[at].lost)
			dropped[(*n_dropped)++] = ring.held[at].packet;
		else if (ring.held[at].seq <= ring.held[at].table->acked)
			out[n++] = ring.held[at].packet;
		else
			break;
	}
	return n;
}

unsigned haven_hold_drain(struct haven_worker *w, void **out, unsigned max)
{
	unsigned n = 0;

	(void)w;
	while (n < max && ring.head != ring.tail)
		out[n++] = ring.held[ring.head++ % RING].packet;
	return n;
}

uint32_t haven_table_count(const struct haven_table *t, unsigned lane)
{
	(void)lane;
	return t->count;
}

unsigned haven_table_scan(const struct haven_table *t, unsigned lane, uint32_t *cursor, void *out,
			  unsigned max)
{
	uint8_t *at = out;
	unsigned n = 0;

	(void)lane;
	for (; *cursor < STORE && n < max; (*cursor)++) {
		if (!t->entry[*cursor].used)
			continue;
		memcpy(at, t->entry[*cursor].key, t->key_bytes);
		memcpy(at + t->key_bytes, t->entry[*cursor].value, t->value_bytes);
		at += t->key_bytes + t->value_bytes;
		n++;
	}
	return n;
}

int haven_table_create(struct haven_component *c, unsigned instance,
		       const struct haven_table_config *config, struct haven_table **out)
{
	struct haven_table *t = calloc(1, sizeof(*t));

	(void)c;
	(void)instance;
	cr_assert(t && config->key_bytes <= 16 && config->value_bytes <= 16);
	t->capacity = config->capacity < STORE ? config->capacity : STORE;
	t->key_bytes = config->key_bytes;
	t->value_bytes = config->value_bytes;
	*out = t;
	return 0;
}

/* ---- a wire -------------------------------------------------------------------------------------
 */

struct wire_packet {
	unsigned bytes;
	uint8_t data[FRAME_MAX];
};

static unsigned packets_alive;

static struct nat_packet wire_make(void *context, const uint8_t *frame, unsigned bytes)
{
	struct wire_packet *p = malloc(sizeof(*p));

	(void)context;
	p->bytes = bytes;
	memcpy(p->data, frame, bytes);
	packets_alive++;
	return (struct nat_packet){.handle = p, .data = p->data, .bytes = (uint16_t)bytes};
}

static void wire_drop(void *context, void *handle)
{
	(void)context;
	free(handle);
	packets_alive--;
}

/* ---- the bench: a translator with a node and hosts
 * ----------------------------------------------- */

#define SEEN_MAX 4096u

struct bench {
	struct nat nat;
	struct haven_worker worker;
	uint64_t now;
	bool hold_acks; /**< the standby does not answer */
	bool noisy;     /**< damaged payloads are sent: their damage is to be passed on */
	struct {
		unsigned bytes;
		uint8_t side, data[FRAME_MAX];
	} seen[SEEN_MAX]; /**< IPv4 frames that left */
	unsigned n_seen, n_arp, n_announced;
	uint64_t announced_epoch;
};

static struct bench one, two;

static struct nat_config config_default(void)
{
	return (struct nat_config){
		.ip = {htonl(IN_IP), htonl(OUT_IP)},
		.mask = {htonl(0xffff0000), htonl(0xffffff00)},
		.mac = {{2, 0, 0x5e, 0, 1, 1}, {2, 0, 0x5e, 0, 1, 2}},
		.pool = {.first = 1024, .size = 64512},
		.flows = 2048,
		.timeout_divisor = 1,
		.seed = 42,
	};
}

static void bench_start(struct bench *b, const struct nat_config *config,
			const struct nat_haven *tables)
{
	const struct nat_io io = {.make = wire_make, .drop = wire_drop};

	memset(b, 0, sizeof(*b));
	cr_assert(nat_init(&b->nat, config, &io));
	if (tables) {
		b->nat.haven = *tables;
	} else {
		cr_assert_eq(nat_tables_create(&b->nat, NULL, 0), 0);
	}
	cr_assert_eq(nat_attach(&b->nat, &b->worker), 0);
	b->now = T0;
}

static void bench_end(struct bench *b)
{
	nat_free(&b->nat);
	cr_assert_eq(packets_alive, 0, "every packet was given back");
}

static void bench_collect(struct bench *b)
{
	bool open = haven_gate(&b->worker, 0);

	if (!open) {
		nat_discard(&b->nat);
		return;
	}
	for (unsigned side = 0; side < NAT_SIDES; side++)
		for (unsigned i = 0; i < b->nat.out[side].n; i++) {
			struct nat_packet p = b->nat.out[side].packet[i];

			cr_assert_eq(p.side, side);
			if (p.data[13] == 6 && memcmp(p.data + 42, "HVEP", 4) == 0) {
				b->n_announced++;
				b->announced_epoch =
					(uint64_t)get32be(p.data + 46) << 32 | get32be(p.data + 50);
			} else if (p.data[13] == 6) {
				b->n_arp++;
			} else {
				cr_assert(ip_residue(p.data + 14) == 0);
				cr_assert(b->noisy || frame_checksums_right(p.data));
				cr_assert_lt(b->n_seen, SEEN_MAX);
				b->seen[b->n_seen].bytes = p.bytes;
				b->seen[b->n_seen].side = (uint8_t)side;
				memcpy(b->seen[b->n_seen++].data, p.data, p.bytes);
			}
			wire_drop(NULL, p.handle);
		}
	nat_sent(&b->nat, true, b->now);
}

/* One turn with up to one packet. */
static void bench_turn(struct bench *b, enum nat_side side, const uint8_t *frame, unsigned bytes)
{
	nat_turn_begin(&b->nat, HAVEN_CHANGE_ROLE, b->now);
	if (frame)
		nat_receive(&b->nat, side, wire_make(NULL, frame, bytes));
	nat_turn_end(&b->nat);
	bench_collect(b);
	if (!b->hold_acks)
		b->nat.haven.flows->acked = b->nat.haven.flows->committed;
	b->now += 1000;
}

static void bench_idle(struct bench *b, unsigned turns)
{
	while (turns--)
		bench_turn(b, NAT_INSIDE, NULL, 0);
}

static void bench_neighbour(struct bench *b, enum nat_side side, uint32_t ip, const uint8_t *mac)
{
	struct arp_message m = {.opcode = ARP_REPLY, .sender_ip = htonl(ip)};
	uint8_t f[ARP_FRAME_BYTES];

	memcpy(m.sender_mac, mac, 6);
	arp_build(f, b->nat.config.mac[side], &m, 0);
	bench_turn(b, side, f, sizeof(f));
}

static void bench_promote(struct bench *b, uint64_t epoch)
{
	b->worker = (struct haven_worker){.role = HAVEN_PRIMARY, .epoch = epoch, .open = true};
	bench_turn(b, NAT_INSIDE, NULL, 0);
}

/* Primary, with both hosts known. */
static void bench_ready(struct bench *b, const struct nat_config *config)
{
	bench_start(b, config, NULL);
	bench_promote(b, 7);
	bench_neighbour(b, NAT_INSIDE, HOST, host_mac);
	bench_neighbour(b, NAT_OUTSIDE, SERVER, server_mac);
	b->n_seen = 0;
}

static struct frame_spec spec_out(const struct bench *b, uint8_t proto, uint16_t host_port)
{
	struct frame_spec s = {.src = HOST,
			       .dst = SERVER,
			       .src_port = host_port,
			       .dst_port = 80,
			       .proto = proto,
			       .tcp_flags = PACKET_SYN,
			       .icmp_type = 8,
			       .payload = 20,
			       .seed = host_port};

	memcpy(s.to, b->nat.config.mac[NAT_INSIDE], 6);
	memcpy(s.from, host_mac, 6);
	return s;
}

static void bench_send(struct bench *b, enum nat_side side, const struct frame_spec *s)
{
	uint8_t f[FRAME_MAX];
	unsigned n = frame_make(f, s);

	bench_turn(b, side, f, n);
}

/* Source port (or identifier) of the newest frame that left outside. */
static unsigned newest_outside_port(const struct bench *b)
{
	const uint8_t *ip = b->seen[b->n_seen - 1].data + 14;

	cr_assert_gt(b->n_seen, 0);
	cr_assert_eq(b->seen[b->n_seen - 1].side, NAT_OUTSIDE);
	return get16be(ip + 20 + (ip[9] == ICMP ? 4 : 0));
}

/* The server's answer to what left from outside port `port`. */
static struct frame_spec spec_back(const struct bench *b, uint8_t proto, unsigned port)
{
	struct frame_spec s = {.src = SERVER,
			       .dst = OUT_IP,
			       .src_port = proto == ICMP ? (uint16_t)port : 80,
			       .dst_port = (uint16_t)port,
			       .proto = proto,
			       .tcp_flags = PACKET_SYN | PACKET_ACK,
			       .icmp_type = 0,
			       .payload = 30,
			       .seed = port};

	memcpy(s.to, b->nat.config.mac[NAT_OUTSIDE], 6);
	memcpy(s.from, server_mac, 6);
	return s;
}

/* ---- translation --------------------------------------------------------------------------------
 */

Test(nat_core, there_and_back_again)
{
	static const uint8_t protos[] = {UDP, TCP, ICMP};
	struct nat_config c = config_default();

	bench_ready(&one, &c);
	for (unsigned i = 0; i < 3; i++) {
		struct frame_spec out = spec_out(&one, protos[i], 4000), back;
		const uint8_t *f, *ip;
		unsigned port;

		bench_send(&one, NAT_INSIDE, &out);
		bench_idle(&one, 2);
		cr_assert_eq(one.n_seen, 1);
		f = one.seen[0].data;
		ip = f + 14;
		port = newest_outside_port(&one);
		cr_expect_arr_eq(f, server_mac, 6);
		cr_expect_arr_eq(f + 6, c.mac[NAT_OUTSIDE], 6);
		cr_expect_eq(get32be(ip + 12), OUT_IP);
		cr_expect_eq(get32be(ip + 16), SERVER);
		cr_expect_eq(ip[8], 63);
		one.n_seen = 0;

		back = spec_back(&one, protos[i], port);
		bench_send(&one, NAT_OUTSIDE, &back);
		bench_idle(&one, 2);
		cr_assert_eq(one.n_seen, 1);
		f = one.seen[0].data;
		ip = f + 14;
		cr_expect_eq(one.seen[0].side, NAT_INSIDE);
		cr_expect_arr_eq(f, host_mac, 6);
		cr_expect_eq(get32be(ip + 12), SERVER);
		cr_expect_eq(get32be(ip + 16), HOST);
		cr_expect_eq(get16be(ip + 20 + (protos[i] == ICMP ? 4 : 2)), 4000);
		one.n_seen = 0;
	}
	cr_expect_eq(one.nat.counts.n[COUNT_FLOWS_CREATED], 3);
	bench_end(&one);
}

Test(nat_core, an_endpoint_keeps_its_outside_port_towards_other_remotes)
{
	struct nat_config c = config_default();
	struct frame_spec s;
	unsigned port;

	bench_ready(&one, &c);
	s = spec_out(&one, UDP, 4000);
	bench_send(&one, NAT_INSIDE, &s);
	bench_idle(&one, 2);
	port = newest_outside_port(&one);
	s.dst_port = 81;
	bench_send(&one, NAT_INSIDE, &s);
	bench_idle(&one, 2);
	cr_expect_eq(newest_outside_port(&one), port);
	bench_end(&one);
}

Test(nat_core, refusals_have_a_reason)
{
	struct nat_config c = config_default();
	const uint64_t *n = one.nat.counts.n;
	struct frame_spec s;
	uint8_t f[FRAME_MAX];
	unsigned bytes;

	bench_ready(&one, &c);
	s = spec_out(&one, TCP, 4000);
	s.tcp_flags = PACKET_ACK;
	bench_send(&one, NAT_INSIDE, &s);
	cr_expect_eq(n[COUNT_TCP_NO_SYN], 1);
	s = spec_out(&one, UDP, 4000);
	s.ttl = 1;
	bench_send(&one, NAT_INSIDE, &s);
	cr_expect_eq(n[COUNT_TTL], 1);
	s = spec_out(&one, UDP, 4000);
	s.to[5] ^= 1;
	bench_send(&one, NAT_INSIDE, &s);
	cr_expect_eq(n[COUNT_NOT_OURS], 1);
	s = spec_out(&one, UDP, 4000);
	s.dst = IN_IP;
	bench_send(&one, NAT_INSIDE, &s);
	s.dst = OUT_IP;
	bench_send(&one, NAT_INSIDE, &s);
	s = spec_back(&one, ICMP, 99);
	s.icmp_type = 8;
	bench_send(&one, NAT_OUTSIDE, &s);
	cr_expect_eq(n[COUNT_UNSUPPORTED], 3);
	s = spec_back(&one, UDP, 4000);
	bench_send(&one, NAT_OUTSIDE, &s);
	cr_expect_eq(n[COUNT_NO_FLOW], 1);
	s = spec_out(&one, UDP, 4000);
	bytes = frame_make(f, &s);
	f[14 + 8]--;
	bench_turn(&one, NAT_INSIDE, f, bytes);
	cr_expect_eq(n[COUNT_BAD_CHECKSUM], 1);
	s = spec_out(&one, UDP, 4000);
	s.dst = 0x08080808;
	bench_send(&one, NAT_INSIDE, &s);
	bench_idle(&one, 2);
	cr_expect_eq(n[COUNT_NO_ROUTE], 1, "off the link, without a gateway");
	cr_expect_eq(one.n_seen, 0);
	bench_end(&one);
}

Test(nat_core, a_full_pool_refuses_and_a_full_table_too)
{
	struct nat_config c = config_default();
	const uint64_t *n = one.nat.counts.n;
	struct frame_spec s;

	c.pool = (struct pool){.first = 5000, .size = 16};
	c.flows = 20;
	bench_ready(&one, &c);
	for (unsigned i = 0; i < 17; i++) {
		s = spec_out(&one, UDP, (uint16_t)(3000 + i));
		bench_send(&one, NAT_INSIDE, &s);
	}
	cr_expect_eq(n[COUNT_FLOWS_CREATED], 16);
	cr_expect_eq(n[COUNT_POOL_FULL], 1);
	for (unsigned i = 0; i < 5; i++) {
		s = spec_out(&one, UDP, (uint16_t)(3000 + i));
		s.dst_port = 81; /* another remote: the ports are free again */
		bench_send(&one, NAT_INSIDE, &s);
	}
	cr_expect_eq(n[COUNT_FLOWS_CREATED], 20);
	cr_expect_eq(n[COUNT_TABLE_FULL], 1);
	bench_idle(&one, 2);
	cr_expect_eq(one.n_seen, 20);
	bench_end(&one);
}

Test(nat_core, a_full_log_refuses_new_flows_and_state_changes_but_not_traffic)
{
	struct nat_config c = config_default();
	const uint64_t *n = one.nat.counts.n;
	struct frame_spec s;

	bench_ready(&one, &c);
	s = spec_out(&one, UDP, 4000);
	bench_send(&one, NAT_INSIDE, &s);
	bench_idle(&one, 2);
	one.nat.haven.flows->full_lane = true;
	bench_send(&one, NAT_INSIDE, &s);
	cr_expect_eq(one.n_seen, 2);
	s = spec_back(&one, UDP, newest_outside_port(&one)); /* would establish it */
	bench_send(&one, NAT_OUTSIDE, &s);
	cr_expect_eq(n[COUNT_LANE_FULL], 1);
	s = spec_out(&one, UDP, 4001);
	bench_send(&one, NAT_INSIDE, &s);
	cr_expect_eq(n[COUNT_LANE_FULL], 2);
	bench_idle(&one, 2);
	cr_expect_eq(one.n_seen, 2);
	bench_end(&one);
}

/* ---- output commit
 * ------------------------------------------------------------------------------- */

Test(nat_core, what_creates_state_leaves_after_the_acknowledgement_and_in_order)
{
	struct nat_config c = config_default();
	struct frame_spec old, fresh;
	uint8_t first, second;

	bench_ready(&one, &c);
	old = spec_out(&one, UDP, 4000);
	bench_send(&one, NAT_INSIDE, &old);
	bench_idle(&one, 2);
	one.n_seen = 0;
	one.hold_acks = true;
	fresh = spec_out(&one, UDP, 4001);
	fresh.payload = 11;
	bench_send(&one, NAT_INSIDE, &fresh);
	fresh.payload = 12;
	bench_send(&one, NAT_INSIDE, &fresh);
	bench_send(&one, NAT_INSIDE, &old);
	bench_idle(&one, 5);
	cr_assert_eq(one.n_seen, 1, "only the flow that was acknowledged before");
	cr_expect_eq(held_count(&one.nat.held), 2);
	one.hold_acks = false;
	bench_idle(&one, 2);
	cr_assert_eq(one.n_seen, 3);
	first = one.seen[1].data[17];
	second = one.seen[2].data[17];
	cr_expect_eq(first + 1, second, "lengths tell the order");
	bench_end(&one);
}

Test(nat_core, a_tcp_change_of_state_is_held_and_data_is_not)
{
	struct nat_config c = config_default();
	struct frame_spec s;
	unsigned port;

	bench_ready(&one, &c);
	s = spec_out(&one, TCP, 4000);
	bench_send(&one, NAT_INSIDE, &s);
	bench_idle(&one, 2);
	port = newest_outside_port(&one);
	one.hold_acks = true;
	s = spec_back(&one, TCP, port);
	bench_send(&one, NAT_OUTSIDE, &s);
	bench_idle(&one, 3);
	cr_assert_eq(one.n_seen, 1, "SYN+ACK establishes the flow: held");
	one.hold_acks = false;
	bench_idle(&one, 2);
	cr_assert_eq(one.n_seen, 2);
	one.hold_acks = true;
	s = spec_out(&one, TCP, 4000);
	s.tcp_flags = PACKET_ACK;
	bench_send(&one, NAT_INSIDE, &s);
	cr_expect_eq(one.n_seen, 3, "data changes nothing: not held");
	s.tcp_flags = PACKET_FIN | PACKET_ACK;
	bench_send(&one, NAT_INSIDE, &s);
	cr_expect_eq(one.n_seen, 3, "FIN does: held");
	bench_end(&one);
}

Test(nat_core, the_hold_queue_is_bounded)
{
	struct nat_config c = config_default();
	struct frame_spec s;

	bench_ready(&one, &c);
	one.hold_acks = true;
	s = spec_out(&one, UDP, 4000);
	for (unsigned i = 0; i < 4100; i++)
		bench_send(&one, NAT_INSIDE, &s);
	cr_expect_eq(one.nat.counts.n[COUNT_HOLD_FULL], 4);
	cr_expect_eq(one.n_seen, 0);
	bench_end(&one);
}

Test(nat_core, what_is_held_is_dropped_with_the_role)
{
	struct nat_config c = config_default();
	struct frame_spec s;

	bench_ready(&one, &c);
	one.hold_acks = true;
	s = spec_out(&one, UDP, 4000);
	bench_send(&one, NAT_INSIDE, &s);
	one.worker.role = HAVEN_SECONDARY;
	bench_idle(&one, 1);
	cr_expect_eq(one.nat.counts.n[COUNT_HOLD_DROPPED], 1);
	one.hold_acks = false;
	bench_idle(&one, 3);
	cr_expect_eq(one.n_seen, 0);
	bench_end(&one);
}

Test(nat_core, what_was_held_before_a_loss_of_the_role_nobody_saw_is_dropped_all_the_same)
{
	struct nat_config c = config_default();
	struct frame_spec s;

	bench_ready(&one, &c);
	one.hold_acks = true;
	s = spec_out(&one, UDP, 4000);
	bench_send(&one, NAT_INSIDE, &s);
	for (unsigned i = ring.head; i != ring.tail; i++)
		ring.held[i % RING].lost = true;
	one.hold_acks = false;
	bench_idle(&one, 3);
	cr_expect_eq(one.nat.counts.n[COUNT_HOLD_DROPPED], 1);
	cr_expect_eq(one.n_seen, 0);
	cr_expect_eq(held_count(&one.nat.held), 0);
	bench_end(&one);
}

/* ---- roles and gates
 * ------------------------------------------------------------------------------- */

Test(nat_core, who_is_not_primary_is_silent_but_learns)
{
	struct nat_config c = config_default();
	struct arp_message m = {
		.opcode = ARP_REQUEST, .sender_ip = htonl(HOST), .target_ip = htonl(IN_IP)};
	uint8_t f[ARP_FRAME_BYTES];
	struct frame_spec s;

	bench_start(&one, &c, NULL);
	one.worker = (struct haven_worker){.role = HAVEN_SECONDARY, .epoch = 3, .open = true};
	memcpy(m.sender_mac, host_mac, 6);
	arp_build(f, m.sender_mac, &m, 0);
	bench_turn(&one, NAT_INSIDE, f, sizeof(f));
	s = spec_out(&one, UDP, 4000);
	bench_send(&one, NAT_INSIDE, &s);
	cr_expect_eq(one.nat.counts.n[COUNT_NOT_PRIMARY], 1);
	cr_expect_eq(one.n_seen + one.n_arp + one.n_announced, 0);
	cr_expect_not_null(arp_find(&one.nat.arp, NAT_INSIDE, htonl(HOST)));
	one.worker.role = HAVEN_PRIMARY;
	one.worker.open = false;
	bench_turn(&one, NAT_INSIDE, f, sizeof(f));
	bench_send(&one, NAT_INSIDE, &s);
	cr_expect_eq(one.n_seen + one.n_arp + one.n_announced, 0, "the gate is not open yet");
	one.worker.open = true;
	bench_turn(&one, NAT_INSIDE, f, sizeof(f));
	cr_expect_eq(one.n_arp, 1, "now it answers");
	bench_end(&one);
}

Test(nat_core, a_gate_that_shuts_within_a_turn_lets_nothing_out)
{
	struct nat_config c = config_default();
	struct frame_spec s;
	uint8_t f[FRAME_MAX];
	unsigned bytes;

	bench_ready(&one, &c);
	s = spec_out(&one, UDP, 4000);
	bench_send(&one, NAT_INSIDE, &s);
	bench_idle(&one, 2);
	bytes = frame_make(f, &s);
	nat_turn_begin(&one.nat, 0, one.now);
	nat_receive(&one.nat, NAT_INSIDE, wire_make(NULL, f, bytes));
	nat_turn_end(&one.nat);
	one.worker.open = false;
	bench_collect(&one);
	cr_expect_eq(one.n_seen, 1);
	cr_expect_eq(one.nat.counts.n[COUNT_GATE_SHUT], 1);
	bench_end(&one);
}

Test(nat_core, a_promotion_is_announced_and_recorded)
{
	struct nat_config c = config_default();
	struct nat_takeover *t;
	struct frame_spec s;

	bench_start(&one, &c, NULL);
	bench_promote(&one, 0x1122334455667788);
	cr_expect_eq(one.n_announced, 4, "both forms on both sides");
	cr_expect_eq(one.announced_epoch, 0x1122334455667788);
	bench_idle(&one, 5);
	cr_expect_eq(one.n_announced, 4);
	one.now = T0 + 20 * NSEC_PER_MSEC;
	bench_idle(&one, 5);
	cr_expect_eq(one.n_announced, 8);
	one.now = T0 + 5 * NSEC_PER_SEC;
	bench_idle(&one, 5);
	cr_expect_eq(one.n_announced, 16);
	t = &one.nat.takeover[0];
	cr_expect_eq(t->gate_ns, T0);
	cr_expect_geq(t->garp_ns, T0);
	cr_expect_eq(t->packet_ns, 0);
	bench_neighbour(&one, NAT_OUTSIDE, SERVER, server_mac);
	s = spec_out(&one, UDP, 4000);
	bench_send(&one, NAT_INSIDE, &s);
	bench_idle(&one, 2);
	cr_expect_gt(t->packet_ns, T0 + 5 * NSEC_PER_SEC);
	one.worker.epoch++;
	bench_idle(&one, 1);
	cr_expect_eq(one.n_announced, 20, "a new epoch is announced too");
	cr_expect_eq(one.nat.n_takeovers, 1, "but it is the same term");
	bench_end(&one);
}

/* ---- takeover
 * ------------------------------------------------------------------------------------- */

enum { FLOWS = 900 };

static struct frame_spec spec_number(const struct bench *b, unsigned i)
{
	static const uint8_t protos[] = {UDP, TCP, ICMP};
	struct frame_spec s = spec_out(b, protos[i % 3], (uint16_t)(2000 + i / 3));

	s.src = HOST + i % 5;
	s.from[4] = (uint8_t)(i % 5);
	return s;
}

/* Both translators use one array as their checkpoint: what a mirror achieves. */
static void take_over(unsigned *port)
{
	struct nat_config c = config_default();
	struct nat_haven tables;

	c.pool.size = 400; /* so that candidates collide */
	bench_ready(&one, &c);
	for (unsigned i = 0; i < FLOWS; i++) {
		struct frame_spec s = spec_number(&one, i);

		bench_send(&one, NAT_INSIDE, &s);
		bench_idle(&one, 2);
		port[i] = newest_outside_port(&one);
	}
	cr_assert_eq(one.nat.counts.n[COUNT_FLOWS_CREATED], FLOWS);
	tables = one.nat.haven;
	one.worker.role = HAVEN_SECONDARY;
	bench_idle(&one, 1);
	c.seed = 4242;
	bench_start(&two, &c, &tables);
	two.now = one.now;
	two.worker = (struct haven_worker){.role = HAVEN_PRIMARY, .epoch = 8, .open = true};
}

/* One packet, without the turn's end that fetches flows in the background: the cold path alone. */
static void cold_send(struct bench *b, enum nat_side side, const struct frame_spec *s)
{
	uint8_t f[FRAME_MAX];
	unsigned n = frame_make(f, s);

	nat_receive(&b->nat, side, wire_make(NULL, f, n));
	bench_collect(b);
}

Test(nat_core, after_a_takeover_every_translation_is_as_before)
{
	static unsigned port[FLOWS];
	struct frame_spec s;

	take_over(port);
	nat_turn_begin(&two.nat, HAVEN_CHANGE_ROLE, two.now);
	cr_assert_not(two.nat.warm);
	for (unsigned i = 0; i < FLOWS; i++) {
		two.n_seen = 0;
		s = spec_number(&two, i);
		if (i % 2) {
			cold_send(&two, NAT_INSIDE, &s);
			cr_assert_eq(two.n_seen, 1);
			cr_assert_eq(newest_outside_port(&two), port[i], "flow %u", i);
		} else {
			struct frame_spec back = spec_back(&two, s.proto, port[i]);
			const uint8_t *ip = two.seen[0].data + 14;

			back.tcp_flags = PACKET_ACK;
			cold_send(&two, NAT_OUTSIDE, &back);
			nat_flow_commit(&two.nat);
			two.nat.haven.flows->acked = two.nat.haven.flows->committed;
			nat_turn_end(&two.nat);
			bench_collect(&two);
			cr_assert_eq(two.n_seen, 1, "flow %u", i);
			cr_assert_eq(get32be(ip + 16), s.src);
			cr_assert_eq(get16be(ip + 20 + (s.proto == ICMP ? 4 : 2)), s.src_port);
		}
	}
	cr_expect_eq(two.nat.counts.n[COUNT_FLOWS_CREATED], 0);
	cr_expect_eq(two.nat.counts.n[COUNT_NO_FLOW], 0);
	bench_end(&two);
	nat_free(&one.nat);
}

Test(nat_core, after_a_takeover_new_flows_take_free_ports_only)
{
	static uint8_t taken[3][65536];
	static unsigned port[FLOWS];
	static const uint8_t protos[] = {UDP, TCP, ICMP};

	take_over(port);
	for (unsigned i = 0; i < FLOWS; i++)
		taken[i % 3][port[i]] = 1;
	for (unsigned i = 0; i < 240; i++) {
		struct frame_spec s = spec_out(&two, protos[i % 3], (uint16_t)(9000 + i));

		bench_send(&two, NAT_INSIDE, &s);
		bench_idle(&two, i < 3 ? 0 : 3); /* the first ones meet a cold copy */
		if (two.n_seen) {
			unsigned got = newest_outside_port(&two);

			cr_assert_lt(got, 65536);
		}
	}
	bench_idle(&two, 5);
	cr_assert_eq(two.nat.counts.n[COUNT_FLOWS_CREATED], 240);
	cr_assert_eq(two.n_seen, 240);
	for (unsigned i = 0; i < 240; i++) {
		const uint8_t *ip = two.seen[i].data + 14;
		unsigned kind = ip[9] == UDP ? 0 : ip[9] == TCP ? 1 : 2;
		unsigned got = get16be(ip + 20 + (kind == 2 ? 4 : 0));

		cr_assert_not(taken[kind][got], "port %u had an owner", got);
		taken[kind][got] = 1;
	}
	cr_expect(two.nat.warm);
	cr_expect_eq(two.nat.flows.count, FLOWS + 240);
	bench_end(&two);
	nat_free(&one.nat);
}

Test(nat_core, a_takeover_needs_no_arp)
{
	static unsigned port[FLOWS];
	struct frame_spec s;

	take_over(port);
	s = spec_number(&two, 1);
	bench_send(&two, NAT_INSIDE, &s);
	cr_expect_eq(two.n_seen, 1, "sent in the turn it came");
	cr_expect_eq(two.nat.counts.n[COUNT_WAITED_ARP], 0);
	cr_expect_eq(two.n_arp, 1, "and the neighbour is asked again");
	bench_end(&two);
	nat_free(&one.nat);
}

Test(nat_core, timers_restart_with_the_takeover)
{
	static unsigned port[FLOWS];

	take_over(port);
	two.now += 1000 * NSEC_PER_SEC; /* long after their last packet */
	bench_idle(&two, 2000);
	cr_expect_eq(two.nat.counts.n[COUNT_FLOWS_EXPIRED], 0);
	two.now += 61 * NSEC_PER_SEC; /* UDP 30 s and ICMP 60 s are over, TCP is not */
	bench_idle(&two, 3000);
	cr_expect_eq(two.nat.counts.n[COUNT_FLOWS_EXPIRED], FLOWS * 2 / 3);
	cr_expect_eq(two.nat.haven.flows->count, FLOWS / 3, "the checkpoint forgets them too");
	bench_end(&two);
	nat_free(&one.nat);
}

/* ---- neighbours
 * ------------------------------------------------------------------------------------- */

Test(nat_core, packets_wait_for_their_next_hop)
{
	struct nat_config c = config_default();
	struct frame_spec s;

	bench_start(&one, &c, NULL);
	bench_promote(&one, 7);
	s = spec_out(&one, UDP, 4000);
	bench_send(&one, NAT_INSIDE, &s);
	s.payload++;
	bench_send(&one, NAT_INSIDE, &s);
	bench_idle(&one, 3);
	cr_expect_eq(one.n_seen, 0);
	cr_expect_eq(one.n_arp, 1, "one question for both");
	bench_neighbour(&one, NAT_OUTSIDE, SERVER, server_mac);
	cr_assert_eq(one.n_seen, 2);
	cr_expect_eq(one.seen[0].data[17] + 1, one.seen[1].data[17], "in their order");
	cr_expect_arr_eq(one.seen[0].data, server_mac, 6);
	bench_end(&one);
}

Test(nat_core, who_does_not_answer_is_given_up)
{
	struct nat_config c = config_default();
	struct frame_spec s;

	bench_start(&one, &c, NULL);
	bench_promote(&one, 7);
	s = spec_out(&one, UDP, 4000);
	bench_send(&one, NAT_INSIDE, &s);
	bench_idle(&one, 3);
	for (unsigned i = 0; i < 12; i++) {
		one.now += 100 * NSEC_PER_MSEC;
		bench_idle(&one, 1);
	}
	cr_expect_eq(one.nat.counts.n[COUNT_NO_ARP], 1);
	cr_expect_geq(one.n_arp, 9, "asked every 100 ms meanwhile");
	cr_expect_eq(hold_count(&one.nat.wait), 0);
	bench_end(&one);
}

Test(nat_core, the_gateway_takes_what_is_not_on_the_link)
{
	struct nat_config c = config_default();
	struct frame_spec s;

	c.gateway = htonl(SERVER);
	bench_ready(&one, &c);
	s = spec_out(&one, UDP, 4000);
	s.dst = 0x08080808;
	bench_send(&one, NAT_INSIDE, &s);
	bench_idle(&one, 2);
	cr_assert_eq(one.n_seen, 1);
	cr_expect_arr_eq(one.seen[0].data, server_mac, 6);
	cr_expect_eq(get32be(one.seen[0].data + 14 + 16), 0x08080808);
	bench_end(&one);
}

Test(nat_core, nobody_takes_the_virtual_address_away)
{
	struct nat_config c = config_default();

	bench_ready(&one, &c);
	bench_neighbour(&one, NAT_OUTSIDE, OUT_IP, server_mac);
	cr_expect_null(arp_find(&one.nat.arp, NAT_OUTSIDE, htonl(OUT_IP)));
	bench_neighbour(&one, NAT_OUTSIDE, 0x0b000001, server_mac);
	cr_expect_null(arp_find(&one.nat.arp, NAT_OUTSIDE, htonl(0x0b000001)), "off the link");
	bench_end(&one);
}

/* ---- errors
 * ----------------------------------------------------------------------------------------- */

Test(nat_core, icmp_errors_find_the_sender_on_both_sides)
{
	static const uint8_t protos[] = {UDP, TCP, ICMP};
	struct nat_config c = config_default();
	uint8_t f[FRAME_MAX], about[FRAME_MAX];

	bench_ready(&one, &c);
	for (unsigned i = 0; i < 3; i++) {
		struct frame_spec s = spec_out(&one, protos[i], 4000), e;
		const uint8_t *ip, *inner;
		unsigned n, port;

		one.n_seen = 0;
		bench_send(&one, NAT_INSIDE, &s);
		bench_idle(&one, 2);
		port = newest_outside_port(&one);
		/* A router outside refuses what left. */
		e = spec_back(&one, ICMP, 0);
		e.src = 0xc0000263;
		n = frame_make_error(f, &e, 11, one.seen[0].data, 28);
		bench_turn(&one, NAT_OUTSIDE, f, n);
		bench_idle(&one, 2);
		cr_assert_eq(one.n_seen, 2);
		ip = one.seen[1].data + 14;
		inner = ip + 28;
		cr_expect_eq(one.seen[1].side, NAT_INSIDE);
		cr_expect_eq(get32be(ip + 12), 0xc0000263);
		cr_expect_eq(get32be(ip + 16), HOST);
		cr_expect_eq(get32be(inner + 12), HOST);
		cr_expect_eq(get16be(inner + 20 + (protos[i] == ICMP ? 4 : 0)), 4000);
		cr_expect_eq(ip_residue(inner), 0);
		/* The host refuses what came back. */
		s = spec_back(&one, protos[i], port);
		one.n_seen = 0;
		bench_send(&one, NAT_OUTSIDE, &s);
		bench_idle(&one, 2);
		cr_assert_eq(one.n_seen, 1);
		memcpy(about, one.seen[0].data, one.seen[0].bytes);
		e = spec_out(&one, ICMP, 0);
		n = frame_make_error(f, &e, 3, about, 28);
		bench_turn(&one, NAT_INSIDE, f, n);
		bench_idle(&one, 2);
		cr_assert_eq(one.n_seen, 2);
		ip = one.seen[1].data + 14;
		inner = ip + 28;
		cr_expect_eq(one.seen[1].side, NAT_OUTSIDE);
		cr_expect_eq(get32be(ip + 12), OUT_IP);
		cr_expect_eq(get32be(inner + 16), OUT_IP);
		cr_expect_eq(get16be(inner + 20 + (protos[i] == ICMP ? 4 : 2)), port);
		cr_expect_eq(ip_residue(inner), 0);
	}
	cr_expect_eq(one.nat.counts.n[COUNT_FLOWS_CREATED], 3);
	bench_end(&one);
}

/* ---- noise
 * ---------------------------------------------------------------------------------------------- */

/* Damaged frames of all kinds, roles and gates that come and go, a standby that sometimes is slow:
 * every packet is sent, counted under one reason, or still queued; none is lost or freed twice. */
Test(nat_core, noise_is_accounted_for)
{
	struct nat_config c = config_default();
	struct prng r = {77};
	uint8_t f[FRAME_MAX];

	c.pool.size = 64;
	c.flows = 100;
	c.timeout_divisor = 1000;
	bench_ready(&one, &c);
	one.noisy = true;
	for (unsigned i = 0; i < 60000; i++) {
		bool inside = prng_below(&r, 2);
		struct frame_spec s = inside ? spec_number(&one, (unsigned)prng_below(&r, 300))
					     : spec_back(&one, inside ? TCP : UDP,
							 1024 + (unsigned)prng_below(&r, 64));
		unsigned n;

		s.tcp_flags = (uint8_t)prng_next(&r);
		s.payload = (unsigned)prng_below(&r, 40);
		n = frame_make(f, &s);
		if (prng_below(&r, 3) == 0)
			f[prng_below(&r, n)] ^= (uint8_t)prng_next(&r);
		if (prng_below(&r, 10) == 0)
			n = (unsigned)prng_below(&r, n + 1);
		if (prng_below(&r, 500) == 0)
			one.worker.role =
				one.worker.role == HAVEN_PRIMARY ? HAVEN_SECONDARY : HAVEN_PRIMARY;
		if (prng_below(&r, 300) == 0)
			one.worker.open = !one.worker.open;
		if (prng_below(&r, 50) == 0)
			one.hold_acks = !one.hold_acks;
		one.now += prng_below(&r, 2 * NSEC_PER_MSEC);
		if (one.n_seen > SEEN_MAX - 2048)
			one.n_seen = 0;
		bench_turn(&one, inside ? NAT_INSIDE : NAT_OUTSIDE, f, n);
		cr_assert_eq(packets_alive, held_count(&one.nat.held) + hold_count(&one.nat.wait));
		cr_assert_eq(held_count(&one.nat.held), ring.tail - ring.head);
		cr_assert_leq(one.nat.flows.count, one.nat.haven.flows->count);
	}
	cr_expect_gt(one.nat.counts.n[COUNT_SENT_OUTSIDE], 1000);
	cr_expect_gt(one.nat.counts.n[COUNT_FLOWS_EXPIRED], 100);
	cr_expect_gt(one.nat.counts.n[COUNT_HOLD_DROPPED], 10);
	bench_end(&one);
}
