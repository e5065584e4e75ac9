defmodule Vllm.AsyncLLMTest do
  # The generated functions: all there, documented, and each one call on the wire.
  use Vllm.FakeWorkerCase, async: true

  alias Vllm.AsyncLLM

  @surface "tests/vectors/surface_0_14.txt"
           |> File.read!()
           |> String.split("\n", trim: true)
           |> Enum.reject(&String.starts_with?(&1, "#"))
           |> Enum.map(fn line ->
             [name, arity] = String.split(line, "/")
             {String.to_atom(name), String.to_integer(arity)}
           end)

  @constructors [:new, :from_engine_args, :from_vllm_config]

  describe "the surface" do
    test "has every function of the earlier stubs, with its arity" do
      assert length(@surface) == 37
      assert @surface -- AsyncLLM.__info__(:functions) == []
    end

    test "has the functions added since" do
      new =
        [get_num_unfinished_requests: 2, check_admission: 3, update_weights: 3] ++
          [get_weight_version: 2, release_kv_cache_memory: 2, handle_fault: 3] ++
          [generate_collect: 5, encode_collect: 6, vllm_config: 1]

      assert new -- AsyncLLM.__info__(:functions) == []
    end

    test "has an arity for each number of optional arguments" do
      functions = AsyncLLM.__info__(:functions)
      assert arities(functions, :sleep) == [1, 2, 3]
      assert arities(functions, :abort) == [2, 3, 4]
      assert arities(functions, :generate) == [4, 5]
      assert arities(functions, :is_running) == [1]
      assert arities(functions, :pause_generation) == [1, 2]
      assert arities(functions, :from_engine_args) == [1, 2, 3, 4]
      assert arities(functions, :new) == [3, 4, 5, 6]
    end
  end

  describe "the documentation" do
    test "is that of vLLM" do
      assert doc(:generate, 5) =~ "Main function called by the API server to kick off a request"
      assert doc(:pause_generation, 2) =~ "Pause generation to allow model weight updates."
      assert doc(:list_loras, 2) =~ "List all registered adapters."
    end

    test "has the same parts in every function" do
      for {{:function, name, arity}, text, _metadata} <- documented() do
        assert text =~ "## Returns", "#{name}/#{arity}"
        assert text =~ "## Errors", "#{name}/#{arity}"
        assert text =~ "## Example", "#{name}/#{arity}"
      end
    end

    test "lists every option with its default" do
      text = doc(:generate, 5)
      assert text =~ "  * `priority` - default `0` (`int`)"
      assert text =~ "  * `lora_request` - default `nil` (`LoRARequest or None`)"
      assert doc(:from_engine_args, 1) =~ "`usage_context` - default `:ENGINE_CONTEXT`"
    end

    test "names the spellings of earlier versions" do
      assert doc(:pause_generation, 2) =~ "`wait_for_inflight_requests` - a spelling of vLLM 0.14"
      assert doc(:encode, 6) =~ "`truncate_prompt_tokens` - a spelling of vLLM 0.14"
      assert doc(:new, 3) =~ "`use_cached_outputs` - a spelling of vLLM 0.14"
    end

    test "has examples that are Elixir" do
      for {{:function, name, arity}, text, _metadata} <- documented() do
        [_, example] = String.split(text, "## Example\n")
        assert {:ok, _quoted} = Code.string_to_quoted(example), "#{name}/#{arity}"
      end
    end

    test "gives every function a group and a spec" do
      {:ok, specs} = Code.Typespec.fetch_specs(AsyncLLM)
      specified = MapSet.new(specs, fn {function, _spec} -> function end)

      for {{:function, name, arity}, _, _, _, metadata} <- docs() do
        assert metadata[:group], "#{name}/#{arity}"
        assert {name, arity} in specified, "#{name}/#{arity}"
      end
    end

    test "has no lines that IEx would render as a table" do
      for {_function, text, _metadata} <- documented(), do: refute(text =~ " | ")
    end
  end

  describe "on the wire" do
    test "every function is one call of Python's method", %{ref: ref, name: name} do
      # These have no place to run but the default instance, which no unit test starts.
      placeless = [new: 3, from_engine_args: 1, from_vllm_config: 1]
      functions = for {{:function, name, arity}, _, _, _, _} <- docs(), do: {name, arity}

      for {{function, arity}, id} <- Enum.with_index(functions -- placeless, 1) do
        place = if function in @constructors, do: name, else: ref
        arguments = [place | arguments(function, arity)]
        task = Task.async(AsyncLLM, function, arguments)
        request = assert_call(id).request
        Task.shutdown(task, :brutal_kill)
        assert request.method == python_name(function)

        case request.target do
          {:class_name, class} -> assert {class, function in @constructors} == {"AsyncLLM", true}
          {:ref, "r1"} -> refute function in @constructors
        end
      end
    end

    test "the spellings of a call send the same", %{ref: ref} do
      spellings = [
        fn -> AsyncLLM.abort(ref, "a", [true]) end,
        fn -> AsyncLLM.abort(ref, "a", [true], []) end,
        fn -> AsyncLLM.abort(ref, "a", internal: true) end,
        fn -> AsyncLLM.abort(ref, "a", [], internal: true) end
      ]

      sent =
        for {spelling, id} <- Enum.with_index(spellings, 1) do
          task = Task.async(spelling)
          request = assert_call(id).request
          Task.shutdown(task, :brutal_kill)
          {decode(request.args), decode(request.kwargs)}
        end

      positional = {["a", true], nil}
      named = {["a"], %{"internal" => true}}
      assert sent == [positional, positional, named, named]
    end

    test "a configuration is an argument and selects the instance", %{
      ref: ref,
      instance: instance
    } do
      config = ref(instance, "c1", "VllmConfig")

      for {call, id} <-
            Enum.with_index(
              [
                fn -> AsyncLLM.new(config, :auto, true) end,
                fn -> AsyncLLM.new(ref, config, :auto, true) end,
                fn -> AsyncLLM.new(config, :auto, true, [], []) end,
                fn -> AsyncLLM.new(ref, config, :auto, true, [], []) end
              ],
              1
            ) do
        task = Task.async(call)
        request = assert_call(id).request
        Task.shutdown(task, :brutal_kill)
        assert request.target == {:class_name, "AsyncLLM"}
        assert request.method == "new"
        assert [%Ref{id: "c1"}, "auto", true] = decode(request.args, instance)
      end
    end

    test "an engine's configuration is built without an engine", %{instance: instance} do
      task = Task.async(fn -> Vllm.AsyncEngineArgs.create_engine_config(instance, model: "m") end)

      request = assert_call(1).request
      Task.shutdown(task, :brutal_kill)
      assert request.target == {:class_name, "AsyncEngineArgs"}
      assert request.method == "create_engine_config"
      assert request.timeout_ms == 0
      assert [%{"model" => "m"}] = decode(request.args)
    end
  end

  describe "generate_collect/5" do
    test "returns the last item", %{fake: fake, ref: ref} do
      FakeWorker.answer(fake, 1, [accepted(), item("a"), item("b"), ended()])
      assert AsyncLLM.generate_collect(ref, "p", [], "r") == {:ok, "b"}
    end

    test "refuses stream_to:", %{ref: ref} do
      assert {:error, %Error{kind: :invalid} = error} =
               AsyncLLM.generate_collect(ref, "p", [], "r", rpc: [stream_to: self()])

      assert error.details == %{"parameter" => "stream_to"}
      refute_received {:client, %ClientFrame{calls: [_ | _]}}
    end
  end

  defp arities(functions, name), do: for({^name, arity} <- functions, do: arity)

  defp docs do
    {:docs_v1, _, :elixir, _, _, _, docs} = Code.fetch_docs(AsyncLLM)
    for {{:function, _, _}, _, _, _, _} = entry <- docs, do: entry
  end

  # Those whose documentation is not that of another arity.
  defp documented do
    for {function, _, _, %{"en" => text}, metadata} <- docs(),
        not String.starts_with?(text, "See `"),
        do: {function, text, metadata}
  end

  defp doc(name, arity) do
    {_, text, _} = List.keyfind(documented(), {:function, name, arity}, 0)
    text
  end

  # Without the place. Lists where lists are wanted.
  defp arguments(function, arity) when function in @constructors do
    required = if function == :new, do: [1, 2, 3], else: [1]
    Enum.take(required ++ [[], []], arity - 1)
  end

  defp arguments(_function, 1), do: []

  defp arguments(function, arity) do
    {_function, _, signature, _, _} = List.keyfind(docs(), {:function, function, arity}, 0)
    [signature] = signature

    signature
    |> String.split(",")
    |> tl()
    |> Enum.map(fn argument -> if argument =~ "opts", do: [], else: 1 end)
  end

  defp python_name(:generate_collect), do: "generate"
  defp python_name(:encode_collect), do: "encode"
  defp python_name(function), do: to_string(function)

  defp decode(payload, instance \\ nil)
  defp decode("", _instance), do: nil

  defp decode(payload, instance) do
    {:ok, value} = Vllm.Codec.decode(payload, instance)
    value
  end
end
