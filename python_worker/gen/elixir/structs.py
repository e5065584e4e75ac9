"""One Elixir module for each class of the manifest: a struct, or an enum's type."""

from __future__ import annotations

import re
import textwrap
from typing import Any

from python_worker.engines.parameter_classes import parameter_of
from python_worker.gen import overlay
from python_worker.gen.elixir import docs, field_notes, parameter_methods
from python_worker.gen.elixir.function import Function
from python_worker.gen.elixir.functions import function_text
from python_worker.gen.elixir.text import header, heredoc
from python_worker.gen.elixir.types import Types, as_sent, choices, term
from python_worker.gen.introspection import source
from python_worker.gen.manifest import PATH as MANIFEST

FOLDER = "elixir/lib/vllm/generated"

_OUTPUT_MODULES = (
    "vllm.outputs.",
    "vllm.logprobs.",
    "vllm.v1.metrics.",
    "python_worker.chat.answers.",
    "python_worker.pooling.answers.",
    "vllm.entrypoints.generate.beam_search.utils.",
)

_WITH_EXTRA = ("vllm.outputs.", "vllm.entrypoints.generate.beam_search.utils.")
"""Where the classes are that keep fields of a newer worker, which this client does not know."""

_EXTRA_DOC = """\
* `:extra` - fields by name that a newer worker sends, and that this client does not know. Else
  empty."""

_COMMA = ",\n"

_DELEGATED = {
    "RequestOutput": """
  @doc \"\"\"
  Merges the next item of the request into this one, as Python's `add` does.

  With `aggregate` texts, token ids and logprobs are appended: so the items of a `DELTA` stream
  become the whole output. Without, each completion of `next` replaces the one before.

      {:ok, stream} = Vllm.AsyncLLM.generate(engine, "Hello", [output_kind: :DELTA], "r1")
      whole = Enum.reduce(stream, &Vllm.RequestOutput.add(&2, &1, true))
  \"\"\"
  @spec add(t(), t(), boolean()) :: t()
  defdelegate add(output, next, aggregate), to: Vllm.Core.Outputs
""",
    "CompletionOutput": """
  @doc "Whether it has ended: `finish_reason` says why."
  @spec finished(t()) :: boolean()
  defdelegate finished(completion), to: Vllm.Core.Outputs
""",
}
"""Functions of the outputs, written by hand elsewhere."""

_INSPECT = """
  defimpl Inspect do
    defdelegate inspect(struct, opts), to: Vllm.Core.Inspection
  end
"""
"""How IEx and logs show a struct: see `Vllm.Core.Inspection`."""

_SHOWN_TYPE = 60
"""Characters of a type shown whole; of a longer one its name, and its choices at the end."""


def made_from(manifest: dict[str, Any]) -> str:
    """Gives the header of everything that is made from the manifest."""
    note = f"It describes vLLM {manifest['vllm_version']}: install another and run it again."
    return header(MANIFEST, note)


def struct_texts(manifest: dict[str, Any]) -> dict[str, str]:
    """Makes the struct modules, not yet formatted, by path."""
    classes = manifest["classes"]
    texts = {}
    for name, cls in classes.items():
        body = _enum(cls, name) if cls["kind"] == "enum" else _struct(cls, name, classes)
        text = f"{made_from(manifest)}\ndefmodule Vllm.{name} do\n{body}end\n"
        texts[f"{FOLDER}/{_snake(name)}.ex"] = text
    return texts


def _snake(name: str) -> str:
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name.replace("LoRA", "Lora")).lower()


def _enum(cls: dict[str, Any], name: str) -> str:
    members = [member["name"] for member in cls["members"]]
    parts = [
        f"  * `:{member['name']}`" + (f" - {_flat(member['doc'])}" if member["doc"] else "")
        for member in cls["members"]
    ]
    about = [
        docs.markdown(cls["doc"] or field_notes.CLASSES.get(name, "")),
        f"In Python: `{cls['qualname']}`. Its members are atoms here.",
        "\n".join(parts),
    ]
    types = " | ".join(f":{member}" for member in members)
    return heredoc("moduledoc", "\n\n".join(about)) + f"\n  @type t :: {types}\n"


def _struct(cls: dict[str, Any], name: str, classes: dict[str, Any]) -> str:
    sent = not cls["qualname"].startswith(_OUTPUT_MODULES)
    types = Types(classes, sent=sent)
    fields = [f"{f['name']}: {types.field(f)}" for f in cls["fields"]]
    defaults = [f"{field['name']}: {_default(field)}" for field in cls["fields"]]
    if _has_extra(cls):
        fields.append("extra: %{optional(String.t()) => term()}")
        defaults.append("extra: %{}")
    return (
        heredoc("moduledoc", _struct_doc(cls, name, sent=sent))
        + _aliases(cls, name)
        + f"\n  @type t :: %__MODULE__{{\n{_COMMA.join(fields)}\n}}\n"
        + f"\n  defstruct [\n{_COMMA.join(defaults)}\n]\n"
        + _DELEGATED.get(name, "")
        + _methods(cls, name, classes)
        + _INSPECT
    )


def _has_extra(cls: dict[str, Any]) -> bool:
    return bool(cls["qualname"].startswith(_WITH_EXTRA))


def _has_methods(cls: dict[str, Any], name: str) -> bool:
    return "methods" in cls or bool(parameter_methods.methods(name))


def _aliases(cls: dict[str, Any], name: str) -> str:
    if not _has_methods(cls, name):
        return ""
    return "\n  alias Vllm.{Call, Error, Ref}\n\n  @typep worker :: Vllm.instance() | Ref.t()\n"


def _methods(cls: dict[str, Any], name: str, classes: dict[str, Any]) -> str:
    """Writes the methods: the object, which travels by its fields, is their first argument."""
    text = ""
    own = [(it, overlay.other_classes()[name][it["name"]]) for it in cls.get("methods", ())]
    for method, entry in [*parameter_methods.methods(name), *own]:
        parameter = {"name": parameter_of(name), "kind": "positional", "annotation": name}
        leading = [] if entry.get("without_object") else [parameter]
        parameters = [*leading, *method["parameters"]]
        member = method | {"kind": "factory", "parameters": parameters}
        text += "\n" + function_text(Function(name, member, entry, classes))
    return text


def _default(field: dict[str, Any]) -> str:
    return "nil" if field.get("required") else term(field["default"])


def _struct_doc(cls: dict[str, Any], name: str, *, sent: bool) -> str:
    lead = source.without_sections(cls["doc"]) or field_notes.CLASSES.get(name, f"{name}.")
    origin = f"In Python: `{cls['qualname']}`, whose words these are: its `None` is `nil` here."
    if sent:
        origin += " A keyword list or a map with these keys is accepted wherever this struct is."
    if any(_default(field) == ":default" for field in cls["fields"]):
        origin += " `:default` leaves a field to vLLM."
    about = [docs.markdown(lead), docs.markdown(origin)]
    if name in field_notes.EXAMPLES:
        about += ["## Example", textwrap.indent(field_notes.EXAMPLES[name].strip(), "    ")]
    fields = [_field_doc(field, name, sent=sent) for field in cls["fields"]]
    fields += [textwrap.indent(_EXTRA_DOC, "  ")] if _has_extra(cls) else []
    about += ["## Fields", "\n".join(fields)]
    if name in field_notes.OLD:
        old = "\n".join(f"* `{key}` - {note}" for key, note in field_notes.OLD[name].items())
        lead = "A keyword list or a map may also have these keys, which earlier versions had:"
        about += ["## Earlier spellings", lead, docs.markdown(old, indent="  ")]
    return "\n\n".join(about)


def _field_doc(field: dict[str, Any], cls: str, *, sent: bool) -> str:
    resolved = as_sent(field.get("type", field["annotation"]))
    shown = resolved if len(resolved) <= _SHOWN_TYPE else field["annotation"]
    # IEx takes lines with a bar in them for a table.
    facts = [f"`{shown.replace(' | ', ' or ')}`", _default_doc(field) if sent else ""]
    doc = field["doc"] or field_notes.FIELDS.get(cls, {}).get(field["name"], "")
    if shown != resolved and (listed := choices(resolved)):
        doc += f"\n\nThe choices: {', '.join(f'`{choice}`' for choice in listed)}."
    first, more = docs.summary(doc)
    text = f"* `:{field['name']}` - {', '.join(filter(None, facts))}. {first}"
    text = textwrap.indent(docs.markdown(text), "  ")
    return f"{text}\n\n{docs.markdown(more, indent='    ')}\n" if more else text


def _default_doc(field: dict[str, Any]) -> str:
    if field.get("required"):
        return "required"
    default = field["default"]
    if isinstance(default, dict) and "repr" in default:
        return f"default `:default`, which is `{default['repr']}`"
    return f"default `{term(default)}`"


def _flat(doc: str) -> str:
    return " ".join(doc.split())
