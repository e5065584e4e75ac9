defmodule Vllm.Core.Telemetry.Meter do
  @moduledoc false
  # Measures one enumeration of a stream, in the process that enumerates.
  #
  # Whether `:telemetry` is loaded is checked once, at the start. Without it the meter is nil, and an
  # item costs one comparison.
  #
  # The end is emitted once: by the process itself, or by Vllm.Core.Telemetry.Witness if the process was
  # killed. Both need the counts, so these are in shared memory.

  alias Vllm.Error
  alias Vllm.Core.Telemetry.{Emitter, Usage, Witness}

  @enforce_keys [:sent, :metadata, :counts]
  defstruct [:sent, :metadata, :counts, :ending]

  # The counts: the number of items, and the time to the first one (at least 1, 0 before it).
  @items 1
  @first 2

  @type t :: %__MODULE__{
          sent: integer(),
          metadata: map(),
          counts: :atomics.atomics_ref(),
          ending: Witness.ending() | nil
        }

  @doc "Starts measuring. `sent` is when the request was sent, `nil` if another node sent it."
  @spec start(integer() | nil, map()) :: t() | nil
  def start(sent, metadata) do
    if Emitter.loaded?() do
      now = System.monotonic_time()
      counts = :atomics.new(2, signed: true)
      meter = %__MODULE__{sent: sent || now, metadata: metadata, counts: counts}
      ending = Witness.watch(&emit(meter, :exception, &1))
      measurements = %{system_time: System.system_time(), monotonic_time: now}
      Emitter.event([:vllm, :stream, :start], measurements, metadata)
      %{meter | ending: ending}
    end
  end

  @doc "Counts an item."
  @spec item(t() | nil) :: :ok
  def item(nil), do: :ok

  def item(%__MODULE__{counts: counts} = meter) do
    if :atomics.add_get(counts, @items, 1) == 1, do: first(meter), else: :ok
  end

  defp first(meter) do
    now = System.monotonic_time()
    first = max(now - meter.sent, 1)
    :atomics.put(meter.counts, @first, first)
    measurements = %{duration: first, monotonic_time: now}
    Emitter.event([:vllm, :stream, :first_item], measurements, meter.metadata)
  end

  @doc "The enumeration has ended with `:ok`, `:halted` or an error. `last` is its last item, if known."
  @spec stop(t() | nil, :ok | :halted | Error.t(), term()) :: :ok
  def stop(meter, result, last \\ nil)
  def stop(nil, _result, _last), do: :ok
  def stop(meter, %Error{kind: kind}, last), do: stop(meter, kind, last)

  def stop(meter, result, last) do
    # A stream with one item has the whole answer in it.
    {measured, said} = Usage.of(last, :atomics.get(meter.counts, @items) == 1)
    finish(meter, :stop, Map.put(said, :result, result), measured)
  end

  @doc "The consumer's function has raised."
  @spec exception(t() | nil, atom(), term(), Exception.stacktrace()) :: :ok
  def exception(nil, _kind, _reason, _stacktrace), do: :ok

  def exception(meter, kind, reason, stacktrace),
    do: finish(meter, :exception, Emitter.failure(kind, reason, stacktrace))

  defp finish(meter, event, more, measured \\ %{}),
    do: Witness.once(meter.ending, fn -> emit(meter, event, more, measured) end)

  defp emit(meter, event, more, measured \\ %{}) do
    now = System.monotonic_time()
    items = :atomics.get(meter.counts, @items)
    counted = %{items: items, duration: now - meter.sent, monotonic_time: now}
    measurements = Map.merge(measured, counted)

    first =
      case :atomics.get(meter.counts, @first) do
        0 -> %{}
        first -> %{time_to_first_item: first}
      end

    metadata = Map.merge(meter.metadata, more)
    Emitter.event([:vllm, :stream, event], Map.merge(measurements, first), metadata)
  end
end
