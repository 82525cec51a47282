"""What `daicho search` answers: in whatever writing an official types, now and as of a position, page by page;
what it refuses; and that every search is an event before its answer is shown."""

import concurrent.futures
import json
import sys
import unittest

from daicho_node import Node, daicho, notice, notice_file, resident_code, temporary_directory

MAEBASHI, TAKASAKI = "102016", "102024"


def person(number, issuer, name, kana, birth, address, **changes):
    out = notice(number, issuer, name=name, kana=kana, birth=birth, sex="female", **changes)
    out["record"]["address"]["text"] = address
    out["changed_on"], out["notified_at"] = "2026-11-02", "2026-11-04T09:00:00+09:00"
    return out


class Search(unittest.TestCase):
    """渡邊󠄀 花子 married and moved; five others live near her."""

    @classmethod
    def setUpClass(cls):
        cls.directory = cls.enterClassContext(temporary_directory())
        cls.node = cls.enterClassContext(Node.found(cls.directory, None, [MAEBASHI, TAKASAKI]))
        first = [person(1, MAEBASHI, "渡邊󠄀　花子", "わたなべ　はなこ", "1988-02-29", "大手町一丁目１番１号"),
                 person(2, MAEBASHI, "渡部 花子", "わたべ はなこ", "1988-02-29", "大手町一丁目１番１２号"),
                 person(3, MAEBASHI, "水木 花", "みづき はな", "1950-02-??", "上佐野町１２３４番地５"),
                 person(4, MAEBASHI, "髙橋 花江", "たかはし はなえ", "1988-02-01", "大手町二丁目３番４号"),
                 person(5, MAEBASHI, "髙橋 花代", "たかはし はなよ", "1988-02-02", "大手町二丁目３番４号"),
                 person(6, MAEBASHI, "グエン　ヴァン", "ぐえん　ゔぁん", "1990-01-01", "大手町二丁目３番４号",
                        latin_name="NGUYEN VAN ANH", alias={"name": "田中 花", "kana": "たなか はな"}),
                 person(7, MAEBASHI, "渡\U00028622 次子", "わたなべ つぎこ", "1977-07-07", "大手町二丁目３番４号")]
        cls.born = cls.send(MAEBASHI, 1, first)
        changed = person(1, MAEBASHI, "山﨑 花子", "やまざき はなこ", "1988-02-29", "元総社町１番地",
                         former_name={"name": "渡邊󠄀 花子", "kana": "わたなべ はなこ"})
        changed.update(update_number=2, kind="amend", reason="ex_officio_amendment")
        del changed["record"]["former_name"]
        cls.changed = cls.send(MAEBASHI, 2, [changed])
        cls.node.catch_up()

    @classmethod
    def send(cls, issuer, sequence, notices):
        path = cls.directory / f"{issuer}-{sequence}.ndjson"
        path.write_bytes(notice_file(issuer, sequence, notices))
        return cls.node.gateways[issuer].send(path)[0]["positions"]

    def ask(self, *arguments, status=0, duty="5-1"):
        return daicho("search", "--json", "--home", self.node.home, "--operator", "op1", "--duty", duty, *arguments,
                      status=status)

    def found(self, *arguments):
        codes = [line["resident_code"] for line in self.ask(*arguments).lines() if "more" not in line]
        return [number for number in range(1, 10) if resident_code(number) in codes]

    def nobody(self, *arguments):
        self.assertEqual(self.ask(*arguments, status=1).out, "", arguments)

    def test_a_name_in_any_writing(self):
        for name in ("山﨑花子", "山崎花子", "山崎 花", "山嵜　花子"):
            self.assertEqual(self.found("--name", name, "--birth", "1988-02-29"), [1], name)
        for kana in ("やまざき はなこ", "ヤマサキハナコ", "ﾔﾏｻﾞｷ ﾊﾅｺ"):
            self.assertEqual(self.found("--kana", kana, "--sex", "female"), [1], kana)
        self.assertEqual(self.found("--kana", "ミズキ", "--birth", "1950"), [3])
        self.assertEqual(self.found("--name", "高橋", "--sex", "female"), [4, 5])
        self.assertEqual(self.found("--name", "nguyen van", "--sex", "female"), [6])
        self.assertEqual(self.found("--name", "田中 花", "--sex", "female"), [6])
        self.assertEqual(self.found("--name", "渡部", "--birth", "1988"), [2])

    def test_whole_and_within(self):
        self.assertEqual(self.found("--name", "水木花", "--match", "whole", "--sex", "female"), [3])
        self.nobody("--name", "水木", "--match", "whole", "--sex", "female")
        self.assertEqual(self.found("--name", "橋", "--match", "infix", "--sex", "female"), [4, 5])
        self.assertEqual(self.found("--name", " 花", "--birth", "1988-02"), [1, 2, 4, 5])

    def test_a_birth_in_either_calendar_and_in_part(self):
        for birth in ("昭和63年2月29日", "S63.2.29", "1988-02-29", "1988年2月29日"):
            self.assertEqual(self.found("--birth", birth, "--address", "元総社町"), [1], birth)
        self.assertEqual(self.found("--birth", "1950-02-17", "--sex", "female"), [3])
        self.assertEqual(self.found("--birth", "1988-02", "--address", "大手町"), [2, 4, 5])

    def test_an_address_in_any_writing(self):
        for address in ("大手町一丁目１番１２号", "大手町1-1-12", "前橋市大手町１丁目１－１２", "群馬県前橋市大手町1丁目1番12号"):
            self.assertEqual(self.found("--address", address, "--sex", "female"), [2], address)
        self.nobody("--address", "大手町1-1-1", "--sex", "female")
        self.assertEqual(self.found("--address", "上佐野町1234-5", "--birth", "1950"), [3])
        self.nobody("--address", "高崎市大手町", "--sex", "female")

    def test_as_of_a_position_by_the_names_of_then(self):
        then = ("--position", self.born[-1])
        self.assertEqual(self.found("--name", "渡辺花子", "--sex", "female", *then), [1])
        self.nobody("--name", "山崎花子", "--sex", "female", *then)
        self.nobody("--name", "渡辺花子", "--sex", "female")
        (version,) = self.ask("--name", "渡辺花子", "--sex", "female", "--former").lines()
        self.assertEqual(version["record"]["name"], "山﨑 花子")

    def test_by_number_with_the_rest(self):
        self.assertEqual(self.found("--resident-code", resident_code(2), "--name", "渡部"), [2])
        self.nobody("--resident-code", resident_code(2), "--name", "渡辺")

    def test_page_by_page(self):
        how = ("--birth", "1988", "--sex", "female", "--limit", "2")
        first = self.ask(*how).lines()
        self.assertEqual(len(first), 3)
        rest = self.ask(*how, "--after", first[2]["after"]).lines()
        self.assertEqual(len({line["resident_code"] for line in first[:2] + rest}), 4)
        self.ask(*how, "--after", "1:2", status=2)
        self.ask(*how, "--after", "1:2:somewhere", status=2)

    def test_it_explains_itself(self):
        done = self.ask("--kana", "たかはし はなえ", "--birth", "1988-02-01", "--explain")
        self.assertEqual(json.loads(done.err)["family"], "search_names(kana)")

    def test_an_operators_own_map_takes_over_while_searches_go_on(self):
        how = ("--name", "渡辺次子", "--birth", "1977")
        self.nobody(*how)
        shipped = daicho("matching", "show", "--home", self.node.home).out
        table = self.directory / "substitutes.csv"
        table.write_text("UCS,代替UCS\nU+28622,U+8FBA\n")
        with concurrent.futures.ThreadPoolExecutor(1) as pool:
            switch = pool.submit(daicho, "matching", "set", "--home", self.node.home, "--substitutes", table)
            while not switch.done():
                self.assertEqual(self.found("--name", "水木", "--birth", "1950"), [3])
            self.assertEqual(self.found(*how), [7])
            self.assertEqual(daicho("matching", "show", "--home", self.node.home).out, switch.result().out)
        self.node.stop()
        self.node.start()
        self.assertEqual(self.found(*how), [7])
        table.write_text("UCS,代替UCS\nU+28622,nowhere\n")
        wrong = daicho("matching", "set", "--home", self.node.home, "--substitutes", table, status=2)
        self.assertIn("substitutes.csv:2", wrong.err)
        daicho("matching", "set", "--home", self.node.home, status=2)
        self.assertEqual(self.found(*how), [7], "what is refused changes nothing")
        daicho("matching", "reset", "--home", self.node.home)
        self.assertEqual(daicho("matching", "show", "--home", self.node.home).out, shipped)
        self.nobody(*how)

    def test_every_search_is_an_event_and_a_wrong_one_is_not(self):
        before = self.node.status()["size"]
        self.ask("--name", "水木", "--sex", "female")
        self.nobody("--name", "誰某", "--sex", "female")
        self.ask("--name", "水木", status=4)  # too broad
        self.ask("--name", "水木", "--sex", "female", duty="99-9", status=4)
        self.assertEqual(self.node.status()["size"], before + 4)
        for wrong in (["--name", "　"], ["--birth", "1988-13"], ["--municipality", "102017"], ["--kana", "abc"]):
            self.ask(*wrong, "--sex", "female", status=2)
        self.assertEqual(self.node.status()["size"], before + 4)


if __name__ == "__main__":
    sys.exit(unittest.main(verbosity=2))
