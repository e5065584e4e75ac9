defmodule Vllm.Core.Connection.Outbox do
  @moduledoc false
  # What the next ClientFrame will carry. Lists are gathered newest first and turned round once.

  alias Vllm.Proto.ClientFrame

  # A frame leaves when nothing else waits to be put in, or earlier when this much has gathered: a
  # caller should not wait because others keep calling.
  @max_count 128
  @max_bytes 64 * 1024

  defstruct frame: %ClientFrame{}, count: 0, bytes: 0

  @type t :: %__MODULE__{
          frame: ClientFrame.t(),
          count: non_neg_integer(),
          bytes: non_neg_integer()
        }

  @doc "Adds entries to one of the frame's lists; `bytes` is the size of what they carry."
  @spec put(t(), :calls | :credits | :inputs | :cancels | :releases, [term()], non_neg_integer()) ::
          t()
  def put(outbox, field, values, bytes \\ 0)
  def put(outbox, _field, [], _bytes), do: outbox

  def put(outbox, field, values, bytes) do
    frame = Map.update!(outbox.frame, field, &Enum.reverse(values, &1))
    %{outbox | frame: frame, count: outbox.count + 1, bytes: outbox.bytes + bytes}
  end

  @spec empty?(t()) :: boolean()
  def empty?(%__MODULE__{count: count}), do: count == 0

  @spec full?(t()) :: boolean()
  def full?(%__MODULE__{count: count, bytes: bytes}),
    do: count >= @max_count or bytes >= @max_bytes

  @doc "Whether references are among it: within one frame the worker lets go last."
  @spec releases?(t()) :: boolean()
  def releases?(%__MODULE__{frame: frame}), do: frame.releases != []

  @doc "The frame; the outbox is empty after it."
  @spec take(t()) :: {ClientFrame.t(), t()}
  def take(%__MODULE__{frame: frame}) do
    frame = %ClientFrame{
      calls: Enum.reverse(frame.calls),
      credits: Enum.reverse(frame.credits),
      inputs: Enum.reverse(frame.inputs),
      cancels: Enum.reverse(frame.cancels),
      releases: Enum.reverse(frame.releases)
    }

    {frame, %__MODULE__{}}
  end
end
