"""開示, 訂正, 利用停止 end to end: from what the office writes down to the letter, whose text is read and whose signature
is verified by poppler, and to the evidence, which the auditor's command verifies with the ledger's key alone."""

import datetime
import json
import re
import subprocess
import unittest

from daicho_agency import Agency
from daicho_node import Node, daicho, individual_number, notice, notice_file, resident_code, temporary_directory

MAEBASHI = "102016"
HANAKO = 24  # has a variant of 邊 in her name
TODAY = datetime.datetime.now(datetime.timezone(datetime.timedelta(hours=9))).date()
RECEIVED = TODAY - datetime.timedelta(days=2)


def text_of(pdf):
    text = subprocess.run(["pdftotext", "-raw", pdf, "-"], capture_output=True, text=True, check=True).stdout
    return re.sub(r"\s", "", text)


def verdict_on(pdf):
    return subprocess.run(["pdfsig", "-nocert", pdf], capture_output=True, text=True).stdout


class Disclosure(unittest.TestCase):
    def setUp(self):
        self.directory = self.enterContext(temporary_directory())
        self.node = self.enterContext(Node.found(self.directory, issuers=[MAEBASHI]))
        self.files = 0
        self.send(notice(HANAKO, MAEBASHI, name="渡邊\U000E010B 花子", kana="わたなべ はなこ", birth="1988-02-29",
                         sex="female", reason="move_in", changed_on="2026-04-01"),
                  notice(25, MAEBASHI, name="渡邊\U000E0100 次郎"))
        self.send(notice(HANAKO, MAEBASHI, 2, "amend", "address_change", "2026-05-10", name="渡邊\U000E010B 花子",
                         kana="わたなべ はなこ", birth="1988-02-29", sex="female",
                         address={"municipality": MAEBASHI, "text": "本町二丁目３番４号"}))
        self.node.catch_up()

    def send(self, *notices):
        self.files += 1
        file = self.directory / f"{MAEBASHI}-{self.files}.ndjson"
        file.write_bytes(notice_file(MAEBASHI, self.files, notices))
        self.node.gateway(MAEBASHI).send(file)
        return self.node.catch_up()

    def write(self, kind, reference, **more):
        document = {"format": f"daicho-{kind}/1", "reference": reference, "received_on": RECEIVED.isoformat(),
                    "capacity": "self", "documents": ["individual_number_card"],
                    "applicant": {"name": "渡邊\U000E010B　花子", "address": ["前橋市本町二丁目３番４号"]}, **more}
        path = self.directory / f"{reference}.json"
        path.write_text(json.dumps(document, ensure_ascii=False))
        return path

    def asked(self, reference="開-1", number=HANAKO, scope=("record", "history", "use"), **more):
        return self.write("disclosure", reference, condition={"individual_number": individual_number(number)},
                          scope=list(scope), **more)

    def run_(self, *words, operator="op1", status=0):
        done = daicho(*words, "--json", "--home", self.node.home, "--operator", operator, status=status)
        return json.loads(done.out) if status == 0 else done.err

    def letter(self, *words, name, status=0, **more):
        out = self.directory / name
        said = self.run_(*words, "--out", out, "--number", "市第123号", status=status, **more)
        return out, said

    def list(self, duty):
        return daicho(duty, "list", "--json", "--home", self.node.home).lines()

    def assert_sealed(self, pdf):
        verdict = verdict_on(pdf)
        self.assertIn("Signature is Valid.", verdict)
        self.assertIn("Total document signed", verdict)

    def assert_says(self, pdf, *phrases):
        text = text_of(pdf)
        for phrase in phrases:
            self.assertIn(phrase, text)

    def disclose(self, reference="開-1"):
        return self.letter("disclose", "--request", self.asked(reference), name=reference)

    def test_a_resident_is_shown_the_record_its_history_and_where_it_went(self):
        boe = Agency(self.node, "gunma-boe", "prefectural-agency")
        boe.ask("30-15-2/6-3", "6-3-1", {"individual_number": individual_number(HANAKO)})
        request = self.asked()
        received = self.run_("disclose", "receive", "--request", request)
        due = RECEIVED + datetime.timedelta(days=29)
        self.assertEqual(received["due_on"], due.isoformat())
        self.assertEqual(self.run_("disclose", "receive", "--request", request)["position"], received["position"])
        line = self.list("disclose")[0]
        self.assertEqual((line["stage"], line["days_left"], "warning" in line), ("received", 28, False))

        out, said = self.letter("disclose", "decide", "--request", request, name="out")
        self.assertEqual(said["result"], "disclosed")
        self.assert_sealed(out / "letter.pdf")
        self.assert_says(out / "letter.pdf", "本人確認情報開示決定通知書", "渡邊\U000E010B花子様", "法第30条の32第2項",
                         "住所群馬県前橋市本町二丁目３番４号", "個人番号" + individual_number(HANAKO),
                         "更新順番号1転入等（記載）", "更新順番号2転居（修正）", "住民基本台帳法第30条の15第2項（別表第6の3の項）",
                         "gunma-boe", "群馬県総務部市町村課行政係")
        changed = bytearray((out / "letter.pdf").read_bytes())
        changed[len(changed) // 3] ^= 1
        (out / "changed.pdf").write_bytes(changed)
        self.assertNotIn("Signature is Valid.", verdict_on(out / "changed.pdf"))

        # Two notices, one provision, the receipt and the decision: each proven without the prefecture.
        proofs = sorted((out / "evidence").iterdir(), key=lambda file: int(file.stem))
        self.assertEqual(len(proofs), 5)
        self.assertEqual(int(proofs[-1].stem), said["position"])
        for proof in proofs:
            daicho("audit", "check", proof, "--ledger", self.node.home / "ledger.pub.json")
        spoilt = proofs[0].read_bytes().replace(b"\nindex ", b"\nindex 1", 1)
        proofs[0].write_bytes(spoilt)
        daicho("audit", "check", proofs[0], "--ledger", self.node.home / "ledger.pub.json", status=1)

        # Handed out once; the folder with the letter is gone.
        self.assertFalse(any((self.node.home / "disclosures").rglob("*.pdf")))
        self.letter("disclose", "decide", "--request", request, name="again", status=2)
        self.assertEqual(self.list("disclose")[0]["result"], "disclosed")

    def test_what_was_decided_before_a_crash_is_handed_out_after_it(self):
        request = self.asked()
        self.run_("disclose", "receive", "--request", request)
        # The letter stays in the node's folder: nobody took it away.
        said = self.run_("disclose", "decide", "--request", request, "--out", "", "--number", "市第1号")
        kept = (self.node.home / "disclosures/disclosure/開-1/letter.pdf").read_bytes()
        self.node.kill()
        self.node.start()
        size = self.node.catch_up()["size"]
        out, again = self.letter("disclose", "decide", "--request", request, name="out")
        self.assertEqual(again["position"], said["position"])
        self.assertEqual((out / "letter.pdf").read_bytes(), kept)
        self.assertEqual(self.node.status()["size"], size, "nothing more is recorded")

    def test_not_held_is_an_answer_an_agent_sees_the_use_alone_and_the_clock_is_watched(self):
        out, said = self.letter("disclose", "--request", self.asked("開-2", 99), name="none")
        self.assertEqual(said["result"], "not_held")
        self.assert_sealed(out / "letter.pdf")
        self.assert_says(out / "letter.pdf", "本人確認情報不存在通知書", "審査請求")

        agent = {"capacity": "agent", "documents": ["passport", "representation"]}
        self.run_("disclose", "receive", "--request", self.asked("開-3", **agent), status=2)
        self.run_("disclose", "receive", "--request", self.asked("開-3", scope=["use"], **agent))
        self.run_("disclose", "receive", "--request", self.asked("開-4", documents=["health_insurance"]), status=2)
        self.run_("disclose", "withdraw", "--request", self.asked("開-3", scope=["use"], **agent))

        # The last day, and the day after.
        for reference, days, warning in [("開-5", 29, "soon"), ("開-6", 30, "overdue")]:
            on = (TODAY - datetime.timedelta(days=days)).isoformat()
            request = self.asked(reference, received_on=on)
            self.run_("disclose", "receive", "--request", request)
            line = next(line for line in self.list("disclose") if line["reference"] == reference)
            self.assertEqual((line["days_left"], line["warning"]), (30 - days, warning))
            until = ["--until", (TODAY + datetime.timedelta(days=10)).isoformat(), "--reason", "記録の確認に日数を要するため"]
            late = days == 30
            out, _ = self.letter("disclose", "extend", "--request", request, *until, name=reference, status=2 if late else 0)
            if not late:
                self.assert_sealed(out / "extension.pdf")
                self.assert_says(out / "extension.pdf", "期限延長通知書", "第30条の33第1項", "記録の確認に日数を要するため")
                line = next(line for line in self.list("disclose") if line["reference"] == reference)
                self.assertEqual((line["stage"], line["days_left"]), ("extended", 11))
            # Late or not, it is answered.
            self.letter("disclose", "decide", "--request", request, name=reference + "-out")

    def test_a_character_that_the_font_lacks_is_never_drawn_as_another(self):
        request = self.asked("開-7", 25)
        self.run_("disclose", "receive", "--request", request)
        said = self.letter("disclose", "decide", "--request", request, name="out", status=2)[1]
        self.assertIn("U+908A U+E0100", said)
        self.assertEqual(self.list("disclose")[0]["stage"], "received", "and nothing was decided")

    def test_a_correction_goes_by_the_municipality_and_two_operators(self):
        self.disclose()
        claim = [{"kind": "correct", "field": "birth", "claimed": "1988-03-01"}]
        request = self.write("correction", "訂-1", disclosure="開-1", items=claim)
        self.run_("correction", "request", "--request", request)
        decision = ["correction", "decide", "--request", request, "--finding", "register_error", "--investigated-on",
                    TODAY.isoformat(), "--municipality", MAEBASHI, "--report-number", "市第124号", "--details", "戸籍謄本による確認"]
        self.letter(*decision, "--consent", "op1", name="corrected", status=2)
        out, _ = self.letter(*decision, "--consent", "op2", name="corrected")
        for name, phrases in {"letter": ["第30条の35", "昭和63年3月1日", "前橋市長に通報しました"],
                              "report": ["前橋市長様", "第12条の5の規定により通報", resident_code(HANAKO), "戸籍謄本による確認"]}.items():
            self.assert_sealed(out / f"{name}.pdf")
            self.assert_says(out / f"{name}.pdf", *phrases)
        line = self.list("correction")[0]
        self.assertEqual((line["stage"], line["finding"], line["notices_since"]), ("decided", "register_error", []))

        self.send(notice(HANAKO, MAEBASHI, 3, "amend", "ex_officio_amendment", "2026-11-01", name="渡邊\U000E010B 花子",
                         kana="わたなべ はなこ", birth="1988-03-01", sex="female",
                         address={"municipality": MAEBASHI, "text": "本町二丁目３番４号"}))
        (position,) = self.list("correction")[0]["notices_since"]
        self.run_("correction", "link", "--reference", "訂-1", "--position", position - 1, status=2)
        self.run_("correction", "link", "--reference", "訂-1", "--position", position)
        self.assertEqual(self.list("correction")[0]["stage"], "linked")

    def test_a_suspension_holds_up_provision_at_once_until_it_is_lifted(self):
        boe = Agency(self.node, "gunma-boe", "prefectural-agency")
        ask = ["30-15-2/6-3", "6-3-1", {"individual_number": individual_number(HANAKO)}]
        self.assertEqual(boe.ask(*ask)[1][1]["result"], "found")
        request = self.write("suspension", "停-1", condition={"individual_number": individual_number(HANAKO)}, bases=[],
                             grounds="目的外の利用のおそれがあるため")
        self.run_("suspension", "request", "--request", request)
        self.assertEqual(boe.ask(*ask)[1][1]["result"], "found", "a request alone holds up nothing")
        decision = ["suspension", "decide", "--request", request, "--result", "suspended"]
        self.letter(*decision, "--consent", "op1", name="stopped", status=2)
        out, _ = self.letter(*decision, "--consent", "op2", name="stopped")
        self.assert_sealed(out / "letter.pdf")
        self.assert_says(out / "letter.pdf", "利用停止決定通知書", "全ての提供及び移転")
        self.assertTrue(self.list("suspension")[0]["in_force"])
        line = boe.ask(*ask)[1][1]
        self.assertEqual((line["result"], line["reason"]), ("refused", "suspended"))

        out, _ = self.letter("suspension", "lift", "--request", request, "--consent", "op2", name="lifted")
        self.assert_says(out / "lifting.pdf", "利用停止解除通知書")
        self.assertEqual(boe.ask(*ask)[1][1]["result"], "found")
        self.assertFalse(self.list("suspension")[0]["in_force"])


if __name__ == "__main__":
    unittest.main()
