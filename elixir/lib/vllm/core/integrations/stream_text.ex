defmodule Vllm.Core.Integrations.StreamText do
  @moduledoc false
  # What each item of a stream adds to the text of its first choice.
  #
  # An item of `generate` does not say whether it holds the whole text (`CUMULATIVE`) or only what is
  # new (`DELTA`). The second item tells: a whole one begins with the text and the token ids of the
  # first and has more ids. A new piece would have to repeat the first one and bring several tokens.

  alias Vllm.{ChatDelta, RequestOutput}

  @opaque t :: nil | :pieces | {:first, String.t(), [integer()]} | {:whole, String.t()}

  @typedoc "A text to append, an item that has none and is shown as it is, or nothing."
  @type addition :: {:text, String.t()} | {:term, term()} | nil

  @doc "The state before the first item."
  @spec new() :: t()
  def new, do: nil

  @doc "What the next item adds."
  @spec add(t(), term()) :: {addition(), t()}
  def add(state, text) when is_binary(text), do: {{:text, text}, state}

  def add(state, [id | _] = ids) when is_integer(id),
    do: {{:text, Enum.map_join(ids, &"#{&1} ")}, state}

  def add(state, %ChatDelta{index: 0, content: text}) when is_binary(text),
    do: {{:text, text}, state}

  def add(state, %ChatDelta{}), do: {nil, state}

  def add(state, %RequestOutput{outputs: outputs}) when is_list(outputs) do
    case Enum.find(outputs, &match?(%{index: 0}, &1)) do
      %{text: text, token_ids: ids} when is_binary(text) and is_list(ids) ->
        completion(state, text, ids)

      _further_choice ->
        {nil, state}
    end
  end

  def add(state, item), do: {{:term, item}, state}

  defp completion(nil, text, ids), do: {{:text, text}, {:first, text, ids}}

  defp completion({:first, before, [_ | _] = known}, text, ids) do
    if length(ids) > length(known) and List.starts_with?(ids, known) and
         String.starts_with?(text, before),
       do: whole(before, text),
       else: {{:text, text}, :pieces}
  end

  defp completion({:whole, before}, text, _ids), do: whole(before, text)
  defp completion(_pieces, text, _ids), do: {{:text, text}, :pieces}

  defp whole(before, text),
    do: {{:text, String.replace_prefix(text, before, "")}, {:whole, text}}
end
