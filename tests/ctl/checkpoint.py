# SPDX-License-Identifier: BSD-3-Clause
"""Tests of havenctl checkpoint."""

import subprocess

from case import CTL, Case


class Checkpoints(Case):
    def test_list_names_them_and_counts_what_is_at_risk(self):
        self.good()
        rows = self.data("checkpoint", "list")
        self.assertEqual(len(rows), 1)
        row = rows[0]
        self.assertEqual([row[key] for key in ("name", "instance", "node", "component", "role",
                                               "kind", "mode")],
                         ["flows", "nat0", "a", "nat", "primary", "table", "log"])
        self.assertEqual([row[key] for key in ("key_bytes", "value_bytes", "entries", "capacity",
                                               "lag_records", "waiting", "at_risk_records")],
                         [12, 20, 42, 1000, 3, 0, 3])
        self.assertEqual((row["in_sync"], row["at_risk_all"]), (["a", "b"], False))
        self.assertEqual([(lane["lane"], lane["committed_seq"], lane["acked_seq"],
                           lane["lag_records"], lane["capacity"]) for lane in row["lanes"]],
                         [(0, 1237, 1234, 3, 500), (1, 7, 7, 0, 500)])
        text = self.ctl("checkpoint", "list").stdout.split("\n")
        self.assertRegex(text[0], r"CHECKPOINT +INSTANCE +NODE .*LAG +AT RISK")
        self.assertRegex(text[1], r"flows +nat0 +a +primary +table +log +42 +1000 +3 +3$")

    def test_without_another_in_sync_everything_is_at_risk(self):
        self.node().do("view 5 a b a ab", "heard abw", "component nat 1", "role 3 5")
        row = self.data("checkpoint", "list")[0]
        self.assertTrue(row["at_risk_all"])
        self.assertRegex(self.ctl("checkpoint", "list").stdout, r"all\n")
        self.assertIn("everything is lost", self.ctl("checkpoint", "show", "flows").stdout)

    def test_a_secondary_loses_nothing(self):
        self.good()
        self.good("b")
        rows = {row["node"]: row for row in self.data("checkpoint", "show", "nat0/flows")}
        self.assertEqual(set(rows), {"a", "b"})
        self.assertIsNone(rows["b"]["at_risk_records"])
        self.assertEqual(rows["b"]["lag_records"], 0)

    def test_show_says_how_many_records_a_failure_loses(self):
        self.good().do("dirty 17")
        text = " ".join(self.ctl("checkpoint", "show", "flows").stdout.split())
        self.assertIn("flows of nat0 on a: primary, component nat", text)
        self.assertIn("keys of 12 bytes, values of 20; 42 of 1000 entries in use", text)
        self.assertIn("if this node fails now: 20 records are lost", text)
        self.assertEqual(self.data("checkpoint", "show", "flows")[0]["at_risk_records"], 20)

    def test_unknown(self):
        self.good()
        for name in ("other", "nat1/flows", "nat/flows", "nat0/", "/flows"):
            error = self.error("checkpoint", "show", name, code=4)
            self.assertIn(f'"{name}"', error["message"])

    def test_a_dead_node_shows_its_last_state(self):
        self.good().end()
        self.assertEqual(self.data("checkpoint", "list")[0]["entries"], 42)

    def test_names_complete(self):
        self.good()
        script = self.ctl("completion", "bash").stdout + (
            "\nhavenctl() { " + CTL + " --run-dir " + self.dir + ' "$@"; }\n'
            "COMP_WORDS=(havenctl checkpoint show f); COMP_CWORD=3; _havenctl; "
            "echo ${COMPREPLY[@]}")
        result = subprocess.run(["bash", "-c", script], capture_output=True, text=True, timeout=30,
                                check=False)
        self.assertEqual(result.stdout, "flows\n")
