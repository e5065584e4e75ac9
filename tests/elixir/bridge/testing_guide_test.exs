# The guide "Testing" is executed: its GenServer and its test module as they stand, its other examples
# as tests of that same setting. So are the examples that open the documentation of Vllm.Test and
# stand in the README.

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

guide = "elixir/guides/testing.md"

blocks = for [_, block] <- Regex.scan(~r/^```elixir\n(.*?)^```/ms, File.read!(guide)), do: block

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

[example] =
  Regex.run(~r/(?<=^```elixir\n)setup_all context.*?(?=^```)/ms, File.read!("README.md"))

Code.compile_string(
  "defmodule Vllm.Bridge.ReadmeTest do\n  #{bridge}\n#{example}\nend",
  "README.md"
)

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
