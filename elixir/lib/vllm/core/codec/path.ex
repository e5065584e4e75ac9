defmodule Vllm.Core.Codec.Path do
  @moduledoc false
  # Where in a term something is, for error messages: `value[2]["x"].stop`. Written as one would
  # reach it, as far as Elixir has notation for it.

  @longest 200

  @type step ::
          {:index, non_neg_integer()}
          | {:key, term()}
          | {:in_key, term()}
          | {:field, atom()}
          | :member

  @doc "`steps` has the innermost first."
  @spec to_string([step()], String.t()) :: String.t()
  def to_string(steps, root) do
    steps |> Enum.reverse() |> Enum.map_join(&step/1) |> shorten(root)
  end

  defp step({:index, index}), do: "[#{index}]"
  defp step({:key, key}), do: "[#{shown(key)}]"
  defp step({:in_key, key}), do: " key #{shown(key)}"
  defp step({:field, name}), do: ".#{name}"
  defp step(:member), do: " member"

  # Keys may be large, and may be what cannot be sent.
  defp shown(key), do: inspect(key, limit: 5, printable_limit: 40)

  defp shorten(path, root) do
    if String.length(path) <= @longest,
      do: root <> path,
      else: root <> String.slice(path, 0, 100) <> "…" <> String.slice(path, -100, 100)
  end
end
