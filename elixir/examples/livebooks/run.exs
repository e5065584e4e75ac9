# Runs the cells of a Livebook in their order, without Livebook.
#
#     mix run elixir/examples/livebooks/run.exs first_tour
#
# The cell with Mix.install is left out: here the library is already loaded.

[name] = System.argv()
path = Path.join(__DIR__, name <> ".livemd")

# vLLM logs much while it loads.
Logger.configure(level: :error)

cells = for [_, cell] <- Regex.scan(~r/^```elixir\n(.*?)^```$/ms, File.read!(path)), do: cell

Enum.reduce(cells, [], fn cell, bindings ->
  if cell =~ "Mix.install" do
    bindings
  else
    IO.puts([IO.ANSI.format([:faint, cell])])
    {value, bindings} = Code.eval_string(cell, bindings, file: path)
    IO.puts("#{inspect(value, pretty: true)}\n")
    bindings
  end
end)
