"""The sources that the direct token path relies on, of every reviewed vLLM, by their checksums.

``vllm_sources.json`` has the whole SHA-256 of each, by version, class and method.
"""

from __future__ import annotations

import json
from pathlib import Path

Sources = dict[str, dict[str, str]]

VERSIONS: dict[str, Sources] = json.loads(
    Path(__file__).with_suffix(".json").read_text(encoding="utf-8")
)
