"""The parts of the comparison that compute. `python3 -m unittest discover benches/compare`."""

import json
import unittest

import compare
import host
import proxies
import report
import rows
from measure import Sample

ROW = next(row for row in rows.all_rows(3000) if row.name == "plain64")


def samples(figures):
    """By proxy: its CPU microseconds in each round."""
    return [Sample("plain64", proxy, number, cpu_us=value, p50_us=1, p99_us=2)
            for proxy, values in figures.items() for number, value in enumerate(values)]


class Ratios(unittest.TestCase):
    def test_a_ratio_is_taken_within_its_round(self):
        # All drift threefold; in each round the first takes half of the second.
        results = report.Results([ROW], ["ringway", "haproxy"], samples(
            {"ringway": [5, 10, 15], "haproxy": [10, 20, 30]}))
        self.assertEqual(results.ratio(ROW, "ringway", "haproxy"), 0.5)
        self.assertEqual(results.median(ROW, "ringway", "cpu_us"), 10)

    def test_a_round_without_its_other_side_is_left_out(self):
        results = report.Results([ROW], ["ringway", "haproxy"], samples(
            {"ringway": [5, 100], "haproxy": [10]}))
        self.assertEqual(results.ratio(ROW, "ringway", "haproxy"), 0.5)
        self.assertIsNone(results.ratio(ROW, "ringway", "nginx"))


    def test_a_row_is_divided_by_the_one_beside_it(self):
        by_name = {row.name: row for row in rows.all_rows(3000)}
        figures = {("chatplain64", "ringway"): 10, ("chatplain64", "nginx"): 8, ("chat64", "ringway"): 12}
        results = report.Results([by_name["chatplain64"], by_name["chat64"]], ["ringway", "nginx"], [
            Sample(row, proxy, 0, cpu_us=value) for (row, proxy), value in figures.items()])
        self.assertEqual(results.ratio(by_name["chat64"], "ringway", "ringway"), 1.2)
        self.assertEqual(results.ratio(by_name["chat64"], "ringway", "nginx"), 1.5)
        self.assertEqual(results.ratio(by_name["chatplain64"], "ringway", "nginx"), 1.25)


class Tables(unittest.TestCase):
    FACTS = {"command": "run", "machine": host.describe(), "versions": {"a": "1"}, "rounds": 1, "seconds": 1}

    def test_every_line_of_a_table_has_as_many_cells(self):
        for row in rows.all_rows(3000):
            figure = {report.FIGURE[row.kind]: 12.345}
            one = report.Results([row], ["ringway", "nginx", "haproxy"], [
                Sample(row.name, proxy, 0, **figure) for proxy in ("ringway", "nginx", "haproxy")])
            lines = [text for text in report.markdown(one, self.FACTS).splitlines() if text.startswith("|")]
            self.assertEqual(len(lines), 5, row.name)
            self.assertEqual(len({text.count("|") for text in lines}), 1, row.name)

    def test_a_disturbed_run_says_so(self):
        disturbed = samples({"ringway": [5]})
        disturbed[0].notes.append("DISTURBED: waited")
        text = report.markdown(report.Results([ROW], ["ringway"], disturbed), self.FACTS)
        self.assertIn("Do not quote", text)
        self.assertIn("DISTURBED 1/1", text)


class Small(unittest.TestCase):
    def test_only_the_busiest_thread_waits(self):
        before = {"1": (0, 0), "2": (0, 0)}
        self.assertEqual(host.waited_ns(before, {"1": (900, 7), "2": (10, 500)}), 7)
        self.assertEqual(host.waited_ns(before, {}), 0)

    def test_a_chat_is_a_kibibyte_of_json(self):
        self.assertEqual(len(rows.CHAT), 1024)
        self.assertEqual(json.loads(rows.CHAT)["model"], "mock-t32")

    def test_a_row_beside_another_is_measured_in_turn_with_it(self):
        class Meter:
            load = ""

            def measure(self, row, instance, number):
                return row.name, instance, number

        class Stage:
            left_out = []

            def instance(self, kind, log):
                return Able(kind.name)

        class Able(str):
            def unable(self, row, load):
                return None

        chosen = rows.choose(["chatplain64", "chat64"], 1)
        kinds = [proxies.Ringway("r"), proxies.Nginx("n"), proxies.HAProxy("h")]
        turn = [("chatplain64", "ringway"), ("chatplain64", "nginx"), ("chat64", "ringway")]
        self.assertEqual(compare.measure_all(Stage(), Meter(), chosen, kinds, 2),
                         [(*pair, number) for number in range(2) for pair in turn])

    def test_portkey_is_asked_at_its_own_path_and_told_where_the_model_is(self):
        row = next(row for row in rows.all_rows(1) if row.name == "chat64-bare")
        url, flags = proxies.PortkeyInstance("portkey", None, 7, 8).aim(row)
        self.assertEqual(url, "http://127.0.0.1:7/v1/chat/completions")
        self.assertEqual(flags[:len(row.flags)], row.flags)
        self.assertIn("x-portkey-custom-host: http://127.0.0.1:8/v1", flags)

    def test_outputs_are_not_part_of_the_command(self):
        words = ["--quick", "--json", "a.json", "--markdown=b.md", "--rounds", "3"]
        self.assertEqual(compare.without_outputs(words), ["--quick", "--rounds", "3"])

    def test_nothing_of_a_template_is_left_open(self):
        setting = proxies.Setting("/d", 1, 2, ("c", "k", "p"), "auto", 20000)
        ringway = proxies.Ringway("r")
        ringway.knows_h2c = True  # nobody is asked here
        for kind in (ringway, proxies.Nginx("n"), proxies.HAProxy("h"), proxies.Envoy("e")):
            with open(f"{proxies.HERE}/{kind.template}") as file:
                text = "".join(line for line in file if not line.startswith("#"))
            for log in kind.logs:
                filled = proxies.fill(text, kind.values(setting, log, [2, 3, 4], "/d/x"))
                self.assertNotRegex(filled, "@[A-Z_]+@", f"{kind.name} {log}")


if __name__ == "__main__":
    unittest.main()
