defmodule Vllm.BridgeCase do
  @moduledoc false
  # Tests against the real Python worker with the scripted engine of python_worker.testing.
  #
  # Each module has one instance, named like the module, and each test an engine of its own, which
  # costs a millisecond. `use Vllm.BridgeCase, instance: [listen: {:tcp, 0}]` takes its options.

  use ExUnit.CaseTemplate

  @engine_class "python_worker.testing.fake_engine:FakeAsyncLLM"

  using options do
    quote do
      import Vllm.BridgeCase
      import Vllm.FakeWorkerCase, only: [wait_until: 1, mailbox: 1]

      alias Vllm.{AsyncLLM, Error, Ref, RequestOutput, Stream}

      @moduletag :bridge

      @instance_options unquote(Keyword.get(options, :instance, []))

      # Here and not in the template: before 1.15 its setup_all does not see the module's tags.
      setup_all do
        {:ok, pid} = start(__MODULE__, @instance_options)
        %{instance: __MODULE__, supervisor: pid}
      end
    end
  end

  setup %{instance: instance} do
    %{engine: engine(instance)}
  end

  def start(name, options \\ []) do
    defaults = [name: name, engine_class: @engine_class, log: :debug] ++ patience()
    ExUnit.Callbacks.start_supervised({Vllm, Keyword.merge(defaults, options)}, id: name)
  end

  # For instances that the test starts itself: a busy machine may take its time with a worker.
  def patience, do: [start_timeout: 300_000]

  def engine_class, do: @engine_class

  def engine(instance) do
    {:ok, engine} = Vllm.AsyncLLM.from_engine_args(instance, model: "fake")
    engine
  end

  # One of the fake engine's own methods, which the test counts on.
  def control(engine, method, args \\ [], opts \\ []) do
    case Vllm.call(engine, method, args, opts) do
      {:ok, value} -> value
      {:error, error} -> raise error
    end
  end

  def request_id, do: "req-#{System.unique_integer([:positive])}"

  # A request that makes tokens until it is stopped, one for each that is taken.
  def endless(delay \\ 0.002) do
    fake = %{"paced" => true, "delay" => delay}
    [max_tokens: 1_000_000, output_kind: :DELTA, extra_args: %{"fake" => fake}]
  end

  # What a request ends with at its deadline. On a busy machine that may pass before there is a stream;
  # then it is tried again, with more time.
  def overdue(engine, id, timeout \\ 50) do
    case Vllm.AsyncLLM.generate(engine, "x", endless(), id, rpc: [timeout: timeout]) do
      {:ok, stream} -> Vllm.Stream.collect(stream)
      {:error, %Vllm.Error{kind: :timeout}} -> overdue(engine, id, 2 * timeout)
    end
  end

  # A zombie counts as ended; its parent, or init, reaps it at some time.
  def alive?(os_pid) do
    case File.read("/proc/#{os_pid}/stat") do
      {:ok, stat} -> not (stat =~ ~r/\) [ZX] /)
      {:error, _gone} -> false
    end
  end

  def kill(os_pid), do: System.cmd("/bin/sh", ["-c", "kill -KILL #{os_pid}"])
end
