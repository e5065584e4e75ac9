"""The numbers of the extension types: those of the table of values."""

from __future__ import annotations

import re

from python_worker import codec
from python_worker.codec import extension_types

NUMBERS = {
    name: number for name, number in vars(extension_types).items() if isinstance(number, int)
}


def test_the_table_of_values_lists_each_number() -> None:
    table = (codec.__doc__ or "").split("=\n")[1:3]
    listed = {int(number) for number in re.findall(r"^.{33,35}  ?(\d+)  ", "".join(table), re.M)}
    assert listed == set(NUMBERS.values()) - {extension_types.PLACEHOLDER}


def test_no_number_is_used_twice() -> None:
    assert len(set(NUMBERS.values())) == len(NUMBERS)
