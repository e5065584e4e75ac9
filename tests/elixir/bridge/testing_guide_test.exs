# The guide "Testing" is executed: its GenServer and its test module as they stand, its other examples
# as tests of that same setting.

guide = "elixir/guides/testing.md"

blocks = for [_, block] <- Regex.scan(~r/^```elixir\n(.*?)^```/ms, File.read!(guide)), do: block

{modules, tests} = Enum.split_with(blocks, &(&1 =~ ~r/^defmodule/))
[server, complete] = modules

# Where there is no Python, the lane is left out.
bridge = "use ExUnit.Case, async: true\n  @moduletag :bridge"
complete = String.replace(complete, "use ExUnit.Case, async: true", bridge)

# The head and the setup of the complete example, and no test of its own.
[head, _tests] = String.split(complete, ~r/^(?=  test )/m, parts: 2)
head = String.replace(head, "MyApp.ChatTest", "Vllm.Bridge.TestingGuideTest")

for code <- [server, complete, Enum.join([head | tests], "\n") <> "\nend\n"] do
  Code.compile_string(code, guide)
end

# Examples that were not found would not be missed.
if length(tests) < 14, do: raise("of the guide's examples only #{length(tests)} were found")
