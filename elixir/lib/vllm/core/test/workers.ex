defmodule Vllm.Core.Test.Workers do
  @moduledoc false
  # Starts and kills workers with fake engines, and waits for their engines. `Vllm.Test` documents the
  # functions.

  import Vllm.Core.Test.Control, except: [engines: 1]

  alias Vllm.Core.Worker
  alias Vllm.Core.Instance.Locator
  alias Vllm.Core.Test.{Control, Script}

  @engine_class "python_worker.testing.fake_engine:FakeAsyncLLM"

  # Milliseconds for a worker to start, and for its end to be noticed.
  @start_timeout 120_000

  def start_link(options) do
    {plan, options} = Script.plan(options)
    {env, options} = Keyword.pop(options, :env, %{})
    env = Map.merge(Script.environment(plan), Map.new(env))

    [engine_class: @engine_class, log: false, grace: 50, env: env, start_timeout: @start_timeout]
    |> Keyword.merge(options)
    |> Vllm.start_link()
  end

  def child_spec(options) do
    name = Keyword.get(options, :name, __MODULE__)
    %{id: name, start: {__MODULE__, :start_link, [options]}, type: :supervisor}
  end

  def start_worker!(%{module: module} = context, options) do
    default = Module.concat([module, "Vllm" | List.wrap(context[:test])])
    options = Keyword.put_new(options, :name, default)
    # By apply, because ExUnit may not be available where this module is compiled.
    apply(ex_unit(:Callbacks), :start_supervised!, [child_spec(options)])
    options[:name]
  end

  def crash_worker(worker) when is_atom(worker) do
    connection = Process.monitor(Locator.process_name(worker, "Connection"))
    %{os_pid: os_pid} = Worker.info(Locator.process_name(worker, "Worker"))
    {_said, 0} = System.cmd("/bin/sh", ["-c", "kill -s KILL #{os_pid}"])

    receive do
      {:DOWN, ^connection, :process, _pid, _reason} -> :ok
    after
      @start_timeout ->
        flunk(
          "the worker of #{inspect(worker)} was killed, and its connection has not ended within " <>
            "#{@start_timeout} ms"
        )
    end
  end

  def await_engine!(worker, options) when is_atom(worker) do
    [timeout: timeout] = Keyword.validate!(options, timeout: @start_timeout)

    # `nil` while the worker restarts.
    newest = fn ->
      with {:ok, engines} <- Control.engines(worker),
           do: List.last(for {engine, false} <- engines, do: engine),
           else: (_error -> nil)
    end

    poll(newest, timeout) || flunk("#{inspect(worker)} had no engine within #{timeout} ms")
  end
end
