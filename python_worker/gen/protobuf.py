"""The worker's protobuf and gRPC code, made from proto/ by grpcio-tools' protoc."""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
from pathlib import Path

from google.protobuf.descriptor_pb2 import FileDescriptorSet, ServiceDescriptorProto

from python_worker.gen.files import ROOT, Files

PACKAGE = "vllm_bridge/v1"
"""The proto package as a path, below proto/ and below python_worker/generated/."""

_FOLDER = f"python_worker/generated/{PACKAGE}"
_MODULE = "python_worker.generated.vllm_bridge.v1"
_HEADER = "# Made from proto/ by `python -m python_worker.gen`: change the .proto files instead.\n"

_KEPT = (
    "messages_pb2.py",
    "messages_pb2.pyi",
    "service_pb2.py",
    "service_pb2.pyi",
    "service_pb2_grpc.py",
)
"""What is kept of protoc's output: messages.proto has no service."""

_PACKAGES = {
    "python_worker/generated/__init__.py": (
        '"""Everything in here is made by `python -m python_worker.gen`: see that package."""\n'
    ),
    "python_worker/generated/vllm_bridge/__init__.py": (
        '"""The wire contract of proto/, as Python."""\n'
    ),
    f"{_FOLDER}/__init__.py": '"""Version 1 of the wire contract."""\n',
}


def compile_protos() -> tuple[FileDescriptorSet, dict[str, str]]:
    """Runs protoc over every file of the package.

    Returns:
        The descriptors, with the comments of the .proto files, and the text of each
        Python file that protoc wrote, by its name.
    """
    protos = sorted((ROOT / "proto" / PACKAGE).glob("*.proto"))
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder)
        subprocess.run(
            [
                *(sys.executable, "-m", "grpc_tools.protoc", f"-I{ROOT / 'proto'}"),
                *(f"--python_out={out}", f"--pyi_out={out}", f"--grpc_python_out={out}"),
                *(f"--descriptor_set_out={out / 'set.bin'}", "--include_source_info"),
                *(f"{PACKAGE}/{proto.name}" for proto in protos),
            ],
            check=True,
        )
        descriptors = FileDescriptorSet.FromString((out / "set.bin").read_bytes())
        texts = {name: (out / PACKAGE / name).read_text(encoding="utf-8") for name in _KEPT}
    return descriptors, texts


def python_files(descriptors: FileDescriptorSet, protoc_texts: dict[str, str]) -> Files:
    """Makes the files of python_worker/generated/vllm_bridge/.

    Args:
        descriptors: What `compile_protos` returned.
        protoc_texts: Likewise. protoc imports by the proto path (`from vllm_bridge.v1
            import …`), which would put a second top-level package on everyone's path;
            here the imports name the place where the files really are.
    """
    texts = dict(_PACKAGES)
    for name, text in protoc_texts.items():
        text = re.sub(r"^from vllm_bridge\.v1 import", f"from {_MODULE} import", text, flags=re.M)
        texts[f"{_FOLDER}/{name}"] = _HEADER + text
    services = [service for file in descriptors.file for service in file.service]
    texts[f"{_FOLDER}/service_pb2_grpc.pyi"] = _HEADER + _grpc_stub(services)
    return Files(texts, owned=("python_worker/generated/vllm_bridge/**/*.py*",))


def _grpc_stub(services: list[ServiceDescriptorProto]) -> str:
    """Types for the gRPC module, which protoc leaves untyped: the asyncio side of it."""
    lines = [
        "from collections.abc import AsyncIterator",
        "from typing import Any",
        "",
        "import grpc.aio",
        "",
        f"from {_MODULE} import messages_pb2 as _messages",
    ]
    for service in services:
        lines += ["", f"class {service.name}Servicer:"]
        for rpc in service.method:
            request, reply = (
                f"_messages.{kind.rsplit('.', 1)[1]}" for kind in (rpc.input_type, rpc.output_type)
            )
            takes = (
                f"request_iterator: AsyncIterator[{request}]"
                if rpc.client_streaming
                else f"request: {request}"
            )
            gives = f"AsyncIterator[{reply}]" if rpc.server_streaming else reply
            lines += [
                f"    {'' if rpc.server_streaming else 'async '}def {rpc.name}(",
                f"        self, {takes}, context: grpc.aio.ServicerContext[Any, Any]",
                f"    ) -> {gives}: ...",
            ]
        lines += ["", f"class {service.name}Stub:"]
        lines += ["    def __init__(self, channel: grpc.aio.Channel) -> None: ..."]
        lines += [f"    {rpc.name}: Any" for rpc in service.method]
        lines += [
            "",
            f"def add_{service.name}Servicer_to_server(",
            f"    servicer: {service.name}Servicer, server: grpc.aio.Server",
            ") -> None: ...",
        ]
    return "\n".join(lines) + "\n"
