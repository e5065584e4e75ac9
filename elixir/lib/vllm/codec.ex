defmodule Vllm.Codec do
  @moduledoc """
  Converts Elixir terms to Python objects and back.

  | Elixir, sent | Python | Elixir, received |
  |---|---|---|
  | `nil`, booleans, floats | `None`, `bool`, `float` | the same |
  | `:nan`, `:infinity`, `:neg_infinity` | `nan`, `inf`, `-inf` | the same atoms |
  | integers of any size | `int` | integer |
  | binary, which must be UTF-8 ¹ | `str` | binary ² |
  | any other atom | `str` | binary |
  | `Vllm.Bytes` | `bytes` | binary |
  | list | `list` | list |
  | non-empty keyword list | `dict` | map with string keys |
  | map with any keys ³ | `dict` | map; strings stay strings |
  | tuple | `tuple` | tuple |
  | `MapSet` ³ | `set` | `MapSet`; also for `frozenset` |
  | `DateTime` | aware `datetime` | `DateTime` in UTC, to the microsecond |
  | `NaiveDateTime`, `Date`, `Time` | naive `datetime`, `date`, `time` | the same |
  | `Vllm.Tensor` | torch tensor, or numpy array if torch is not loaded | `Vllm.Tensor` |
  | structs of vLLM's classes ⁴, such as `Vllm.SamplingParams` | that class | the same struct |
  | | a member of an `Enum` | an atom where vLLM has it, else a string |
  | | any other `Mapping`, such as transformers' `BatchEncoding` | map |
  | | any other `Sequence`, dict views: `range`, `deque` | list |
  | | any other `Set` | `MapSet` |
  | | an exception, as a value | `Vllm.Error` |
  | `Vllm.Ref` | the object | `Vllm.Ref`, for every object not listed here |
  | a struct that implements `Vllm.Encoder` | the term that `encode/1` returns | |
  | an argument that is a stream ⁵ | async generator | |

  1. For any other binary the error names its position and suggests `Vllm.Bytes`.
  2. Half of a surrogate pair, which a Python string may contain, arrives as U+FFFD.
  3. Python refuses a list, map or set as a key or as a member of a set. For Python `true`, `1` and
     `1.0` are the same key. In Elixir they are three keys, and each keeps its type.
  4. Only the fields that differ from the struct's defaults are sent.
  5. A stream is a function of arity 2, as many functions of `Stream` return, a struct with
     `Enumerable` that is not listed here, such as `Stream` and `File.Stream`, or a list of
     `Vllm.StreamingInput`. A process of its own enumerates it, one element each time vLLM asks.

  These cannot be sent: processes, ports, references, functions, other structs, and terms that are
  nested more than 128 containers deep. Decoding never creates an atom.
  """

  alias Vllm.Core.Codec.{Decoder, Encoder}
  alias Vllm.Error

  @doc """
  Encodes a term.

  `root` is the start of paths in error messages:

      iex> {:error, error} = Vllm.Codec.encode(%{stop: ["a", self()]}, "params")
      iex> error.details
      %{"path" => "params[:stop][1]"}
  """
  @spec encode(term(), String.t()) :: {:ok, iodata()} | {:error, Error.t()}
  def encode(term, root \\ "value") do
    with {:error, path, reason} <- Encoder.encode(term, root) do
      {:error, Error.new(:invalid, "#{path}: #{reason}", details: %{"path" => path})}
    end
  end

  @doc """
  Decodes a value. References in it get this `instance`.

  Never raises. Bytes that are not a value of the table return an error of the kind `:protocol`.
  """
  @spec decode(binary(), term()) :: {:ok, term()} | {:error, Error.t()}
  def decode(binary, instance) when is_binary(binary) do
    with {:error, reason} <- Decoder.decode(binary, instance) do
      {:error, protocol_error(reason)}
    end
  end

  @doc false
  def protocol_error(reason) do
    Error.new(:protocol, "a value from the worker cannot be decoded: #{reason}")
  end
end
