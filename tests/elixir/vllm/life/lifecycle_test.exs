defmodule Vllm.RealEngine.LifecycleTest do
  # What becomes of an engine that is built, used and shut down beside another that goes on.
  use Vllm.VllmEngine, engine: :divided

  test "an engine loads while another generates, and ends without affecting it", %{engine: engine} do
    loading = Task.async(fn -> build(:random) end)

    # Requests of the other engine go through, one after the other, the whole time.
    answered = answer_until_done(engine, loading, 0)
    {:ok, second} = Task.await(loading, :infinity)
    assert answered > 0
    assert second.id != engine.id

    # Requests in flight end with abort; the other engine's do not.
    going_on = generate(engine, "count", temperature: 0.0, max_tokens: 1000)

    aborted =
      for _ <- 1..4, do: generate(second, "Hello", max_tokens: 250, ignore_eos: true, n: 8)

    assert AsyncLLM.shutdown(second) == {:ok, nil}

    for stream <- aborted do
      case Stream.collect(stream) do
        {:ok, output} ->
          assert output.finished
          assert Enum.all?(output.outputs, &(&1.finish_reason in ["abort", "length"]))

        {:error, error} ->
          assert error.kind == :engine_dead
      end
    end

    assert {:ok, output} = Stream.collect(going_on)
    assert text(output) == counting(1000)

    # Shutting down again is harmless; any other call fails.
    assert AsyncLLM.shutdown(second) == {:ok, nil}

    for call <- [
          fn -> AsyncLLM.generate(second, "Hello", [max_tokens: 1], "r") end,
          fn -> AsyncLLM.check_health(second) end,
          fn -> Vllm.call(second, :is_sleeping) end,
          fn -> Vllm.call(second, :is_paused) end
        ] do
      assert {:error, %Error{kind: :engine_dead} = error} = call.()
      assert Exception.message(error) =~ "Build a new engine"
    end

    assert AsyncLLM.is_running(second) == {:ok, false}
    assert AsyncLLM.errored(second) == {:ok, true}
    assert AsyncLLM.abort(second, "r") == {:ok, nil}
    assert_well(engine)
  end

  describe "an engine that cannot start is an error with vLLM's reason" do
    test "when the model does not exist", %{engine: engine} do
      assert {:error, %Error{} = error} =
               AsyncLLM.from_engine_args(instance(), model: "/no/such/model")

      assert error.message =~ "/no/such/model"
      assert_well(engine)
    end

    test "when the context is longer than the model's", %{engine: engine} do
      assert {:error, %Error{kind: :invalid} = error} = build(:divided, max_model_len: 100_000)
      assert error.message =~ "max_model_len"
      assert_well(engine)
    end

    test "when an argument is unknown, or of the wrong type" do
      assert {:error, %Error{kind: :invalid} = error} =
               AsyncLLM.from_engine_args(instance(), modle: "x")

      assert error.message =~ "modle"

      for {name, value} <- [
            model: 7,
            max_model_len: "many",
            enforce_eager: "yes",
            tensor_parallel_size: 1.5,
            dtype: "float31",
            load_format: 3
          ] do
        arguments = Keyword.merge([model: model(:scripted)], [{name, value}])

        assert {:error, %Error{kind: :invalid} = error} =
                 AsyncLLM.from_engine_args(instance(), arguments)

        assert error.message =~ to_string(name)
      end
    end

    test "when the arguments are not a keyword list" do
      for arguments <- [nil, 7, "model", [1], %SamplingParams{}] do
        assert {:error, %Error{kind: :invalid}} = AsyncLLM.from_engine_args(instance(), arguments)
      end
    end
  end

  defp answer_until_done(engine, task, answered) do
    case Task.yield(task, 200) do
      nil ->
        assert text(complete(engine, "Hello", temperature: 0.0)) == hello()
        answer_until_done(engine, task, answered + 1)

      {:ok, result} ->
        send(self(), {task.ref, result})
        answered
    end
  end
end
