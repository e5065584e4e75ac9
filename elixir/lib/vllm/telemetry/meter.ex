defmodule Vllm.Telemetry.Meter do
  @moduledoc false
  # Measures one enumeration of a stream, in the process that enumerates.
  #
  # Whether anybody listens is asked once, at the start: without `:telemetry` the meter is nil, and
  # an item costs a comparison with it.

  alias Vllm.{Error, Telemetry}

  @enforce_keys [:sent, :metadata]
  defstruct [:sent, :metadata, :first, items: 0]

  @type t :: %__MODULE__{
          sent: integer(),
          metadata: map(),
          first: integer() | nil,
          items: non_neg_integer()
        }

  @doc "The enumeration begins; `sent` is when the request was, if that is known on this node."
  @spec start(integer() | nil, map()) :: t() | nil
  def start(sent, metadata) do
    if Telemetry.loaded?() do
      now = System.monotonic_time()
      measurements = %{system_time: System.system_time(), monotonic_time: now}
      Telemetry.event([:vllm, :stream, :start], measurements, metadata)
      %__MODULE__{sent: sent || now, metadata: metadata}
    end
  end

  @doc "One item is there."
  @spec item(t() | nil) :: t() | nil
  def item(nil), do: nil

  def item(%__MODULE__{items: 0} = meter) do
    now = System.monotonic_time()
    first = now - meter.sent
    measurements = %{duration: first, monotonic_time: now}
    Telemetry.event([:vllm, :stream, :first_item], measurements, meter.metadata)
    %{meter | items: 1, first: first}
  end

  def item(%__MODULE__{items: items} = meter), do: %{meter | items: items + 1}

  @doc "The enumeration has ended with `:ok`, `:halted` or an error."
  @spec stop(t() | nil, :ok | :halted | Error.t()) :: :ok
  def stop(nil, _result), do: :ok
  def stop(meter, %Error{kind: kind}), do: stop(meter, kind)
  def stop(meter, result), do: finish(meter, :stop, %{result: result})

  @doc "The consumer's own function has raised."
  @spec exception(t() | nil, atom(), term(), Exception.stacktrace()) :: :ok
  def exception(nil, _kind, _reason, _stacktrace), do: :ok

  def exception(meter, kind, reason, stacktrace),
    do: finish(meter, :exception, Telemetry.failure(kind, reason, stacktrace))

  defp finish(meter, event, more) do
    now = System.monotonic_time()
    measurements = %{items: meter.items, duration: now - meter.sent, monotonic_time: now}
    first = if meter.first, do: %{time_to_first_item: meter.first}, else: %{}
    metadata = Map.merge(meter.metadata, more)
    Telemetry.event([:vllm, :stream, event], Map.merge(measurements, first), metadata)
  end
end
