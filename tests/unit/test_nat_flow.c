/* SPDX-License-Identifier: BSD-3-Clause */
#include <criterion/criterion.h>
#include <string.h>

#include "clock.h"
#include "flow.h"
#include "packet.h"
#include "prng.h"

#define S NSEC_PER_SEC

static struct flow_key key_number(unsigned i)
{
	return (struct flow_key){.proto = i & 1 ? PACKET_TCP : PACKET_UDP,
				 .outside_port = (uint16_t)(i / 2),
				 .outside_ip = 7,
				 .remote_ip = i / 64,
				 .remote_port = (uint16_t)(i * 3)};
}

static struct flow_value value_number(unsigned i)
{
	return (struct flow_value){.inside_ip = 1000 + i, .inside_port = (uint16_t)(i * 5)};
}

static struct flow_tuple tuple_number(unsigned i)
{
	struct flow_key k = key_number(i);
	struct flow_value v = value_number(i);

	return (struct flow_tuple){.proto = k.proto,
				   .inside_ip = v.inside_ip,
				   .inside_port = v.inside_port,
				   .remote_ip = k.remote_ip,
				   .remote_port = k.remote_port};
}

/* Against a model: a set of numbers. */
Test(nat_flow, both_indices_hold_exactly_what_was_inserted)
{
	enum { KINDS = 600, CAPACITY = 300, STEPS = 60000 };
	uint32_t where[KINDS] = {0};
	struct prng r = {1};
	struct flow_table t;
	unsigned count = 0;

	cr_assert(flow_table_init(&t, CAPACITY, 99));
	for (int step = 0; step < STEPS; step++) {
		unsigned i = (unsigned)prng_below(&r, KINDS);
		struct flow_key k = key_number(i);
		struct flow_value v = value_number(i);
		struct flow_tuple tuple = tuple_number(i);

		cr_assert_eq(flow_find_in(&t, &k), where[i]);
		cr_assert_eq(flow_find_out(&t, &tuple), where[i]);
		if (where[i]) {
			cr_assert_eq(t.flow[where[i]].value.inside_ip, v.inside_ip);
			flow_remove(&t, where[i]);
			where[i] = 0;
			count--;
		} else {
			where[i] = flow_insert(&t, &k, &v, 0);
			cr_assert_eq(where[i] == 0, count == CAPACITY);
			count += where[i] != 0;
		}
		if (prng_below(&r, 10000) == 0) {
			flow_table_reset(&t);
			memset(where, 0, sizeof(where));
			count = 0;
		}
		cr_assert_eq(t.count, count);
	}
	flow_table_free(&t);
}

Test(nat_flow, timeouts_are_those_of_the_standards)
{
	cr_expect_eq(flow_timeout_ns(PACKET_UDP, FLOW_OPENING, 1), 30 * S);
	cr_expect_eq(flow_timeout_ns(PACKET_UDP, FLOW_ESTABLISHED, 1), 300 * S);
	cr_expect_eq(flow_timeout_ns(PACKET_ICMP, FLOW_OPENING, 1), 60 * S);
	cr_expect_eq(flow_timeout_ns(PACKET_TCP, FLOW_ESTABLISHED, 1), 7440 * S);
	for (unsigned s = 0; s < FLOW_STATES; s++)
		if (s != FLOW_ESTABLISHED && s != FLOW_RESET)
			cr_expect_eq(flow_timeout_ns(PACKET_TCP, s, 1), 240 * S);
	cr_expect_eq(flow_timeout_ns(PACKET_TCP, FLOW_RESET, 1), 10 * S);
	cr_expect_eq(flow_timeout_ns(PACKET_UDP, FLOW_OPENING, 1000), 30 * S / 1000);
}

Test(nat_flow, a_tcp_life)
{
	enum flow_state s = FLOW_OPENING;

	s = flow_next_state(PACKET_TCP, s, FLOW_OUTWARD, PACKET_SYN);
	cr_expect_eq(s, FLOW_OPENING);
	s = flow_next_state(PACKET_TCP, s, FLOW_INWARD, PACKET_SYN | PACKET_ACK);
	cr_expect_eq(s, FLOW_ESTABLISHED);
	s = flow_next_state(PACKET_TCP, s, FLOW_OUTWARD, PACKET_ACK);
	cr_expect_eq(s, FLOW_ESTABLISHED);
	s = flow_next_state(PACKET_TCP, s, FLOW_INWARD, PACKET_FIN | PACKET_ACK);
	cr_expect_eq(s, FLOW_FIN_OUTSIDE);
	s = flow_next_state(PACKET_TCP, s, FLOW_OUTWARD, PACKET_ACK);
	cr_expect_eq(s, FLOW_FIN_OUTSIDE);
	s = flow_next_state(PACKET_TCP, s, FLOW_OUTWARD, PACKET_FIN | PACKET_ACK);
	cr_expect_eq(s, FLOW_CLOSED);
	s = flow_next_state(PACKET_TCP, s, FLOW_INWARD, PACKET_ACK);
	cr_expect_eq(s, FLOW_CLOSED);
	s = flow_next_state(PACKET_TCP, s, FLOW_OUTWARD, PACKET_SYN);
	cr_expect_eq(s, FLOW_OPENING, "the port is used again");
}

Test(nat_flow, a_reset_ends_any_state_and_traffic_after_it_is_believed)
{
	for (unsigned from = 0; from < FLOW_STATES; from++)
		for (unsigned d = 0; d < 2; d++)
			cr_expect_eq(flow_next_state(PACKET_TCP, from, d, PACKET_RST | PACKET_ACK),
				     FLOW_RESET);
	cr_expect_eq(flow_next_state(PACKET_TCP, FLOW_RESET, FLOW_OUTWARD, PACKET_ACK),
		     FLOW_CLOSED);
}

/* No input leads out of the states, and no state change happens without a cause: a plain segment
 * changes only a flow that has not been answered or was reset. */
Test(nat_flow, all_states_and_flags)
{
	for (unsigned from = 0; from < FLOW_STATES; from++)
		for (unsigned d = 0; d < 2; d++)
			for (unsigned flags = 0; flags < 256; flags++) {
				enum flow_state to =
					flow_next_state(PACKET_TCP, from, d, (uint8_t)flags);

				cr_assert_lt(to, FLOW_STATES);
				if (!(flags & (PACKET_SYN | PACKET_FIN | PACKET_RST)) &&
				    from != FLOW_OPENING && from != FLOW_RESET)
					cr_assert_eq(to, from);
				cr_assert_eq(flow_next_state(PACKET_ICMP, FLOW_OPENING, d,
							     (uint8_t)flags),
					     FLOW_OPENING);
			}
	cr_assert_eq(flow_next_state(PACKET_UDP, FLOW_OPENING, FLOW_OUTWARD, 0), FLOW_OPENING);
	cr_assert_eq(flow_next_state(PACKET_UDP, FLOW_OPENING, FLOW_INWARD, 0), FLOW_ESTABLISHED);
}

Test(nat_flow, the_sweep_finds_every_idle_flow_and_no_other)
{
	enum { N = 200 };
	struct flow_table t;
	bool found[N] = {false};

	cr_assert(flow_table_init(&t, N, 5));
	for (unsigned i = 0; i < N; i++) {
		struct flow_key k = key_number(2 * i); /* UDP */
		struct flow_value v = value_number(2 * i);
		uint32_t number = flow_insert(&t, &k, &v, i % 3 ? 100 * S : 50 * S);

		t.flow[number].held = i % 3 == 0 && i % 2;
	}
	/* At 81 s those of 50 s have been idle for more than 30 s, those of 100 s are to come. */
	for (unsigned turn = 0; turn < N; turn++) {
		uint32_t number = flow_sweep(&t, 81 * S, 1, 10);

		if (!number)
			continue;
		cr_assert_eq(t.flow[number].held, 0);
		found[t.flow[number].key.outside_port] = true;
		flow_remove(&t, number);
	}
	for (unsigned i = 0; i < N; i++)
		cr_expect_eq(found[i], i % 3 == 0 && i % 2 == 0, "flow %u", i);
	cr_expect_eq(flow_sweep(&t, 80 * S, 1, 2 * N), 0, "30 s are not over 30 s");
	flow_table_free(&t);
}
