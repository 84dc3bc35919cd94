/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The ports of a node, which are its ends of the links, and the rules between both ends.
 */
#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config_yaml.h"
#include "haven_assert.h"

#define VLAN_MAX 4094

/* ---- reading ----------------------------------------------------------------------------------
 */

static void take_device(struct config_reader *r, yaml_node_t *v)
{
	struct config_node *n = r->node;
	struct config_port *p = &n->port[n->n_ports];
	size_t name;

	p->mark = config_mark_of(v);
	if (!config_text(r, v, "a port", p->device, CONFIG_PORT_MAX))
		return;
	name = strcspn(p->device, ",");
	for (unsigned i = 0; i < n->n_ports; i++) {
		if (strcspn(n->port[i].device, ",") != name ||
		    strncmp(n->port[i].device, p->device, name) != 0)
			continue;
		config_note(r->config, false, p->mark, "number them: …0, …1",
			    "port '%.*s' is given twice", (int)name, p->device);
		p->device[0] = '\0';
		return;
	}
}

static void take_vlan(struct config_reader *r, yaml_node_t *v)
{
	struct config_node *n = r->node;
	uint64_t vlan = 0;

	if (config_number(r, v, "vlan", 1, VLAN_MAX, &vlan))
		n->port[n->n_ports].vlan = (uint16_t)vlan;
}

static void take_udp_port(struct config_reader *r, yaml_node_t *v)
{
	struct config_node *n = r->node;
	uint64_t port = 0;

	if (config_number(r, v, "udp_port", 1, UINT16_MAX, &port))
		n->port[n->n_ports].udp_port = (uint16_t)port;
}

/** One address of either family without its prefix. */
static bool ip_parse(const char *text, struct config_ip *out)
{
	memset(out, 0, sizeof(*out));
	out->family = strchr(text, ':') ? CONFIG_IPV6 : CONFIG_IPV4;
	return inet_pton(out->family == CONFIG_IPV6 ? AF_INET6 : AF_INET, text, out->bytes) == 1;
}

static unsigned ip_bits(const struct config_ip *ip)
{
	return ip->family == CONFIG_IPV6 ? 128 : 32;
}

static void take_address(struct config_reader *r, yaml_node_t *v)
{
	struct config_port *p = &r->node->port[r->node->n_ports];
	char text[64], *slash, *end = NULL;
	unsigned long prefix;

	p->address_mark = config_mark_of(v);
	if (!config_text(r, v, "address", text, sizeof(text)))
		return;
	slash = strchr(text, '/');
	if (slash)
		*slash = '\0';
	prefix = slash && slash[1] >= '0' && slash[1] <= '9' ? strtoul(slash + 1, &end, 10) : 0;
	if (!ip_parse(text, &p->address) || !end || *end || prefix == 0 ||
	    prefix > ip_bits(&p->address)) {
		config_note(r->config, false, p->address_mark,
			    "address: 192.0.2.1/24, or address: 2001:db8::1/64",
			    "address '%.40s%s%.10s' is not an IP address with a prefix", text,
			    slash ? "/" : "", slash ? slash + 1 : "");
		p->address.family = CONFIG_NO_IP;
		return;
	}
	p->prefix = (uint8_t)prefix;
}

static void take_gateway(struct config_reader *r, yaml_node_t *v)
{
	struct config_port *p = &r->node->port[r->node->n_ports];
	char text[64];

	if (!config_text(r, v, "gateway", text, sizeof(text)))
		return;
	if (!ip_parse(text, &p->gateway)) {
		config_note(r->config, false, config_mark_of(v), "gateway: 192.0.2.254",
			    "gateway '%.40s' is not an IP address", text);
		p->gateway.family = CONFIG_NO_IP;
	}
}

static const struct config_key port_keys[] = {
	{"device", take_device, true, "device: \"net_af_packet0,iface=eth1\""},
	{"vlan", take_vlan, false, NULL},
	{"address", take_address, false, NULL},
	{"gateway", take_gateway, false, NULL},
	{"udp_port", take_udp_port, false, NULL},
};

void config_port_take(struct config_reader *r, yaml_node_t *v)
{
	struct config_node *n = r->node;

	n->port[n->n_ports] = (struct config_port){.mark = config_mark_of(v)};
	if (v->type == YAML_MAPPING_NODE)
		config_mapping(r, v, "a port", port_keys, HAVEN_ARRAY_LEN(port_keys));
	else
		take_device(r, v);
	if (n->port[n->n_ports].device[0])
		n->n_ports++;
}

/* ---- rules ------------------------------------------------------------------------------------
 */

bool config_ip_equal(const struct config_ip *a, const struct config_ip *b)
{
	return a->family == b->family && memcmp(a->bytes, b->bytes, sizeof(a->bytes)) == 0;
}

bool config_port_reaches(const struct config_port *p, const struct config_ip *ip)
{
	unsigned whole = p->prefix / 8u, rest = p->prefix % 8u;

	if (p->address.family != ip->family || memcmp(p->address.bytes, ip->bytes, whole) != 0)
		return false;
	return rest == 0 || (p->address.bytes[whole] ^ ip->bytes[whole]) >> (8 - rest) == 0;
}

static void check_port(struct config *c, const struct config_port *p)
{
	bool routed = p->address.family != CONFIG_NO_IP;

	if (!routed && (p->gateway.family != CONFIG_NO_IP || p->udp_port))
		config_note(c, false, p->mark, "address: 192.0.2.1/24",
			    "port '%s' has a gateway or udp_port, and no address", p->device);
	else if (p->gateway.family != CONFIG_NO_IP && !config_port_reaches(p, &p->gateway))
		config_note(c, false, p->address_mark, "a gateway within the prefix",
			    "port '%s': its gateway is not in the network of its address",
			    p->device);
}

/** Ends of one link must speak alike, and reach each other. */
static void check_ends(struct config *c, const struct config_node *n, const struct config_node *m,
		       unsigned link)
{
	const struct config_port *p = &n->port[link], *q = &m->port[link];

	if (p->address.family != q->address.family || p->udp_port != q->udp_port)
		config_note(c, false, p->mark,
			    "addresses of one family, and one udp_port, on both or on neither",
			    "link %u: node '%s' and node '%s' wrap frames differently", link,
			    n->name, m->name);
	else if (p->address.family == CONFIG_NO_IP)
		return;
	else if (config_ip_equal(&p->address, &q->address))
		config_note(c, false, p->address_mark, "give each node an address of its own",
			    "link %u: node '%s' and node '%s' have the same address", link, n->name,
			    m->name);
	else if (!config_port_reaches(p, &q->address) && p->gateway.family == CONFIG_NO_IP)
		config_note(c, false, p->address_mark, "gateway: the router's address",
			    "link %u: node '%s' is not in the network of node '%s', and no gateway "
			    "is given",
			    link, m->name, n->name);
}

void config_check_ports(struct config *c)
{
	for (unsigned i = 0; i < c->n_nodes; i++) {
		const struct config_node *n = &c->node[i];

		for (unsigned link = 0; link < n->n_ports; link++) {
			check_port(c, &n->port[link]);
			for (unsigned k = 0; k < c->n_nodes; k++) {
				if (k != i && link < c->node[k].n_ports)
					check_ends(c, n, &c->node[k], link);
			}
		}
	}
}
