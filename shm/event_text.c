/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Labels and sentences of events. A sentence names who, what and the number that decided.
 */
#include <inttypes.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "events.h"
#include "haven_assert.h"

static const char *const kind_names[] = {
	[EVENT_NODE_START] = "node-start",
	[EVENT_NODE_STOP] = "node-stop",
	[EVENT_PEER_UP] = "peer-up",
	[EVENT_PEER_SUSPECT] = "peer-suspect",
	[EVENT_LINK_DOWN] = "link-down",
	[EVENT_LINK_UP] = "link-up",
	[EVENT_VIEW] = "view",
	[EVENT_VIEW_PROPOSED] = "view-proposed",
	[EVENT_LEASE_GAINED] = "lease-gained",
	[EVENT_LEASE_LOST] = "lease-lost",
	[EVENT_ROLE] = "role",
	[EVENT_ROLE_RELEASED] = "role-released",
	[EVENT_COMPONENT_UP] = "component-up",
	[EVENT_COMPONENT_READY] = "component-ready",
	[EVENT_COMPONENT_GONE] = "component-gone",
	[EVENT_COMPONENT_DEAD] = "component-dead",
	[EVENT_COMPONENT_STUCK] = "component-stuck",
	[EVENT_SYNC_START] = "sync-start",
	[EVENT_SYNC_DONE] = "sync-done",
	[EVENT_IN_SYNC] = "in-sync",
	[EVENT_OUT_OF_SYNC] = "out-of-sync",
	[EVENT_STATE_LOST] = "state-lost",
	[EVENT_STALL] = "stall",
	[EVENT_CLIENT_REFUSED] = "client-refused",
	[EVENT_CLIENT_EVICTED] = "client-evicted",
	[EVENT_SWITCHOVER] = "switchover",
	[EVENT_SWITCHOVER_REFUSED] = "switchover-refused",
	[EVENT_PORT_DOWN] = "port-down",
	[EVENT_PORT_UP] = "port-up",
	[EVENT_NO_SUCCESSOR] = "no-successor",
	[EVENT_FIRST_PACKET] = "first-packet",
	[EVENT_COMPONENTS_ADOPTED] = "components-adopted",
	[EVENT_COMPONENTS_CLAIMED] = "components-claimed",
	[EVENT_COMPONENTS_GONE] = "components-gone",
	[EVENT_REGISTRY_LOST] = "registry-lost",
	[EVENT_LINK_GRAY] = "link-gray",
	[EVENT_LINK_CLEAR] = "link-clear",
	[EVENT_LINK_HELD] = "link-held",
	[EVENT_PEER_HELD] = "peer-held",
	[EVENT_COMPONENT_POLLS] = "component-polls",
	[EVENT_FENCED] = "fenced",
	[EVENT_FENCE_REVOKED] = "fence-revoked",
	[EVENT_FENCE_STARTED] = "fence-started",
	[EVENT_FENCE_DONE] = "fence-done",
	[EVENT_FENCE_FAILED] = "fence-failed",
	[EVENT_COPY_DIFFERS] = "copy-differs",
	[EVENT_LEFT] = "left",
	[EVENT_CLOCK_STOOD] = "clock-stood",
	[EVENT_CLOCK_BAD] = "clock-bad",
	[EVENT_CLOCK_GOOD] = "clock-good",
	[EVENT_CONFIG_DIFFERS] = "config-differs",
};
HAVEN_STATIC_ASSERT(HAVEN_ARRAY_LEN(kind_names) == EVENT_KIND_COUNT, "a label for every kind");

static const char *const severity_names[] = {"info", "notice", "warning", "critical"};
HAVEN_STATIC_ASSERT(HAVEN_ARRAY_LEN(severity_names) == EVENT_CRITICAL + 1, "a label for each");

static const char *const reason_names[] = {
	"no reason given",
	"first view",
	"a node came",
	"a node fell silent",
	"the holder's component died",
	"the holder lost its majority",
	"operator's request",
	"a node was chosen for an instance",
	"a secondary caught up",
	"a secondary fell behind or left",
	"no copy of the state is left",
	"a node ends in order",
	"the holder cannot trust its clock",
};
HAVEN_STATIC_ASSERT(HAVEN_ARRAY_LEN(reason_names) == EVENT_REASON_COUNT, "a phrase for each");

static const char *const role_names[] = {"off-line", "spare", "secondary", "primary"};
HAVEN_STATIC_ASSERT(HAVEN_ARRAY_LEN(role_names) == HAVEN_ROLE_COUNT, "a label for every role");

const char *event_kind_name(unsigned kind)
{
	return kind < EVENT_KIND_COUNT ? kind_names[kind] : "unknown";
}

const char *event_severity_name(unsigned severity)
{
	return severity <= EVENT_CRITICAL ? severity_names[severity] : "unknown";
}

const char *event_reason_name(uint64_t reason)
{
	return reason < EVENT_REASON_COUNT ? reason_names[reason] : "unknown reason";
}

static const char *role_name(uint64_t role)
{
	return role < HAVEN_ROLE_COUNT ? role_names[role] : "unknown role";
}

#define WORD_MAX 48
struct word {
	char text[WORD_MAX];
};

static struct word node_word(const struct event_names *names, uint64_t node)
{
	const char *name = NULL;
	struct word w;

	if (node < HAVEN_NODES_MAX && names && names->node)
		name = names->node(names->context, (unsigned)node);
	if (name && *name)
		snprintf(w.text, sizeof(w.text), "%.31s", name);
	else if (node < HAVEN_NODES_MAX)
		snprintf(w.text, sizeof(w.text), "node %u", (unsigned)node);
	else
		snprintf(w.text, sizeof(w.text), "nobody");
	return w;
}

static struct word instance_word(const struct event_names *names, unsigned instance)
{
	const char *name = NULL;
	struct word w;

	if (instance < HAVEN_INSTANCES_MAX && names && names->instance)
		name = names->instance(names->context, instance);
	if (name && *name)
		snprintf(w.text, sizeof(w.text), "%.31s", name);
	else if (instance < HAVEN_INSTANCES_MAX)
		snprintf(w.text, sizeof(w.text), "instance %u", instance);
	else
		snprintf(w.text, sizeof(w.text), "all instances");
	return w;
}

/** A duration with the unit a person would choose. */
static struct word time_word(uint64_t ns)
{
	struct word w;

	if (ns < 1000)
		snprintf(w.text, sizeof(w.text), "%u ns", (unsigned)ns);
	else if (ns < 1000000)
		snprintf(w.text, sizeof(w.text), "%.4g us", (double)ns / 1e3);
	else if (ns < 1000000000)
		snprintf(w.text, sizeof(w.text), "%.4g ms", (double)ns / 1e6);
	else
		snprintf(w.text, sizeof(w.text), "%.2f s", (double)ns / 1e9);
	return w;
}

/** A sentence in the making. */
struct sentence {
	char *out;
	size_t size, used;
};

__attribute__((format(printf, 2, 3))) static void say(struct sentence *s, const char *format, ...)
{
	va_list args;
	int n;

	va_start(args, format);
	n = vsnprintf(s->out + s->used, s->size - s->used, format, args);
	va_end(args);
	if (n > 0)
		s->used = (size_t)n < s->size - s->used ? s->used + (size_t)n : s->size - 1;
}

static void say_members(struct sentence *s, const struct event_names *names, uint64_t mask)
{
	const char *between = "";

	for (unsigned i = 0; i < HAVEN_NODES_MAX; i++) {
		if (!(mask >> i & 1))
			continue;
		say(s, "%s%s", between, node_word(names, i).text);
		between = ", ";
	}
	if (!*between)
		say(s, "none");
}

static void say_dead(struct sentence *s, const struct event *e)
{
	const char *colon = strstr(e->detail, ": ");
	int name = colon ? (int)(colon - e->detail) : (int)strlen(e->detail);

	say(s, "component %.*s (pid %llu) is dead", name, e->detail, (unsigned long long)e->a);
	if (colon)
		say(s, ": %s", colon + 2);
	if (e->b && e->at_ns >= e->b)
		say(s, "; seen %s before this entry", time_word(e->at_ns - e->b).text);
}

static void say_lease(struct sentence *s, const struct event *e)
{
	if (e->kind == EVENT_LEASE_GAINED) {
		say(s, "lease gained in view %llu", (unsigned long long)e->epoch);
		if (e->a > e->at_ns)
			say(s, ", valid for %s", time_word(e->a - e->at_ns).text);
		return;
	}
	say(s, "lease lost in view %llu", (unsigned long long)e->epoch);
	if (e->a && e->a <= e->at_ns)
		say(s, ", it ended %s ago", time_word(e->at_ns - e->a).text);
	say(s, ": no majority of voters renews it");
}

/** Events of links; false when the kind is none of these. */
static bool say_link(struct sentence *s, const struct event *e, struct word node)
{
	unsigned long long link = e->a, b = e->b;

	switch (e->kind) {
	case EVENT_LINK_DOWN:
		say(s, "link %llu to %s is silent while another link works", link, node.text);
		return true;
	case EVENT_LINK_UP:
		say(s, "link %llu to %s works", link, node.text);
		return true;
	case EVENT_LINK_GRAY:
		say(s, "link %llu to %s is gray (loss %llu %%)", link, node.text, b);
		return true;
	case EVENT_LINK_CLEAR:
		say(s, "link %llu to %s is no longer gray (loss %llu %%)", link, node.text, b);
		return true;
	case EVENT_LINK_HELD:
		say(s, "link %llu to %s keeps failing: held down until it has worked for %s", link,
		    node.text, time_word(e->b).text);
		return true;
	default:
		return false;
	}
}

/** Proofs from outside that a node has ended; false when the kind is none of these. */
static bool say_fence(struct sentence *s, const struct event *e, struct word node)
{
	switch (e->kind) {
	case EVENT_FENCED:
		say(s, "node %s is dead by the word of %s: its vote counts as given", node.text,
		    e->b ? "the fence command" : "an operator");
		break;
	case EVENT_FENCE_REVOKED:
		say(s,
		    "ALARM: node %s was confirmed dead and is heard all the same; its vote is its "
		    "own again",
		    node.text);
		break;
	case EVENT_FENCE_STARTED:
		say(s, "the fence command for node %s is started", node.text);
		break;
	case EVENT_FENCE_DONE:
		say(s, "the fence command says after %s that node %s is cut off",
		    time_word(e->b).text, node.text);
		break;
	case EVENT_FENCE_FAILED:
		say(s, "the fence command for node %s failed, next try not before %s", node.text,
		    time_word(e->b).text);
		break;
	default:
		return false;
	}
	if (e->detail[0])
		say(s, " (%s)", e->detail);
	return true;
}

/** Events of nodes, links, views and leases; false when the kind is none of these. */
static bool say_cluster(struct sentence *s, const struct event *e, const struct event_names *names)
{
	struct word node = node_word(names, e->node);

	switch (e->kind) {
	case EVENT_NODE_START:
		say(s, "node %s started", node.text);
		break;
	case EVENT_NODE_STOP:
		say(s, "node %s stopped in order", node.text);
		break;
	case EVENT_CONFIG_DIFFERS:
		say(s,
		    "node %s is configured otherwise (voters, lease terms or names): it is not "
		    "heard; stop all, then start all with one file",
		    node.text);
		break;
	case EVENT_CLOCK_STOOD:
		say(s,
		    "the clock stood still for %s (machine suspended or paused): every role is "
		    "given up",
		    time_word(e->a).text);
		break;
	case EVENT_CLOCK_BAD:
		say(s,
		    "the clocks disagree by %" PRIu64 " ppm (bound %" PRIu64
		    "): no role is taken here",
		    e->a, e->b);
		break;
	case EVENT_CLOCK_GOOD:
		say(s, "the clocks agree again within %" PRIu64 " ppm (bound %" PRIu64 ")", e->a,
		    e->b);
		break;
	case EVENT_LEFT:
		say(s, "node %s has left in order: it holds nothing", node.text);
		if (e->b)
			say(s, ", after %s", time_word(e->b).text);
		break;
	case EVENT_PEER_UP:
		say(s, "peer %s is heard", node.text);
		break;
	case EVENT_PEER_SUSPECT:
		say(s, "peer %s silent for %s (limit %s): suspected", node.text,
		    time_word(e->a).text, time_word(e->b).text);
		break;
	case EVENT_PEER_HELD:
		say(s,
		    "peer %s keeps coming and going (%llu times): nothing new is given to it "
		    "until it has been heard for %s",
		    node.text, (unsigned long long)e->b, time_word(e->a).text);
		break;
	case EVENT_VIEW:
		say(s, "view %llu: members ", (unsigned long long)e->epoch);
		say_members(s, names, e->a);
		say(s, " (author %s)", node.text);
		break;
	case EVENT_VIEW_PROPOSED:
		say(s, "view %llu proposed: %s", (unsigned long long)e->epoch,
		    event_reason_name(e->a));
		break;
	case EVENT_LEASE_GAINED:
	case EVENT_LEASE_LOST:
		say_lease(s, e);
		break;
	case EVENT_STALL:
		say(s, "own poll loop stood still for %s", time_word(e->a).text);
		break;
	case EVENT_PORT_DOWN:
	case EVENT_PORT_UP:
		say(s, "port %s is %s", e->detail, e->kind == EVENT_PORT_UP ? "up" : "down");
		return true;
	default:
		return say_fence(s, e, node) || say_link(s, e, node);
	}
	if (e->detail[0])
		say(s, " (%s)", e->detail);
	return true;
}

/** Events of components and clients; false when the kind is none of these. */
static bool say_component(struct sentence *s, const struct event *e)
{
	switch (e->kind) {
	case EVENT_COMPONENT_UP:
		say(s, "component %s registered (pid %llu)", e->detail, (unsigned long long)e->a);
		return true;
	case EVENT_COMPONENT_READY:
		say(s, "component %s is ready", e->detail);
		return true;
	case EVENT_COMPONENT_GONE:
		say(s, "component %s left in order", e->detail);
		return true;
	case EVENT_COMPONENT_DEAD:
		say_dead(s, e);
		return true;
	case EVENT_COMPONENT_STUCK:
		say(s, "component %s is alive but has not polled for %s", e->detail,
		    time_word(e->a).text);
		return true;
	case EVENT_COMPONENT_POLLS:
		say(s, "component %s polls again, after %s", e->detail, time_word(e->a).text);
		return true;
	case EVENT_CLIENT_REFUSED:
		say(s, "an application was refused: %s", e->detail);
		return true;
	case EVENT_CLIENT_EVICTED:
		say(s, "an application was evicted: %s", e->detail);
		return true;
	default:
		return false;
	}
}

/** Events of many components at once; false when the kind is none of these. */
static bool say_components(struct sentence *s, const struct event *e)
{
	const unsigned long long a = e->a, b = e->b;

	switch (e->kind) {
	case EVENT_COMPONENTS_ADOPTED:
		say(s,
		    "%llu components taken over from the registry before in %s, %llu dropped "
		    "whose process has ended",
		    a, time_word(e->c).text, b);
		break;
	case EVENT_COMPONENTS_CLAIMED:
		say(s, "process %llu came back to its %llu components", a, b);
		break;
	case EVENT_COMPONENTS_GONE:
		say(s, "%llu components of process %llu are gone", b, a);
		break;
	case EVENT_REGISTRY_LOST:
		say(s, "nothing is taken over from the registry before");
		break;
	default:
		return false;
	}
	if (e->detail[0])
		say(s, " (%s)", e->detail);
	return true;
}

/** Events of instances; false when the kind is none of these. */
static bool say_instance(struct sentence *s, const struct event *e, const struct event_names *names)
{
	struct word instance = instance_word(names, e->instance), node = node_word(names, e->node);

	switch (e->kind) {
	case EVENT_ROLE:
		say(s, "%s: role here %s -> %s in view %llu", instance.text, role_name(e->a),
		    role_name(e->b), (unsigned long long)e->epoch);
		break;
	case EVENT_ROLE_RELEASED:
		say(s, "%s: given up at once: %s", instance.text, event_reason_name(e->a));
		break;
	case EVENT_SYNC_START:
		say(s, "%s: full transfer to %s begins", instance.text, node.text);
		break;
	case EVENT_SYNC_DONE:
		say(s, "%s: full transfer to %s done: %llu entries in %s", instance.text, node.text,
		    (unsigned long long)e->a, time_word(e->b).text);
		break;
	case EVENT_IN_SYNC:
		say(s, "%s: %s is in sync and may be promoted", instance.text, node.text);
		break;
	case EVENT_OUT_OF_SYNC:
		say(s, "%s: %s left the in-sync set", instance.text, node.text);
		break;
	case EVENT_COPY_DIFFERS:
		say(s,
		    "ALARM: %s: the copy here differs from that of %s (entries of one block: "
		    "%llu); it counts no more and is fetched anew",
		    instance.text, node.text, (unsigned long long)e->a);
		break;
	case EVENT_STATE_LOST:
		say(s, "%s: every in-sync copy is gone; it starts empty", instance.text);
		break;
	case EVENT_SWITCHOVER:
		say(s, "%s: switchover from %s to %s requested", instance.text,
		    node_word(names, e->a).text, node_word(names, e->b).text);
		break;
	case EVENT_SWITCHOVER_REFUSED:
		say(s, "%s: switchover refused", instance.text);
		break;
	case EVENT_NO_SUCCESSOR:
		say(s, "%s: nobody may serve it", instance.text);
		break;
	case EVENT_FIRST_PACKET:
		say(s, "%s: first packet %s after promotion", instance.text, time_word(e->a).text);
		break;
	default:
		return false;
	}
	if (e->detail[0])
		say(s, " (%s)", e->detail);
	return true;
}

int event_sentence(const struct event *e, const struct event_names *names, char *out, size_t size)
{
	struct sentence s = {.out = out, .size = size};

	out[0] = 0;
	if (!say_cluster(&s, e, names) && !say_component(&s, e) && !say_components(&s, e) &&
	    !say_instance(&s, e, names))
		say(&s, "event of unknown kind %u: %s", e->kind, e->detail);
	for (size_t i = 0; i < s.used; i++)
		if ((unsigned char)out[i] < 0x20 || (unsigned char)out[i] == 0x7f)
			out[i] = '?';
	return (int)s.used;
}
