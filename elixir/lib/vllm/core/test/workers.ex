defmodule Vllm.Core.Test.Workers do
  @moduledoc false
  # Starts and kills workers with fake engines, and waits for their engines. `Vllm.Test` documents the
  # functions.

  import Vllm.Core.Test.Control, except: [engines: 1]

  alias Vllm.Core.{Connection, Options, RedactedServer, Worker}
  alias Vllm.Core.Instance.Locator
  alias Vllm.Core.Test.{Control, Script}

  @engine_class "python_worker.testing.fake_engine:FakeAsyncLLM"

  # Milliseconds for a worker to start, and for its end to be noticed.
  @start_timeout 120_000

  @timeout {:timeout, :pause, @start_timeout, "how many milliseconds to wait."}

  def start_link(options) do
    {plan, options} = Script.plan(options)
    {env, options} = Keyword.pop(options, :env, %{})
    Options.check!(:env, env, "the option :env")
    env = Map.merge(Script.environment(plan), Map.new(env))

    [engine_class: @engine_class, log: false, grace: 50, env: env, start_timeout: @start_timeout]
    |> Keyword.merge(options)
    |> Vllm.start_link()
  end

  def child_spec(options) do
    Options.check!(:keyword_list, options, "the options of a worker")
    name = Keyword.get(options, :name, __MODULE__)

    RedactedServer.child(%{
      id: name,
      start: {__MODULE__, :start_link, [options]},
      type: :supervisor
    })
  end

  def start_worker!(context, options) do
    Options.check!(:keyword_list, options, "the options of a worker")
    %{module: module} = Options.check!(:map, context, "the context of a test")
    default = Module.concat([module, "Vllm" | List.wrap(context[:test])])
    options = Keyword.put_new(options, :name, default)
    # By apply, because ExUnit may not be available where this module is compiled.
    apply(ex_unit(:Callbacks), :start_supervised!, [child_spec(options)])
    options[:name]
  end

  def crash_worker(worker) do
    Options.check!(:instance, worker, "a worker")
    _running = unwrap(Connection.info({worker, node()}))
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

  def await_engine!(worker, options) do
    Options.check!(:instance, worker, "a worker")
    %{timeout: timeout} = Options.validate!([@timeout], options, "the options of await_engine!")

    # `nil` while the worker restarts.
    newest = fn ->
      with {:ok, engines} <- Control.engines(worker),
           do: List.last(for {engine, false} <- engines, do: engine),
           else: (_error -> nil)
    end

    poll(newest, timeout) || flunk("#{inspect(worker)} had no engine within #{timeout} ms")
  end
end
