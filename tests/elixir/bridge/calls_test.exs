defmodule Vllm.Bridge.CallsTest do
  @moduledoc false
  # The same tests over both transports.
  for {transport, options} <- [Unix: [], Tcp: [listen: {:tcp, 0}]] do
    defmodule Module.concat(__MODULE__, transport) do
      use Vllm.BridgeCase, async: true, instance: options

      test "the functions of AsyncLLM return values", %{engine: engine} do
        assert AsyncLLM.is_running(engine) == {:ok, true}
        assert AsyncLLM.errored(engine) == {:ok, false}
        assert AsyncLLM.check_health(engine) == {:ok, nil}
        assert AsyncLLM.check_health(engine, []) == {:ok, nil}
        assert AsyncLLM.abort(engine, "unknown") == {:ok, nil}
        assert AsyncLLM.abort(engine, ["a", "b"], internal: false) == {:ok, nil}
        assert AsyncLLM.abort(engine, "unknown", [false], []) == {:ok, nil}
        assert {:ok, %Ref{}} = AsyncLLM.get_tokenizer(engine)
        assert AsyncLLM.shutdown(engine) == {:ok, nil}
        assert AsyncLLM.is_running(engine) == {:ok, false}
      end

      test "all spellings of a call are the same call in Python", %{engine: engine} do
        for {args, opts} <- [{[2], []}, {[level: 2], []}, {[], [level: 2]}] do
          control(engine, "reset")
          assert Vllm.call(engine, "sleep", args, opts) == {:ok, nil}
          # The fake engine records what its method was called with, defaults filled in.
          assert [["sleep", [2, "abort"], %{}]] = control(engine, "calls", ["sleep"])
        end
      end

      test "coroutines, functions and properties return what they evaluate to", %{engine: engine} do
        assert control(engine, "echo_async", ["x"]) == "x"
        assert control(engine, "echo_sync", ["x"]) == "x"
        assert control(engine, "label") == "a fake engine"
      end

      test "50 processes share one event loop", %{engine: engine} do
        ids =
          1..50
          |> Enum.map(fn _ -> Task.async(fn -> control(engine, "loop_id") end) end)
          |> Task.await_many(:infinity)

        assert [_one] = Enum.uniq(ids)
      end

      test "each of 1,000 calls at once gets its own answer", %{engine: engine} do
        results =
          1..1000
          |> Enum.map(fn n -> Task.async(fn -> {n, Vllm.call(engine, "echo", [n])} end) end)
          |> Task.await_many(:infinity)

        assert Enum.all?(results, fn {n, result} -> result == {:ok, n} end)
      end

      @tag :tmp_dir
      test "a call that blocks in Python delays no other", %{engine: engine, tmp_dir: dir} do
        open = Path.join(dir, "open")

        blocking =
          for _ <- 1..20, do: Task.async(fn -> control(engine, "block_until", [open]) end)

        # Were it delayed, there would be no answer: it blocks until the file is there.
        assert control(engine, "echo", [1]) == 1
        assert Enum.map(blocking, &Task.yield(&1, 0)) == List.duplicate(nil, 20)
        File.touch!(open)
        assert Task.await_many(blocking, :infinity) == List.duplicate("unblocked", 20)
      end

      test "an unknown keyword and an unknown method are refused by name", %{engine: engine} do
        assert {:error, %Error{kind: :invalid} = error} = Vllm.call(engine, "sleep", [], levle: 2)

        assert error.message =~ "levle"
        assert {:error, %Error{kind: :not_found} = error} = Vllm.call(engine, "slepe")
        assert error.message =~ "slepe"
        assert control(engine, "echo", [1]) == 1
      end

      test "private and dunder names are refused", %{engine: engine} do
        for name <- ["_calls", "__class__", "__init__", "_die", "a.b", ""] do
          assert {:error, %Error{kind: kind}} = Vllm.call(engine, name)
          assert kind in [:not_found, :unsupported, :invalid]
        end
      end

      test "an exception keeps its type, message, traceback and cause", %{engine: engine} do
        assert {:error, %Error{} = error} =
                 Vllm.call(engine, "raise_", ["RuntimeError", "outer", ["ValueError", "inner"]])

        assert error.kind == :python
        assert error.type =~ "RuntimeError"
        assert error.message =~ "outer"
        assert error.traceback =~ "Traceback"
        assert error.cause.type =~ "ValueError"
        assert Exception.message(error) =~ "inner"
      end

      test "an exception in any method does not end the session", %{engine: engine} do
        for {method, args} <- [
              {"check_health", []},
              {"sleep", []},
              {"wake_up", []},
              {"is_sleeping", []},
              {"pause_generation", []},
              {"resume_generation", []},
              {"reset_prefix_cache", []},
              {"list_loras", []},
              {"abort", ["x"]},
              {"get_tokenizer", []}
            ] do
          control(engine, "inject", [method, %{"error" => ["KeyError", "injected"]}])
          assert {:error, %Error{} = error} = Vllm.call(engine, method, args)
          assert error.type =~ "KeyError", "#{method}: #{inspect(error)}"
          control(engine, "inject", [method, nil])
        end

        assert control(engine, "echo", [1]) == 1
      end

      test "a deadline ends a call that hangs", %{engine: engine} do
        result = Vllm.call(engine, "wait_forever", [], rpc: [timeout: 50])
        assert {:error, %Error{kind: :timeout, message: message}} = result
        assert message =~ "50 ms"
      end

      test "a dead engine is an error of its own kind", %{engine: engine} do
        task = Task.async(fn -> AsyncLLM.generate(engine, "x", endless(), request_id()) end)
        {:ok, _stream} = Task.await(task, :infinity)
        Vllm.call(engine, "die")
        assert {:error, %Error{kind: :engine_dead}} = AsyncLLM.check_health(engine)
        assert AsyncLLM.errored(engine) == {:ok, true}
      end

      test "building an engine that cannot be built gives the reason", %{instance: instance} do
        config = %{"fake" => %{"build_error" => ["ValueError", "no such model"]}}

        assert {:error, %Error{} = error} =
                 AsyncLLM.from_engine_args(instance, model: "x", additional_config: config)

        assert error.message =~ "no such model"

        assert {:error, %Error{kind: :invalid} = error} =
                 AsyncLLM.from_engine_args(instance, modle: "x")

        assert error.message =~ "modle"
      end

      test "status shows worker and client", %{instance: instance} do
        assert {:ok, %{"pid" => pid, "client" => %{pid: pid, calls: 0}}} = Vllm.status(instance)
      end
    end
  end
end
