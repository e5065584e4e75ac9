# Made from proto/ by `python -m python_worker.gen`: change the .proto files instead.
from collections.abc import AsyncIterator
from typing import Any

import grpc.aio

from python_worker.generated.vllm_bridge.v1 import messages_pb2 as _messages

class BridgeServicer:
    def Session(
        self, request_iterator: AsyncIterator[_messages.ClientFrame], context: grpc.aio.ServicerContext[Any, Any]
    ) -> AsyncIterator[_messages.ServerFrame]: ...
    async def Call(
        self, request: _messages.CallRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> _messages.CallReply: ...
    def Stream(
        self, request: _messages.CallRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> AsyncIterator[_messages.CallReply]: ...

class BridgeStub:
    def __init__(self, channel: grpc.aio.Channel) -> None: ...
    Session: Any
    Call: Any
    Stream: Any

def add_BridgeServicer_to_server(
    servicer: BridgeServicer, server: grpc.aio.Server
) -> None: ...
