defmodule Vllm.HandoverCase do
  @moduledoc false
  # Tests of who answers for a reference at every moment between the worker and its owner. Processes
  # are suspended, not timed: each test puts the messages into one certain order.

  use ExUnit.CaseTemplate

  import Vllm.FakeWorkerCase

  alias Vllm.FakeWorker
  alias Vllm.Core.Connection.References
  alias Vllm.Proto.ClientFrame

  using options do
    quote do
      use Vllm.FakeWorkerCase, unquote(options)
      import Vllm.HandoverCase
    end
  end

  ## Callers

  # A process that calls, reports the result, and stays.
  def calling(context, opts \\ [], with_result \\ fn _result -> :ok end) do
    test = self()

    spawn(fn ->
      result = Vllm.call(context.ref, "get_object", [], opts)
      with_result.(result)
      send(test, {:got, result})
      receive do: (:end -> :ok)
    end)
  end

  def kill(pid) do
    monitor = Process.monitor(pid)
    Process.exit(pid, :kill)
    assert_receive {:DOWN, ^monitor, :process, ^pid, _reason}
  end

  # Stops a process where it runs code of a module.
  def suspend_in(pid, module) do
    :erlang.suspend_process(pid)

    case Process.info(pid, :current_stacktrace) do
      {:current_stacktrace, stack} ->
        unless Enum.any?(stack, &(elem(&1, 0) == module)) do
          :erlang.resume_process(pid)
          suspend_in(pid, module)
        end
    end
  end

  def build(context, opts \\ []) do
    Vllm.AsyncLLM.from_engine_args(context.name, [model: "m"], opts)
  end

  def add_request(context, prompt),
    do: Vllm.AsyncLLM.add_request(context.ref, "id", prompt, max_tokens: 1)

  # Of those processes, the ones that work for the caller: other tests run at the same time.
  def of(processes, caller) do
    for pid <- processes,
        {:dictionary, dictionary} <- [Process.info(pid, :dictionary)],
        caller in Keyword.get(dictionary, :"$callers", []),
        do: pid
  end

  ## The connection

  # What it has handed over and records of owners, after all messages that were sent to it.
  def held(%{instance: instance}),
    do: References.sizes(:sys.get_state(connection(instance)).references)

  def assert_nothing_held(context) do
    assert held(context) == %{handed: 0, owned: 0}
    references = :sys.get_state(connection(context.instance)).references
    assert references == %{References.new(references.grace) | count: references.count}
  end

  # Everything that the worker has sent before has been handled.
  def barrier(%{fake: fake, ref: ref}, call) do
    FakeWorker.answer(fake, call, value(nil))
    {:ok, nil} = Vllm.call(ref, "barrier")
    assert_call(call)
  end

  def assert_released(ids), do: assert_receive({:client, %ClientFrame{releases: ^ids}})

  # The ids of so many releases, which may come in several frames.
  def released(0), do: []

  def released(count) do
    assert_receive {:client, %ClientFrame{releases: [_ | _] = ids}}
    ids ++ released(count - length(ids))
  end

  # A call is sent after the releases before it.
  def refute_released(%{ref: ref, instance: instance}) do
    _state = :sys.get_state(connection(instance))
    caller = spawn(fn -> Vllm.call(ref, "barrier") end)
    assert_receive {:client, %ClientFrame{calls: [%{request: %{method: "barrier"}}]}}
    refute_received {:client, %ClientFrame{releases: [_ | _]}}
    kill(caller)
  end

  def assert_shut_down(engine) do
    assert_receive {:client, %ClientFrame{calls: [%{request: request}], releases: [^engine]}}
    assert %{method: "shutdown", target: {:ref, ^engine}} = request
  end
end
