"""The Elixir protobuf codec, made from the descriptors of proto/.

One module for each message and enum, all in one file: the messages refer to each
other, and the .proto file is one file too. What a clause does is explained in
elixir/lib/vllm/core/wire/protobuf.ex, which the made code calls for everything that is not
specific to a message.
"""

from __future__ import annotations

import re
import textwrap
from dataclasses import dataclass

from google.protobuf.descriptor_pb2 import (
    DescriptorProto,
    EnumDescriptorProto,
    FieldDescriptorProto,
    FileDescriptorProto,
    FileDescriptorSet,
)

from python_worker.gen.elixir.text import format_all, header, heredoc
from python_worker.gen.files import Files

PATH = "elixir/lib/vllm/generated/proto.ex"

_VARINT, _LENGTH = 0, 2

_HOT = {"ServerFrame", "CallReply"}
"""The messages of which one comes for each engine step, and one for each output in it.

Their fields have clauses that match the tag, a short length or varint and the content
in one pattern: a frame of 50 replies takes 5 us to decode, and 12 us without. The
others have one plain clause a field.
"""


@dataclass(frozen=True)
class _Scalar:
    """How a protobuf type is written in Elixir.

    `put` and `take` complete the names `put_…` and `take_…` of Vllm.Core.Wire.Protobuf. `fast` is
    the longest varint with a clause of its own in a hot message. Ids of calls grow, so
    uint64 has four bytes: 268 million calls in a session.
    """

    type: str
    default: str
    wire: int
    put: str
    take: str
    fast: int = 0


_SCALARS = {
    FieldDescriptorProto.TYPE_UINT64: _Scalar(
        "non_neg_integer()", "0", _VARINT, "uint", "uint64", fast=4
    ),
    FieldDescriptorProto.TYPE_UINT32: _Scalar("non_neg_integer()", "0", _VARINT, "uint", "uint32"),
    FieldDescriptorProto.TYPE_BOOL: _Scalar("boolean()", "false", _VARINT, "bool", "bool"),
    FieldDescriptorProto.TYPE_STRING: _Scalar("String.t()", '""', _LENGTH, "bytes", "bytes"),
    FieldDescriptorProto.TYPE_BYTES: _Scalar("iodata()", '""', _LENGTH, "bytes", "bytes"),
}
"""The scalar types that proto/ uses; another one is a KeyError until it is added here."""


class _Comments:
    """The leading comments of one .proto file, by the path of what they are about."""

    def __init__(self, file: FileDescriptorProto) -> None:
        self._by_path = {
            tuple(location.path): location.leading_comments
            for location in file.source_code_info.location
        }

    def at(self, *path: int) -> str:
        lines = self._by_path.get(path, "").strip("\n").split("\n")
        return "\n".join(line.removeprefix(" ") for line in lines)


def elixir_files(descriptors: FileDescriptorSet) -> Files:
    """Makes proto.ex."""
    modules = []
    for file in descriptors.file:
        comments = _Comments(file)
        for index, enum in enumerate(file.enum_type):
            modules.append(_enum_module(enum, index, comments))
        for index, message in enumerate(file.message_type):
            modules.append(_Message(message, index, comments).module())
    note = (
        "Change proto/vllm_bridge/v1/*.proto, then run it again. "
        "Vllm.Core.Wire.Protobuf explains it."
    )
    text = header("proto/", note) + "\n" + "\n".join(modules)
    return Files(format_all({PATH: text}))


def _enum_module(enum: EnumDescriptorProto, index: int, comments: _Comments) -> str:
    prefix = re.sub(r"(?<!^)(?=[A-Z])", "_", enum.name).upper() + "_"
    members = [(value.name.removeprefix(prefix).lower(), value.number) for value in enum.value]
    about = [
        _item(f"`:{name}`", name.upper(), comment)
        for place, (name, _number) in enumerate(members)
        if (comment := comments.at(5, index, 2, place))
    ]
    doc = comments.at(5, index) + "\n\n" + "\n".join(about)
    names = " | ".join(f":{name}" for name, _number in members)
    to_atom = "\n".join(f"  def from_integer({number}), do: :{name}" for name, number in members)
    to_number = "\n".join(f"  def to_integer(:{name}), do: {number}" for name, number in members)
    return f"""defmodule Vllm.Proto.{enum.name} do
{heredoc("moduledoc", doc)}
  @typedoc "A member, or the number of one that this version does not know."
  @type t :: {names} | integer()

  @doc "Gives the member with this number, or the number itself where there is none."
  @spec from_integer(integer()) :: t
{to_atom}
  def from_integer(number) when is_integer(number), do: number

  @doc "Gives the number of a member."
  @spec to_integer(t) :: integer()
{to_number}
  def to_integer(number) when is_integer(number), do: number
end
"""


class _Field:
    """One field of a message: the clauses that decode it, the call that encodes it."""

    def __init__(self, message: str, proto: FieldDescriptorProto, slot: str, *, oneof: bool):
        self.proto = proto
        self.name = proto.name
        self.slot = slot
        self._where = f'"{message}.{proto.name}"'
        self._oneof = oneof
        self._hot = message in _HOT
        self.repeated = proto.label == FieldDescriptorProto.LABEL_REPEATED
        self._module = "Vllm.Proto." + proto.type_name.rsplit(".", 1)[-1]
        if self.is_message:
            self._scalar = _Scalar(f"{self._module}.t()", "nil", _LENGTH, "message", "bytes")
        elif self.is_enum:
            self._scalar = _Scalar(f"{self._module}.t()", ":unspecified", _VARINT, "uint", "enum")
        else:
            self._scalar = _SCALARS[proto.type]
        self.packed = self.repeated and self._scalar.wire == _VARINT

    @property
    def label(self) -> str:
        """What the field is called in the struct."""
        return f"`{{:{self.name}, _}}` in `{self.slot}`" if self._oneof else f"`{self.name}`"

    @property
    def is_message(self) -> bool:
        return self.proto.type == FieldDescriptorProto.TYPE_MESSAGE

    @property
    def is_enum(self) -> bool:
        return self.proto.type == FieldDescriptorProto.TYPE_ENUM

    @property
    def default(self) -> str:
        return "[]" if self.repeated else self._scalar.default

    @property
    def type(self) -> str:
        if self.repeated:
            return f"[{self._scalar.type}]"
        if self.is_message and not self._oneof:
            return f"{self._scalar.type} | nil"
        return self._scalar.type

    def put(self) -> str:
        """The call that encodes the field `message.<name>`, or `value` inside a oneof."""
        value = "value" if self._oneof else f"message.{self.name}"
        if self.is_message:
            if self._oneof:
                return f"Protobuf.set_bytes({self._tag()}, {self._module}.encode({value}))"
            put = "put_messages" if self.repeated else "put_message"
            return f"Protobuf.{put}({self._tag()}, {value}, &{self._module}.encode/1)"
        if self.is_enum:
            value = f"{self._module}.to_integer({value})"
        if self.packed:
            return f"Protobuf.put_packed({self._tag(_LENGTH)}, {value})"
        if self.repeated:
            return f"Protobuf.put_all_bytes({self._tag()}, {value})"
        return (
            f"Protobuf.{'set' if self._oneof else 'put'}_{self._scalar.put}({self._tag()}, {value})"
        )

    def clauses(self, slots: list[str]) -> str:
        """The clauses of decode that begin with this field's tag."""
        tag = self._tag_bytes(self._scalar.wire)
        after = [self._stored() if slot == self.slot else slot for slot in slots]
        before = [f"_{slot}" if slot == self.slot and not self.repeated else slot for slot in slots]
        rest = f"decode(rest, {', '.join(after)})"
        heads = [
            f"  defp decode(<<{tag}, {pattern}, rest::binary>>, {', '.join(before)})"
            for pattern in self._fast_patterns()
        ]
        text = ""
        for head, value in zip(heads, self._fast_values(), strict=True):
            if self.is_message:
                text += f"{head} do\n{self._decode_message(rest)}\n  end\n\n"
            else:
                text += f"{head}, do: {rest.replace('<value>', value)}\n\n"
        text += self._slow(tag, before, rest)
        if self.packed:
            text += self._packed(slots)
        return text

    def _slow(self, tag: str, before: list[str], rest: str) -> str:
        then = self._decode_message(rest) if self.is_message else rest.replace("<value>", "value")
        return f"""  defp decode(<<{tag}, rest::binary>>, {", ".join(before)}) do
    case Protobuf.take_{self._scalar.take}(rest) do
      {{:ok, value, rest}} -> {then}
      {{:error, reason}} -> Protobuf.error({self._where}, reason)
    end
  end

"""

    def _packed(self, slots: list[str]) -> str:
        fields = ", ".join(slots)
        return f"""  defp decode(<<{self._tag_bytes(_LENGTH)}, rest::binary>>, {fields}) do
    case Protobuf.take_packed(rest, {self.slot}) do
      {{:ok, {self.slot}, rest}} -> decode(rest, {fields})
      {{:error, reason}} -> Protobuf.error({self._where}, reason)
    end
  end

"""

    def _decode_message(self, rest: str) -> str:
        return f"""case {self._module}.decode(value) do
  {{:ok, value}} -> {rest.replace("<value>", "value")}
  {{:error, reason}} -> Protobuf.error({self._where}, reason)
end"""

    def _stored(self) -> str:
        value = f"{self._module}.from_integer(<value>)" if self.is_enum else "<value>"
        if self.repeated:
            return f"[{value} | {self.slot}]"
        return f"{{:{self.name}, {value}}}" if self._oneof else value

    def _fast_patterns(self) -> list[str]:
        if not self._hot:
            return []
        if self._scalar.wire == _LENGTH:
            return [
                "0::1, size::7, value::binary-size(size)",
                "1::1, a::7, 0::1, b::7, value::binary-size(a + b * 0x80)",
            ]
        letters = "abcd"
        return [
            ", ".join([*(f"1::1, {low}::7" for low in letters[:more]), f"0::1, {letters[more]}::7"])
            for more in range(self._scalar.fast)
        ]

    def _fast_values(self) -> list[str]:
        if not self._hot:
            return []
        if self._scalar.wire == _LENGTH:
            return ["value", "value"]
        sums = ["a", "a + b * 0x80", "a + b * 0x80 + c * 0x4000"]
        sums.append(sums[-1] + " + d * 0x20_0000")
        return sums[: self._scalar.fast]

    def _tag(self, wire: int | None = None) -> str:
        return f"<<{self._tag_bytes(self._scalar.wire if wire is None else wire)}>>"

    def _tag_bytes(self, wire: int) -> str:
        tag, parts = self.proto.number << 3 | wire, []
        while tag > 0x7F:
            parts.append(tag & 0x7F | 0x80)
            tag >>= 7
        return ", ".join(f"0x{part:02X}" for part in [*parts, tag])


class _Message:
    """One message: its struct, its encoder, its decoder."""

    def __init__(self, proto: DescriptorProto, index: int, comments: _Comments) -> None:
        self._proto = proto
        self._index = index
        self._comments = comments
        self._oneofs = [oneof.name for oneof in proto.oneof_decl]
        self._fields = [self._field(field) for field in proto.field]
        self._slots = list(dict.fromkeys(field.slot for field in self._fields))

    def _field(self, proto: FieldDescriptorProto) -> _Field:
        oneof = proto.HasField("oneof_index")
        slot = self._oneofs[proto.oneof_index] if oneof else proto.name
        return _Field(self._proto.name, proto, slot, oneof=oneof)

    def module(self) -> str:
        name = self._proto.name
        alias = "  alias Vllm.Core.Wire.Protobuf\n" if self._fields else ""
        defaults = ", ".join(f"{slot}: {self._default(slot)}" for slot in self._slots)
        types = ", ".join(f"{slot}: {self._type(slot)}" for slot in self._slots)
        return f"""defmodule Vllm.Proto.{name} do
{heredoc("moduledoc", self._doc())}
{alias}
  @type t :: %__MODULE__{{{types}}}
  defstruct [{defaults}]

  @doc "Encodes the message."
  @spec encode(t) :: iodata()
{self._encode()}

  @doc "Decodes the message. Its payloads are parts of the binary, not copies."
  @spec decode(binary()) :: {{:ok, t}} | {{:error, String.t()}}
{self._decode()}
end
"""

    def _doc(self) -> str:
        about = [self._comments.at(4, self._index), ""]
        for place, field in enumerate(self._fields):
            if comment := self._comments.at(4, self._index, 2, place):
                about.append(_item(field.label, field.name, comment))
        return "\n".join(about)

    def _members(self, slot: str) -> list[_Field]:
        return [field for field in self._fields if field.slot == slot]

    def _default(self, slot: str) -> str:
        return "nil" if slot in self._oneofs else self._members(slot)[0].default

    def _type(self, slot: str) -> str:
        if slot not in self._oneofs:
            return self._members(slot)[0].type
        members = [f"{{:{field.name}, {field.type}}}" for field in self._members(slot)]
        return " | ".join([*members, "nil"])

    def _encode(self) -> str:
        if not self._fields:
            return "  def encode(%__MODULE__{}), do: []"
        puts = []
        for slot in self._slots:
            members = self._members(slot)
            if slot in self._oneofs:
                arms = "\n".join(f"{{:{field.name}, value}} -> {field.put()}" for field in members)
                puts.append(f"case message.{slot} do\nnil -> []\n{arms}\nend")
            else:
                puts.append(members[0].put())
        return "  def encode(%__MODULE__{} = message) do\n[\n" + ",\n".join(puts) + "\n]\nend"

    def _decode(self) -> str:
        if not self._fields:
            return """  def decode(<<>>), do: {:ok, %__MODULE__{}}

  def decode(binary) when is_binary(binary) do
    case Vllm.Core.Wire.Protobuf.skip(binary, []) do
      {:ok, rest} -> decode(rest)
      {:error, reason} -> Vllm.Core.Wire.Protobuf.error("NAME", reason)
    end
  end""".replace("NAME", self._proto.name)
        slots = ", ".join(self._slots)
        defaults = ", ".join(self._default(slot) for slot in self._slots)
        struct = ", ".join(f"{slot}: {self._finished(slot)}" for slot in self._slots)
        numbers = ", ".join(str(field.proto.number) for field in self._fields)
        clauses = "".join(field.clauses(self._slots) for field in self._fields)
        return f"""  def decode(binary) when is_binary(binary), do: decode(binary, {defaults})

{clauses}  defp decode(<<>>, {slots}), do: {{:ok, %__MODULE__{{{struct}}}}}

  defp decode(binary, {slots}) do
    case Protobuf.skip(binary, [{numbers}]) do
      {{:ok, rest}} -> decode(rest, {slots})
      {{:error, reason}} -> Protobuf.error("{self._proto.name}", reason)
    end
  end"""

    def _finished(self, slot: str) -> str:
        repeated = slot not in self._oneofs and self._members(slot)[0].repeated
        return f":lists.reverse({slot})" if repeated else slot


def _item(label: str, name: str, comment: str) -> str:
    """Makes a comment, which begins with the name of what it is about, an item of a list."""
    text = " ".join(comment.split())
    if text.startswith(f"{name}: "):
        text = "- " + text.removeprefix(f"{name}: ")
    elif text.startswith(f"{name} "):
        text = text.removeprefix(f"{name} ")
    else:
        text = f"- {text}"
    return textwrap.fill(f"* {label} {text}", 92, initial_indent="  ", subsequent_indent="    ")
