# A stand-in for what `Vllm.LiveDashboard` uses of phoenix_live_dashboard 0.8.7: the callbacks of a page,
# and the component `live_table` with the attributes that it has. Of `~H` it reads one component with
# slots that have no content.

defmodule Phoenix.LiveDashboard.PageBuilder do
  @callback init(term()) :: {:ok, map()} | {:ok, map(), keyword()}
  @callback menu_link(map(), map()) ::
              {:ok, String.t()}
              | {:disabled, String.t()}
              | {:disabled, String.t(), String.t()}
              | :skip
  @callback mount(map(), map(), term()) :: {:ok, term()} | {:ok, term(), keyword()}
  @callback render(map()) :: term()
  @callback handle_params(map(), String.t(), term()) :: {:noreply, term()}
  @callback handle_event(binary(), map(), term()) ::
              {:noreply, term()} | {:reply, map(), term()}
  @callback handle_info(term(), term()) :: {:noreply, term()}
  @callback handle_refresh(term()) :: {:noreply, term()}
  @optional_callbacks mount: 3,
                      handle_params: 3,
                      handle_event: 3,
                      handle_info: 2,
                      handle_refresh: 1

  defstruct [:info, :module, :node, :params, :route, tick: 0]

  @attributes [:id, :page, :row_fetcher, :rows_name, :row_attrs, :default_sort_by, :title, :limit] ++
                [:search, :hint, :dom_id, :col]
  @columns [:field, :sortable, :header, :text_align]

  defmacro __using__(_options) do
    quote do
      import Phoenix.LiveDashboard.PageBuilder
      @behaviour Phoenix.LiveDashboard.PageBuilder
      def init(options), do: {:ok, options}
      defoverridable init: 1
    end
  end

  defmacro sigil_H({:<<>>, _, [template]}, _modifiers) do
    unless Macro.Env.has_var?(__CALLER__, {:assigns, nil}), do: raise("~H wants `assigns`")

    [_, name, attributes, slots] =
      Regex.run(~r/\A\s*<\.(\w+)(.*?)>\n(.*)<\/\.\1>\s*\z/s, template)

    slots =
      for [_, slot, attributes] <- Regex.scan(~r/<:(\w+)(.*?)\/>/, slots),
          do: {String.to_atom(slot), {:%{}, [], read(attributes)}}

    slots = for {slot, all} <- Enum.group_by(slots, &elem(&1, 0), &elem(&1, 1)), do: {slot, all}
    {String.to_atom(name), [], [{:%{}, [], read(attributes) ++ slots}]}
  end

  defp read(attributes) do
    for [_, name | value] <- Regex.scan(~r/(\w+)=(?:"([^"]*)"|\{([^}]*)\})/, attributes) do
      case value do
        [text] -> {String.to_atom(name), text}
        ["", code] -> {String.to_atom(name), code |> Code.string_to_quoted!() |> assigned()}
      end
    end
  end

  defp assigned(code) do
    Macro.prewalk(code, fn
      {:@, _, [{name, _, _}]} -> {{:., [], [{:assigns, [], nil}, name]}, [no_parens: true], []}
      other -> other
    end)
  end

  # As the component does: it asks for the rows of the page's node, sorted by the first column that can be.
  def live_table(%{page: page, title: _, row_fetcher: fetch, col: columns} = assigns) do
    [] = Map.keys(assigns) -- @attributes
    for column <- columns, do: [] = Map.keys(column) -- @columns
    sortable = Enum.filter(columns, & &1[:sortable])
    given = page.params["sort_by"]
    by = Enum.find(sortable, hd(sortable), &(Atom.to_string(&1.field) == given))
    asked = %{sort_by: by.field, sort_dir: by.sortable, limit: 50, search: page.params["search"]}
    {rows, total} = fetch.(asked, page.node)
    %{columns: Enum.map(columns, & &1.field), rows: rows, total: total}
  end
end
