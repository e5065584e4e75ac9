defmodule Vllm.RealEngine.LoraErrorsTest do
  # Adapters that do not load: an error each time and by every way, and nothing of them is left.
  use Vllm.LoraCase, also: [plain: :scripted]

  describe "a bad adapter" do
    @causes %{
      "broken-rank" => {:invalid, "rank 1024 is greater than max_lora_rank 16"},
      "broken-dora" => {:invalid, "DoRA"},
      "broken-modules" => {:invalid, "modules_to_save"},
      "broken-json" => {:invalid, "Expecting property name"},
      "broken-fields" => {:invalid, "Missing required configuration fields"},
      "broken-no-weights" => {:invalid, "doesn't contain tensors"},
      "broken-weights" => {:invalid, "header"},
      "broken-target" => {:invalid, "conv_proj"},
      "broken-width" => {:invalid, "must match"},
      "broken-narrow" => {:invalid, "must match the layer's"},
      "broken-prefix" => {:invalid, "no module of the adapter is one of the model's"},
      "broken-nan" => {:invalid, "o_proj.lora_B.weight[3, 5]: wants a finite number, got nan"},
      "broken-infinity" => {:invalid, "wants a finite number, got inf"},
      "broken-alpha" => {:invalid, "lora_alpha and r in adapter_config.json make the factor nan"},
      "broken-scale" => {:invalid, "make the factor 1.25e+299"},
      "broken-flat" => {:invalid, "want the shapes [rank, inputs] and [outputs, rank]"},
      "broken-half" => {:invalid, "lora_B is missing, only lora_A is there"},
      "broken-pair" => {:invalid, "want the shapes [rank, inputs] and [outputs, rank]"},
      "broken-empty" => {:not_found, "No adapter found"}
    }

    for {name, {kind, cause}} <- @causes do
      test "is an error in every call, and again: #{name}", %{engine: engine} = context do
        lora = adapter(context, 1, unquote(name))

        for _ <- 1..2,
            failed <- [fn -> AsyncLLM.add_lora(engine, lora) end, asking(engine, lora)] do
          assert {:error, %Error{kind: unquote(kind)} = error} = failed.()
          assert error.message =~ unquote(cause)
          assert error.message =~ lora.lora_path
          assert AsyncLLM.list_loras(engine) == {:ok, MapSet.new()}
        end

        # Nothing of it is left: the id is free for a good one.
        assert said(engine, "Hello", adapter(context, 1, "meow")) == repeated("meow")
        for id <- 2..5, do: {:ok, true} = AsyncLLM.add_lora(engine, adapter(context, id, "woof"))
        assert said(engine, "Hello", adapter(context, 1, "meow")) == repeated("meow")
      end
    end

    test "is :not_found without a folder", %{engine: engine} do
      for path <- ["/no/such/adapter", "no/such/adapter", "nothing", "~/no/such/adapter", "."],
          lora = %LoRARequest{lora_name: "lost", lora_int_id: 7, lora_path: path},
          failed <- [fn -> AsyncLLM.add_lora(engine, lora) end, asking(engine, lora)] do
        assert {:error, %Error{kind: :not_found} = error} = failed.()
        assert {path, error.message =~ "lost"} == {path, true}
      end
    end

    test "is refused if the folder holds no adapter", %{engine: engine} = context do
      good = adapter(context, 1, "meow")

      for lora <- [
            %{good | lora_path: ""},
            %{good | lora_path: nil},
            %{good | lora_name: nil},
            %{good | lora_name: 7},
            %{good | lora_int_id: 0},
            %{good | load_inplace: "yes"},
            [lora_name: "a", lora_int_id: 1],
            [lora_name: "a", lora_int_id: 1, lora_paht: "/a"],
            %SamplingParams{},
            "meow",
            7
          ],
          failed <- [fn -> AsyncLLM.add_lora(engine, lora) end, asking(engine, lora)] do
        assert {:error, %Error{kind: :invalid} = error} = failed.()
        assert error.message =~ ~r/lora/
      end

      assert {:error, %Error{kind: :invalid}} = AsyncLLM.add_lora(engine, nil)
      # A name may be empty, and is one nevertheless.
      assert said(engine, "Hello", %{good | lora_name: ""}) == repeated("meow")
    end

    # EngineCore keeps it half loaded until it is removed. A request that came in between was let
    # through, loaded it in a step, and was the end of the engine.
    test "is an error for all requests for it at the same time", %{engine: engine} = context do
      wide = adapter(context, 1, "broken-width")

      for _ <- 1..5 do
        good =
          for word <- ["meow", nil, "woof", nil],
              lora = if(word, do: named(context, word), else: nil) do
            {word, Task.async(fn -> said(engine, "count", lora, 100) end)}
          end

        for result <- at_once(List.duplicate(asking(engine, wide), 20)) do
          assert {:error, %Error{kind: :invalid} = error} = result
          assert error.message =~ "must match"
        end

        for {word, task} <- good do
          wanted = if word, do: repeated(word, 100), else: counting(100)
          assert Task.await(task, :infinity) == wanted
        end

        refute 1 in elem(AsyncLLM.list_loras(engine), 1)
      end

      assert said(engine, "Hello", adapter(context, 1, "meow")) == repeated("meow")
    end

    # The id stands for what was loaded under it, and for that alone it is loaded again.
    test "with the id of another one is never read", %{engine: engine} = context do
      meow = adapter(context, 1, "meow")
      {:ok, true} = AsyncLLM.add_lora(engine, meow)
      wide = %{meow | lora_path: context.paths["broken-width"]}
      params = [temperature: 0.0, max_tokens: 500, output_kind: :FINAL_ONLY]
      stream = generate(engine, "count", params, lora_request: wide)
      assert AsyncLLM.remove_lora(engine, 1) == {:ok, true}
      {:ok, output} = Stream.collect(stream)
      assert text(output) == repeated("meow", 500)
    end

    # tests/entrypoints/serve/lora/test_lora_adapters.py::
    # test_loading_invalid_adapters_does_not_break_others
    test "does not affect other requests: 25 of them among good ones", context do
      %{engine: engine} = context

      good =
        for n <- 1..16 do
          word = Enum.at(["meow", "woof", nil], rem(n, 3))
          lora = word && named(context, word)
          {word, Task.async(fn -> said(engine, "count", lora, 200) end)}
        end

      bad =
        for n <- 1..25 do
          lora = adapter(context, 100 + n, Enum.at(broken(), rem(n, length(broken()))))
          failed = if rem(n, 2) == 0, do: asking(engine, lora), else: fn -> add(engine, lora) end
          Task.async(failed)
        end

      for result <- Task.await_many(bad, :infinity) do
        assert {:error, %Error{kind: kind}} = result
        assert kind in [:invalid, :not_found]
      end

      for {word, task} <- good do
        wanted = if word, do: repeated(word, 200), else: counting(200)
        assert Task.await(task, :infinity) == wanted
      end
    end
  end

  describe "an engine without adapters" do
    test "refuses all calls for adapters, and goes on", %{plain: engine} do
      lora = %LoRARequest{lora_name: "a", lora_int_id: 1, lora_path: "/a"}

      for failed <- [
            asking(engine, lora),
            fn -> AsyncLLM.add_lora(engine, lora) end,
            fn -> AsyncLLM.remove_lora(engine, 1) end,
            fn -> AsyncLLM.pin_lora(engine, 1) end,
            fn -> AsyncLLM.list_loras(engine) end
          ] do
        assert {:error, %Error{kind: :invalid} = error} = failed.()
        assert error.message =~ "LoRA is not enabled"
      end

      assert_well(engine)
    end
  end

  defp at_once(calls), do: calls |> Enum.map(&Task.async/1) |> Task.await_many(:infinity)

  defp asking(engine, lora) do
    fn -> AsyncLLM.generate(engine, "Hello", [n: 1], request_id(), lora_request: lora) end
  end
end
