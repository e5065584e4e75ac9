"""One Elixir module for each class of the manifest: a struct, or an enum's type."""

from __future__ import annotations

import re
import textwrap
from typing import Any

from python_worker.gen import overlay
from python_worker.gen.elixir import docs, field_notes
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
    fields = ",\n".join(f"{f['name']}: {types.field(f)}" for f in cls["fields"])
    defaults = ",\n".join(f"{field['name']}: {_default(field)}" for field in cls["fields"])
    return (
        heredoc("moduledoc", _struct_doc(cls, name, sent=sent))
        + _aliases(cls)
        + f"\n  @type t :: %__MODULE__{{\n{fields}\n}}\n\n  defstruct [\n{defaults}\n]\n"
        + _methods(cls, name, classes)
    )


def _aliases(cls: dict[str, Any]) -> str:
    if "methods" not in cls:
        return ""
    return "\n  alias Vllm.{Call, Error, Ref}\n\n  @typep worker :: Vllm.instance() | Ref.t()\n"


def _methods(cls: dict[str, Any], name: str, classes: dict[str, Any]) -> str:
    """Writes the methods: the object, which travels by its fields, is their first argument."""
    text = ""
    for method in cls.get("methods", ()):
        parameter = {"name": _snake_words(name), "kind": "positional", "annotation": name}
        parameters = [parameter, *method["parameters"]]
        member = method | {"kind": "factory", "parameters": parameters}
        entry = overlay.other_classes()[name][method["name"]]
        text += "\n" + function_text(Function(name, member, entry, classes))
    return text


def _snake_words(name: str) -> str:
    return _snake(name.removeprefix("Async"))


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
    about += ["## Fields", "\n".join(_field_doc(field, name, sent=sent) for field in cls["fields"])]
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
