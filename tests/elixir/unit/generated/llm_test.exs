defmodule Vllm.LLMTest do
  # The generated functions: all there, documented, and each one call on the wire.
  use Vllm.FakeWorkerCase, async: true

  alias Vllm.LLM

  @constructors [:new, :from_engine_args]

  describe "the surface of an LLM" do
    test "has vLLM's methods, with their arities" do
      functions = LLM.__info__(:functions)
      assert arities(functions, :new) == [1, 2, 3, 4]
      assert arities(functions, :from_engine_args) == [1, 2, 3, 4]
      assert arities(functions, :generate) == [2, 3, 4]
      assert arities(functions, :chat) == [2, 3, 4]
      assert arities(functions, :wait_for_completion) == [1, 2, 3]
      assert arities(functions, :beam_search) == [3, 4, 5]
      assert arities(functions, :embed) == [2, 3]
      assert arities(functions, :score) == [3, 4]
      assert arities(functions, :inspect_model) == [1, 2]
      assert arities(functions, :shutdown) == [1, 2, 3]
    end
  end

  describe "the documentation of an LLM" do
    test "is that of vLLM" do
      assert doc(:new, 1) =~ "An LLM for generating texts from given prompts"
      assert doc(:new, 1) =~ "`dtype` - default `\"auto\"` (`ModelDType`). The data type for"
      assert doc(:generate, 4) =~ "Generates the completions for the input prompts."
    end

    test "has the same parts in every function, and examples that are Elixir" do
      for {{:function, name, arity}, text, _metadata} <- documented() do
        for part <- ["## Returns", "## Errors", "## Example"],
            do: assert(text =~ part, "#{name}/#{arity}")

        [_, example] = String.split(text, "## Example\n")
        assert {:ok, _quoted} = Code.string_to_quoted(example), "#{name}/#{arity}"
        refute text =~ "Vllm.AsyncLLM."
      end
    end

    test "gives every function a group and a spec" do
      {:ok, specs} = Code.Typespec.fetch_specs(LLM)
      specified = MapSet.new(specs, fn {function, _spec} -> function end)

      for {{:function, name, arity}, _, _, _, metadata} <- docs() do
        assert metadata[:group], "#{name}/#{arity}"
        assert {name, arity} in specified, "#{name}/#{arity}"
      end
    end
  end

  describe "an LLM on the wire" do
    test "every function of an LLM is one call of Python's method", context do
      ref = ref(context.instance, "r1", "LLM")
      # These have no place to run but the default instance, which no unit test starts.
      placeless = [new: 1, from_engine_args: 1]
      functions = for {{:function, name, arity}, _, _, _, _} <- docs(), do: {name, arity}

      for {{function, arity}, id} <- Enum.with_index(functions -- placeless, 1) do
        place = if function in @constructors, do: context.name, else: ref
        task = Task.async(LLM, function, [place | arguments(function, arity)])
        request = assert_call(id).request
        Task.shutdown(task, :brutal_kill)
        assert request.method == python_name(function)

        case request.target do
          {:class_name, class} -> assert {class, function in @constructors} == {"LLM", true}
          {:ref, "r1"} -> refute function in @constructors
        end
      end
    end

    test "a batch has no deadline, and other calls have one", context do
      ref = ref(context.instance, "r1", "LLM")

      for {{call, limited?}, id} <-
            Enum.with_index(
              [
                {fn -> LLM.generate(ref, "a") end, false},
                {fn -> LLM.score(ref, "a", "b") end, false},
                {fn -> LLM.sleep(ref, mode: "wait") end, false},
                {fn -> LLM.sleep(ref) end, true},
                {fn -> LLM.get_tokenizer(ref) end, true}
              ],
              1
            ) do
        task = Task.async(call)
        request = assert_call(id).request
        Task.shutdown(task, :brutal_kill)
        assert request.timeout_ms > 0 == limited?
      end
    end
  end

  defp arities(functions, name), do: for({^name, arity} <- functions, do: arity)

  defp docs do
    {:docs_v1, _, :elixir, _, _, _, docs} = Code.fetch_docs(LLM)
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
  defp arguments(function, arity) when function in @constructors,
    do: Enum.take([1, [], []], arity - 1)

  defp arguments(_function, 1), do: []

  defp arguments(function, arity) do
    {_function, _, [signature], _, _} = List.keyfind(docs(), {:function, function, arity}, 0)

    signature
    |> String.split(",")
    |> tl()
    |> Enum.map(fn argument -> if argument =~ "opts", do: [], else: 1 end)
  end

  defp python_name(:inspect_model), do: "__repr__"
  defp python_name(function), do: to_string(function)
end
