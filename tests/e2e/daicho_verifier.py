"""The Go verifier of tests/go, built once with what its go.sum names; its modules come from the Go module
proxy the first time and lie in the cache afterwards."""

import os
import pathlib
import shutil
import subprocess

from daicho_node import Done, Failed, ROOT

SOURCES = ROOT / "tests/go"
CACHE = pathlib.Path(os.environ.get("DAICHO_CACHE") or pathlib.Path.home() / ".cache/daicho") / "go"
DEBIAN_GO = "/usr/lib/go-1.19/bin/go"


def _go(*arguments, **environment):
    go = DEBIAN_GO if os.path.exists(DEBIAN_GO) else shutil.which("go")
    if go is None:
        raise Failed("no go command: ops/install brings golang-go")
    return subprocess.run([go, *map(str, arguments)], cwd=SOURCES, capture_output=True, text=True, env={
        **os.environ, "GOPATH": str(CACHE), "GOMODCACHE": str(CACHE / "mod"), "GOCACHE": str(CACHE / "build"),
        "GOFLAGS": "-mod=readonly -modcacherw", "GOTOOLCHAIN": "local", "CGO_ENABLED": "0", **environment})


def build(directory):
    """The verifier's path."""
    program = pathlib.Path(directory) / "daicho-verify"
    command = ["build", "-trimpath", "-o", program, "."]
    # Without the network first: a registry that is down must not fail a machine that has everything.
    if _go(*command, GOPROXY="off").returncode != 0:
        ran = _go(*command)
        if ran.returncode != 0:
            raise Failed(f"go build: {ran.stderr[-4000:]}")
    return program


def verify(program, where, log, witnesses=(), quorum=0, checkpoints=(), proofs=(), sample=0):
    """Whatever comes of it, as Done. `where`: a directory or a URL."""
    command = [program, "-log", log, "-quorum", quorum, "-sample", sample]
    for option, values in (("-witness", witnesses), ("-checkpoint", checkpoints), ("-proof", proofs)):
        for value in values:
            command += [option, value]
    ran = subprocess.run([*map(str, command), str(where)], stdin=subprocess.DEVNULL, capture_output=True, text=True)
    return Done(ran.returncode, ran.stdout, ran.stderr)
