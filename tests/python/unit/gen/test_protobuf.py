"""The types of the worker's gRPC code, which protoc leaves untyped."""

from __future__ import annotations

from google.protobuf.descriptor_pb2 import FileDescriptorSet

from python_worker.gen import protobuf


def described() -> FileDescriptorSet:
    descriptors = FileDescriptorSet()
    service = descriptors.file.add(name="vllm_bridge/v1/x.proto").service.add(name="X")
    for name, sent, received in [("One", False, False), ("Both", True, True)]:
        service.method.add(
            name=name,
            input_type=".vllm_bridge.v1.Ask",
            output_type=".vllm_bridge.v1.Answer",
            client_streaming=sent,
            server_streaming=received,
        )
    return descriptors


def test_a_method_has_the_types_of_its_streams() -> None:
    files = protobuf.python_files(described(), {})
    stub = files.texts["python_worker/generated/vllm_bridge/v1/service_pb2_grpc.pyi"]
    compile(stub, "stub", "exec")
    assert "    async def One(\n        self, request: _messages.Ask, " in stub
    assert "    def Both(\n        self, request_iterator: AsyncIterator[_messages.Ask], " in stub
    assert "-> AsyncIterator[_messages.Answer]: ..." in stub


def test_protocs_imports_name_the_place_of_the_files() -> None:
    files = protobuf.python_files(
        described(), {"a_pb2.py": "from vllm_bridge.v1 import messages_pb2 as m\n"}
    )
    made = files.texts["python_worker/generated/vllm_bridge/v1/a_pb2.py"]
    assert made.endswith("\nfrom python_worker.generated.vllm_bridge.v1 import messages_pb2 as m\n")
