/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Control socket: one JSON object per line in, one per line out. Served by the main loop itself, a
 * millisecond apart, so that no lock is needed and a command acts between two turns.
 *
 *   {"cmd":"start","flows":N,"pps":N,"new_per_s":N}  send; absent values stay as they were
 *                      "udp_only":true   no ICMP among the flows opened from now on
 *   {"cmd":"verify"}   ask every flow until it is answered; then "report" tells which were not
 *   {"cmd":"stop"}     stop sending (packets under way are still taken)
 *   {"cmd":"mark"}     begin a new round: counters start anew; answers with the time
 *   {"cmd":"cut","port":P} {"cmd":"uncut","port":P}   "way":"in" (from the node) or "out": that
 *                                                     way alone
 *   {"cmd":"impair","port":P,"loss_ppm":N,"dup_ppm":N,"corrupt_ppm":N,"late_ppm":N,"late_us":N,
 *    "replay_ppm":N}   absent values are 0; see lab_impair.h
 *   {"cmd":"report"}   counters since the mark
 *   {"cmd":"losses"}   packets since the mark that were not answered, by when they were sent
 *   {"cmd":"quit"}
 */
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "lab.h"

#define CLIENTS_MAX 4
#define LINE_MAX_BYTES 1024
#define POLL_NS NSEC_PER_MSEC
#define REPLY_BUFFER_BYTES (1 << 20)

struct client {
	int fd; /**< -1: free */
	size_t used;
	char line[LINE_MAX_BYTES];
};

struct lab_control {
	int listener;
	uint64_t polled_ns;
	char path[sizeof(((struct sockaddr_un *)0)->sun_path)];
	struct client client[CLIENTS_MAX];
};

struct lab_control *control_open(const char *path)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	struct lab_control *c;

	if (strlen(path) >= sizeof(address.sun_path)) {
		errno = ENAMETOOLONG;
		return NULL;
	}
	c = calloc(1, sizeof(*c));
	if (!c)
		return NULL;
	for (unsigned i = 0; i < CLIENTS_MAX; i++)
		c->client[i].fd = -1;
	strcpy(address.sun_path, path);
	strcpy(c->path, path);
	c->listener = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (c->listener < 0 || bind(c->listener, (void *)&address, sizeof(address)) < 0 ||
	    listen(c->listener, CLIENTS_MAX) < 0) {
		if (c->listener >= 0)
			close(c->listener);
		free(c);
		return NULL;
	}
	return c;
}

void control_close(struct lab_control *c)
{
	for (unsigned i = 0; i < CLIENTS_MAX; i++)
		if (c->client[i].fd >= 0)
			close(c->client[i].fd);
	close(c->listener);
	unlink(c->path);
	free(c);
}

static json_int_t number(uint64_t v)
{
	return (json_int_t)v;
}

static json_t *report_direction(const struct lab_direction *d)
{
	return json_pack("{s:I,s:I,s:I,s:I}", "sent", number(d->sent), "received",
			 number(d->received), "duplicated", number(d->duplicated), "reordered",
			 number(d->reordered));
}

static json_t *report_faults(const struct lab_traffic *t)
{
	const struct lab_faults *f = &t->faults;

	return json_pack("{s:I,s:I,s:I,s:I,s:I,s:I,s:I}", "ip_checksum", number(f->ip_checksum),
			 "l4_checksum", number(f->l4_checksum), "payload", number(f->payload),
			 "address", number(f->address), "translation_shared", number(f->shared),
			 "translation_changed", number(f->changed), "unexpected",
			 number(t->unexpected));
}

static json_t *report_flows(const struct lab_traffic *t)
{
	struct lab_flow_counts n;

	traffic_count(t, &n);
	return json_pack("{s:I,s:I,s:I,s:I,s:I,s:I}", "opened", number(n.opened), "kept",
			 number(n.kept), "changed", number(n.changed), "shared", number(n.shared),
			 "unanswered", number(n.unanswered), "pending", number(n.pending));
}

static json_t *report_ports(const struct lab_switch *s)
{
	json_t *ports = json_object();

	for (unsigned i = 0; i < s->n_ports; i++) {
		const struct lab_port *p = &s->port[i];

		json_object_set_new(ports, p->name,
				    json_pack("{s:s,s:b,s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:I}",
					      "network", lab_group_names[p->group], "cut",
					      p->impair.set.cut_in && p->impair.set.cut_out, "rx",
					      number(p->rx), "tx", number(p->tx), "tx_full",
					      number(p->tx_full), "impaired",
					      number(p->impair.dropped), "corrupted",
					      number(p->impair.corrupted), "replayed",
					      number(p->impair.replayed), "data", number(p->data),
					      "first_data_ns", number(p->first_data_ns),
					      "last_data_ns", number(p->last_data_ns),
					      "stale_refused", number(p->stale_refused)));
	}
	return ports;
}

static json_t *report_networks(const struct lab_switch *s)
{
	json_t *networks = json_object();

	for (unsigned g = LAB_INSIDE; g < LAB_GROUPS; g++) {
		const struct lab_network *n = &s->network[g];

		json_object_set_new(networks, lab_group_names[g],
				    json_pack("{s:s,s:I,s:I,s:I}", "owner",
					      n->owner == UINT8_MAX ? "" : s->port[n->owner].name,
					      "epoch", number(n->owner_epoch), "silence_max_ns",
					      number(n->silence_max_ns), "silence_from_ns",
					      number(n->silence_from_ns)));
	}
	return networks;
}

static json_t *report_announcements(const struct lab_switch *s)
{
	json_t *list = json_array();
	char mac[RTE_ETHER_ADDR_FMT_SIZE];

	for (unsigned i = 0; i < s->n_announcements; i++) {
		const struct lab_announcement *a = &s->announcement[i];

		rte_ether_format_addr(mac, sizeof(mac), &a->mac);
		json_array_append_new(list, json_pack("{s:I,s:s,s:s,s:I,s:b,s:I}", "at_ns",
						      number(a->at_ns), "port",
						      s->port[a->port].name, "mac", mac, "epoch",
						      number(a->epoch), "accepted", a->accepted,
						      "first_data_ns", number(a->first_data_ns)));
	}
	return list;
}

/* Packets without an answer by when they were sent: [[begin of 10 ms, number], ...]. Final once
 * nothing is under way. */
static json_t *losses(const struct ledger *l)
{
	json_t *list = json_array();
	uint64_t begin_ns;
	uint32_t slice = 0, lost;

	while ((lost = ledger_next(l, &slice, &begin_ns)) != 0)
		json_array_append_new(list, json_pack("[I,I]", number(begin_ns), number(lost)));
	return json_pack("{s:o}", "losses", list);
}

static json_t *report(const struct lab *lab, uint64_t now)
{
	static const char *const modes[] = {"stopped", "run", "verify"};
	const struct lab_traffic *t = lab->traffic;
	uint64_t stale = 0;

	for (unsigned i = 0; i < lab->sw->n_ports; i++)
		stale += lab->sw->port[i].stale_refused;
	return json_pack(
		"{s:I,s:I,s:s,s:b,s:o,s:o,s:o,s:o,s:o,s:o,s:o,s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:I,"
		"s:I}",
		"now_ns", number(now), "mark_ns", number(lab->mark_ns), "mode", modes[t->mode],
		"gateway_known", t->gateway_known, "forward", report_direction(&t->forward),
		"return", report_direction(&t->back), "faults", report_faults(t), "flows",
		report_flows(t), "ports", report_ports(lab->sw), "networks",
		report_networks(lab->sw), "announcements", report_announcements(lab->sw),
		"dual_primary", number(lab->sw->dual_primary), "stale_refused", number(stale),
		"loss_first_ns", number(t->loss_first_ns), "loss_last_ns", number(t->loss_last_ns),
		"rtt_max_ns", number(t->rtt_max_ns), "rtt_sum_ns", number(t->rtt_sum_ns),
		"poll_gap_max_ns", number(lab->gap_max_ns), "poll_gap_at_ns",
		number(lab->gap_at_ns), "turns", number(lab->turns), "turns_idle",
		number(lab->turns_idle));
}

static uint32_t field(const json_t *command, const char *name)
{
	json_int_t v = json_integer_value(json_object_get(command, name));

	return v < 0 ? 0 : v > INT32_MAX ? INT32_MAX : (uint32_t)v;
}

static void mark(struct lab *lab, uint64_t now)
{
	lab->mark_ns = now;
	lab->gap_max_ns = lab->gap_at_ns = lab->turns = lab->turns_idle = 0;
	switch_mark(lab->sw, now);
	traffic_mark(lab->traffic, now);
}

static void set_cut(struct impair_settings *set, const json_t *command, bool cut)
{
	const char *way = json_string_value(json_object_get(command, "way"));

	if (!way || strcmp(way, "in") == 0)
		set->cut_in = cut;
	if (!way || strcmp(way, "out") == 0)
		set->cut_out = cut;
}

/* Commands about one port. False: no such command. */
static bool run_port(struct lab_port *p, const char *verb, const json_t *command)
{
	struct impair_settings *set = &p->impair.set;

	if (strcmp(verb, "cut") == 0 || strcmp(verb, "uncut") == 0) {
		set_cut(set, command, verb[0] == 'c');
	} else if (strcmp(verb, "impair") == 0) {
		set->loss_ppm = field(command, "loss_ppm");
		set->dup_ppm = field(command, "dup_ppm");
		set->corrupt_ppm = field(command, "corrupt_ppm");
		set->late_ppm = field(command, "late_ppm");
		set->late_us = field(command, "late_us");
		set->replay_ppm = field(command, "replay_ppm");
	} else {
		return false;
	}
	return true;
}

static json_t *run(struct lab *lab, const json_t *command, uint64_t now)
{
	const char *verb = json_string_value(json_object_get(command, "cmd"));
	const char *name = json_string_value(json_object_get(command, "port"));
	struct lab_port *port = name ? switch_find(lab->sw, name) : NULL;

	if (!verb)
		return json_pack("{s:b,s:s}", "ok", false, "error", "no \"cmd\" in the line");
	if (strcmp(verb, "report") == 0)
		return report(lab, now);
	if (strcmp(verb, "losses") == 0)
		return losses(&lab->traffic->ledger);
	if (json_is_true(json_object_get(command, "udp_only")))
		lab->traffic->udp_only = true;
	if (strcmp(verb, "start") == 0)
		traffic_start(lab->traffic, field(command, "flows"), field(command, "pps"),
			      field(command, "new_per_s"), now);
	else if (strcmp(verb, "verify") == 0)
		traffic_verify(lab->traffic, now);
	else if (strcmp(verb, "stop") == 0)
		traffic_stop(lab->traffic);
	else if (strcmp(verb, "mark") == 0)
		mark(lab, now);
	else if (strcmp(verb, "quit") == 0)
		lab->quit = true;
	else if (name && !port)
		return json_pack("{s:b,s:s}", "ok", false, "error", "no such port");
	else if (!port || !run_port(port, verb, command))
		return json_pack("{s:b,s:s}", "ok", false, "error", "no such command");
	return json_pack("{s:b,s:I}", "ok", true, "now_ns", number(now));
}

static void answer(struct client *c, struct lab *lab, uint64_t now)
{
	json_error_t error;
	json_t *command = json_loads(c->line, 0, &error);
	json_t *reply = command ? run(lab, command, now)
				: json_pack("{s:b,s:s}", "ok", false, "error", error.text);
	char *text = reply ? json_dumps(reply, JSON_COMPACT) : NULL;
	size_t size = text ? strlen(text) : 0;

	if (text) {
		text[size++] = '\n';
		/* The buffer holds any reply; a client that lets it fill up is left. */
		if (send(c->fd, text, size, MSG_NOSIGNAL) != (ssize_t)size) {
			close(c->fd);
			c->fd = -1;
		}
	}
	free(text);
	json_decref(reply);
	json_decref(command);
}

static void client_poll(struct client *c, struct lab *lab, uint64_t now)
{
	ssize_t n = recv(c->fd, c->line + c->used, sizeof(c->line) - 1 - c->used, 0);
	char *end;

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0) {
		close(c->fd);
		c->fd = -1;
		return;
	}
	c->used += (size_t)n;
	c->line[c->used] = '\0';
	while (c->fd >= 0 && (end = strchr(c->line, '\n'))) {
		*end = '\0';
		answer(c, lab, now);
		c->used -= (size_t)(end + 1 - c->line);
		memmove(c->line, end + 1, c->used + 1);
	}
	if (c->used == sizeof(c->line) - 1)
		c->used = 0;
}

void control_poll(struct lab_control *c, struct lab *lab, uint64_t now)
{
	int size = REPLY_BUFFER_BYTES;

	if (now - c->polled_ns < POLL_NS)
		return;
	c->polled_ns = now;
	for (unsigned i = 0; i < CLIENTS_MAX; i++) {
		struct client *client = &c->client[i];

		if (client->fd >= 0) {
			client_poll(client, lab, now);
			continue;
		}
		client->fd = accept4(c->listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
		client->used = 0;
		if (client->fd >= 0)
			setsockopt(client->fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
	}
}
