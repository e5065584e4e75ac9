defmodule Vllm.RealEngine.CallsTest do
  use Vllm.VllmEngine, engine: :scripted

  describe "properties" do
    test "of an engine are read like methods", %{engine: engine} do
      assert AsyncLLM.is_running(engine) == {:ok, true}
      assert AsyncLLM.errored(engine) == {:ok, false}
      assert Vllm.call(engine, :is_stopped) == {:ok, false}
      assert Vllm.call(engine, "is_running") == {:ok, true}
      assert AsyncLLM.check_health(engine) == {:ok, nil}
    end

    test "may be exceptions, which are returned as values", %{engine: engine} do
      assert {:ok, %Error{kind: :engine_dead} = error} = Vllm.call(engine, :dead_error)
      assert error.type == "vllm.v1.engine.exceptions.EngineDeadError"
      assert error.message =~ "EngineCore encountered an issue"
    end
  end

  describe "the tokenizer" do
    setup %{engine: engine} do
      {:ok, tokenizer} = AsyncLLM.get_tokenizer(engine)
      %{tokenizer: tokenizer}
    end

    test "encodes and decodes", %{tokenizer: tokenizer} do
      for text <- ["Hello", "say Hello", "naïve 日本 🙂 \0", ""] do
        assert {:ok, ids} = Vllm.call(tokenizer, :encode, [text])
        assert Vllm.call(tokenizer, "decode", [ids]) == {:ok, text}
        assert Vllm.call(tokenizer, :encode, text: text, add_special_tokens: false) == {:ok, ids}
      end
    end

    test "renders a chat", %{tokenizer: tokenizer} do
      messages = [%{role: "user", content: "Hello"}]
      assert {:ok, text} = Vllm.call(tokenizer, :apply_chat_template, [messages], tokenize: false)
      assert text =~ "Hello"
    end

    @template "{% for message in messages %}{{ message['content'] }}{% endfor %}"

    test "renders a chat as a map of ids, or of tensors", %{tokenizer: tokenizer} do
      {:ok, ids} = Vllm.call(tokenizer, :encode, ["Hello"])
      mask = List.duplicate(1, length(ids))
      count = length(ids)

      render =
        &Vllm.call(tokenizer, :apply_chat_template, [[%{role: "user", content: "Hello"}]], &1)

      # Today's transformers returns a mapping of a class of its own.
      for options <- [[], [return_dict: true]] do
        assert {:ok, %{"input_ids" => ^ids, "attention_mask" => ^mask}} =
                 render.([chat_template: @template, tokenize: true] ++ options)
      end

      for kind <- ["np", "pt"] do
        options = [chat_template: @template, tokenize: true, return_dict: true]
        assert {:ok, %{"input_ids" => tensor}} = render.(options ++ [return_tensors: kind])
        assert %Vllm.Tensor{dtype: "int64", shape: [1, ^count]} = tensor
        assert Vllm.Tensor.to_list(tensor) == [ids]
      end

      options = [chat_template: @template, tokenize: true, return_dict: false]
      assert render.(options) == {:ok, ids}
    end

    test "has fields", %{tokenizer: tokenizer} do
      assert {:ok, "</s>"} = Vllm.call(tokenizer, :eos_token)
      assert {:ok, id} = Vllm.call(tokenizer, :eos_token_id)
      assert is_integer(id)
      assert {:ok, size} = Vllm.call(tokenizer, :vocab_size)
      assert size > 256
    end

    test "can be called from another process", %{tokenizer: tokenizer} do
      task = Task.async(fn -> Vllm.call(tokenizer, :encode, ["Hello"]) end)
      assert {:ok, [_ | _]} = Task.await(task, :infinity)
    end

    test "returns :stale_ref after its release", %{tokenizer: tokenizer} do
      assert Vllm.release(tokenizer) == :ok
      assert Vllm.release(tokenizer) == :ok
      assert {:error, %Error{kind: :stale_ref}} = Vllm.call(tokenizer, :encode, ["Hello"])
    end

    test "returns its own errors", %{tokenizer: tokenizer} do
      assert {:error, %Error{} = error} = Vllm.call(tokenizer, :decode, ["no ids"])
      assert error.type =~ ~r/\A(builtins\.)?[A-Z]\w+Error\z/ or error.type =~ "."
      assert {:error, %Error{kind: :not_found}} = Vllm.call(tokenizer, :no_such_method)
    end
  end

  describe "sleep and wake_up" do
    test "mean the same in all spellings", %{engine: engine} do
      for sleep <- [
            fn -> Vllm.call(engine, :sleep) end,
            fn -> Vllm.call(engine, :sleep, [1]) end,
            fn -> Vllm.call(engine, "sleep", level: 1) end,
            fn -> Vllm.call(engine, :sleep, [1], []) end,
            fn -> Vllm.call(engine, :sleep, [1], mode: "abort") end,
            fn -> Vllm.call(engine, :sleep, [], level: 1, mode: "abort") end
          ] do
        assert Vllm.call(engine, :is_sleeping) == {:ok, false}
        assert sleep.() == {:ok, nil}
        assert Vllm.call(engine, :is_sleeping) == {:ok, true}
        assert Vllm.call(engine, :wake_up) == {:ok, true}
      end

      assert_well(engine)
    end

    test "end requests in flight with abort", %{engine: engine} do
      # Paused, so that the request is still there when sleep comes.
      assert Vllm.call(engine, :pause_generation, mode: "keep") == {:ok, nil}
      stream = generate(engine, "count", endless())
      assert Vllm.call(engine, :sleep) == {:ok, nil}

      assert %{finished: true, outputs: [%{finish_reason: "abort"}]} =
               stream |> Enum.to_list() |> List.last()

      assert Vllm.call(engine, :wake_up, [], tags: ["weights"]) == {:ok, false}
      assert Vllm.call(engine, :wake_up, tags: ["kv_cache"]) == {:ok, true}
      assert_well(engine)
    end
  end

  test "a paused engine keeps its requests, and goes on", %{engine: engine} do
    stream =
      generate(engine, "count", temperature: 0.0, max_tokens: 400, output_kind: :FINAL_ONLY)

    assert Vllm.call(engine, :pause_generation, mode: "keep") == {:ok, nil}
    assert Vllm.call(engine, :is_paused) == {:ok, true}
    assert Vllm.call(engine, :resume_generation) == {:ok, nil}
    assert {:ok, output} = Stream.collect(stream)
    assert text(output) == counting(400)
  end

  test "results have Elixir's types", %{engine: engine} do
    assert Vllm.call(engine, :get_supported_tasks) == {:ok, {"generate"}}
    assert Vllm.call(engine, :get_num_unfinished_requests) == {:ok, 0}
    assert Vllm.call(engine, :reset_prefix_cache) == {:ok, true}
    assert Vllm.call(engine, :is_tracing_enabled) == {:ok, false}
    assert Vllm.call(engine, :do_log_stats) == {:ok, nil}
    assert {:ok, %{"total_engines" => 1}} = Vllm.call(engine, :get_status)
  end

  test "collective_rpc passes on timeout, args and kwargs", %{engine: engine} do
    assert Vllm.call(engine, :collective_rpc, ["check_health"]) == {:ok, [nil]}

    assert {:ok, [text]} =
             Vllm.call(engine, :collective_rpc, ["get_model_inspection"], timeout: 60)

    assert text =~ "Llama"

    opts = [args: [], kwargs: %{"overrides" => %{}}]
    assert Vllm.call(engine, :collective_rpc, ["update_config", 60.0], opts) == {:ok, [nil]}
    assert_well(engine)
  end

  test "unknown methods and keywords are refused by their names", %{engine: engine} do
    assert {:error, %Error{kind: :not_found} = error} = Vllm.call(engine, :no_such_method)
    assert error.message =~ "no_such_method"
    assert error.details["method"] == "no_such_method"

    assert {:error, %Error{kind: :invalid} = error} = Vllm.call(engine, :sleep, levle: 1)
    assert error.message =~ "levle"
    assert error.message =~ "level"
    assert error.details["parameter"] == "levle"

    assert {:error, %Error{kind: :invalid}} = Vllm.call(engine, :sleep, [1, "abort", 3])
    assert {:error, %Error{kind: :invalid}} = Vllm.call(engine, :is_running, [1])
  end

  test "private names are refused", %{engine: engine} do
    for name <- ~w(__class__ __dict__ engine_core output_processor
                   model_config renderer __init__ a.b) do
      assert {:error, %Error{kind: :not_found} = error} = Vllm.call(engine, name)
      assert error.message =~ name
    end
  end

  test "50 processes call one engine at once", %{engine: engine} do
    1..50
    |> Enum.map(fn n ->
      Task.async(fn ->
        assert Vllm.call(engine, :is_sleeping) == {:ok, false}
        text(complete(engine, "count", temperature: 0.0, max_tokens: n))
      end)
    end)
    |> Task.await_many(:infinity)
    |> Enum.with_index(1)
    |> Enum.each(fn {said, n} -> assert said == counting(n) end)
  end

  test "inspecting a reference makes no call and shows its type", %{engine: engine} do
    assert inspect(engine) =~ "AsyncLLM"
  end

  test "the worker's status lists its engines", %{engine: engine} do
    assert {:ok, status} = Vllm.status(instance())
    assert status["vllm_version"] =~ ~r/^\d+\.\d+/

    listed = Enum.find(status["engines"], &(&1["ref"] == engine.id))
    assert %{"errored" => false, "unfinished_requests" => 0} = listed
    assert %{"token_path" => "direct", "token_path_reason" => nil} = listed
  end
end
