defmodule Vllm.Core.Connection.Outbox do
  @moduledoc false
  # The contents of the next ClientFrame. Each list is built newest first and reversed once, by `take/1`.

  alias Vllm.Proto.ClientFrame

  # A frame that holds this much is sent at once, so that a caller does not wait while others keep
  # adding to it.
  @max_count 128
  @max_bytes 64 * 1024

  defstruct frame: %ClientFrame{}, count: 0, bytes: 0

  @type t :: %__MODULE__{
          frame: ClientFrame.t(),
          count: non_neg_integer(),
          bytes: non_neg_integer()
        }

  @typedoc "A list of the frame."
  @type field :: :calls | :credits | :inputs | :cancels | :releases | :receipts

  @doc "Adds entries to one of the frame's lists; `bytes` is the size of what they carry."
  @spec put(t(), field(), [term()], non_neg_integer()) :: t()
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

  @doc "Whether it holds releases, which the worker handles last within one frame."
  @spec releases?(t()) :: boolean()
  def releases?(%__MODULE__{frame: frame}), do: frame.releases != []

  @doc "Returns the frame and an empty outbox."
  @spec take(t()) :: {ClientFrame.t(), t()}
  def take(%__MODULE__{frame: frame}) do
    frame = %ClientFrame{
      calls: Enum.reverse(frame.calls),
      credits: Enum.reverse(frame.credits),
      inputs: Enum.reverse(frame.inputs),
      cancels: Enum.reverse(frame.cancels),
      releases: Enum.reverse(frame.releases),
      receipts: Enum.reverse(frame.receipts)
    }

    {frame, %__MODULE__{}}
  end
end
