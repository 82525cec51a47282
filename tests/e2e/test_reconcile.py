"""整合性確認 end to end. The truth is what the stand-in for 機構 says it got wrong, or what this test changed in a municipality's
copy: all and only that is found, in each way of comparing; each difference is a case that ends by what made both sides equal.
Through kill -9 of either side, and while notices go on arriving. On the local log and on the real broker."""

import collections
import copy
import json
import os
import random
import subprocess
import threading
import time
import unittest

from daicho_kikou import Kikou
from daicho_node import (Failed, Node, Notices, OnKafka, daicho, notice, notice_file, resident_code,
                         temporary_directory, wait_until)
from test_kikou import rows_of

# The long form (ops/chaos --load reconcile) gives others.
KILLS = int(os.environ.get("DAICHO_KILLS", 4))
SEED = os.environ.get("DAICHO_SEED", "5")

DRIFTS = {"drop": {"missing_there"}, "duplicate": {"duplicate"}, "alter": {"field", "duplicate"}, "glyph": {"glyph"},
          "reorder": {"order", "removed_state", "duplicate"}, "removed": {"removed_state"}, "retention": {"ancillary"}}


class Reconciling(unittest.TestCase):
    RESIDENTS, YEARS = 300, 2

    def log(self):
        """A local one."""

    def setUp(self):
        self.directory = self.enterContext(temporary_directory())
        self.notices = Notices(self.directory / "notices", residents=self.RESIDENTS, years=self.YEARS)
        self.node = self.enterContext(Node.found(self.directory, self.log(), self.notices.issuers))

    def tearDown(self):
        """Whatever a test has compared can be repeated from the ledger."""
        runs = daicho("consistency", "runs", "--json", "--home", self.node.home).lines()
        judged = json.loads(daicho("audit", "reexecute", "--json", "--home", self.node.home).out)
        self.assertEqual(judged["findings"], [])
        self.assertGreaterEqual(judged["runs"], len(runs), "one on a schedule may have come since")

    def with_kikou(self):
        self.kikou = self.enterContext(Kikou(self.node, "--copy-key", self.node.home / "keys/copy.key"))
        self.kikou.connect()
        self.node.send_all(self.notices)
        self.await_notified()

    def await_notified(self):
        def level():
            try:
                status = self.node.status()
            except Failed:
                return False
            return status["roles"]["kikou"]["lag"] == 0 and status
        return wait_until("機構 has every update", level)

    def reconcile(self, *arguments, status=None):
        """The differences by 住民票コード, and the summary."""
        done = daicho("reconcile", "--json", "--home", self.node.home, "--operator", "op1", *arguments, status=status)
        if done.status not in (0, 1) or not done.out:
            return done
        *differences, summary = done.lines()
        self.assertEqual(done.status, 1 if differences else 0)
        counts = collections.Counter(line["class"] for line in differences)
        self.assertEqual(counts, summary["differences"])
        by_code = {line["resident_code"]: line for line in differences}
        self.assertEqual(len(by_code), len(differences), "one difference a code")
        return by_code, summary

    def cases(self, *arguments):
        return daicho("consistency", "cases", "--json", "--home", self.node.home, *arguments).lines()

    def assert_equal(self, *arguments):
        found, summary = self.reconcile(*arguments)
        self.assertEqual(found, {})
        self.assertEqual(summary["here"], summary["there"])
        return summary


class OfKikou(Reconciling):
    def drift(self, kind, count, seed):
        """The codes that it touched, each with the kind."""
        out = {}
        for line in self.kikou.drift(kind, count, seed):
            out[line.get("copy", line["resident_code"])] = kind
        self.assertEqual(len(out), count)
        return out

    def test_all_and_only_what_drifted_is_found_corrected_and_closed(self):
        self.with_kikou()
        self.assertLess(self.assert_equal()["exchanged_bytes"], 2_000)
        wrong = {}
        for seed, kind in enumerate(DRIFTS):
            for code, how in self.drift(kind, 3, seed).items():
                wrong[code] = how if code not in wrong else "several"
        self.kikou.stop()
        _, held = self.kikou.copy()
        self.kikou.start()
        ours = rows_of(self.notices)
        differing = {code for code in held.keys() | ours.keys() if held.get(code) != ours.get(code)}
        self.assertLessEqual(differing, wrong.keys())
        file = self.kikou.directory / "copy.ndjson"

        by_file, of_file = self.reconcile("--with", file)
        self.assertEqual(by_file.keys(), differing)
        for code, line in by_file.items():
            if wrong[code] != "several":
                self.assertIn(line["class"], DRIFTS[wrong[code]], (wrong[code], line))
        self.assertEqual(of_file["corrected"], len(differing))
        summary = self.assert_equal()
        self.assertEqual(summary["resolved"], len(differing))
        self.assertEqual(self.cases("--open"), [])
        self.assertEqual({case["resolution"] for case in self.cases()}, {"holder_corrected"})

        wrong = self.drift("alter", 5, 9)
        self.kikou.stop()
        sketch = self.kikou.sketch()
        self.kikou.start()
        by_sketch, of_sketch = self.reconcile("--with", sketch, "--holder", "kikou")
        self.assertEqual((by_sketch.keys(), of_sketch["method"]), (wrong.keys(), "sketch"))
        self.assert_equal()

        wrong = self.drift("alter", 4, 11) | self.drift("drop", 4, 12)
        found, summary = self.reconcile("--with", self.kikou.url)
        self.assertEqual(found.keys(), wrong.keys())
        self.assertEqual(summary["method"], "fingerprint")
        for line in found.values():
            self.assertEqual(line["next"], "correct_holder")
            self.assertIn("made_by", line["ledger"])
        self.assertEqual(self.assert_equal()["resolved"], 8)
        runs = daicho("consistency", "runs", "--json", "--home", self.node.home).lines()
        self.assertEqual(len(runs), 7)
        self.check_report(wrong)

    def check_report(self, wrong):
        """整合性確認報告書, on screen and on paper: what was counted, and nobody's number."""
        page, paper = self.directory / "report.html", self.directory / "report.pdf"
        for out in (page, paper):
            daicho("consistency", "report", "--home", self.node.home, "--out", out)
        text = subprocess.run(["pdftotext", "-layout", paper, "-"], capture_output=True, text=True, check=True).stdout
        for told in (page.read_text(), "".join(text.split())):
            self.assertIn("整合性確認報告書", told)
            self.assertIn("7回（うち差異なし4回）", "".join(told.split()))
            self.assertIn("相手が写しを訂正", told)
            self.assertFalse([code for code in wrong if code in told])
        daicho("consistency", "report", "--home", self.node.home, "--out", self.directory / "report.txt", status=2)
        daicho("consistency", "report", "--home", self.node.home, "--from", "2026-12", "--to", "2026-11", "--out", page, status=2)

    def test_a_long_sketch_names_what_differs(self):
        self.with_kikou()
        wrong = self.drift("alter", 5, 9)
        self.kikou.stop()
        sketch = self.kikou.sketch("--long")
        self.kikou.start()
        found, summary = self.reconcile("--with", sketch, "--holder", "kikou")
        self.assertEqual((found.keys(), summary["method"]), (wrong.keys(), "sketch"))
        self.assert_equal()

    def test_a_sketch_of_a_replica(self):
        self.with_kikou()
        sketch = self.directory / "sketch"
        for length in [["--long"], []]:
            daicho("consistency", "sketch", "--home", self.node.home, "--out", sketch, *length)
            self.assertEqual(self.assert_equal("--with", sketch)["method"], "sketch")
        damaged = bytearray(sketch.read_bytes())
        damaged[1_000] ^= 1
        sketch.write_bytes(damaged)
        done = self.reconcile("--with", sketch)
        self.assertEqual((done.status, done.out), (1, ""))
        self.assertIn("sketch file", done.err)

    def test_who_may_not_is_told_so_and_nothing_is_compared(self):
        self.with_kikou()
        size = self.node.status()["size"]
        daicho("reconcile", "--home", self.node.home, "--operator", "nobody", "--operator-key",
               self.node.home / "operators/op2.key", status=4)
        daicho("reconcile", "--home", self.node.home, "--operator", "op1", "--with", self.directory / "absent", status=1)
        self.kikou.stop()
        daicho("reconcile", "--home", self.node.home, "--operator", "op1", status=3)
        runs = daicho("consistency", "runs", "--json", "--home", self.node.home).lines()
        self.assertTrue(runs and all(run.get("refused") for run in runs))
        self.assertGreater(self.node.status()["size"], size)

    def test_on_a_schedule_and_again_when_the_line_is_back(self):
        self.with_kikou()
        wrong = self.drift("alter", 6, 3)
        self.node.stop()
        self.node.start(more=["--reconcile-every", "1"])

        def closed():
            cases = self.cases()
            return len(cases) == len(wrong) and not any(case["open"] for case in cases)
        wait_until("what drifted is found, corrected and closed", closed)
        self.kikou.stop()
        wait_until("a lost line is told", lambda: "error" in self.node.status()["roles"]["reconciler"])
        self.kikou.start()
        wait_until("it goes on when the line is back", lambda: "error" not in self.node.status()["roles"]["reconciler"])
        runs = daicho("consistency", "runs", "--json", "--home", self.node.home).lines()
        self.assertTrue(all("operator" not in run for run in runs))
        self.assertEqual([sum(run["differences"].values()) for run in runs if run["differences"]], [len(wrong)])

    def test_the_same_is_found_through_kills_of_either_side(self):
        self.with_kikou()
        source = random.Random(SEED)
        for kill in range(KILLS):
            wrong = self.drift("alter", 10, 20 + kill) | self.drift("drop", 5, 40 + kill)
            comparing = threading.Thread(target=lambda: daicho("reconcile", "--home", self.node.home, "--operator", "op1",
                                                               status=None))
            comparing.start()
            time.sleep(source.uniform(0.0, 0.4))
            if kill % 2:
                self.kikou.kill()
                self.kikou.start()
            else:
                self.node.kill()
                self.node.start()
            comparing.join()
            wait_until("what was judged is recorded",
                       lambda: not (self.node.home / "reconcile/run").exists())
            self.reconcile()
            self.assert_equal()
            self.assertEqual(self.cases("--open"), [])
            runs = daicho("consistency", "runs", "--json", "--home", self.node.home).lines()
            self.assertEqual(len({run["run"] for run in runs}), len(runs), "each run is in the ledger once")
            found = collections.Counter(case["run"] + str(case["number"]) for case in self.cases())
            self.assertEqual(set(found.values()), {1}, "each difference is in the ledger once")
            self.assertGreaterEqual(len(self.cases()), len(wrong))

    def test_what_a_crash_left_half_destroyed_is_not_finished_but_destroyed(self):
        self.with_kikou()
        wrong = self.drift("alter", 3, 1)
        self.reconcile()
        self.node.stop()
        left = self.node.home / "reconcile/run.done"
        left.write_bytes(random.Random(SEED).randbytes(5_000))
        self.node.start()
        wait_until("it is gone", lambda: not left.exists())
        self.assert_equal()
        self.assertEqual(len(self.cases()), len(wrong))

    def test_no_false_difference_while_notices_arrive(self):
        self.with_kikou()
        issuer = self.notices.issuers[0]
        stop, failure = threading.Event(), []

        def send():
            try:
                sequence = len(self.notices.files_of(issuer))
                for batch in range(1, 1_000):
                    if stop.is_set():
                        return
                    told = [notice(1_000_000 + batch * 100 + i, issuer) for i in range(50)]
                    file = self.directory / "more.ndjson"
                    file.write_bytes(notice_file(issuer, sequence + batch, told))
                    self.node.gateways[issuer].send(file)
            except Exception as error:  # the main thread reports it
                failure.append(error)

        sending = threading.Thread(target=send)
        sending.start()
        try:
            for seed in range(6):
                self.assert_equal()
                wrong = self.drift("alter", 5, 100 + seed)
                found, _ = self.reconcile()
                self.assertEqual(found.keys(), wrong.keys())
        finally:
            stop.set()
            sending.join()
        self.assertEqual(failure, [])


class OfMunicipality(Reconciling):
    def copy_file(self, rows, issuer, as_of):
        file = self.directory / "copy.ndjson"
        header = {"format": "daicho-copy/1", "holder": issuer, "as_of": as_of, "count": len(rows)}
        rows = list(rows)
        random.Random(3).shuffle(rows)
        file.write_text("".join(json.dumps(line, ensure_ascii=False) + "\n" for line in [header, *rows]))
        return file

    def busiest(self):
        return max(self.notices.issuers, key=lambda each: len(self.notices.files_of(each)))

    def send(self, issuer, sequence, *notices):
        """The position of the last of them."""
        path = self.directory / "sent.ndjson"
        path.write_bytes(notice_file(issuer, sequence, notices))
        return self.node.gateways[issuer].send(path)[0]["positions"][1]

    def key_of(self, issuer):
        key = self.directory / f"{issuer}.key"
        daicho("consistency", "key", "--home", self.node.home, "--municipality", issuer, "--out", key)
        return key

    def sketch(self, rows, issuer, *arguments, key, status=0):
        """The sketch file of a copy, and what was told of it."""
        out = self.directory / "sketch"
        done = daicho("gateway", "sketch", "--json", "--home", self.node.gateways[issuer].home, "--key", key, "--copy",
                      self.copy_file(rows, issuer, "2026-11-24T00:00:00+09:00"), "--out", out, *arguments,
                      status=status)
        return out, done

    def test_its_sketch_names_what_differs_until_both_sides_are_equal(self):
        self.node.send_all(self.notices)
        issuer = self.busiest()
        born = notice(1_000_001, issuer)
        sequence = len(self.notices.files_of(issuer)) + 1
        newest = self.send(issuer, sequence, born)  # behind which nothing of other municipalities has come
        self.node.catch_up()
        ours = {code: row for code, row in rows_of(self.notices).items()
                if row["record"]["address"]["municipality"] == issuer}
        ours[born["resident_code"]] = {"resident_code": born["resident_code"], "update_number": 1, "status": "resident",
                                       "record": born["record"]}
        codes = sorted(code for code, row in ours.items() if row["status"] == "resident")
        key = self.key_of(issuer)
        sketch, done = self.sketch(ours.values(), issuer, key=key)
        self.assertEqual(json.loads(done.out),
                         {"position": newest, "rows": len(codes), "passed_over": len(ours) - len(codes)})
        self.assertFalse([code for code in codes if code.encode() in sketch.read_bytes()])
        summary = self.assert_equal("--with", sketch, "--holder", issuer)
        self.assertEqual((summary["method"], summary["here"], summary["evaluated_at"]), ("sketch", len(codes), newest))
        self.assertEqual(self.results(issuer)[-1]["differences"], {})

        held = copy.deepcopy(ours)
        dropped, altered, behind, unlike, removed = codes[:5]
        del held[dropped]
        held[altered]["record"]["address"]["text"] += "101号"
        held[behind]["update_number"] += 1
        held[removed]["status"] = "removed"
        stranger = dict(copy.deepcopy(ours[unlike]), resident_code=resident_code(7_000_001))
        held[stranger["resident_code"]] = stranger
        arguments = ["--with", sketch, "--holder", issuer]
        self.sketch(held.values(), issuer, key=key)
        found, summary = self.reconcile(*arguments)
        self.assertEqual({code: line["class"] for code, line in found.items()},
                         {dropped: "missing_there", removed: "missing_there", altered: "field", behind: "field",
                          stranger["resident_code"]: "missing_here"})
        self.assertTrue(all(line["next"] == "report" for line in found.values()))
        told = self.results(issuer)[-1]
        self.assertEqual(len(told["cases"]), 5)
        self.assertNotIn(stranger["resident_code"], json.dumps(told))
        standing = sorted(code for code, row in held.items() if row["status"] == "resident")
        rows = {standing[case["row"] - 1] for case in told["cases"] if "row" in case}
        self.assertEqual(rows, {altered, behind, stranger["resident_code"]})

        # Found again it is the same case; the corrected notice and the corrected copy end it.
        _, summary = self.reconcile(*arguments)
        self.assertEqual((summary["found_again"], len(self.cases())), (5, 5))
        corrected = notice(0, issuer, ours[altered]["update_number"] + 1, "amend", "ex_officio_amendment")
        corrected["resident_code"], corrected["record"] = altered, held[altered]["record"]
        self.send(issuer, sequence + 1, corrected)
        self.node.catch_up()
        ours[altered] = {**held[altered], "update_number": corrected["update_number"]}
        self.sketch(ours.values(), issuer, key=key)
        self.assertEqual(self.assert_equal(*arguments)["resolved"], 5)
        self.assertEqual(self.cases("--open"), [])
        self.assertEqual(collections.Counter(case["resolution"] for case in self.cases()),
                         {"holder_corrected": 4, "new_notice": 1})

    def test_a_sketch_that_cannot_be_compared_is_refused_and_nothing_is_recorded(self):
        issuer, other = self.notices.issuers[:2]
        row = {"resident_code": resident_code(5), "update_number": 1, "status": "resident",
               "record": notice(5, issuer)["record"]}
        key = self.key_of(issuer)
        self.assertRegex(key.read_text(), r"^1:[0-9a-f]{64}\n$")
        self.assertEqual(key.stat().st_mode & 0o777, 0o600)
        self.assertNotEqual(key.read_text(), self.key_of(other).read_text())
        absent = self.directory / "absent"
        for municipality, out, status in ((issuer, key, 2), ("102017", absent, 2), ("131016", absent, 1)):
            daicho("consistency", "key", "--home", self.node.home, "--municipality", municipality, "--out", out,
                   status=status)

        out, done = self.sketch([row], issuer, key=key, status=2)
        self.assertIn("--position", done.err)
        newest = self.send(issuer, 1, notice(5, issuer))
        bad = [dict(row, resident_code="12345678901"), dict(row, status="gone"), row]
        _, done = self.sketch(bad, issuer, key=key, status=2)
        self.assertEqual({error["field"] for error in json.loads(done.out)["errors"]}, {"resident_code", "status"})
        _, done = self.sketch([row, row], issuer, key=key, status=2)
        self.assertEqual([error["rule"] for error in json.loads(done.out)["errors"]], ["duplicate"])
        self.sketch([row], issuer, key=absent, status=1)
        self.assertFalse(out.exists())

        size = self.node.status()["size"]

        def refused(reason, status, holder=issuer):
            done = self.reconcile("--with", out, "--holder", holder)
            self.assertEqual((done.status, done.out), (status, ""))
            self.assertIn(reason, done.err)
        self.sketch([row], issuer, key=self.node.home / "keys/copy.key")
        refused("different keys", 2)
        other_epoch = self.directory / "epoch.key"
        other_epoch.write_text("2" + key.read_text()[1:])
        self.sketch([row], issuer, key=other_epoch)
        refused("epochs 1 and 2", 2)
        self.sketch([row], issuer, "--position", newest + 100, key=key)
        refused(f"位置 {newest + 100}", 2)
        self.sketch([dict(row, resident_code=resident_code(code)) for code in range(100, 40_000)], issuer, key=key)
        refused("写しのファイル", 2)
        self.sketch([row], issuer, key=key)
        refused("different keys", 2, other)
        good = out.read_bytes()
        out.write_bytes(good[:1_000] + bytes([good[1_000] ^ 1]) + good[1_001:])
        refused("sketch file", 1)
        out.write_bytes(good[:-1])
        refused("sketch file", 1)
        out.write_bytes(good[:80])
        refused("sketch file", 3)
        self.assertEqual(self.node.status()["size"], size)
        out.write_bytes(good)
        self.assert_equal("--with", out, "--holder", issuer)

    def test_its_copy_its_results_and_its_corrected_notice(self):
        self.node.send_all(self.notices)
        self.node.catch_up()
        issuer = self.busiest()
        now = time.strftime("%Y-%m-%dT%H:%M:%S+00:00", time.gmtime(time.time() + 1))
        time.sleep(2)
        rows = {code: row for code, row in rows_of(self.notices).items()
                if row["record"]["address"]["municipality"] == issuer and row["status"] == "resident"}
        self.assert_equal_copy(rows, issuer, now)

        codes = sorted(rows)
        held = copy.deepcopy(rows)
        dropped, altered, behind, again = codes[0], codes[1], codes[2], codes[3]
        del held[dropped]
        held[altered]["record"]["address"]["text"] += "101号"
        held[behind]["update_number"] += 1
        stranger = dict(copy.deepcopy(rows[codes[4]]), resident_code=resident_code(7_000_001))
        stranger["record"].pop("individual_number", None)
        unknown = [stranger]
        file = self.copy_file([*held.values(), held[again], *unknown], issuer, now)
        found, summary = self.reconcile("--with", file)
        self.assertEqual({code: line["class"] for code, line in found.items()},
                         {dropped: "missing_there", altered: "field", behind: "order", again: "duplicate",
                          stranger["resident_code"]: "missing_here"})
        self.assertEqual(found[altered]["fields"], ["address"])
        self.assertTrue(all(line["next"] == "report" for line in found.values()))
        self.assertEqual(summary["municipalities"].keys(), {issuer})

        told = self.results(issuer)[-1]
        self.assertEqual(sum(told["differences"].values()), 5)
        self.assertEqual(len(told["cases"]), 5)
        self.assertNotIn(altered, json.dumps(told))
        ordered = sorted([*held, again, stranger["resident_code"]])
        row_of = {case["class"]: case.get("row") for case in told["cases"]}
        self.assertEqual(ordered[row_of["missing_here"] - 1], stranger["resident_code"])
        self.assertNotIn("row", next(case for case in told["cases"] if case["class"] == "missing_there"))

        # Found again it is the same case; the corrected notice ends it.
        _, summary = self.reconcile("--with", file)
        self.assertEqual((summary["found_again"], len(self.cases())), (5, 5))
        self.assertEqual(self.node.status()["roles"]["reconciler"]["open"], 5)
        corrected = notice(0, issuer, rows[altered]["update_number"] + 1, "amend", "ex_officio_amendment")
        corrected["resident_code"], corrected["record"] = altered, held[altered]["record"]
        self.send(issuer, len(self.notices.files_of(issuer)) + 1, corrected)
        time.sleep(1.1)
        now = time.strftime("%Y-%m-%dT%H:%M:%S+00:00", time.gmtime())
        self.node.catch_up()
        rows[altered] = {**held[altered], "update_number": rows[altered]["update_number"] + 1}
        summary = self.assert_equal_copy(rows, issuer, now)
        self.assertEqual(summary["resolved"], 5)
        ends = {case["class"]: case for case in self.cases()}
        self.assertEqual(ends["field"]["resolution"], "new_notice")
        self.assertEqual({ends[name]["resolution"] for name in ("missing_there", "order", "duplicate", "missing_here")},
                         {"holder_corrected"})

        # A stated decision ends a case too, once.
        found, _ = self.reconcile("--with", self.copy_file([row for code, row in rows.items() if code != dropped],
                                                           issuer, now))
        case = self.cases("--open")[0]["case"]
        resolve = ["consistency", "resolve", "--home", self.node.home, "--case", case, "--as", "no_error"]
        daicho(*resolve, "--operator", "nobody", status=4)
        daicho(*resolve, "--operator", "op1")
        self.assertEqual(daicho(*resolve, "--operator", "op1", status=None).status, 2)
        self.assertEqual(self.cases("--open"), [])
        self.assertEqual(self.node.status()["roles"]["reconciler"]["open"], 0)

    def assert_equal_copy(self, rows, issuer, now):
        found, summary = self.reconcile("--with", self.copy_file(rows.values(), issuer, now))
        self.assertEqual(found, {})
        self.assertEqual(self.results(issuer)[-1]["differences"], {})
        return summary

    def results(self, issuer):
        gateway = self.node.gateways[issuer]
        return daicho("gateway", "results", "--json", "--home", gateway.home, "--log", gateway.log).lines()

    def test_a_bad_copy_tells_all_its_errors_and_changes_nothing(self):
        issuer = self.notices.issuers[0]
        size = self.node.status()["size"]
        row = {"resident_code": resident_code(5), "update_number": 1, "status": "resident",
               "record": notice(5, issuer)["record"]}
        bad = [dict(row, resident_code="12345678901"), dict(row, status="gone"), row]
        done = self.reconcile("--with", self.copy_file(bad, issuer, "2026-11-20T00:00:00+09:00"))
        self.assertEqual(done.status, 2)
        errors = json.loads(done.out)["errors"]
        self.assertEqual(len(errors), 2)
        done = self.reconcile("--with", self.copy_file([row], issuer, "2999-01-01T00:00:00+09:00"))
        self.assertEqual(done.status, 2)
        self.assertIn("as_of", done.err)
        self.assertLessEqual(self.node.status()["size"], size + 1)


class OfKikouOnKafka(OnKafka, OfKikou):
    """Those in which the log takes part."""

    test_a_sketch_of_a_replica = None
    test_on_a_schedule_and_again_when_the_line_is_back = None
    test_who_may_not_is_told_so_and_nothing_is_compared = None


class OfMunicipalityOnKafka(OnKafka, OfMunicipality):
    """By sketch, with what its receipts say."""

    test_its_copy_its_results_and_its_corrected_notice = None
    test_a_bad_copy_tells_all_its_errors_and_changes_nothing = None
    test_a_sketch_that_cannot_be_compared_is_refused_and_nothing_is_recorded = None


if __name__ == "__main__":
    unittest.main()
