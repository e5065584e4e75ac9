# What the scripted model says.

defmodule Soak.Scripted do
  @words ~w(one two three four five six seven eight)

  @doc "The answer to a prompt that ends in `count`, of that many tokens."
  def counting(tokens),
    do: @words |> Stream.cycle() |> Enum.take(tokens) |> Enum.map_join(&" #{&1}")
end
