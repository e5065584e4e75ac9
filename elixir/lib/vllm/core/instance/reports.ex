defmodule Vllm.Core.Instance.Reports do
  @moduledoc false
  # Tells pools what an instance has: its declared engines, whether each can be used, and its load as
  # the worker has sent it. A value of Vllm.Core.Instance.Engines, which knows the statuses.
  #
  # Those who are told are Vllm.Core.Pool.Members of this node and of others. They get
  # `{:vllm_report, pid, report}` whenever something has changed.

  alias Vllm.{Error, Ref}
  alias Vllm.Core.Instance.{Declared, Locator}
  alias Vllm.Proto.EngineLoad

  @enforce_keys [:instance]
  # receivers: monitor => pid
  # loads: id of a reference => {how many loads have come, the last one}
  # stalled: ids of the references of engines that hang
  defstruct [:instance, receivers: %{}, loads: %{}, stalled: MapSet.new(), draining?: false]

  @type t :: %__MODULE__{
          instance: Locator.instance(),
          receivers: %{reference() => pid()},
          loads: %{String.t() => {pos_integer(), EngineLoad.t()}},
          stalled: MapSet.t(String.t()),
          draining?: boolean()
        }

  @typedoc "The state of an engine, for those who choose among several."
  @type state :: :ready | :stalled | :draining | :building | {:failed, Error.t()}

  @typedoc """
  An engine in a report. `count` changes with each load that the worker sends; it is 0, and the load
  `nil`, before the first.
  """
  @type engine :: %{
          name: atom(),
          state: state(),
          ref: Ref.t() | nil,
          count: non_neg_integer(),
          load: {running :: integer(), waiting :: integer(), kv_cache_permille :: integer()} | nil
        }

  @type report :: %{instance: Locator.instance(), engines: [engine()]}
  @type statuses :: [{atom(), Declared.status()}]

  @doc "Adds a receiver and sends it a first report."
  @spec add(t(), pid(), statuses()) :: t()
  def add(reports, receiver, statuses) do
    send(receiver, {:vllm_report, self(), report(reports, statuses)})
    put_in(reports.receivers[Process.monitor(receiver)], receiver)
  end

  @doc "A monitor says that a process has ended: perhaps a receiver."
  @spec down(t(), reference()) :: t()
  def down(reports, monitor),
    do: %{reports | receivers: Map.delete(reports.receivers, monitor)}

  @doc "The worker has sent loads. Those of engines that are not declared are dropped."
  @spec loads(t(), [EngineLoad.t()], statuses()) :: t()
  def loads(reports, loads, statuses) do
    ids = ready_ids(statuses)

    kept =
      for %EngineLoad{ref: id} = load <- loads,
          id in ids,
          reduce: Map.take(reports.loads, ids) do
        kept -> Map.update(kept, id, {1, load}, fn {count, _last} -> {count + 1, load} end)
      end

    %{reports | loads: kept}
  end

  @doc "An engine hangs, or does so no more."
  @spec stalled(t(), String.t(), boolean(), statuses()) :: t()
  def stalled(reports, id, stalled?, statuses) do
    others = MapSet.delete(MapSet.new(ready_ids(statuses)), id)
    kept = MapSet.intersection(reports.stalled, others)
    %{reports | stalled: if(stalled?, do: MapSet.put(kept, id), else: kept)}
  end

  @doc "The instance or its worker is stopping."
  @spec draining(t()) :: t()
  def draining(reports), do: %{reports | draining?: true}

  @doc "Tells every receiver."
  @spec tell(t(), statuses()) :: t()
  def tell(%{receivers: receivers} = reports, _statuses) when receivers == %{}, do: reports

  def tell(reports, statuses) do
    report = report(reports, statuses)
    for {_monitor, pid} <- reports.receivers, do: send(pid, {:vllm_report, self(), report})
    reports
  end

  defp report(reports, statuses) do
    %{
      instance: reports.instance,
      engines: for({name, status} <- statuses, do: engine(reports, name, status))
    }
  end

  defp engine(reports, name, {:ready, ref}) do
    {count, load} = Map.get(reports.loads, ref.id, {0, nil})
    %{name: name, state: state(reports, ref.id), ref: ref, count: count, load: numbers(load)}
  end

  defp engine(reports, name, status) do
    state = if reports.draining?, do: :draining, else: unready(status)
    %{name: name, state: state, ref: nil, count: 0, load: nil}
  end

  defp state(%{draining?: true}, _id), do: :draining
  defp state(%{stalled: stalled}, id), do: if(id in stalled, do: :stalled, else: :ready)

  defp unready(:building), do: :building
  defp unready({:failed, error}), do: {:failed, error}

  defp numbers(nil), do: nil
  defp numbers(load), do: {load.running, load.waiting, load.kv_cache_permille}

  defp ready_ids(statuses), do: for({_name, {:ready, ref}} <- statuses, do: ref.id)
end
