# SPDX-License-Identifier: BSD-3-Clause
"""Figures of a round: the budget from the events, the packets from the lab; and the final table."""

import statistics

PHASES = ["detect", "agree", "promote", "announce", "first_packet"]
PRIMARY = 3


def promotion(events, node):
    """The event by which a node became primary, None if it did not."""
    for event in events:
        if event["kind"] == "role" and event["node"] == node and event["b"] == PRIMARY:
            return event
    return None


def verdict(events, old, before_ns):
    """First event that says that the old holder must be replaced."""
    for event in events:
        if event["at_ns"] > before_ns:
            break
        kind, node = event["kind"], event["node"]
        if (kind in ("component-dead", "component-stuck", "role-released", "switchover") and
                node == old or
                kind == "peer-suspect" and event["about"] == old and node != old):
            return event
    return None


def agreement(events, node, role):
    """The committed view that made the node the holder, as it came to know it."""
    views = [e for e in events if e["kind"] == "view" and e["node"] == node and
             e["epoch"] <= role["epoch"] and e["at_ns"] <= role["at_ns"]]
    exact = [e for e in views if e["epoch"] == role["epoch"]]
    return exact[0] if exact else (views[-1] if views else None)


def announcement(report, node, role):
    """First accepted announcement by the new primary, and its first data packet."""
    mine = [a for a in report["announcements"]
            if a["accepted"] and a["port"] in ("in-" + node, "out-" + node) and
            a["epoch"] >= role["epoch"]]
    data = [a["first_data_ns"] for a in mine if a["first_data_ns"]]
    return (min(a["at_ns"] for a in mine) if mine else None), (min(data) if data else None)


def instants(fault_ns, old, new, events, report):
    """Instants of the budget in its order; those that did not happen are None."""
    role = promotion(events, new)
    if not role:
        return [None] * len(PHASES)
    seen = verdict(events, old, role["at_ns"])
    view = agreement(events, new, role)
    announced, first = announcement(report, new, role)
    return [seen and seen["at_ns"], view and view["at_ns"], role["at_ns"], announced, first]


def budget(fault_ns, moments):
    """Microseconds of each phase. A later phase never ends before an earlier one: a verdict of
    one node may be told after the view that another one's verdict led to."""
    out, before = {}, fault_ns
    for phase, moment in zip(PHASES, moments):
        if moment is None:
            out[phase + "_us"] = None
            continue
        moment = max(moment, before)
        out[phase + "_us"] = round((moment - before) / 1000, 1)
        before = moment
    return out


def records(old_lanes, new_lanes):
    """Records that the old primary had acknowledged, and how many of them the new one holds."""
    acked = present = 0
    for key, lane in old_lanes.items():
        there = new_lanes.get(key, {}).get("applied_seq", 0)
        acked += lane["acked_seq"]
        present += min(lane["acked_seq"], there)
    return acked, present


def packets(report):
    ways = [report["forward"], report["return"]]
    sent, received, doubled = (sum(way[what] for way in ways)
                               for what in ("sent", "received", "duplicated"))
    return {"packets_sent": sent, "packets_received": received, "packets_lost": sent - received,
            "packets_duplicated": doubled}


def good(result, extra):
    """The promise: flows keep their translation, acknowledged records survive, one primary."""
    return (all(result[phase + "_us"] is not None for phase in PHASES) and
            result["flows"] > 0 and result["flows_kept"] == result["flows"] and
            result["records_present"] >= result["records_acked"] and
            result["dual_primary"] == 0 and not any(extra["faults"].values()))


def pair(values, unit=""):
    values = [v for v in values if v is not None]
    if not values:
        return f"{'-':>12}{'-':>12}"
    return f"{statistics.median(values):>12,.0f}{max(values):>12,.0f}{unit}"


def table(rounds, extras):
    """Lines of the final table. `rounds` as in the JSON file, `extras` what only people want."""
    lines = [f"{'':<34}{'median':>12}{'max':>12}"]
    titles = {"detect": "detect    fault to first verdict", "agree": "agree     to the new view",
              "promote": "promote   to the open gate", "announce": "announce  to the ARP seen",
              "first_packet": "first packet of the new primary"}
    for phase in PHASES:
        lines.append(f"{titles[phase]:<34}{pair([r[phase + '_us'] for r in rounds], ' us')}")
    totals = [sum(r[p + "_us"] for p in PHASES) for r in rounds
              if all(r[p + "_us"] is not None for p in PHASES)]
    lines.append(f"{'total':<34}{pair(totals, ' us')}")
    lines.append(f"{'longest silence of the traffic':<34}"
                 f"{pair([e['silence_us'] for e in extras], ' us')}")
    lines.append(f"{'poll gap, lab':<34}{pair([e['lab_gap_us'] for e in extras], ' us')}")
    lines.append(f"{'poll gap, surviving nodes':<34}"
                 f"{pair([e['node_gap_us'] for e in extras], ' us')}")
    lines.append("")
    total = {key: sum(r[key] for r in rounds) for key in
             ("packets_sent", "packets_received", "packets_lost", "packets_duplicated", "flows",
              "flows_kept", "records_acked", "records_present", "dual_primary")}
    lost = total["packets_lost"] * 1e6 / total["packets_sent"] if total["packets_sent"] else 0
    rows = [
        ("packets sent", f"{total['packets_sent']:,}"),
        ("packets received", f"{total['packets_received']:,}"),
        ("packets lost", f"{total['packets_lost']:,} ({lost:,.0f} ppm)"),
        ("packets duplicated", f"{total['packets_duplicated']:,}"),
        ("packets damaged or misdirected", f"{sum(sum(e['faults'].values()) for e in extras):,}"),
        ("flows kept, same translation", f"{total['flows_kept']:,} of {total['flows']:,}"),
        ("acknowledged records present",
         f"{total['records_present']:,} of {total['records_acked']:,}"),
        ("two primaries accepted", f"{total['dual_primary']:,}"),
        ("frames of an old primary refused", f"{sum(e['stale_refused'] for e in extras):,}"),
        ("false suspicions", f"{sum(e['false_suspicions'] for e in extras):,}"),
        ("unplanned role changes", f"{sum(e['unplanned'] for e in extras):,}"),
    ]
    return lines + [f"{title:<34}{value:>24}" for title, value in rows]
