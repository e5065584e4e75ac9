defmodule Vllm.RealEngine.AdmissionTest do
  # An engine that admits two requests at a time, and whose processes can be made to fail.
  use Vllm.VllmEngine, engine: :faulty

  import Vllm.Followed, only: [finish_reason: 1, tokens: 1]

  @greedy [temperature: 0.0, max_tokens: 16]

  setup %{engine: engine} do
    on_exit(fn ->
      {:ok, nil} = AsyncLLM.resume_generation(engine)
      assert_well(engine)
    end)
  end

  describe "a full queue" do
    setup %{engine: engine} do
      {:ok, nil} = AsyncLLM.pause_generation(engine, mode: "keep")
      :ok
    end

    # tests/v1/engine/test_admission_control.py::test_admission_reqs_rejects_at_limit
    test "refuses requests beyond its limit, and accepts requests afterwards", %{engine: engine} do
      streams = for _ <- 1..2, do: generate(engine, "Hello", @greedy)
      # The word is one token of the model's.
      assert AsyncLLM.get_num_queued_tokens(engine) == {:ok, 2}

      for refused <- [
            AsyncLLM.generate(engine, "Hello", @greedy, request_id()),
            AsyncLLM.add_request(engine, request_id(), "Hello", @greedy),
            AsyncLLM.check_admission(engine)
          ] do
        assert {:error, %Error{kind: :overloaded, retryable: true} = error} = refused
        assert error.type == "vllm.exceptions.QueueOverflowError"
        assert Exception.message(error) =~ "Safe to retry"
      end

      assert unfinished(engine) == 2
      assert AsyncLLM.resume_generation(engine) == {:ok, nil}
      for stream <- streams, do: assert({:ok, %{finished: true}} = Stream.collect(stream))
      assert text(complete(engine, "Hello", @greedy)) == hello()
    end

    # test_admission_control.py::test_parallel_admission_is_all_or_nothing
    test "accepts a request for several completions as a whole or not at all", %{engine: engine} do
      three = [n: 3, max_tokens: 5]

      assert {:error, %Error{kind: :overloaded}} =
               AsyncLLM.generate(engine, "Hello", three, request_id())

      assert unfinished(engine) == 0
      assert AsyncLLM.check_admission(engine, [2]) == {:ok, nil}
      assert {:error, %Error{kind: :overloaded}} = AsyncLLM.check_admission(engine, n: 3)

      stream = generate(engine, "Hello", n: 2, max_tokens: 5)
      assert {:error, %Error{kind: :overloaded}} = AsyncLLM.check_admission(engine, [1, "one"])
      assert AsyncLLM.resume_generation(engine) == {:ok, nil}
      assert {:ok, %{outputs: [_, _]}} = Stream.collect(stream)
    end
  end

  describe "a request that fails on the way" do
    # tests/v1/engine/test_add_request_rollback.py::test_async_add_request_rolls_back_on_encode_overflow
    test "to EngineCore is not counted", %{engine: engine} do
      for priority <- [2 ** 64, -(2 ** 64)] do
        opts = [priority: priority]

        for refused <- [
              AsyncLLM.generate(engine, "Hello", @greedy, request_id(), opts),
              AsyncLLM.add_request(engine, request_id(), "Hello", @greedy, opts)
            ] do
          assert {:error, %Error{kind: :invalid} = error} = refused
          assert error.message =~ "priority"
          assert unfinished(engine) == 0
        end
      end
    end

    # tests/v1/engine/test_preprocess_error_handling.py::test_preprocess_error_handling
    test "to the scheduler ends with an error of its own", %{engine: engine} do
      unlucky = %{prompt: "Hello", cache_salt: "unlucky"}
      items = engine |> generate(unlucky, @greedy) |> Enum.to_list()
      assert [%RequestOutput{finished: true}] = items
      assert {finish_reason(items), tokens(items)} == {"error", []}

      lucky = %{prompt: "Hello", cache_salt: "lucky"}
      assert text(complete(engine, lucky, @greedy)) == hello()
    end
  end

  describe "collective_rpc" do
    # tests/entrypoints/rpc/test_collective_rpc.py::test_get_model_name
    test "calls the methods of the worker extension", %{engine: engine} do
      assert AsyncLLM.collective_rpc(engine, "model_name") == {:ok, [model(:scripted)]}
      assert AsyncLLM.collective_rpc(engine, "nothing") == {:ok, [nil]}
    end

    # test_collective_rpc.py::test_echo_args_kwargs
    test "passes timeout, args and kwargs intact", %{engine: engine} do
      args = [1, "two", [3.5, nil], %{"four" => [true]}]
      kwargs = %{"five" => 5, "six" => %{"seven" => "8"}}

      for call <- [
            fn -> AsyncLLM.collective_rpc(engine, "echo", [nil, List.to_tuple(args), kwargs]) end,
            fn -> AsyncLLM.collective_rpc(engine, "echo", [60.0, args], kwargs: kwargs) end,
            fn -> AsyncLLM.collective_rpc(engine, "echo", args: args, kwargs: kwargs) end,
            fn ->
              AsyncLLM.collective_rpc(engine, "echo", [], timeout: 60, args: args, kwargs: kwargs)
            end
          ] do
        assert call.() == {:ok, [[args, kwargs]]}
      end

      assert AsyncLLM.collective_rpc(engine, "echo") == {:ok, [[[], %{}]]}
    end

    test "returns the error that the worker raised", %{engine: engine} do
      assert {:error, %Error{kind: :engine_error} = error} =
               AsyncLLM.collective_rpc(engine, "fail", args: {"for this reason"})

      assert error.message =~ "for this reason"
    end

    test "refuses arguments that would end the engine", %{engine: engine} do
      assert {:error, %Error{} = error} = AsyncLLM.collective_rpc(engine, "unsendable")
      assert error.message =~ "cannot be sent"
      assert_well(engine)
    end

    # A name is all that is taken: no callable, no pickle, nothing private or of the worker's own.
    test "refuses methods that are not served", %{engine: engine} do
      for name <-
            ~w(__class__ __init__ __reduce__ _echo execute_model shutdown init_device
                     get_kv_cache_spec get_model apply_model model_runner echo.__call__ no_such) ++
              ["", "echo ", "echo\0"] do
        assert {:error, %Error{kind: :invalid} = error} = AsyncLLM.collective_rpc(engine, name)
        assert error.details["parameter"] == "method"
      end

      for callable <- [%Vllm.Bytes{data: <<128, 4, 78, 46>>}, nil, 7, ["echo"], engine] do
        assert {:error, %Error{kind: kind}} = AsyncLLM.collective_rpc(engine, callable)
        assert kind in [:invalid, :unsupported]
      end
    end

    test "ends at its timeout, and the engine goes on", %{engine: engine} do
      assert {:error, %Error{kind: :timeout}} =
               AsyncLLM.collective_rpc(engine, "linger", [0.05], args: [1.0])

      assert {:error, %Error{kind: :timeout}} =
               AsyncLLM.collective_rpc(engine, "linger", args: [0.3], rpc: [timeout: 50])

      assert AsyncLLM.collective_rpc(engine, "echo", args: [1]) == {:ok, [[[1], %{}]]}
    end
  end
end
