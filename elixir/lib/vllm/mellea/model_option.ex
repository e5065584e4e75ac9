defmodule Vllm.Mellea.ModelOption do
  @moduledoc """
  The names of Mellea's options, and its rules for maps of them. All functions are pure.

  An option map has mellea's options, by the atoms below, and the engine's own parameters, such as
  `:top_k`, `"stop"` or `max_model_len`. Atoms and strings may be mixed; where one name is given twice,
  one of the two values is taken.

  | atom | in Mellea |
  | --- | --- |
  | `:max_new_tokens` | `MAX_NEW_TOKENS` |
  | `:system_prompt` | `SYSTEM_PROMPT` |
  | `:temperature` | `TEMPERATURE` |
  | `:seed` | `SEED` |
  | `:stream` | `STREAM` |
  | `:stream_timeout` | `STREAM_TIMEOUT`, in seconds for each piece |
  | `:stop_sequences` | `STOP_SEQUENCES` |
  | `:thinking` | `THINKING` |
  | `:context_window`, `:tools`, `:logits`, `:raw_logits` | without effect here; tools are given as `tools:` |
  """

  require Logger

  @special ~w(tools max_new_tokens system_prompt context_window thinking seed stream stream_timeout
              stop_sequences logits raw_logits)a

  @typedoc "Options of a model, with atoms for the names of Mellea."
  @type options :: %{optional(atom() | String.t()) => term()} | keyword()

  @doc """
  An option map with the names of Mellea's wire: `:seed` is `"@@@seed@@@"`.

      iex> Vllm.Mellea.ModelOption.to_wire(max_new_tokens: 9, top_k: 5)
      %{"@@@max_new_tokens@@@" => 9, "top_k" => 5}

  A single name is translated too.
  """
  @spec to_wire(options()) :: %{String.t() => term()}
  @spec to_wire(atom() | String.t()) :: String.t()
  def to_wire(name) when name in @special, do: "@@@#{name}@@@"
  def to_wire(name) when is_atom(name) and name != nil, do: Atom.to_string(name)
  def to_wire(name) when is_binary(name), do: name
  def to_wire(options), do: Map.new(options, fn {name, value} -> {to_wire(name), value} end)

  @doc """
  Renames keys. The old key is gone in any case. If the new name has a value already, that value stays,
  and one warning lists all values that were lost. A `nil` counts as no value.
  """
  @spec replace_keys(map(), %{optional(term()) => term()}) :: map()
  def replace_keys(options, from_to) do
    {made, lost} =
      Enum.reduce(Map.keys(options), {options, []}, fn old, {made, lost} ->
        case from_to do
          %{^old => new} when new not in [nil, "", old] -> rename(made, old, new, lost)
          _others -> {made, lost}
        end
      end)

    if lost != [] do
      Logger.warning(
        "options conflict, and some keep their names' values:\n" <>
          Enum.join(Enum.reverse(lost), "\n")
      )
    end

    made
  end

  defp rename(made, old, new, lost) do
    {value, rest} = Map.pop(made, old)

    case made do
      %{^new => kept} when kept != nil ->
        text =
          "- #{inspect(old)} to #{inspect(new)}: lost value #{inspect(value)}, kept " <>
            inspect(kept)

        {rest, [text | lost]}

      _none ->
        {Map.put(rest, new, value), lost}
    end
  end

  @doc "Leaves out the keys that begin with `@@@`."
  @spec remove_special_keys(map()) :: map()
  def remove_special_keys(options) do
    Map.reject(options, fn {name, _value} ->
      is_binary(name) and String.starts_with?(name, "@@@")
    end)
  end

  @doc """
  One map over another, `nil` for none. Of two maps under `"extra_body"` those under their
  `"chat_template_kwargs"` are merged as well.
  """
  @spec merge(map(), map() | nil) :: map()
  def merge(options, nil), do: options

  def merge(options, overwrite) do
    Map.merge(options, overwrite, fn
      "extra_body", %{} = base, %{} = over -> merge_bodies(base, over)
      _name, _base, over -> over
    end)
  end

  @kwargs "chat_template_kwargs"

  defp merge_bodies(base, over) do
    merged = base |> Map.delete(@kwargs) |> Map.merge(Map.delete(over, @kwargs))

    case {base[@kwargs], over[@kwargs]} do
      {nil, nil} -> merged
      {%{} = one, %{} = other} -> Map.put(merged, @kwargs, Map.merge(one, other))
      {one, nil} -> Map.put(merged, @kwargs, one)
      {_one, other} -> Map.put(merged, @kwargs, other)
    end
  end
end
