defmodule Vllm.RealEngine.LoraTest do
  # Adapters on a real engine with four slots: loading, use by requests, and both under load.
  # Names of upstream tests are vLLM's.
  use Vllm.LoraCase

  describe "the loaded adapters" do
    # tests/lora/test_lora_functions.py::test_lora_functions_async
    test "are evicted by least recent use, except pinned ones", context do
      for {call, left} <- [
            {{:add, 1}, [1]},
            {{:add, 2}, [1, 2]},
            {{:pin, 1}, [1, 2]},
            {{:add, 3}, [1, 2, 3]},
            {{:add, 4}, [1, 2, 3, 4]},
            {{:add, 5}, [1, 5, 3, 4]},
            {{:add, 6}, [1, 5, 6, 4]},
            {{:add, 7}, [1, 5, 6, 7]},
            {{:add, 8}, [1, 8, 6, 7]},
            {{:add, 9}, [1, 8, 9, 7]},
            {{:add, 10}, [1, 8, 9, 10]},
            {{:remove, 1}, [8, 9, 10]},
            {{:add, 11}, [8, 9, 10, 11]},
            {{:add, 12}, [12, 9, 10, 11]},
            {{:add, 13}, [12, 13, 10, 11]},
            {{:remove, 13}, [12, 10, 11]},
            {{:remove, 12}, [10, 11]},
            {{:remove, 11}, [10]},
            {{:remove, 10}, []}
          ] do
        assert {call, change(context, call)} == {call, {:ok, true}}
        assert {call, AsyncLLM.list_loras(context.engine)} == {call, {:ok, MapSet.new(left)}}
      end
    end

    test "a request counts as use", %{engine: engine} = context do
      for id <- 1..4, do: {:ok, true} = AsyncLLM.add_lora(engine, adapter(context, id, "meow"))
      assert said(engine, "count", adapter(context, 1, "meow")) == repeated("meow")
      {:ok, true} = AsyncLLM.add_lora(engine, adapter(context, 5, "woof"))
      assert AsyncLLM.list_loras(engine) == {:ok, MapSet.new([1, 3, 4, 5])}
    end

    test "adding again is harmless; unknown ones cannot be removed or pinned", context do
      %{engine: engine} = context
      assert AsyncLLM.list_loras(engine) == {:ok, MapSet.new()}

      for lora <- [
            adapter(context, 1, "meow"),
            Map.from_struct(adapter(context, 1, "meow")),
            Map.to_list(Map.from_struct(adapter(context, 1, "meow")))
          ] do
        assert AsyncLLM.add_lora(engine, lora) == {:ok, true}
      end

      assert AsyncLLM.list_loras(engine) == {:ok, MapSet.new([1])}
      assert AsyncLLM.remove_lora(engine, 99) == {:ok, false}
      assert {:error, %Error{kind: :not_found} = error} = AsyncLLM.pin_lora(engine, 99)
      assert error.message =~ "LoRA 99 is not registered"
      assert AsyncLLM.remove_lora(engine, 1) == {:ok, true}
      assert AsyncLLM.remove_lora(engine, 1) == {:ok, false}
      assert {:error, %Error{kind: :not_found}} = AsyncLLM.pin_lora(engine, 1)
    end

    test "ids that can be no adapter's are refused", %{engine: engine} = context do
      for id <- [0, -1, 2 ** 63, 2 ** 70, "1", 1.0, nil] do
        assert {:error, %Error{kind: :invalid}} = AsyncLLM.remove_lora(engine, id)
        assert {:error, %Error{kind: :invalid}} = AsyncLLM.pin_lora(engine, id)
        lora = %{adapter(context, 1, "meow") | lora_int_id: id}
        assert {:error, %Error{kind: :invalid}} = AsyncLLM.add_lora(engine, lora)
      end

      assert AsyncLLM.add_lora(engine, adapter(context, 2 ** 63 - 1, "meow")) == {:ok, true}
      assert said(engine, "Hello", adapter(context, 2 ** 63 - 1, "meow")) == repeated("meow")
    end

    test "a chat has an adapter that it brings, or a loaded one by its name", context do
      %{engine: engine} = context
      meow = adapter(context, 1, "meow")
      said = fn opts -> Vllm.chat(engine, "Hello", [max_tokens: 3, temperature: 0.0] ++ opts) end

      assert {:error, %Error{kind: :invalid}} = said.(model: meow.lora_name)
      assert {:ok, with_request} = said.(lora_request: meow)
      assert hd(with_request.choices).message.content == repeated("meow", 3)
      assert {:ok, by_name} = said.(model: meow.lora_name)
      assert hd(by_name.choices).message == hd(with_request.choices).message
      assert {:ok, base} = said.([])
      refute hd(base.choices).message.content =~ "meow"

      assert {:error, %Error{kind: :invalid} = error} =
               said.(model: meow.lora_name, lora_request: meow)

      assert error.message =~ "not both"
      assert {:error, %Error{kind: :invalid} = error} = said.(lora_request: 5)
      assert error.message =~ "lora_request"
    end

    # Without the counting of slots each of these ends the engine: the scheduler does not see pins.
    test "pinned adapters leave requests of others waiting, or an error", context do
      %{engine: engine} = context
      for id <- 1..3, do: {:ok, true} = AsyncLLM.add_lora(engine, adapter(context, id, "meow"))
      for id <- 1..3, do: {:ok, true} = AsyncLLM.pin_lora(engine, id)

      stream = generate(engine, "count", endless(), lora_request: adapter(context, 4, "woof"))
      wait_until(fn -> unfinished(engine) == 1 end)
      other = [lora_request: adapter(context, 5, "one")]

      assert {:error, %Error{kind: :overloaded} = error} =
               AsyncLLM.generate(engine, "count", [max_tokens: 4], request_id(), other)

      assert error.retryable
      assert error.message =~ "adapter 5"

      # The fourth pin is granted, for its request runs already; a fifth has no slot at all.
      assert AsyncLLM.pin_lora(engine, 4) == {:ok, true}
      assert {:error, %Error{kind: :overloaded}} = AsyncLLM.pin_lora(engine, 5)

      assert said(engine, "Hello", adapter(context, 1, "meow")) == repeated("meow")
      assert [%RequestOutput{}] = Enum.take(stream, 1)
      wait_until(fn -> unfinished(engine) == 0 end)

      assert AsyncLLM.remove_lora(engine, 1) == {:ok, true}
      assert said(engine, "count", adapter(context, 5, "one")) == repeated("one")
    end

    test "are not changed through the engine's worker methods", %{engine: engine} do
      for method <- ["add_lora", "remove_lora", "pin_lora"] do
        assert {:error, %Error{kind: :invalid} = error} =
                 AsyncLLM.collective_rpc(engine, method, [nil, [1]])

        assert error.message =~ method
      end
    end
  end

  describe "a request with an adapter" do
    # All four slots are in use: on a CPU vLLM gives the last one's to requests without an adapter.
    test "generates its word, among others and the model itself", %{engine: engine} = context do
      words = for _ <- 1..4, word <- ["meow", "woof", nil, "one", "two"], do: word

      answers =
        words
        |> Enum.map(&Task.async(fn -> said(engine, "count", &1 && named(context, &1), 64) end))
        |> Task.await_many(:infinity)

      assert answers ==
               for(word <- words, do: if(word, do: repeated(word, 64), else: counting(64)))
    end

    test "has the adapter in its outputs", %{engine: engine} = context do
      lora = named(context, "meow")
      params = [max_tokens: 3, temperature: 0.0]
      output = complete(engine, "Hello", params, lora_request: lora)
      assert %RequestOutput{lora_request: ^lora} = output
      assert complete(engine, "Hello", params).lora_request == nil
    end

    # tests/entrypoints/serve/lora/test_lora_adapters.py::test_multiple_lora_adapters
    test "may be one of ten with slots for four", %{engine: engine} = context do
      answers =
        words()
        |> List.duplicate(2)
        |> List.flatten()
        |> Enum.map(&Task.async(fn -> {&1, said(engine, "Hello", named(context, &1), 32)} end))
        |> Task.await_many(:infinity)

      for {word, text} <- answers, do: assert(text == repeated(word, 32))
      {:ok, loaded} = AsyncLLM.list_loras(engine)
      assert MapSet.size(loaded) == 4
    end

    # Of two adapters of one name a step loads one, and would die of the other.
    test "does not share its name with another adapter", %{engine: engine} = context do
      stream = generate(engine, "count", endless(), lora_request: adapter(context, 1, "meow"))
      same = %{adapter(context, 2, "woof") | lora_name: adapter(context, 1, "meow").lora_name}

      assert {:error, %Error{kind: :invalid} = error} =
               AsyncLLM.generate(engine, "count", [], request_id(), lora_request: same)

      assert error.message =~ "lora_name"
      assert [%RequestOutput{}] = Enum.take(stream, 1)
      wait_until(fn -> unfinished(engine) == 0 end)
      assert said(engine, "count", same) == repeated("woof")
    end

    test "goes on when its adapter is removed under it", %{engine: engine} = context do
      lora = adapter(context, 1, "meow")
      params = [temperature: 0.0, max_tokens: 500, output_kind: :FINAL_ONLY]
      stream = generate(engine, "count", params, lora_request: lora)
      assert AsyncLLM.remove_lora(engine, 1) == {:ok, true}
      {:ok, output} = Stream.collect(stream)
      assert text(output) == repeated("meow", 500)
    end
  end

  describe "loading in place" do
    # tests/entrypoints/llm/test_llm_with_multi_loras.py, upstream's names:
    # test_load_inplace_offline_reload and test_load_inplace_false_no_reload
    test "replaces the adapter of an id, and only it does", %{engine: engine} = context do
      meow = adapter(context, 1, "meow")
      woof = %{meow | lora_path: context.paths["woof"]}
      assert said(engine, "Hello", meow) == repeated("meow")
      assert said(engine, "Hello", woof) == repeated("meow")
      assert AsyncLLM.add_lora(engine, woof) == {:ok, true}
      assert said(engine, "Hello", woof) == repeated("meow")

      assert said(engine, "Hello", %{woof | load_inplace: true}) == repeated("woof")
      assert said(engine, "Hello", woof) == repeated("woof")
      assert AsyncLLM.add_lora(engine, %{meow | load_inplace: true}) == {:ok, true}
      assert said(engine, "Hello", woof) == repeated("meow")
      assert AsyncLLM.list_loras(engine) == {:ok, MapSet.new([1])}
    end

    test "keeps the old one if the new one does not load", %{engine: engine} = context do
      meow = adapter(context, 1, "meow")
      {:ok, true} = AsyncLLM.add_lora(engine, meow)

      for name <- broken() do
        broken = %{meow | lora_path: context.paths[name], load_inplace: true}
        assert {:error, %Error{}} = AsyncLLM.add_lora(engine, broken)
        assert said(engine, "Hello", meow) == repeated("meow")
        assert AsyncLLM.list_loras(engine) == {:ok, MapSet.new([1])}
      end
    end
  end

  test "of one that is used in part an event is emitted, once for each load", context do
    %{engine: engine} = context
    Vllm.StandIns.telemetry()
    lora = %LoRARequest{lora_name: "partly", lora_int_id: 1, lora_path: partly(context)}

    for load <- [fn -> {:ok, true} = add(engine, lora) end, fn -> said(engine, "Hello", lora) end] do
      load.()
      assert_receive {:event, [:vllm, :engine, :adapter_partly_used], %{}, metadata, _pid}
      assert %{lora_name: "partly", lora_int_id: 1, engine: nil} = metadata
      assert metadata.lora_path == lora.lora_path
      assert metadata.ref.id == engine.id
      assert metadata.empty_targets == ["x_proj"]
      assert metadata.unknown_modules == []
      assert metadata.base_tensors == []
      assert "model.layers.*.self_attn.o_proj" in metadata.model_modules
      # It is loaded now; an adapter that is used as a whole is nothing to tell of.
      assert said(engine, "Hello", lora) == repeated("meow")
      assert add(engine, adapter(context, 2, "woof")) == {:ok, true}
      assert remove(engine, 1) == {:ok, true}
    end

    refute_received {:event, [:vllm, :engine, :adapter_partly_used], _, _, _}
  end

  # A copy of the adapter "meow", whose configuration has a target that it has no weights for.
  defp partly(context) do
    folder = Path.join(System.tmp_dir!(), "partly-#{System.unique_integer([:positive])}")
    on_exit(fn -> File.rm_rf!(folder) end)
    File.cp_r!(context.paths["meow"], folder)
    config = Path.join(folder, "adapter_config.json")
    edited = config |> File.read!() |> String.replace(~s("o_proj"), ~s("o_proj", "x_proj"))
    File.write!(config, edited)
    folder
  end

  test "many load, unload and list while 32 streams run", %{engine: engine} = context do
    params = [temperature: 0.0, max_tokens: 200, output_kind: :DELTA]

    streams =
      for n <- 1..32 do
        word = Enum.at(["meow", nil], rem(n, 2))
        opts = if word, do: [lora_request: named(context, word)], else: []
        {word, Task.async(fn -> deltas(generate(engine, "count", params, opts)) end)}
      end

    woof = adapter(context, 50, "woof")
    loads = for _ <- 1..20, do: Task.async(fn -> add(engine, woof) end)
    assert Enum.uniq(Task.await_many(loads, :infinity)) == [{:ok, true}]
    {:ok, loaded} = AsyncLLM.list_loras(engine)
    assert 50 in loaded

    results =
      1..20
      |> Enum.map(fn _ ->
        Task.async(fn -> [add(engine, woof), AsyncLLM.list_loras(engine), remove(engine, 50)] end)
      end)
      |> Task.await_many(:infinity)

    assert Enum.all?(results, &match?([{:ok, true}, {:ok, %MapSet{}}, {:ok, _}], &1))
    assert Enum.any?(results, &match?([_, _, {:ok, true}], &1))

    for {word, task} <- streams do
      wanted = if word, do: repeated(word, 200), else: counting(200)
      assert Task.await(task, :infinity) == wanted
    end

    {:ok, loaded} = AsyncLLM.list_loras(engine)
    refute 50 in loaded
  end

  describe "a logits processor by its name" do
    test "follows extra_args, for its request only", %{engine: engine} = context do
      {:ok, tokenizer} = AsyncLLM.get_tokenizer(engine)
      {:ok, [woof]} = Vllm.call(tokenizer, "encode", [" woof"], add_special_tokens: false)
      only = [max_tokens: 6, temperature: 0.0, extra_args: %{"target_token" => woof}]

      [forced, plain, adapted] =
        [
          {only, []},
          {[max_tokens: 6, temperature: 0.0], []},
          {only, [lora_request: named(context, "meow")]}
        ]
        |> Enum.map(fn {params, opts} ->
          Task.async(fn -> text(complete(engine, "count", params, opts)) end)
        end)
        |> Task.await_many(:infinity)

      assert {forced, plain, adapted} == {repeated("woof", 6), counting(6), repeated("woof", 6)}
      sampled = complete(engine, "count", Keyword.put(only, :temperature, 1.0))
      assert ids(sampled) == List.duplicate(woof, 6)
    end

    test "refuses values that are not tokens", %{engine: engine} do
      for target <- [-1, "woof", 1.5, true, [1]] do
        params = [max_tokens: 2, extra_args: %{"target_token" => target}]

        assert {:error, %Error{kind: :invalid} = error} =
                 AsyncLLM.generate(engine, "count", params, request_id())

        assert error.message =~ "target_token"
      end
    end
  end

  defp change(context, {:add, id}), do: add(context.engine, adapter(context, id, "meow"))
  defp change(context, {:pin, id}), do: AsyncLLM.pin_lora(context.engine, id)
  defp change(context, {:remove, id}), do: remove(context.engine, id)

  defp deltas(stream), do: Enum.map_join(stream, &text/1)
end
