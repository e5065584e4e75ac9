defmodule Vllm.LiveDashboard do
  @moduledoc """
  A page of [Phoenix LiveDashboard](https://hexdocs.pm/phoenix_live_dashboard) with the engines of a node.

      defmodule MyAppWeb.VllmPage do
        use Vllm.LiveDashboard
      end

      # in the router
      live_dashboard "/dashboard", additional_pages: [vllm: MyAppWeb.VllmPage]

  It shows the table of `Vllm.status/0`, which can be sorted and searched, of the node that is chosen in
  the dashboard. An instance that does not answer has its error as its state. While an engine has
  requests, the page takes half a second to refresh, because tokens per second are two readings.

  LiveDashboard is no dependency of this library: `use` compiles the page in the application, which has it. It
  was tested against stand-ins with the callbacks and components of phoenix_live_dashboard 0.8.7.
  """

  alias Vllm.Core.Integrations.DashboardRows

  @doc "Makes the module a page of LiveDashboard, see above."
  defmacro __using__(_options) do
    quote do
      use Phoenix.LiveDashboard.PageBuilder

      @impl true
      def menu_link(_session, _capabilities), do: {:ok, "vLLM"}

      @impl true
      def render(var!(assigns)) do
        ~H"""
        <.live_table
          id="vllm-table"
          dom_id="vllm-table"
          page={@page}
          title="vLLM engines"
          rows_name="engines"
          row_fetcher={&Vllm.LiveDashboard.rows/2}
        >
          <:col field={:instance} sortable={:asc} />
          <:col field={:engine} sortable={:asc} />
          <:col field={:model} sortable={:asc} />
          <:col field={:state} sortable={:asc} />
          <:col field={:running} text_align="right" />
          <:col field={:waiting} text_align="right" />
          <:col field={:tokens_per_s} header="Tokens/s" text_align="right" />
          <:col field={:kv_cache} header="KV cache" text_align="right" />
        </.live_table>
        """
      end
    end
  end

  @doc """
  The rows for a table of LiveDashboard, and how many match its search. A row is a map from column to text.

  `parameters` has `:search`, `:sort_by`, `:sort_dir` and `:limit`, as LiveDashboard gives them; `node`
  is the node whose engines are shown. A node that does not answer is a row that says so.
  """
  @spec rows(map(), node()) :: {[%{required(atom()) => String.t()}], non_neg_integer()}
  def rows(parameters, node),
    do: node |> DashboardRows.status() |> DashboardRows.select(parameters)
end
