defmodule Vllm.ExampleCode do
  @moduledoc false
  # The code of elixir/examples: scripts, sources, and the cells of Livebooks.

  @folder "elixir/examples"

  def scripts, do: Path.wildcard("#{@folder}/*.exs")
  def livebooks, do: Path.wildcard("#{@folder}/livebooks/*.livemd")

  # Without what was built there.
  def all do
    Enum.reject(Path.wildcard("#{@folder}/**/*.{ex,exs,livemd}"), &(&1 =~ ~r"/(_build|deps)/"))
  end

  # A Livebook's cells in their order; a file of Elixir is one cell.
  def cells(path) do
    text = File.read!(path)

    if Path.extname(path) == ".livemd",
      do: for([_, cell] <- Regex.scan(~r/^```elixir\n(.*?)^```$/ms, text), do: cell),
      else: [text]
  end

  # The code without its pipes, so that the arity of every call can be seen, and without its types,
  # which look like calls.
  def quoted(code, path) do
    code
    |> Code.string_to_quoted!(file: Path.expand(path))
    |> Macro.prewalk(fn
      {:|>, _, [left, right]} -> Macro.pipe(left, right, 0)
      {:@, _, [{:spec, _, _}]} -> nil
      other -> other
    end)
  end

  # Functions of the library that the code calls or captures, as {module, name, arity}.
  def calls(quoted) do
    {_quoted, calls} = Macro.prewalk(quoted, [], &{&1, called(&1) ++ &2})
    Enum.uniq(calls)
  end

  defp called({:&, _, [{:/, _, [{{:., _, [{:__aliases__, _, names}, name]}, _, []}, arity]}]}),
    do: call(names, name, arity)

  defp called({{:., _, [{:__aliases__, _, names}, name]}, _, arguments}),
    do: call(names, name, length(arguments))

  defp called(_other), do: []

  defp call([:Vllm | _] = names, name, arity), do: [{Module.concat(names), name, arity}]
  defp call(_other, _name, _arity), do: []

  # Structs of the library, with the fields that the code names: {module, fields}.
  def structs(quoted) do
    {_quoted, structs} =
      Macro.prewalk(quoted, [], fn
        {:%, _, [{:__aliases__, _, [:Vllm | _] = names}, {:%{}, _, fields}]} = node, structs ->
          {node, [{Module.concat(names), Keyword.keys(fields)} | structs]}

        node, structs ->
          {node, structs}
      end)

    structs
  end
end
