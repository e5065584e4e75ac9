"""Values on the wire: the one table that both languages implement.

Arguments, results and stream items are MessagePack with extension types. Elixir's half is
`Vllm.Codec` (elixir/lib/vllm/codec.ex); `tests/vectors/` holds what both must agree on.

=================================  ====  ========================================================
Python                             ext   Elixir
=================================  ====  ========================================================
None, bool, float                        nil, boolean, float
nan, inf, -inf                           :nan, :infinity, :neg_infinity
int of 64 bits                           integer
any other int                      3     integer
str                                      binary; outbound must be UTF-8; each lone surrogate of
                                         Python's is sent as U+FFFD
str                                      ← any other atom, by its name
bytes, bytearray, memoryview             binary; ← %Vllm.Bytes{}
list                                     list
dict, any key                            map; keys keep their type; ← non-empty keyword list
tuple, also named                  1     tuple
set, frozenset → set               2     MapSet
datetime, aware                    4     DateTime in UTC, to the microsecond
datetime, naive                    5     NaiveDateTime
date                               6     Date
time, naive (aware is refused)     7     Time
numpy array, torch tensor          8     %Vllm.Tensor{}
numpy scalar                             the plain number
Enum member                        9     atom where the class is known, else string; → only
any other ``Mapping`` of Python          map, such as transformers' ``BatchEncoding``; → only
any other ``Sequence``, dict view        list, such as ``range`` and ``deque``; → only
any other ``Set``                  2     MapSet; → only
any other object                   10    %Vllm.Ref{}: also a dataclass, a pydantic model
vLLM's parameters and outputs      11    struct of the same name (`records.RECORDS`)
exception                          12    %Vllm.Error{}; → only
item of a stream after the first   13    a patch: see `codec.output_patch`; → only
Logprob                            14    %Vllm.Logprob{}
logprobs of one position           16    map of %Vllm.Logprob{} by token id: lists of ids, logprobs,
                                         ranks and tokens; only in items of streams, → only
an async generator                 15    ← an enumerable, as an argument: `streaming.input_stream`
=================================  ====  ========================================================

← means from Elixir only, → means to Elixir only.

Where the two languages differ:

* In Python True, 1 and 1.0 are one key. A map from Elixir that holds several of them arrives with
  one of them, and so does a set. In Elixir 1 and 1.0 are two keys.
* In Python a list, map or set cannot be a key or a member of a set. From Elixir it is an error.
* Arrays of objects and of text are sent as lists.
* A subclass of a listed type is sent as that type. `fold` and the name of a time zone are lost.
* MessagePack's own timestamp (ext -1), which neither of our encoders sends, is read as an aware
  datetime.

Objects of a class that clients are served are references, also where they are mappings.

Functions, classes, modules, coroutines, generators and Python's iterators cannot be sent. Neither
can cyclic values, nor containers nested more than 128 deep (`depth.MAX_DEPTH`). Nothing is ever
pickled.

The modules, in reading order:

===================  =============================================================================
`types`              what encoder, decoder and their callers share: `Record`, `RefParts`, callbacks
`extension_types`    the numbers of the extension types
`records`            the classes that are sent as structs, and their fields
`depth`              how deep containers may be nested
`reducers`           from any other Python type to one that MessagePack knows
`tensors`            arrays of numpy and torch
`large_arrays`       large arrays, without copies of their bytes
`encoder`            a value to bytes
`value_paths`        which part of a value cannot be encoded, and where it is
`decoder`            bytes to a value
`large_values`       large values, in pieces, and how many values there may be
`bulk`               which answers are so large that they are encoded in a thread
`item_encoder`       the items of a stream: the first whole, then patches
`part_encoder`       the items of a stream that are texts or token ids alone
`output_shapes`      how the fields of an output are read
`sent_output`        what the client has received of an output so far
`metrics_patch`      what is new in an output's metrics
`output_patch`       the format of a patch, and the bytes of the most frequent ones
===================  =============================================================================
"""

from __future__ import annotations

from python_worker.codec.decoder import decode
from python_worker.codec.encoder import Encoder, encode

__all__ = ["Encoder", "decode", "encode"]
