"""Elixir text: escaping, headers, and the formatter."""

from __future__ import annotations

import subprocess
import tempfile
from pathlib import Path

_FORMAT = """
for path <- System.argv() do
  text = path |> File.read!() |> Code.format_string!(line_length: 98)
  File.write!(path, [text, ?\\n])
end
"""
"""What `mix format` does to a file, without the second that starting mix takes."""


def header(source: str, how: str) -> str:
    """Gives the comment that opens a generated file: what made it, and how to change it."""
    return f"# Made by `python -m python_worker.gen` from {source}.\n# {how}\n"


def heredoc(attribute: str, text: str) -> str:
    """Gives `@attribute \"\"\"…\"\"\"` with the text in it, whatever it holds."""
    escaped = text.replace("\\", "\\\\").replace("#{", "\\#{").replace('"""', '\\"""')
    indented = "\n".join(f"  {line}".rstrip() for line in escaped.strip("\n").split("\n"))
    return f'  @{attribute} """\n{indented}\n  """\n'


def string(text: str) -> str:
    """Gives the text as an Elixir string literal."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("#{", "\\#{")
    return '"' + escaped.replace("\n", "\\n").replace("\t", "\\t") + '"'


def format_all(texts: dict[str, str]) -> dict[str, str]:
    """Formats Elixir sources as `mix format` does, with one start of the VM for all."""
    with tempfile.TemporaryDirectory() as folder:
        paths = {name: Path(folder) / f"{index}.ex" for index, name in enumerate(texts)}
        for name, path in paths.items():
            path.write_text(texts[name], encoding="utf-8")
        command = ["elixir", "-e", _FORMAT, "--", *map(str, paths.values())]
        subprocess.run(command, check=True)
        return {name: path.read_text(encoding="utf-8") for name, path in paths.items()}
