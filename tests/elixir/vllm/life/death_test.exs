defmodule Vllm.RealEngine.DeathTest do
  # The processes of an engine are killed. It is declared, in an instance of its own, so that it comes
  # back; every test takes the one that is there and leaves it dead.
  use Vllm.VllmEngine

  import ExUnit.CaptureLog

  alias Vllm.Inference.AsyncLLMProvider

  # Building an engine, on a machine that has something else to do as well.
  @moduletag timeout: 600_000
  @built 300_000

  @streams 64

  setup_all do
    put_environment()
    engines = [it: arguments(:divided)]
    {:ok, _} = start_supervised({Vllm, name: __MODULE__, engines: engines, log: false})
    :ok
  end

  setup do
    {:ok, engine} = Vllm.engine(__MODULE__, :it, @built)
    {:ok, %{"pid" => worker}} = Vllm.status(__MODULE__)
    %{engine: engine, worker: worker}
  end

  # Each is ended in its turn, and the engine is built anew in between: once, in all.
  test "kill -9 of EngineCore, then of its worker, is reported to every request", context do
    %{engine: first, worker: worker} = context

    capture_log(fn ->
      {core, error} = killed(first, worker, "EngineCore")
      assert error.message =~ "EngineCore (process #{core}) was killed by SIGKILL"

      # It is back under its name, in the same worker, and the dead one is cleared away.
      wait_until(fn ->
        match?({:ok, engine} when engine != first, Vllm.engine(__MODULE__, :it, @built))
      end)

      {:ok, second} = Vllm.engine(__MODULE__, :it, @built)
      assert_well(second)
      assert {:error, %Error{kind: kind}} = AsyncLLM.check_health(first)
      assert kind in [:engine_dead, :stale_ref]
      assert {:ok, %{"pid" => ^worker, "engines" => [_one]}} = Vllm.status(__MODULE__)

      {_model, error} = killed(second, worker, "Worker")
      assert error.message =~ "EngineCore"
    end)
  end

  # Ends a process of an engine with requests and a call in flight; returns its id, and what the
  # requests say.
  defp killed(engine, worker, name) do
    streams = for n <- 1..@streams, do: generate(engine, "#{n}: count", endless())
    {:ok, provider} = AsyncLLMProvider.new(engine)

    text =
      Task.async(fn -> AsyncLLMProvider.generate(provider, "count", "", max_tokens: 2000) end)

    wait_until(fn -> unfinished(engine) > @streams end)
    own = for {pid, "VLLM::" <> title} <- group(worker), do: {pid, title}
    assert length(own) == 2
    [pid] = for {pid, title} <- own, title =~ name, do: pid
    {_, 0} = System.cmd("/bin/sh", ["-c", "kill -KILL #{pid}"])

    [error | _] = errors = for stream <- streams, do: elem({:error, _} = last(stream), 1)
    assert Enum.map(errors, & &1.kind) == List.duplicate(:engine_dead, @streams)

    assert {:error, %Error{kind: :engine_dead}} = Task.await(text, @built)

    for call <- [
          fn -> AsyncLLMProvider.generate(provider, "Hello", "", max_tokens: 2) end,
          fn -> AsyncLLM.generate(engine, "Hello", [max_tokens: 1], request_id()) end,
          fn -> AsyncLLM.check_health(engine) end,
          fn -> AsyncLLM.is_sleeping(engine) end
        ] do
      assert {:error, %Error{} = error} = call.()
      assert error.kind in [:engine_dead, :stale_ref], inspect(error)
    end

    # The other process has ended with it. Those of the next engine may be there already.
    wait_until(fn -> not Enum.any?(group(worker), &List.keymember?(own, elem(&1, 0), 0)) end)
    {pid, error}
  end

  defp last(stream), do: Stream.collect(stream)
end
