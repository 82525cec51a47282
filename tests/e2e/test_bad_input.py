"""Every bad input gets the answer that is written down for it, and changes nothing: the ledger is as
long as before, the record file has the same digest, and the gateway goes on with the corrected file."""

import gzip
import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import time
import unittest

from daicho_node import (DAICHO, EVERY_ROLE, Gateway, Node, daicho, individual_number, notice, notice_file,
                         temporary_directory, wait_until, wrong_check_digit)

MAEBASHI, TAKASAKI = "102016", "102024"
KIRYU = "102032"  # has a gateway, but is not registered
SEQUENCE = 2  # of the file that is to be admitted next
# A sanitizer's own memory counts too.
REFUSAL_BYTES_MAX = (2048 if os.environ.get("DAICHO_SANITIZE") else 96) << 20
REFUSAL_SECONDS_MAX = 30


def error(line, field, rule, expected=None):
    out = {"line": line, "field": field, "rule": rule}
    return out if expected is None else out | {"expected": expected}


class WithNode(unittest.TestCase):
    """One ledger for all tests of a class, with 1, 2 and 3 resident in 前橋市."""

    @classmethod
    def setUpClass(cls):
        cls.directory = cls.enterClassContext(temporary_directory())
        cls.node = cls.enterClassContext(Node.found(cls.directory, None, [MAEBASHI, TAKASAKI]))
        cls.gateway = cls.node.gateways[MAEBASHI]
        cls.first = cls.file("first.ndjson", notice_file(MAEBASHI, 1, [notice(n, MAEBASHI) for n in (1, 2, 3)]))
        cls.first_answer = cls.gateway.send(cls.first)[0]
        cls.node.catch_up()

    @classmethod
    def file(cls, name, content):
        path = cls.directory / name
        path.write_bytes(content)
        return path

    def state(self):
        status = self.node.status()
        return status["size"], status["record_file"]["digest"]

    def assert_refused(self, content, *errors, name="bad.ndjson", gateway=None):
        """The file is refused with just these errors, and nothing has changed."""
        path = content if isinstance(content, os.PathLike) else self.file(name, content)
        before = self.state()
        found = (gateway or self.gateway).reject(path)
        for each in found:
            self.assertTrue(each.pop("message"))
        self.assertEqual(found, list(errors))
        self.assertEqual(self.state(), before)

    def assert_notice_refused(self, changed, *errors, sequence=SEQUENCE):
        """Of a file of two notices, the one on line 3 is bad: each error is (field, rule[, expected])."""
        content = notice_file(MAEBASHI, sequence, [notice(4, MAEBASHI), changed])
        self.assert_refused(content, *(error(3, *each) for each in errors))


class Notices(WithNode):
    """What is wrong in a notice."""

    def test_wrong_check_digit_of_a_resident_code(self):
        bad = notice(5, MAEBASHI)
        bad["resident_code"] = wrong_check_digit(bad["resident_code"])
        self.assert_notice_refused(bad, ("resident_code", "check_digit"))

    def test_wrong_check_digit_of_an_individual_number(self):
        bad = notice(5, MAEBASHI, individual_number=wrong_check_digit(individual_number(5)))
        self.assert_notice_refused(bad, ("record.individual_number", "check_digit"))

    def test_wrong_check_digit_of_a_municipality(self):
        bad = notice(5, MAEBASHI)
        bad["record"]["address"]["municipality"] = wrong_check_digit(MAEBASHI)
        self.assert_notice_refused(bad, ("record.address.municipality", "check_digit"))

    def test_a_resident_of_another_municipality(self):
        self.assert_notice_refused(notice(5, TAKASAKI), ("record.address.municipality", "issuer"))

    def test_a_resident_of_another_prefecture(self):
        bad = notice(5, MAEBASHI)
        bad["record"]["address"]["municipality"] = "131016"
        self.assert_notice_refused(bad, ("record.address.municipality", "municipality"),
                                   ("record.address.municipality", "issuer"))

    def test_an_unknown_field(self):
        self.assert_notice_refused(notice(5, MAEBASHI) | {"religion": "?"}, ("religion", "unknown_field"))
        self.assert_notice_refused(notice(5, MAEBASHI, tel="027"), ("record.tel", "unknown_field"))

    def test_bad_utf8(self):
        line = json.dumps(notice(5, MAEBASHI), ensure_ascii=False).encode()
        self.assert_notice_refused(line.replace("新井".encode(), b"\x90V\x88\xe4"), ("", "utf8"))
        self.assert_notice_refused(line.replace("新井".encode(), b"\xed\xa0\x80"), ("", "utf8"))

    def test_no_json(self):
        self.assert_notice_refused(b'{"resident_code":', ("", "json"))
        self.assert_notice_refused(b"[]", ("", "type"))
        self.assert_notice_refused(b"", ("", "empty_line"))

    def test_a_day_that_does_not_exist(self):
        self.assert_notice_refused(notice(5, MAEBASHI, changed_on="2026-02-29"), ("changed_on", "date"))

    def test_an_update_number_that_skips_or_repeats(self):
        amend = {"kind": "amend", "reason": "minor_amendment"}
        self.assert_notice_refused(notice(1, MAEBASHI, 3, **amend), ("update_number", "update_number", 2))
        self.assert_notice_refused(notice(1, MAEBASHI, 1, **amend), ("update_number", "update_number", 2))
        self.assert_notice_refused(notice(5, MAEBASHI, 2), ("update_number", "update_number", 1))

    def test_an_entry_of_who_is_resident(self):
        self.assert_notice_refused(notice(1, MAEBASHI, 2), ("kind", "already_resident"))

    def test_a_removal_of_nobody(self):
        removal = {"kind": "removal", "reason": "death"}
        self.assert_notice_refused(notice(5, MAEBASHI, 1, **removal), ("resident_code", "unknown"))

    def test_a_removal_by_another_municipality(self):
        content = notice_file(TAKASAKI, 1, [notice(1, TAKASAKI, 2, "removal", "death")])
        self.assert_refused(content, error(2, "resident_code", "issuer"), gateway=self.node.gateways[TAKASAKI])

    def test_a_number_that_another_resident_has(self):
        self.assert_notice_refused(notice(5, MAEBASHI, individual_number=individual_number(2)),
                                   ("record.individual_number", "in_use"))

    def test_every_error_of_a_file_at_once(self):
        bad = [notice(n, MAEBASHI) for n in (5, 6, 7, 8)]
        bad[0]["resident_code"] = wrong_check_digit(bad[0]["resident_code"])
        bad[0]["record"]["birth"] = "2026-13-01"
        bad[1]["religion"] = "?"
        bad[2] = b"{"
        bad[3]["record"]["name"] = ""
        content = notice_file(MAEBASHI, SEQUENCE, [*bad, notice(9, MAEBASHI)], count=4, sha256="0" * 64)
        self.assert_refused(content, error(1, "count", "count", 5), error(1, "sha256", "sha256"),
                            error(2, "resident_code", "check_digit"), error(2, "record.birth", "date"),
                            error(3, "religion", "unknown_field"), error(4, "", "json"),
                            error(5, "record.name", "required"))

    def test_every_error_against_the_ledger_at_once(self):
        bad = [notice(1, MAEBASHI, 3, "amend", "minor_amendment"), notice(2, MAEBASHI, 2, "removal", "death"),
               notice(2, MAEBASHI, 3, "removal", "death"), notice(5, MAEBASHI, 1, "removal", "death")]
        self.assert_refused(notice_file(MAEBASHI, SEQUENCE, bad), error(2, "update_number", "update_number", 2),
                            error(4, "kind", "not_resident"), error(5, "resident_code", "unknown"))


class Files(WithNode):
    """What is wrong with a file."""

    def good(self, sequence=SEQUENCE, issuer=MAEBASHI, **header):
        return notice_file(issuer, sequence, [notice(4, issuer), notice(5, issuer)], **header)

    def test_a_wrong_hash_in_the_header(self):
        self.assert_refused(self.good(sha256="0" * 64), error(1, "sha256", "sha256"))
        self.assert_refused(self.good(sha256="0" * 63), error(1, "sha256", "format"))

    def test_a_wrong_count(self):
        self.assert_refused(self.good(count=3), error(1, "count", "count", 2))

    def test_another_format(self):
        self.assert_refused(self.good(format="daicho-notice/2"), error(1, "format", "unknown_value"))

    def test_a_truncated_file(self):
        self.assert_refused(self.good()[:-40], error(3, "", "truncated"))
        whole_lines = b"".join(self.good().splitlines(keepends=True)[:2])
        self.assert_refused(whole_lines, error(1, "count", "count", 1), error(1, "sha256", "sha256"))
        self.assert_refused(b"", error(1, "", "required"))

    def test_a_truncated_or_damaged_gzip(self):
        packed = gzip.compress(self.good())
        self.assert_refused(packed[:-4], error(4, "", "truncated"))
        self.assert_refused(packed[:-8] + bytes(8), error(4, "", "compression"))
        self.assert_refused(packed + b"more", error(4, "", "trailing"))

    def test_a_gap_in_the_files_sequence(self):
        self.assert_refused(self.good(SEQUENCE + 1), error(1, "sequence", "gap", SEQUENCE))

    def test_a_repeated_sequence_with_other_content(self):
        self.assert_refused(self.good(1), error(1, "sequence", "repeat_differs", SEQUENCE))

    def test_a_file_of_another_municipality(self):
        self.assert_refused(self.good(issuer=TAKASAKI), error(1, "issuer", "issuer"))

    def test_an_issuer_that_is_no_municipality_here(self):
        self.assert_refused(self.good(issuer=wrong_check_digit(MAEBASHI)), error(1, "issuer", "check_digit"),
                            error(2, "record.address.municipality", "check_digit"),
                            error(3, "record.address.municipality", "check_digit"))

    def test_a_file_sent_again_gets_the_same_answer(self):
        before = self.state()
        again = self.gateway.send(self.first)[0]
        self.assertEqual(again, self.first_answer | {"outcome": "already_admitted"})
        self.assertEqual(self.first_answer["outcome"], "admitted")
        self.assertEqual(self.state(), before)

    def test_a_line_without_end_is_refused_within_bounded_memory_and_time(self):
        endless = self.directory / "endless.ndjson"
        with open(endless, "wb") as out:
            out.write(self.good())
            out.truncate(10 << 30)  # ten GiB of zeros that take no place
        self.assert_refused_cheaply(endless, error(4, "", "limit"))

    def test_a_compressed_line_without_end_is_refused_within_bounded_memory_and_time(self):
        bomb = self.directory / "bomb.ndjson.gz"
        # Members of a gzip file are read one after the other: 10 GiB in ten MiB.
        member = gzip.compress(bytes(64 << 20), 9)
        with open(bomb, "wb") as out:
            out.write(gzip.compress(self.good()))
            for _ in range(160):
                out.write(member)
        self.assert_refused_cheaply(bomb, error(4, "", "limit"))

    def assert_refused_cheaply(self, path, *errors):
        before = self.state()
        started = time.monotonic()
        process = subprocess.Popen([DAICHO, *map(str, self.gateway.command(path))], stdout=subprocess.PIPE)
        out = process.stdout.read()
        process.stdout.close()
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        seconds = time.monotonic() - started
        found = json.loads(out)["errors"]
        for each in found:
            del each["message"]
        self.assertEqual((process.returncode, found), (1, list(errors)))
        self.assertEqual(self.state(), before)
        self.assertLess(usage.ru_maxrss * 1024, REFUSAL_BYTES_MAX)
        self.assertLess(seconds, REFUSAL_SECONDS_MAX)
        path.unlink()

    def test_a_file_that_is_not_there(self):
        self.assertEqual(self.gateway.try_send(self.directory / "none.ndjson").status, 1)


class Corrected(WithNode):
    """After every refusal the gateway goes on."""

    def test_the_corrected_file_is_admitted_under_the_same_sequence(self):
        for sequence, kind in enumerate(["form", "ledger"], SEQUENCE):
            wrong = {"form": notice(10 + sequence, MAEBASHI) | {"resident_code": "1"},
                     "ledger": notice(10 + sequence, MAEBASHI, 2)}[kind]
            field = {"form": ("resident_code", "format"), "ledger": ("update_number", "update_number", 1)}[kind]
            self.assert_notice_refused(wrong, *[field], sequence=sequence)
            right = notice_file(MAEBASHI, sequence, [notice(10 + sequence, MAEBASHI)])
            size = self.state()[0]
            answer = self.gateway.send(self.file("right.ndjson", right))[0]
            self.assertEqual((answer["outcome"], answer["positions"]), ("admitted", [size, size]))

    def test_a_file_is_admitted_whole_or_not_at_all_among_others(self):
        paths = [self.file("a.ndjson", notice_file(TAKASAKI, 1, [notice(20, TAKASAKI)])),
                 self.file("b.ndjson", notice_file(TAKASAKI, 2, [notice(21, TAKASAKI), notice(20, TAKASAKI, 2)])),
                 self.file("c.ndjson", notice_file(TAKASAKI, 2, [notice(21, TAKASAKI)]))]
        done = self.node.gateways[TAKASAKI].try_send(*paths)
        self.assertEqual(done.status, 1)
        self.assertEqual([answer["outcome"] for answer in done.lines()], ["admitted", "rejected", "admitted"])


class Refused(WithNode):
    """A refusal is final for the submission that it answers."""

    def test_a_refusal_that_its_gateway_did_not_live_to_see_stands(self):
        """The gateway dies after it has sent, and sends the same again when it is back. By then another
        municipality's notice is there, with which it could be admitted; but the refusal was given. A
        ledger that admitted the repetition would refuse all that the gateway signs after the refusal."""
        gateway = self.node.gateways[MAEBASHI]
        path = self.file("ahead.ndjson", notice_file(MAEBASHI, SEQUENCE, [notice(50, MAEBASHI, 3, "entry", "move_in")]))
        server = self.node.processes[EVERY_ROLE]
        server.send_signal(signal.SIGSTOP)
        self.addCleanup(server.send_signal, signal.SIGCONT)
        state = gateway.home / "outbox/state"
        before = state.read_bytes()
        sending = gateway.start_send(path)
        wait_until("the submission is on its way", lambda: state.read_bytes() != before, 30)
        died = Gateway(self.directory / "died", MAEBASHI, self.node.log)
        shutil.copytree(gateway.home, died.home)
        server.send_signal(signal.SIGCONT)
        self.assertEqual(sending.wait(), 1)
        self.node.gateways[TAKASAKI].send(
            self.file("before.ndjson", notice_file(TAKASAKI, 1, [notice(50, TAKASAKI)])))
        self.assertEqual(died.send(path)[0]["outcome"], "admitted")
        more = self.file("after.ndjson", notice_file(MAEBASHI, SEQUENCE + 1, [notice(51, MAEBASHI)]))
        self.assertEqual(died.send(more)[0]["outcome"], "admitted")


class Commands(WithNode):
    """What is wrong around a file."""

    def test_an_issuer_that_is_not_registered_is_denied(self):
        path = self.file("kiryu.ndjson", notice_file(KIRYU, 1, [notice(30, KIRYU)]))
        before = self.state()
        done = self.node.gateway(KIRYU).try_send(path)
        self.assertEqual((done.status, done.out), (4, ""))
        self.assertIn("not registered", done.err)
        self.assertEqual(self.state(), before)

    def test_an_issuer_cannot_be_registered_twice_or_without_a_key(self):
        before = self.state()
        add = ["issuer", "add", "--home", self.node.home, "--issuer"]
        daicho(*add, MAEBASHI, "--public-key", self.gateway.public_key, status=2)
        daicho(*add, "131016", "--public-key", self.gateway.public_key, status=2)
        daicho(*add, KIRYU, "--public-key", self.file("no.pub", b"12"), status=2)
        self.assertEqual(self.state(), before)

    def test_a_key_that_is_not_the_issuers_is_refused(self):
        other = self.directory / "impostor"
        shutil.copytree(self.gateway.home, other)
        daicho("gateway", "init", "--home", self.directory / "fresh", "--issuer", MAEBASHI)
        shutil.copy(self.directory / "fresh/keys/issuer.key", other / "keys/issuer.key")
        path = self.file("impostor.ndjson", notice_file(MAEBASHI, SEQUENCE, [notice(31, MAEBASHI)]))
        before = self.state()
        done = daicho("gateway", "send", "--json", "--home", other, "--log", self.node.log, path, status=1)
        self.assertEqual([(e["line"], e["field"], e["rule"]) for e in done.lines()[0]["errors"]],
                         [(1, "head", "signature")])
        self.assertEqual(self.state(), before)

    def test_a_home_or_a_gateway_is_not_made_twice(self):
        daicho("init", "--home", self.node.home, "--prefecture", "10", "--log", self.node.log, status=2)
        daicho("gateway", "init", "--home", self.gateway.home, "--issuer", MAEBASHI, status=2)
        daicho("gateway", "init", "--home", self.directory / "x", "--issuer", wrong_check_digit(MAEBASHI), status=2)

    def test_wrong_usage(self):
        for arguments in ([], ["gather"], ["gateway"], ["gateway", "receive"], ["status"], ["status", "--hone", "x"],
                          ["init", "--home", self.directory / "y", "--prefecture", "48", "--log", "local:z"],
                          ["init", "--home", self.directory / "y", "--prefecture", "10", "--log", "nats://z"],
                          ["help", "gather"], ["gateway", "send", "--home", "x", "--log", "y"],
                          ["serve", "--home", self.node.home, "--roles", "sequencer,cook"]):
            with self.subTest(arguments=arguments):
                done = daicho(*arguments, status=2)
                self.assertEqual(done.out, "")
                self.assertNotEqual(done.err, "")

    def test_a_node_that_does_not_run_cannot_be_reached(self):
        with Node.found(self.directory / "stopped", None, [MAEBASHI]) as node:
            path = self.file("later.ndjson", notice_file(MAEBASHI, 1, [notice(40, MAEBASHI)]))
            node.stop()
            for _ in range(2):
                done = node.gateways[MAEBASHI].try_send(path)
                self.assertEqual((done.status, done.out), (3, ""))
            node.start()
            node.kill()  # leaves its socket behind
            self.assertEqual(node.gateways[MAEBASHI].try_send(path).status, 3)
            node.start()
            self.assertEqual(node.gateways[MAEBASHI].send(path)[0]["outcome"], "admitted")

    def test_kafka_that_does_not_run_cannot_be_reached(self):
        path = self.file("kafka.ndjson", notice_file(MAEBASHI, SEQUENCE, [notice(41, MAEBASHI)]))
        done = daicho("gateway", "send", "--home", self.gateway.home, "--log", "kafka://127.0.0.1:1", path, status=3)
        self.assertEqual(done.out, "")


if __name__ == "__main__":
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    sys.exit(unittest.main(verbosity=2))
