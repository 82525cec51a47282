"""提供・移転 end to end: six who ask, on six bases, each given what its own basis lets out and nothing else, and each
refused once for a reason of its own. The node is served; requests come from an operator, signed by the agency. On the
local log and on the real broker."""

import unittest

from daicho_agency import Agency, residents_of
from daicho_node import Node, Notices, OnKafka, daicho, temporary_directory, wait_until

PERSONAL = {"name", "kana", "former_name", "alias", "latin_name", "birth", "sex", "address"}


class Provide(unittest.TestCase):
    def log(self):
        """A local one."""

    def setUp(self):
        self.directory = self.enterContext(temporary_directory())
        notices = Notices(self.directory / "notices", residents=400, years=1)
        self.node = self.enterContext(Node.found(self.directory, self.log(), notices.issuers))
        self.node.send_all(notices)
        self.node.catch_up()
        self.people = residents_of(self.node, notices, 5)

    def number(self, person=0):
        return {"individual_number": self.people[person]["record"]["individual_number"]}

    def four(self, person=0):
        record = self.people[person]["record"]
        return {"name": record["name"], "birth": record["birth"], "address": record["address"]["text"]}

    def check(self, answer, fields, person=0):
        header, line = answer
        self.assertEqual((header["format"], line["id"], line["result"]), ("daicho-answer/1", "1", "found"), line)
        record = self.people[person]["record"]
        self.assertEqual(line["record"], {key: record[key] for key in record if key in fields})
        self.assertNotIn("resident_code", line["record"])

    def refused(self, reason, told):
        said, answer = told
        self.assertEqual((said["outcome"], said["refusal"]), ("refused", reason), said)
        return answer

    def test_six_who_ask_are_given_what_their_basis_lets_out(self):
        agreement = ["--agreement", "2026-1", "--municipality", "102016", "--agency", "maebashi-tax", "--duty", "o-city-1",
                     "--ordinance", "条例2条", "--concluded-on", "2026-03-20", "--valid-from", "2026-04-01"]
        boe = Agency(self.node, "gunma-boe", "prefectural-agency")
        tax = Agency(self.node, "gunma-tax", "department")
        passport = Agency(self.node, "gunma-passport", "department")
        welfare = Agency(self.node, "gunma-welfare", "department")
        statistics = Agency(self.node, "gunma-statistics", "department")
        city = Agency(self.node, "maebashi-tax", "municipal-agency", "--municipality", "102016")

        # 教育委員会: with 個人番号 (番号法9条1項).
        self.check(boe.ask("30-15-2/6-3", "6-3-1", self.number())[1], PERSONAL | {"individual_number"})
        self.check(boe.ask("30-15-2/6-3", "6-3-1", self.number(), fields=["name", "birth"])[1], {"name", "birth"})
        # 税務課: 移転.
        self.check(tax.ask("30-15-1/5-tax", "5-tax-1", self.four(1))[1], PERSONAL | {"individual_number"}, 1)
        # 旅券: the 4情報 only, neither asked nor answered by 個人番号.
        self.check(passport.ask("30-15-1/5-6", "5-6-1", self.four())[1], PERSONAL)
        # 本人同意.
        self.check(welfare.ask("30-15-1-3", "consent-1", {**self.four(2), "consent": "同意書 R8-17"})[1], PERSONAL, 2)
        # 統計: a number and nothing of anybody.
        said, (header, line) = statistics.ask("30-15-1-4", "statistics-1", {"sex": "female", "municipality": "103675", "birth": "1950"}, mode="batch")
        self.assertEqual((line["result"], set(line)), ("found", {"id", "result", "matches"}))
        # 市町村: only under an agreement.
        answer = self.refused("agreement", city.ask("30-13-1", "o-city-1", self.four(), status=1))
        self.assertEqual((answer[0]["refusal"], len(answer)), ("agreement", 1))
        (self.directory / "agreement.pdf").write_bytes(b"signed and sealed")
        daicho("agreement", "set", "--home", self.node.home, *agreement, "--document", self.directory / "agreement.pdf",
               "--operator", "op1", "--operator", "op2")
        self.check(city.ask("30-13-1", "o-city-1", self.four())[1], PERSONAL)

        # One refusal each, and none of them tells anything.
        self.refused("field", boe.ask("30-15-2/6-3", "6-3-1", self.number(), fields=["resident_code"], status=1))
        self.refused("basis", tax.ask("30-15-2/6-3", "6-3-1", self.number(), status=1))
        self.refused("duty", passport.ask("30-15-1/5-6", "5-21-1", self.four(), status=1))
        said, (header, line) = passport.ask("30-15-1/5-6", "5-6-1", self.number())
        self.assertEqual((line["result"], line["reason"]), ("refused", "condition"))
        said, (header, line) = welfare.ask("30-15-1-3", "consent-1", self.four(2))
        self.assertEqual((line["result"], line["reason"]), ("refused", "consent"))
        self.refused("mode", statistics.ask("30-15-1-4", "statistics-1", {"sex": "male", "birth": "1950"}, status=1))
        said, (header, line) = city.ask("30-13-1", "o-city-1", self.number())
        self.assertEqual((line["result"], line["reason"]), ("refused", "condition"))

    def test_what_is_asked_again_is_answered_as_before(self):
        boe = Agency(self.node, "gunma-boe", "prefectural-agency")
        request = boe.write("30-15-2/6-3", "6-3-1", [{"id": "1", **self.number()}], mode="immediate")
        first = boe.provide(request, "--out", request.with_suffix(".a"))
        size = self.node.status()["size"]
        again = boe.provide(request, "--out", request.with_suffix(".b"))
        self.assertEqual(first["positions"], again["positions"])
        self.assertEqual(request.with_suffix(".a").read_bytes(), request.with_suffix(".b").read_bytes())
        self.assertEqual(self.node.status()["size"], size, "nothing more is recorded")
        # Not by somebody who may not handle it: nothing of what was answered comes out again.
        key = self.directory / "op3.key"
        public_key = self.directory / "op3.pub"
        public_key.write_text(daicho("operator", "keygen", "--out", key).out)
        daicho("operator", "add", "--home", self.node.home, "--operator", "op3", "--public-key", public_key,
               "--role", "administrator")
        size = self.node.status()["size"]
        told = boe.provide(request, "--operator-key", key, "--out", request.with_suffix(".c"), operator="op3", status=1)
        self.assertEqual(told["refusal"], "permission")
        self.assertEqual(self.node.status()["size"], size + 1, "the attempt is recorded")
        size += 1
        # Its number cannot be used for another.
        other = boe.write("30-15-2/6-3", "6-3-1", [{"id": "1", **self.number(1)}], mode="immediate", reference="R8-0001")
        self.assertEqual(boe.provide(other, status=1)["refusal"], "reference")
        # A stranger's signature is worth nothing, and what it was put under is recorded.
        tax = Agency(self.node, "gunma-tax", "department")
        other.with_suffix(".ndjson.sig").write_text(tax.sign(b"whatever").hex())
        self.assertEqual(boe.provide(other, status=1)["refusal"], "signature")
        self.assertEqual(self.node.status()["size"], size + 3)  # the agency's registration, two refusals

    def test_an_agency_changes_its_keys(self):
        boe = Agency(self.node, "gunma-boe", "prefectural-agency")
        boe.ask("30-15-2/6-3", "6-3-1", self.number())
        daicho("agency", "renew", "--home", boe.home)
        boe.ask_sealed("30-15-2/6-3", "6-3-1", self.number())  # still to the old certificate
        daicho("agency", "rotate", "--home", self.node.home, "--agency", boe.name, "--certificate", boe.home / "agency.pem")
        self.check(boe.ask("30-15-2/6-3", "6-3-1", self.number())[1], PERSONAL | {"individual_number"})
        out = self.directory / "received"
        received = []

        def receive():
            received.extend(daicho("agency", "receive", "--json", "--home", boe.home, "--log", self.node.log, "--out", out,
                                   "--reply").lines())
            return len(received) == 3
        wait_until("each opens by the key that it came under", receive, seconds=20)

        daicho("agency", "renew", "--home", boe.home, "--signing")
        daicho("agency", "rotate", "--home", self.node.home, "--agency", boe.name, "--public-key", boe.home / "agency.next.pub")
        self.refused("signature", boe.ask("30-15-2/6-3", "6-3-1", self.number(), status=1))
        daicho("agency", "renew", "--home", boe.home, "--signing", "--take")
        self.check(boe.ask("30-15-2/6-3", "6-3-1", self.number())[1], PERSONAL | {"individual_number"})

        def confirmed():
            return self.node.status()["roles"]["provider"]["agencies"][0]["unconfirmed"] == 1
        wait_until("three receipts are in the ledger", confirmed)

    def test_standing_requests_follow_until_they_end(self):
        tax = Agency(self.node, "gunma-tax", "department")
        request = tax.write("30-15-1/5-tax", "5-tax-1", [{"id": "1", **self.number()}], mode="standing", reference="S-1")
        self.assertEqual(tax.provide(request)["found"], 1)
        end = tax.write("30-15-1/5-tax", "5-tax-1", [], mode="standing", reference="S-1", ends=True)
        self.assertEqual(tax.provide(end)["outcome"], "answered")
        size = self.node.status()["size"]
        self.assertEqual(tax.provide(end)["outcome"], "answered", "asked again, it has ended")
        self.assertEqual(self.node.status()["size"], size)
        other = tax.write("30-15-1/5-tax", "5-tax-1", [], mode="standing", reference="S-2", ends=True)
        self.assertEqual(tax.provide(other, status=1)["refusal"], "reference")

    def test_a_batch_is_answered_in_order_and_a_bad_line_spoils_it_whole(self):
        boe = Agency(self.node, "gunma-boe", "prefectural-agency")
        lines = []
        for i in range(150):
            condition = self.number(i % len(self.people)) if i % 3 else {"name": f"誰でもない {i}", "birth": "1990-01-01"}
            lines.append({"id": f"{i}", **condition})
        request = boe.write("30-15-2/6-3", "6-3-1", lines)
        said = boe.provide(request, "--out", request.with_suffix(".answer"))
        self.assertEqual((said["found"], said["none"]), (100, 50), said)
        header, *answers = boe.open(request.with_suffix(".answer"))
        self.assertEqual([answer["id"] for answer in answers], [line["id"] for line in lines])
        for i, answer in enumerate(answers):
            self.assertEqual(answer["result"], "found" if i % 3 else "none")
        self.assertEqual(said["positions"][1] - said["positions"][0], 2, "63 conditions to an event")

        lines[7]["individual_number"] = "123456789012"
        lines[9]["nonsense"] = True
        said = boe.provide(boe.write("30-15-2/6-3", "6-3-1", lines), status=1)
        self.assertEqual(said["refusal"], "malformed")
        self.assertEqual([(error["line"], error["field"], error["rule"]) for error in said["errors"]],
                         [(9, "individual_number", "check_digit"), (11, "nonsense", "unknown_field")])


class ProvideOnKafka(OnKafka, Provide):
    """The same on the real broker."""


if __name__ == "__main__":
    unittest.main()
