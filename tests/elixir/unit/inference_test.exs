defmodule Vllm.InferenceTest do
  # Providers that are written in Elixir, and what is refused before any worker is asked.
  use ExUnit.Case, async: true

  alias Vllm.{Error, Inference, Ref}
  alias Vllm.Inference.{GenerationResult, Provider}

  defmodule Echo do
    @behaviour Provider

    @impl true
    def generate({:wrong, value}, _prompt, _model, _opts), do: value
    def generate(:raises, _prompt, _model, _opts), do: raise(ArgumentError, "its own")

    def generate(prefix, prompt, model, opts) do
      {:ok,
       %GenerationResult{text: prefix <> prompt, model: model, adapter_id: opts[:adapter_id]}}
    end

    @impl true
    def load_adapter({:wrong, value}, _id, _path, _opts), do: value
    def load_adapter(_prefix, _id, _path, _opts), do: {:ok, nil}

    @impl true
    def unload_adapter(_prefix, id, _opts),
      do: {:error, Error.new(:unsupported, "no #{id}")}

    @impl true
    def list_adapters({:wrong, value}, _opts), do: value
    def list_adapters(_prefix, opts), do: {:ok, Enum.map(Keyword.keys(opts), &to_string/1)}
  end

  defmodule Half do
    def generate(_state, prompt, model, _opts),
      do: {:ok, %GenerationResult{text: prompt, model: model}}
  end

  test "a module of an application is a provider" do
    provider = {Echo, "> "}

    assert {:ok, %GenerationResult{text: "> Hello", model: "m", adapter_id: "a"}} =
             Inference.generate(provider, "Hello", "m", adapter_id: "a")

    assert {:ok, nil} = Inference.load_adapter(provider, "a", "/a")

    assert {:error, %Error{kind: :unsupported, message: "no a"}} =
             Inference.unload_adapter(provider, "a")

    assert {:ok, ["timeout"]} = Inference.list_adapters(provider, timeout: 5)
  end

  test "the example of the behaviour's documentation runs" do
    {:docs_v1, _, _, _, %{"en" => doc}, _, _} = Code.fetch_docs(Provider)
    [example] = Regex.run(~r/^    defmodule Echo.*(?=^The first)/ms, doc)
    Code.eval_string("defmodule Vllm.InferenceTest.Documented do\n#{example}\nend")
  end

  # Upstream: test_provider.py::TestGenerationResult (U-89)
  test "a result has a text and a model" do
    assert_raise ArgumentError, fn -> struct!(GenerationResult, text: "x") end
    result = struct!(GenerationResult, text: "x", model: "m")
    assert {result.adapter_id, result.token_count, result.finish_reason} == {nil, 0, "stop"}
  end

  # Upstream: test_provider.py::test_concrete_subclass_missing_method_cannot_be_instantiated (U-88)
  test "a module without one of the functions is refused when it is called" do
    assert {:ok, %GenerationResult{}} = Inference.generate({Half, nil}, "x", "m")

    for call <- [
          fn -> Inference.load_adapter({Half, nil}, "a", "/a") end,
          fn -> Inference.unload_adapter({Half, nil}, "a") end,
          fn -> Inference.list_adapters({Half, nil}) end,
          fn -> Inference.generate({NoSuchModule, nil}, "x", "m") end
        ] do
      assert {:error, %Error{kind: :invalid, message: "provider: " <> _}} = call.()
    end
  end

  test "the compiler warns of a module that lacks a callback" do
    code = "defmodule Vllm.InferenceTest.Lacking do\n  @behaviour Vllm.Inference.Provider\nend"
    warnings = ExUnit.CaptureIO.capture_io(:stderr, fn -> Code.compile_string(code) end)

    for callback <- ~w(generate/4 load_adapter/4 unload_adapter/3 list_adapters/2),
        do: assert(warnings =~ callback)
  end

  test "what the behaviour does not allow is an error that shows it" do
    for value <- [nil, :ok, {:ok, "text"}, {:ok, nil}, {:error, :closed}, {:ok, 1, 2}] do
      assert {:error, %Error{kind: :invalid} = error} =
               Inference.generate({Echo, {:wrong, value}}, "x", "m")

      assert error.message =~ inspect(value)
    end

    assert {:error, %Error{kind: :invalid}} =
             Inference.load_adapter({Echo, {:wrong, :ok}}, "a", "/a")

    assert {:error, %Error{kind: :invalid}} =
             Inference.list_adapters({Echo, {:wrong, {:ok, nil}}})
  end

  test "the options of a module's functions are checked too" do
    assert {:error, %Error{kind: :invalid}} =
             Inference.generate({Echo, "> "}, "x", "m", temperature: :hot)
  end

  test "an exception of a module is its own" do
    assert_raise ArgumentError, "its own", fn -> Inference.generate({Echo, :raises}, "x", "m") end
  end

  test "what is no provider is refused" do
    engine = %Ref{instance: {:x, node()}, incarnation: "i", id: "r", type: "AsyncLLM"}

    for provider <- [nil, "vllm", :vllm, {nil, 1}, {"m", 1}, {Echo}, %{}, engine] do
      for result <- [
            Inference.generate(provider, "x", "m"),
            Inference.load_adapter(provider, "a", "/a"),
            Inference.unload_adapter(provider, "a"),
            Inference.list_adapters(provider)
          ] do
        assert {:error, %Error{kind: :invalid, message: "provider: wants" <> _}} = result
      end
    end
  end
end
