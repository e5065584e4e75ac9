defmodule Vllm.DocumentationTest do
  # What `make docs` builds: everything public is documented, and has its place in the menus.
  use ExUnit.Case, async: true

  @documents "elixir/docs.exs"

  test "every public module, function and callback is documented" do
    assert for({module, :none, _docs} <- public(), do: module) == []

    assert for(
             {module, _doc, docs} <- public(),
             {{kind, name, arity}, _, _, :none, _metadata} <- docs,
             kind in [:function, :macro, :callback],
             do: {module, name, arity}
           ) == []
  end

  test "every public type but `t` says what it is" do
    assert for(
             {module, _doc, docs} <- public(),
             {{:type, name, _arity}, _, _, :none, _metadata} <- docs,
             name != :t,
             do: {module, name}
           ) == []
  end

  test "every public module has one group, and every group only modules that there are" do
    shown = for {module, _doc, _docs} <- public(), shown?(module), do: module

    for module <- shown -- tasks() do
      assert [_title] = for({title, of} <- groups(), in_group?(module, of), do: title),
             "#{inspect(module)} has to be in one group of #{@documents}"
    end

    for {title, modules} when is_list(modules) <- groups(),
        do: assert(modules -- shown == [], "#{title} of #{@documents}")
  end

  test "every guide has its place in the reading order" do
    grouped = documents()[:groups_for_extras] |> Keyword.values() |> List.flatten()
    guides = Enum.filter(documents()[:extras], &String.starts_with?(&1, "elixir/guides/"))
    assert guides -- grouped == [], "put it into one group of `guides` in #{@documents}"
    assert Enum.filter(grouped, &(&1 in guides)) == guides
  end

  test "every function of a group of #{@documents} is one" do
    for module <- [Vllm, Vllm.Test],
        {{:function, name, arity}, _, _, %{}, _} <- docs(module),
        metadata = %{module: module, name: name, arity: arity} do
      titles =
        for {title, member?} <- documents()[:groups_for_docs], member?.(metadata), do: title

      assert [_title] = titles, "#{inspect(module)}.#{name}/#{arity} has to be in one group"
    end
  end

  defp documents do
    {documents, _bindings} = Code.eval_file(@documents)
    documents
  end

  defp groups, do: documents()[:groups_for_modules]

  defp in_group?(module, %Regex{} = names), do: inspect(module) =~ names
  defp in_group?(module, modules), do: module in modules

  defp shown?(module), do: documents()[:filter_modules].(module, %{})

  defp tasks, do: for({module, _, _} <- public(), hd(Module.split(module)) == "Mix", do: module)

  # Modules with their documentation: of the library, not of the tests' support.
  defp public do
    for path <- Path.wildcard("elixir/lib/**/*.ex"),
        [_, name] <- Regex.scan(~r/^def(?:module|protocol) ([\w.]+) do/m, File.read!(path)),
        module = Module.concat([name]),
        {:docs_v1, _, _, _, doc, _, docs} = Code.fetch_docs(module),
        doc != :hidden,
        do: {module, doc, docs}
  end

  defp docs(module) do
    {:docs_v1, _, _, _, _, _, docs} = Code.fetch_docs(module)
    docs
  end
end
