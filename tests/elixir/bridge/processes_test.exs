defmodule Vllm.Bridge.ProcessesTest do
  # Every process of an instance and of the application: it takes unknown messages, and neither its
  # crash nor its state shows a token, a prompt or an output. The processes are found by walking, so a
  # new one is covered; one that needs a message to fail is asked for by the test.
  use ExUnit.Case, async: false

  import Vllm.BridgeCase
  import Vllm.FakeWorkerCase, only: [wait_until: 1]
  import Vllm.Heard

  alias Vllm.{AsyncLLM, Error, InstanceProcesses, Ref, StreamingInput}
  alias Vllm.Core.{Connection, Worker}
  alias Vllm.Core.Instance.{Drain, Engines, Locator, Metrics}
  alias Vllm.Core.Pool.{Keeper, Members}
  alias Vllm.Core.Telemetry.Witness

  # The instance is started again for each process of it that crashes.
  @moduletag bridge: true, timeout: 600_000

  @prompt "a very secret prompt"
  @output "a very secret output"
  @variable "a very secret variable"
  @secrets [@prompt, @output, @variable]

  @supervisors [Vllm.Core.Instance, Vllm.Core.Instance.Default, Vllm.Core.Application] ++
                 [Vllm.Core.RedactedSupervisor.Tasks, Vllm.Core.Pool]

  @kinds Enum.map(@supervisors, &{:supervisor, &1}) ++
           [Worker, Worker.LogWriter, Connection, Engines, Drain, Metrics] ++
           [Witness, Vllm.Stream, Vllm.Core.Call.Producer, Keeper, Members]

  # Those whose end ends no other process of the instance.
  @alone [Witness, Worker.LogWriter, Vllm.Stream, Vllm.Core.Call.Producer, Members]

  # What each server fails with when its state is no state.
  @fails_with %{
    Worker => {:look, 0},
    Worker.LogWriter => {:"$gen_cast", {:lines, [{:info, "a line"}], :answer}},
    Connection => :flush,
    Engines => {:"$gen_cast", {:died, %Ref{instance: {A, :b}, id: "1", incarnation: "2"}, "why"}},
    Metrics => :tick,
    Members => :forget,
    Witness => {:"$gen_cast", {:forget, :ending}}
  }

  setup %{test: name} do
    hear()

    options = [
      engines: [it: [model: "fake"]],
      env: %{"SECRET" => @variable},
      metrics_interval: 3_600_000,
      max_restarts: 100,
      grace: 10,
      log: :info
    ]

    # As a member of a pool, which has processes of its own.
    member = [name: name, engine_class: engine_class()] ++ options ++ patience()
    pool = InstanceProcesses.pool(name)
    {:ok, _} = start_supervised({Vllm.Pool, name: pool, members: [member]}, id: pool)
    {:ok, %Ref{}} = Vllm.engine(pool, :it, :infinity)
    {:ok, _address, token} = Worker.address(Locator.process_name(name, "Worker"))
    %{instance: name, token: token}
  end

  test "is one of these kinds", %{instance: instance} do
    in_flight(instance)
    kinds = for {kind, _pid} <- InstanceProcesses.of(instance), uniq: true, do: kind
    assert Enum.sort(kinds) == Enum.sort(@kinds)
  end

  test "takes unknown messages, and shows their shape only", context do
    %{instance: instance, token: token} = context
    engine = in_flight(instance)
    before = InstanceProcesses.of(instance)

    for {kind, pid} <- before, stray <- strays() do
      send(pid, stray)
      GenServer.cast(pid, stray)

      # Tasks wait for certain messages and leave others alone.
      if kind not in InstanceProcesses.tasks(),
        do: assert({:error, %Error{kind: :invalid}} = GenServer.call(pid, stray))
    end

    assert InstanceProcesses.of(instance) == before
    assert Vllm.call(engine, "echo", [1]) == {:ok, 1}
    assert {:ok, %Ref{}} = Vllm.engine(instance, :it)

    for {kind, pid} <- before, kind not in InstanceProcesses.tasks() do
      refute_shown(:sys.get_status(pid), [token | @secrets])
      refute_shown(Process.info(pid, :dictionary), [token | @secrets])
    end

    for {{:supervisor, module}, _pid} <- before, do: assert_heard(module)
    for kind <- [Keeper | Map.keys(@fails_with)], do: assert_heard(kind)
    for secret <- [token | @secrets], do: refute_heard(secret)
  end

  describe "with a prompt in flight" do
    for how <- [:raise, :exit, :kill] do
      test "no report shows a secret when one ends by #{how}", context do
        %{instance: instance, token: token} = context
        in_flight(instance)

        kinds = for {kind, _pid} <- InstanceProcesses.of(instance), uniq: true, do: kind

        for kind <- kinds, ends?(unquote(how), kind) do
          engine = in_flight(instance)
          {^kind, pid} = instance |> InstanceProcesses.of() |> List.keyfind!(kind, 0)
          monitor = Process.monitor(pid)
          finish(unquote(how), kind, pid, token)
          assert_receive {:DOWN, ^monitor, :process, ^pid, _reason}
          wait_until(fn -> served?(instance, engine, kind in @alone) end)
        end

        for secret <- [token | @secrets], do: refute_heard(secret)
      end
    end
  end

  # After the end of a process the engine is there as before, or is built again with the instance.
  defp served?(_instance, engine, true), do: AsyncLLM.check_health(engine) == {:ok, nil}

  defp served?(instance, engine, false),
    do: match?({:ok, other} when other != engine, Vllm.engine(instance, :it))

  # Processes that trap exits take a signal for a message; they are among the strays.
  defp ends?(:exit, kind),
    do: kind in [Engines, Metrics, Worker.LogWriter, Vllm.Core.Call.Producer]

  # Not the roots of the trees: the application would end, or the test.
  defp ends?(:kill, {:supervisor, module}), do: module == Vllm.Core.RedactedSupervisor.Tasks
  defp ends?(:kill, kind), do: kind != Witness

  # Drain only acts when it is stopped, and what Keeper gets it compares with its state.
  defp ends?(:raise, {:supervisor, _module}), do: false
  defp ends?(:raise, kind), do: kind not in [Drain, Keeper | InstanceProcesses.tasks()]

  defp finish(:kill, _kind, pid, _token), do: Process.exit(pid, :kill)
  defp finish(:exit, _kind, pid, _token), do: Process.exit(pid, :crash)

  # In its state and in its mailbox there are secrets.
  defp finish(:raise, kind, pid, token) do
    :sys.suspend(pid)
    :sys.replace_state(pid, fn _state -> {:broken, @prompt, token} end)
    send(pid, Map.fetch!(@fails_with, kind))
    for stray <- strays(), do: send(pid, stray)
    :sys.resume(pid)
  end

  # A request whose prompt is an enumerable and whose outputs are messages: with all tasks.
  defp in_flight(instance) do
    {:ok, engine} = Vllm.engine(instance, :it)
    :ok = Vllm.Test.reply(engine, :any, List.duplicate(@output, 100), delay: 1)
    element = %StreamingInput{prompt: @prompt, sampling_params: nil}

    prompt =
      Stream.resource(
        fn -> :first end,
        fn
          :first -> {[element], :waits}
          :waits -> receive do: (:never -> {:halt, nil})
        end,
        fn _state -> :ok end
      )

    id = request_id()
    to = [rpc: [stream_to: receiver(self())]]
    {:ok, stream} = AsyncLLM.generate(engine, prompt, [max_tokens: 100], id, to)
    assert_receive {:first_item, ^stream}
    engine
  end

  # The mailbox of the test is full of what is logged: it would get no items.
  defp receiver(test) do
    spawn_link(fn ->
      receive do: ({:vllm, stream, {:item, _output}} -> send(test, {:first_item, stream}))
      Process.sleep(:infinity)
    end)
  end

  defp strays do
    [{:bogus, @prompt}, @prompt, {:credit, :x, @prompt}, {:release, @prompt, [@prompt], 1}] ++
      [%{@prompt => 1}, [@prompt], {:call, @prompt}, {:lines, @prompt}, {:input, @prompt}] ++
      [{:start_children, @prompt}, {:watch, @prompt, @prompt, @prompt}, {@prompt}, {}]
  end

  defp assert_heard(module),
    do: wait_until(fn -> heard() =~ "#{inspect(module)} ignored an unknown message: a" end)

  defp refute_shown(term, secrets) do
    shown = inspect(term, limit: :infinity, printable_limit: :infinity)
    for secret <- secrets, do: refute(shown =~ secret)
  end
end
