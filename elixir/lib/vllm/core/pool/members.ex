defmodule Vllm.Core.Pool.Members do
  @moduledoc false
  # The process of a pool on one node: knows the members, and writes the table that callers choose from
  # (Vllm.Core.Pool.Lookup).
  #
  # A member is an instance. Its process of declared engines is watched here, on whichever node it is,
  # and reports what it has (Vllm.Core.Instance.Reports). There are three ways to it:
  #
  #     joined     by its option `pool:`: OTP's `:pg` tells of it
  #     listed     by its name in the option `members:`; looked for again while it is not there
  #     own        started by the pool (Vllm.Core.Pool.Keeper), which has it join
  #
  # A pool runs on each node that uses it, each with what it has sent itself. There is nothing to agree
  # on: what the members report is the same everywhere.

  use GenServer
  use Vllm.Core.RedactedServer

  alias Vllm.Error
  alias Vllm.Core.RedactedServer
  alias Vllm.Core.Instance.{Declared, Locator}
  alias Vllm.Core.Pool.{Choice, Lookup, Scope}

  # Milliseconds until a listed member that is not there is looked for again.
  @again 500

  # How often requests that were sent are forgotten that no load has come after: their member does not
  # report, or has refused them.
  @forget 1_000

  @enforce_keys [:pool, :table]
  # group: what `:pg` refers to the pool by; scope: the monitor of it
  # watched: monitor => {:joined, pid} | {:listed, instance}
  # reports: instance => {pid of its engines, the last report}
  # own: instance => what is known of one that the pool starts: its engines' names, and its state
  # loads: {instance, engine, id of the reference} => {how many loads had come, the array}
  # waiting: engine => callers that wait for it
  defstruct [
    :pool,
    :table,
    :group,
    :scope,
    listed: [],
    watched: %{},
    reports: %{},
    own: %{},
    loads: %{},
    waiting: %{}
  ]

  @typedoc "A member that the pool starts: its instance, and the names of its engines."
  @type own :: {Locator.instance(), [atom()]}

  @doc "Takes the pool's name, the listed members and those that it starts."
  @spec start_link({atom(), [Locator.instance()], [own()]}) :: GenServer.on_start()
  def start_link({pool, _listed, _own} = argument),
    do: GenServer.start_link(__MODULE__, argument, name: Lookup.process_name(pool))

  @doc "Tells that a member of the pool's own is starting, or why it has not started."
  @spec own(atom(), Locator.instance(), :starting | {:failed, Error.t()}) :: :ok
  def own(pool, instance, state),
    do: GenServer.cast(Lookup.process_name(pool), {:own, instance, state})

  ## Callbacks

  @impl true
  def init({pool, listed, own}) do
    table = Lookup.process_name(pool)
    :ets.new(table, [:named_table, :protected, read_concurrency: true])
    own = Map.new(own, fn {instance, engines} -> {instance, {engines, :starting}} end)
    state = %__MODULE__{pool: pool, table: table, listed: listed, own: own}
    Process.send_after(self(), :forget, @forget)
    {:ok, listed |> Enum.reduce(join(state), &look_for/2) |> write()}
  end

  @impl true
  def handle_call({:await, engine}, from, state) do
    case answer(state, engine) do
      :wait -> {:noreply, put_in(state.waiting[engine], [from | state.waiting[engine] || []])}
      answer -> {:reply, answer, state}
    end
  end

  def handle_call(:members, _from, state), do: {:reply, rows(state), state}

  def handle_call(other, _from, state),
    do: RedactedServer.stray_call(__MODULE__, other, state)

  @impl true
  def handle_cast({:own, instance, own}, state) when is_map_key(state.own, instance) do
    {engines, _before} = state.own[instance]
    {:noreply, write(put_in(state.own[instance], {engines, own}))}
  end

  def handle_cast(other, state),
    do: RedactedServer.stray(__MODULE__, "cast", other, state)

  @impl true
  def handle_info({:vllm_report, pid, %{instance: instance, engines: engines} = report}, state)
      when is_pid(pid) and is_list(engines) do
    before = state.reports[instance]
    state = put_in(state.reports[instance], {pid, report})
    state = Enum.reduce(engines, state, &take_load(&2, instance, &1))
    # Loads alone change no row.
    {:noreply, if(same?(before, pid, report), do: state, else: write(state))}
  end

  def handle_info({group, :join, _pool, pids}, %{group: group} = state) when is_list(pids),
    do: {:noreply, Enum.reduce(pids, state, &watch/2)}

  # Whoever leaves has ended, and its monitor tells of it. Its scope may have ended alone.
  def handle_info({group, :leave, _pool, _pids}, %{group: group} = state),
    do: {:noreply, state}

  def handle_info({:DOWN, scope, :process, _scope, _reason}, %{scope: scope} = state) do
    Process.send_after(self(), :join, Scope.pause())
    {:noreply, %{state | scope: nil, group: nil}}
  end

  def handle_info({:DOWN, monitor, :process, _object, _reason}, state) do
    {watched, rest} = Map.pop(state.watched, monitor)
    {:noreply, write(gone(watched, %{state | watched: rest}))}
  end

  def handle_info(:join, %{scope: nil} = state), do: {:noreply, join(state)}
  def handle_info(:join, state), do: {:noreply, state}
  def handle_info({:look_for, instance}, state), do: {:noreply, look_for(instance, state)}

  def handle_info(:forget, state) do
    Process.send_after(self(), :forget, @forget)
    for {_key, {_count, load}} <- state.loads, do: Choice.forget_sent(load)
    {:noreply, state}
  end

  def handle_info(other, state),
    do: RedactedServer.stray(__MODULE__, "message", other, state)

  @impl RedactedServer.format_status?()
  # An error in a report may quote the arguments of an engine.
  def format_status(status) do
    RedactedServer.hide(status, fn %{pool: pool, reports: reports} ->
      %{pool: pool, members: Map.keys(reports)}
    end)
  end

  ## Members that come and go

  defp join(state) do
    {scope, group, pids} = Scope.watch(state.pool)
    Enum.reduce(pids, %{state | scope: scope, group: group}, &watch/2)
  end

  defp watch(pid, state) do
    if Enum.any?(state.watched, &match?({_monitor, {:joined, ^pid}}, &1)),
      do: state,
      else: put_in(state.watched[Declared.watch(pid)], {:joined, pid})
  end

  # It may be on a node that is not connected, and this node may be none yet.
  defp look_for(instance, state) do
    case Declared.server(instance) do
      {:ok, server} -> put_in(state.watched[Declared.watch(server)], {:listed, instance})
      :error -> look_again(instance, state)
    end
  end

  defp look_again(instance, state) do
    Process.send_after(self(), {:look_for, instance}, @again)
    state
  end

  defp gone({:joined, pid}, state) do
    reports =
      Map.reject(state.reports, fn {_instance, {reporter, _report}} -> reporter == pid end)

    %{state | reports: reports}
  end

  defp gone({:listed, instance}, state) do
    look_again(instance, %{state | reports: Map.delete(state.reports, instance)})
  end

  defp gone(nil, state), do: state

  ## Loads

  defp take_load(state, instance, %{ref: nil} = engine) do
    loads = Map.reject(state.loads, fn {key, _load} -> of?(key, instance, engine.name) end)
    %{state | loads: loads}
  end

  defp take_load(state, instance, %{name: name, ref: ref, count: count, load: reported}) do
    key = {instance, name, ref.id}

    case state.loads do
      %{^key => {^count, _load}} ->
        state

      %{^key => {_earlier, load}} ->
        Choice.reported(load, reported)
        put_in(state.loads[key], {count, load})

      %{} ->
        load = Choice.new_load()
        if reported, do: Choice.reported(load, reported)
        kept = Map.reject(state.loads, fn {other, _load} -> of?(other, instance, name) end)
        %{state | loads: Map.put(kept, key, {count, load})}
    end
  end

  defp of?({instance, name, _id}, instance, name), do: true
  defp of?(_key, _instance, _name), do: false

  defp same?({pid, before}, pid, report), do: states(before) == states(report)
  defp same?(_other, _pid, _report), do: false

  defp states(%{engines: engines}), do: for(it <- engines, do: {it.name, it.state, it.ref})

  ## The table

  # Whoever waits is answered afterwards, and reads it.
  defp write(state) do
    rows = rows_by_engine(state)
    gone = for {engine, _} <- :ets.tab2list(state.table), not is_map_key(rows, engine), do: engine
    for engine <- gone, do: :ets.delete(state.table, engine)
    :ets.insert(state.table, Map.to_list(rows))

    loads =
      Map.filter(state.loads, fn {{instance, _, _}, _} -> is_map_key(state.reports, instance) end)

    Enum.reduce(state.waiting, %{state | loads: loads}, &answer_waiting/2)
  end

  defp rows_by_engine(state) do
    rows =
      for {instance, {_pid, report}} <- state.reports,
          %{state: engine_state, ref: ref} = engine when engine_state in [:ready, :stalled] <-
            report.engines do
        {_count, load} = Map.fetch!(state.loads, {instance, engine.name, ref.id})
        stalled? = engine_state == :stalled
        {engine.name, %Choice{instance: instance, ref: ref, load: load, stalled?: stalled?}}
      end

    Enum.group_by(rows, &elem(&1, 0), &elem(&1, 1))
  end

  defp answer_waiting({engine, callers}, state) do
    case answer(state, engine) do
      :wait ->
        state

      answer ->
        for from <- callers, do: GenServer.reply(from, answer)
        %{state | waiting: Map.delete(state.waiting, engine)}
    end
  end

  ## What is known, for those who wait and for people

  # An engine that cannot be chosen now is waited for if a member is building it.
  defp answer(state, engine) do
    rows = rows(state)
    having = for row <- rows, row.engine == engine, do: row.state

    cond do
      Enum.any?(having, &(&1 in [:ready, :stalled])) -> :ok
      Enum.any?(having, &(&1 in [:building, :starting])) -> :wait
      failed = Enum.find(having, &match?({:failed, _error}, &1)) -> {:error, elem(failed, 1)}
      :draining in having -> {:error, draining(state, engine)}
      rows == [] -> {:error, without_members(state)}
      true -> {:error, unknown(state, engine, rows)}
    end
  end

  defp rows(state) do
    reported =
      for {instance, {_pid, report}} <- state.reports,
          engine <- engines(report),
          do: row(state, instance, engine)

    starting =
      for {instance, {engines, own}} <- state.own,
          not is_map_key(state.reports, instance),
          engine <- nonempty(engines),
          do: row(state, instance, %{name: engine, state: own, ref: nil})

    absent =
      for instance <- state.listed,
          not is_map_key(state.reports, instance),
          do: row(state, instance, %{name: nil, state: :absent, ref: nil})

    Enum.sort_by(reported ++ starting ++ absent, &{&1.instance, &1.engine})
  end

  # An instance that declares none is a member nevertheless.
  defp engines(%{engines: []}), do: [%{name: nil, state: :ready, ref: nil}]
  defp engines(%{engines: engines}), do: engines

  defp nonempty([]), do: [nil]
  defp nonempty(engines), do: engines

  defp row(state, instance, %{name: name, ref: ref} = engine) do
    numbers =
      case ref && state.loads[{instance, name, ref.id}] do
        {_count, load} -> Choice.numbers(load)
        nil -> %{running: nil, waiting: nil, sent: nil, kv_cache_usage: nil}
      end

    Map.merge(numbers, %{instance: instance, engine: name, ref: ref, state: engine.state})
  end

  defp draining(state, engine) do
    Error.new(
      :draining,
      "every member of #{inspect(state.pool)} with the engine #{inspect(engine)} is stopping"
    )
  end

  defp without_members(state) do
    Error.new(
      :worker_down,
      "#{inspect(state.pool)} has no members now: instances are named with its option :members, or join " <>
        "with their option pool: #{inspect(state.pool)}"
    )
  end

  defp unknown(state, engine, rows) do
    {known, absent} =
      rows
      |> Enum.group_by(& &1.instance, & &1)
      |> Enum.split_with(fn {_, rows} -> hd(rows).state != :absent end)

    case known do
      [] ->
        names = Enum.map_join(absent, ", ", fn {instance, _rows} -> show(instance) end)
        Error.new(:worker_down, "no member of #{inspect(state.pool)} runs: it has #{names}")

      known ->
        has =
          Enum.map_join(known, "; ", fn {instance, rows} ->
            "#{show(instance)} has #{names(rows)}"
          end)

        Error.new(
          :not_found,
          "no member of #{inspect(state.pool)} has an engine #{inspect(engine)}: #{has}"
        )
    end
  end

  defp names(rows) do
    case for(%{engine: name} when name != nil <- rows, do: inspect(name)) do
      [] -> "none"
      names -> Enum.join(names, ", ")
    end
  end

  defp show({name, node}) when node == node(), do: inspect(name)
  defp show({name, node}), do: "#{inspect(name)} on #{node}"
end
