defmodule Vllm.Documents.Names do
  @moduledoc false
  # The functions, modules and fields of ours that a page names, in its text and in its code, and those
  # of them that do not exist.

  alias Vllm.Documents

  @doc "What a page names and nobody has, in words."
  @spec unknown(Path.t()) :: [String.t()]
  def unknown(page) do
    Enum.uniq(in_text(page) ++ in_code(page))
  end

  ## Text

  # `Vllm.Mellea.*` is a folder.
  defp in_text(page) do
    for span <- Documents.spans(page), not (span =~ ~r/\.\*/), fault <- span(span), do: fault
  end

  defp span(span) do
    name = Regex.replace(~r/^(t:|c:|h |i |&)/, span, "")

    case Regex.run(~r/^((?:[A-Z]\w*\.)+)([a-z_]\w*[?!]?)\/(\d+)$/, name) do
      [_, module, function, arity] ->
        called(
          module(String.trim_trailing(module, ".")),
          function,
          String.to_integer(arity),
          span
        )

      nil ->
        quoted(span)
    end
  end

  # A span that is a call, a struct or a module of ours. What is no Elixir is a word of another language.
  defp quoted(span) do
    case Code.string_to_quoted(span, warn_on_unnecessary_quotes: false) do
      {:ok, {:__aliases__, _, ["Elixir" | _]}} -> []
      {:ok, {:__aliases__, _, [:Vllm | _] = parts}} -> exists(Module.concat(parts), span)
      {:ok, quoted} -> calls(quoted, %{}, :lenient)
      {:error, _no_elixir} -> []
    end
  rescue
    # A warning of the tokenizer is no error, but some texts raise.
    _error -> []
  end

  # Namespaces have no module of their own.
  defp exists(module, span) do
    prefix = Atom.to_string(module) <> "."
    namespace = Enum.any?(ours(), &String.starts_with?(Atom.to_string(&1), prefix))
    if loaded?(module) or namespace, do: [], else: ["there is no module `#{span}`"]
  end

  ## Code

  defp in_code(page) do
    asts =
      for block <- Documents.elixir(page),
          {:ok, quoted} <- [Documents.parse(block)],
          do: quoted

    aliases = Enum.reduce(asts, %{}, &aliases/2)
    Enum.flat_map(asts, &calls(&1, aliases, :strict))
  end

  defp aliases(quoted, known) do
    {_quoted, known} =
      Macro.prewalk(quoted, known, fn
        {:alias, _, [{{:., _, [{:__aliases__, _, base}, :{}]}, _, names} | _]} = node, known ->
          base = expand(base, known)
          {node, for({:__aliases__, _, name} <- names, into: known, do: entry(base ++ name))}

        {:alias, _, [{:__aliases__, _, name}, [as: {:__aliases__, _, [as]}]]} = node, known ->
          {node, Map.put(known, as, expand(name, known))}

        {:alias, _, [{:__aliases__, _, name} | _]} = node, known ->
          {node, Map.merge(known, Map.new([entry(expand(name, known))]))}

        node, known ->
          {node, known}
      end)

    known
  end

  defp entry(name), do: {List.last(name), name}

  defp expand([first | rest], known) when is_atom(first),
    do: Map.get(known, first, [first]) ++ rest

  defp expand(other, _known), do: other

  defp calls(quoted, aliases, mode) do
    {_quoted, found} =
      Macro.prewalk(without_pipes(quoted), [], fn
        {:&, _, [{:/, _, [{{:., _, [{:__aliases__, _, name}, function]}, _, []}, arity]}]}, found
        when is_integer(arity) ->
          {nil, check(name, function, arity, aliases, mode) ++ found}

        {{:., _, [{:__aliases__, _, name}, function]}, meta, args} = node, found
        when is_atom(function) and function != :{} ->
          arity = if meta[:no_parens], do: :any, else: length(args)
          {node, check(name, function, arity, aliases, mode) ++ found}

        {:%, _, [{:__aliases__, _, name}, {:%{}, _, fields}]} = node, found ->
          {node, fields(name, fields, aliases) ++ found}

        node, found ->
          {node, found}
      end)

    found
  end

  defp without_pipes(quoted) do
    Macro.postwalk(quoted, fn
      {:|>, _, [left, {_, _, args} = right]} when is_list(args) -> Macro.pipe(left, right, 0)
      node -> node
    end)
  end

  defp check(name, function, arity, aliases, mode) do
    case module(expand(name, aliases), mode) do
      nil -> []
      module -> called(module, Atom.to_string(function), arity, "#{inspect(module)}.#{function}")
    end
  end

  defp fields(name, fields, aliases) do
    with module when module != nil <- module(expand(name, aliases), :strict),
         true <- loaded?(module) and function_exported?(module, :__struct__, 0),
         keys = for({key, _value} when is_atom(key) <- fields, do: key),
         [_ | _] = unknown <- keys -- Map.keys(module.__struct__()) do
      ["#{inspect(module)} has no field #{inspect(unknown)}"]
    else
      _ -> []
    end
  end

  ## Modules

  defp called(nil, _function, _arity, _said), do: []
  defp called({:unknown, name}, _function, _arity, _said), do: ["there is no module #{name}"]

  defp called(module, function, arity, said) do
    cond do
      not loaded?(module) -> ["there is no module #{inspect(module)}"]
      has?(module, function, arity) or (arity == :any and field?(module, function)) -> []
      true -> ["there is no `#{said}` with #{arity} arguments"]
    end
  end

  defp has?(module, function, arity) do
    names = module.module_info(:exports) ++ macros(module) ++ types(module) ++ callbacks(module)
    Enum.any?(names, fn {name, n} -> to_string(name) == function and arity in [n, :any] end)
  end

  defp field?(module, name) do
    function_exported?(module, :__struct__, 0) and
      Enum.any?(Map.keys(module.__struct__()), &(to_string(&1) == name))
  end

  defp macros(module),
    do: if(function_exported?(module, :__info__, 1), do: module.__info__(:macros), else: [])

  defp types(module) do
    case Code.Typespec.fetch_types(module) do
      {:ok, types} -> for {_kind, {name, _, args}} <- types, do: {name, length(args)}
      :error -> []
    end
  end

  defp callbacks(module) do
    if function_exported?(module, :behaviour_info, 1),
      do: module.behaviour_info(:callbacks),
      else: []
  end

  # Ours, by its whole name or, in a text, by the end of it; nil for those of others.
  defp module(text) when is_binary(text),
    do: text |> String.split(".") |> Enum.map(&String.to_atom/1) |> module(:lenient)

  defp module([:Vllm | _] = name, _mode), do: Module.concat(name)

  defp module(name, :lenient) when is_list(name) do
    Enum.find(ours(), fn module ->
      parts = Module.split(module)
      wanted = Enum.map(name, &to_string/1)
      hd(parts) == "Vllm" and Enum.take(parts, -length(wanted)) == wanted
    end)
  end

  defp module(_name, :strict), do: nil

  defp ours do
    {:ok, modules} = :application.get_key(:vllm_bridge, :modules)
    for module <- modules, String.starts_with?(Atom.to_string(module), "Elixir.Vllm"), do: module
  end

  defp loaded?(module), do: Code.ensure_loaded?(module)
end
