defmodule Vllm.Core.Codec.Path do
  @moduledoc false
  # Shows where in a term a part is, for error messages: `value[2]["x"].stop`. Written as Elixir code
  # that accesses the part, where there is such code.

  # Characters of the longest path that is shown whole.

  @longest 200

  @type step ::
          {:index, non_neg_integer()}
          | {:key, term()}
          | {:in_key, term()}
          | {:field, atom()}
          | :member

  @doc "The path as text. `steps` begins with the innermost."
  @spec to_string([step()], String.t()) :: String.t()
  def to_string(steps, root) do
    steps |> Enum.reverse() |> Enum.map_join(&step/1) |> shorten(root)
  end

  defp step({:index, index}), do: "[#{index}]"
  defp step({:key, key}), do: "[#{shown(key)}]"
  defp step({:in_key, key}), do: " key #{shown(key)}"
  defp step({:field, name}), do: ".#{name}"
  defp step(:member), do: " member"

  # Keys may be large, and may be terms that cannot be sent.
  defp shown(key), do: inspect(key, limit: 5, printable_limit: 40)

  defp shorten(path, root) do
    if String.length(path) <= @longest,
      do: root <> path,
      else: root <> String.slice(path, 0, 100) <> "…" <> String.slice(path, -100, 100)
  end
end
