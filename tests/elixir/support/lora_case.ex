defmodule Vllm.LoraCase do
  @moduledoc false
  # Tests of adapters on the engine `:lora`. An adapter answers everything with its own word, so
  # which one a text was made with can be read in it. After each test the engine answers exactly,
  # and no adapter is left in it.

  use ExUnit.CaseTemplate

  import Vllm.VllmEngine, only: [adapters: 1, assert_well: 1, complete: 4, text: 1]

  alias Vllm.{AsyncLLM, LoRARequest}

  @words ~w(meow woof one two three four five six seven eight)
  @broken ~w(broken-rank broken-dora broken-modules broken-json broken-fields broken-no-weights
             broken-weights broken-target broken-width broken-empty broken-narrow broken-prefix
             broken-nan broken-infinity broken-alpha broken-scale broken-flat broken-half broken-pair)

  using options do
    quote do
      use Vllm.VllmEngine, unquote([engine: :lora] ++ options)

      import Vllm.LoraCase

      alias Vllm.LoRARequest

      setup_all do
        %{paths: adapters(words() ++ broken())}
      end

      setup %{engine: engine} do
        # Those of a provider are unloaded when its last owner has ended, after its test.
        wait_until(fn -> AsyncLLM.list_loras(engine) == {:ok, MapSet.new()} end)

        on_exit(fn ->
          assert_well(engine)
          unload(engine)
        end)
      end
    end
  end

  def words, do: @words
  def broken, do: @broken

  def adapter(context, id, name),
    do: %LoRARequest{lora_name: "#{name} #{id}", lora_int_id: id, lora_path: context.paths[name]}

  # An adapter of its own id and name for each word.
  def named(context, word),
    do: adapter(context, 20 + Enum.find_index(words(), &(&1 == word)), word)

  def add(engine, lora), do: AsyncLLM.add_lora(engine, lora)
  def remove(engine, id), do: AsyncLLM.remove_lora(engine, id)

  def said(engine, prompt, lora, tokens \\ 8) do
    params = [temperature: 0.0, max_tokens: tokens, output_kind: :FINAL_ONLY]
    opts = if lora, do: [lora_request: lora], else: []
    text(complete(engine, prompt, params, opts))
  end

  def repeated(word, tokens \\ 8), do: String.duplicate(" #{word}", tokens)

  def unload(engine) do
    {:ok, loaded} = AsyncLLM.list_loras(engine)
    for id <- loaded, do: {:ok, true} = AsyncLLM.remove_lora(engine, id)
  end
end
