# Prints the changes that can be made to Elixir sources, found in their syntax trees.
#
#     elixir elixir_source.exs FILE …
#
# A line for each: file, line, column (both from 1, in characters), line and column behind the end, and
# what stands there instead, separated by tabs. Left out is what no test can see: specs, types, docs,
# log lines, and numbers of a thousand and more, which are times and sizes that only a timed test could
# tell apart. What other modules get when they are compiled is left out too, because one module is
# compiled anew for each change: structs, macros and what is used.

defmodule ElixirSource do
  @large 1000

  @operators %{
    ==: "!=",
    !=: "==",
    ===: "!==",
    !==: "===",
    <: "<=",
    <=: "<",
    >: ">=",
    >=: ">",
    and: "or",
    or: "and",
    &&: "||",
    ||: "&&",
    +: "-",
    -: "+",
    *: "+",
    ++: "--"
  }

  @names %{
    if: "unless",
    unless: "if",
    min: "max",
    max: "min",
    any?: "all?",
    all?: "any?",
    filter: "reject",
    reject: "filter",
    take: "drop",
    drop: "take",
    is_nil: "not is_nil"
  }

  @attributes_left_out [
                         :moduledoc,
                         :doc,
                         :typedoc,
                         :spec,
                         :type,
                         :typep,
                         :opaque,
                         :callback,
                         :impl
                       ] ++
                         [:enforce_keys, :derive, :compile, :dialyzer, :behaviour]

  @left_out [
              :defmacro,
              :defmacrop,
              :defguard,
              :defguardp,
              :defstruct,
              :defexception,
              :use,
              :alias,
              :import
            ] ++
              [:require, :defdelegate, :quote]

  def main(files) do
    for file <- files, {{line, column}, {last, behind}, new} <- mutations(File.read!(file)) do
      IO.puts(Enum.join([file, line, column, last, behind, new], "\t"))
    end
  end

  def mutations(source) do
    quoted =
      Code.string_to_quoted!(source,
        columns: true,
        token_metadata: true,
        literal_encoder: &{:ok, {:__block__, &2, [&1]}}
      )

    quoted |> find() |> List.flatten() |> Enum.uniq()
  end

  # `@name value`: the value alone may be changed.
  defp find({:@, _, [{name, _, arguments}]}) do
    if name in @attributes_left_out, do: [], else: find(arguments)
  end

  defp find({name, _, arguments}) when name in @left_out and is_list(arguments), do: []

  defp find({{:., _, [{:__aliases__, _, [:Logger]}, _]}, _, _}), do: []

  # A literal.
  defp find({:__block__, meta, [value]}) when is_boolean(value),
    do: [edit(meta, Atom.to_string(value), Atom.to_string(not value))]

  defp find({:__block__, meta, [value]}) when is_integer(value) do
    token = meta[:token]

    if value < @large and is_binary(token) and token =~ ~r/^\d+$/,
      do: [edit(meta, token, Integer.to_string(value + 1))],
      else: []
  end

  # Statements: those before the last may be left out, if they are calls.
  defp find({:__block__, _, [_, _ | _] = statements}) do
    {before, _last} = Enum.split(statements, -1)
    [for(statement <- before, do: removed(statement)) | Enum.map(statements, &find/1)]
  end

  defp find({:not, meta, [argument]}), do: [edit(meta, "not ", ""), find(argument)]
  defp find({:!, meta, [argument]}), do: [edit(meta, "!", ""), find(argument)]

  # The sides of a match are kept, and so are the sizes in a binary.
  defp find({name, meta, [_, _] = arguments}) when is_map_key(@operators, name),
    do: [edit(meta, Atom.to_string(name), @operators[name]), find(arguments)]

  defp find({:"::", _, [value, _type]}), do: find(value)

  defp find({name, meta, arguments}) when is_map_key(@names, name) and is_list(arguments),
    do: [edit(meta, Atom.to_string(name), @names[name]), find(arguments)]

  defp find({{:., _, [{:__aliases__, _, [:Enum]}, name]}, meta, arguments})
       when is_map_key(@names, name),
       do: [edit(meta, Atom.to_string(name), @names[name]), find(arguments)]

  defp find({{:., _, [left, _name]}, _, arguments}), do: [find(left), find(arguments)]
  defp find({name, _, arguments}) when is_list(arguments), do: [find(name), find(arguments)]
  defp find({left, right}), do: [find(left), find(right)]
  defp find(list) when is_list(list), do: Enum.map(list, &find/1)
  defp find(_other), do: []

  @no_calls [
              :=,
              :@,
              :def,
              :defp,
              :defmodule,
              :defimpl,
              :defprotocol,
              :|>,
              :for,
              :if,
              :unless,
              :case
            ] ++ @left_out

  defp removed({name, meta, arguments} = call) when is_list(arguments) do
    left_out? = name in @no_calls or match?({:., _, [{:__aliases__, _, [:Logger]}, _]}, name)

    case meta[:end_of_expression] do
      [_ | _] = ends when not left_out? ->
        [{first(call), {ends[:line], ends[:column]}, ":ok"}]

      _otherwise ->
        []
    end
  end

  defp removed(_other), do: []

  # The place where an expression begins, which is not that of its operator or dot.
  defp first(call) do
    {_call, places} =
      Macro.prewalk(call, [], fn
        {_, meta, _} = node, places when is_list(meta) ->
          if meta[:line],
            do: {node, [{meta[:line], meta[:column]} | places]},
            else: {node, places}

        node, places ->
          {node, places}
      end)

    Enum.min(places)
  end

  defp edit(meta, old, new) do
    {line, column} = {meta[:line], meta[:column]}
    {{line, column}, {line, column + String.length(old)}, new}
  end
end

ElixirSource.main(System.argv())
