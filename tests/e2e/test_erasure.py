"""消去, seen from outside: after `daicho retention run` no file of the node, of its log or of a home restored from
a copy made before holds anything of what has gone; whoever is left is served as before; and admission goes on
meanwhile. The notices are of today; the node that erases lives far ahead of it (ahead.c)."""

import concurrent.futures
import datetime
import json
import shutil
import sys
import unittest

from daicho_node import (Node, Notices, OnKafka, daicho, individual_number, notice, notice_file, resident_code,
                         temporary_directory)

MAEBASHI, TAKASAKI, KIRYU = "102016", "102024", "102032"
FAR_AHEAD = "2200-01-01"
ROLES = "sequencer,projector,records,notary,retention"
STAYING = range(9_000_000, 9_000_010)  # their first notice goes
LEAVING = range(9_100_000, 9_100_010)  # all of theirs goes
SIGNS = "甲乙丙丁戊己庚辛壬癸"


def marked(number, *arguments):
    sign = SIGNS[number % 10] + ("川" if number in LEAVING else "山")
    out = notice(number, *arguments, name=f"標的{sign} 消子")
    out["record"]["address"]["text"] = f"標的町{sign}番地"
    return out


def markers():
    names = [mark for number in [*STAYING, *LEAVING] for mark in (marked(number, MAEBASHI)["record"]["name"],
                                                                 marked(number, MAEBASHI)["record"]["address"]["text"])]
    return names + [number for n in LEAVING for number in (resident_code(n), individual_number(n))]


def found_in(directories):
    """Which markers lie in which files."""
    looked_for = [(marker, marker.encode()) for marker in markers()]
    out = []
    for directory in directories:
        for path in directory.rglob("*"):
            if path.is_file() and not path.is_symlink():
                content = path.read_bytes()
                out += [(str(path), marker) for marker, encoded in looked_for if encoded in content]
    return out


def erase(node):
    return json.loads(daicho("retention", "run", "--json", "--home", node.home, "--today", FAR_AHEAD, "--operator", "op1",
                             "--operator", "op2").out)


class Erasure(unittest.TestCase):
    def log(self):
        return None

    @classmethod
    def setUpClass(cls):
        cls.directory = cls.enterClassContext(temporary_directory())
        cls.notices = Notices(cls.directory / "notices", 300, 1)

    @classmethod
    def send(cls, node, issuer, sequence, notices):
        path = node.directory / f"{issuer}-{sequence}.ndjson"
        path.write_bytes(notice_file(issuer, sequence, notices))
        node.gateways[issuer].send(path)

    @staticmethod
    def places(node, *homes):
        return [node.home, *homes, *(path for path in [node.directory / "log"] if path.exists())]

    def test_from_the_order_to_files_that_hold_nothing(self):
        issuers = sorted({*self.notices.issuers, MAEBASHI})
        with Node.found(self.directory / "told", self.log(), issuers) as node:
            node.stop()
            node.start(ROLES)
            node.send_all(self.notices)
            first = len(self.notices.files_of(MAEBASHI)) + 1
            self.send(node, MAEBASHI, first, [marked(n, MAEBASHI) for n in [*STAYING, *LEAVING]])
            self.send(node, MAEBASHI, first + 1,
                      [notice(n, MAEBASHI, 2, "amend", "address_change") for n in STAYING] +
                      [marked(n, MAEBASHI, 2, "removal", "move_out") for n in LEAVING])
            node.catch_up()
            for number in (STAYING[0], LEAVING[0]):
                (version,) = node.record("--resident-code", resident_code(number)).lines()
                self.assertEqual(version["update_number"], 2)
            node.stop()
            node.start(ROLES, day=FAR_AHEAD)
            copy = json.loads(daicho("backup", "--json", "--home", node.home, "--to", self.directory / "copy", "--key",
                                     self.directory / "copy.key", "--keep-days", "20").out)
            planned = json.loads(daicho("retention", "plan", "--json", "--home", node.home, "--today", FAR_AHEAD).out)
            self.assertGreaterEqual(planned["expired"]["notice"], len(STAYING) + len(LEAVING))
            self.assertGreaterEqual(planned["expired"]["removal"], len(LEAVING))
            daicho("retention", "run", "--home", node.home, "--today", FAR_AHEAD, "--operator", "op1", status=2)
            self.assertEqual(node.status()["keys"]["epoch"], 1)

            done = erase(node)
            places = {place["place"]: place for place in done["places"]}
            self.assertEqual((done["epoch_destroyed"], done["epoch_begun"]), (1, 2))
            self.assertEqual(places["inboxes"]["means"], "keys_destroyed")
            self.assertEqual(places["record file"]["means"], "rebuilt")
            until = datetime.date.fromisoformat(copy["keep_until"]).isoformat()
            self.assertEqual(places[f"backup {copy['id']}"], {"place": f"backup {copy['id']}", "means": "awaits",
                                                              "until": until})
            content = node.content()
            self.assertEqual(erase(node), {"expired": {}})
            node.stop()
            self.assertEqual(found_in(self.places(node)), [])
            self.assertEqual(list((node.home / "keys").glob("intake.*.key")), [])

            restored = self.directory / "restored"
            daicho("restore", "--home", restored, "--from", self.directory / "copy", "--key", self.directory / "copy.key",
                   "--log", node.log)
            again = json.loads(daicho("status", "--json", "--home", restored).out)
            self.assertEqual(again["keys"]["erased_through"], done["ordered_at"] + 1)
            self.assertEqual(again["record_file"]["digest"], content["digest"])
            self.assertEqual(found_in(self.places(node, restored)), [])

            # From here on the restored home is the ledger's, with an intake key of its own: that of the backup is gone.
            shutil.copytree(node.home / "operators", restored / "operators")
            node.home = restored
            intake = [key for key in json.loads(daicho("key", "list", "--json", "--home", node.home).out)
                      if key["use"] == "intake"]
            self.assertEqual(len(intake), 3)
            self.assertEqual(json.loads((node.home / "ledger.pub.json").read_text())["intake_public_key"],
                             intake[-1]["public_key"])
            node.start(ROLES)
            self.assertEqual(node.content(), content)
            for number in STAYING:
                (version,) = node.record("--resident-code", resident_code(number), "--history").lines()
                self.assertEqual(version["update_number"], 2)
            for number in LEAVING:
                node.record("--resident-code", resident_code(number), status=1)
                node.record("--individual-number", individual_number(number), status=1)
            self.send(node, MAEBASHI, first + 2, [notice(STAYING[0], MAEBASHI, 3, "amend", "address_change"),
                                                  notice(LEAVING[0], MAEBASHI)])
            node.catch_up()
            self.assertEqual([v["update_number"] for v in node.record(
                "--resident-code", resident_code(STAYING[0]), "--history").lines()], [2, 3])
            content = node.content()
            node.stop()
            self.assertEqual(node.rebuild()["digest"], content["digest"])
            daicho("audit", "verify", "--home", node.home)
            node.start(ROLES)

    def test_while_gateways_keep_sending_nothing_is_lost(self):
        issuers = [MAEBASHI, TAKASAKI, KIRYU]

        def send(node, issuer, numbers):
            base = 1_000 * (issuers.index(issuer) + 1)
            for number in numbers:
                how = ("entry", "birth") if number == 1 else ("amend", "address_change")
                self.send(node, issuer, number, [notice(base + n, issuer, number, *how) for n in range(20)])

        contents = []
        for name in ("quiet", "busy"):
            with Node.found(self.directory / name, self.log(), issuers) as node:
                for issuer in issuers:
                    send(node, issuer, range(1, 4))
                node.stop()
                node.start(ROLES, day=FAR_AHEAD)
                node.catch_up()
                with concurrent.futures.ThreadPoolExecutor(3) as pool:
                    senders = [pool.submit(send, node, issuer, range(4, 14)) for issuer in issuers]
                    if name == "busy":
                        self.assertEqual(erase(node)["epoch_begun"], 2)
                    for sender in senders:
                        sender.result()
                node.catch_up()
                if name == "quiet":
                    erase(node)
                self.assertEqual(erase(node), {"expired": {}})
                contents.append(node.content())
        self.assertEqual(contents[0], contents[1])
        self.assertEqual((contents[0]["residents"], contents[0]["versions"]), (60, 60 * 11))


class ErasureOnKafka(OnKafka, Erasure):
    pass


if __name__ == "__main__":
    sys.exit(unittest.main(verbosity=2))
