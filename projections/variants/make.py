#!/usr/bin/env python3
"""Makes variants.tsv, the table of 異体字 that daicho ships.

    make.py --unicode /usr/share/unicode --opencc /usr/share/opencc > variants.tsv

Needs Debian's unicode-data (15.0.0-1), opencc and libopencc1.1 (1.1.6): their data and opencc_dict. The build
does not need any of them. A pair of characters goes in, in this order of trust:

  d  own.txt
  j  Unihan kJinmeiyoKanji, kJoyoKanji: what the lists of 人名用漢字 and 常用漢字 give as the other form
  o  OpenCC JPVariants, JPShinjitaiCharacters: 旧字体 to 新字体
  z  Unihan kZVariant, both in JIS X 0213
  s  Unihan kSemanticVariant, both in JIS X 0213, if one is 常用 or 人名用, the other is neither, has no other
     such counterpart, and they share a reading (kJapaneseOn)

and never if excluded.txt names the character that would be folded away, unless own.txt has it. Classes are what
the pairs join. A class may not hold two 常用漢字, nor more than 8 characters, unless own.txt says so: the script
stops and names it.
"""

import argparse
import bz2
import pathlib
import re
import subprocess
import sys
import tempfile
import unicodedata

HERE = pathlib.Path(__file__).resolve().parent
CLASS_MAX = 8


def unihan(folder, file):
    for line in bz2.open(folder / f"Unihan_{file}.txt.bz2", "rt", encoding="utf-8"):
        if line.startswith("U+"):
            code, key, value = line.rstrip("\n").split("\t")
            yield chr(int(code[2:], 16)), key, value


def opencc(folder, name):
    with tempfile.NamedTemporaryFile("r", encoding="utf-8", suffix=".txt") as out:
        subprocess.run(["opencc_dict", "-i", folder / f"{name}.ocd2", "-f", "ocd2", "-o", out.name, "-t", "text"],
                       check=True, stdout=subprocess.DEVNULL)
        return [line.rstrip("\n").split("\t") for line in out.readlines()]


def targets(value):
    return [chr(int(code, 16)) for code in re.findall(r"U\+([0-9A-F]+)", value)]


def rows(name):
    for line in (HERE / name).read_text(encoding="utf-8").splitlines():
        if line and not line.startswith("#"):
            yield line


class Sources:
    def __init__(self, unicode_folder, opencc_folder):
        self.joyo, self.jinmei, jis = set(), set(), set()
        self.lists, self.z, semantic, self.on = [], [], [], {}
        for c, key, value in unihan(unicode_folder, "OtherMappings"):
            if key in ("kJis0", "kJIS0213"):
                jis.add(c)
            elif key in ("kJoyoKanji", "kJinmeiyoKanji"):
                if key == "kJoyoKanji" and "U+" not in value:
                    self.joyo.add(c)
                else:
                    self.jinmei.add(c)
                self.lists += [(c, other) for other in targets(value)]
        for c, key, value in unihan(unicode_folder, "IRGSources"):
            if key == "kIRG_JSource" and value.split("-")[0] in ("J0", "J3", "J3A", "J4", "J13", "J13A", "J14"):
                jis.add(c)
        for c, key, value in unihan(unicode_folder, "Readings"):
            if key == "kJapaneseOn":
                self.on[c] = set(value.split())
        for c, key, value in unihan(unicode_folder, "Variants"):
            pairs = [(c, other) for other in targets(value) if c in jis and other in jis and other != c]
            if key == "kZVariant":
                self.z += pairs
            elif key == "kSemanticVariant":
                semantic += pairs
        self.semantic = self.one_counterpart(semantic)
        self.shinjitai = []
        for old, new in opencc(opencc_folder, "JPVariants"):
            self.shinjitai.append((old, new))
        for new, olds in opencc(opencc_folder, "JPShinjitaiCharacters"):
            self.shinjitai += [(old, new) for old in olds.split() if old != new]

    def one_counterpart(self, pairs):
        listed = self.joyo | self.jinmei
        counterparts = {}
        for a, b in pairs + [(b, a) for a, b in pairs]:
            if a not in listed and b in listed:
                counterparts.setdefault(a, set()).add(b)
        return [(a, b) for a, bs in sorted(counterparts.items()) if len(bs) == 1
                for b in bs if self.on.get(a, set()) & self.on.get(b, set())]


class Classes:
    def __init__(self):
        self.of, self.sources = {}, {}

    def join(self, a, b, source):
        self.sources.setdefault(a, source)
        self.sources.setdefault(b, source)
        ours, theirs = self.of.setdefault(a, {a}), self.of.setdefault(b, {b})
        if ours is not theirs:
            ours |= theirs
            for c in theirs:
                self.of[c] = ours

    def all(self):
        return sorted({id(c): c for c in self.of.values()}.values(), key=min)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--unicode", type=pathlib.Path, default="/usr/share/unicode")
    parser.add_argument("--opencc", type=pathlib.Path, default="/usr/share/opencc")
    args = parser.parse_args()
    sources = Sources(args.unicode, args.opencc)

    classes, own = Classes(), [line for line in rows("own.txt")]
    for line in own:
        for member in line[1:]:
            classes.join(line[0], member, "d")
    named = set("".join(own))
    excluded = {c for line in rows("excluded.txt") for c in line.split("\t")[0]} - named
    for source, pairs in (("j", sources.lists), ("o", sources.shinjitai), ("z", sources.z), ("s", sources.semantic)):
        for a, b in pairs:
            # A compatibility ideograph is its unified one already: NFKC comes first.
            a, b = unicodedata.normalize("NFKC", a), unicodedata.normalize("NFKC", b)
            if a == b or a in excluded or b in excluded:
                continue
            # What own.txt has judged is not joined to another character by a weaker source.
            if source == "s" and (a in classes.of or b in named):
                continue
            classes.join(a, b, source)

    rank = lambda c: (c not in sources.joyo, c not in sources.jinmei, ord(c))
    print("# Made by make.py: 字体 to fold, what it is folded to, source (d own, j 人名用・常用漢字, o OpenCC,")
    print("# z kZVariant, s kSemanticVariant). Licences: LICENSES.md.")
    out = []
    for members in classes.all():
        joyo = members & sources.joyo
        if (len(joyo) > 1 or len(members) > CLASS_MAX) and not any(members <= set(line) for line in own):
            sys.exit(f"{''.join(sorted(members))}: two 常用漢字, or too many, in one class")
        head = min(members, key=rank)
        out += [(ord(c), f"{c}\t{head}\t{classes.sources[c]}") for c in members if c != head]
    for _, line in sorted(out):
        print(line)


if __name__ == "__main__":
    main()
