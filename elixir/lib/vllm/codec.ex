defmodule Vllm.Codec do
  @moduledoc """
  Values on the wire: how Elixir terms become Python objects, and the way back.

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
  | `Vllm.Tensor` | torch tensor, or numpy array where torch is not in use | `Vllm.Tensor` |
  | structs of vLLM's classes ⁴, such as `Vllm.SamplingParams` | that class | the same struct |
  | | a member of an `Enum` | an atom where vLLM has it, else a string |
  | | an exception, as a value | `Vllm.Error` |
  | `Vllm.Ref` | the object | `Vllm.Ref`, for every object not listed here |
  | a struct that implements `Vllm.Encoder` | what that returns | |
  | an argument that is a stream ⁵ | async generator | |

  1. Otherwise an error says where the binary is, and to wrap it in `Vllm.Bytes`.
  2. Half of a surrogate pair, which a Python string can hold, arrives as U+FFFD.
  3. Python cannot have a list, map or set as a key or in a set, and refuses one. To Python `true`,
     `1` and `1.0` are one key; in Elixir these are three, and each arrives as what it was.
  4. Only the fields that differ from the struct's defaults are sent.
  5. A function of arity 2, as many of `Stream`'s functions return, a struct with `Enumerable` that
     is not listed here, such as `Stream` and `File.Stream`, or a list of `Vllm.StreamingInput`. It is
     enumerated by a process of its own, as vLLM asks for the elements.

  Processes, ports, references, functions, other structs, and terms more than 500 containers deep
  (all but lists and maps count as two) cannot be sent. What arrives never becomes a new atom.
  """

  alias Vllm.Core.Codec.{Decoder, Encoder}
  alias Vllm.Error

  @doc """
  Encodes a term.

  `root` is what the paths in error messages start with:

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
  Decodes a value. `instance` is put into the references it holds.

  Never raises, whatever the bytes are: what is not a value of the table is an error of the kind
  `:protocol`.
  """
  @spec decode(binary(), term()) :: {:ok, term()} | {:error, Error.t()}
  def decode(binary, instance) when is_binary(binary) do
    with {:error, reason} <- Decoder.decode(binary, instance) do
      {:error, protocol_error(reason)}
    end
  end

  @doc false
  def protocol_error(reason) do
    Error.new(:protocol, "the worker sent something that is not a value: #{reason}")
  end
end
