defmodule Vllm.Bridge.TestKitWorkersTest do
  # Workers of the kit: their engines, their end, and that none sees another's.
  use Vllm.TestKitCase, async: true

  describe "a worker of a test" do
    setup context, do: %{own: Vllm.Test.start_worker!(context, List.wrap(context[:options]))}

    test "is scripted for present and for later engines", %{own: own} do
      before = Vllm.Test.engine!(own)
      Vllm.Test.reply(own, "a", ["x"])
      Vllm.Test.fail(own, :sleep, {:conflict, "later"})

      for engine <- [before, Vllm.Test.engine!(own)] do
        assert texts(engine, "a") == ["x"]
        assert {:error, %Error{kind: :conflict}} = Vllm.call(engine, :sleep)
      end

      Vllm.Test.mend(own, :sleep)
      assert Vllm.call(before, :sleep) == {:ok, nil}
      assert [^before, _later] = Vllm.Test.engines(own)
    end

    test "can have engines that do not start", %{own: own} do
      Vllm.Test.fail_start(own, {:invalid, "no such model"}, times: 1)

      assert {:error, %Error{kind: :invalid, message: message}} =
               AsyncLLM.from_engine_args(own, model: "x")

      assert message =~ "no such model"
      Vllm.Test.delay_start(own, 600_000)
      started = AsyncLLM.from_engine_args(own, [model: "x"], rpc: [timeout: 50])
      assert {:error, %Error{kind: :timeout}} = started
      Vllm.Test.delay_start(own, 1)
      engine = Vllm.Test.engine!(own)
      assert Vllm.Test.engines(own) == [engine]
    end

    @tag :capture_log
    @tag timeout: 120_000
    @tag options: [replies: [{"a", ["x"]}], engines: [main: [model: "m"]]]
    test "restarts after a crash with the script it was started with", %{own: own} do
      engine = Vllm.Test.await_engine!(own)
      assert texts(engine, "a") == ["x"]
      Vllm.Test.hang_after(engine, 0, prompt: "b")
      {:ok, pending} = generate(engine, "b")
      :ok = Vllm.Test.crash_worker(own)
      assert {:error, %Error{kind: :worker_down}} = Stream.collect(pending)
      later = Vllm.Test.await_engine!(own)
      assert later.incarnation != engine.incarnation
      assert {:error, %Error{kind: :stale_ref}} = AsyncLLM.check_health(engine)
      assert texts(later, "a") == ["x"]
    end

    @tag :capture_log
    @tag options: [start_error: {:engine_error, "CUDA out of memory"}, start_delay: 1]
    test "fails await_engine! if it has no engine", %{own: own} do
      assert {:error, %Error{kind: :engine_error, message: message}} =
               AsyncLLM.from_engine_args(own, model: "x")

      assert message =~ "CUDA out of memory"
      flunks(~r/had no engine within 20 ms/, fn -> Vllm.Test.await_engine!(own, timeout: 20) end)
    end
  end

  describe "eight tests at a time see only their own" do
    test "as engines of one worker", %{worker: worker} do
      eight_times(fn n -> talk(Vllm.Test.engine!(worker), n) end)
    end

    @tag timeout: 120_000
    test "as workers" do
      eight_times(fn n ->
        name = Module.concat(__MODULE__, "Worker#{n}")
        {:ok, supervisor} = Vllm.Test.start_link(name: name)
        Vllm.Test.reply(name, "who", ["nobody"])
        talk(Vllm.Test.engine!(name), n)
        assert [_one] = Vllm.Test.engines(name)
        Supervisor.stop(supervisor)
      end)
    end

    defp eight_times(fun) do
      1..8 |> Enum.map(&Task.async(fn -> fun.(&1) end)) |> Task.await_many(:infinity)
    end

    defp talk(engine, n) do
      Vllm.Test.reply(engine, "who", ["number #{n}"])
      for _ <- 1..20, do: assert(texts(engine, "who") == ["number #{n}"])
      assert length(Vllm.Test.requests(engine)) == 20
    end
  end
end
