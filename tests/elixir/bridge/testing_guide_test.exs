# The blocks of the manual that are tests run as tests. The guide "Testing": its GenServer and its test
# module as they stand, its other examples as tests of that same setting. So do the example that opens the
# documentation of Vllm.Test, and those of other pages.

defmodule MyApp do
  @moduledoc false
  # What the README's example tests.

  def greet(engine) do
    {:ok, output} = Vllm.AsyncLLM.generate_collect(engine, "Hello", [max_tokens: 8], "greeting")
    "Hello" <> hd(output.outputs).text
  end
end

defmodule MyApp.Summary do
  @moduledoc false
  # What that example tests.

  def of(engine, text) do
    prompt = "Summarise: " <> text
    {:ok, stream} = Vllm.AsyncLLM.generate(engine, prompt, [temperature: 0.0], "summary")
    {:ok, output} = Vllm.Stream.collect(stream)
    output.outputs |> hd() |> Map.fetch!(:text) |> String.trim()
  end
end

alias Vllm.Documents

guide = "elixir/guides/testing.md"

blocks = for block <- Documents.blocks(guide, :kit), do: block.code

{modules, tests} = Enum.split_with(blocks, &(&1 =~ ~r/^defmodule/))
[server, complete] = modules

{:docs_v1, _, _, _, %{"en" => moduledoc}, _, functions} = Code.fetch_docs(Vllm.Test)
[opening] = Regex.run(~r/^    defmodule.*?^    end$/ms, moduledoc)

# Where there is no Python, the lane is left out. Starting a worker can take long on a busy machine.
bridge = "use ExUnit.Case, async: true\n  @moduletag bridge: true, timeout: 120_000"

[complete, opening] =
  for code <- [complete, opening],
      do: String.replace(code, "use ExUnit.Case, async: true", bridge)

# The head and the setup of the complete example, and no test of its own.
[head, _tests] = String.split(complete, ~r/^(?=  test )/m, parts: 2)
head = String.replace(head, "MyApp.ChatTest", "Vllm.Bridge.TestingGuideTest")

for code <- [server, complete, opening, Enum.join([head | tests], "\n") <> "\nend\n"] do
  Code.compile_string(code, guide)
end

# Of other pages, each with its own set-up.
for page <- Documents.on(:kit) -- [guide] do
  name = page |> Path.basename() |> Path.rootname() |> Macro.camelize()
  code = for block <- Documents.blocks(page, :kit), do: block.code
  Code.compile_string("defmodule Vllm.Bridge.#{name}Test do\n  #{bridge}\n#{code}\nend", page)
end

# Examples that were not found would not be missed.
if length(tests) < 14, do: raise("of the guide's examples only #{length(tests)} were found")

# Every public function has an example, and it is Elixir.
for {{:function, name, arity}, _, _, %{"en" => doc}, _} <- functions do
  examples = Regex.scan(~r/(?<=\n\n)    \S.*?(?=^ {0,3}\S|\z)/ms, doc)
  if examples == [], do: raise("#{name}/#{arity} has no example")

  for [example] <- examples do
    case Code.string_to_quoted(example) do
      {:ok, _quoted} -> :ok
      {:error, error} -> raise "the example of #{name}/#{arity} is no Elixir: #{inspect(error)}"
    end
  end
end
