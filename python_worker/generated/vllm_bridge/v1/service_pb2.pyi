# Made from proto/ by `python -m python_worker.gen`: change the .proto files instead.
from python_worker.generated.vllm_bridge.v1 import messages_pb2 as _messages_pb2
from google.protobuf import descriptor as _descriptor
from typing import ClassVar as _ClassVar

DESCRIPTOR: _descriptor.FileDescriptor
