# A figure that runs are compared by: what each round measured, and whether more of it is better.

defmodule Bench.Figure do
  @enforce_keys [:rounds, :better]
  defstruct [:rounds, :better]

  # What differs by less is no news, however little the rounds differ.
  @least 0.03

  @doc "Of what each round measured. `:less` or `:more` of it is better."
  def new(rounds, better) when better in [:less, :more],
    do: %__MODULE__{rounds: rounds, better: better}

  @doc "What is shown."
  def value(%__MODULE__{rounds: rounds}), do: apply(Bench, :median, [rounds])

  @doc """
  Whether a figure is worse than it was by more than the noise of both: every round is worse than every
  round then, and the medians differ by more than a few percent.
  """
  def worse?(%__MODULE__{better: :more} = now, before),
    do: worse?(negative(now), negative(before))

  def worse?(now, before) do
    apart = value(now) - value(before)
    apart > @least * abs(value(before)) and Enum.min(now.rounds) > Enum.max(before.rounds)
  end

  defp negative(figure), do: %{figure | better: :less, rounds: Enum.map(figure.rounds, &(-&1))}
end
