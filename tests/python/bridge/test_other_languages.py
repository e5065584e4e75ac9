"""The guide "Other languages" is executed: its Python client, and its words for grpcurl.

Where grpcurl is not installed, its commands are not sent: a stand-in of the shell says what they
were given, and the requests among them are read as the service would.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import msgpack
import pytest
from google.protobuf import json_format

from python_worker.generated.vllm_bridge.v1 import messages_pb2 as pb
from tests.python.support.worker import ROOT, Worker
from tests.python.support.workers import Workers

GUIDE = (ROOT / "elixir" / "guides" / "other_languages.md").read_text(encoding="utf-8")

#: What the guide has in the place of an address, of an incarnation and of an id.
ADDRESS, INCARNATION, REF = "/tmp/worker.sock.grpc", "40deeff0…", "7f0c…"

STAND_IN = r"grpcurl() { printf '%s\0' '[grpcurl]' "
STAND_IN += '"$@"; }\nunpack() { cat; }\n'


def blocks(language: str) -> list[str]:
    """The code blocks of the guide in a language."""
    return re.findall(rf"^```{language}\n(.*?)^```", GUIDE, re.MULTILINE | re.DOTALL)


@pytest.fixture(scope="module")
def open_worker(workers: Workers) -> Iterator[Worker]:
    """A worker without a token, as the guide starts it."""
    with workers.running("other-languages", environment={"VLLM_BRIDGE_TOKEN": ""}) as worker:
        yield worker


def run(command: list[str], code: str) -> str:
    """Runs code of the guide, and returns what it prints."""
    path = os.pathsep.join((str(Path(sys.executable).parent), os.environ["PATH"]))
    done = subprocess.run(
        [*command, code],
        cwd=ROOT,
        env={**os.environ, "PATH": path, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_client_in_python_prints_an_answer(open_worker: Worker) -> None:
    (client,) = blocks("python")
    assert f"unix:{ADDRESS}" in client
    text = run([sys.executable, "-c"], client.replace(f"unix:{ADDRESS}", open_worker.address))
    assert text.count(" ") == 16
    assert text.strip()


def test_the_requests_for_grpcurl_are_those_of_the_service() -> None:
    first, build, stream = blocks("bash")
    script = "\n".join((first, build.partition("call Call")[0], STAND_IN))
    script += "call Call" + build.partition("call Call")[2] + stream
    calls = [
        command.strip("\0").split("\0")
        for command in run(["bash", "-c"], STAND_IN + script).split("[grpcurl]")[1:]
    ]
    requests = [
        (command[-1], json_format.Parse(command[command.index("-d") + 1], pb.CallRequest()))
        for command in calls
        if "-d" in command
    ]
    assert [(to, request.method) for to, request in requests] == [
        ("vllm_bridge.v1.Bridge/Call", "status"),
        ("vllm_bridge.v1.Bridge/Call", "from_engine_args"),
        ("vllm_bridge.v1.Bridge/Stream", "generate"),
    ]
    assert msgpack.unpackb(requests[1][1].args) == [{"model": "Qwen/Qwen3-0.6B"}]
    assert msgpack.unpackb(requests[2][1].args)[0] == "Hello"


@pytest.mark.skipif(shutil.which("grpcurl") is None, reason="grpcurl is not installed")
def test_the_words_for_grpcurl_work(open_worker: Worker) -> None:
    address = open_worker.address.removeprefix("unix:")
    first, build, stream = (block.replace(ADDRESS, address) for block in blocks("bash"))
    seen = run(["bash", "-c"], first)
    for expected in ("vllm_bridge.v1.Bridge", "SERVING", "message CallRequest", '"value"'):
        assert expected in seen
    incarnation, ref, kind = re.findall(r'"(\w+)"', run(["bash", "-c"], build))
    assert (incarnation, kind) == (open_worker.incarnation, "AsyncLLM")
    stream = stream.replace(INCARNATION, incarnation).replace(REF, ref)
    functions = build.partition("call Call")[0]
    assert '["RequestOutput"' in run(["bash", "-c"], functions + stream)
