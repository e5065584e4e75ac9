defmodule Vllm.Core.Telemetry.Meter do
  @moduledoc false
  # Measures one enumeration of a stream, in the process that enumerates.
  #
  # Whether anybody listens is asked once, at the start: without `:telemetry` the meter is nil, and
  # an item costs a comparison with it.
  #
  # The enumeration ends once, whatever ends it: the process itself tells it, or Vllm.Core.Telemetry.Witness
  # does when the process was killed, by what the meter shows then. So its counts are in memory that
  # both can read.

  alias Vllm.Error
  alias Vllm.Core.Telemetry.{Emitter, Witness}

  @enforce_keys [:sent, :metadata, :counts]
  defstruct [:sent, :metadata, :counts, :ending]

  # The counts: how many items, and what the first one took (at least 1).
  @items 1
  @first 2

  @type t :: %__MODULE__{
          sent: integer(),
          metadata: map(),
          counts: :atomics.atomics_ref(),
          ending: Witness.ending() | nil
        }

  @doc "The enumeration begins; `sent` is when the request was, if that is known on this node."
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

  @doc "One item is there."
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

  @doc "The enumeration has ended with `:ok`, `:halted` or an error."
  @spec stop(t() | nil, :ok | :halted | Error.t()) :: :ok
  def stop(nil, _result), do: :ok
  def stop(meter, %Error{kind: kind}), do: stop(meter, kind)
  def stop(meter, result), do: finish(meter, :stop, %{result: result})

  @doc "The consumer's own function has raised."
  @spec exception(t() | nil, atom(), term(), Exception.stacktrace()) :: :ok
  def exception(nil, _kind, _reason, _stacktrace), do: :ok

  def exception(meter, kind, reason, stacktrace),
    do: finish(meter, :exception, Emitter.failure(kind, reason, stacktrace))

  defp finish(meter, event, more),
    do: Witness.once(meter.ending, fn -> emit(meter, event, more) end)

  defp emit(meter, event, more) do
    now = System.monotonic_time()
    items = :atomics.get(meter.counts, @items)
    measurements = %{items: items, duration: now - meter.sent, monotonic_time: now}

    first =
      case :atomics.get(meter.counts, @first) do
        0 -> %{}
        first -> %{time_to_first_item: first}
      end

    metadata = Map.merge(meter.metadata, more)
    Emitter.event([:vllm, :stream, event], Map.merge(measurements, first), metadata)
  end
end
