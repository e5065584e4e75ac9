defmodule Vllm.FaultCase do
  @moduledoc false
  # Tests in which something goes wrong under load: `make test-faults`.
  #
  # `use Vllm.FaultCase, needs: [:strace]` names what the faults are made with; where the machine lacks it
  # the tests are skipped with the reason, and not counted as passed. What came of each fault is printed
  # as a table: see Vllm.Faults.Report.

  use ExUnit.CaseTemplate

  import Vllm.FakeWorkerCase, only: [wait_until: 1]

  alias Vllm.Faults.{Load, Report, Tools}
  alias Vllm.{BridgeCase, OtherNode, ProcessTree}

  using options do
    needs = Keyword.get(options, :needs, [])

    quote do
      import ExUnit.CaptureLog
      import Vllm.BridgeCase, only: [control: 2, control: 3, engine: 1, engine_class: 0, kill: 1]
      import Vllm.FakeWorkerCase, only: [wait_until: 1]
      import Vllm.FaultCase
      import Vllm.ProcessTree, only: [await_gone: 1, signal: 2]

      alias Vllm.{AsyncLLM, Error, FaultCase, OtherNode, ProcessTree}
      alias Vllm.Faults.{Load, Proxy, Report, Tools}

      @moduletag :faults
      @moduletag timeout: 180_000

      if reason = Enum.find_value(unquote(needs), &Tools.missing/1),
        do: @moduletag(skip: reason)
    end
  end

  setup context do
    folder =
      Path.join(System.tmp_dir!(), "f#{System.unique_integer([:positive])}-#{System.pid()}")

    File.mkdir!(folder)
    ExUnit.Callbacks.on_exit(fn -> File.rm_rf!(folder) end)
    # Short, because sockets lie in it; a name of its own for every instance.
    %{folder: folder, name: context.test}
  end

  ## Instances

  @doc "An instance with the fake engine, and what its worker is made of."
  def start(name, options \\ []) do
    {:ok, _pid} = BridgeCase.start(name, [log: false] ++ options)
    BridgeCase.engine(name)
  end

  @doc "The instance stops, and nothing of its worker is left."
  def stop(name) do
    tree = ProcessTree.find(name)
    :ok = ExUnit.Callbacks.stop_supervised(name)
    if tree, do: ProcessTree.await_gone(tree)
    :ok
  end

  @doc "As an operator starts it, but that it ends with the test. Returns its process id and port."
  def by_hand(arguments, options \\ []) do
    {:ok, python} = Vllm.Environment.python()
    {before, python} = {options[:before] || [], python}
    [program | rest] = before ++ [python, "-m", "python_worker"]
    env = for {key, value} <- options[:env] || %{}, do: {~c"#{key}", ~c"#{value}"}

    port =
      Port.open({:spawn_executable, System.find_executable(program)}, [
        :binary,
        :exit_status,
        :stderr_to_stdout,
        line: 4096,
        env: [{~c"VLLM_BRIDGE_TOKEN", ~c"secret"} | env],
        args:
          rest ++ ["--lifeline", "stdin", "--engine-class", BridgeCase.engine_class() | arguments]
      ])

    {await_ready(port), port}
  end

  defp await_ready(port) do
    receive do
      {^port, {:data, {:eol, "VLLM_BRIDGE READY " <> json}}} ->
        [_, address] = Regex.run(~r/"address": ?"([^"]+)"/, json)
        [_, pid] = Regex.run(~r/"pid": ?(\d+)/, json)
        %{address: Vllm.Core.Wire.Socket.from_uri(address), os_pid: String.to_integer(pid)}

      {^port, {:data, _line}} ->
        await_ready(port)

      {^port, {:exit_status, status}} ->
        raise "the worker ended with #{status}"
    end
  end

  @doc "Connects an instance to such a worker."
  def attach(name, address) do
    ExUnit.Callbacks.start_supervised!({Vllm, name: name, connect: address, token: "secret"},
      id: name
    )

    BridgeCase.engine(name)
  end

  ## Load

  @doc "A fault that passes: every request is answered, before it, meanwhile and behind it."
  def survived(place, fault, engine, fun) do
    name = :"load-#{System.unique_integer([:positive])}"
    Load.start(name, engine)
    Load.mark(name)
    note = fun.()
    Load.await_round(name)
    result = name |> Load.stop() |> noted(note)
    Report.add(place, fault, result)
    Load.check(result, [])
    assert_idle(engine)
    result
  end

  @doc "A fault that ends what is in flight: each request ends with one of these errors, once."
  def lost(place, fault, engine, kinds, fun) do
    name = :"load-#{System.unique_integer([:positive])}"
    Load.start(name, engine)
    Load.mark(name)
    note = fun.()
    result = name |> Load.await() |> noted(note)
    Report.add(place, fault, result)
    Load.check(result, kinds)
  end

  @doc "As `survived/4`, in another BEAM, which has the instance."
  def survived_in(peer, place, fault, engine, fun) do
    name = :"load-#{System.unique_integer([:positive])}"
    call = &OtherNode.call(peer, Load, &1, &2)
    call.(:start, [name, engine])
    call.(:mark, [name])
    note = fun.()
    call.(:await_round, [name])
    result = :stop |> call.([name]) |> noted(note)
    Report.add(place, fault, result)
    Load.check(result, [])
    OtherNode.call(peer, __MODULE__, :assert_idle, [engine])
    result
  end

  @doc "As `lost/5`, in another BEAM."
  def lost_in(peer, place, fault, engine, kinds, fun) do
    name = :"load-#{System.unique_integer([:positive])}"
    call = &OtherNode.call(peer, Load, &1, &2)
    call.(:start, [name, engine])
    call.(:mark, [name])
    note = fun.()
    result = :await |> call.([name]) |> noted(note)
    Report.add(place, fault, result)
    Load.check(result, kinds)
  end

  defp noted(result, note) when is_binary(note), do: Map.put(result, :note, note)
  defp noted(result, _nothing), do: result

  @doc "Nothing of the requests is left, in the engine or in the worker."
  def assert_idle(engine) do
    {name, _node} = engine.instance

    wait_until(fn ->
      match?(%{"requests" => 0, "streams" => 0}, BridgeCase.control(engine, "live"))
    end)

    # The one call is the question.
    wait_until(fn -> match?({:ok, %{"calls" => 1}}, Vllm.status(name)) end)
  end

  @doc "The worker is the one from before, and has nothing left of the session that was lost."
  def assert_same_worker(engine) do
    {name, _node} = engine.instance
    wait_until(fn -> match?({:ok, _status}, Vllm.status(name)) end)
    assert Vllm.AsyncLLM.check_health(engine) == {:ok, nil}
    wait_until(fn -> match?({:ok, %{"sessions" => 1}}, Vllm.status(name)) end)
    assert_idle(engine)
  end

  @doc "The instance answers again, exactly, with a new engine."
  def assert_back(name) do
    wait_until(fn -> match?({:ok, _status}, Vllm.status(name)) end)
    engine = BridgeCase.engine(name)
    assert BridgeCase.control(engine, "echo", [1]) == 1
    engine
  end

  @doc "Another BEAM with an instance, its engine and the processes of its worker."
  def boot(name, options \\ [], boot \\ %{}) do
    peer = OtherNode.boot(&:peer.start/1, boot)
    options = [name: name, engine_class: BridgeCase.engine_class(), log: false] ++ options
    {:ok, _pid} = OtherNode.call(peer, OtherNode, :start_instance, [options])
    engine = OtherNode.call(peer, BridgeCase, :engine, [name])
    tree = OtherNode.call(peer, ProcessTree, :of, [name])
    {peer, engine, tree}
  end

  @doc "The process id of such a BEAM."
  def os_pid(peer), do: peer |> OtherNode.call(System, :pid, []) |> String.to_integer()

  @doc "The instance has lost this worker."
  def await_down(name, worker) do
    wait_until(fn ->
      tree = ProcessTree.find(name)
      tree != nil and tree.worker != worker
    end)
  end

  @doc "Calls that are answered, whatever goes wrong."
  def rounds(engine, count) do
    for _ <- 1..count, do: 1 = BridgeCase.control(engine, "echo", [1])
    nil
  end

  @doc "As `rounds/2`, in another BEAM."
  def rounds_in(peer, engine, count),
    do: OtherNode.call(peer, __MODULE__, :rounds, [engine, count])

  @doc "Deadlines are kept: a stream that would go on for ever ends with its own."
  def assert_deadline(engine) do
    {:error, %Vllm.Error{kind: :timeout}} = BridgeCase.overdue(engine, BridgeCase.request_id())
    nil
  end

  @doc "That BEAM ends, and with it its worker."
  def end_of(peer, tree) do
    :peer.stop(peer)
    ProcessTree.await_gone(tree)
  end

  @doc "How a call went through while a fault was there: the value, or the kind of its error."
  def outcome({:ok, _value}), do: "answered"
  def outcome({:error, %Vllm.Error{kind: kind}}), do: "`:#{kind}`"

  @doc "Seconds that `fun` takes, with what it returns."
  def timed(fun) do
    {microseconds, value} = :timer.tc(fun)
    {microseconds / 1_000_000, value}
  end

  @doc "A line of the table for a fault without a load."
  def note(place, fault, outcomes, seconds, note \\ nil) do
    requests = outcomes |> Map.values() |> Enum.sum()
    result = %{requests: requests, outcomes: outcomes, seconds: seconds, note: note}
    Report.add(place, fault, result)
  end

  defdelegate full_disk(path, options), to: Tools
end
