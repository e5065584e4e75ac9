defmodule Vllm.Bridge.TestKitFaultsTest do
  # The scripted faults of a fake engine.
  use Vllm.TestKitCase, async: true

  describe "a fault of requests" do
    test "slow/3", %{engine: engine} do
      Vllm.Test.slow(engine, 20)
      assert texts(engine, "a", max_tokens: 3) == [" 256", " 257", " 258"]
      # So slow that no deadline comes too early.
      Vllm.Test.slow(engine, 600_000)
      options = [rpc: [timeout: 50]]
      assert {:error, %Error{kind: :timeout}} = collect(engine, "a", [max_tokens: 3], options)
    end

    # What a request fails with, vLLM wraps, unless it is the client's fault or the engine's end.
    for kind <- Vllm.Core.Test.Script.kinds() do
      @arrives if kind in [:unsupported, :timeout, :python], do: :engine_error, else: kind

      test "fail_after/4 as #{inspect(kind)}", %{engine: engine} do
        Vllm.Test.fail_after(engine, 2, unquote(kind), times: 1)

        assert {[" 256", " 257"], %Error{kind: @arrives} = error} =
                 until_error(engine, "a", max_tokens: 2)

        assert error.kind == unquote(kind) or error.cause.kind == unquote(kind)
        assert [" 256"] = texts(engine, "a", max_tokens: 1)
      end

      test "refuse/3 as #{inspect(kind)}", %{engine: engine} do
        Vllm.Test.refuse(engine, unquote(kind), prompt: "a")
        assert {:error, %Error{kind: @arrives} = error} = generate(engine, "a")
        assert error.kind == unquote(kind) or error.cause.kind == unquote(kind)
        assert [" 256"] = texts(engine, "b", max_tokens: 1)
      end
    end

    test "refuse_admission/2, until it is over", %{engine: engine} do
      Vllm.Test.refuse_admission(engine, times: 2)

      for _ <- 1..2 do
        assert {:error, %Error{kind: :overloaded, retryable: true}} = generate(engine, "a")
      end

      assert {:ok, _stream} = generate(engine, "a")
    end

    test "hang_after/3", %{engine: engine} do
      Vllm.Test.hang_after(engine, 1)
      {:ok, stream} = generate(engine, "a")
      assert [%RequestOutput{finished: false}] = Enum.take(stream, 1)
      assert :ok = Vllm.Test.assert_live(engine, 0)
    end

    test "die_after/3", %{engine: engine} do
      Vllm.Test.hang_after(engine, 0)
      Vllm.Test.die_after(engine, 1, prompt: "poison")
      {:ok, other} = generate(engine, "a")
      assert {[" 256"], %Error{kind: :engine_dead}} = until_error(engine, "poison")
      assert {:error, %Error{kind: :engine_dead}} = Stream.collect(other)
      # What reached it can still be asked.
      assert [_, %Request{prompt: "poison"}] = Vllm.Test.requests(engine)
    end
  end

  describe "a fault of a method" do
    for kind <- Vllm.Core.Test.Script.kinds() do
      test "fail/4 as #{inspect(kind)}", %{engine: engine} do
        Vllm.Test.fail(engine, :is_sleeping, {unquote(kind), "why not"}, times: 1)
        assert {:error, %Error{kind: unquote(kind)} = error} = Vllm.call(engine, :is_sleeping)
        unless error.kind == :engine_dead, do: assert(error.message =~ "why not")
        assert Vllm.call(engine, :is_sleeping) == {:ok, false}
      end
    end

    test "fail/4 with the name of a Python exception", %{engine: engine} do
      Vllm.Test.fail(engine, "sleep", {"KeyError", "lost"})
      assert {:error, %Error{kind: :python} = error} = Vllm.call(engine, :sleep)
      assert error.type =~ "KeyError"
      assert {:error, ^error} = Vllm.call(engine, :sleep)
      Vllm.Test.mend(engine, "sleep")
      assert {:ok, nil} = Vllm.call(engine, :sleep)
    end

    test "hang/3 of generate: the call does not return", %{engine: engine} do
      Vllm.Test.hang(engine, :generate, times: 1)
      hung = Task.async(fn -> generate(engine, "hangs") end)
      wait_until(fn -> match?([_hung], Vllm.Test.requests(engine)) end)
      # One that comes later has its stream.
      assert {:ok, _stream} = generate(engine, "a")
      assert Task.shutdown(hung, :brutal_kill) == nil
    end

    test "hang/3 and delay/4", %{engine: engine} do
      Vllm.Test.hang(engine, :sleep, times: 1)
      assert {:error, %Error{kind: :timeout}} = Vllm.call(engine, :sleep, rpc: [timeout: 50])
      # A delay is waited for, and ends.
      Vllm.Test.delay(engine, :sleep, 600_000)
      assert {:error, %Error{kind: :timeout}} = Vllm.call(engine, :sleep, rpc: [timeout: 50])
      Vllm.Test.delay(engine, :sleep, 1)
      assert Vllm.call(engine, :sleep) == {:ok, nil}
    end
  end

  test "die/1 ends the engine and not the worker", %{engine: engine, worker: worker} do
    Vllm.Test.hang_after(engine, 0)
    {:ok, stream} = generate(engine, "a")
    :ok = Vllm.Test.die(engine)
    assert {:error, %Error{kind: :engine_dead}} = Stream.collect(stream)
    assert {:error, %Error{kind: :engine_dead}} = AsyncLLM.check_health(engine)
    assert AsyncLLM.check_health(Vllm.Test.engine!(worker)) == {:ok, nil}
  end

  test "print_megabytes/2 affects no call", %{engine: engine} do
    printing = Task.async(fn -> Vllm.Test.print_megabytes(engine, 20) end)
    assert texts(engine, "a", max_tokens: 2) == [" 256", " 257"]
    assert Task.await(printing, :infinity) == :ok
    assert AsyncLLM.check_health(engine) == {:ok, nil}
  end
end
