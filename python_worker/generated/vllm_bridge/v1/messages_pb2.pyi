# Made from proto/ by `python -m python_worker.gen`: change the .proto files instead.
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Items(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    ITEMS_UNSPECIFIED: _ClassVar[Items]
    ITEMS_TEXT: _ClassVar[Items]
    ITEMS_TOKEN_IDS: _ClassVar[Items]

class FailureKind(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    FAILURE_KIND_UNSPECIFIED: _ClassVar[FailureKind]
    FAILURE_KIND_INVALID: _ClassVar[FailureKind]
    FAILURE_KIND_NOT_FOUND: _ClassVar[FailureKind]
    FAILURE_KIND_UNSUPPORTED: _ClassVar[FailureKind]
    FAILURE_KIND_CONFLICT: _ClassVar[FailureKind]
    FAILURE_KIND_OVERLOADED: _ClassVar[FailureKind]
    FAILURE_KIND_TIMEOUT: _ClassVar[FailureKind]
    FAILURE_KIND_CANCELLED: _ClassVar[FailureKind]
    FAILURE_KIND_ENGINE_DEAD: _ClassVar[FailureKind]
    FAILURE_KIND_ENGINE_ERROR: _ClassVar[FailureKind]
    FAILURE_KIND_WORKER_DOWN: _ClassVar[FailureKind]
    FAILURE_KIND_STALE_REF: _ClassVar[FailureKind]
    FAILURE_KIND_PROTOCOL: _ClassVar[FailureKind]
    FAILURE_KIND_PYTHON: _ClassVar[FailureKind]
    FAILURE_KIND_DRAINING: _ClassVar[FailureKind]
    FAILURE_KIND_MISSING_DEPENDENCY: _ClassVar[FailureKind]
    FAILURE_KIND_HTTP_STATUS: _ClassVar[FailureKind]
    FAILURE_KIND_UNREACHABLE: _ClassVar[FailureKind]
    FAILURE_KIND_UNAUTHENTICATED: _ClassVar[FailureKind]
    FAILURE_KIND_FORBIDDEN: _ClassVar[FailureKind]
ITEMS_UNSPECIFIED: Items
ITEMS_TEXT: Items
ITEMS_TOKEN_IDS: Items
FAILURE_KIND_UNSPECIFIED: FailureKind
FAILURE_KIND_INVALID: FailureKind
FAILURE_KIND_NOT_FOUND: FailureKind
FAILURE_KIND_UNSUPPORTED: FailureKind
FAILURE_KIND_CONFLICT: FailureKind
FAILURE_KIND_OVERLOADED: FailureKind
FAILURE_KIND_TIMEOUT: FailureKind
FAILURE_KIND_CANCELLED: FailureKind
FAILURE_KIND_ENGINE_DEAD: FailureKind
FAILURE_KIND_ENGINE_ERROR: FailureKind
FAILURE_KIND_WORKER_DOWN: FailureKind
FAILURE_KIND_STALE_REF: FailureKind
FAILURE_KIND_PROTOCOL: FailureKind
FAILURE_KIND_PYTHON: FailureKind
FAILURE_KIND_DRAINING: FailureKind
FAILURE_KIND_MISSING_DEPENDENCY: FailureKind
FAILURE_KIND_HTTP_STATUS: FailureKind
FAILURE_KIND_UNREACHABLE: FailureKind
FAILURE_KIND_UNAUTHENTICATED: FailureKind
FAILURE_KIND_FORBIDDEN: FailureKind

class ClientFrame(_message.Message):
    __slots__ = ("hello", "calls", "credits", "cancels", "releases", "inputs", "receipts", "leaving")
    HELLO_FIELD_NUMBER: _ClassVar[int]
    CALLS_FIELD_NUMBER: _ClassVar[int]
    CREDITS_FIELD_NUMBER: _ClassVar[int]
    CANCELS_FIELD_NUMBER: _ClassVar[int]
    RELEASES_FIELD_NUMBER: _ClassVar[int]
    INPUTS_FIELD_NUMBER: _ClassVar[int]
    RECEIPTS_FIELD_NUMBER: _ClassVar[int]
    LEAVING_FIELD_NUMBER: _ClassVar[int]
    hello: ClientHello
    calls: _containers.RepeatedCompositeFieldContainer[StartCall]
    credits: _containers.RepeatedCompositeFieldContainer[Credit]
    cancels: _containers.RepeatedScalarFieldContainer[int]
    releases: _containers.RepeatedScalarFieldContainer[str]
    inputs: _containers.RepeatedCompositeFieldContainer[Input]
    receipts: _containers.RepeatedScalarFieldContainer[str]
    leaving: bool
    def __init__(self, hello: _Optional[_Union[ClientHello, _Mapping]] = ..., calls: _Optional[_Iterable[_Union[StartCall, _Mapping]]] = ..., credits: _Optional[_Iterable[_Union[Credit, _Mapping]]] = ..., cancels: _Optional[_Iterable[int]] = ..., releases: _Optional[_Iterable[str]] = ..., inputs: _Optional[_Iterable[_Union[Input, _Mapping]]] = ..., receipts: _Optional[_Iterable[str]] = ..., leaving: _Optional[bool] = ...) -> None: ...

class ServerFrame(_message.Message):
    __slots__ = ("hello", "replies", "notices", "failure", "loads")
    HELLO_FIELD_NUMBER: _ClassVar[int]
    REPLIES_FIELD_NUMBER: _ClassVar[int]
    NOTICES_FIELD_NUMBER: _ClassVar[int]
    FAILURE_FIELD_NUMBER: _ClassVar[int]
    LOADS_FIELD_NUMBER: _ClassVar[int]
    hello: ServerHello
    replies: _containers.RepeatedCompositeFieldContainer[CallReply]
    notices: _containers.RepeatedCompositeFieldContainer[Notice]
    failure: Failure
    loads: _containers.RepeatedCompositeFieldContainer[EngineLoad]
    def __init__(self, hello: _Optional[_Union[ServerHello, _Mapping]] = ..., replies: _Optional[_Iterable[_Union[CallReply, _Mapping]]] = ..., notices: _Optional[_Iterable[_Union[Notice, _Mapping]]] = ..., failure: _Optional[_Union[Failure, _Mapping]] = ..., loads: _Optional[_Iterable[_Union[EngineLoad, _Mapping]]] = ...) -> None: ...

class ClientHello(_message.Message):
    __slots__ = ("protocol_version", "client_version", "token", "disconnect_grace_ms", "resume_key")
    PROTOCOL_VERSION_FIELD_NUMBER: _ClassVar[int]
    CLIENT_VERSION_FIELD_NUMBER: _ClassVar[int]
    TOKEN_FIELD_NUMBER: _ClassVar[int]
    DISCONNECT_GRACE_MS_FIELD_NUMBER: _ClassVar[int]
    RESUME_KEY_FIELD_NUMBER: _ClassVar[int]
    protocol_version: int
    client_version: str
    token: str
    disconnect_grace_ms: int
    resume_key: bytes
    def __init__(self, protocol_version: _Optional[int] = ..., client_version: _Optional[str] = ..., token: _Optional[str] = ..., disconnect_grace_ms: _Optional[int] = ..., resume_key: _Optional[bytes] = ...) -> None: ...

class ServerHello(_message.Message):
    __slots__ = ("protocol_version", "worker_version", "vllm_version", "incarnation", "pid", "grpc_address", "session_address", "resume_key", "resumed", "held")
    PROTOCOL_VERSION_FIELD_NUMBER: _ClassVar[int]
    WORKER_VERSION_FIELD_NUMBER: _ClassVar[int]
    VLLM_VERSION_FIELD_NUMBER: _ClassVar[int]
    INCARNATION_FIELD_NUMBER: _ClassVar[int]
    PID_FIELD_NUMBER: _ClassVar[int]
    GRPC_ADDRESS_FIELD_NUMBER: _ClassVar[int]
    SESSION_ADDRESS_FIELD_NUMBER: _ClassVar[int]
    RESUME_KEY_FIELD_NUMBER: _ClassVar[int]
    RESUMED_FIELD_NUMBER: _ClassVar[int]
    HELD_FIELD_NUMBER: _ClassVar[int]
    protocol_version: int
    worker_version: str
    vllm_version: str
    incarnation: str
    pid: int
    grpc_address: str
    session_address: str
    resume_key: bytes
    resumed: bool
    held: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, protocol_version: _Optional[int] = ..., worker_version: _Optional[str] = ..., vllm_version: _Optional[str] = ..., incarnation: _Optional[str] = ..., pid: _Optional[int] = ..., grpc_address: _Optional[str] = ..., session_address: _Optional[str] = ..., resume_key: _Optional[bytes] = ..., resumed: _Optional[bool] = ..., held: _Optional[_Iterable[str]] = ...) -> None: ...

class StartCall(_message.Message):
    __slots__ = ("id", "request", "credit")
    ID_FIELD_NUMBER: _ClassVar[int]
    REQUEST_FIELD_NUMBER: _ClassVar[int]
    CREDIT_FIELD_NUMBER: _ClassVar[int]
    id: int
    request: CallRequest
    credit: int
    def __init__(self, id: _Optional[int] = ..., request: _Optional[_Union[CallRequest, _Mapping]] = ..., credit: _Optional[int] = ...) -> None: ...

class CallRequest(_message.Message):
    __slots__ = ("ref", "class_name", "incarnation", "method", "args", "kwargs", "timeout_ms", "items")
    REF_FIELD_NUMBER: _ClassVar[int]
    CLASS_NAME_FIELD_NUMBER: _ClassVar[int]
    INCARNATION_FIELD_NUMBER: _ClassVar[int]
    METHOD_FIELD_NUMBER: _ClassVar[int]
    ARGS_FIELD_NUMBER: _ClassVar[int]
    KWARGS_FIELD_NUMBER: _ClassVar[int]
    TIMEOUT_MS_FIELD_NUMBER: _ClassVar[int]
    ITEMS_FIELD_NUMBER: _ClassVar[int]
    ref: str
    class_name: str
    incarnation: str
    method: str
    args: bytes
    kwargs: bytes
    timeout_ms: int
    items: Items
    def __init__(self, ref: _Optional[str] = ..., class_name: _Optional[str] = ..., incarnation: _Optional[str] = ..., method: _Optional[str] = ..., args: _Optional[bytes] = ..., kwargs: _Optional[bytes] = ..., timeout_ms: _Optional[int] = ..., items: _Optional[_Union[Items, str]] = ...) -> None: ...

class CallReply(_message.Message):
    __slots__ = ("call", "value", "accepted", "item", "end", "failure", "input_wanted", "inputs_closed", "progress", "references", "built")
    CALL_FIELD_NUMBER: _ClassVar[int]
    VALUE_FIELD_NUMBER: _ClassVar[int]
    ACCEPTED_FIELD_NUMBER: _ClassVar[int]
    ITEM_FIELD_NUMBER: _ClassVar[int]
    END_FIELD_NUMBER: _ClassVar[int]
    FAILURE_FIELD_NUMBER: _ClassVar[int]
    INPUT_WANTED_FIELD_NUMBER: _ClassVar[int]
    INPUTS_CLOSED_FIELD_NUMBER: _ClassVar[int]
    PROGRESS_FIELD_NUMBER: _ClassVar[int]
    REFERENCES_FIELD_NUMBER: _ClassVar[int]
    BUILT_FIELD_NUMBER: _ClassVar[int]
    call: int
    value: bytes
    accepted: Accepted
    item: bytes
    end: End
    failure: Failure
    input_wanted: InputWanted
    inputs_closed: InputsClosed
    progress: Progress
    references: _containers.RepeatedScalarFieldContainer[str]
    built: bool
    def __init__(self, call: _Optional[int] = ..., value: _Optional[bytes] = ..., accepted: _Optional[_Union[Accepted, _Mapping]] = ..., item: _Optional[bytes] = ..., end: _Optional[_Union[End, _Mapping]] = ..., failure: _Optional[_Union[Failure, _Mapping]] = ..., input_wanted: _Optional[_Union[InputWanted, _Mapping]] = ..., inputs_closed: _Optional[_Union[InputsClosed, _Mapping]] = ..., progress: _Optional[_Union[Progress, _Mapping]] = ..., references: _Optional[_Iterable[str]] = ..., built: _Optional[bool] = ...) -> None: ...

class Accepted(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class End(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class InputWanted(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class InputsClosed(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class Progress(_message.Message):
    __slots__ = ("description", "done", "total", "elapsed_ms", "note")
    DESCRIPTION_FIELD_NUMBER: _ClassVar[int]
    DONE_FIELD_NUMBER: _ClassVar[int]
    TOTAL_FIELD_NUMBER: _ClassVar[int]
    ELAPSED_MS_FIELD_NUMBER: _ClassVar[int]
    NOTE_FIELD_NUMBER: _ClassVar[int]
    description: str
    done: int
    total: int
    elapsed_ms: int
    note: str
    def __init__(self, description: _Optional[str] = ..., done: _Optional[int] = ..., total: _Optional[int] = ..., elapsed_ms: _Optional[int] = ..., note: _Optional[str] = ...) -> None: ...

class Input(_message.Message):
    __slots__ = ("call", "element", "end", "failure")
    CALL_FIELD_NUMBER: _ClassVar[int]
    ELEMENT_FIELD_NUMBER: _ClassVar[int]
    END_FIELD_NUMBER: _ClassVar[int]
    FAILURE_FIELD_NUMBER: _ClassVar[int]
    call: int
    element: bytes
    end: End
    failure: Failure
    def __init__(self, call: _Optional[int] = ..., element: _Optional[bytes] = ..., end: _Optional[_Union[End, _Mapping]] = ..., failure: _Optional[_Union[Failure, _Mapping]] = ...) -> None: ...

class Credit(_message.Message):
    __slots__ = ("call", "items")
    CALL_FIELD_NUMBER: _ClassVar[int]
    ITEMS_FIELD_NUMBER: _ClassVar[int]
    call: int
    items: int
    def __init__(self, call: _Optional[int] = ..., items: _Optional[int] = ...) -> None: ...

class Notice(_message.Message):
    __slots__ = ("draining", "engine_died", "engine_stalled", "engine_recovered", "adapter_partly_used")
    DRAINING_FIELD_NUMBER: _ClassVar[int]
    ENGINE_DIED_FIELD_NUMBER: _ClassVar[int]
    ENGINE_STALLED_FIELD_NUMBER: _ClassVar[int]
    ENGINE_RECOVERED_FIELD_NUMBER: _ClassVar[int]
    ADAPTER_PARTLY_USED_FIELD_NUMBER: _ClassVar[int]
    draining: Draining
    engine_died: EngineDied
    engine_stalled: EngineStalled
    engine_recovered: EngineRecovered
    adapter_partly_used: AdapterPartlyUsed
    def __init__(self, draining: _Optional[_Union[Draining, _Mapping]] = ..., engine_died: _Optional[_Union[EngineDied, _Mapping]] = ..., engine_stalled: _Optional[_Union[EngineStalled, _Mapping]] = ..., engine_recovered: _Optional[_Union[EngineRecovered, _Mapping]] = ..., adapter_partly_used: _Optional[_Union[AdapterPartlyUsed, _Mapping]] = ...) -> None: ...

class Draining(_message.Message):
    __slots__ = ("grace_ms",)
    GRACE_MS_FIELD_NUMBER: _ClassVar[int]
    grace_ms: int
    def __init__(self, grace_ms: _Optional[int] = ...) -> None: ...

class EngineDied(_message.Message):
    __slots__ = ("ref", "failure", "type")
    REF_FIELD_NUMBER: _ClassVar[int]
    FAILURE_FIELD_NUMBER: _ClassVar[int]
    TYPE_FIELD_NUMBER: _ClassVar[int]
    ref: str
    failure: Failure
    type: str
    def __init__(self, ref: _Optional[str] = ..., failure: _Optional[_Union[Failure, _Mapping]] = ..., type: _Optional[str] = ...) -> None: ...

class EngineStalled(_message.Message):
    __slots__ = ("ref", "stalled_ms", "unfinished_requests", "type")
    REF_FIELD_NUMBER: _ClassVar[int]
    STALLED_MS_FIELD_NUMBER: _ClassVar[int]
    UNFINISHED_REQUESTS_FIELD_NUMBER: _ClassVar[int]
    TYPE_FIELD_NUMBER: _ClassVar[int]
    ref: str
    stalled_ms: int
    unfinished_requests: int
    type: str
    def __init__(self, ref: _Optional[str] = ..., stalled_ms: _Optional[int] = ..., unfinished_requests: _Optional[int] = ..., type: _Optional[str] = ...) -> None: ...

class EngineRecovered(_message.Message):
    __slots__ = ("ref", "stalled_ms", "type")
    REF_FIELD_NUMBER: _ClassVar[int]
    STALLED_MS_FIELD_NUMBER: _ClassVar[int]
    TYPE_FIELD_NUMBER: _ClassVar[int]
    ref: str
    stalled_ms: int
    type: str
    def __init__(self, ref: _Optional[str] = ..., stalled_ms: _Optional[int] = ..., type: _Optional[str] = ...) -> None: ...

class AdapterPartlyUsed(_message.Message):
    __slots__ = ("ref", "lora_name", "lora_int_id", "lora_path", "unknown_modules", "base_tensors", "empty_targets", "model_modules", "type")
    REF_FIELD_NUMBER: _ClassVar[int]
    LORA_NAME_FIELD_NUMBER: _ClassVar[int]
    LORA_INT_ID_FIELD_NUMBER: _ClassVar[int]
    LORA_PATH_FIELD_NUMBER: _ClassVar[int]
    UNKNOWN_MODULES_FIELD_NUMBER: _ClassVar[int]
    BASE_TENSORS_FIELD_NUMBER: _ClassVar[int]
    EMPTY_TARGETS_FIELD_NUMBER: _ClassVar[int]
    MODEL_MODULES_FIELD_NUMBER: _ClassVar[int]
    TYPE_FIELD_NUMBER: _ClassVar[int]
    ref: str
    lora_name: str
    lora_int_id: int
    lora_path: str
    unknown_modules: _containers.RepeatedScalarFieldContainer[str]
    base_tensors: _containers.RepeatedScalarFieldContainer[str]
    empty_targets: _containers.RepeatedScalarFieldContainer[str]
    model_modules: _containers.RepeatedScalarFieldContainer[str]
    type: str
    def __init__(self, ref: _Optional[str] = ..., lora_name: _Optional[str] = ..., lora_int_id: _Optional[int] = ..., lora_path: _Optional[str] = ..., unknown_modules: _Optional[_Iterable[str]] = ..., base_tensors: _Optional[_Iterable[str]] = ..., empty_targets: _Optional[_Iterable[str]] = ..., model_modules: _Optional[_Iterable[str]] = ..., type: _Optional[str] = ...) -> None: ...

class EngineLoad(_message.Message):
    __slots__ = ("ref", "running", "waiting", "kv_cache_permille")
    REF_FIELD_NUMBER: _ClassVar[int]
    RUNNING_FIELD_NUMBER: _ClassVar[int]
    WAITING_FIELD_NUMBER: _ClassVar[int]
    KV_CACHE_PERMILLE_FIELD_NUMBER: _ClassVar[int]
    ref: str
    running: int
    waiting: int
    kv_cache_permille: int
    def __init__(self, ref: _Optional[str] = ..., running: _Optional[int] = ..., waiting: _Optional[int] = ..., kv_cache_permille: _Optional[int] = ...) -> None: ...

class Failure(_message.Message):
    __slots__ = ("kind", "message", "type", "traceback", "cause", "details", "retryable")
    KIND_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    TYPE_FIELD_NUMBER: _ClassVar[int]
    TRACEBACK_FIELD_NUMBER: _ClassVar[int]
    CAUSE_FIELD_NUMBER: _ClassVar[int]
    DETAILS_FIELD_NUMBER: _ClassVar[int]
    RETRYABLE_FIELD_NUMBER: _ClassVar[int]
    kind: FailureKind
    message: str
    type: str
    traceback: str
    cause: Failure
    details: bytes
    retryable: bool
    def __init__(self, kind: _Optional[_Union[FailureKind, str]] = ..., message: _Optional[str] = ..., type: _Optional[str] = ..., traceback: _Optional[str] = ..., cause: _Optional[_Union[Failure, _Mapping]] = ..., details: _Optional[bytes] = ..., retryable: _Optional[bool] = ...) -> None: ...
