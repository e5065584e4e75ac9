defmodule Vllm.Bridge.AbsurdOptionsTest do
  # Whatever a caller gives as an option, the instance and its connection survive.
  use Vllm.BridgeCase, async: true

  import ExUnit.CaptureLog

  alias Vllm.Core.Instance.Locator

  @seed {1, 2, 3}

  test "no value of a call's option ends the instance", %{engine: engine, instance: instance} do
    before = pids(instance)
    :rand.seed(:exsss, @seed)

    for key <- [:timeout, :window, :stream_to, :link, :trace], value <- absurd() do
      result = Vllm.call(engine, "echo", [1], rpc: [{key, value}])
      assert match?({:ok, _}, result) or match?({:error, %Error{}}, result)
    end

    for value <- absurd(), not is_integer(value) or value < 0 or value > 5_000_000_000 do
      if value != :infinity,
        do: assert({:error, %Error{}} = Vllm.engine(instance, :none, value))
    end

    assert pids(instance) == before
    assert Vllm.call(engine, "echo", [1]) == {:ok, 1}
  end

  test "stray messages end no process and none is shown", %{engine: engine, instance: instance} do
    before = pids(instance)
    {:ok, _address, token} = Vllm.Core.Worker.address(Locator.process_name(instance, "Worker"))

    log =
      capture_log(fn ->
        for {_part, pid} <- before, message <- strays() do
          send(pid, message)
          GenServer.cast(pid, message)
          assert {:error, %Error{kind: :invalid}} = GenServer.call(pid, message)
          state = inspect(:sys.get_status(pid), limit: :infinity, printable_limit: :infinity)
          refute state =~ token
          refute state =~ "MARKER"
        end
      end)

    assert log =~ "ignored an unknown message: a tuple of 2 elements"
    refute log =~ "MARKER"
    refute log =~ token
    assert pids(instance) == before
    assert Vllm.call(engine, "echo", [1]) == {:ok, 1}
  end

  defp strays do
    [{:bogus, "MARKER"}, "MARKER", {:credit, :x, "MARKER"}, {:release, "MARKER", ["MARKER"], 1}] ++
      [%{"MARKER" => 1}, ["MARKER"], {:call, "MARKER"}, {:lines, "MARKER"}]
  end

  defp absurd do
    [nil, -1, 1.5, "text", [], [1 | 2], self(), :infinity, %{}, {}, make_ref()] ++
      [4_294_967_295, 4_294_967_296, :timer.hours(24 * 60), 18_446_744_073_709_551_616] ++
      for(_ <- 1..10, do: Integer.pow(2, :rand.uniform(200) + 32)) ++
      for(_ <- 1..5, do: -:rand.uniform(1_000_000_000))
  end

  defp pids(instance) do
    for part <- ["Worker", "Connection", "Engines", "Drain"],
        do: {part, Process.whereis(Locator.process_name(instance, part))}
  end
end
