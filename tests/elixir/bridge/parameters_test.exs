defmodule Vllm.Bridge.ParametersTest do
  # Parameters are values: the functions of their modules ask the worker, and return structs and maps.
  # vLLM's own rules are tested in tests/python/vllm/test_parameter_classes.py.
  use Vllm.BridgeCase

  alias Vllm.{AsyncEngineArgs, PoolingParams, SamplingParams}

  test "new returns what was given as a struct", %{instance: instance} do
    params = %SamplingParams{max_tokens: 3, stop: "x", output_kind: :DELTA}

    for given <- [params, Map.take(params, [:max_tokens, :stop, :output_kind])] do
      assert SamplingParams.new(instance, given) == {:ok, params}
    end

    assert SamplingParams.new(instance, max_tokens: 3) == {:ok, %SamplingParams{max_tokens: 3}}
    assert SamplingParams.new(instance, [], rpc: [timeout: 5_000]) == {:ok, %SamplingParams{}}
    assert PoolingParams.new(instance, task: "embed") == {:ok, %PoolingParams{task: "embed"}}
    assert {:ok, %AsyncEngineArgs{model: "m"}} = AsyncEngineArgs.new(instance, model: "m")
  end

  test "an update of the struct leaves the first one, as a clone would", %{instance: instance} do
    {:ok, first} = SamplingParams.new(instance, stop: ["a"])
    second = %{first | stop: ["b" | first.stop]}
    assert {first.stop, second.stop} == {["a"], ["b", "a"]}
    assert SamplingParams.new(instance, first) == {:ok, first}
  end

  test "what is refused is named, with its value", %{instance: instance} do
    assert {:error, %Error{kind: :invalid, details: details}} =
             SamplingParams.new(instance, max_tokens: 3, n: 0)

    assert details == %{"parameter" => "sampling_params.n", "value" => 0}

    assert {:error, %Error{kind: :invalid, message: message, details: details}} =
             SamplingParams.new(instance, seed: 1.5)

    assert message == "sampling_params.seed: wants int | None, got float 1.5"
    assert %{"parameter" => "sampling_params.seed", "value" => 1.5} = details

    assert {:error, %Error{kind: :invalid}} =
             SamplingParams.new(instance, %PoolingParams{task: "embed"})

    assert {:error, %Error{kind: :invalid}} = SamplingParams.new(instance, nil)
  end

  test "to_map shows every field", %{instance: instance} do
    assert {:ok, %{"max_tokens" => 3, "temperature" => 1.0, "output_kind" => :CUMULATIVE} = map} =
             SamplingParams.to_map(instance, max_tokens: 3)

    assert map["skip_clone"] == false
  end

  test "what needs vLLM says so on another engine class", %{instance: instance} do
    for call <- [
          fn -> AsyncEngineArgs.parse_cli(instance, ["--max-num-seqs", "4"]) end,
          fn -> Vllm.module_attr(instance, "version", "__version__") end,
          fn -> Vllm.initialize_ray_cluster(engine(instance)) end
        ] do
      assert {:error, %Error{kind: :not_found, message: message}} = call.()
      assert message =~ "needs vLLM"
    end
  end

  test "the version is the one that the worker reports", %{instance: instance} do
    {:ok, status} = Vllm.status(instance)
    assert Vllm.version(instance) == {:ok, status["vllm_version"]}
  end

  test "the earlier name of AsyncLLM makes the same engines", %{instance: instance} do
    assert {:ok, %Ref{type: "AsyncLLM"} = engine} =
             Vllm.AsyncLLMEngine.from_engine_args(instance, model: "fake")

    assert Vllm.AsyncLLMEngine.is_running(engine) == Vllm.AsyncLLM.is_running(engine)
    assert Vllm.AsyncLLMEngine.shutdown(engine) == {:ok, nil}
    names = fn module -> module.__info__(:functions) end
    assert names.(Vllm.AsyncLLMEngine) == names.(Vllm.AsyncLLM)
  end

  test "LLMEngine says what to use instead" do
    for call <- [&Vllm.LLMEngine.from_engine_args/1, &Vllm.LLMEngine.from_vllm_config/1] do
      assert {:error, %Error{kind: :unsupported, message: message}} = call.(model: "fake")
      assert message =~ "Vllm.LLM"
    end
  end
end
